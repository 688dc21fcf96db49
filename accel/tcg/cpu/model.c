/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named processor models.
 *
 * "host" is everything that the translator implements, without those extensions of user code that
 * this host lacks, and has the host's vendor. "v2" and "v3" are the same on every host, byte for
 * byte but for the frequencies that the guest is told: the instructions of the x86-64 psABI's
 * levels of that name (v3 with AES and PCLMULQDQ, which all processors of that level have), and
 * what this processor has for systems: everything else that "host" has but SHA and ADX; vendor,
 * family, model and stepping are those of an AMD family 19h model 11h. A host without some
 * instruction of a named model has it interpreted, which is right and slow.
 *
 * Without AVX there is no XSAVE either: FXSAVE does.
 *
 * Refs: System V ABI AMD64, "Micro-Architecture Levels"; AMD APM vol. 3, appendix E.
 */
#include "accel/tcg/cpu/model.h"

#include "accel/tcg/cpu/feature.h"
#include "accel/tcg/cpu/host.h"
#include "accel/tcg/cpu/host_insn.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { V2 = 1 << MODEL_V2, V3 = 1 << MODEL_V3, BOTH = V2 | V3 };

/* Features of user code that hosts and models differ in. */
static const struct row {
	uint8_t feature;
	uint8_t models;
	char name[11];
	bool native; /* used by the translator if the host has it */
} rows[] = {
	{X86_FEAT_SSE3, BOTH, "sse3", true},
	{X86_FEAT_PCLMUL, V3, "pclmulqdq", true},
	{X86_FEAT_SSSE3, BOTH, "ssse3", true},
	{X86_FEAT_FMA, V3, "fma", true},
	{X86_FEAT_CX16, BOTH, "cx16", false},
	{X86_FEAT_SSE41, BOTH, "sse4.1", true},
	{X86_FEAT_SSE42, BOTH, "sse4.2", true},
	{X86_FEAT_MOVBE, V3, "movbe", true},
	{X86_FEAT_POPCNT, BOTH, "popcnt", true},
	{X86_FEAT_AES, V3, "aes", true},
	{X86_FEAT_XSAVE, V3, "xsave", false},
	{X86_FEAT_AVX, V3, "avx", true},
	{X86_FEAT_F16C, V3, "f16c", true},
	{X86_FEAT_BMI1, V3, "bmi1", true},
	{X86_FEAT_AVX2, V3, "avx2", true},
	{X86_FEAT_BMI2, V3, "bmi2", true},
	{X86_FEAT_ADX, 0, "adx", true},
	{X86_FEAT_SHA, 0, "sha_ni", true},
	{X86_FEAT_XSAVEOPT, V3, "xsaveopt", false},
	{X86_FEAT_XSAVEC, V3, "xsavec", false},
	{X86_FEAT_LZCNT, V3, "lzcnt", true},
	/* nothing of these is interpreted: see host_insn.c */
	{X86_FEAT_AVX512, 0, "avx512", true},
	{X86_FEAT_IFMA, 0, "ifma", true},
	{X86_FEAT_VBMI, 0, "vbmi", true},
	{X86_FEAT_VBMI2, 0, "vbmi2", true},
	{X86_FEAT_VNNI, 0, "vnni", true},
	{X86_FEAT_BITALG, 0, "bitalg", true},
	{X86_FEAT_VPOPCNT, 0, "vpopcntdq", true},
};

static const char *const names[] = {
	[MODEL_HOST] = "host", [MODEL_V2] = "v2", [MODEL_V3] = "v3",
};

static int find_model(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i], name))
			return (int)i;
	return -1;
}

/* Names what a frozen model has and this host has not. */
static void tell_missing(const char *name, const char *list)
{
	if (*list)
		log_warn(NULL, "--cpu %s: this host lacks%s: such instructions are interpreted",
			 name, list);
}

int model_init(struct tcg_vm *vm, const char *name, struct err *e)
{
	bool host[X86_N_FEATURES];
	int model = find_model(name ? name : "host");
	char missing[200] = "";
	size_t n = 0;

	if (model < 0) {
		err_set(e, EINVAL, "--cpu: there is no processor model '%.20s'", name);
		err_hint(e, "write host, v2 or v3");
		return -EINVAL;
	}
	vm->model = (enum cpu_model)model;
	vm->intel = model == MODEL_HOST && host_is_intel();
	host_features(host);
	for (unsigned i = 0; i < X86_N_FEATURES; i++)
		vm->has[i] = cpu_has_feature(i);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		bool lacks = r->native && !host[r->feature];

		if (model == MODEL_HOST) {
			if (lacks)
				vm->has[r->feature] = false;
		} else if (!(r->models >> model & 1)) {
			vm->has[r->feature] = false;
		} else if (lacks && n < sizeof(missing) - sizeof(r->name) - 1) {
			n += (size_t)snprintf(missing + n, sizeof(missing) - n, " %s", r->name);
		}
	}
	/* Until what the decoder takes has been compared with all processors that have it. */
	if (vm->has[X86_FEAT_AVX512] &&
	    !(vm->cfg.debug && strstr(vm->cfg.debug, "avx512") && vm->has[X86_FEAT_AVX2] &&
	      host_insn_create(vm)))
		vm->has[X86_FEAT_AVX512] = false;
	for (unsigned i = X86_FEAT_IFMA; i <= X86_FEAT_BF16; i++)
		if (!vm->has[X86_FEAT_AVX512])
			vm->has[i] = false;
	if (!vm->has[X86_FEAT_AVX]) {
		static const uint8_t with_avx[] = {
			X86_FEAT_AVX2, X86_FEAT_FMA, X86_FEAT_F16C, X86_FEAT_XSAVE,
			X86_FEAT_XSAVEOPT, X86_FEAT_XSAVEC,
		};

		for (unsigned i = 0; i < ARRAY_LEN(with_avx); i++)
			vm->has[with_avx[i]] = false;
	}
	tell_missing(names[model], missing);
	return 0;
}

const char *model_string(const struct tcg_vm *vm)
{
	switch (vm->model) {
	case MODEL_V2: return "mayfly x86-64-v2 processor";
	case MODEL_V3: return "mayfly x86-64-v3 processor";
	default: return "mayfly software processor";
	}
}

void model_mask(const struct tcg_vm *vm, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r)
{
	uint32_t *const regs[] = {&r->eax, &r->ebx, &r->ecx, &r->edx};

	if (leaf == 0xd && !vm->has[X86_FEAT_XSAVE]) {
		*r = (struct cpuid_regs){0};
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const struct feature_bit *f = feature_bit(rows[i].feature);

		if (f->leaf == leaf && f->sub == (leaf == 7 || leaf == 0xd ? subleaf : 0) &&
		    !vm->has[f->feature])
			*regs[f->reg] &= ~(1u << f->bit);
	}
}
