/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs shell lines in a guest for somebody on the host, over vsock.
 *
 *	agent serve PORT		in the guest: for each connection, its bytes up to a NUL are run by
 *					sh -c; output goes back, then "@@ STATUS\n"
 *	agent pour CID PORT		in the guest: sends until the peer stops it
 *	agent ask SOCKET PORT LINE	on the host, over mayfly's Unix socket; ends with the line's
 *					status, or 255 if there was no answer
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
	exit(255);
}

/* Up to `end`, which is not kept; false if the peer stops before. */
static int read_to(int fd, char *buf, size_t max, char end)
{
	for (size_t len = 0; len < max; len++) {
		if (read(fd, buf + len, 1) != 1)
			return 0;
		if (buf[len] == end) {
			buf[len] = '\0';
			return 1;
		}
	}
	return 0;
}

static void run_one(int fd)
{
	static char line[1 << 16];
	int status = 255;
	pid_t pid;

	if (!read_to(fd, line, sizeof(line), '\0'))
		exit(0);
	pid = fork();
	if (pid == 0) {
		dup2(fd, 1);
		dup2(fd, 2);
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	dprintf(fd, "@@ %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 255);
	exit(0);
}

static void serve(unsigned port)
{
	struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_ANY,
	};
	int s = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s < 0 || bind(s, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(s, 16) < 0)
		die("listen");
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(s, NULL, NULL);

		if (fd < 0)
			continue;
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			run_one(fd);
		}
		close(fd);
	}
}

static int pour(unsigned cid, unsigned port)
{
	struct sockaddr_vm addr = { .svm_family = AF_VSOCK, .svm_port = port, .svm_cid = cid };
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);
	static char buf[1 << 16];

	if (s < 0 || connect(s, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("connect");
	while (write(s, buf, sizeof(buf)) > 0)
		;
	return 0;
}

static int ask(const char *path, const char *port, const char *line)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	char answer[64], *mark;
	static char all[1 << 20];
	size_t len = 0;
	ssize_t n;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (s < 0 || connect(s, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die(path);
	dprintf(s, "CONNECT %s\n", port);
	if (!read_to(s, answer, sizeof(answer), '\n') || strncmp(answer, "OK ", 3))
		die("nobody listens in the guest");
	if (write(s, line, strlen(line) + 1) < 0)
		die("write");
	while (len < sizeof(all) - 1 && (n = read(s, all + len, sizeof(all) - 1 - len)) > 0)
		len += (size_t)n;
	mark = memrchr(all, '@', len);
	if (!mark || mark == all || mark[-1] != '@')
		die("no answer");
	fwrite(all, 1, (size_t)(mark - 1 - all), stdout);
	return atoi(mark + 1);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve((unsigned)atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "pour"))
		return pour((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "ask"))
		return ask(argv[2], argv[3], argv[4]);
	fprintf(stderr, "usage: agent serve PORT | agent ask SOCKET PORT LINE\n");
	return 255;
}
