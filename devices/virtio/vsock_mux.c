/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device: all connections. They are made once, as many as there may be, and found by their
 * pair of ports through a table of fixed size, whose key no guest knows.
 *
 * What waits for the other side has a time limit, the same for all of a kind; so each kind is a
 * list in the order of deadlines, and one timer serves them all. When there are too many
 * connections, the one that has lingered for longest goes.
 *
 * The guest is owed an RST for every connection that it knows and that ends without its doing. The
 * RSTs that wait for its buffers and the connections together never exceed VSOCK_MAX_RSTS
 * (vsock_has_room()), so there is always room for one.
 *
 * Memory: the connections' rings are one mapping, touched where a host is slower than its guest,
 * and given back when the connection ends.
 */
#include "devices/virtio/vsock_int.h"

#include "vmm/core/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define ACCEPT_AGAIN_NS 100000000ull
#define RINGS_BYTES                                                                                \
	((size_t)VSOCK_LARGE_CONNS * VSOCK_LARGE_BYTES +                                           \
	 (size_t)(VSOCK_MAX_CONNS - VSOCK_LARGE_CONNS) * VSOCK_SMALL_BYTES)

/* How long each is allowed to take. */
static const uint64_t wait_ns[VSOCK_N_WAITS] = {
	[VSOCK_WAIT_GREETING] = 10000000000, [VSOCK_WAIT_RESPONSE] = 20000000000,
	[VSOCK_WAIT_DIAL] = 20000000,	     [VSOCK_WAIT_CREDIT] = 10000000,
	[VSOCK_WAIT_CLOSE] = 8000000000,     [VSOCK_WAIT_LINGER] = 60000000000, /* no progress */
};

/* --- the pool --------------------------------------------------------------------------------- */

static unsigned number(const struct vsock_conn *c)
{
	return (unsigned)(c - c->vs->conn);
}

static struct vsock_link *free_list(const struct vsock_conn *c)
{
	return number(c) < VSOCK_LARGE_CONNS ? &c->vs->free_large : &c->vs->free_small;
}

bool vsock_has_room(const struct virtio_vsock *vs)
{
	return vs->n_rsts + vs->n_conns < VSOCK_MAX_RSTS;
}

bool vsock_can_begin(const struct virtio_vsock *vs)
{
	return vsock_has_room(vs) && (vs->n_conns < VSOCK_MAX_CONNS ||
				      !vsock_list_is_empty(&vs->waits[VSOCK_WAIT_LINGER]));
}

struct vsock_conn *vsock_new(struct virtio_vsock *vs, enum vsock_state state)
{
	struct vsock_link *from;
	struct vsock_conn *c;

	if (!vsock_can_begin(vs))
		return NULL;
	if (vs->n_conns == VSOCK_MAX_CONNS) {
		vs->stats.conns_killed++;
		vsock_free(container_of(vs->waits[VSOCK_WAIT_LINGER].next, struct vsock_conn,
					waiting));
	}
	from = vsock_list_is_empty(&vs->free_large) ? &vs->free_small : &vs->free_large;
	c = container_of(from->next, struct vsock_conn, list);
	vsock_list_remove(&c->list);
	c->state = state;
	c->known = c->asked_credit = false;
	c->wants = c->guest_shut = c->our_shut = c->n_line = 0;
	c->host_port = c->guest_port = 0;
	c->rx_count = c->guest_buf = c->guest_fwd = 0;
	c->tx_count = c->fwd_count = c->told_fwd = c->ring_first = 0;
	vs->n_conns++;
	vs->stats.conns_added++;
	return c;
}

void vsock_free(struct vsock_conn *c)
{
	struct virtio_vsock *vs = c->vs;

	if (c->src.fd >= 0) {
		loop_set_events(vs->v.loop, &c->src, 0);
		close(c->src.fd);
		c->src.fd = -1;
	}
	vsock_unhash(c);
	vsock_wait(c, VSOCK_WAIT_NONE);
	if (c->listed)
		vsock_list_remove(&c->list);
	c->listed = false;
	if (c->ring_touched)
		madvise(c->ring, c->ring_bytes, MADV_DONTNEED);
	c->ring_touched = false;
	c->state = VSOCK_FREE;
	vsock_list_push(free_list(c), &c->list);
	vs->n_conns--;
	vs->stats.conns_removed++;
}

void vsock_free_all(struct virtio_vsock *vs)
{
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++)
		if (vs->conn[i].state != VSOCK_FREE)
			vsock_free(&vs->conn[i]);
	vs->n_rsts = 0;
	vs->tx_stalled = false;
}

int vsock_mux_init(struct virtio_vsock *vs)
{
	uint8_t *at;

	vs->conn = calloc(VSOCK_MAX_CONNS, sizeof(*vs->conn));
	at = mmap(NULL, RINGS_BYTES, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	vs->rings = at == MAP_FAILED ? NULL : at;
	if (!vs->conn || !vs->rings)
		return -ENOMEM;
	if (getrandom(&vs->hash_key, sizeof(vs->hash_key), 0) != sizeof(vs->hash_key))
		return -EIO;
	vs->next_port = VSOCK_FIRST_HOST_PORT;
	vs->tick_ns = UINT64_MAX;
	vsock_list_init(&vs->ready);
	vsock_list_init(&vs->free_large);
	vsock_list_init(&vs->free_small);
	for (unsigned i = 0; i < VSOCK_N_WAITS; i++)
		vsock_list_init(&vs->waits[i]);
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++) {
		struct vsock_conn *c = &vs->conn[i];

		c->vs = vs;
		c->src = (struct loop_source){
			.fd = -1, .owner = &vs->v.dev, .fn = vsock_conn_on_socket};
		c->wait = VSOCK_WAIT_NONE;
		c->ring = at;
		c->ring_bytes = i < VSOCK_LARGE_CONNS ? VSOCK_LARGE_BYTES : VSOCK_SMALL_BYTES;
		at += c->ring_bytes;
		vsock_list_init(&c->waiting);
		vsock_list_push(free_list(c), &c->list);
	}
	return 0;
}

void vsock_mux_fini(struct virtio_vsock *vs)
{
	if (vs->rings)
		munmap(vs->rings, RINGS_BYTES);
	free(vs->conn);
}

/* --- by ports --------------------------------------------------------------------------------- */

static unsigned bucket(const struct virtio_vsock *vs, uint32_t host_port, uint32_t guest_port)
{
	uint64_t h = ((uint64_t)host_port << 32 | guest_port) ^ vs->hash_key;

	h = (h ^ h >> 31) * 0x9e3779b97f4a7c15ull;
	h = (h ^ vs->hash_key) * 0xbf58476d1ce4e5b9ull;
	return h >> 54 & (VSOCK_HASH_SIZE - 1);
}

void vsock_hash(struct vsock_conn *c, uint32_t host_port, uint32_t guest_port)
{
	uint16_t *b = &c->vs->bucket[bucket(c->vs, host_port, guest_port)];

	c->host_port = host_port;
	c->guest_port = guest_port;
	c->next_in_bucket = *b;
	*b = (uint16_t)(number(c) + 1);
	c->hashed = true;
}

void vsock_unhash(struct vsock_conn *c)
{
	uint16_t *at;

	if (!c->hashed)
		return;
	at = &c->vs->bucket[bucket(c->vs, c->host_port, c->guest_port)];
	while (*at != number(c) + 1)
		at = &c->vs->conn[*at - 1].next_in_bucket;
	*at = c->next_in_bucket;
	c->hashed = false;
}

struct vsock_conn *vsock_find(const struct virtio_vsock *vs, uint32_t host_port,
			      uint32_t guest_port)
{
	unsigned n = vs->bucket[bucket(vs, host_port, guest_port)];

	for (; n; n = vs->conn[n - 1].next_in_bucket)
		if (vs->conn[n - 1].host_port == host_port &&
		    vs->conn[n - 1].guest_port == guest_port)
			return &vs->conn[n - 1];
	return NULL;
}

/* One that makes a new pair; as there are fewer connections than ports it ends. */
uint32_t vsock_pick_port(struct virtio_vsock *vs, uint32_t guest_port)
{
	uint32_t port;

	do {
		port = vs->next_port++;
		if (vs->next_port == 2u * VSOCK_FIRST_HOST_PORT)
			vs->next_port = VSOCK_FIRST_HOST_PORT;
	} while (vsock_find(vs, port, guest_port));
	return port;
}

/* --- what the guest is owed ------------------------------------------------------------------- */

void vsock_queue_rst(struct virtio_vsock *vs, const struct vsock_rst *r)
{
	assert(vs->n_rsts < VSOCK_MAX_RSTS); /* see above */
	vs->rst[(vs->first_rst + vs->n_rsts++) % VSOCK_MAX_RSTS] = *r;
}

/* --- time ------------------------------------------------------------------------------------- */

static void arm(struct virtio_vsock *vs, uint64_t deadline_ns)
{
	if (deadline_ns >= vs->tick_ns)
		return;
	vs->tick_ns = deadline_ns;
	loop_timer_arm(vs->v.loop, &vs->tick, deadline_ns);
}

void vsock_wait(struct vsock_conn *c, enum vsock_wait wait)
{
	struct virtio_vsock *vs = c->vs;

	if (c->wait != VSOCK_WAIT_NONE)
		vsock_list_remove(&c->waiting);
	c->wait = wait;
	if (wait == VSOCK_WAIT_NONE)
		return;
	c->deadline_ns = loop_now_ns() + wait_ns[wait];
	vsock_list_push(&vs->waits[wait], &c->waiting);
	arm(vs, c->deadline_ns);
}

void vsock_wait_accept(struct virtio_vsock *vs)
{
	vs->accept_again_ns = loop_now_ns() + ACCEPT_AGAIN_NS;
	arm(vs, vs->accept_again_ns);
}

static void time_is_up(struct vsock_conn *c)
{
	if (c->wait == VSOCK_WAIT_DIAL) {
		vsock_dial(c);
		return;
	}
	if (c->wait == VSOCK_WAIT_CREDIT) {
		vsock_conn_ask_credit(c);
		return;
	}
	if (c->wait == VSOCK_WAIT_GREETING)
		c->vs->stats.bad_greetings++;
	vsock_conn_kill(c);
}

void vsock_mux_tick(struct loop_timer *t)
{
	struct virtio_vsock *vs = container_of(t, struct virtio_vsock, tick);
	uint64_t now = loop_now_ns(), next = UINT64_MAX;

	vs->tick_ns = UINT64_MAX;
	if (vs->accept_again_ns && vs->accept_again_ns <= now)
		vs->accept_again_ns = 0;
	else if (vs->accept_again_ns)
		next = vs->accept_again_ns;
	for (unsigned i = 0; i < VSOCK_N_WAITS; i++) {
		struct vsock_link *head = &vs->waits[i];

		while (!vsock_list_is_empty(head)) {
			struct vsock_conn *c = container_of(head->next, struct vsock_conn, waiting);

			if (c->deadline_ns > now) {
				next = c->deadline_ns < next ? c->deadline_ns : next;
				break;
			}
			time_is_up(c); /* it waits no more, or until later than now */
		}
	}
	if (next != UINT64_MAX)
		arm(vs, next);
	vsock_rx_run(vs);
	vsock_listener_watch(vs);
}
