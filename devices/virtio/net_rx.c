/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device: frames for the guest.
 *
 * A frame is received straight into the buffers at the front of the window, with an overflow area
 * behind them for what has no room there. It is then delivered, unless the rate limiter says not
 * yet, or the buffers do not suffice and more are waited for (ROOM_NS at most: a driver may have no
 * more to give). While a frame is pending no other one is received; the host's queue holds those.
 *
 * All buffers of one frame become visible to the driver at once, as it may look for all when it
 * sees the first.
 *
 * Refs: virtio 1.3 §5.1.6.3 (receive buffers), §5.1.6.4 (incoming packets).
 */
#include "devices/virtio/net_int.h"

#include "vmm/core/bytes.h"

#include <errno.h>

#define ROOM_NS 20000000ull

static bool merges(const struct net_pair *p)
{
	return virtio_has(&p->net->v, VIRTIO_NET_F_MRG_RXBUF);
}

static bool takes_segments(const struct virtio *v)
{
	return virtio_has(v, VIRTIO_NET_F_GUEST_TSO4) || virtio_has(v, VIRTIO_NET_F_GUEST_TSO6) ||
	       virtio_has(v, VIRTIO_NET_F_GUEST_UFO) || virtio_has(v, VIRTIO_NET_F_GUEST_USO4) ||
	       virtio_has(v, VIRTIO_NET_F_GUEST_USO6);
}

/* The most that a frame may have, with its header. */
static uint32_t longest(const struct net_pair *p)
{
	if (takes_segments(&p->net->v) || !p->net->mtu)
		return NET_PACKET_MAX;
	return NET_PACKET_MAX - 65535 + p->net->mtu;
}

static uint32_t room(const struct net_pair *p)
{
	return merges(p) ? p->rx.bytes : p->rx.slot[p->rx.first_slot].bytes;
}

static void drop(struct net_pair *p)
{
	/* The guest's memory has changed all the same. */
	gmem_written_iov(p->net->v.mem, p->rx.iov + p->rx.first_iov, (int)p->rx.n_iov,
			 p->in_window);
	p->pending = 0;
}

/* By its address, which lies in the window, but for a first buffer that is very small. */
static bool is_wanted(const struct net_pair *p)
{
	const struct net_window *w = &p->rx;
	uint8_t dst[6];

	if (p->net->filter.promisc || p->in_window < NET_HDR_BYTES + sizeof(dst))
		return true;
	net_gather(w->iov + w->first_iov, w->n_iov, NET_HDR_BYTES, dst, sizeof(dst));
	return net_filter_passes(p->net, dst);
}

/* False if there is no frame, or no buffer for one. */
static bool receive(struct net_pair *p)
{
	uint32_t hdr = p->port->has_hdr ? 0 : NET_HDR_BYTES;
	struct iovec iov[NET_WINDOW_IOV + 1];
	unsigned n;
	ssize_t got;

	net_window_fill(p, merges(p) ? longest(p) : 1);
	if (!p->rx.n_slots) {
		p->starved = true;
		p->net->stats.rx_starved++;
		return false;
	}
	n = net_window_pieces(&p->rx, merges(p) ? p->rx.n_slots : 1, hdr, iov);
	iov[n++] = (struct iovec){p->overflow, NET_PACKET_MAX};
	got = p->port->ops->recv(p->port, iov, n);
	if (got < 0) {
		if (got != -EAGAIN)
			net_peer_gone(p, (int)-got);
		return false;
	}
	p->pending = (uint32_t)got + hdr;
	p->in_window = p->in_overflow = p->pending < room(p) ? p->pending : room(p);
	p->paid = false;
	if (p->pending < NET_HDR_BYTES + NET_FRAME_MIN) {
		drop(p);
		p->net->stats.rx_dropped++;
	} else if (!is_wanted(p)) {
		drop(p);
		p->net->stats.rx_filtered++;
	}
	return true;
}

/* Gets buffers for what is in the overflow area; false if there are not enough. */
static bool make_room(struct net_pair *p)
{
	uint32_t n;

	if (!merges(p))
		return false;
	net_window_fill(p, p->pending);
	n = (p->pending < p->rx.bytes ? p->pending : p->rx.bytes) - p->in_window;
	net_window_write(&p->rx, p->in_window, p->overflow + (p->in_window - p->in_overflow), n);
	p->in_window += n;
	return p->in_window == p->pending;
}

static void write_header(struct net_pair *p, uint16_t n_buffers)
{
	uint8_t hdr[NET_HDR_BYTES] = {0};

	store_le16(hdr + NET_HDR_NUM_BUFFERS, n_buffers);
	if (p->port->has_hdr) {
		net_window_write(&p->rx, NET_HDR_NUM_BUFFERS, hdr + NET_HDR_NUM_BUFFERS, 2);
		return;
	}
	if (p->port->trusted && virtio_has(&p->net->v, VIRTIO_NET_F_GUEST_CSUM))
		hdr[NET_HDR_FLAGS] = NET_HDR_F_DATA_VALID;
	net_window_write(&p->rx, 0, hdr, sizeof(hdr));
}

static void hand_over(struct net_pair *p)
{
	struct net_window *w = &p->rx;
	uint32_t left = p->pending, covered = 0;
	uint16_t n = 0;

	while (covered < p->pending)
		covered += w->slot[w->first_slot + n++].bytes;
	write_header(p, n);
	while (n--) {
		uint32_t bytes = w->slot[w->first_slot].bytes;

		if (bytes > left)
			bytes = left;
		net_window_put(p, bytes);
		left -= bytes;
	}
	virtq_publish(&p->net->v.vq[net_rx_queue(p)]);
	p->net->stats.rx_frames++;
	p->net->stats.rx_bytes += p->pending - NET_HDR_BYTES;
	p->pending = 0;
}

/* False if the frame has to wait. */
static bool deliver(struct net_pair *p)
{
	if (!p->paid) {
		uint64_t again_ns = limiter_take(&p->net->rx_limit, p->pending - NET_HDR_BYTES, 1);

		if (again_ns) {
			p->rx_throttled = true;
			p->net->stats.rx_throttled++;
			loop_timer_arm(p->net->v.loop, &p->rx_again, again_ns);
			return false;
		}
		p->paid = true;
	}
	if (p->in_window < p->pending && !make_room(p)) {
		if (!merges(p)) {
			drop(p);
			p->net->stats.rx_dropped++;
			return true;
		}
		if (!p->starved)
			loop_timer_arm(p->net->v.loop, &p->rx_again, loop_now_ns() + ROOM_NS);
		p->starved = true;
		p->net->stats.rx_starved++;
		return false;
	}
	hand_over(p);
	return true;
}

void net_rx_expect(struct net_pair *p)
{
	uint64_t due_ns = p->port->due_ns;

	/* The others have an event of their own that ends them. */
	if (!due_ns || !net_is_up(p) || p->starved || p->rx_throttled || p->pending)
		return;
	if (due_ns <= loop_now_ns())
		virtio_rekick(&p->net->v, net_rx_queue(p));
	else
		loop_timer_arm(p->net->v.loop, &p->rx_again, due_ns);
}

void net_rx_run(struct net_pair *p)
{
	struct virtio *v = &p->net->v;
	unsigned queue = net_rx_queue(p), n = 0;
	uint64_t before = p->net->stats.rx_frames;

	if (p->rx_throttled || !net_is_up(p)) {
		net_watch(p);
		return;
	}
	if (!p->pending)
		p->starved = false;
	while (n < NET_ROUND_FRAMES) {
		if (!p->pending && !receive(p))
			break;
		if (p->pending && !deliver(p))
			break;
		p->starved = false;
		n++;
	}
	if (n == NET_ROUND_FRAMES) /* the port may hold more without its fd saying so */
		virtio_rekick(v, queue);
	if (p->net->stats.rx_frames != before)
		virtio_signal(v, queue);
	net_rx_expect(p);
	net_watch(p);
}

void net_rx_on_timer(struct loop_timer *t)
{
	struct net_pair *p = container_of(t, struct net_pair, rx_again);

	p->rx_throttled = false;
	if (p->starved && p->pending && net_is_up(p) && !make_room(p)) {
		drop(p);
		p->net->stats.rx_dropped++;
		p->starved = false;
	}
	net_rx_run(p);
}

void net_rx_forget(struct net_pair *p)
{
	net_window_clear(&p->rx);
	p->pending = 0;
	p->starved = p->rx_throttled = false;
	loop_timer_cancel(p->net->v.loop, &p->rx_again);
}
