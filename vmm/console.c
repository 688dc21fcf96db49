/* SPDX-License-Identifier: Apache-2.0 */
/* The console. See console.h. */
#include "vmm/console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"
#include "vmm/guest/result.h"

enum console_keys { KEYS_PLAIN, KEYS_ESCAPED, KEYS_PROMPT };

struct console {
	struct console_config config;
	struct console_hooks hooks;
	struct loop *loop;

	struct console_out *out;
	struct loop_work room, broken; /* what the writer thread has to say */

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

void console_tx(struct console *c, const uint8_t *p, size_t n)
{
	console_out_send(c->out, p, n);
}

size_t console_offer(struct console *c, const uint8_t *p, size_t n)
{
	return console_out_offer(c->out, p, n);
}

uint64_t console_dropped(struct console *c)
{
	return console_out_dropped(c->out);
}

static void on_room(void *ctx)
{
	struct console *c = ctx;

	loop_post(c->loop, &c->room);
}

static void on_broken(void *ctx)
{
	struct console *c = ctx;

	loop_post(c->loop, &c->broken);
}

static void tell_room(struct loop_work *w)
{
	struct console *c = container_of(w, struct console, room);

	if (c->hooks.room)
		c->hooks.room(c->hooks.ctx);
}

static void tell_broken(struct loop_work *w)
{
	struct console *c = container_of(w, struct console, broken);

	/* of the present descriptor, not of one before */
	if (c->hooks.hangup && console_out_is_broken(c->out))
		c->hooks.hangup(c->hooks.ctx);
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
		c->hooks.quit(c->hooks.key_ctx);
		break;
	case 'p':
	case 'P':
		c->hooks.pause(c->hooks.key_ctx);
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
			c->hooks.command(c->hooks.key_ctx, c->line);
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
		if (c->config.framed && *p == INPUT_MARK)
			key_to_guest(c, INPUT_MARK);
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

/* Gives the device what is pending; false while some is left. */
static bool feed_device(struct console *c)
{
	size_t n = c->n_pending ? c->hooks.rx(c->hooks.ctx, c->pending, c->n_pending) : 0;

	c->n_pending -= n;
	memmove(c->pending, c->pending + n, c->n_pending);
	return c->n_pending == 0;
}

static void take_end(struct console *c)
{
	static const uint8_t end[] = { INPUT_MARK, INPUT_END };

	memcpy(c->pending + c->n_pending, end, sizeof(end)); /* room_for_input() left room */
	c->n_pending += sizeof(end);
}

/* The other end sends no more. One that can hang up may still listen, until it does. */
static void on_end_of_input(struct console *c, uint32_t ready)
{
	if (!c->hooks.hangup) {
		stop_reading(c); /* the end of the input does not end the guest */
		if (c->config.framed)
			take_end(c);
	} else if (ready & LOOP_HUP) {
		c->hooks.hangup(c->hooks.ctx);
	} else {
		loop_set_events(c->loop, &c->source, LOOP_IN | LOOP_EDGE);
	}
}

/* How much to read. Framed, a byte becomes up to two, and the end needs two. */
static size_t room_for_input(const struct console *c)
{
	size_t room = sizeof(c->pending) - c->n_pending;

	if (c->config.keys)
		return sizeof(c->pending);
	return !c->config.framed ? room : room < 4 ? 0 : (room - 2) / 2;
}

/* One read; false at the end of the input or when there is nothing now. */
static bool read_some(struct console *c, uint32_t ready)
{
	uint8_t buf[sizeof(c->pending)];
	size_t room = room_for_input(c);
	ssize_t n = room ? read(c->config.in_fd, buf, room) : -1;

	if (n > 0) {
		take_input(c, buf, (size_t)n);
		return true;
	}
	if (!room || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return false;
	on_end_of_input(c, n < 0 ? LOOP_HUP : ready);
	return false;
}

static void on_readable(struct loop_source *s, uint32_t ready)
{
	struct console *c = container_of(s, struct console, source);

	read_some(c, ready);
	if (!feed_device(c) && !c->config.keys && c->reading)
		loop_set_events(c->loop, &c->source, 0);
}

/* The device has room again, or the input is a file, which no poll ever reports. */
static void on_pump(struct loop_work *w)
{
	struct console *c = container_of(w, struct console, pump);

	if (!feed_device(c))
		return;
	if (c->reading && c->pollable)
		loop_set_events(c->loop, &c->source, LOOP_IN);
	else if (c->reading && (read_some(c, 0) || c->n_pending))
		loop_post(c->loop, &c->pump);
}

void console_rx_ready(struct console *c)
{
	loop_post(c->loop, &c->pump);
}

static int start_reading(struct console *c, struct err *e)
{
	int r;

	c->source.fd = c->config.in_fd;
	c->source.events = LOOP_IN;
	c->source.fn = on_readable;
	r = loop_add(c->loop, &c->source, e);
	if (r < 0 && r != -EPERM)
		return err_wrap(e, "console input");
	c->pollable = r == 0;
	c->reading = true;
	if (!c->pollable)
		loop_post(c->loop, &c->pump);
	return 0;
}

int console_start(struct console *c, struct err *e)
{
	return c->config.in_fd < 0 ? 0 : start_reading(c, e);
}

int console_attach(struct console *c, int fd, struct err *e)
{
	int r;

	c->config.in_fd = fd;
	r = start_reading(c, e);
	if (r < 0)
		c->config.in_fd = -1;
	else
		console_out_set_fd(c->out, fd);
	return r;
}

void console_detach(struct console *c)
{
	stop_reading(c);
	c->config.in_fd = -1;
	console_out_set_fd(c->out, -1);
}

int console_create(struct loop *loop, const struct console_config *config,
		   const struct console_hooks *hooks, struct console **out, struct err *e)
{
	struct console *c = calloc(1, sizeof(*c));
	const struct console_out_hooks out_hooks = { .room = on_room, .broken = on_broken, .ctx = c };
	int r;

	if (!c)
		return err_set(e, ENOMEM, "console: out of memory");
	c->loop = loop;
	c->config = *config;
	c->hooks = *hooks;
	c->pump.fn = on_pump;
	c->room.fn = tell_room;
	c->broken.fn = tell_broken;
	r = console_out_create(config->out_fd, &out_hooks, &c->out, e);
	if (r < 0) {
		free(c);
		return r;
	}
	*out = c;
	return 0;
}

void console_destroy(struct console *c)
{
	if (!c)
		return;
	stop_reading(c);
	console_out_destroy(c->out);
	free(c);
}
