/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_VCPU_THREAD_H
#define MAYFLY_VMM_VCPU_THREAD_H
/*
 * The thread of one vCPU: a machine of three states, the same for every accelerator.
 *
 *	PAUSED <-> RUNNING, PAUSED -> DONE
 *
 * Requests are a wanted state plus vcpu_kick(). The thread parks itself when vcpu_run() returns
 * for any reason but a kick, and tells the owner why.
 *
 * Threads: all calls from the loop thread.
 */
#include "accel/accel.h"

struct vcpu_thread;

struct vcpu_thread_owner {
	/* On the vCPU thread, which parks right after. */
	void (*stopped)(void *ctx, unsigned index, enum vcpu_stop why, const struct err *e);
	void *ctx;
	const char *name; /* of the threads, before the number; NULL: "vcpu" */
};

/* Starts a parked thread. Borrows cpu until vcpu_thread_destroy(). */
int vcpu_thread_create(const struct accel_ops *accel, struct vcpu *cpu, unsigned index,
		       const struct vcpu_thread_owner *owner, struct vcpu_thread **out,
		       struct err *e);
/* Parks and joins; NULL is allowed. */
void vcpu_thread_destroy(struct vcpu_thread *t);

void vcpu_thread_resume(struct vcpu_thread *t);
void vcpu_thread_ask_pause(struct vcpu_thread *t);  /* does not wait */
void vcpu_thread_wait_pause(struct vcpu_thread *t); /* after ask_pause */

#endif
