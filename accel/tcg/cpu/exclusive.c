/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exclusive sections: one lock, a count of the vCPUs in the guest, and the section's owner.
 *
 * Nobody enters the guest while there is an owner; the owner runs once the count, without itself,
 * is zero. A vCPU that asks for a section stops counting at once, so two that ask together cannot
 * wait for each other; it counts again when its section ends.
 *
 * With one vCPU none of this takes a lock.
 */
#include "accel/tcg/cpu/exclusive.h"

#include "vmm/core/err.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct exclusive {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned n_running; /* in the guest and not asking for a section */
	struct cpu *owner;
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

	if (c->vm->n_vcpus > 1) {
		pthread_mutex_lock(&x->lock);
		while (x->owner)
			pthread_cond_wait(&x->changed, &x->lock);
		x->n_running++;
		c->in_guest = true; /* under the lock: the owner reads it */
		pthread_mutex_unlock(&x->lock);
	} else {
		c->in_guest = true;
	}
}

void exclusive_leave_guest(struct cpu *c)
{
	struct exclusive *x = c->vm->excl;

	exclusive_abort(c);
	if (c->vm->n_vcpus > 1) {
		pthread_mutex_lock(&x->lock);
		x->n_running--;
		c->in_guest = false;
		pthread_cond_broadcast(&x->changed);
		pthread_mutex_unlock(&x->lock);
	} else {
		c->in_guest = false;
	}
}

void exclusive_yield(struct cpu *c)
{
	struct exclusive *x = c->vm->excl;

	if (c->vm->n_vcpus == 1 || !c->in_guest || c->excl_depth)
		return;
	pthread_mutex_lock(&x->lock);
	x->n_running--;
	pthread_cond_broadcast(&x->changed);
	while (x->owner)
		pthread_cond_wait(&x->changed, &x->lock);
	x->n_running++;
	pthread_mutex_unlock(&x->lock);
}

void mmu_exclusive_begin(struct cpu *c)
{
	struct tcg_vm *vm = c->vm;
	struct exclusive *x = vm->excl;

	if (c->excl_depth++ || vm->n_vcpus == 1)
		return;
	pthread_mutex_lock(&x->lock);
	if (c->in_guest) {
		x->n_running--;
		pthread_cond_broadcast(&x->changed);
	}
	while (x->owner)
		pthread_cond_wait(&x->changed, &x->lock);
	x->owner = c;
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (vm->cpus[i] && vm->cpus[i] != c && vm->cpus[i]->in_guest)
			atomic_fetch_or(&vm->cpus[i]->requests, REQ_EXCLUSIVE);
	while (x->n_running)
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
	x->owner = NULL;
	if (c->in_guest)
		x->n_running++;
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
