/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of the KVM accelerator: the interrupt controllers inside KVM and the ways to them.
 *
 * GSI n drives IOAPIC pin n, and i8259 pin n below 16, as on a PC; GSI 0, the interval timer,
 * drives IOAPIC pin 2 (boot's ACPI and MP tables say so).
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm_int.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

enum { N_GSIS = KVM_N_GSIS, N_ISA = 16, CASCADE = 2 };

struct route_table { /* as struct kvm_irq_routing, with room */
	uint32_t nr, flags;
	struct kvm_irq_routing_entry entries[N_GSIS + N_ISA];
};

static void add_route(struct route_table *table, unsigned gsi, unsigned chip, unsigned pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

static int set_routes(struct accel_vm *vm, struct err *e)
{
	struct route_table table = { .nr = 0 };
	unsigned gsi;

	for (gsi = 0; gsi < N_GSIS; gsi++) {
		if (gsi < N_ISA && gsi != CASCADE)
			add_route(&table, gsi,
				  gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
		if (gsi != CASCADE)
			add_route(&table, gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? CASCADE : gsi);
	}
	if (ioctl(vm->vm_fd, KVM_SET_GSI_ROUTING, &table) < 0)
		return kvm_fail(e, "interrupt routing");
	return 0;
}

int kvm_irqchip_create(struct accel_vm *vm, struct err *e)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	unsigned i;
	int r;

	if (ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return kvm_fail(e, "interrupt controllers");
	if (ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return kvm_fail(e, "interval timer");
	r = set_routes(vm, e);
	if (r < 0)
		return r;
	for (i = 0; i < 3; i++) {
		vm->irqchip[i].chip_id = i;
		if (ioctl(vm->vm_fd, KVM_GET_IRQCHIP, &vm->irqchip[i]) < 0)
			return kvm_fail(e, "interrupt controller state");
	}
	if (ioctl(vm->vm_fd, KVM_GET_PIT2, &vm->pit) < 0)
		return kvm_fail(e, "interval timer state");
	return 0;
}

int kvm_irqchip_reset(struct accel_vm *vm, struct err *e)
{
	struct kvm_pit_state2 pit = vm->pit;
	unsigned i;

	for (i = 0; i < N_GSIS; i++)
		kvm_irq_set(vm, i, false);
	for (i = 0; i < 3; i++) {
		struct kvm_irqchip chip = vm->irqchip[i];

		if (ioctl(vm->vm_fd, KVM_SET_IRQCHIP, &chip) < 0)
			return kvm_fail(e, "interrupt controller reset");
	}
	if (ioctl(vm->vm_fd, KVM_SET_PIT2, &pit) < 0)
		return kvm_fail(e, "interval timer reset");
	return 0;
}

/*
 * A device tells the level of its line at every access to it, which for a console is thrice a byte;
 * only changes are worth a call into the kernel. The caller holds the lock of the device that
 * drives the line, so the level that KVM has is the one noted here.
 */
void kvm_irq_set(struct accel_vm *vm, unsigned gsi, bool level)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	if (gsi < N_GSIS) {
		if (vm->gsi_level[gsi] == level)
			return;
		vm->gsi_level[gsi] = level;
	}
	/* Fails only for an irqchip that is not there. */
	if (ioctl(vm->vm_fd, KVM_IRQ_LINE, &irq) < 0)
		log_guest(NULL, "kvm: GSI %u: %s", gsi, strerror(errno));
}

void kvm_msi_send(struct accel_vm *vm, uint64_t addr, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)addr,
		.address_hi = (uint32_t)(addr >> 32),
		.data = data,
	};

	if (ioctl(vm->vm_fd, KVM_SIGNAL_MSI, &msi) < 0)
		log_guest(NULL, "kvm: MSI 0x%llx data 0x%x: %s", (unsigned long long)addr, data,
			  strerror(errno));
}

int kvm_ioeventfd(struct accel_vm *vm, gpaddr gpa, unsigned size, uint64_t match, int fd, bool on)
{
	struct kvm_ioeventfd io = {
		.addr = gpa,
		.len = size,
		.fd = fd,
		.datamatch = match == UINT64_MAX ? 0 : match,
		.flags = (match == UINT64_MAX ? 0u : (unsigned)KVM_IOEVENTFD_FLAG_DATAMATCH) |
			 (on ? 0u : (unsigned)KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(vm->vm_fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}
