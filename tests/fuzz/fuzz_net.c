/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device behind its registers: a driver that writes rings, headers and commands as it
 * likes, while ports lose room, lose frames, go away and come back. Input: a byte that chooses the
 * device, then operations of a code and its arguments; see run().
 */
#include "tests/device/net_rig.h"
#include "tests/fuzz/fuzz_input.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OPS = 400, SIZE = 64 };

/* A chain of 1 to 8 descriptors as its queue wants them, each bent by the input. */
static void offer_chain(struct rig *r, struct fuzz_input *in)
{
	unsigned queue = fuzz_byte(in) % (r->m.d.v->n_queues + 1u), n = 1 + fuzz_byte(in) % 8;
	unsigned first = fuzz_byte(in) % SIZE, bend = fuzz_byte(in);
	bool writes = queue < 4 && queue % 2 == 0;

	if (queue >= r->m.d.v->n_queues)
		return;
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = bend & 1 ? fuzz_word(in) : i ? 1500 : 12;
		uint64_t at = MQ_BUF + fuzz_word(in);
		uint16_t flags = i + 1 < n ? VD_NEXT : 0;

		if (writes || (queue == r->m.d.v->n_queues - 1u && i + 1 == n))
			flags |= VD_WRITE;
		if (bend & 2)
			flags ^= fuzz_byte(in) & 7;
		if (bend & 4)
			at = VD_RAM - fuzz_byte(in);
		mq_desc(&r->m, queue, (first + i) % SIZE, at, len, flags,
			 (uint16_t)(bend & 8 ? fuzz_byte(in) : (first + i + 1) % SIZE));
	}
	mq_offer(&r->m, queue, (uint16_t)(bend & 16 ? fuzz_word(in) : first));
}

static void bend_port(struct rig *r, struct fuzz_input *in)
{
	static const int errors[] = {0, EIO, EINVAL, ENOBUFS, EPIPE};
	static const int ends[] = {0, 0, EBADFD, ECONNRESET};
	uint8_t how = fuzz_byte(in);
	struct rig_port *p = r->port[how & 1] ? r->port[how & 1] : r->port[0];

	p->busy = how >> 1 & 3;
	p->send_error = errors[(how >> 3 & 7) % ARRAY_LEN(errors)];
	p->gone = ends[how >> 6];
	p->reopens = how >> 2 & 1;
}

static void feed(struct rig *r, struct fuzz_input *in)
{
	static uint8_t frame[NET_PACKET_MAX];
	uint32_t len = fuzz_byte(in), max = r->port[0]->port.has_hdr ? NET_PACKET_MAX : NET_FRAME_MAX;
	uint8_t how = fuzz_byte(in);

	if (how & 0x80)
		len = len << 8 | fuzz_byte(in);
	for (unsigned i = 0; i < 24; i++)
		frame[i] = how & 2 ? fuzz_byte(in) : 0xff;
	rig_feed(r, how & 1 && r->port[1] ? 1 : 0, frame, len < max ? len : max);
	fake_loop_poll(r->m.d.loop);
}

static void change_live(struct rig *r, struct fuzz_input *in)
{
	struct limiter_bucket_config b = {fuzz_byte(in), fuzz_byte(in), fuzz_byte(in)};

	switch (fuzz_byte(in) % 4) {
	case 0:
		virtio_net_set_link(r->m.d.v, fuzz_byte(in) & 1);
		break;
	case 1:
		virtio_net_limit_rx(r->m.d.v, &b, NULL);
		break;
	case 2:
		virtio_net_limit_tx(r->m.d.v, NULL, &b);
		break;
	case 3:
		fake_loop_advance(r->m.d.loop, 1000000ull * fuzz_word(in));
		break;
	}
	fake_loop_poll(r->m.d.loop);
}

static void write_bytes(struct rig *r, struct fuzz_input *in)
{
	uint8_t bytes[32];
	unsigned n = fuzz_byte(in) % sizeof(bytes);

	for (unsigned i = 0; i < n; i++)
		bytes[i] = fuzz_byte(in);
	gmem_write(r->m.d.mem, MQ_BUF + fuzz_word(in), bytes, n);
}

static void run(struct rig *r, struct fuzz_input *in)
{
	uint8_t op = fuzz_byte(in);
	uint64_t v;

	switch (op % 12) {
	case 0 ... 3:
		offer_chain(r, in);
		break;
	case 4:
		mq_kick(&r->m, fuzz_byte(in) % 8);
		break;
	case 5:
		write_bytes(r, in);
		break;
	case 6: /* anything anywhere in the rings */
		v = fuzz_word(in) | (uint64_t)fuzz_word(in) << 32;
		gmem_write(r->m.d.mem, MQ_RINGS + (fuzz_word(in) | (uint32_t)(op >> 6) << 16) % (5 * MQ_QUEUE_BYTES),
			   &v, 1u << (op >> 4 & 3));
		break;
	case 7:
		bus_write(r->m.d.bus, VD_BASE + fuzz_word(in) % 0x150, op & 0x80 ? 1 : 4, fuzz_word(in));
		break;
	case 8:
		feed(r, in);
		break;
	case 9:
		rig_start(r, fuzz_word(in) | (uint64_t)fuzz_word(in) << 16 | 7ull << 28 | 1ull << 40, SIZE);
		break;
	case 10:
		bend_port(r, in);
		break;
	case 11:
		change_live(r, in);
		break;
	}
}

/* No frame in flight can be left: what a new device starts with. */
static void calm(struct rig *r)
{
	struct limiter_bucket_config none = {0, 0, 0};

	for (unsigned i = 0; i < RIG_PAIRS && r->port[i]; i++) {
		r->port[i]->busy = 0;
		r->port[i]->send_error = r->port[i]->gone = r->port[i]->reopens = 0;
		r->port[i]->n_sent = r->port[i]->sent_bytes = 0;
	}
	virtio_net_set_link(r->m.d.v, true);
	virtio_net_limit_rx(r->m.d.v, &none, &none);
	virtio_net_limit_tx(r->m.d.v, &none, &none);
	fake_loop_advance(r->m.d.loop, 10000000000ull);
}

/* After whatever happened, a driver that resets it has a device that works. */
static void check(struct rig *r)
{
	struct vdriver_used u;

	calm(r);
	rig_start(r, 0, SIZE);
	gmem_fill(r->m.d.mem, MQ_BUF, 0, 100);
	mq_desc(&r->m, 1, 0, MQ_BUF, 100, 0, 0);
	mq_offer(&r->m, 1, 0);
	mq_kick(&r->m, 1);
	if (!mq_take(&r->m, 1, &u) || r->port[0]->n_sent != 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig rigs[4];
	struct fuzz_input in = {data, size};
	unsigned kind = fuzz_byte(&in) % 4;
	struct rig *r = &rigs[kind];

	if (!r->m.d.v) {
		log_set_level(LOG_LEVEL_ERROR);
		rig_init(r, &(struct rig_config){
				    .has_hdr = kind & 1,
				    .trusted = kind == 2,
				    .mtu = kind & 2 ? 9000 : 0,
				    .n_pairs = kind == 3 ? 2 : 1,
				    .port_features = kind & 1 ? 0x1c0000000007f80ull : 0,
			    });
	}
	rig_start(r, ~0ull >> 7 & r->m.d.v->features, SIZE);
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		run(r, &in);
	check(r);
	return 0;
}
