/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lockstep: every block is executed by the interpreter first, on the real machine with a log of
 * its stores; then the stores are undone, the registers put back, and the translated block
 * executes. Registers, defined flags, SIMD state and the memory written must be equal, or the
 * process ends with a description.
 *
 * A debugging aid for one vCPU: slow, and other writers of the same memory would be mistaken for
 * errors. Left out: blocks with system or I/O instructions, blocks that fault, and those that
 * touch devices, whose effects cannot be undone (what the interpreter did then counts).
 */
#include "accel/tcg/jit/lockstep.h"

#include "accel/tcg/cpu/vm.h"
#include "accel/tcg/interp/interp.h"
#include "vmm/core/log.h"

#include <inttypes.h>
#include <stdlib.h>

enum { LOG_BYTES = 1 << 16, LOG_ENTRIES = 1024 };

struct regs {
	uint64_t gpr[16], rip, rflags;
	struct xsave_area xs;
};

struct lockstep {
	struct store_log log; /* first */
	bool pending;         /* a translated block runs and is to be compared */
	bool overflow;
	struct regs before, after;
	uint16_t undef; /* flags */
	unsigned n_entries, n_bytes;
	struct {
		uint8_t *host;
		unsigned len, at; /* old bytes at `at`, new ones LOG_BYTES higher */
	} entry[LOG_ENTRIES];
	uint8_t bytes[2 * LOG_BYTES];
	uint64_t n_compared, n_skipped;
};

static void before_store(struct store_log *log, struct cpu *c, gpaddr gpa, uint8_t *host,
			 unsigned len)
{
	struct lockstep *l = (struct lockstep *)log;

	if (l->n_entries == LOG_ENTRIES || l->n_bytes + len > LOG_BYTES) {
		l->overflow = true;
		return;
	}
	l->entry[l->n_entries].host = host;
	l->entry[l->n_entries].len = len;
	l->entry[l->n_entries++].at = l->n_bytes;
	memcpy(l->bytes + l->n_bytes, host, len);
	l->n_bytes += len;
}

struct lockstep *lockstep_create(void)
{
	struct lockstep *l = calloc(1, sizeof(*l));

	if (l)
		l->log.before = before_store;
	return l;
}

void lockstep_destroy(struct lockstep *l)
{
	if (l)
		log_info(NULL, "jit: lockstep: %" PRIu64 " blocks compared, %" PRIu64 " not",
			 l->n_compared, l->n_skipped);
	free(l);
}

void lockstep_forget(struct lockstep *l)
{
	if (l)
		l->pending = false;
}

static void regs_save(const struct cpu *c, struct regs *r)
{
	memcpy(r->gpr, c->gpr, sizeof(r->gpr));
	r->rip = c->rip;
	r->rflags = c->rflags;
	r->xs = c->xs;
}

static void regs_load(struct cpu *c, const struct regs *r)
{
	memcpy(c->gpr, r->gpr, sizeof(r->gpr));
	c->rip = r->rip;
	c->rflags = r->rflags;
	c->xs = r->xs;
}

/* What the interpreter cannot do twice, or would do differently. */
static bool unfit(const struct x86_insn *in, uint16_t undef)
{
	if (in->op == X86_INS || in->op == X86_OUTS || in->op == X86_POPF || in->op == X86_INT ||
	    in->op == X86_INT3 || in->op == X86_RCPPS || in->op == X86_RCPSS ||
	    in->op == X86_RSQRTPS || in->op == X86_RSQRTSS || in->op == X86_RDRAND ||
	    in->op == X86_RDSEED || in->op == X86_POPSEG || in->op == X86_IRET)
		return true;
	if (in->fl_read & undef)
		return true;
	if (in->cls == X86_CL_CTI)
		return !(in->op == X86_JMP || in->op == X86_JCC || in->op == X86_CALL ||
			 in->op == X86_RET || in->op == X86_JRCXZ || in->op == X86_LOOP ||
			 in->op == X86_LOOPE || in->op == X86_LOOPNE);
	return in->cls == X86_CL_PRIV || (in->cls == X86_CL_OTHER && in->op != X86_LFENCE);
}

static bool decode(struct cpu *c, uint64_t pc, struct x86_insn *in)
{
	const uint8_t *host;
	uint8_t bytes[X86_MAX_INSN_BYTES];
	unsigned n = 4096 - (pc & 0xfff);

	if (n > sizeof(bytes))
		n = sizeof(bytes);
	mmu_fetch(c, pc, &host);
	if (!host)
		return false;
	memcpy(bytes, host, n);
	if (x86_decode(bytes, n, cpu_code_mode(c), in) != X86_DECODE_OK)
		return false;
	if (!c->vm->has[in->feature])
		x86_plain_scan(in);
	return true;
}

/* Whether every instruction of the block can be replayed. */
static bool fit(struct cpu *c, const uint16_t *path, unsigned n)
{
	uint16_t undef = 0;
	struct x86_insn in;

	for (unsigned i = 0; i < n; i++) {
		if (!decode(c, (c->rip & ~0xfffull) + path[i], &in) || unfit(&in, undef))
			return false;
		undef = (uint16_t)((undef & ~in.fl_written) | in.fl_undef);
	}
	return true;
}

/* Executes what the block will execute; false if it raised. */
static bool replay(struct cpu *c, struct lockstep *l, const uint16_t *path, unsigned n)
{
	jmp_buf *outer = c->fault_jmp, here;
	struct x86_insn in;

	c->log = &l->log;
	c->fault_jmp = &here;
	if (setjmp(here)) {
		c->log = NULL;
		c->fault_jmp = outer;
		return false;
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t page = c->rip & ~0xfffull;

		if (!decode(c, c->rip, &in))
			break;
		interp_exec(c, &in);
		l->undef = (uint16_t)((l->undef & ~in.fl_written) | in.fl_undef);
		if (i + 1 == n || c->rip != page + path[i + 1])
			break;
	}
	c->log = NULL;
	c->fault_jmp = outer;
	return true;
}

static void undo(struct lockstep *l)
{
	for (unsigned i = 0; i < l->n_entries; i++)
		memcpy(l->bytes + LOG_BYTES + l->entry[i].at, l->entry[i].host, l->entry[i].len);
	for (unsigned i = l->n_entries; i--;)
		memcpy(l->entry[i].host, l->bytes + l->entry[i].at, l->entry[i].len);
}

bool lockstep_before(struct cpu *c, struct lockstep *l, const uint16_t *path, unsigned n)
{
	uint64_t mmio = c->n_mmio;

	l->n_entries = l->n_bytes = 0;
	l->undef = 0;
	l->overflow = false;
	regs_save(c, &l->before);
	if (!fit(c, path, n)) {
		l->n_skipped++;
		return true;
	}
	if (!replay(c, l, path, n)) {
		if (!l->overflow && mmio == c->n_mmio) {
			undo(l);
			regs_load(c, &l->before);
		}
		l->n_skipped++;
		return true;
	}
	if (l->overflow || mmio != c->n_mmio) {
		l->n_skipped++;
		return false; /* done already */
	}
	regs_save(c, &l->after);
	undo(l);
	regs_load(c, &l->before);
	l->pending = true;
	return true;
}

static void fail(struct cpu *c, struct lockstep *l, const char *what, uint64_t want, uint64_t got)
{
	log_error(NULL, "jit: lockstep: block at %#" PRIx64 ": %s is %#" PRIx64
		  ", should be %#" PRIx64, l->before.rip, what, got, want);
	for (unsigned i = 0; i < 16; i++)
		log_error(NULL, "jit: lockstep: r%u: before %#" PRIx64 ", interpreted %#" PRIx64
			  ", translated %#" PRIx64, i, l->before.gpr[i], l->after.gpr[i],
			  c->gpr[i]);
	for (uint64_t pc = l->before.rip; pc < l->before.rip + 200;) {
		struct x86_insn in;
		char text[100];

		if (!decode(c, pc, &in))
			break;
		log_error(NULL, "jit: lockstep: %#" PRIx64 " %s", pc,
			  x86_format(&in, pc, text, sizeof(text)));
		pc += in.len;
		if (in.cls == X86_CL_CTI && in.op != X86_JCC)
			break;
	}
	abort();
}

static bool simd_equal(struct xsave_area a, struct xsave_area b)
{
	a.fop = b.fop = 0;
	a.fip = b.fip = a.fdp = b.fdp = 0;
	a.xstate_bv = b.xstate_bv = 0;
	a.mxcsr_mask = b.mxcsr_mask = 0;
	for (unsigned i = 0; i < 8; i++) {
		memset(a.st[i] + 10, 0, 6);
		memset(b.st[i] + 10, 0, 6);
	}
	return !memcmp(&a, &b, sizeof(a));
}

void lockstep_after(struct cpu *c, struct lockstep *l)
{
	static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					      "rsi", "rdi", "r8",  "r9",  "r10", "r11",
					      "r12", "r13", "r14", "r15"};
	uint64_t mask = X86_FL_ARITH & ~(uint64_t)l->undef;

	if (!l->pending)
		return;
	l->pending = false;
	/* A request was found before the block began. */
	if (c->rip == l->before.rip && l->after.rip != c->rip &&
	    !memcmp(c->gpr, l->before.gpr, sizeof(c->gpr)))
		return;
	l->n_compared++;
	if (c->rip != l->after.rip)
		fail(c, l, "rip", l->after.rip, c->rip);
	for (unsigned i = 0; i < 16; i++)
		if (c->gpr[i] != l->after.gpr[i])
			fail(c, l, names[i], l->after.gpr[i], c->gpr[i]);
	if ((c->rflags ^ l->after.rflags) & (mask | X86_FL_DF | X86_FL_IF))
		fail(c, l, "rflags", l->after.rflags, c->rflags);
	if (!simd_equal(c->xs, l->after.xs))
		fail(c, l, "SIMD state", l->after.xs.fsw, c->xs.fsw);
	for (unsigned i = l->n_entries; i--;)
		for (unsigned k = 0; k < l->entry[i].len; k++) {
			uint8_t want = l->bytes[LOG_BYTES + l->entry[i].at + k];

			if (l->entry[i].host[k] != want)
				fail(c, l, "a byte in memory", want, l->entry[i].host[k]);
		}
}
