/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM accelerator: the virtual machine and its memory slots.
 *
 * KVM keeps both i8259, the IOAPIC, the i8254 and the local APICs (ACCEL_CAP_IRQCHIP); the rest
 * of the board is ours. One memory slot per region of guest memory.
 *
 * Refs: Linux Documentation/virt/kvm/api.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/cpu_template.h"
#include "accel/kvm/kvm_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

/* Intel hosts need four pages of guest-physical space for real mode; they lie in the hole below
 * 4 GiB where the board has nothing. */
#define KVM_IDENTITY_MAP_ADDR 0xfffbc000ull
#define KVM_TSS_ADDR          0xfffbd000ull

static const struct {
	int cap;
	const char *name;
} required_caps[] = {
	{ KVM_CAP_USER_MEMORY, "user memory" },
	{ KVM_CAP_IRQCHIP, "interrupt controllers" },
	{ KVM_CAP_PIT2, "interval timer" },
	{ KVM_CAP_EXT_CPUID, "CPUID" },
	{ KVM_CAP_MP_STATE, "MP state" },
	{ KVM_CAP_IRQ_ROUTING, "interrupt routing" },
	{ KVM_CAP_SIGNAL_MSI, "MSI" },
	{ KVM_CAP_IOEVENTFD, "ioeventfd" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
	{ KVM_CAP_SET_TSS_ADDR, "TSS address" },
	{ KVM_CAP_XSAVE, "XSAVE state" },
	{ KVM_CAP_VCPU_EVENTS, "vCPU events" },
	{ KVM_CAP_DEBUGREGS, "debug registers" },
};

int kvm_fail(struct err *e, const char *what)
{
	return err_set(e, errno, "kvm: %s: %s", what, strerror(errno));
}

int kvm_open(struct err *e)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), version;

	if (fd < 0 && (errno == EACCES || errno == EPERM)) {
		err_set(e, ENODEV, "kvm: /dev/kvm: permission denied");
		err_hint(e, "add yourself to its group (usually kvm), or use --accel tcg");
		return -ENODEV;
	}
	if (fd < 0) {
		err_set(e, ENODEV, "kvm: /dev/kvm: %s", strerror(errno));
		err_hint(e, "load kvm_intel or kvm_amd, or use --accel tcg");
		return -ENODEV;
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		close(fd);
		return err_set(e, ENODEV, "kvm: /dev/kvm has API version %d, not %d", version,
			       KVM_API_VERSION);
	}
	return fd;
}

/* What a template asks for, in Firecracker's words. */
static int check_wanted_caps(int fd, const struct cpu_template *t, struct err *e)
{
	for (size_t i = 0; t && i < t->n_caps; i++) {
		uint32_t cap = t->caps[i].cap;

		if (!t->caps[i].remove && !cpu_template_names_cap(t, cap, true) &&
		    ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)cap) <= 0)
			return err_set(e, ENOTSUP, "Kvm error: Missing KVM capabilities: 0x%x", cap);
	}
	return 0;
}

static int check_caps(int fd, const struct cpu_template *t, struct err *e)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(required_caps); i++) {
		if (cpu_template_names_cap(t, (uint32_t)required_caps[i].cap, true) ||
		    ioctl(fd, KVM_CHECK_EXTENSION, required_caps[i].cap) > 0)
			continue;
		err_set(e, ENODEV, "kvm: this kernel's KVM lacks %s (capability %d)",
			required_caps[i].name, required_caps[i].cap);
		err_hint(e, "Linux 5.4 or newer is needed; or use --accel tcg");
		return -ENODEV;
	}
	return check_wanted_caps(fd, t, e);
}

int kvm_probe_caps(const struct cpu_template *t, uint32_t *caps, struct err *e)
{
	int fd = kvm_open(e), r;

	if (fd < 0)
		return fd;
	r = check_caps(fd, t, e);
	close(fd);
	*caps = ACCEL_CAP_IRQCHIP | ACCEL_CAP_IOEVENTFD;
	return r;
}

static int check_n_vcpus(const struct accel_vm *vm, struct err *e)
{
	int max = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	if (max <= 0)
		max = 4; /* what the API says it means */
	if (vm->n_vcpus <= (unsigned)max && vm->n_vcpus <= KVM_MAX_VCPUS)
		return 0;
	err_set(e, EINVAL, "kvm: %u vCPUs are more than this host's %d", vm->n_vcpus,
		max < KVM_MAX_VCPUS ? max : KVM_MAX_VCPUS);
	err_hint(e, "write a smaller --cpus");
	return -EINVAL;
}

/* A host short of memory for its own structures says so by EINTR or EAGAIN at times. */
static int create_vm(int kvm_fd)
{
	int fd, tries = 5;

	do {
		fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN) && --tries);
	return fd;
}

static int region_changed(struct accel_vm *vm, unsigned region, bool there, struct err *e)
{
	struct kvm_userspace_memory_region slot = {
		.slot = region,
		.flags = vm->track_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0,
	};
	const struct gmem_region *r;

	gmem_regions(vm->mem, &r);
	slot.guest_phys_addr = r[region].base;
	slot.memory_size = there ? r[region].len_bytes : 0;
	slot.userspace_addr = (uintptr_t)r[region].host;
	return ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0 ? kvm_fail(e, "memory slot") : 0;
}

static int map_memory(struct accel_vm *vm, struct err *e)
{
	const struct gmem_region *r;
	unsigned n = gmem_regions(vm->mem, &r), i;
	int res = 0;

	for (i = 0; i < n && res == 0; i++)
		res = region_changed(vm, i, true, e);
	return res;
}

static int set_up_intel_pages(struct accel_vm *vm, struct err *e)
{
	uint64_t identity = KVM_IDENTITY_MAP_ADDR;

	if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0 &&
	    ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return kvm_fail(e, "identity map address");
	if (ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDR) < 0)
		return kvm_fail(e, "TSS address");
	return 0;
}

/* Optional: what this KVM has beyond the required. */
static void find_extras(struct accel_vm *vm)
{
	struct kvm_enable_cap msr_exits = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = { KVM_MSR_EXIT_REASON_UNKNOWN },
	};
	int bytes = ioctl(vm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	vm->has_xsave2 = bytes > (int)sizeof(struct kvm_xsave);
	vm->xsave_bytes = vm->has_xsave2 ? (size_t)bytes : sizeof(struct kvm_xsave);
	vm->has_xcrs = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0;
	vm->has_tsc_deadline = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	vm->has_msr_exits =
		ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR) > 0 &&
		ioctl(vm->vm_fd, KVM_ENABLE_CAP, &msr_exits) == 0;
}

static int set_up(struct accel_vm *vm, struct err *e)
{
	int r, run_bytes;

	vm->kvm_fd = kvm_open(e);
	if (vm->kvm_fd < 0)
		return vm->kvm_fd;
	r = check_caps(vm->kvm_fd, vm->cpu_template, e);
	if (r == 0)
		r = check_n_vcpus(vm, e);
	if (r < 0)
		return r;
	run_bytes = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < (int)sizeof(struct kvm_run))
		return err_set(e, ENODEV, "kvm: vCPU page of %d bytes", run_bytes);
	vm->run_bytes = (size_t)run_bytes;
	vm->vm_fd = create_vm(vm->kvm_fd);
	if (vm->vm_fd < 0) {
		/* Not ours to fix, and not the guest's doing: this host cannot. */
		err_set(e, ENODEV, "kvm: create VM: %s", strerror(errno));
		err_hint(e, "another hypervisor may hold the processor; or use --accel tcg");
		return -ENODEV;
	}
	r = set_up_intel_pages(vm, e);
	if (r == 0)
		r = kvm_irqchip_create(vm, e);
	if (r == 0)
		r = map_memory(vm, e);
	if (r == 0)
		r = kvm_cpuid_load_supported(vm, e);
	if (r == 0)
		find_extras(vm);
	return r;
}

int kvm_vm_create(struct gmem *mem, const struct accel_io *io, const struct accel_config *cfg,
		  struct accel_vm **out, struct err *e)
{
	struct accel_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return err_set(e, ENOMEM, "kvm: out of memory");
	vm->mem = mem;
	vm->io = io;
	vm->n_vcpus = cfg->n_vcpus;
	vm->threads_per_core = cfg->threads_per_core == 2 && cfg->n_vcpus % 2 == 0 ? 2 : 1;
	vm->cpu_template = cfg->cpu_template;
	vm->track_dirty = cfg->track_dirty;
	vm->kvm_fd = vm->vm_fd = -1;
	r = set_up(vm, e);
	if (r < 0) {
		kvm_vm_destroy(vm);
		return r;
	}
	*out = vm;
	return 0;
}

void kvm_vm_destroy(struct accel_vm *vm)
{
	if (!vm)
		return;
	if (vm->vm_fd >= 0)
		close(vm->vm_fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	free(vm->supported);
	free(vm);
}

const struct accel_ops accel_kvm = {
	.name = "kvm",
	.probe = kvm_probe_caps,
	.vm_create = kvm_vm_create,
	.vm_destroy = kvm_vm_destroy,
	.irq_set = kvm_irq_set,
	.region_changed = region_changed,
	.msi_send = kvm_msi_send,
	.ioeventfd = kvm_ioeventfd,
	.vcpu_create = kvm_vcpu_create,
	.vcpu_destroy = kvm_vcpu_destroy,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_kick = kvm_vcpu_kick,
	.get_state = kvm_get_state,
	.set_state = kvm_set_state,
	.vcpu_reset = kvm_vcpu_reset,
	.vm_reset = kvm_irqchip_reset,
};
