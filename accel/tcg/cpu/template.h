/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_TEMPLATE_H
#define MAYFLY_ACCEL_TCG_CPU_TEMPLATE_H
/* The operator's changes to the processor that the guest sees: template.c. */
#include "accel/tcg/cpu/vm.h"

/* -ENOTSUP if the template asks for what this processor does not have. */
int template_check(const struct cpu *c, struct err *e);
/* Changes a leaf as cpuid_model() has it. */
void template_cpuid(const struct cpu *c, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r);
/* The value at reset of a register that would else be `val`, or always if it is a constant. */
uint64_t template_msr(const struct cpu *c, uint32_t msr, uint64_t val);

/* cpuid.c: a leaf without the template; whether there is such a leaf. */
void cpuid_model(const struct cpu *c, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);
bool cpuid_has_leaf(const struct tcg_vm *vm, uint32_t leaf);

#endif
