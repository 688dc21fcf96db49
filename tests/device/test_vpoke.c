/* SPDX-License-Identifier: Apache-2.0 */
/* Every virtio device on both transports: see tests/device/vpoke.h; and what each lets a driver have. */
#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/fs.h"
#include "devices/virtio/mem.h"
#include "devices/virtio/net.h"
#include "devices/virtio/net_port.h"
#include "devices/virtio/pmem.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock.h"
#include "tests/device/vpoke.h"
#include "tests/device/vsock_rig.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROUNDS = 40 };

static struct virtio *make_rng(struct vdriver *d)
{
	struct virtio *v;

	cr_assert_eq(virtio_rng_create(&(struct virtio_rng_config){.id = "rng"},
				       &(struct virtio_rng_wiring){.mem = d->mem, .loop = d->loop},
				       &v, NULL), 0);
	return v;
}

static struct virtio *make_blk(struct vdriver *d)
{
	struct virtio_blk_config c = {.id = "disk", .image = {.size_bytes = 64 * 512,
							      .can_discard = true}};
	struct virtio *v;

	c.image.fd = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(c.image.fd, 64 * 512), 0);
	cr_assert_eq(virtio_blk_create(&c, &(struct virtio_blk_wiring){.mem = d->mem, .loop = d->loop},
				       &v, NULL), 0);
	return v;
}

/* --- net: a port that takes everything and has nothing ----------------------------------------- */

static int port_send(struct net_port *p, const struct iovec *iov, unsigned n)
{
	(void)p;
	(void)iov;
	(void)n;
	return 0;
}

static ssize_t port_recv(struct net_port *p, const struct iovec *iov, unsigned n)
{
	(void)p;
	(void)iov;
	(void)n;
	return -EAGAIN;
}

static void port_close(struct net_port *p)
{
	close(p->fd);
	free(p);
}

static struct virtio *make_net(struct vdriver *d)
{
	static const struct net_port_ops ops = {.send = port_send, .recv = port_recv, .close = port_close};
	struct virtio_net_config cfg = {.id = "net0", .n_pairs = 1, .mac = {2}};
	struct net_port *port = calloc(1, sizeof(*port));
	struct virtio *v;

	*port = (struct net_port){.ops = &ops, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	cr_assert_eq(virtio_net_create(&cfg, &(struct virtio_net_wiring){d->mem, d->loop, &port}, &v, NULL), 0);
	return v;
}

static struct virtio *make_fs(struct vdriver *d)
{
	static char dir[32];
	struct virtio_fs_config cfg = {.id = "fs0", .tag = "t", .fuse = {.id = "fs0", .max_nodes = 16}};
	struct virtio *v;

	if (!dir[0]) {
		strcpy(dir, "/tmp/mayfly-vpoke-XXXXXX");
		cr_assert(mkdtemp(dir));
	}
	cfg.fuse.dir = dir;
	cr_assert_eq(virtio_fs_create(&cfg, &(struct virtio_fs_wiring){d->mem, d->loop}, &v, NULL), 0);
	rmdir(dir); /* it has it open; the next one gets a new one */
	dir[0] = 0;
	return v;
}

static struct virtio *make_vsock(struct vdriver *d)
{
	struct rig_host *h = rig_host_create();
	struct virtio *v;

	h->free_on_close = true;
	cr_assert_eq(virtio_vsock_create(&(struct virtio_vsock_config){.id = "vsock", .guest_cid = 3},
					 &(struct virtio_vsock_wiring){.mem = d->mem, .loop = d->loop,
								       .host = &h->host},
					 &v, NULL), 0);
	return v;
}

static struct virtio *make_balloon(struct vdriver *d)
{
	const struct virtio_balloon_config c = {.id = "balloon", .stats_interval_s = 1,
						.reporting = true, .hinting = true};
	const struct virtio_balloon_wiring w = {.mem = d->mem, .loop = d->loop};
	struct virtio *v;

	cr_assert_eq(virtio_balloon_create(&c, &w, &v, NULL), 0);
	return v;
}

static size_t swallow(void *ctx, const uint8_t *p, size_t n)
{
	(void)ctx;
	(void)p;
	return n / 2;
}

static void ignore(void *ctx)
{
	(void)ctx;
}

static struct virtio *make_console(struct vdriver *d)
{
	const struct virtio_console_port ports[2] = {
		{.write = swallow, .rx_ready = ignore},
		{.name = "name", .write = swallow, .rx_ready = ignore},
	};
	const struct virtio_console_config c = {.id = "con", .ports = ports, .n_ports = 2};
	const struct virtio_console_wiring w = {.mem = d->mem, .loop = d->loop};
	struct virtio *v;

	cr_assert_eq(virtio_console_create(&c, &w, &v, NULL), 0);
	return v;
}

static struct virtio *make_pmem(struct vdriver *d)
{
	struct virtio_pmem_config c = {.id = "pmem0", .file = {.file_bytes = 5000,
							       .len_bytes = VIRTIO_PMEM_ALIGN}};
	struct virtio *v;

	c.file.fd = memfd_create("pmem", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(c.file.fd, 5000), 0);
	cr_assert_eq(pmem_file_map(&c.file, "pmem", d->mem, 1ull << 40, NULL), 0);
	cr_assert_eq(virtio_pmem_create(&c, &(struct virtio_pmem_wiring){d->mem, d->loop}, &v, NULL), 0);
	return v;
}

static struct virtio *make_mem(struct vdriver *d)
{
	struct virtio_mem_config c = {.id = "hotplug", .total_bytes = 64 << 20,
				      .block_bytes = VIRTIO_MEM_MIN_BLOCK, .requested_bytes = 32 << 20};
	struct virtio *v;

	cr_assert_eq(gmem_add_hotplug(d->mem, c.total_bytes, c.block_bytes, &c.base, NULL), 0);
	cr_assert_eq(virtio_mem_create(&c, &(struct virtio_mem_wiring){d->mem, d->loop}, &v, NULL), 0);
	return v;
}

static void quiet(void)
{
	log_set_level(LOG_LEVEL_ERROR);
}

TestSuite(vpoke, .init = quiet);

Test(vpoke, rng)
{
	vpoke_check(make_rng, ROUNDS);
}

Test(vpoke, blk)
{
	vpoke_check(make_blk, ROUNDS);
}

Test(vpoke, net)
{
	vpoke_check(make_net, ROUNDS);
}

Test(vpoke, fs)
{
	vpoke_check(make_fs, ROUNDS);
}

/* --- negotiation ------------------------------------------------------------------------------ */

/* A driver gets each bit that is offered, alone, and none that is not; what it got is what is in force. */
static void check_bits(struct virtio *(*make)(struct vdriver *d), bool pci)
{
	enum { F_IN_ORDER = 35, F_PACKED = 34, F_ACCESS_PLATFORM = 33, F_SR_IOV = 37, F_NOTIFICATION_DATA = 38 };
	static const uint8_t never[] = {F_IN_ORDER, F_PACKED, F_ACCESS_PLATFORM, F_SR_IOV, F_NOTIFICATION_DATA};
	struct vdriver d;
	uint64_t offered;

	vdriver_init(&d);
	if (pci) {
		vdriver_attach_pci(&d, make(&d));
		vdriver_enable_pci(&d);
	} else {
		vdriver_attach(&d, make(&d));
	}
	vdriver_write(&d, 0x14, 0);
	offered = vdriver_read(&d, 0x10);
	vdriver_write(&d, 0x14, 1);
	offered |= (uint64_t)vdriver_read(&d, 0x10) << 32;
	cr_assert(offered >> VIRTIO_F_VERSION_1 & 1);
	cr_assert(offered >> VIRTIO_F_RING_RESET & 1 || !d.v->ops->reset_queue);
	for (unsigned i = 0; i < ARRAY_LEN(never); i++)
		cr_assert_not(offered >> never[i] & 1, "%u", never[i]);
	for (unsigned bit = 0; bit < 64; bit++) {
		vdriver_start(&d, 1ull << bit, 8);
		cr_assert_eq(vdriver_status(&d) == 15, offered >> bit & 1, "bit %u", bit);
		cr_assert_eq(vdriver_read(&d, 0x44), offered >> bit & 1, "queue, bit %u", bit);
		if (bit != VIRTIO_F_RING_RESET || !(offered >> bit & 1))
			continue;
		vdriver_write(&d, 0xc0, 1);
		cr_assert_eq(vdriver_read(&d, 0x44), 0);
		vdriver_setup_queue(&d, 8, VD_DESC, VD_AVAIL, VD_USED);
		cr_assert_eq(vdriver_read(&d, 0x44), 1);
	}
	vdriver_start(&d, offered, 8);
	cr_assert_eq(vdriver_status(&d), 15);
	vdriver_fini(&d);
}

Test(negotiation, each_bit_alone, .init = quiet)
{
	static struct virtio *(*const make[])(struct vdriver *) = {make_rng, make_blk, make_net,
								      make_fs, make_vsock, make_balloon,
								    make_console, make_pmem, make_mem};

	for (unsigned i = 0; i < ARRAY_LEN(make); i++) {
		check_bits(make[i], false);
		check_bits(make[i], true);
	}
}

Test(vpoke, pmem)
{
	vpoke_check(make_pmem, ROUNDS);
}

Test(vpoke, mem)
{
	vpoke_check(make_mem, ROUNDS);
}

Test(vpoke, vsock)
{
	vpoke_check(make_vsock, ROUNDS);
}

Test(vpoke, balloon)
{
	vpoke_check(make_balloon, ROUNDS);
}

Test(vpoke, console)
{
	vpoke_check(make_console, ROUNDS);
}
