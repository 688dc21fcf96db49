/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stub that gives one instruction all registers, and the signal handler for its faults.
 *
 * With all registers taken, the stub refers to its data by absolute addresses: registers before
 * and after, its own stack pointer, a small stack, two XSAVE areas. After a fault the handler goes
 * to the stub's last part.
 */
#include "native_host.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { FP_XSTATE_MAGIC = 0x46505853 };

/* The software-reserved bytes of the FXSAVE image in a signal frame (Linux uapi sigcontext.h). */
struct frame_info {
	uint32_t magic, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size;
};

/* At NATIVE_STUB_DATA; the offsets are in the stub, too. */
struct stub_data {
	uint64_t gpr_in[16]; /* 0x000 */
	uint64_t rflags_in;  /* 0x080 */
	uint64_t entry;      /* 0x088 */
	uint64_t own_rsp;    /* 0x090 */
	const void *exit;    /* 0x098 */
	uint32_t own_mxcsr;  /* 0x0a0 */
	uint16_t own_fcw;    /* 0x0a4 */
	uint8_t wide;        /* 0x0a6: AVX-512 state, too */
	uint8_t pad0[0x100 - 0xa7];
	uint64_t gpr_out[16]; /* 0x100 */
	uint64_t rflags_out;  /* 0x180 */
	uint8_t pad1[0x400 - 0x188]; /* the stack: 0x300 downwards */
	struct xsave_area xs_in;  /* 0x400 */
	uint8_t pad2[0xc00 - sizeof(struct xsave_area)];
	struct xsave_area xs_out; /* 0x1000 */
};

/* clang-format off */
/* AVX-512 state where struct xsave_area has it. */
#define LO(n) "vinserti64x4 $1, 896+32*" #n "(%rbx), %zmm" #n ", %zmm" #n "\n"
#define LO_OUT(n) "vextracti64x4 $1, %zmm" #n ", 896+32*" #n "(%rbx)\n"
#define HI(n) "vmovdqu64 1408+64*(" #n "-16)(%rbx), %zmm" #n "\n"
#define HI_OUT(n) "vmovdqu64 %zmm" #n ", 1408+64*(" #n "-16)(%rbx)\n"
#define K(n) "kmovq 832+8*" #n "(%rbx), %k" #n "\n"
#define K_OUT(n) "kmovq %k" #n ", 832+8*" #n "(%rbx)\n"
#define ALL8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define ALL16(X) ALL8(X) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define ALL32(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) \
	X(29) X(30) X(31)
__asm__(
	".pushsection .text\n"
	".globl native_stub, native_stub_exit, native_stub_back, native_serialize\n"
	"native_stub:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, 0x3a5b7090\n"
	"	stmxcsr 0x3a5b70a0\n"
	"	fnstcw 0x3a5b70a4\n"
	"	mov $7, %eax\n	xor %edx, %edx\n"
	"	xrstor 0x3a5b7400\n"
	"	cmpb $0, 0x3a5b70a6\n	je 2f\n	mov $0x3a5b7400, %ebx\n"
	ALL16(LO) ALL32(HI) ALL8(K)
	"2:\n"
	"	mov $0x3a5b7300, %esp\n"
	"	pushq 0x3a5b7080\n	popfq\n"
	"	mov 0x3a5b7000, %rax\n	mov 0x3a5b7008, %rcx\n"
	"	mov 0x3a5b7010, %rdx\n	mov 0x3a5b7018, %rbx\n"
	"	mov 0x3a5b7020, %rsp\n	mov 0x3a5b7028, %rbp\n"
	"	mov 0x3a5b7030, %rsi\n	mov 0x3a5b7038, %rdi\n"
	"	mov 0x3a5b7040, %r8\n	mov 0x3a5b7048, %r9\n"
	"	mov 0x3a5b7050, %r10\n	mov 0x3a5b7058, %r11\n"
	"	mov 0x3a5b7060, %r12\n	mov 0x3a5b7068, %r13\n"
	"	mov 0x3a5b7070, %r14\n	mov 0x3a5b7078, %r15\n"
	"	jmp *0x3a5b7088\n"
	"native_stub_exit:\n"
	"	mov %rax, 0x3a5b7100\n	mov %rcx, 0x3a5b7108\n"
	"	mov %rdx, 0x3a5b7110\n	mov %rbx, 0x3a5b7118\n"
	"	mov %rsp, 0x3a5b7120\n	mov %rbp, 0x3a5b7128\n"
	"	mov %rsi, 0x3a5b7130\n	mov %rdi, 0x3a5b7138\n"
	"	mov %r8, 0x3a5b7140\n	mov %r9, 0x3a5b7148\n"
	"	mov %r10, 0x3a5b7150\n	mov %r11, 0x3a5b7158\n"
	"	mov %r12, 0x3a5b7160\n	mov %r13, 0x3a5b7168\n"
	"	mov %r14, 0x3a5b7170\n	mov %r15, 0x3a5b7178\n"
	"	mov $0x3a5b7300, %esp\n"
	"	pushfq\n	popq 0x3a5b7180\n"
	"	pushq $2\n	popfq\n"
	"	mov $7, %eax\n	xor %edx, %edx\n"
	"	xsave 0x3a5b8000\n"
	"	cmpb $0, 0x3a5b70a6\n	je 2f\n	mov $0x3a5b8000, %ebx\n"
	ALL16(LO_OUT) ALL32(HI_OUT) ALL8(K_OUT)
	"2:\n"
	"native_stub_back:\n"
	"	mov 0x3a5b7090, %rsp\n"
	"	fninit\n	fldcw 0x3a5b70a4\n	ldmxcsr 0x3a5b70a0\n	vzeroupper\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n"
	"native_serialize:\n" /* before executing what was written through another mapping */
	"	mov %rsp, %rax\n	mov %ss, %ecx\n	mov %cs, %edx\n	lea 1f(%rip), %rsi\n"
	"	push %rcx\n	push %rax\n	pushfq\n	push %rdx\n	push %rsi\n	iretq\n"
	"1:	ret\n"
	".popsection\n");
/* clang-format on */
void native_stub(void);
void native_serialize(void);
extern const uint8_t native_stub_exit[], native_stub_back[];

static struct {
	enum { PHASE_NONE, PHASE_RUN, PHASE_PROBE } phase;
	struct native_state *after;
	uint32_t fp_bytes; /* of the frame's state; 0: no AVX in it */
	uint8_t *code;
	unsigned len; /* of the instruction */
	struct stub_data *stub;
} host;

static const int greg_of[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static bool is_breakpoint(uint64_t rip)
{
	return rip >= NATIVE_CODE && rip < NATIVE_CODE + 4096 && host.code[rip - NATIVE_CODE] == 0xcc;
}

/* Components in their initial state need not have been written. */
static void fill_initial(struct xsave_area *xs, uint64_t bv)
{
	if (!(bv & 1)) {
		memset(xs, 0, 24);
		memset(xs->st, 0, sizeof(xs->st));
		xs->fcw = 0x37f;
	}
	if (!(bv & 2))
		memset(xs->xmm, 0, sizeof(xs->xmm));
	if (!(bv & 4))
		memset(xs->ymmh, 0, sizeof(xs->ymmh));
}

/* A component of a signal frame, where the host has it. */
static void get_part(const uint8_t *fp, uint64_t bv, unsigned k, void *to, unsigned n)
{
	uint32_t size, at, c, d;

	memset(to, 0, n);
	__cpuid_count(0xd, k, size, at, c, d);
	if (bv >> k & 1 && size == n)
		memcpy(to, fp + at, n);
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
	memcpy(&bv, fp + 512, 8);
	fill_initial(&a->xs, bv);
	if (host.stub->wide) {
		get_part(fp, bv, 5, a->xs.k, sizeof(a->xs.k));
		get_part(fp, bv, 6, a->xs.zmmh, sizeof(a->xs.zmmh));
		get_part(fp, bv, 7, a->xs.zmm16, sizeof(a->xs.zmm16));
	}
	if (a->vector == X86_EXC_BP) {
		a->vector = NATIVE_NO_FAULT;
		a->rip--;
	} else if (a->vector == X86_EXC_UD && is_breakpoint(a->rip)) {
		/* Some virtual machines cannot deliver a breakpoint while rsp is not canonical. */
		a->vector = NATIVE_NO_FAULT;
	}
	g[REG_RIP] = (greg_t)(uintptr_t)native_stub_back;
	g[REG_RSP] = (greg_t)host.stub->own_rsp;
	g[REG_EFL] = 2;
	host.phase = PHASE_NONE;
}

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;
	struct frame_info fi;

	/* The kernel leaves AC set. */
	__asm__ volatile("pushfq\n\tandl $~0x40000, (%%rsp)\n\tpopfq" ::: "memory", "cc");
	switch (host.phase) {
	case PHASE_RUN:
		leave(uc);
		return;
	case PHASE_PROBE:
		memcpy(&fi, (uint8_t *)uc->uc_mcontext.fpregs + 464, sizeof(fi));
		if (fi.magic == FP_XSTATE_MAGIC && (fi.xfeatures & 7) == 7)
			host.fp_bytes = fi.extended_size;
		host.stub->wide = (fi.xfeatures & 0xe0) == 0xe0;
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
	void *data, *code, *want_stub = (void *)(uintptr_t)NATIVE_STUB_DATA;

	if (fd < 0 || ftruncate(fd, 4096))
		return false;
	data = mmap(want_data, NATIVE_DATA_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	code = mmap(want_code, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	host.code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	host.stub = mmap(want_stub, sizeof(*host.stub), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	close(fd);
	if (host.stub != want_stub)
		return false;
	host.stub->exit = native_stub_exit;
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

void native_set_code(const uint8_t *bytes, unsigned n, bool branches)
{
	/* jmp [NATIVE_STUB_DATA + 0x98] */
	static const uint8_t out[7] = { 0xff, 0x24, 0x25, 0x98, 0x70, 0x5b, 0x3a };
	uint8_t *at = host.code + (NATIVE_INSN - NATIVE_CODE);

	host.len = n;
	memcpy(at, bytes, n);
	memset(at + n, 0xcc, 24);
	if (!branches)
		memcpy(at + n, out, sizeof(out));
	native_serialize();
}

void native_run(const struct native_state *before, struct native_state *after)
{
	struct stub_data *s = host.stub;

	memcpy(s->gpr_in, before->gpr, sizeof(s->gpr_in));
	s->rflags_in = before->rflags;
	s->entry = before->rip;
	memcpy(&s->xs_in, &before->xs, sizeof(s->xs_in));
	s->xs_in.xstate_bv = 7;
	host.after = after;
	host.phase = PHASE_RUN;
	native_stub();
	if (host.phase == PHASE_NONE)
		return;
	host.phase = PHASE_NONE;
	memcpy(after->gpr, s->gpr_out, sizeof(after->gpr));
	after->rflags = s->rflags_out;
	after->rip = before->rip + host.len;
	after->xs = s->xs_out;
	fill_initial(&after->xs, s->xs_out.xstate_bv);
	after->vector = NATIVE_NO_FAULT;
	after->error = 0;
	after->cr2 = 0;
}

bool native_has_wide(void)
{
	return host.stub->wide;
}

uint64_t native_fs_base(void)
{
	uint64_t base = 0;

	syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
	return base;
}
