/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service's side of TCP: it is connected to, takes requests and sends answers.
 *
 * The peer is a guest at the other end of a wire that neither reorders nor delays, so this is TCP
 * without congestion control: segments out of order are dropped and acknowledged with what was
 * expected, what is not acknowledged within RTO_NS is sent again from there on, and after MAX_RETRIES
 * of that the connection is reset. No options but the maximum segment size.
 *
 * All is bounded and made beforehand: connections, one request buffer each, and a few answer buffers
 * that connections share (a complete request waits for a free one). A full table gives its place
 * to a new connection if one has been silent for IDLE_NS, and refuses the new one otherwise; silent
 * connections lose their answer buffer the same way.
 *
 * Refs: RFC 9293 (TCP).
 */
#include "vmm/mmds/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/mmds/mmds_int.h"

#define RTO_NS  300000000ull
#define IDLE_NS 10000000000ull

enum { MAX_RETRIES = 15, MAX_RESETS = 32, MIN_MSS = 64, DEFAULT_MSS = 536 };

enum state { FREE, SYN_RECEIVED, ESTABLISHED };

struct answer {
	struct mmds_answer a;
	bool used;
};

struct connection {
	enum state state;
	uint32_t peer;
	uint16_t peer_port, mss;

	/* ours to the guest: acknowledged, next to be sent, the most that was ever sent */
	uint32_t snd_una, snd_nxt, snd_max, snd_window;
	uint32_t fin_seq; /* of our FIN, once sent */
	uint32_t rcv_nxt;
	bool send_ack, fin_received, closing, fin_sent;
	bool waiting; /* a request is complete and no answer buffer was free */
	unsigned retries;
	uint64_t resend_ns; /* 0: nothing is unacknowledged */
	uint64_t heard_ns;

	struct answer *answer; /* the one being sent, or NULL */
	uint32_t answer_seq;   /* of its first byte */
	uint32_t request_len;
	uint8_t request[MMDS_REQUEST_MAX]; /* the last member */
};

struct reset {
	uint32_t peer, seq, ack;
	uint16_t peer_port, own_port;
	uint8_t flags;
};

struct mmds_tcp {
	struct mmds *mmds;
	struct connection conns[MMDS_MAX_CONNECTIONS];
	unsigned turn; /* whose it is to send */
	struct answer answers[MMDS_MAX_ANSWERS];
	struct reset resets[MAX_RESETS];
	unsigned first_reset, n_resets;
	uint64_t due_ns;
};

static int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

int mmds_tcp_create(struct mmds *m, struct mmds_tcp **out)
{
	struct mmds_tcp *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->mmds = m;
	t->due_ns = UINT64_MAX;
	for (unsigned i = 0; i < MMDS_MAX_ANSWERS; i++) {
		t->answers[i].a.text = malloc(mmds_answer_size(m));
		if (!t->answers[i].a.text) {
			mmds_tcp_destroy(t);
			return -ENOMEM;
		}
	}
	*out = t;
	return 0;
}

void mmds_tcp_destroy(struct mmds_tcp *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < MMDS_MAX_ANSWERS; i++)
		free(t->answers[i].a.text);
	free(t);
}

/* --- connections come and go --------------------------------------------------------------------- */

static void release_answer(struct connection *c)
{
	if (c->answer)
		c->answer->used = false;
	c->answer = NULL;
}

static void drop(struct mmds_tcp *t, struct connection *c)
{
	release_answer(c);
	c->state = FREE;
	mmds_count(&t->mmds->stats.connections_destroyed, 1);
}

static void queue_reset(struct mmds_tcp *t, const struct reset *r)
{
	if (t->n_resets < MAX_RESETS) /* who sends so many will ask again */
		t->resets[(t->first_reset + t->n_resets++) % MAX_RESETS] = *r;
}

/* Answers a segment that belongs to no connection, RFC 9293 §3.5.2. */
static void refuse(struct mmds_tcp *t, const struct tcp_segment *s)
{
	struct reset r = { s->peer, 0, 0, s->peer_port, s->own_port, TCP_RST };

	if (s->flags & TCP_RST)
		return;
	if (s->flags & TCP_ACK) {
		r.seq = s->ack;
	} else {
		r.flags |= TCP_ACK;
		r.ack = s->seq + s->len + !!(s->flags & TCP_SYN) + !!(s->flags & TCP_FIN);
	}
	queue_reset(t, &r);
}

static void reset(struct mmds_tcp *t, struct connection *c)
{
	queue_reset(t, &(struct reset){ c->peer, c->snd_nxt, c->rcv_nxt, c->peer_port, MMDS_PORT,
					TCP_RST | TCP_ACK });
	drop(t, c);
}

static bool is_idle(const struct connection *c, uint64_t now_ns)
{
	return now_ns - c->heard_ns > IDLE_NS;
}

static struct connection *find(struct mmds_tcp *t, const struct tcp_segment *s)
{
	for (unsigned i = 0; i < MMDS_MAX_CONNECTIONS; i++) {
		struct connection *c = &t->conns[i];

		if (c->state != FREE && c->peer == s->peer && c->peer_port == s->peer_port)
			return c;
	}
	return NULL;
}

static struct connection *find_place(struct mmds_tcp *t, uint64_t now_ns)
{
	struct connection *oldest = &t->conns[0];

	for (unsigned i = 0; i < MMDS_MAX_CONNECTIONS; i++) {
		if (t->conns[i].state == FREE)
			return &t->conns[i];
		if (t->conns[i].heard_ns < oldest->heard_ns)
			oldest = &t->conns[i];
	}
	if (!is_idle(oldest, now_ns))
		return NULL;
	reset(t, oldest);
	return oldest;
}

static int open_connection(struct mmds_tcp *t, struct connection *c, const struct tcp_segment *s,
			   uint64_t now_ns)
{
	uint16_t mss = s->mss ? s->mss : DEFAULT_MSS;
	uint32_t iss;

	if (!c)
		c = find_place(t, now_ns);
	if (!c || mss < MIN_MSS || getrandom(&iss, sizeof(iss), GRND_NONBLOCK) != sizeof(iss)) {
		refuse(t, s);
		return -EPROTO;
	}
	memset(c, 0, offsetof(struct connection, request));
	c->state = SYN_RECEIVED;
	c->peer = s->peer;
	c->peer_port = s->peer_port;
	c->mss = mss < MMDS_MSS ? mss : MMDS_MSS;
	c->snd_una = c->snd_nxt = c->snd_max = iss;
	c->snd_window = s->window;
	c->rcv_nxt = s->seq + 1;
	c->heard_ns = now_ns;
	mmds_count(&t->mmds->stats.connections_created, 1);
	return 0;
}

/* --- requests ------------------------------------------------------------------------------------ */

static struct answer *find_answer(struct mmds_tcp *t, uint64_t now_ns)
{
	for (unsigned i = 0; i < MMDS_MAX_ANSWERS; i++)
		if (!t->answers[i].used)
			return &t->answers[i];
	for (unsigned i = 0; i < MMDS_MAX_CONNECTIONS; i++) {
		struct connection *c = &t->conns[i];

		if (c->state != FREE && c->answer && is_idle(c, now_ns)) {
			struct answer *a = c->answer;

			reset(t, c);
			return a;
		}
	}
	return NULL;
}

/* Answers the next request that is complete, if nothing is being sent. */
static void serve(struct mmds_tcp *t, struct connection *c, uint64_t now_ns)
{
	size_t len = mmds_request_len((const char *)c->request, c->request_len);
	struct answer *a;

	c->waiting = false;
	if (c->answer || c->closing)
		return;
	if (!len) {
		if (c->request_len == MMDS_REQUEST_MAX)
			reset(t, c);
		else
			c->closing = c->fin_received;
		return;
	}
	a = find_answer(t, now_ns);
	c->waiting = !a;
	if (!a)
		return;
	a->used = true;
	mmds_answer_request(t->mmds, (const char *)c->request, len, now_ns, &a->a);
	c->answer = a;
	c->answer_seq = c->snd_nxt;
	c->request_len -= (uint32_t)len;
	memmove(c->request, c->request + len, c->request_len);
	c->send_ack = true; /* there is room again */
}

/* Those that wait, after an answer buffer may have become free. */
static void serve_waiting(struct mmds_tcp *t, uint64_t now_ns)
{
	for (unsigned i = 0; i < MMDS_MAX_CONNECTIONS; i++)
		if (t->conns[i].state == ESTABLISHED && t->conns[i].waiting)
			serve(t, &t->conns[i], now_ns);
}

/* --- receiving ----------------------------------------------------------------------------------- */

static bool take_ack(struct mmds_tcp *t, struct connection *c, const struct tcp_segment *s,
		     uint64_t now_ns)
{
	if (seq_diff(s->ack, c->snd_una) < 0)
		return true; /* an old one */
	if (seq_diff(s->ack, c->snd_max) > 0)
		return false;
	if (s->ack != c->snd_una) {
		c->retries = 0;
		c->resend_ns = s->ack == c->snd_max ? 0 : now_ns + RTO_NS;
	}
	c->snd_una = s->ack;
	if (seq_diff(c->snd_nxt, c->snd_una) < 0)
		c->snd_nxt = c->snd_una;
	c->snd_window = s->window;
	if (c->state == SYN_RECEIVED && c->snd_una == c->snd_max)
		c->state = ESTABLISHED;
	if (c->answer && seq_diff(c->snd_una, c->answer_seq + (uint32_t)c->answer->a.len) >= 0) {
		c->closing |= c->answer->a.close;
		release_answer(c);
	}
	return true;
}

static void take_data(struct connection *c, const struct tcp_segment *s)
{
	int32_t skip = seq_diff(c->rcv_nxt, s->seq);
	uint32_t room = MMDS_REQUEST_MAX - c->request_len, n;
	bool fin = s->flags & TCP_FIN;

	if (!s->len && !fin) {
		/* a bare acknowledgement is not acknowledged, a probe is */
		c->send_ack |= skip != 0;
		return;
	}
	c->send_ack = true;
	if (c->fin_received || skip < 0 || (uint32_t)skip > s->len)
		return; /* not what is expected; our acknowledgement says so */
	n = s->len - (uint32_t)skip;
	if (n > room) {
		n = room;
		fin = false;
	}
	memcpy(c->request + c->request_len, s->data + skip, n);
	c->request_len += n;
	c->rcv_nxt += n + fin;
	c->fin_received = fin;
}

static int receive(struct mmds_tcp *t, struct connection *c, const struct tcp_segment *s,
		   uint64_t now_ns)
{
	c->heard_ns = now_ns;
	if (s->flags & TCP_RST) {
		if (s->seq != c->rcv_nxt) {
			c->send_ack = true; /* if it meant it, it says so again */
			return -EPROTO;
		}
		drop(t, c);
		return 0;
	}
	if (s->flags & TCP_SYN) {
		if (c->state == SYN_RECEIVED && s->seq + 1 == c->rcv_nxt) {
			c->snd_nxt = c->snd_una; /* ours got lost */
			return 0;
		}
		drop(t, c); /* the guest has forgotten it */
		return s->flags & TCP_ACK ? -EPROTO : open_connection(t, c, s, now_ns);
	}
	if (!(s->flags & TCP_ACK))
		return -EINVAL;
	if (!take_ack(t, c, s, now_ns)) {
		if (c->state == SYN_RECEIVED)
			refuse(t, s);
		else
			c->send_ack = true;
		return -EPROTO;
	}
	if (c->state == ESTABLISHED)
		take_data(c, s);
	return 0;
}

/* Both sides have closed, and know it. */
static bool is_over(const struct connection *c)
{
	return c->state == ESTABLISHED && c->fin_received && c->fin_sent && !c->send_ack &&
	       c->snd_una == c->fin_seq + 1;
}

int mmds_tcp_receive(struct mmds_tcp *t, const struct tcp_segment *s, uint64_t now_ns)
{
	struct connection *c = s->own_port == MMDS_PORT ? find(t, s) : NULL;
	int r;

	t->due_ns = 0;
	if (c) {
		r = receive(t, c, s, now_ns);
		if (c->state == ESTABLISHED)
			serve(t, c, now_ns);
		if (is_over(c))
			drop(t, c);
		serve_waiting(t, now_ns);
		return r;
	}
	if (s->own_port == MMDS_PORT && (s->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
		return open_connection(t, NULL, s, now_ns);
	refuse(t, s);
	return -EPROTO;
}

/* --- sending ------------------------------------------------------------------------------------- */

/* Bytes of the answer that the guest has room for now. */
static uint32_t sendable(const struct connection *c)
{
	int32_t room = seq_diff(c->snd_una + c->snd_window, c->snd_nxt), left;

	if (!c->answer || room <= 0)
		return 0;
	left = seq_diff(c->answer_seq + (uint32_t)c->answer->a.len, c->snd_nxt);
	if (left > room)
		left = room;
	return left <= 0 ? 0 : left < c->mss ? (uint32_t)left : c->mss;
}

/* Notes that `n` sequence numbers are on their way. */
static void sent(struct connection *c, uint32_t n, uint64_t now_ns)
{
	c->snd_nxt += n;
	if (seq_diff(c->snd_nxt, c->snd_max) > 0)
		c->snd_max = c->snd_nxt;
	if (n && !c->resend_ns)
		c->resend_ns = now_ns + RTO_NS;
}

static bool next_of(struct mmds_tcp *t, struct connection *c, uint64_t now_ns,
		    struct tcp_segment *out)
{
	uint32_t n = sendable(c);

	*out = (struct tcp_segment){
		.peer = c->peer,
		.peer_port = c->peer_port,
		.own_port = MMDS_PORT,
		.seq = c->snd_nxt,
		.ack = c->rcv_nxt,
		.flags = TCP_ACK,
		.window = (uint16_t)(MMDS_REQUEST_MAX - c->request_len),
	};
	if (c->state == SYN_RECEIVED) {
		if (c->snd_nxt != c->snd_una)
			return false;
		out->flags |= TCP_SYN;
		out->mss = MMDS_MSS;
		n = 1;
	} else if (n) {
		out->data = (const uint8_t *)c->answer->a.text + (c->snd_nxt - c->answer_seq);
		out->len = n;
		if (c->snd_nxt + n == c->answer_seq + (uint32_t)c->answer->a.len)
			out->flags |= TCP_PSH;
	} else if (c->closing && !c->answer && (!c->fin_sent || c->snd_nxt == c->fin_seq)) {
		c->fin_sent = true;
		c->fin_seq = c->snd_nxt;
		out->flags |= TCP_FIN;
		n = 1;
	} else if (!c->send_ack) {
		return false;
	}
	c->send_ack = false;
	sent(c, n, now_ns);
	if (is_over(c))
		drop(t, c);
	return true;
}

/* Goes back to what was not acknowledged in time; gives up after a while. */
static void check_timer(struct mmds_tcp *t, struct connection *c, uint64_t now_ns)
{
	if (c->state == FREE || !c->resend_ns || now_ns < c->resend_ns)
		return;
	if (c->retries++ == MAX_RETRIES) {
		reset(t, c);
		return;
	}
	c->snd_nxt = c->snd_una;
	c->resend_ns = 0;
}

static void next_reset(struct mmds_tcp *t, struct tcp_segment *out)
{
	const struct reset *r = &t->resets[t->first_reset];

	*out = (struct tcp_segment){
		.peer = r->peer,
		.peer_port = r->peer_port,
		.own_port = r->own_port,
		.seq = r->seq,
		.ack = r->ack,
		.flags = r->flags,
	};
	t->first_reset = (t->first_reset + 1) % MAX_RESETS;
	t->n_resets--;
}

bool mmds_tcp_next(struct mmds_tcp *t, uint64_t now_ns, struct tcp_segment *out)
{
	if (now_ns < t->due_ns)
		return false;
	for (unsigned i = 0; i < MMDS_MAX_CONNECTIONS; i++)
		check_timer(t, &t->conns[i], now_ns);
	if (t->n_resets) {
		next_reset(t, out);
		return true;
	}
	for (unsigned i = 0; i < MMDS_MAX_CONNECTIONS; i++) {
		struct connection *c = &t->conns[(t->turn + i) % MMDS_MAX_CONNECTIONS];

		if (c->state != FREE && next_of(t, c, now_ns, out)) {
			t->turn = (t->turn + i + 1) % MMDS_MAX_CONNECTIONS;
			return true;
		}
	}
	t->due_ns = UINT64_MAX;
	for (unsigned i = 0; i < MMDS_MAX_CONNECTIONS; i++) {
		const struct connection *c = &t->conns[i];

		if (c->state != FREE && c->resend_ns && c->resend_ns < t->due_ns)
			t->due_ns = c->resend_ns;
	}
	return false;
}

uint64_t mmds_tcp_due_ns(const struct mmds_tcp *t)
{
	return t->due_ns;
}
