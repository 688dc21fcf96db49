/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue walker over arbitrary guest memory. Input: 8 bytes that place the rings, then the bytes
 * of guest memory from address 0. Whatever they are, a chain consists of RAM only, its sums are
 * right, no head is out twice, the queue ends, and each chain is what a model of the rules makes of
 * it (tests/device/virtq_model.c).
 */
#include "devices/virtio/virtq.h"
#include "tests/device/virtq_model.h"
#include "vmm/core/bytes.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAM = 64 << 10, CONTROL = 8 }; /* RAM at 0 and at 4 GiB */

static void check_chain(const struct gmem *mem, const struct virtq_chain *c)
{
	const struct gmem_region *r;
	unsigned n_regions = gmem_regions(mem, &r);
	uint64_t sum[2] = {0};

	assert(c->n_out + c->n_in <= VIRTQ_MAX_SEGS);
	assert(!c->faulty || c->n_out + c->n_in == 0);
	for (unsigned i = 0; i < (unsigned)c->n_out + c->n_in; i++) {
		const uint8_t *p = c->iov[i].iov_base;
		bool inside = false;

		for (unsigned k = 0; k < n_regions; k++)
			inside |= p >= r[k].host && p < r[k].host + r[k].len_bytes &&
				  c->iov[i].iov_len <=
					  (size_t)(r[k].host + r[k].len_bytes - p);
		assert(inside);
		sum[i >= c->n_out] += c->iov[i].iov_len;
	}
	assert(sum[0] == c->out_bytes && sum[1] == c->in_bytes);
}

/* Pops, and compares with what the model says of the same bytes. */
static enum virtq_result pop(struct virtq *q, struct virtq_chain *c)
{
	struct virtq_model m = {0};
	uint16_t idx = 0, head = 0, ahead;
	enum virtq_result r;
	bool bad;

	gmem_load16(q->mem, q->avail + 2, &idx);
	ahead = (uint16_t)(idx - q->next_avail);
	gmem_load16(q->mem, q->avail + 4 + 2u * (q->next_avail & (q->size - 1u)), &head);
	bad = q->broken || ahead > q->size || head >= q->size || (q->inflight[head / 64] >> head % 64 & 1);
	if (ahead && !bad)
		m = virtq_model_walk(q, head);
	r = virtq_pop(q, c);
	if (!ahead) /* it may have written where it looked after that: rings may overlap */
		return r;
	assert((r == VIRTQ_BROKEN) == (bad || m.broken) && r != VIRTQ_EMPTY);
	if (r == VIRTQ_GOT) {
		assert(c->head == head && c->faulty == m.faulty);
		assert(c->faulty || (c->n_out == m.n_out && c->n_in == m.n_in &&
				     c->out_bytes == m.out_bytes && c->in_bytes == m.in_bytes));
	}
	return r;
}

static void serve(struct virtq *q, uint8_t choice)
{
	static struct virtq_chain chain[VIRTQ_MAX_SIZE];
	bool out[VIRTQ_MAX_SIZE] = {false};
	unsigned n = 0;

	while (n < VIRTQ_MAX_SIZE && pop(q, &chain[n]) == VIRTQ_GOT) {
		assert(chain[n].head < q->size && !out[chain[n].head]);
		out[chain[n].head] = true;
		check_chain(q->mem, &chain[n]);
		n++;
		/* some come back at once, so that heads repeat */
		if (choice >> n % 8 & 1) {
			n--;
			out[chain[n].head] = false;
			virtq_push(q, &chain[n], choice);
			if (q->next_used > 4 * q->size)
				break;
		}
	}
	assert(q->n_inflight == n);
	while (n--)
		virtq_push(q, &chain[n], UINT32_MAX);
	virtq_wants_irq(q);
	assert(q->n_inflight == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gmem *mem;
	struct virtq q = {.max_size = VIRTQ_MAX_SIZE};

	if (size < CONTROL)
		return 0;
	if (!mem && gmem_create(2 * RAM, RAM, &mem, NULL) < 0)
		abort();
	gmem_fill(mem, 0, 0, RAM);
	gmem_write(mem, 0, data + CONTROL, size - CONTROL < RAM ? size - CONTROL : RAM);
	q.mem = mem;
	virtq_reset(&q);
	q.size = data[0] & 0x80 ? data[0] : (uint16_t)(1u << data[0] % 10);
	q.desc = (gpaddr)load_le16(data + 1) << (data[0] & 0x40 ? 17 : 0);
	q.avail = load_le16(data + 3);
	q.used = load_le16(data + 5);
	if (!virtq_enable(&q, data[7] & 1, data[7] & 2))
		return 0;
	for (unsigned round = 0; round < 4; round++) {
		serve(&q, (uint8_t)(data[7] * (round + 1)));
		q.broken = false; /* go on where a device would stop */
		/* the driver makes more available */
		gmem_store16(mem, q.avail + 2, (uint16_t)(q.next_avail + (data[7] >> 4) + round));
	}
	return 0;
}
