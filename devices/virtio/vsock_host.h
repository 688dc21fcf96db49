/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_VSOCK_HOST_H
#define MAYFLY_DEVICES_VIRTIO_VSOCK_HOST_H
/*
 * Where a socket device's connections come from and go to. The device owns the host, watches `fd`
 * for connections to accept, and calls with its lock held, on its loop's thread. Connections are
 * stream sockets that do not block and are not inherited; the caller closes them.
 */
#include <stdint.h>

struct vsock_host;

struct vsock_host_ops {
	/* The next connection to the guest; -EAGAIN: none is there; other errors: not now. */
	int (*accept)(struct vsock_host *h);
	/* Connects to the service that the guest knows by this port. -EAGAIN: it is there and has
	 * no room now; other errors: it is not there. */
	int (*dial)(struct vsock_host *h, uint32_t port);
	void (*close)(struct vsock_host *h); /* frees it */
};

struct vsock_host {
	const struct vsock_host_ops *ops;
	int fd;
};

#endif
