/* SPDX-License-Identifier: Apache-2.0 */
/* /vsock, /entropy, /serial and /hotplug/memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/live.h"
#include "vmm/machine.h"

enum { MIN_GUEST_CID = 3, MIN_BLOCK_MIB = 2, MIN_SLOT_MIB = 128 };

void api_put_vsock(struct api_call *c)
{
	struct vsock_body *b = c->object;

	c->deprecated = b->vsock_id != NULL;
	if (b->guest_cid.v < MIN_GUEST_CID) {
		api_fault(c, "Vsock config error: The guest CID must be at least %d.", MIN_GUEST_CID);
		return;
	}
	if (!*b->uds_path || strlen(b->uds_path) > MACHINE_VSOCK_PATH_MAX) {
		api_fault(c, "Vsock config error: The path of the Unix socket must have 1 to %d bytes.",
			  MACHINE_VSOCK_PATH_MAX);
		return;
	}
	schema_free(&schema_vsock, c->vm->config.vsock);
	c->vm->config.vsock = b;
	c->object = NULL;
}

void api_put_entropy(struct api_call *c)
{
	struct entropy_body *b = c->object;

	vm_tidy_limits(&b->rate_limiter);
	schema_free(&schema_entropy, c->vm->config.entropy);
	c->vm->config.entropy = b;
	c->object = NULL;
}

void api_put_serial(struct api_call *c)
{
	struct serial_body *b = c->object;
	char buf[API_OS_ERROR];
	int fd = -1;

	if (b->serial_out_path) { /* both ways, so that a FIFO without a reader opens too */
		fd = open(b->serial_out_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			  0644);
		if (fd < 0) {
			api_fault(c, "Serial config error: Failed to open the serial output: %s",
				  api_os_error(errno, buf));
			return;
		}
	}
	if (c->vm->serial_fd >= 0)
		close(c->vm->serial_fd);
	c->vm->serial_fd = fd;
	schema_free(&schema_serial, c->vm->serial);
	c->vm->serial = b;
	c->object = NULL;
}

/* --- memory that comes and goes --------------------------------------------------------------- */

void api_put_hotplug(struct api_call *c)
{
	struct hotplug_body *b = c->object;
	unsigned long long total = b->total_size_mib.v, block = b->block_size_mib.v;
	unsigned long long slot = b->slot_size_mib.v;

	if (block < MIN_BLOCK_MIB) {
		api_fault(c, "Memory hotplug config error: Block size must not be lower than %d MiB",
			  MIN_BLOCK_MIB);
	} else if (block & (block - 1)) {
		api_fault(c, "Memory hotplug config error: Block size must be a power of 2");
	} else if (slot < MIN_SLOT_MIB) {
		api_fault(c, "Memory hotplug config error: Slot size must not be lower than %d MiB",
			  MIN_SLOT_MIB);
	} else if (slot % block) {
		api_fault(c, "Memory hotplug config error: Slot size must be a multiple of block size "
			     "(%llu MiB)", block);
	} else if (total < slot) {
		api_fault(c, "Memory hotplug config error: Total size must not be lower than slot "
			     "size (%llu MiB)", slot);
	} else if (total % slot) {
		api_fault(c, "Memory hotplug config error: Total size must be a multiple of slot size "
			     "(%llu MiB)", slot);
	} else {
		schema_free(&schema_hotplug, c->vm->config.memory_hotplug);
		c->vm->config.memory_hotplug = b;
		c->object = NULL;
	}
}

void api_get_hotplug(struct api_call *c)
{
	struct virtio_mem_state s;
	struct err e = { 0 };

	if (!c->vm->config.memory_hotplug) {
		api_fault(c, "Internal VMM error: Device not found");
		return;
	}
	if (machine_hotplug_state(c->vm->machine, &s, &e) < 0) {
		api_fault_err(c, "Internal VMM error", &e);
		return;
	}
	c->status = 200;
	text_printf(&c->text,
		    "{\"block_size_mib\":%llu,\"total_size_mib\":%llu,\"slot_size_mib\":%llu,"
		    "\"plugged_size_mib\":%llu,\"requested_size_mib\":%llu}",
		    (unsigned long long)(s.block_bytes >> 20),
		    (unsigned long long)(s.total_bytes >> 20),
		    (unsigned long long)(s.slot_bytes >> 20),
		    (unsigned long long)(s.plugged_bytes >> 20),
		    (unsigned long long)(s.requested_bytes >> 20));
}

void api_patch_hotplug(struct api_call *c)
{
	const struct hotplug_update *u = c->object;
	struct err e = { 0 };
	uint64_t bytes;

	if (!c->vm->config.memory_hotplug)
		api_fault(c, "Memory hotplug update error: Device not found");
	else if (!ck_mul(u->requested_size_mib.v, 1 << 20, &bytes))
		api_fault(c, "Memory hotplug update error: %llu MiB are too many",
			  (unsigned long long)u->requested_size_mib.v);
	else if (machine_hotplug_set(c->vm->machine, bytes, &e) < 0)
		api_fault_err(c, "Memory hotplug update error", &e);
}
