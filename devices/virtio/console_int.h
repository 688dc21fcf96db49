/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_CONSOLE_INT_H
#define MAYFLY_DEVICES_VIRTIO_CONSOLE_INT_H
/* What console.c (ports and their data) and console_ctrl.c (the control queues) share. */
#include "devices/virtio/console.h"
#include "devices/virtio/virtio.h"
#include "vmm/core/bytes.h"

enum { /* queue numbers, §5.3.2; ports from 1 on have 2 * port + 2 and 2 * port + 3 */
	CONSOLE_Q_RX0,
	CONSOLE_Q_TX0,
	CONSOLE_Q_CTRL_RX,
	CONSOLE_Q_CTRL_TX,
};

enum { /* messages that a port owes the driver, sent in this order */
	CONSOLE_OWES_ADD = 1,
	CONSOLE_OWES_CONSOLE = 2,
	CONSOLE_OWES_NAME = 4,
	CONSOLE_OWES_OPEN = 8,
	CONSOLE_OWES_RESIZE = 16,
};

struct console_port {
	struct virtio_console_port end;
	char name[VIRTIO_CONSOLE_MAX_NAME];
	uint16_t cols, rows;
	unsigned owes;
	bool ready;      /* the driver has it */
	bool guest_open; /* somebody in the guest */
	bool rx_refused; /* owes the end a call of rx_ready */

	/* output: a chain that the end has not taken all of */
	struct virtio_console *dev;
	bool holding;
	bool stalled; /* a console whose end takes nothing: output is dropped at once */
	struct virtq_chain held;
	size_t held_done;
	struct loop_timer patience;
};

struct virtio_console {
	struct virtio v;
	bool multiport;
	unsigned n_ports;
	struct virtio_console_counters n;
	struct console_port port[VIRTIO_CONSOLE_MAX_PORTS];
};

static inline struct virtio_console *to_console(struct virtio *v)
{
	return container_of(v, struct virtio_console, v);
}

/* Whether driver and device use the control queues; if not there is port 0 alone. */
static inline bool console_has_ctrl(const struct virtio_console *c)
{
	return virtio_has(&c->v, VIRTIO_CONSOLE_F_MULTIPORT);
}

void console_ctrl_take(struct virtio_console *c); /* messages from the driver */
void console_ctrl_send(struct virtio_console *c); /* what is owed, as far as there are buffers */
/* The driver can get, or use, bytes of this port now. */
void console_port_opened(struct virtio_console *c, unsigned port);

#endif
