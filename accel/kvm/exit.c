/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why KVM_RUN came back, and what to do about it: one handler per exit reason.
 *
 * Reasons that cannot happen with interrupt controllers inside KVM, or that need a capability we
 * never enable, have no handler and end the machine with the reason's number. The page they are
 * read from is shared with the kernel only; what the guest chose in it (ports, addresses, data)
 * goes to the bus, which checks it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

enum exit_result { EXIT_GO_ON, EXIT_STOP };

struct exit_outcome {
	enum vcpu_stop stop;
	struct err *e;
};

typedef enum exit_result exit_fn(struct vcpu *cpu, struct kvm_run *run, struct exit_outcome *out);

static enum exit_result fail(struct exit_outcome *out)
{
	out->stop = VCPU_FAILED;
	return EXIT_STOP;
}

/* IN, OUT and their string forms: `count` accesses to one port. */
static enum exit_result exit_io(struct vcpu *cpu, struct kvm_run *run, struct exit_outcome *out)
{
	const struct accel_io *io = cpu->vm->io;
	uint32_t size = run->io.size, count = run->io.count, i;
	uint64_t bytes = (uint64_t)size * count, end;
	uint8_t *p = (uint8_t *)run + run->io.data_offset;
	bool write = run->io.direction == KVM_EXIT_IO_OUT;
	uint16_t port = run->io.port;

	if (!ck_add(run->io.data_offset, bytes, &end) || end > cpu->vm->run_bytes ||
	    (size != 1 && size != 2 && size != 4)) {
		err_set(out->e, EINVAL, "kvm: port access of %u x %u bytes", count, size);
		return fail(out);
	}
	for (i = 0; i < count; i++, p += size) {
		uint32_t val = 0;

		if (write)
			memcpy(&val, p, size);
		io->pio(io->ctx, port, size, write, &val);
		if (!write)
			memcpy(p, &val, size);
	}
	return EXIT_GO_ON;
}

/* KVM splits an access at page ends, so odd lengths come up; the bus has powers of two. */
static enum exit_result exit_mmio(struct vcpu *cpu, struct kvm_run *run, struct exit_outcome *out)
{
	const struct accel_io *io = cpu->vm->io;
	unsigned len = run->mmio.len, at, size;
	bool write = run->mmio.is_write;
	gpaddr gpa = run->mmio.phys_addr;

	if (len > sizeof(run->mmio.data)) {
		err_set(out->e, EINVAL, "kvm: memory-mapped access of %u bytes", len);
		return fail(out);
	}
	for (at = 0; at < len; at += size) {
		uint64_t val = 0;

		for (size = 8; size > len - at; size /= 2)
			;
		if (write)
			memcpy(&val, run->mmio.data + at, size);
		io->mmio(io->ctx, gpa + at, size, write, &val);
		if (!write)
			memcpy(run->mmio.data + at, &val, size);
	}
	return EXIT_GO_ON;
}

static enum exit_result exit_go_on(struct vcpu *cpu, struct kvm_run *run, struct exit_outcome *out)
{
	return EXIT_GO_ON;
}

static enum exit_result exit_halted(struct vcpu *cpu, struct kvm_run *run, struct exit_outcome *out)
{
	out->stop = VCPU_HALTED;
	return EXIT_STOP;
}

static enum exit_result exit_shutdown(struct vcpu *cpu, struct kvm_run *run,
				      struct exit_outcome *out)
{
	out->stop = VCPU_SHUTDOWN;
	return EXIT_STOP;
}

static enum exit_result exit_system_event(struct vcpu *cpu, struct kvm_run *run,
					  struct exit_outcome *out)
{
	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_RESET:
		out->stop = VCPU_RESET;
		return EXIT_STOP;
	case KVM_SYSTEM_EVENT_SHUTDOWN:
	case KVM_SYSTEM_EVENT_CRASH:
		out->stop = VCPU_SHUTDOWN;
		return EXIT_STOP;
	default:
		err_set(out->e, EIO, "kvm: system event %u", run->system_event.type);
		return fail(out);
	}
}

static enum exit_result exit_fail_entry(struct vcpu *cpu, struct kvm_run *run,
					struct exit_outcome *out)
{
	err_set(out->e, EIO, "kvm: the processor refused to enter the guest (reason 0x%" PRIx64 ")",
		(uint64_t)run->fail_entry.hardware_entry_failure_reason);
	err_hint(out->e, "see the host's kernel log; or use --accel tcg");
	return fail(out);
}

static enum exit_result exit_unknown(struct vcpu *cpu, struct kvm_run *run,
				     struct exit_outcome *out)
{
	err_set(out->e, EIO, "kvm: unknown hardware exit 0x%" PRIx64,
		(uint64_t)run->hw.hardware_exit_reason);
	return fail(out);
}

static enum exit_result exit_exception(struct vcpu *cpu, struct kvm_run *run,
				       struct exit_outcome *out)
{
	err_set(out->e, EIO, "kvm: exception %u, error code 0x%x, outside the guest",
		run->ex.exception, run->ex.error_code);
	return fail(out);
}

static void describe_emulation_failure(const struct kvm_run *run, char *text, size_t len)
{
	unsigned n = run->emulation_failure.insn_size, i;
	size_t used;

	*text = '\0';
	if (!(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		return;
	used = (size_t)snprintf(text, len, ", instruction");
	for (i = 0; i < n && i < sizeof(run->emulation_failure.insn_bytes); i++)
		used += (size_t)snprintf(text + used, len - used, " %02x",
					 run->emulation_failure.insn_bytes[i]);
}

static enum exit_result exit_internal_error(struct vcpu *cpu, struct kvm_run *run,
					    struct exit_outcome *out)
{
	struct kvm_regs regs = { 0 };
	char bytes[80] = "";

	/* Where, if KVM can still tell. */
	if (ioctl(cpu->fd, KVM_GET_REGS, &regs) < 0)
		regs.rip = 0;
	switch (run->internal.suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		describe_emulation_failure(run, bytes, sizeof(bytes));
		err_set(out->e, EIO, "kvm: cannot emulate the instruction at 0x%" PRIx64 "%s",
			(uint64_t)regs.rip, bytes);
		break;
	case KVM_INTERNAL_ERROR_SIMUL_EX:
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		err_set(out->e, EIO, "kvm: cannot deliver an exception at 0x%" PRIx64,
			(uint64_t)regs.rip);
		break;
	default:
		err_set(out->e, EIO, "kvm: internal error %u at 0x%" PRIx64,
			run->internal.suberror, (uint64_t)regs.rip);
		break;
	}
	err_hint(out->e, "the guest did what this KVM cannot run; try --accel tcg");
	return fail(out);
}

static enum exit_result exit_rdmsr(struct vcpu *cpu, struct kvm_run *run, struct exit_outcome *out)
{
	run->msr.data = 0;
	run->msr.error = !kvm_msr_tolerated(run->msr.index);
	log_guest(NULL, "vcpu%u: read of unknown MSR 0x%x%s", cpu->index, run->msr.index,
		  run->msr.error ? ": #GP" : "");
	return EXIT_GO_ON;
}

static enum exit_result exit_wrmsr(struct vcpu *cpu, struct kvm_run *run, struct exit_outcome *out)
{
	run->msr.error = !kvm_msr_tolerated(run->msr.index);
	log_guest(NULL, "vcpu%u: write of unknown MSR 0x%x%s", cpu->index, run->msr.index,
		  run->msr.error ? ": #GP" : "");
	return EXIT_GO_ON;
}

static exit_fn *const exit_handlers[] = {
	[KVM_EXIT_UNKNOWN] = exit_unknown,
	[KVM_EXIT_EXCEPTION] = exit_exception,
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_DEBUG] = exit_go_on, /* nobody debugs the guest */
	[KVM_EXIT_HLT] = exit_halted,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = exit_go_on,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTR] = exit_go_on,
	[KVM_EXIT_SET_TPR] = exit_go_on,
	[KVM_EXIT_TPR_ACCESS] = exit_go_on,
	[KVM_EXIT_NMI] = exit_go_on,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
	[KVM_EXIT_IOAPIC_EOI] = exit_go_on,
	[KVM_EXIT_X86_RDMSR] = exit_rdmsr,
	[KVM_EXIT_X86_WRMSR] = exit_wrmsr,
	[KVM_EXIT_X86_BUS_LOCK] = exit_go_on,
};

bool kvm_exit_handle(struct vcpu *cpu, enum vcpu_stop *stop, struct err *e)
{
	struct exit_outcome out = { .stop = VCPU_FAILED, .e = e };
	uint32_t reason = cpu->run->exit_reason;
	exit_fn *fn = reason < ARRAY_LEN(exit_handlers) ? exit_handlers[reason] : NULL;

	if (fn) {
		if (fn(cpu, cpu->run, &out) == EXIT_GO_ON)
			return true;
	} else {
		err_set(e, EIO, "kvm: exit reason %u is not handled", reason);
	}
	if (out.stop == VCPU_FAILED)
		err_wrap(e, "vcpu%u", cpu->index);
	*stop = out.stop;
	return false;
}
