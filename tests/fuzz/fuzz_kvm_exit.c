/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit dispatcher on a made-up vCPU page: every exit reason, garbage lengths and offsets. No
 * KVM is needed. Checked: accesses have sizes the bus knows, nothing outside the page is touched
 * (it ends where its allocation ends), and a stop gives a reason.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "accel/kvm/kvm_int.h"
#include "vmm/core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
	assert(size == 1 || size == 2 || size == 4 || size == 8);
	if (!write)
		*val = gpa * 0x9e3779b97f4a7c15;
}

static void on_pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
	assert(size == 1 || size == 2 || size == 4);
	if (!write)
		*val = port * 0x9e3779b9u;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct accel_io io = { .mmio = on_mmio, .pio = on_pio };
	struct accel_vm vm = { .io = &io, .run_bytes = 3 * 4096 };
	struct vcpu cpu = { .vm = &vm, .fd = -1 };
	enum vcpu_stop stop = VCPU_KICKED;
	struct err e = { 0 };
	uint8_t *page = calloc(1, vm.run_bytes);

	if (!page)
		return 0;
	memcpy(page, data, size < vm.run_bytes ? size : vm.run_bytes);
	cpu.run = (struct kvm_run *)(void *)page;
	cpu.run->exit_reason &= 0x3f;
	if (cpu.run->exit_reason == KVM_EXIT_IO) {
		/* What KVM never gives, and would take long: four thousand million accesses. */
		cpu.run->io.count &= 0x3fff;
	}
	if (!kvm_exit_handle(&cpu, &stop, &e)) {
		assert(stop != VCPU_KICKED);
		assert(stop != VCPU_FAILED || (e.code && e.msg[0]));
	}
	free(page);
	return 0;
}
