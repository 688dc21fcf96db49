/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and unmaking a software VM's shared part and its vCPUs.
 *
 * A vCPU lives in one mapping: [guard][C stack][struct cpu][guard]. Translated code runs with the
 * host's stack pointer at struct cpu, and what it calls uses the stack below; overrunning it, or
 * running past the struct, hits a guard page. The struct has a huge page of the host to itself, if
 * the host gives one: the tables in it are looked up all the time, in no order, and after a sleep
 * of the guest each small page would be missed by the host's TLB.
 */
#include "accel/tcg/cpu/vm.h"

#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/cpu/host_insn.h"
#include "accel/tcg/cpu/lapic_regs.h"
#include "accel/tcg/cpu/model.h"
#include "accel/tcg/cpu/phys.h"
#include "accel/tcg/cpu/template.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

enum { GUARD_BYTES = 64 << 10, STACK_BYTES = 256 << 10, HUGE_BYTES = 2 << 20 };
_Static_assert(sizeof(struct cpu) <= HUGE_BYTES, "a vCPU has one huge page");

static unsigned host_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

int tcg_vm_init(struct tcg_vm *vm, struct gmem *mem, const struct accel_io *io,
		const struct accel_config *cfg, struct err *e)
{
	int r;

	if (cfg->n_vcpus < 1 || cfg->n_vcpus > TCG_MAX_VCPUS)
		return err_set(e, EINVAL, "translator: %u vCPUs asked for, 1 to %d are possible",
			       cfg->n_vcpus, TCG_MAX_VCPUS);
	vm->mem = mem;
	vm->io = io;
	vm->cfg = *cfg;
	vm->n_vcpus = cfg->n_vcpus;
	vm->n_processors = host_processors();
	vm->own_processors = vm->n_vcpus <= vm->n_processors;
	r = model_init(vm, cfg->cpu, e);
	if (r < 0)
		return r;
	clock_init(vm);
	r = phys_init(vm, e);
	if (r == 0)
		r = exclusive_create(vm, e);
	if (r == 0)
		r = tcg_timer_create(vm, e);
	if (r < 0)
		tcg_vm_fini(vm);
	return r;
}

void tcg_vm_fini(struct tcg_vm *vm)
{
	tcg_timer_destroy(vm);
	exclusive_destroy(vm);
	phys_fini(vm);
	host_insn_destroy(vm);
}

static void cpu_unmap(uint8_t *at)
{
	munmap(at - STACK_BYTES - GUARD_BYTES, STACK_BYTES + HUGE_BYTES + 2 * GUARD_BYTES);
}

/* Zeroed memory for a vCPU, with its stack and guards; NULL: none. */
static struct cpu *cpu_map(void)
{
	size_t bytes = 2 * (size_t)HUGE_BYTES + STACK_BYTES + 2 * GUARD_BYTES;
	uint8_t *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *at, *end;

	if (p == MAP_FAILED)
		return NULL;
	at = p + GUARD_BYTES + STACK_BYTES;
	at += -(uintptr_t)at & (HUGE_BYTES - 1);
	end = p + bytes;
	munmap(p, (size_t)(at - STACK_BYTES - GUARD_BYTES - p));
	munmap(at + HUGE_BYTES + GUARD_BYTES, (size_t)(end - at) - HUGE_BYTES - GUARD_BYTES);
	if (mprotect(at - STACK_BYTES, STACK_BYTES + HUGE_BYTES, PROT_READ | PROT_WRITE) < 0) {
		cpu_unmap(at);
		return NULL;
	}
	madvise(at, HUGE_BYTES, MADV_HUGEPAGE); /* or small ones */
	return (struct cpu *)(void *)at;
}

int cpu_create(struct tcg_vm *vm, unsigned index, struct cpu **out, struct err *e)
{
	struct cpu *c;
	int r;

	if (index >= vm->n_vcpus || vm->cpus[index])
		return err_set(e, EINVAL, "translator: vCPU %u cannot be made", index);
	c = cpu_map();
	if (!c)
		return err_set(e, ENOMEM, "translator: no memory for vCPU %u", index);
	c->vm = vm;
	c->index = index;
	c->delivering = -1;
	r = lapic_create(c, &c->lapic);
	if (r < 0) {
		cpu_unmap((uint8_t *)(void *)c);
		return err_set(e, -r, "translator: no memory for vCPU %u", index);
	}
	mmu_init(c);
	cpu_reset(c);
	r = template_check(c, e);
	if (r < 0) {
		lapic_destroy(c->lapic);
		cpu_unmap((uint8_t *)(void *)c);
		return r;
	}
	/* The timer thread may look at once. */
	__atomic_store_n(&vm->cpus[index], c, __ATOMIC_RELEASE);
	*out = c;
	return 0;
}

void cpu_destroy(struct cpu *c)
{
	if (!c)
		return;
	/* No thread may look at it any more: the timer's does. */
	tcg_timer_destroy(c->vm);
	c->vm->cpus[c->index] = NULL;
	lapic_destroy(c->lapic);
	cpu_unmap((uint8_t *)(void *)c);
}
