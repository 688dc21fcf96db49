/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE server over sequences of requests. Input: records of {opcode, node, handle, length,
 * bytes}; the bytes follow the header as they are, except that the first eight are replaced by a
 * handle if the record says so. Nodes and handles are those of earlier replies. The directory is
 * made anew for each input. A file beside it must never change.
 */
#include "tests/device/fuse_client.h"
#include "vmm/core/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_KEPT = 16, MAX_RECORDS = 64 };

static char top[64], dir[80], beside[80];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static void remove_tree(const char *path)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		abort();
}

static void make_file(int at, const char *name, mode_t mode)
{
	int fd = openat(at, name, O_CREAT | O_WRONLY, mode);

	if (fd < 0 || (mode & 0200 && write(fd, name, strlen(name)) < 0))
		abort();
	close(fd);
}

static void cleanup(void)
{
	remove_tree(top);
}

static void prepare(void)
{
	int at;

	if (!*top) {
		strcpy(top, "/tmp/mayfly-fuzz-fuse-XXXXXX");
		if (!mkdtemp(top))
			abort();
		atexit(cleanup);
		snprintf(dir, sizeof(dir), "%s/root", top);
		snprintf(beside, sizeof(beside), "%s/beside", top);
		make_file(AT_FDCWD, beside, 0400);
	}
	remove_tree(dir);
	if (mkdir(dir, 0700) < 0)
		abort();
	at = open(dir, O_PATH | O_DIRECTORY);
	make_file(at, "a", 0644);
	if (mkdirat(at, "b", 0755) < 0 || symlinkat("../beside", at, "l") < 0 ||
	    mkfifoat(at, "f", 0600) < 0)
		abort();
	make_file(at, "b/c", 0644);
	close(at);
}

static void keep(uint64_t *kept, unsigned *n, uint64_t id)
{
	kept[*n % MAX_KEPT] = id;
	(*n)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuse_client c;
	struct fuse_config cfg = {.id = "fs0", .max_nodes = 64};
	uint64_t nodes[MAX_KEPT] = {FUSE_ROOT_ID}, handles[MAX_KEPT] = {0};
	unsigned n_nodes = 1, n_handles = 1;
	struct err e;
	struct stat st;

	prepare();
	cfg.dir = dir;
	if (fuse_server_create(&cfg, &c.server, &e) < 0)
		abort();
	if (!size || data[0] & 1)
		fuse_init_session(&c);
	for (unsigned i = 0; size >= 4 && i < MAX_RECORDS; i++) {
		uint8_t op = data[0], node = data[1], fh = data[2], buf[256];
		size_t len = data[3] < size - 4 ? data[3] : size - 4;

		memcpy(buf, data + 4, len);
		data += 4 + len;
		size -= 4 + len;
		if (fh && len >= 8)
			memcpy(buf, &handles[fh % MAX_KEPT], 8);
		if (fuse_call(&c, op, nodes[node % MAX_KEPT], buf, len, NULL, NULL) != 0)
			continue;
		if (c.reply_len >= sizeof(struct fuse_entry_out) && op != FUSE_READ &&
		    op != FUSE_READDIR && op != FUSE_READDIRPLUS)
			keep(nodes, &n_nodes, ((struct fuse_entry_out *)c.reply)->nodeid);
		if (op == FUSE_OPEN || op == FUSE_OPENDIR)
			keep(handles, &n_handles, ((struct fuse_open_out *)c.reply)->fh);
		if (op == FUSE_CREATE || op == FUSE_TMPFILE)
			keep(handles, &n_handles,
			     ((struct fuse_open_out *)(c.reply + sizeof(struct fuse_entry_out)))
				     ->fh);
	}
	fuse_server_destroy(c.server);
	c.server = NULL;
	assert(stat(beside, &st) == 0 && st.st_size == 0 && (st.st_mode & 07777) == 0400 &&
	       st.st_nlink == 1);
	return 0;
}
