/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user messages over a Unix socket, as the side that has the memory and the driver.
 *
 * A message is three 32-bit words (request, flags, bytes that follow) and a payload, in the host's
 * byte order, and may carry descriptors. Where the other side can acknowledge (REPLY_ACK), every
 * message that changes something waits for that. Nothing the other side sends is believed: a reply
 * is of the request, of the size that was asked for, and comes in time, or the call fails.
 *
 * Needed of the other side: VIRTIO_F_VERSION_1, indirect descriptors, and a configuration space
 * (CONFIG). Not there: requests by the other side, logging, in-flight records, postcopy.
 *
 * Refs: QEMU docs/interop/vhost-user.rst, "Message Specification".
 */
#include "devices/virtio/vhost_user.h"

#include "devices/virtio/virtio.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum vhost_user_request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	GET_CONFIG = 24,
};

enum { VERSION = 1, FLAG_REPLY = 4, FLAG_NEED_REPLY = 8 };
enum { F_MQ = 0, F_REPLY_ACK = 3, F_CONFIG = 9 }; /* protocol features */

struct header {
	uint32_t request, flags, len;
};

struct config_payload {
	uint32_t offset, len, flags;
	uint8_t bytes[VHOST_USER_MAX_CONFIG];
};

struct ring_state {
	uint32_t index, num;
};

/* --- bytes ------------------------------------------------------------------------------------ */

/* The other side's time, also where a test has one of its own for the event loop. */
static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Waits until the socket is ready for `events` or the time is over. */
static int wait_for(const struct vhost_user *u, short events)
{
	for (;;) {
		struct pollfd p = {.fd = u->fd, .events = events};
		uint64_t now = now_ns();
		int n = now < u->until_ns
				? poll(&p, 1, (int)((u->until_ns - now + 999999) / 1000000))
				: 0;

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

void vhost_user_begin(struct vhost_user *u)
{
	u->until_ns = now_ns() + u->wait_ms * 1000000ull;
}

static int send_bytes(const struct vhost_user *u, struct iovec *iov, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VHOST_USER_MAX_REGIONS * sizeof(int))];
	} control = {0};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	size_t left = iov[0].iov_len + iov[1].iov_len;

	if (n_fds) {
		struct cmsghdr *c;

		m.msg_control = control.buf;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	while (left) {
		ssize_t n = sendmsg(u->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r = n < 0 && errno != EINTR && errno != EAGAIN ? -errno : 0;

		if (n < 0 && r == 0)
			r = wait_for(u, POLLOUT);
		if (r < 0)
			return r;
		if (n < 0)
			continue;
		left -= (size_t)n;
		m.msg_control = NULL;
		m.msg_controllen = 0;
		for (unsigned i = 0; i < 2 && n; i++) {
			size_t part = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return 0;
}

/* Descriptors that come along are not taken: there is no room for them. */
static int receive_bytes(const struct vhost_user *u, void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = recv(u->fd, (uint8_t *)buf + done, len - done, MSG_DONTWAIT);
		int r = n == 0 ? -ECONNRESET : 0;

		if (n < 0)
			r = errno == EINTR || errno == EAGAIN ? wait_for(u, POLLIN) : -errno;
		if (r < 0)
			return r;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* --- messages --------------------------------------------------------------------------------- */

static int send_message(const struct vhost_user *u, enum vhost_user_request request,
			uint32_t flags, const void *payload, uint32_t len, const int *fds,
			unsigned n_fds)
{
	struct header h = {request, VERSION | flags, len};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)payload, len}};

	return send_bytes(u, iov, fds, n_fds);
}

static int receive_reply(const struct vhost_user *u, enum vhost_user_request request, void *payload,
			 uint32_t len)
{
	struct header h;
	int r = receive_bytes(u, &h, sizeof(h));

	if (r < 0)
		return r;
	if (h.request != request || (h.flags & 7) != (VERSION | FLAG_REPLY) || h.len != len)
		return -EPROTO;
	return receive_bytes(u, payload, len);
}

static int get_u64(const struct vhost_user *u, enum vhost_user_request request, uint64_t *out)
{
	int r = send_message(u, request, 0, NULL, 0, NULL, 0);

	return r < 0 ? r : receive_reply(u, request, out, sizeof(*out));
}

static bool is_acked(const struct vhost_user *u)
{
	return u->protocol >> F_REPLY_ACK & 1;
}

/* Makes a change; waits until it is made if the other side can say so. */
static int set(const struct vhost_user *u, enum vhost_user_request request, const void *payload,
	       uint32_t len, const int *fds, unsigned n_fds)
{
	uint64_t status = 0;
	int r = send_message(u, request, is_acked(u) ? FLAG_NEED_REPLY : 0, payload, len, fds, n_fds);

	if (r == 0 && is_acked(u))
		r = receive_reply(u, request, &status, sizeof(status));
	return r == 0 && status ? -EREMOTEIO : r;
}

static int set_u64(const struct vhost_user *u, enum vhost_user_request request, uint64_t val)
{
	return set(u, request, &val, sizeof(val), NULL, 0);
}

static int set_ring_state(const struct vhost_user *u, enum vhost_user_request request,
			  uint32_t index, uint32_t num)
{
	const struct ring_state s = {index, num};

	return set(u, request, &s, sizeof(s), NULL, 0);
}

static int set_ring_fd(const struct vhost_user *u, enum vhost_user_request request, uint32_t index,
		       int fd)
{
	uint64_t val = index;

	return set(u, request, &val, sizeof(val), &fd, 1);
}

/* --- what the device asks for ----------------------------------------------------------------- */

static int negotiate(struct vhost_user *u)
{
	const uint64_t needed = 1ull << VHOST_USER_F_PROTOCOL_FEATURES | 1ull << VIRTIO_F_VERSION_1 |
				1ull << VIRTIO_F_INDIRECT_DESC;
	uint64_t n = 1;
	int r = set(u, SET_OWNER, NULL, 0, NULL, 0);

	if (r == 0)
		r = get_u64(u, GET_FEATURES, &u->features);
	if (r == 0 && (u->features & needed) != needed)
		r = -EOPNOTSUPP;
	if (r == 0)
		r = get_u64(u, GET_PROTOCOL_FEATURES, &u->protocol);
	if (r < 0)
		return r;
	n = u->protocol & (1ull << F_MQ | 1ull << F_REPLY_ACK | 1ull << F_CONFIG);
	u->protocol = 0; /* this one is not acknowledged yet */
	r = n >> F_CONFIG & 1 ? set_u64(u, SET_PROTOCOL_FEATURES, n) : -EOPNOTSUPP;
	u->protocol = n;
	n = 1;
	if (r == 0 && (u->protocol >> F_MQ & 1))
		r = get_u64(u, GET_QUEUE_NUM, &n);
	u->max_queues = n < 256 ? (uint32_t)n : 256;
	return r == 0 && !n ? -EPROTO : r;
}

int vhost_user_connect(struct vhost_user *u, const char *path, unsigned wait_ms, struct err *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int r;

	*u = (struct vhost_user){.fd = -1, .wait_ms = wait_ms ? wait_ms : VHOST_USER_WAIT_MS};
	vhost_user_begin(u);
	if ((size_t)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path) >= sizeof(a.sun_path))
		return err_set(e, ENAMETOOLONG, "%s: is too long for a socket's path", path);
	u->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (u->fd < 0 || connect(u->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		r = err_set(e, errno, "%s: cannot connect: %s", path, strerror(errno));
		err_hint(e, "start the program that serves the disk first (vhost-user-blk)");
		vhost_user_close(u);
		return r;
	}
	r = negotiate(u);
	if (r == 0)
		return 0;
	vhost_user_close(u);
	err_set(e, -r, "%s: no vhost-user back end that can be used: %s", path, strerror(-r));
	if (r == -EOPNOTSUPP)
		err_hint(e, "it needs VERSION_1, indirect descriptors and the protocol's CONFIG");
	return r;
}

void vhost_user_close(struct vhost_user *u)
{
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
}

int vhost_user_get_config(struct vhost_user *u, void *buf, uint32_t len)
{
	struct config_payload p = {.len = len};
	uint32_t bytes = (uint32_t)offsetof(struct config_payload, bytes) + len;
	int r = len > sizeof(p.bytes) ? -EINVAL
				      : send_message(u, GET_CONFIG, 0, &p, bytes, NULL, 0);

	if (r == 0)
		r = receive_reply(u, GET_CONFIG, &p, bytes);
	if (r == 0)
		memcpy(buf, p.bytes, len);
	return r;
}

int vhost_user_set_features(struct vhost_user *u, uint64_t features)
{
	return set_u64(u, SET_FEATURES, features | 1ull << VHOST_USER_F_PROTOCOL_FEATURES);
}

int vhost_user_set_memory(struct vhost_user *u, const struct vhost_user_region *r, unsigned n)
{
	struct {
		uint32_t n, pad;
		struct {
			uint64_t guest_addr, len, user_addr, offset;
		} r[VHOST_USER_MAX_REGIONS];
	} p = {.n = n};
	int fds[VHOST_USER_MAX_REGIONS];

	if (n > VHOST_USER_MAX_REGIONS)
		return -E2BIG;
	for (unsigned i = 0; i < n; i++) {
		p.r[i].guest_addr = p.r[i].user_addr = r[i].addr;
		p.r[i].len = r[i].len_bytes;
		fds[i] = r[i].fd;
	}
	return set(u, SET_MEM_TABLE, &p, (uint32_t)(8 + n * sizeof(p.r[0])), fds, n);
}

int vhost_user_start_ring(struct vhost_user *u, uint32_t index, const struct vhost_user_ring *ring)
{
	const struct {
		uint32_t index, flags;
		uint64_t desc, used, avail, log;
	} addr = {index, 0, ring->desc, ring->used, ring->avail, 0};
	int r = set_ring_state(u, SET_VRING_NUM, index, ring->size);

	if (r == 0)
		r = set_ring_state(u, SET_VRING_BASE, index, 0);
	if (r == 0)
		r = set(u, SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	if (r == 0)
		r = set_ring_fd(u, SET_VRING_CALL, index, ring->call_fd);
	if (r == 0)
		r = set_ring_fd(u, SET_VRING_KICK, index, ring->kick_fd);
	if (r == 0)
		r = set_ring_state(u, SET_VRING_ENABLE, index, 1);
	/* an answer to anything says that it is done, before the first notification comes */
	if (r == 0 && !is_acked(u))
		r = get_u64(u, GET_FEATURES, &u->features);
	return r;
}

int vhost_user_stop_ring(struct vhost_user *u, uint32_t index)
{
	struct ring_state s = {index, 0};
	int r = send_message(u, GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);

	return r < 0 ? r : receive_reply(u, GET_VRING_BASE, &s, sizeof(s));
}

bool vhost_user_is_alive(const struct vhost_user *u)
{
	char c;

	return u->fd >= 0 && recv(u->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       (errno == EAGAIN || errno == EINTR);
}
