/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_MMDS_MMDS_H
#define MAYFLY_VMM_MMDS_MMDS_H
/*
 * The metadata service: a JSON document that the operator sets and changes, and that the guest reads
 * over HTTP at a link-local address of its own network. See mmds.c (the document), http.c (what the
 * guest may ask), stack.c and tcp.c (the network), port.c (where it meets the network device).
 *
 *	mmds_create(MMDS_DEFAULT_LIMIT, &m, e);
 *	mmds_configure(m, &(struct mmds_config){ .version = MMDS_V2, .address = MMDS_ADDRESS });
 *	mmds_put(m, value, e);
 *	... machine_config.mmds = m, and machine_net.mmds = true for the networks that lead to it ...
 *
 * Threads: put, patch, get and the counters from any; create, configure and destroy while no machine
 * uses it.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct mmds;
struct net_port;

enum mmds_version { MMDS_V1, MMDS_V2 };

enum { MMDS_DEFAULT_LIMIT = 51200 };
#define MMDS_ADDRESS { 169, 254, 169, 254 }

struct mmds_config {
	enum mmds_version version; /* V2: a guest needs a token to read */
	uint8_t address[4];
	bool imds_compat; /* answers are text, whatever the guest accepts */
};

/* Counters since creation, in the order and words of the metrics document. */
struct mmds_stats {
	uint64_t rx_accepted;         /* frames for the service */
	uint64_t rx_accepted_err;     /* of those, segments that make no sense */
	uint64_t rx_accepted_unusual; /* of those, no TCP, or out of place */
	uint64_t rx_bad_eth;
	uint64_t rx_invalid_token, rx_no_token;
	uint64_t rx_count; /* segments taken */
	uint64_t tx_bytes, tx_count, tx_errors, tx_frames;
	uint64_t connections_created, connections_destroyed;
};

/* limit_bytes: of the document as compact JSON. -ENOMEM */
int mmds_create(size_t limit_bytes, struct mmds **out, struct err *e);
void mmds_destroy(struct mmds *m); /* NULL is allowed */
/* Without a call: V1 at MMDS_ADDRESS. */
void mmds_configure(struct mmds *m, const struct mmds_config *c);
void mmds_get_config(const struct mmds *m, struct mmds_config *out);

/* Link-local unicast, 169.254.1.0 to 169.254.254.255 (RFC 3927 §2.1). */
bool mmds_address_is_valid(const uint8_t address[4]);
bool mmds_address_parse(const char *s, uint8_t address[4]);

/* Replaces the document; any JSON value. Borrows `value`. -E2BIG over the limit, -ENOMEM. The
 * messages are the API's. */
int mmds_put(struct mmds *m, json_t *value, struct err *e);
/* Merges as RFC 7396 says. -ENOENT before the first put, -E2BIG, -ENOMEM: nothing has changed. */
int mmds_patch(struct mmds *m, json_t *patch, struct err *e);
/* The same from JSON text, any value. -EINVAL with "what is wrong at line L column C" if it is none. */
int mmds_put_text(struct mmds *m, const char *text, size_t len, struct err *e);
int mmds_patch_text(struct mmds *m, const char *text, size_t len, struct err *e);
/* The document as compact JSON, "{}" if there is none; the caller's to free(). NULL: no memory. */
char *mmds_get(struct mmds *m);

void mmds_stats(const struct mmds *m, struct mmds_stats *out);

/*
 * Puts the service before the ports of one network device: what the guest sends to the service's
 * address goes no further, and answers come out of recv(). Each entry of `ports` is replaced by a
 * port that owns it. Borrows m for the ports' life. On failure (-ENOMEM) the ports are as they were.
 */
int mmds_port_wrap(struct mmds *m, struct net_port **ports, unsigned n_ports, struct err *e);

#endif
