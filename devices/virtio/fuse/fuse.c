/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE server: takes requests apart, finds who serves them, makes the replies' headers.
 *
 * It shows one host directory. A name from the guest is always a single component, looked up
 * relative to a directory that was opened before, and symbolic links are never followed here (the
 * guest's kernel follows them, within its own tree). So nothing outside the directory can be
 * reached, however the guest and processes on the host race; only a directory that somebody on the
 * host moves out of the tree while the guest holds it stays reachable for it.
 *
 *	fuse.c     this: dispatch, INIT
 *	node.c     what the guest knows: nodes, their descriptors
 *	handle.c   open files
 *	attr.c     LOOKUP, GETATTR, SETATTR, READLINK, STATFS
 *	tree.c     what changes directories: CREATE, MKDIR, RENAME, UNLINK, LINK ...
 *	data.c     OPEN, READ, WRITE, FSYNC, FALLOCATE, LSEEK, COPY_FILE_RANGE
 *	dir.c      OPENDIR, READDIR, READDIRPLUS
 *	xattr.c    extended attributes
 *
 * The guest's kernel checks permissions (virtio-fs always mounts with default_permissions) and keeps
 * locks; the server acts with the monitor's own rights. If that is root, new files get the owner the
 * guest names. If not, the host user appears as root in the guest, and files cannot be given to
 * others. Regular files, directories, symbolic links, FIFOs and sockets can be made; device nodes
 * cannot (but overlayfs' whiteouts), and nothing but regular files and directories is ever opened.
 *
 * Arguments are copied before they are looked at; data moves straight between the file and guest
 * memory. Not there: file locks, ioctl, poll, POSIX ACLs, DAX, notifications to the guest.
 *
 * Refs: linux/fuse.h (the protocol, 7.31 to 7.38 and what later kernels negotiate down to);
 * openat2(2); virtio 1.3 §5.11.
 */
#include "devices/virtio/fuse/fuse_int.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DEFAULT_NODES = 1 << 20, MAX_HANDLES = 1 << 16, MAX_NODE_FDS = 4096, FUSE_MINOR_MIN = 31,
       HEAD_PIECES = 16 /* a driver that puts a header of 16 bytes into more gets no answer */ };

/* --- iovecs ----------------------------------------------------------------------------------- */

static uint32_t iov_total(const struct iovec *iov, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

/* Moves up to len bytes between buf and the front of the pieces, and drops those from the pieces. */
static uint32_t iov_move(struct iovec **iov, unsigned *n, uint8_t *buf, uint32_t len, bool fill)
{
	uint32_t done = 0;

	while (done < len && *n) {
		size_t part = (*iov)->iov_len < len - done ? (*iov)->iov_len : len - done;

		if (part && fill)
			memcpy((*iov)->iov_base, buf + done, part);
		else if (part)
			memcpy(buf + done, (*iov)->iov_base, part);
		done += (uint32_t)part;
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + part;
		(*iov)->iov_len -= part;
		if (!(*iov)->iov_len) {
			(*iov)++;
			(*n)--;
		}
	}
	return done;
}

/* --- arguments -------------------------------------------------------------------------------- */

const void *fuse_take(struct fuse_request *r, size_t len)
{
	const void *p = r->args;

	if (len > r->args_len)
		return NULL;
	r->args += len;
	r->args_len -= (uint32_t)len;
	return p;
}

const char *fuse_take_text(struct fuse_request *r)
{
	const uint8_t *end = memchr(r->args, 0, r->args_len);

	return end ? fuse_take(r, (size_t)(end - r->args) + 1) : NULL;
}

const char *fuse_take_name(struct fuse_request *r)
{
	const char *s = fuse_take_text(r);

	if (!s || !*s || strchr(s, '/') || !strcmp(s, ".") || !strcmp(s, ".."))
		return NULL;
	return s;
}

/* --- INIT, FORGET ----------------------------------------------------------------------------- */

static int init(struct fuse_server *s, struct fuse_request *r)
{
	const uint64_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
				FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
				FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
				FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2 |
				FUSE_INIT_EXT;
	struct fuse_init_out *o = (struct fuse_init_out *)s->reply;
	struct fuse_init_in in = {0};
	uint64_t flags;
	/* older kernels send a shorter structure */
	uint32_t len = r->args_len < sizeof(in) ? r->args_len : (uint32_t)sizeof(in);

	if (len < 16)
		return -EINVAL;
	memcpy(&in, fuse_take(r, len), len);
	memset(o, 0, sizeof(*o));
	o->major = FUSE_KERNEL_VERSION;
	o->minor = FUSE_KERNEL_MINOR_VERSION;
	if (in.major > FUSE_KERNEL_VERSION) /* it will ask again with ours */
		return sizeof(*o);
	if (in.major < FUSE_KERNEL_VERSION || in.minor < FUSE_MINOR_MIN)
		return -EPROTO;
	fuse_server_reset(s);
	flags = in.flags;
	if (in.flags & FUSE_INIT_EXT)
		flags |= (uint64_t)in.flags2 << 32;
	flags &= wanted;
	o->max_readahead = in.max_readahead;
	o->flags = (uint32_t)flags;
	o->flags2 = (uint32_t)(flags >> 32);
	o->max_background = 64;
	o->congestion_threshold = 48;
	o->max_write = FUSE_MAX_WRITE;
	o->max_pages = FUSE_MAX_WRITE / 4096;
	o->time_gran = 1;
	s->started = true;
	return sizeof(*o);
}

static void forget(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_batch_forget_in *b;
	const struct fuse_forget_in *f;
	const struct fuse_forget_one *one;

	if (r->h.opcode == FUSE_FORGET) {
		f = fuse_take(r, sizeof(*f));
		if (f)
			fuse_node_forget(s, r->h.nodeid, f->nlookup);
		return;
	}
	b = fuse_take(r, sizeof(*b));
	for (uint32_t i = 0; b && i < b->count; i++) {
		one = fuse_take(r, sizeof(*one));
		if (!one)
			return;
		fuse_node_forget(s, one->nodeid, one->nlookup);
	}
}

static int destroy(struct fuse_server *s, struct fuse_request *r)
{
	(void)r;
	fuse_server_reset(s);
	return 0;
}

/* --- dispatch --------------------------------------------------------------------------------- */

static const struct {
	fuse_fn *serve;
	bool writes; /* refused where nothing may be written */
} table[] = {
	[FUSE_LOOKUP] = {fuse_lookup, false},
	[FUSE_GETATTR] = {fuse_getattr, false},
	[FUSE_SETATTR] = {fuse_setattr, true},
	[FUSE_READLINK] = {fuse_readlink, false},
	[FUSE_SYMLINK] = {fuse_symlink, true},
	[FUSE_MKNOD] = {fuse_mknod, true},
	[FUSE_MKDIR] = {fuse_mkdir, true},
	[FUSE_UNLINK] = {fuse_unlink, true},
	[FUSE_RMDIR] = {fuse_rmdir, true},
	[FUSE_RENAME] = {fuse_rename, true},
	[FUSE_LINK] = {fuse_link, true},
	[FUSE_OPEN] = {fuse_open, false},
	[FUSE_READ] = {fuse_read, false},
	[FUSE_WRITE] = {fuse_write, true},
	[FUSE_STATFS] = {fuse_statfs, false},
	[FUSE_RELEASE] = {fuse_release, false},
	[FUSE_FSYNC] = {fuse_fsync, false},
	[FUSE_SETXATTR] = {fuse_setxattr, true},
	[FUSE_GETXATTR] = {fuse_getxattr, false},
	[FUSE_LISTXATTR] = {fuse_listxattr, false},
	[FUSE_REMOVEXATTR] = {fuse_removexattr, true},
	[FUSE_FLUSH] = {fuse_flush, false},
	[FUSE_INIT] = {init, false},
	[FUSE_OPENDIR] = {fuse_opendir, false},
	[FUSE_READDIR] = {fuse_readdir, false},
	[FUSE_RELEASEDIR] = {fuse_release, false},
	[FUSE_FSYNCDIR] = {fuse_fsync, false},
	[FUSE_CREATE] = {fuse_create, true},
	[FUSE_DESTROY] = {destroy, false},
	[FUSE_FALLOCATE] = {fuse_fallocate, true},
	[FUSE_READDIRPLUS] = {fuse_readdirplus, false},
	[FUSE_RENAME2] = {fuse_rename2, true},
	[FUSE_LSEEK] = {fuse_lseek, false},
	[FUSE_COPY_FILE_RANGE] = {fuse_copy_file_range, true},
	[FUSE_SYNCFS] = {fuse_syncfs, false},
	[FUSE_TMPFILE] = {fuse_tmpfile, true},
};

static int serve(struct fuse_server *s, struct fuse_request *r)
{
	if (r->h.opcode >= ARRAY_LEN(table) || !table[r->h.opcode].serve)
		return -ENOSYS; /* the guest's kernel does without */
	if (!s->started && r->h.opcode != FUSE_INIT)
		return -EIO;
	if (s->read_only && table[r->h.opcode].writes)
		return -EROFS;
	return table[r->h.opcode].serve(s, r);
}

uint32_t fuse_server_handle(struct fuse_server *s, struct iovec *out, unsigned n_out,
			    struct iovec *in, unsigned n_in)
{
	struct fuse_request r = {0};
	struct fuse_out_header h = {.len = sizeof(h)};
	struct iovec head[HEAD_PIECES], *to = head;
	uint8_t skipped[sizeof(h)];
	uint32_t body_len, args_max = FUSE_ARGS_MAX;
	unsigned n_head = n_in < HEAD_PIECES ? n_in : HEAD_PIECES;
	int res;

	if (iov_move(&out, &n_out, (uint8_t *)&r.h, sizeof(r.h), false) < sizeof(r.h))
		return 0;
	s->stats.n_requests++;
	if (r.h.opcode == FUSE_WRITE)
		args_max = sizeof(struct fuse_write_in);
	r.args = s->args;
	r.args_len = iov_move(&out, &n_out, s->args, args_max, false);
	r.data = out;
	r.n_data = n_out;
	r.data_len = iov_total(out, n_out);
	if (r.h.opcode == FUSE_FORGET || r.h.opcode == FUSE_BATCH_FORGET) {
		forget(s, &r);
		return 0;
	}
	if (r.h.opcode == FUSE_INTERRUPT || iov_total(in, n_in) < sizeof(h))
		return 0; /* nothing waits long enough to be interrupted */

	/* The reply's header is written last, so its place is remembered. */
	memcpy(head, in, n_head * sizeof(*head));
	if (iov_total(head, n_head) < sizeof(h))
		return 0;
	r.in = in;
	r.n_in = n_in;
	iov_move(&r.in, &r.n_in, skipped, sizeof(skipped), false);
	r.in_len = iov_total(r.in, r.n_in);
	res = serve(s, &r);
	body_len = res > 0 ? (uint32_t)res : 0;
	if (body_len && r.h.opcode != FUSE_READ) {
		if (body_len > r.in_len) {
			res = -EIO;
			body_len = 0;
		} else {
			iov_move(&r.in, &r.n_in, s->reply, body_len, true);
		}
	}
	if (res < 0)
		s->stats.n_errors++;
	h.len += body_len;
	h.error = res < 0 ? res : 0;
	h.unique = r.h.unique;
	iov_move(&to, &n_head, (uint8_t *)&h, sizeof(h), true);
	return h.len;
}

/* --- life ------------------------------------------------------------------------------------- */

/* As many descriptors as the host allows: files the guest opens are files we open. */
static uint32_t raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 1024;
	if (rl.rlim_cur < rl.rlim_max) {
		struct rlimit up = {.rlim_cur = rl.rlim_max, .rlim_max = rl.rlim_max};

		if (setrlimit(RLIMIT_NOFILE, &up) == 0)
			rl = up;
	}
	return rl.rlim_cur > 1 << 20 ? 1 << 20 : (uint32_t)rl.rlim_cur;
}

static int open_root(const struct fuse_config *cfg, struct err *e)
{
	int fd = open(cfg->dir, O_PATH | O_DIRECTORY | O_CLOEXEC), code = errno;

	if (fd >= 0)
		return fd;
	err_set(e, code, "%s: %s: %s", cfg->id, cfg->dir, strerror(code));
	err_hint(e, code == ENOTDIR ? "a directory can be shared, not a file" :
				      "give a directory that exists and that this user may enter");
	return -code;
}

int fuse_server_create(const struct fuse_config *cfg, struct fuse_server **out, struct err *e)
{
	struct fuse_server *s;
	uint32_t nofile, max_nodes = cfg->max_nodes ? cfg->max_nodes : DEFAULT_NODES;
	int root_fd = open_root(cfg, e), r;
	mode_t mask;

	if (root_fd < 0)
		return root_fd;
	s = calloc(1, sizeof(*s));
	if (!s) {
		close(root_fd);
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	}
	s->id = cfg->id;
	s->read_only = cfg->read_only;
	s->uid = geteuid();
	s->gid = getegid();
	s->squash = s->uid != 0;
	mask = umask(0);
	umask(mask);
	s->umask = mask;
	s->valid_s = cfg->cache == FUSE_CACHE_AUTO ? 1 : cfg->cache == FUSE_CACHE_NEVER ? 0 : 86400;
	s->keep_cache = cfg->cache == FUSE_CACHE_ALWAYS;
	nofile = raise_nofile();
	s->max_node_fds = nofile / 4 < MAX_NODE_FDS ? nofile / 4 : MAX_NODE_FDS;
	s->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc_fd < 0) {
		r = err_set(e, errno, "%s: /proc/self/fd: %s", cfg->id, strerror(errno));
		err_hint(e, "mount /proc where mayfly runs");
		close(root_fd);
		free(s);
		return r;
	}
	r = fuse_nodes_init(s, root_fd, max_nodes);
	if (r == 0)
		r = fuse_handles_init(s, nofile / 2 < MAX_HANDLES ? nofile / 2 : MAX_HANDLES);
	if (r < 0) {
		fuse_server_destroy(s);
		return err_set(e, -r, "%s: %s: %s", cfg->id, cfg->dir, strerror(-r));
	}
	*out = s;
	return 0;
}

void fuse_server_reset(struct fuse_server *s)
{
	fuse_handles_reset(s);
	fuse_nodes_reset(s);
	s->started = false;
}

void fuse_server_destroy(struct fuse_server *s)
{
	if (!s)
		return;
	fuse_handles_fini(s);
	fuse_nodes_fini(s);
	close(s->proc_fd);
	free(s);
}

void fuse_server_stats(const struct fuse_server *s, struct fuse_stats *out)
{
	*out = s->stats;
	out->n_nodes = s->n_nodes;
	out->n_node_fds = s->n_node_fds;
	out->n_handles = s->n_handles;
}
