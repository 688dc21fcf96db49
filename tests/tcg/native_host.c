/* SPDX-License-Identifier: Apache-2.0 */
#include "native_host.h"

#include <asm/prctl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { FRAME_BYTES = 16384, FP_XSTATE_MAGIC = 0x46505853 };

/* The software-reserved bytes of the FXSAVE image in a signal frame (Linux uapi sigcontext.h). */
struct frame_info {
	uint32_t magic, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size;
};

static struct {
	enum { PHASE_NONE, PHASE_ENTER, PHASE_LEAVE, PHASE_PROBE } phase;
	const struct native_state *before;
	struct native_state *after;
	greg_t own_gregs[NGREG];
	uint8_t own_fp[FRAME_BYTES];
	uint32_t fp_bytes; /* of the frame's state; 0: no AVX in it */
	uint8_t *code;
} host;

static const int greg_of[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void enter(ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
	const struct native_state *b = host.before;
	uint64_t bv;

	memcpy(host.own_gregs, g, sizeof(host.own_gregs));
	memcpy(host.own_fp, fp, host.fp_bytes);
	for (unsigned i = 0; i < 16; i++)
		g[greg_of[i]] = (greg_t)b->gpr[i];
	g[REG_RIP] = (greg_t)b->rip;
	g[REG_EFL] = (greg_t)b->rflags;
	/* legacy area but for what the kernel keeps in it, then header and upper halves */
	memcpy(fp, &b->xs, 24);
	memcpy(fp + 24, &b->xs.mxcsr, 4);
	memcpy(fp + 32, b->xs.st, sizeof(b->xs.st) + sizeof(b->xs.xmm));
	memcpy(&bv, fp + 512, 8);
	bv |= 7;
	memcpy(fp + 512, &bv, 8);
	memcpy(fp + 576, b->xs.ymmh, sizeof(b->xs.ymmh));
	host.phase = PHASE_LEAVE;
}

static bool is_breakpoint(uint64_t rip)
{
	return rip >= NATIVE_CODE && rip < NATIVE_CODE + 4096 && host.code[rip - NATIVE_CODE] == 0xcc;
}

static void leave(ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
	struct native_state *a = host.after;
	uint64_t bv;

	for (unsigned i = 0; i < 16; i++)
		a->gpr[i] = (uint64_t)g[greg_of[i]];
	a->rip = (uint64_t)g[REG_RIP];
	a->rflags = (uint64_t)g[REG_EFL];
	a->vector = (int)g[REG_TRAPNO];
	a->error = (uint32_t)g[REG_ERR];
	a->cr2 = (uint64_t)g[REG_CR2];
	memcpy(&a->xs, fp, offsetof(struct xsave_area, rsvd1));
	memcpy(a->xs.ymmh, fp + 576, sizeof(a->xs.ymmh));
	/* components in their initial state need not have been written */
	memcpy(&bv, fp + 512, 8);
	if (!(bv & 1)) {
		memset(&a->xs, 0, 24);
		memset(a->xs.st, 0, sizeof(a->xs.st));
		a->xs.fcw = 0x37f;
	}
	if (!(bv & 2))
		memset(a->xs.xmm, 0, sizeof(a->xs.xmm));
	if (!(bv & 4))
		memset(a->xs.ymmh, 0, sizeof(a->xs.ymmh));
	if (a->vector == X86_EXC_BP) {
		a->vector = NATIVE_NO_FAULT;
		a->rip--;
	} else if (a->vector == X86_EXC_UD && is_breakpoint(a->rip)) {
		/* Some virtual machines cannot deliver a breakpoint while rsp is not canonical. */
		a->vector = NATIVE_NO_FAULT;
	}
	memcpy(g, host.own_gregs, sizeof(host.own_gregs));
	memcpy(fp, host.own_fp, host.fp_bytes);
	host.phase = PHASE_NONE;
}

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;
	struct frame_info fi;

	switch (host.phase) {
	case PHASE_ENTER:
		enter(uc);
		return;
	case PHASE_LEAVE:
		leave(uc);
		return;
	case PHASE_PROBE:
		memcpy(&fi, (uint8_t *)uc->uc_mcontext.fpregs + 464, sizeof(fi));
		if (fi.magic == FP_XSTATE_MAGIC && (fi.xfeatures & 7) == 7 &&
		    fi.extended_size <= FRAME_BYTES)
			host.fp_bytes = fi.extended_size;
		host.phase = PHASE_NONE;
		return;
	default: /* a fault of the test program itself */
		signal(sig, SIG_DFL);
		return;
	}
}

static bool map_pages(void)
{
	int fd = memfd_create("code", MFD_CLOEXEC);
	void *want_data = (void *)(uintptr_t)NATIVE_DATA, *want_code = (void *)(uintptr_t)NATIVE_CODE;
	void *data, *code;

	if (fd < 0 || ftruncate(fd, 4096))
		return false;
	data = mmap(want_data, NATIVE_DATA_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	code = mmap(want_code, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	host.code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (data != want_data || code != want_code || host.code == MAP_FAILED)
		return false;
	memset(host.code, 0xcc, 4096);
	return true;
}

bool native_init(void)
{
	static const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t ss = { .ss_size = 65536 };

	ss.ss_sp = malloc(ss.ss_size);
	if (!ss.ss_sp || !map_pages() || sigaltstack(&ss, NULL))
		return false;
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], &sa, NULL))
			return false;
	host.phase = PHASE_PROBE;
	__asm__ volatile("int3" ::: "memory");
	return host.fp_bytes != 0;
}

void native_set_code(const uint8_t *bytes, unsigned n)
{
	uint8_t *at = host.code + (NATIVE_INSN - NATIVE_CODE);

	memcpy(at, bytes, n);
	memset(at + n, 0xcc, 16);
}

void native_run(const struct native_state *before, struct native_state *after)
{
	host.before = before;
	host.after = after;
	host.phase = PHASE_ENTER;
	__asm__ volatile("int3" ::: "memory");
}

uint64_t native_fs_base(void)
{
	uint64_t base = 0;

	syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
	return base;
}
