/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon's two ways for a guest to tell of pages that are free without giving them away.
 *
 * Reporting: the driver hands over a chain of page ranges that it does not touch until the chain
 * comes back. Hinting: the device names a run by a number in its configuration; the driver answers
 * with that number, then with ranges, then with VIRTIO_BALLOON_CMD_ID_STOP, and keeps the pages
 * until the device shows VIRTIO_BALLOON_CMD_ID_DONE. A hint counts only while its run is the one
 * that the device shows: once DONE is shown the pages are the guest's again, and what is still in
 * the queue is void.
 *
 * The ranges are dropped, and so read as zeroes. A guest that says it fills free pages with
 * something else (poison_val) keeps them.
 *
 * Refs: virtio 1.3 §5.5.6.6 (free page hinting), §5.5.6.7 (page poison), §5.5.6.8 (reporting).
 */
#include "devices/virtio/balloon_int.h"

#include "vmm/core/err.h"
#include "vmm/core/gmem.h"

#include <errno.h>

static void discard(struct virtio_balloon *b, const struct virtq_chain *c, uint64_t *bytes,
		    uint64_t *fails)
{
	if (balloon_may_discard_free(b) &&
	    gmem_discard_iov(b->v.mem, c->iov + c->n_out, c->n_in, bytes) < 0)
		++*fails;
}

bool balloon_serve_reports(struct virtio_balloon *b, unsigned queue)
{
	struct virtq_chain c;
	unsigned i;

	for (i = 0; i < BALLOON_ROUND_CHAINS && virtio_pop(&b->v, queue, &c); i++) {
		b->n.reports++;
		discard(b, &c, &b->n.reported_bytes, &b->n.report_fails);
		virtio_push(&b->v, queue, &c, 0);
	}
	return i < BALLOON_ROUND_CHAINS;
}

/* --- hinting ---------------------------------------------------------------------------------- */

static bool is_run(uint32_t cmd)
{
	return cmd > VIRTIO_BALLOON_CMD_ID_DONE;
}

static void show(struct virtio_balloon *b, uint32_t cmd)
{
	b->hints.host_cmd = cmd;
	virtio_config_changed(&b->v);
}

static void take_command(struct virtio_balloon *b, const struct virtq_chain *c)
{
	uint8_t raw[4];
	size_t len = 0;

	if (c->out_bytes != sizeof(raw)) {
		b->n.hint_fails++;
		return;
	}
	for (unsigned i = 0; i < c->n_out; i++) {
		memcpy(raw + len, c->iov[i].iov_base, c->iov[i].iov_len);
		len += c->iov[i].iov_len;
	}
	b->hints.guest_cmd = load_le32(raw);
	b->hints.guest_said = true;
	if (b->hints.guest_cmd == VIRTIO_BALLOON_CMD_ID_STOP && b->hints.acknowledge &&
	    is_run(b->hints.host_cmd))
		show(b, VIRTIO_BALLOON_CMD_ID_DONE);
}

bool balloon_serve_hints(struct virtio_balloon *b, unsigned queue)
{
	struct virtq_chain c;
	unsigned i;

	for (i = 0; i < BALLOON_ROUND_CHAINS && virtio_pop(&b->v, queue, &c); i++) {
		if (c.n_out)
			take_command(b, &c);
		if (c.n_in) {
			b->n.hints++;
			if (b->hints.guest_said && is_run(b->hints.host_cmd) &&
			    b->hints.guest_cmd == b->hints.host_cmd)
				discard(b, &c, &b->n.hinted_bytes, &b->n.hint_fails);
		}
		virtio_push(&b->v, queue, &c, 0);
	}
	return i < BALLOON_ROUND_CHAINS;
}

static int check_hinting(struct virtio *v, struct err *e)
{
	if (v->features >> VIRTIO_BALLOON_F_FREE_PAGE_HINT & 1)
		return 0;
	err_set(e, EINVAL, "%s: has no free page hinting", v->dev.id);
	err_hint(e, "start it with --balloon 0,hinting");
	return -EINVAL;
}

int virtio_balloon_hint_start(struct virtio *v, bool acknowledge, struct err *e)
{
	struct virtio_balloon *b = to_balloon(v);
	int r = check_hinting(v, e);

	if (r < 0)
		return r;
	b->hints.last_id++;
	if (!is_run(b->hints.last_id))
		b->hints.last_id = VIRTIO_BALLOON_CMD_ID_DONE + 1;
	b->hints.acknowledge = acknowledge;
	show(b, b->hints.last_id);
	return 0;
}

int virtio_balloon_hint_stop(struct virtio *v, struct err *e)
{
	int r = check_hinting(v, e);

	if (r == 0)
		show(to_balloon(v), VIRTIO_BALLOON_CMD_ID_DONE);
	return r;
}

int virtio_balloon_hint_status(struct virtio *v, struct virtio_balloon_hinting *out,
			       struct err *e)
{
	const struct virtio_balloon *b = to_balloon(v);
	int r = check_hinting(v, e);

	*out = (struct virtio_balloon_hinting){
		.host_cmd = b->hints.host_cmd,
		.guest_cmd = b->hints.guest_cmd,
		.guest_said = b->hints.guest_said,
	};
	return r;
}
