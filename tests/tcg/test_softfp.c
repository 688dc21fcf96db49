/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft-float core against this machine's SSE, FMA, F16C and x87 units: results, flags and
 * rounding direction, in every rounding mode, with DAZ and FTZ, precision control, exceptions
 * masked or not, on operands biased to the special cases. No mismatch is tolerated.
 *
 * MAYFLY_CASES=n sets the cases per operation. Elsewhere than on x86-64 there is nothing to
 * compare with and the test is skipped.
 */
#include "accel/tcg/interp/softfp.h"
#include "tests/tcg/fpgen.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifndef __x86_64__
int main(void)
{
	return 77;
}
#else

static struct rng rng = { 1 };
static unsigned n_bad;
static sigjmp_buf trap;
static volatile uint32_t trap_mxcsr;

static void on_fpe(int sig, siginfo_t *si, void *ctx)
{
	trap_mxcsr = ((ucontext_t *)ctx)->uc_mcontext.fpregs->mxcsr;
	siglongjmp(trap, 1);
}

struct result {
	uint64_t val;
	unsigned flags;
	bool trapped;
};

enum op {
	ADD, SUB, MUL, DIV, MIN, MAX, SQRT, COMI, UCOMI, TO_OTHER, TO_I32, TO_I64, TRUNC_I32,
	TRUNC_I64, FROM_I32, FROM_I64, RINT, FMADD, FMADD213, FMADD231, FNMSUB, TO_HALF, FROM_HALF,
	N_OPS
};
static const char *const op_names[] = {
	"add", "sub", "mul", "div", "min", "max", "sqrt", "comi", "ucomi", "other", "i32", "i64", "ti32",
	"ti64", "fi32", "fi64", "rint", "fma132", "fma213", "fma231", "fnmsub", "tohalf", "fromhalf",
};

#define RUN(insn)                                                                                  \
	__asm__ volatile("ldmxcsr %2\n\tmovq %3, %%xmm0\n\tmovq %4, %%xmm1\n\tmovq %5, %%xmm2\n\t" \
			 insn "\n\tstmxcsr %1\n\tmovl $0x1f80, -4(%%rsp)\n\tldmxcsr -4(%%rsp)"     \
			 : "=&a"(res.val), "=m"(csr_out)                                           \
			 : "m"(csr), "r"(a), "r"(b), "r"(c)                                        \
			 : "xmm0", "xmm1", "xmm2", "cc", "memory")
#define OUT0 "\n\tmovq %%xmm0, %0"
#define FLAGS "\n\tpushfq\n\tpopq %0"
#define RUN2(insn) do { if (d) RUN(insn "d" " %%xmm1, %%xmm0" OUT0); \
			else RUN(insn "s" " %%xmm1, %%xmm0" OUT0); } while (0)

static struct result native(enum op op, bool d, uint64_t a, uint64_t b, uint64_t c, uint32_t csr)
{
	struct result res = { 0 };
	uint32_t csr_out = 0;

	if (sigsetjmp(trap, 0)) {
		res.trapped = true;
		res.flags = trap_mxcsr & FP_ALL;
		return res;
	}
	switch (op) {
	case ADD: RUN2("adds"); break;
	case SUB: RUN2("subs"); break;
	case MUL: RUN2("muls"); break;
	case DIV: RUN2("divs"); break;
	case MIN: RUN2("mins"); break;
	case MAX: RUN2("maxs"); break;
	case SQRT: RUN2("sqrts"); break;
	case COMI:
		if (d) RUN("comisd %%xmm1, %%xmm0" FLAGS);
		else RUN("comiss %%xmm1, %%xmm0" FLAGS);
		res.val &= 0x45;
		break;
	case UCOMI:
		if (d) RUN("ucomisd %%xmm1, %%xmm0" FLAGS);
		else RUN("ucomiss %%xmm1, %%xmm0" FLAGS);
		res.val &= 0x45;
		break;
	case TO_OTHER:
		if (d) RUN("cvtsd2ss %%xmm1, %%xmm0" OUT0);
		else RUN("cvtss2sd %%xmm1, %%xmm0" OUT0);
		break;
	case TO_I32:
		if (d) RUN("cvtsd2si %%xmm1, %k0");
		else RUN("cvtss2si %%xmm1, %k0");
		break;
	case TO_I64:
		if (d) RUN("cvtsd2si %%xmm1, %0");
		else RUN("cvtss2si %%xmm1, %0");
		break;
	case TRUNC_I32:
		if (d) RUN("cvttsd2si %%xmm1, %k0");
		else RUN("cvttss2si %%xmm1, %k0");
		break;
	case TRUNC_I64:
		if (d) RUN("cvttsd2si %%xmm1, %0");
		else RUN("cvttss2si %%xmm1, %0");
		break;
	case FROM_I32:
		if (d) RUN("cvtsi2sdl %k4, %%xmm0" OUT0);
		else RUN("cvtsi2ssl %k4, %%xmm0" OUT0);
		break;
	case FROM_I64:
		if (d) RUN("cvtsi2sdq %4, %%xmm0" OUT0);
		else RUN("cvtsi2ssq %4, %%xmm0" OUT0);
		break;
	case RINT:
		if (d) RUN("roundsd $4, %%xmm1, %%xmm0" OUT0);
		else RUN("roundss $4, %%xmm1, %%xmm0" OUT0);
		break;
	case FMADD:
		if (d) RUN("vfmadd132sd %%xmm1, %%xmm2, %%xmm0" OUT0);
		else RUN("vfmadd132ss %%xmm1, %%xmm2, %%xmm0" OUT0);
		break;
	case FMADD213:
		if (d) RUN("vfmadd213sd %%xmm2, %%xmm1, %%xmm0" OUT0);
		else RUN("vfmadd213ss %%xmm2, %%xmm1, %%xmm0" OUT0);
		break;
	case FMADD231:
		if (d) RUN("vfmadd231sd %%xmm1, %%xmm0, %%xmm2\n\tmovq %%xmm2, %0");
		else RUN("vfmadd231ss %%xmm1, %%xmm0, %%xmm2\n\tmovq %%xmm2, %0");
		break;
	case FNMSUB:
		if (d) RUN("vfnmsub213sd %%xmm2, %%xmm1, %%xmm0" OUT0);
		else RUN("vfnmsub213ss %%xmm2, %%xmm1, %%xmm0" OUT0);
		break;
	case TO_HALF: RUN("vcvtps2ph $4, %%xmm1, %%xmm0" OUT0); break;
	case FROM_HALF: RUN("vcvtph2ps %%xmm1, %%xmm0" OUT0); break;
	default: break;
	}
	res.flags = csr_out & FP_ALL;
	return res;
}

static struct result ours(enum op op, bool d, uint64_t a, uint64_t b, uint64_t c, uint32_t csr)
{
	struct fp_env env = { .round = csr >> 13 & 3, .masked = csr >> 7 & FP_ALL,
			      .daz = csr >> 6 & 1, .ftz = (csr >> 15 & 1) && (csr & 0x800) };
	const struct fp_fmt *f = d ? &fp_f64 : &fp_f32, *other = d ? &fp_f32 : &fp_f64;
	static const enum fp_op fp_ops[] = { FP_OP_ADD, FP_OP_SUB, FP_OP_MUL, FP_OP_DIV, FP_OP_MIN,
					     FP_OP_MAX, FP_OP_SQRT };
	static const uint8_t relation_flags[9] = { [FP_LESS] = 1, [FP_EQUAL] = 0x40,
						   [FP_UNORDERED] = 0x45 };
	struct result r = { 0 };
	struct fp_num x, y;

	switch (op) {
	case COMI:
	case UCOMI:
		x = fp_unpack(f, a, &env);
		y = fp_unpack(f, b, &env);
		r.val = relation_flags[fp_num_compare(x, y, op == UCOMI, &env)];
		break;
	case TO_OTHER: r.val = fp_convert(other, f, b, &env); break;
	case TO_I32:
		r.val = (uint32_t)fp_num_to_int(fp_unpack(f, b, &env), 32, env.round, &env);
		break;
	case TO_I64:
		r.val = (uint64_t)fp_num_to_int(fp_unpack(f, b, &env), 64, env.round, &env);
		break;
	case TRUNC_I32:
		r.val = (uint32_t)fp_num_to_int(fp_unpack(f, b, &env), 32, FP_TRUNC, &env);
		break;
	case TRUNC_I64:
		r.val = (uint64_t)fp_num_to_int(fp_unpack(f, b, &env), 64, FP_TRUNC, &env);
		break;
	case FROM_I32:
		x = fp_num_from_int((int32_t)b);
		r.val = fp_pack(f, &x, &env);
		break;
	case FROM_I64:
		x = fp_num_from_int((int64_t)b);
		r.val = fp_pack(f, &x, &env);
		break;
	case RINT:
		x = fp_num_rint(fp_unpack(f, b, &env), &env);
		r.val = fp_pack(f, &x, &env);
		break;
	case FMADD: case FMADD231: r.val = fp_fma(f, a, b, c, false, false, &env); break;
	case FMADD213: r.val = fp_fma(f, b, a, c, false, false, &env); break;
	case FNMSUB: r.val = fp_fma(f, b, a, c, true, true, &env); break;
	case TO_HALF:
		env.ftz = false;
		r.val = fp_convert(&fp_f16, &fp_f32, (uint32_t)b, &env);
		break;
	case FROM_HALF:
		env.daz = false;
		r.val = fp_convert(&fp_f32, &fp_f16, b, &env);
		env.flags &= ~FP_DE;
		break;
	default: r.val = fp_arith(f, fp_ops[op], a, b, &env);
	}
	if (env.flags & FP_PRE & ~env.masked)
		env.flags &= FP_PRE;
	r.flags = env.flags;
	r.trapped = env.flags & ~env.masked;
	return r;
}

static void check_sse(enum op op, unsigned n)
{
	for (unsigned i = 0; i < n && n_bad < 40; i++) {
		bool d = rng_next(&rng) & 1;
		uint64_t v[3];
		uint32_t csr = (uint32_t)rng_next(&rng) & 0xe040;
		struct result h, s;

		csr |= i % 16 ? 0x1f80 : (uint32_t)rng_next(&rng) & 0x1f80;
		for (unsigned k = 0; k < 3; k++)
			v[k] = d ? gen_f64(&rng) : gen_f32(&rng);
		if (op == FROM_I32 || op == FROM_I64)
			v[1] = gen_frac(&rng, 64) >> rng_below(&rng, 64);
		if (op == FROM_HALF) {
			v[1] = rng_next(&rng) & 0xffff;
			d = false;
		}
		if (op == TO_HALF) {
			d = false;
			v[1] = gen_f32(&rng);
			if (rng_next(&rng) & 1) /* in or near the range of binary16 */
				v[1] = (v[1] & 0x807fffff) | (100 + rng_below(&rng, 46)) << 23;
		}
		if (op >= FMADD && op <= FNMSUB && rng_next(&rng) & 1) { /* provoke cancellation */
			struct fp_env e = { .masked = FP_ALL };

			v[2] = fp_arith(d ? &fp_f64 : &fp_f32, FP_OP_MUL, v[0], v[1], &e) ^
			       1ull << (d ? 63 : 31);
		}
		h = native(op, d, v[0], v[1], v[2], csr);
		s = ours(op, d, v[0], v[1], v[2], csr);
		if (!d && op != TO_OTHER && op != TO_I64 && op != TRUNC_I64)
			h.val = (uint32_t)h.val;
		if (d && op == TO_OTHER)
			h.val = (uint32_t)h.val;
		if (op == TO_HALF)
			h.val &= 0xffff;
		if (h.flags != s.flags || h.trapped != s.trapped ||
		    (!h.trapped && h.val != s.val)) {
			n_bad++;
			printf("%s%c %016llx %016llx %016llx csr %04x: host %016llx %02x%s ours "
			       "%016llx %02x%s\n", op_names[op], "sd"[d],
			       (unsigned long long)v[0], (unsigned long long)v[1],
			       (unsigned long long)v[2], csr, (unsigned long long)h.val, h.flags,
			       h.trapped ? "!" : "", (unsigned long long)s.val, s.flags,
			       s.trapped ? "!" : "");
		}
	}
}

/* --- x87; FNSAVE takes everything without waiting, so that nothing ever traps --- */
struct fsave {
	uint32_t cw, sw, tw, fip, fcs_fop, fdp, fds;
	uint8_t st[80];
} __attribute__((packed));

enum xop { XADD, XSUB, XSUBR, XMUL, XDIV, XDIVR, XSQRT, XRINT, XCOM, XUCOM, XLD32, XLD64, XST32,
	   XST64, XIST16, XIST32, XIST64, XISTT, N_XOPS };
static const char *const xop_names[] = { "fadd", "fsub", "fsubr", "fmul", "fdiv", "fdivr", "fsqrt",
	"frndint", "fcom", "fucom", "fld32", "fld64", "fst32", "fst64", "fist16", "fist32", "fist64",
	"fisttp" };

static struct fp80 gen_f80(struct rng *r)
{
	struct fp80 v = { gen_frac(r, 63) | 1ull << 63, 0 };
	unsigned e = gen_exp(r, 15);

	if (!e || !rng_below(r, 50))
		v.sig = gen_frac(r, 64);
	v.se = (uint16_t)(e | (rng_next(r) & 0x8000));
	return v;
}

#define XRUN(insn)                                                                                 \
	__asm__ volatile("fninit\n\tfldt %3\n\tfldt %2\n\tfldcw %4\n\t" insn "\n\tfnsave %0"       \
			 : "=m"(img), "+m"(mem)                                                    \
			 : "m"(a), "m"(b), "m"(cw)                                                 \
			 : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)",    \
			   "memory")

static void check_x87(enum xop op, unsigned n)
{
	for (unsigned i = 0; i < n && n_bad < 40; i++) {
		struct fp80 a = gen_f80(&rng), b = gen_f80(&rng), got = { 0 };
		uint64_t mem = rng_next(&rng) & 1 ? gen_f64(&rng) : gen_f32(&rng);
		uint64_t mem0 = mem, val = mem;
		uint16_t cw = (uint16_t)(rng_next(&rng) & 0xc00), pc = (uint16_t)rng_below(&rng, 3);
		static const uint8_t precs[] = { 24, 53, 64 };
		struct fsave img = { 0 };
		struct fp_env env = { .x87 = true, .round = cw >> 10, .prec = precs[pc] };
		unsigned sw, cc = 0;
		struct fp_num x, y;
		bool bad, store = false;

		pc = pc ? pc + 1 : 0;
		cw |= (uint16_t)(pc << 8 | (i % 4 ? 0x3f : rng_next(&rng) & 0x3f));
		env.masked = cw & 0x3f;
		if (op >= XST32 && rng_next(&rng) & 1) { /* near the target's range */
			unsigned e = 16383 - 160 + rng_below(&rng, 320);

			a.se = (uint16_t)((a.se & 0x8000) | e);
			a.sig |= 1ull << 63;
		}
		switch (op) {
		case XADD: XRUN("fadd %%st(1)"); break;
		case XSUB: XRUN("fsub %%st(1)"); break;
		case XSUBR: XRUN("fsubr %%st(1)"); break;
		case XMUL: XRUN("fmul %%st(1)"); break;
		case XDIV: XRUN("fdiv %%st(1)"); break;
		case XDIVR: XRUN("fdivr %%st(1)"); break;
		case XSQRT: XRUN("fsqrt"); break;
		case XRINT: XRUN("frndint"); break;
		case XCOM: XRUN("fcom %%st(1)"); break;
		case XUCOM: XRUN("fucom %%st(1)"); break;
		case XLD32: XRUN("flds %1"); break;
		case XLD64: XRUN("fldl %1"); break;
		case XST32: XRUN("fsts %1"); break;
		case XST64: XRUN("fstl %1"); break;
		case XIST16: XRUN("fists %1"); break;
		case XIST32: XRUN("fistl %1"); break;
		case XIST64: XRUN("fistpll %1"); break;
		case XISTT: XRUN("fisttpll %1"); break;
		default: break;
		}
		memcpy(&got.sig, img.st, 8);
		memcpy(&got.se, img.st + 8, 2);
		sw = img.sw;
		x = fp_unpack80(a);
		y = fp_unpack80(b);
		if (op >= XRINT)
			env.prec = 64;
		bad = false;
		switch (op) {
		case XCOM: case XUCOM:
			cc = fp_num_compare(x, y, op == XUCOM, &env);
			cc = cc == FP_LESS      ? 0x100
			     : cc == FP_EQUAL   ? 0x4000
			     : cc == FP_GREATER ? 0
						: 0x4500;
			if (!(env.flags & FP_PRE & ~env.masked))
				bad = (sw & 0x4500) != cc;
			break;
		case XLD32: case XLD64: case XRINT: case XADD: case XSUB: case XSUBR: case XMUL:
		case XDIV: case XDIVR: case XSQRT: {
			struct fp80 r;

			if (op == XLD32)
				x = fp_num_convert(fp_unpack(&fp_f32, (uint32_t)mem0, &env), &env);
			else if (op == XLD64)
				x = fp_num_convert(fp_unpack(&fp_f64, mem0, &env), &env);
			else if (op == XRINT) {
				if (x.denormal)
					env.flags |= FP_DE;
				x = fp_num_rint(x, &env);
			} else if (op == XADD)
				x = fp_num_add(x, y, &env);
			else if (op == XSUB)
				x = fp_num_sub(x, y, &env);
			else if (op == XSUBR)
				x = fp_num_sub(y, x, &env);
			else if (op == XMUL)
				x = fp_num_mul(x, y, &env);
			else if (op == XDIV)
				x = fp_num_div(x, y, &env);
			else if (op == XDIVR)
				x = fp_num_div(y, x, &env);
			else
				x = fp_num_sqrt(x, &env);
			bool up = env.up;

			r = fp_pack80(&x, &env);
			if (op == XRINT)
				env.up = up;
			if ((op == XLD32 || op == XLD64) && !(env.flags & FP_IE & ~env.masked)) {
				; /* an unmasked DE does not stop a load */
			} else if (env.flags & FP_PRE & ~env.masked) {
				env.flags &= FP_PRE;
				env.up = false;
				r = a;
			}
			bad = r.sig != got.sig || r.se != got.se || env.up != (sw >> 9 & 1);
			break;
		}
		case XST32: case XST64:
			x.denormal = false; /* stores raise no DE */
			x = fp_num_convert(x, &env);
			val = fp_pack(op == XST32 ? &fp_f32 : &fp_f64, &x, &env);
			store = true;
			if (op == XST32)
				val |= mem0 & ~0xffffffffull;
			break;
		case XIST16:
			val = (mem0 & ~0xffffull) | (uint16_t)fp_num_to_int(x, 16, env.round, &env);
			store = true;
			break;
		case XIST32:
			val = (mem0 & ~0xffffffffull) |
			      (uint32_t)fp_num_to_int(x, 32, env.round, &env);
			store = true;
			break;
		case XIST64:
			val = (uint64_t)fp_num_to_int(x, 64, env.round, &env);
			store = true;
			break;
		default:
			val = (uint64_t)fp_num_to_int(x, 64, FP_TRUNC, &env);
			store = true;
		}
		if (store) {
			if (env.flags & FP_PRE & ~env.masked) {
				env.flags &= FP_PRE;
				env.up = false;
			}
			if (env.flags & ~env.masked & ~FP_PE) { /* nothing is stored or rounded */
				val = mem0;
				env.flags &= ~FP_PE;
				env.up = false;
			}
			bad = val != mem || env.up != (sw >> 9 & 1);
		}
		if (bad || (sw & 0x3f) != env.flags) {
			n_bad++;
			printf("%s %04x:%016llx %04x:%016llx mem %016llx cw %04x: host %04x:%016llx "
			       "mem %016llx sw %04x; ours flags %02x up %d mem %016llx\n",
			       xop_names[op], a.se, (unsigned long long)a.sig, b.se,
			       (unsigned long long)b.sig, (unsigned long long)mem0, cw, got.se,
			       (unsigned long long)got.sig, (unsigned long long)mem, sw, env.flags,
			       env.up, (unsigned long long)val);
		}
	}
}

int main(void)
{
	const char *cases = getenv("MAYFLY_CASES"), *seed = getenv("MAYFLY_SEED");
	unsigned n = cases ? (unsigned)strtoul(cases, NULL, 0) : 60000, total = 0;
	struct sigaction sa = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO | SA_NODEFER };

	if (seed)
		rng.s = strtoull(seed, NULL, 0);
	sigaction(SIGFPE, &sa, NULL);
	__builtin_cpu_init();
	for (enum op op = 0; op < N_OPS; op++) {
		unsigned before = n_bad;

		if (op >= FMADD && op <= FNMSUB && !__builtin_cpu_supports("fma"))
			continue;
		if (op >= TO_HALF && !__builtin_cpu_supports("avx2"))
			continue;
		check_sse(op, n);
		total += n;
		if (n_bad > before)
			printf("-- %s: %u\n", op_names[op], n_bad - before);
		if (getenv("MAYFLY_ALL"))
			n_bad = 0;
	}
	for (enum xop op = 0; op < N_XOPS; op++) {
		check_x87(op, n);
		total += n;
		if (getenv("MAYFLY_ALL"))
			n_bad = 0;
	}
	printf("%u cases, %u mismatches\n", total, n_bad);
	return n_bad != 0;
}
#endif
