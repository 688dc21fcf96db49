/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow paths of linear memory: page crossing, MMIO, byte ranges, instruction fetch; which
 * misses are faults. The TLBs are filled in fill.c.
 *
 * A page-crossing access looks both pages up before it moves a byte.
 */
#include "accel/tcg/cpu/mmu.h"

#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/phys.h"
#include "accel/tcg/cpu/tlb.h"
#include "accel/tcg/cpu/walk.h"

#include <string.h>

static unsigned table_of(unsigned idx)
{
	/* With SMAP an implicit supervisor access ignores AC: just what TLB_KERNEL has. */
	return idx == MMU_SUPER ? TLB_KERNEL : idx;
}

/* Linear addresses wrap at 4 GiB outside long mode. */
static gvaddr wrap(const struct cpu *c, gvaddr la)
{
	return c->efer & X86_EFER_LMA ? la : (uint32_t)la;
}

/* la is within one page. Raises what the access raises. */
static struct tlb_place look_up(struct cpu *c, gvaddr la, enum tlb_access acc, unsigned idx)
{
	gvaddr page = la & ~0xfffull;
	unsigned table = table_of(idx);
	struct tlb_entry *t = &c->tlb[table][acc][cpu_tlb_slot(la)];
	struct tlb_place p = {0};
	uint32_t ec;

	if (t->tag == page && !c->log) {
		p.host = (uint8_t *)(uintptr_t)(la + t->addend);
		p.quiet = true;
		return p;
	}
	if (c->efer & X86_EFER_LMA && !la_is_canonical(la))
		cpu_raise_gp0(c);
	if (tlb_refill(c, la, acc, table, WALK_THOROUGH, &p, &ec) != WALK_DONE)
		cpu_raise_page_fault(c, la, ec);
	return p;
}

static uint64_t host_load(const void *p, unsigned size)
{
	uint64_t v = 0;

	if (mem_size_ok(size))
		return mem_load(p, size);
	memcpy(&v, p, size);
	return v;
}

static void host_store(void *p, unsigned size, uint64_t val)
{
	if (mem_size_ok(size))
		mem_store(p, size, val);
	else
		memcpy(p, &val, size);
}

/* MMIO in the widest pieces a bus has: a lone access of 1, 2, 4 or 8 bytes stays one. */
static unsigned mmio_piece(unsigned left)
{
	return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

static void place_read(struct cpu *c, const struct tlb_place *p, uint8_t *dst, unsigned len)
{
	if (p->host) {
		memcpy(dst, p->host, len);
		return;
	}
	for (unsigned i = 0; i < len;) {
		unsigned n = mmio_piece(len - i);
		uint64_t v = phys_mmio_read(c, p->gpa + i, n);

		memcpy(dst + i, &v, n);
		i += n;
	}
}

static void place_write(struct cpu *c, const struct tlb_place *p, const uint8_t *src, unsigned len)
{
	if (p->host) {
		if (!p->quiet)
			phys_store_begin(c, p->gpa, p->host, len);
		memcpy(p->host, src, len);
		if (!p->quiet)
			phys_store_end(c, p->gpa, len);
		return;
	}
	for (unsigned i = 0; i < len;) {
		unsigned n = mmio_piece(len - i);
		uint64_t v = 0;

		memcpy(&v, src + i, n);
		phys_mmio_write(c, p->gpa + i, n, v);
		i += n;
	}
}

uint64_t mmu_load_slow(struct cpu *c, gvaddr la, unsigned size, unsigned idx)
{
	struct tlb_place p;

	if ((la & 0xfff) + size > 4096) {
		uint64_t v = 0;

		mmu_read(c, la, &v, size, idx);
		return v;
	}
	p = look_up(c, la, TLB_READ, idx);
	return p.host ? host_load(p.host, size) : phys_mmio_read(c, p.gpa, size);
}

void mmu_store_slow(struct cpu *c, gvaddr la, unsigned size, uint64_t val, unsigned idx)
{
	struct tlb_place p;

	if ((la & 0xfff) + size > 4096) {
		mmu_write(c, la, &val, size, idx);
		return;
	}
	p = look_up(c, la, TLB_WRITE, idx);
	if (!p.host) {
		phys_mmio_write(c, p.gpa, size, val);
		return;
	}
	if (!p.quiet)
		phys_store_begin(c, p.gpa, p.host, size);
	host_store(p.host, size, val);
	if (!p.quiet)
		phys_store_end(c, p.gpa, size);
}

/* Both pages of a range of up to 4096 bytes; how many bytes are on the first. */
static unsigned look_up_range(struct cpu *c, gvaddr la, unsigned len, enum tlb_access acc,
			      unsigned idx, struct tlb_place p[2])
{
	unsigned first = 4096 - (la & 0xfff);

	p[0] = look_up(c, la, acc, idx);
	if (first >= len)
		return len;
	p[1] = look_up(c, wrap(c, la + first), acc, idx);
	return first;
}

void mmu_read(struct cpu *c, gvaddr la, void *dst, unsigned len, unsigned idx)
{
	struct tlb_place p[2];
	unsigned first;

	if (!len)
		return;
	first = look_up_range(c, la, len, TLB_READ, idx, p);
	place_read(c, &p[0], dst, first);
	if (first < len)
		place_read(c, &p[1], (uint8_t *)dst + first, len - first);
}

void mmu_write(struct cpu *c, gvaddr la, const void *src, unsigned len, unsigned idx)
{
	struct tlb_place p[2];
	unsigned first;

	if (!len)
		return;
	first = look_up_range(c, la, len, TLB_WRITE, idx, p);
	place_write(c, &p[0], src, first);
	if (first < len)
		place_write(c, &p[1], (const uint8_t *)src + first, len - first);
}

void mmu_probe(struct cpu *c, gvaddr la, unsigned len, bool write, unsigned idx)
{
	struct tlb_place p[2];

	if (len)
		look_up_range(c, la, len, write ? TLB_WRITE : TLB_READ, idx, p);
}

void *mmu_rmw_ptr(struct cpu *c, gvaddr la, unsigned size, unsigned idx)
{
	struct tlb_place p[2];
	unsigned first = look_up_range(c, la, size, TLB_WRITE, idx, p);

	if (first < size || !p[0].host)
		return NULL;
	if (!p[0].quiet)
		phys_store_begin(c, p[0].gpa, p[0].host, size);
	return p[0].host;
}

void mmu_rmw_done(struct cpu *c, gvaddr la, unsigned size, unsigned idx)
{
	struct tlb_entry *t = &c->tlb[table_of(idx)][TLB_WRITE][cpu_tlb_slot(la)];
	struct tlb_place p;

	if (t->tag == (la & ~0xfffull)) /* as in mmu_rmw_ptr(): no code there */
		return;
	p = look_up(c, la, TLB_WRITE, idx);
	if (p.host && !p.quiet)
		phys_store_end(c, p.gpa, size);
}

gpaddr mmu_fetch(struct cpu *c, gvaddr la, const uint8_t **host)
{
	bool user = c->cpl == 3;
	struct itlb_entry *t = &c->itlb[user][la >> 12 & (ITLB_ENTRIES - 1)];
	uint32_t ec;
	uint64_t avail;
	gpaddr gpa;

	if (t->tag != (la & ~0xfffull)) {
		if (c->efer & X86_EFER_LMA && !la_is_canonical(la))
			cpu_raise_gp0(c);
		if (tlb_refetch(c, la, WALK_THOROUGH, &ec) != WALK_DONE)
			cpu_raise_page_fault(c, la, ec);
	}
	gpa = t->gpa + (la & 0xfff);
	*host = lapic_mmio_contains(c, gpa) ? NULL : phys_ram(c->vm, gpa, &avail);
	return gpa;
}

static void fetch_page(struct cpu *c, gvaddr la, uint8_t *buf, unsigned n)
{
	const uint8_t *host;
	gpaddr gpa = mmu_fetch(c, la, &host);

	if (host) {
		memcpy(buf, host, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		buf[i] = (uint8_t)phys_mmio_read(c, gpa + i, 1);
}

/* As fetch_page(), but false instead of a fault. */
static bool try_fetch_page(struct cpu *c, gvaddr la, uint8_t *buf, unsigned n)
{
	jmp_buf *outer = c->fault_jmp, here;
	uint64_t cr2 = c->cr2;

	c->fault_jmp = &here;
	if (setjmp(here) == 0) {
		fetch_page(c, la, buf, n);
		c->fault_jmp = outer;
		return true;
	}
	c->fault_jmp = outer;
	c->cr2 = cr2;
	return false;
}

unsigned mmu_fetch_insn(struct cpu *c, gvaddr la, uint8_t buf[15])
{
	unsigned first = 4096 - (la & 0xfff);

	if (first >= 15) {
		fetch_page(c, la, buf, 15);
		return 15;
	}
	fetch_page(c, la, buf, first);
	/* The second page counts only if the instruction reaches it: a fault there is the
	 * caller's to raise, by fetching what it really needs. */
	return try_fetch_page(c, wrap(c, la + first), buf + first, 15 - first) ? 15 : first;
}
