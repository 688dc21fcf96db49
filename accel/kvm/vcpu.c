/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU of the KVM accelerator: set-up, the run loop, and the kick that stops it.
 *
 * The kick: kvm_vcpu_kick() sets kick_wanted, then immediate_exit, then signals the thread. A
 * thread that is in the guest or asleep in HLT is woken by the signal; one that is about to enter
 * finds immediate_exit set and comes back at once, having completed the access of the last exit.
 * The signal's handler does nothing and is there only to interrupt KVM_RUN.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accel/kvm/kvm_int.h"
#include "accel/x86_state.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem_file.h"

/* Free for programs: the C library takes the first ones before SIGRTMIN. */
#define KICK_SIGNAL SIGRTMIN

static void on_kick_signal(int sig)
{
	(void)sig;
}

static int install_kick_handler(struct err *e)
{
	struct sigaction sa = { .sa_handler = on_kick_signal };

	sigemptyset(&sa.sa_mask);
	if (sigaction(KICK_SIGNAL, &sa, NULL) < 0)
		return kvm_fail(e, "signal handler");
	return 0;
}

static int set_up(struct vcpu *cpu, struct err *e)
{
	int r;

	cpu->fd = ioctl(cpu->vm->vm_fd, KVM_CREATE_VCPU, cpu->index);
	if (cpu->fd < 0)
		return kvm_fail(e, "create vCPU");
	cpu->run = mmap(NULL, cpu->vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (cpu->run == MAP_FAILED) {
		cpu->run = NULL;
		return kvm_fail(e, "map vCPU");
	}
	r = kvm_cpuid_set(cpu, e);
	if (r == 0)
		r = kvm_msr_set_boot(cpu, e);
	if (r == 0)
		r = kvm_msr_set_template(cpu, e);
	if (r == 0)
		r = kvm_vcpu_save_power_on(cpu, e);
	return r == 0 ? kvm_vcpu_reset(cpu, e) : r;
}

int kvm_vcpu_create(struct accel_vm *vm, unsigned index, struct vcpu **out, struct err *e)
{
	struct vcpu *cpu;
	int r;

	r = install_kick_handler(e);
	if (r < 0)
		return r;
	cpu = calloc(1, sizeof(*cpu));
	if (!cpu)
		return err_set(e, ENOMEM, "kvm: out of memory");
	cpu->vm = vm;
	cpu->index = index;
	cpu->fd = -1;
	r = set_up(cpu, e);
	if (r < 0) {
		if (r != -ENOTSUP) /* a template that asks too much of any vCPU */
			err_wrap(e, "vcpu%u", index);
		kvm_vcpu_destroy(cpu);
		return r;
	}
	*out = cpu;
	return 0;
}

void kvm_vcpu_destroy(struct vcpu *cpu)
{
	if (!cpu)
		return;
	if (cpu->run)
		munmap(cpu->run, cpu->vm->run_bytes);
	if (cpu->fd >= 0)
		close(cpu->fd);
	free(cpu->xsave);
	free(cpu->msrs);
	free(cpu);
}

void kvm_vcpu_kick(struct vcpu *cpu)
{
	int tid;

	atomic_store(&cpu->kick_wanted, true);
	/* The kernel reads it in KVM_RUN on the other thread. */
	__atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	tid = atomic_load(&cpu->tid);
	if (tid)
		syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

/* After KVM_RUN gave EINTR. A stray signal, or a kick that came twice, is no reason to stop. */
static bool was_kicked(struct vcpu *cpu)
{
	__atomic_store_n(&cpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	return atomic_exchange(&cpu->kick_wanted, false);
}

static enum vcpu_stop run_loop(struct vcpu *cpu, struct err *e)
{
	enum vcpu_stop stop = VCPU_FAILED;

	for (;;) {
		if (ioctl(cpu->fd, KVM_RUN, 0) == 0) {
			if (!kvm_exit_handle(cpu, &stop, e))
				return stop;
		} else if (errno == EINTR) {
			if (was_kicked(cpu))
				return VCPU_KICKED;
		} else if (errno == EFAULT && gmem_repair(cpu->vm->mem, &cpu->repairs_seen)) {
			continue; /* a file in guest memory */
		} else if (errno != EAGAIN) { /* EAGAIN: woken while waiting for INIT or SIPI */
			kvm_fail(e, "run");
			err_wrap(e, "vcpu%u", cpu->index);
			return VCPU_FAILED;
		}
	}
}

enum vcpu_stop kvm_vcpu_run(struct vcpu *cpu, struct err *e)
{
	enum vcpu_stop stop;

	atomic_store(&cpu->tid, (int)syscall(SYS_gettid));
	stop = run_loop(cpu, e);
	atomic_store(&cpu->tid, 0);
	return stop;
}
