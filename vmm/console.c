/* SPDX-License-Identifier: Apache-2.0 */
/* The console. See console.h. */
#include "vmm/console.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"

/* A UART sends byte by byte; bytes that follow within this time are written in one go. */
enum { GATHER_MS = 2, GATHER_BYTES = 4096 };

/* Less than a huge page, or the host may give the writer one. */
enum { WRITER_STACK_BYTES = 256 << 10 };

enum console_keys { KEYS_PLAIN, KEYS_ESCAPED, KEYS_PROMPT };

struct console {
	struct console_config config;
	struct console_hooks hooks;
	struct loop *loop;

	/* output */
	pthread_t writer;
	pthread_mutex_t lock; /* a leaf; guards the ring and what follows up to `input` */
	pthread_cond_t changed;
	uint8_t ring[CONSOLE_RING];
	size_t head, used; /* head: the next byte to write out */
	uint64_t n_written, n_dropped;
	bool stalled; /* the reader made no progress for CONSOLE_WAIT_MS */
	bool broken;  /* a write failed: the reader is gone */
	bool ending;
	bool idle;      /* the writer waits for a first byte */
	bool gathering; /* the writer waits for more */

	/* input; the loop thread's */
	struct loop_source source;
	struct loop_work pump;
	bool reading, pollable;
	uint8_t pending[256];
	size_t n_pending;
	enum console_keys keys;
	char line[CONSOLE_LINE];
	size_t line_len;
};

static void deadline_in_ms(struct timespec *ts, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_nsec += (long)ms * 1000000;
	ts->tv_sec += ts->tv_nsec / 1000000000;
	ts->tv_nsec %= 1000000000;
}

/* Only write() can be cancelled: a reader that has stopped must not keep us from ending. */
static ssize_t cancellable_write(int fd, const uint8_t *p, size_t n)
{
	ssize_t r;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	r = write(fd, p, n);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return r;
}

/* Gives the sender a moment to say more. Under the lock. */
static void gather(struct console *c)
{
	struct timespec until;

	deadline_in_ms(&until, GATHER_MS);
	c->gathering = true;
	while (c->used < GATHER_BYTES && !c->ending &&
	       pthread_cond_clockwait(&c->changed, &c->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
		;
	c->gathering = false;
}

static void *writer_main(void *arg)
{
	struct console *c = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setname_np(pthread_self(), "console");
	pthread_mutex_lock(&c->lock);
	while (!c->ending || c->used) {
		uint8_t chunk[GATHER_BYTES];
		size_t n, first;
		ssize_t done;

		if (c->used == 0) {
			c->idle = true;
			pthread_cond_broadcast(&c->changed);
			pthread_cond_wait(&c->changed, &c->lock);
			c->idle = false;
			continue;
		}
		gather(c);
		n = c->used;
		if (n > sizeof(chunk))
			n = sizeof(chunk);
		first = CONSOLE_RING - c->head < n ? CONSOLE_RING - c->head : n;
		memcpy(chunk, c->ring + c->head, first);
		memcpy(chunk + first, c->ring, n - first);
		pthread_mutex_unlock(&c->lock);
		done = cancellable_write(c->config.out_fd, chunk, n);
		if (done < 0 && errno == EAGAIN) {
			/* someone made our standard output non-blocking */
			usleep(1000);
			done = 0;
		}
		pthread_mutex_lock(&c->lock);
		if (done < 0 && errno != EINTR) {
			c->broken = true;
			c->used = 0;
		} else if (done > 0) {
			c->head = (c->head + (size_t)done) % CONSOLE_RING;
			c->used -= (size_t)done;
			c->n_written += (uint64_t)done;
			c->stalled = false;
		}
		pthread_cond_broadcast(&c->changed);
	}
	c->idle = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Waits for room while the reader makes progress. Under the lock. */
static void wait_for_room(struct console *c)
{
	uint64_t before = c->n_written;
	struct timespec until;

	deadline_in_ms(&until, CONSOLE_WAIT_MS);
	while (c->used == CONSOLE_RING && !c->broken && !c->stalled) {
		if (pthread_cond_clockwait(&c->changed, &c->lock, CLOCK_MONOTONIC, &until) !=
		    ETIMEDOUT)
			continue;
		if (c->n_written == before)
			c->stalled = true;
		before = c->n_written;
		deadline_in_ms(&until, CONSOLE_WAIT_MS);
	}
}

void console_tx(struct console *c, const uint8_t *p, size_t n)
{
	pthread_mutex_lock(&c->lock);
	while (n && c->config.out_fd >= 0) {
		size_t at, part;

		if (c->used == CONSOLE_RING)
			wait_for_room(c);
		if (c->broken || c->used == CONSOLE_RING) {
			c->n_dropped += n;
			break;
		}
		at = (c->head + c->used) % CONSOLE_RING;
		part = at < c->head ? c->head - at : CONSOLE_RING - at;
		if (part > n)
			part = n;
		memcpy(c->ring + at, p, part);
		c->used += part;
		p += part;
		n -= part;
		if (c->idle || (c->gathering && c->used >= GATHER_BYTES))
			pthread_cond_broadcast(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
}

uint64_t console_dropped(struct console *c)
{
	uint64_t n;

	pthread_mutex_lock(&c->lock);
	n = c->n_dropped;
	pthread_mutex_unlock(&c->lock);
	return n;
}

static void say(const char *text)
{
	fputs(text, stderr);
	fflush(stderr);
}

static void say_help(struct console *c)
{
	fprintf(stderr,
		"\nkeys after Ctrl-%c:  x quit   p pause or resume   c control prompt   h this help\n"
		"                    Ctrl-%c sends Ctrl-%c to the guest\n",
		c->config.escape + '@', c->config.escape + '@', c->config.escape + '@');
}

static void key_to_guest(struct console *c, uint8_t key)
{
	/* Typed ahead further than this: lost, as on a real terminal line. */
	if (c->n_pending < sizeof(c->pending))
		c->pending[c->n_pending++] = key;
}

static void key_escaped(struct console *c, uint8_t key)
{
	c->keys = KEYS_PLAIN;
	if (key == c->config.escape) {
		key_to_guest(c, key);
		return;
	}
	switch (key) {
	case 'x':
	case 'X':
		c->hooks.quit(c->hooks.ctx);
		break;
	case 'p':
	case 'P':
		c->hooks.pause(c->hooks.ctx);
		break;
	case 'c':
	case 'C':
		c->keys = KEYS_PROMPT;
		c->line_len = 0;
		say("\n(mayfly) ");
		break;
	case 'h':
	case 'H':
	case '?':
		say_help(c);
		break;
	default: /* not a command: neither key is for the guest */
		break;
	}
}

static void key_at_prompt(struct console *c, uint8_t key)
{
	char echo[2] = { (char)key, '\0' };

	if (key == '\r' || key == '\n') {
		c->line[c->line_len] = '\0';
		c->keys = KEYS_PLAIN;
		say("\n");
		if (c->line_len)
			c->hooks.command(c->hooks.ctx, c->line);
	} else if (key == 3 || key == 4 || key == 27) { /* Ctrl-C, Ctrl-D, Esc */
		c->keys = KEYS_PLAIN;
		say("\n");
	} else if (key == 8 || key == 127) {
		if (c->line_len) {
			c->line_len--;
			say("\b \b");
		}
	} else if (key >= 0x20 && c->line_len < sizeof(c->line) - 1) {
		c->line[c->line_len++] = (char)key;
		say(echo);
	}
}

static void take_input(struct console *c, const uint8_t *p, size_t n)
{
	for (; n; p++, n--) {
		if (!c->config.keys)
			key_to_guest(c, *p);
		else if (c->keys == KEYS_ESCAPED)
			key_escaped(c, *p);
		else if (c->keys == KEYS_PROMPT)
			key_at_prompt(c, *p);
		else if (*p == c->config.escape)
			c->keys = KEYS_ESCAPED;
		else
			key_to_guest(c, *p);
	}
}

static void stop_reading(struct console *c)
{
	if (c->reading && c->pollable)
		loop_del(c->loop, &c->source);
	c->reading = false;
}

/* Gives the UART what is pending; false while some is left. */
static bool feed_uart(struct console *c)
{
	size_t n = c->n_pending ? c->hooks.rx(c->hooks.ctx, c->pending, c->n_pending) : 0;

	c->n_pending -= n;
	memmove(c->pending, c->pending + n, c->n_pending);
	return c->n_pending == 0;
}

/* One read; false at the end of the input or when there is nothing now. */
static bool read_some(struct console *c)
{
	uint8_t buf[sizeof(c->pending)];
	size_t room = c->config.keys ? sizeof(buf) : sizeof(buf) - c->n_pending;
	ssize_t n = read(c->config.in_fd, buf, room);

	if (n > 0) {
		take_input(c, buf, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	stop_reading(c); /* the end of the input does not end the guest */
	return false;
}

static void on_readable(struct loop_source *s, uint32_t ready)
{
	struct console *c = container_of(s, struct console, source);

	(void)ready;
	read_some(c);
	if (!feed_uart(c) && !c->config.keys && c->reading)
		loop_set_events(c->loop, &c->source, 0);
}

/* The UART has room again, or the input is a file, which no poll ever reports. */
static void on_pump(struct loop_work *w)
{
	struct console *c = container_of(w, struct console, pump);

	if (!feed_uart(c))
		return;
	if (c->reading && c->pollable)
		loop_set_events(c->loop, &c->source, LOOP_IN);
	else if (c->reading && read_some(c))
		loop_post(c->loop, &c->pump);
}

void console_rx_ready(struct console *c)
{
	loop_post(c->loop, &c->pump);
}

int console_start(struct console *c, struct err *e)
{
	int r;

	if (c->config.in_fd < 0)
		return 0;
	c->source.fd = c->config.in_fd;
	c->source.events = LOOP_IN;
	c->source.fn = on_readable;
	r = loop_add(c->loop, &c->source, e);
	if (r < 0 && r != -EPERM) {
		err_wrap(e, "standard input");
		return r;
	}
	c->pollable = r == 0;
	c->reading = true;
	if (!c->pollable)
		loop_post(c->loop, &c->pump);
	return 0;
}

int console_create(struct loop *loop, const struct console_config *config,
		   const struct console_hooks *hooks, struct console **out, struct err *e)
{
	struct console *c = calloc(1, sizeof(*c));
	pthread_attr_t attr;
	int r;

	if (!c)
		return err_set(e, ENOMEM, "console: out of memory");
	c->loop = loop;
	c->config = *config;
	c->hooks = *hooks;
	c->pump.fn = on_pump;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WRITER_STACK_BYTES);
	r = pthread_create(&c->writer, &attr, writer_main, c);
	pthread_attr_destroy(&attr);
	if (r) {
		pthread_cond_destroy(&c->changed);
		pthread_mutex_destroy(&c->lock);
		free(c);
		return err_set(e, r, "console: cannot start a thread: %s", strerror(r));
	}
	*out = c;
	return 0;
}

void console_destroy(struct console *c)
{
	struct timespec until;
	bool stuck = false;

	if (!c)
		return;
	stop_reading(c);
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_broadcast(&c->changed);
	deadline_in_ms(&until, 1000);
	while (!stuck && c->used)
		stuck = pthread_cond_clockwait(&c->changed, &c->lock, CLOCK_MONOTONIC, &until) ==
			ETIMEDOUT;
	c->n_dropped += c->used;
	pthread_mutex_unlock(&c->lock);
	if (stuck)
		pthread_cancel(c->writer);
	pthread_join(c->writer, NULL);
	if (c->n_dropped)
		log_warn(NULL, "console: %llu bytes of guest output were lost: nobody read them",
			 (unsigned long long)c->n_dropped);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
