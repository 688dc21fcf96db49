/* SPDX-License-Identifier: Apache-2.0 */
/* The FUSE server on a real directory: what the guest may do, and what it may not. */
#include "tests/device/fuse_client.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

enum { ROOT = FUSE_ROOT_ID };

static struct fuse_client c;
static char top[64], root[80], outside[80];

static const char *in_root(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void start(bool read_only, uint32_t max_nodes)
{
	struct fuse_config cfg = {.id = "fs0", .dir = root, .read_only = read_only,
				  .max_nodes = max_nodes};
	struct err e = {0};

	fuse_server_destroy(c.server);
	cr_assert_eq(fuse_server_create(&cfg, &c.server, &e), 0, "%s", e.msg);
	cr_assert_eq(fuse_init_session(&c), 0);
}

static void setup(void)
{
	strcpy(top, "/tmp/mayfly-fuse-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	snprintf(root, sizeof(root), "%s/root", top);
	snprintf(outside, sizeof(outside), "%s/secret", top);
	cr_assert_eq(mkdir(root, 0755), 0);
	put_file(outside, "secret");
	put_file(in_root("file"), "hello");
	c.uid = geteuid();
	c.gid = getegid();
	start(false, 0);
}

static void teardown(void)
{
	char cmd[128];

	fuse_server_destroy(c.server);
	c.server = NULL;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(fuse, .init = setup, .fini = teardown, .timeout = 60);

static struct fuse_stats stats(void)
{
	struct fuse_stats s;

	fuse_server_stats(c.server, &s);
	return s;
}

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* --- ordinary use ------------------------------------------------------------------------------ */

Test(fuse, lookup_tells_the_file_and_its_attributes)
{
	struct fuse_entry_out e;
	struct stat st;

	cr_assert_eq(stat(in_root("file"), &st), 0);
	cr_assert_neq(fuse_lookup_name(&c, ROOT, "file", NULL), 0);
	memcpy(&e, c.reply, sizeof(e));
	cr_assert_eq(e.attr.ino, st.st_ino);
	cr_assert_eq(e.attr.size, 5);
	cr_assert_eq(e.attr.mode, S_IFREG | 0644);
	cr_assert_eq(e.attr.mtimensec, st.st_mtim.tv_nsec);
}

Test(fuse, read_gives_what_the_host_wrote)
{
	uint64_t n = fuse_lookup_name(&c, ROOT, "file", NULL);
	uint64_t fh = fuse_open_node(&c, n, O_RDONLY, NULL);

	cr_assert_eq(fuse_read_file(&c, n, fh, 1, 100), 0);
	cr_assert_eq(c.reply_len, 4);
	cr_assert_arr_eq(c.reply, "ello", 4);
	cr_assert_eq(fuse_read_file(&c, n, fh, 1, 2), 0);
	cr_assert_eq(c.reply_len, 2);
	cr_assert_eq(fuse_read_file(&c, n, fh, 5, 2), 0);
	cr_assert_eq(c.reply_len, 0);
}

Test(fuse, create_write_rename_unlink_reach_the_host)
{
	struct fuse_create_in create = {.flags = O_RDWR, .mode = 0666};
	struct fuse_rename_in rename = {.newdir = ROOT};
	struct fuse_open_out o;
	struct fuse_entry_out e;
	struct stat st;
	char text[8] = "";
	int fd;

	cr_assert_eq(fuse_call(&c, FUSE_CREATE, ROOT, &create, sizeof(create), "new", NULL), 0);
	memcpy(&e, c.reply, sizeof(e));
	memcpy(&o, c.reply + sizeof(e), sizeof(o));
	cr_assert_eq(fuse_write_file(&c, e.nodeid, o.fh, 3, "abc", 3), 0);
	cr_assert_eq(fuse_call(&c, FUSE_RENAME, ROOT, &rename, sizeof(rename), "new", "newer"), 0);
	fd = open(in_root("newer"), O_RDONLY);
	cr_assert_eq(read(fd, text, 8), 6);
	cr_assert_arr_eq(text, "\0\0\0abc", 6);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0666, "the guest's umask counts, not ours");
	close(fd);
	cr_assert_eq(fuse_call(&c, FUSE_UNLINK, ROOT, NULL, 0, "newer", NULL), 0);
	cr_assert_lt(access(in_root("newer"), F_OK), 0);
	/* the open file lives on */
	cr_assert_eq(fuse_read_file(&c, e.nodeid, o.fh, 3, 10), 0);
	cr_assert_arr_eq(c.reply, "abc", 3);
	cr_assert_eq(fuse_release_file(&c, e.nodeid, o.fh), 0);
}

Test(fuse, unlinked_node_still_has_attributes)
{
	struct fuse_getattr_in in = {0};
	struct fuse_attr_out a;
	uint64_t n = fuse_lookup_name(&c, ROOT, "file", NULL);

	cr_assert_eq(fuse_call(&c, FUSE_UNLINK, ROOT, NULL, 0, "file", NULL), 0);
	cr_assert_eq(fuse_call(&c, FUSE_GETATTR, n, &in, sizeof(in), NULL, NULL), 0);
	memcpy(&a, c.reply, sizeof(a));
	cr_assert_eq(a.attr.nlink, 0);
	cr_assert_eq(a.attr.size, 5);
}

Test(fuse, children_follow_a_renamed_directory)
{
	struct fuse_rename_in rename = {.newdir = ROOT};
	struct fuse_getattr_in in = {0};
	uint64_t dir, file;

	mkdir(in_root("a"), 0755);
	put_file(in_root("a/f"), "x");
	dir = fuse_lookup_name(&c, ROOT, "a", NULL);
	file = fuse_lookup_name(&c, dir, "f", NULL);
	cr_assert_eq(fuse_call(&c, FUSE_RENAME, ROOT, &rename, sizeof(rename), "a", "b"), 0);
	cr_assert_eq(fuse_call(&c, FUSE_GETATTR, file, &in, sizeof(in), NULL, NULL), 0);
	cr_assert_neq(fuse_open_node(&c, file, O_RDONLY, NULL), UINT64_MAX);
}

Test(fuse, readdir_tells_every_name_once_in_small_steps)
{
	struct fuse_open_in open_in = {0};
	struct fuse_open_out o;
	bool seen[200] = {false};
	uint64_t off = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < 200; i++) {
		char name[300];

		snprintf(name, sizeof(name), "%0*u", i % 5 ? 9 : 250, i);
		put_file(in_root(name), "");
	}
	cr_assert_eq(fuse_call(&c, FUSE_OPENDIR, ROOT, &open_in, sizeof(open_in), NULL, NULL), 0);
	memcpy(&o, c.reply, sizeof(o));
	for (;;) {
		struct fuse_read_in in = {.fh = o.fh, .offset = off, .size = 1000};

		cr_assert_eq(fuse_call(&c, FUSE_READDIR, ROOT, &in, sizeof(in), NULL, NULL), 0);
		if (!c.reply_len)
			break;
		for (uint32_t at = 0; at < c.reply_len;) {
			struct fuse_dirent *e = (struct fuse_dirent *)(c.reply + at);
			unsigned i = (unsigned)strtoul(e->name, NULL, 10);

			if (e->name[0] == '0') {
				cr_assert(!seen[i]);
				seen[i] = true;
				n++;
			}
			off = e->off;
			at += (uint32_t)FUSE_DIRENT_SIZE(e);
		}
	}
	cr_assert_eq(n, 200);
}

Test(fuse, readdirplus_counts_one_reference_per_entry)
{
	struct fuse_open_in open_in = {0};
	struct fuse_open_out o;
	struct fuse_read_in in = {.size = 65536};
	struct fuse_direntplus *e;
	uint64_t node = 0;

	cr_assert_eq(fuse_call(&c, FUSE_OPENDIR, ROOT, &open_in, sizeof(open_in), NULL, NULL), 0);
	memcpy(&o, c.reply, sizeof(o));
	in.fh = o.fh;
	cr_assert_eq(fuse_call(&c, FUSE_READDIRPLUS, ROOT, &in, sizeof(in), NULL, NULL), 0);
	for (uint32_t at = 0; at < c.reply_len; at += (uint32_t)FUSE_DIRENTPLUS_SIZE(e)) {
		e = (struct fuse_direntplus *)(c.reply + at);
		if (e->entry_out.nodeid)
			node = e->entry_out.nodeid;
	}
	cr_assert_eq(stats().n_nodes, 2);
	fuse_forget_node(&c, node, 1);
	cr_assert_eq(stats().n_nodes, 1);
}

Test(fuse, xattr_round_trip)
{
	struct { uint32_t size, flags; char rest[32]; } set = {5, 0, "user.a\0value"};
	struct fuse_getxattr_in get = {.size = 100};
	uint64_t n = fuse_lookup_name(&c, ROOT, "file", NULL);

	cr_assert_eq(fuse_call(&c, FUSE_SETXATTR, n, &set, 8 + 7 + 5, NULL, NULL), 0);
	cr_assert_eq(fuse_call(&c, FUSE_GETXATTR, n, &get, sizeof(get), "user.a", NULL), 0);
	cr_assert_eq(c.reply_len, 5);
	cr_assert_arr_eq(c.reply, "value", 5);
	get.size = 3;
	cr_assert_eq(fuse_call(&c, FUSE_GETXATTR, n, &get, sizeof(get), "user.a", NULL), -ERANGE);
	cr_assert_eq(fuse_call(&c, FUSE_GETXATTR, n, &get, sizeof(get), "system.posix_acl_access",
			       NULL), -EOPNOTSUPP);
}

/* --- confinement ------------------------------------------------------------------------------- */

Test(fuse, names_are_one_component)
{
	static const char *const bad[] = {"..", ".", "a/b", "../secret", "/etc", ""};
	int error;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cr_assert_eq(fuse_lookup_name(&c, ROOT, bad[i], &error), 0);
		cr_assert_eq(error, -EINVAL, "%s", bad[i]);
	}
	/* no zero at the end */
	cr_assert_eq(fuse_call(&c, FUSE_LOOKUP, ROOT, "file", 4, NULL, NULL), -EINVAL);
}

Test(fuse, symbolic_links_are_told_not_followed)
{
	uint64_t n;
	int error;

	cr_assert_eq(symlink("../secret", in_root("link")), 0);
	cr_assert_eq(symlink("..", in_root("up")), 0);
	n = fuse_lookup_name(&c, ROOT, "link", NULL);
	cr_assert_neq(n, 0);
	cr_assert_eq(fuse_open_node(&c, n, O_RDONLY, &error), UINT64_MAX);
	cr_assert_eq(error, -ELOOP);
	cr_assert_eq(fuse_call(&c, FUSE_READLINK, n, NULL, 0, NULL, NULL), 0);
	cr_assert_arr_eq(c.reply, "../secret", 9);
	n = fuse_lookup_name(&c, ROOT, "up", NULL);
	cr_assert_eq(fuse_lookup_name(&c, n, "secret", &error), 0);
	cr_assert_eq(error, -ENOTDIR);
}

Test(fuse, special_files_are_neither_opened_nor_made)
{
	struct fuse_mknod_in dev = {.mode = S_IFBLK | 0600, .rdev = 8 << 20};
	uint64_t n;
	int error;

	cr_assert_eq(mkfifo(in_root("fifo"), 0600), 0);
	n = fuse_lookup_name(&c, ROOT, "fifo", NULL);
	cr_assert_eq(fuse_open_node(&c, n, O_RDONLY, &error), UINT64_MAX);
	cr_assert_eq(error, -ENXIO);
	cr_assert_eq(fuse_call(&c, FUSE_MKNOD, ROOT, &dev, sizeof(dev), "disk", NULL), -EPERM);
	dev.mode = S_IFIFO | 0600;
	cr_assert_eq(fuse_call(&c, FUSE_MKNOD, ROOT, &dev, sizeof(dev), "fifo2", NULL), 0);
}

/* What is in the tree may be told of and linked to, but only files are opened, and nothing blocks. */
Test(fuse, special_files_of_every_kind_stay_closed)
{
	static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_APPEND};
	static const char *const names[] = {"fifo", "socket", "null", "disk", "fifo-link"};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert_eq(mkfifo(in_root("fifo"), 0666), 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", in_root("socket"));
	cr_assert_eq(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	/* where that is not allowed, they are not there */
	(void)!mknod(in_root("null"), S_IFCHR | 0666, makedev(1, 3));
	(void)!mknod(in_root("disk"), S_IFBLK | 0666, makedev(7, 0));
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		uint64_t n, to;

		if (i == 4) { /* under another name */
			struct fuse_link_in in = {fuse_lookup_name(&c, ROOT, "fifo", NULL)};

			cr_assert_eq(fuse_call(&c, FUSE_LINK, ROOT, &in, sizeof(in), names[i], NULL), 0);
		}
		n = fuse_lookup_name(&c, ROOT, names[i], NULL);
		cr_assert(n || i == 2 || i == 3, "%s", names[i]);
		for (unsigned k = 0; n && k < ARRAY_LEN(flags); k++)
			cr_assert_eq(fuse_open_node(&c, n, flags[k], NULL), UINT64_MAX, "%s", names[i]);
		to = n ? fuse_lookup_name(&c, n, "x", NULL) : 0;
		cr_assert_eq(to, 0);
	}
	close(sock);
}

/* A hard link to a file outside is the host's own doing; one to a file inside is the same file. */
Test(fuse, hard_links_are_one_file)
{
	uint64_t n = fuse_lookup_name(&c, ROOT, "file", NULL), other, fh;
	struct fuse_link_in in = {n}, dir = {ROOT};

	cr_assert_eq(fuse_call(&c, FUSE_LINK, ROOT, &in, sizeof(in), "second", NULL), 0);
	cr_assert_lt(fuse_call(&c, FUSE_LINK, ROOT, &dir, sizeof(dir), "root-again", NULL), 0);
	cr_assert_lt(fuse_call(&c, FUSE_LINK, ROOT, &in, sizeof(in), "../outside", NULL), 0);
	other = fuse_lookup_name(&c, ROOT, "second", NULL);
	cr_assert_neq(other, 0);
	fh = fuse_open_node(&c, other, O_RDONLY, NULL);
	cr_assert_neq(fh, UINT64_MAX);
	cr_assert_eq(fuse_read_file(&c, other, fh, 0, 5), 0);
	cr_assert_eq(c.reply_len, 5);
}

Test(fuse, made_up_ids_are_stale)
{
	struct fuse_getattr_in in = {0};
	uint64_t n = fuse_lookup_name(&c, ROOT, "file", NULL);
	const uint64_t bad[] = {0, 3, n + 1, n | 1ull << 32, UINT64_MAX, 1ull << 32 | ROOT};
	int error;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_eq(fuse_call(&c, FUSE_GETATTR, bad[i], &in, sizeof(in), NULL, NULL),
			     -ESTALE);
	fuse_forget_node(&c, n, UINT64_MAX);
	cr_assert_eq(fuse_call(&c, FUSE_GETATTR, n, &in, sizeof(in), NULL, NULL), -ESTALE);
	fuse_forget_node(&c, ROOT, UINT64_MAX);
	cr_assert_eq(fuse_call(&c, FUSE_GETATTR, ROOT, &in, sizeof(in), NULL, NULL), 0);
	cr_assert_eq(fuse_read_file(&c, n, 77, 0, 1), -EBADF);
	cr_assert_eq(fuse_open_node(&c, n, O_RDONLY, &error), UINT64_MAX);
}

Test(fuse, file_replaced_on_the_host_is_stale)
{
	struct fuse_getattr_in in = {0};
	uint64_t n = fuse_lookup_name(&c, ROOT, "file", NULL);
	int error;

	char other[96];

	snprintf(other, sizeof(other), "%s/other", root);
	put_file(other, "longer text");
	cr_assert_eq(rename(other, in_root("file")), 0);
	cr_assert_eq(fuse_call(&c, FUSE_GETATTR, n, &in, sizeof(in), NULL, NULL), -ESTALE);
	cr_assert_eq(fuse_open_node(&c, n, O_RDONLY, &error), UINT64_MAX);
	cr_assert_eq(error, -ESTALE);
}

Test(fuse, read_only_changes_nothing)
{
	struct fuse_create_in create = {.flags = O_RDWR, .mode = 0644};
	struct fuse_setattr_in set = {.valid = FATTR_SIZE};
	uint64_t n;
	int error;

	start(true, 0);
	n = fuse_lookup_name(&c, ROOT, "file", NULL);
	cr_assert_eq(fuse_call(&c, FUSE_CREATE, ROOT, &create, sizeof(create), "new", NULL), -EROFS);
	cr_assert_eq(fuse_call(&c, FUSE_UNLINK, ROOT, NULL, 0, "file", NULL), -EROFS);
	cr_assert_eq(fuse_call(&c, FUSE_SETATTR, n, &set, sizeof(set), NULL, NULL), -EROFS);
	cr_assert_eq(fuse_open_node(&c, n, O_RDWR, &error), UINT64_MAX);
	cr_assert_eq(fuse_open_node(&c, n, O_RDONLY | O_TRUNC, &error), UINT64_MAX);
	cr_assert_eq(error, -EROFS);
	cr_assert_neq(fuse_open_node(&c, n, O_RDONLY, &error), UINT64_MAX);
}

static atomic_bool stop;

/* Swaps a directory and a link that leads out of the tree as fast as it can. */
static void *swap(void *arg)
{
	int dir = open(root, O_PATH | O_DIRECTORY);

	(void)arg;
	while (!stop)
		renameat2(dir, "d", dir, "l", RENAME_EXCHANGE);
	close(dir);
	return NULL;
}

Test(fuse, racing_symlink_opens_nothing_outside)
{
	unsigned n_found = 0, n_opened = 0;
	pthread_t t;

	mkdir(in_root("d"), 0755);
	put_file(in_root("d/secret"), "inside");
	cr_assert_eq(symlink("..", in_root("l")), 0);
	stop = false;
	cr_assert_eq(pthread_create(&t, NULL, swap, NULL), 0);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t d = fuse_lookup_name(&c, ROOT, "d", NULL), f, fh;

		f = d ? fuse_lookup_name(&c, d, "secret", NULL) : 0;
		fh = f ? fuse_open_node(&c, f, O_RDONLY, NULL) : UINT64_MAX;
		n_found += f != 0;
		if (fh != UINT64_MAX) {
			n_opened++;
			cr_assert_eq(fuse_read_file(&c, f, fh, 0, 6), 0);
			cr_assert_arr_eq(c.reply, "inside", 6);
			fuse_release_file(&c, f, fh);
		}
		if (f)
			fuse_forget_node(&c, f, 1);
		if (d)
			fuse_forget_node(&c, d, 1);
	}
	stop = true;
	pthread_join(t, NULL);
	cr_assert_gt(n_found, 100);
	cr_assert_gt(n_opened, 100);
}

/* --- bounds ------------------------------------------------------------------------------------ */

Test(fuse, nodes_are_bounded_and_come_back)
{
	uint64_t nodes[16];
	unsigned n = 0;
	int error = 0;

	start(false, 16);
	for (unsigned i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%u", i);
		put_file(in_root(name), "");
		nodes[n] = fuse_lookup_name(&c, ROOT, name, &error);
		if (!nodes[n])
			break;
		n++;
	}
	cr_assert_eq(error, -ENFILE);
	fuse_forget_node(&c, nodes[0], 1);
	cr_assert_neq(fuse_lookup_name(&c, ROOT, "file", &error), 0);
}

Test(fuse, deep_trees_cost_few_descriptors)
{
	unsigned before = open_fds();
	struct fuse_mkdir_in in = {.mode = 0755};
	struct fuse_entry_out e;
	uint64_t dir = ROOT;

	for (unsigned i = 0; i < 6000; i++) {
		cr_assert_eq(fuse_call(&c, FUSE_MKDIR, dir, &in, sizeof(in), "dd", NULL), 0);
		memcpy(&e, c.reply, sizeof(e));
		dir = e.nodeid;
	}
	cr_assert_leq(stats().n_node_fds, 4096);
	cr_assert_leq(open_fds(), before + 4096);
	/* from the top again, without descriptors for what lies between */
	for (unsigned i = 0; i < 100; i++) {
		struct fuse_getattr_in get = {0};

		cr_assert_eq(fuse_call(&c, FUSE_GETATTR, dir, &get, sizeof(get), NULL, NULL), 0);
	}
}

Test(fuse, reset_closes_everything)
{
	unsigned before = open_fds();
	uint64_t n = fuse_lookup_name(&c, ROOT, "file", NULL), fh;
	int error;

	for (unsigned i = 0; i < 100; i++)
		cr_assert_neq(fuse_open_node(&c, n, O_RDONLY, NULL), UINT64_MAX);
	fh = fuse_open_node(&c, n, O_RDONLY, NULL);
	fuse_server_reset(c.server);
	cr_assert_eq(open_fds(), before);
	cr_assert_eq(fuse_lookup_name(&c, ROOT, "file", &error), 0);
	cr_assert_eq(error, -EIO, "no session");
	cr_assert_eq(fuse_init_session(&c), 0);
	cr_assert_eq(fuse_read_file(&c, n, fh, 0, 1), -EBADF);
}

Test(fuse, short_and_unknown_requests_are_refused)
{
	for (uint32_t op = 0; op < 80; op++) {
		struct fuse_stats before = stats();
		uint8_t few[4] = {0};
		int r;

		if (op == FUSE_DESTROY || op == FUSE_FORGET || op == FUSE_BATCH_FORGET ||
		    op == FUSE_INTERRUPT || op == FUSE_STATFS || op == FUSE_SYNCFS ||
		    op == FUSE_OPENDIR)
			continue;
		r = fuse_call(&c, op, ROOT, few, sizeof(few), NULL, NULL);
		cr_assert_lt(r, 0, "opcode %u", op);
		cr_assert_eq(stats().n_handles, before.n_handles);
	}
	cr_assert_neq(fuse_lookup_name(&c, ROOT, "file", NULL), 0);
}

Test(fuse, a_directory_that_is_none_is_refused)
{
	struct fuse_config cfg = {.id = "fs0", .dir = outside};
	struct fuse_server *s;
	struct err e = {0};

	cr_assert_eq(fuse_server_create(&cfg, &s, &e), -ENOTDIR);
	cr_assert(strstr(e.msg, outside));
	cfg.dir = "/nowhere/at/all";
	cr_assert_eq(fuse_server_create(&cfg, &s, &e), -ENOENT);
}
