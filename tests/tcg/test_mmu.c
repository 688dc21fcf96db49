/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paging against a second walker that is written from the manual's tables, one function per
 * paging mode, over random tables and control bits; then page crossing, MMIO, flushes, code pages
 * and exclusive sections.
 *
 * MAYFLY_MMU_ROUNDS sets the number of random cases (default 200000).
 */
#include "accel/tcg/cpu/walk.h"
#include "tests/tcg/cpu_rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* --- the slow walker --- */

struct outcome {
	bool ok;
	uint32_t ec;
	gpaddr gpa;
	bool global;
};

struct rights {
	bool user, writable, nx;
};

static uint64_t entry(struct rig *r, gpaddr at, unsigned size)
{
	return at + size <= RIG_RAM ? rig_get(r, at, size) : ~0ull >> (64 - size * 8);
}

static struct outcome judge(struct cpu *c, struct rights k, enum walk_access acc, unsigned idx,
			    gpaddr gpa, bool g)
{
	bool user_access = idx == TLB_USER, denied = false;
	struct outcome o = {.gpa = gpa, .global = g && c->cr4 & X86_CR4_PGE};

	if (user_access) {
		denied = !k.user || (acc == WALK_WRITE && !k.writable) || (acc == WALK_EXEC && k.nx);
	} else if (acc == WALK_EXEC) {
		denied = k.nx || (k.user && c->cr4 & X86_CR4_SMEP);
	} else {
		if (k.user && c->cr4 & X86_CR4_SMAP && idx != TLB_KERNEL_AC)
			denied = true;
		if (acc == WALK_WRITE && !k.writable && c->cr0 & X86_CR0_WP)
			denied = true;
	}
	o.ok = !denied;
	if (denied)
		o.ec = PF_P;
	return o;
}

static struct outcome slow_32(struct rig *r, gvaddr la, enum walk_access acc, unsigned idx)
{
	struct cpu *c = r->c;
	uint64_t pde = entry(r, (c->cr3 & 0xfffff000) + (la >> 22) * 4, 4), pte;
	struct outcome none = {0}, rsvd = {.ec = PF_P | PF_RSVD};

	if (!(pde & 1))
		return none;
	if (pde & 0x80 && c->cr4 & X86_CR4_PSE) {
		if (pde & 0x200000)
			return rsvd;
		return judge(c, (struct rights){pde & 4, pde & 2, false}, acc, idx,
			     (pde & 0xffc00000) + ((pde >> 13 & 0xff) << 32) + (la & 0x3ff000),
			     pde & 0x100);
	}
	pte = entry(r, (pde & 0xfffff000) + (la >> 12 & 0x3ff) * 4, 4);
	if (!(pte & 1))
		return none;
	return judge(c, (struct rights){pde & pte & 4, pde & pte & 2, false}, acc, idx,
		     pte & 0xfffff000, pte & 0x100);
}

static bool rsvd_64(struct cpu *c, uint64_t e, bool pae)
{
	if (e >> 63 && !(c->efer & X86_EFER_NXE))
		return true;
	if (e & 0x000fc00000000000) /* 51..46 */
		return true;
	return pae && e & 0x7ff0000000000000;
}

static struct outcome slow_tail(struct rig *r, gvaddr la, enum walk_access acc, unsigned idx,
				gpaddr pd, struct rights k, bool pae)
{
	struct cpu *c = r->c;
	struct outcome none = {0}, rsvd = {.ec = PF_P | PF_RSVD};
	uint64_t pde = entry(r, pd + (la >> 21 & 0x1ff) * 8, 8), pte;

	if (!(pde & 1))
		return none;
	if (rsvd_64(c, pde, pae) || (pde & 0x80 && pde & 0x1fe000))
		return rsvd;
	k = (struct rights){k.user && pde & 4, k.writable && pde & 2, k.nx || pde >> 63};
	if (pde & 0x80)
		return judge(c, k, acc, idx, (pde & 0x3fffffe00000) + (la & 0x1ff000), pde & 0x100);
	pte = entry(r, (pde & 0x3ffffffff000) + (la >> 12 & 0x1ff) * 8, 8);
	if (!(pte & 1))
		return none;
	if (rsvd_64(c, pte, pae))
		return rsvd;
	k = (struct rights){k.user && pte & 4, k.writable && pte & 2, k.nx || pte >> 63};
	return judge(c, k, acc, idx, pte & 0x3ffffffff000, pte & 0x100);
}

static struct outcome slow_pae(struct rig *r, gvaddr la, enum walk_access acc, unsigned idx)
{
	uint64_t pdpte = r->c->pdpte[la >> 30];

	if (!(pdpte & 1))
		return (struct outcome){0};
	return slow_tail(r, la, acc, idx, pdpte & 0x3ffffffff000, (struct rights){true, true, false},
			 true);
}

static struct outcome slow_long(struct rig *r, gvaddr la, enum walk_access acc, unsigned idx)
{
	struct cpu *c = r->c;
	struct outcome none = {0}, rsvd = {.ec = PF_P | PF_RSVD};
	uint64_t e4 = entry(r, (c->cr3 & 0x3ffffffff000) + (la >> 39 & 0x1ff) * 8, 8), e3;
	struct rights k;

	if (!(e4 & 1))
		return none;
	if (rsvd_64(c, e4, false) || e4 & 0x80)
		return rsvd;
	e3 = entry(r, (e4 & 0x3ffffffff000) + (la >> 30 & 0x1ff) * 8, 8);
	if (!(e3 & 1))
		return none;
	if (rsvd_64(c, e3, false) || (e3 & 0x80 && e3 & 0x3fffe000))
		return rsvd;
	k = (struct rights){e4 & e3 & 4, e4 & e3 & 2, (e4 | e3) >> 63};
	if (e3 & 0x80)
		return judge(c, k, acc, idx, (e3 & 0x3fffc0000000) + (la & 0x3ffff000), e3 & 0x100);
	return slow_tail(r, la, acc, idx, e3 & 0x3ffffffff000, k, false);
}

/* --- random tables --- */

enum { ROOT = 0x100000, L3 = 0x101000, L2 = 0x102000, L1 = 0x103000 };

/* An entry that is mostly usable: each flaw comes in one of eight or so. */
static uint64_t random_entry(uint32_t *s, uint64_t addr, bool leaf, unsigned shift, bool wide)
{
	uint64_t e = addr;

	if (rig_random(s) & 15)
		e |= 1;
	if (rig_random(s) & 3)
		e |= 2;
	if (rig_random(s) & 3)
		e |= 4;
	e |= rig_random(s) & 0x160; /* A D G */
	if (leaf && shift > 12)
		e |= 0x80;
	if (leaf && shift > 12 && !(rig_random(s) & 15))
		e |= 1u << (13 + rig_random(s) % (shift - 13));
	if (wide && !(rig_random(s) & 7))
		e |= 1ull << 63;
	if (wide && !(rig_random(s) & 31))
		e |= 1ull << (46 + rig_random(s) % 17);
	return e;
}

enum paging { P32, PPAE, PLONG };

static gvaddr random_tables(struct rig *r, enum paging p, uint32_t *s)
{
	unsigned size = p == P32 ? 4 : 8;
	bool huge = p == PLONG && !(rig_random(s) & 7), large = huge || rig_random(s) & 1;
	gvaddr la = (gvaddr)rig_random(s) << 16 ^ rig_random(s);
	uint64_t leaf = (rig_random(s) & 0xff) << 12;

	la &= p == PLONG ? 0x7fffffffffff : 0xffffffff;
	if (p == PLONG && rig_random(s) & 1)
		la |= 0xffff800000000000;
	if (p == PLONG) {
		rig_put(r, ROOT + (la >> 39 & 0x1ff) * 8,
			random_entry(s, L3, false, 39, true) | (rig_random(s) & 31 ? 0 : 0x80), 8);
		rig_put(r, L3 + (la >> 30 & 0x1ff) * 8,
			random_entry(s, huge ? 0x40000000 : L2, huge, 30, true), 8);
	} else if (p == PPAE) {
		r->c->pdpte[la >> 30] = L2 | (rig_random(s) & 15 ? 1 : 0);
	}
	if (p == P32) {
		rig_put(r, ROOT + (la >> 22) * 4,
			random_entry(s, large ? leaf >> 12 << 22 : L1, large, 22, false) & 0xffffffff, 4);
		rig_put(r, L1 + (la >> 12 & 0x3ff) * 4, random_entry(s, leaf, true, 12, false), 4);
	} else if (!huge) {
		rig_put(r, L2 + (la >> 21 & 0x1ff) * size,
			random_entry(s, large ? leaf >> 12 << 21 : L1, large, 21, true), 8);
		rig_put(r, L1 + (la >> 12 & 0x1ff) * size, random_entry(s, leaf, true, 12, true), 8);
	}
	return la;
}

static void random_controls(struct cpu *c, enum paging p, uint32_t *s)
{
	uint32_t x = rig_random(s);

	c->cr3 = ROOT;
	c->cr0 = X86_CR0_PE | X86_CR0_PG | (x & 1 ? X86_CR0_WP : 0);
	c->cr4 = (x & 2 ? X86_CR4_SMEP : 0) | (x & 4 ? X86_CR4_SMAP : 0) | (x & 8 ? X86_CR4_PGE : 0) |
		 (x & 0x30 ? X86_CR4_PSE : 0) | (p == P32 ? 0 : X86_CR4_PAE);
	c->efer = (x & 0xc0 ? X86_EFER_NXE : 0) | (p == PLONG ? X86_EFER_LMA | X86_EFER_LME : 0);
}

static uint32_t expected_flags(const struct cpu *c, enum walk_access acc, unsigned idx)
{
	uint32_t ec = (acc == WALK_WRITE ? PF_W : 0) | (idx == TLB_USER ? PF_U : 0);

	if (acc == WALK_EXEC && (c->cr4 & X86_CR4_SMEP ||
				 (c->cr4 & X86_CR4_PAE && c->efer & X86_EFER_NXE)))
		ec |= PF_I;
	return ec;
}

static unsigned rounds(void)
{
	const char *s = getenv("MAYFLY_MMU_ROUNDS");

	return s ? (unsigned)strtoul(s, NULL, 0) : 200000;
}

static void run_matrix(enum paging p, uint32_t seed)
{
	struct rig *r = rig_create(1);
	struct outcome (*const slow[])(struct rig *, gvaddr, enum walk_access, unsigned) = {
		slow_32, slow_pae, slow_long};
	unsigned n_ok = 0, n_bad = 0, n_rsvd = 0, n = rounds() / 3;

	for (unsigned i = 0; i < n; i++) {
		gvaddr la = random_tables(r, p, &seed);
		enum walk_access acc = rig_random(&seed) % 3;
		unsigned idx = rig_random(&seed) % 3;
		struct outcome want;
		struct walk w;
		uint32_t ec;
		bool ok;

		random_controls(r->c, p, &seed);
		want = slow[p](r, la, acc, idx);
		ok = mmu_walk(r->c, la, acc, idx, &w, &ec);
		cr_assert_eq(ok, want.ok, "case %u: la %llx acc %d idx %u", i, (long long)la, acc, idx);
		if (ok) {
			cr_assert_eq(w.gpa, want.gpa, "case %u: %llx not %llx", i,
				     (long long)w.gpa, (long long)want.gpa);
			cr_assert_eq(w.global, want.global, "case %u", i);
			n_ok++;
		} else {
			cr_assert_eq(ec, want.ec | expected_flags(r->c, acc, idx), "case %u: ec %x",
				     i, ec);
			n_bad++;
			n_rsvd += !!(ec & PF_RSVD);
		}
	}
	/* The cases must reach all outcomes to mean anything. */
	cr_assert(n_ok > n / 10 && n_bad > n / 10 && n_rsvd > n / 1000, "%u %u %u", n_ok, n_bad,
		  n_rsvd);
	rig_destroy(r);
}

Test(mmu, two_level_matches_the_manual) { run_matrix(P32, 1); }
Test(mmu, pae_matches_the_manual) { run_matrix(PPAE, 2); }
Test(mmu, four_level_matches_the_manual) { run_matrix(PLONG, 3); }

Test(mmu, accessed_and_dirty_are_set_only_when_allowed)
{
	struct rig *r = rig_create(1);
	struct walk w;
	uint32_t ec;

	rig_long(r);
	rig_put(r, 0x10000 + 8, 0x13007, 8);
	rig_put(r, 0x13000, 0x14007, 8);
	rig_put(r, 0x14000, 0x15007, 8);
	rig_put(r, 0x15000, 0x200005, 8); /* read-only, user */

	cr_assert_not(mmu_walk(r->c, 1ull << 39, WALK_WRITE, TLB_USER, &w, &ec));
	cr_assert_eq(rig_get(r, 0x10008, 8), 0x13007);
	cr_assert_eq(rig_get(r, 0x15000, 8), 0x200005);
	cr_assert(mmu_walk(r->c, 1ull << 39, WALK_READ, TLB_USER, &w, &ec));
	cr_assert_eq(rig_get(r, 0x10008, 8), 0x13027);
	cr_assert_eq(rig_get(r, 0x13000, 8), 0x14027);
	cr_assert_eq(rig_get(r, 0x15000, 8), 0x200025);
	r->c->cr0 &= ~(uint64_t)X86_CR0_WP;
	cr_assert(mmu_walk(r->c, 1ull << 39, WALK_WRITE, TLB_KERNEL, &w, &ec));
	cr_assert_eq(rig_get(r, 0x15000, 8), 0x200065);
	cr_assert_eq(rig_get(r, 0x13000, 8), 0x14027); /* D only in the leaf */
	rig_destroy(r);
}

/* --- accessors --- */

struct acc {
	gvaddr la;
	unsigned size, idx;
	uint64_t val;
	bool write;
};

static void do_access(struct cpu *c, void *arg)
{
	struct acc *a = arg;

	if (a->write)
		mmu_store(c, a->la, a->size, a->val, a->idx);
	else
		a->val = mmu_load(c, a->la, a->size, a->idx);
}

/* Long mode with 4 KiB pages at 1 GiB: page 0 -> 0x200000, page 1 -> 0x300000, page 2 absent,
 * page 3 -> MMIO, page 4 read-only. */
enum { VA = 0x40000000 };
static struct rig *paged(unsigned n_cpus)
{
	struct rig *r = rig_create(n_cpus);

	rig_long(r);
	rig_put(r, 0x11008, 0x14007, 8);
	rig_put(r, 0x14000, 0x15007, 8);
	rig_put(r, 0x15000, 0x200007, 8);
	rig_put(r, 0x15008, 0x300007, 8);
	rig_put(r, 0x15010, 0, 8);
	rig_put(r, 0x15018, 0xd0000007, 8);
	rig_put(r, 0x15020, 0x400005, 8);
	return r;
}

Test(mmu, crossing_access_takes_both_pages)
{
	struct rig *r = paged(1);
	struct acc st = {VA + 0xffd, 8, TLB_KERNEL, 0x8877665544332211, true};
	struct acc ld = {VA + 0xffd, 8, TLB_KERNEL, 0, false};

	cr_assert_eq(rig_catch(r->c, do_access, &st).vector, -1);
	cr_assert_eq(rig_get(r, 0x200ffd, 2), 0x2211);
	cr_assert_eq(rig_get(r, 0x300000, 4), 0x77665544);
	cr_assert_eq(rig_catch(r->c, do_access, &ld).vector, -1);
	cr_assert_eq(ld.val, st.val);
	rig_destroy(r);
}

Test(mmu, crossing_store_that_faults_changes_nothing)
{
	struct rig *r = paged(1);
	struct acc st = {VA + 0x1ffc, 8, TLB_KERNEL, ~0ull, true};
	struct rig_fault f = rig_catch(r->c, do_access, &st);

	cr_assert_eq(f.vector, X86_EXC_PF);
	cr_assert_eq(f.error, PF_W);
	cr_assert_eq(r->c->cr2, VA + 0x2000);
	cr_assert_eq(rig_get(r, 0x300ffc, 4), 0);
	rig_destroy(r);
}

Test(mmu, mmio_goes_to_the_machine_with_its_size)
{
	struct rig *r = paged(1);

	for (unsigned size = 1; size <= 8; size *= 2) {
		struct acc st = {VA + 0x3010, size, TLB_KERNEL, 0x1122334455667788, true};
		struct acc ld = {VA + 0x3018, size, TLB_KERNEL, 0, false};

		r->n_mmio = 0;
		r->mmio_value = 0xfedcba9876543210;
		rig_catch(r->c, do_access, &st);
		rig_catch(r->c, do_access, &ld);
		cr_assert_eq(r->n_mmio, 2);
		cr_assert_eq(r->mmio[0].addr, 0xd0000010);
		cr_assert_eq(r->mmio[0].size, size);
		cr_assert(r->mmio[0].write);
		cr_assert_eq(r->mmio[1].addr, 0xd0000018);
		cr_assert_eq(ld.val, r->mmio_value & (~0ull >> (64 - size * 8)));
	}
	/* and never through a TLB */
	for (unsigned i = 0; i < TLB_N_INDEX; i++)
		for (unsigned a = 0; a < TLB_N_ACCESS; a++)
			cr_assert_neq(r->c->tlb[i][a][cpu_tlb_slot(VA + 0x3000)].tag, VA + 0x3000);
	rig_destroy(r);
}

Test(mmu, implicit_access_ignores_cpl_and_ac)
{
	struct rig *r = paged(1);
	struct acc ld = {VA, 4, MMU_SUPER, 0, false};

	r->c->cpl = 3;
	cpu_update_mode(r->c);
	rig_put(r, 0x15000, 0x200003, 8); /* supervisor page */
	cr_assert_eq(rig_catch(r->c, do_access, &ld).vector, -1);
	rig_put(r, 0x15000, 0x200007, 8); /* user page, SMAP, AC */
	r->c->cr4 |= X86_CR4_SMAP;
	r->c->rflags |= X86_FL_AC;
	r->c->cpl = 0;
	mmu_flush_all(r->c);
	cpu_update_mode(r->c);
	cr_assert_eq(rig_catch(r->c, do_access, &ld).vector, X86_EXC_PF);
	ld.idx = r->c->tlb_idx;
	cr_assert_eq(ld.idx, TLB_KERNEL_AC);
	cr_assert_eq(rig_catch(r->c, do_access, &ld).vector, -1);
	cpu_set_rflags(r->c, 2);
	ld.idx = r->c->tlb_idx;
	cr_assert_eq(ld.idx, TLB_KERNEL);
	cr_assert_eq(rig_catch(r->c, do_access, &ld).vector, X86_EXC_PF);
	rig_destroy(r);
}

Test(mmu, read_entry_does_not_allow_a_first_write)
{
	struct rig *r = paged(1);
	struct acc ld = {VA, 4, TLB_KERNEL, 0, false}, st = {VA, 4, TLB_KERNEL, 1, true};

	rig_catch(r->c, do_access, &ld);
	cr_assert_eq(r->c->tlb[TLB_KERNEL][TLB_WRITE][cpu_tlb_slot(VA)].tag, TLB_EMPTY);
	cr_assert_eq(rig_get(r, 0x15000, 8) & 0x40, 0);
	rig_catch(r->c, do_access, &st);
	cr_assert_eq(r->c->tlb[TLB_KERNEL][TLB_WRITE][cpu_tlb_slot(VA)].tag, VA);
	cr_assert_eq(rig_get(r, 0x15000, 8) & 0x40, 0x40);
	st.la = VA + 0x4000;
	cr_assert_eq(rig_catch(r->c, do_access, &st).error, PF_P | PF_W);
	rig_destroy(r);
}

Test(mmu, flushes_drop_what_they_must)
{
	struct rig *r = paged(1);
	struct cpu *c = r->c;
	struct acc ld = {VA, 4, TLB_KERNEL, 0, false};

	rig_put(r, 0x200000, 0x1111, 4);
	rig_put(r, 0x500000, 0x2222, 4);
	rig_catch(c, do_access, &ld);
	rig_put(r, 0x15000, 0x500007, 8);
	rig_catch(c, do_access, &ld);
	cr_assert_eq(ld.val, 0x1111); /* still cached */
	mmu_flush_page(c, VA);
	rig_catch(c, do_access, &ld);
	cr_assert_eq(ld.val, 0x2222);
	rig_put(r, 0x15000, 0x200007, 8);
	mmu_flush_nonglobal(c);
	rig_catch(c, do_access, &ld);
	cr_assert_eq(ld.val, 0x1111);

	/* A global page stays over CR3 writes, and goes with everything. */
	c->cr4 |= X86_CR4_PGE;
	rig_put(r, 0x15000, 0x200107, 8);
	mmu_flush_all(c);
	rig_catch(c, do_access, &ld);
	rig_put(r, 0x15000, 0x500107, 8);
	mmu_flush_nonglobal(c);
	rig_catch(c, do_access, &ld);
	cr_assert_eq(ld.val, 0x1111);
	mmu_flush_all(c);
	rig_catch(c, do_access, &ld);
	cr_assert_eq(ld.val, 0x2222);
	rig_destroy(r);
}

Test(mmu, flush_page_drops_all_pieces_of_a_large_page)
{
	struct rig *r = paged(1);
	struct cpu *c = r->c;
	struct acc a = {0x200000, 4, TLB_KERNEL, 0, false}, b = {0x3ff000, 4, TLB_KERNEL, 0, false};

	rig_put(r, 0x400000, 0x7777, 4);
	rig_put(r, 0x5ff000, 0x8888, 4);
	rig_catch(c, do_access, &a);
	rig_catch(c, do_access, &b);
	rig_put(r, 0x12008, 0x400087, 8); /* second 2 MiB page */
	mmu_flush_page(c, 0x2ab000);
	rig_catch(c, do_access, &a);
	rig_catch(c, do_access, &b);
	cr_assert_eq(a.val, 0x7777);
	cr_assert_eq(b.val, 0x8888);
	rig_destroy(r);
}

Test(mmu, many_pages_survive_the_lists_overflowing)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	for (unsigned round = 0; round < 2; round++) {
		for (gvaddr la = 0x100000; la < 0x800000; la += 0x1000) {
			struct acc u = {la, 8, TLB_USER, 0, false}, k = {la, 8, TLB_KERNEL, 0, false};

			cr_assert_eq(rig_catch(c, do_access, &u).vector, -1);
			cr_assert_eq(rig_catch(c, do_access, &k).vector, -1);
		}
		mmu_flush_nonglobal(c);
		for (unsigned i = 0; i < TLB_N_INDEX; i++)
			for (unsigned a = 0; a < TLB_N_ACCESS; a++)
				for (unsigned s = 0; s < TLB_ENTRIES; s++)
					cr_assert_eq(c->tlb[i][a][s].tag, TLB_EMPTY);
	}
	rig_destroy(r);
}

static unsigned n_written;
static gpaddr last_written;
static void on_written(void *ctx, struct cpu *c, gpaddr gpa, unsigned len)
{
	n_written++;
	last_written = gpa;
}

Test(mmu, stores_to_code_pages_are_told)
{
	struct rig *r = paged(2);
	struct acc st = {VA + 0x10, 4, TLB_KERNEL, 1, true};
	uint32_t word = 5;

	r->vm.code_watcher = (struct code_watcher){on_written, NULL};
	rig_catch(r->c, do_access, &st);
	cr_assert_eq(r->c->tlb[TLB_KERNEL][TLB_WRITE][cpu_tlb_slot(VA)].tag, VA);
	cr_assert(phys_protect_code(r->c, 0x200123));
	cr_assert_not(phys_protect_code(r->c, 0x200fff));
	cr_assert_eq(r->c->tlb[TLB_KERNEL][TLB_WRITE][cpu_tlb_slot(VA)].tag, TLB_EMPTY);
	n_written = 0;
	rig_catch(r->c, do_access, &st);
	cr_assert(n_written >= 1);
	cr_assert_eq(last_written, 0x200010);
	cr_assert_eq(r->c->tlb[TLB_KERNEL][TLB_WRITE][cpu_tlb_slot(VA)].tag, TLB_EMPTY);
	n_written = 0;
	gmem_write(r->mem, 0x200ffe, &word, 4); /* a device, across the page's end */
	cr_assert_eq(n_written, 1);
	cr_assert_eq(last_written, 0x200ffe);
	phys_clear_code(&r->vm, 0x200000);
	n_written = 0;
	rig_catch(r->c, do_access, &st);
	cr_assert_eq(n_written, 0);
	cr_assert_eq(r->c->tlb[TLB_KERNEL][TLB_WRITE][cpu_tlb_slot(VA)].tag, VA);
	rig_destroy(r);
}

static void do_rmw(struct cpu *c, void *arg)
{
	struct acc *a = arg;

	a->val = (uint64_t)(uintptr_t)mmu_rmw_ptr(c, a->la, a->size, a->idx);
}

Test(mmu, rmw_pointer_only_within_a_page_of_ram)
{
	struct rig *r = paged(1);
	struct acc a = {VA + 8, 8, TLB_KERNEL, 0, true};

	cr_assert_eq(rig_catch(r->c, do_rmw, &a).vector, -1);
	cr_assert_neq(a.val, 0);
	a.la = VA + 0xffc;
	rig_catch(r->c, do_rmw, &a);
	cr_assert_eq(a.val, 0);
	a.la = VA + 0x3000;
	rig_catch(r->c, do_rmw, &a);
	cr_assert_eq(a.val, 0);
	a.la = VA + 0x2000;
	cr_assert_eq(rig_catch(r->c, do_rmw, &a).error, PF_W);
	rig_destroy(r);
}

static void do_fetch(struct cpu *c, void *arg)
{
	struct acc *a = arg;
	uint8_t buf[15];

	a->size = mmu_fetch_insn(c, a->la, buf);
	a->val = buf[0];
}

Test(mmu, fetch_stops_where_the_next_page_faults)
{
	struct rig *r = paged(1);
	struct acc a = {VA + 0x1ffa, 0, 0, 0, false};
	struct rig_fault f;

	rig_put(r, 0x300ffa, 0x90, 1);
	cr_assert_eq(rig_catch(r->c, do_fetch, &a).vector, -1);
	cr_assert_eq(a.size, 6);
	cr_assert_eq(a.val, 0x90);
	a.la = VA + 0x2000;
	f = rig_catch(r->c, do_fetch, &a);
	cr_assert_eq(f.vector, X86_EXC_PF);
	cr_assert_eq(f.error, PF_I);
	a.la = VA + 0x0ff8; /* onto a page that is there */
	rig_catch(r->c, do_fetch, &a);
	cr_assert_eq(a.size, 15);
	a.la = VA + 0x3000; /* from MMIO */
	r->mmio_value = 0xcc;
	rig_catch(r->c, do_fetch, &a);
	cr_assert_eq(a.val, 0xcc);
	a.la = 0x800000000000;
	cr_assert_eq(rig_catch(r->c, do_fetch, &a).vector, X86_EXC_GP);
	rig_destroy(r);
}

/* H61, H62: garbage tables, tables outside RAM, accesses at the end of RAM. */
Test(mmu, garbage_tables_do_no_harm)
{
	struct rig *r = rig_create(1);
	uint32_t seed = 77;

	for (unsigned i = 0; i < 20000; i++) {
		struct acc a = {0};

		if (i % 64 == 0)
			for (unsigned n = 0; n < 4096; n += 8)
				rig_put(r, ROOT + n, (uint64_t)rig_random(&seed) << 32 |
							     rig_random(&seed), 8);
		random_controls(r->c, rig_random(&seed) % 3, &seed);
		r->c->cr3 = rig_random(&seed) & 1 ? ROOT : rig_random(&seed) & 0xfffff000;
		r->c->cpl = rig_random(&seed) & 3;
		mmu_flush_nonglobal(r->c);
		if (!(i & 63))
			mmu_flush_all(r->c);
		cpu_update_mode(r->c);
		a.la = (uint64_t)rig_random(&seed) << (rig_random(&seed) % 33);
		a.size = 1u << rig_random(&seed) % 4;
		a.idx = rig_random(&seed) & 1 ? r->c->tlb_idx : MMU_SUPER;
		a.write = rig_random(&seed) & 1;
		rig_catch(r->c, do_access, &a);
		rig_catch(r->c, do_fetch, &a);
		mmu_flush_page(r->c, a.la);
		r->n_mmio = 0;
	}
	rig_destroy(r);
}

Test(mmu, access_over_the_end_of_ram_is_split)
{
	struct rig *r = rig_create(1);
	struct acc st = {RIG_RAM - 4, 8, TLB_KERNEL, 0x1122334455667788, true};

	rig_protected(r);
	cr_assert_eq(rig_catch(r->c, do_access, &st).vector, -1);
	cr_assert_eq(rig_get(r, RIG_RAM - 4, 4), 0x55667788);
	cr_assert_eq(r->n_mmio, 1);
	cr_assert_eq(r->mmio[0].addr, RIG_RAM);
	cr_assert_eq(r->mmio[0].val, 0x11223344);
	rig_destroy(r);
}

/* --- exclusive sections --- */

struct worker {
	struct cpu *c;
	uint64_t *shared; /* incremented non-atomically inside sections only */
	_Atomic unsigned *inside;
	bool bad;
};

static void *exclusive_worker(void *arg)
{
	struct worker *w = arg;

	exclusive_enter_guest(w->c);
	for (unsigned i = 0; i < 20000; i++) {
		if (i % 4 == 0) {
			mmu_exclusive_begin(w->c);
			mmu_exclusive_begin(w->c);
			if (atomic_fetch_add(w->inside, 1) != 0)
				w->bad = true;
			++*w->shared;
			atomic_fetch_sub(w->inside, 1);
			if (i % 8 == 0) {
				mmu_exclusive_end(w->c);
				mmu_exclusive_end(w->c);
			} else {
				exclusive_abort(w->c); /* as after a fault */
			}
		}
		if (atomic_load(&w->c->requests))
			cpu_poll(w->c);
	}
	exclusive_leave_guest(w->c);
	return NULL;
}

Test(mmu, exclusive_sections_exclude_and_never_deadlock, .timeout = 60)
{
	struct rig *r = rig_create(RIG_CPUS);
	struct worker w[RIG_CPUS];
	pthread_t t[RIG_CPUS];
	uint64_t shared = 0;
	_Atomic unsigned inside = 0;

	for (unsigned i = 0; i < RIG_CPUS; i++) {
		w[i] = (struct worker){r->cpu[i], &shared, &inside, false};
		pthread_create(&t[i], NULL, exclusive_worker, &w[i]);
	}
	for (unsigned i = 0; i < RIG_CPUS; i++) {
		pthread_join(t[i], NULL);
		cr_assert_not(w[i].bad);
	}
	cr_assert_eq(shared, RIG_CPUS * 5000);
	rig_destroy(r);
}
