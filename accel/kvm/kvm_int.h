/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_KVM_KVM_INT_H
#define MAYFLY_ACCEL_KVM_KVM_INT_H
/* What the files of the KVM accelerator share. */
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h"

enum { KVM_MAX_VCPUS = 64, KVM_MAX_CPUID = 256, KVM_MAX_MSRS = 512, KVM_N_GSIS = 24 };

struct kvm_msr_list_buf { /* as struct kvm_msrs, with room */
	uint32_t n, pad;
	struct kvm_msr_entry entries[KVM_MAX_MSRS];
};

struct kvm_cpuid_buf { /* as struct kvm_cpuid2, with room */
	uint32_t n, pad;
	struct kvm_cpuid_entry2 entries[KVM_MAX_CPUID];
};

struct accel_vm {
	struct gmem *mem;
	const struct accel_io *io;
	int kvm_fd, vm_fd;
	unsigned n_vcpus, threads_per_core;
	const struct cpu_template *cpu_template; /* or NULL */
	bool track_dirty;
	size_t run_bytes;        /* of the shared page of each vCPU */
	bool is_amd, has_amd_topology, has_tsc_deadline, has_msr_exits, has_xcrs, has_xsave2;
	size_t xsave_bytes;
	struct kvm_cpuid_buf *supported; /* what KVM can show a guest */
	struct kvm_irqchip irqchip[3];   /* power-on state: both i8259, IOAPIC */
	struct kvm_pit_state2 pit;
	bool gsi_level[KVM_N_GSIS]; /* as last told to KVM */
};

struct vcpu {
	struct accel_vm *vm;
	unsigned index;
	int fd;
	struct kvm_run *run;

	/* The kick: see kvm_vcpu_kick(). */
	atomic_bool kick_wanted;
	atomic_int tid; /* of the thread in kvm_vcpu_run(), else 0 */
	uint64_t repairs_seen; /* see gmem_repair() */

	/* Power-on state, read back right after creation. */
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_xsave *xsave; /* vm->xsave_bytes long */
	struct kvm_msr_list_buf *msrs;
};

/* An ioctl that failed, phrased. Returns -errno. */
int kvm_fail(struct err *e, const char *what);

/* vm.c */
int kvm_probe_caps(const struct cpu_template *t, uint32_t *caps, struct err *e);
int kvm_vm_create(struct gmem *mem, const struct accel_io *io, const struct accel_config *cfg,
		  struct accel_vm **out, struct err *e);
void kvm_vm_destroy(struct accel_vm *vm);
/* Opens /dev/kvm and checks its version; -ENODEV with an explanation. */
int kvm_open(struct err *e);

/* irq.c */
int kvm_irqchip_create(struct accel_vm *vm, struct err *e);
int kvm_irqchip_reset(struct accel_vm *vm, struct err *e);
void kvm_irq_set(struct accel_vm *vm, unsigned gsi, bool level);
void kvm_msi_send(struct accel_vm *vm, uint64_t addr, uint32_t data);
int kvm_ioeventfd(struct accel_vm *vm, gpaddr gpa, unsigned size, uint64_t match, int fd, bool on);

/* vcpu.c */
int kvm_vcpu_create(struct accel_vm *vm, unsigned index, struct vcpu **out, struct err *e);
void kvm_vcpu_destroy(struct vcpu *cpu);
enum vcpu_stop kvm_vcpu_run(struct vcpu *cpu, struct err *e);
void kvm_vcpu_kick(struct vcpu *cpu);

/* exit.c: acts on run->exit_reason. True if the vCPU goes on; else *stop and perhaps *e. */
bool kvm_exit_handle(struct vcpu *cpu, enum vcpu_stop *stop, struct err *e);

/* cpuid.c */
int kvm_cpuid_load_supported(struct accel_vm *vm, struct err *e);
int kvm_cpuid_set(struct vcpu *cpu, struct err *e);

/* msr.c */
int kvm_msr_set_boot(struct vcpu *cpu, struct err *e);
int kvm_msr_set_template(struct vcpu *cpu, struct err *e);
/* Reads all MSRs KVM can save into cpu->msrs; writes them back. */
int kvm_msr_save_all(struct vcpu *cpu, struct err *e);
int kvm_msr_load_all(struct vcpu *cpu, struct err *e);
/* An access KVM does not know. True if it is to be ignored, false for #GP. */
bool kvm_msr_tolerated(uint32_t index);

/* state.c */
int kvm_get_state(struct vcpu *cpu, struct x86_state *s, struct err *e);
int kvm_set_state(struct vcpu *cpu, const struct x86_state *s, struct err *e);
int kvm_vcpu_save_power_on(struct vcpu *cpu, struct err *e);
int kvm_vcpu_reset(struct vcpu *cpu, struct err *e);

#endif
