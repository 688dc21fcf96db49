/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System items: what a kernel call, a page fault, a new process, a mapping, a file, a signal cost.
 * They need a writable current directory, best on tmpfs.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static void good(int ok, const char *what)
{
	if (!ok)
		bench_fail(what);
}

static uint64_t syscall_run(void *state)
{
	long parent = getppid(), wrong = 0;

	(void)state;
	for (int i = 0; i < 300000; i++)
		wrong += syscall(SYS_getppid) != parent;
	return (uint64_t)wrong;
}

static uint64_t fault_run(void *state)
{
	const size_t size = 32 << 20;
	uint64_t sum = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		volatile uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		good(p != MAP_FAILED, "mmap");
		madvise((void *)p, size, MADV_NOHUGEPAGE);
		for (size_t i = 0; i < size; i += 4096)
			p[i] = (uint8_t)(i >> 12);
		sum = sum * 3 + p[size - 4096];
		munmap((void *)p, size);
	}
	return sum;
}

static uint64_t fork_run(void *state)
{
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			_exit(i & 127);
		good(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status), "fork");
		sum += (uint64_t)WEXITSTATUS(status);
	}
	return sum;
}

static uint64_t exec_run(void *state)
{
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < 120; i++) {
		char text[16];
		char *args[] = { "bench", "exit", text, NULL };
		int status;
		pid_t pid;

		snprintf(text, sizeof(text), "%d", i & 127);
		good(!posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ), "exec");
		good(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "exec");
		sum = sum * 3 + (uint64_t)WEXITSTATUS(status);
	}
	return sum;
}

/* Copy on write: a child writes every page of an inherited area. */
static void *cow_prepare(void)
{
	uint8_t *p = bench_alloc(8 << 20);

	madvise((void *)(((uintptr_t)p + 4095) & ~4095ULL), (8 << 20) - 4096, MADV_NOHUGEPAGE);
	bench_fill(p, 8 << 20, 60);
	return p;
}

static uint64_t cow_run(void *state)
{
	uint8_t *p = state;
	uint64_t sum = 0;

	for (int i = 0; i < 4; i++) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			unsigned int s = 0;

			for (size_t k = 0; k < 8 << 20; k += 4096)
				s += p[k] += (uint8_t)i;
			_exit((int)(s & 127));
		}
		good(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status), "fork");
		sum = sum * 5 + (uint64_t)WEXITSTATUS(status);
	}
	return sum;
}

/* mmap-churn: small mappings made, written, protected, unmapped, as allocators and loaders do */
static uint64_t mmap_run(void *state)
{
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		uint8_t *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		good(p != MAP_FAILED, "mmap");
		p[0] = (uint8_t)i;
		p[40000] = 1;
		good(!mprotect(p, 4096, PROT_READ), "mprotect");
		sum = sum * 3 + p[0] + p[40000];
		good(!munmap(p, 65536), "munmap");
	}
	return sum;
}

/* file: create, write, look up, read back, list, remove */
static uint64_t file_run(void *state)
{
	static const char dir[] = "bench-files";
	uint64_t sum = 0;
	char name[64], text[512];

	(void)state;
	good(!mkdir(dir, 0700), "mkdir");
	for (int i = 0; i < 4000; i++) {
		struct stat st;
		int fd;
		ssize_t n = 0;

		snprintf(name, sizeof(name), "%s/f%d", dir, i % 500);
		memset(text, 'a' + i % 26, sizeof(text));
		fd = open(name, O_RDWR | O_CREAT, 0600);
		good(fd >= 0 && write(fd, text, 100 + (size_t)i % 400) > 0, "write");
		close(fd);
		for (int k = 0; k < 4; k++) {
			good(!stat(name, &st), "stat");
			fd = open(name, O_RDONLY);
			n += read(fd, text, sizeof(text));
			close(fd);
		}
		sum = sum * 7 + (uint64_t)n + (uint64_t)st.st_size;
	}
	for (int round = 0; round < 2; round++) {
		DIR *d = opendir(dir);

		while (readdir(d))
			sum++;
		closedir(d);
	}
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%s/f%d", dir, i);
		sum += (uint64_t)!unlink(name);
	}
	rmdir(dir);
	return sum;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	++*(volatile int *)info->si_value.sival_ptr;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (mprotect((void *)((uintptr_t)info->si_addr & ~4095ULL), 4096, PROT_READ | PROT_WRITE))
		_exit(99);
}

/* signal: sent to oneself and handled, and write faults that the program handles */
static uint64_t signal_run(void *state)
{
	struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	volatile int count = 0;
	volatile uint8_t *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	sigaction(SIGRTMIN, &act, NULL);
	act.sa_sigaction = on_fault;
	sigaction(SIGSEGV, &act, NULL);
	for (int i = 0; i < 10000; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_ptr = (void *)&count });
	for (int i = 0; i < 2000; i++) {
		*page += 1;
		mprotect((void *)page, 4096, PROT_READ);
	}
	return (uint64_t)count * 256 + *page;
}

/* clock: clock_gettime, mostly without entering the kernel */
static uint64_t clock_run(void *state)
{
	struct timespec then, now;
	uint64_t backwards = 0;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &then);
	for (int i = 0; i < 3000000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		backwards += now.tv_sec < then.tv_sec || (now.tv_sec == then.tv_sec && now.tv_nsec < then.tv_nsec);
		then = now;
	}
	return backwards;
}

const struct bench_item bench_sys_items[] = {
	{ "syscall", "sys", NULL, syscall_run, NULL, NULL },
	{ "page-fault", "sys", NULL, fault_run, NULL, NULL },
	{ "fork", "sys", NULL, fork_run, NULL, NULL },
	{ "exec", "sys", NULL, exec_run, NULL, NULL },
	{ "copy-on-write", "sys", cow_prepare, cow_run, NULL, NULL },
	{ "mmap-churn", "sys", NULL, mmap_run, NULL, NULL },
	{ "file", "sys", NULL, file_run, NULL, NULL },
	{ "signal", "sys", NULL, signal_run, NULL, NULL },
	{ "clock", "sys", NULL, clock_run, NULL, NULL },
	{ 0 },
};
