/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control flow: jumps, calls, returns, loops, software interrupts, far transfers, system calls.
 *
 * A near branch truncates its target to the operand size (in 64-bit mode too, with a 66 prefix, as
 * AMD processors do) and checks it against the code segment before it changes anything.
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 3, "Control Transfers"; vol. 2, "Software Interrupts".
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

/* Raises #GP(0) unless rip can be a target, and returns it truncated. */
static uint64_t check_target(struct cpu *c, uint64_t rip, unsigned opsize)
{
	rip &= interp_mask(opsize);
	if (c->mode & MODE_CS64) {
		if (!interp_canonical(rip))
			cpu_raise_gp0(c);
	} else if (rip > c->seg[X86_CS].limit) {
		cpu_raise_gp0(c);
	}
	return rip;
}

/* Not checked yet. */
static uint64_t raw_target(struct cpu *c, const struct x86_insn *in)
{
	uint64_t rip = interp_read(c, in, 0);

	return in->opnd[0].kind == X86_OPND_REL ? rip + c->next_rip : rip;
}

static uint64_t near_target(struct cpu *c, const struct x86_insn *in)
{
	return check_target(c, raw_target(c, in), in->opsize);
}

static void exec_jmp(struct cpu *c, const struct x86_insn *in)
{
	c->next_rip = near_target(c, in);
}

static void exec_jcc(struct cpu *c, const struct x86_insn *in)
{
	if (flags_cond(c->rflags, in->cc))
		c->next_rip = near_target(c, in);
}

static void exec_call(struct cpu *c, const struct x86_insn *in)
{
	uint64_t target = raw_target(c, in);

	/* the push faults before a bad target does: measured on a Zen 5 */
	interp_probe_push(c, in->opsize);
	target = check_target(c, target, in->opsize);
	interp_push(c, in->opsize, c->next_rip);
	c->next_rip = target;
}

static void exec_ret(struct cpu *c, const struct x86_insn *in)
{
	uint64_t drop = in->opnd[0].kind == X86_OPND_IMM ? (uint64_t)in->imm & 0xffff : 0;

	c->next_rip = check_target(c, interp_peek(c, in->opsize, 0), in->opsize);
	stack_set(c, c->gpr[X86_RSP] + in->opsize + drop);
}

static void exec_jrcxz(struct cpu *c, const struct x86_insn *in)
{
	if (!gpr_read(c, X86_RCX, in->addrsize))
		c->next_rip = near_target(c, in);
}

static void exec_loop(struct cpu *c, const struct x86_insn *in)
{
	uint64_t count = (c->gpr[X86_RCX] - 1) & interp_mask(in->addrsize);
	bool zf = c->rflags & X86_FL_ZF, go = count;

	if (in->op == X86_LOOPE)
		go = go && zf;
	else if (in->op == X86_LOOPNE)
		go = go && !zf;
	if (go)
		c->next_rip = near_target(c, in);
	gpr_write(c, X86_RCX, in->addrsize, count);
}

/* A far pointer: immediate, or offset and selector in memory. */
static uint16_t far_target(struct cpu *c, const struct x86_insn *in, uint64_t *off)
{
	unsigned size = in->opsize;
	uint64_t ea;

	if (in->opnd[0].kind == X86_OPND_FAR) {
		*off = (uint64_t)in->imm & interp_mask(size);
		return (uint16_t)in->imm2;
	}
	ea = interp_ea(c, in);
	*off = mmu_load(c, interp_linear_at(c, in->mem.seg, ea, size, false), size, c->tlb_idx);
	ea = (ea + size) & interp_mask(in->addrsize);
	return (uint16_t)mmu_load(c, interp_linear_at(c, in->mem.seg, ea, 2, false), 2,
				  c->tlb_idx);
}

static void exec_jmpf(struct cpu *c, const struct x86_insn *in)
{
	uint64_t off;
	uint16_t sel = far_target(c, in, &off);

	cpu_far_jump(c, sel, off, in->opsize);
	c->next_rip = c->rip;
}

static void exec_callf(struct cpu *c, const struct x86_insn *in)
{
	uint64_t off;
	uint16_t sel = far_target(c, in, &off);

	cpu_far_call(c, sel, off, in->opsize, c->next_rip);
	c->next_rip = c->rip;
}

static void exec_retf(struct cpu *c, const struct x86_insn *in)
{
	cpu_far_return(c, in->opsize,
		       in->opnd[0].kind == X86_OPND_IMM ? (unsigned)in->imm & 0xffff : 0);
	c->next_rip = c->rip;
}

static void exec_iret(struct cpu *c, const struct x86_insn *in)
{
	cpu_iret(c, in->opsize);
	c->next_rip = c->rip;
}

static void exec_int(struct cpu *c, const struct x86_insn *in)
{
	if (c->mode & MODE_VM86 && !interp_iopl_ok(c) && !(c->cr4 & X86_CR4_VME))
		cpu_raise_gp0(c);
	cpu_deliver(c, (unsigned)in->imm & 0xff, CPU_EV_SOFT, false, 0, c->next_rip);
	c->next_rip = c->rip;
}

static void exec_int3(struct cpu *c, const struct x86_insn *in)
{
	cpu_deliver(c, X86_EXC_BP, CPU_EV_SOFT, false, 0, c->next_rip);
	c->next_rip = c->rip;
}

/* ICEBP: a debug trap without privilege check. */
static void exec_int1(struct cpu *c, const struct x86_insn *in)
{
	cpu_deliver(c, X86_EXC_DB, CPU_EV_TRAP, false, 0, c->next_rip);
	c->next_rip = c->rip;
}

static void exec_into(struct cpu *c, const struct x86_insn *in)
{
	if (!(c->rflags & X86_FL_OF))
		return;
	cpu_deliver(c, X86_EXC_OF, CPU_EV_SOFT, false, 0, c->next_rip);
	c->next_rip = c->rip;
}

static void exec_bound(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	uint64_t ea = interp_ea(c, in);
	int64_t idx = interp_sext(interp_read(c, in, 0), size), low, high;
	gvaddr la = interp_linear_at(c, in->mem.seg, ea, size, false);

	low = interp_sext(mmu_load(c, la, size, c->tlb_idx), size);
	ea = (ea + size) & interp_mask(in->addrsize);
	la = interp_linear_at(c, in->mem.seg, ea, size, false);
	high = interp_sext(mmu_load(c, la, size, c->tlb_idx), size);
	if (idx < low || idx > high)
		cpu_raise(c, X86_EXC_BR);
}

static void exec_syscall(struct cpu *c, const struct x86_insn *in)
{
	switch (in->op) {
	case X86_SYSCALL: cpu_syscall(c, c->next_rip); break;
	case X86_SYSRET: cpu_sysret(c, in->opsize); break;
	case X86_SYSENTER: cpu_sysenter(c); break;
	case X86_SYSEXIT: cpu_sysexit(c, in->opsize); break;
	}
	c->next_rip = c->rip;
}

static void exec_ud(struct cpu *c, const struct x86_insn *in)
{
	cpu_raise(c, X86_EXC_UD);
}

const struct interp_row interp_rows_flow[] = {
	{X86_JMP, exec_jmp}, {X86_JCC, exec_jcc}, {X86_CALL, exec_call}, {X86_RET, exec_ret},
	{X86_JRCXZ, exec_jrcxz}, {X86_LOOP, exec_loop}, {X86_LOOPE, exec_loop},
	{X86_LOOPNE, exec_loop}, {X86_JMPF, exec_jmpf}, {X86_CALLF, exec_callf},
	{X86_RETF, exec_retf}, {X86_IRET, exec_iret}, {X86_INT, exec_int},
	{X86_INT1, exec_int1}, {X86_INT3, exec_int3}, {X86_INTO, exec_into},
	{X86_BOUND, exec_bound}, {X86_SYSCALL, exec_syscall}, {X86_SYSRET, exec_syscall},
	{X86_SYSENTER, exec_syscall}, {X86_SYSEXIT, exec_syscall}, {X86_UD0, exec_ud},
	{X86_UD1, exec_ud}, {X86_UD2, exec_ud},
	{0, NULL},
};
