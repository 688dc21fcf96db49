/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop of a software vCPU: translated code where there is a translator and the mode allows
 * it, the interpreter else; faults, requests and halts in between.
 *
 * Faults raised anywhere below come back here by longjmp and are delivered with the rip of the
 * instruction that raised them. Requests from other threads are looked at between instructions.
 *
 * A vCPU that halts with interrupts off, or waits for SIPI, can be woken by another vCPU only. The
 * last one of a VM to get there reports VCPU_HALTED.
 *
 * Refs: Intel SDM vol. 3A, "HLT", "Interrupt and Exception Handling".
 */
#include "accel/tcg/vcpu.h"

#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/steal.h"
#include "accel/tcg/interp/interp.h"
#include "vmm/core/err.h"
#ifdef TCG_JIT
#include "accel/tcg/jit/jit.h"
#endif

#include <errno.h>
#include <stdlib.h>

struct vcpu {
	struct accel_vm *vm;
	struct cpu *c;
};

/* One instruction, and the end of the shadow that STI or MOV SS before it cast. */
static void step(struct cpu *c)
{
	uint8_t inhibited = c->inhibit_irq;

	interp_step(c);
	if (inhibited)
		c->inhibit_irq = 0;
}

/* In the shadow of STI or MOV SS the next instruction comes before anything that waits: events
 * would only be put off again. */
static bool must_stop(struct cpu *c)
{
	return c->halted || c->wait_sipi ||
	       (!c->inhibit_irq && atomic_load_explicit(&c->requests, memory_order_relaxed));
}

/* Executes until something other than an instruction needs attention. */
static void run_guest(struct cpu *c)
{
#ifdef TCG_JIT
	if (c->jit) {
		if (!(c->mode & (MODE_TF | MODE_DBG)) && !c->inhibit_irq)
			jit_run(c);
		/* It stopped for requests, or before something that it does not translate. */
		if (!must_stop(c))
			step(c);
		return;
	}
#endif
	do {
		step(c);
	} while (!must_stop(c));
}

/* Nothing but another vCPU can wake it. */
static bool is_dead(const struct cpu *c)
{
	return c->wait_sipi || (c->halted && !(c->rflags & X86_FL_IF) && !c->nmi_pending);
}

/* All vCPUs are dead, and none was sent anything that it has not looked at yet. */
static bool all_dead(struct accel_vm *vm)
{
	if (atomic_load(&vm->n_dead) < vm->vm.n_vcpus)
		return false;
	for (unsigned i = 0; i < vm->vm.n_vcpus; i++)
		if (vm->vm.cpus[i] && atomic_load(&vm->vm.cpus[i]->requests))
			return false;
	return true;
}

/* Waits for the end of HLT or wait-for-SIPI; false if the VM has no vCPU left that could act. */
static bool wait_halted(struct vcpu *v)
{
	struct cpu *c = v->c;
	bool dead = is_dead(c), over = false;

	/* It counts as dead until after it has seen its requests: see all_dead(). */
	if (dead) {
		atomic_fetch_add(&v->vm->n_dead, 1);
		over = all_dead(v->vm);
	}
	if (!over)
		cpu_wait(c);
	if (dead)
		atomic_fetch_sub(&v->vm->n_dead, 1);
	return !over;
}

static enum vcpu_stop run_loop(struct vcpu *v)
{
	struct cpu *c = v->c;

	while (!c->shutdown) {
		/* A halted one looks in any case: a timer that ended the wait leaves no request. */
		if (must_stop(c) && !cpu_poll(c))
			return c->shutdown ? VCPU_SHUTDOWN : VCPU_KICKED;
		if (!c->halted && !c->wait_sipi)
			run_guest(c);
		else if (!wait_halted(v))
			return VCPU_HALTED;
	}
	return VCPU_SHUTDOWN;
}

enum vcpu_stop tcg_vcpu_run(struct vcpu *v, struct err *e)
{
	struct cpu *c = v->c;
	enum vcpu_stop stop;
	jmp_buf fault;

	exclusive_enter_guest(c);
	steal_resume(c);
	c->fault_jmp = &fault;
	if (setjmp(fault)) {
		exclusive_abort(c);
		c->inhibit_irq = 0;
		cpu_deliver_raised(c);
	}
	stop = run_loop(v);
	c->fault_jmp = NULL;
	steal_pause(c);
	exclusive_leave_guest(c);
	return stop;
}

void tcg_vcpu_kick(struct vcpu *v)
{
	cpu_request(v->c, REQ_KICK);
}

int tcg_vcpu_get_state(struct vcpu *v, struct x86_state *s, struct err *e)
{
	cpu_get_state(v->c, s);
	return 0;
}

int tcg_vcpu_set_state(struct vcpu *v, const struct x86_state *s, struct err *e)
{
	cpu_set_state(v->c, s);
	return 0;
}

int tcg_vcpu_reset(struct vcpu *v, struct err *e)
{
	cpu_reset(v->c);
	lapic_reset(v->c->lapic);
	return 0;
}

int tcg_vcpu_create(struct accel_vm *vm, unsigned index, struct vcpu **out, struct err *e)
{
	struct vcpu *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return err_set(e, ENOMEM, "vcpu %u: out of memory", index);
	v->vm = vm;
	rc = cpu_create(&vm->vm, index, &v->c, e);
	if (!rc && interp_cache_create(v->c))
		rc = err_set(e, ENOMEM, "vcpu %u: out of memory", index);
#ifdef TCG_JIT
	if (!rc && vm->vm.jit) {
		rc = jit_cpu_create(vm->vm.jit, v->c, e);
		v->c->jit_waits = true;
	}
#endif
	if (rc) {
		tcg_vcpu_destroy(v);
		return rc;
	}
	*out = v;
	return 0;
}

void tcg_vcpu_destroy(struct vcpu *v)
{
	if (!v)
		return;
	if (v->c) {
#ifdef TCG_JIT
		if (v->c->jit)
			jit_cpu_destroy(v->c);
#endif
		interp_cache_destroy(v->c);
		cpu_destroy(v->c);
	}
	free(v);
}
