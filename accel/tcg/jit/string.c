/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions on host memory, while the guest's SIMD state is still in host registers:
 * this file is compiled for general registers only, and calls nothing.
 *
 * Elements are done in chunks that end at the nearer page end of the operands. Upward moves and
 * fills are the host's own REP MOVS and REP STOS of the same element size, which are fast, and
 * exact for operands that overlap. After each chunk rsi, rdi and rcx are architectural. What the
 * TLB does not have (a fault, a device, a page with code, an element on two pages) is left to the
 * interpreter, and so are requests of other threads between two chunks.
 *
 * Left out: 16-bit addresses, bases of segments in 32-bit code, port I/O.
 *
 * Refs: Intel SDM vol. 2, "REP/REPE/REPZ/REPNE/REPNZ"; AMD APM vol. 3, "Repeat Prefixes".
 */
#include "accel/tcg/jit/priv.h"

#include "accel/tcg/cpu/mmu.h"

struct run {
	struct cpu *c;
	uint32_t what; /* JIT_STR_* */
	unsigned shift;
	bool down;
	uint64_t mask, count;
};

static uint64_t str_reg(const struct run *r, unsigned reg)
{
	return r->c->gpr[reg] & r->mask;
}

static void str_move(const struct run *r, unsigned reg, uint64_t n)
{
	uint64_t step = n << r->shift;

	r->c->gpr[reg] = (r->c->gpr[reg] + (r->down ? -step : step)) & r->mask;
}

/* Host bytes of the element at base + reg, and how many from there on are on its page and do not
 * wrap; NULL if the TLB does not have it or there is not even one. */
static uint8_t *str_operand(const struct run *r, unsigned reg, unsigned seg, unsigned acc,
			    uint64_t *n)
{
	const struct cpu *c = r->c;
	uint64_t off = str_reg(r, reg), la = off + (seg >= X86_FS ? c->seg[seg].base : 0);
	const struct tlb_entry *t = &c->tlb[c->tlb_idx][acc][cpu_tlb_slot(la)];
	unsigned at = la & 0xfff;
	uint64_t room = (4096 - at) >> r->shift, wrap = (r->mask - off) >> r->shift;

	if (t->tag != la - at || !room)
		return NULL;
	if (r->down) {
		room = (at >> r->shift) + 1;
		wrap = off >> r->shift; /* one less than there are, as above: never wrong */
	}
	if (room > wrap)
		room = wrap;
	if (*n > room)
		*n = room;
	return *n ? (uint8_t *)(uintptr_t)(la + t->addend) : NULL;
}

static void host_movs(uint8_t *dst, const uint8_t *src, uint64_t n, unsigned shift)
{
	switch (shift) {
	case 0: __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	case 1: __asm__ volatile("rep movsw" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	case 2: __asm__ volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	default: __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	}
}

static void host_stos(uint8_t *dst, uint64_t val, uint64_t n, unsigned shift)
{
	switch (shift) {
	case 0: __asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	case 1: __asm__ volatile("rep stosw" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	case 2: __asm__ volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	default: __asm__ volatile("rep stosq" : "+D"(dst), "+c"(n) : "a"(val) : "memory");
	}
}

/* What CMP of two elements leaves: the value of jit_flags. */
static uint32_t flags_of_cmp(uint64_t a, uint64_t b, unsigned shift)
{
	uint64_t f;

	switch (shift) {
	case 0: __asm__("cmpb %b2, %b1; lahf; seto %%al" : "=&a"(f) : "q"(a), "q"(b) : "cc"); break;
	case 1: __asm__("cmpw %w2, %w1; lahf; seto %%al" : "=&a"(f) : "r"(a), "r"(b) : "cc"); break;
	case 2: __asm__("cmpl %k2, %k1; lahf; seto %%al" : "=&a"(f) : "r"(a), "r"(b) : "cc"); break;
	default: __asm__("cmpq %2, %1; lahf; seto %%al" : "=&a"(f) : "r"(a), "r"(b) : "cc");
	}
	return (uint32_t)f & 0xffff;
}

static uint64_t run_movs(const struct run *r, uint64_t n)
{
	const uint8_t *src = str_operand(r, X86_RSI, r->what >> JIT_STR_SEG, TLB_READ, &n);
	uint8_t *dst = str_operand(r, X86_RDI, X86_ES, TLB_WRITE, &n);
	unsigned size = 1u << r->shift;

	if (!src || !dst)
		return 0;
	if (!r->down)
		host_movs(dst, src, n, r->shift);
	else
		for (uint64_t i = 0; i < n; i++, dst -= size, src -= size)
			mem_store(dst, size, mem_load(src, size));
	str_move(r, X86_RSI, n);
	str_move(r, X86_RDI, n);
	return n;
}

static uint64_t run_stos(const struct run *r, uint64_t n)
{
	uint8_t *dst = str_operand(r, X86_RDI, X86_ES, TLB_WRITE, &n);
	unsigned size = 1u << r->shift;

	if (!dst)
		return 0;
	if (!r->down)
		host_stos(dst, r->c->gpr[X86_RAX], n, r->shift);
	else
		for (uint64_t i = 0; i < n; i++, dst -= size)
			mem_store(dst, size, r->c->gpr[X86_RAX]);
	str_move(r, X86_RDI, n);
	return n;
}

/* Only the last element counts. */
static uint64_t run_lods(const struct run *r, uint64_t n)
{
	const uint8_t *src = str_operand(r, X86_RSI, r->what >> JIT_STR_SEG, TLB_READ, &n);
	unsigned size = 1u << r->shift;
	uint64_t *rax = &r->c->gpr[X86_RAX], last = (n - 1) << r->shift;

	if (!src)
		return 0;
	last = mem_load(r->down ? src - last : src + last, size);
	*rax = r->shift >= 2 ? last
	     : r->shift	     ? (*rax & ~0xffffull) | last
			     : (*rax & ~0xffull) | last;
	str_move(r, X86_RSI, n);
	return n;
}

/* CMPS, SCAS: *more says whether the repeat condition still holds. */
static uint64_t run_compare(const struct run *r, uint64_t n, bool *more)
{
	bool scas = (r->what & JIT_STR_OP) == JIT_STR_SCAS, equal = !(r->what & JIT_STR_REPNE);
	const uint8_t *src = NULL, *dst;
	unsigned size = 1u << r->shift;
	uint64_t a = r->c->gpr[X86_RAX], b = 0, i = 0, all = r->shift == 3 ? ~0ull
		     : (1ull << (8u << r->shift)) - 1;

	if (!scas) {
		src = str_operand(r, X86_RSI, r->what >> JIT_STR_SEG, TLB_READ, &n);
		if (!src)
			return 0;
	}
	dst = str_operand(r, X86_RDI, X86_ES, TLB_READ, &n);
	if (!dst)
		return 0;
	a &= all;
	do {
		uint64_t at = r->down ? -(i << r->shift) : i << r->shift;

		if (src)
			a = mem_load(src + at, size);
		b = mem_load(dst + at, size);
		i++;
	} while (i < n && (a == b) == equal);
	*more = (a == b) == equal;
	r->c->jit_flags = flags_of_cmp(a, b, r->shift);
	if (src)
		str_move(r, X86_RSI, i);
	str_move(r, X86_RDI, i);
	return i;
}

struct jit_ret string_run(struct cpu *c, uint32_t unused, uint64_t what)
{
	const struct jit_ret done = {0, NULL}, interp = {1, NULL};
	struct run r = {.c = c, .what = (uint32_t)what,
			.shift = what >> JIT_STR_SHIFT & 3,
			.down = c->rflags & X86_FL_DF,
			.mask = what & JIT_STR_ADDR32 ? UINT32_MAX : ~0ull};
	bool rep = what & (JIT_STR_REP | JIT_STR_REPNE), more = true;

	if (c->log)
		return interp;
	for (;;) {
		uint64_t count = rep ? str_reg(&r, X86_RCX) : 1, n;

		if (!count)
			return done;
		switch (what & JIT_STR_OP) {
		case JIT_STR_MOVS: n = run_movs(&r, count); break;
		case JIT_STR_STOS: n = run_stos(&r, count); break;
		case JIT_STR_LODS: n = run_lods(&r, count); break;
		default: n = run_compare(&r, count, &more);
		}
		if (!n)
			return interp;
		if (rep)
			c->gpr[X86_RCX] = (count - n) & r.mask;
		if (n == count || !more)
			return done;
		if (atomic_load_explicit(&c->requests, memory_order_relaxed))
			return interp;
	}
}
