/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `jailer`, and `mayfly jailer`: the steps in order.
 *
 *	 1  nothing comes along: files above standard error are closed, the environment is emptied
 *	 2  options
 *	 3  the directory and the program's copy, by root alone (jail.c)
 *	 4  the network namespace (--netns)
 *	 5  limits: open files, file size; no core dumps, which would hold a guest's memory
 *	 6  control groups
 *	 7  a mount namespace, of which the directory is all (pivot_root)
 *	 8  folders and device nodes inside
 *	 9  a session of its own (--daemonize), a process namespace (--new-pid-ns), NAME.pid
 *	10  no groups, no privileges to gain, no capabilities to have; the user
 *	11  the program, told --id and when all this began
 *
 * A failure before 7 leaves what was made so far, which a later run takes over; nothing outside the
 * directory and the control groups is changed.
 *
 * With user 0 the program keeps its capabilities, as callers that want that expect.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "vmm/core/err.h"
#include "vmm/jailer/jailer.h"

struct times {
	uint64_t start_us, start_cpu_us, cpu_us;
};

static uint64_t clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void leave_all_behind(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;

	syscall(SYS_close_range, 3u, ~0u, 0u);
	clearenv();
	umask(077);
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_DUMPABLE, 0);
}

static int join_netns(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return err_set(e, errno, "Failed to open file %s: %s", path, strerror(errno));
	if (setns(fd, CLONE_NEWNET) < 0)
		r = err_set(e, errno, "Failed to join network namespace: netns: %s", strerror(errno));
	close(fd);
	return r;
}

static int set_limits(const struct jail_config *c, struct err *e)
{
	const struct {
		int what;
		const char *name;
		uint64_t value;
	} limits[] = {
		{ RLIMIT_NOFILE, "RLIMIT_NOFILE", c->max_files },
		{ RLIMIT_FSIZE, "RLIMIT_FSIZE", c->max_file_bytes },
		{ RLIMIT_CORE, "RLIMIT_CORE", 0 },
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit l = { limits[i].value, limits[i].value };

		if (limits[i].value != UINT64_MAX && setrlimit((__rlimit_resource_t)limits[i].what, &l) < 0)
			return err_set(e, errno, "Failed to set limit for resource: %s: %s",
				       limits[i].name, strerror(errno));
	}
	return 0;
}

/* The same process, so that the caller's process id stays right; only the leader of a group cannot
 * begin a session, and leaves that to a child. */
static int daemonize(int dev_null, struct err *e)
{
	if (setsid() < 0) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		if (pid < 0 || setsid() < 0)
			return err_set(e, errno, "Failed to daemonize: setsid: %s", strerror(errno));
	}
	for (int fd = 0; fd < 3; fd++)
		if (dup2(dev_null, fd) < 0)
			return err_set(e, errno, "Failed to duplicate fd: %s", strerror(errno));
	return 0;
}

static int new_pid_namespace(const struct jail_config *c, struct err *e)
{
	long pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
	int r;

	if (pid < 0)
		return err_set(e, errno, "Failed cloning into a new child process: %s", strerror(errno));
	if (pid == 0)
		return 0;
	r = jail_write_pid(c, (pid_t)pid, e);
	if (r < 0) {
		kill((pid_t)pid, SIGKILL);
		return r;
	}
	_exit(0);
}

static int drop_privileges(const struct jail_config *c, struct err *e)
{
	uid_t r, u, s;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, errno, "Failed to give up gaining privileges: %s", strerror(errno));
	if (c->uid)
		for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
			if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
				return err_set(e, errno, "Failed to drop capability %lu: %s", cap,
					       strerror(errno));
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (setgroups(0, NULL) < 0 || setresgid(c->gid, c->gid, c->gid) < 0 ||
	    setresuid(c->uid, c->uid, c->uid) < 0)
		return err_set(e, errno, "Failed to become user %u, group %u: %s", c->uid, c->gid,
			       strerror(errno));
	if (getresuid(&r, &u, &s) < 0 || r != c->uid || u != c->uid || s != c->uid)
		return err_set(e, EPERM, "Failed to become user %u", c->uid);
	return 0;
}

enum { MAX_REST = 512, N_OWN = 9 };

static int become_program(const struct jail_config *c, const struct times *t, struct err *e)
{
	char path[300], start[24], start_cpu[24], cpu[24], *argv[N_OWN + MAX_REST + 1], *env[] = { NULL };
	const char *const own[N_OWN] = { path,		"--id",	     c->id,
					 "--start-time-us", start,     "--start-time-cpu-us",
					 start_cpu,	"--parent-cpu-time-us", cpu };
	unsigned n;

	snprintf(path, sizeof(path), "/%s", c->exec_name);
	snprintf(start, sizeof(start), "%" PRIu64, t->start_us);
	snprintf(start_cpu, sizeof(start_cpu), "%" PRIu64, c->new_pid_ns ? 0 : t->start_cpu_us);
	snprintf(cpu, sizeof(cpu), "%" PRIu64, t->cpu_us);
	for (n = 0; n < N_OWN; n++)
		argv[n] = (char *)(uintptr_t)own[n]; /* execve() changes nothing */
	for (unsigned i = 0; c->rest[i]; i++) {
		if (i == MAX_REST)
			return err_set(e, E2BIG, "more than %d arguments after --", MAX_REST);
		argv[n++] = c->rest[i];
	}
	argv[n] = NULL;
	execve(path, argv, env);
	return err_set(e, errno, "Failed to exec into Firecracker: %s", strerror(errno));
}

static int jail(struct jail_config *c, struct times *t, struct err *e)
{
	int root = jail_open_root(c, e), dev_null = -1, r = root < 0 ? root : 0;

	if (r == 0 && c->netns)
		r = join_netns(c->netns, e);
	if (r == 0 && c->daemonize) {
		dev_null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (dev_null < 0)
			r = err_set(e, errno, "Failed to open /dev/null: %s", strerror(errno));
	}
	if (r == 0)
		r = set_limits(c, e);
	if (r == 0)
		r = jail_choose_node(c, e);
	if (r == 0)
		r = jail_join_cgroups(c, e);
	if (r == 0)
		r = jail_enter(root, e);
	if (r == 0)
		r = jail_make_devices(c, e);
	if (r == 0 && c->daemonize)
		r = daemonize(dev_null, e);
	t->cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	if (r == 0)
		r = c->new_pid_ns ? new_pid_namespace(c, e) : jail_write_pid(c, getpid(), e);
	if (r == 0)
		r = drop_privileges(c, e);
	return r < 0 ? r : become_program(c, t, e);
}

static void print_help(void)
{
	printf("jailer --id ID --exec-file FILE --uid N --gid N [OPTIONS] [-- ARGS...]\n\n");
	jail_print_options();
}

int jailer_main(int argc, char **argv)
{
	struct times t = { clock_us(CLOCK_MONOTONIC), clock_us(CLOCK_PROCESS_CPUTIME_ID), 0 };
	struct jail_config c;
	struct err e = { 0 };

	leave_all_behind();
	if (jail_parse(&c, argc, argv, &e) == 0) {
		if (c.version) {
			printf("Jailer v%s\n", MAYFLY_VERSION);
			return 0;
		}
		if (c.help) {
			print_help();
			return 0;
		}
		jail(&c, &t, &e);
	}
	fprintf(stderr, e.hint[0] ? "Jailer error: %s (%s)\n" : "Jailer error: %s\n", e.msg, e.hint);
	return 1;
}
