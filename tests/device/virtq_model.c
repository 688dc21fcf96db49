/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/virtq_model.h"

#include "vmm/core/bytes.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

struct where {
	gpaddr table;
	unsigned n, i, visits;
	bool indirect, writes;
};

static void walk(struct virtq_model *m, const struct virtq *q, struct where w)
{
	uint8_t raw[16];
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	bool ram;

	if (w.visits == q->size || w.i >= w.n) {
		m->broken = true;
		return;
	}
	gmem_read(q->mem, w.table + 16ull * w.i, raw, 16);
	addr = load_le64(raw);
	len = load_le32(raw + 8);
	flags = load_le16(raw + 12);
	ram = gmem_valid(q->mem, addr, len);
	if (flags & INDIRECT) {
		if (!q->indirect || w.indirect || (flags & NEXT) || !len || len % 16 ||
		    len / 16 > q->size || !ram)
			m->broken = true;
		else
			walk(m, q, (struct where){addr, len / 16, 0, w.visits, true, w.writes});
		return;
	}
	if (w.writes && !(flags & WRITE)) {
		m->broken = true;
		return;
	}
	m->faulty |= !ram && len;
	*(flags & WRITE ? &m->n_in : &m->n_out) += len > 0;
	*(flags & WRITE ? &m->in_bytes : &m->out_bytes) += len;
	m->faulty |= m->n_in + m->n_out > VIRTQ_MAX_SEGS || m->in_bytes > UINT32_MAX ||
		     m->out_bytes > UINT32_MAX;
	w.i = load_le16(raw + 14);
	w.writes = flags & WRITE;
	w.visits++;
	if (flags & NEXT)
		walk(m, q, w);
}

struct virtq_model virtq_model_walk(const struct virtq *q, uint16_t head)
{
	struct virtq_model m = {0};

	walk(&m, q, (struct where){q->desc, q->size, head, 0, false, false});
	return m;
}
