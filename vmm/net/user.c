/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that acts as the network: mayfly-slirp (vmm/slirp/) or passt, at the other end of a
 * socket. It leads a session of its own, so that the terminal's signals do not reach it, and ends
 * when the socket does. If it ends first, the guest's link goes down, and another one is started.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "devices/virtio/net_port.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/net/port.h"

enum { CHILD_FD = 3, MAX_ARGS = 2 * NET_USER_MAX_FORWARDS + 8, HELLO_MS = 10000 };

struct user {
	struct net_port port; /* forwards to `inner` */
	struct net_port *inner;
	pid_t pid;
	bool is_passt;
	char program[512];
	char mtu[8];
	char *args[MAX_ARGS]; /* points into the configuration's strings, which outlive the port */
};

/* --- finding and starting ----------------------------------------------------------------------- */

int net_user_find(char *path, unsigned long len, struct err *e)
{
	const char *env = getenv("MAYFLY_SLIRP");
	char exe[400];
	ssize_t n;

	if (env) {
		snprintf(path, len, "%s", env);
		if (access(path, X_OK) == 0)
			return 0;
		return err_set(e, errno, "MAYFLY_SLIRP: %s: %s", env, strerror(errno));
	}
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n > 0) {
		exe[n] = '\0';
		*strrchr(exe, '/') = '\0';
		snprintf(path, len, "%s/mayfly-slirp", exe);
		if (access(path, X_OK) == 0)
			return 0;
	}
	snprintf(path, len, "%s", MAYFLY_LIBEXEC "/mayfly-slirp");
	if (access(path, X_OK) == 0)
		return 0;
	err_set(e, ENOENT, "user-mode network: mayfly-slirp is not installed");
	err_hint(e, "apt-get install libslirp-dev and build again; or --net tap=NAME, --net none");
	return -ENOENT;
}

/* The program gets `theirs` as its fd 3. */
static int start(struct user *u, int theirs, struct err *e)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
	if (u->is_passt) /* it says a lot */
		posix_spawn_file_actions_adddup2(&files, 0, 1);
	posix_spawn_file_actions_adddup2(&files, 2, 1);
	posix_spawn_file_actions_adddup2(&files, theirs, CHILD_FD);
	r = posix_spawnp(&u->pid, u->program, &files, &attr, u->args, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	if (r) {
		u->pid = -1;
		err_set(e, r, "%s: %s", u->program, strerror(r));
		if (u->is_passt)
			err_hint(e, "apt-get install passt, or use --net user");
		return -r;
	}
	return 0;
}

static void end(struct user *u)
{
	if (u->pid <= 0)
		return;
	kill(u->pid, SIGKILL);
	waitpid(u->pid, NULL, 0);
	u->pid = -1;
}

/* mayfly-slirp's first message: empty but for a newline, or what went wrong. */
static int hear_hello(int fd, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char text[200];
	ssize_t n;

	if (poll(&p, 1, HELLO_MS) <= 0)
		return err_set(e, ETIMEDOUT, "user-mode network: its process does not answer");
	n = recv(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return err_set(e, ECHILD, "user-mode network: its process ended");
	text[n] = '\0';
	if (strcmp(text, "\n") == 0)
		return 0;
	return err_set(e, EINVAL, "user-mode network: %s", text);
}

static int launch(struct user *u, struct net_port **inner, struct err *e)
{
	int type = u->is_passt ? SOCK_STREAM : SOCK_SEQPACKET, size = 1 << 20, sv[2], r;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, sv) < 0)
		return err_set(e, errno, "user-mode network: socketpair: %s", strerror(errno));
	for (int i = 0; i < 2; i++) /* several of the longest frames */
		if (setsockopt(sv[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			setsockopt(sv[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r = start(u, sv[1], e);
	close(sv[1]);
	if (r == 0 && !u->is_passt)
		r = hear_hello(sv[0], e);
	if (r < 0) {
		close(sv[0]);
		end(u);
		return r;
	}
	r = u->is_passt ? net_stream_port(sv[0], inner, e) : net_packet_port(sv[0], inner, e);
	if (r < 0)
		end(u);
	return r;
}

/* --- the port ----------------------------------------------------------------------------------- */

static int user_send(struct net_port *p, const struct iovec *iov, unsigned n)
{
	struct net_port *inner = container_of(p, struct user, port)->inner;

	return inner->ops->send(inner, iov, n);
}

static int user_flush(struct net_port *p)
{
	struct net_port *inner = container_of(p, struct user, port)->inner;

	return inner->ops->flush ? inner->ops->flush(inner) : 0;
}

static ssize_t user_recv(struct net_port *p, const struct iovec *iov, unsigned n)
{
	struct net_port *inner = container_of(p, struct user, port)->inner;

	return inner->ops->recv(inner, iov, n);
}

static int user_reopen(struct net_port *p)
{
	struct user *u = container_of(p, struct user, port);
	struct net_port *inner;
	int r;

	end(u);
	r = launch(u, &inner, NULL);
	if (r < 0)
		return r;
	u->inner->ops->close(u->inner);
	u->inner = inner;
	p->fd = inner->fd;
	return 0;
}

static void user_close(struct net_port *p)
{
	struct user *u = container_of(p, struct user, port);

	end(u);
	u->inner->ops->close(u->inner);
	free(u);
}

static const struct net_port_ops user_ops = {
	.send = user_send,
	.flush = user_flush,
	.recv = user_recv,
	.reopen = user_reopen,
	.close = user_close,
};

static int finish(struct user *u, struct net_port **out, struct err *e)
{
	int r = launch(u, &u->inner, e);

	if (r < 0) {
		free(u);
		return r;
	}
	u->port = (struct net_port){ .ops = &user_ops, .fd = u->inner->fd, .trusted = true };
	*out = &u->port;
	return 0;
}

static char *arg(const char *s)
{
	return (char *)(uintptr_t)s; /* posix_spawn() does not change them */
}

int net_user_start(const struct net_user_config *c, struct net_port **out, struct err *e)
{
	struct user *u = calloc(1, sizeof(*u));
	unsigned n = 0;
	int r;

	if (!u)
		return err_set(e, ENOMEM, "user-mode network: out of memory");
	r = net_user_find(u->program, sizeof(u->program), e);
	if (r < 0) {
		free(u);
		return r;
	}
	snprintf(u->mtu, sizeof(u->mtu), "%u", c->mtu);
	u->args[n++] = u->program;
	u->args[n++] = arg("--mtu");
	u->args[n++] = u->mtu;
	for (unsigned i = 0; i < c->n_forwards; i++) {
		u->args[n++] = arg("--hostfwd");
		u->args[n++] = arg(c->forwards[i]);
	}
	return finish(u, out, e);
}

int net_passt_start(struct net_port **out, struct err *e)
{
	struct user *u = calloc(1, sizeof(*u));
	unsigned n = 0;

	if (!u)
		return err_set(e, ENOMEM, "passt: out of memory");
	u->is_passt = true;
	snprintf(u->program, sizeof(u->program), "passt");
	u->args[n++] = u->program;
	u->args[n++] = arg("--foreground");
	u->args[n++] = arg("--quiet");
	u->args[n++] = arg("--fd");
	u->args[n++] = arg("3");
	return finish(u, out, e);
}
