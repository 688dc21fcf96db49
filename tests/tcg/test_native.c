/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter against the host processor: random instructions that user code may execute, on
 * random states, executed natively (native_host.c) and by interp_exec() in flat 64-bit user mode
 * whose page tables map copies of the same pages at the same addresses. Compared are the vector
 * of a fault (with error code and CR2), all registers, the defined flags, x87, SSE and AVX state
 * and memory. A part of the cases also checks what the decoder says about flags and memory.
 *
 * Usage: test_native [cases [seed [operation]]], or MAYFLY_CASES, MAYFLY_SEED, MAYFLY_OP.
 * MAYFLY_STRICT=1 compares undefined flags, too: of use on a host of the model's vendor.
 *
 * What is not compared, with the reason, is in undefined_flags(), results_are_undefined() and
 * compare_fp(). Exits with 77 where the host lacks AVX.
 */
#include "native_case.h"

#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/cpu/vm.h"
#include "accel/tcg/interp/interp.h"
#include "vmm/core/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RAM_BYTES = 4 << 20,
	GPA_TABLES = 0x10000,
	GPA_DATA = 0x100000,
	GPA_CODE = GPA_DATA + NATIVE_DATA_BYTES,
	MAX_EXAMPLES = 3, /* printed per operation */
	STATES_PER_INSN = 4,
	POOL_TRIES = 4000000,
};

struct test {
	struct gmem *mem;
	uint8_t *ram;
	struct accel_io io;
	struct tcg_vm vm;
	struct cpu *c;
	jmp_buf jmp;
	struct native_rng rng;
	unsigned long n_cases, n_faults, n_bad;
	unsigned long seen[X86_N_OPS], bad[X86_N_OPS], n_examples[X86_N_OPS];
	unsigned only; /* operation, or X86_INVALID for all */
	unsigned long n_insns;
	bool strict, host_lacks[X86_N_FEATURES];
};

static void io_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
}

static void io_pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
}

static void io_eoi(void *ctx, uint8_t vector)
{
}

static int io_intack(void *ctx)
{
	return -1;
}

static void poke64(struct test *t, gpaddr at, uint64_t v)
{
	memcpy(t->ram + at, &v, 8);
}

/* Page tables: the data pages writable, the code page read-only, nothing else. */
static void make_tables(struct test *t)
{
	gpaddr pdpt = GPA_TABLES + 0x1000, pd = GPA_TABLES + 0x2000, pt = GPA_TABLES + 0x3000;

	poke64(t, GPA_TABLES, pdpt | 7);
	poke64(t, pdpt, pd | 7);
	poke64(t, pd + 8 * (NATIVE_DATA >> 21), pt | 7);
	for (unsigned i = 0; i < NATIVE_DATA_BYTES >> 12; i++)
		poke64(t, pt + 8 * ((NATIVE_DATA >> 12 & 511) + i), (GPA_DATA + i * 4096u) | 7);
	poke64(t, pt + 8 * (NATIVE_CODE >> 12 & 511), GPA_CODE | 5);
}

static bool guest_init(struct test *t)
{
	struct accel_config cfg = { .n_vcpus = 1 };
	const struct gmem_region *r;
	struct err e = { 0 };
	struct cpu *c;

	t->io = (struct accel_io){ io_mmio, io_pio, io_eoi, io_intack, t };
	if (gmem_create(RAM_BYTES, 0xc0000000, &t->mem, &e))
		return false;
	gmem_regions(t->mem, &r);
	t->ram = r[0].host;
	if (tcg_vm_init(&t->vm, t->mem, &t->io, &cfg, &e) || cpu_create(&t->vm, 0, &t->c, &e))
		return false;
	exclusive_enter_guest(t->c);
	make_tables(t);
	c = t->c;
	c->cr0 = X86_CR0_ET | X86_CR0_NE | X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_AM |
		 X86_CR0_MP;
	c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
		 X86_CR4_FSGSBASE | X86_CR4_UMIP | X86_CR4_PGE;
	c->efer = X86_EFER_SCE | X86_EFER_NXE | X86_EFER_LME | X86_EFER_LMA;
	c->cr3 = GPA_TABLES;
	c->xcr0 = 7;
	c->cpl = 3;
	/* selectors as Linux has them, for MOV from segment registers */
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		c->seg[i] = (struct x86_seg){ 0, 0xcf3, 0xffffffff, 0 };
	c->seg[X86_CS] = (struct x86_seg){ 0x33, 0xafb, 0xffffffff, 0 };
	c->seg[X86_SS] = (struct x86_seg){ 0x2b, 0xcf3, 0xffffffff, 0 };
	c->seg[X86_FS].base = native_fs_base();
	c->tr = (struct x86_seg){ 0x40, 0x8b, 0x60, 0 }; /* no I/O permission bitmap */
	return true;
}

static int guest_run(struct test *t, const struct native_case *cs, struct native_state *after)
{
	struct cpu *c = t->c;

	memcpy(c->gpr, cs->before.gpr, sizeof(c->gpr));
	c->rip = cs->before.rip;
	c->rflags = cs->before.rflags;
	memcpy(&c->xs, &cs->before.xs, sizeof(c->xs));
	c->xs.xstate_bv = 7;
	c->halted = c->inhibit_irq = 0;
	c->cr2 = 0;
	cpu_update_mode(c);
	c->fault_jmp = &t->jmp;
	after->vector = NATIVE_NO_FAULT;
	after->error = 0;
	if (setjmp(t->jmp)) {
		exclusive_abort(c);
		after->vector = c->exc_vector;
		after->error = c->exc_has_error ? c->exc_error : 0;
	} else {
		interp_exec(c, &cs->in);
	}
	memcpy(after->gpr, c->gpr, sizeof(c->gpr));
	after->rip = c->rip;
	after->rflags = c->rflags;
	after->cr2 = c->cr2;
	memcpy(&after->xs, &c->xs, sizeof(c->xs));
	return after->vector;
}

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
	if (vector == X86_EXC_DE) /* DIV: flags are undefined in the saved image as well */
		return t->strict ? 0 : cs->in.fl_undef;
	return t->strict ? 0 : cs->in.fl_undef;
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

/* Operands of several accesses, of which any may be the first to fault. */
static bool order_is_open(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_MASKMOVQ: case X86_MASKMOVDQU: case X86_FXSAVE: case X86_FXRSTOR: case X86_XSAVE:
	case X86_XSAVEC: case X86_XRSTOR: case X86_FLDENV: case X86_FNSTENV: case X86_FRSTOR:
	case X86_FNSAVE:
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
	}
}

static void compare_memory(struct test *t, const struct native_case *cs, struct diff *d)
{
	const struct x86_insn *in = &cs->in;
	uint8_t *h = (uint8_t *)(uintptr_t)NATIVE_DATA, *o = t->ram + GPA_DATA;

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
static void resync(struct test *t)
{
	memcpy(t->ram + GPA_DATA, (void *)(uintptr_t)NATIVE_DATA, NATIVE_DATA_BYTES);
}

static void compare(struct test *t, const struct native_case *cs, const struct native_state *h,
		    const struct native_state *o, struct diff *d)
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
		resync(t);
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
		compare_memory(t, cs, d);
	} else {
		resync(t);
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

static bool accept_insn(void *ctx, const struct x86_insn *in)
{
	struct test *t = ctx;

	if (t->only)
		return in->op == t->only;
	return cpu_has_feature(in->feature) && !t->host_lacks[in->feature] && interp_has(in->op);
}

static void run_case(struct test *t, struct native_case *cs)
{
	struct native_state h = { .vector = NATIVE_NO_FAULT }, o;
	struct diff d;

	if (cs->poke_len) {
		memcpy((void *)(uintptr_t)(NATIVE_DATA + cs->poke_at), cs->poke, cs->poke_len);
		memcpy(t->ram + GPA_DATA + cs->poke_at, cs->poke, cs->poke_len);
	}
	if (native_pick(&t->rng, 4) == 0) {
		check_decoded(t, cs, &d);
		if (d.len) {
			t->n_bad++;
			t->bad[cs->in.op]++;
			if (t->n_examples[cs->in.op]++ < MAX_EXAMPLES)
				print_example(cs, &d, &h);
		}
	}
	native_run(&cs->before, &h);
	guest_run(t, cs, &o);
	compare(t, cs, &h, &o, &d);
	t->n_cases++;
	t->n_faults += h.vector != NATIVE_NO_FAULT;
	if (!d.len)
		return;
	t->n_bad++;
	t->bad[cs->in.op]++;
	if (t->n_examples[cs->in.op]++ < MAX_EXAMPLES)
		print_example(cs, &d, &h);
}

/* Fresh contents for both copies of the data pages. */
static void refill(struct test *t)
{
	for (unsigned i = 0; i < NATIVE_DATA_BYTES; i += 8) {
		uint64_t v = native_random(&t->rng);

		if (!(i & 64))
			v &= native_random(&t->rng) & native_random(&t->rng);
		memcpy((void *)(uintptr_t)(NATIVE_DATA + i), &v, 8);
	}
	memcpy(t->ram + GPA_DATA, (void *)(uintptr_t)NATIVE_DATA, NATIVE_DATA_BYTES);
}

static void find_host_features(struct test *t)
{
	__builtin_cpu_init();
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

static unsigned long env_number(const char *name, unsigned long def)
{
	const char *v = getenv(name);

	return v && *v ? strtoul(v, NULL, 0) : def;
}

int main(int argc, char **argv)
{
	static struct test t;
	static struct native_case cs;
	static struct native_pool pool;
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 0) : env_number("MAYFLY_CASES", 300000);
	unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 0) : env_number("MAYFLY_SEED", 1);
	const char *only = argc > 3 ? argv[3] : getenv("MAYFLY_OP");
	struct native_filter filter = { &t, accept_insn };
	unsigned n_ops = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!native_init()) {
		printf("no AVX state in signal frames here: skipped\n");
		return 77;
	}
	if (!guest_init(&t)) {
		printf("cannot set up the software processor\n");
		return 1;
	}
	t.strict = env_number("MAYFLY_STRICT", 0);
	t.rng.s = seed * 0x9e3779b97f4a7c15ull | 1;
	if (only && *only) {
		t.only = op_by_name(only);
		if (!t.only) {
			printf("no operation %s\n", only);
			return 2;
		}
	}
	find_host_features(&t);
	native_fill_pool(&t.rng, &filter, &pool, POOL_TRIES);
	while (t.n_cases < n) {
		if (t.n_insns % 64 == 0)
			refill(&t);
		native_make_case(&t.rng, &filter, &pool, &cs);
		t.n_insns++;
		t.seen[cs.in.op]++;
		for (unsigned i = 0; i < STATES_PER_INSN; i++) {
			if (i)
				native_make_state(&t.rng, &cs);
			native_set_code(cs.in.bytes, cs.in.len);
			memset(t.ram + GPA_CODE, 0xcc, 4096);
			memcpy(t.ram + GPA_CODE + (NATIVE_INSN - NATIVE_CODE), cs.in.bytes, cs.in.len);
			run_case(&t, &cs);
		}
	}
	for (unsigned i = 0; i < X86_N_OPS; i++) {
		n_ops += t.seen[i] != 0;
		if (t.bad[i])
			printf("%8lu of %lu differ: %s\n", t.bad[i], t.seen[i] * STATES_PER_INSN,
			       x86_op_name(i));
	}
	printf("seed %lu: %lu cases of %u operations, %lu faults, %lu mismatches\n", seed, t.n_cases,
	       n_ops, t.n_faults, t.n_bad);
	return t.n_bad != 0;
}
