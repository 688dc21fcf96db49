/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_MODEL_H
#define MAYFLY_ACCEL_TCG_CPU_MODEL_H
/* Which processor the guest sees: model.c. */
#include "accel/tcg/cpu/vm.h"

/* Sets vm->model, vm->has and vm->intel from "host", "v2", "v3", or NULL for "host". -EINVAL for
 * another name. Logs which features of a named model this host does not have. */
int model_init(struct tcg_vm *vm, const char *name, struct err *e);
const char *model_string(const struct tcg_vm *vm); /* of CPUID 8000_0002h.. */
/* Takes the bits of features that the model does not have out of a CPUID leaf. */
void model_mask(const struct tcg_vm *vm, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r);

#endif
