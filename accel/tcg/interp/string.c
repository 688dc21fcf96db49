/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions and port I/O: MOVS CMPS SCAS LODS STOS INS OUTS with and without repeat
 * prefixes, IN, OUT.
 *
 * Elements are done one by one with all checks, or, upwards in flat segments and RAM, in runs
 * that end at the nearer page end of their operands. After each run rsi, rdi and rcx are
 * architectural; a pending request (or single-stepping) then leaves rip on the instruction, with
 * RF set so that its breakpoint does not trap again.
 *
 * Refs: Intel SDM vol. 2, "REP/REPE/REPZ/REPNE/REPNZ"; AMD APM vol. 3, "Repeat Prefixes".
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

#include <string.h>

struct str {
	unsigned size, asize; /* element, address */
	unsigned seg;         /* of the source */
	int64_t step;
	uint64_t mask;
};

static uint64_t str_reg(const struct cpu *c, const struct str *s, unsigned reg)
{
	return c->gpr[reg] & s->mask;
}

static void str_advance(struct cpu *c, const struct str *s, unsigned reg, uint64_t n)
{
	gpr_write(c, reg, s->asize, c->gpr[reg] + n * (uint64_t)s->step);
}

static gvaddr str_src(struct cpu *c, const struct str *s)
{
	return interp_linear_at(c, s->seg, str_reg(c, s, X86_RSI), s->size, false);
}

static gvaddr str_dst(struct cpu *c, const struct str *s, bool write)
{
	return interp_linear_at(c, X86_ES, str_reg(c, s, X86_RDI), s->size, write);
}

/* --- one element each; they raise before they change anything --- */

static void movs_one(struct cpu *c, const struct x86_insn *in, const struct str *s)
{
	gvaddr src = str_src(c, s), dst = str_dst(c, s, true);

	mmu_store(c, dst, s->size, mmu_load(c, src, s->size, c->tlb_idx), c->tlb_idx);
	str_advance(c, s, X86_RSI, 1);
	str_advance(c, s, X86_RDI, 1);
}

static void stos_one(struct cpu *c, const struct x86_insn *in, const struct str *s)
{
	mmu_store(c, str_dst(c, s, true), s->size, c->gpr[X86_RAX], c->tlb_idx);
	str_advance(c, s, X86_RDI, 1);
}

static void lods_one(struct cpu *c, const struct x86_insn *in, const struct str *s)
{
	gpr_write(c, X86_RAX, s->size, mmu_load(c, str_src(c, s), s->size, c->tlb_idx));
	str_advance(c, s, X86_RSI, 1);
}

static void cmps_one(struct cpu *c, const struct x86_insn *in, const struct str *s)
{
	uint64_t a = mmu_load(c, str_src(c, s), s->size, c->tlb_idx);
	uint64_t b = mmu_load(c, str_dst(c, s, false), s->size, c->tlb_idx);

	c->rflags = flags_sub(c->rflags, a, b, a - b, s->size);
	str_advance(c, s, X86_RSI, 1);
	str_advance(c, s, X86_RDI, 1);
}

static void scas_one(struct cpu *c, const struct x86_insn *in, const struct str *s)
{
	uint64_t a = gpr_read(c, X86_RAX, s->size);
	uint64_t b = mmu_load(c, str_dst(c, s, false), s->size, c->tlb_idx);

	c->rflags = flags_sub(c->rflags, a, b, a - b, s->size);
	str_advance(c, s, X86_RDI, 1);
}

static void ins_one(struct cpu *c, const struct x86_insn *in, const struct str *s)
{
	uint16_t port = (uint16_t)c->gpr[X86_RDX];
	gvaddr dst;

	/* Reading a port has effects: everything that can fail comes first. */
	cpu_check_io(c, port, s->size);
	dst = str_dst(c, s, true);
	mmu_probe(c, dst, s->size, true, c->tlb_idx);
	interp_watch_io(c, port, s->size);
	mmu_store(c, dst, s->size, cpu_in(c, port, s->size), c->tlb_idx);
	str_advance(c, s, X86_RDI, 1);
}

static void outs_one(struct cpu *c, const struct x86_insn *in, const struct str *s)
{
	uint16_t port = (uint16_t)c->gpr[X86_RDX];
	uint64_t val;

	cpu_check_io(c, port, s->size);
	val = mmu_load(c, str_src(c, s), s->size, c->tlb_idx);
	interp_watch_io(c, port, s->size);
	cpu_out(c, port, s->size, (uint32_t)val);
	str_advance(c, s, X86_RSI, 1);
}

/* --- runs --- */

static gvaddr str_la(const struct cpu *c, const struct str *s, unsigned seg, unsigned reg)
{
	return str_reg(c, s, reg) + (c->mode & MODE_CS64 && seg >= X86_FS ? c->seg[seg].base : 0);
}

/* Host bytes of the operand at seg:reg, and how many elements from there stay on the page and
 * within the address size; NULL if the TLB does not have it. */
static uint8_t *str_host(struct cpu *c, const struct str *s, unsigned seg, unsigned reg,
			 enum tlb_access acc, uint64_t *n)
{
	uint64_t off = str_reg(c, s, reg), room;
	gvaddr la = str_la(c, s, seg, reg);

	room = (4096 - (la & 0xfff)) / s->size;
	if (*n > room)
		*n = room;
	room = (s->mask - off) / s->size; /* one less than fits, which is never wrong */
	if (*n > room)
		*n = room;
	return *n ? mmu_fast(c, la, 1, c->tlb_idx, acc) : NULL;
}

/*
 * The same for n elements to write at es:rdi that the TLB does not have because there is code on
 * their page: blocks made from what is overwritten go first, all at once. Otherwise a page of old
 * code that is cleared would be looked at for each element. NULL if it is for str_one(). May raise
 * what the first element would. str_written() ends it.
 */
static uint8_t *str_over_code(struct cpu *c, const struct str *s, uint64_t n)
{
	gvaddr la = str_la(c, s, X86_ES, X86_RDI);

	if (n < 2 || (c->mode & MODE_CS64 && !interp_canonical(la)))
		return NULL;
	return mmu_rmw_ptr(c, la, (unsigned)n * s->size, c->tlb_idx);
}

static void str_written(struct cpu *c, const struct str *s, uint64_t n)
{
	mmu_rmw_done(c, str_la(c, s, X86_ES, X86_RDI), (unsigned)n * s->size, c->tlb_idx);
}

static bool str_may_run(const struct cpu *c, const struct str *s)
{
	if (s->step < 0 || c->mode & (MODE_TF | MODE_DBG | MODE_AC) || c->log)
		return false;
	return c->mode & MODE_CS64 || (c->mode & MODE_FLAT && s->seg < X86_FS);
}

static uint64_t element(const uint8_t *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return *(const volatile uint16_t *)p;
	case 4: return *(const volatile uint32_t *)p;
	default: return *(const volatile uint64_t *)p;
	}
}

static void put_element(uint8_t *p, unsigned size, uint64_t val)
{
	switch (size) {
	case 1: *(volatile uint8_t *)p = (uint8_t)val; break;
	case 2: *(volatile uint16_t *)p = (uint16_t)val; break;
	case 4: *(volatile uint32_t *)p = (uint32_t)val; break;
	default: *(volatile uint64_t *)p = val; break;
	}
}

static uint64_t movs_run(struct cpu *c, const struct str *s, uint64_t n)
{
	const uint8_t *src = str_host(c, s, s->seg, X86_RSI, TLB_READ, &n);
	uint8_t *dst = str_host(c, s, X86_ES, X86_RDI, TLB_WRITE, &n);
	bool over_code = src && !dst;
	uint64_t len = n * s->size;

	if (over_code)
		dst = str_over_code(c, s, n);
	if (!src || !dst)
		return 0;
	if ((uintptr_t)dst - (uintptr_t)src >= len)
		memmove(dst, src, len);
	else /* upwards onto itself: the pattern repeats */
		for (uint64_t i = 0; i < len; i += s->size)
			put_element(dst + i, s->size, element(src + i, s->size));
	if (over_code)
		str_written(c, s, n);
	str_advance(c, s, X86_RSI, n);
	str_advance(c, s, X86_RDI, n);
	return n;
}

static uint64_t stos_run(struct cpu *c, const struct str *s, uint64_t n)
{
	uint8_t *dst = str_host(c, s, X86_ES, X86_RDI, TLB_WRITE, &n);
	bool over_code = !dst;

	if (over_code)
		dst = str_over_code(c, s, n);
	if (!dst)
		return 0;
	if (s->size == 1)
		memset(dst, (int)(c->gpr[X86_RAX] & 0xff), n);
	else
		for (uint64_t i = 0; i < n; i++)
			put_element(dst + i * s->size, s->size, c->gpr[X86_RAX]);
	if (over_code)
		str_written(c, s, n);
	str_advance(c, s, X86_RDI, n);
	return n;
}

/* Compares until the repeat condition ends; `a` comes from memory or is fixed. */
static uint64_t compare_run(struct cpu *c, const struct str *s, const uint8_t *src, uint64_t a,
			    const uint8_t *dst, uint64_t n, bool while_equal)
{
	uint64_t b = 0, i;

	for (i = 0; i < n;) {
		if (src)
			a = element(src + i * s->size, s->size);
		b = element(dst + i * s->size, s->size);
		i++;
		if ((a == b) != while_equal)
			break;
	}
	c->rflags = flags_sub(c->rflags, a, b, a - b, s->size);
	if (src)
		str_advance(c, s, X86_RSI, i);
	str_advance(c, s, X86_RDI, i);
	return i;
}

static uint64_t cmps_run(struct cpu *c, const struct str *s, uint64_t n, bool while_equal)
{
	const uint8_t *src = str_host(c, s, s->seg, X86_RSI, TLB_READ, &n);
	const uint8_t *dst = str_host(c, s, X86_ES, X86_RDI, TLB_READ, &n);

	return src && dst ? compare_run(c, s, src, 0, dst, n, while_equal) : 0;
}

static uint64_t scas_run(struct cpu *c, const struct str *s, uint64_t n, bool while_equal)
{
	const uint8_t *dst = str_host(c, s, X86_ES, X86_RDI, TLB_READ, &n);

	return dst ? compare_run(c, s, NULL, gpr_read(c, X86_RAX, s->size), dst, n, while_equal)
		   : 0;
}

static uint64_t str_run(struct cpu *c, const struct x86_insn *in, const struct str *s, uint64_t n)
{
	bool while_equal = !(in->prefix & X86_PFX_REPNE);

	if (!str_may_run(c, s))
		return 0;
	switch (in->op) {
	case X86_MOVS: return movs_run(c, s, n);
	case X86_STOS: return stos_run(c, s, n);
	case X86_CMPS: return cmps_run(c, s, n, while_equal);
	case X86_SCAS: return scas_run(c, s, n, while_equal);
	default: return 0;
	}
}

static void str_one(struct cpu *c, const struct x86_insn *in, const struct str *s)
{
	switch (in->op) {
	case X86_MOVS: movs_one(c, in, s); break;
	case X86_STOS: stos_one(c, in, s); break;
	case X86_LODS: lods_one(c, in, s); break;
	case X86_CMPS: cmps_one(c, in, s); break;
	case X86_SCAS: scas_one(c, in, s); break;
	case X86_INS: ins_one(c, in, s); break;
	case X86_OUTS: outs_one(c, in, s); break;
	}
}

static void exec_string(struct cpu *c, const struct x86_insn *in)
{
	struct str s = {
		.size = in->opnd[0].size,
		.asize = in->addrsize,
		.seg = in->mem.seg,
		.mask = interp_mask(in->addrsize),
	};
	bool compares = in->op == X86_CMPS || in->op == X86_SCAS;

	/* Also before a count of zero. */
	if (in->op == X86_INS || in->op == X86_OUTS)
		cpu_check_io(c, (uint16_t)c->gpr[X86_RDX], s.size);
	s.step = c->rflags & X86_FL_DF ? -(int64_t)s.size : (int64_t)s.size;
	if (!(in->prefix & (X86_PFX_REP | X86_PFX_REPNE))) {
		str_one(c, in, &s);
		return;
	}
	for (;;) {
		uint64_t count = str_reg(c, &s, X86_RCX), n;

		if (!count)
			return;
		n = str_run(c, in, &s, count);
		if (!n) {
			str_one(c, in, &s);
			n = 1;
		}
		gpr_write(c, X86_RCX, s.asize, count - n);
		if (n == count)
			return;
		if (compares && !(c->rflags & X86_FL_ZF) == !(in->prefix & X86_PFX_REPNE))
			return;
		if (c->mode & MODE_TF || c->db_hits ||
		    atomic_load_explicit(&c->requests, memory_order_relaxed)) {
			c->rflags |= X86_FL_RF;
			c->next_rip = c->rip;
			return;
		}
	}
}

static void exec_in(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	uint16_t port = (uint16_t)(in->opnd[1].kind == X86_OPND_IMM ? (uint64_t)in->imm & 0xff
								    : c->gpr[X86_RDX]);
	uint32_t val = cpu_in(c, port, size);

	interp_watch_io(c, port, size);
	gpr_write(c, X86_RAX, size, val);
}

static void exec_out(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[1].size;
	uint16_t port = (uint16_t)(in->opnd[0].kind == X86_OPND_IMM ? (uint64_t)in->imm & 0xff
								    : c->gpr[X86_RDX]);

	cpu_out(c, port, size, (uint32_t)gpr_read(c, X86_RAX, size));
	interp_watch_io(c, port, size);
}

const struct interp_row interp_rows_string[] = {
	{X86_MOVS, exec_string}, {X86_CMPS, exec_string}, {X86_SCAS, exec_string},
	{X86_LODS, exec_string}, {X86_STOS, exec_string}, {X86_INS, exec_string},
	{X86_OUTS, exec_string}, {X86_IN, exec_in}, {X86_OUT, exec_out},
	{0, NULL},
};
