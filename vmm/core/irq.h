/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_IRQ_H
#define MAYFLY_VMM_CORE_IRQ_H
/*
 * Interrupt wiring: a device holds an irq_line by value and drives it; what is at the other end
 * (KVM's irqchip, our i8259 and IOAPIC, a test's recorder) is the board's business. Any thread;
 * `set` may be called with the device's lock held, so a controller never calls back into devices.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct irq_line { /* a wire: held by value in the device */
	void (*set)(void *ctl, unsigned pin, bool level);
	void *ctl;
	unsigned pin;
};

static inline void irq_set(const struct irq_line *l, bool level)
{
	if (l->set)
		l->set(l->ctl, l->pin, level);
}

/* A rising edge; for edge-triggered inputs. */
static inline void irq_pulse(const struct irq_line *l)
{
	irq_set(l, true);
	irq_set(l, false);
}

struct msi_port { /* where a message-signalled interrupt is written */
	void (*send)(void *ctl, uint64_t addr, uint32_t data);
	void *ctl;
};

#endif
