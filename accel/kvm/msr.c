/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers: what a PC's firmware leaves in them, saving and restoring all, and
 * which unknown ones a guest may touch.
 *
 * The memory type ranges are enabled with write-back as the default: stock kernels complain
 * otherwise. Unknown registers that stock kernels touch without asking CPUID (counters, thermal
 * and power interfaces) read as zero and ignore writes; any other is #GP, as on hardware.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/cpu_template.h"
#include "accel/kvm/kvm_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

enum {
	MSR_TSC = 0x10,
	MSR_APIC_BASE = 0x1b,
	MSR_MISC_ENABLE = 0x1a0,
	MISC_ENABLE_FAST_STRING = 1,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MTRR_ENABLE = 1 << 11,
	MTRR_WRITE_BACK = 6,
};

static const struct {
	uint32_t first, last;
} tolerated[] = {
	{ 0x34, 0x34 },		    /* SMI count */
	{ 0xc1, 0xc8 },		    /* counters */
	{ 0xe7, 0xe8 },		    /* MPERF, APERF */
	{ 0x140, 0x140 },	    /* feature enables */
	{ 0x186, 0x18d },	    /* event selects */
	{ 0x199, 0x19d },	    /* performance control, thermal */
	{ 0x1a2, 0x1a2 },	    /* temperature target */
	{ 0x1aa, 0x1ad },	    /* turbo */
	{ 0x1b0, 0x1b2 },	    /* energy bias, package thermal */
	{ 0x1fc, 0x1fc },	    /* power control */
	{ 0x309, 0x30c },	    /* fixed counters */
	{ 0x38d, 0x391 },	    /* counter control */
	{ 0x606, 0x65f },	    /* RAPL */
	{ 0xc0010000, 0xc0010007 }, /* AMD counters */
	{ 0xc0010061, 0xc0010072 }, /* AMD P-states */
	{ 0xc0010200, 0xc001020b }, /* AMD extended counters */
	{ 0xc0010299, 0xc001029b }, /* AMD RAPL */
};

bool kvm_msr_tolerated(uint32_t index)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(tolerated); i++) {
		if (index >= tolerated[i].first && index <= tolerated[i].last)
			return true;
	}
	return false;
}

struct one_msr { /* as struct kvm_msrs, with room */
	uint32_t n, pad;
	struct kvm_msr_entry entry;
};

static bool set_one(struct vcpu *cpu, uint32_t index, uint64_t data)
{
	struct one_msr m = { .n = 1, .entry = { .index = index, .data = data } };

	return ioctl(cpu->fd, KVM_SET_MSRS, &m) == 1;
}

int kvm_msr_set_boot(struct vcpu *cpu, struct err *e)
{
	/* MISC_ENABLE is Intel's and may be refused elsewhere. */
	if (!set_one(cpu, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING))
		log_debug(NULL, "kvm: vcpu%u: no MISC_ENABLE", cpu->index);
	if (!set_one(cpu, MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK))
		return err_set(e, EIO, "kvm: memory type ranges are refused");
	return 0;
}

/* What the operator's template changes, in Firecracker's words where it fails. */
int kvm_msr_set_template(struct vcpu *cpu, struct err *e)
{
	const struct cpu_template *t = cpu->vm->cpu_template;

	for (size_t i = 0; t && i < t->n_msrs; i++) {
		uint32_t index = t->msrs[i].index;
		struct one_msr m = { .n = 1, .entry = { .index = index } };

		if (ioctl(cpu->fd, KVM_GET_MSRS, &m) != 1)
			return err_set(e, ENOTSUP, "Failed to create guest config: KVM vcpu ioctl "
				       "failed: Failed to get KVM vcpu msr: 0x%x", index);
		if (!set_one(cpu, index, cpu_template_msr(t, index, m.entry.data))) {
			err_set(e, ENOTSUP, "CPU template: KVM refuses the value of MSR 0x%x", index);
			err_hint(e, "leave bits of it as they are: write x");
			return -ENOTSUP;
		}
	}
	return 0;
}

/* The time stamp goes on over a reset, and the APIC base belongs to the segment registers. */
static bool is_ours(uint32_t index)
{
	return index == MSR_TSC || index == MSR_APIC_BASE;
}

static int list_msrs(struct vcpu *cpu, struct err *e)
{
	struct { /* as struct kvm_msr_list, with room */
		uint32_t n, index[KVM_MAX_MSRS];
	} list;
	uint32_t i, n = 0;

	memset(&list, 0, sizeof(list));
	list.n = KVM_MAX_MSRS;
	if (ioctl(cpu->vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, &list) < 0)
		return kvm_fail(e, "list of MSRs");
	for (i = 0; i < list.n && i < KVM_MAX_MSRS; i++) {
		if (!is_ours(list.index[i]))
			cpu->msrs->entries[n++].index = list.index[i];
	}
	cpu->msrs->n = n;
	return 0;
}

/* KVM reads or writes up to the first entry it refuses. Drops that one and goes on behind it. */
static int transfer(struct vcpu *cpu, unsigned long request, const char *what, struct err *e)
{
	struct kvm_msr_list_buf *part = calloc(1, sizeof(*part));
	uint32_t at = 0;

	if (!part)
		return err_set(e, ENOMEM, "kvm: out of memory");
	while (at < cpu->msrs->n) {
		uint32_t left = cpu->msrs->n - at;
		int done;

		part->n = left;
		memcpy(part->entries, cpu->msrs->entries + at, left * sizeof(part->entries[0]));
		done = ioctl(cpu->fd, request, part);
		if (done < 0) {
			kvm_fail(e, what);
			free(part);
			return -e->code;
		}
		memcpy(cpu->msrs->entries + at, part->entries,
		       (size_t)done * sizeof(part->entries[0]));
		at += (uint32_t)done;
		if (at == cpu->msrs->n)
			break;
		log_debug(NULL, "kvm: vcpu%u: %s: MSR 0x%x is refused", cpu->index, what,
			  cpu->msrs->entries[at].index);
		memmove(cpu->msrs->entries + at, cpu->msrs->entries + at + 1,
			(cpu->msrs->n - at - 1) * sizeof(part->entries[0]));
		cpu->msrs->n--;
	}
	free(part);
	return 0;
}

int kvm_msr_save_all(struct vcpu *cpu, struct err *e)
{
	int r;

	cpu->msrs = calloc(1, sizeof(*cpu->msrs));
	if (!cpu->msrs)
		return err_set(e, ENOMEM, "kvm: out of memory");
	r = list_msrs(cpu, e);
	return r < 0 ? r : transfer(cpu, KVM_GET_MSRS, "read MSRs", e);
}

int kvm_msr_load_all(struct vcpu *cpu, struct err *e)
{
	return transfer(cpu, KVM_SET_MSRS, "write MSRs", e);
}
