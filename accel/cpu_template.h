/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_CPU_TEMPLATE_H
#define MAYFLY_ACCEL_CPU_TEMPLATE_H
/*
 * What the operator wants different about the processor that the guest sees: bits of CPUID leaves
 * and of model-specific registers that are set or cleared, and capabilities that KVM must have or
 * need not have. The accelerator says whether it can, and does it; nothing here traps anything:
 * instructions whose feature bit is gone still work.
 *
 *	t = cpu_template_create(1, 0, 0);
 *	t->cpuid[0] = (struct cpuid_change){ .leaf = 7, .reg = CPU_TEMPLATE_EBX, .filter = 1 << 5 };
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum cpu_vendor { CPU_VENDOR_OTHER, CPU_VENDOR_INTEL, CPU_VENDOR_AMD };
enum { CPU_TEMPLATE_EAX, CPU_TEMPLATE_EBX, CPU_TEMPLATE_ECX, CPU_TEMPLATE_EDX };

struct cpuid_change {
	uint32_t leaf, subleaf;
	uint32_t filter, value; /* the bits of filter become those of value */
	uint32_t flags;         /* KVM's of the leaf: KVM_CPUID_FLAG_... */
	uint8_t reg;            /* CPU_TEMPLATE_EAX ... */
};

struct msr_change {
	uint32_t index;
	uint64_t filter, value;
};

struct cap_change {
	uint32_t cap; /* KVM_CAP_... */
	bool remove;  /* it need not be there; else it must */
};

struct cpu_template {
	const struct standing_template *standing; /* NULL: for any processor */
	size_t n_cpuid, n_msrs, n_caps;
	struct msr_change *msrs;
	struct cpuid_change *cpuid;
	struct cap_change *caps;
};

/* Zeroed changes, as many as said; NULL: out of memory. free() frees all. */
struct cpu_template *cpu_template_create(size_t n_cpuid, size_t n_msrs, size_t n_caps);
/* One of Firecracker's own by its name: C3, T2, T2S, T2CL, T2A, V1N1. NULL: out of memory, or there
 * is none of that name. */
struct cpu_template *cpu_template_named(const char *name);
/* Whether it is for such a processor; signature: CPUID 1 EAX, 0: any. -ENOTSUP. */
int cpu_template_fits(const struct cpu_template *t, enum cpu_vendor vendor, uint32_t signature,
		      struct err *e);
/* regs: eax, ebx, ecx, edx of the change's leaf. The vendor stays as it is. */
void cpuid_change_apply(const struct cpuid_change *c, uint32_t *const regs[4]);
/* What the template makes of a register's value. */
uint64_t cpu_template_msr(const struct cpu_template *t, uint32_t index, uint64_t val);
/* Whether a capability is named as `remove` says. */
bool cpu_template_names_cap(const struct cpu_template *t, uint32_t cap, bool remove);

#endif
