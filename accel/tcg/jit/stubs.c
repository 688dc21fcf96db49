/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitted code that is not part of any block: entering and leaving, and the ways to C.
 *
 * A way to C: guest registers to cpu->gpr, SIMD state to cpu->xs if it is in host registers, then
 * the helper from the table in struct cpu, on the C stack below struct cpu. The helper returns a
 * pair: T0, and where to go. NULL means back to the caller with T0 changed (only for misses), 1
 * means out of translated code, anything else is an address to jump to with all registers and
 * EFLAGS loaded.
 *
 * Flags are in jit_flags whenever C is called; stub_link_e puts them there for exits that have
 * them in EFLAGS.
 *
 * SIMD. XSAVE writes the standard format, all of it. The addresses of the last x87 instruction
 * would be host addresses: they are zeroed, which is what AMD processors save when no exception
 * is pending. C code then runs with the default MXCSR and x87 control word. jit_simd_want
 * remembers to load the state again if execution goes on in the middle of the same block.
 *
 * Refs: Intel SDM vol. 1, "XSAVE-Supported Features and State-Component Bitmaps"; AMD APM vol. 2,
 * "XSAVE/XRSTOR"; System V ABI AMD64, "Registers".
 */
#include "accel/tcg/jit/priv.h"

enum { XS_MASK = 7, OFF_XS_BV = OFF_XS + 512 };

/* Stubs run with one return address pushed, or none; `sp` is how far below &cpu rsp is. */
static void save_regs(struct jit_buf *b, int sp)
{
	for (unsigned g = 0; g < 16; g++)
		if (regs_host(g) != H_NONE)
			emit_cpu(b, OP_STORE, true, regs_host(g), off_gpr(g) + sp);
}

static void load_regs(struct jit_buf *b, int sp)
{
	for (unsigned g = 0; g < 16; g++)
		if (regs_host(g) != H_NONE)
			emit_cpu(b, OP_LOAD, true, regs_host(g), off_gpr(g) + sp);
}

static void cmp_byte(struct jit_buf *b, int off, unsigned val)
{
	emit_cpu(b, 0x80, false, ALU_CMP, off);
	emit8(b, val);
}

static void store_byte(struct jit_buf *b, int off, unsigned val)
{
	emit_cpu(b, 0xc6, false, 0, off);
	emit8(b, val);
}

static uint32_t here(const struct jit *j, struct jit_buf *b)
{
	while ((uintptr_t)b->p & 15)
		emit8(b, 0xcc);
	return (uint32_t)(b->p - j->rw);
}

/* xsave64 (4) or xrstor64 (5) [rsp + off]; edx:eax is destroyed. */
static void xstate(struct jit *j, struct jit_buf *b, unsigned ext, int off)
{
	emit_mov_imm(b, H_RAX, XS_MASK);
	emit_rr(b, 0x31, false, H_RDX, H_RDX);
	emit8(b, 0x48);
	emit8(b, 0x0f);
	emit_cpu(b, 0xae, false, ext, off);
	if (j->vm->has[X86_FEAT_AVX512]) {
		emit_lea(b, H_RAX, (struct hmem){H_CPU, H_NONE, 0, off});
		emit_call_to(b, jit_rw(j, j->stub_wide[ext == 5]));
	}
}

/* The rest of the state, of AVX-512, at [rax] as struct xsave_area. */
static void emit_wide(struct jit *j, struct jit_buf *b, bool load)
{
	const struct henc half = {.evex = true, .map = 3, .w = true, .pp = 1, .p2 = 0x48,
				  .opcode = load ? 0x3a : 0x3b}; /* vinserti64x4, vextracti64x4 */
	const struct henc full = {.evex = true, .map = 1, .w = true, .pp = 2, .p2 = 0x48,
				  .opcode = load ? 0x6f : 0x7f}; /* vmovdqu64 */
	const struct henc mask = {.vex = true, .map = 1, .w = true, .opcode = load ? 0x90 : 0x91};
	static const uint8_t one = 1;

	j->stub_wide[load] = here(j, b);
	for (unsigned i = 0; i < 16; i++) {
		struct henc e = half;
		int at = (int)offsetof(struct xsave_area, zmmh) + 32 * (int)i;

		e.vvvv = load ? (uint8_t)i : 0;
		emit_enc_mem(b, &e, i, &(struct hmem){H_RAX, H_NONE, 0, at}, &one, 1);
		at = (int)offsetof(struct xsave_area, zmm16) + 64 * (int)i;
		emit_enc_mem(b, &full, i + 16, &(struct hmem){H_RAX, H_NONE, 0, at}, NULL, 0);
	}
	for (unsigned i = 0; i < 8; i++)
		emit_enc_mem(b, &mask, i,
			     &(struct hmem){H_RAX, H_NONE, 0,
					    (int)offsetof(struct xsave_area, k) + 8 * (int)i},
			     NULL, 0);
	emit8(b, 0xc3);
}

/* SIMD state from registers to memory; they keep it, too. */
static void write_simd(struct jit *j, struct jit_buf *b, int sp)
{
	xstate(j, b, 4, OFF_XS + sp);
	emit_store_cpu_imm(b, true, OFF_XS_BV + sp, XS_MASK);
	emit_store_cpu_imm(b, true, OFF_XS + (int)offsetof(struct xsave_area, fip) + sp, 0);
	emit_store_cpu_imm(b, true, OFF_XS + (int)offsetof(struct xsave_area, fdp) + sp, 0);
	emit_rr(b, 0x31, false, H_RAX, H_RAX);
	emit8(b, 0x66); /* mov word [fop], ax */
	emit_cpu(b, OP_STORE, false, H_RAX, OFF_XS + (int)offsetof(struct xsave_area, fop) + sp);
}

/* The registers as C code wants them. */
static void leave_simd(struct jit_buf *b, int sp)
{
	store_byte(b, OFF_SIMD + sp, 0);
	emit8(b, 0x0f); /* ldmxcsr */
	emit_cpu(b, 0xae, false, 2, OFF_MXCSR + sp);
	emit8(b, 0xdb); /* fninit */
	emit8(b, 0xe3);
	emit8(b, 0xc5); /* vzeroupper */
	emit8(b, 0xf8);
	emit8(b, 0x77);
}

/* SIMD state to memory if it is in registers. Guest registers are saved already. */
static void save_simd(struct jit *j, struct jit_buf *b, int sp)
{
	uint8_t *skip;

	if (!j->native_simd)
		return;
	cmp_byte(b, OFF_SIMD + sp, 0);
	skip = emit_jcc(b, CC_E);
	write_simd(j, b, sp);
	leave_simd(b, sp);
	store_byte(b, OFF_SIMD_WANT + sp, 1);
	emit_fix32(skip, b->p);
}

/* The opposite, if execution goes on in the same block. */
static void restore_simd(struct jit *j, struct jit_buf *b, int sp)
{
	uint8_t *skip;

	if (!j->native_simd)
		return;
	cmp_byte(b, OFF_SIMD_WANT + sp, 0);
	skip = emit_jcc(b, CC_E);
	emit_mov_rr(b, H_R8, H_RDX);
	emit_mov_rr(b, H_T0, H_RAX);
	xstate(j, b, 5, OFF_XS + sp);
	emit_mov_rr(b, H_RAX, H_T0);
	emit_mov_rr(b, H_RDX, H_R8);
	store_byte(b, OFF_SIMD + sp, 1);
	store_byte(b, OFF_SIMD_WANT + sp, 0);
	emit_fix32(skip, b->p);
}

/* rdi = cpu, esi = T1, rdx = T0; calls the helper with an aligned stack. `sp`: 8 or 0. */
static void call_saved(struct jit_buf *b, unsigned helper, int sp)
{
	emit_rr(b, OP_LOAD, false, H_RSI, H_T1);
	emit_mov_rr(b, H_RDX, H_T0);
	emit_lea(b, H_RDI, (struct hmem){H_CPU, H_NONE, 0, sp});
	if (sp)
		emit_lea(b, H_CPU, (struct hmem){H_CPU, H_NONE, 0, -8});
	emit_rm(b, 0xff, false, 2,
		(struct hmem){H_CPU, H_NONE, 0, OFF_HELPER + 8 * (int)helper + 2 * sp});
	if (sp)
		emit_lea(b, H_CPU, (struct hmem){H_CPU, H_NONE, 0, 8});
}

static void call_helper(struct jit *j, struct jit_buf *b, unsigned helper, int sp)
{
	save_regs(b, sp);
	save_simd(j, b, sp);
	call_saved(b, helper, sp);
}

/* rax = T0, rdx = where to: leaves, or loads everything and jumps. The stack is at `sp`. */
static void follow(struct jit *j, struct jit_buf *b, int sp)
{
	if (sp)
		emit_lea(b, H_CPU, (struct hmem){H_CPU, H_NONE, 0, 8});
	emit_alu_imm(b, ALU_CMP, true, H_RDX, 1);
	emit_fix32(emit_jcc(b, CC_E), jit_rw(j, j->stub_exit_saved));
	emit_jmp_to(b, jit_rw(j, j->stub_resume));
}

/* For ways to C that never come back to their caller. */
static uint32_t one_way(struct jit *j, struct jit_buf *b, unsigned helper, int sp)
{
	uint32_t at = here(j, b);

	call_helper(j, b, helper, sp);
	follow(j, b, sp);
	return at;
}

static void emit_enter(struct jit *j, struct jit_buf *b)
{
	static const uint8_t push[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};

	/* void enter(struct cpu *c, const void *to, uint64_t t0) */
	j->stub_enter = here(j, b);
	memcpy(b->p, push, sizeof(push));
	b->p += sizeof(push);
	emit_rm(b, OP_STORE, true, H_CPU, (struct hmem){H_RDI, H_NONE, 0, OFF_HOST_SP});
	emit_mov_rr(b, H_CPU, H_RDI);
	emit_mov_rr(b, H_RAX, H_RDX);
	emit_mov_rr(b, H_RDX, H_RSI);
	/* rax = T0, rdx = where to */
	j->stub_resume = (uint32_t)(b->p - j->rw);
	restore_simd(j, b, 0);
	emit_mov_rr(b, H_T0, H_RAX);
	emit_mov_rr(b, H_T1, H_RDX);
	emit_cpu(b, OP_LOAD, false, H_RAX, OFF_FLAGS);
	emit8(b, 0x04); /* add al, 0x7f */
	emit8(b, 0x7f);
	emit8(b, 0x9e); /* sahf */
	load_regs(b, 0);
	emit_rr(b, 0xff, false, 4, H_T1);
}

static const uint8_t caller_saved[] = {X86_RAX, X86_RCX, X86_RDX, X86_RSI, X86_RDI, X86_R8,
				       X86_RSP};

static void save_caller_saved(struct jit_buf *b, int sp)
{
	for (unsigned i = 0; i < sizeof(caller_saved); i++)
		emit_cpu(b, OP_STORE, true, regs_host(caller_saved[i]),
			 off_gpr(caller_saved[i]) + sp);
}

static void save_callee_saved(struct jit_buf *b, int sp)
{
	static const uint8_t callee_saved[] = {X86_RBX, X86_RBP, X86_R12, X86_R13, X86_R14,
					       X86_R15};

	for (unsigned i = 0; i < sizeof(callee_saved); i++)
		emit_cpu(b, OP_STORE, true, regs_host(callee_saved[i]),
			 off_gpr(callee_saved[i]) + sp);
}

static void load_caller_saved(struct jit_buf *b, int sp)
{
	for (unsigned i = 0; i < sizeof(caller_saved); i++)
		emit_cpu(b, OP_LOAD, true, regs_host(caller_saved[i]),
			 off_gpr(caller_saved[i]) + sp);
}

/* rax = T0, rdx = where to, from a helper that left SIMD state and callee-saved registers where
 * they were. The target takes its flags from jit_flags. */
static void fast_follow(struct jit_buf *b, int sp)
{
	if (sp)
		emit_lea(b, H_CPU, (struct hmem){H_CPU, H_NONE, 0, sp});
	emit_mov_rr(b, H_T0, H_RAX);
	emit_mov_rr(b, H_T1, H_RDX);
	load_caller_saved(b, 0);
	emit_rr(b, 0xff, false, 4, H_T1);
}

/* Calls such a helper and goes where it says; the jump that is returned is taken if it declines. */
static uint8_t *try_fast(struct jit_buf *b, unsigned helper, int sp)
{
	uint8_t *declined;

	call_saved(b, helper, sp);
	emit_alu_imm(b, ALU_CMP, true, H_RDX, 3);
	declined = emit_jcc(b, CC_E);
	fast_follow(b, sp);
	return declined;
}

static void emit_exit(struct jit *j, struct jit_buf *b)
{
	static const uint8_t pop[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c,
				      0x5d, 0x5b, 0xc3};

	uint8_t *no;

	/* T0 = rip: a block's entry found a request. fast_poll() serves it, or run_poll(), or it is
	 * for the run loop. */
	j->stub_poll = here(j, b);
	save_caller_saved(b, 0);
	emit_cpu(b, OP_STORE, true, H_T0, OFF_RIP);
	no = try_fast(b, HELPER_FAST_POLL, 0);
	emit_fix32(no, b->p);
	save_callee_saved(b, 0);
	save_simd(j, b, 0);
	call_saved(b, HELPER_POLL, 0);
	emit_alu_imm(b, ALU_CMP, true, H_RDX, 1);
	emit_fix32(emit_jcc(b, CC_NE), jit_rw(j, j->stub_resume));
	/* Everything is saved. */
	j->stub_exit_saved = (uint32_t)(b->p - j->rw);
	emit_cpu(b, OP_LOAD, true, H_CPU, OFF_HOST_SP);
	memcpy(b->p, pop, sizeof(pop));
	b->p += sizeof(pop);
}

/* A helper for general registers with T0 and T1, and behind it the way to another one that saves
 * everything, with the same T0 and T1. */
static void two_ways(struct jit *j, struct jit_buf *b, unsigned fast, unsigned slow)
{
	uint8_t *no;

	save_caller_saved(b, 0);
	emit_cpu(b, OP_STORE, true, H_T0, OFF_SPILL + 16);
	emit_cpu(b, OP_STORE, true, H_T1, OFF_SPILL + 24);
	no = try_fast(b, fast, 0);
	emit_fix32(no, b->p);
	save_callee_saved(b, 0);
	save_simd(j, b, 0);
	emit_cpu(b, OP_LOAD, true, H_T0, OFF_SPILL + 16);
	emit_cpu(b, OP_LOAD, true, H_T1, OFF_SPILL + 24);
	call_saved(b, slow, 0);
	follow(j, b, 0);
}

/* A system instruction: T0 = operand, T1 = site; called. The interpreter does what fast_system()
 * does not. */
static void emit_system(struct jit *j, struct jit_buf *b)
{
	uint8_t *no;

	j->stub_system = here(j, b);
	save_caller_saved(b, 8);
	emit_cpu(b, OP_STORE, true, H_RBX, off_gpr(X86_RBX) + 8);
	emit_cpu(b, OP_STORE, true, H_T1, OFF_SPILL + 24 + 8);
	call_saved(b, HELPER_SYSTEM, 8);
	emit_alu_imm(b, ALU_CMP, true, H_RDX, 3);
	no = emit_jcc(b, CC_E);
	emit_cpu(b, OP_LOAD, true, H_RBX, off_gpr(X86_RBX) + 8); /* CPUID's */
	fast_follow(b, 8);
	emit_fix32(no, b->p);
	load_caller_saved(b, 8);
	emit_cpu(b, OP_LOAD, true, H_T1, OFF_SPILL + 24 + 8);
	emit_jmp_to(b, jit_rw(j, j->stub_interp));
}

/* Of a memory access: T0 = linear address, T1 = site. Back with T0 = addend, and T1 not 0 if it
 * is the bounce buffer's. */
static void emit_miss(struct jit *j, struct jit_buf *b)
{
	uint8_t *slow, *go, *retry, *bounce;

	j->stub_miss = here(j, b);
	save_caller_saved(b, 8);
	emit_cpu(b, OP_STORE, true, H_T0, OFF_SPILL + 16 + 8);
	emit_cpu(b, OP_STORE, true, H_T1, OFF_SPILL + 24 + 8);
	call_saved(b, HELPER_FAST_MISS, 8);
	emit_alu_imm(b, ALU_CMP, true, H_RDX, 3);
	slow = emit_jcc(b, CC_E);
	go = emit_jcc(b, CC_A);
	emit_mov_rr(b, H_T0, H_RAX);
	emit_mov_rr(b, H_T1, H_RDX);
	load_caller_saved(b, 8);
	emit8(b, 0xc3);
	/* A page fault. */
	emit_fix32(go, b->p);
	fast_follow(b, 8);
	emit_fix32(slow, b->p);
	save_callee_saved(b, 8);
	save_simd(j, b, 8);
	emit_cpu(b, OP_LOAD, true, H_T0, OFF_SPILL + 16 + 8);
	emit_cpu(b, OP_LOAD, true, H_T1, OFF_SPILL + 24 + 8);
	call_saved(b, HELPER_MISS, 8);
	emit_rr(b, OP_TEST, true, H_RDX, H_RDX);
	retry = emit_jcc(b, CC_E);
	emit_alu_imm(b, ALU_CMP, true, H_RDX, 2);
	bounce = emit_jcc(b, CC_E);
	follow(j, b, 8);
	emit_fix32(retry, b->p);
	emit_fix32(bounce, b->p);
	restore_simd(j, b, 8);
	emit_mov_rr(b, H_T0, H_RAX);
	emit_mov_rr(b, H_T1, H_RDX);
	load_caller_saved(b, 8);
	emit8(b, 0xc3);
}

/* A string instruction: T0 = what. Back with T0 = 0, or 1 for the interpreter. */
static void emit_string(struct jit *j, struct jit_buf *b)
{
	j->stub_string = here(j, b);
	save_caller_saved(b, 8);
	call_saved(b, HELPER_STRING, 8);
	emit_mov_rr(b, H_T0, H_RAX);
	load_caller_saved(b, 8);
	emit8(b, 0xc3);
}

/*
 * A state image: T0 = linear address, T1 = site; called. Back with T0 = 0, or not if it is for the
 * interpreter. What is saved stays in registers. What is loaded is in cpu->xs afterwards, and what
 * is in registers would only matter if not all of it was to be loaded.
 */
static void emit_xstate(struct jit *j, struct jit_buf *b, bool load)
{
	uint8_t *done[3];
	unsigned n = 0;

	*(load ? &j->stub_xrstor : &j->stub_xsave) = here(j, b);
	save_caller_saved(b, 8);
	if (j->native_simd) {
		cmp_byte(b, OFF_SIMD + 8, 0);
		done[n++] = emit_jcc(b, CC_E);
		write_simd(j, b, 8);
		emit_fix32(done[--n], b->p);
	}
	call_saved(b, HELPER_XSTATE, 8);
	if (load && j->native_simd) {
		emit_rr(b, OP_TEST, true, H_RDX, H_RDX);
		done[n++] = emit_jcc(b, CC_NE);
		cmp_byte(b, OFF_SIMD + 8, 0);
		done[n++] = emit_jcc(b, CC_E);
		leave_simd(b, 8);
		while (n)
			emit_fix32(done[--n], b->p);
	}
	emit_mov_rr(b, H_T0, H_RDX);
	load_caller_saved(b, 8);
	emit8(b, 0xc3);
}

/* After an instruction that stored to the bounce buffer; keeps everything. */
static void emit_commit(struct jit *j, struct jit_buf *b)
{
	j->stub_commit = here(j, b);
	emit8(b, 0x9c); /* pushfq: rsp is 16 below cpu now */
	save_caller_saved(b, 16);
	emit_lea(b, H_RDI, (struct hmem){H_CPU, H_NONE, 0, 16});
	emit_rm(b, 0xff, false, 2,
		(struct hmem){H_CPU, H_NONE, 0, OFF_HELPER + 8 * HELPER_COMMIT + 16});
	load_caller_saved(b, 16);
	emit8(b, 0x9d); /* popfq */
	emit8(b, 0xc3);
}

/* The ways out of line of the two kinds of slots begin alike: T0 (linear address) and T1 are put
 * away, and the operand has to end on its page. Returns the jump if it does not; T1 = T0. */
static uint8_t *emit_slot_begin(struct jit_buf *b, int limit)
{
	uint8_t *crosses;

	emit_rr(b, OP_LOAD, false, H_T1, H_T0);
	emit_alu_imm(b, ALU_AND, false, H_T1, 4095);
	emit_alu_imm(b, ALU_CMP, false, H_T1, limit);
	crosses = emit_jcc(b, CC_AE);
	emit_mov_rr(b, H_T1, H_T0);
	return crosses;
}

static void emit_slot_save(struct jit_buf *b)
{
	emit_cpu(b, OP_STORE, true, H_T1, OFF_SPILL + 8 + 8);
	emit_cpu(b, OP_STORE, true, H_T0, OFF_SPILL + 16 + 8);
}

/* T1 is the site, `shift` bits up. */
static void emit_slot_give_up(struct jit *j, struct jit_buf *b, unsigned shift)
{
	emit_cpu(b, OP_LOAD, true, H_T1, OFF_SPILL + 8 + 8);
	if (shift)
		emit_shift_imm(b, 5, true, H_T1, shift);
	emit_cpu(b, OP_LOAD, true, H_T0, OFF_SPILL + 16 + 8);
	emit_jmp_to(b, jit_rw(j, j->stub_miss));
}

/*
 * The stack slot does not match: T0 = linear address, T1 = site. If the write TLB knows the page
 * and all of the operand is on it the slot takes its entry, with all registers kept.
 */
static void emit_slot(struct jit *j, struct jit_buf *b, unsigned idx, unsigned limit)
{
	static const int limits[3] = {4096, 4096 - 3, 4096 - 7};
	uint8_t *miss, *crosses;

	j->stub_slot[idx][limit] = here(j, b);
	emit_slot_save(b);
	crosses = emit_slot_begin(b, limits[limit]);
	miss = emit_tlb_look_up(b, off_tlb(idx, TLB_WRITE) + 8, -4096);
	emit_cpu(b, OP_STORE, true, H_T1, off_slot(idx) + 8);
	emit_cpu(b, OP_STORE, true, H_T0, off_slot_addend(idx) + 8);
	for (unsigned i = 0; i < 3; i++)
		emit_store_cpu_imm(b, true, off_slot_limit(idx, i) + 8, limits[i]);
	emit_rr(b, 0x31, false, H_T1, H_T1); /* not the bounce buffer's */
	emit8(b, 0xc3);
	emit_fix32(miss, b->p);
	emit_fix32(crosses, b->p);
	emit_slot_give_up(j, b, 0);
}

/* T1 = the page slot's number, which was put away beside its site. */
static void emit_slot_number(struct jit_buf *b)
{
	emit_cpu(b, OP_LOAD, true, H_T1, OFF_SPILL + 8 + 8);
	emit_alu_imm(b, ALU_AND, false, H_T1, (1 << JIT_SLOT_BITS) - 1);
}

/*
 * A page slot does not match: T0 = linear address, T1 = site << JIT_SLOT_BITS | slot. If the TLB
 * knows the page, what is looked at is on it, and the slot was not filled too often, it takes the
 * TLB's entry, with all registers kept: as jit_page_fill().
 */
static void emit_page(struct jit *j, struct jit_buf *b, unsigned acc, unsigned limit)
{
	static const int limits[2] = {4096 - 7, 4096 - 63};
	int place = off_page_slot(0) + 8;
	int budget = (int)offsetof(struct cpu, jit_page_budget) + 8;
	uint8_t *miss, *crosses, *asked;

	j->stub_page[acc][limit] = here(j, b);
	emit_slot_save(b);
	emit_slot_number(b);
	emit_rm(b, 0x80, false, ALU_CMP, (struct hmem){H_CPU, H_T1, 0, budget});
	emit8(b, 0);
	asked = emit_jcc(b, CC_E);
	crosses = emit_slot_begin(b, limits[limit]);
	miss = emit_tlb_look_up(b, off_tlb(TLB_USER, acc) + 8, -4096);
	emit_cpu(b, OP_STORE, true, H_T1, OFF_SPILL + 16 + 8); /* the page */
	emit_slot_number(b);
	emit_rm(b, 0xfe, false, 1, (struct hmem){H_CPU, H_T1, 0, budget}); /* dec byte */
	emit8(b, 0x4c); /* bts [rsp + used], T1 */
	emit8(b, 0x0f);
	emit_cpu(b, 0xab, false, H_T1 & 7, (int)offsetof(struct cpu, jit_page_used) + 8);
	emit_shift_imm(b, 4, false, H_T1, 5);
	emit_rm(b, OP_STORE, true, H_T0, (struct hmem){H_CPU, H_T1, 0, place + 8});
	emit_cpu(b, OP_LOAD, true, H_T0, OFF_SPILL + 16 + 8);
	emit_rm(b, OP_STORE, true, H_T0, (struct hmem){H_CPU, H_T1, 0, place});
	for (unsigned i = 0; i < 2; i++) {
		emit_rm(b, 0xc7, true, 0, (struct hmem){H_CPU, H_T1, 0, place + 16 + 8 * (int)i});
		emit32(b, (uint32_t)limits[i]);
	}
	emit_rm(b, OP_LOAD, true, H_T0, (struct hmem){H_CPU, H_T1, 0, place + 8});
	emit_rr(b, 0x31, false, H_T1, H_T1); /* not the bounce buffer's */
	emit8(b, 0xc3);
	emit_fix32(asked, b->p);
	emit_fix32(miss, b->p);
	emit_fix32(crosses, b->p);
	emit_slot_give_up(j, b, JIT_SLOT_BITS);
}

/* A block wants SIMD state in registers: T1 = site. Guest registers are kept, flags are not. */
static void emit_simd(struct jit *j, struct jit_buf *b)
{
	uint8_t *no[2];

	j->stub_simd = here(j, b);
	emit_cpu(b, OP_LOAD, false, H_T0, OFF_XS + (int)offsetof(struct xsave_area, mxcsr) + 8);
	emit_rr(b, 0xf7, false, 2, H_T0); /* not */
	emit_rr(b, 0xf7, false, 0, H_T0); /* test: an exception is unmasked */
	emit32(b, 0x1f80);
	no[0] = emit_jcc(b, CC_NE);
	emit_cpu(b, OP_LOAD, false, H_T0, OFF_XS + (int)offsetof(struct xsave_area, fcw) + 8);
	emit_rr(b, 0xf7, false, 2, H_T0);
	emit_rr(b, 0xf7, false, 0, H_T0);
	emit32(b, 0x3f);
	no[1] = emit_jcc(b, CC_NE);
	emit_mov_rr(b, H_T0, H_RAX);
	emit_mov_rr(b, H_T1, H_RDX);
	xstate(j, b, 5, OFF_XS + 8);
	emit_mov_rr(b, H_RDX, H_T1);
	emit_mov_rr(b, H_RAX, H_T0);
	store_byte(b, OFF_SIMD + 8, 1);
	emit8(b, 0xc3);
	emit_fix32(no[0], b->p);
	emit_fix32(no[1], b->p);
	call_helper(j, b, HELPER_SIMD, 8);
	follow(j, b, 8);
}

void stubs_emit(struct jit *j)
{
	struct jit_buf b = {jit_rw(j, j->hot)};

	if (j->vm->has[X86_FEAT_AVX512]) {
		emit_wide(j, &b, false);
		emit_wide(j, &b, true);
	}
	emit_enter(j, &b);
	emit_exit(j, &b);
	j->stub_dispatch = one_way(j, &b, HELPER_DISPATCH, 0);
	j->stub_jump_miss = here(j, &b);
	two_ways(j, &b, HELPER_FAST_JUMP, HELPER_JUMP_MISS);
	j->stub_link_e = here(j, &b);
	emit_save_flags(&b, H_T0);
	j->stub_link = (uint32_t)(b.p - j->rw);
	two_ways(j, &b, HELPER_FAST_LINK, HELPER_LINK);
	j->stub_interp = one_way(j, &b, HELPER_INTERP, 8);
	emit_system(j, &b);
	j->stub_halt = one_way(j, &b, HELPER_HALT, 8);
	emit_miss(j, &b);
	emit_commit(j, &b);
	emit_string(j, &b);
	emit_xstate(j, &b, false);
	emit_xstate(j, &b, true);
	for (unsigned idx = 0; idx < TLB_N_INDEX; idx++)
		for (unsigned k = 1; k < 3; k++)
			emit_slot(j, &b, idx, k);
	for (unsigned i = 0; i < TLB_N_ACCESS * 2; i++)
		emit_page(j, &b, i / 2, i & 1);
	emit_simd(j, &b);
	j->hot = here(j, &b);
}
