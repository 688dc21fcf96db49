/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The benchmark program: lists the items, runs one, or serves commands on its standard input.
 *
 *	bench list              name, tab, group
 *	bench run NAME...       one line for each: name, seconds, result
 *	bench serve             see below
 *	bench text BYTES        deterministic text
 *	bench exit STATUS       ends (for the item "exec")
 *	bench tsc               frequency of the time-stamp counter in kHz, measured
 *
 * Served: "prepare NAME" is answered by "@ready NAME" when the item's inputs are there, "go" by
 * "@done NAME SECONDS CPU-SECONDS RESULT", a failure by "@fail NAME TEXT", "quit" ends. Each item
 * runs in a process of its own, with the same directory under /tmp or $TMPDIR to write in.
 *
 * The program runs natively and as a guest's only program; it must not depend on its host.
 */
#define _GNU_SOURCE
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bench.h"

static const struct bench_item *const tables[] = {
	bench_int_items, bench_int2_items, bench_string_items, bench_simd_items, bench_fp_items,
	bench_crypto_items, bench_program_items, bench_sys_items, bench_task_items, bench_par_items,
};

/* A line to whoever drives us, in one write. */
static void say(const char *format, ...)
{
	char line[400];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	n = n < (int)sizeof(line) - 1 ? n : (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(1, line, (size_t)n) != n)
		_exit(1);
}

void bench_fail(const char *what)
{
	say("@fail - %s", what);
	_exit(1);
}

void *bench_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_fail("no memory");
	memset(p, 1, size);
	memset(p, 0, size);
	return p;
}

void bench_fill(void *p, size_t size, uint64_t seed)
{
	uint8_t *to = p;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t r = bench_random(&seed);

		memcpy(to + i, &r, size - i < 8 ? size - i : 8);
	}
}

uint64_t bench_hash(const void *p, size_t size, uint64_t hash)
{
	const uint8_t *from = p;

	hash ^= size * 0x9e3779b97f4a7c15;
	for (; size >= 8; size -= 8, from += 8) {
		uint64_t v;

		memcpy(&v, from, 8);
		hash = (hash ^ v) * 0xff51afd7ed558ccd;
		hash ^= hash >> 32;
	}
	for (; size; size--)
		hash = (hash ^ *from++) * 0xff51afd7ed558ccd;
	return hash ^ hash >> 29;
}

static const struct bench_item *find(const char *name)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct bench_item *i = tables[t]; i->name; i++)
			if (!strcmp(i->name, name))
				return i;
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_time(void)
{
	double sum = 0;

	for (int k = 0; k < 2; k++) {
		struct rusage use;

		getrusage(k ? RUSAGE_CHILDREN : RUSAGE_SELF, &use);
		sum += (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
		       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
	}
	return sum;
}

static int read_line(char *line, size_t size)
{
	size_t n = 0;
	char c;

	while (read(0, &c, 1) == 1) {
		if (c == '\n' || c == '\r') {
			if (!n)
				continue;
			line[n] = 0;
			return 1;
		}
		if (n < size - 1)
			line[n++] = c;
	}
	return 0;
}

/* In a process of its own. */
static void run_item(const struct bench_item *item, int wait_for_go)
{
	void *state;
	uint64_t result;
	double cpu, start;
	char line[80];

	state = item->command ? bench_prepare_program(item) : item->prepare ? item->prepare() : NULL;
	if (wait_for_go) {
		say("@ready %s", item->name);
		if (!read_line(line, sizeof(line)) || strcmp(line, "go"))
			_exit(0);
	}
	cpu = cpu_time();
	start = now();
	result = item->command ? bench_run_program(item) : item->run(state);
	start = now() - start;
	cpu = cpu_time() - cpu;
	if (wait_for_go)
		say("@done %s %.9f %.6f %016llx", item->name, start, cpu, (unsigned long long)result);
	else
		say("%-14s %9.6f %016llx", item->name, start, (unsigned long long)result);
	_exit(0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level ? remove(path) : 0;
}

static int run_child(const struct bench_item *item, const char *dir, int wait_for_go)
{
	int status;
	pid_t pid;

	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		run_item(item, wait_for_go);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		bench_fail("fork");
	if (WIFSIGNALED(status))
		say("@fail %s signal %d", item->name, WTERMSIG(status));
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Environment of the programs: the same everywhere. Leaves the process in the directory to write in. */
static void settle(char *dir, size_t size)
{
	char self[PATH_MAX - 8], work[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, size, "%s/bench-XXXXXX", tmp ? tmp : "/tmp");
	if (n <= 0 || !mkdtemp(dir) || chdir(dir))
		bench_fail("no directory to work in");
	self[n] = 0;
	clearenv();
	setenv("BENCH", self, 1);
	*strrchr(self, '/') = 0;
	snprintf(work, sizeof(work), "%s/work", self);
	setenv("WORK", work, 1);
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", 1);
	setenv("HOME", dir, 1);
	setenv("TMPDIR", dir, 1);
	setenv("LC_ALL", "C", 1);
	setenv("TZ", "UTC", 1);
	setenv("PYTHONHASHSEED", "0", 1);
	setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
}

static int serve(void)
{
	struct termios tty;
	char line[80], dir[PATH_MAX];

	if (!tcgetattr(0, &tty)) {
		cfmakeraw(&tty);
		tcsetattr(0, TCSANOW, &tty);
	}
	settle(dir, sizeof(dir));
	say("@serving");
	while (read_line(line, sizeof(line)) && strcmp(line, "quit")) {
		const struct bench_item *item = strncmp(line, "prepare ", 8) ? NULL : find(line + 8);

		if (item)
			run_child(item, dir, 1);
		else
			say("@fail %s unknown", line);
	}
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return chdir("/") || rmdir(dir);
}

/* Words of a made-up language, some far more common than others, in lines and sentences. */
static int print_text(long size)
{
	static char words[4096][16];
	uint64_t seed = 70;
	long column = 0;

	for (int i = 0; i < 4096; i++) {
		int length = 2 + (int)(bench_random(&seed) % (i < 256 ? 4 : 10));

		for (int k = 0; k < length; k++)
			words[i][k] = (k + i) % 2 ? "aeiouaeioy"[bench_random(&seed) % 10] : "tnshrdlcmwfgpbvk"[bench_random(&seed) % 16];
	}
	for (long n = 0; n < size;) {
		uint64_t r = bench_random(&seed);
		const char *word = words[(r & 0xfff) >> (r >> 12) % 12];
		int c = printf("%s%s", word, column > 66 ? ".\n" : (r >> 40) % 9 ? " " : ", ");

		column = column > 66 ? 0 : column + c;
		n += c;
	}
	return fflush(stdout) != 0;
}

/* The counter at a moment of the clock: of many pairs the one that was taken fastest. */
static uint64_t tsc_at(double *when)
{
	uint64_t best = ~0ULL, tsc = 0;

	for (int i = 0; i < 1000; i++) {
		uint64_t before = __rdtsc();
		double t = now();
		uint64_t took = __rdtsc() - before;

		if (took < best) {
			best = took;
			tsc = before + took / 2;
			*when = t;
		}
	}
	return tsc;
}

static int print_tsc(void)
{
	struct timespec nap = { 0, 300000000 };
	double start, end;
	uint64_t first = tsc_at(&start), last;

	nanosleep(&nap, NULL);
	last = tsc_at(&end);
	return printf("%.0f\n", (double)(last - first) / (end - start) / 1e3) < 0;
}

int main(int argc, char **argv)
{
	char dir[PATH_MAX];
	int bad = 0;

	if (argc >= 2 && !strcmp(argv[1], "serve"))
		return serve();
	if (argc == 2 && !strcmp(argv[1], "tsc"))
		return print_tsc();
	if (argc == 3 && !strcmp(argv[1], "exit"))
		return atoi(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "text"))
		return print_text(atol(argv[2]));
	if (argc >= 2 && !strcmp(argv[1], "list")) {
		for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
			for (const struct bench_item *i = tables[t]; i->name; i++)
				printf("%s\t%s\t%s\n", i->name, i->group, i->command ? "root" : "");
		return 0;
	}
	if (argc < 3 || strcmp(argv[1], "run")) {
		fprintf(stderr, "usage: bench list | run NAME... | serve | text BYTES | exit STATUS | tsc\n");
		return 2;
	}
	settle(dir, sizeof(dir));
	for (int i = 2; i < argc; i++) {
		const struct bench_item *item = find(argv[i]);

		if (!item)
			say("%s: no such item", argv[i]);
		bad |= !item || !run_child(item, dir, 0);
	}
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return chdir("/") || rmdir(dir) || bad;
}
