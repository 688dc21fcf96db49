/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking, rounding, packing, and the arithmetic on unpacked numbers; see softfp.h.
 *
 * Exactness. Significands of operands have at most 64 bits, at the top of 128. Sums, quotients
 * and roots keep at least 64 bits more than any format needs, and OR everything below into the
 * last bit (sticky), which is enough for every rounding. Products are exact; the sum in a fused
 * multiply-add is taken of the exact product, which for binary64 leaves 22 low bits free.
 *
 * Tininess is detected after rounding, as x86 does; a masked underflow is flagged if the result
 * is inexact, too, an unmasked one always.
 *
 * NaN results. SSE: the first operand that is a NaN. x87: a QNaN wins over an SNaN; of two of a
 * kind the one with the larger significand, then the positive one. Always quieted.
 *
 * Refs: Intel SDM vol. 1, "Floating-Point Exceptions", "Operating on NaNs"; AMD APM vol. 1,
 *       "Floating-Point Rounding", "x87 Floating-Point Exceptions"; IEEE 754-2008 §4, §7.
 */
#include "accel/tcg/interp/softfp.h"

const struct fp_fmt fp_f16 = { 11, 5 }, fp_f32 = { 24, 8 }, fp_f64 = { 53, 11 };

enum { F80_EMAX = 16383, F80_EMIN = -16382, F80_UNMASKED_BIAS = 24576 };
#define TOP_BIT ((__uint128_t)1 << 127)
#define QUIET_BIT ((__uint128_t)1 << 126)

static unsigned clz128(__uint128_t v)
{
	uint64_t hi = (uint64_t)(v >> 64);

	return hi ? (unsigned)__builtin_clzll(hi) : 64 + (unsigned)__builtin_clzll((uint64_t)v);
}

static void normalize(struct fp_num *n)
{
	unsigned shift = clz128(n->sig);

	n->sig <<= shift;
	n->exp -= (int32_t)shift;
}

static __uint128_t shift_right_sticky(__uint128_t v, uint32_t n)
{
	if (!n)
		return v;
	if (n >= 128)
		return v != 0;
	return v >> n | ((v << (128 - n)) != 0);
}

struct fp_num fp_unpack(const struct fp_fmt *f, uint64_t v, const struct fp_env *env)
{
	unsigned fbits = f->prec - 1u, emask = (1u << f->ebits) - 1;
	uint64_t frac = v & ((1ull << fbits) - 1);
	unsigned e = (unsigned)(v >> fbits) & emask;
	struct fp_num n = { .sign = v >> (fbits + f->ebits) & 1 };

	if (e == emask) {
		n.cls = !frac ? FP_CL_INF : frac >> (fbits - 1) & 1 ? FP_CL_QNAN : FP_CL_SNAN;
		n.sig = TOP_BIT | (__uint128_t)frac << (127 - fbits);
	} else if (e) {
		n.cls = FP_CL_FINITE;
		n.exp = (int32_t)e - (int32_t)(emask >> 1);
		n.sig = TOP_BIT | (__uint128_t)frac << (127 - fbits);
	} else if (frac && !env->daz) {
		n.cls = FP_CL_FINITE;
		n.denormal = true;
		n.exp = 1 - (int32_t)(emask >> 1);
		n.sig = (__uint128_t)frac << (127 - fbits);
		normalize(&n);
	}
	return n;
}

struct fp_num fp_unpack80(struct fp80 v)
{
	struct fp_num n = { .sign = v.se >> 15, .sig = (__uint128_t)v.sig << 64 };
	unsigned e = v.se & 0x7fff;

	n.exp = (int32_t)(e ? e : 1) - F80_EMAX;
	if (!e) {
		if (v.sig) {
			n.cls = FP_CL_FINITE;
			n.denormal = true;
			normalize(&n);
		}
	} else if (!(v.sig >> 63)) {
		n.cls = FP_CL_UNSUP;
	} else if (e == 0x7fff) {
		n.cls = !(v.sig << 1) ? FP_CL_INF : v.sig >> 62 & 1 ? FP_CL_QNAN : FP_CL_SNAN;
	} else {
		n.cls = FP_CL_FINITE;
	}
	return n;
}

struct rounded {
	__uint128_t kept;
	bool inexact, up;
};

/* sig without its last drop bits (64 <= drop), rounded. */
static struct rounded round_off(__uint128_t sig, uint32_t drop, bool sign, enum fp_round mode)
{
	struct rounded r = { 0 };
	__uint128_t rest, half = TOP_BIT; /* both scaled so that one unit kept is 2^128 */

	if (drop > 128) {
		rest = shift_right_sticky(sig, drop - 128);
	} else if (drop == 128) {
		rest = sig;
	} else {
		r.kept = sig >> drop;
		rest = sig << (128 - drop);
	}
	if (!rest)
		return r;
	r.inexact = true;
	switch (mode) {
	case FP_NEAREST:
		r.up = rest > half || (rest == half && (r.kept & 1));
		break;
	case FP_DOWN:
		r.up = sign;
		break;
	case FP_UP:
		r.up = !sign;
		break;
	case FP_TRUNC:
		break;
	}
	r.kept += r.up;
	return r;
}

struct range {
	unsigned prec;
	int32_t emin, emax;
};

/* What goes into a format's fields: sig has prec bits, the top one clear for denormals and zero. */
struct packed {
	uint64_t sig;
	int32_t exp; /* unbiased; emax + 1 for infinity */
	bool denormal;
};

static struct packed overflow(const struct range *g, bool sign, struct fp_env *env)
{
	bool inf = env->round == FP_NEAREST || env->round == (sign ? FP_DOWN : FP_UP);

	env->flags |= FP_OE | FP_PE;
	env->up = inf;
	if (inf)
		return (struct packed){ .sig = 1ull << (g->prec - 1), .exp = g->emax + 1 };
	return (struct packed){ .sig = ~0ull >> (64 - g->prec), .exp = g->emax };
}

static struct packed underflow(const struct range *g, const struct fp_num *n, struct fp_env *env)
{
	struct rounded r;

	if (env->ftz) {
		env->flags |= FP_UE | FP_PE;
		return (struct packed){ .denormal = true };
	}
	r = round_off(n->sig, 128 - g->prec + (uint32_t)(g->emin - n->exp), n->sign, env->round);
	if (r.inexact)
		env->flags |= FP_UE | FP_PE;
	env->up = r.up;
	return (struct packed){ .sig = (uint64_t)r.kept, .exp = g->emin,
				.denormal = !(r.kept >> (g->prec - 1)) };
}

static struct packed round_finite(const struct range *g, const struct fp_num *n,
				  struct fp_env *env)
{
	struct rounded r = round_off(n->sig, 128 - g->prec, n->sign, env->round);
	struct packed p = { .exp = n->exp };

	if (r.kept >> g->prec) {
		r.kept >>= 1;
		p.exp++;
	}
	p.sig = (uint64_t)r.kept;
	if (p.exp < g->emin) {
		if (env->masked & FP_UE)
			return underflow(g, n, env);
		env->flags |= FP_UE;
		if (env->x87)
			p.exp += F80_UNMASKED_BIAS;
		if (p.exp < g->emin) { /* out of reach even so: FSCALE */
			p.sig = 0;
			p.denormal = true;
			r.inexact |= env->x87;
			r.up &= !env->x87;
		}
	} else if (p.exp > g->emax) {
		if (env->masked & FP_OE)
			return overflow(g, n->sign, env);
		env->flags |= FP_OE;
		if (env->x87)
			p.exp -= F80_UNMASKED_BIAS;
		if (p.exp > g->emax) {
			p.sig = 1ull << (g->prec - 1);
			p.exp = g->emax + 1;
			r.inexact |= env->x87;
			r.up |= env->x87;
		}
	}
	if (r.inexact)
		env->flags |= FP_PE;
	env->up = r.up;
	return p;
}

uint64_t fp_pack(const struct fp_fmt *f, const struct fp_num *n, struct fp_env *env)
{
	unsigned fbits = f->prec - 1u, emask = (1u << f->ebits) - 1;
	int32_t bias = (int32_t)(emask >> 1);
	struct range g = { f->prec, 1 - bias, bias };
	uint64_t sign = (uint64_t)n->sign << (fbits + f->ebits), e;
	struct packed p;

	switch (n->cls) {
	case FP_CL_ZERO:
		return sign;
	case FP_CL_FINITE:
		p = round_finite(&g, n, env);
		e = p.denormal ? 0 : (uint64_t)(p.exp + bias) & emask;
		return sign | e << fbits | (p.sig & ((1ull << fbits) - 1));
	case FP_CL_INF:
		return sign | (uint64_t)emask << fbits;
	default:
		return sign | (uint64_t)emask << fbits | 1ull << (fbits - 1) |
		       ((uint64_t)(n->sig >> (127 - fbits)) & ((1ull << fbits) - 1));
	}
}

struct fp80 fp_pack80(const struct fp_num *n, struct fp_env *env)
{
	struct range g = { env->prec, F80_EMIN, F80_EMAX };
	uint16_t sign = (uint16_t)(n->sign << 15);
	struct packed p;

	switch (n->cls) {
	case FP_CL_ZERO:
		return (struct fp80){ 0, sign };
	case FP_CL_FINITE:
		p = round_finite(&g, n, env);
		return (struct fp80){ p.sig << (64 - g.prec),
				      (uint16_t)(sign | (p.denormal ? 0 : p.exp + F80_EMAX)) };
	case FP_CL_INF:
		return (struct fp80){ 1ull << 63, sign | 0x7fff };
	default:
		return (struct fp80){ (uint64_t)(n->sig >> 64) | 3ull << 62, sign | 0x7fff };
	}
}

struct fp_num fp_num_default_nan(void)
{
	return (struct fp_num){ .cls = FP_CL_QNAN, .sign = true, .sig = TOP_BIT | QUIET_BIT };
}

static bool is_nan(const struct fp_num *n)
{
	return n->cls == FP_CL_QNAN || n->cls == FP_CL_SNAN;
}

static struct fp_num quiet(struct fp_num n)
{
	n.cls = FP_CL_QNAN;
	n.sig |= QUIET_BIT;
	return n;
}

static struct fp_num invalid(struct fp_env *env)
{
	env->flags |= FP_IE;
	return fp_num_default_nan();
}

/* True, with the result, if an operand is a NaN or unsupported. */
static bool nan_operands(struct fp_num *r, const struct fp_num *a, const struct fp_num *b,
			 struct fp_env *env)
{
	const struct fp_num *pick = a;

	if (a->cls == FP_CL_UNSUP || b->cls == FP_CL_UNSUP) {
		*r = invalid(env);
		return true;
	}
	if (!is_nan(a) && !is_nan(b))
		return false;
	if (a->cls == FP_CL_SNAN || b->cls == FP_CL_SNAN)
		env->flags |= FP_IE;
	if (!is_nan(a))
		pick = b;
	else if (is_nan(b) && env->x87) {
		if (a->cls != b->cls)
			pick = a->cls == FP_CL_QNAN ? a : b;
		else if (a->sig != b->sig)
			pick = a->sig > b->sig ? a : b;
		else
			pick = a->sign ? b : a;
	}
	*r = quiet(*pick);
	return true;
}

static void flag_denormals(const struct fp_num *a, const struct fp_num *b, struct fp_env *env)
{
	if (a->denormal || b->denormal)
		env->flags |= FP_DE;
}

/* Finite numbers or zeros; sig bits below bit 1 must be expendable (sticky). */
static struct fp_num add_finite(struct fp_num a, struct fp_num b, const struct fp_env *env)
{
	struct fp_num r;

	if (a.cls == FP_CL_ZERO && b.cls == FP_CL_ZERO) {
		if (a.sign != b.sign)
			a.sign = env->round == FP_DOWN;
		return a;
	}
	if (a.cls == FP_CL_ZERO)
		return b;
	if (b.cls == FP_CL_ZERO)
		return a;
	if (a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig)) {
		r = a;
		a = b;
		b = r;
	}
	r = a;
	r.exp++;
	a.sig = shift_right_sticky(a.sig, 1);
	b.sig = shift_right_sticky(b.sig, (uint32_t)(a.exp - b.exp) + 1);
	r.sig = a.sign == b.sign ? a.sig + b.sig : a.sig - b.sig;
	if (!r.sig)
		return (struct fp_num){ .sign = env->round == FP_DOWN };
	normalize(&r);
	return r;
}

struct fp_num fp_num_add(struct fp_num a, struct fp_num b, struct fp_env *env)
{
	struct fp_num r;

	if (nan_operands(&r, &a, &b, env))
		return r;
	if (a.cls == FP_CL_INF && b.cls == FP_CL_INF && a.sign != b.sign)
		return invalid(env);
	flag_denormals(&a, &b, env);
	if (a.cls == FP_CL_INF)
		return a;
	if (b.cls == FP_CL_INF)
		return b;
	return add_finite(a, b, env);
}

struct fp_num fp_num_sub(struct fp_num a, struct fp_num b, struct fp_env *env)
{
	if (!is_nan(&b))
		b.sign = !b.sign;
	return fp_num_add(a, b, env);
}

static struct fp_num mul_finite(const struct fp_num *a, const struct fp_num *b)
{
	struct fp_num r = { .cls = FP_CL_FINITE, .sign = a->sign != b->sign };

	r.exp = a->exp + b->exp + 1;
	r.sig = (__uint128_t)(uint64_t)(a->sig >> 64) * (uint64_t)(b->sig >> 64);
	normalize(&r);
	return r;
}

struct fp_num fp_num_mul(struct fp_num a, struct fp_num b, struct fp_env *env)
{
	struct fp_num r = { .sign = a.sign != b.sign };

	if (nan_operands(&r, &a, &b, env))
		return r;
	if ((a.cls == FP_CL_INF && b.cls == FP_CL_ZERO) ||
	    (a.cls == FP_CL_ZERO && b.cls == FP_CL_INF))
		return invalid(env);
	flag_denormals(&a, &b, env);
	if (a.cls == FP_CL_INF || b.cls == FP_CL_INF)
		r.cls = FP_CL_INF;
	else if (a.cls == FP_CL_FINITE && b.cls == FP_CL_FINITE)
		r = mul_finite(&a, &b);
	return r;
}

static struct fp_num div_finite(const struct fp_num *a, const struct fp_num *b)
{
	struct fp_num r = { .cls = FP_CL_FINITE, .sign = a->sign != b->sign };
	__uint128_t n = (a->sig >> 64) << 63, d = b->sig >> 64;
	__uint128_t q = n / d, rest = n % d;

	r.exp = a->exp - b->exp;
	r.sig = q << 64;
	n = rest << 64;
	r.sig |= n / d;
	r.sig |= (n % d) != 0;
	normalize(&r);
	return r;
}

struct fp_num fp_num_div(struct fp_num a, struct fp_num b, struct fp_env *env)
{
	struct fp_num r = { .sign = a.sign != b.sign };

	if (nan_operands(&r, &a, &b, env))
		return r;
	if (a.cls == b.cls && (a.cls == FP_CL_INF || a.cls == FP_CL_ZERO))
		return invalid(env);
	if (b.cls == FP_CL_ZERO) {
		if (a.cls == FP_CL_FINITE)
			env->flags |= FP_ZE;
		r.cls = FP_CL_INF;
		return r;
	}
	flag_denormals(&a, &b, env);
	if (a.cls == FP_CL_INF)
		r.cls = FP_CL_INF;
	else if (a.cls == FP_CL_FINITE && b.cls == FP_CL_FINITE)
		r = div_finite(&a, &b);
	return r;
}

struct fp_num fp_num_sqrt(struct fp_num a, struct fp_env *env)
{
	enum { BITS = 67 };
	__uint128_t x, root = 0, rest = 0;
	struct fp_num r;

	if (nan_operands(&r, &a, &a, env))
		return r;
	if (a.cls == FP_CL_ZERO)
		return a;
	if (a.sign)
		return invalid(env);
	flag_denormals(&a, &a, env);
	if (a.cls == FP_CL_INF)
		return a;
	/* Digit by digit; the radicand is in [1,4), two bits before the point and 126 after. */
	x = a.sig >> 1;
	if (a.exp & 1) {
		x = a.sig;
		a.exp--;
	}
	for (int i = 0; i < BITS; i++) {
		__uint128_t trial = root << 2 | 1;

		rest = rest << 2 | x >> 126;
		x <<= 2;
		root <<= 1;
		if (rest >= trial) {
			rest -= trial;
			root |= 1;
		}
	}
	a.sig = root << (128 - BITS) | (rest != 0);
	a.exp /= 2;
	a.denormal = false;
	return a;
}

struct fp_num fp_num_convert(struct fp_num a, struct fp_env *env)
{
	struct fp_num r;

	if (nan_operands(&r, &a, &a, env))
		return r;
	flag_denormals(&a, &a, env);
	return a;
}

struct fp_num fp_num_rint(struct fp_num a, struct fp_env *env)
{
	struct rounded r;
	struct fp_num n;

	if (nan_operands(&n, &a, &a, env))
		return n;
	env->up = false;
	if (a.cls != FP_CL_FINITE || a.exp >= 63)
		return a;
	r = round_off(a.sig, (uint32_t)(127 - a.exp), a.sign, env->round);
	if (r.inexact)
		env->flags |= FP_PE;
	env->up = r.up;
	a.cls = r.kept ? FP_CL_FINITE : FP_CL_ZERO;
	a.sig = r.kept;
	a.exp = 127;
	a.denormal = false;
	if (r.kept)
		normalize(&a);
	return a;
}

struct fp_num fp_num_from_int(int64_t v)
{
	struct fp_num n = { .cls = v ? FP_CL_FINITE : FP_CL_ZERO, .sign = v < 0, .exp = 127 };

	n.sig = v < 0 ? -(uint64_t)v : (uint64_t)v;
	if (v)
		normalize(&n);
	return n;
}

int64_t fp_num_to_int(struct fp_num a, unsigned bits, enum fp_round round, struct fp_env *env)
{
	__uint128_t limit = (__uint128_t)1 << (bits - 1);
	struct rounded r = { 0 };

	if (a.cls == FP_CL_ZERO)
		return 0;
	env->up = false;
	if (a.cls == FP_CL_FINITE && a.exp < 64)
		r = round_off(a.sig, (uint32_t)(127 - a.exp), a.sign, round);
	if (a.cls != FP_CL_FINITE || a.exp >= 64 || r.kept > limit ||
	    (r.kept == limit && !a.sign)) {
		env->flags |= FP_IE;
		return (int64_t)-(uint64_t)limit;
	}
	if (r.inexact)
		env->flags |= FP_PE;
	env->up = r.up;
	return (int64_t)(a.sign ? -(uint64_t)r.kept : (uint64_t)r.kept);
}

enum fp_relation fp_num_compare(struct fp_num a, struct fp_num b, bool quiet_nan,
				struct fp_env *env)
{
	bool less;

	if (a.cls >= FP_CL_QNAN || b.cls >= FP_CL_QNAN) {
		if (!quiet_nan || a.cls >= FP_CL_SNAN || b.cls >= FP_CL_SNAN)
			env->flags |= FP_IE;
		return FP_UNORDERED;
	}
	flag_denormals(&a, &b, env);
	if (a.cls == FP_CL_ZERO && b.cls == FP_CL_ZERO)
		return FP_EQUAL;
	if (a.cls == FP_CL_ZERO)
		return b.sign ? FP_GREATER : FP_LESS;
	if (b.cls == FP_CL_ZERO || a.sign != b.sign)
		return a.sign ? FP_LESS : FP_GREATER;
	if (a.cls == FP_CL_INF || b.cls == FP_CL_INF) {
		if (a.cls == b.cls)
			return FP_EQUAL;
		less = b.cls == FP_CL_INF;
	} else {
		if (a.exp == b.exp && a.sig == b.sig)
			return FP_EQUAL;
		less = a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig);
	}
	return less != a.sign ? FP_LESS : FP_GREATER;
}

/* MINxx and MAXxx: the second operand unless the first is certainly smaller (larger). */
static uint64_t min_max(const struct fp_fmt *f, bool max, uint64_t a, uint64_t b,
			struct fp_env *env)
{
	struct fp_num x = fp_unpack(f, a, env), y = fp_unpack(f, b, env);
	enum fp_relation rel = fp_num_compare(x, y, false, env);
	bool first = rel == (max ? FP_GREATER : FP_LESS);

	if (first)
		return x.cls == FP_CL_ZERO ? fp_pack(f, &x, env) : a;
	return y.cls == FP_CL_ZERO ? fp_pack(f, &y, env) : b;
}

uint64_t fp_arith(const struct fp_fmt *f, enum fp_op op, uint64_t a, uint64_t b,
		  struct fp_env *env)
{
	struct fp_num x = fp_unpack(f, a, env), y = fp_unpack(f, b, env), r;

	switch (op) {
	case FP_OP_ADD:
		r = fp_num_add(x, y, env);
		break;
	case FP_OP_SUB:
		r = fp_num_sub(x, y, env);
		break;
	case FP_OP_MUL:
		r = fp_num_mul(x, y, env);
		break;
	case FP_OP_DIV:
		r = fp_num_div(x, y, env);
		break;
	case FP_OP_SQRT:
		r = fp_num_sqrt(y, env);
		break;
	default:
		return min_max(f, op == FP_OP_MAX, a, b, env);
	}
	return fp_pack(f, &r, env);
}

uint64_t fp_fma(const struct fp_fmt *f, uint64_t a, uint64_t b, uint64_t c, bool neg_product,
		bool neg_c, struct fp_env *env)
{
	struct fp_num x = fp_unpack(f, a, env), y = fp_unpack(f, b, env);
	struct fp_num z = fp_unpack(f, c, env), r, p = { .sign = x.sign != y.sign };
	bool bad_product = (x.cls == FP_CL_INF && y.cls == FP_CL_ZERO) ||
			   (x.cls == FP_CL_ZERO && y.cls == FP_CL_INF);

	if (z.cls == FP_CL_SNAN)
		env->flags |= FP_IE;
	if (nan_operands(&r, &x, &y, env) || nan_operands(&r, &z, &z, env))
		return fp_pack(f, &r, env);
	p.sign ^= neg_product;
	z.sign ^= neg_c;
	if (x.cls == FP_CL_INF || y.cls == FP_CL_INF)
		p.cls = FP_CL_INF;
	if (bad_product || (p.cls == FP_CL_INF && z.cls == FP_CL_INF && p.sign != z.sign)) {
		r = invalid(env);
		return fp_pack(f, &r, env);
	}
	flag_denormals(&x, &y, env);
	flag_denormals(&z, &z, env);
	if (p.cls != FP_CL_INF && x.cls == FP_CL_FINITE && y.cls == FP_CL_FINITE) {
		bool sign = p.sign;

		p = mul_finite(&x, &y);
		p.sign = sign;
	}
	r = p.cls == FP_CL_INF ? p : z.cls == FP_CL_INF ? z : add_finite(p, z, env);
	return fp_pack(f, &r, env);
}

uint64_t fp_convert(const struct fp_fmt *to, const struct fp_fmt *from, uint64_t v,
		    struct fp_env *env)
{
	struct fp_num n = fp_num_convert(fp_unpack(from, v, env), env);

	return fp_pack(to, &n, env);
}
