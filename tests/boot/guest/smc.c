/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code that changes: what JIT compilers, eBPF and debuggers do, each result checked.
 * usage: smc SECONDS
 *
 *	rwx      functions of random length written over each other in a writable, executable page
 *	wx       the same, with mprotect() between writing and calling
 *	alias    written through one mapping of a file, executed through another
 *	self     an instruction that changes the next one's operand
 *	cross    one thread writes, another executes after a serialising instruction
 *	patch    an aligned operand is replaced while another thread executes it: old or new, and
 *	         never old again
 *	int3     a call site is turned on and off by the breakpoint protocol of kernels
 *	bpf      eBPF programs loaded, run and unloaded (if the kernel lets us)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096 };

struct test {
	const char *name;
	void *(*run)(void *arg);
	uint64_t rounds;
	unsigned errors;
	bool skipped;
	uint32_t seed;
	pthread_t thread;
};

static _Atomic bool stop;

static uint32_t rnd(struct test *t)
{
	t->seed = t->seed * 1664525 + 1013904223;
	return t->seed >> 8;
}

static void *map(int prot)
{
	void *p = mmap(NULL, 4 * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(2);
	return p;
}

static void serialise(void)
{
	unsigned a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)::"memory");
}

static uint64_t call(const uint8_t *code)
{
	uint64_t (*fn)(void);

	memcpy(&fn, &code, sizeof(fn));
	return fn();
}

/* mov eax, a; n times one of add, xor, sub, rol; ret. Gives what it computes. */
static uint32_t generate(struct test *t, uint8_t *p)
{
	uint32_t v = rnd(t), n = rnd(t) % 40;

	*p++ = 0xb8;
	memcpy(p, &v, 4);
	p += 4;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = rnd(t);

		switch (k & 3) {
		case 0:
			*p++ = 0x05;
			v += k;
			break;
		case 1:
			*p++ = 0x35;
			v ^= k;
			break;
		case 2:
			*p++ = 0x2d;
			v -= k;
			break;
		default:
			memcpy(p, "\xc1\xc0", 2);
			p[2] = k >> 8 & 31;
			p += 3;
			v = v << (k >> 8 & 31) | v >> (-(k >> 8 & 31) & 31);
			continue;
		}
		memcpy(p, &k, 4);
		p += 4;
	}
	*p = 0xc3;
	return v;
}

static void expect(struct test *t, uint64_t got, uint64_t want)
{
	t->rounds++;
	if (got != want && t->errors++ < 5)
		printf("smc %s: round %llu: %#llx, expected %#llx\n", t->name,
		       (unsigned long long)t->rounds, (unsigned long long)got,
		       (unsigned long long)want);
}

static void *run_rwx(void *arg)
{
	struct test *t = arg;
	uint8_t *p = map(PROT_READ | PROT_WRITE | PROT_EXEC);

	while (!atomic_load(&stop)) {
		/* Anywhere, also across a page's end. */
		uint8_t *at = p + rnd(t) % (3 * PAGE);
		uint32_t want = generate(t, at);

		for (unsigned i = 0; i < 4; i++)
			expect(t, call(at), want);
		memcpy(at, "\xb8\x07\0\0\0\xc3", 6); /* and changed in place */
		expect(t, call(at), 7);
	}
	return NULL;
}

static void *run_wx(void *arg)
{
	struct test *t = arg;
	uint8_t *p = map(PROT_READ | PROT_WRITE);

	while (!atomic_load(&stop)) {
		uint8_t *at = p + rnd(t) % (3 * PAGE);
		uint32_t want = generate(t, at);

		mprotect(p, 4 * PAGE, PROT_READ | PROT_EXEC);
		expect(t, call(at), want);
		expect(t, call(at), want);
		mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

static void *run_alias(void *arg)
{
	struct test *t = arg;
	int fd = memfd_create("code", 0);
	uint8_t *rw, *rx;

	if (fd < 0 || ftruncate(fd, 4 * PAGE))
		exit(2);
	rw = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rx = mmap(NULL, 4 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (rw == MAP_FAILED || rx == MAP_FAILED)
		exit(2);
	while (!atomic_load(&stop)) {
		uint32_t off = rnd(t) % (3 * PAGE);
		uint32_t want = generate(t, rw + off);

		serialise();
		expect(t, call(rx + off), want);
		if (rnd(t) % 16 == 0) { /* written by the kernel */
			if (pwrite(fd, "\xb8\x09\0\0\0\xc3", 6, off) != 6)
				exit(2);
			serialise();
			expect(t, call(rx + off), 9);
		}
	}
	return NULL;
}

static void *run_self(void *arg)
{
	/* mov [rip+1], edi (over the operand of what follows); mov eax, 0; ret */
	static const uint8_t code[] = {0x89, 0x3d, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3};
	struct test *t = arg;
	uint8_t *p = map(PROT_READ | PROT_WRITE | PROT_EXEC);
	uint32_t (*fn)(uint32_t);

	memcpy(p + 60, code, sizeof(code));
	p += 60;
	memcpy(&fn, &p, sizeof(fn));
	while (!atomic_load(&stop)) {
		uint32_t v = rnd(t);

		expect(t, fn(v), v);
	}
	return NULL;
}

/* --- two threads --- */

struct pair {
	uint8_t *code;
	_Atomic uint32_t turn; /* odd: the writer is done, even: the caller is */
	_Atomic uint64_t want;
	_Atomic bool over;
};

static void *cross_writer(void *arg)
{
	struct pair *p = arg;
	struct test own = {.seed = 99};

	for (uint32_t n = 0;; n += 2) {
		while (atomic_load(&p->turn) != n) {
			if (atomic_load(&p->over))
				return NULL;
			sched_yield();
		}
		atomic_store(&p->want, generate(&own, p->code));
		atomic_store(&p->turn, n + 1);
	}
}

static void *run_cross(void *arg)
{
	struct test *t = arg;
	struct pair p = {.code = map(PROT_READ | PROT_WRITE | PROT_EXEC)};
	pthread_t writer;

	if (pthread_create(&writer, NULL, cross_writer, &p))
		exit(2);
	for (uint32_t n = 1; !atomic_load(&stop); n += 2) {
		while (atomic_load(&p.turn) != n)
			sched_yield();
		serialise();
		expect(t, (uint32_t)call(p.code), atomic_load(&p.want));
		expect(t, (uint32_t)call(p.code), atomic_load(&p.want));
		atomic_store(&p.turn, n + 1);
	}
	atomic_store(&p.over, true);
	pthread_join(writer, NULL);
	return NULL;
}

static void *patch_writer(void *arg)
{
	struct pair *p = arg;
	_Atomic uint64_t *operand = (void *)(p->code + 8);

	for (uint64_t n = 1; !atomic_load(&p->over); n++) {
		atomic_store(operand, n);
		atomic_store(&p->want, n);
		for (unsigned i = 0; i < n % 256; i++)
			__asm__ volatile("pause");
	}
	return NULL;
}

static void *run_patch(void *arg)
{
	/* mov rax, imm64 with the operand at offset 8; ret */
	static const uint8_t code[] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x48, 0xb8,
				       0,    0,	   0,	 0,    0,    0,	   0,	 0,    0xc3};
	struct test *t = arg;
	struct pair p = {.code = map(PROT_READ | PROT_WRITE | PROT_EXEC)};
	uint64_t last = 0;
	pthread_t writer;

	memcpy(p.code, code, sizeof(code));
	if (pthread_create(&writer, NULL, patch_writer, &p))
		exit(2);
	while (!atomic_load(&stop)) {
		uint64_t announced = atomic_load(&p.want), v;

		serialise();
		v = call(p.code);
		t->rounds++;
		if ((v < announced || v < last) && t->errors++ < 5)
			printf("smc patch: %llu after %llu, announced %llu\n", (unsigned long long)v,
			       (unsigned long long)last, (unsigned long long)announced);
		last = v;
	}
	atomic_store(&p.over, true);
	pthread_join(writer, NULL);
	return NULL;
}

/* The site: 5 bytes that are a NOP (gives 1) or `mov eax, 2`; while they change, INT3. */
static uint8_t *site;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	if ((uint64_t)u->uc_mcontext.gregs[REG_RIP] != (uint64_t)(uintptr_t)(site + 1))
		_exit(3);
	u->uc_mcontext.gregs[REG_RIP] += 4; /* as the NOP */
}

static void membarrier(void)
{
	enum { SYNC_CORE = 1 << 5, REGISTER = 1 << 6 };
	static bool registered;

	if (!registered)
		syscall(SYS_membarrier, REGISTER, 0, 0);
	registered = true;
	syscall(SYS_membarrier, SYNC_CORE, 0, 0);
}

static void *int3_writer(void *arg)
{
	static const uint8_t nop[5] = {0x0f, 0x1f, 0x44, 0, 0}, mov[5] = {0xb8, 2, 0, 0, 0};
	struct pair *p = arg;

	for (unsigned n = 1; !atomic_load(&p->over); n++) {
		const uint8_t *to = n & 1 ? mov : nop;

		__atomic_store_n(site, 0xcc, __ATOMIC_SEQ_CST);
		membarrier();
		memcpy(site + 1, to + 1, 4);
		membarrier();
		__atomic_store_n(site, to[0], __ATOMIC_SEQ_CST);
		membarrier();
		atomic_store(&p->want, (uint64_t)n << 8 | (n & 1 ? 2 : 1));
		/* Nothing changes now: what is announced is what is executed. */
		for (unsigned i = 0; i < 3000; i++)
			__asm__ volatile("pause");
		atomic_store(&p->want, 0);
	}
	return NULL;
}

static void *run_int3(void *arg)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	struct test *t = arg;
	struct pair p = {.code = map(PROT_READ | PROT_WRITE | PROT_EXEC)};
	pthread_t writer;

	site = p.code + 5;
	memcpy(p.code, "\xb8\1\0\0\0\x0f\x1f\x44\0\0\xc3", 11);
	sigaction(SIGTRAP, &sa, NULL);
	if (pthread_create(&writer, NULL, int3_writer, &p))
		exit(2);
	while (!atomic_load(&stop)) {
		uint64_t before = atomic_load(&p.want), v = call(p.code), after = atomic_load(&p.want);

		t->rounds++;
		if ((v != 1 && v != 2) || (before && before == after && v != (before & 0xff)))
			if (t->errors++ < 5)
				printf("smc int3: %llu, announced %llu\n", (unsigned long long)v,
				       (unsigned long long)before & 0xff);
	}
	atomic_store(&p.over, true);
	pthread_join(writer, NULL);
	return NULL;
}

/* --- eBPF --- */

static struct bpf_insn insn(uint8_t code, uint8_t dst, int32_t imm)
{
	return (struct bpf_insn){.code = code, .dst_reg = dst, .imm = imm};
}

static void *run_bpf(void *arg)
{
	struct test *t = arg;
	uint8_t packet[64] = {0};

	while (!atomic_load(&stop)) {
		struct bpf_insn prog[64];
		unsigned n = 0, len = 1 + rnd(t) % 60;
		uint32_t v = rnd(t);
		union bpf_attr a;
		int fd;

		prog[n++] = insn(BPF_ALU | BPF_MOV | BPF_K, 0, (int32_t)v);
		while (n < len) {
			uint32_t k = rnd(t);

			prog[n++] = k & 1 ? insn(BPF_ALU | BPF_ADD | BPF_K, 0, (int32_t)k)
					  : insn(BPF_ALU | BPF_XOR | BPF_K, 0, (int32_t)k);
			v = k & 1 ? v + k : v ^ k;
		}
		prog[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0);
		memset(&a, 0, sizeof(a));
		a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
		a.insns = (uint64_t)(uintptr_t)prog;
		a.insn_cnt = n;
		a.license = (uint64_t)(uintptr_t)"GPL";
		fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
		if (fd < 0) {
			t->skipped = errno == EPERM || errno == ENOSYS;
			t->errors += !t->skipped;
			return NULL;
		}
		memset(&a, 0, sizeof(a));
		a.test.prog_fd = (uint32_t)fd;
		a.test.data_in = (uint64_t)(uintptr_t)packet;
		a.test.data_size_in = sizeof(packet);
		a.test.repeat = 1 + rnd(t) % 8;
		if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &a, sizeof(a)))
			t->errors++;
		expect(t, a.test.retval, v);
		close(fd);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct test tests[] = {
		{.name = "rwx", .run = run_rwx},     {.name = "wx", .run = run_wx},
		{.name = "alias", .run = run_alias}, {.name = "self", .run = run_self},
		{.name = "cross", .run = run_cross}, {.name = "patch", .run = run_patch},
		{.name = "int3", .run = run_int3},   {.name = "bpf", .run = run_bpf},
		{.name = "bpf", .run = run_bpf},
	};
	enum { N = sizeof(tests) / sizeof(tests[0]) };
	unsigned errors = 0;

	if (nice(10) < 0) /* who else changes code is to get a turn, too */
		return 2;
	for (unsigned i = 0; i < N; i++) {
		tests[i].seed = i * 7919 + 1;
		if (pthread_create(&tests[i].thread, NULL, tests[i].run, &tests[i]))
			return 2;
	}
	sleep(argc > 1 ? (unsigned)atoi(argv[1]) : 10);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < N; i++) {
		pthread_join(tests[i].thread, NULL);
		printf("smc %s: %llu rounds, %u errors%s\n", tests[i].name,
		       (unsigned long long)tests[i].rounds, tests[i].errors,
		       tests[i].skipped ? ", not possible here" : "");
		errors += tests[i].errors + (!tests[i].rounds && !tests[i].skipped);
	}
	printf("smc: %u errors\n", errors);
	return errors != 0;
}
