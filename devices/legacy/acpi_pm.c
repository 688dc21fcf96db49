/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware: PM1a event and control blocks and the 32-bit power management timer.
 *
 * Events: the power button, and the timer's carry. Sleep states other than S5 are not there; a
 * request for one is ignored and the guest finds itself still awake, with WAK_STS clear. SCI_EN
 * always reads as one: there is no SMI command port, so the machine is in ACPI mode from the start.
 * No general-purpose events.
 *
 * The timer is computed from CLOCK_MONOTONIC. Its carry is looked for when somebody reads the status
 * register, and by a loop timer while the carry's interrupt is enabled and not yet raised.
 *
 * Refs: ACPI 6.5 §4.8.3 (fixed hardware registers), §4.8.2.1 (power management timer).
 */
#include "devices/legacy/acpi_pm.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"

#include <errno.h>
#include <stdlib.h>

enum {
	PM1_TMR = 1 << 0,
	PM1_GBL = 1 << 5,
	PM1_PWRBTN = 1 << 8,
	PM1_SLPBTN = 1 << 9,
	PM1_RTC = 1 << 10,
	PM1_ENABLE_MASK = PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC,

	CNT_SCI_EN = 1 << 0,
	CNT_BM_RLD = 1 << 1,
	CNT_SLP_TYP_SHIFT = 10,
	CNT_SLP_TYP = 7 << CNT_SLP_TYP_SHIFT,
	CNT_SLP_EN = 1 << 13,
	CNT_KEPT = CNT_BM_RLD | CNT_SLP_TYP,
};

static const uint64_t ns_per_s = 1000000000;
static const uint64_t carry_ticks = 1ull << 31; /* the top bit changes this often */

struct acpi_pm {
	struct device dev;
	struct acpi_pm_config cfg;
	struct acpi_pm_wiring w;
	struct loop_timer timer;
	uint64_t base_ns;
	uint64_t checked_tick; /* TMR_STS is right up to here */
	uint16_t status, enable, control;
};

static struct acpi_pm *to_pm(struct device *d)
{
	return container_of(d, struct acpi_pm, dev);
}

static uint64_t now_tick(const struct acpi_pm *p)
{
	uint64_t ns = loop_now_ns() - p->base_ns;

	return ns / ns_per_s * ACPI_PM_TIMER_HZ + ns % ns_per_s * ACPI_PM_TIMER_HZ / ns_per_s;
}

static uint64_t tick_ns(const struct acpi_pm *p, uint64_t tick)
{
	return p->base_ns + tick / ACPI_PM_TIMER_HZ * ns_per_s +
	       (tick % ACPI_PM_TIMER_HZ * ns_per_s + ACPI_PM_TIMER_HZ - 1) / ACPI_PM_TIMER_HZ;
}

static void catch_up(struct acpi_pm *p)
{
	uint64_t now = now_tick(p);

	if (now / carry_ticks != p->checked_tick / carry_ticks)
		p->status |= PM1_TMR;
	p->checked_tick = now;
}

static void update_sci(struct acpi_pm *p)
{
	irq_set(&p->w.sci, p->status & p->enable);
	if ((p->enable & PM1_TMR) && !(p->status & PM1_TMR))
		loop_timer_arm(p->w.loop, &p->timer,
			       tick_ns(p, (p->checked_tick / carry_ticks + 1) * carry_ticks));
	else
		loop_timer_cancel(p->w.loop, &p->timer);
}

static void on_carry(struct loop_timer *t)
{
	struct acpi_pm *p = container_of(t, struct acpi_pm, timer);

	catch_up(p);
	update_sci(p);
}

bool acpi_pm_power_button(struct device *d)
{
	struct acpi_pm *p = to_pm(d);

	p->status |= PM1_PWRBTN;
	update_sci(p);
	return p->enable & PM1_PWRBTN;
}

/* --- registers: each block takes accesses of any size within it, byte by byte ----------------- */

static uint64_t bytes_of(uint64_t block, uint64_t off)
{
	return block >> 8 * off;
}

/* The block with `size` bytes at off replaced. */
static uint32_t merge(uint32_t block, uint64_t off, unsigned size, uint64_t val)
{
	uint32_t mask = (size == 4 ? ~0u : (1u << 8 * size) - 1) << 8 * off;

	return (block & ~mask) | ((uint32_t)val << 8 * off & mask);
}

static uint64_t evt_read(struct device *d, uint64_t off, unsigned size)
{
	struct acpi_pm *p = to_pm(d);

	(void)size;
	catch_up(p);
	update_sci(p);
	return bytes_of(p->status | (uint32_t)p->enable << 16, off);
}

static void evt_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct acpi_pm *p = to_pm(d);
	uint32_t cleared = merge(0, off, size, val);

	catch_up(p);
	p->status &= (uint16_t)~cleared; /* write one to clear */
	p->enable = (merge((uint32_t)p->enable << 16, off, size, val) >> 16) & PM1_ENABLE_MASK;
	update_sci(p);
}

static uint64_t cnt_read(struct device *d, uint64_t off, unsigned size)
{
	(void)size;
	return bytes_of(to_pm(d)->control | CNT_SCI_EN, off);
}

static void cnt_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct acpi_pm *p = to_pm(d);
	uint16_t v = (uint16_t)merge(p->control, off, size, val);

	p->control = v & CNT_KEPT;
	if ((v & CNT_SLP_EN) && (v & CNT_SLP_TYP) >> CNT_SLP_TYP_SHIFT == p->cfg.s5_slp_typ &&
	    p->w.poweroff)
		p->w.poweroff(p->w.ctx);
}

static uint64_t tmr_read(struct device *d, uint64_t off, unsigned size)
{
	(void)size;
	return bytes_of((uint32_t)now_tick(to_pm(d)), off);
}

static void tmr_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	(void)d; /* read-only */
	(void)off;
	(void)size;
	(void)val;
}

static const struct region_ops evt_ops = {evt_read, evt_write, 1 | 2 | 4};
static const struct region_ops cnt_ops = {cnt_read, cnt_write, 1 | 2};
static const struct region_ops tmr_ops = {tmr_read, tmr_write, 1 | 2 | 4};

/* --- life cycle ------------------------------------------------------------------------------- */

static void pm_reset(struct device *d)
{
	struct acpi_pm *p = to_pm(d);

	p->status = p->enable = p->control = 0;
	p->base_ns = loop_now_ns();
	p->checked_tick = 0;
	update_sci(p);
}

static void pm_stop(struct device *d)
{
	loop_timer_cancel(to_pm(d)->w.loop, &to_pm(d)->timer);
}

static void pm_destroy(struct device *d)
{
	if (!d)
		return;
	pm_stop(d);
	device_fini(d);
	free(to_pm(d));
}

static const struct device_ops pm_ops = {
	.type = "acpi-pm",
	.stop = pm_stop,
	.reset = pm_reset,
	.destroy = pm_destroy,
};

int acpi_pm_create(const struct acpi_pm_config *cfg, const struct acpi_pm_wiring *w,
		   struct device **out, struct err *e)
{
	struct acpi_pm *p = calloc(1, sizeof(*p));
	struct bus *b = w->bus;
	int r;

	if (!p)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	p->cfg = *cfg;
	p->w = *w;
	p->timer.owner = &p->dev;
	p->timer.fn = on_carry;
	device_init(&p->dev, &pm_ops, cfg->id);
	pm_reset(&p->dev);
	r = bus_add(b, &(struct region){"pm1 event", cfg->base + ACPI_PM_EVT, 4, &evt_ops, &p->dev},
		    e);
	if (r == 0)
		r = bus_add(b,
			    &(struct region){"pm1 control", cfg->base + ACPI_PM_CNT, 2, &cnt_ops,
					     &p->dev},
			    e);
	if (r == 0)
		r = bus_add(b,
			    &(struct region){"pm timer", cfg->base + ACPI_PM_TMR, 4, &tmr_ops,
					     &p->dev},
			    e);
	if (r < 0) {
		pm_destroy(&p->dev);
		return r;
	}
	*out = &p->dev;
	return 0;
}
