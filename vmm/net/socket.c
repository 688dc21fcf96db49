/* SPDX-License-Identifier: Apache-2.0 */
/* What a file descriptor that was handed over can be as a network. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/net_port.h"
#include "vmm/core/err.h"
#include "vmm/net/port.h"

int net_port_from_fd(int fd, struct net_port **out, struct err *e)
{
	struct ifreq ifr = { 0 };
	socklen_t len = sizeof(int);
	int type;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		err_set(e, EBADF, "network fd %d: it is not open", fd);
		err_hint(e, "open it before mayfly starts: mayfly run --net fd=3 3<>/dev/...");
		return -EBADF;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
		return type == SOCK_STREAM ? net_stream_port(fd, out, e) : net_packet_port(fd, out, e);
	if (ioctl(fd, TUNGETIFF, &ifr) == 0)
		return net_tap_from_fd(fd, out, e);
	close(fd);
	err_set(e, EINVAL, "network fd %d: neither a tap nor a socket", fd);
	err_hint(e, "give an open tap, a stream socket with frames after their length, or a packet socket");
	return -EINVAL;
}
