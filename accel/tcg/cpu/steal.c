/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steal time: how long a vCPU wanted to run and did not, and whether it does at the moment, told to
 * the guest through 64 bytes that MSR_KVM_STEAL_TIME points to.
 *
 * Stolen is real time minus processor time of the vCPU's thread, outside of HLT: time that other
 * threads of the host had the processor, and time waiting for another vCPU's exclusive section. It
 * is brought up to date when the vCPU's timer fires and when it halts.
 *
 * A thread is not told when the host preempts it, so `preempted` is set only while a vCPU that
 * spins gives its processor away (steal_yield). Guests then do not wait for it to flush its TLB,
 * but set a bit that is looked at before it goes on. A halted one is not marked, as that would make
 * Linux's scheduler take it for busy.
 *
 * Refs: Linux Documentation/virt/kvm/x86/msr.rst, MSR_KVM_STEAL_TIME.
 */
#include "accel/tcg/cpu/steal.h"

#include "accel/tcg/cpu/lapic_regs.h"
#include "accel/tcg/cpu/phys.h"
#include "accel/tcg/cpu/seg.h"
#include "vmm/core/bytes.h"

#include <sched.h>
#include <time.h>

/* The page: u64 steal, u32 version, u32 flags, u8 preempted. */
enum { AT_STEAL = 0, AT_VERSION = 8, AT_PREEMPTED = 16, AREA_BYTES = 64 };
enum { MSR_ENABLE = 1, MSR_RESERVED = 0x3e };
enum { PREEMPTED = 1, FLUSH_TLB = 2 };

static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The area in host memory, or NULL: off. It is aligned, so it lies in one page. */
static uint8_t *area(const struct cpu *c)
{
	uint64_t avail;
	uint8_t *p;

	if (!(c->kvm_steal_time & MSR_ENABLE))
		return NULL;
	p = phys_ram(c->vm, c->kvm_steal_time & ~(uint64_t)(AREA_BYTES - 1), &avail);
	return avail >= AREA_BYTES ? p : NULL;
}

static void changed(struct cpu *c)
{
	gmem_written(c->vm->mem, c->kvm_steal_time & ~(uint64_t)(AREA_BYTES - 1), AREA_BYTES);
}

/* Other vCPUs read the area, too: the version is odd while the time changes. */
static void publish(struct cpu *c)
{
	uint8_t *p = area(c);
	uint32_t *version;

	if (!p)
		return;
	version = (uint32_t *)(void *)(p + AT_VERSION);
	__atomic_store_n(version, __atomic_load_n(version, __ATOMIC_RELAXED) | 1, __ATOMIC_SEQ_CST);
	__atomic_store_n((uint64_t *)(void *)(p + AT_STEAL), c->stolen_ns, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(version, 1, __ATOMIC_SEQ_CST);
	c->steal_told_ns = c->stolen_ns;
	changed(c);
}

static void account(struct cpu *c)
{
	int64_t stolen = (int64_t)(clock_now_ns() - c->steal_wall_ns - thread_ns() +
				   c->steal_thread_ns);

	/* The two clocks are not read at one moment: what was once told is not taken back. */
	if (stolen > (int64_t)c->stolen_ns)
		c->stolen_ns = (uint64_t)stolen;
}

void steal_pause(struct cpu *c)
{
	if (!(c->kvm_steal_time & MSR_ENABLE))
		return;
	account(c);
	c->steal_paused = true;
}

void steal_resume(struct cpu *c)
{
	if (!(c->kvm_steal_time & MSR_ENABLE) || !c->steal_paused)
		return;
	c->steal_paused = false;
	c->steal_fresh = true;
	/* Goes on counting from what it had. */
	c->steal_thread_ns = thread_ns();
	c->steal_wall_ns = clock_now_ns() - c->stolen_ns;
}

void steal_update(struct cpu *c)
{
	if (!(c->kvm_steal_time & MSR_ENABLE))
		return;
	if (!c->steal_fresh)
		account(c);
	c->steal_fresh = false;
	if (c->stolen_ns != c->steal_told_ns)
		publish(c);
}

void steal_write_msr(struct cpu *c, uint64_t val)
{
	if (val & MSR_RESERVED)
		cpu_raise_gp0(c);
	c->kvm_steal_time = val;
	c->steal_paused = true;
	steal_resume(c);
	publish(c);
}

/* A hundred microseconds of spinning, little beside the slice that the host gives a thread. The
 * host may give what is yielded to anybody, so only if another vCPU may be waiting for it. */
enum { PAUSES_PER_YIELD = 1024 };

static unsigned wanting(const struct tcg_vm *vm)
{
	unsigned n = 0;

	for (unsigned i = 0; i < vm->n_vcpus; i++)
		n += vm->cpus[i] && atomic_load_explicit(&vm->cpus[i]->in_guest,
							 memory_order_relaxed);
	return n;
}

void steal_paused(struct cpu *c)
{
	if (++c->n_pauses % PAUSES_PER_YIELD == 0 && wanting(c->vm) > c->vm->n_processors)
		steal_yield(c);
}

void steal_yield(struct cpu *c)
{
	uint8_t *p = area(c);

	if (p)
		__atomic_store_n(p + AT_PREEMPTED, PREEMPTED, __ATOMIC_SEQ_CST);
	sched_yield();
	if (!p)
		return;
	if (__atomic_exchange_n(p + AT_PREEMPTED, 0, __ATOMIC_SEQ_CST) & FLUSH_TLB)
		mmu_flush_all(c);
	changed(c);
}
