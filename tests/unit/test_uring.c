/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ring of the event loop refuses: all operations but the four it needs, whatever the state of
 * the process it belongs to, and every change of that. Built over the engine's source, for its ring.
 */
#include "vmm/core/loop_uring.c"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/socket.h>

static struct io_engine *eng;
static struct io_uring *ring;

static void setup(void)
{
	if (loop_uring_create(&eng) < 0)
		cr_skip_test("no io_uring on this host");
	ring = &to_uring(eng)->ring;
}

static void teardown(void)
{
	if (eng)
		eng->ops->destroy(eng);
}

TestSuite(uring, .init = setup, .fini = teardown);

/* The result of one entry of that opcode; what it says besides does not matter if it is refused. */
static int result_of(uint8_t opcode, int fd, uint64_t addr, uint32_t len, uint8_t flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int res;

	cr_assert(sqe);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->addr = addr;
	sqe->len = len;
	sqe->flags = flags;
	cr_assert_eq(io_uring_submit_and_wait(ring, 1), 1);
	cr_assert_eq(io_uring_wait_cqe(ring, &cqe), 0);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

Test(uring, four_operations_and_no_other)
{
	static const uint8_t allowed[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
					  IORING_OP_FALLOCATE};
	unsigned n_refused = 0;

	for (unsigned op = 0; op < 256; op++) {
		bool ok = false;
		int res;

		for (unsigned i = 0; i < ARRAY_LEN(allowed); i++)
			ok |= op == allowed[i];
		res = result_of((uint8_t)op, -1, 0, 0, 0);
		cr_assert_neq(res, 0, "opcode %u", op);
		if (ok)
			cr_assert_neq(res, -EACCES, "opcode %u", op);
		else /* one that the kernel does not know it refuses before */
			cr_assert(res == -EACCES || res == -EINVAL, "opcode %u: %d", op, res);
		n_refused += res == -EACCES;
	}
	cr_assert_geq(n_refused, 30);
}

Test(uring, ways_out_are_refused)
{
	char path[] = "/etc/hostname";
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert_eq(result_of(IORING_OP_OPENAT, AT_FDCWD, (uintptr_t)path, 0600, 0), -EACCES);
	cr_assert_eq(result_of(IORING_OP_OPENAT2, AT_FDCWD, (uintptr_t)path, 24, 0), -EACCES);
	cr_assert_eq(result_of(IORING_OP_CLOSE, sock, 0, 0, 0), -EACCES);
	cr_assert_eq(result_of(IORING_OP_CONNECT, sock, (uintptr_t)path, 0, 0), -EACCES);
	cr_assert_eq(result_of(IORING_OP_SENDMSG, sock, (uintptr_t)path, 0, 0), -EACCES);
	cr_assert_eq(result_of(IORING_OP_UNLINKAT, AT_FDCWD, (uintptr_t)path, 0, 0), -EACCES);
	/* linked or drained entries, fixed files and chosen buffers are no way round either */
	cr_assert_eq(result_of(IORING_OP_FSYNC, 0, 0, 0, IOSQE_IO_DRAIN), -EACCES);
	cr_assert_eq(result_of(IORING_OP_FSYNC, 0, 0, 0, IOSQE_FIXED_FILE), -EACCES);
	cr_assert_eq(result_of(IORING_OP_READV, 0, 0, 0, IOSQE_BUFFER_SELECT), -EACCES);
	close(sock);
}

Test(uring, restrictions_are_for_good)
{
	struct io_uring_restriction res = {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_OPENAT};
	int fd = 0;

	cr_assert_lt(uring_register(ring, IORING_REGISTER_RESTRICTIONS, &res, 1), 0);
	cr_assert_eq(uring_register(ring, IORING_REGISTER_FILES, &fd, 1), -EACCES);
	cr_assert_eq(uring_register(ring, IORING_REGISTER_PERSONALITY, NULL, 0), -EACCES);
	cr_assert_eq(uring_register(ring, IORING_REGISTER_EVENTFD, &fd, 1), -EACCES);
}
