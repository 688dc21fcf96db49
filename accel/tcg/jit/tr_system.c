/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of the system instructions that kernels execute most: interrupt flag, flags to and
 * from the stack, time-stamp counter, SWAPGS, STAC and CLAC, reading segment and control
 * registers; and calls of fast_system() for those that need more than a template.
 *
 * What is unusual goes to the interpreter at run time: flags other than the arithmetic ones and IF
 * changing in POPF, an interrupt waiting for IF, RDTSC forbidden to user code.
 *
 * STI's shadow. Interrupts are taken at polls, and a poll never follows STI immediately: block.c
 * does not let a block end with it. POPF has no shadow.
 */
#include "accel/tcg/jit/translate.h"

static bool kernel(uint32_t mode)
{
	return !(mode & MODE_CPL);
}

/* Reading CR0, 2, 3, 4; writing CR3. */
static bool movcr_ok(const struct x86_insn *in)
{
	if (in->opnd[0].rc == X86_RC_CR)
		return in->opnd[0].reg == 3;
	return in->opnd[1].reg == 0 || (in->opnd[1].reg >= 2 && in->opnd[1].reg <= 4);
}

uint8_t tr_system_kind(const struct x86_insn *in)
{
	if (in->op == X86_MOVCR && in->opnd[0].rc != X86_RC_CR)
		return TR_READ_CR;
	if (in->op == X86_RDFSBASE || in->op == X86_RDGSBASE)
		return TR_READ_BASE;
	return TR_SYSTEM;
}

bool tr_system_ok(struct jit *j, const struct x86_insn *in, uint32_t mode)
{
	switch (in->op) {
	case X86_CLI:
	case X86_STI:
	case X86_HLT:
		return kernel(mode);
	case X86_CPUID:
		return mode & MODE_CS64;
	case X86_SWAPGS:
		return kernel(mode) && mode & MODE_CS64;
	case X86_STAC:
	case X86_CLAC:
		return kernel(mode) && cpu_has_feature(X86_FEAT_SMAP);
	case X86_RDTSCP:
	case X86_RDTSC:
		return j->vm->tsc_native && cpu_has_feature(in->feature);
	case X86_SYSCALL:
		return mode & MODE_CS64;
	case X86_SYSRET:
	case X86_IRET:
		return kernel(mode) && mode & MODE_CS64 && in->opsize == 8;
	case X86_RDMSR:
	case X86_WRMSR:
		return kernel(mode) && mode & MODE_CS64;
	case X86_INVLPG:
		return kernel(mode) && mode & MODE_CS64 && in->mem.seg < X86_FS &&
		       in->addrsize == 8;
	case X86_MOVCR:
		return kernel(mode) && mode & MODE_CS64 && movcr_ok(in);
	case X86_RDFSBASE: case X86_RDGSBASE: case X86_WRFSBASE: case X86_WRGSBASE:
		return mode & MODE_CS64 && in->opsize == 8;
	case X86_MOVSEG: /* reads into a register */
		return in->opnd[0].kind == X86_OPND_REG && in->opnd[0].rc == X86_RC_GPR;
	default:
		return false;
	}
}

static int irq_waiting_off(void)
{
	return (int)offsetof(struct cpu, irq_waiting);
}

/* cmp byte [rsp + off], 0; jne */
static uint8_t *jump_if_byte(struct tr *t, int off)
{
	emit_cpu(&t->hot, 0x80, false, ALU_CMP, off);
	emit8(&t->hot, 0);
	return emit_jcc(&t->hot, CC_NE);
}

static void rflags_op(struct tr *t, unsigned alu, uint32_t imm)
{
	emit_cpu(&t->hot, 0x81, false, alu, OFF_RFLAGS);
	emit32(&t->hot, imm);
}

static bool sti(struct tr *t)
{
	uint8_t *slow;

	tr_clobber(t, H_T1);
	slow = jump_if_byte(t, irq_waiting_off());
	rflags_op(t, ALU_OR, X86_FL_IF);
	tr_interp_cold(t, &slow, 1, true);
	return true;
}

static bool pushf(struct tr *t)
{
	struct tr_access a = {.size = t->code64 ? 8 : 4, .write = true, .free_t1 = true};
	struct jit_buf *b = &t->hot;
	struct hmem m;

	tr_clobber(t, H_T1); /* all flags are read: they are in jit_flags now */
	emit_cpu(b, OP_LOAD, false, H_T1, OFF_FLAGS);
	emit_rr(b, OP_LOAD, false, H_T0, H_T1);
	emit_shift_imm(b, 5, false, H_T0, 8);
	emit_alu_imm(b, ALU_AND, false, H_T0, X86_FL_ARITH & 0xff);
	emit_alu_imm(b, ALU_AND, false, H_T1, 1);
	emit_shift_imm(b, 4, false, H_T1, 11);
	emit_rr(b, 0x0b, false, H_T0, H_T1); /* or */
	emit_cpu(b, OP_LOAD, false, H_T1, OFF_RFLAGS);
	emit_alu_imm(b, ALU_AND, false, H_T1, ~(X86_FL_ARITH | X86_FL_RF | X86_FL_VM));
	emit_rr(b, 0x0b, false, H_T1, H_T0);
	emit_cpu(b, OP_STORE, true, H_T1, OFF_SPILL);
	tr_stack(t, H_GSP, -(int)a.size, &a, &m);
	emit_cpu(b, OP_LOAD, true, H_T1, OFF_SPILL);
	emit_rm(b, OP_STORE, t->code64, H_T1, m);
	emit_rm(b, OP_LEA, t->code64, H_GSP, (struct hmem){H_GSP, H_NONE, 0, -(int)a.size});
	return true;
}

static bool popf(struct tr *t)
{
	struct tr_access a = {.size = t->code64 ? 8 : 4};
	uint32_t rare = X86_FL_TF | X86_FL_DF | X86_FL_IOPL | X86_FL_NT | X86_FL_AC | X86_FL_ID;
	bool may_if = kernel(t->mode);
	struct jit_buf *b = &t->hot;
	uint8_t *slow[2];
	struct hmem m;
	unsigned n = 0;

	tr_clobber(t, H_T1);
	tr_stack(t, H_GSP, 0, &a, &m);
	emit_rm(b, OP_LOAD, t->code64, H_T1, m);
	emit_rr(b, OP_LOAD, false, H_T0, H_T1);
	emit_cpu(b, OP_XOR_LOAD, false, H_T0, OFF_RFLAGS);
	emit_rr(b, 0xf7, false, 0, H_T0); /* test: something rare changes */
	emit32(b, may_if ? rare : rare | X86_FL_IF);
	slow[n++] = emit_jcc(b, CC_NE);
	if (may_if) {
		slow[n++] = jump_if_byte(t, irq_waiting_off());
		emit_alu_imm(b, ALU_AND, false, H_T0, X86_FL_IF);
		emit_cpu(b, 0x31, false, H_T0, OFF_RFLAGS); /* xor */
	}
	emit_rr(b, OP_LOAD, false, H_T0, H_T1);
	emit_shift_imm(b, 5, false, H_T0, 11);
	emit_alu_imm(b, ALU_AND, false, H_T0, 1);
	emit_alu_imm(b, ALU_AND, false, H_T1, 0xff);
	emit_shift_imm(b, 4, false, H_T1, 8);
	emit_rr(b, 0x0b, false, H_T1, H_T0); /* or */
	emit_cpu(b, OP_STORE, false, H_T1, OFF_FLAGS);
	emit_rm(b, OP_LEA, t->code64, H_GSP, (struct hmem){H_GSP, H_NONE, 0, a.size});
	tr_interp_cold(t, slow, n, true);
	t->fl_m = true;
	t->fl_e = false;
	return true;
}

static bool rdtsc(struct tr *t)
{
	struct jit_buf *b = &t->hot;
	uint8_t *slow = NULL;

	tr_clobber(t, H_T1);
	if (!kernel(t->mode)) {
		emit_cpu(b, 0xf7, false, 0, (int)offsetof(struct cpu, cr4)); /* test */
		emit32(b, X86_CR4_TSD);
		slow = emit_jcc(b, CC_NE);
	}
	if (t->it->in.op == X86_RDTSCP) {
		emit_cpu(b, OP_LOAD, false, H_RCX, (int)offsetof(struct cpu, tsc_aux));
		emit8(b, 0x0f); /* lfence: after everything before it */
		emit8(b, 0xae);
		emit8(b, 0xe8);
	}
	emit8(b, 0x0f);
	emit8(b, 0x31);
	emit_shift_imm(b, 4, true, H_RDX, 32);
	emit_rr(b, 0x0b, true, H_RDX, H_RAX);
	emit_cpu(b, OP_ADD_LOAD, true, H_RDX, (int)offsetof(struct cpu, tsc_offset));
	emit_rr(b, OP_LOAD, false, H_RAX, H_RDX);
	emit_shift_imm(b, 5, true, H_RDX, 32);
	if (slow)
		tr_interp_cold(t, &slow, 1, false);
	return true;
}

static bool swapgs(struct tr *t)
{
	int gs = (int)(offsetof(struct cpu, seg[X86_GS]) + offsetof(struct x86_seg, base));
	int other = (int)offsetof(struct cpu, kernel_gs_base);

	emit_cpu(&t->hot, OP_LOAD, true, H_T0, gs);
	emit_cpu(&t->hot, OP_LOAD, true, H_T1, other);
	emit_cpu(&t->hot, OP_STORE, true, H_T0, other);
	emit_cpu(&t->hot, OP_STORE, true, H_T1, gs);
	return true;
}

/* AC with SMAP exchanges the kernel's two sets of data translations: another mode, so the block
 * ends. The jump cache of the new set must hold that mode's blocks. */
static bool stac(struct tr *t)
{
	bool on = t->it->in.op == X86_STAC;
	unsigned idx = on ? TLB_KERNEL_AC : TLB_KERNEL;
	uint32_t mode = (t->mode & ~(uint32_t)MODE_TLB) | idx << MODE_TLB_SHIFT;
	struct jit_buf *b = &t->hot;
	uint8_t *slow[2];

	tr_clobber(t, H_T1);
	emit_cpu(b, 0xf7, false, 0, (int)offsetof(struct cpu, cr4)); /* test */
	emit32(b, X86_CR4_SMAP);
	slow[0] = emit_jcc(b, CC_E);
	emit_cmp_cpu_imm(b, false, (int)offsetof(struct cpu, jit_jump_mode) + 4 * (int)idx,
			 (int32_t)mode);
	slow[1] = emit_jcc(b, CC_NE);
	rflags_op(t, on ? ALU_OR : ALU_AND, on ? X86_FL_AC : ~(uint32_t)X86_FL_AC);
	emit_store_cpu_imm(b, false, (int)offsetof(struct cpu, mode), (int32_t)mode);
	emit_cpu(b, 0xc6, false, 0, (int)offsetof(struct cpu, tlb_idx));
	emit8(b, idx);
	tr_interp_cold(t, slow, 2, true);
	t->exit_mode = mode;
	tr_exit_to(t, b, t->ir->end, t->it->live_out, t->ir->end <= t->ir->start);
	t->exit_mode = t->mode;
	return true;
}

static bool movseg(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	unsigned guest = in->opnd[0].reg, h = t->host[guest];
	int off = (int)(offsetof(struct cpu, seg) + in->opnd[1].reg * sizeof(struct x86_seg) +
			offsetof(struct x86_seg, selector));
	struct henc e = {.map = 1, .opcode = 0xb7}; /* movzx r32, m16 */

	if (in->opsize == 2) {
		e = (struct henc){.p66 = true, .opcode = OP_LOAD};
		tr_reg(t, guest, H_T0);
	}
	emit_enc_mem(&t->hot, &e, h == H_NONE ? H_T0 : h, &(struct hmem){H_CPU, H_NONE, 0, off},
		     NULL, 0);
	tr_reg_store(t, guest, H_T0);
	return true;
}

/* mov reg, [rsp + off] of a guest register */
static void load_guest(struct tr *t, unsigned guest, int off)
{
	unsigned h = t->host[guest];

	emit_cpu(&t->hot, OP_LOAD, true, h == H_NONE ? H_T0 : h, off);
	tr_reg_store(t, guest, H_T0);
}

static bool read_cr(struct tr *t)
{
	static const int16_t at[] = {offsetof(struct cpu, cr0), 0, offsetof(struct cpu, cr2),
				     offsetof(struct cpu, cr3), offsetof(struct cpu, cr4)};
	const struct x86_insn *in = &t->it->in;

	load_guest(t, in->opnd[0].reg, at[in->opnd[1].reg]);
	return true;
}

static bool read_base(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	unsigned seg = in->op == X86_RDFSBASE ? X86_FS : X86_GS;
	uint8_t *slow;

	tr_clobber(t, H_T1);
	emit_cpu(&t->hot, 0xf7, false, 0, (int)offsetof(struct cpu, cr4)); /* test */
	emit32(&t->hot, X86_CR4_FSGSBASE);
	slow = emit_jcc(&t->hot, CC_E);
	load_guest(t, in->opnd[0].reg, (int)(offsetof(struct cpu, seg) + seg * sizeof(struct x86_seg) +
					     offsetof(struct x86_seg, base)));
	tr_interp_cold(t, &slow, 1, false);
	return true;
}

/* fast_system() with the operand in T0; ends the block. */
static bool system_call(struct tr *t)
{
	struct x86_insn *in = &t->it->in;

	tr_clobber(t, H_T1);
	switch (in->op) {
	case X86_MOVCR:
		emit_mov_rr(&t->hot, H_T0, tr_reg(t, in->opnd[1].reg, H_T0));
		break;
	case X86_WRFSBASE: case X86_WRGSBASE:
		emit_mov_rr(&t->hot, H_T0, tr_reg(t, in->opnd[0].reg, H_T0));
		break;
	case X86_INVLPG: {
		uint8_t opsize = in->opsize;
		bool ok;

		in->opsize = 8; /* the address is what LEA would give */
		ok = tr_lea(t, H_T0);
		in->opsize = opsize;
		if (!ok)
			return false;
		break;
	}
	default:
		break;
	}
	tr_interp_by(t, in->op == X86_HLT ? t->j->stub_halt : t->j->stub_system, SITE_LEAVE);
	return true;
}

bool tr_system(struct tr *t)
{
	switch (t->it->kind) {
	case TR_CLD: /* the host's DF stays clear: the guest's is in rflags */
	case TR_CLI:
		tr_clobber(t, H_T1);
		rflags_op(t, ALU_AND,
			  ~(uint32_t)(t->it->kind == TR_CLI ? X86_FL_IF : X86_FL_DF));
		return true;
	case TR_STD:
		tr_clobber(t, H_T1);
		rflags_op(t, ALU_OR, X86_FL_DF);
		return true;
	case TR_STI: return sti(t);
	case TR_PUSHF: return pushf(t);
	case TR_POPF: return popf(t);
	case TR_RDTSC: return rdtsc(t);
	case TR_SWAPGS: return swapgs(t);
	case TR_STAC: return stac(t);
	case TR_MOVSEG: return movseg(t);
	case TR_READ_CR: return read_cr(t);
	case TR_READ_BASE: return read_base(t);
	case TR_SYSTEM: return system_call(t);
	default: return false;
	}
}
