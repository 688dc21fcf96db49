/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's socket device, served by a thread of its own. */
#include <stdio.h>
#include <sys/resource.h>

#include "devices/virtio/virtio.h"
#include "devices/virtio/vsock.h"
#include "vmm/board_int.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"
#include "vmm/machine.h"
#include "vmm/vsock_uds.h"

enum { OTHER_FILES = 512 }; /* that the monitor has open beside connections */

/* Every connection is an open file; shells allow 1,024 where more is possible. */
static void raise_file_limit(void)
{
	const rlim_t want = VSOCK_MAX_CONNS + OTHER_FILES;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= want)
		return;
	r.rlim_cur = r.rlim_max < want ? r.rlim_max : want;
	if (r.rlim_cur < want || setrlimit(RLIMIT_NOFILE, &r) < 0)
		log_warn(NULL, "vsock: %llu open files do not allow %d connections",
			 (unsigned long long)r.rlim_cur, VSOCK_MAX_CONNS);
}

int board_plug_vsock(struct board *b, const struct machine_config *mc, struct err *e)
{
	const struct virtio_vsock_config c = { .id = "vsock", .guest_cid = mc->vsock.guest_cid };
	struct virtio_vsock_wiring w = { .mem = b->mem };
	struct virtio *v;
	int r;

	if (!mc->vsock.uds_path)
		return 0;
	raise_file_limit();
	r = board_new_loop(b, c.id, &w.loop, e);
	if (r < 0)
		return r;
	r = vsock_uds_create(mc->vsock.uds_path, &w.host, e);
	if (r == 0)
		r = virtio_vsock_create(&c, &w, &v, e);
	return r < 0 ? r : board_plug(b, v, e);
}
