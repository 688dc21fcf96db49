/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_VM_H
#define MAYFLY_ACCEL_TCG_CPU_VM_H
/* What the vCPUs of one software VM share. */
#include "accel/accel.h"
#include "accel/tcg/cpu/cpu.h"
#include "accel/tcg/cpu/mmu.h"

#include <pthread.h>

enum { TCG_MAX_VCPUS = 64 };

struct jit;
struct tcg_timer;

struct tcg_vm {
	struct gmem *mem;
	const struct accel_io *io;
	struct accel_config cfg;
	unsigned n_vcpus;
	struct cpu *cpus[TCG_MAX_VCPUS];
	_Atomic bool extint; /* i8259 INT output, seen by vCPU 0 */
	/* phys.c */
	_Atomic uint8_t *code_bits[GMEM_MAX_REGIONS]; /* one bit per 4 KiB page */
	struct code_watcher code_watcher;
	/* timer.c: one thread that turns local APIC deadlines into REQ_TIMER */
	struct tcg_timer *timer;
	/* exclusive sections (exclusive.c) */
	struct exclusive *excl;
	struct jit *jit; /* NULL: interpreter only */
	uint64_t tsc_khz;
};

#endif
