/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the host's end of a console.
 *
 * A socket serves one client at a time; another one that connects is turned away, unless the first
 * has ended its sending. Without a client output is lost, and a device that can tells its guest.
 *
 * Of a pseudo-terminal we keep the other side open ourselves: without that its end comes and goes
 * with each program that uses it, and reading fails in between. So nobody can tell whether one does;
 * what is not read fills the terminal's buffer, then the ring, and then waits or is lost.
 */
#include "vmm/console_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/terminal.h"

struct console_host {
	struct console_host_config config;
	struct console_hooks hooks; /* the owner's */
	void (*opened)(void *ctx, bool open);
	struct loop *loop;
	struct console *console;
	bool keys;
	int fd;    /* file, terminal or client; -1: none */
	int other; /* the other side of the terminal */
	struct loop_source listener; /* fd -1: none */
	bool listening;
	struct sockaddr_un addr;
	dev_t socket_dev;
	ino_t socket_ino;
	char pty[64];
};

/* --- sockets ---------------------------------------------------------------------------------- */

static void drop_client(struct console_host *h)
{
	if (h->fd < 0)
		return;
	shutdown(h->fd, SHUT_RDWR);
	console_detach(h->console);
	close(h->fd);
	h->fd = -1;
	if (h->opened)
		h->opened(h->hooks.ctx, false);
}

static void on_hangup(void *ctx)
{
	drop_client(ctx);
}

/* It sends no more: who shut down its side, or is gone and was not noticed yet. */
static bool has_ended(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_connection(struct loop_source *s, uint32_t ready)
{
	struct console_host *h = container_of(s, struct console_host, listener);
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	struct err e;

	(void)ready;
	if (fd < 0)
		return;
	if (h->fd >= 0 && !has_ended(h->fd)) {
		close(fd);
		return;
	}
	drop_client(h);
	if (console_attach(h->console, fd, &e) < 0) {
		log_warn(NULL, "%s: %s", h->config.what, e.msg);
		close(fd);
		return;
	}
	h->fd = fd;
	if (h->opened)
		h->opened(h->hooks.ctx, true);
}

static bool somebody_listens(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes = fd >= 0 && (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
			       errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return yes;
}

/* The name of a socket that nobody listens on any more is taken over. */
static int bind_socket(struct console_host *h, int fd)
{
	const struct sockaddr *addr = (const struct sockaddr *)&h->addr;
	struct stat st;

	if (bind(fd, addr, sizeof(h->addr)) < 0) {
		if (errno != EADDRINUSE || lstat(h->config.path, &st) < 0)
			return -errno;
		if (!S_ISSOCK(st.st_mode) || somebody_listens(&h->addr))
			return -EADDRINUSE;
		if (unlink(h->config.path) < 0 || bind(fd, addr, sizeof(h->addr)) < 0)
			return -errno;
	}
	if (lstat(h->config.path, &st) == 0) {
		h->socket_dev = st.st_dev;
		h->socket_ino = st.st_ino;
	}
	return listen(fd, 4) < 0 ? -errno : 0;
}

static int open_socket(struct console_host *h, struct err *e)
{
	size_t len = strlen(h->config.path);
	int fd, r;

	if (!len || len >= sizeof(h->addr.sun_path))
		return err_set(e, ENAMETOOLONG, "%s: socket path of %zu bytes; 1 to %zu are possible",
			       h->config.what, len, sizeof(h->addr.sun_path) - 1);
	h->addr.sun_family = AF_UNIX;
	memcpy(h->addr.sun_path, h->config.path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, errno, "%s: socket: %s", h->config.what, strerror(errno));
	r = bind_socket(h, fd);
	if (r < 0) {
		close(fd);
		err_set(e, -r, "%s: %s: %s", h->config.what, h->config.path, strerror(-r));
		err_hint(e, r == -EADDRINUSE ? "somebody uses it; give another path" :
					       "give a path where a socket can be made");
		return r;
	}
	h->listener = (struct loop_source){ .fd = fd, .events = LOOP_IN, .fn = on_connection };
	return 0;
}

static void remove_socket(struct console_host *h)
{
	struct stat st;

	if (lstat(h->config.path, &st) == 0 && st.st_dev == h->socket_dev &&
	    st.st_ino == h->socket_ino)
		unlink(h->config.path);
}

/* --- the other kinds -------------------------------------------------------------------------- */

static int open_file(struct console_host *h, struct err *e)
{
	h->fd = open(h->config.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
	if (h->fd >= 0)
		return 0;
	err_set(e, errno, "%s: %s: %s", h->config.what, h->config.path, strerror(errno));
	err_hint(e, "give a path that can be written");
	return -e->code;
}

static int open_pty(struct console_host *h, struct err *e)
{
	struct termios t;

	h->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (h->fd < 0 || grantpt(h->fd) < 0 || unlockpt(h->fd) < 0 ||
	    ptsname_r(h->fd, h->pty, sizeof(h->pty)) != 0)
		return err_set(e, errno, "%s: pseudo-terminal: %s", h->config.what, strerror(errno));
	h->other = open(h->pty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (h->other < 0 || tcgetattr(h->other, &t) < 0)
		return err_set(e, errno, "%s: %s: %s", h->config.what, h->pty, strerror(errno));
	cfmakeraw(&t);
	tcsetattr(h->other, TCSANOW, &t);
	return 0;
}

static int open_end(struct console_host *h, struct console_config *cc, struct err *e)
{
	int r = 0;

	switch (h->config.kind) {
	case CONSOLE_STDIO:
		cc->out_fd = STDOUT_FILENO;
		/* A terminal that another process group owns would stop us if we read it. */
		if (!isatty(STDIN_FILENO) || terminal_usable())
			cc->in_fd = STDIN_FILENO;
		cc->keys = h->keys = cc->in_fd >= 0 && isatty(STDIN_FILENO);
		cc->framed = h->config.framed && !cc->keys;
		break;
	case CONSOLE_FILE:
		r = open_file(h, e);
		cc->out_fd = h->fd;
		break;
	case CONSOLE_PTY:
		r = open_pty(h, e);
		cc->in_fd = cc->out_fd = h->fd;
		break;
	case CONSOLE_SOCKET:
		r = open_socket(h, e);
		break;
	case CONSOLE_OFF:
		break;
	}
	return r;
}

/* --- life ------------------------------------------------------------------------------------- */

static size_t on_rx(void *ctx, const uint8_t *p, size_t n)
{
	struct console_host *h = ctx;

	return h->hooks.rx(h->hooks.ctx, p, n);
}

static void on_room(void *ctx)
{
	struct console_host *h = ctx;

	if (h->hooks.room)
		h->hooks.room(h->hooks.ctx);
}

int console_host_create(struct loop *loop, const struct console_host_config *c,
			const struct console_hooks *hooks, void (*opened)(void *ctx, bool open),
			struct console_host **out, struct err *e)
{
	struct console_config cc = { .in_fd = -1, .out_fd = -1, .escape = c->escape };
	struct console_host *h = calloc(1, sizeof(*h));
	struct console_hooks ours = *hooks;
	int r;

	if (!h)
		return err_set(e, ENOMEM, "%s: out of memory", c->what);
	h->config = *c;
	h->hooks = *hooks;
	h->opened = opened;
	h->loop = loop;
	h->fd = h->other = h->listener.fd = -1;
	ours.rx = on_rx;
	ours.room = on_room;
	ours.hangup = c->kind == CONSOLE_SOCKET ? on_hangup : NULL;
	ours.ctx = h;
	r = open_end(h, &cc, e);
	if (r == 0)
		r = console_create(loop, &cc, &ours, &h->console, e);
	if (r < 0) {
		console_host_destroy(h);
		return r;
	}
	*out = h;
	return 0;
}

int console_host_start(struct console_host *h, struct err *e)
{
	int r;

	if (h->listener.fd < 0)
		return console_start(h->console, e);
	r = loop_add(h->loop, &h->listener, e);
	h->listening = r == 0;
	return r;
}

void console_host_destroy(struct console_host *h)
{
	if (!h)
		return;
	h->opened = NULL;
	if (h->listener.fd >= 0) {
		if (h->listening)
			loop_del(h->loop, &h->listener);
		close(h->listener.fd);
		remove_socket(h);
	}
	console_destroy(h->console);
	if (h->fd >= 0)
		close(h->fd);
	if (h->other >= 0)
		close(h->other);
	free(h);
}

struct console *console_host_console(const struct console_host *h)
{
	return h->console;
}

bool console_host_has_keys(const struct console_host *h)
{
	return h->keys;
}

const char *console_host_pty(const struct console_host *h)
{
	return h->pty[0] ? h->pty : NULL;
}
