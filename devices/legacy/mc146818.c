/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818A real-time clock with 128 bytes of CMOS memory, century in byte 0x32 as ACPI says.
 *
 * The time is the host's UTC plus what the guest made of it; nothing ticks. Flags of register C are
 * worked out when somebody looks: a flag is due if an instant of its kind lies after the one up to
 * which `checked_ns` says all flags are known. A loop timer stands for the next instant whose
 * interrupt is enabled, and none is armed while its flag is set: a guest that does not read register
 * C gets no more interrupts, and one that does cannot get them faster than it reads.
 *
 * While SET is on, or the divider is held in reset, the time registers are a plain copy that the
 * guest edits; the clock continues from what it finds there. The day of the week is computed, not
 * kept. The square wave output goes nowhere, daylight saving is not done, rates other than those of
 * a 32768 Hz time base count as that one. CMOS is not kept across resets of the machine.
 *
 * Refs: Motorola MC146818A data sheet; ACPI 6.5 §4.8.2.4 (RTC extensions); memory size bytes as
 * the AT's firmware and later ones use them.
 */
#include "devices/legacy/mc146818.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"
#include "vmm/core/utc.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
	R_SEC,
	R_SEC_ALARM,
	R_MIN,
	R_MIN_ALARM,
	R_HOUR,
	R_HOUR_ALARM,
	R_WEEKDAY,
	R_DAY,
	R_MONTH,
	R_YEAR,
	R_A,
	R_B,
	R_C,
	R_D,
	R_CENTURY = 0x32,
	N_REGS = 128,
};

enum {
	A_UIP = 0x80,
	A_DIVIDER = 0x70,
	A_DIVIDER_RESET = 0x60, /* both upper bits of the field */
	A_RATE = 0x0f,
	B_SET = 0x80,
	B_PIE = 0x40,
	B_AIE = 0x20,
	B_UIE = 0x10,
	B_SQWE = 0x08,
	B_BINARY = 0x04,
	B_24H = 0x02,
	C_IRQF = 0x80,
	C_PF = 0x40,
	C_AF = 0x20,
	C_UF = 0x10,
	D_VALID = 0x80,
	HOUR_PM = 0x80,
	ALARM_ANY = 0xc0,
};

static const uint64_t ns_per_s = 1000000000;
static const uint64_t update_ns = 2228000; /* UIP: 244 us of warning and 1984 us of update */
static const uint64_t never = UINT64_MAX;
static const uint64_t s_per_day = 86400;

struct mc146818 {
	struct device dev;
	uint64_t missed_reads, missed_writes; /* of registers that cannot be */
	struct mc146818_config cfg;
	struct mc146818_wiring w;
	struct loop_timer timer;
	uint8_t index;
	uint8_t reg[N_REGS];
	int64_t offset_ns;    /* guest's time less the host's */
	uint64_t checked_ns;  /* guest's time up to which register C is right */
};

static struct mc146818 *to_rtc(struct device *d)
{
	return container_of(d, struct mc146818, dev);
}

static uint64_t host_utc_ns(const struct mc146818 *m)
{
	struct timespec ts;

	if (m->w.utc_ns)
		return m->w.utc_ns(m->w.ctx);
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * ns_per_s + (uint64_t)ts.tv_nsec;
}

/* The guest's clock. The guest can set any year from 0 to 9999: kept as ns since year 0 would not
 * fit, so years are taken as 1970 to 2225 (below) and the sum is never negative. */
static uint64_t guest_ns(const struct mc146818 *m)
{
	return host_utc_ns(m) + (uint64_t)m->offset_ns;
}

static bool is_held(const struct mc146818 *m)
{
	return (m->reg[R_B] & B_SET) || (m->reg[R_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

/* --- the format of the time registers --------------------------------------------------------- */

static uint8_t encode(const struct mc146818 *m, unsigned v)
{
	return (uint8_t)(m->reg[R_B] & B_BINARY ? v : (v / 10 % 10) << 4 | v % 10);
}

static unsigned decode(const struct mc146818 *m, uint8_t v)
{
	return m->reg[R_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode_hour(const struct mc146818 *m, unsigned hour)
{
	if (m->reg[R_B] & B_24H)
		return encode(m, hour);
	return (uint8_t)(encode(m, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned decode_hour(const struct mc146818 *m, uint8_t v)
{
	if (m->reg[R_B] & B_24H)
		return decode(m, v);
	return decode(m, v & (uint8_t)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar; month from 0, any value. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
	int64_t era, doy, yoe;

	year += month / 12;
	month %= 12;
	/* years that start in March put the leap day last */
	year -= month < 2;
	era = year / 400;
	yoe = year % 400;
	doy = (153 * ((month + 10) % 12) + 2) / 5 + (int64_t)day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void store_time(struct mc146818 *m, uint64_t ns)
{
	struct utc t;

	utc_from_unix((int64_t)(ns / ns_per_s), &t);
	m->reg[R_SEC] = encode(m, t.second);
	m->reg[R_MIN] = encode(m, t.minute);
	m->reg[R_HOUR] = encode_hour(m, t.hour);
	m->reg[R_WEEKDAY] = encode(m, t.weekday + 1);
	m->reg[R_DAY] = encode(m, t.day);
	m->reg[R_MONTH] = encode(m, t.month);
	m->reg[R_YEAR] = encode(m, (unsigned)(t.year % 100));
	m->reg[R_CENTURY] = encode(m, (unsigned)(t.year / 100));
}

/* Makes the guest's clock show what the registers say, `frac_ns` into that second. */
static void load_time(struct mc146818 *m, uint64_t frac_ns)
{
	int64_t year = decode(m, m->reg[R_CENTURY]) * 100 + decode(m, m->reg[R_YEAR]);
	unsigned month = decode(m, m->reg[R_MONTH]), day = decode(m, m->reg[R_DAY]);
	int64_t s;

	/* garbage is allowed; what 64 bits of nanoseconds cannot hold is not */
	if (year < 1970)
		year = 1970;
	if (year > 2225)
		year = 2225;
	s = days_from_date(year, month ? month - 1 : 0, day ? day : 1) * (int64_t)s_per_day +
	    decode_hour(m, m->reg[R_HOUR]) * 3600 + decode(m, m->reg[R_MIN]) * 60 +
	    decode(m, m->reg[R_SEC]);
	m->offset_ns = (int64_t)((uint64_t)s * ns_per_s + frac_ns - host_utc_ns(m));
	m->checked_ns = guest_ns(m);
}

/* --- instants --------------------------------------------------------------------------------- */

/* 0: the periodic interrupt is off. Otherwise ticks of 32768 Hz. */
static unsigned period_ticks(const struct mc146818 *m)
{
	unsigned rate = m->reg[R_A] & A_RATE;

	if (!rate)
		return 0;
	return rate <= 2 ? 1u << (rate + 6) : 1u << (rate - 1);
}

/* The first periodic instant after t. */
static uint64_t next_periodic(const struct mc146818 *m, uint64_t t)
{
	uint64_t ticks = period_ticks(m), in_s;

	if (!ticks)
		return never;
	/* periods divide the second: count from its start, which keeps the sums small */
	in_s = t % ns_per_s * 32768 / ns_per_s;
	in_s = (in_s / ticks + 1) * ticks;
	return t - t % ns_per_s + (in_s * ns_per_s + 32767) / 32768;
}

static uint64_t next_update(uint64_t t)
{
	return t - t % ns_per_s + ns_per_s;
}

static bool alarm_field(unsigned now, uint8_t raw, unsigned want)
{
	return (raw & ALARM_ANY) == ALARM_ANY || now == want;
}

/* The first alarm after t: whole hours, then minutes, are skipped while they do not match. */
static uint64_t next_alarm(const struct mc146818 *m, uint64_t t)
{
	uint8_t rh = m->reg[R_HOUR_ALARM], rm = m->reg[R_MIN_ALARM], rs = m->reg[R_SEC_ALARM];
	unsigned hour = decode_hour(m, rh), min = decode(m, rm), sec = decode(m, rs);
	uint64_t s = t / ns_per_s + 1, last = s + s_per_day;

	if (((rh & ALARM_ANY) != ALARM_ANY && hour > 23) ||
	    ((rm & ALARM_ANY) != ALARM_ANY && min > 59) ||
	    ((rs & ALARM_ANY) != ALARM_ANY && sec > 59))
		return never;
	while (s <= last) {
		if (!alarm_field((unsigned)(s % s_per_day / 3600), rh, hour))
			s = s - s % 3600 + 3600;
		else if (!alarm_field((unsigned)(s % 3600 / 60), rm, min))
			s = s - s % 60 + 60;
		else if (!alarm_field((unsigned)(s % 60), rs, sec))
			s++;
		else
			return s * ns_per_s;
	}
	return never;
}

/* Sets the flags of instants that have passed. */
static void catch_up(struct mc146818 *m)
{
	uint64_t from = m->checked_ns, now = guest_ns(m);

	m->checked_ns = now;
	if (now <= from)
		return; /* the host's clock was set back */
	if ((m->reg[R_A] & A_DIVIDER_RESET) != A_DIVIDER_RESET && next_periodic(m, from) <= now)
		m->reg[R_C] |= C_PF;
	if (is_held(m))
		return;
	if (next_update(from) <= now)
		m->reg[R_C] |= C_UF;
	if (next_alarm(m, from) <= now)
		m->reg[R_C] |= C_AF;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Drives the interrupt and arms the timer for the next instant that would raise it. */
static void update_irq(struct mc146818 *m)
{
	uint8_t wanted = m->reg[R_B] & (B_PIE | B_AIE | B_UIE); /* same bits as in C */
	uint64_t t = m->checked_ns, next = never;
	bool irq = m->reg[R_C] & wanted;

	m->reg[R_C] = (uint8_t)((m->reg[R_C] & ~C_IRQF) | (irq ? C_IRQF : 0));
	irq_set(&m->w.irq, irq);
	if (!irq && (wanted & B_PIE) && (m->reg[R_A] & A_DIVIDER_RESET) != A_DIVIDER_RESET)
		next = next_periodic(m, t);
	if (!irq && (wanted & B_UIE) && !is_held(m))
		next = earlier(next, next_update(t));
	if (!irq && (wanted & B_AIE) && !is_held(m))
		next = earlier(next, next_alarm(m, t));
	if (next == never)
		loop_timer_cancel(m->w.loop, &m->timer);
	else
		loop_timer_arm(m->w.loop, &m->timer, loop_now_ns() + (next - t));
}

static void on_timer(struct loop_timer *timer)
{
	struct mc146818 *m = container_of(timer, struct mc146818, timer);

	catch_up(m);
	update_irq(m);
}

/* --- registers -------------------------------------------------------------------------------- */

static bool is_time(unsigned r)
{
	return r <= R_YEAR || r == R_CENTURY ? r != R_SEC_ALARM && r != R_MIN_ALARM &&
						       r != R_HOUR_ALARM
					     : false;
}

static void write_a(struct mc146818 *m, uint8_t val)
{
	bool was_held = is_held(m), was_reset, is_reset;

	was_reset = (m->reg[R_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
	if (!was_held)
		store_time(m, guest_ns(m));
	m->reg[R_A] = val & (uint8_t)~A_UIP;
	is_reset = (val & A_DIVIDER_RESET) == A_DIVIDER_RESET;
	/* the first update comes half a second after the divider is let go */
	if (was_held && !is_held(m))
		load_time(m, was_reset && !is_reset ? ns_per_s / 2 : guest_ns(m) % ns_per_s);
}

static void write_b(struct mc146818 *m, uint8_t val)
{
	bool was_held = is_held(m);

	if (!was_held)
		store_time(m, guest_ns(m));
	if (val & B_SET)
		val &= (uint8_t)~B_UIE;
	if (was_held && !(val & B_SET) && (m->reg[R_A] & A_DIVIDER_RESET) != A_DIVIDER_RESET)
		load_time(m, guest_ns(m) % ns_per_s); /* in the format they were written in */
	m->reg[R_B] = val;
}

static void write_time(struct mc146818 *m, unsigned r, uint8_t val)
{
	uint64_t now = guest_ns(m);

	if (!is_held(m))
		store_time(m, now);
	m->reg[r] = val;
	if (!is_held(m))
		load_time(m, now % ns_per_s);
}

static void rtc_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct mc146818 *m = to_rtc(d);
	uint8_t v = (uint8_t)val;

	(void)size;
	if (!off) {
		m->index = v & (N_REGS - 1); /* the upper bit masks NMI on a real board */
		return;
	}
	catch_up(m);
	if (m->index == R_A)
		write_a(m, v);
	else if (m->index == R_B)
		write_b(m, v);
	else if (is_time(m->index))
		write_time(m, m->index, v);
	else if (m->index != R_C && m->index != R_D)
		m->reg[m->index] = v;
	else
		m->missed_writes++;
	update_irq(m);
}

static uint64_t rtc_read(struct device *d, uint64_t off, unsigned size)
{
	struct mc146818 *m = to_rtc(d);
	uint8_t v;

	(void)size;
	if (!off) {
		m->missed_reads++;
		return 0xff; /* write-only */
	}
	catch_up(m);
	if (is_time(m->index) && !is_held(m))
		store_time(m, guest_ns(m));
	v = m->reg[m->index];
	if (m->index == R_A && !is_held(m) && guest_ns(m) % ns_per_s >= ns_per_s - update_ns)
		v |= A_UIP;
	if (m->index == R_C) {
		update_irq(m); /* for IRQF */
		v = m->reg[R_C];
		m->reg[R_C] = 0;
		update_irq(m);
	}
	return v;
}

static const struct region_ops rtc_region_ops = {rtc_read, rtc_write, 1};

/* --- life cycle ------------------------------------------------------------------------------- */

static void store_memory_size(struct mc146818 *m)
{
	uint64_t low = m->cfg.ram_below_4g_bytes;
	uint64_t above_1m = low > 1 << 20 ? (low - (1 << 20)) >> 10 : 0;     /* KiB */
	uint64_t above_16m = low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0;  /* 64 KiB */
	uint64_t above_4g = m->cfg.ram_above_4g_bytes >> 16;                 /* 64 KiB */

	above_1m = above_1m > 0xffff ? 0xffff : above_1m;
	above_16m = above_16m > 0xffff ? 0xffff : above_16m;
	above_4g = above_4g > 0xffffff ? 0xffffff : above_4g;
	store_le16(m->reg + 0x15, 640);
	store_le16(m->reg + 0x17, (uint16_t)above_1m);
	store_le16(m->reg + 0x30, (uint16_t)above_1m);
	store_le16(m->reg + 0x34, (uint16_t)above_16m);
	store_le16(m->reg + 0x5b, (uint16_t)above_4g);
	m->reg[0x5d] = (uint8_t)(above_4g >> 16);
}

static void rtc_reset(struct device *d)
{
	struct mc146818 *m = to_rtc(d);

	memset(m->reg, 0, sizeof(m->reg));
	m->index = 0;
	m->reg[R_A] = 0x26; /* 32768 Hz, 1024 Hz */
	m->reg[R_B] = B_24H;
	m->reg[R_D] = D_VALID;
	store_memory_size(m);
	m->offset_ns = 0;
	m->checked_ns = guest_ns(m);
	update_irq(m);
}

static void rtc_stop(struct device *d)
{
	loop_timer_cancel(to_rtc(d)->w.loop, &to_rtc(d)->timer);
}

static void rtc_destroy(struct device *d)
{
	if (!d)
		return;
	rtc_stop(d);
	device_fini(d);
	free(to_rtc(d));
}

static const struct device_counter rtc_counters[] = {
	{"missed_reads", offsetof(struct mc146818, missed_reads)},
	{"missed_writes", offsetof(struct mc146818, missed_writes)},
	{0},
};

static const struct device_ops rtc_ops = {
	.type = "rtc",
	.counters = rtc_counters,
	.stop = rtc_stop,
	.reset = rtc_reset,
	.destroy = rtc_destroy,
};

int mc146818_create(const struct mc146818_config *cfg, const struct mc146818_wiring *w,
		    struct device **out, struct err *e)
{
	struct mc146818 *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	m->cfg = *cfg;
	m->w = *w;
	m->timer.owner = &m->dev;
	m->timer.fn = on_timer;
	device_init(&m->dev, &rtc_ops, cfg->id);
	rtc_reset(&m->dev);
	r = bus_add(w->bus, &(struct region){"rtc", 0x70, 2, &rtc_region_ops, &m->dev}, e);
	if (r < 0) {
		rtc_destroy(&m->dev);
		return r;
	}
	*out = &m->dev;
	return 0;
}
