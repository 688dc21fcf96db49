/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_CPU_RIG_H
#define MAYFLY_TESTS_TCG_CPU_RIG_H
/*
 * A software VM without a machine: RAM, up to four processors, recorded MMIO, ports, EOIs. The
 * test's thread plays every vCPU thread.
 */
#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/mmu.h"
#include "accel/tcg/cpu/reset.h"
#include "accel/tcg/cpu/vm.h"
#include "vmm/core/gmem.h"

enum { RIG_RAM = 16 << 20, RIG_CPUS = 4 };

struct rig_access {
	gpaddr addr;
	unsigned size;
	bool write;
	uint64_t val;
};

struct rig {
	struct gmem *mem;
	struct accel_io io;
	struct tcg_vm vm;
	struct cpu *cpu[RIG_CPUS];
	struct cpu *c; /* cpu[0] */
	struct rig_access mmio[64], pio[64];
	unsigned n_mmio, n_pio;
	uint64_t mmio_value;
	uint8_t eois[64];
	unsigned n_eois;
	int intack_vector;
};

struct rig *rig_create(unsigned n_cpus);
struct rig *rig_create_model(unsigned n_cpus, const char *model); /* of --cpu */
void rig_destroy(struct rig *r);

/* What fn raised: vector, or -1 if it returned. */
struct rig_fault {
	int vector;
	bool has_error;
	uint32_t error;
};
struct rig_fault rig_catch(struct cpu *c, void (*fn)(struct cpu *c, void *arg), void *arg);

void rig_put(struct rig *r, gpaddr gpa, uint64_t val, unsigned size);
uint64_t rig_get(struct rig *r, gpaddr gpa, unsigned size);

/* Descriptors: attr as in struct x86_seg. */
uint64_t rig_desc(uint32_t base, uint32_t limit, unsigned attr);
/* GDT at 0x1000 (limit 0xff), IDT at 0x2000, TSS at 0x3000; flat ring-0 segments, paging off. */
void rig_protected(struct rig *r);
void rig_long(struct rig *r); /* and long mode with identity-mapped 2 MiB pages, user allowed */

enum { /* selectors of the rig's GDT */
	RIG_CS0 = 0x08, RIG_DS0 = 0x10, RIG_CS3 = 0x1b, RIG_DS3 = 0x23, RIG_CS64 = 0x28,
	RIG_CS64U = 0x33, RIG_TSS = 0x38, RIG_CS16 = 0x48, RIG_CONF = 0x50, RIG_NP = 0x58,
	RIG_DATA_RO = 0x60, RIG_GATE = 0x68, RIG_TSS_B = 0x78, RIG_LDT = 0x80, RIG_FREE = 0x88,
	RIG_GDT = 0x1000, RIG_IDT = 0x2000, RIG_TSS_AT = 0x3000, RIG_TSS_B_AT = 0x3800,
};

uint32_t rig_random(uint32_t *seed);

#endif
