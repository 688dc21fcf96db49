/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_MMU_H
#define MAYFLY_ACCEL_TCG_CPU_MMU_H
/*
 * Linear memory: TLB look-up, page walk, page crossing, MMIO. All accessors may raise #PF and do
 * nothing before they do. Accesses of 1, 2, 4 and 8 bytes inside one page to RAM are single host
 * accesses (atomic as on x86); wider or page-crossing ones are not.
 *
 * idx is c->tlb_idx for an instruction's own data accesses, MMU_SUPER for implicit supervisor
 * accesses (descriptor tables, TSS, interrupt stack), which ignore CPL and, with SMAP, AC.
 */
#include "accel/tcg/cpu/cpu.h"

enum { MMU_SUPER = 0x80 };

/* #PF error code bits (Intel SDM vol. 3A, "Page-Fault Exceptions"). */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

/* Slow paths: any case, any alignment, 1..8 bytes. */
uint64_t mmu_load_slow(struct cpu *c, gvaddr la, unsigned size, unsigned idx);
void mmu_store_slow(struct cpu *c, gvaddr la, unsigned size, uint64_t val, unsigned idx);

static inline void *mmu_fast(struct cpu *c, gvaddr la, unsigned size, unsigned idx,
			     enum tlb_access acc)
{
	struct tlb_entry *t = &c->tlb[idx][acc][cpu_tlb_slot(la)];

	/* The last byte must be on the page, too. */
	if (t->tag != ((la + size - 1) & ~0xfffull) || (la & 0xfff) + size > 4096)
		return NULL;
	return (void *)(uintptr_t)(la + t->addend);
}

/* Guest memory as the host sees it: any alignment, one host access for 1, 2, 4 and 8 bytes. */
struct mem16 {
	uint16_t v;
} __attribute__((packed, may_alias));
struct mem32 {
	uint32_t v;
} __attribute__((packed, may_alias));
struct mem64 {
	uint64_t v;
} __attribute__((packed, may_alias));

static inline uint64_t mem_load(const void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return ((const volatile struct mem16 *)p)->v;
	case 4: return ((const volatile struct mem32 *)p)->v;
	default: return ((const volatile struct mem64 *)p)->v;
	}
}

static inline void mem_store(void *p, unsigned size, uint64_t val)
{
	switch (size) {
	case 1: *(volatile uint8_t *)p = (uint8_t)val; break;
	case 2: ((volatile struct mem16 *)p)->v = (uint16_t)val; break;
	case 4: ((volatile struct mem32 *)p)->v = (uint32_t)val; break;
	default: ((volatile struct mem64 *)p)->v = val; break;
	}
}

static inline bool mem_size_ok(unsigned size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

static inline uint64_t mmu_load(struct cpu *c, gvaddr la, unsigned size, unsigned idx)
{
	if (idx < TLB_N_INDEX) {
		void *p = mmu_fast(c, la, size, idx, TLB_READ);

		if (p && mem_size_ok(size))
			return mem_load(p, size);
	}
	return mmu_load_slow(c, la, size, idx);
}

static inline void mmu_store(struct cpu *c, gvaddr la, unsigned size, uint64_t val, unsigned idx)
{
	if (idx < TLB_N_INDEX && !c->log) {
		void *p = mmu_fast(c, la, size, idx, TLB_WRITE);

		if (p && mem_size_ok(size)) {
			mem_store(p, size, val);
			return;
		}
	}
	mmu_store_slow(c, la, size, val, idx);
}

/* Told of every RAM store of a processor while cpu->log is set, before the bytes change; not of
 * accessed and dirty bits that page walks set. */
struct store_log {
	void (*before)(struct store_log *l, struct cpu *c, gpaddr gpa, uint8_t *host, unsigned len);
};

/* Byte ranges, any length up to 4096; all pages are checked before the first byte is moved. */
void mmu_read(struct cpu *c, gvaddr la, void *dst, unsigned len, unsigned idx);
void mmu_write(struct cpu *c, gvaddr la, const void *src, unsigned len, unsigned idx);
/* Raises what a write (or read) of len bytes would raise; no other effect but A and D bits. */
void mmu_probe(struct cpu *c, gvaddr la, unsigned len, bool write, unsigned idx);

/*
 * For read-modify-write: host bytes of [la, la+size), writable, in RAM, within one page and with
 * no code on the page (blocks on it are killed first, as a store would), or NULL: use load and
 * store under mmu_exclusive_*. Raises #PF with the W bit. Locked operations on the pointer are
 * atomic against all vCPUs.
 */
void *mmu_rmw_ptr(struct cpu *c, gvaddr la, unsigned size, unsigned idx);
/* After the pointer was written: self-modifying code and the store log. */
void mmu_rmw_done(struct cpu *c, gvaddr la, unsigned size, unsigned idx);
/* Between these no other vCPU of the VM executes; for locked page-crossing and MMIO operations. */
void mmu_exclusive_begin(struct cpu *c);
void mmu_exclusive_end(struct cpu *c);

/*
 * Instruction fetch: guest-physical address of the byte at linear address la, checking execute
 * permission for c->cpl; raises #PF with PF_I. *host gets the host bytes from there to the page's
 * end, or NULL where the code is not in RAM.
 */
gpaddr mmu_fetch(struct cpu *c, gvaddr la, const uint8_t **host);
/* Fills buf with up to 15 bytes at linear address la; how many could be read without a fault.
 * Raises only if the first byte faults. */
unsigned mmu_fetch_insn(struct cpu *c, gvaddr la, uint8_t buf[15]);

/* TLB maintenance on this CPU. */
void mmu_flush_all(struct cpu *c);            /* global entries, too */
void mmu_flush_nonglobal(struct cpu *c);      /* of all process-context identifiers */
void mmu_flush_pcid(struct cpu *c, unsigned pcid); /* its non-global entries */
/* MOV to CR3 in long mode; false, and nothing done, if a reserved bit is set. */
bool mmu_load_cr3(struct cpu *c, uint64_t val);
void mmu_flush_page(struct cpu *c, gvaddr la); /* INVLPG; the current identifier */
void mmu_flush_page_pcid(struct cpu *c, gvaddr la, unsigned pcid);
void mmu_init(struct cpu *c);

/* --- physical memory of the VM (phys.c) --- */
struct phys;
/* Host bytes at gpa if in RAM, NULL otherwise; *avail: bytes to the region's end. */
uint8_t *phys_ram(const struct tcg_vm *vm, gpaddr gpa, uint64_t *avail);
uint64_t phys_mmio_read(struct cpu *c, gpaddr gpa, unsigned size); /* APIC page or machine */
void phys_mmio_write(struct cpu *c, gpaddr gpa, unsigned size, uint64_t val);

/* Pages that hold translated code; one bit per 4 KiB page of RAM, atomic. */
bool phys_page_has_code(const struct tcg_vm *vm, gpaddr gpa);
/* Marks a page; true if it was not marked. Write entries for it have to go: phys_protect_code(). */
bool phys_mark_code(struct tcg_vm *vm, gpaddr gpa);
void phys_clear_code(struct tcg_vm *vm, gpaddr gpa);
/*
 * The race-free way to mark the page of gpa: with several vCPUs it does so in an exclusive section
 * and takes the write entries out of every TLB, so that no later store goes unnoticed. The
 * translator reads the page's bytes after it. vCPU thread. True if the page was not marked.
 */
bool phys_protect_code(struct cpu *c, gpaddr gpa);
/* Empties this vCPU's write entries for the page of gpa. */
void mmu_drop_write(struct cpu *c, gpaddr gpa);
/* Called when bytes of a code page change: by stores of a vCPU before the bytes change (so that it
 * may leave the block) and again after if the page still holds code; by others (c NULL) after.
 * The JIT sets it, NULL without. */
struct code_watcher {
	void (*written)(void *ctx, struct cpu *c_or_null, gpaddr gpa, unsigned len);
	void *ctx;
};

#endif
