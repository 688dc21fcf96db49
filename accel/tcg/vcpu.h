/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_VCPU_H
#define MAYFLY_ACCEL_TCG_VCPU_H
/* The run loop of a software vCPU; see accel.h for the contract of each function. */
#include "accel/tcg/cpu/vm.h"

struct accel_vm {
	struct tcg_vm vm;
	/* vCPUs in tcg_vcpu_run() that nothing but another vCPU could wake. */
	_Atomic unsigned n_dead;
};

int tcg_vcpu_create(struct accel_vm *vm, unsigned index, struct vcpu **out, struct err *e);
void tcg_vcpu_destroy(struct vcpu *v);
enum vcpu_stop tcg_vcpu_run(struct vcpu *v, struct err *e);
void tcg_vcpu_kick(struct vcpu *v);
int tcg_vcpu_get_state(struct vcpu *v, struct x86_state *s, struct err *e);
int tcg_vcpu_set_state(struct vcpu *v, const struct x86_state *s, struct err *e);
int tcg_vcpu_reset(struct vcpu *v, struct err *e);

#endif
