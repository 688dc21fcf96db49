/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_MMDS_MMDS_INT_H
#define MAYFLY_VMM_MMDS_MMDS_INT_H
/* What the metadata service's files share. */
#include <pthread.h>

#include "vmm/mmds/mmds.h"

enum {
	MMDS_MAX_TOKENS = 512,
	MMDS_TOKEN_LEN = 48,
	MMDS_MIN_TTL_S = 1,
	MMDS_MAX_TTL_S = 21600,
	MMDS_REQUEST_MAX = 4096, /* bytes of a request, headers included */
	MMDS_HEAD_MAX = 512,     /* of an answer's headers */
};

/* --- token.c: the tokens of V2 ----------------------------------------------------------------- */

struct mmds_tokens {
	struct {
		char text[MMDS_TOKEN_LEN];
		uint64_t expires_ns; /* 0: free */
	} issued[MMDS_MAX_TOKENS];
};

/* Writes MMDS_TOKEN_LEN characters. False if the host gives no random numbers. */
bool mmds_token_issue(struct mmds_tokens *t, uint32_t ttl_s, uint64_t now_ns, char *out);
bool mmds_token_is_valid(const struct mmds_tokens *t, const char *text, size_t len,
			 uint64_t now_ns);

/* --- write.c: JSON ----------------------------------------------------------------------------- */

/* Writes as much as there is room for, without a NUL; returns the bytes of all of it, 0 without memory. */
size_t mmds_write(const json_t *v, char *buf, size_t size);

/* --- mmds.c ------------------------------------------------------------------------------------ */

struct mmds {
	struct mmds_config config;
	size_t limit_bytes;
	pthread_mutex_t lock; /* of what follows */
	json_t *document;     /* never NULL; null before the first put */
	bool is_set;
	struct mmds_tokens tokens;
	struct mmds_stats stats; /* changed by mmds_count() alone */
};

/* Adds to a counter; devices on several threads do. */
static inline void mmds_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* --- http.c: a request in, an answer out -------------------------------------------------------- */

struct mmds_answer {
	char *text; /* the caller's, of mmds_answer_size() bytes */
	size_t len;
	bool close; /* the client wants no further answers */
};

size_t mmds_answer_size(const struct mmds *m);
/* Bytes up to and with the empty line that ends a request's headers; 0: not there yet. */
size_t mmds_request_len(const char *text, size_t len);
void mmds_answer_request(struct mmds *m, const char *text, size_t len, uint64_t now_ns,
			 struct mmds_answer *out);

/* --- stack.c: frames in, frames out -------------------------------------------------------------- */

enum {
	MMDS_FRAME_HEAD = 42, /* bytes that tell whose a frame is */
	MMDS_FRAME_IN = 14 + 60 + 60 + MMDS_REQUEST_MAX, /* more of a frame is not looked at */
	MMDS_FRAME_OUT = 1514,
};

struct mmds_stack;

int mmds_stack_create(struct mmds *m, struct mmds_stack **out);
void mmds_stack_destroy(struct mmds_stack *s);
/* From a frame's first bytes: whether it is for the service. */
bool mmds_stack_wants(const struct mmds_stack *s, const uint8_t *head, size_t len);
void mmds_stack_receive(struct mmds_stack *s, const uint8_t *frame, size_t len, uint64_t now_ns);
/* Writes the next frame for the guest; its length, 0 if there is none now. */
size_t mmds_stack_next(struct mmds_stack *s, uint64_t now_ns, uint8_t frame[MMDS_FRAME_OUT]);
/* When there will be one: 0: now, UINT64_MAX: not before the guest sends something. */
uint64_t mmds_stack_due_ns(const struct mmds_stack *s);

#endif
