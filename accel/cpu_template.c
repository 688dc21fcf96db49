/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU templates, and the tables of those that have a name.
 *
 * The named ones make processors of one vendor look alike: to a guest of C3 or T2 (T2S: to a
 * snapshot, too) the Intel servers from Skylake on are an Ivy Bridge or a Haswell, and T2CL on
 * Cascade Lake and Ice Lake and T2A on Milan have the same instructions. One table has the changes
 * of all; a row says which templates it belongs to. V1N1 is for ARM.
 *
 * Refs: Firecracker, docs/cpu_templates/cpu-templates.md (which bits, which processors); Intel SDM
 * vol. 2A, "CPUID"; AMD APM vol. 3, appendix E.
 */
#include "accel/cpu_template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

enum { EAX, EBX, ECX, EDX };
enum { C3 = 1, T2 = 2, T2S = 4, T2CL = 8, T2A = 16, HASWELL = T2 | T2S | T2CL | T2A, ALL = C3 | HASWELL };
enum { SKYLAKE = 0x50654, CASCADE_LAKE = 0x50657, ICE_LAKE = 0x606a6, MILAN = 0xa00f11 };
enum { MSR_ARCH_CAPABILITIES = 0x10a };

struct standing_template {
	char name[5];
	uint8_t rows; /* C3 ... */
	uint8_t vendor;
	uint32_t signatures[3];
};

static const struct standing_template standing[] = {
	{ "C3", C3, CPU_VENDOR_INTEL, { SKYLAKE, CASCADE_LAKE, ICE_LAKE } },
	{ "T2", T2, CPU_VENDOR_INTEL, { SKYLAKE, CASCADE_LAKE, ICE_LAKE } },
	{ "T2S", T2S, CPU_VENDOR_INTEL, { SKYLAKE, CASCADE_LAKE } },
	{ "T2CL", T2CL, CPU_VENDOR_INTEL, { CASCADE_LAKE, ICE_LAKE } },
	{ "T2A", T2A, CPU_VENDOR_AMD, { MILAN } },
	{ "V1N1", 0, CPU_VENDOR_OTHER, { 0 } },
};

static const struct {
	uint8_t templates, leaf; /* leaf | 0x80: 8000_0000h and up */
	uint8_t subleaf, reg;
	uint32_t filter, value;
} rows[] = {
	/* family, model and stepping */
	{ C3, 1, 0, EAX, 0x0fff3fff, 0x000306e4 },
	{ HASWELL, 1, 0, EAX, 0x0fff3fff, 0x000306f2 },
	/* DTES64 MONITOR DS-CPL VMX (SMX EIST) TM2 CNXT-ID SDBG xTPR PDCM (DCA); C3: FMA MOVBE */
	{ C3, 1, 0, ECX, 0x0040dd3c, 0 },
	{ HASWELL, 1, 0, ECX, 0x0004cdfc, 0 },
	/* PSN DS ACPI SS TM (IA64) PBE; MCE and MTRR are there */
	{ C3, 1, 0, EDX, 0xa8641080, 0x00001080 },
	{ HASWELL, 1, 0, EDX, 0xe8641080, 0x00001080 },
	/* AVX-512, SGX HLE RTM RDT MPX RDSEED ADX CLFLUSHOPT CLWB PT SHA; C3: BMI AVX2 INVPCID;
	 * else ERMS is there */
	{ C3, 7, 0, EBX, 0xffafdd3c, 0 },
	{ HASWELL, 7, 0, EBX, 0xffefda14, 0x00000200 },
	/* AVX-512 UMIP PKU OSPKE LA57 RDPID SGX_LC (GFNI VAES VPCLMULQDQ) */
	{ C3, 7, 0, ECX, 0x4041481e, 0 },
	{ HASWELL, 7, 0, ECX, 0x40415f5e, 0 },
	/* AVX-512 (FSRM) */
	{ C3, 7, 0, EDX, 0x0000000c, 0 },
	{ HASWELL, 7, 0, EDX, 0x0000011c, 0 },
	/* state of MPX, AVX-512, PKRU; XSAVEC XGETBV1 XSAVES */
	{ ALL, 0xd, 0, EAX, 0x000002f8, 0 },
	{ ALL, 0xd, 1, EAX, 0x0000000e, 0 },
	/* PREFETCHW; C3: LZCNT, else MONITORX, and what only AMD has; pages of 1 GiB */
	{ C3, 0x81, 0, ECX, 0x00000120, 0 },
	{ T2 | T2S, 0x81, 0, ECX, 0x20000100, 0 },
	{ T2CL | T2A, 0x81, 0, ECX, 0x200001c0, 0 },
	{ C3 | T2 | T2S, 0x81, 0, EDX, 0x04000000, 0 },
	{ T2CL | T2A, 0x81, 0, EDX, 0x07c00000, 0 },
	/* WBNOINVD; T2A: CLZERO, error pointers; IBRS is good */
	{ T2 | T2S | T2CL, 0x88, 0, EBX, 0x00000200, 0 },
	{ T2A, 0x88, 0, EBX, 0x000c0205, 0x000c0000 },
};

static const struct {
	uint8_t templates;
	struct msr_change change;
} msr_rows[] = {
	{ T2S, { MSR_ARCH_CAPABILITIES, UINT64_MAX, 0x04080c4c } },
	{ T2CL, { MSR_ARCH_CAPABILITIES, 0xffffffffe2f51e00, 0 } },
};

struct cpu_template *cpu_template_create(size_t n_cpuid, size_t n_msrs, size_t n_caps)
{
	struct cpu_template *t;
	size_t bytes = sizeof(*t) + n_msrs * sizeof(*t->msrs) + n_cpuid * sizeof(*t->cpuid) +
		       n_caps * sizeof(*t->caps);

	t = calloc(1, bytes);
	if (!t)
		return NULL;
	t->n_cpuid = n_cpuid;
	t->n_msrs = n_msrs;
	t->n_caps = n_caps;
	t->msrs = (struct msr_change *)(void *)(t + 1);
	t->cpuid = (struct cpuid_change *)(void *)(t->msrs + n_msrs);
	t->caps = (struct cap_change *)(void *)(t->cpuid + n_cpuid);
	return t;
}

static void fill(struct cpu_template *t)
{
	size_t i;

	t->n_cpuid = t->n_msrs = 0;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t leaf = rows[i].leaf & 0x7f;

		if (rows[i].templates & t->standing->rows)
			t->cpuid[t->n_cpuid++] = (struct cpuid_change){
				.leaf = rows[i].leaf & 0x80 ? 0x80000000 | leaf : leaf,
				.subleaf = rows[i].subleaf,
				.filter = rows[i].filter,
				.value = rows[i].value,
				.reg = rows[i].reg,
				.flags = rows[i].leaf == 7 || rows[i].leaf == 0xd,
			};
	}
	for (i = 0; i < ARRAY_LEN(msr_rows); i++)
		if (msr_rows[i].templates & t->standing->rows)
			t->msrs[t->n_msrs++] = msr_rows[i].change;
}

struct cpu_template *cpu_template_named(const char *name)
{
	struct cpu_template *t = NULL;

	for (size_t i = 0; i < ARRAY_LEN(standing) && !t; i++) {
		if (strcmp(standing[i].name, name))
			continue;
		t = cpu_template_create(ARRAY_LEN(rows), ARRAY_LEN(msr_rows), 0);
		if (!t)
			return NULL;
		t->standing = &standing[i];
		fill(t);
	}
	return t;
}

/* The words are Firecracker's. */
int cpu_template_fits(const struct cpu_template *t, enum cpu_vendor vendor, uint32_t signature,
		      struct err *e)
{
	const struct standing_template *s = t->standing;

	if (!s)
		return 0;
	if (s->vendor != vendor || vendor == CPU_VENDOR_OTHER)
		return err_set(e, ENOTSUP, "Failed to get CPU template: CPU vendor mismatched "
					   "between actual CPU and CPU template.");
	for (size_t i = 0; i < ARRAY_LEN(s->signatures); i++)
		if (!signature || s->signatures[i] == signature)
			return 0;
	return err_set(e, ENOTSUP, "Failed to get CPU template: The current CPU model is not "
				   "permitted to apply the CPU template.");
}

void cpuid_change_apply(const struct cpuid_change *c, uint32_t *const regs[4])
{
	uint32_t *r = regs[c->reg & 3];

	if (c->leaf != 0 || c->reg == EAX)
		*r = (*r & ~c->filter) | c->value;
}

uint64_t cpu_template_msr(const struct cpu_template *t, uint32_t index, uint64_t val)
{
	for (size_t i = 0; t && i < t->n_msrs; i++)
		if (t->msrs[i].index == index)
			val = (val & ~t->msrs[i].filter) | t->msrs[i].value;
	return val;
}

bool cpu_template_names_cap(const struct cpu_template *t, uint32_t cap, bool remove)
{
	for (size_t i = 0; t && i < t->n_caps; i++)
		if (t->caps[i].cap == cap && t->caps[i].remove == remove)
			return true;
	return false;
}
