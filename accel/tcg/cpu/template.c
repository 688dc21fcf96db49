/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU templates for the software processor.
 *
 * Any bit of CPUID can be cleared, and any number or name in it changed; a bit that promises
 * something can only be set if the processor keeps the promise, or if it is a mere hint. What the
 * monitor itself says stays as it is: vendor, topology, APIC id, and bits that follow the guest's
 * control registers. Instructions of a feature that is gone still work, as with Firecracker.
 *
 * Of the model-specific registers those can be changed that hold nothing but information, and
 * IA32_MISC_ENABLE, which is the guest's from then on. A bit that says that there is a register
 * which is not there cannot be set.
 */
#include "accel/tcg/cpu/template.h"

#include "accel/cpu_template.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <inttypes.h>

enum { EAX = CPU_TEMPLATE_EAX, EBX, ECX, EDX };
static const uint32_t all = UINT32_MAX;

static const struct {
	uint32_t index;
	bool amd, intel;
	uint64_t cannot; /* bits that promise what there is not */
} msrs[] = {
	{0x8b, true, true, 0},            /* microcode revision */
	{0xce, true, true, 1ull << 31},   /* IA32_PLATFORM_INFO: CPUID faulting */
	{0x10a, false, true, 0x02a41280}, /* IA32_ARCH_CAPABILITIES: TSX_CTRL MCU_CONTROL DOITM
		FB_CLEAR_CTRL XAPIC_DISABLE OVERCLOCKING GDS_CTRL */
	{0x1a0, true, true, 0},           /* IA32_MISC_ENABLE */
};

static bool has_subleaves(uint32_t leaf)
{
	return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x8000001d;
}

/* What only the monitor says. */
static uint32_t own_bits(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	switch (leaf) {
	case 1:
		if (reg == ECX) /* hypervisor, OSXSAVE, TSC deadline */
			return 1u << 31 | 1u << 27 | 1u << 24;
		return reg == EBX ? all : reg == EDX ? 1u << 28 : 0;
	case 4:
	case 0x8000001d:
		return reg == EAX ? 0xffffc000 : 0;
	case 0xd:
		return reg == EBX && subleaf < 2 ? all : 0;
	case 0x80000001:
		return reg == EDX ? 1u << 11 : 0; /* SYSCALL, by the mode */
	case 0x80000008:
		return reg == ECX ? all : 0;
	case 0xb:
	case 0x8000001e:
		return all;
	}
	return 0;
}

/* Bits that promise something to a guest that sees them. */
static uint32_t promises(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	switch (leaf) {
	case 1:
	case 0x80000001:
		return reg == ECX || reg == EDX ? all : 0;
	case 7:
		return reg != EAX || subleaf ? all : 0;
	case 0x40000001:
		return reg == EAX ? all : 0;
	case 0x80000008:
		return reg == EBX ? ~0xf0000u : 0; /* how best to use IBRS, STIBP */
	case 6:
	case 0xa:
	case 0xd:
	case 0x80000007:
		return all;
	}
	/* SVM, IBS, memory encryption, and what came later; caches and TLBs */
	return leaf >= 0x80000009 && leaf != 0x80000019 && leaf != 0x8000001d ? all : 0;
}

void template_cpuid(const struct cpu *c, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r)
{
	const struct cpu_template *t = c->vm->cfg.cpu_template;
	uint32_t *const regs[] = {&r->eax, &r->ebx, &r->ecx, &r->edx};

	if (!has_subleaves(leaf))
		subleaf = 0;
	for (size_t i = 0; t && i < t->n_cpuid; i++) {
		const struct cpuid_change *d = &t->cpuid[i];
		uint32_t *reg = regs[d->reg & 3], was = *reg;
		uint32_t own = own_bits(leaf, subleaf, d->reg);

		if (d->leaf != leaf || d->subleaf != subleaf)
			continue;
		cpuid_change_apply(d, regs);
		*reg = (*reg & ~own) | (was & own);
	}
}

uint64_t template_msr(const struct cpu *c, uint32_t msr, uint64_t val)
{
	return cpu_template_msr(c->vm->cfg.cpu_template, msr, val);
}

static bool is_there(const struct cpu *c, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	if (!cpuid_has_leaf(c->vm, leaf))
		return false;
	if (!subleaf)
		return true;
	cpuid_model(c, leaf, subleaf, &r);
	return has_subleaves(leaf) && (r.eax | r.ebx | r.ecx | r.edx);
}

static int check_cpuid(const struct cpu *c, const struct cpuid_change *d, struct err *e)
{
	static const char *const names[] = {"eax", "ebx", "ecx", "edx"};
	struct cpuid_regs was, now;
	uint32_t bad;

	if (!is_there(c, d->leaf, d->subleaf)) {
		err_set(e, ENOTSUP, "Failed to create guest config: Template changes a CPUID entry "
			"not supported by the translator: Leaf: %x, Subleaf: %x", d->leaf,
			d->subleaf);
		err_hint(e, "leave it out of cpuid_modifiers, or use --accel kvm");
		return -ENOTSUP;
	}
	cpuid_model(c, d->leaf, d->subleaf, &was);
	now = was;
	template_cpuid(c, d->leaf, d->subleaf, &now);
	bad = (&now.eax)[d->reg & 3] & ~(&was.eax)[d->reg & 3] &
	      promises(d->leaf, d->subleaf, d->reg & 3);
	if (!bad)
		return 0;
	err_set(e, ENOTSUP, "Failed to create guest config: Template sets features that the translator "
		"does not implement: Leaf: %x, Subleaf: %x, %s: 0x%x", d->leaf, d->subleaf,
		names[d->reg & 3], bad);
	err_hint(e, "write x or 0 for these bits, or use --accel kvm");
	return -ENOTSUP;
}

static int check_msr(const struct cpu *c, const struct msr_change *d, struct err *e)
{
	uint64_t bad = UINT64_MAX;

	for (unsigned i = 0; i < ARRAY_LEN(msrs); i++)
		if (msrs[i].index == d->index && (c->vm->intel ? msrs[i].intel : msrs[i].amd))
			bad = d->value & msrs[i].cannot;
	if (!bad)
		return 0;
	if (bad == UINT64_MAX)
		err_set(e, ENOTSUP, "Failed to create guest config: Template changes an MSR entry not "
			"supported by the translator: Register Address: %x", d->index);
	else
		err_set(e, ENOTSUP, "Failed to create guest config: Template sets bits of an MSR that "
			"the translator does not implement: Register Address: %x, bits: 0x%" PRIx64,
			d->index, bad);
	err_hint(e, "leave it out of msr_modifiers, or use --accel kvm");
	return -ENOTSUP;
}

int template_check(const struct cpu *c, struct err *e)
{
	const struct cpu_template *t = c->vm->cfg.cpu_template;
	int r;

	if (!t)
		return 0;
	r = cpu_template_fits(t, c->vm->intel ? CPU_VENDOR_INTEL : CPU_VENDOR_AMD, 0, e);
	for (size_t i = 0; r == 0 && i < t->n_cpuid; i++)
		r = check_cpuid(c, &t->cpuid[i], e);
	for (size_t i = 0; r == 0 && i < t->n_msrs; i++)
		r = check_msr(c, &t->msrs[i], e);
	return r;
}
