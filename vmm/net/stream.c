/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream sockets that carry frames after their length. What was received beyond a frame waits in a
 * buffer; so does the rest of a frame that was sent in part. A length that no frame has ends the
 * connection, as nothing after it can be trusted.
 *
 * One read takes all that is there: recv() of the device may be called until it says -EAGAIN.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/virtio/net_port.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/net/port.h"

enum { LENGTH_BYTES = 4, IN_BYTES = 4 * (LENGTH_BYTES + NET_FRAME_MAX) };

struct stream {
	struct net_port port;
	struct sockaddr_un addr; /* empty: cannot be connected again */
	uint8_t in[IN_BYTES], out[LENGTH_BYTES + NET_FRAME_MAX];
	size_t in_first, in_len, out_first, out_len;
};

static struct stream *to_stream(struct net_port *p)
{
	return container_of(p, struct stream, port);
}

static void store_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int stream_flush(struct net_port *p)
{
	struct stream *s = to_stream(p);

	while (s->out_len) {
		ssize_t r = send(p->fd, s->out + s->out_first, s->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 1;
		if (r < 0) { /* recv() will say so */
			s->out_len = 0;
			return 0;
		}
		s->out_first += (size_t)r;
		s->out_len -= (size_t)r;
	}
	return 0;
}

/* Keeps what was not sent of the length and the frame. */
static void keep_rest(struct stream *s, const struct iovec *iov, unsigned n, size_t sent)
{
	s->out_first = s->out_len = 0;
	for (unsigned i = 0; i < n; i++) {
		size_t cut = iov[i].iov_len < sent ? iov[i].iov_len : sent;

		sent -= cut;
		memcpy(s->out + s->out_len, (char *)iov[i].iov_base + cut, iov[i].iov_len - cut);
		s->out_len += iov[i].iov_len - cut;
	}
}

static int stream_send(struct net_port *p, const struct iovec *iov, unsigned n)
{
	struct stream *s = to_stream(p);
	struct iovec all[NET_PORT_MAX_IOV + 1];
	struct msghdr m = { .msg_iov = all, .msg_iovlen = n + 1 };
	uint8_t length[LENGTH_BYTES];
	size_t len = 0;
	ssize_t r;

	if (s->out_len && stream_flush(p))
		return -EAGAIN;
	all[0] = (struct iovec){ length, sizeof(length) };
	for (unsigned i = 0; i < n; i++) {
		all[i + 1] = iov[i];
		len += iov[i].iov_len;
	}
	store_be32(length, (uint32_t)len);
	do
		r = sendmsg(p->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if ((size_t)r == len + LENGTH_BYTES)
		return 0;
	keep_rest(s, all, n + 1, (size_t)r);
	return 1;
}

static ssize_t fill(struct stream *s)
{
	ssize_t r;

	memmove(s->in, s->in + s->in_first, s->in_len);
	s->in_first = 0;
	do
		r = recv(s->port.fd, s->in + s->in_len, IN_BYTES - s->in_len, MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return -ECONNRESET;
	if (r > 0)
		s->in_len += (size_t)r;
	return r < 0 ? -errno : r;
}

static ssize_t stream_recv(struct net_port *p, const struct iovec *iov, unsigned n)
{
	struct stream *s = to_stream(p);
	uint32_t len;
	size_t done = 0;

	for (;;) {
		ssize_t r;

		if (s->in_len >= LENGTH_BYTES) {
			len = load_be32(s->in + s->in_first);
			if (!len || len > NET_FRAME_MAX)
				return -EPROTO;
			if (s->in_len >= LENGTH_BYTES + len)
				break;
		}
		r = fill(s);
		if (r < 0)
			return r;
	}
	for (unsigned i = 0; i < n && done < len; i++) {
		size_t k = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		memcpy(iov[i].iov_base, s->in + s->in_first + LENGTH_BYTES + done, k);
		done += k;
	}
	s->in_first += LENGTH_BYTES + len;
	s->in_len -= LENGTH_BYTES + len;
	return (ssize_t)len;
}

static int connect_to(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), code;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return fd;
	code = errno;
	close(fd);
	return -code;
}

static int stream_reopen(struct net_port *p)
{
	struct stream *s = to_stream(p);
	int fd = s->addr.sun_path[0] ? connect_to(&s->addr) : -ENOTCONN;

	if (fd < 0)
		return fd;
	close(p->fd);
	p->fd = fd;
	s->in_len = s->out_len = 0;
	return 0;
}

static void stream_close(struct net_port *p)
{
	close(p->fd);
	free(to_stream(p));
}

static const struct net_port_ops stream_ops = {
	.send = stream_send,
	.flush = stream_flush,
	.recv = stream_recv,
	.reopen = stream_reopen,
	.close = stream_close,
};

int net_stream_port(int fd, struct net_port **out, struct err *e)
{
	struct stream *s = malloc(sizeof(*s)); /* the buffers are touched when they are used */

	if (!s) {
		close(fd);
		return err_set(e, ENOMEM, "network fd %d: out of memory", fd);
	}
	s->port = (struct net_port){ .ops = &stream_ops, .fd = fd };
	s->addr.sun_path[0] = '\0';
	s->in_first = s->in_len = s->out_first = s->out_len = 0;
	*out = &s->port;
	return 0;
}

int net_unix_connect(const char *path, struct net_port **out, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, ENAMETOOLONG, "network socket %s: the path is longer than %zu bytes",
			       path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	fd = connect_to(&addr);
	if (fd < 0) {
		err_set(e, -fd, "network socket %s: %s", path, strerror(-fd));
		err_hint(e, "start the peer first, such as: passt --socket %s", path);
		return fd;
	}
	r = net_stream_port(fd, out, e);
	if (r == 0)
		to_stream(*out)->addr = addr;
	return r;
}
