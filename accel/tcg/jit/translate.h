/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_TRANSLATE_H
#define MAYFLY_ACCEL_TCG_JIT_TRANSLATE_H
/*
 * The templates' common part: state of a translation, flags, memory access, exits.
 *
 * Flags. At each point of a block the guest's arithmetic flags are in EFLAGS (fl_e), in jit_flags
 * (fl_m), in both, or dead. tr_clobber() comes before anything that destroys EFLAGS, tr_need()
 * before something that reads them.
 *
 * Out-of-line code goes to a second stream (cold) at once, jumping back to addresses of the first
 * (hot) that are known by then.
 */
#include "accel/tcg/jit/block.h"

enum tr_kind {
	TR_INTERP, /* a call of the interpreter */
	TR_STEP,   /* ditto, fetched and decoded again: cannot be decoded from this page alone */
	TR_GENERIC, /* operands in modrm.reg and modrm.rm: encode again with host operands */
	TR_COPY,   /* no explicit operands: copy */
	TR_NOP,
	TR_ACC_IMM, /* al/eax/rax, imm */
	TR_MOV_IMM, TR_MOFFS, TR_XCHG_ACC, TR_BSWAP, TR_INC_SHORT, TR_LEA, TR_DIV, TR_BT_MEM,
	TR_PUSH, TR_POP, TR_LEAVE, TR_PUSHF, TR_POPF,
	TR_JMP, TR_JCC, TR_CALL, TR_RET, TR_JRCXZ, TR_LOOP, TR_JMP_IND, TR_CALL_IND,
	TR_CLD, TR_STD, TR_CLI, TR_STI, TR_RDTSC, TR_SWAPGS, TR_STAC, TR_MOVSEG,
	TR_SYSTEM, TR_READ_CR, TR_READ_BASE,
	TR_STRING,
	TR_XSTATE, TR_LOADCW,
	TR_VEC, /* as TR_GENERIC, with SIMD or x87 state in host registers */
};

/* --- accesses that share a check: tr_group.c --- */
enum { TR_MAX_GROUPS = 64, TR_NO_GROUP = 0xff };
struct tr_group {
	int16_t lo, hi;      /* its bytes, from the first member's; hi is exclusive */
	uint8_t n;           /* members */
	uint8_t held;        /* where its addend is kept, or TR_NO_GROUP: not worth it */
	uint8_t first, last; /* instructions */
	bool write;
};
struct tr_member {
	uint8_t group;
	int16_t rel; /* from the first member */
};
struct tr_groups {
	unsigned n;
	struct tr_group group[TR_MAX_GROUPS];
	/* Of each checked group: what some address in it is known to be a multiple of (0: nothing
	 * is known), and that address's distance from the first member. */
	struct {
		uint8_t align;
		int16_t rel;
	} known[TR_MAX_GROUPS];
	/* Jumps to a superblock's loop that are to be fixed. */
	uint8_t *to_label[JIT_MAX_INSNS];
	/* Of each instruction: the explicit memory operand, and the stack's. */
	struct tr_member member[JIT_MAX_INSNS][2];
};

enum { TR_MAX_RENAMED = 3 };
struct tr {
	struct jit *j;
	struct block_ir *ir;
	const struct jit_source *src;
	struct ir_insn *it; /* the current instruction */
	unsigned i;         /* its index */
	struct jit_block *b;
	uint32_t block;
	uint32_t mode;
	uint32_t exit_mode; /* of the blocks that exits go to */
	unsigned tlb_idx;
	bool user, code64, simd;
	bool plain; /* no groups */
	bool super;
	/* The loop in a superblock: its beginning (NULL: not there yet), how many jumps to it are
	 * to be fixed, and what holds at all of them. */
	uint8_t *label;
	unsigned n_to_label;
	uint64_t label_checked;
	bool label_simd;
	bool loops; /* jumps back, so that it may be executed often */
	/* Host register of each guest register; H_NONE: it lives in struct cpu. As regs_host(), but
	 * for those renamed: `guest` has the host register of `home`. */
	uint8_t host[16];
	unsigned n_renamed;
	struct {
		uint8_t guest, home;
	} renamed[TR_MAX_RENAMED];
	struct tr_groups *groups;
	uint64_t checked; /* groups whose check was emitted and whose addend is kept */
	uint64_t checked_before; /* ... before the current instruction */
	uint8_t t0;       /* group whose addend is in T0, or TR_NO_GROUP; here, */
	uint8_t t0_after; /* and after the current instruction */
	bool fl_e, fl_m;
	struct jit_buf hot, cold;
	uint32_t first_site; /* of the current instruction */
	uint8_t *bounced, *operand; /* for tr_commit(): jump to be fixed, code after the check */
	bool full;           /* a pool overflowed: the block is thrown away */
};

/* --- flags --- */
void tr_clobber(struct tr *t, unsigned park);
void tr_need(struct tr *t, unsigned park);
static inline void tr_wrote_flags(struct tr *t)
{
	t->fl_e = true;
	t->fl_m = false;
}

/* --- memory (tr_mem.c) --- */
struct tr_access {
	uint8_t size;
	uint8_t align;  /* 0, or the size that misalignment to is #GP(0) */
	bool write;
	bool free_t1;   /* the operand must not use T1 */
	bool pointer;   /* the operand must be [T0] alone */
	bool commit;    /* tr_commit() follows the instruction */
	bool partial;   /* not all of it may be accessed: only the interpreter knows what faults */
};
/* Checks the memory operand of the current instruction; *m addresses it then and may use T0 and
 * T1. EFLAGS are destroyed: call tr_clobber() before. False: leave it to the interpreter. */
bool tr_mem(struct tr *t, const struct tr_access *a, struct hmem *m);
/* The same for [reg + disp] on the stack, reg a host register. The operand may use T1 only in
 * 32-bit code, and there not with free_t1. */
void tr_stack(struct tr *t, unsigned reg, int32_t disp, const struct tr_access *a,
	      struct hmem *m);
/* Before tr_mem() or tr_stack() instead of tr_clobber(): does not if no check will be emitted. */
void tr_clobber_mem(struct tr *t, unsigned park, const struct tr_access *a);
void tr_clobber_stack(struct tr *t, unsigned park, const struct tr_access *a);
/* tr_group.c: fills t->groups; whether instructions of this kind may stand between members. */
void tr_group_find(struct tr *t);
bool tr_group_keeps(unsigned kind);
/* Behind the instruction of an access with `commit`: the way of stores through the bounce buffer.
 * What was emitted since the check must be copyable. */
void tr_commit(struct tr *t);
/* dst = effective address of LEA. */
bool tr_lea(struct tr *t, unsigned dst);
uint32_t tr_site(struct tr *t, unsigned size, unsigned flags);

/* --- templates; false: leave it to the interpreter, nothing was emitted --- */
bool tr_generic(struct tr *t);
bool tr_alu_misc(struct tr *t);
bool tr_stack_insn(struct tr *t);
unsigned tr_stack_run(const struct tr *t, unsigned i);
void tr_stack_run_emit(struct tr *t, unsigned i, unsigned n);
bool tr_flow(struct tr *t);
bool tr_system(struct tr *t);
bool tr_bit_mem(struct tr *t);
bool tr_is_bit_mem(const struct x86_insn *in);
bool tr_xstate(struct tr *t); /* tr_xstate.c */
uint8_t tr_xstate_kind(struct jit *j, const struct x86_insn *in, uint32_t mode);
bool tr_string(struct tr *t);
bool tr_string_ok(const struct x86_insn *in, uint32_t mode);
void tr_simd_check(struct tr *t);
uint8_t tr_vec_kind(struct jit *j, const struct x86_insn *in, uint32_t mode);
unsigned tr_vec_align(const struct x86_insn *in);
/* The i-th instruction of the block; what is to be done before and after its template. */
void tr_insn(struct tr *t, unsigned i);
void tr_insn_begin(struct tr *t, unsigned i);
void tr_insn_end(struct tr *t);
void tr_interp(struct tr *t, bool step);
void tr_interp_by(struct tr *t, uint32_t stub, unsigned site_flags);
void tr_interp_cold(struct tr *t, uint8_t *const *from, unsigned n, bool leave);
/* Whether there is a template for this system instruction in this mode. */
bool tr_system_ok(struct jit *j, const struct x86_insn *in, uint32_t mode);
uint8_t tr_system_kind(const struct x86_insn *in); /* of those that are TR_SYSTEM in the table */

/* Jump to page offset `target` at the end of the block. */
void tr_exit_to(struct tr *t, struct jit_buf *b, int64_t target, uint16_t live, bool backward);
/* Whether such a jump has to look at requests. A superblock that followed a call back goes forward from
 * there to before its own beginning; that counts, since blocks that lead to each other without a look
 * must not be a circle. */
static inline bool tr_backward(const struct tr *t, int64_t target)
{
	return target <= t->it->off || target <= t->ir->start;
}
/* rcx-type tests and jcc: the jump's own rel32 field becomes the exit if that is possible. */
void tr_exit_jcc(struct tr *t, unsigned cc, int64_t target, uint16_t live);

/* Out of line, on condition cc: to the plain block that begins with the current instruction. The
 * second part comes where no code falls through; EFLAGS are lost. */
struct tr_plain_exit {
	uint32_t exit;
	uint8_t *at;
};
struct tr_plain_exit tr_exit_plain(struct tr *t, unsigned cc);
void tr_exit_plain_end(struct tr *t, struct tr_plain_exit p);
/* The same in line. */
void tr_exit_plain_hot(struct tr *t, unsigned cc);

/* The jumps of a superblock's loop (tr_loop.c). */
bool tr_loops(const struct tr *t); /* whether the current jump is one */
void tr_loop_begin(struct tr *t);
void tr_loop_poll(struct tr *t);
void tr_loop_jump(struct tr *t, unsigned cc); /* cc: CC_ALWAYS, or not taken if it does not hold */
enum { CC_ALWAYS = 16 };
/* Whether EFLAGS are wanted by insn[i] or behind it before anything destroys them. */
bool tr_reads_first(const struct block_ir *ir, unsigned i);
/* An exit that is never linked: its stub. */
uint8_t *tr_exit_stub(struct tr *t, int64_t target);

/* Before an instruction that goes on on the next page: that this is still mapped as it was. */
void tr_check_next_page(struct tr *t);

/* Registers of superblocks (tr_rename.c): chooses; at the block's beginning; before whatever is not
 * this block's code; after a call of such. Flags are kept. */
void tr_rename_find(struct tr *t);
void tr_rename_enter(struct tr *t, struct jit_buf *b);
void tr_rename_leave(struct tr *t, struct jit_buf *b);
void tr_rename_again(struct tr *t, struct jit_buf *b);
/* A call of a stub that comes back, with everything of the guest's in place. */
void tr_call(struct tr *t, struct jit_buf *b, uint32_t stub);

/* Host register of a guest register, loaded into temp if it lives in memory. */
unsigned tr_reg(struct tr *t, unsigned guest, unsigned temp);
void tr_reg_store(struct tr *t, unsigned guest, unsigned temp);

#endif
