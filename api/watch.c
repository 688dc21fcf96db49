/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that watch. A client costs one line of memory, whatever happens and however slowly it
 * reads: the events themselves are kept once, and only the last of them, so a slow client is told
 * how many it has missed. What clients send is thrown away; when they hang up they are gone.
 */
#include "api/watch.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/events.h"
#include "vmm/core/loop.h"

struct watcher {
	struct loop_source source; /* fd: -1 when there is nobody */
	struct api_watch *watch;
	uint64_t seq; /* of the next event */
	char line[EVENTS_LINE_MAX];
	size_t at, len;
};

struct api_watch {
	struct loop *loop;
	struct events *events;
	struct loop_work news;
	struct watcher watchers[API_MAX_WATCHERS];
};

static void drop(struct watcher *w)
{
	if (w->source.fd < 0)
		return;
	loop_del(w->watch->loop, &w->source);
	close(w->source.fd);
	w->source.fd = -1;
}

static bool next_line(struct watcher *w)
{
	w->at = 0;
	w->len = events_read(w->watch->events, &w->seq, w->line);
	return w->len > 0;
}

/* As much as the client takes. */
static void pump(struct watcher *w)
{
	while (w->at < w->len || next_line(w)) {
		ssize_t n = send(w->source.fd, w->line + w->at, w->len - w->at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			drop(w);
			return;
		}
		if (n < 0)
			break;
		w->at += (size_t)n;
	}
	loop_set_events(w->watch->loop, &w->source, LOOP_IN | (w->at < w->len ? LOOP_OUT : 0));
}

static void on_watcher(struct loop_source *s, uint32_t ready)
{
	struct watcher *w = container_of(s, struct watcher, source);
	char ignored[512];
	ssize_t n = 1;

	if (ready & LOOP_IN) {
		n = recv(s->fd, ignored, sizeof(ignored), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			n = 1;
	}
	if (n <= 0 || (ready & LOOP_HUP && !(ready & (LOOP_IN | LOOP_OUT))))
		drop(w);
	else
		pump(w);
}

static void on_news(struct loop_work *work)
{
	struct api_watch *watch = container_of(work, struct api_watch, news);

	for (unsigned i = 0; i < API_MAX_WATCHERS; i++)
		if (watch->watchers[i].source.fd >= 0)
			pump(&watch->watchers[i]);
}

static void on_event(void *ctx)
{
	struct api_watch *watch = ctx;

	loop_post(watch->loop, &watch->news);
}

static struct watcher *free_place(struct api_watch *watch)
{
	for (unsigned i = 0; i < API_MAX_WATCHERS; i++)
		if (watch->watchers[i].source.fd < 0)
			return &watch->watchers[i];
	return NULL;
}

bool api_watch_is_full(struct api_watch *watch)
{
	return !free_place(watch);
}

void api_watch_add(struct api_watch *watch, int fd)
{
	struct watcher *w = free_place(watch);
	struct err ignored;

	if (!w) { /* others were quicker; it sees the end of an empty answer */
		close(fd);
		return;
	}
	*w = (struct watcher){
		.source = { .fd = fd, .events = LOOP_IN, .fn = on_watcher },
		.watch = watch,
		.seq = 1,
	};
	if (loop_add(watch->loop, &w->source, &ignored) < 0) {
		close(fd);
		w->source.fd = -1;
		return;
	}
	pump(w);
}

int api_watch_create(struct loop *l, struct events *events, struct api_watch **out, struct err *e)
{
	struct api_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return err_set(e, ENOMEM, "API: out of memory");
	watch->loop = l;
	watch->events = events;
	watch->news.fn = on_news;
	for (unsigned i = 0; i < API_MAX_WATCHERS; i++)
		watch->watchers[i].source.fd = -1;
	events_set_wake(events, on_event, watch);
	*out = watch;
	return 0;
}

void api_watch_destroy(struct api_watch *watch)
{
	if (!watch)
		return;
	events_set_wake(watch->events, NULL, NULL);
	for (unsigned i = 0; i < API_MAX_WATCHERS; i++) {
		if (watch->watchers[i].source.fd >= 0)
			pump(&watch->watchers[i]);
		drop(&watch->watchers[i]);
	}
	free(watch);
}
