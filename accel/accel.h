/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_ACCEL_H
#define MAYFLY_ACCEL_ACCEL_H
/*
 * The seam between the machine and whatever executes guest instructions.
 *
 * The machine hands `accel_io` to the accelerator instead of taking exits back: a translated load
 * cannot return from the middle of a block, and KVM can call the same functions from its exit
 * switch. vcpu_run() returns only for life-cycle reasons. What an accelerator lacks is a cleared
 * capability bit, and the machine supplies the user-space part. Callers never test its name.
 *
 * Threads: vm_* and vcpu_create on the machine's thread; vcpu_run, get_state and set_state on the
 * vCPU's own thread (or any thread while that one is parked); irq_set, msi_send, extint_set and
 * vcpu_kick from any thread.
 */
#include "vmm/core/gmem.h"

#include <stdbool.h>
#include <stdint.h>

struct accel_vm;
struct cpu_template;
struct err;
struct vcpu;
struct x86_state;

struct accel_io { /* given by the machine; mmio and pio are called on vCPU threads */
	void (*mmio)(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val);
	void (*pio)(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val);
	/* Without ACCEL_CAP_IRQCHIP: the local APIC of a vCPU was given an EOI for a
	 * level-triggered vector / takes the i8259's interrupt and wants its vector. */
	void (*eoi)(void *ctx, uint8_t vector);
	int (*intack)(void *ctx); /* vector, or -1 if none is pending any more */
	void *ctx;
};

enum vcpu_stop {
	VCPU_KICKED,   /* vcpu_kick() */
	VCPU_HALTED,   /* cannot wake again: HLT with interrupts off and nothing to wake it, no
			  other vCPU running; only ever from accelerators that can tell */
	VCPU_RESET,    /* the guest asked the processor to reset the machine */
	VCPU_SHUTDOWN, /* triple fault */
	VCPU_FAILED,   /* err says what the accelerator cannot do */
};

enum {
	ACCEL_CAP_IRQCHIP = 1u << 0,   /* i8259, IOAPIC, i8254 inside; irq_set takes GSIs */
	ACCEL_CAP_IOEVENTFD = 1u << 1,
};

struct accel_config {
	unsigned n_vcpus;
	unsigned threads_per_core; /* 1 or 2; 0: 1. Two need an even number of vCPUs. */
	const struct cpu_template *cpu_template; /* borrowed for the VM's life; NULL: none */
	bool track_dirty; /* KVM only so far: log which pages the guest writes */
	uint64_t code_cache_bytes; /* translator only; 0: default */
	const char *cpu;           /* translator only: processor model; NULL: "host" */
	const char *debug;         /* translator only: comma list "nojit,nochain,lockstep"; or NULL */
};

struct accel_counter_sink { /* takes one number; name is copied if it is kept */
	void (*put)(void *ctx, const char *name, uint64_t value);
	void *ctx;
};

struct accel_ops {
	const char *name; /* "kvm", "tcg" */
	/* 0 if it can run guests here, with what the template (or NULL) says of KVM's capabilities;
	 * fills caps. */
	int (*probe)(const struct cpu_template *t, uint32_t *caps, struct err *e);
	/* Borrows mem and *io for the VM's life; maps all RAM regions of mem. */
	int (*vm_create)(struct gmem *mem, const struct accel_io *io,
			 const struct accel_config *cfg, struct accel_vm **out, struct err *e);
	void (*vm_destroy)(struct accel_vm *vm); /* vCPUs first; NULL is allowed */
	/* A GSI of the inside irqchip; needs ACCEL_CAP_IRQCHIP. */
	void (*irq_set)(struct accel_vm *vm, unsigned gsi, bool level);
	void (*msi_send)(struct accel_vm *vm, uint64_t addr, uint32_t data);
	/* Level of the i8259's INT output at LINT0 of vCPU 0; NULL with ACCEL_CAP_IRQCHIP. */
	void (*extint_set)(struct accel_vm *vm, bool level);
	/* A write of `size` bytes at gpa signals fd and does not call io->mmio; size 0: any size.
	 * datamatch only if match != UINT64_MAX. Until it is called again with on = false and all
	 * else the same. Any thread. NULL without the capability. */
	int (*ioeventfd)(struct accel_vm *vm, gpaddr gpa, unsigned size, uint64_t match, int fd,
			 bool on);

	/* A region of mem was added (there), or is about to be removed. All vCPUs are parked. */
	int (*region_changed)(struct accel_vm *vm, unsigned region, bool there, struct err *e);

	int (*vcpu_create)(struct accel_vm *vm, unsigned index, struct vcpu **out, struct err *e);
	void (*vcpu_destroy)(struct vcpu *cpu); /* NULL is allowed */
	/* Runs until there is a reason to stop; halts and waits inside. */
	enum vcpu_stop (*vcpu_run)(struct vcpu *cpu, struct err *e);
	/* Makes the running or next vcpu_run return VCPU_KICKED soon. Async-signal-safe. */
	void (*vcpu_kick)(struct vcpu *cpu);
	int (*get_state)(struct vcpu *cpu, struct x86_state *s, struct err *e);
	int (*set_state)(struct vcpu *cpu, const struct x86_state *s, struct err *e);
	/* INIT of the whole processor incl. local APIC: what a machine reset does. */
	int (*vcpu_reset)(struct vcpu *cpu, struct err *e);
	/* The inside irqchip to its power-on state, all vCPUs parked; NULL if there is none. */
	int (*vm_reset)(struct accel_vm *vm, struct err *e);
	/* Counters for `--log debug` and `mayfly debug stats`; may be NULL. */
	void (*log_stats)(struct accel_vm *vm);
	/* The same as numbers; all vCPUs are parked. NULL if nothing is counted. */
	void (*counters)(struct accel_vm *vm, const struct accel_counter_sink *s);
};

extern const struct accel_ops accel_kvm, accel_tcg;

#endif
