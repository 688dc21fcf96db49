/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk transfers through io_uring. Submissions of one loop round go to the kernel with one system
 * call; completions wake epoll through the ring's own descriptor.
 *
 * The ring is created disabled and restricted to the operations used before it is enabled:
 * what a process can do through a ring is not seen by its seccomp filter.
 *
 * Never more transfers are handed over than the completion queue holds, so it cannot overflow;
 * the rest waits in `pending`.
 *
 * Refs: io_uring_setup(2), io_uring_register(2).
 */
#include "vmm/core/loop_int.h"

#include "vmm/core/bytes.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SQ_ENTRIES = 128 };

struct uring_engine {
	struct io_engine base;
	struct io_uring ring;
	struct io_list pending; /* not in the ring yet */
	unsigned n_ring;        /* in the ring or in the kernel */
	unsigned max_ring;
};

static struct uring_engine *to_uring(struct io_engine *eng)
{
	return container_of(eng, struct uring_engine, base);
}

static void uring_submit(struct io_engine *eng, struct loop_io *io)
{
	io_list_push(&to_uring(eng)->pending, io);
}

static void prepare(struct io_uring_sqe *sqe, struct loop_io *io)
{
	if (io->op == LOOP_OP_READV)
		io_uring_prep_readv(sqe, io->fd, io->iov, (unsigned)io->n_iov, io->off);
	else if (io->op == LOOP_OP_WRITEV)
		io_uring_prep_writev(sqe, io->fd, io->iov, (unsigned)io->n_iov, io->off);
	else if (io->op == LOOP_OP_FDATASYNC)
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_fallocate(sqe, io->fd, io->mode, (off_t)io->off, (off_t)io->len);
	io_uring_sqe_set_data(sqe, io);
}

static bool uring_flush(struct io_engine *eng)
{
	struct uring_engine *u = to_uring(eng);

	while (u->pending.head || io_uring_sq_ready(&u->ring)) {
		struct io_uring_sqe *sqe;

		while (u->pending.head && u->n_ring < u->max_ring &&
		       (sqe = io_uring_get_sqe(&u->ring))) {
			prepare(sqe, io_list_pop(&u->pending));
			u->n_ring++;
		}
		if (!io_uring_sq_ready(&u->ring))
			return true; /* the ring is full of running transfers; reap goes on */
		if (io_uring_submit(&u->ring) < 0)
			return false; /* EAGAIN, EBUSY, ENOMEM: the entries stay queued */
	}
	return true;
}

static void uring_reap(struct io_engine *eng)
{
	struct uring_engine *u = to_uring(eng);
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_for_each_cqe(&u->ring, head, cqe) {
		struct loop_io *io = io_uring_cqe_get_data(cqe);

		io->res = cqe->res;
		io_list_push(&eng->done, io);
		n++;
	}
	io_uring_cq_advance(&u->ring, n);
	u->n_ring -= n;
}

static int uring_poll_fd(struct io_engine *eng)
{
	return to_uring(eng)->ring.ring_fd;
}

static void uring_destroy(struct io_engine *eng)
{
	struct uring_engine *u = to_uring(eng);

	io_uring_queue_exit(&u->ring);
	free(u);
}

static const struct io_engine_ops uring_ops = {
	.name = "io_uring",
	.submit = uring_submit,
	.flush = uring_flush,
	.reap = uring_reap,
	.poll_fd = uring_poll_fd,
	.destroy = uring_destroy,
};

static int uring_register(const struct io_uring *ring, unsigned op, void *arg, unsigned n_args)
{
	return syscall(__NR_io_uring_register, ring->ring_fd, op, arg, n_args) < 0 ? -errno : 0;
}

static int restrict_ring(struct io_uring *ring)
{
	static const uint8_t ops[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
				      IORING_OP_FALLOCATE};
	struct io_uring_restriction res[ARRAY_LEN(ops)] = {0};
	int r;

	for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
		res[i].opcode = IORING_RESTRICTION_SQE_OP;
		res[i].sqe_op = ops[i];
	}
	/* by system call: not every build of the library exports its wrappers of these two */
	r = uring_register(ring, IORING_REGISTER_RESTRICTIONS, res, ARRAY_LEN(ops));
	return r < 0 ? r : uring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int loop_uring_create(struct io_engine **out)
{
	struct uring_engine *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	r = io_uring_queue_init(SQ_ENTRIES, &u->ring, IORING_SETUP_R_DISABLED);
	if (r < 0)
		goto fail;
	r = restrict_ring(&u->ring);
	if (r < 0) {
		io_uring_queue_exit(&u->ring);
		goto fail;
	}
	u->base.ops = &uring_ops;
	u->max_ring = *u->ring.cq.kring_entries;
	io_list_init(&u->base.done);
	io_list_init(&u->pending);
	*out = &u->base;
	return 0;
fail:
	free(u);
	return r;
}
