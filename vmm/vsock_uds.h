/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_VSOCK_UDS_H
#define MAYFLY_VMM_VSOCK_UDS_H
/*
 * The host's side of the socket device, as Unix sockets: programs connect to PATH for the guest's
 * services; those of the host listen at PATH_PORT. See devices/virtio/vsock_host.h.
 *
 * Threads: the one that makes the machine.
 */
struct err;
struct vsock_host;

/* Makes the socket at path, with the permissions that the umask leaves. -EADDRINUSE if there is
 * anything already. It is removed when the host is closed, if it is still there. */
int vsock_uds_create(const char *path, struct vsock_host **out, struct err *e);

#endif
