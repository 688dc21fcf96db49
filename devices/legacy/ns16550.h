/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_NS16550_H
#define MAYFLY_DEVICES_LEGACY_NS16550_H
/* The serial port: a 16550A UART. See ns16550.c. */
#include "vmm/core/irq.h"

#include <stddef.h>
#include <stdint.h>

struct bus;
struct device;
struct err;
struct loop;

enum { NS16550_LEN = 8, NS16550_FIFO_LEN = 16 };

struct ns16550_config {
	const char *id;
	uint64_t base; /* 0x3f8 for COM1 */
	/* The other end must not lose a byte: it sends after the guest's first break, while RTS is on. */
	bool handshake;
};

struct ns16550_wiring {
	struct bus *bus;
	struct loop *loop;
	struct irq_line irq; /* edge or level */
	/* Bytes leave the line. With the device's lock held, on the thread of the guest's access:
	 * must not wait for a slow reader. */
	void (*tx)(void *ctx, const uint8_t *p, size_t n);
	/* The receiver refused bytes before and is empty now. Device's lock held; may call
	 * ns16550_rx(). May be NULL. */
	void (*rx_ready)(void *ctx);
	void *ctx;
};

int ns16550_create(const struct ns16550_config *cfg, const struct ns16550_wiring *w,
		   struct device **out, struct err *e);
/* Bytes arrive at the line: returns how many the receiver had room for. The caller holds the
 * device's lock, for example as a loop source whose owner is this device. */
size_t ns16550_rx(struct device *d, const uint8_t *p, size_t n);
/* The line is held in the break condition, as the magic SysRq key wants it. Lock held. */
void ns16550_rx_break(struct device *d);

#endif
