/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's control queues: which ports there are, what they are called, whether somebody is at
 * either end, how large a console is.
 *
 * The device says what it has to when the driver asks for it: DEVICE_READY is answered by all
 * ports, PORT_READY by all that is to know of one. What a port owes the driver is a set of bits, not
 * a queue of messages: a driver that gives no buffers costs nothing, and later gets the latest.
 *
 * Refs: virtio 1.3 §5.3.6.2 (multiport device operation).
 */
#include "devices/virtio/console_int.h"

enum {
	DEVICE_READY,
	DEVICE_ADD,
	DEVICE_REMOVE,
	PORT_READY,
	CONSOLE_PORT,
	RESIZE,
	PORT_OPEN,
	PORT_NAME,
};

enum { HEADER_BYTES = 8, MESSAGE_MAX = HEADER_BYTES + VIRTIO_CONSOLE_MAX_NAME, ROUND_CHAINS = 32 };

/* --- to the driver ---------------------------------------------------------------------------- */

static size_t make_header(uint8_t *msg, unsigned port, uint16_t event, uint16_t value)
{
	store_le32(msg, port);
	store_le16(msg + 4, event);
	store_le16(msg + 6, value);
	return HEADER_BYTES;
}

/* The message that stands for the lowest of the bits; its length. */
static size_t make_message(const struct virtio_console *c, unsigned port, unsigned bit, uint8_t *msg)
{
	const struct console_port *p = &c->port[port];
	size_t n;

	switch (bit) {
	case CONSOLE_OWES_ADD:
		return make_header(msg, port, DEVICE_ADD, 1);
	case CONSOLE_OWES_CONSOLE:
		return make_header(msg, port, CONSOLE_PORT, 1);
	case CONSOLE_OWES_NAME:
		make_header(msg, port, PORT_NAME, 1);
		n = strlen(p->name);
		memcpy(msg + HEADER_BYTES, p->name, n);
		return HEADER_BYTES + n;
	case CONSOLE_OWES_OPEN:
		return make_header(msg, port, PORT_OPEN, p->end.name && p->end.closed ? 0 : 1);
	default:
		make_header(msg, port, RESIZE, 0);
		store_le16(msg + HEADER_BYTES, p->cols);
		store_le16(msg + HEADER_BYTES + 2, p->rows);
		return HEADER_BYTES + 4;
	}
}

static void write_message(const struct virtq_chain *chain, const uint8_t *msg, size_t len)
{
	size_t done = 0;

	for (unsigned i = chain->n_out; i < chain->n_out + chain->n_in && done < len; i++) {
		size_t n = chain->iov[i].iov_len < len - done ? chain->iov[i].iov_len : len - done;

		memcpy(chain->iov[i].iov_base, msg + done, n);
		done += n;
	}
}

static bool send_one(struct virtio_console *c, unsigned port, unsigned bit)
{
	uint8_t msg[MESSAGE_MAX];
	size_t len = make_message(c, port, bit, msg);
	struct virtq_chain chain;

	if (!virtio_pop(&c->v, CONSOLE_Q_CTRL_RX, &chain))
		return false;
	if (chain.in_bytes < len) {
		c->n.ctrl_fails++;
		len = 0;
	}
	write_message(&chain, msg, len);
	virtio_push(&c->v, CONSOLE_Q_CTRL_RX, &chain, (uint32_t)len);
	return true;
}

void console_ctrl_send(struct virtio_console *c)
{
	for (unsigned i = 0; i < c->n_ports; i++) {
		struct console_port *p = &c->port[i];

		while (p->owes) {
			unsigned bit = p->owes & -p->owes;

			if (!send_one(c, i, bit))
				goto out; /* the driver notifies of its next buffer */
			p->owes &= ~bit;
		}
	}
out:
	virtio_signal(&c->v, CONSOLE_Q_CTRL_RX);
}

/* --- from the driver -------------------------------------------------------------------------- */

static void on_device_ready(struct virtio_console *c, bool ok)
{
	for (unsigned i = 0; ok && i < c->n_ports; i++)
		c->port[i].owes |= CONSOLE_OWES_ADD;
}

static void on_port_ready(struct console_port *p, bool ok)
{
	p->ready = ok;
	if (!ok) {
		p->owes = 0;
		p->guest_open = false;
	} else if (p->end.name) {
		p->owes |= CONSOLE_OWES_NAME | (p->end.closed ? 0 : CONSOLE_OWES_OPEN);
	} else {
		p->owes |= CONSOLE_OWES_CONSOLE | CONSOLE_OWES_OPEN | CONSOLE_OWES_RESIZE;
	}
}

static bool handle(struct virtio_console *c, const uint8_t *msg)
{
	unsigned port = load_le32(msg), event = load_le16(msg + 4), value = load_le16(msg + 6);

	if (event == DEVICE_READY) {
		on_device_ready(c, value == 1);
		return true;
	}
	if (port >= c->n_ports)
		return false;
	switch (event) {
	case PORT_READY:
		on_port_ready(&c->port[port], value == 1);
		return true;
	case PORT_OPEN:
		c->port[port].guest_open = value;
		if (value)
			console_port_opened(c, port);
		return true;
	default:
		return false;
	}
}

void console_ctrl_take(struct virtio_console *c)
{
	struct virtq_chain chain;
	unsigned n;

	for (n = 0; n < ROUND_CHAINS && virtio_pop(&c->v, CONSOLE_Q_CTRL_TX, &chain); n++) {
		uint8_t msg[HEADER_BYTES];
		size_t len = 0;

		for (unsigned i = 0; i < chain.n_out && len < sizeof(msg); i++) {
			size_t part = chain.iov[i].iov_len;

			if (part > sizeof(msg) - len)
				part = sizeof(msg) - len;
			memcpy(msg + len, chain.iov[i].iov_base, part);
			len += part;
		}
		if (len < sizeof(msg) || !handle(c, msg))
			c->n.ctrl_fails++;
		virtio_push(&c->v, CONSOLE_Q_CTRL_TX, &chain, 0);
	}
	if (n == ROUND_CHAINS)
		virtio_rekick(&c->v, CONSOLE_Q_CTRL_TX);
	virtio_signal(&c->v, CONSOLE_Q_CTRL_TX);
	console_ctrl_send(c);
}
