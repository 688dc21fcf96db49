/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of events. See events.h. The lock is a leaf. */
#include "vmm/core/events.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/core/err.h"
#include "vmm/core/utc.h"

enum { TEXT_MAX = 400 }; /* with what events_read adds less than EVENTS_LINE_MAX */

struct event {
	struct timespec time;
	char text[TEXT_MAX]; /* "event":... */
};

struct events {
	pthread_mutex_t lock; /* guards all that follows */
	uint64_t next;        /* number of the next one; the first is 1 */
	void (*wake)(void *ctx);
	void *wake_ctx;
	struct event ring[EVENTS_KEPT]; /* by number */
};

int events_create(struct events **out, struct err *e)
{
	struct events *ev = calloc(1, sizeof(*ev));

	if (!ev)
		return err_set(e, ENOMEM, "events: out of memory");
	pthread_mutex_init(&ev->lock, NULL);
	ev->next = 1;
	*out = ev;
	return 0;
}

void events_destroy(struct events *ev)
{
	if (!ev)
		return;
	pthread_mutex_destroy(&ev->lock);
	free(ev);
}

void events_set_wake(struct events *ev, void (*wake)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&ev->lock);
	ev->wake = wake;
	ev->wake_ctx = ctx;
	pthread_mutex_unlock(&ev->lock);
}

/* A string of JSON; what does not fit is cut. Bytes that are not ASCII become question marks. */
static size_t put_text(char *out, size_t room, const char *s)
{
	size_t n = 0;

	out[n++] = '"';
	for (; *s && n + 8 < room; s++) {
		if (*s == '"' || *s == '\\')
			out[n++] = '\\';
		if ((unsigned char)*s < 0x20)
			n += (size_t)snprintf(out + n, room - n, "\\u%04x", *s);
		else
			out[n++] = (unsigned char)*s < 0x7f ? *s : '?';
	}
	out[n++] = '"';
	return n;
}

static void describe(char *out, const char *what, const struct event_field *f)
{
	enum { LEAST = 64 }; /* a name, and a number or the beginning of a text */
	size_t n = (size_t)snprintf(out, TEXT_MAX, "\"event\":\"%.40s\"", what);

	for (; f && f->name && n + LEAST < TEXT_MAX; f++) {
		n += (size_t)snprintf(out + n, TEXT_MAX - n, ",\"%.30s\":", f->name);
		if (f->text)
			n += put_text(out + n, TEXT_MAX - n, f->text);
		else
			n += (size_t)snprintf(out + n, TEXT_MAX - n, "%" PRIu64, f->number);
	}
	out[n] = '\0';
}

void events_add(struct events *ev, const char *what, const struct event_field *fields)
{
	struct event *slot;

	if (!ev)
		return;
	pthread_mutex_lock(&ev->lock);
	slot = &ev->ring[ev->next++ % EVENTS_KEPT];
	clock_gettime(CLOCK_REALTIME, &slot->time);
	describe(slot->text, what, fields);
	if (ev->wake)
		ev->wake(ev->wake_ctx);
	pthread_mutex_unlock(&ev->lock);
}

static size_t put_line(char *line, uint64_t seq, const struct timespec *time, const char *text)
{
	struct utc t;

	utc_from_unix(time->tv_sec, &t);
	return (size_t)snprintf(line, EVENTS_LINE_MAX,
				"{\"seq\":%" PRIu64 ",\"time\":\"%04" PRId64 "-%02u-%02uT%02u:%02u:%02u.%06ldZ\","
				"%s}\n",
				seq, t.year, t.month, t.day, t.hour, t.minute, t.second,
				time->tv_nsec / 1000, text);
}

size_t events_read(struct events *ev, uint64_t *seq, char line[EVENTS_LINE_MAX])
{
	uint64_t oldest;
	char lost[64];
	size_t n = 0;

	pthread_mutex_lock(&ev->lock);
	oldest = ev->next > EVENTS_KEPT ? ev->next - EVENTS_KEPT : 1;
	if (*seq < oldest) { /* in the place of the last one that is gone */
		snprintf(lost, sizeof(lost), "\"event\":\"lost\",\"count\":%" PRIu64, oldest - *seq);
		n = put_line(line, oldest - 1, &ev->ring[oldest % EVENTS_KEPT].time, lost);
		*seq = oldest;
	} else if (*seq < ev->next) {
		const struct event *at = &ev->ring[*seq % EVENTS_KEPT];

		n = put_line(line, (*seq)++, &at->time, at->text);
	}
	pthread_mutex_unlock(&ev->lock);
	return n;
}
