/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software accelerator as the machine sees it: accel_ops over the processor core, the
 * interpreter and, where the host has a back end for it, the translator.
 *
 * It has no interrupt controllers of its own but the local APICs: the machine supplies i8259,
 * IOAPIC and i8254. Debug options (accel_config.debug): "nojit" interprets everything; the rest is
 * the translator's.
 *
 * Refs: docs/translator.md.
 */
#include "accel/tcg/vcpu.h"

#include "accel/cpu_template.h"
#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/phys.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"
#ifdef TCG_JIT
#include "accel/tcg/jit/jit.h"
#endif

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* There is no KVM that could have a capability. */
static int tcg_probe(const struct cpu_template *t, uint32_t *caps, struct err *e)
{
	*caps = 0;
	for (size_t i = 0; t && i < t->n_caps; i++) {
		if (t->caps[i].remove || cpu_template_names_cap(t, t->caps[i].cap, true))
			continue;
		err_set(e, ENOTSUP, "Kvm error: Missing KVM capabilities: 0x%x", t->caps[i].cap);
		err_hint(e, "leave it out of kvm_capabilities, or use --accel kvm");
		return -ENOTSUP;
	}
	return 0;
}

/* Whether a comma-separated list holds a word. */
static bool list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list && *list) {
		size_t n = strcspn(list, ",");

		if (n == len && !memcmp(list, word, len))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

static void tcg_vm_destroy(struct accel_vm *vm)
{
	if (!vm)
		return;
#ifdef TCG_JIT
	if (vm->vm.jit)
		jit_destroy(vm->vm.jit);
#endif
	tcg_vm_fini(&vm->vm);
	free(vm);
}

static int tcg_vm_create(struct gmem *mem, const struct accel_io *io,
			 const struct accel_config *cfg, struct accel_vm **out, struct err *e)
{
	struct accel_vm *vm = calloc(1, sizeof(*vm));
	int rc;

	if (!vm)
		return err_set(e, ENOMEM, "software CPU: out of memory");
	rc = tcg_vm_init(&vm->vm, mem, io, cfg, e);
	if (rc) {
		free(vm);
		return rc;
	}
	if (!list_has(cfg->debug, "nojit")) {
#ifdef TCG_JIT
		rc = jit_create(&vm->vm, cfg->code_cache_bytes, &vm->vm.jit, e);
		if (rc == -ENOTSUP) {
			vm->vm.jit = NULL;
			rc = 0;
		}
#endif
	}
	if (rc) {
		tcg_vm_destroy(vm);
		return rc;
	}
	*out = vm;
	return 0;
}

static int tcg_region_changed(struct accel_vm *vm, unsigned region, bool there, struct err *e)
{
	int r = 0;

	if (there) {
		r = phys_add_region(&vm->vm, region, e);
		if (r < 0)
			return r;
	}
#ifdef TCG_JIT
	if (there && vm->vm.jit && jit_add_region(vm->vm.jit, region) < 0)
		r = err_set(e, ENOMEM, "translator: out of host memory");
#endif
	if (!there || r < 0) {
		phys_drop_code(&vm->vm, region);
#ifdef TCG_JIT
		if (vm->vm.jit)
			jit_drop_region(vm->vm.jit, region);
#endif
		phys_drop_region(&vm->vm, region);
	}
	for (unsigned i = 0; i < TCG_MAX_VCPUS; i++)
		if (vm->vm.cpus[i])
			mmu_flush_all(vm->vm.cpus[i]);
	return r;
}

static void tcg_msi_send(struct accel_vm *vm, uint64_t addr, uint32_t data)
{
	lapic_msi(&vm->vm, addr, data);
}

static void tcg_extint_set(struct accel_vm *vm, bool level)
{
	lapic_extint_set(&vm->vm, level);
}

static void tcg_log_stats(struct accel_vm *vm)
{
	for (unsigned i = 0; i < TCG_MAX_VCPUS; i++) {
		const struct cpu *c = vm->vm.cpus[i];

		if (c)
			log_info(NULL, "tcg: vcpu %u: %" PRIu64 " interpreted, %" PRIu64
				 " faults, %" PRIu64 " interrupts, %" PRIu64 " MMIO, %" PRIu64
				 " TLB fills, %" PRIu64 " halts (%" PRIu64 " slept)", i, c->n_insns,
				 c->n_faults, c->n_interrupts, c->n_mmio, c->n_tlb_fills,
				 c->n_halts, c->n_sleeps);
	}
	if (vm->vm.n_vcpus > 1)
		log_info(NULL, "tcg: %" PRIu64 " exclusive sections", vm->vm.n_exclusive);
#ifdef TCG_JIT
	if (vm->vm.jit)
		jit_log_stats(vm->vm.jit);
#endif
}

static void tcg_counters(struct accel_vm *vm, const struct accel_counter_sink *s)
{
	static const struct {
		const char *name;
		size_t off;
	} fields[] = {
		{"interpreted_instructions", offsetof(struct cpu, n_insns)},
		{"faults", offsetof(struct cpu, n_faults)},
		{"interrupts", offsetof(struct cpu, n_interrupts)},
		{"mmio", offsetof(struct cpu, n_mmio)},
		{"tlb_fills", offsetof(struct cpu, n_tlb_fills)},
		{"page_walks", offsetof(struct cpu, n_walks)},
		{"halts", offsetof(struct cpu, n_halts)},
		{"sleeps", offsetof(struct cpu, n_sleeps)},
	};
	char name[48];

	for (unsigned i = 0; i < TCG_MAX_VCPUS; i++) {
		const struct cpu *c = vm->vm.cpus[i];

		for (size_t k = 0; c && k < ARRAY_LEN(fields); k++) {
			snprintf(name, sizeof(name), "vcpu%u.%s", i, fields[k].name);
			s->put(s->ctx, name,
			       *(const uint64_t *)((const char *)c + fields[k].off));
		}
	}
	s->put(s->ctx, "exclusive_sections", vm->vm.n_exclusive);
#ifdef TCG_JIT
	if (vm->vm.jit)
		jit_counters(vm->vm.jit, s);
#endif
}

const struct accel_ops accel_tcg = {
	.name = "tcg",
	.probe = tcg_probe,
	.vm_create = tcg_vm_create,
	.vm_destroy = tcg_vm_destroy,
	.region_changed = tcg_region_changed,
	.msi_send = tcg_msi_send,
	.extint_set = tcg_extint_set,
	.vcpu_create = tcg_vcpu_create,
	.vcpu_destroy = tcg_vcpu_destroy,
	.vcpu_run = tcg_vcpu_run,
	.vcpu_kick = tcg_vcpu_kick,
	.get_state = tcg_vcpu_get_state,
	.set_state = tcg_vcpu_set_state,
	.vcpu_reset = tcg_vcpu_reset,
	.log_stats = tcg_log_stats,
	.counters = tcg_counters,
};
