/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_MMDS_CLIENT_H
#define MAYFLY_TESTS_DEVICE_MMDS_CLIENT_H
/* Frames of a guest that talks to the metadata service, and a look into those that come back. */
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_FRAME_MAX = 8192, CLIENT_FIN = 1, CLIENT_SYN = 2, CLIENT_RST = 4, CLIENT_ACK = 16 };

extern const uint8_t client_mac[6], client_service[4];

struct client_segment {
	uint16_t from_port, to_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window, mss;
	const void *data;
	uint32_t len;
};

size_t client_arp(uint8_t *frame, const uint8_t ip[4]); /* who has `ip`? */
/* mss 0: no option. */
size_t client_tcp(uint8_t *frame, const struct client_segment *s);
/* Takes a frame of the service apart, checksums and addresses included; returns 0 if it is sound. */
int client_parse(const uint8_t *frame, size_t len, struct client_segment *out);

#endif
