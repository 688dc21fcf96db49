/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interpreter and translated code against the host processor: random encodings of every form of
 * instruction that user code may execute, on random states, executed natively (native_host.c), by
 * interp_exec() and by a block of translated code (native_guest.c). Compared are the vector of a
 * fault (with error code and CR2), all registers, the defined flags, x87, SSE and AVX state and
 * memory. A part of the cases also checks what the decoder says about flags and memory.
 *
 * Usage: test_native [cases [seed [operation]]], or MAYFLY_CASES, MAYFLY_SEED, MAYFLY_OP.
 * MAYFLY_STRICT=1 compares undefined flags, too: of use on a host of the model's vendor.
 * MAYFLY_FORMS=1 lists the forms that were not executed, and why.
 *
 * What is not compared, with the reason, is in undefined_flags(), results_are_undefined() and
 * compare_fp(). Fails if a form that could be executed never was, given enough cases. Exits with
 * 77 where the host lacks AVX.
 */
#include "chance.h"
#include "native_form.h"
#include "native_guest.h"

#include "accel/tcg/interp/interp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_EXAMPLES = 3, /* printed per operation */
	STATES_PER_INSN = 4,
	CASES_PER_FORM = 40, /* this many in all: each must have been executed */
};

struct test {
	struct native_guest interp, jit;
	struct native_forms forms;
	struct native_rng rng;
	unsigned long n_cases, n_faults, n_bad;
	unsigned long seen[X86_N_OPS], bad[X86_N_OPS], n_examples[X86_N_OPS];
	unsigned only; /* operation, or X86_INVALID for all */
	unsigned long n_insns;
	bool strict, host_intel, host_lacks[X86_N_FEATURES];
};

/* --- comparison --- */

struct diff {
	char text[2048];
	unsigned len;
};

static void note(struct diff *d, const char *what, uint64_t host, uint64_t ours)
{
	if (d->len + 100 < sizeof(d->text))
		d->len += (unsigned)snprintf(d->text + d->len, sizeof(d->text) - d->len,
					     "    %s: host %016" PRIx64 " ours %016" PRIx64 "\n", what,
					     host, ours);
}

static void note_bytes(struct diff *d, const char *what, unsigned i, const uint8_t *host,
		       const uint8_t *ours, unsigned n)
{
	uint64_t h[2] = { 0 }, o[2] = { 0 };
	char name[32];

	memcpy(h, host, n);
	memcpy(o, ours, n);
	snprintf(name, sizeof(name), "%s%u hi", what, i);
	if (h[1] != o[1])
		note(d, name, h[1], o[1]);
	snprintf(name, sizeof(name), "%s%u lo", what, i);
	if (h[0] != o[0])
		note(d, name, h[0], o[0]);
}

static uint64_t undefined_flags(const struct test *t, const struct native_case *cs, int vector)
{
	const struct x86_insn *in = &cs->in;

	/* After a fault in the middle: of any iteration, or as before. */
	if ((in->op == X86_CMPS || in->op == X86_SCAS) && vector == X86_EXC_PF)
		return X86_FL_ARITH;
	return t->strict ? 0 : in->fl_undef;
}

/* Results that the manuals leave open, and that differ between processors. */
static bool results_are_undefined(const struct x86_insn *in, const struct native_state *before)
{
	switch (in->op) {
	case X86_BSWAP:
		return in->opsize == 2;
	case X86_SHLD: case X86_SHRD: /* counts beyond 16 bits */
		return in->opnd[0].size == 2 &&
		       (in->opnd[2].kind == X86_OPND_REG ? before->gpr[X86_RCX] & 31
							 : in->imm & 31) > 16;
	}
	return false;
}

/* Operands of several accesses, of which any may be the first to fault. (CMPS: AMD's family 19h
 * reads [rdi] first, family 1Ah [rsi].) */
static bool order_is_open(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_MASKMOVQ: case X86_MASKMOVDQU: case X86_FXSAVE: case X86_FXRSTOR: case X86_XSAVE:
	case X86_XSAVEC: case X86_XRSTOR: case X86_FLDENV: case X86_FNSTENV: case X86_FRSTOR:
	case X86_FNSAVE: case X86_CMPS: case X86_AVX512:
		return true;
	}
	return false;
}

/* RCPPS and RSQRTPS: relative error up to 1.5 * 2^-12, each processor in its own way. */
static bool near_enough(const uint8_t *a, const uint8_t *b, unsigned n)
{
	for (unsigned i = 0; i < n; i += 4) {
		float x, y;

		if (!memcmp(a + i, b + i, 4))
			continue;
		memcpy(&x, a + i, 4);
		memcpy(&y, b + i, 4);
		if (!(x - y <= 0x1p-10f * (x < 0 ? -x : x) && y - x <= 0x1p-10f * (x < 0 ? -x : x)))
			return false;
	}
	return true;
}

static void compare_fp(struct diff *d, const struct x86_insn *in, const struct xsave_area *h,
		       const struct xsave_area *o)
{
	bool approx = in->op == X86_RCPPS || in->op == X86_RCPSS || in->op == X86_RSQRTPS ||
		      in->op == X86_RSQRTSS;

	if (h->fcw != o->fcw)
		note(d, "fcw", h->fcw, o->fcw);
	if (h->fsw != o->fsw)
		note(d, "fsw", h->fsw, o->fsw);
	if (h->ftw != o->ftw)
		note(d, "ftw", h->ftw, o->ftw);
	if (h->mxcsr != o->mxcsr)
		note(d, "mxcsr", h->mxcsr, o->mxcsr);
	/* fop, fip, fdp: AMD processors save them while an exception is pending only */
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(h->st[i], o->st[i], 10))
			note_bytes(d, "st", i, h->st[i], o->st[i], 10);
	for (unsigned i = 0; i < 16; i++) {
		if (memcmp(h->xmm[i], o->xmm[i], 16) &&
		    !(approx && near_enough(h->xmm[i], o->xmm[i], 16)))
			note_bytes(d, "xmm", i, h->xmm[i], o->xmm[i], 16);
		if (memcmp(h->ymmh[i], o->ymmh[i], 16) &&
		    !(approx && near_enough(h->ymmh[i], o->ymmh[i], 16)))
			note_bytes(d, "ymmh", i, h->ymmh[i], o->ymmh[i], 16);
		for (unsigned k = 0; k < 32; k += 16)
			if (memcmp(h->zmmh[i] + k, o->zmmh[i] + k, 16))
				note_bytes(d, k ? "zmmh+16 " : "zmmh", i, h->zmmh[i] + k, o->zmmh[i] + k, 16);
		for (unsigned k = 0; k < 64; k += 16)
			if (memcmp(h->zmm16[i] + k, o->zmm16[i] + k, 16))
				note_bytes(d, "zmm16+", i, h->zmm16[i] + k, o->zmm16[i] + k, 16);
		if (i < 8 && h->k[i] != o->k[i])
			note(d, "k", h->k[i], o->k[i]);
	}
}

static void compare_memory(struct native_guest *g, const struct native_case *cs, struct diff *d)
{
	const struct x86_insn *in = &cs->in;
	uint8_t *h = (uint8_t *)(uintptr_t)NATIVE_DATA, *o = g->data;

	/* MXCSR_MASK in images: the host may have more bits. */
	if (in->op == X86_FXSAVE || in->op == X86_XSAVE || in->op == X86_XSAVEC) {
		uint64_t at = native_mem_address(cs) - NATIVE_DATA + 28;

		if (at <= NATIVE_DATA_BYTES - 4)
			memcpy(o + at, h + at, 4);
	}
	if (!memcmp(h, o, NATIVE_DATA_BYTES))
		return;
	for (unsigned i = 0; i < NATIVE_DATA_BYTES; i += 8)
		if (memcmp(h + i, o + i, 8))
			note_bytes(d, "memory at ", i, h + i, o + i, 8);
	memcpy(o, h, NATIVE_DATA_BYTES);
}

/* After cases that are not compared to the end. */
static void resync(struct native_guest *g)
{
	memcpy(g->data, (void *)(uintptr_t)NATIVE_DATA, NATIVE_DATA_BYTES);
}

static void compare(struct test *t, struct native_guest *g, const struct native_case *cs,
		    const struct native_state *h, const struct native_state *o, struct diff *d)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					       "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	/* not ID: the host's does not come from the signal frame */
	uint64_t flags = X86_FL_ARITH | X86_FL_DF | X86_FL_AC;

	d->len = 0;
	d->text[0] = 0;
	flags &= ~undefined_flags(t, cs, h->vector);
	/* AMD processors mix LOOPE and LOOPNE up under REP and REPNE. */
	if ((cs->in.op == X86_LOOPE || cs->in.op == X86_LOOPNE) &&
	    cs->in.prefix & (X86_PFX_REP | X86_PFX_REPNE))
		return;
	/* Reserved operand alignment of SHA: AMD processors have none. */
	if (cs->in.feature == X86_FEAT_SHA && h->vector == X86_EXC_GP)
		return;
	/* MXCSR bits that the host has and the model has not (bit 17, misaligned mode). */
	if ((cs->in.op == X86_FXRSTOR || cs->in.op == X86_XRSTOR || cs->in.op == X86_LDMXCSR) &&
	    h->xs.mxcsr >> 16)
		return;
	/* A branch to where nothing can be fetched: the fault comes before the next instruction for
	 * the host, and is not ours to raise here. */
	if (h->vector == X86_EXC_PF && h->error & 16 && o->vector == NATIVE_NO_FAULT)
		;
	else if (h->vector == X86_EXC_GP && cs->in.cls == X86_CL_CTI && h->rip == o->rip &&
		 h->rip != cs->before.rip)
		;
	/* Whether masked-off bytes can fault depends on the processor. */
	else if ((cs->in.op == X86_MASKMOVQ || cs->in.op == X86_MASKMOVDQU) &&
		 h->vector != o->vector && (h->vector == X86_EXC_PF || o->vector == X86_EXC_PF)) {
		resync(g);
		return;
	/* A call whose push and whose target are both wrong, a string with one operand
	 * misaligned and the other not there: either may be first. */
	} else if ((cs->in.op == X86_CALL && h->vector == X86_EXC_PF && o->vector == X86_EXC_GP) ||
		   (cs->in.cls == X86_CL_STRING &&
		    ((h->vector == X86_EXC_PF && o->vector == X86_EXC_AC) ||
		     (h->vector == X86_EXC_AC && o->vector == X86_EXC_PF)))) {
		resync(g);
		return;
	} else if (h->vector != o->vector)
		note(d, "vector", (uint64_t)h->vector, (uint64_t)o->vector);
	else if (h->vector == X86_EXC_PF) {
		/* The kernel shows all its addresses as present. */
		uint32_t ignore = h->cr2 >> 47 ? 1 : 0;

		if ((h->error | ignore) != (o->error | ignore))
			note(d, "error code", h->error, o->error);
		if (h->cr2 != o->cr2 && !order_is_open(&cs->in))
			note(d, "cr2", h->cr2, o->cr2);
	} else if (h->vector != NATIVE_NO_FAULT && h->error != o->error) {
		note(d, "error code", h->error, o->error);
	}
	if (h->rip != o->rip)
		note(d, "rip", h->rip, o->rip);
	if ((h->rflags ^ o->rflags) & flags)
		note(d, "flags", h->rflags & flags, o->rflags & flags);
	if (!results_are_undefined(&cs->in, &cs->before)) {
		for (unsigned i = 0; i < 16; i++)
			if (h->gpr[i] != o->gpr[i])
				note(d, names[i], h->gpr[i], o->gpr[i]);
		if (cs->in.ev & X86_EV_SCATTER && h->vector != NATIVE_NO_FAULT)
			resync(g); /* how far it came is open */
		else
			compare_memory(g, cs, d);
	} else {
		resync(g);
	}
	/* How far a gather came before its fault is open. */
	if (!(cs->in.attr & X86_AT_VSIB && h->vector != NATIVE_NO_FAULT))
		compare_fp(d, &cs->in, &h->xs, &o->xs);
}

static void print_example(const struct native_case *cs, const struct diff *d,
			  const struct native_state *h)
{
	const struct native_state *b = &cs->before;
	const struct x86_insn *in = &cs->in;
	char text[160];

	printf("%s   [", x86_format(in, b->rip, text, sizeof(text)));
	for (unsigned i = 0; i < in->len; i++)
		printf("%s%02x", i ? " " : "", in->bytes[i]);
	printf("] flags %04" PRIx64 " fault %d\n", b->rflags & 0xfff, h->vector);
	for (unsigned i = 0; i < in->n_opnds; i++) {
		const struct x86_opnd *o = &in->opnd[i];
		uint64_t v[4] = { 0 };

		if (o->kind == X86_OPND_REG && o->rc == X86_RC_GPR)
			printf("    in %u: %016" PRIx64 "\n", i, b->gpr[o->reg]);
		if (o->kind == X86_OPND_REG && o->rc == X86_RC_VEC) {
			memcpy(v, b->xs.xmm[o->reg], 16);
			memcpy(v + 2, b->xs.ymmh[o->reg], 16);
		} else if (o->kind == X86_OPND_REG && (o->rc == X86_RC_ST || o->rc == X86_RC_MMX)) {
			memcpy(v, b->xs.st[o->reg], 16);
		} else if (o->kind == X86_OPND_MEM && cs->poke_len) {
			memcpy(v, cs->poke, 32);
		} else {
			continue;
		}
		printf("    in %u: %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n", i,
		       v[3], v[2], v[1], v[0]);
	}
	if (in->mem.base != X86_NO_REG || in->mem.index != X86_NO_REG)
		printf("    address %016" PRIx64 "\n", native_mem_address(cs));
	if (in->cls == X86_CL_X87)
		printf("    st0 %04x%016" PRIx64 " fcw %04x fsw %04x ftw %02x\n",
		       *(const uint16_t *)(b->xs.st[0] + 8), *(const uint64_t *)b->xs.st[0], b->xs.fcw,
		       b->xs.fsw, b->xs.ftw);
	else if (in->cls == X86_CL_VEC)
		printf("    mxcsr %08x\n", b->xs.mxcsr);
	printf("    rax %016" PRIx64 " rcx %016" PRIx64 " rdx %016" PRIx64 "\n%s", b->gpr[0], b->gpr[1],
	       b->gpr[2], d->text);
}

/*
 * What the decoder says of an instruction, on the host alone: flags that are neither written nor
 * undefined are kept, the outcome does not depend on flags that are not read, and memory is written
 * only by instructions that say so. The translator's liveness rests on this. Leaves memory as it
 * was.
 */
static void check_decoded(struct test *t, const struct native_case *cs, struct diff *d)
{
	static uint8_t saved[NATIVE_DATA_BYTES], after_a[NATIVE_DATA_BYTES];
	uint8_t *mem = (uint8_t *)(uintptr_t)NATIVE_DATA;
	const struct x86_insn *in = &cs->in;
	uint64_t touched = in->fl_written | in->fl_undef, unread = X86_FL_ARITH & ~in->fl_read;
	struct native_state other = cs->before, a, b;
	bool writes = in->attr & X86_AT_MEM_WRITE;

	d->len = 0;
	d->text[0] = 0;
	memcpy(saved, mem, sizeof(saved));
	native_run(&cs->before, &a);
	memcpy(after_a, mem, sizeof(after_a));
	memcpy(mem, saved, sizeof(saved));
	other.rflags ^= unread;
	native_run(&other, &b);
	if (a.vector != b.vector)
		note(d, "flags not read: vector", (uint64_t)a.vector, (uint64_t)b.vector);
	if (a.vector == NATIVE_NO_FAULT) {
		uint64_t kept = X86_FL_ARITH & ~touched;

		if ((a.rflags ^ cs->before.rflags) & kept || (b.rflags ^ other.rflags) & kept)
			note(d, "flags not kept", a.rflags & kept, cs->before.rflags & kept);
		if ((a.rflags ^ b.rflags) & in->fl_written)
			note(d, "flags not read: flags", a.rflags & in->fl_written,
			     b.rflags & in->fl_written);
		if (a.rip != b.rip)
			note(d, "flags not read: rip", a.rip, b.rip);
		for (unsigned i = 0; i < 16; i++)
			if (a.gpr[i] != b.gpr[i])
				note(d, "flags not read: register", a.gpr[i], b.gpr[i]);
		if (memcmp(a.xs.st, b.xs.st, sizeof(a.xs.st) + sizeof(a.xs.xmm)))
			note(d, "flags not read: vector registers", 0, 0);
		if (memcmp(after_a, mem, sizeof(after_a)))
			note(d, "flags not read: memory", 0, 0);
		/* these have no operand in memory, but write to it */
		writes |= in->cls == X86_CL_STRING || in->cls == X86_CL_STACK || in->op == X86_CALL ||
			  in->op == X86_PUSHSEG || in->op == X86_MASKMOVQ || in->op == X86_MASKMOVDQU;
		if (!writes && memcmp(saved, after_a, sizeof(saved)))
			note(d, "memory written", 0, 0);
	}
	memcpy(mem, saved, sizeof(saved));
}

static enum native_why why_not(void *ctx, const struct x86_insn *in)
{
	const struct test *t = ctx;

	if (!native_op_is_safe(in->op) ||
	    (in->op == X86_MOVSEG && in->opnd[0].kind == X86_OPND_REG && in->opnd[0].rc == X86_RC_SEG))
		return NATIVE_UNSAFE;
	if (!cpu_has_feature(in->feature) || !interp_has(in->op))
		return NATIVE_NO_MODEL;
	/* Guests get it by --debug avx512 only; MAYFLY_OP=avx512 tests it. */
	if (in->op == X86_AVX512 && t->only != X86_AVX512)
		return NATIVE_UNSAFE;
	if (in->op == X86_AVX512 &&
	    (!t->interp.vm.has[X86_FEAT_AVX512] || !t->interp.vm.has[in->feature]))
		return NATIVE_NO_HOST;
	/* Intel's processors ignore 66 on near branches. */
	if (t->host_lacks[in->feature] ||
	    (t->host_intel && in->cls == X86_CL_CTI && in->opsize == 2))
		return NATIVE_NO_HOST;
	return t->only && in->op != t->only ? NATIVE_UNSAFE : NATIVE_EXECUTED;
}

static void report(struct test *t, const struct native_case *cs, const char *who,
		   const struct diff *d, const struct native_state *h)
{
	if (!d->len)
		return;
	t->n_bad++;
	t->bad[cs->in.op]++;
	if (cs->in.op == X86_AVX512) { /* an example per opcode */
		static bool shown[4][256];

		if (!shown[cs->in.map][cs->in.opcode])
			t->n_examples[cs->in.op] = 0;
		shown[cs->in.map][cs->in.opcode] = true;
	}
	if (t->n_examples[cs->in.op]++ < MAX_EXAMPLES) {
		printf("%s: ", who);
		print_example(cs, d, h);
	}
}

static void run_case(struct test *t, struct native_case *cs)
{
	struct native_state h = { .vector = NATIVE_NO_FAULT }, o;
	struct diff d;

	if (cs->poke_len) {
		memcpy((void *)(uintptr_t)(NATIVE_DATA + cs->poke_at), cs->poke, cs->poke_len);
		memcpy(t->interp.data + cs->poke_at, cs->poke, cs->poke_len);
		memcpy(t->jit.data + cs->poke_at, cs->poke, cs->poke_len);
	}
	if (native_pick(&t->rng, 8) == 0) {
		check_decoded(t, cs, &d);
		report(t, cs, "decoder", &d, &h);
	}
	native_run(&cs->before, &h);
	/* The decoder takes what the host does not: the interpreter would end this process. */
	if (cs->in.op == X86_AVX512 && h.vector == X86_EXC_UD) {
		d.len = 0;
		note(&d, "vector", (uint64_t)h.vector, (uint64_t)NATIVE_NO_FAULT);
		report(t, cs, "decoder", &d, &h);
		return;
	}
	native_guest_interp(&t->interp, cs, &o);
	compare(t, &t->interp, cs, &h, &o, &d);
	report(t, cs, "interpreter", &d, &h);
	if (native_guest_jit(&t->jit, cs, &o)) {
		compare(t, &t->jit, cs, &h, &o, &d);
	} else {
		d.len = 0;
		note(&d, "translated code ended at", h.rip, t->jit.c->rip);
		resync(&t->jit);
	}
	report(t, cs, "translated", &d, &h);
	t->n_cases++;
	t->n_faults += h.vector != NATIVE_NO_FAULT;
}

/* Fresh contents for all copies of the data pages. */
static void refill(struct test *t)
{
	for (unsigned i = 0; i < NATIVE_DATA_BYTES; i += 8) {
		uint64_t v = native_random(&t->rng);

		if (!(i & 64))
			v &= native_random(&t->rng) & native_random(&t->rng);
		memcpy((void *)(uintptr_t)(NATIVE_DATA + i), &v, 8);
	}
	resync(&t->interp);
	resync(&t->jit);
}

static void find_host_features(struct test *t)
{
	__builtin_cpu_init();
	t->host_intel = __builtin_cpu_is("intel");
	t->host_lacks[X86_FEAT_AVX2] = !__builtin_cpu_supports("avx2");
	t->host_lacks[X86_FEAT_FMA] = !__builtin_cpu_supports("fma");
	t->host_lacks[X86_FEAT_BMI1] = !__builtin_cpu_supports("bmi");
	t->host_lacks[X86_FEAT_BMI2] = !__builtin_cpu_supports("bmi2");
	t->host_lacks[X86_FEAT_AES] = !__builtin_cpu_supports("aes");
	t->host_lacks[X86_FEAT_PCLMUL] = !__builtin_cpu_supports("pclmul");
	t->host_lacks[X86_FEAT_LZCNT] = !__builtin_cpu_supports("avx2");
	t->host_lacks[X86_FEAT_ADX] = t->host_lacks[X86_FEAT_SHA] = true;
	t->host_lacks[X86_FEAT_F16C] = !__builtin_cpu_supports("avx2");
	t->host_lacks[X86_FEAT_MOVBE] = !__builtin_cpu_supports("avx2");
	/* leaf 7: what the compiler has no name for */
	{
		uint32_t a = 7, b, c = 0, d;

		__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
		t->host_lacks[X86_FEAT_ADX] = !(b & 1u << 19);
		t->host_lacks[X86_FEAT_SHA] = !(b & 1u << 29);
		t->host_lacks[X86_FEAT_FSGSBASE] = !(b & 1);
		t->host_lacks[X86_FEAT_CLFLUSHOPT] = !(b & 1u << 23);
	}
}

static unsigned op_by_name(const char *name)
{
	for (unsigned i = 1; i < X86_N_OPS; i++)
		if (!strcmp(name, x86_op_name(i)))
			return i;
	return X86_INVALID;
}

/* Which forms there are, and whether all were executed that could be. */
static bool check_forms(struct test *t)
{
	static const char *const whys[] = { "never executed", "not for a test", "not on this host",
					    "not in the model" };
	const struct native_forms *f = &t->forms;
	bool all = chance_env("MAYFLY_FORMS", 0), enough = t->n_cases / CASES_PER_FORM >= f->n_todo;
	unsigned count[4] = { 0 }, never = 0;
	char text[160];

	for (unsigned i = 0; i < f->n; i++) {
		const struct native_form *form = &f->form[i];

		count[form->why]++;
		if (form->why == NATIVE_EXECUTED && form->n_cases)
			continue;
		if (form->why == NATIVE_EXECUTED)
			never++;
		if (all || (form->why == NATIVE_EXECUTED && enough))
			printf("%s: %s\n", whys[form->why],
			       native_form_text(form, text, sizeof(text)));
	}
	printf("%u forms: %u executed, %u never, %u not for a test, %u not on this host, %u not in "
	       "the model\n", f->n, count[NATIVE_EXECUTED] - never, never, count[NATIVE_UNSAFE],
	       count[NATIVE_NO_HOST], count[NATIVE_NO_MODEL]);
	return !never || !enough;
}

/* What may go elsewhere, or read the bytes behind itself. */
static bool only_breakpoints(const struct x86_insn *in)
{
	if (in->op == X86_BT || in->op == X86_BTS || in->op == X86_BTR || in->op == X86_BTC)
		return true;
	return in->cls == X86_CL_CTI || in->cls == X86_CL_STRING;
}

int main(int argc, char **argv)
{
	static struct test t;
	static struct native_case cs;
	unsigned long n = chance_arg(argc, argv, 1, "MAYFLY_CASES", 1000000);
	unsigned long seed = chance_arg(argc, argv, 2, "MAYFLY_SEED", 1);
	const char *only = argc > 3 ? argv[3] : getenv("MAYFLY_OP");
	unsigned n_ops = 0;
	bool covered;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!native_init()) {
		printf("no AVX state in signal frames here: skipped\n");
		return 77;
	}
	if (!native_guest_create(&t.interp, NULL) || !native_guest_create(&t.jit, "")) {
		printf("cannot set up the software processor\n");
		return 1;
	}
	t.strict = chance_env("MAYFLY_STRICT", 0);
	t.rng.s = seed * 0x9e3779b97f4a7c15ull | 1;
	if (only && *only) {
		t.only = op_by_name(only);
		if (!t.only) {
			printf("no operation %s\n", only);
			return 2;
		}
	}
	find_host_features(&t);
	if (t.only == X86_AVX512 && !t.interp.vm.has[X86_FEAT_AVX512]) {
		printf("this host has no AVX-512, or not all of it: skipped\n");
		return 77;
	}
	if (!native_forms_create(&t.forms, t.only, &t, why_not)) {
		printf("no forms\n");
		return 1;
	}
	while (t.n_cases < n) {
		struct native_form *form;

		if (t.n_insns % 64 == 0)
			refill(&t);
		form = native_forms_pick(&t.forms, &t.rng, &cs.in);
		t.n_insns++;
		t.seen[cs.in.op]++;
		for (unsigned i = 0; i < STATES_PER_INSN; i++) {
			native_make_state(&t.rng, &cs);
			native_set_code(cs.in.bytes, cs.in.len, only_breakpoints(&cs.in));
			if (!i || cs.in.disp_len) {
				native_guest_set_code(&t.interp, cs.in.bytes, cs.in.len);
				native_guest_set_code(&t.jit, cs.in.bytes, cs.in.len);
			}
			run_case(&t, &cs);
			form->n_cases++;
		}
	}
	for (unsigned i = 0; i < X86_N_OPS; i++) {
		n_ops += t.seen[i] != 0;
		if (t.bad[i])
			printf("%8lu of %lu differ: %s\n", t.bad[i], t.seen[i] * STATES_PER_INSN,
			       x86_op_name(i));
	}
	covered = check_forms(&t);
	printf("seed %lu: %lu cases of %u operations, %lu faults, %lu translated blocks entered, %lu "
	       "mismatches\n", seed, t.n_cases, n_ops, t.n_faults, t.jit.n_entries, t.n_bad);
	return t.n_bad || !covered;
}
