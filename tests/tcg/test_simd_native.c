/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x87, MMX, SSE and AVX interpreter against this machine's processor: random instructions of
 * every such operation, on random registers, control words and memory, executed natively and by
 * the handler; registers, flags, memory and the vector of a fault must agree.
 *
 * Both sides see the same addresses: two writable pages, a read-only one and an absent one. What
 * the host lacks is not tested. Differences that are left to the implementation are listed in
 * tolerate().
 *
 * MAYFLY_CASES=n, MAYFLY_SEED=n, MAYFLY_OP=name (that mnemonic only), MAYFLY_ALL=1 (do not stop
 * after the first mismatches).
 */
#include "interp_fixture.h"

#include "accel/tcg/interp/xsave.h"
#include "tests/tcg/fpgen.h"

#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct native {
	uint64_t gpr[16], rflags, code, host_rsp;
	struct xsave_area xs;
};
struct native native_state;
void native_enter(void);
extern const char native_leave[];

__asm__(".text\n"
	".globl native_enter\n"
	"native_enter:\n"
	"	push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
	"	mov %rsp, native_state+144(%rip)\n"
	"	mov $7, %eax\n xor %edx, %edx\n"
	"	xrstor64 native_state+192(%rip)\n"
	"	push native_state+128(%rip)\n popfq\n"
	"	mov native_state+0(%rip), %rax\n mov native_state+8(%rip), %rcx\n"
	"	mov native_state+16(%rip), %rdx\n mov native_state+24(%rip), %rbx\n"
	"	mov native_state+40(%rip), %rbp\n mov native_state+48(%rip), %rsi\n"
	"	mov native_state+56(%rip), %rdi\n mov native_state+64(%rip), %r8\n"
	"	mov native_state+72(%rip), %r9\n mov native_state+80(%rip), %r10\n"
	"	mov native_state+88(%rip), %r11\n mov native_state+96(%rip), %r12\n"
	"	mov native_state+104(%rip), %r13\n mov native_state+112(%rip), %r14\n"
	"	mov native_state+120(%rip), %r15\n"
	"	jmp *native_state+136(%rip)\n"
	".globl native_leave\n"
	"native_leave:\n"
	"	mov %rax, native_state+0(%rip)\n mov %rcx, native_state+8(%rip)\n"
	"	mov %rdx, native_state+16(%rip)\n mov %rbx, native_state+24(%rip)\n"
	"	mov %rbp, native_state+40(%rip)\n mov %rsi, native_state+48(%rip)\n"
	"	mov %rdi, native_state+56(%rip)\n mov %r8, native_state+64(%rip)\n"
	"	mov %r9, native_state+72(%rip)\n mov %r10, native_state+80(%rip)\n"
	"	mov %r11, native_state+88(%rip)\n mov %r12, native_state+96(%rip)\n"
	"	mov %r13, native_state+104(%rip)\n mov %r14, native_state+112(%rip)\n"
	"	mov %r15, native_state+120(%rip)\n"
	"	mov native_state+144(%rip), %rsp\n"
	"	pushfq\n pop native_state+128(%rip)\n cld\n"
	"	mov $7, %eax\n xor %edx, %edx\n"
	"	xsave64 native_state+192(%rip)\n"
	"	fninit\n movl $0x1f80, -8(%rsp)\n ldmxcsr -8(%rsp)\n vzeroupper\n"
	"	pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

_Static_assert(offsetof(struct native, xs) == 192, "offsets in the assembler text");

enum { BUF = FIX_DATA, BUF_PAGES = 4, WINDOW = 8192 };
static struct rng rng = { 1 };
static sigjmp_buf native_jmp;
static volatile int native_fault;
static interp_fn *handlers[X86_N_OPS];
static uint64_t op_cases[X86_N_OPS], op_bad[X86_N_OPS], op_faults[X86_N_OPS];
static bool host_sse4a, host_gfni, host_vaes, host_vpclmul;

static void init_missing(struct xsave_area *x)
{
	if (!(x->xstate_bv & XSAVE_X87)) {
		x->fcw = 0x37f;
		x->fsw = x->ftw = x->fop = 0;
		x->fip = x->fdp = 0;
		memset(x->st, 0, sizeof(x->st));
	}
	if (!(x->xstate_bv & XSAVE_SSE))
		memset(x->xmm, 0, sizeof(x->xmm));
	if (!(x->xstate_bv & XSAVE_AVX))
		memset(x->ymmh, 0, sizeof(x->ymmh));
}

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	static const uint8_t regs[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
					  REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
					  REG_R12, REG_R13, REG_R14, REG_R15 };
	ucontext_t *uc = ctx;

	native_fault = (int)uc->uc_mcontext.gregs[REG_TRAPNO];
	for (unsigned i = 0; i < 16; i++)
		native_state.gpr[i] = (uint64_t)uc->uc_mcontext.gregs[regs[i]];
	native_state.rflags = (uint64_t)uc->uc_mcontext.gregs[REG_EFL];
	memcpy(&native_state.xs, uc->uc_mcontext.fpregs, offsetof(struct xsave_area, k));
	siglongjmp(native_jmp, 1);
}

static void run_native(void)
{
	native_fault = NO_FAULT;
	if (!sigsetjmp(native_jmp, 0))
		native_enter();
	init_missing(&native_state.xs);
}

/* --- random state --- */

static void gen_bytes(void *p, unsigned n)
{
	uint8_t *b = p;

	for (unsigned i = 0; i + 8 <= n; i += 8) {
		uint64_t v;

		switch (rng_below(&rng, 8)) {
		case 0: v = rng_next(&rng); break;
		case 1: v = gen_f32(&rng) | gen_f32(&rng) << 32; break;
		case 2: v = gen_f32(&rng) | gen_f32(&rng) << 32; break;
		case 3: case 4: v = gen_f64(&rng); break;
		case 5: v = gen_frac(&rng, 64); break;
		case 6: /* small integers of a width */
			v = (rng_next(&rng) & 0x0f0f0f0f0f0f0f0f) << rng_below(&rng, 5);
			break;
		default: v = rng_next(&rng) & rng_next(&rng) & rng_next(&rng);
		}
		memcpy(b + i, &v, 8);
	}
}

static void gen_f80_bytes(uint8_t *b)
{
	uint64_t sig = gen_frac(&rng, 63) | 1ull << 63;
	unsigned e = gen_exp(&rng, 15);
	uint16_t se;

	switch (rng_below(&rng, 12)) {
	case 0: /* an integer */
		e = 16383 + rng_below(&rng, 66);
		sig = ~0ull << rng_below(&rng, 64) & sig;
		sig |= 1ull << 63;
		break;
	case 1: sig = 0; e = 0; break;
	case 2: sig = gen_frac(&rng, 64); break;
	case 3: e = 16383 - 70 + rng_below(&rng, 140); break;
	case 4: case 5: e = 16383 - 4 + rng_below(&rng, 8); break;
	default: break;
	}
	if (!e && rng_below(&rng, 4))
		sig &= ~(1ull << 63);
	se = (uint16_t)(e | (rng_next(&rng) & 0x8000));
	memcpy(b, &sig, 8);
	memcpy(b + 8, &se, 2);
	memset(b + 10, 0, 6);
}

static void gen_x87(struct xsave_area *x)
{
	static const uint16_t pcs[3] = { 0, 0x200, 0x300 };

	x->fcw = (uint16_t)(0x7f | (rng_next(&rng) & 0xc00) | pcs[rng_below(&rng, 3)]);
	if (!rng_below(&rng, 4))
		x->fcw = (uint16_t)(x->fcw & ~0x3f) | (rng_next(&rng) & 0x3f);
	x->fsw = (uint16_t)(rng_next(&rng) & 0x7f7f);
	if (rng_below(&rng, 8)) /* nothing pending */
		x->fsw &= (uint16_t)~(~x->fcw & 0x3f);
	if (x->fsw & ~x->fcw & 0x3f)
		x->fsw |= 0x8080;
	switch (rng_below(&rng, 4)) {
	case 0: x->ftw = (uint8_t)rng_next(&rng); break;
	case 1: x->ftw = 0xff; break;
	default: /* room above, operands below */
		x->ftw = (uint8_t)((0x1fu | (rng_next(&rng) & 0x60)) << (x->fsw >> 11 & 7));
		x->ftw |= (uint8_t)((0x1fu | (rng_next(&rng) & 0x60)) >> (8 - (x->fsw >> 11 & 7)));
	}
	x->fop = (uint16_t)(rng_next(&rng) & 0x7ff);
	x->fip = rng_next(&rng) & 0x7fffffffffff;
	x->fdp = rng_next(&rng) & 0x7fffffffffff;
	for (unsigned i = 0; i < 8; i++) {
		gen_f80_bytes(x->st[i]);
		if (!rng_below(&rng, 8)) /* an MMX value */
			memset(x->st[i] + 8, 0xff, 2);
	}
}

static void gen_state(struct xsave_area *x)
{
	memset(x, 0, sizeof(*x));
	gen_x87(x);
	x->mxcsr = (uint32_t)(0x1f80 | (rng_next(&rng) & 0xe07f));
	if (!rng_below(&rng, 6))
		x->mxcsr = (x->mxcsr & ~0x1f80u) | (rng_next(&rng) & 0x1f80);
	if (!rng_below(&rng, 4))
		x->mxcsr &= ~0x8040u;
	gen_bytes(x->xmm, sizeof(x->xmm));
	gen_bytes(x->ymmh, sizeof(x->ymmh));
	x->xstate_bv = XSAVE_X87 | XSAVE_SSE | XSAVE_AVX;
}

/* --- random instructions --- */

static unsigned gen_modrm(uint8_t *p)
{
	unsigned n = 0, reg = (unsigned)rng_next(&rng) & 7;

	switch (rng_below(&rng, 4)) {
	case 0: case 1: p[n++] = (uint8_t)(0xc0 | (rng_next(&rng) & 0x3f)); break;
	case 2: p[n++] = (uint8_t)(reg << 3 | 7); break; /* [rdi] */
	default: /* [rdi + index * scale] with disp8, for VSIB */
		p[n++] = (uint8_t)(0x44 | reg << 3);
		p[n++] = (uint8_t)((rng_next(&rng) & 0xf8) | 7);
		p[n++] = (uint8_t)(rng_next(&rng) & 0x1f);
	}
	for (unsigned i = 0; i < 5; i++)
		p[n + i] = (uint8_t)rng_next(&rng);
	return n + 5;
}

static unsigned gen_insn(uint8_t *p)
{
	static const uint8_t prefixes[4] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned n = 0, kind = rng_below(&rng, 10), pfx;

	if (kind < 2) {
		if (!rng_below(&rng, 16))
			p[n++] = 0x66;
		p[n++] = (uint8_t)(rng_below(&rng, 40) ? 0xd8 | (rng_next(&rng) & 7) : 0x9b);
		return n + gen_modrm(p + n);
	}
	if (kind < 6) {
		pfx = rng_below(&rng, 4);
		if (pfx)
			p[n++] = prefixes[pfx];
		if (rng_next(&rng) & 1)
			p[n++] = (uint8_t)(0x40 | (rng_next(&rng) & 0xe));
		p[n++] = 0x0f;
		switch (rng_below(&rng, 6)) {
		case 0: p[n++] = 0x38; break;
		case 1: p[n++] = 0x3a; break;
		default: break;
		}
		p[n++] = (uint8_t)rng_next(&rng);
		return n + gen_modrm(p + n);
	}
	if (rng_next(&rng) & 1) {
		p[n++] = 0xc5;
		p[n++] = (uint8_t)rng_next(&rng);
	} else {
		p[n++] = 0xc4;
		p[n++] = (uint8_t)((rng_next(&rng) & 0xc0) | 0x20 | (1 + rng_below(&rng, 3)));
		p[n++] = (uint8_t)rng_next(&rng);
	}
	if (!rng_below(&rng, 3)) /* vvvv unused */
		p[n - 1] |= 0x78;
	p[n++] = (uint8_t)rng_next(&rng);
	return n + gen_modrm(p + n);
}

static bool usable(const struct x86_insn *in)
{
	if (!handlers[in->op] || in->prefix & X86_PFX_LOCK)
		return false;
	if ((in->feature == X86_FEAT_SSE4A && !host_sse4a) || (in->feature == X86_FEAT_GFNI && !host_gfni) ||
	    (in->feature == X86_FEAT_VAES && !host_vaes) || (in->feature == X86_FEAT_VPCLMUL && !host_vpclmul))
		return false;
	for (unsigned i = 0; i < in->n_opnds; i++) {
		const struct x86_opnd *o = &in->opnd[i];

		if (o->kind == X86_OPND_REG && o->rc == X86_RC_GPR && o->reg == X86_RSP)
			return false;
		if (o->kind == X86_OPND_MEM && (in->mem.base != X86_RDI || in->mem.seg != X86_DS))
			return false;
		if (o->kind == X86_OPND_MEM && !(in->attr & X86_AT_VSIB) &&
		    in->mem.index != X86_NO_REG && in->mem.index != X86_RCX)
			return false;
	}
	return true;
}

static bool is_state_op(unsigned op)
{
	return op >= X86_FXSAVE && op <= X86_XRSTORS;
}

/* --- comparison --- */

struct side {
	uint64_t gpr[16], rflags;
	struct xsave_area xs;
	uint8_t mem[WINDOW];
	int fault;
};
static struct side host, ours;

static bool uses_mmx(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->n_opnds; i++)
		if (in->opnd[i].kind == X86_OPND_REG && in->opnd[i].rc == X86_RC_MMX)
			return true;
	return false;
}

/* What is left to the implementation, or differs for a reason. */
static void tolerate(const struct x86_insn *in, uint64_t addr)
{
	uint64_t keep = X86_FL_ARITH & ~(uint64_t)in->fl_undef;

	host.rflags &= keep;
	ours.rflags &= keep;
	host.gpr[X86_RSP] = ours.gpr[X86_RSP];
	/* MXCSR_MASK of FXSAVE and XSAVE: the host may have MM. */
	if (is_state_op(in->op) && addr - BUF + 32 < WINDOW)
		host.mem[addr - BUF + 30] = ours.mem[addr - BUF + 30];
	/* Bytes that are masked off may fault (on AMD processors they do). */
	if ((in->op == X86_MASKMOVQ || in->op == X86_MASKMOVDQU) && host.fault == X86_EXC_PF)
		host = ours;
	/* MMX state may be entered before a fault. */
	if (host.fault != NO_FAULT && host.fault == ours.fault && uses_mmx(in)) {
		host.xs.fsw = ours.xs.fsw;
		host.xs.ftw = ours.xs.ftw;
		memcpy(host.xs.st, ours.xs.st, sizeof(host.xs.st));
	}
	if (!(host.xs.fsw & 0x80)) {
		host.xs.fip = ours.xs.fip;
		host.xs.fdp = ours.xs.fdp;
		host.xs.fop = ours.xs.fop;
	}
	host.xs.mxcsr_mask = ours.xs.mxcsr_mask = 0;
	host.xs.rsvd0 = ours.xs.rsvd0 = 0;
	memset(host.xs.rsvd1, 0, sizeof(host.xs.rsvd1));
	memset(ours.xs.rsvd1, 0, sizeof(ours.xs.rsvd1));
}

static bool differ(void)
{
	return host.fault != ours.fault || memcmp(host.gpr, ours.gpr, sizeof(host.gpr)) ||
	       host.rflags != ours.rflags ||
	       memcmp(&host.xs, &ours.xs, offsetof(struct xsave_area, xstate_bv)) ||
	       memcmp(host.xs.ymmh, ours.xs.ymmh, sizeof(host.xs.ymmh)) ||
	       memcmp(host.mem, ours.mem, WINDOW);
}

static void hex(const char *what, const void *p, unsigned n)
{
	const uint8_t *b = p;

	printf(" %s=", what);
	while (n--)
		printf("%02x", b[n]);
}

static void print_vec(const char *what, const struct xsave_area *x, unsigned i)
{
	printf(" %s%u=", what, i);
	hex("", x->ymmh[i], 16);
	hex("", x->xmm[i], 16);
}

static void report(const struct x86_insn *in, const struct xsave_area *before,
		   const uint8_t *mem_before, uint64_t addr)
{
	char text[80];

	printf("%s  [", x86_format(in, 0, text, sizeof(text)));
	for (unsigned i = 0; i < in->len; i++)
		printf("%02x", in->bytes[i]);
	printf("] mxcsr %04x fcw %04x fsw %04x ftw %02x mem@%llx", before->mxcsr, before->fcw,
	       before->fsw, before->ftw, (unsigned long long)addr);
	if (addr - BUF + 32 <= WINDOW)
		hex("", mem_before + (addr - BUF), 32);
	printf("\n");
	if (in->cls == X86_CL_X87)
		for (unsigned i = 0; i < 8; i++)
			hex("st", before->st[i], 10);
	else
		for (unsigned i = 0; i < in->n_opnds; i++)
			if (in->opnd[i].kind == X86_OPND_REG && in->opnd[i].rc == X86_RC_VEC)
				print_vec("v", before, in->opnd[i].reg);
	printf("\n   (host, ours)");
	if (host.fault != ours.fault)
		printf(" fault %d %d", host.fault, ours.fault);
	for (unsigned i = 0; i < 16; i++)
		if (host.gpr[i] != ours.gpr[i])
			printf(" r%u %llx %llx", i, (unsigned long long)host.gpr[i],
			       (unsigned long long)ours.gpr[i]);
	if (host.rflags != ours.rflags)
		printf(" fl %llx %llx", (unsigned long long)host.rflags,
		       (unsigned long long)ours.rflags);
	if (host.xs.mxcsr != ours.xs.mxcsr)
		printf(" mxcsr %x %x", host.xs.mxcsr, ours.xs.mxcsr);
	if (host.xs.fcw != ours.xs.fcw)
		printf(" fcw %x %x", host.xs.fcw, ours.xs.fcw);
	if (host.xs.fsw != ours.xs.fsw)
		printf(" fsw %x %x", host.xs.fsw, ours.xs.fsw);
	if (host.xs.ftw != ours.xs.ftw)
		printf(" ftw %x %x", host.xs.ftw, ours.xs.ftw);
	if (host.xs.fop != ours.xs.fop || host.xs.fip != ours.xs.fip || host.xs.fdp != ours.xs.fdp)
		printf(" fop %x %x fip %llx %llx fdp %llx %llx", host.xs.fop, ours.xs.fop,
		       (unsigned long long)host.xs.fip, (unsigned long long)ours.xs.fip,
		       (unsigned long long)host.xs.fdp, (unsigned long long)ours.xs.fdp);
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(host.xs.st[i], ours.xs.st[i], 16)) {
			printf(" st%u", i);
			hex("", host.xs.st[i], 10);
			hex("", ours.xs.st[i], 10);
		}
	for (unsigned i = 0; i < 16; i++)
		if (memcmp(host.xs.xmm[i], ours.xs.xmm[i], 16) ||
		    memcmp(host.xs.ymmh[i], ours.xs.ymmh[i], 16)) {
			print_vec("h", &host.xs, i);
			print_vec("o", &ours.xs, i);
		}
	for (unsigned i = 0, n = 0; i < WINDOW && n < 40; i++)
		if (host.mem[i] != ours.mem[i]) {
			printf(" [%x] %02x %02x", i, host.mem[i], ours.mem[i]);
			n++;
		}
	printf("\n");
}

static void add_rows(const struct interp_row *rows)
{
	for (; rows->fn; rows++)
		handlers[rows->op] = rows->fn;
}

static uint64_t gen_address(const struct x86_insn *in)
{
	uint64_t at = BUF + 0x400 + rng_below(&rng, 0x800);

	if (is_state_op(in->op)) {
		at &= ~63ull;
		return rng_below(&rng, 10) ? at : at + rng_below(&rng, 64);
	}
	if (rng_below(&rng, 4))
		at &= ~31ull;
	switch (rng_below(&rng, 40)) {
	case 0: return FIX_READONLY - rng_below(&rng, 40);
	case 1: return FIX_ABSENT - rng_below(&rng, 40);
	case 2: return BUF + 0x1000 - rng_below(&rng, 40);
	default: return at;
	}
}

struct test_case {
	struct x86_insn in;
	uint64_t gpr[16], rflags;
	uint64_t addr; /* of the memory operand, but for VSIB */
	struct xsave_area xs;
	uint8_t mem[WINDOW];
};
static struct test_case tc;

/* Indices of a gather that stay near, mostly. */
static void gen_indices(void)
{
	bool wide = tc.in.op == X86_VPGATHERQD || tc.in.op == X86_VPGATHERQQ ||
		    tc.in.op == X86_VGATHERQPS || tc.in.op == X86_VGATHERQPD;

	for (unsigned k = 0; k < 16; k++) {
		int64_t v = (int64_t)rng_below(&rng, 256) - 128;
		uint8_t *half = (k < 8 ? tc.xs.xmm : tc.xs.ymmh)[tc.in.mem.index];

		if (wide)
			memcpy(half + (k & 1) * 8, &v, 8);
		else
			memcpy(half + (k & 3) * 4, &v, 4);
	}
}

/* Memory is new around the operand, and holds something that XRSTOR or LDMXCSR may like. */
static void gen_memory(void)
{
	uint64_t at = tc.addr - BUF;
	struct xsave_area x;

	gen_bytes(tc.mem + rng_below(&rng, 0x1f00), 64);
	if (at + 128 > WINDOW)
		return;
	gen_bytes(tc.mem + (at & ~7ull), 64);
	gen_state(&x);
	if (!rng_below(&rng, 20)) /* MM, bit 17, exists on some hosts */
		x.mxcsr = (uint32_t)rng_next(&rng) & ~0x20000u;
	if (tc.in.op == X86_LDMXCSR)
		memcpy(tc.mem + at, &x.mxcsr, 4);
	if (!is_state_op(tc.in.op) || at + sizeof(x) > WINDOW)
		return;
	x.xstate_bv = rng_below(&rng, 8);
	x.xcomp_bv = rng_below(&rng, 3) ? 0 : 1ull << 63 | rng_below(&rng, 8);
	if (!rng_below(&rng, 20))
		x.rsvd2[rng_below(&rng, 6)] = rng_next(&rng);
	memcpy(tc.mem + at, &x, sizeof(x));
}

/* False: an instruction that is not for this test. */
static bool gen_case(const char *only, uint64_t n_run)
{
	uint8_t bytes[24] = { 0 };
	uint64_t base;

	gen_insn(bytes);
	if (x86_decode(bytes, 15, X86_MODE64, &tc.in) != X86_DECODE_OK || !usable(&tc.in) ||
	    (only && strcmp(only, x86_op_name(tc.in.op))))
		return false;
	/* Some operations have hundreds of encodings; most have one. */
	if (!only && op_cases[tc.in.op] > 100 && op_cases[tc.in.op] > n_run / 300 &&
	    rng_below(&rng, 16))
		return false;
	memcpy(tc.in.bytes, bytes, tc.in.len);
	gen_state(&tc.xs);
	for (unsigned k = 0; k < 16; k++)
		tc.gpr[k] = gen_frac(&rng, 64) >> rng_below(&rng, 64);
	tc.gpr[X86_RCX] &= 0x1f;
	tc.rflags = 0x202 | (rng_next(&rng) & X86_FL_ARITH);
	if (is_state_op(tc.in.op)) {
		tc.gpr[X86_RAX] = rng_below(&rng, 8);
		tc.gpr[X86_RDX] = 0;
	}
	tc.addr = gen_address(&tc.in);
	base = tc.addr - (uint64_t)tc.in.mem.disp;
	if (tc.in.attr & X86_AT_VSIB)
		gen_indices();
	else if (tc.in.mem.index == X86_RCX)
		base -= tc.gpr[X86_RCX] * tc.in.mem.scale;
	tc.gpr[X86_RDI] = base;
	gen_memory();
	return true;
}

static void run_ours(struct fixture *f)
{
	struct cpu *c = f->c;
	jmp_buf jmp;

	memcpy(c->gpr, tc.gpr, sizeof(c->gpr));
	c->rflags = tc.rflags;
	c->rip = native_state.code;
	c->xs = tc.xs;
	memcpy(f->ram + BUF, tc.mem, WINDOW);
	c->fault_jmp = &jmp;
	c->next_rip = c->rip + tc.in.len;
	ours.fault = NO_FAULT;
	if (!setjmp(jmp))
		handlers[tc.in.op](c, &tc.in);
	else
		ours.fault = c->exc_vector;
	memcpy(ours.gpr, c->gpr, sizeof(ours.gpr));
	ours.rflags = c->rflags;
	ours.xs = c->xs;
	memcpy(ours.mem, f->ram + BUF, WINDOW);
}

static void run_host(uint8_t *buf, uint8_t *code)
{
	static const uint8_t jump[6] = { 0xff, 0x25 }; /* jmp [rip+0] */
	const void *to = native_leave;

	memcpy(code, tc.in.bytes, tc.in.len);
	memcpy(code + tc.in.len, jump, 6);
	memcpy(code + tc.in.len + 6, &to, 8);
	memcpy(native_state.gpr, tc.gpr, sizeof(tc.gpr));
	native_state.rflags = tc.rflags;
	native_state.xs = tc.xs;
	memcpy(buf, tc.mem, WINDOW);
	run_native();
	memcpy(host.gpr, native_state.gpr, sizeof(host.gpr));
	host.rflags = native_state.rflags;
	host.xs = native_state.xs;
	memcpy(host.mem, buf, WINDOW);
	host.fault = native_fault;
}

static bool set_up(uint8_t **buf, uint8_t **code)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };
	unsigned a, b, c, d;

	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return false;
	host_sse4a = __get_cpuid(0x80000001, &a, &b, &c, &d) && c & 1 << 6;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		host_gfni = c & 1 << 8;
		host_vaes = c & 1 << 9;
		host_vpclmul = c & 1 << 10;
	}
	*buf = mmap((void *)(uintptr_t)BUF, BUF_PAGES * 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	*code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*buf == MAP_FAILED || *code == MAP_FAILED)
		return false;
	mprotect(*buf + 0x2000, 0x1000, PROT_READ);
	mprotect(*buf + 0x3000, 0x1000, PROT_NONE);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	add_rows(interp_rows_x87);
	add_rows(interp_rows_sse);
	add_rows(interp_rows_sse_fp);
	add_rows(interp_rows_avx);
	add_rows(interp_rows_crypto);
	add_rows(interp_rows_xsave);
	handlers[X86_AVX512] = NULL; /* test_native does these */
	native_state.code = (uint64_t)(uintptr_t)*code;
	gen_bytes(tc.mem, WINDOW);
	return true;
}

static void summarize(bool only)
{
	for (unsigned op = 0; op < X86_N_OPS; op++) {
		if (handlers[op] && !op_cases[op] && !only)
			printf("never tried: %s\n", x86_op_name(op));
		if (op_bad[op])
			printf("-- %s: %llu of %llu (%llu faults)\n", x86_op_name(op),
			       (unsigned long long)op_bad[op], (unsigned long long)op_cases[op],
			       (unsigned long long)op_faults[op]);
	}
}

int main(void)
{
	const char *cases = getenv("MAYFLY_CASES"), *seed = getenv("MAYFLY_SEED");
	const char *only = getenv("MAYFLY_OP");
	uint64_t n_cases = cases ? strtoull(cases, NULL, 0) : 300000, n_bad = 0;
	bool all = getenv("MAYFLY_ALL");
	struct fixture *f;
	uint8_t *buf, *code;

	if (seed)
		rng.s = strtoull(seed, NULL, 0);
	if (!set_up(&buf, &code))
		return 77;
	f = fixture_create(FIX_USER);
	f->c->cr4 |= X86_CR4_OSXMMEXCPT;
	for (uint64_t i = 0; i < n_cases && (all || n_bad < 10);) {
		bool bad = true;

		if (!gen_case(only, i))
			continue;
		i++;
		run_ours(f);
		/* Again if they differ: a switch to another process or by the hypervisor between
		 * XRSTOR and the instruction may truncate or drop FIP and FDP. */
		for (unsigned try = 0; try < 3 && bad; try++) {
			run_host(buf, code);
			tolerate(&tc.in, tc.addr);
			bad = differ();
		}
		op_cases[tc.in.op]++;
		op_faults[tc.in.op] += host.fault != NO_FAULT;
		if (!bad)
			continue;
		n_bad++;
		if (op_bad[tc.in.op]++ < 4)
			report(&tc.in, &tc.xs, tc.mem, tc.addr);
	}
	summarize(only);
	printf("%llu cases, %llu mismatches\n", (unsigned long long)n_cases,
	       (unsigned long long)n_bad);
	fixture_destroy(f);
	return n_bad != 0;
}
