/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack: PUSH POP, segment registers, PUSHA POPA, PUSHF POPF, ENTER LEAVE.
 *
 * The stack pointer is written last, so that a fault leaves it alone. 32-bit pushes of segment
 * registers write four bytes with a zero upper half, as AMD processors do.
 *
 * Refs: Intel SDM vol. 1, "Procedure Stack"; vol. 2, "PUSHF/PUSHFD/PUSHFQ", "POPF/POPFD/POPFQ",
 * "ENTER"; vol. 3B, "Virtual-8086 Mode Extensions".
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

void interp_push(struct cpu *c, unsigned size, uint64_t val)
{
	uint64_t sp = c->gpr[X86_RSP] - size;

	mmu_store(c, stack_linear(c, sp, size, true), size, val, c->tlb_idx);
	stack_set(c, sp);
}

void interp_probe_push(struct cpu *c, unsigned size)
{
	mmu_probe(c, stack_linear(c, c->gpr[X86_RSP] - size, size, true), size, true, c->tlb_idx);
}

uint64_t interp_peek(struct cpu *c, unsigned size, unsigned skip)
{
	return mmu_load(c, stack_linear(c, c->gpr[X86_RSP] + skip, size, false), size,
			c->tlb_idx);
}

static void exec_push(struct cpu *c, const struct x86_insn *in)
{
	interp_push(c, in->opsize, interp_read(c, in, 0));
}

static void exec_pop(struct cpu *c, const struct x86_insn *in)
{
	uint64_t val = interp_peek(c, in->opsize, 0), old = c->gpr[X86_RSP], sp = old + in->opsize;
	uint64_t off;

	if (in->opnd[0].kind == X86_OPND_MEM) {
		/* An address with rsp in it uses the rsp after the pop. */
		stack_set(c, sp);
		off = interp_ea(c, in);
		c->gpr[X86_RSP] = old;
		mmu_store(c, interp_linear_at(c, in->mem.seg, off, in->opsize, true), in->opsize,
			  val, c->tlb_idx);
		stack_set(c, sp);
	} else {
		stack_set(c, sp);
		interp_write(c, in, 0, val);
	}
}

static void exec_pushseg(struct cpu *c, const struct x86_insn *in)
{
	interp_push(c, in->opsize, c->seg[in->opnd[0].reg].selector);
}

static void exec_popseg(struct cpu *c, const struct x86_insn *in)
{
	unsigned seg = in->opnd[0].reg;
	uint64_t val = interp_peek(c, in->opsize, 0), sp = c->gpr[X86_RSP] + in->opsize;
	/* POP SS may change the stack's size; this rsp belongs to the old one. */
	unsigned width = c->mode & MODE_CS64 ? 8 : c->mode & MODE_SS32 ? 4 : 2;

	cpu_load_seg(c, seg, (uint16_t)val);
	gpr_write(c, X86_RSP, width, sp);
	if (seg == X86_SS)
		c->inhibit_irq = 1;
}

static void exec_pusha(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opsize;
	uint64_t sp = c->gpr[X86_RSP];
	gvaddr la[8];

	for (unsigned i = 0; i < 8; i++) {
		la[i] = stack_linear(c, sp - (i + 1) * size, size, true);
		mmu_probe(c, la[i], size, true, c->tlb_idx);
	}
	for (unsigned i = 0; i < 8; i++)
		mmu_store(c, la[i], size, c->gpr[i], c->tlb_idx);
	stack_set(c, sp - 8 * size);
}

static void exec_popa(struct cpu *c, const struct x86_insn *in)
{
	uint64_t val[8];

	for (unsigned i = 0; i < 8; i++)
		val[i] = interp_peek(c, in->opsize, i * in->opsize);
	for (unsigned i = 0; i < 8; i++)
		if (i != 7 - X86_RSP)
			gpr_write(c, 7 - i, in->opsize, val[i]);
	stack_set(c, c->gpr[X86_RSP] + 8 * in->opsize);
}

static void exec_pushf(struct cpu *c, const struct x86_insn *in)
{
	uint64_t fl = c->rflags & ~(uint64_t)(X86_FL_RF | X86_FL_VM);

	if (c->mode & MODE_VM86 && (fl & X86_FL_IOPL) != X86_FL_IOPL) {
		if (!(c->cr4 & X86_CR4_VME) || in->opsize != 2)
			cpu_raise_gp0(c);
		fl = flags_set(fl, X86_FL_IF, fl & X86_FL_VIF) | X86_FL_IOPL;
	}
	interp_push(c, in->opsize, fl);
}

static void exec_popf(struct cpu *c, const struct x86_insn *in)
{
	uint64_t val = interp_peek(c, in->opsize, 0), fl = c->rflags;
	uint64_t mask = X86_FL_ARITH | X86_FL_TF | X86_FL_IF | X86_FL_DF | X86_FL_IOPL |
			X86_FL_NT | X86_FL_AC | X86_FL_ID;

	if (c->mode & MODE_VM86) {
		mask &= ~(uint64_t)X86_FL_IOPL;
		if ((fl & X86_FL_IOPL) != X86_FL_IOPL) {
			if (!(c->cr4 & X86_CR4_VME) || in->opsize != 2)
				cpu_raise_gp0(c);
			if ((fl & X86_FL_VIP && val & X86_FL_IF) || val & X86_FL_TF)
				cpu_raise_gp0(c);
			mask &= ~(uint64_t)X86_FL_IF;
			fl = flags_set(fl, X86_FL_VIF, val & X86_FL_IF);
		}
	} else if (c->mode & MODE_PE && c->cpl) {
		mask &= ~(uint64_t)X86_FL_IOPL;
		if (!interp_iopl_ok(c))
			mask &= ~(uint64_t)X86_FL_IF;
	}
	if (in->opsize == 2)
		mask &= 0xffff;
	stack_set(c, c->gpr[X86_RSP] + in->opsize);
	fl = (fl & ~mask & ~(uint64_t)X86_FL_RF) | (val & mask);
	if ((fl ^ c->rflags) & ~(uint64_t)(X86_FL_ARITH | X86_FL_IF | X86_FL_DF))
		cpu_set_rflags(c, fl);
	else
		c->rflags = fl;
	cpu_irq_recheck(c);
}

static void exec_enter(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opsize, level = (unsigned)in->imm2 & 31;
	uint64_t sp = c->gpr[X86_RSP] - size, bp = c->gpr[X86_RBP], frame = sp, val;

	/* Memory below the stack pointer is scratch: only registers must survive a fault. */
	mmu_store(c, stack_linear(c, sp, size, true), size, bp, c->tlb_idx);
	for (unsigned i = 1; i < level; i++) {
		bp -= size;
		sp -= size;
		val = mmu_load(c, stack_linear(c, bp, size, false), size, c->tlb_idx);
		mmu_store(c, stack_linear(c, sp, size, true), size, val, c->tlb_idx);
	}
	if (level) {
		sp -= size;
		mmu_store(c, stack_linear(c, sp, size, true), size, frame, c->tlb_idx);
	}
	sp -= (uint64_t)in->imm & 0xffff;
	/* The new top must be writable, although nothing is written there. */
	mmu_probe(c, stack_linear(c, sp, size, true), size, true, c->tlb_idx);
	gpr_write(c, X86_RBP, size, frame);
	stack_set(c, sp);
}

static void exec_leave(struct cpu *c, const struct x86_insn *in)
{
	uint64_t bp = c->gpr[X86_RBP];
	uint64_t val = mmu_load(c, stack_linear(c, bp, in->opsize, false), in->opsize, c->tlb_idx);

	stack_set(c, bp + in->opsize);
	gpr_write(c, X86_RBP, in->opsize, val);
}

const struct interp_row interp_rows_stack[] = {
	{X86_PUSH, exec_push}, {X86_POP, exec_pop}, {X86_PUSHSEG, exec_pushseg},
	{X86_POPSEG, exec_popseg}, {X86_PUSHA, exec_pusha}, {X86_POPA, exec_popa},
	{X86_PUSHF, exec_pushf}, {X86_POPF, exec_popf}, {X86_ENTER, exec_enter},
	{X86_LEAVE, exec_leave},
	{0, NULL},
};
