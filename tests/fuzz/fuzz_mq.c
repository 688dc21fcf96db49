/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz_mq.h"

enum { MAX_OPS = 300 };

/* A chain of 1 to 4 descriptors as its queue wants them, bent by the input. */
static void offer_chain(struct fuzz_device *d, struct fuzz_input *in)
{
	unsigned queue = fuzz_byte(in) % d->n_queues, n = 1 + fuzz_byte(in) % 4;
	unsigned first = fuzz_byte(in) % FUZZ_MQ_SIZE, bend = fuzz_byte(in);

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = bend & 1 ? fuzz_word(in) : d->usual_len;
		uint64_t at = MQ_BUF + (bend & 32 ? fuzz_word(in) : 0x1000 * i);
		uint16_t flags = i + 1 < n ? VD_NEXT : 0;

		if (d->written >> queue & 1)
			flags |= VD_WRITE;
		if (bend & 2)
			flags ^= fuzz_byte(in) & 7;
		if (bend & 4)
			at = VD_RAM - fuzz_byte(in);
		if (bend & 64)
			len <<= 16;
		mq_desc(&d->m, queue, (first + i) % FUZZ_MQ_SIZE, at, len, flags,
			(uint16_t)(bend & 8 ? fuzz_byte(in) : (first + i + 1) % FUZZ_MQ_SIZE));
	}
	mq_offer(&d->m, queue, (uint16_t)(bend & 16 ? fuzz_word(in) : first));
	if (bend & 128)
		mq_kick(&d->m, queue);
}

static void write_bytes(struct fuzz_device *d, struct fuzz_input *in)
{
	uint8_t bytes[32];
	unsigned n = fuzz_byte(in) % (sizeof(bytes) + 1);
	uint64_t at = MQ_BUF + fuzz_word(in);

	for (unsigned i = 0; i < n; i++)
		bytes[i] = fuzz_byte(in);
	gmem_write(d->m.d.mem, at, bytes, n);
}

static void run_one(struct fuzz_device *d, struct fuzz_input *in)
{
	uint8_t op = fuzz_byte(in);
	uint64_t v;

	switch (op % 12) {
	case 0 ... 2:
		offer_chain(d, in);
		break;
	case 3:
	case 4:
		mq_kick(&d->m, fuzz_byte(in) % (d->n_queues + 1));
		break;
	case 5:
		write_bytes(d, in);
		break;
	case 6: /* anything anywhere in the rings */
		v = fuzz_word(in) | (uint64_t)fuzz_word(in) << 32;
		gmem_write(d->m.d.mem,
			   MQ_RINGS + (fuzz_word(in) << 2 | op >> 6) %
					      (d->n_queues * MQ_QUEUE_BYTES),
			   &v, 1u << (op >> 4 & 3));
		break;
	case 7:
		v = fuzz_word(in);
		bus_write(d->m.d.bus, VD_BASE + v % 0x150, op & 0x80 ? 1 : 4, fuzz_word(in));
		break;
	case 8:
		mq_start(&d->m, fuzz_word(in) | 7ull << 28 | 1ull << 40, fuzz_word(in),
			 FUZZ_MQ_SIZE);
		break;
	case 9:
		fake_loop_advance(d->m.d.loop, (uint64_t)fuzz_word(in) << op / 12);
		break;
	case 10:
	case 11:
		d->act(d, in);
		fake_loop_poll(d->m.d.loop);
		break;
	}
}

void fuzz_mq_run(struct fuzz_device *d, struct fuzz_input *in)
{
	for (unsigned i = 0; i < MAX_OPS && in->left; i++)
		run_one(d, in);
}
