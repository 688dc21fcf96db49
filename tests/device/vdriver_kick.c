/* SPDX-License-Identifier: Apache-2.0 */
/* Apart from vdriver.c, which tests with the real event loop use too. */
#include "tests/device/vdriver.h"

void vdriver_kick(struct vdriver *d)
{
	vdriver_write(d, VIRTIO_MMIO_NOTIFY, 0);
	fake_loop_poll(d->loop);
}
