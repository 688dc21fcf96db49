/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk transfers with plain system calls: for hosts that refuse io_uring, and where they are faster.
 * Data that the page cache has or takes costs less than a request to io_uring, and ext4 leaves every
 * write to the page cache to a worker thread of io_uring's.
 */
#include "vmm/core/loop_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int32_t loop_sync_transfer(const struct loop_io *io, bool may_wait)
{
	ssize_t n;

	do {
		if (io->op == LOOP_OP_READV)
			n = preadv2(io->fd, io->iov, io->n_iov, (off_t)io->off,
				    may_wait ? 0 : RWF_NOWAIT);
		else if (io->op == LOOP_OP_WRITEV)
			n = pwritev(io->fd, io->iov, io->n_iov, (off_t)io->off);
		else if (io->op == LOOP_OP_FDATASYNC)
			n = fdatasync(io->fd);
		else
			n = fallocate(io->fd, io->mode, (off_t)io->off, (off_t)io->len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int32_t)n;
}

static void sync_submit(struct io_engine *eng, struct loop_io *io)
{
	io->res = loop_sync_transfer(io, true);
	io_list_push(&eng->done, io);
}

static bool sync_flush(struct io_engine *eng)
{
	(void)eng;
	return true;
}

static void sync_reap(struct io_engine *eng)
{
	(void)eng;
}

static int sync_poll_fd(struct io_engine *eng)
{
	(void)eng;
	return -1;
}

static void sync_destroy(struct io_engine *eng)
{
	free(eng);
}

static const struct io_engine_ops sync_ops = {
	.name = "sync",
	.submit = sync_submit,
	.flush = sync_flush,
	.reap = sync_reap,
	.poll_fd = sync_poll_fd,
	.destroy = sync_destroy,
};

int loop_sync_create(struct io_engine **out)
{
	struct io_engine *eng = calloc(1, sizeof(*eng));

	if (!eng)
		return -ENOMEM;
	eng->ops = &sync_ops;
	io_list_init(&eng->done);
	*out = eng;
	return 0;
}
