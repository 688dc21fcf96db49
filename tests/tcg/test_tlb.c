/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two levels of TLB against a model: random page table changes, accesses, address space
 * switches and flushes of every type.
 *
 * The model keeps, for each address space and page, every translation that a processor may still
 * have cached: those that the tables held since the last flush which concerns it. An access must
 * find one of them, and a fault must be what the tables say now. What must survive is tested by
 * hand: a TLB that is always empty would pass the model.
 */
#include "cpu_rig.h"

#include "accel/tcg/cpu/tlb.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum {
	N_SPACES = 3, N_PAGES = 12, N_FRAMES = 8, N_LARGE = 2,
	FRAMES = 0x400000, LARGE = 0x800000,
	NONE = N_FRAMES + N_LARGE, /* code: not present */
};

struct model {
	struct rig *r;
	uint32_t seed;
	unsigned now; /* address space */
	/* What the tables say: codes (frame, or N_FRAMES + large frame, or NONE). */
	uint8_t code[N_SPACES][N_PAGES], writable[N_SPACES][N_PAGES], global[N_SPACES][N_PAGES];
	bool large[N_SPACES][2]; /* regions 1 and 3 are one 2 MiB page */
	/* Codes that may be cached, and those that may be so as writable. */
	uint32_t may[N_SPACES][N_PAGES], may_write[N_SPACES][N_PAGES];
	uint32_t may_g[N_PAGES], may_write_g[N_PAGES];
	uint64_t n_found, n_stale, n_faults;
};

static unsigned pick(struct model *m, unsigned n)
{
	return rig_random(&m->seed) % n;
}

/* Pages 0-2 and 3-5 are in two 2 MiB regions of the user's half, 6-8 and 9-11 of the kernel's. */
static unsigned region_of(unsigned page)
{
	return page / 3;
}

static gvaddr la_of(unsigned page)
{
	gvaddr base = page < 6 ? 0x40000000 : 0xffff800040000000;
	static const uint32_t at[] = {0, 0x5000, 0x1ff000};

	return base + (region_of(page) & 1) * 0x200000 + at[page % 3];
}

static gpaddr table_at(unsigned space, unsigned which)
{
	return 0x40000 + space * 0x10000 + which * 0x1000;
}

/* Tables of a space: 0 the root, 1 and 2 the two halves' PDPTs, 3 and 4 their directories, 5..8
 * the regions' page tables. */
static void make_space(struct rig *r, unsigned s)
{
	for (unsigned h = 0; h < 2; h++) {
		gpaddr pdpt = h ? table_at(s, 2) : 0x80000 + s * 0x1000;

		if (h)
			rig_put(r, table_at(s, 0) + 256 * 8, pdpt | 7, 8);
		else
			rig_put(r, table_at(s, 0), pdpt | 7, 8);
		rig_put(r, pdpt + 8, table_at(s, 3 + h) | 7, 8);
		for (unsigned i = 0; i < 2; i++)
			rig_put(r, table_at(s, 3 + h) + i * 8, table_at(s, 5 + h * 2 + i) | 7, 8);
	}
}

static void note(struct model *m, unsigned s, unsigned p)
{
	uint32_t bit = m->code[s][p] == NONE ? 0 : 1u << m->code[s][p];

	m->may[s][p] |= bit;
	m->may_write[s][p] |= m->writable[s][p] ? bit : 0;
	if (m->global[s][p]) {
		m->may_g[p] |= bit;
		m->may_write_g[p] |= m->writable[s][p] ? bit : 0;
	}
}

static void forget(struct model *m, unsigned s, unsigned p)
{
	m->may[s][p] = m->may_write[s][p] = 0;
	note(m, s, p);
}

static void forget_global(struct model *m, unsigned p)
{
	m->may_g[p] = m->may_write_g[p] = 0;
	for (unsigned s = 0; s < N_SPACES; s++)
		note(m, s, p);
}

static uint64_t leaf(const struct model *m, unsigned s, unsigned p)
{
	uint64_t flags = 5u | (m->writable[s][p] ? 2u : 0) | (m->global[s][p] ? 0x100u : 0);
	unsigned code = m->code[s][p];

	if (code == NONE)
		return 0;
	if (code < N_FRAMES)
		return (FRAMES + code * 0x1000) | flags;
	return (LARGE + (code - N_FRAMES) * 0x200000ull) | flags | 0x80;
}

static void change(struct model *m)
{
	unsigned s = pick(m, N_SPACES), p = pick(m, N_PAGES), reg = region_of(p);
	bool can_large = reg & 1, kernel = reg >= 2;
	gpaddr dir = table_at(s, 3 + kernel) + (reg & 1) * 8;

	if (can_large && pick(m, 3) == 0) {
		bool large = !m->large[s][reg >> 1];
		unsigned code = N_FRAMES + pick(m, N_LARGE), w = pick(m, 2),
			 g = kernel ? pick(m, 2) : 0;

		m->large[s][reg >> 1] = large;
		for (unsigned q = reg * 3; q < reg * 3 + 3; q++) {
			m->code[s][q] = (uint8_t)(large ? code : NONE);
			m->writable[s][q] = (uint8_t)w;
			m->global[s][q] = (uint8_t)g;
			if (!large)
				rig_put(m->r, table_at(s, 5 + reg) + (la_of(q) >> 12 & 511) * 8, 0, 8);
			note(m, s, q);
		}
		rig_put(m->r, dir, large ? leaf(m, s, p) : table_at(s, 5 + reg) | 7, 8);
		return;
	}
	if (can_large && m->large[s][reg >> 1])
		return;
	m->code[s][p] = (uint8_t)(pick(m, 5) ? pick(m, N_FRAMES) : NONE);
	m->writable[s][p] = (uint8_t)pick(m, 2);
	m->global[s][p] = (uint8_t)(kernel ? pick(m, 2) : 0);
	rig_put(m->r, table_at(s, 5 + reg) + (la_of(p) >> 12 & 511) * 8, leaf(m, s, p), 8);
	note(m, s, p);
}

struct access {
	gvaddr la;
	bool write;
	uint64_t val;
};

static void do_access(struct cpu *c, void *arg)
{
	struct access *a = arg;

	if (a->write)
		mmu_store(c, a->la + 8, 8, a->val, TLB_KERNEL);
	else
		a->val = mmu_load(c, a->la, 8, TLB_KERNEL);
}

/* Where a page of a frame is, and what its first word says. */
static gpaddr place_of(unsigned code, unsigned p)
{
	if (code < N_FRAMES)
		return FRAMES + code * 0x1000;
	return LARGE + (code - N_FRAMES) * 0x200000 + (la_of(p) & 0x1fffff);
}

static void access(struct model *m)
{
	unsigned p = pick(m, N_PAGES), s = m->now, code;
	struct access a = {la_of(p), pick(m, 3) == 0, rig_random(&m->seed) | 1ull << 40};
	uint32_t may = a.write ? m->may_write[s][p] | m->may_write_g[p]
			       : m->may[s][p] | m->may_g[p];
	struct rig_fault f = rig_catch(m->r->c, do_access, &a);

	if (f.vector >= 0) {
		cr_assert_eq(f.vector, X86_EXC_PF);
		cr_assert(m->code[s][p] == NONE || (a.write && !m->writable[s][p]),
			  "a fault that the tables do not cause");
		m->n_faults++;
		return;
	}
	if (a.write) {
		for (code = 0; code < NONE; code++)
			if (rig_get(m->r, place_of(code, p) + 8, 8) == a.val)
				break;
	} else {
		code = (unsigned)(a.val & 0xff);
		cr_assert(code < NONE && a.val == rig_get(m->r, place_of(code, p), 8));
	}
	cr_assert(code < NONE && may >> code & 1, "page %u of space %u %s: frame %u is stale", p, s,
		  a.write ? "written" : "read", code);
	m->n_found++;
	if (m->code[s][p] != code)
		m->n_stale++;
}

static void set_cr3(struct model *m, unsigned s, bool keep)
{
	cpu_write_cr(m->r->c, 3, table_at(s, 0) | (s + 1) | (keep ? 1ull << 63 : 0));
	m->now = s;
	if (!keep)
		for (unsigned p = 0; p < N_PAGES; p++)
			forget(m, s, p);
}

/* Also takes large pages out: they are one translation for all three pages of a region. */
static void flush_page(struct model *m, unsigned s, unsigned p, bool global)
{
	static const uint32_t larges = ((1u << N_LARGE) - 1) << N_FRAMES;
	unsigned first = region_of(p) * 3;

	forget(m, s, p);
	for (unsigned q = first; q < first + 3; q++) {
		m->may[s][q] &= ~larges;
		m->may_write[s][q] &= ~larges;
		if (global) {
			m->may_g[q] &= ~larges;
			m->may_write_g[q] &= ~larges;
		}
	}
	if (global)
		forget_global(m, p);
	for (unsigned q = first; q < first + 3; q++)
		for (unsigned x = 0; x < N_SPACES; x++)
			note(m, x, q);
}

static void flush_all(struct model *m, bool global)
{
	for (unsigned p = 0; p < N_PAGES; p++) {
		for (unsigned s = 0; s < N_SPACES; s++)
			forget(m, s, p);
		if (global)
			forget_global(m, p);
	}
}

static void flush(struct model *m)
{
	struct cpu *c = m->r->c;
	unsigned s = pick(m, N_SPACES), p = pick(m, N_PAGES);

	switch (pick(m, 9)) {
	case 0: case 1: /* INVLPG: any address within the page */
		mmu_flush_page(c, la_of(p) + pick(m, 4096));
		flush_page(m, m->now, p, true);
		break;
	case 2: case 3: /* INVPCID, individual address */
		mmu_flush_page_pcid(c, la_of(p), s + 1);
		flush_page(m, s, p, false);
		break;
	case 4: /* single context */
		mmu_flush_pcid(c, s + 1);
		for (p = 0; p < N_PAGES; p++)
			forget(m, s, p);
		break;
	case 5: /* all contexts but globals */
		mmu_flush_nonglobal(c);
		flush_all(m, false);
		break;
	case 6:
		mmu_flush_all(c);
		flush_all(m, true);
		break;
	case 7: /* CR4.PGE off and on */
		cpu_write_cr(c, 4, c->cr4 ^ X86_CR4_PGE);
		cpu_write_cr(c, 4, c->cr4 ^ X86_CR4_PGE);
		flush_all(m, true);
		break;
	default:
		set_cr3(m, s, false);
		break;
	}
}

static struct model *model_create(void)
{
	struct model *m = calloc(1, sizeof(*m));

	cr_assert(m);
	m->seed = 0x1badcafe;
	m->r = rig_create(1);
	rig_long(m->r);
	for (unsigned code = 0; code < NONE; code++)
		for (unsigned p = 0; p < N_PAGES; p++)
			rig_put(m->r, place_of(code, p),
				code < N_FRAMES ? code : code | (la_of(p) & 0x1fffff) << 8, 8);
	for (unsigned s = 0; s < N_SPACES; s++) {
		make_space(m->r, s);
		for (unsigned p = 0; p < N_PAGES; p++)
			m->code[s][p] = NONE;
	}
	cpu_write_cr(m->r->c, 4, m->r->c->cr4 | X86_CR4_PCIDE | X86_CR4_PGE);
	m->r->c->cr0 |= X86_CR0_WP;
	set_cr3(m, 0, false);
	return m;
}

static unsigned rounds(void)
{
	const char *s = getenv("MAYFLY_MMU_ROUNDS");

	return s ? (unsigned)strtoul(s, NULL, 0) : 400000;
}

Test(tlb, flushes_leave_nothing_stale)
{
	struct model *m = model_create();

	for (unsigned i = 0, n = rounds(); i < n; i++) {
		unsigned what = pick(m, 100);

		if (what < 15)
			change(m);
		else if (what < 22)
			flush(m);
		else if (what < 30)
			set_cr3(m, pick(m, N_SPACES), true);
		else
			access(m);
	}
	/* Caching is seen to happen. */
	cr_assert_gt(m->n_found, rounds() / 4);
	cr_assert_gt(m->n_stale, rounds() / 100);
	cr_assert_gt(m->n_faults, rounds() / 100);
	rig_destroy(m->r);
	free(m);
}

/* Reads page p in the current space; the number of page walks that took. */
static unsigned walks_of(struct model *m, unsigned p)
{
	uint64_t before = m->r->c->n_walks;
	struct access a = {la_of(p), false, 0};

	cr_assert_eq(rig_catch(m->r->c, do_access, &a).vector, -1);
	return (unsigned)(m->r->c->n_walks - before);
}

static void map(struct model *m, unsigned s, unsigned p, uint64_t flags)
{
	rig_put(m->r, table_at(s, 5 + region_of(p)) + (la_of(p) >> 12 & 511) * 8,
		(FRAMES + p % N_FRAMES * 0x1000) | flags, 8);
}

Test(tlb, translations_survive_what_does_not_concern_them)
{
	struct model *m = model_create();
	struct cpu *c = m->r->c;

	for (unsigned s = 0; s < 2; s++) {
		map(m, s, 0, 7);
		map(m, s, 1, 7);
		map(m, s, 6, 0x107); /* global */
		map(m, s, 7, 7);
	}
	rig_put(m->r, table_at(0, 3) + 8, LARGE | 0x87, 8);
	cr_assert_eq(walks_of(m, 0), 1);
	cr_assert_eq(walks_of(m, 0), 0);
	cr_assert_eq(walks_of(m, 6), 1);
	cr_assert_eq(walks_of(m, 7), 1);
	cr_assert_eq(walks_of(m, 3), 1);
	cr_assert_eq(walks_of(m, 5), 0); /* the same large page */
	set_cr3(m, 1, true);
	cr_assert_eq(walks_of(m, 0), 1); /* of another space */
	cr_assert_eq(walks_of(m, 7), 1);
	cr_assert_eq(walks_of(m, 6), 0);
	set_cr3(m, 0, true);
	cr_assert_eq(walks_of(m, 0), 0);
	cr_assert_eq(walks_of(m, 3), 0);
	cr_assert_eq(walks_of(m, 7), 0);
	mmu_flush_pcid(c, 2);
	cr_assert_eq(walks_of(m, 0), 0);
	mmu_flush_page_pcid(c, la_of(0), 2);
	cr_assert_eq(walks_of(m, 0), 0);
	mmu_flush_page(c, la_of(1));
	cr_assert_eq(walks_of(m, 0), 0);
	set_cr3(m, 0, false);
	cr_assert_eq(walks_of(m, 0), 1);
	cr_assert_eq(walks_of(m, 6), 0);
	mmu_flush_nonglobal(c);
	cr_assert_eq(walks_of(m, 6), 0);
	cr_assert_eq(walks_of(m, 7), 1);
	mmu_flush_all(c);
	cr_assert_eq(walks_of(m, 6), 1);
	rig_destroy(m->r);
	free(m);
}

/* A remembered page answers each kind of access by the mode of the moment. */
Test(tlb, permissions_are_looked_at_again)
{
	struct model *m = model_create();
	struct cpu *c = m->r->c;
	struct access st = {la_of(0), true, 5};

	map(m, 0, 0, 5); /* user, read-only, not dirty */
	cr_assert_eq(walks_of(m, 0), 1);
	cr_assert_eq(rig_catch(c, do_access, &st).error, PF_P | PF_W);
	map(m, 0, 0, 7);
	mmu_flush_page(c, la_of(0));
	cr_assert_eq(walks_of(m, 0), 1);
	/* The first store sets D, which takes a walk. */
	cr_assert_eq(rig_catch(c, do_access, &st).vector, -1);
	cr_assert(rig_get(m->r, table_at(0, 5), 8) & 0x40);
	cpu_write_cr(c, 4, c->cr4 | X86_CR4_SMAP);
	cr_assert_eq(rig_catch(c, do_access, &st).error, PF_P | PF_W);
	rig_destroy(m->r);
	free(m);
}

Test(tlb, process_context_identifiers_have_their_rules)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	cpu_write_cr(c, 4, c->cr4 | X86_CR4_PCIDE);
	cpu_write_cr(c, 3, c->cr3 | 0x123 | 1ull << 63);
	cr_assert_eq(cpu_read_cr(c, 3), (c->cr3 & ~0xfffull) | 0x123);
	cr_assert_eq(cpu_pcid(c), 0x123);
	rig_destroy(r);
}
