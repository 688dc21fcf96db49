/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instruction is written to a slot of the vCPU's, through another mapping than the one it is
 * executed at, and called with the guest's state in the registers.
 *
 * The host alone knows what it executes: a SIGILL from a slot that its thread is about to execute
 * says no, and the thread goes on at the slot's RET. Any other SIGILL goes where it went before.
 *
 * Refs: Intel SDM vol. 3A, "Handling Self- and Cross-Modifying Code"; sigaction(2).
 */
#include "accel/tcg/cpu/host_insn.h"

#if defined(__x86_64__)
#include "accel/tcg/cpu/xstate.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* The last slot is for host_insn_takes(). */
enum { SLOT_BYTES = 32, TRY_SLOT = TCG_MAX_VCPUS, CODE_BYTES = SLOT_BYTES * (TCG_MAX_VCPUS + 1) };
enum { RET = 0xc3, NEVER_VALID = 0x06 };

/* void host_insn_call(struct xsave_area *xs, struct host_insn *r, const void *code) and
 * void host_insn_try(const void *code, void *rcx), with whatever is in the registers. IRETQ: what
 * was just written is what is fetched. The offsets are asserted below. */
/* clang-format off */
#define REFETCH(flags) \
	"	mov %rsp, %rax\n	mov %ss, %ecx\n	mov %cs, %edx\n	lea 1f(%rip), %rsi\n" \
	"	push %rcx\n	push %rax\n	" flags "\n	push %rdx\n	push %rsi\n	iretq\n" \
	"1:\n"
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
	".globl host_insn_call\n	.hidden host_insn_call\n"
	"host_insn_call:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	sub $16, %rsp\n"
	"	mov %rdi, %rbx\n	mov %rsi, %rbp\n	mov %rdx, %r12\n"
	"	stmxcsr (%rsp)\n"
	"	mov $6, %eax\n	xor %edx, %edx\n	xrstor64 (%rbx)\n"
	ALL16(LO) ALL32(HI) ALL8(K)
	REFETCH("pushq 8(%rbp)")
	"	mov (%rbp), %rax\n	mov 16(%rbp), %rcx\n"
	"	call *%r12\n"
	"	mov %rax, (%rbp)\n	pushfq\n	popq 8(%rbp)\n"
	ALL16(LO_OUT) ALL32(HI_OUT) ALL8(K_OUT)
	"	mov $6, %eax\n	xor %edx, %edx\n	xsave64 (%rbx)\n"
	"	ldmxcsr (%rsp)\n	vzeroupper\n"
	"	add $16, %rsp\n	pop %r12\n	pop %rbp\n	pop %rbx\n	ret\n"
	".globl host_insn_try\n	.hidden host_insn_try\n"
	"host_insn_try:\n"
	"	push %rbx\n	push %rbp\n	sub $24, %rsp\n"
	"	mov %rdi, %rbx\n	mov %rsi, %rbp\n"
	"	stmxcsr (%rsp)\n	movl $0x1f80, 4(%rsp)\n	ldmxcsr 4(%rsp)\n"
	REFETCH("pushfq")
	"	mov %rbp, %rcx\n"
	"	call *%rbx\n"
	"	ldmxcsr (%rsp)\n	vzeroupper\n"
	"	add $24, %rsp\n	pop %rbp\n	pop %rbx\n	ret\n"
	".popsection\n");
/* clang-format on */
void host_insn_call(struct xsave_area *xs, struct host_insn *r, const void *code);
void host_insn_try(const void *code, void *rcx);

_Static_assert(offsetof(struct xsave_area, k) == 832 && offsetof(struct xsave_area, zmmh) == 896 &&
	       offsetof(struct xsave_area, zmm16) == 1408, "offsets in the assembler text");
_Static_assert(offsetof(struct host_insn, rflags) == 8 && offsetof(struct host_insn, rcx) == 16,
	       "offsets in the assembler text");

/* The slot that this thread is about to execute, where its RET is, and the host's answer. */
static _Thread_local struct {
	const uint8_t *volatile code; /* NULL: none */
	volatile unsigned ret_at;
	volatile bool refused;
} trial;

static struct sigaction before;

static void on_illegal(int sig, siginfo_t *info, void *context)
{
	greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	uintptr_t code = (uintptr_t)trial.code;

	if (code && info->si_code > 0 && (uintptr_t)*rip - code < SLOT_BYTES) {
		trial.refused = true;
		*rip = (greg_t)(code + trial.ret_at);
		return;
	}
	/* not ours: it comes again, or is sent again, to who had it before */
	sigaction(sig, &before, NULL);
	if (info->si_code <= 0)
		raise(sig);
}

static bool catch_illegal(void)
{
	struct sigaction sa = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGILL, NULL, &now))
		return false;
	if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_illegal)
		return true;
	before = now;
	return sigaction(SIGILL, &sa, NULL) == 0;
}

bool host_insn_create(struct tcg_vm *vm)
{
	int fd = memfd_create("mayfly-insn", MFD_CLOEXEC);
	void *rw, *rx;

	if (fd < 0)
		return false;
	if (ftruncate(fd, CODE_BYTES)) {
		close(fd);
		return false;
	}
	rw = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rx = mmap(NULL, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	vm->insn_rw = rw == MAP_FAILED ? NULL : rw;
	vm->insn_rx = rx == MAP_FAILED ? NULL : rx;
	if (vm->insn_rw && vm->insn_rx && catch_illegal())
		return true;
	host_insn_destroy(vm);
	return false;
}

void host_insn_destroy(struct tcg_vm *vm)
{
	if (vm->insn_rw)
		munmap(vm->insn_rw, CODE_BYTES);
	if (vm->insn_rx)
		munmap(vm->insn_rx, CODE_BYTES);
	vm->insn_rw = vm->insn_rx = NULL;
}

/* Fills a slot, which is the next thing that this thread executes; returns where. Should the host
 * take the RET for a part of the instruction, what follows is refused. */
static const uint8_t *begin(struct tcg_vm *vm, unsigned index, const uint8_t *bytes, unsigned n)
{
	uint8_t *slot = vm->insn_rw + index * SLOT_BYTES;

	memset(slot, NEVER_VALID, SLOT_BYTES);
	memcpy(slot, bytes, n);
	slot[n] = RET;
	trial.ret_at = n;
	trial.refused = false;
	trial.code = vm->insn_rx + index * SLOT_BYTES;
	return trial.code;
}

static bool end(void)
{
	trial.code = NULL;
	return !trial.refused;
}

bool host_insn_run(struct cpu *c, const uint8_t *bytes, unsigned n, struct host_insn *r)
{
	uint32_t mxcsr = c->xs.mxcsr;

	r->rflags = (r->rflags & X86_FL_ARITH) | 2;
	c->xs.mxcsr |= 0x1f80;
	host_insn_call(&c->xs, r, begin(c->vm, c->index, bytes, n));
	c->xs.xstate_bv = XSAVE_X87 | XSAVE_SSE | XSAVE_AVX;
	c->xs.mxcsr = mxcsr | (c->xs.mxcsr & 0x3f);
	return end();
}

bool host_insn_takes(struct tcg_vm *vm, const uint8_t *bytes, unsigned n)
{
	uint8_t scratch[64] __attribute__((aligned(64))) = {0};

	if (!vm->insn_rw)
		return false;
	host_insn_try(begin(vm, TRY_SLOT, bytes, n), scratch);
	return end();
}
#else
bool host_insn_create(struct tcg_vm *vm)
{
	return false;
}

void host_insn_destroy(struct tcg_vm *vm)
{
}

bool host_insn_run(struct cpu *c, const uint8_t *bytes, unsigned n, struct host_insn *r)
{
	return false;
}

bool host_insn_takes(struct tcg_vm *vm, const uint8_t *bytes, unsigned n)
{
	return false;
}
#endif
