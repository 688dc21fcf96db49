/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of one vCPU. See vcpu_thread.h. */
#include "vmm/vcpu_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "vmm/core/err.h"

/* Less than a huge page, or the host may give each thread one. */
enum { VCPU_STACK_BYTES = 1 << 20 };

enum vcpu_phase { VCPU_PHASE_PAUSED, VCPU_PHASE_RUNNING, VCPU_PHASE_DONE };

struct vcpu_thread {
	const struct accel_ops *accel;
	struct vcpu *cpu;
	unsigned index;
	struct vcpu_thread_owner owner;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum vcpu_phase wanted, phase; /* under lock */
};

static void run_until_stop(struct vcpu_thread *t)
{
	struct err e = { 0 };
	enum vcpu_stop why;

	why = t->accel->vcpu_run(t->cpu, &e);
	if (why == VCPU_KICKED)
		return;
	pthread_mutex_lock(&t->lock);
	if (t->wanted == VCPU_PHASE_RUNNING)
		t->wanted = VCPU_PHASE_PAUSED;
	pthread_mutex_unlock(&t->lock);
	t->owner.stopped(t->owner.ctx, t->index, why, &e);
}

static void *vcpu_thread_main(void *arg)
{
	struct vcpu_thread *t = arg;
	char name[16];

	snprintf(name, sizeof(name), "%s%u", t->owner.name ? t->owner.name : "vcpu",
		 t->index);
	pthread_setname_np(pthread_self(), name);
	/* A guest's timers are not to be late by the host's default slack of 50 us. */
	prctl(PR_SET_TIMERSLACK, 1);

	pthread_mutex_lock(&t->lock);
	while (t->wanted != VCPU_PHASE_DONE) {
		if (t->wanted == VCPU_PHASE_PAUSED) {
			t->phase = VCPU_PHASE_PAUSED;
			pthread_cond_broadcast(&t->changed);
			pthread_cond_wait(&t->changed, &t->lock);
			continue;
		}
		t->phase = VCPU_PHASE_RUNNING;
		pthread_mutex_unlock(&t->lock);
		run_until_stop(t);
		pthread_mutex_lock(&t->lock);
	}
	t->phase = VCPU_PHASE_DONE;
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int vcpu_thread_create(const struct accel_ops *accel, struct vcpu *cpu, unsigned index,
		       const struct vcpu_thread_owner *owner, struct vcpu_thread **out,
		       struct err *e)
{
	struct vcpu_thread *t = calloc(1, sizeof(*t));
	pthread_attr_t attr;
	int r;

	if (!t)
		return err_set(e, ENOMEM, "vcpu%u: out of memory", index);
	t->accel = accel;
	t->cpu = cpu;
	t->index = index;
	t->owner = *owner;
	t->wanted = t->phase = VCPU_PHASE_PAUSED;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VCPU_STACK_BYTES);
	r = pthread_create(&t->thread, &attr, vcpu_thread_main, t);
	pthread_attr_destroy(&attr);
	if (r) {
		pthread_cond_destroy(&t->changed);
		pthread_mutex_destroy(&t->lock);
		free(t);
		err_set(e, r, "vcpu%u: cannot start a thread: %s", index, strerror(r));
		err_hint(e, "raise the limit on processes (ulimit -u) or use fewer vCPUs");
		return -r;
	}
	*out = t;
	return 0;
}

static void want(struct vcpu_thread *t, enum vcpu_phase phase)
{
	pthread_mutex_lock(&t->lock);
	t->wanted = phase;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	if (phase != VCPU_PHASE_RUNNING)
		t->accel->vcpu_kick(t->cpu);
}

void vcpu_thread_resume(struct vcpu_thread *t)
{
	want(t, VCPU_PHASE_RUNNING);
}

void vcpu_thread_ask_pause(struct vcpu_thread *t)
{
	want(t, VCPU_PHASE_PAUSED);
}

void vcpu_thread_wait_pause(struct vcpu_thread *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->phase == VCPU_PHASE_RUNNING)
		pthread_cond_wait(&t->changed, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

void vcpu_thread_destroy(struct vcpu_thread *t)
{
	if (!t)
		return;
	want(t, VCPU_PHASE_DONE);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
