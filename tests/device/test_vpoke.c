/* SPDX-License-Identifier: Apache-2.0 */
/* Every virtio device on both transports: see tests/device/vpoke.h. */
#include "devices/virtio/blk.h"
#include "devices/virtio/rng.h"
#include "tests/device/vpoke.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
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
