/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two 8259A interrupt controllers, the second cascaded through pin 2 of the first, with the
 * edge/level control registers of EISA chip sets.
 *
 * All initialization and operation words work: rotation, special mask, special fully nested mode,
 * automatic end of interrupt, poll. Two deliberate differences: an edge stays latched when the line
 * falls before it was acknowledged (devices here pulse their lines), and where the chip would answer
 * an acknowledge cycle with a spurious IRQ 7 of the first controller, i8259_intack() says that there
 * is nothing. MCS-80 mode and ICW3 are ignored: the wiring of a PC is fixed. ICW1's LTIM gives way
 * to ELCR.
 *
 * Threads: registers come with the device's lock held and take the inner lock; see the header.
 *
 * Refs: Intel 8259A data sheet (231468); Intel 82371AB (PIIX4) data sheet, ELCR1 and ELCR2.
 */
#include "devices/legacy/i8259.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum {
	CASCADE_PIN = 2,

	ICW1_ICW4 = 0x01,
	ICW1_SINGLE = 0x02,
	ICW1_INIT = 0x10,
	ICW4_AEOI = 0x02,
	ICW4_SFNM = 0x10,
	OCW3 = 0x08,
	OCW3_RIS = 0x01,
	OCW3_RR = 0x02,
	OCW3_POLL = 0x04,
	OCW3_SMM = 0x20,
	OCW3_ESMM = 0x40,
};

enum init_step { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

struct pic {
	uint8_t irr, isr, imr, lines;
	uint8_t elcr, elcr_mask;
	uint8_t vector_base;
	uint8_t first; /* the pin of highest priority */
	enum init_step step;
	bool icw4, single;
	bool auto_eoi, rotate_auto_eoi, special_mask, nested;
	bool read_isr, poll;
};

struct i8259 {
	struct device dev;
	struct i8259_wiring w;
	pthread_mutex_t inner;
	struct pic pic[2];
	bool intr; /* level last told */
};

static struct i8259 *to_i8259(struct device *d)
{
	return container_of(d, struct i8259, dev);
}

/* Rank of the highest priority pin in mask, 0 the highest, 8 if mask is empty. */
static unsigned rank(const struct pic *p, uint8_t mask)
{
	unsigned i = 0;

	while (i < 8 && !(mask & 1u << ((i + p->first) & 7)))
		i++;
	return i;
}

/* The pin to serve now, or -1. */
static int pending_pin(const struct pic *p, bool master)
{
	uint8_t in_service = p->isr;
	unsigned want = rank(p, p->irr & (uint8_t)~p->imr);

	if (p->special_mask)
		in_service &= (uint8_t)~p->imr;
	if (p->nested && master)
		in_service &= (uint8_t) ~(1u << CASCADE_PIN);
	return want < rank(p, in_service) ? (int)((want + p->first) & 7) : -1;
}

static void set_pin(struct pic *p, unsigned pin, bool level, bool level_triggered)
{
	uint8_t bit = (uint8_t)(1u << pin);

	if (level_triggered)
		p->irr = level ? p->irr | bit : p->irr & (uint8_t)~bit;
	else if (level && !(p->lines & bit))
		p->irr |= bit;
	p->lines = level ? p->lines | bit : p->lines & (uint8_t)~bit;
}

static void update_locked(struct i8259 *c)
{
	bool intr;

	/* the second controller's output is a level, however often it has something new */
	set_pin(&c->pic[0], CASCADE_PIN, pending_pin(&c->pic[1], false) >= 0, true);
	intr = pending_pin(&c->pic[0], true) >= 0;
	if (intr == c->intr)
		return;
	c->intr = intr;
	if (c->w.intr)
		c->w.intr(c->w.ctx, intr);
}

void i8259_set(void *dev, unsigned pin, bool level)
{
	struct i8259 *c = to_i8259(dev);
	struct pic *p = &c->pic[pin / 8 & 1];

	if (pin >= 16 || pin == CASCADE_PIN)
		return;
	pthread_mutex_lock(&c->inner);
	set_pin(p, pin % 8, level, p->elcr & 1u << pin % 8);
	update_locked(c);
	pthread_mutex_unlock(&c->inner);
}

static void end_of_interrupt(struct pic *p, unsigned pin, bool rotate)
{
	p->isr &= (uint8_t) ~(1u << pin);
	if (rotate)
		p->first = (pin + 1) & 7;
}

static void acknowledge(struct pic *p, unsigned pin)
{
	uint8_t bit = (uint8_t)(1u << pin);

	p->isr |= bit;
	if (!(p->elcr & bit))
		p->irr &= (uint8_t)~bit;
	if (p->auto_eoi)
		end_of_interrupt(p, pin, p->rotate_auto_eoi);
}

int i8259_intack(struct device *d)
{
	struct i8259 *c = to_i8259(d);
	int pin, vector = -1;

	pthread_mutex_lock(&c->inner);
	pin = pending_pin(&c->pic[0], true);
	if (pin >= 0) {
		acknowledge(&c->pic[0], (unsigned)pin);
		vector = c->pic[0].vector_base + pin;
	}
	if (pin == CASCADE_PIN) {
		pin = pending_pin(&c->pic[1], false);
		if (pin >= 0)
			acknowledge(&c->pic[1], (unsigned)pin);
		else
			pin = 7; /* spurious */
		vector = c->pic[1].vector_base + pin;
	}
	update_locked(c);
	pthread_mutex_unlock(&c->inner);
	return vector;
}

/* --- registers -------------------------------------------------------------------------------- */

static void write_icw1(struct pic *p, uint8_t val)
{
	p->irr &= p->elcr; /* edges are forgotten, levels are not */
	p->isr = p->imr = 0;
	p->first = 0;
	p->auto_eoi = p->rotate_auto_eoi = p->special_mask = p->nested = false;
	p->read_isr = p->poll = false;
	p->icw4 = val & ICW1_ICW4;
	p->single = val & ICW1_SINGLE;
	p->step = INIT_ICW2;
}

static void write_ocw2(struct pic *p, uint8_t val)
{
	unsigned pin = val & 7, served = rank(p, p->isr);

	served = served < 8 ? (served + p->first) & 7 : 8;
	switch (val >> 5) {
	case 0:
	case 4:
		p->rotate_auto_eoi = val >> 5;
		break;
	case 1:
	case 5:
		if (served < 8)
			end_of_interrupt(p, served, val >> 5 == 5);
		break;
	case 3:
	case 7:
		end_of_interrupt(p, pin, val >> 5 == 7);
		break;
	case 6:
		p->first = (pin + 1) & 7;
		break;
	}
}

static void write_ocw3(struct pic *p, uint8_t val)
{
	if (val & OCW3_POLL)
		p->poll = true;
	if (val & OCW3_RR)
		p->read_isr = val & OCW3_RIS;
	if (val & OCW3_ESMM)
		p->special_mask = val & OCW3_SMM;
}

static void write_data(struct pic *p, uint8_t val)
{
	switch (p->step) {
	case INIT_DONE:
		p->imr = val;
		break;
	case INIT_ICW2:
		p->vector_base = val & 0xf8;
		p->step = !p->single ? INIT_ICW3 : p->icw4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW3:
		p->step = p->icw4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		p->auto_eoi = val & ICW4_AEOI;
		p->nested = val & ICW4_SFNM;
		p->step = INIT_DONE;
		break;
	}
}

static void pic_write(struct i8259 *c, struct pic *p, uint64_t off, uint8_t val)
{
	pthread_mutex_lock(&c->inner);
	if (off)
		write_data(p, val);
	else if (val & ICW1_INIT)
		write_icw1(p, val);
	else if (val & OCW3)
		write_ocw3(p, val);
	else
		write_ocw2(p, val);
	update_locked(c);
	pthread_mutex_unlock(&c->inner);
}

static uint8_t poll_read(struct pic *p, bool master)
{
	int pin = pending_pin(p, master);

	p->poll = false;
	if (pin < 0)
		return 0;
	acknowledge(p, (unsigned)pin);
	return (uint8_t)(0x80 | pin);
}

static uint64_t pic_read(struct i8259 *c, struct pic *p, uint64_t off)
{
	uint8_t v;

	pthread_mutex_lock(&c->inner);
	if (p->poll)
		v = poll_read(p, p == &c->pic[0]);
	else if (off)
		v = p->imr;
	else
		v = p->read_isr ? p->isr : p->irr;
	update_locked(c);
	pthread_mutex_unlock(&c->inner);
	return v;
}

static uint64_t master_read(struct device *d, uint64_t off, unsigned size)
{
	(void)size;
	return pic_read(to_i8259(d), &to_i8259(d)->pic[0], off);
}

static uint64_t slave_read(struct device *d, uint64_t off, unsigned size)
{
	(void)size;
	return pic_read(to_i8259(d), &to_i8259(d)->pic[1], off);
}

static void master_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	(void)size;
	pic_write(to_i8259(d), &to_i8259(d)->pic[0], off, (uint8_t)val);
}

static void slave_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	(void)size;
	pic_write(to_i8259(d), &to_i8259(d)->pic[1], off, (uint8_t)val);
}

static uint64_t elcr_read(struct device *d, uint64_t off, unsigned size)
{
	struct i8259 *c = to_i8259(d);
	uint8_t v;

	(void)size;
	pthread_mutex_lock(&c->inner);
	v = c->pic[off & 1].elcr;
	pthread_mutex_unlock(&c->inner);
	return v;
}

static void elcr_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct i8259 *c = to_i8259(d);
	struct pic *p = &c->pic[off & 1];

	(void)size;
	pthread_mutex_lock(&c->inner);
	p->elcr = (uint8_t)val & p->elcr_mask;
	p->irr = (p->irr & (uint8_t)~p->elcr) | (p->lines & p->elcr);
	update_locked(c);
	pthread_mutex_unlock(&c->inner);
}

static const struct region_ops master_ops = {master_read, master_write, 1};
static const struct region_ops slave_ops = {slave_read, slave_write, 1};
static const struct region_ops elcr_ops = {elcr_read, elcr_write, 1};

/* --- life cycle ------------------------------------------------------------------------------- */

static void i8259_reset(struct device *d)
{
	struct i8259 *c = to_i8259(d);

	pthread_mutex_lock(&c->inner);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t lines = c->pic[i].lines; /* wires keep their levels */

		c->pic[i] = (struct pic){.lines = lines, .elcr_mask = i ? 0xde : 0xf8};
	}
	update_locked(c);
	pthread_mutex_unlock(&c->inner);
}

static void i8259_destroy(struct device *d)
{
	if (!d)
		return;
	pthread_mutex_destroy(&to_i8259(d)->inner);
	device_fini(d);
	free(to_i8259(d));
}

static const struct device_ops i8259_ops = {
	.type = "i8259",
	.reset = i8259_reset,
	.destroy = i8259_destroy,
};

int i8259_create(const struct i8259_config *cfg, const struct i8259_wiring *w,
		 struct device **out, struct err *e)
{
	struct i8259 *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	c->w = *w;
	pthread_mutex_init(&c->inner, NULL);
	device_init(&c->dev, &i8259_ops, cfg->id);
	i8259_reset(&c->dev);
	r = bus_add(w->bus, &(struct region){"pic1", 0x20, 2, &master_ops, &c->dev}, e);
	if (r == 0)
		r = bus_add(w->bus, &(struct region){"pic2", 0xa0, 2, &slave_ops, &c->dev}, e);
	if (r == 0)
		r = bus_add(w->bus, &(struct region){"elcr", 0x4d0, 2, &elcr_ops, &c->dev}, e);
	if (r < 0) {
		i8259_destroy(&c->dev);
		return r;
	}
	*out = &c->dev;
	return 0;
}
