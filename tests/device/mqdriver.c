/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/mqdriver.h"

#include <assert.h>

enum { FEATURES_SEL = 0x24, FEATURES = 0x20, STATUS = 0x70, QUEUE_SEL = 0x30, QUEUE_NUM = 0x38,
       QUEUE_READY = 0x44, DESC = 0x80, AVAIL = 0x90, USED = 0xa0 };

void mq_init(struct mqdriver *m)
{
	memset(m, 0, sizeof(*m));
	vdriver_init(&m->d);
	for (unsigned i = 0; i < MQ_MAX_QUEUES; i++) {
		gpaddr base = MQ_RINGS + (gpaddr)i * MQ_QUEUE_BYTES;

		m->q[i] = (struct mq_queue){.desc = base, .avail = base + 0x2000,
					    .used = base + 0x3000};
	}
}

void mq_fini(struct mqdriver *m)
{
	vdriver_fini(&m->d);
}

static void set_up_queue(struct mqdriver *m, unsigned i, uint16_t size)
{
	struct mq_queue *q = &m->q[i];
	const gpaddr at[3] = {q->desc, q->avail, q->used};
	static const unsigned reg[3] = {DESC, AVAIL, USED};

	q->size = size;
	q->n_avail = q->n_used = 0;
	gmem_fill(m->d.mem, q->desc, 0, MQ_QUEUE_BYTES);
	vdriver_write(&m->d, QUEUE_SEL, i);
	vdriver_write(&m->d, QUEUE_NUM, size);
	for (unsigned k = 0; k < 3; k++) {
		vdriver_write(&m->d, reg[k], (uint32_t)at[k]);
		vdriver_write(&m->d, reg[k] + 4, (uint32_t)(at[k] >> 32));
	}
	vdriver_write(&m->d, QUEUE_READY, 1);
}

void mq_start(struct mqdriver *m, uint64_t features, uint32_t queues, uint16_t size)
{
	static const uint32_t ready = VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK;

	features |= 1ull << VIRTIO_F_VERSION_1;
	vdriver_write(&m->d, STATUS, 0);
	vdriver_write(&m->d, STATUS, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		vdriver_write(&m->d, FEATURES_SEL, i);
		vdriver_write(&m->d, FEATURES, (uint32_t)(features >> 32 * i));
	}
	vdriver_write(&m->d, STATUS, ready);
	for (unsigned i = 0; i < MQ_MAX_QUEUES; i++)
		if (queues >> i & 1)
			set_up_queue(m, i, size);
	vdriver_write(&m->d, STATUS, ready | VIRTIO_S_DRIVER_OK);
	fake_loop_poll(m->d.loop);
}

void mq_desc(struct mqdriver *m, unsigned queue, unsigned i, uint64_t addr, uint32_t len,
	     uint16_t flags, uint16_t next)
{
	vdriver_desc_at(&m->d, m->q[queue].desc, i, addr, len, flags, next);
}

void mq_offer(struct mqdriver *m, unsigned queue, uint16_t head)
{
	struct mq_queue *q = &m->q[queue];

	if (!q->size)
		return;
	gmem_write(m->d.mem, q->avail + 4 + 2 * (gpaddr)(q->n_avail % q->size), &head, 2);
	q->n_avail++;
	gmem_store16(m->d.mem, q->avail + 2, q->n_avail);
}

void mq_kick(struct mqdriver *m, unsigned queue)
{
	vdriver_write(&m->d, VIRTIO_MMIO_NOTIFY, queue);
	fake_loop_poll(m->d.loop);
}

bool mq_take(struct mqdriver *m, unsigned queue, struct vdriver_used *out)
{
	struct mq_queue *q = &m->q[queue];
	uint16_t idx;
	uint8_t elem[8];

	assert(gmem_load16(m->d.mem, q->used + 2, &idx));
	if (!q->size || idx == q->n_used)
		return false;
	gmem_read(m->d.mem, q->used + 4 + 8 * (gpaddr)(q->n_used % q->size), elem, 8);
	*out = (struct vdriver_used){load_le32(elem), load_le32(elem + 4)};
	q->n_used++;
	return true;
}

void mq_put(struct mqdriver *m, unsigned queue, uint16_t i, gpaddr at, const void *bytes,
	    uint32_t len)
{
	gmem_write(m->d.mem, at, bytes, len);
	mq_desc(m, queue, i, at, len, 0, 0);
	mq_offer(m, queue, i);
}

uint32_t mq_config(struct mqdriver *m, unsigned off)
{
	return vdriver_read(&m->d, MQ_CONFIG + off);
}
