/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console device: a console, or several consoles and named byte channels with control queues
 * (console_ctrl.c). This file has the ports and their data.
 *
 * Output. The host's end of a port takes what it has room for; a chain that it did not take all of
 * is held, and the queue waits behind it, until there is room: the guest's writer sleeps. That will
 * not do for a console, since the guest's kernel spins until its output is taken, with locks held.
 * So an end that takes nothing of a console's output for PATIENCE_NS loses it, and all that follows
 * until it takes some again; what is lost is counted.
 *
 * Input. Bytes go to the guest's buffers at once or are refused, so that the end stops reading.
 * Those for a port that nobody in the guest has open are refused, too: a driver would throw them
 * away.
 *
 * The size of a console is in configuration space; for a device with control queues each console's
 * is sent by a message. Drivers do not agree on the order of columns and rows in the latter (the
 * standard's is used), so the board gives the first console a device of its own, without them.
 *
 * Refs: virtio 1.3 §5.3.
 */
#include "devices/virtio/console_int.h"

#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	QUEUE_SIZE = 64,
	N_QUEUES_MAX = 2 * VIRTIO_CONSOLE_MAX_PORTS + 2,
	ROUND_CHAINS = 32,
	CONFIG_LEN = 12, /* §5.3.4 */
	CONFIG_EMERG_WR = 8,
	DEFAULT_COLS = 80,
	DEFAULT_ROWS = 24,
};

static const uint64_t patience_ns = 100000000;

/* --- output ----------------------------------------------------------------------------------- */

static unsigned rx_queue(unsigned port)
{
	return port ? 2 * port + 2 : CONSOLE_Q_RX0;
}

static unsigned tx_queue(unsigned port)
{
	return port ? 2 * port + 3 : CONSOLE_Q_TX0;
}

static bool is_console(const struct console_port *p)
{
	return !p->end.name;
}

/* Hands the rest of a chain to the end; true once it is all gone. */
static bool write_rest(struct console_port *p)
{
	const struct virtq_chain *c = &p->held;
	size_t skip = p->held_done;

	for (unsigned i = 0; i < c->n_out; i++) {
		size_t len = c->iov[i].iov_len, n;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		n = p->end.write(p->end.ctx, (const uint8_t *)c->iov[i].iov_base + skip, len - skip);
		p->held_done += n;
		p->dev->n.tx_bytes += n;
		p->stalled &= n == 0;
		if (n < len - skip)
			return false;
		skip = 0;
	}
	return true;
}

static void finish(struct console_port *p, unsigned queue)
{
	struct virtio_console *c = p->dev;

	c->n.tx_dropped += p->held.out_bytes - p->held_done;
	p->holding = false;
	loop_timer_cancel(c->v.loop, &p->patience);
	virtio_push(&c->v, queue, &p->held, 0);
}

/* The chain at hand; false if it has to wait for the end. */
static bool serve_held(struct console_port *p, unsigned queue)
{
	size_t before = p->held_done;

	if (write_rest(p) || p->stalled) {
		finish(p, queue);
		return true;
	}
	if (is_console(p) && (!p->holding || p->held_done != before))
		loop_timer_arm(p->dev->v.loop, &p->patience, loop_now_ns() + patience_ns);
	p->holding = true;
	return false;
}

static void serve_output(struct virtio_console *c, unsigned port)
{
	struct console_port *p = &c->port[port];
	unsigned queue = tx_queue(port), n;

	for (n = 0; n < ROUND_CHAINS; n++) {
		if (!p->holding) {
			if (!virtio_pop(&c->v, queue, &p->held))
				break;
			p->held_done = 0;
		}
		if (!serve_held(p, queue))
			break;
	}
	if (n == ROUND_CHAINS)
		virtio_rekick(&c->v, queue);
	virtio_signal(&c->v, queue);
}

static void on_patience_over(struct loop_timer *t)
{
	struct console_port *p = container_of(t, struct console_port, patience);

	p->stalled = true;
	if (virtio_is_live(&p->dev->v))
		serve_output(p->dev, (unsigned)(p - p->dev->port));
}

void virtio_console_room(struct virtio *v, unsigned port)
{
	struct virtio_console *c = to_console(v);

	c->port[port].stalled = false;
	if (c->port[port].holding && virtio_is_live(v))
		serve_output(c, port);
}

/* --- input ------------------------------------------------------------------------------------ */

static bool can_receive(const struct virtio_console *c, unsigned port)
{
	if (!virtio_is_live(&c->v))
		return false;
	return console_has_ctrl(c) ? c->port[port].guest_open : port == 0;
}

static uint32_t fill(const struct virtq_chain *c, const uint8_t *p, size_t n)
{
	uint32_t done = 0;

	for (unsigned i = c->n_out; i < c->n_out + c->n_in && done < n; i++) {
		size_t part = c->iov[i].iov_len < n - done ? c->iov[i].iov_len : n - done;

		memcpy(c->iov[i].iov_base, p + done, part);
		done += (uint32_t)part;
	}
	return done;
}

size_t virtio_console_rx(struct virtio *v, unsigned port, const uint8_t *p, size_t n)
{
	struct virtio_console *c = to_console(v);
	struct virtq_chain chain;
	unsigned queue = rx_queue(port), chains;
	size_t done = 0;

	for (chains = 0; chains < ROUND_CHAINS && done < n && can_receive(c, port) &&
			 virtio_pop(v, queue, &chain);
	     chains++) {
		uint32_t part = fill(&chain, p + done, n - done);

		virtio_push(v, queue, &chain, part);
		done += part;
	}
	if (chains)
		virtio_signal(v, queue);
	c->port[port].rx_refused = done < n;
	if (done < n && chains == ROUND_CHAINS)
		virtio_rekick(v, queue);
	c->n.rx_bytes += done;
	return done;
}

static void serve_input(struct virtio_console *c, unsigned port)
{
	struct console_port *p = &c->port[port];

	if (!p->rx_refused || !can_receive(c, port))
		return;
	p->rx_refused = false;
	p->end.rx_ready(p->end.ctx);
}

void console_port_opened(struct virtio_console *c, unsigned port)
{
	serve_input(c, port);
}

/* --- queues ----------------------------------------------------------------------------------- */

static void console_notify(struct virtio *v, unsigned queue)
{
	struct virtio_console *c = to_console(v);
	unsigned port = queue < 2 ? 0 : queue / 2 - 1;

	if (queue == CONSOLE_Q_CTRL_RX && console_has_ctrl(c))
		console_ctrl_send(c);
	else if (queue == CONSOLE_Q_CTRL_TX && console_has_ctrl(c))
		console_ctrl_take(c);
	else if (queue == CONSOLE_Q_CTRL_RX || queue == CONSOLE_Q_CTRL_TX || port >= c->n_ports)
		return;
	else if (queue % 2)
		serve_output(c, port);
	else
		serve_input(c, port);
}

static void drop_held(struct console_port *p)
{
	p->holding = false;
	loop_timer_cancel(p->dev->v.loop, &p->patience);
}

static void console_reset(struct virtio *v)
{
	struct virtio_console *c = to_console(v);

	for (unsigned i = 0; i < c->n_ports; i++) {
		struct console_port *p = &c->port[i];

		drop_held(p);
		p->owes = 0;
		p->ready = p->guest_open = p->stalled = false;
	}
}

static void console_reset_queue(struct virtio *v, unsigned queue)
{
	struct virtio_console *c = to_console(v);

	for (unsigned i = 0; i < c->n_ports; i++)
		if (queue == tx_queue(i))
			drop_held(&c->port[i]);
}

/* --- configuration ---------------------------------------------------------------------------- */

static void console_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	const struct virtio_console *c = to_console(v);
	uint8_t buf[CONFIG_LEN] = {0};

	store_le16(buf, c->port[0].cols);
	store_le16(buf + 2, c->port[0].rows);
	store_le32(buf + 4, c->multiport ? c->n_ports : 0);
	memcpy(dst, buf + off, len);
}

/* Some drivers look at the size when it changes, and at no other time. */
static void console_activate(struct virtio *v)
{
	if (!console_has_ctrl(to_console(v)))
		virtio_announce_config(v);
}

/* Emergency output: works at any time, before the driver has set up anything, too. */
static void console_config_write(struct virtio *v, uint32_t off, const void *src, uint32_t len)
{
	struct virtio_console *c = to_console(v);
	struct console_port *p = &c->port[0];
	const uint8_t *byte = src;

	if (off != CONFIG_EMERG_WR || !len)
		return;
	if (p->end.write(p->end.ctx, byte, 1))
		c->n.tx_bytes++;
	else
		c->n.tx_dropped++;
}

void virtio_console_resize(struct virtio *v, unsigned port, uint16_t cols, uint16_t rows)
{
	struct virtio_console *c = to_console(v);
	struct console_port *p = &c->port[port];

	if (!is_console(p) || (p->cols == cols && p->rows == rows))
		return;
	p->cols = cols;
	p->rows = rows;
	if (port == 0)
		virtio_config_changed(v);
	if (!console_has_ctrl(c) || !p->ready)
		return;
	p->owes |= CONSOLE_OWES_RESIZE;
	if (virtio_is_live(v))
		console_ctrl_send(c);
}

void virtio_console_set_open(struct virtio *v, unsigned port, bool open)
{
	struct virtio_console *c = to_console(v);
	struct console_port *p = &c->port[port];

	if (p->end.closed == !open)
		return;
	p->end.closed = !open;
	if (!console_has_ctrl(c) || !p->ready || is_console(p))
		return;
	p->owes |= CONSOLE_OWES_OPEN;
	if (virtio_is_live(v))
		console_ctrl_send(c);
}

void virtio_console_counters(struct virtio *v, struct virtio_console_counters *out)
{
	*out = to_console(v)->n;
}

static const struct virtio_ops console_virtio_ops = {
	.device_id = VIRTIO_ID_CONSOLE,
	.n_queues = N_QUEUES_MAX,
	.max_queue_size = QUEUE_SIZE,
	.config_len = CONFIG_LEN,
	.config_read = console_config_read,
	.config_write = console_config_write,
	.activate = console_activate,
	.notify = console_notify,
	.reset = console_reset,
	.reset_queue = console_reset_queue,
};

/* --- life cycle ------------------------------------------------------------------------------- */

static int console_start(struct device *d, struct err *e)
{
	struct virtio_console *c = container_of(d, struct virtio_console, v.dev);
	int r = virtio_start(d, e);

	for (unsigned i = 0; r == 0 && i < c->n_ports; i++)
		if (c->port[i].holding) /* what stop() left */
			virtio_rekick(&c->v, tx_queue(i));
	return r;
}

static void console_stop(struct device *d)
{
	struct virtio_console *c = container_of(d, struct virtio_console, v.dev);

	virtio_stop(d);
	for (unsigned i = 0; i < c->n_ports; i++)
		loop_timer_cancel(c->v.loop, &c->port[i].patience);
}

static void console_destroy(struct device *d)
{
	struct virtio_console *c;

	if (!d)
		return;
	c = container_of(d, struct virtio_console, v.dev);
	console_stop(d);
	virtio_fini(&c->v);
	free(c);
}

static const struct device_ops console_device_ops = {
	.type = "virtio-console",
	.start = console_start,
	.stop = console_stop,
	.reset = virtio_reset,
	.destroy = console_destroy,
};

static int take_ports(struct virtio_console *c, const struct virtio_console_config *cfg,
		      struct err *e)
{
	if (!cfg->n_ports || cfg->n_ports > VIRTIO_CONSOLE_MAX_PORTS)
		return err_set(e, EINVAL, "%s: %u ports; 1 to %d are possible", cfg->id,
			       cfg->n_ports, VIRTIO_CONSOLE_MAX_PORTS);
	for (unsigned i = 0; i < cfg->n_ports; i++) {
		struct console_port *p = &c->port[i];
		const char *name = cfg->ports[i].name;

		p->end = cfg->ports[i];
		p->dev = c;
		p->cols = DEFAULT_COLS;
		p->rows = DEFAULT_ROWS;
		p->patience = (struct loop_timer){.owner = &c->v.dev, .fn = on_patience_over};
		if (!name)
			continue;
		if (!*name || strlen(name) >= sizeof(p->name))
			return err_set(e, EINVAL, "%s: port name '%.80s' has not 1 to %d bytes",
				       cfg->id, name, VIRTIO_CONSOLE_MAX_NAME - 1);
		snprintf(p->name, sizeof(p->name), "%s", name);
		p->end.name = p->name;
	}
	c->n_ports = cfg->n_ports;
	c->multiport = cfg->n_ports > 1 || cfg->ports[0].name;
	return 0;
}

int virtio_console_create(const struct virtio_console_config *cfg,
			  const struct virtio_console_wiring *w, struct virtio **out,
			  struct err *e)
{
	uint64_t features = 1ull << VIRTIO_CONSOLE_F_SIZE | 1ull << VIRTIO_CONSOLE_F_EMERG_WRITE;
	struct virtio_console *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	r = take_ports(c, cfg, e);
	if (r == 0) {
		if (c->multiport)
			features |= 1ull << VIRTIO_CONSOLE_F_MULTIPORT;
		c->v.n_queues = (uint16_t)(c->multiport ? 2 * c->n_ports + 2 : 2);
		r = virtio_init(&c->v, &console_virtio_ops, &console_device_ops, cfg->id, w->mem,
				w->loop, features, e);
	}
	if (r < 0) {
		free(c);
		return r;
	}
	*out = &c->v;
	return 0;
}
