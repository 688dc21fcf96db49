/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_NATIVE_FORM_H
#define MAYFLY_TESTS_TCG_NATIVE_FORM_H
/*
 * All forms of instructions of 64-bit code, and random encodings of them.
 *
 * A form is what a leaf of the decoder's tables becomes with one operand size, memory or register
 * operand, VEX or not, and LOCK or REP: everything but which registers, addresses and immediate
 * values. The list is made by decoding every combination of prefixes, opcode and modrm, so that it
 * is as complete as the tables are.
 */
#include "native_case.h"

enum native_why { /* a form is not executed */
	NATIVE_EXECUTED,
	NATIVE_UNSAFE,  /* user code cannot execute it in a test: native_op_is_safe() */
	NATIVE_NO_HOST, /* the host lacks the feature */
	NATIVE_NO_MODEL, /* the model lacks it: #UD */
};

struct native_form {
	uint64_t key;
	uint16_t op;
	uint8_t evex, b, z, mask; /* EVEX: with vex set, too */
	uint8_t vex, l, w, pp, map, opcode, modrm, has_modrm, rex_w;
	uint8_t pfx[3], n_pfx;
	uint8_t why;
	uint32_t n_cases;
};

struct native_forms {
	struct native_form *form;
	unsigned n, max;
	uint32_t *buckets;
	/* those to execute, sorted by operation */
	uint32_t *todo, first[X86_N_OPS], count[X86_N_OPS];
	unsigned n_todo;
	uint16_t ops[X86_N_OPS];
	unsigned n_ops;
};

/* why(): whether and why not. only: that operation's, or X86_INVALID. */
bool native_forms_create(struct native_forms *f, unsigned only, void *ctx,
			 enum native_why (*why)(void *ctx, const struct x86_insn *in));
/* A form by chance (half the time by operation first), encoded with random operands: c->in. */
struct native_form *native_forms_pick(struct native_forms *f, struct native_rng *r,
				      struct x86_insn *in);
/* The form's first encoding, as text. */
char *native_form_text(const struct native_form *f, char *buf, unsigned len);

#endif
