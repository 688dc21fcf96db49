/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x87's transcendental functions: F2XM1, FYL2X, FYL2XP1, FPTAN, FPATAN, FSIN, FCOS, FSINCOS.
 *
 * Their results are not defined to the last bit, and processors differ. On an x86 host its own
 * instruction is executed on a private x87 state with the guest's control word, so that results,
 * flags and condition codes are those of translated code on the same host. FNSAVE takes the
 * outcome without waiting, hence an unmasked exception stays a flag and never traps here.
 *
 * On other hosts the C library's long double functions are used: rounding is to nearest, flags
 * beyond invalid, denormal, division by zero and precision are not raised, C1 is 0.
 *
 * Refs: Intel SDM vol. 1, "Transcendental Instruction Accuracy"; vol. 2.
 */
#include "accel/tcg/interp/x87.h"

struct outcome {
	uint16_t fsw;     /* exception flags, C0-C3 */
	bool done;        /* results are to be used */
	struct fp80 r[2]; /* new ST(0), ST(1) */
};

#if defined(__x86_64__) || defined(__i386__)

struct fnsave_image {
	uint32_t env[7];
	uint8_t st[8][10];
} __attribute__((packed));

#define EXECUTE(insn)                                                                             \
	__asm__ volatile("fninit\n\tfldt %2\n\tfldt %1\n\tfldcw %3\n\t" insn "\n\tfnsave %0"      \
			 : "=m"(img)                                                              \
			 : "m"(a), "m"(b), "m"(fcw)                                               \
			 : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)")

static struct outcome execute(unsigned op, struct fp80 a, struct fp80 b, uint16_t fcw, int depth)
{
	struct outcome o = { 0 };
	struct fnsave_image img;
	unsigned top;

	switch (op) {
	case X86_F2XM1: EXECUTE("f2xm1"); break;
	case X86_FYL2X: EXECUTE("fyl2x"); break;
	case X86_FYL2XP1: EXECUTE("fyl2xp1"); break;
	case X86_FPTAN: EXECUTE("fptan"); break;
	case X86_FPATAN: EXECUTE("fpatan"); break;
	case X86_FSIN: EXECUTE("fsin"); break;
	case X86_FCOS: EXECUTE("fcos"); break;
	default: EXECUTE("fsincos");
	}
	o.fsw = (uint16_t)img.env[1];
	top = o.fsw >> 11 & 7;
	for (unsigned i = 0; i < 2; i++) {
		memcpy(&o.r[i].sig, img.st[i], 8);
		memcpy(&o.r[i].se, img.st[i] + 8, 2);
	}
	/* Two values were pushed: TOP was 6. C2 (out of range) leaves the operand alone. */
	o.done = depth == 0 || top == ((6u - (unsigned)depth) & 7);
	return o;
}

#else
#include <math.h>

static long double to_native(struct fp80 v)
{
	struct fp_num n = fp_unpack80(v);
	long double r;

	switch (n.cls) {
	case FP_CL_ZERO: r = 0; break;
	case FP_CL_INF: r = INFINITY; break;
	default: r = ldexpl((long double)(uint64_t)(n.sig >> 64), n.exp - 63);
	}
	return n.sign ? -r : r;
}

static struct fp80 from_native(long double v, struct fp_env *env)
{
	struct fp_num n = { .cls = FP_CL_FINITE, .sign = signbit(v) };
	int exp;

	if (isnan(v)) {
		env->flags |= FP_IE;
		n = fp_num_default_nan();
	} else if (isinf(v)) {
		n.cls = FP_CL_INF;
	} else if (v == 0) {
		n.cls = FP_CL_ZERO;
	} else {
		n.sig = (__uint128_t)(uint64_t)ldexpl(frexpl(fabsl(v), &exp), 64) << 64;
		n.exp = exp - 1;
		while (!(n.sig >> 127)) {
			n.sig <<= 1;
			n.exp--;
		}
		env->flags |= FP_PE;
	}
	return fp_pack80(&n, env);
}

static struct outcome execute(unsigned op, struct fp80 a, struct fp80 b, uint16_t fcw, int depth)
{
	struct fp_env env = { .masked = FP_ALL, .prec = 64, .x87 = true };
	bool two = op == X86_FYL2X || op == X86_FYL2XP1 || op == X86_FPATAN;
	struct fp_num x = fp_unpack80(a), y = fp_unpack80(b), nan;
	struct outcome o = { .done = true };
	long double p, q = 0;

	if (x.denormal || (two && y.denormal))
		env.flags |= FP_DE;
	if (x.cls >= FP_CL_QNAN || (two && y.cls >= FP_CL_QNAN)) {
		nan = fp_num_add(x, two ? y : x, &env);
		o.r[0] = o.r[1] = fp_pack80(&nan, &env);
		goto out;
	}
	p = to_native(a);
	if (two)
		q = to_native(b);
	if ((op == X86_FSIN || op == X86_FCOS || op == X86_FSINCOS || op == X86_FPTAN) &&
	    x.cls == FP_CL_FINITE && x.exp >= 63) {
		o.fsw = X87_C2;
		o.done = false;
		return o;
	}
	switch (op) {
	case X86_F2XM1: o.r[0] = from_native(expm1l(p * logl(2)), &env); break;
	case X86_FYL2X:
		if (x.cls == FP_CL_ZERO && y.cls != FP_CL_ZERO)
			env.flags |= FP_ZE;
		o.r[0] = from_native(q * log2l(p), &env);
		break;
	case X86_FYL2XP1: o.r[0] = from_native(q * log1pl(p) / logl(2), &env); break;
	case X86_FPATAN: o.r[0] = from_native(atan2l(q, p), &env); break;
	case X86_FSIN: o.r[0] = from_native(sinl(p), &env); break;
	case X86_FCOS: o.r[0] = from_native(cosl(p), &env); break;
	case X86_FPTAN:
		o.r[1] = from_native(tanl(p), &env);
		o.r[0] = (struct fp80){ 1ull << 63, 0x3fff };
		break;
	default:
		o.r[1] = from_native(sinl(p), &env);
		o.r[0] = from_native(cosl(p), &env);
	}
out:
	o.fsw |= env.flags;
	o.done = !(env.flags & FP_PRE & ~fcw);
	return o;
}
#endif

void x87_trans(struct cpu *c, const struct x86_insn *in)
{
	bool two = in->op == X86_FYL2X || in->op == X86_FYL2XP1 || in->op == X86_FPATAN;
	bool pushes = in->op == X86_FPTAN || in->op == X86_FSINCOS;
	bool reduces = pushes || in->op == X86_FSIN || in->op == X86_FCOS;
	struct outcome o;

	x87_begin(c);
	x87_note(c, in);
	if (reduces)
		x87_set_cc(c, X87_C2, 0);
	if (x87_empty(c, 0) || (two && x87_empty(c, 1)) || (pushes && !x87_empty(c, 7))) {
		bool overflow = !x87_empty(c, 0) && !two;

		if (!x87_stack_fault(c, overflow))
			return;
		if (two) {
			x87_pop(c);
			x87_set(c, 0, x87_default_nan);
			return;
		}
		x87_set(c, 0, x87_default_nan);
		if (pushes)
			x87_push(c, x87_default_nan);
		return;
	}
	o = execute(in->op, x87_get(c, 0), x87_get(c, two ? 1 : 0), c->xs.fcw,
		    pushes ? 1 : two ? -1 : 0);
	if (reduces)
		x87_set_cc(c, X87_C2, o.fsw & X87_C2);
	x87_flag(c, o.fsw & FP_ALL, o.fsw & X87_C1);
	if (!o.done)
		return;
	if (two)
		x87_pop(c);
	if (!pushes) {
		x87_set(c, 0, o.r[0]);
		return;
	}
	x87_set(c, 0, o.r[1]);
	x87_push(c, o.r[0]);
}
