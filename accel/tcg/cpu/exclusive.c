/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exclusive sections: who is in the guest, and the section's owner.
 *
 * Entering and leaving the guest takes no lock. A vCPU that enters says so and then looks for an
 * owner; who wants a section becomes its owner and then looks who is in the guest (both
 * sequentially consistent): at least one of the two sees the other. An entering vCPU that sees an
 * owner steps back and waits; the owner's section begins once it sees nobody. The lock and the
 * condition serve those who wait.
 *
 * A vCPU that asks for a section counts as outside at once, so two that ask together cannot wait
 * for each other; it counts again when its section ends.
 */
#include "accel/tcg/cpu/exclusive.h"

#include "vmm/core/err.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct exclusive {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic(struct cpu *) owner; /* written under the lock */
};

int exclusive_create(struct tcg_vm *vm, struct err *e)
{
	struct exclusive *x = calloc(1, sizeof(*x));

	if (!x)
		return err_set(e, ENOMEM, "translator: out of host memory");
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->changed, NULL);
	vm->excl = x;
	return 0;
}

void exclusive_destroy(struct tcg_vm *vm)
{
	struct exclusive *x = vm->excl;

	if (!x)
		return;
	pthread_cond_destroy(&x->changed);
	pthread_mutex_destroy(&x->lock);
	free(x);
	vm->excl = NULL;
}

void exclusive_enter_guest(struct cpu *c)
{
	struct exclusive *x = c->vm->excl;

	for (;;) {
		atomic_store(&c->in_guest, true);
		if (!atomic_load(&x->owner))
			return;
		pthread_mutex_lock(&x->lock);
		atomic_store(&c->in_guest, false);
		pthread_cond_broadcast(&x->changed);
		while (atomic_load(&x->owner))
			pthread_cond_wait(&x->changed, &x->lock);
		pthread_mutex_unlock(&x->lock);
	}
}

static void step_out(struct cpu *c)
{
	struct exclusive *x = c->vm->excl;

	atomic_store(&c->in_guest, false);
	if (!atomic_load(&x->owner))
		return;
	pthread_mutex_lock(&x->lock);
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->lock);
}

void exclusive_leave_guest(struct cpu *c)
{
	exclusive_abort(c);
	step_out(c);
}

void exclusive_yield(struct cpu *c)
{
	if (!atomic_load_explicit(&c->in_guest, memory_order_relaxed) || c->excl_depth)
		return;
	step_out(c);
	exclusive_enter_guest(c);
}

/* Somebody other than c is in the guest; told: has them come to their next poll. */
static bool others_inside(const struct tcg_vm *vm, const struct cpu *c, bool tell)
{
	bool any = false;

	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct cpu *o = __atomic_load_n(&vm->cpus[i], __ATOMIC_ACQUIRE);

		if (!o || o == c || !atomic_load(&o->in_guest))
			continue;
		any = true;
		if (tell)
			atomic_fetch_or(&o->requests, REQ_EXCLUSIVE);
	}
	return any;
}

void mmu_exclusive_begin(struct cpu *c)
{
	struct tcg_vm *vm = c->vm;
	struct exclusive *x = vm->excl;

	if (c->excl_depth++ || vm->n_vcpus == 1)
		return;
	pthread_mutex_lock(&x->lock);
	c->excl_from_guest = atomic_load(&c->in_guest);
	atomic_store(&c->in_guest, false);
	pthread_cond_broadcast(&x->changed);
	while (atomic_load(&x->owner))
		pthread_cond_wait(&x->changed, &x->lock);
	atomic_store(&x->owner, c);
	vm->n_exclusive++;
	for (bool tell = true; others_inside(vm, c, tell); tell = false)
		pthread_cond_wait(&x->changed, &x->lock);
	pthread_mutex_unlock(&x->lock);
}

void mmu_exclusive_end(struct cpu *c)
{
	struct exclusive *x = c->vm->excl;

	assert(c->excl_depth);
	if (--c->excl_depth || c->vm->n_vcpus == 1)
		return;
	pthread_mutex_lock(&x->lock);
	atomic_store(&c->in_guest, c->excl_from_guest);
	atomic_store(&x->owner, NULL);
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->lock);
}

void exclusive_abort(struct cpu *c)
{
	if (!c->excl_depth)
		return;
	c->excl_depth = 1;
	mmu_exclusive_end(c);
}
