/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a formed block to host code: entry points, flags, and which template an instruction gets.
 *
 * Every instruction without a template, or whose operands a template declines, becomes a call of
 * the interpreter with its decoded form; the block goes on behind it.
 *
 * Refs: docs/translator.md.
 */
#include "accel/tcg/jit/translate.h"

#include "accel/tcg/jit/dump.h"

/* --- which template --- */

static const uint8_t kind_of_op[X86_N_OPS] = {
	[X86_ADD] = TR_GENERIC, [X86_OR] = TR_GENERIC, [X86_ADC] = TR_GENERIC,
	[X86_SBB] = TR_GENERIC, [X86_AND] = TR_GENERIC, [X86_SUB] = TR_GENERIC,
	[X86_XOR] = TR_GENERIC, [X86_CMP] = TR_GENERIC, [X86_TEST] = TR_GENERIC,
	[X86_INC] = TR_GENERIC, [X86_DEC] = TR_GENERIC, [X86_NEG] = TR_GENERIC,
	[X86_NOT] = TR_GENERIC, [X86_MUL] = TR_GENERIC, [X86_IMUL] = TR_GENERIC,
	[X86_DIV] = TR_DIV, [X86_IDIV] = TR_DIV,
	[X86_ROL] = TR_GENERIC, [X86_ROR] = TR_GENERIC, [X86_RCL] = TR_GENERIC,
	[X86_RCR] = TR_GENERIC, [X86_SHL] = TR_GENERIC, [X86_SHR] = TR_GENERIC,
	[X86_SAR] = TR_GENERIC, [X86_SHLD] = TR_GENERIC, [X86_SHRD] = TR_GENERIC,
	[X86_MOV] = TR_GENERIC, [X86_MOVZX] = TR_GENERIC, [X86_MOVSX] = TR_GENERIC,
	[X86_MOVSXD] = TR_GENERIC, [X86_LEA] = TR_LEA, [X86_XCHG] = TR_GENERIC,
	[X86_XADD] = TR_GENERIC, [X86_CMPXCHG] = TR_GENERIC, [X86_CMPXCHG8B] = TR_GENERIC,
	[X86_CMPXCHG16B] = TR_GENERIC, [X86_BSWAP] = TR_BSWAP, [X86_MOVBE] = TR_GENERIC,
	[X86_MOVNTI] = TR_GENERIC, [X86_CBW] = TR_COPY, [X86_CWD] = TR_COPY,
	[X86_LAHF] = TR_COPY, [X86_SAHF] = TR_COPY, [X86_SETCC] = TR_GENERIC,
	[X86_CMOVCC] = TR_GENERIC, [X86_BT] = TR_GENERIC, [X86_BTS] = TR_GENERIC,
	[X86_BTR] = TR_GENERIC, [X86_BTC] = TR_GENERIC, [X86_BSF] = TR_GENERIC,
	[X86_BSR] = TR_GENERIC, [X86_TZCNT] = TR_GENERIC, [X86_LZCNT] = TR_GENERIC,
	[X86_POPCNT] = TR_GENERIC, [X86_CRC32] = TR_GENERIC, [X86_ANDN] = TR_GENERIC,
	[X86_BEXTR] = TR_GENERIC, [X86_BLSI] = TR_GENERIC, [X86_BLSMSK] = TR_GENERIC,
	[X86_BLSR] = TR_GENERIC, [X86_BZHI] = TR_GENERIC, [X86_MULX] = TR_GENERIC,
	[X86_PDEP] = TR_GENERIC, [X86_PEXT] = TR_GENERIC, [X86_RORX] = TR_GENERIC,
	[X86_SARX] = TR_GENERIC, [X86_SHLX] = TR_GENERIC, [X86_SHRX] = TR_GENERIC,
	[X86_ADCX] = TR_GENERIC, [X86_ADOX] = TR_GENERIC,
	[X86_CLC] = TR_COPY, [X86_STC] = TR_COPY, [X86_CMC] = TR_COPY,
	[X86_CLD] = TR_CLD, [X86_STD] = TR_STD, [X86_CLI] = TR_CLI, [X86_STI] = TR_STI,
	[X86_PUSHF] = TR_PUSHF, [X86_POPF] = TR_POPF, [X86_RDTSC] = TR_RDTSC,
	[X86_RDTSCP] = TR_RDTSC, [X86_SWAPGS] = TR_SWAPGS, [X86_STAC] = TR_STAC,
	[X86_CLAC] = TR_STAC, [X86_MOVSEG] = TR_MOVSEG,
	[X86_SYSCALL] = TR_SYSTEM, [X86_SYSRET] = TR_SYSTEM, [X86_IRET] = TR_SYSTEM,
	[X86_MOVCR] = TR_SYSTEM, [X86_INVLPG] = TR_SYSTEM, [X86_WRMSR] = TR_SYSTEM,
	[X86_RDFSBASE] = TR_SYSTEM, [X86_RDGSBASE] = TR_SYSTEM, [X86_WRFSBASE] = TR_SYSTEM,
	[X86_WRGSBASE] = TR_SYSTEM, [X86_RDMSR] = TR_SYSTEM,
	[X86_HLT] = TR_SYSTEM, [X86_CPUID] = TR_SYSTEM,
	[X86_MOVS] = TR_STRING, [X86_STOS] = TR_STRING, [X86_LODS] = TR_STRING,
	[X86_CMPS] = TR_STRING, [X86_SCAS] = TR_STRING,
	[X86_NOP] = TR_NOP, [X86_PAUSE] = TR_COPY, [X86_ENDBR32] = TR_NOP,
	[X86_ENDBR64] = TR_NOP, [X86_PREFETCH] = TR_NOP, [X86_PREFETCHW] = TR_NOP,
	[X86_PREFETCHNTA] = TR_NOP, [X86_PREFETCHT0] = TR_NOP, [X86_PREFETCHT1] = TR_NOP,
	[X86_PREFETCHT2] = TR_NOP,
	[X86_PUSH] = TR_PUSH, [X86_POP] = TR_POP, [X86_LEAVE] = TR_LEAVE,
	[X86_JMP] = TR_JMP, [X86_JCC] = TR_JCC, [X86_CALL] = TR_CALL, [X86_RET] = TR_RET,
	[X86_JRCXZ] = TR_JRCXZ, [X86_LOOP] = TR_LOOP, [X86_LOOPE] = TR_LOOP,
	[X86_LOOPNE] = TR_LOOP,
};

static uint8_t kind_of_fence(const struct x86_insn *in)
{
	return in->op == X86_LFENCE || in->op == X86_MFENCE || in->op == X86_SFENCE ? TR_COPY
										  : TR_INTERP;
}

/* The special encodings of ordinary operations. */
static uint8_t kind_of_form(const struct x86_insn *in, uint8_t kind)
{
	unsigned opc = in->opcode;

	if (in->op == X86_JMP || in->op == X86_CALL) {
		if (in->opnd[0].kind != X86_OPND_REL)
			return in->op == X86_JMP ? TR_JMP_IND : TR_CALL_IND;
		return kind;
	}
	if (kind == TR_GENERIC && tr_is_bit_mem(in))
		return TR_BT_MEM;
	if (kind != TR_GENERIC || in->attr & X86_AT_MODRM)
		return kind;
	if (in->op == X86_MOV)
		return opc >= 0xb0 ? TR_MOV_IMM : TR_MOFFS;
	if (in->op == X86_XCHG)
		return TR_XCHG_ACC;
	if (in->op == X86_INC || in->op == X86_DEC)
		return TR_INC_SHORT;
	return TR_ACC_IMM;
}

/* Encodings whose bits mean something else in 64-bit code: VEX.W where it sizes a general
 * register, and the fourth register's top bit. */
static bool only_32bit(const struct x86_insn *in)
{
	if (!(in->attr & X86_AT_VEX))
		return false;
	switch (in->op) {
	case X86_BLENDVPS: case X86_BLENDVPD: case X86_PBLENDVB:
		return true;
	case X86_CVTSI2SS: case X86_CVTSI2SD: case X86_CVTSS2SI: case X86_CVTSD2SI:
	case X86_CVTTSS2SI: case X86_CVTTSD2SI: case X86_MOVD: case X86_MOVQ: case X86_PINSRD:
	case X86_PINSRQ: case X86_PEXTRD: case X86_PEXTRQ:
		return in->prefix & X86_PFX_REXW;
	default:
		return in->cls == X86_CL_ALU && in->prefix & X86_PFX_REXW;
	}
}

uint8_t tr_kind_of(struct jit *j, const struct x86_insn *in, uint32_t mode)
{
	uint8_t kind = kind_of_op[in->op];

	if (!(mode & MODE_CS64) && only_32bit(in))
		return TR_INTERP;
	/* Who spins there may have to make room for whom it waits for. */
	if (in->op == X86_PAUSE && !j->vm->own_processors)
		return TR_INTERP;
	kind = kind ? kind : tr_xstate_kind(j, in, mode);
	if (kind == TR_XSTATE || kind == TR_LOADCW)
		return kind;
	if (in->cls == X86_CL_VEC || in->cls == X86_CL_X87 || in->op == X86_STMXCSR) {
		kind = kind_of_fence(in);
		return kind ? kind : tr_vec_kind(j, in, mode);
	}
	if (!kind)
		kind = kind_of_fence(in);
	if (!kind)
		return TR_INTERP;
	if (kind == TR_STRING)
		return tr_string_ok(in, mode) ? kind : TR_INTERP;
	if (kind == TR_SYSTEM)
		return tr_system_ok(j, in, mode) ? tr_system_kind(in) : TR_INTERP;
	if (in->cls == X86_CL_PRIV)
		return tr_system_ok(j, in, mode) ? kind : TR_INTERP;
	if (in->feature != X86_FEAT_NONE && kind != TR_NOP && kind != TR_COPY &&
	    (!j->vm->has[in->feature] || !jit_host_has(j, in->feature)))
		return TR_INTERP;
	/* 66 on a near branch makes rip 16 bits wide; stack operations of another size. */
	if ((in->cls == X86_CL_CTI || in->cls == X86_CL_STACK) && in->opsize == 2)
		return TR_INTERP;
	return kind_of_form(in, kind);
}

/* --- flags --- */

void tr_clobber(struct tr *t, unsigned park)
{
	if (t->it && t->it->live_in && !t->fl_m)
		emit_save_flags(&t->hot, park);
	t->fl_m = true;
	t->fl_e = false;
}

void tr_need(struct tr *t, unsigned park)
{
	if (t->fl_e || !t->it->need)
		return;
	emit_load_flags(&t->hot, park);
	t->fl_e = true;
}

/* --- registers --- */

unsigned tr_reg(struct tr *t, unsigned guest, unsigned temp)
{
	unsigned h = t->host[guest];

	if (h != H_NONE)
		return h;
	emit_cpu(&t->hot, OP_LOAD, true, temp, off_gpr(guest));
	return temp;
}

void tr_reg_store(struct tr *t, unsigned guest, unsigned temp)
{
	if (t->host[guest] == H_NONE)
		emit_cpu(&t->hot, OP_STORE, true, temp, off_gpr(guest));
}

/* --- calls of C --- */

uint32_t tr_site(struct tr *t, unsigned size, unsigned flags)
{
	struct jit *j = t->j;
	struct jit_site *s;

	if (j->n_sites >= j->max_sites) {
		t->full = true;
		return 0;
	}
	s = &j->sites[j->n_sites];
	*s = (struct jit_site){.block = t->block, .pc_off = t->it->off, .len = t->it->in.len,
			       .size = (uint8_t)size, .flags = (uint16_t)flags};
	return j->n_sites++;
}

/* The interpreter executes the current instruction. Saves live flags; all flags are valid in
 * both places behind it. */
void tr_interp(struct tr *t, bool step)
{
	unsigned flags = step ? SITE_STEP | SITE_LEAVE : 0;

	if (t->it->kind == TR_STEP || t->it->in.attr & X86_AT_ENDS_BLOCK ||
	    t->it->in.cls == X86_CL_CTI)
		flags |= SITE_LEAVE;
	tr_clobber(t, H_T1);
	tr_interp_by(t, t->j->stub_interp, flags);
}

/* The same through a stub that is given T0, too; flags were saved. */
void tr_interp_by(struct tr *t, uint32_t stub, unsigned site_flags)
{
	struct jit *j = t->j;
	uint32_t site = tr_site(t, 0, site_flags);

	if (!(site_flags & SITE_STEP) && site) {
		if (j->n_insns >= j->max_insns) {
			t->full = true;
			return;
		}
		j->insns[j->n_insns] = t->it->in;
		j->sites[site].insn = j->n_insns++;
	}
	tr_rename_leave(t, &t->hot);
	emit_mov_imm(&t->hot, H_T1, site);
	emit_call_to(&t->hot, jit_rw(j, stub));
	t->fl_e = t->fl_m = true;
	t->checked = 0;
	t->t0_after = TR_NO_GROUP;
	j->st.interp_insns += stub == j->stub_interp;
}

/* Out of line, for the n jumps at `from`: the interpreter executes the current instruction. Live
 * flags are saved. Comes back to here, or, with leave, through the dispatcher. */
void tr_interp_cold(struct tr *t, uint8_t *const *from, unsigned n, bool leave)
{
	struct jit *j = t->j;
	uint32_t site = tr_site(t, 0, leave ? SITE_LEAVE : 0);

	if (j->n_insns >= j->max_insns) {
		t->full = true;
		return;
	}
	j->insns[j->n_insns] = t->it->in;
	j->sites[site].insn = j->n_insns++;
	for (unsigned i = 0; i < n; i++)
		emit_fix32(from[i], t->cold.p);
	tr_rename_leave(t, &t->cold);
	emit_mov_imm(&t->cold, H_T1, site);
	emit_call_to(&t->cold, jit_rw(j, j->stub_interp));
	if (!leave)
		emit_jmp_to(&t->cold, t->hot.p);
}

/* --- a block --- */

static bool insn_emit(struct tr *t)
{
	switch (t->it->kind) {
	case TR_GENERIC:
	case TR_VEC:
		return tr_generic(t);
	case TR_NOP:
		t->t0_after = t->t0;
		return true;
	case TR_PUSH: case TR_POP: case TR_LEAVE:
		return tr_stack_insn(t);
	case TR_JMP: case TR_JCC: case TR_CALL: case TR_RET: case TR_JRCXZ: case TR_LOOP:
	case TR_JMP_IND: case TR_CALL_IND:
		return tr_flow(t);
	case TR_CLD: case TR_STD: case TR_CLI: case TR_STI: case TR_PUSHF: case TR_POPF:
	case TR_RDTSC: case TR_SWAPGS: case TR_STAC: case TR_MOVSEG:
	case TR_SYSTEM: case TR_READ_CR: case TR_READ_BASE:
		return tr_system(t);
	case TR_STRING:
		return tr_string(t);
	case TR_XSTATE: case TR_LOADCW:
		return tr_xstate(t);
	case TR_BT_MEM:
		return tr_bit_mem(t);
	case TR_INTERP: case TR_STEP:
		return false;
	default:
		return tr_alu_misc(t);
	}
}

void tr_insn_begin(struct tr *t, unsigned i)
{
	t->i = i;
	t->it = &t->ir->insn[i];
	t->first_site = t->j->n_sites;
	t->t0_after = TR_NO_GROUP;
	if (!tr_group_keeps(t->it->kind))
		t->checked = 0;
	t->checked_before = t->checked;
}

void tr_insn_end(struct tr *t)
{
	struct jit *j = t->j;
	bool skipped = false;

	for (uint32_t s = t->first_site; s < j->n_sites; s++) {
		j->sites[s].resume = (uint32_t)(t->hot.p - j->rw);
		/* Its target may be the next instruction, which is not behind it here. */
		if (t->it->in.cls == X86_CL_CTI)
			j->sites[s].flags |= SITE_LEAVE;
		skipped |= !(j->sites[s].flags & (SITE_GROUP | SITE_LEAVE | SITE_STEP));
	}
	if (skipped && t->n_renamed) {
		for (uint32_t s = t->first_site; s < j->n_sites; s++)
			j->sites[s].resume = (uint32_t)(t->cold.p - j->rw);
		tr_rename_again(t, &t->cold);
		emit_jmp_to(&t->cold, t->hot.p);
	}
	/* Who comes back from the interpreter at such a site has skipped the rest of the
	 * instruction, with its checks, and T0 is not what they left there. */
	if (skipped) {
		t->checked &= t->checked_before;
		t->t0_after = TR_NO_GROUP;
	}
	t->t0 = t->t0_after;
}

void tr_insn(struct tr *t, unsigned i)
{
	tr_insn_begin(t, i);
	if (!insn_emit(t))
		tr_interp(t, t->it->kind == TR_STEP);
	tr_insn_end(t);
}

bool tr_reads_first(const struct block_ir *ir, unsigned i)
{
	for (; i < ir->n; i++) {
		const struct ir_insn *it = &ir->insn[i];

		if (it->in.mem.base != X86_NO_REG && it->kind == TR_GENERIC &&
		    (it->in.attr & (X86_AT_MEM_READ | X86_AT_MEM_WRITE)))
			return false;
		switch (it->kind) {
		case TR_GENERIC: case TR_COPY: case TR_NOP: case TR_MOV_IMM: case TR_ACC_IMM:
		case TR_LEA: case TR_BSWAP: case TR_XCHG_ACC: case TR_INC_SHORT: case TR_JCC:
			break;
		default:
			return false;
		}
		if (it->need)
			return true;
		if (it->kind == TR_JCC)
			return true;
	}
	return false;
}

/*
 * The three entries. The first instruction is five bytes within eight aligned ones, so that a
 * killed block's entry can be replaced by a jump in one store while others execute it.
 */
static void entries_emit(struct tr *t)
{
	static const uint8_t poll[] = {0x83, 0x7c, 0x24, OFF_REQUESTS, 0x00};
	struct jit *j = t->j;
	struct jit_block *b = t->b;
	uint16_t live = t->ir->insn[0].live_in;

	while ((uintptr_t)t->hot.p & 15)
		emit8(&t->hot, 0xcc);
	b->entry_ind = (uint32_t)(t->hot.p - j->rw);
	memcpy(t->hot.p, poll, sizeof(poll)); /* cmp dword [rsp + 0], 0 */
	t->hot.p += sizeof(poll);
	emit_fix32(emit_jcc(&t->hot, CC_NE), jit_rw(j, j->stub_poll));
	if (t->user) {
		emit_lea(&t->hot, H_T1, (struct hmem){H_T0, H_NONE, 0, -(int)t->ir->start});
		emit_cpu(&t->hot, OP_STORE, true, H_T1, OFF_PCBASE);
	}
	b->entry_m = (uint32_t)(t->hot.p - j->rw);
	if (!live) {
		t->fl_e = t->fl_m = true;
		b->entry_e = b->entry_m;
	} else if (tr_reads_first(t->ir, 0)) {
		emit_load_flags(&t->hot, H_T1);
		b->entry_e = (uint32_t)(t->hot.p - j->rw);
		t->fl_e = true;
		t->fl_m = false;
	} else {
		b->entry_e = (uint32_t)(t->cold.p - j->rw);
		emit_save_flags(&t->cold, H_T1);
		emit_jmp_to(&t->cold, t->hot.p);
		t->fl_e = false;
		t->fl_m = true;
	}
}

static void block_emit(struct tr *t)
{
	struct block_ir *ir = t->ir;

	entries_emit(t);
	if (ir->crosses) {
		t->it = &ir->insn[0];
		tr_check_next_page(t);
	}
	tr_rename_enter(t, &t->hot);
	for (unsigned i = 0, run; i < ir->n; i += run) {
		if (ir->has_loop && i == ir->loop) {
			t->it = &ir->insn[i];
			tr_loop_begin(t);
		}
		ir->insn[i].host_at = (uint32_t)(t->hot.p - t->j->rw);
		if (ir->has_loop && i == ir->poll) {
			t->it = &ir->insn[i];
			tr_loop_poll(t);
		}
		run = tr_stack_run(t, i);
		if (run) {
			tr_stack_run_emit(t, i, run);
		} else {
			tr_insn(t, i);
			run = 1;
		}
		for (unsigned k = 1; k < run; k++)
			ir->insn[i + k].host_at = ir->insn[i].host_at;
	}
	if (ir->falls_through) {
		/* The exit sees the flags after the last instruction. */
		struct ir_insn after = {.off = (uint16_t)ir->end,
					.live_in = ir->insn[ir->n - 1].live_out};

		t->it = &after;
		tr_exit_to(t, &t->hot, ir->end, after.live_in, ir->end <= ir->start);
	}
}

static bool jumps_back(const struct block_ir *ir)
{
	for (unsigned i = 0; i < ir->n; i++) {
		const struct ir_insn *it = &ir->insn[i];

		if ((it->kind == TR_JCC || it->kind == TR_JMP || it->kind == TR_LOOP) &&
		    block_target(it) <= it->off)
			return true;
	}
	return false;
}

uint32_t translate_block(struct jit *j, const struct jit_source *src)
{
	uint32_t mode = src->mode & ~JIT_KIND;
	struct tr_groups groups;
	struct tr t = {.label_checked = ~0ull, .label_simd = true, .j = j, .ir = j->ir, .mode = mode, .exit_mode = mode, .src = src,
		       .plain = src->mode & JIT_PLAIN,
		       .super = (src->mode & JIT_SUPER || j->all_super) && !(src->mode & JIT_PLAIN),
		       .groups = &groups, .t0 = TR_NO_GROUP};
	uint32_t n_exits = j->n_exits, n_sites = j->n_sites, n_insns = j->n_insns;

	if (j->n_blocks >= j->max_blocks || j->hot_end - j->hot < JIT_BLOCK_ROOM ||
	    j->cold_end - j->cold < JIT_BLOCK_ROOM)
		return 0;
	cache_prepare(j);
	t.ir->host = src->page;
	t.ir->has_next = src->next;
	if (src->next)
		memcpy(t.ir->page + 4096, src->next, 16);
	t.ir->code_mode = mode & MODE_CS64 ? X86_MODE64 : X86_MODE32;
	t.ir->user = t.user = (mode & MODE_CPL) == MODE_CPL;
	t.ir->strict = j->strict;
	t.ir->has = j->vm->has;
	block_form(j, t.ir, src->gpa & 0xfff, mode, t.super);
	if (t.ir->wants_next && !src->asked)
		return (uint32_t)JIT_WANTS_NEXT;
	t.loops = j->all_slots || jumps_back(t.ir);
	t.code64 = mode & MODE_CS64;
	t.tlb_idx = (mode & MODE_TLB) >> MODE_TLB_SHIFT;
	t.block = j->n_blocks;
	t.b = &j->blocks[t.block];
	*t.b = (struct jit_block){.gpa = src->gpa, .va = t.user ? 0 : src->va,
				  .mode = src->mode, .user = t.user, .lines = t.ir->lines,
				  .gpa2 = t.ir->crosses ? src->next_gpa : 0,
				  .n_insns = (uint16_t)t.ir->n,
				  .n_bytes = (uint16_t)(t.ir->end - t.ir->start),
				  .first_exit = j->n_exits};
	t.hot.p = jit_rw(j, j->hot);
	t.cold.p = jit_rw(j, j->cold);
	tr_group_find(&t);
	tr_rename_find(&t);
	block_emit(&t);
	if (t.full) {
		j->n_exits = n_exits;
		j->n_sites = n_sites;
		j->n_insns = n_insns;
		return 0;
	}
	t.b->n_exits = j->n_exits - t.b->first_exit;
	t.b->hot_end = (uint32_t)(t.hot.p - j->rw);
	j->st.blocks++;
	j->st.plain_blocks += t.plain;
	j->st.superblocks += t.super;
	j->st.loops += t.ir->has_loop;
	j->st.insns += t.ir->n;
	j->st.hot_bytes += t.b->hot_end - j->hot;
	j->st.cold_bytes += (uint32_t)(t.cold.p - j->rw) - j->cold;
	if (j->dump)
		dump_block(j, t.b, t.ir, j->cold, (uint32_t)(t.cold.p - j->rw));
	j->hot = t.b->hot_end;
	j->cold = (uint32_t)(t.cold.p - j->rw);
	j->n_blocks++;
	if (j->sums)
		paranoid_note(j, t.block, t.ir);
	for (unsigned i = 0; j->paths && i < t.ir->n; i++)
		j->paths[t.block][i] = t.ir->insn[i].off;
	return t.block;
}
