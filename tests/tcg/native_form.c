/* SPDX-License-Identifier: Apache-2.0 */
#include "native_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_BUCKETS = 1 << 16, MAX_FORMS = 1 << 16, TRIES = 400 };

/* --- what makes a form --- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static uint64_t key_of(const struct x86_insn *in)
{
	unsigned pfx = in->prefix & (X86_PFX_LOCK | X86_PFX_REP | X86_PFX_REPNE);
	uint64_t h = mix(in->op, in->map | in->opcode << 8 | in->pp << 16 | in->vex_l << 20);

	h = mix(h, in->opsize | pfx << 8 | !!(in->prefix & X86_PFX_REXW) << 16 |
		   !!(in->attr & X86_AT_VEX) << 17 | in->n_opnds << 20);
	for (unsigned i = 0; i < in->n_opnds; i++) {
		const struct x86_opnd *o = &in->opnd[i];
		unsigned rc = o->kind == X86_OPND_REG ? o->rc : 0;

		if (rc == X86_RC_GPR8H)
			rc = X86_RC_GPR;
		h = mix(h, o->kind | rc << 8 | o->size << 16);
	}
	if (in->op == X86_AVX512)
		h = mix(h, 1 + in->ev + (in->mask ? 1 << 12 : 0) + (in->attr & X86_AT_EVEX ? 1 << 13 : 0) +
			   (in->opcode >= 0x71 && in->opcode <= 0x73 ? in->modrm & 0x38u : 0) * 1024);
	/* Which opcodes of a group or of x87 come to the same operation. */
	if (in->map == 4)
		h = mix(h, in->modrm & (in->modrm >= 0xc0 ? 0xf8 : 0x38));
	return h;
}

/* --- encoding --- */

static unsigned encode_opcode(const struct native_form *f, uint8_t *b, unsigned n, unsigned rxb,
			      unsigned v, bool two_byte_vex, bool plain_rex, unsigned extra)
{
	if (f->evex) {
		unsigned p2 = extra >> 1 & 7;

		b[n++] = 0x62;
		b[n++] = (uint8_t)((~rxb & 7) << 5 | (extra & 1) << 4 | f->map);
		b[n++] = (uint8_t)((unsigned)f->w << 7 | (~v & 15) << 3 | 4 | f->pp);
		p2 = f->mask ? p2 ? p2 : 1 : 0;
		b[n++] = (uint8_t)((unsigned)f->z << 7 | (unsigned)f->l << 5 | (unsigned)f->b << 4 |
				   (extra >> 1 & 8) | p2);
	} else if (f->vex) {
		unsigned tail = (~v & 15) << 3 | (unsigned)f->l << 2 | f->pp;

		if (two_byte_vex && f->map == 1 && !f->w) {
			b[n++] = 0xc5;
			b[n++] = (uint8_t)((~rxb & 4) << 5 | tail);
		} else {
			b[n++] = 0xc4;
			b[n++] = (uint8_t)((~rxb & 7) << 5 | f->map);
			b[n++] = (uint8_t)((unsigned)f->w << 7 | tail);
		}
	} else {
		if (rxb || f->rex_w || plain_rex)
			b[n++] = (uint8_t)(0x40 | rxb | (unsigned)f->rex_w << 3);
		if (f->map && f->map != 4)
			b[n++] = 0x0f;
		if (f->map == 2)
			b[n++] = 0x38;
		else if (f->map == 3)
			b[n++] = 0x3a;
	}
	b[n++] = f->opcode;
	return n;
}

static void encode_first(const struct native_form *f, uint8_t b[16])
{
	unsigned n = f->n_pfx;

	memset(b, 0x11, 16);
	memcpy(b, f->pfx, n);
	n = encode_opcode(f, b, n, 0, 0, false, false, 0x13);
	b[n++] = f->modrm;
	if (f->modrm < 0xc0 && (f->modrm & 7) == 4)
		b[n] = 0x51; /* with SIB: rcx + 2 * rdx */
}

static void encode_random(const struct native_form *f, struct native_rng *r, uint8_t b[16])
{
	static const uint8_t more[] = { 0x64, 0x65, 0x2e, 0x67, 0x67 };
	uint64_t v[2] = { native_random(r), native_random(r) };
	unsigned n = 0, rxb = native_pick(r, 2) ? native_pick(r, 8) : 0, modrm = f->modrm;
	bool plain = native_pick(r, 8) == 0;
	int32_t near = (int32_t)native_pick(r, 0xc00) - 0x600;

	memcpy(b, v, 16);
	if (native_pick(r, 8) == 0)
		b[n++] = more[native_pick(r, sizeof(more))];
	memcpy(b + n, f->pfx, f->n_pfx);
	n = encode_opcode(f, b, n + f->n_pfx, rxb, native_pick(r, 2) ? native_pick(r, 16) : 0,
			  native_pick(r, 2), plain, native_pick(r, 4) ? native_pick(r, 8) << 1 | 0x11 : native_pick(r, 32));
	if (f->has_modrm) {
		if (modrm < 0xc0) {
			modrm = (modrm & 0x38) | native_pick(r, 3) << 6 | native_pick(r, 8);
			if (native_pick(r, 4) == 0 || (f->modrm & 7) == 4)
				modrm = (modrm & 0x38) | (modrm & 0xc0) | 4; /* a SIB byte */
		} else if (f->map != 4) {
			modrm = (modrm & 0xf8) | native_pick(r, 8);
		} else {
			modrm = (modrm & 0xf8) | (native_pick(r, 2) ? native_pick(r, 8) : modrm & 7);
		}
		if (native_pick(r, 4) && f->map != 4 && !(f->evex && (f->opcode & 0xfc) == 0x70))
			modrm = (modrm & 0xc7) | native_pick(r, 8) << 3;
		b[n++] = (uint8_t)modrm;
	}
	/* near branches: short distances */
	if ((f->map == 0 && (f->opcode == 0xe8 || f->opcode == 0xe9)) ||
	    (f->map == 1 && (f->opcode & 0xf0) == 0x80))
		memcpy(b + n, &near, 4);
}

/* --- the list --- */

static struct native_form *find(struct native_forms *f, uint64_t key)
{
	uint32_t *slot = &f->buckets[key % N_BUCKETS];

	while (*slot) {
		if (f->form[*slot - 1].key == key)
			return &f->form[*slot - 1];
		slot = &f->buckets[(slot - f->buckets + 1) % N_BUCKETS];
	}
	if (f->n == f->max)
		return NULL;
	*slot = ++f->n;
	f->form[f->n - 1].key = key;
	return &f->form[f->n - 1];
}

static bool consider(struct native_forms *f, const struct native_form *cand, void *ctx,
		     enum native_why (*why)(void *ctx, const struct x86_insn *in))
{
	struct native_form *form;
	struct x86_insn in;
	uint8_t b[16];

	encode_first(cand, b);
	if (x86_decode(b, 15, X86_MODE64, &in) != X86_DECODE_OK)
		return true;
	/* not the candidate, but another opcode after prefixes */
	if (in.opcode != cand->opcode || in.map != cand->map)
		return true;
	form = find(f, key_of(&in));
	if (!form)
		return false;
	if (form->op)
		return true;
	*form = *cand;
	form->key = key_of(&in);
	form->op = in.op;
	form->has_modrm = !!(in.attr & X86_AT_MODRM);
	form->why = why(ctx, &in);
	return true;
}

static bool add_opcode(struct native_forms *f, struct native_form *cand, void *ctx,
		       enum native_why (*why)(void *ctx, const struct x86_insn *in))
{
	for (unsigned modrm = 0; modrm < 256; modrm++) {
		/* one memory form with, one without SIB is enough */
		if (modrm < 0xc0 && (modrm & 0xc7) != 1 && (modrm & 0xc7) != 4)
			continue;
		cand->modrm = (uint8_t)modrm;
		if (!consider(f, cand, ctx, why))
			return false;
	}
	return true;
}

static bool add_evex(struct native_forms *f, unsigned map, unsigned op, void *ctx,
		     enum native_why (*why)(void *ctx, const struct x86_insn *in))
{
	bool group = map == 1 && op >= 0x71 && op <= 0x73;

	for (unsigned k = 0; k < 8 * 4 * 8; k++) {
		struct native_form c = {
			.map = (uint8_t)map, .opcode = (uint8_t)op, .vex = 1, .evex = 1,
			.w = k & 1, .pp = k >> 1 & 3, .l = k >> 3 & 3, .b = k >> 5 & 1,
			.mask = k >> 6 & 1, .z = k >> 7 & 1,
		};

		if (c.z && !c.mask)
			continue;
		for (unsigned modrm = 0; modrm < 256; modrm++) {
			unsigned low = modrm & 0xc7;

			if ((low != 1 && low != 4 && low != 0xc2) || (modrm & 0x38 && !group))
				continue;
			c.modrm = (uint8_t)modrm;
			if (!consider(f, &c, ctx, why))
				return false;
		}
	}
	return true;
}

/* With VEX only these are X86_AVX512. */
static bool maybe_mask_op(unsigned map, unsigned op)
{
	return map == 3 ? op >> 4 == 3 : map == 1 && (op >> 4 == 4 || op >> 4 == 9);
}

static bool add_all(struct native_forms *f, unsigned only, void *ctx,
		    enum native_why (*why)(void *ctx, const struct x86_insn *in))
{
	static const struct {
		uint8_t n, b[3];
	} pfx[] = {
		{ 0, { 0 } },          { 1, { 0x66 } },       { 1, { 0xf3 } },
		{ 1, { 0xf2 } },       { 2, { 0x66, 0xf3 } }, { 2, { 0x66, 0xf2 } },
		{ 1, { 0xf0 } },       { 2, { 0x66, 0xf0 } },
	};
	bool ok = true;

	for (unsigned map = 0; map < 4; map++)
		for (unsigned op = 0; op < 256; op++) {
			bool x87 = map == 0 && (op & 0xf8) == 0xd8;

			for (unsigned p = 0; p < 8 && only != X86_AVX512; p++)
				for (unsigned w = 0; w < 2; w++) {
					struct native_form c = {
						.map = x87 ? 4 : (uint8_t)map,
						.opcode = (uint8_t)op, .rex_w = (uint8_t)w,
						.n_pfx = pfx[p].n,
					};

					memcpy(c.pfx, pfx[p].b, 3);
					ok = ok && add_opcode(f, &c, ctx, why);
				}
			ok = ok && (!map || add_evex(f, map, op, ctx, why));
			if (only == X86_AVX512 && !maybe_mask_op(map, op))
				continue;
			for (unsigned k = 0; map && k < 16; k++) {
				struct native_form c = {
					.map = (uint8_t)map, .opcode = (uint8_t)op, .vex = 1,
					.l = k & 1, .w = k >> 1 & 1, .pp = (uint8_t)(k >> 2),
				};

				ok = ok && add_opcode(f, &c, ctx, why);
			}
		}
	return ok;
}

static int by_op(const void *a, const void *b, void *ctx)
{
	const struct native_forms *f = ctx;
	uint32_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	if (f->form[x].op != f->form[y].op)
		return f->form[x].op < f->form[y].op ? -1 : 1;
	return x < y ? -1 : x > y;
}

bool native_forms_create(struct native_forms *f, unsigned only, void *ctx,
			 enum native_why (*why)(void *ctx, const struct x86_insn *in))
{
	memset(f, 0, sizeof(*f));
	f->max = MAX_FORMS / 2;
	f->form = calloc(f->max, sizeof(*f->form));
	f->buckets = calloc(N_BUCKETS, sizeof(*f->buckets));
	f->todo = calloc(f->max, sizeof(*f->todo));
	if (!f->form || !f->buckets || !f->todo || !add_all(f, only, ctx, why))
		return false;
	for (unsigned i = 0; i < f->n; i++)
		if (f->form[i].why == NATIVE_EXECUTED)
			f->todo[f->n_todo++] = i;
	qsort_r(f->todo, f->n_todo, sizeof(*f->todo), by_op, f);
	for (unsigned i = f->n_todo; i--;) {
		unsigned op = f->form[f->todo[i]].op;

		if (!f->count[op]++)
			f->ops[f->n_ops++] = (uint16_t)op;
		f->first[op] = i;
	}
	return f->n_todo > 0;
}

struct native_form *native_forms_pick(struct native_forms *f, struct native_rng *r,
				      struct x86_insn *in)
{
	struct native_form *form;
	uint8_t b[16];
	unsigned op, i;

	for (;;) {
		i = native_pick(r, f->n_todo);
		if (native_pick(r, 2)) {
			op = f->ops[native_pick(r, f->n_ops)];
			i = f->first[op] + native_pick(r, f->count[op]);
		}
		form = &f->form[f->todo[i]];
		for (unsigned k = 0; k < TRIES; k++) {
			encode_random(form, r, b);
			if (x86_decode(b, 15, X86_MODE64, in) == X86_DECODE_OK &&
			    key_of(in) == form->key && native_is_safe(in))
				return form;
		}
	}
}

char *native_form_text(const struct native_form *f, char *buf, unsigned len)
{
	struct x86_insn in;
	char text[120];
	uint8_t b[16];
	unsigned n;

	encode_first(f, b);
	x86_decode(b, 15, X86_MODE64, &in);
	n = (unsigned)snprintf(buf, len, "%-44s", x86_format(&in, 0, text, sizeof(text)));
	for (unsigned i = 0; i < in.len && n + 4 < len; i++)
		n += (unsigned)snprintf(buf + n, len - n, " %02x", b[i]);
	return buf;
}
