/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A UART: both FIFOs, all interrupt sources with their priorities, loopback, the receiver's
 * time-out.
 *
 * The transmitter is infinitely fast: a byte written leaves at once, so the holding register is
 * always empty and its interrupt is due again as soon as it was served. Divisor and line format
 * are kept but set only the length of the receiver's time-out. The modem on the other end is always
 * there (CTS, DSR, DCD on); it minds RTS only if it is configured to. OUT2 gates the interrupt, as wired on every PC; in loopback mode too,
 * where the real chip would cut it off.
 *
 * Not there: sleep modes, larger FIFOs and enhanced registers of later chips, transmitter pacing.
 *
 * Threads: all entry points with the device's lock held.
 *
 * Refs: National Semiconductor PC16550D data sheet.
 */
#include "devices/legacy/ns16550.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"

#include <errno.h>
#include <stdlib.h>

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

enum {
	IER_RDI = 0x01,
	IER_THRI = 0x02,
	IER_RLSI = 0x04,
	IER_MSI = 0x08,

	IIR_MSI = 0x00,
	IIR_NO_INT = 0x01,
	IIR_THRI = 0x02,
	IIR_RDI = 0x04,
	IIR_RLSI = 0x06,
	IIR_TIMEOUT = 0x0c,
	IIR_FIFO = 0xc0,

	FCR_ENABLE = 0x01,
	FCR_CLEAR_RX = 0x02,
	FCR_CLEAR_TX = 0x04,
	FCR_TRIGGER = 0xc0,

	LCR_WLEN = 0x03,
	LCR_STOP2 = 0x04,
	LCR_PARITY = 0x08,
	LCR_BREAK = 0x40,
	LCR_DLAB = 0x80,

	MCR_RTS = 0x02,
	MCR_OUT2 = 0x08,
	MCR_LOOP = 0x10,
	MCR_MASK = 0x1f,

	LSR_DR = 0x01,
	LSR_OE = 0x02,
	LSR_BI = 0x10,
	LSR_ERRORS = 0x1e,
	LSR_THRE = 0x20,
	LSR_TEMT = 0x40,
	LSR_FIFO_ERROR = 0x80,

	MSR_TERI = 0x04,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80,
	MSR_LINES = 0xf0,
};

static const uint64_t base_baud = 115200, ns_per_s = 1000000000;

struct ns16550 {
	struct device dev;
	struct ns16550_wiring w;
	bool handshake, asked; /* the guest sends a break before it gets input, and minds RTS */
	struct loop_timer rx_timer;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t lsr_errors; /* until LSR is read */
	uint8_t msr_delta;  /* until MSR is read */
	bool thre_pending;  /* until IIR is read or a byte is written */
	bool rx_timeout;    /* until a byte is read */
	bool rx_refused;    /* owes the back end a call of rx_ready */
	uint64_t received_bytes, sent_bytes; /* by the guest */
	uint64_t missed_reads; /* of data that was not there */
	uint8_t n_rx, rx_head;
	uint8_t rx[NS16550_FIFO_LEN], rx_flags[NS16550_FIFO_LEN];
};

static struct ns16550 *to_uart(struct device *d)
{
	return container_of(d, struct ns16550, dev);
}

static unsigned rx_capacity(const struct ns16550 *u)
{
	return u->fcr & FCR_ENABLE ? NS16550_FIFO_LEN : 1;
}

static unsigned rx_trigger(const struct ns16550 *u)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return u->fcr & FCR_ENABLE ? levels[(u->fcr & FCR_TRIGGER) >> 6] : 1;
}

/* The highest pending and enabled source, IIR encoding. */
static uint8_t pending(const struct ns16550 *u)
{
	if ((u->ier & IER_RLSI) && u->lsr_errors)
		return IIR_RLSI;
	if ((u->ier & IER_RDI) && u->n_rx >= rx_trigger(u))
		return IIR_RDI;
	if ((u->ier & IER_RDI) && u->rx_timeout)
		return IIR_TIMEOUT;
	if ((u->ier & IER_THRI) && u->thre_pending)
		return IIR_THRI;
	if ((u->ier & IER_MSI) && u->msr_delta)
		return IIR_MSI;
	return IIR_NO_INT;
}

static void update_irq(struct ns16550 *u)
{
	irq_set(&u->w.irq, (u->mcr & MCR_OUT2) && pending(u) != IIR_NO_INT);
}

/* --- receiver --------------------------------------------------------------------------------- */

static uint64_t char_time_ns(const struct ns16550 *u)
{
	uint64_t divisor = (uint64_t)u->dlm << 8 | u->dll;
	unsigned bits = 1 + 5 + (u->lcr & LCR_WLEN) + !!(u->lcr & LCR_PARITY) + 1 +
			!!(u->lcr & LCR_STOP2);

	return (divisor ? divisor : 1) * bits * ns_per_s / base_baud;
}

/* The time-out runs while bytes below the trigger level wait and nothing moves. */
static void restart_rx_timeout(struct ns16550 *u)
{
	if ((u->fcr & FCR_ENABLE) && (u->ier & IER_RDI) && u->n_rx && u->n_rx < rx_trigger(u) &&
	    !u->rx_timeout)
		loop_timer_arm(u->w.loop, &u->rx_timer, loop_now_ns() + 4 * char_time_ns(u));
	else
		loop_timer_cancel(u->w.loop, &u->rx_timer);
}

static void on_rx_timeout(struct loop_timer *t)
{
	struct ns16550 *u = container_of(t, struct ns16550, rx_timer);

	u->rx_timeout = true;
	update_irq(u);
}

static void clear_rx(struct ns16550 *u)
{
	u->n_rx = 0;
	u->rx_head = 0;
	u->rx_timeout = false;
}

static void push_rx(struct ns16550 *u, uint8_t byte, uint8_t flags)
{
	unsigned at;

	if (u->n_rx == rx_capacity(u)) {
		u->lsr_errors |= LSR_OE;
		if (u->fcr & FCR_ENABLE)
			return; /* the byte in the shift register is the one that is lost */
		clear_rx(u);
	}
	at = (u->rx_head + u->n_rx++) % NS16550_FIFO_LEN;
	u->rx[at] = byte;
	u->rx_flags[at] = flags;
	if (u->n_rx == 1)
		u->lsr_errors |= flags;
}

/* The other end may send: the line is disconnected in loopback. */
static bool may_send(const struct ns16550 *u)
{
	return !(u->mcr & MCR_LOOP) && (!u->handshake || (u->asked && (u->mcr & MCR_RTS)));
}

static void tell_room(struct ns16550 *u)
{
	if (!u->rx_refused || u->n_rx || !may_send(u))
		return;
	u->rx_refused = false;
	if (u->w.rx_ready)
		u->w.rx_ready(u->w.ctx);
}

static uint8_t pop_rx(struct ns16550 *u)
{
	uint8_t byte = u->rx[u->rx_head];

	if (!u->n_rx)
		return 0;
	u->rx_head = (u->rx_head + 1) % NS16550_FIFO_LEN;
	u->n_rx--;
	u->rx_timeout = false;
	if (u->n_rx)
		u->lsr_errors |= u->rx_flags[u->rx_head];
	return byte;
}

size_t ns16550_rx(struct device *d, const uint8_t *p, size_t n)
{
	struct ns16550 *u = to_uart(d);
	size_t taken = 0;

	if (may_send(u))
		while (taken < n && u->n_rx < rx_capacity(u))
			push_rx(u, p[taken++], 0);
	if (taken < n)
		u->rx_refused = true;
	if (taken) {
		u->rx_timeout = false;
		restart_rx_timeout(u);
		update_irq(u);
	}
	return taken;
}

void ns16550_rx_break(struct device *d)
{
	struct ns16550 *u = to_uart(d);

	if (u->mcr & MCR_LOOP)
		return;
	push_rx(u, 0, LSR_BI);
	restart_rx_timeout(u);
	update_irq(u);
}

/* --- modem lines ------------------------------------------------------------------------------ */

static uint8_t modem_lines(const struct ns16550 *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	/* DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD */
	return (uint8_t)((u->mcr & 1 ? MSR_DSR : 0) | (u->mcr & 2 ? MSR_CTS : 0) |
			 (u->mcr & 4 ? MSR_RI : 0) | (u->mcr & 8 ? MSR_DCD : 0));
}

static void write_mcr(struct ns16550 *u, uint8_t val)
{
	uint8_t old = modem_lines(u), now;

	u->mcr = val & MCR_MASK;
	now = modem_lines(u);
	u->msr_delta |= ((old ^ now) & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4;
	if ((old & ~now) & MSR_RI)
		u->msr_delta |= MSR_TERI;
	tell_room(u);
}

/* --- registers -------------------------------------------------------------------------------- */

static void transmit(struct ns16550 *u, uint8_t byte)
{
	u->thre_pending = false;
	update_irq(u); /* the line falls while the byte is on its way */
	if (u->mcr & MCR_LOOP) {
		push_rx(u, byte, 0);
		u->rx_timeout = false;
		restart_rx_timeout(u);
	} else if (u->w.tx) {
		u->sent_bytes++;
		u->w.tx(u->w.ctx, &byte, 1);
	}
	u->thre_pending = true;
}

static void write_ier(struct ns16550 *u, uint8_t val)
{
	uint8_t rising = val & ~u->ier;

	u->ier = val & 0x0f;
	if (rising & IER_THRI)
		u->thre_pending = true; /* enabling it while the register is empty raises it */
	restart_rx_timeout(u);
}

static void write_fcr(struct ns16550 *u, uint8_t val)
{
	bool toggled = (val ^ u->fcr) & FCR_ENABLE;

	if (toggled || ((val & FCR_ENABLE) && (val & FCR_CLEAR_RX)))
		clear_rx(u);
	u->fcr = val & FCR_ENABLE ? val & (FCR_ENABLE | FCR_TRIGGER) : 0;
	restart_rx_timeout(u);
	tell_room(u);
}

static void write_lcr(struct ns16550 *u, uint8_t val)
{
	bool break_starts = val & ~u->lcr & LCR_BREAK;

	u->lcr = val;
	if (break_starts && (u->mcr & MCR_LOOP)) {
		push_rx(u, 0, LSR_BI);
	} else if (break_starts) {
		u->asked = true;
		tell_room(u);
	}
}

static void uart_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct ns16550 *u = to_uart(d);
	uint8_t v = (uint8_t)val;

	(void)size;
	switch (off) {
	case REG_DATA:
		if (u->lcr & LCR_DLAB)
			u->dll = v;
		else
			transmit(u, v);
		break;
	case REG_IER:
		if (u->lcr & LCR_DLAB)
			u->dlm = v;
		else
			write_ier(u, v);
		break;
	case REG_IIR_FCR:
		write_fcr(u, v);
		break;
	case REG_LCR:
		write_lcr(u, v);
		break;
	case REG_MCR:
		write_mcr(u, v);
		break;
	case REG_SCR:
		u->scr = v;
		break;
	default: /* LSR and MSR: factory test modes on the real chip */
		break;
	}
	update_irq(u);
}

static uint8_t read_data(struct ns16550 *u)
{
	uint8_t byte;

	*(u->n_rx ? &u->received_bytes : &u->missed_reads) += 1;
	byte = pop_rx(u);
	restart_rx_timeout(u);
	tell_room(u);
	return byte;
}

static uint8_t read_iir(struct ns16550 *u)
{
	uint8_t source = pending(u);

	if (source == IIR_THRI)
		u->thre_pending = false;
	return source | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct ns16550 *u)
{
	uint8_t v = LSR_THRE | LSR_TEMT | u->lsr_errors | (u->n_rx ? LSR_DR : 0);

	u->lsr_errors = 0;
	for (unsigned i = 0; (u->fcr & FCR_ENABLE) && i < u->n_rx; i++)
		if (u->rx_flags[(u->rx_head + i) % NS16550_FIFO_LEN])
			v |= LSR_FIFO_ERROR;
	return v;
}

static uint64_t uart_read(struct device *d, uint64_t off, unsigned size)
{
	struct ns16550 *u = to_uart(d);
	uint8_t v = 0;

	(void)size;
	switch (off) {
	case REG_DATA:
		v = u->lcr & LCR_DLAB ? u->dll : read_data(u);
		break;
	case REG_IER:
		v = u->lcr & LCR_DLAB ? u->dlm : u->ier;
		break;
	case REG_IIR_FCR:
		v = read_iir(u);
		break;
	case REG_LCR:
		v = u->lcr;
		break;
	case REG_MCR:
		v = u->mcr;
		break;
	case REG_LSR:
		v = read_lsr(u);
		break;
	case REG_MSR:
		v = modem_lines(u) | u->msr_delta;
		u->msr_delta = 0;
		break;
	case REG_SCR:
		v = u->scr;
		break;
	}
	update_irq(u);
	return v;
}

/* --- life cycle ------------------------------------------------------------------------------- */

static const struct region_ops uart_region_ops = {uart_read, uart_write, 1};

static void uart_reset(struct device *d)
{
	struct ns16550 *u = to_uart(d);

	loop_timer_cancel(u->w.loop, &u->rx_timer);
	clear_rx(u);
	u->ier = u->fcr = u->lcr = u->mcr = u->scr = 0;
	u->asked = false;
	u->dll = 1; /* 115200; undefined on the chip */
	u->dlm = 0;
	u->lsr_errors = u->msr_delta = 0;
	u->thre_pending = false;
	tell_room(u);
	update_irq(u);
}

static void uart_stop(struct device *d)
{
	struct ns16550 *u = to_uart(d);

	loop_timer_cancel(u->w.loop, &u->rx_timer);
}

static void uart_destroy(struct device *d)
{
	if (!d)
		return;
	uart_stop(d);
	device_fini(d);
	free(to_uart(d));
}

static const struct device_counter uart_counters[] = {
	{"received_bytes", offsetof(struct ns16550, received_bytes)},
	{"sent_bytes", offsetof(struct ns16550, sent_bytes)},
	{"missed_reads", offsetof(struct ns16550, missed_reads)},
	{0},
};

static const struct device_ops uart_ops = {
	.type = "serial",
	.counters = uart_counters,
	.stop = uart_stop,
	.reset = uart_reset,
	.destroy = uart_destroy,
};

int ns16550_create(const struct ns16550_config *cfg, const struct ns16550_wiring *w,
		   struct device **out, struct err *e)
{
	struct ns16550 *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	u->w = *w;
	u->handshake = cfg->handshake;
	u->rx_timer.owner = &u->dev;
	u->rx_timer.fn = on_rx_timeout;
	device_init(&u->dev, &uart_ops, cfg->id);
	uart_reset(&u->dev);
	r = bus_add(w->bus,
		    &(struct region){"serial", cfg->base, NS16550_LEN, &uart_region_ops, &u->dev},
		    e);
	if (r < 0) {
		uart_destroy(&u->dev);
		return r;
	}
	*out = &u->dev;
	return 0;
}
