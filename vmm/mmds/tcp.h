/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_MMDS_TCP_H
#define MAYFLY_VMM_MMDS_TCP_H
/* The metadata service's connections. See tcp.c. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mmds;
struct mmds_tcp;

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };
enum { MMDS_PORT = 80, MMDS_MAX_CONNECTIONS = 30, MMDS_MAX_ANSWERS = 8, MMDS_MSS = 1460 };

struct tcp_segment { /* from the guest, or to it */
	uint32_t peer;   /* the guest's address and port */
	uint16_t peer_port, own_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window, mss; /* mss: of a SYN; 0: none is said */
	const uint8_t *data;
	uint32_t len;
};

int mmds_tcp_create(struct mmds *m, struct mmds_tcp **out);
void mmds_tcp_destroy(struct mmds_tcp *t);
/* -EINVAL: it makes no sense. -EPROTO: it makes sense, and is out of place. */
int mmds_tcp_receive(struct mmds_tcp *t, const struct tcp_segment *s, uint64_t now_ns);
/* The next segment for the guest; its data is valid until the next call. False: none now. */
bool mmds_tcp_next(struct mmds_tcp *t, uint64_t now_ns, struct tcp_segment *out);
/* When there will be one: 0: now, UINT64_MAX: not before the guest sends something. */
uint64_t mmds_tcp_due_ns(const struct mmds_tcp *t);

#endif
