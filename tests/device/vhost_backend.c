/* SPDX-License-Identifier: Apache-2.0 */
/* See vhost_backend.h. One connection at a time, one ring after the other, requests one by one. */
#include "tests/device/vhost_backend.h"

#include "vmm/core/bytes.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_REGIONS = 8, MAX_RINGS = 4, RING_SIZE = 256 };

struct region {
	uint64_t addr, len;
	uint8_t *host;
};

struct ring {
	uint64_t desc, avail, used;
	uint16_t next;
	int kick, call;
	bool enabled;
};

struct vb {
	pthread_t thread;
	pthread_mutex_t lock; /* of config, capacity */
	struct vb_config config;
	uint64_t capacity;
	char path[64];
	int listener, stop[2];
	atomic_uint n_connections;
	_Atomic uint64_t guest_features;
	uint8_t disk[VB_SECTORS * 512];

	int fd;
	bool acked;
	struct region regions[MAX_REGIONS];
	unsigned n_regions, seed;
	struct ring rings[MAX_RINGS];
};

static struct vb_config config_of(struct vb *b)
{
	struct vb_config c;

	pthread_mutex_lock(&b->lock);
	c = b->config;
	pthread_mutex_unlock(&b->lock);
	return c;
}

static uint8_t *host_of(struct vb *b, uint64_t addr, uint64_t len)
{
	for (unsigned i = 0; i < b->n_regions; i++)
		if (addr - b->regions[i].addr < b->regions[i].len &&
		    len <= b->regions[i].len - (addr - b->regions[i].addr))
			return b->regions[i].host + (addr - b->regions[i].addr);
	return NULL;
}

/* --- requests of the guest -------------------------------------------------------------------- */

/* Header and status have descriptors of their own, as Linux has them. 0: it makes no sense. */
static uint32_t serve(struct vb *b, const uint8_t *table, unsigned n)
{
	const uint8_t *header = table ? host_of(b, load_le64(table), 16) : NULL;
	uint8_t *status = table ? host_of(b, load_le64(table + 16 * (n - 1)), 1) : NULL;
	uint64_t at = header ? load_le64(header + 8) * 512 : 0;
	bool in = header && load_le32(header) == 0;
	uint32_t written = 0;

	if (!header || !status || n < 2)
		return 0;

	for (unsigned i = 1; i + 1 < n; i++) {
		uint32_t len = load_le32(table + 16 * i + 8);
		uint8_t *p = host_of(b, load_le64(table + 16 * i), len);

		if (!p || load_le16(table + 16 * i + 12) != (in ? 3 : 1) || at + len > sizeof(b->disk))
			return 0;
		memcpy(in ? p : b->disk + at, in ? b->disk + at : p, len);
		at += len;
		written += in ? len : 0;
	}
	*status = 0;
	return written + 1;
}

static void give_back(struct ring *r, struct vb *b, uint32_t id, uint32_t len, uint16_t more)
{
	uint8_t *used = host_of(b, r->used, 6 + 8 * RING_SIZE);
	uint16_t idx = load_le16(used + 2);

	store_le32(used + 4 + 8 * (idx % RING_SIZE), id);
	store_le32(used + 8 + 8 * (idx % RING_SIZE), len);
	__atomic_store_n((uint16_t *)(void *)(used + 2), (uint16_t)(idx + more), __ATOMIC_RELEASE);
}

static void scribble(struct vb *b, struct ring *r)
{
	uint8_t *desc = host_of(b, r->desc, 0x3000);

	for (unsigned i = 0; i < 64; i++)
		desc[rand_r(&b->seed) % 0x3000] = (uint8_t)rand_r(&b->seed);
	store_le16(desc + 0x2002, (uint16_t)rand_r(&b->seed));
}

static void serve_ring(struct vb *b, struct ring *r)
{
	static const uint64_t one = 1;
	enum vb_disk how = config_of(b).disk;
	const uint8_t *avail = host_of(b, r->avail, 4 + 2 * RING_SIZE);

	while (how != VB_HOLD &&
	       r->next != __atomic_load_n((const uint16_t *)(const void *)(avail + 2), __ATOMIC_ACQUIRE)) {
		uint16_t id = load_le16(avail + 4 + 2 * (r->next++ % RING_SIZE));
		const uint8_t *d;
		uint32_t len;

		if (how == VB_SCRIBBLE)
			break;
		assert(id < RING_SIZE);
		d = host_of(b, r->desc + 16ull * id, 16);
		len = load_le16(d + 12) != 4 ? 0 : serve(b, host_of(b, load_le64(d), load_le32(d + 8)), load_le32(d + 8) / 16);
		if (!len) /* not asserted: after a lie of its own it may be a ring of the past */
			continue;
		give_back(r, b, how == VB_UNKNOWN ? id + 1u : id, how == VB_TOO_LONG ? UINT32_MAX : len,
			  how == VB_FAR ? 1000 : 1);
		if (how == VB_TWICE)
			give_back(r, b, id, len, 1);
	}
	if (how == VB_SCRIBBLE)
		scribble(b, r);
	if (how != VB_HOLD && r->call >= 0)
		assert(write(r->call, &one, sizeof(one)) == sizeof(one));
}

/* --- messages --------------------------------------------------------------------------------- */

static void forget_ring(struct ring *r)
{
	if (r->kick >= 0)
		close(r->kick);
	if (r->call >= 0)
		close(r->call);
	*r = (struct ring){.kick = -1, .call = -1};
}

static void forget_memory(struct vb *b)
{
	while (b->n_regions) {
		b->n_regions--;
		munmap(b->regions[b->n_regions].host, b->regions[b->n_regions].len);
	}
}

static void hang_up(struct vb *b)
{
	for (unsigned i = 0; i < MAX_RINGS; i++)
		forget_ring(&b->rings[i]);
	forget_memory(b);
	close(b->fd);
	b->fd = -1;
	b->acked = false;
}

static void take_memory(struct vb *b, const uint8_t *p, const int *fds)
{
	unsigned n = load_le32(p);

	forget_memory(b);
	for (unsigned i = 0; i < n; i++) {
		struct region *r = &b->regions[b->n_regions++];

		r->addr = load_le64(p + 8 + 32 * i);
		r->len = load_le64(p + 16 + 32 * i);
		r->host = mmap(NULL, r->len, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
		assert(r->host != MAP_FAILED);
		assert(ftruncate(fds[i], 0) < 0); /* sealed */
		close(fds[i]);
	}
}

static uint64_t answer_u64(struct vb *b, const struct vb_config *c, unsigned request)
{
	const uint64_t usual = 1ull << 32 | 1u << 30 | 1u << 28 | 1u << 12 | 1u << 9 | 1u << 6 | 1u << 2 |
			       1u << 11; /* the last is not for guests of ours */

	switch (request) {
	case VB_GET_FEATURES:
		return c->features ? c->features : usual;
	case VB_GET_PROTOCOL:
		return c->protocol ? c->protocol : 1u << 0 | 1u << 3 | 1u << 9 | 1u << 5;
	case VB_GET_QUEUE_NUM:
		return c->n_queues ? c->n_queues : 2;
	}
	return 0;
}

/* The length of the answer in out; 0: there is none. */
static uint32_t act(struct vb *b, const struct vb_config *c, unsigned request, const uint8_t *p,
		    const int *fds, uint8_t *out)
{
	struct ring *r = &b->rings[p[0] % MAX_RINGS];

	switch (request) {
	case VB_GET_FEATURES:
	case VB_GET_PROTOCOL:
	case VB_GET_QUEUE_NUM:
		store_le64(out, answer_u64(b, c, request));
		return 8;
	case VB_SET_FEATURES:
		b->guest_features = load_le64(p);
		break;
	case VB_SET_PROTOCOL:
		b->acked = load_le64(p) >> 3 & 1;
		break;
	case VB_SET_MEM_TABLE:
		take_memory(b, p, fds);
		break;
	case VB_SET_VRING_NUM:
		assert(load_le32(p + 4) == RING_SIZE);
		break;
	case VB_SET_VRING_ADDR:
		r->desc = load_le64(p + 8);
		r->used = load_le64(p + 16);
		r->avail = load_le64(p + 24);
		break;
	case VB_SET_VRING_KICK:
		r->kick = fds[0];
		break;
	case 13:
		r->call = fds[0];
		break;
	case VB_SET_VRING_ENABLE:
		r->enabled = load_le32(p + 4) == 1;
		break;
	case VB_GET_VRING_BASE:
		forget_ring(r);
		memcpy(out, p, 8);
		return 8;
	case VB_GET_CONFIG:
		memset(out, 0, 12 + VB_CONFIG_LEN);
		memcpy(out, p, 12);
		pthread_mutex_lock(&b->lock);
		store_le64(out + 12, b->capacity);
		pthread_mutex_unlock(&b->lock);
		store_le32(out + 12 + 12, 1000); /* segments */
		store_le32(out + 12 + 20, 512);
		store_le16(out + 12 + 34, 7); /* queues */
		return 12 + VB_CONFIG_LEN;
	}
	return 0;
}

static void reply(struct vb *b, const struct vb_config *c, unsigned request, const uint8_t *payload,
		  uint32_t len)
{
	enum vb_fault fault = c->at == request ? c->fault : VB_NONE;
	uint8_t m[12 + 512] = {0};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {m, 12};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fault == VB_SHORT)
		len -= 4;
	store_le32(m, fault == VB_OTHER ? request + 1 : request);
	store_le32(m + 4, fault == VB_NO_FLAG ? 1 : 5);
	store_le32(m + 8, len);
	memcpy(m + 12, payload, len);
	iov.iov_len = fault == VB_HALF ? 6 : 12 + len;
	if (fault == VB_TALK)
		iov.iov_len += 5;
	if (fault == VB_DESCRIPTORS) {
		struct cmsghdr *h = (struct cmsghdr *)(void *)control.buf;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &b->fd, sizeof(int));
	}
	if (sendmsg(b->fd, &msg, MSG_NOSIGNAL) < 0)
		hang_up(b);
}

static bool receive(struct vb *b, uint8_t *m, int *fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(MAX_REGIONS * sizeof(int))];
	} control;
	struct iovec iov = {m, 12};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *h;
	uint32_t len;

	if (recvmsg(b->fd, &msg, MSG_WAITALL) != 12)
		return false;
	h = CMSG_FIRSTHDR(&msg);
	if (h)
		memcpy(fds, CMSG_DATA(h), h->cmsg_len - CMSG_LEN(0));
	len = load_le32(m + 8);
	assert(len <= 512);
	return !len || recv(b->fd, m + 12, len, MSG_WAITALL) == (ssize_t)len;
}

static void on_message(struct vb *b)
{
	struct vb_config c = config_of(b);
	uint8_t m[12 + 512] = {0}, out[512] = {0};
	int fds[MAX_REGIONS];
	unsigned request;
	uint32_t len;

	if (!receive(b, m, fds)) {
		hang_up(b);
		return;
	}
	request = load_le32(m);
	if (c.fault == VB_SLOW)
		usleep(60000);
	if (c.at == request && c.fault == VB_DIE) {
		hang_up(b);
		return;
	}
	len = act(b, &c, request, m + 12, fds, out);
	if (!len && (load_le32(m + 4) & 8)) {
		assert(b->acked);
		store_le64(out, c.at == request && c.fault == VB_REFUSE);
		len = 8;
	}
	if (len && !(c.at == request && c.fault == VB_SILENT))
		reply(b, &c, request, out, len);
}

static void on_kick(struct vb *b, struct ring *r)
{
	uint64_t n;

	if (config_of(b).disk == VB_NEVER_LOOK)
		return;
	if (read(r->kick, &n, sizeof(n)) == sizeof(n) && r->enabled)
		serve_ring(b, r);
}

static void *run(void *arg)
{
	struct vb *b = arg;

	for (;;) {
		struct pollfd p[3 + MAX_RINGS] = {{b->stop[0], POLLIN, 0},
						  {b->fd < 0 ? b->listener : -1, POLLIN, 0},
						  {b->fd, POLLIN, 0}};
		bool blind = config_of(b).disk == VB_NEVER_LOOK;

		for (unsigned i = 0; i < MAX_RINGS; i++)
			p[3 + i] = (struct pollfd){blind ? -1 : b->rings[i].kick, POLLIN, 0};
		poll(p, 3 + MAX_RINGS, -1);
		if (p[0].revents & POLLHUP)
			return NULL;
		if (p[0].revents) { /* a new configuration */
			char c;

			assert(read(b->stop[0], &c, 1) == 1);
			for (unsigned i = 0; i < MAX_RINGS; i++)
				if (b->rings[i].enabled)
					serve_ring(b, &b->rings[i]);
			continue;
		}
		for (unsigned i = 0; i < MAX_RINGS; i++)
			if (p[3 + i].revents)
				on_kick(b, &b->rings[i]);
		if (p[2].revents)
			on_message(b);
		if (p[1].revents) {
			b->fd = accept(b->listener, NULL, NULL);
			b->n_connections++;
		}
	}
}

struct vb *vb_start(const struct vb_config *c)
{
	static unsigned n;
	struct vb *b = calloc(1, sizeof(*b));
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	assert(b);
	pthread_mutex_init(&b->lock, NULL);
	b->config = *c;
	b->capacity = VB_SECTORS;
	b->fd = -1;
	b->seed = 1;
	for (unsigned i = 0; i < MAX_RINGS; i++)
		b->rings[i].kick = b->rings[i].call = -1;
	snprintf(b->path, sizeof(b->path), "/tmp/mayfly-vhost-%d-%u", getpid(), n++);
	strcpy(a.sun_path, b->path);
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(bind(b->listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(b->listener, 4) == 0);
	assert(pipe(b->stop) == 0);
	assert(pthread_create(&b->thread, NULL, run, b) == 0);
	return b;
}

const char *vb_path(const struct vb *b)
{
	return b->path;
}

void vb_set(struct vb *b, const struct vb_config *c)
{
	pthread_mutex_lock(&b->lock);
	b->config = *c;
	pthread_mutex_unlock(&b->lock);
	assert(write(b->stop[1], "c", 1) == 1);
}

void vb_set_capacity(struct vb *b, uint64_t sectors)
{
	pthread_mutex_lock(&b->lock);
	b->capacity = sectors;
	pthread_mutex_unlock(&b->lock);
}

uint8_t *vb_bytes(struct vb *b)
{
	return b->disk;
}

unsigned vb_n_connections(const struct vb *b)
{
	return b->n_connections;
}

uint64_t vb_guest_features(const struct vb *b)
{
	return b->guest_features;
}

void vb_stop(struct vb *b)
{
	close(b->stop[1]);
	pthread_join(b->thread, NULL);
	if (b->fd >= 0)
		hang_up(b);
	close(b->stop[0]);
	close(b->listener);
	unlink(b->path);
	free(b);
}
