/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_VM_H
#define MAYFLY_ACCEL_TCG_CPU_VM_H
/* What the vCPUs of one software VM share. */
#include "accel/accel.h"
#include "accel/tcg/cpu/cpu.h"
#include "accel/tcg/cpu/mmu.h"

#include <pthread.h>

enum { TCG_MAX_VCPUS = 64 };

struct err;
struct jit;
struct tcg_timer;

enum cpu_flush { CPU_FLUSH_ALL, CPU_FLUSH_NONGLOBAL, CPU_FLUSH_PAGE };

/* What the JIT is told; NULL: nothing. vCPU thread. */
struct cpu_hooks {
	/* Translations were dropped: everything keyed by linear address is void. la: for PAGE. */
	void (*tlb_flushed)(struct cpu *c, enum cpu_flush what, gvaddr la);
};

enum cpu_model { MODEL_HOST, MODEL_V2, MODEL_V3 };

struct tcg_vm {
	struct gmem *mem;
	const struct accel_io *io;
	struct accel_config cfg;
	unsigned n_vcpus;
	unsigned n_processors; /* of the host */
	bool own_processors;   /* one for each vCPU: spinning is all right */
	struct cpu *cpus[TCG_MAX_VCPUS];
	_Atomic bool extint; /* i8259 INT output, seen by vCPU 0 */
	/* phys.c */
	_Atomic unsigned protecting; /* vCPUs inside phys_protect_code(), about to mark or not done */
	/* One bit per 4 KiB page: it holds code; a TLB may hold a write entry for it. */
	_Atomic uint8_t *code_bits[GMEM_MAX_REGIONS], *write_bits[GMEM_MAX_REGIONS];
	struct code_watcher code_watcher;
	/* timer.c: one thread that turns local APIC deadlines into REQ_TIMER */
	struct tcg_timer *timer;
	/* exclusive sections (exclusive.c) */
	struct exclusive *excl;
	uint64_t n_exclusive; /* sections so far */
	struct jit *jit; /* NULL: interpreter only */
	struct cpu_hooks hooks;
	const struct gmem_region *ram;
	unsigned n_ram;
	/* model.c: the processor that the guest sees */
	enum cpu_model model;
	bool intel;               /* its vendor; AMD else */
	bool has[X86_N_FEATURES]; /* what it has of what the translator implements */
	uint8_t *insn_rw, *insn_rx; /* host_insn.c; NULL without AVX-512 */
	/* clock.c. Guest TSC = host's + cpu->tsc_offset if tsc_native, else made from
	 * CLOCK_MONOTONIC; tsc_ref and ns_ref are the two at the VM's creation. */
	bool tsc_native;
	uint64_t tsc_khz;
	uint64_t tsc_ref, ns_ref;
	uint32_t pvclock_mul;
	int8_t pvclock_shift;
};

/* Fills the zeroed *vm: borrows mem and io for the VM's life, starts the timer thread, makes
 * itself the watcher of mem. n_vcpus is cfg's. vCPUs are added by cpu_create(). */
int tcg_vm_init(struct tcg_vm *vm, struct gmem *mem, const struct accel_io *io,
		const struct accel_config *cfg, struct err *e);
void tcg_vm_fini(struct tcg_vm *vm); /* after all cpu_destroy() */

#endif
