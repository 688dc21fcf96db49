/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split queues that break the rules: H01 to H17, H20 to H22, for every queue of every device.
 *
 * Each case takes a good chain and bends it. What a device must make of it does not depend on the
 * device but where `want` says so for some of them in outcome_of().
 */
#include "hostile.h"

struct queue {
	struct vdev *d;
	unsigned i;
	struct ring *r;
	uint16_t dir; /* DESC_WRITE if the device writes into the first buffer */
};

static struct desc table[VDEV_N * 2] __attribute__((aligned(16)));

static void set(struct desc *t, unsigned i, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
	t[i] = (struct desc){addr, len, (uint16_t)flags, (uint16_t)next};
}

static void one(struct queue *q, uint64_t addr, uint32_t len)
{
	set(q->r->desc, 0, addr, len, q->dir, 0);
}

static uint32_t at(const volatile void *p)
{
	return (uint32_t)p;
}

/* --- chains ----------------------------------------------------------------------------------- */

static void self_loop(struct queue *q)
{
	set(q->r->desc, 0, at(buffer), 64, q->dir | DESC_NEXT, 0);
}

static void cycle(struct queue *q)
{
	set(q->r->desc, 0, at(buffer), 64, q->dir | DESC_NEXT, 1);
	set(q->r->desc, 1, at(buffer), 64, q->dir | DESC_NEXT, 0);
}

static void long_cycle(struct queue *q)
{
	for (unsigned i = 0; i < VDEV_N; i++)
		set(q->r->desc, i, at(buffer), 8, q->dir | DESC_NEXT, (i + 1) % VDEV_N);
}

static void next_is_size(struct queue *q)
{
	set(q->r->desc, 0, at(buffer), 64, q->dir | DESC_NEXT, VDEV_N);
}

static void next_is_7fff(struct queue *q)
{
	set(q->r->desc, 0, at(buffer), 64, q->dir | DESC_NEXT, 0x7fff);
}

static void next_is_ffff(struct queue *q)
{
	set(q->r->desc, 0, at(buffer), 64, q->dir | DESC_NEXT, 0xffff);
}

/* --- addresses and lengths -------------------------------------------------------------------- */

static void wraps(struct queue *q)
{
	one(q, 0xffffffffffffff00ull, 0x200);
}

static void crosses_end(struct queue *q)
{
	one(q, RAM_BYTES - 1, 2);
}

static void at_end(struct queue *q)
{
	one(q, RAM_BYTES, 1);
}

static void in_hole(struct queue *q)
{
	one(q, 0xc0000000, 64);
}

static void spans_hole(struct queue *q)
{
	one(q, RAM_BYTES - 64, 0xf0000000);
}

static void no_bytes(struct queue *q)
{
	for (unsigned i = 0; i < VDEV_N; i++)
		q->r->desc[i].len = 0;
}

static void no_first_bytes(struct queue *q)
{
	q->r->desc[0].len = 0;
}

static void too_many_bytes(struct queue *q)
{
	one(q, at(buffer), 0xffffffff);
}

static void lengths_overflow(struct queue *q)
{
	for (unsigned i = 0; i < VDEV_N; i++)
		set(q->r->desc, i, 0, 0xffffffff, q->dir | (i + 1 < VDEV_N ? DESC_NEXT : 0), i + 1);
}

static void in_registers(struct queue *q)
{
	one(q, at(q->d->common), 64);
}

static void in_notification(struct queue *q)
{
	one(q, at(vdev_notify_register(q->d, q->i)), 4);
}

static void in_lapic(struct queue *q)
{
	one(q, 0xfee00300, 64);
}

static void own_ring(struct queue *q)
{
	one(q, at(q->r), sizeof(*q->r));
}

static void own_code(struct queue *q) /* readable alone: it must go on running */
{
	one(q, at(bare_main), 72);
	q->r->desc[0].flags = 0;
}

static void low_memory(struct queue *q) /* interrupt vectors, firmware tables */
{
	one(q, 0, 0x500);
}

/* --- indices ---------------------------------------------------------------------------------- */

static void head_is_size(struct queue *q)
{
	q->r->avail.ring[0] = VDEV_N;
}

static void head_is_ffff(struct queue *q)
{
	q->r->avail.ring[0] = 0xffff;
}

static void index_jumps(struct queue *q)
{
	q->r->avail.idx = VDEV_N + 1;
}

static void index_jumps_far(struct queue *q)
{
	q->r->avail.idx = 0x8001;
}

static void index_goes_back(struct queue *q)
{
	q->r->avail.idx = 0xffff;
}

/* --- indirect tables -------------------------------------------------------------------------- */

static void indirect(struct queue *q, uint64_t addr, uint32_t len, unsigned more)
{
	set(q->r->desc, 0, addr, len, DESC_INDIRECT | more, 1);
}

static void indirect_and_next(struct queue *q)
{
	set(table, 0, at(buffer), 64, q->dir, 0);
	indirect(q, at(table), 16, DESC_NEXT);
}

static void nested(struct queue *q)
{
	set(table, 0, at(table), 16, DESC_INDIRECT, 0);
	indirect(q, at(table), 32, 0);
}

static void table_of_nothing(struct queue *q)
{
	indirect(q, at(table), 0, 0);
}

static void table_of_15(struct queue *q)
{
	indirect(q, at(table), 15, 0);
}

static void table_of_24(struct queue *q)
{
	indirect(q, at(table), 24, 0);
}

static void huge_table(struct queue *q)
{
	indirect(q, 0, 16 << 16, 0);
}

static void table_outside(struct queue *q)
{
	indirect(q, 0xd0000000, 16, 0);
}

static void table_crosses_end(struct queue *q)
{
	indirect(q, RAM_BYTES - 16, 32, 0);
}

static void table_loops(struct queue *q)
{
	set(table, 0, at(buffer), 64, q->dir | DESC_NEXT, 0);
	indirect(q, at(table), 32, 0);
}

static void table_leads_out(struct queue *q)
{
	set(table, 0, at(buffer), 64, q->dir | DESC_NEXT, 2);
	indirect(q, at(table), 32, 0);
}

/* --- directions ------------------------------------------------------------------------------- */

static void swapped(struct queue *q)
{
	for (unsigned i = 0; i < VDEV_N; i++)
		q->r->desc[i].flags ^= DESC_WRITE;
}

static void readable_after_writable(struct queue *q)
{
	set(q->r->desc, 0, at(buffer), 64, DESC_WRITE | DESC_NEXT, 1);
	set(q->r->desc, 1, at(buffer), 64, 0, 0);
}

static void first_alone(struct queue *q)
{
	q->r->desc[0].flags &= (uint16_t)~DESC_NEXT;
}

static void no_status(struct queue *q)
{
	for (unsigned i = 0; i < VDEV_N; i++)
		if (!(q->r->desc[i].flags & DESC_NEXT) && i)
			q->r->desc[i].len = 0;
}

/* --- the list --------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*bend)(struct queue *);
	enum outcome want;
} cases[] = {
	{"H01 self loop", self_loop, NEEDS_RESET},
	{"H02 cycle of two", cycle, NEEDS_RESET},
	{"H03 cycle through the whole table", long_cycle, NEEDS_RESET},
	{"H04 next is the size", next_is_size, NEEDS_RESET},
	{"H04 next is 0x7fff", next_is_7fff, NEEDS_RESET},
	{"H04 next is 0xffff", next_is_ffff, NEEDS_RESET},
	{"H05 address wraps around", wraps, EMPTY},
	{"H06 crosses the end of RAM", crosses_end, EMPTY},
	{"H06 at the end of RAM", at_end, EMPTY},
	{"H07 in the hole below 4 GiB", in_hole, EMPTY},
	{"H07 over the hole below 4 GiB", spans_hole, EMPTY},
	{"H08 no bytes anywhere", no_bytes, EMPTY},
	{"H08 first buffer empty", no_first_bytes, EMPTY},
	{"H08 2^32 - 1 bytes", too_many_bytes, EMPTY},
	{"H09 lengths overflow", lengths_overflow, EMPTY},
	{"H10 head is the size", head_is_size, NEEDS_RESET},
	{"H10 head is 0xffff", head_is_ffff, NEEDS_RESET},
	{"H11 index jumps by more than the size", index_jumps, NEEDS_RESET},
	{"H11 index jumps by 0x8001", index_jumps_far, NEEDS_RESET},
	{"H11 index goes back", index_goes_back, NEEDS_RESET},
	{"H12 indirect and next", indirect_and_next, NEEDS_RESET},
	{"H12 nested indirect", nested, NEEDS_RESET},
	{"H13 table of no bytes", table_of_nothing, NEEDS_RESET},
	{"H13 table of 15 bytes", table_of_15, NEEDS_RESET},
	{"H13 table of 24 bytes", table_of_24, NEEDS_RESET},
	{"H13 table of 65536 entries", huge_table, NEEDS_RESET},
	{"H14 table outside RAM", table_outside, NEEDS_RESET},
	{"H14 table crosses the end of RAM", table_crosses_end, NEEDS_RESET},
	{"H15 table loops", table_loops, NEEDS_RESET},
	{"H15 table leads out of itself", table_leads_out, NEEDS_RESET},
	{"H20 buffer in the device's registers", in_registers, EMPTY},
	{"H20 buffer in the notification register", in_notification, EMPTY},
	{"H20 buffer in the local APIC", in_lapic, EMPTY},
	{"H21 buffer is the ring itself", own_ring, ANY},
	{"H21 buffer is the guest's code", own_code, ANY},
	{"H21 buffer is low memory", low_memory, ANY},
	{"H22 readable and writable swapped", swapped, ANY},
	{"H22 readable after writable", readable_after_writable, NEEDS_RESET},
	{"H22 first buffer alone", first_alone, ANY},
	{"H22 no room for the status", no_status, ANY},
};

/* A buffer to receive into that makes sense is kept: a loss of the guest's that shows in no way. */
static enum outcome outcome_of(const struct queue *q, unsigned i)
{
	int is_blk = q->d->id == ID_BLOCK, is_memory = q->d->id == ID_PMEM || q->d->id == ID_MEM;

	if (cases[i].bend == no_first_bytes && ((q->d->id == ID_NET && q->i == 2) || is_memory))
		return USED; /* a command of no bytes is refused */
	if (cases[i].want != ANY || q->d->id == ID_NET)
		return cases[i].want;
	if (cases[i].bend == no_status && is_blk)
		return USED; /* the last byte that the device may write is the status */
	if (cases[i].bend == first_alone && is_blk)
		return EMPTY;
	if (cases[i].bend == swapped)
		return is_blk || is_memory ? NEEDS_RESET : EMPTY;
	return ANY;
}

static void run_case(struct queue *q, unsigned i)
{
	enum outcome got;
	uint32_t written;
	int good;

	vdev_start(q->d, (vdev_offered(q->d) & 0xffffff) | F_INDIRECT);
	build_good(q->d, q->i);
	/* the device may look before it is notified: first everything else, then the index */
	cases[i].bend(q);
	if (!q->r->avail.idx)
		q->r->avail.idx = 1;
	barrier();
	patience_ms = outcome_of(q, i) == ANY ? SHORT_MS : LONG_MS;
	got = kick_and_wait(q->d, q->i, &written);
	patience_ms = LONG_MS;
	good = fits(got, written, outcome_of(q, i));
	if (!good) {
		print("# outcome ");
		print_number(got);
		print(", bytes ");
		print_number(written);
		print("\n");
	}
	finish_case(cases[i].name, q->d, q->i, good);
}

/* H12: what was not negotiated */
static void not_negotiated(struct queue *q)
{
	uint32_t written;

	vdev_start(q->d, vdev_offered(q->d) & 0xffffff);
	set(table, 0, at(buffer), 64, q->dir, 0);
	indirect(q, at(table), 16, 0);
	vdev_offer(q->i, 0);
	finish_case("H12 indirect without its feature", q->d, q->i,
		    kick_and_wait(q->d, q->i, &written) == NEEDS_RESET);
}

static void begin_setup(const struct vdev *d)
{
	vdev_set_status(d, 0);
	vdev_set_status(d, 3);
	vdev_take_features(d, 0);
	vdev_set_status(d, 11);
}

/* H16, H20: addresses that no ring may have */
static void bad_rings(struct queue *q)
{
	static const uint64_t bad[] = {RAM_BYTES, RAM_BYTES - 16, 0xc0000000, 0xd0000000, 0xfec00000,
				       0xfee00000, 0xfffffff0, 0xffffffffffffffc0ull, 1ull << 40,
				       1ull << 63};
	uint32_t d = at(q->r->desc), a = at(&q->r->avail), u = at(&q->r->used);
	unsigned taken = 0;

	begin_setup(q->d);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		taken += (unsigned)vdev_set_queue(q->d, q->i, VDEV_N, bad[i], a, u);
		taken += (unsigned)vdev_set_queue(q->d, q->i, VDEV_N, d, bad[i], u);
		taken += (unsigned)vdev_set_queue(q->d, q->i, VDEV_N, d, a, bad[i]);
	}
	taken += (unsigned)vdev_set_queue(q->d, q->i, VDEV_N, d + 8, a, u);
	taken += (unsigned)vdev_set_queue(q->d, q->i, VDEV_N, d, a + 1, u);
	taken += (unsigned)vdev_set_queue(q->d, q->i, VDEV_N, d, a, u + 2);
	finish_case("H16 rings that are not RAM or not aligned", q->d, q->i, !taken);
}

/* H16, H21: rings on top of each other, and at the beginning of memory, are the guest's own loss */
static void odd_rings(struct queue *q)
{
	uint32_t places[][3] = {{at(table), at(table), at(table)}, {0, at(table), at(table)}};
	uint32_t written;
	int good = 1;

	for (unsigned i = 0; i < 2; i++) {
		begin_setup(q->d);
		good &= vdev_set_queue(q->d, q->i, VDEV_N, places[i][0], places[i][1], places[i][2]);
		vdev_set_status(q->d, STATUS_READY);
		for (unsigned k = 0; k < 20; k++) {
			table[0].addr += 0x10001;
			vdev_kick(q->d, q->i);
		}
		patience_ms = SHORT_MS;
		kick_and_wait(q->d, q->i, &written);
		patience_ms = LONG_MS;
	}
	finish_case("H21 rings on top of each other", q->d, q->i, good);
}

/* H17 */
static void bad_sizes(struct queue *q)
{
	static const uint32_t bad[] = {0, 3, 7, 512, 32769, 65535};
	uint32_t d = at(q->r->desc), a = at(&q->r->avail), u = at(&q->r->used);
	unsigned taken = 0;

	begin_setup(q->d);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		taken += (unsigned)vdev_set_queue(q->d, q->i, bad[i], d, a, u);
	finish_case("H17 sizes", q->d, q->i, !taken);
}

/* H26, H27. A device that is done with a head may be given it again. */
static void same_head(struct queue *q, const char *name, unsigned times)
{
	enum outcome want = q->d->id == ID_BLOCK ? NEEDS_RESET : ANY;
	enum outcome got;
	uint32_t written;
	uint64_t end;

	vdev_start(q->d, vdev_offered(q->d) & 0xffffff);
	build_good(q->d, q->i);
	q->r->avail.idx = (uint16_t)times; /* all at once: the ring is full of zeroes */
	barrier();
	patience_ms = want == ANY ? SHORT_MS : LONG_MS;
	got = kick_and_wait(q->d, q->i, &written);
	patience_ms = LONG_MS;
	for (end = ticks() + 100 * TICKS_PER_MS; want == NEEDS_RESET && got == USED && ticks() < end;)
		if (vdev_status(q->d) & STATUS_NEEDS_RESET)
			got = NEEDS_RESET;
	finish_case(name, q->d, q->i, fits(got, written, want));
}

void ring_cases(struct vdev *d, unsigned queue)
{
	struct queue q = {d, queue, &vdev_rings[queue], 0};

	if (d->id == ID_ENTROPY || (d->id == ID_NET && queue == 0))
		q.dir = DESC_WRITE;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (wanted(cases[i].name))
			run_case(&q, i);
	if (wanted("H12"))
		not_negotiated(&q);
	if (wanted("H16"))
		bad_rings(&q);
	if (wanted("H17"))
		bad_sizes(&q);
	if (wanted("H21"))
		odd_rings(&q);
	if (wanted("H26"))
		same_head(&q, "H26 same head twice", 2);
	if (wanted("H27"))
		same_head(&q, "H27 same head in the whole ring", VDEV_N);
}
