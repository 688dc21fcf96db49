/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8254 programmable interval timer, three channels, all six modes, binary and BCD, and the PC's
 * port 0x61 with channel 2's gate and output.
 *
 * Nothing counts: a counter is computed from CLOCK_MONOTONIC when it is looked at, so guests that
 * measure other clocks against it get the true rate. Only channel 0 has an output that anybody
 * waits for; a loop timer stands for its next rising edge. When the host is late by more than one
 * period the edges in between are dropped, and edges never come closer than I8254_MIN_PERIOD_US
 * whatever the guest asks for.
 *
 * A new count takes effect at once in modes 0 and 4, at the end of the period in modes 2 and 3, at
 * the next trigger in modes 1 and 5; the one clock that the chip takes to load it is left out. The gates of channels 0
 * and 1 are wired high. The speaker is silent.
 *
 * Refs: Intel 8254 data sheet (231164); Intel 82371AB (PIIX4) data sheet, "NMI Status and Control".
 */
#include "devices/legacy/i8254.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"

#include <errno.h>
#include <stdlib.h>

enum { N_CHANNELS = 3, REG_CONTROL = 3, SPEAKER_CHANNEL = 2 };

enum {
	CTRL_READBACK = 3, /* in the channel field */
	READBACK_NO_COUNT = 0x20,
	READBACK_NO_STATUS = 0x10,
	STATUS_OUT = 0x80,
	STATUS_NULL_COUNT = 0x40,

	P61_GATE2 = 0x01,
	P61_SPEAKER = 0x02,
	P61_REFRESH = 0x10,
	P61_OUT2 = 0x20,
	REFRESH_TICKS = 18, /* 15 us */
};

enum access { ACCESS_LATCH, ACCESS_LSB, ACCESS_MSB, ACCESS_BOTH };

static const uint64_t ns_per_s = 1000000000, no_tick = UINT64_MAX;

struct channel {
	uint8_t mode, bcd;
	enum access access;
	bool gate;
	bool loaded;    /* a count was written since the control word */
	bool triggered; /* modes 1 and 5: the gate has risen since */
	uint32_t count; /* 1..65536 */
	uint64_t start; /* tick of the load, or when counting went on */
	uint64_t held;  /* ticks counted before start */
	uint32_t next_count; /* takes over at next_at; 0: none */
	uint64_t next_at;
	uint8_t write_lsb;
	bool write_msb, read_msb; /* the next byte is the upper one */
	uint8_t n_latched;        /* bytes of latch not read yet */
	uint16_t latch;
	bool status_latched;
	uint8_t status;
};

struct i8254 {
	struct device dev;
	struct i8254_wiring w;
	struct loop_timer timer;
	uint64_t base_ns, last_edge_ns;
	struct channel ch[N_CHANNELS];
	uint8_t p61;
};

static struct i8254 *to_pit(struct device *d)
{
	return container_of(d, struct i8254, dev);
}

/* --- time ------------------------------------------------------------------------------------- */

static uint64_t now_tick(const struct i8254 *p)
{
	uint64_t ns = loop_now_ns() - p->base_ns;

	/* in two steps: ns * I8254_HZ overflows after four hours */
	return ns / ns_per_s * I8254_HZ + ns % ns_per_s * I8254_HZ / ns_per_s;
}

/* The first nanosecond at which now_tick() is `tick`. */
static uint64_t tick_ns(const struct i8254 *p, uint64_t tick)
{
	return p->base_ns + tick / I8254_HZ * ns_per_s +
	       (tick % I8254_HZ * ns_per_s + I8254_HZ - 1) / I8254_HZ;
}

static bool is_periodic(const struct channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

static bool waits_for_gate(const struct channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

/* Lets a count that waited for the end of a period take over. Modes 1 and 5 wait for the gate. */
static void catch_up(struct channel *c, uint64_t now)
{
	if (!c->next_count || now < c->next_at)
		return;
	c->count = c->next_count;
	c->start = c->next_at;
	c->held = 0;
	c->next_count = 0;
}

static uint64_t elapsed(const struct channel *c, uint64_t now)
{
	if (!c->loaded || (waits_for_gate(c) && !c->triggered))
		return 0;
	if (!c->gate && !waits_for_gate(c))
		return c->held;
	return c->held + (now - c->start);
}

static bool output(const struct channel *c, uint64_t now)
{
	uint64_t t = elapsed(c, now);

	switch (c->mode) {
	case 0:
		return c->loaded && t >= c->count;
	case 1:
		return !c->triggered || t >= c->count;
	case 2:
		return !c->loaded || !c->gate || t % c->count != c->count - 1;
	case 3:
		return !c->loaded || !c->gate || t % c->count < (c->count + 1) / 2;
	default: /* 4 and 5: low for the one tick at the end */
		return !c->loaded || (c->mode == 5 && !c->triggered) || t != c->count;
	}
}

static uint16_t to_bcd(uint32_t v)
{
	return (uint16_t)(v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

static uint32_t from_bcd(uint32_t v)
{
	return (v >> 12) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
}

/* The counting element as the guest reads it. */
static uint16_t counter(const struct channel *c, uint64_t now)
{
	uint64_t t = elapsed(c, now), v, wrap = c->bcd ? 10000 : 65536;

	if (c->mode == 2) {
		v = c->count - t % c->count;
	} else if (c->mode == 3) { /* counts by two, twice a period */
		uint64_t high = (c->count + 1) / 2, at = t % c->count;

		v = (c->count & ~1u) - 2 * (at < high ? at : at - high);
	} else {
		v = c->count + wrap - t % wrap;
	}
	v %= wrap;
	return c->bcd ? to_bcd((uint32_t)v) : (uint16_t)v;
}

/* --- channel 0's interrupt -------------------------------------------------------------------- */

/* The tick after `now` at which the output rises. */
static uint64_t next_edge(const struct channel *c, uint64_t now)
{
	uint64_t end;

	if (!c->loaded || waits_for_gate(c)) /* the gate never rises */
		return no_tick;
	end = c->start + c->count - c->held;
	if (!is_periodic(c))
		return end > now ? end : no_tick;
	if (c->next_count)
		return c->next_at;
	return c->start + ((now - c->start) / c->count + 1) * c->count;
}

static void schedule(struct i8254 *p, uint64_t now)
{
	uint64_t edge = next_edge(&p->ch[0], now), at_ns, floor_ns;

	if (edge == no_tick) {
		loop_timer_cancel(p->w.loop, &p->timer);
		return;
	}
	at_ns = tick_ns(p, edge);
	floor_ns = p->last_edge_ns + I8254_MIN_PERIOD_US * 1000;
	loop_timer_arm(p->w.loop, &p->timer, at_ns > floor_ns ? at_ns : floor_ns);
}

static void on_edge(struct loop_timer *t)
{
	struct i8254 *p = container_of(t, struct i8254, timer);
	uint64_t now = now_tick(p);

	catch_up(&p->ch[0], now);
	p->last_edge_ns = loop_now_ns();
	irq_set(&p->w.irq, false);
	irq_set(&p->w.irq, true);
	schedule(p, now);
}

/* --- registers -------------------------------------------------------------------------------- */

static void load_count(struct channel *c, uint64_t now, uint16_t raw)
{
	uint32_t count = c->bcd ? from_bcd(raw) : raw;

	if (!count)
		count = c->bcd ? 10000 : 65536;
	if (is_periodic(c) && c->loaded && c->gate) {
		if (!c->next_count)
			c->next_at = c->start + ((now - c->start) / c->count + 1) * c->count;
		c->next_count = count;
		return;
	}
	if (waits_for_gate(c) && c->triggered) { /* the running pulse is not disturbed */
		c->next_count = count;
		c->next_at = no_tick;
		return;
	}
	c->count = count;
	c->loaded = true;
	c->start = now;
	c->held = 0;
}

static void write_counter(struct i8254 *p, struct channel *c, uint64_t now, uint8_t val)
{
	switch (c->access) {
	case ACCESS_LSB:
		load_count(c, now, val);
		break;
	case ACCESS_MSB:
		load_count(c, now, (uint16_t)(val << 8));
		break;
	default:
		c->write_msb = !c->write_msb;
		if (c->write_msb) {
			c->write_lsb = val;
			if (c->mode == 0)
				c->loaded = false; /* the first byte stops the count */
		} else {
			load_count(c, now, (uint16_t)(val << 8 | c->write_lsb));
		}
	}
	if (c != &p->ch[0])
		return;
	if (c->mode == 0)
		irq_set(&p->w.irq, false);
	schedule(p, now);
}

static void latch_count(struct channel *c, uint64_t now)
{
	catch_up(c, now);
	if (c->n_latched)
		return;
	c->latch = counter(c, now);
	c->n_latched = c->access == ACCESS_BOTH ? 2 : 1;
}

static void latch_status(struct channel *c, uint64_t now)
{
	catch_up(c, now);
	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status = (uint8_t)((output(c, now) ? STATUS_OUT : 0) |
			      (!c->loaded || c->next_count ? STATUS_NULL_COUNT : 0) |
			      c->access << 4 | c->mode << 1 | c->bcd);
}

static void write_control(struct i8254 *p, uint64_t now, uint8_t val)
{
	unsigned sel = val >> 6;
	struct channel *c;

	if (sel == CTRL_READBACK) {
		for (unsigned i = 0; i < N_CHANNELS; i++) {
			if (!(val & 2u << i))
				continue;
			if (!(val & READBACK_NO_COUNT))
				latch_count(&p->ch[i], now);
			if (!(val & READBACK_NO_STATUS))
				latch_status(&p->ch[i], now);
		}
		return;
	}
	c = &p->ch[sel];
	if ((val >> 4 & 3) == ACCESS_LATCH) {
		latch_count(c, now);
		return;
	}
	c->access = (enum access)(val >> 4 & 3);
	c->mode = val >> 1 & 7;
	if (c->mode > 5)
		c->mode -= 4; /* 6 and 7 are 2 and 3 */
	c->bcd = val & 1;
	c->loaded = c->triggered = false;
	c->next_count = 0;
	c->write_msb = c->read_msb = false;
	c->n_latched = 0;
	c->status_latched = false;
	if (c != &p->ch[0])
		return;
	if (c->mode == 0)
		irq_set(&p->w.irq, false);
	schedule(p, now);
}

static void pit_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct i8254 *p = to_pit(d);
	uint64_t now = now_tick(p);

	(void)size;
	if (off == REG_CONTROL) {
		write_control(p, now, (uint8_t)val);
		return;
	}
	catch_up(&p->ch[off], now);
	write_counter(p, &p->ch[off], now, (uint8_t)val);
}

static uint8_t read_latch(struct channel *c)
{
	uint8_t v = (uint8_t)c->latch;

	if (c->access == ACCESS_MSB)
		v = (uint8_t)(c->latch >> 8);
	c->n_latched--;
	c->latch >>= 8;
	return v;
}

static uint64_t pit_read(struct device *d, uint64_t off, unsigned size)
{
	struct i8254 *p = to_pit(d);
	uint64_t now = now_tick(p);
	struct channel *c;
	uint16_t v;

	(void)size;
	if (off == REG_CONTROL)
		return 0xff;
	c = &p->ch[off];
	catch_up(c, now);
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->n_latched)
		return read_latch(c);
	v = counter(c, now);
	if (c->access == ACCESS_BOTH)
		c->read_msb = !c->read_msb;
	return c->access == ACCESS_MSB || (c->access == ACCESS_BOTH && !c->read_msb) ? v >> 8 : v;
}

/* --- port 0x61 -------------------------------------------------------------------------------- */

static void set_gate(struct channel *c, uint64_t now, bool gate)
{
	catch_up(c, now);
	if (gate == c->gate)
		return;
	c->held = elapsed(c, now);
	c->gate = gate;
	if (c->next_count && gate != is_periodic(c)) {
		c->count = c->next_count; /* no period or pulse is left that it has to wait for */
		c->next_count = 0;
	}
	if (!gate && !waits_for_gate(c))
		return;
	if (gate && c->mode != 0 && c->mode != 4) { /* a rising gate starts over */
		c->held = 0;
		c->triggered = c->loaded;
	}
	c->start = now;
}

static void p61_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct i8254 *p = to_pit(d);

	(void)off;
	(void)size;
	p->p61 = (uint8_t)(val & (P61_GATE2 | P61_SPEAKER));
	set_gate(&p->ch[SPEAKER_CHANNEL], now_tick(p), val & P61_GATE2);
}

static uint64_t p61_read(struct device *d, uint64_t off, unsigned size)
{
	struct i8254 *p = to_pit(d);
	uint64_t now = now_tick(p);
	struct channel *c = &p->ch[SPEAKER_CHANNEL];

	(void)off;
	(void)size;
	catch_up(c, now);
	return (uint8_t)(p->p61 | (output(c, now) ? P61_OUT2 : 0) |
			 (now / REFRESH_TICKS & 1 ? P61_REFRESH : 0));
}

static const struct region_ops pit_region_ops = {pit_read, pit_write, 1};
static const struct region_ops p61_region_ops = {p61_read, p61_write, 1};

/* --- life cycle ------------------------------------------------------------------------------- */

static void pit_reset(struct device *d)
{
	struct i8254 *p = to_pit(d);

	loop_timer_cancel(p->w.loop, &p->timer);
	for (unsigned i = 0; i < N_CHANNELS; i++)
		p->ch[i] = (struct channel){.count = 65536,
					    .access = ACCESS_BOTH,
					    .gate = i != SPEAKER_CHANNEL};
	p->p61 = 0;
	p->base_ns = loop_now_ns();
	p->last_edge_ns = 0;
	irq_set(&p->w.irq, false);
}

static void pit_stop(struct device *d)
{
	struct i8254 *p = to_pit(d);

	loop_timer_cancel(p->w.loop, &p->timer);
}

static void pit_destroy(struct device *d)
{
	if (!d)
		return;
	pit_stop(d);
	device_fini(d);
	free(to_pit(d));
}

static const struct device_ops pit_ops = {
	.type = "i8254",
	.stop = pit_stop,
	.reset = pit_reset,
	.destroy = pit_destroy,
};

int i8254_create(const struct i8254_config *cfg, const struct i8254_wiring *w,
		 struct device **out, struct err *e)
{
	struct i8254 *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	p->w = *w;
	p->timer.owner = &p->dev;
	p->timer.fn = on_edge;
	device_init(&p->dev, &pit_ops, cfg->id);
	pit_reset(&p->dev);
	r = bus_add(w->bus, &(struct region){"pit", 0x40, 4, &pit_region_ops, &p->dev}, e);
	if (r == 0)
		r = bus_add(w->bus, &(struct region){"port61", 0x61, 1, &p61_region_ops, &p->dev},
			    e);
	if (r < 0) {
		pit_destroy(&p->dev);
		return r;
	}
	*out = &p->dev;
	return 0;
}
