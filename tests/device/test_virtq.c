/* SPDX-License-Identifier: Apache-2.0 */
/* The queue walker against drivers that break every rule. */
#include "devices/virtio/virtq.h"
#include "tests/device/virtq_model.h"
#include "vmm/core/bytes.h"

#include <criterion/criterion.h>

enum {
	SIZE = 8,
	RAM = 1 << 20, /* at 0 and at 4 GiB */
	DESC = 0x1000,
	AVAIL = 0x2000,
	USED = 0x3000,
	TABLE = 0x4000,
	NEXT = 1,
	WRITE = 2,
	INDIRECT = 4,
};

static struct gmem *mem;
static struct virtq q;
static struct virtq_chain c;
static uint16_t avail_idx;

static void setup(void)
{
	cr_assert_eq(gmem_create(2 * RAM, RAM, &mem, NULL), 0);
	q = (struct virtq){.mem = mem, .max_size = VIRTQ_MAX_SIZE};
	virtq_reset(&q);
	q.size = SIZE;
	q.desc = DESC;
	q.avail = AVAIL;
	q.used = USED;
	avail_idx = 0;
	cr_assert(virtq_enable(&q, true, true));
}

static void teardown(void)
{
	gmem_destroy(mem);
}

TestSuite(virtq, .init = setup, .fini = teardown);

static void desc_at(gpaddr table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		    uint16_t next)
{
	uint8_t raw[16];

	store_le64(raw, addr);
	store_le32(raw + 8, len);
	store_le16(raw + 12, flags);
	store_le16(raw + 14, next);
	cr_assert(gmem_write(mem, table + 16ull * i, raw, 16));
}

static void desc(unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	desc_at(DESC, i, addr, len, flags, next);
}

static void offer(uint16_t head)
{
	cr_assert(gmem_store16(mem, AVAIL + 4 + 2ull * (avail_idx % SIZE), head));
	cr_assert(gmem_store16(mem, AVAIL + 2, ++avail_idx));
}

static uint16_t load(gpaddr gpa)
{
	uint16_t v;

	cr_assert(gmem_load16(mem, gpa, &v));
	return v;
}

static void expect_broken(void)
{
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_BROKEN);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_BROKEN, "and stays so");
	cr_assert_eq(q.n_inflight, 0);
	cr_assert_eq(load(USED + 2), 0);
}

static void expect_faulty(void)
{
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
	cr_assert(c.faulty);
	cr_assert_eq(c.n_out + c.n_in, 0);
	cr_assert_eq(c.out_bytes + c.in_bytes, 0);
	virtq_push(&q, &c, 100);
	cr_assert_eq(load(USED + 2), q.next_used);
}

Test(virtq, chain_is_copied_out_pieces_first)
{
	desc(3, 0x8000, 16, NEXT, 5);
	desc(5, 0x9000, 100, NEXT | WRITE, 1);
	desc(1, 0xa000, 1, WRITE, 0);
	offer(3);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
	cr_assert_eq(c.head, 3);
	cr_assert_eq(c.n_out, 1);
	cr_assert_eq(c.n_in, 2);
	cr_assert_eq(c.out_bytes, 16);
	cr_assert_eq(c.in_bytes, 101);
	cr_assert_eq(c.iov[1].iov_len, 100);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_EMPTY);
}

Test(virtq, push_publishes_id_and_length)
{
	uint8_t elem[8];

	desc(2, 0x8000, 16, WRITE, 0);
	offer(2);
	virtq_pop(&q, &c);
	virtq_push(&q, &c, 7);
	cr_assert_eq(load(USED + 2), 1);
	gmem_read(mem, USED + 4, elem, 8);
	cr_assert_eq(load_le32(elem), 2);
	cr_assert_eq(load_le32(elem + 4), 7);
	offer(2);
	virtq_pop(&q, &c);
	virtq_push(&q, &c, 1000); /* never more than the buffers hold */
	gmem_read(mem, USED + 12, elem, 8);
	cr_assert_eq(load_le32(elem + 4), 16);
}

Test(virtq, indices_wrap_around)
{
	desc(0, 0x8000, 16, WRITE, 0);
	for (unsigned i = 0; i < 70000; i++) {
		offer(0);
		cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
		virtq_push(&q, &c, 1);
	}
	cr_assert_eq(load(USED + 2), (uint16_t)70000);
}

Test(virtq, enable_refuses_bad_sizes)
{
	static const uint16_t bad[] = {0, 3, 12, 257, 512, 32769, 65535};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		q.ready = false;
		q.size = bad[i];
		cr_assert(!virtq_enable(&q, false, false), "size %u", bad[i]);
		cr_assert(!q.ready);
	}
}

Test(virtq, enable_refuses_rings_that_are_unaligned_or_not_ram)
{
	static const gpaddr bad[] = {0x1001, 0x1008, RAM - 0x40, RAM, 0xfee00000, 0xd0000000,
				     (1ull << 32) - 16, (1ull << 32) + RAM, UINT64_MAX - 15};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		gpaddr *const ring[] = {&q.desc, &q.avail, &q.used};

		for (unsigned k = 0; k < 3; k++) {
			gpaddr was = *ring[k];

			q.ready = false;
			/* the smaller rings still fit, or are aligned, at some of these */
			*ring[k] = i == 1 && k ? 0x1001 : i == 2 && k ? RAM - 2 : bad[i];
			cr_assert(!virtq_enable(&q, false, false), "ring %u at %llx", k,
				  (unsigned long long)*ring[k]);
			*ring[k] = was;
		}
	}
	cr_assert(virtq_enable(&q, false, false));
}

Test(virtq, rings_may_lie_at_zero_and_at_the_last_byte)
{
	q.ready = false;
	q.desc = 0;
	q.avail = RAM - (4 + 2 * SIZE + 2);
	q.used = (1ull << 32) + RAM - (4 + 8 * SIZE + 2) - 2;
	cr_assert(virtq_enable(&q, true, true));
}

/* H01, H02, H03 */
Test(virtq, pop_rejects_self_loop)
{
	desc(0, 0x8000, 1, NEXT, 0);
	offer(0);
	expect_broken();
}

Test(virtq, pop_rejects_cycle)
{
	desc(0, 0x8000, 1, NEXT, 1);
	desc(1, 0x8000, 1, NEXT, 0);
	offer(0);
	expect_broken();
}

Test(virtq, pop_takes_a_chain_as_long_as_the_queue_but_no_longer)
{
	for (uint16_t i = 0; i < SIZE; i++)
		desc(i, 0x8000 + i, 1, i < SIZE - 1 ? NEXT : 0, i + 1);
	offer(0);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
	cr_assert_eq(c.n_out, SIZE);
	virtq_push(&q, &c, 0);
	desc(SIZE - 1, 0x8000, 1, NEXT, 3);
	offer(0);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_BROKEN);
}

/* H04, H10 */
Test(virtq, pop_rejects_next_outside_the_table)
{
	static const uint16_t bad[] = {SIZE, 0x7fff, 0xffff};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		q.broken = false;
		desc(0, 0x8000, 1, NEXT, bad[i]);
		if (!i)
			offer(0);
		expect_broken();
	}
}

Test(virtq, pop_rejects_head_outside_the_table)
{
	offer(SIZE);
	expect_broken();
	q.broken = false;
	gmem_store16(mem, AVAIL + 4, 0xffff);
	expect_broken();
}

/* H05, H06, H07 */
Test(virtq, buffers_outside_ram_make_the_chain_faulty)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {{UINT64_MAX - 0xff, 0x200}, {RAM - 1, 2},	  {RAM, 1},
		   {0xd0000000, 4},	      {0xfee00000, 4},	  {(1ull << 32) - 1, 2},
		   {(1ull << 32) + RAM, 1},   {0x8000, 0xffffffff}};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		desc(0, 0x8000, 16, NEXT, 1);
		desc(1, bad[i].addr, bad[i].len, NEXT | WRITE, 2);
		desc(2, 0x9000, 1, WRITE, 0);
		offer(0);
		expect_faulty();
	}
}

/* H08 */
Test(virtq, empty_buffers_contribute_nothing)
{
	desc(0, 0xdead0000, 0, NEXT, 1);
	desc(1, 0x8000, 8, NEXT, 2);
	desc(2, 0, 0, WRITE, 0);
	offer(0);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
	cr_assert(!c.faulty);
	cr_assert_eq(c.n_out, 1);
	cr_assert_eq(c.n_in, 0);
}

/* H09 */
Test(virtq, lengths_that_overflow_make_the_chain_faulty)
{
	struct gmem *big;

	cr_assert_eq(gmem_create(1ull << 32, 1ull << 31, &big, NULL), 0);
	gmem_destroy(mem);
	mem = q.mem = big;
	desc(0, 0, 0x70000000, NEXT, 1);
	desc(1, 0, 0x70000000, NEXT, 2);
	desc(2, 0, 0x70000000, 0, 0);
	offer(0);
	expect_faulty();
}

/* H11 */
Test(virtq, pop_rejects_an_index_that_jumps)
{
	static const uint16_t bad[] = {SIZE + 1, 0x8000, 0xffff};

	desc(0, 0x8000, 1, 0, 0);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		q.broken = false;
		gmem_store16(mem, AVAIL + 2, bad[i]);
		expect_broken();
	}
}

/* H12 */
Test(virtq, pop_rejects_indirect_that_was_not_negotiated)
{
	q.ready = false;
	virtq_enable(&q, false, false);
	desc(0, TABLE, 16, INDIRECT, 0);
	offer(0);
	expect_broken();
}

Test(virtq, pop_rejects_indirect_with_next_and_nested)
{
	desc(0, TABLE, 16, INDIRECT | NEXT, 1);
	offer(0);
	expect_broken();
	q.broken = false;
	desc(0, TABLE, 16, INDIRECT, 0);
	desc_at(TABLE, 0, TABLE, 16, INDIRECT, 0);
	expect_broken();
}

/* H13, H14, H15 */
Test(virtq, pop_rejects_bad_indirect_tables)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {{TABLE, 0},	{TABLE, 15},	   {TABLE, 17},
		   {TABLE, 16 * (SIZE + 1)}, {TABLE, 16 * 65536}, {TABLE, 0xfffffff0},
		   {RAM, 16},	{RAM - 16, 32},	   {0xfee00000, 16}, {UINT64_MAX - 15, 32}};

	offer(0);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		q.broken = false;
		desc(0, bad[i].addr, bad[i].len, INDIRECT, 0);
		expect_broken();
	}
}

Test(virtq, pop_rejects_loops_and_bad_next_in_indirect_tables)
{
	offer(0);
	desc(0, TABLE, 32, INDIRECT, 0);
	desc_at(TABLE, 0, 0x8000, 1, NEXT, 1);
	desc_at(TABLE, 1, 0x8000, 1, NEXT, 0);
	expect_broken();
	q.broken = false;
	desc_at(TABLE, 1, 0x8000, 1, NEXT, 2); /* inside the queue, beyond the table */
	expect_broken();
}

Test(virtq, indirect_table_works_and_may_follow_direct_descriptors)
{
	desc(0, 0x8000, 4, NEXT, 1);
	desc(1, TABLE, 32, INDIRECT, 0);
	desc_at(TABLE, 0, 0x9000, 5, NEXT, 1);
	desc_at(TABLE, 1, 0xa000, 6, WRITE, 0);
	offer(0);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
	cr_assert_eq(c.out_bytes, 9);
	cr_assert_eq(c.in_bytes, 6);
}

static void full_table(void)
{
	for (uint16_t i = 0; i < SIZE; i++)
		desc_at(TABLE, i, 0x8000, 1, i < SIZE - 1 ? NEXT : 0, i + 1);
}

Test(virtq, indirect_table_may_be_as_long_as_the_queue) /* Linux' drivers make those */
{
	full_table();
	desc(0, TABLE, 16 * SIZE, INDIRECT, 0);
	offer(0);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
	cr_assert_eq(c.out_bytes, SIZE);
}

Test(virtq, indirect_entries_count_towards_the_limit)
{
	full_table();
	desc(0, 0x8000, 1, NEXT, 1);
	desc(1, TABLE, 16 * SIZE, INDIRECT, 0);
	offer(0);
	expect_broken(); /* SIZE entries and the buffer before */
}

/* H22 */
Test(virtq, pop_rejects_readable_after_writable)
{
	desc(0, 0x8000, 1, WRITE | NEXT, 1);
	desc(1, 0x9000, 1, 0, 0);
	offer(0);
	expect_broken();
	q.broken = false;
	desc(0, 0x8000, 0, WRITE | NEXT, 1); /* an empty one too */
	expect_broken();
	q.broken = false;
	desc(0, 0xdead0000, 4, WRITE | NEXT, 1); /* and a faulty one */
	expect_broken();
}

/* H26, H27 */
Test(virtq, pop_rejects_a_head_in_flight)
{
	struct virtq_chain first;

	desc(4, 0x8000, 1, 0, 0);
	offer(4);
	offer(4);
	cr_assert_eq(virtq_pop(&q, &first), VIRTQ_GOT);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_BROKEN);
	virtq_push(&q, &first, 0); /* the one in flight still completes */
	cr_assert_eq(load(USED + 2), 1);
}

Test(virtq, head_may_come_again_after_its_push)
{
	desc(4, 0x8000, 1, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		offer(4);
		cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
		virtq_push(&q, &c, 0);
	}
}

Test(virtq, too_many_pieces_make_the_chain_faulty)
{
	q.ready = false;
	q.size = 256;
	q.avail = 0x10000;
	q.used = 0x20000;
	q.desc = 0x30000;
	cr_assert(virtq_enable(&q, false, false));
	for (uint16_t i = 0; i <= VIRTQ_MAX_SEGS; i++)
		desc_at(q.desc, i, 0x8000, 1, i < VIRTQ_MAX_SEGS ? NEXT : 0, i + 1);
	gmem_store16(mem, q.avail + 2, 1);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
	cr_assert(c.faulty);
	virtq_push(&q, &c, 0);
	desc_at(q.desc, VIRTQ_MAX_SEGS - 1, 0x8000, 1, 0, 0);
	gmem_store16(mem, q.avail + 2, 2);
	cr_assert_eq(virtq_pop(&q, &c), VIRTQ_GOT);
	cr_assert(!c.faulty);
	cr_assert_eq(c.n_out, VIRTQ_MAX_SEGS);
}

Test(virtq, interrupt_suppression_by_flag)
{
	q.ready = false;
	virtq_enable(&q, false, false);
	desc(0, 0x8000, 1, 0, 0);
	offer(0);
	virtq_pop(&q, &c);
	cr_assert(!virtq_wants_irq(&q), "nothing was pushed");
	virtq_push(&q, &c, 0);
	cr_assert(virtq_wants_irq(&q));
	cr_assert(!virtq_wants_irq(&q));
	gmem_store16(mem, AVAIL, 1);
	offer(0);
	virtq_pop(&q, &c);
	virtq_push(&q, &c, 0);
	cr_assert(!virtq_wants_irq(&q));
}

Test(virtq, interrupt_suppression_by_event_index)
{
	static const bool wants[] = {false, false, true, false, false};

	desc(0, 0x8000, 1, 0, 0);
	gmem_store16(mem, AVAIL + 4 + 2 * SIZE, 2); /* when the third is used */
	for (unsigned i = 0; i < ARRAY_LEN(wants); i++) {
		offer(0);
		virtq_pop(&q, &c);
		virtq_push(&q, &c, 0);
		cr_assert_eq(virtq_wants_irq(&q), wants[i], "%u", i);
	}
}

Test(virtq, several_pushes_past_the_event_index_interrupt_once)
{
	desc(0, 0x8000, 1, 0, 0);
	gmem_store16(mem, AVAIL + 4 + 2 * SIZE, 1);
	for (unsigned i = 0; i < 3; i++) {
		offer(0);
		virtq_pop(&q, &c);
		virtq_push(&q, &c, 0);
	}
	cr_assert(virtq_wants_irq(&q));
}

Test(virtq, empty_queue_asks_to_be_notified_of_the_next_chain)
{
	desc(0, 0x8000, 1, 0, 0);
	for (uint16_t i = 0; i < 3; i++) {
		cr_assert_eq(virtq_pop(&q, &c), VIRTQ_EMPTY);
		cr_assert_eq(load(USED + 4 + 8 * SIZE), i);
		offer(0);
		virtq_pop(&q, &c);
		virtq_push(&q, &c, 0);
	}
}

/* H21: rings on top of each other are the driver's own loss */
Test(virtq, overlapping_rings_do_no_harm)
{
	q.ready = false;
	q.desc = q.avail = q.used = 0x6000;
	cr_assert(virtq_enable(&q, true, true));
	for (unsigned i = 0; i < 1000; i++) {
		gmem_store16(mem, 0x6002, (uint16_t)(q.next_avail + 1));
		q.broken = false;
		if (virtq_pop(&q, &c) == VIRTQ_GOT)
			virtq_push(&q, &c, 1);
	}
	cr_assert_leq(q.n_inflight, SIZE);
}

/* --- a model of what may be accepted, over random small rings ---------------------------------- */

static uint32_t seed = 12345;

static uint32_t pick(const uint64_t *from, unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)from[(seed >> 16) % n];
}

static void random_table(gpaddr table, unsigned n)
{
	static const uint64_t addrs[] = {0x8000, TABLE, RAM - 8, 0xd0000000, 0};
	static const uint64_t lens[] = {0, 16, 32, 48, 64, 15, 1};
	static const uint64_t flags[] = {0, NEXT, NEXT, NEXT, WRITE, NEXT | WRITE, NEXT | WRITE,
					 INDIRECT, INDIRECT | NEXT, INDIRECT | WRITE};
	static const uint64_t nexts[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};

	for (unsigned i = 0; i < n; i++)
		desc_at(table, i, pick(addrs, ARRAY_LEN(addrs)), pick(lens, ARRAY_LEN(lens)),
			(uint16_t)pick(flags, ARRAY_LEN(flags)),
			(uint16_t)pick(nexts, ARRAY_LEN(nexts)));
}

Test(virtq, walker_agrees_with_the_model)
{
	unsigned n_broken = 0, n_faulty = 0, n_good = 0, n_long = 0;

	for (unsigned round = 0; round < 200000; round++) {
		struct virtq_model m;
		enum virtq_result r;

		random_table(DESC, SIZE);
		random_table(TABLE, 4);
		offer((uint16_t)(round % SIZE));
		m = virtq_model_walk(&q, (uint16_t)(round % SIZE));
		r = virtq_pop(&q, &c);
		cr_assert_eq(r == VIRTQ_BROKEN, m.broken, "round %u", round);
		if (r == VIRTQ_BROKEN) {
			n_broken++;
			q.broken = false;
			q.next_avail = avail_idx;
			continue;
		}
		cr_assert_eq(c.faulty, m.faulty, "round %u", round);
		if (c.faulty) {
			n_faulty++;
		} else {
			n_good++;
			n_long += m.n_out + m.n_in > 2;
			cr_assert_eq(c.n_out, m.n_out);
			cr_assert_eq(c.n_in, m.n_in);
			cr_assert_eq(c.out_bytes, m.out_bytes);
			cr_assert_eq(c.in_bytes, m.in_bytes);
		}
		virtq_push(&q, &c, 0);
	}
	/* the generator must reach every kind */
	cr_assert_gt(n_broken, 1000);
	cr_assert_gt(n_faulty, 1000);
	cr_assert_gt(n_good, 1000);
	cr_assert_gt(n_long, 100);
}
