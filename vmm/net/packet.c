/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that carry one frame in a message, without a header. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/net_port.h"
#include "vmm/core/err.h"
#include "vmm/net/port.h"

static int packet_send(struct net_port *p, const struct iovec *iov, unsigned n)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n };

	if (sendmsg(p->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	/* ENOBUFS has no event that would end it: as a full wire does */
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static ssize_t packet_recv(struct net_port *p, const struct iovec *iov, unsigned n)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n };
	ssize_t r;

	do
		r = recvmsg(p->fd, &m, MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return -ECONNRESET;
	return r < 0 ? -errno : r;
}

static void packet_close(struct net_port *p)
{
	close(p->fd);
	free(p);
}

static const struct net_port_ops packet_ops = {
	.send = packet_send,
	.recv = packet_recv,
	.close = packet_close,
};

int net_packet_port(int fd, struct net_port **out, struct err *e)
{
	struct net_port *p = calloc(1, sizeof(*p));

	if (!p) {
		close(fd);
		return err_set(e, ENOMEM, "network fd %d: out of memory", fd);
	}
	*p = (struct net_port){ .ops = &packet_ops, .fd = fd };
	*out = p;
	return 0;
}
