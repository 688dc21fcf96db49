/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe guest: one page of memory and a counted loop in 32-bit protected mode at ring 0, as a
 * kernel would run, ended by a port write. See probe.h.
 *
 * Thresholds, from measurement: a processor runs the loop at more than 500 million instructions a
 * second; KVM on SVM that QEMU translates at 60 to 180 million, exits included; a KVM that
 * emulates instructions at about one million. The best of a few short runs counts, so that a
 * busy host is not mistaken for a slow KVM.
 */
#include "accel/kvm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "accel/kvm/kvm_int.h"

enum {
	PROBE_LOOPS = 5000,
	PROBE_INSNS = 2 * PROBE_LOOPS + 2,
	PROBE_RUNS = 4,
	PROBE_GPA = 0x1000,
	PROBE_LIMIT_MS = 12, /* of one run: four together stay below 50 ms */
};

#define PROBE_MIN_INSNS_PER_S 4000000ull

static const uint8_t payload[] = {
	0xb9, PROBE_LOOPS & 0xff, PROBE_LOOPS >> 8, 0, 0, /* mov ecx, PROBE_LOOPS */
	0x49,                                             /* dec ecx */
	0x75, 0xfd,                                       /* jnz -3 */
	0xe6, 0x10,                                       /* out 0x10, al */
	0xf4,                                             /* hlt, not reached */
};

struct probe_vm {
	int kvm_fd, vm_fd, cpu_fd;
	struct kvm_run *run;
	size_t run_bytes;
	uint8_t *page;
	timer_t timer;
	bool has_timer;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void on_limit(int sig)
{
	(void)sig;
}

/* A KVM that never comes back from the loop is interrupted. */
static int arm_limit(struct probe_vm *p)
{
	struct sigaction sa = { .sa_handler = on_limit };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN };

	sigemptyset(&sa.sa_mask);
	ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (sigaction(SIGRTMIN, &sa, NULL) < 0 || timer_create(CLOCK_MONOTONIC, &ev, &p->timer) < 0)
		return -errno;
	p->has_timer = true;
	return 0;
}

static void set_limit(struct probe_vm *p, unsigned ms)
{
	struct itimerspec its = { .it_value = { .tv_nsec = (long)ms * 1000000 } };

	timer_settime(p->timer, 0, &its, NULL);
}

static int make_guest(struct probe_vm *p)
{
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = PROBE_GPA,
		.memory_size = 4096,
	};
	int bytes;

	p->vm_fd = ioctl(p->kvm_fd, KVM_CREATE_VM, 0);
	if (p->vm_fd < 0)
		return -errno;
	if (ioctl(p->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000) < 0)
		return -errno;
	p->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->page == MAP_FAILED) {
		p->page = NULL;
		return -errno;
	}
	memcpy(p->page, payload, sizeof(payload));
	slot.userspace_addr = (uintptr_t)p->page;
	if (ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return -errno;
	p->cpu_fd = ioctl(p->vm_fd, KVM_CREATE_VCPU, 0);
	if (p->cpu_fd < 0)
		return -errno;
	bytes = ioctl(p->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (bytes < (int)sizeof(struct kvm_run))
		return -EINVAL;
	p->run_bytes = (size_t)bytes;
	p->run = mmap(NULL, p->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->cpu_fd, 0);
	if (p->run == MAP_FAILED) {
		p->run = NULL;
		return -errno;
	}
	return arm_limit(p);
}

static int enter_protected_mode(struct probe_vm *p)
{
	const struct kvm_segment flat = {
		.limit = 0xffffffff, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1, .selector = 16,
	};
	struct kvm_sregs s;

	if (ioctl(p->cpu_fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
	s.ds = s.es = s.fs = s.gs = s.ss = s.cs = flat;
	s.cs.type = 11;
	s.cs.selector = 8;
	s.cr0 |= 1;
	return ioctl(p->cpu_fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

/* One pass of the loop; *ns is its time. -ETIME if it was interrupted, -EPROTO if it ended
 * otherwise than by its port write. */
static int time_loop(struct probe_vm *p, uint64_t *ns)
{
	struct kvm_regs regs = { .rip = PROBE_GPA, .rflags = 2 };
	uint64_t start;
	int r;

	if (ioctl(p->cpu_fd, KVM_SET_REGS, &regs) < 0)
		return -errno;
	set_limit(p, PROBE_LIMIT_MS);
	start = now_ns();
	r = ioctl(p->cpu_fd, KVM_RUN, 0);
	*ns = now_ns() - start;
	if (r < 0)
		r = errno == EINTR ? -ETIME : -errno;
	set_limit(p, 0);
	if (r < 0)
		return r;
	return p->run->exit_reason == KVM_EXIT_IO && p->run->io.port == 0x10 ? 0 : -EPROTO;
}

static void release(struct probe_vm *p)
{
	if (p->has_timer)
		timer_delete(p->timer);
	if (p->run)
		munmap(p->run, p->run_bytes);
	if (p->cpu_fd >= 0)
		close(p->cpu_fd);
	if (p->vm_fd >= 0)
		close(p->vm_fd);
	if (p->page)
		munmap(p->page, 4096);
	if (p->kvm_fd >= 0)
		close(p->kvm_fd);
}

__attribute__((format(printf, 3, 4))) static void conclude(struct kvm_probe *out,
							   enum kvm_verdict verdict,
							   const char *fmt, ...)
{
	va_list ap;

	out->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(out->reason, sizeof(out->reason), fmt, ap);
	va_end(ap);
}

static void judge(struct kvm_probe *out, uint64_t best_ns)
{
	out->insns_per_s = PROBE_INSNS * 1000000000ull / (best_ns ? best_ns : 1);
	if (out->insns_per_s >= PROBE_MIN_INSNS_PER_S)
		conclude(out, KVM_PROBE_USABLE,
			 "/dev/kvm runs guests (probe loop: %llu million instructions/s)",
			 (unsigned long long)(out->insns_per_s / 1000000));
	else
		conclude(out, KVM_PROBE_SLOW,
			 "/dev/kvm is too slow: it emulates instructions (%llu thousand/s)",
			 (unsigned long long)(out->insns_per_s / 1000));
}

static void run_guest(struct probe_vm *p, struct kvm_probe *out)
{
	uint64_t best = UINT64_MAX, ns = 0;
	unsigned i;
	int r = make_guest(p);

	if (r == 0)
		r = enter_protected_mode(p);
	/* A run that was interrupted may have lost the processor to others: try again. */
	for (i = 0; (r == 0 || r == -ETIME) && i < PROBE_RUNS; i++) {
		r = time_loop(p, &ns);
		if (r == 0 && ns < best)
			best = ns;
		if (best < PROBE_INSNS * 1000000000ull / (4 * PROBE_MIN_INSNS_PER_S))
			break;
	}
	if (best != UINT64_MAX)
		judge(out, best);
	else if (r == -ETIME)
		conclude(out, KVM_PROBE_SLOW,
			 "/dev/kvm is too slow: %d instructions took more than %d ms, %d times",
			 PROBE_INSNS, PROBE_LIMIT_MS, PROBE_RUNS);
	else if (r == -EPROTO)
		conclude(out, KVM_PROBE_BROKEN, "/dev/kvm fails to run a guest (exit reason %u)",
			 p->run->exit_reason);
	else
		conclude(out, KVM_PROBE_BROKEN, "/dev/kvm opens but does not work: %s",
			 strerror(-r));
}

void kvm_probe_run(struct kvm_probe *out)
{
	struct probe_vm p = { .kvm_fd = -1, .vm_fd = -1, .cpu_fd = -1 };
	struct err e = { 0 };
	uint32_t caps;

	memset(out, 0, sizeof(*out));
	p.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (p.kvm_fd < 0 && (errno == EACCES || errno == EPERM))
		conclude(out, KVM_PROBE_FORBIDDEN, "/dev/kvm: permission denied");
	else if (p.kvm_fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
		conclude(out, KVM_PROBE_MISSING, "no /dev/kvm on this host");
	else if (p.kvm_fd < 0)
		conclude(out, KVM_PROBE_BROKEN, "/dev/kvm: %s", strerror(errno));
	else if (kvm_probe_caps(NULL, &caps, &e) < 0)
		conclude(out, KVM_PROBE_BROKEN, "%s", e.msg);
	else
		run_guest(&p, out);
	release(&p);
}
