/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/fuse_client.h"

#include <errno.h>
#include <string.h>

static uint64_t unique;

static int call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, struct iovec *extra,
		unsigned n_extra)
{
	struct fuse_in_header h = {.len = sizeof(h),
				   .opcode = opcode,
				   .unique = ++unique,
				   .nodeid = nodeid,
				   .uid = c->uid,
				   .gid = c->gid};
	struct fuse_out_header o = {0};
	/* the reply's header in two pieces: framing is free */
	struct iovec out[8] = {{&h, sizeof(h)}};
	struct iovec in[3] = {{&o, 7}, {(uint8_t *)&o + 7, sizeof(o) - 7},
			      {c->reply, sizeof(c->reply)}};
	uint32_t len;

	for (unsigned i = 0; i < n_extra; i++) {
		out[i + 1] = extra[i];
		h.len += (uint32_t)extra[i].iov_len;
	}
	len = fuse_server_handle(c->server, out, n_extra + 1, in, 3);
	c->reply_len = 0;
	if (!len)
		return -ENOMSG;
	if (o.len != len || o.unique != h.unique)
		return -EBADMSG;
	c->reply_len = len - (uint32_t)sizeof(o);
	return o.error;
}

int fuse_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *args,
	      size_t args_len, const char *name1, const char *name2)
{
	struct iovec extra[3];
	unsigned n = 0;

	if (args_len)
		extra[n++] = (struct iovec){(void *)(uintptr_t)args, args_len};
	if (name1)
		extra[n++] = (struct iovec){(void *)(uintptr_t)name1, strlen(name1) + 1};
	if (name2)
		extra[n++] = (struct iovec){(void *)(uintptr_t)name2, strlen(name2) + 1};
	return call(c, opcode, nodeid, extra, n);
}

int fuse_init_session(struct fuse_client *c)
{
	struct fuse_init_in in = {.major = 7, .minor = 36, .max_readahead = 1 << 17, .flags = ~0u};

	return fuse_call(c, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL);
}

uint64_t fuse_lookup_name(struct fuse_client *c, uint64_t parent, const char *name, int *error)
{
	struct fuse_entry_out e;
	int r = fuse_call(c, FUSE_LOOKUP, parent, NULL, 0, name, NULL);

	if (error)
		*error = r;
	if (r)
		return 0;
	memcpy(&e, c->reply, sizeof(e));
	return e.nodeid;
}

void fuse_forget_node(struct fuse_client *c, uint64_t nodeid, uint64_t n)
{
	struct fuse_forget_in in = {.nlookup = n};

	fuse_call(c, FUSE_FORGET, nodeid, &in, sizeof(in), NULL, NULL);
}

uint64_t fuse_open_node(struct fuse_client *c, uint64_t nodeid, uint32_t flags, int *error)
{
	struct fuse_open_in in = {.flags = flags};
	struct fuse_open_out o;
	int r = fuse_call(c, FUSE_OPEN, nodeid, &in, sizeof(in), NULL, NULL);

	if (error)
		*error = r;
	if (r)
		return UINT64_MAX;
	memcpy(&o, c->reply, sizeof(o));
	return o.fh;
}

int fuse_read_file(struct fuse_client *c, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t len)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = len};

	return fuse_call(c, FUSE_READ, nodeid, &in, sizeof(in), NULL, NULL);
}

int fuse_write_file(struct fuse_client *c, uint64_t nodeid, uint64_t fh, uint64_t off,
		    const void *data, uint32_t len)
{
	struct fuse_write_in in = {.fh = fh, .offset = off, .size = len};
	struct iovec extra[2] = {{&in, sizeof(in)}, {(void *)(uintptr_t)data, len}};

	return call(c, FUSE_WRITE, nodeid, extra, 2);
}

int fuse_release_file(struct fuse_client *c, uint64_t nodeid, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	return fuse_call(c, FUSE_RELEASE, nodeid, &in, sizeof(in), NULL, NULL);
}
