/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_VSOCK_INT_H
#define MAYFLY_DEVICES_VIRTIO_VSOCK_INT_H
/*
 * What the socket device's files share: vsock.c the device, vsock_pkt.c headers, vsock_rx.c and
 * vsock_tx.c packets, vsock_conn.c one connection, vsock_connect.c how connections begin,
 * vsock_mux.c all of them: where they are found and how long they wait.
 */
#include "devices/virtio/virtio.h"
#include "devices/virtio/vsock.h"
#include "devices/virtio/vsock_host.h"

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT }; /* queues */

enum {
	VIRTIO_VSOCK_F_STREAM = 0,

	VIRTIO_VSOCK_TYPE_STREAM = 1,

	VIRTIO_VSOCK_OP_REQUEST = 1,
	VIRTIO_VSOCK_OP_RESPONSE = 2,
	VIRTIO_VSOCK_OP_RST = 3,
	VIRTIO_VSOCK_OP_SHUTDOWN = 4,
	VIRTIO_VSOCK_OP_RW = 5,
	VIRTIO_VSOCK_OP_CREDIT_UPDATE = 6,
	VIRTIO_VSOCK_OP_CREDIT_REQUEST = 7,

	VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE = 1, /* the sender takes no more data */
	VIRTIO_VSOCK_SHUTDOWN_F_SEND = 2,    /* it gives no more */
	VSOCK_SHUTDOWN_BOTH = 3,

	VIRTIO_VSOCK_EVENT_TRANSPORT_RESET = 0,
};

enum {
	VSOCK_HDR_BYTES = 44,
	VSOCK_QUEUE_SIZE = 256,
	VSOCK_ROUND_PACKETS = 64, /* then others have their turn */
	VSOCK_ROUND_BYTES = 2 << 20,
	VSOCK_RX_SLOTS = 16,      /* receive buffers that one read fills */
	VSOCK_TX_UNTOLD = 16,     /* packets taken before the guest is interrupted for that alone */
	VSOCK_MAX_RSTS = 2 * VSOCK_MAX_CONNS,
	VSOCK_HASH_SIZE = 1024, /* a power of two */
	VSOCK_LINE_MAX = 32,
	/* What a guest may send before the host took it. The first ones have room for a stream at
	 * full speed, the many for anything. */
	VSOCK_LARGE_CONNS = 64,
	VSOCK_LARGE_BYTES = 256 << 10,
	VSOCK_SMALL_BYTES = 64 << 10,
	VSOCK_FIRST_HOST_PORT = 1 << 30, /* of connections that the host begins */
};

struct vsock_pkt { /* struct virtio_vsock_hdr, virtio 1.3 §5.10.6 */
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};

struct vsock_link { /* in a ring with its list's head; alone: points to itself */
	struct vsock_link *prev, *next;
};

enum vsock_state {
	VSOCK_FREE,
	VSOCK_GREETING,  /* the host's: its first line is not there yet */
	VSOCK_REQUESTED, /* the host's: the guest has not answered */
	VSOCK_DIALLING,  /* the guest's: the service has no room for it now */
	VSOCK_OPEN,
	VSOCK_LINGERING, /* over for the guest; the host has not taken everything yet */
};

enum { /* packets that are due to the guest */
	VSOCK_WANT_REQUEST = 1,
	VSOCK_WANT_RESPONSE = 2,
	VSOCK_WANT_DATA = 4, /* the host's socket has something to read */
	VSOCK_WANT_SHUTDOWN = 8,
	VSOCK_WANT_UPDATE = 16,
	VSOCK_WANT_CREDIT = 32, /* the guest has told of no room for long */
};

enum vsock_wait { /* what a connection has a time limit for */
	VSOCK_WAIT_GREETING,
	VSOCK_WAIT_RESPONSE,
	VSOCK_WAIT_DIAL,   /* the next attempt */
	VSOCK_WAIT_CREDIT, /* news of room; then the guest is asked */
	VSOCK_WAIT_CLOSE,  /* the guest's answer to a shutdown of both directions */
	VSOCK_WAIT_LINGER,
	VSOCK_N_WAITS,
	VSOCK_WAIT_NONE = VSOCK_N_WAITS,
};

struct vsock_conn {
	struct virtio_vsock *vs;
	struct loop_source src; /* the host's socket; fd -1: none yet */
	enum vsock_state state;
	uint32_t host_port, guest_port;
	uint16_t next_in_bucket; /* number of the connection plus one; 0: the last */
	bool hashed;
	bool known; /* to the guest: it is owed an RST */

	struct vsock_link list; /* of those that have packets for the guest, or of free ones */
	bool listed;
	enum vsock_wait wait;
	struct vsock_link waiting;
	uint64_t deadline_ns, dial_until_ns;

	/* to the guest */
	uint8_t wants;
	bool asked_credit;
	uint32_t rx_count, guest_buf, guest_fwd; /* bytes sent, its buffer, bytes it has consumed */

	/* from the guest */
	uint32_t tx_count, fwd_count, told_fwd; /* bytes sent, given to the host, of which it knows */
	uint8_t *ring; /* what the host did not take at once; tx_count - fwd_count bytes */
	uint32_t ring_bytes, ring_first;
	bool ring_touched;

	uint8_t guest_shut, our_shut; /* VIRTIO_VSOCK_SHUTDOWN_F_*: said by the guest, by us */
	uint8_t n_line;
	char line[VSOCK_LINE_MAX];
};

struct vsock_rst { /* owed to the guest, in the name of nobody */
	uint64_t cid;
	uint32_t host_port, guest_port;
	uint16_t type;
};

struct virtio_vsock {
	struct virtio v;
	uint32_t guest_cid;
	struct vsock_host *host;
	struct loop_source listener;
	uint64_t accept_again_ns; /* no accepting before; 0: at once */
	bool attached; /* the listener is the loop's */
	bool stopped;
	bool asleep; /* something is not watched since the driver's side was not there */
	bool event_due;

	struct virtq_chain slot[VSOCK_RX_SLOTS]; /* receive buffers taken from the queue, in order */
	unsigned first_slot, n_slots;
	struct virtq_chain chain; /* a packet from the guest, or an event's buffer */
	bool tx_stalled; /* until the guest takes some of what is due to it */
	struct loop_timer tx_tell; /* of packets taken */
	bool tx_tell_armed;

	struct vsock_rst rst[VSOCK_MAX_RSTS];
	unsigned first_rst, n_rsts;
	struct vsock_link ready; /* connections that have packets for the guest */

	struct vsock_conn *conn; /* VSOCK_MAX_CONNS */
	unsigned n_conns;
	struct vsock_link free_large, free_small;
	uint8_t *rings;
	uint16_t bucket[VSOCK_HASH_SIZE];
	uint32_t hash_key;
	uint32_t next_port;
	struct vsock_link waits[VSOCK_N_WAITS]; /* each in the order of its deadlines */
	struct loop_timer tick;
	uint64_t tick_ns; /* UINT64_MAX: not armed */

	struct virtio_vsock_stats stats;
};

static inline void vsock_list_init(struct vsock_link *l)
{
	l->prev = l->next = l;
}

static inline bool vsock_list_is_empty(const struct vsock_link *head)
{
	return head->next == head;
}

static inline void vsock_list_push(struct vsock_link *head, struct vsock_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void vsock_list_remove(struct vsock_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	vsock_list_init(l);
}

/* --- vsock_pkt.c ------------------------------------------------------------------------------ */

void vsock_pkt_load(struct vsock_pkt *p, const uint8_t *raw);
void vsock_pkt_store(const struct vsock_pkt *p, uint8_t *raw);
/* Copies from the start of the pieces; returns how many bytes. */
uint32_t vsock_gather(const struct iovec *iov, unsigned n, void *dst, uint32_t len);
void vsock_scatter(const struct iovec *iov, unsigned n, const void *src, uint32_t len);
/* The pieces, but for the first `skip` bytes, of at most max bytes and max_iov pieces; the number
 * of pieces, and their bytes. */
unsigned vsock_cut(const struct iovec *iov, unsigned n, uint32_t skip, uint32_t max,
		   struct iovec *out, unsigned max_iov, uint32_t *bytes);

/* --- vsock.c ---------------------------------------------------------------------------------- */

/* Whether the driver's side is there; if not, what is not watched now will be when it is. */
bool vsock_is_awake(struct virtio_vsock *vs);

/* --- vsock_rx.c, vsock_tx.c ------------------------------------------------------------------- */

/* Sends the guest what is due, as far as it has buffers. */
void vsock_rx_run(struct virtio_vsock *vs);
void vsock_rx_forget(struct virtio_vsock *vs);
void vsock_tx_run(struct virtio_vsock *vs);
void vsock_tx_on_timer(struct loop_timer *t);

/* --- vsock_conn.c ----------------------------------------------------------------------------- */

/* How many bytes the guest has room for. */
uint32_t vsock_conn_credit(const struct vsock_conn *c);
void vsock_conn_take_credit(struct vsock_conn *c, const struct vsock_pkt *p);
void vsock_conn_ask_credit(struct vsock_conn *c);
/* Puts it among those that have packets for the guest, if it does. */
void vsock_conn_schedule(struct vsock_conn *c);
void vsock_conn_watch(struct vsock_conn *c);
void vsock_conn_on_socket(struct loop_source *s, uint32_t ready);
/* len bytes of payload, which the credit covers. */
void vsock_conn_write(struct vsock_conn *c, const struct iovec *iov, unsigned n, uint32_t len);
/* The guest will not send, or not receive, any more. */
void vsock_conn_guest_shut(struct vsock_conn *c, uint32_t flags);
/* The guest has no such connection any more; what it sent still goes to the host. */
void vsock_conn_guest_gone(struct vsock_conn *c);
/* The host's socket gives no more. */
void vsock_conn_host_eof(struct vsock_conn *c);
/* Ends it at once. The guest is told, if it knows of it. */
void vsock_conn_kill(struct vsock_conn *c);

/* --- vsock_connect.c -------------------------------------------------------------------------- */

void vsock_listener_watch(struct virtio_vsock *vs);
void vsock_listener_on_ready(struct loop_source *s, uint32_t ready);
void vsock_greet(struct vsock_conn *c);
/* The guest agreed to a connection of the host. */
void vsock_accepted(struct vsock_conn *c);
/* The guest wants one. */
void vsock_requested(struct virtio_vsock *vs, const struct vsock_pkt *p);
void vsock_dial(struct vsock_conn *c);

/* --- vsock_mux.c ------------------------------------------------------------------------------ */

int vsock_mux_init(struct virtio_vsock *vs);
void vsock_mux_fini(struct virtio_vsock *vs);
/* Whether the guest can be told of the end of one more connection, or packet. */
bool vsock_has_room(const struct virtio_vsock *vs);
/* One without a socket yet; NULL: there are too many. */
struct vsock_conn *vsock_new(struct virtio_vsock *vs, enum vsock_state state);
/* Whether vsock_new() would give one. */
bool vsock_can_begin(const struct virtio_vsock *vs);
/* Gives the connection its ports: it can be found by them. */
void vsock_hash(struct vsock_conn *c, uint32_t host_port, uint32_t guest_port);
void vsock_unhash(struct vsock_conn *c);
struct vsock_conn *vsock_find(const struct virtio_vsock *vs, uint32_t host_port,
			      uint32_t guest_port);
uint32_t vsock_pick_port(struct virtio_vsock *vs, uint32_t guest_port);
/* Closes its socket; the memory is another one's from here on. */
void vsock_free(struct vsock_conn *c);
void vsock_free_all(struct virtio_vsock *vs); /* and forgets what is due to the guest */
void vsock_queue_rst(struct virtio_vsock *vs, const struct vsock_rst *r);
/* In place of what it waited for before. */
void vsock_wait(struct vsock_conn *c, enum vsock_wait wait);
void vsock_wait_accept(struct virtio_vsock *vs);
void vsock_mux_tick(struct loop_timer *t);

#endif
