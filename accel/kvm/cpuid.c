/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CPUID tells the guest: what KVM supports on this host, as the operator's template changes it,
 * less what we do not virtualize, and a topology of our own.
 *
 * Topology: one package, one or two threads per core, APIC id = vCPU index, each core with its
 * own first- and second-level caches and a shared last-level one. Hidden: performance counters
 * (leaf 0xA and AMD's extensions), MPX, thermal and power management but for ARAT.
 *
 * Refs: Intel SDM vol. 2A, "CPUID"; AMD APM vol. 3, "Obtaining Processor Information Via the
 * CPUID Instruction"; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/cpu_template.h"
#include "accel/kvm/kvm_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#define BIT(n) (1u << (n))

enum { /* leaf 1 */
	L1_ECX_PDCM = 15,
	L1_ECX_TSC_DEADLINE = 24,
	L1_ECX_HYPERVISOR = 31,
	L1_EDX_HTT = 28,
};

struct topology {
	unsigned n_cpus, index;
	unsigned id_bits; /* of an APIC id */
	unsigned thread_bits; /* those of them that number a core's threads: 0 or 1 */
	const struct accel_vm *vm;
};

static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

static void patch_features(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	c->ebx = (c->ebx & 0x0000ffff) | t->index << 24 | t->n_cpus << 16;
	c->ecx &= ~BIT(L1_ECX_PDCM);
	c->ecx |= BIT(L1_ECX_HYPERVISOR);
	if (t->vm->has_tsc_deadline)
		c->ecx |= BIT(L1_ECX_TSC_DEADLINE);
	c->edx &= ~BIT(L1_EDX_HTT);
	if (t->n_cpus > 1)
		c->edx |= BIT(L1_EDX_HTT);
}

/* Intel's and AMD's cache leaves agree in these fields. */
static void set_cache_sharing(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	unsigned level = c->eax >> 5 & 7, sharing = level >= 3 ? t->n_cpus : BIT(t->thread_bits);

	c->eax = (c->eax & ~(0xfffu << 14)) | (sharing - 1) << 14;
}

static void patch_intel_caches(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	if (!(c->eax & 0x1f))
		return; /* no more caches */
	set_cache_sharing(c, t);
	c->eax = (c->eax & ~(0x3fu << 26)) |
		 (BIT(t->id_bits - t->thread_bits) - 1) << 26;
}

static void patch_amd_caches(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	if (c->eax & 0x1f)
		set_cache_sharing(c, t);
}

static void patch_power(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	c->eax = BIT(2); /* ARAT: KVM's local APIC timer never stops */
	c->ebx = c->ecx = c->edx = 0;
}

static void patch_structured(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	if (c->index == 0)
		c->ebx &= ~BIT(14); /* MPX */
}

static void clear_leaf(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	c->eax = c->ebx = c->ecx = c->edx = 0;
}

static void patch_xsave(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	if (c->index == 0)
		c->eax &= ~(BIT(3) | BIT(4)); /* MPX state */
	else if (c->index == 3 || c->index == 4)
		clear_leaf(c, t);
}

static void patch_amd_features(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	c->ecx &= ~(BIT(1) | BIT(22) | BIT(23) | BIT(24) | BIT(28)); /* counters */
	if (t->n_cpus > 1 && c->edx & BIT(29))
		c->ecx |= BIT(1); /* CmpLegacy: cores, not threads */
	if (t->vm->has_amd_topology)
		c->ecx |= BIT(22); /* TOPOEXT: leaves 0x8000001d and 0x8000001e */
}

static void patch_amd_sizes(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	c->ecx = t->vm->is_amd ? t->id_bits << 12 | (t->n_cpus - 1) : 0;
}

static void patch_amd_topology(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	c->eax = t->index; /* extended APIC id */
	c->ebx = t->index >> t->thread_bits | t->thread_bits << 8; /* core id, threads - 1 */
	c->ecx = c->edx = 0;
}

static const struct {
	uint32_t leaf;
	void (*patch)(struct kvm_cpuid_entry2 *c, const struct topology *t);
} patches[] = {
	{ 0x1, patch_features },
	{ 0x4, patch_intel_caches },
	{ 0x6, patch_power },
	{ 0x7, patch_structured },
	{ 0xa, clear_leaf },
	{ 0xd, patch_xsave },
	{ 0x80000001, patch_amd_features },
	{ 0x80000008, patch_amd_sizes },
	{ 0x8000001d, patch_amd_caches },
	{ 0x8000001e, patch_amd_topology },
	{ 0x80000022, clear_leaf },
};

static void add_topology_leaf(struct kvm_cpuid_buf *b, const struct topology *t, uint32_t leaf)
{
	enum { SMT = 1, CORE = 2 };
	const struct kvm_cpuid_entry2 levels[] = {
		{ .index = 0, .eax = t->thread_bits, .ebx = BIT(t->thread_bits), .ecx = SMT << 8 | 0 },
		{ .index = 1, .eax = t->id_bits, .ebx = t->n_cpus, .ecx = CORE << 8 | 1 },
		{ .index = 2, .eax = 0, .ebx = 0, .ecx = 2 },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(levels) && b->n < KVM_MAX_CPUID; i++) {
		struct kvm_cpuid_entry2 *c = &b->entries[b->n++];

		*c = levels[i];
		c->function = leaf;
		c->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		c->edx = t->index;
	}
}

static void patch_entry(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
	size_t i;

	if (c->function == 0 && c->eax < 0xb)
		c->eax = 0xb;
	for (i = 0; i < ARRAY_LEN(patches); i++) {
		if (patches[i].leaf == c->function)
			patches[i].patch(c, t);
	}
}

static struct kvm_cpuid_entry2 *find_entry(struct kvm_cpuid_buf *b, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (b->entries[i].function == leaf && b->entries[i].index == subleaf)
			return &b->entries[i];
	return NULL;
}

static int apply_template(struct accel_vm *vm, struct err *e)
{
	const struct cpu_template *t = vm->cpu_template;
	const struct kvm_cpuid_entry2 *first = find_entry(vm->supported, 0, 0);
	const struct kvm_cpuid_entry2 *version = find_entry(vm->supported, 1, 0);
	enum cpu_vendor vendor = first && first->ebx == 0x68747541	? CPU_VENDOR_AMD
				 : first && first->ebx == 0x756e6547 ? CPU_VENDOR_INTEL
								     : CPU_VENDOR_OTHER;
	int r = t ? cpu_template_fits(t, vendor, version ? version->eax : 0, e) : 0;

	for (size_t i = 0; r == 0 && t && i < t->n_cpuid; i++) {
		const struct cpuid_change *d = &t->cpuid[i];
		struct kvm_cpuid_entry2 *c = find_entry(vm->supported, d->leaf, d->subleaf);

		if (!c)
			return err_set(e, ENOTSUP, "Failed to create guest config: Template changes a "
				       "CPUID entry not supported by KVM: Leaf: %x, Subleaf: %x",
				       d->leaf, d->subleaf);
		c->flags = d->flags;
		cpuid_change_apply(d, (uint32_t *[]){ &c->eax, &c->ebx, &c->ecx, &c->edx });
	}
	return r;
}

int kvm_cpuid_load_supported(struct accel_vm *vm, struct err *e)
{
	uint32_t i;

	vm->supported = calloc(1, sizeof(*vm->supported));
	if (!vm->supported)
		return err_set(e, ENOMEM, "kvm: out of memory");
	vm->supported->n = KVM_MAX_CPUID;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, vm->supported) < 0)
		return kvm_fail(e, "supported CPUID");
	for (i = 0; i < vm->supported->n; i++) {
		const struct kvm_cpuid_entry2 *c = &vm->supported->entries[i];

		if (c->function == 0) /* "AuthenticAMD", "HygonGenuine" */
			vm->is_amd = c->ebx == 0x68747541 || c->ebx == 0x6f677948;
		if (c->function == 0x8000001e)
			vm->has_amd_topology = vm->is_amd;
	}
	return apply_template(vm, e);
}

int kvm_cpuid_set(struct vcpu *cpu, struct err *e)
{
	const struct kvm_cpuid_buf *from = cpu->vm->supported;
	struct topology t = {
		.n_cpus = cpu->vm->n_vcpus,
		.index = cpu->index,
		.id_bits = bits_for(cpu->vm->n_vcpus),
		.thread_bits = cpu->vm->threads_per_core - 1,
		.vm = cpu->vm,
	};
	struct kvm_cpuid_buf *b = calloc(1, sizeof(*b));
	bool has_1f = false;
	uint32_t i;
	int r = 0;

	if (!b)
		return err_set(e, ENOMEM, "kvm: out of memory");
	for (i = 0; i < from->n && b->n < KVM_MAX_CPUID; i++) {
		has_1f |= from->entries[i].function == 0x1f;
		if (from->entries[i].function == 0xb || from->entries[i].function == 0x1f)
			continue;
		b->entries[b->n] = from->entries[i];
		patch_entry(&b->entries[b->n++], &t);
	}
	add_topology_leaf(b, &t, 0xb);
	if (has_1f)
		add_topology_leaf(b, &t, 0x1f);
	if (ioctl(cpu->fd, KVM_SET_CPUID2, b) < 0)
		r = kvm_fail(e, "set CPUID");
	free(b);
	return r;
}
