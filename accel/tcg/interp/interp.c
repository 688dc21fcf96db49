/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter's outer part: dispatch by operation, the checks that belong to whole families
 * (CPUID features, #NM and #UD of x87, MMX, SSE and AVX), fetch and decode with a small cache of
 * decoded instructions, single-step and breakpoints.
 *
 * The dispatch table is filled once, by whichever thread is first, from the tables of the family
 * files, and is constant afterwards.
 *
 * Fetch. The decode cache is keyed by linear address and code mode and verified against the bytes
 * in memory each time, so it needs no invalidation. Code outside RAM, or whose bytes reach the
 * next page, is fetched byte by byte and decoded each time. The host address of the last page is
 * kept: a local APIC page moved onto code that is running is noticed late.
 *
 * Refs: Intel SDM vol. 3A, "Debug Registers", "Debug Exceptions"; "Exception Conditions" of
 * vol. 2; AMD APM vol. 2, "Breakpoints".
 */
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/cpu/vm.h"
#include "accel/tcg/interp/ea.h"
#include "accel/tcg/interp/flags.h"
#include "accel/tcg/interp/tables.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum gate { /* which state an operation needs */
	GATE_NONE,
	GATE_X87,   /* #NM by TS or EM */
	GATE_WAIT,  /* #NM by TS and MP */
	GATE_VEC,   /* MMX, SSE or AVX, by its operands */
	GATE_XSAVE, /* #UD without CR4.OSXSAVE, #NM by TS */
};

static struct {
	interp_fn *fn[X86_N_OPS];
	uint8_t gate[X86_N_OPS];
} dispatch;
static pthread_once_t dispatch_once = PTHREAD_ONCE_INIT;
static _Atomic bool dispatch_ready;

static void add_rows(const struct interp_row *rows, enum gate gate)
{
	for (; rows->fn; rows++) {
		dispatch.fn[rows->op] = rows->fn;
		dispatch.gate[rows->op] = (uint8_t)gate;
	}
}

static void dispatch_init(void)
{
	add_rows(interp_rows_alu, GATE_NONE);
	add_rows(interp_rows_shift, GATE_NONE);
	add_rows(interp_rows_bits, GATE_NONE);
	add_rows(interp_rows_muldiv, GATE_NONE);
	add_rows(interp_rows_bcd, GATE_NONE);
	add_rows(interp_rows_mov, GATE_NONE);
	add_rows(interp_rows_stack, GATE_NONE);
	add_rows(interp_rows_flow, GATE_NONE);
	add_rows(interp_rows_string, GATE_NONE);
	add_rows(interp_rows_system, GATE_NONE);
	add_rows(interp_rows_desc, GATE_NONE);
	add_rows(interp_rows_cache, GATE_NONE);
	add_rows(interp_rows_x87, GATE_X87);
	add_rows(interp_rows_sse, GATE_VEC);
	add_rows(interp_rows_sse_fp, GATE_VEC);
	add_rows(interp_rows_avx, GATE_VEC);
	add_rows(interp_rows_crypto, GATE_VEC);
	add_rows(interp_rows_xsave, GATE_XSAVE);
	dispatch.gate[X86_FWAIT] = GATE_WAIT;
	dispatch.gate[X86_EMMS] = GATE_VEC;
	dispatch.gate[X86_FXSAVE] = dispatch.gate[X86_FXRSTOR] = GATE_X87;
	dispatch.gate[X86_LDMXCSR] = dispatch.gate[X86_STMXCSR] = GATE_VEC;
	atomic_store_explicit(&dispatch_ready, true, memory_order_release);
}

/* Instructions that are there whatever the CPU model says: hints, and the hypercalls, of which
 * guests choose one by vendor and not by feature bit. */
static bool always_there(unsigned op)
{
	return op == X86_VMCALL || op == X86_VMMCALL || op == X86_ENDBR32 || op == X86_ENDBR64 ||
	       op == X86_NOP || op == X86_PREFETCHW || op == X86_PREFETCH;
}

/* An instruction whose only vector registers are MMX registers. */
static bool is_mmx(const struct x86_insn *in)
{
	bool mmx = in->op == X86_EMMS;

	for (unsigned i = 0; i < in->n_opnds && i < 4; i++) {
		if (in->opnd[i].kind != X86_OPND_REG)
			continue;
		if (in->opnd[i].rc == X86_RC_VEC)
			return false;
		mmx = mmx || in->opnd[i].rc == X86_RC_MMX;
	}
	return mmx;
}

static void check_gate(struct cpu *c, const struct x86_insn *in, enum gate gate)
{
	bool ud = false, nm = false;

	switch (gate) {
	case GATE_NONE:
		break;
	case GATE_X87:
		nm = c->mode & MODE_FPU_NM;
		break;
	case GATE_WAIT:
		nm = c->mode & MODE_MP_NM;
		break;
	case GATE_VEC:
		if (in->op == X86_AVX512)
			ud = c->mode & MODE_EVEX_UD;
		else if (in->attr & X86_AT_VEX)
			ud = c->mode & MODE_AVX_UD;
		else if (is_mmx(in))
			ud = c->cr0 & X86_CR0_EM;
		else
			ud = c->mode & MODE_SSE_UD;
		nm = c->mode & MODE_SSE_NM;
		break;
	case GATE_XSAVE:
		ud = !(c->cr4 & X86_CR4_OSXSAVE);
		nm = c->mode & MODE_SSE_NM;
		break;
	}
	if (ud)
		cpu_raise(c, X86_EXC_UD);
	if (nm)
		cpu_raise(c, X86_EXC_NM);
}

bool interp_has(unsigned op)
{
	pthread_once(&dispatch_once, dispatch_init);
	return op < X86_N_OPS && dispatch.fn[op];
}

void interp_exec(struct cpu *c, const struct x86_insn *in)
{
	uint64_t next = c->rip + in->len;
	struct x86_insn plain;
	interp_fn *fn;
	enum gate gate;

	if (!atomic_load_explicit(&dispatch_ready, memory_order_acquire))
		pthread_once(&dispatch_once, dispatch_init);
	if (!c->vm->has[in->feature] && (in->op == X86_TZCNT || in->op == X86_LZCNT)) {
		plain = *in;
		x86_plain_scan(&plain);
		in = &plain;
	}
	fn = dispatch.fn[in->op];
	gate = dispatch.gate[in->op];
	if (!fn || (!c->vm->has[in->feature] && !always_there(in->op)))
		cpu_raise(c, X86_EXC_UD);
	/* VEX encodings exist in protected mode only. */
	if (in->attr & X86_AT_VEX && (!(c->mode & MODE_PE) || c->mode & MODE_VM86))
		cpu_raise(c, X86_EXC_UD);
	if (gate != GATE_NONE)
		check_gate(c, in, gate);
	c->next_rip = c->mode & MODE_CS64   ? next
		      : c->mode & MODE_CS32 ? (uint32_t)next
					    : (uint16_t)next;
	/* RF covers one instruction; IRET and task switches load a new one in their handlers. */
	c->rflags &= ~(uint64_t)X86_FL_RF;
	fn(c, in);
	c->rip = c->next_rip;
}

/* --- fetch --- */

enum { CACHE_BITS = 13 };

struct interp_cache {
	/* The page that code was last fetched from: where it is on the host does not change. */
	gpaddr page_gpa;
	const uint8_t *page_host;
	struct cache_line {
		uint64_t la;
		uint8_t mode; /* enum x86_mode */
		bool valid;
		struct x86_insn in;
	} line[1 << CACHE_BITS];
};

int interp_cache_create(struct cpu *c)
{
	c->icache = calloc(1, sizeof(*c->icache));
	if (!c->icache)
		return -ENOMEM;
	c->icache->page_gpa = ~0ull;
	return 0;
}

void interp_cache_destroy(struct cpu *c)
{
	free(c->icache);
	c->icache = NULL;
}

/* Decodes at la without cache; room: bytes up to the segment's limit. */
static void decode_slow(struct cpu *c, gvaddr la, uint64_t room, struct x86_insn *in)
{
	uint8_t buf[X86_MAX_INSN_BYTES];
	const uint8_t *host;
	unsigned n = mmu_fetch_insn(c, la, buf);
	bool limited = n >= room;

	if (limited)
		n = (unsigned)room;
	switch (x86_decode(buf, n, cpu_code_mode(c), in)) {
	case X86_DECODE_OK:
		return;
	case X86_DECODE_INVALID:
		cpu_raise(c, X86_EXC_UD);
	case X86_DECODE_TOO_LONG:
		cpu_raise_gp0(c);
	case X86_DECODE_TRUNCATED:
		break;
	}
	/* More bytes are wanted than can be had: limit, non-canonical address, or a fault. */
	if (limited || !interp_canonical(la + n))
		cpu_raise_gp0(c);
	mmu_fetch(c, la + n, &host);
	cpu_raise_page_fault(c, la + n, PF_I); /* fetchable, but was not a moment ago: try again */
}

/* Host bytes of the instruction at la, or NULL outside RAM; as mmu_fetch(). */
static const uint8_t *fetch_host(struct cpu *c, gvaddr la)
{
	const struct itlb_entry *t = &c->itlb[c->cpl == 3][la >> 12 & (ITLB_ENTRIES - 1)];
	struct interp_cache *ic = c->icache;
	const uint8_t *host;
	gpaddr gpa;

	if (t->tag == (la & ~0xfffull) && t->gpa == ic->page_gpa)
		return ic->page_host + (la & 0xfff);
	gpa = mmu_fetch(c, la, &host);
	if (host) {
		ic->page_gpa = gpa & ~0xfffull;
		ic->page_host = host - (gpa & 0xfff);
	}
	return host;
}

/* Whether the first len (1..15) of two times 15 readable bytes are equal. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, unsigned len)
{
	uint64_t x, y;

	memcpy(&x, a, 8);
	memcpy(&y, b, 8);
	if (len < 8)
		return !((x ^ y) & interp_mask(len));
	if (x != y)
		return false;
	memcpy(&x, a + len - 8, 8);
	memcpy(&y, b + len - 8, 8);
	return x == y;
}

static const struct x86_insn *fetch_decode(struct cpu *c, struct x86_insn *buf)
{
	enum x86_mode mode = cpu_code_mode(c);
	struct cache_line *line;
	const uint8_t *host;
	uint64_t la = c->rip, room = ~0ull;
	uint8_t bytes[X86_MAX_INSN_BYTES];
	unsigned n;

	if (mode == X86_MODE64) {
		if (!interp_canonical(la))
			cpu_raise_gp0(c);
	} else {
		if (c->rip > c->seg[X86_CS].limit)
			cpu_raise_gp0(c);
		room = c->seg[X86_CS].limit - c->rip + 1;
		la = (uint32_t)(la + c->seg[X86_CS].base);
	}
	if (!c->icache)
		goto slow;
	host = fetch_host(c, la);
	n = 4096 - (la & 0xfff);
	if (!host || n < X86_MAX_INSN_BYTES || room < X86_MAX_INSN_BYTES)
		goto slow;
	line = &c->icache->line[(la ^ la >> CACHE_BITS) & ((1 << CACHE_BITS) - 1)];
	if (line->valid && line->la == la && line->mode == mode &&
	    same_bytes(line->in.bytes, host, line->in.len))
		return &line->in;
	/* Other vCPUs may be writing these bytes: decode what the cache line will hold. */
	line->valid = false;
	memcpy(bytes, host, sizeof(bytes));
	switch (x86_decode(bytes, sizeof(bytes), mode, &line->in)) {
	case X86_DECODE_OK:
		memcpy(line->in.bytes, bytes, line->in.len);
		line->la = la;
		line->mode = (uint8_t)mode;
		line->valid = true;
		return &line->in;
	default:
		goto slow;
	}
slow:
	decode_slow(c, la, room, buf);
	return buf;
}

/* --- debug --- */

/* An instruction breakpoint at la: a fault, before anything else of the instruction. */
static void check_code_breakpoint(struct cpu *c)
{
	uint64_t la = c->rip + (c->mode & MODE_CS64 ? 0 : c->seg[X86_CS].base);
	uint64_t dr7 = c->dr[7], hits = 0;

	if (!(c->mode & MODE_CS64))
		la = (uint32_t)la;
	for (unsigned i = 0; i < 4; i++)
		if (dr7 >> (i * 2) & 3 && !(dr7 >> (16 + i * 4) & 15) && c->dr[i] == la)
			hits |= 1u << i;
	if (!hits || c->rflags & X86_FL_RF)
		return;
	/* With what a MOV SS before it left pending. */
	if (c->inhibit_irq)
		hits |= c->db_hits;
	c->db_hits = 0;
	c->dr[6] = (c->dr[6] & ~0xfull) | hits;
	cpu_raise(c, X86_EXC_DB);
}

static bool loads_ss(const struct x86_insn *in)
{
	return (in->op == X86_MOVSEG || in->op == X86_POPSEG) &&
	       in->opnd[0].kind == X86_OPND_REG && in->opnd[0].rc == X86_RC_SEG &&
	       in->opnd[0].reg == X86_SS;
}

/* Traps after an instruction: single-step if TF was set when it began, data breakpoints. */
static void debug_traps(struct cpu *c, bool stepping, bool blocked, bool delivered)
{
	uint64_t dr6 = c->db_hits;

	/* An event that entered a handler through the IDT cleared TF and saved it there. */
	if (stepping)
		dr6 |= 1 << 14;
	if (!dr6 || blocked)
		return;
	c->db_hits = 0;
	c->dr[6] = (c->dr[6] & ~0xfull) | dr6;
	/* INT1 behind a MOV SS: one exception for both. A second one would find the handler's
	 * first instruction on the same interrupt stack, and overwrite its frame. */
	if (delivered)
		return;
	c->halted = 0;
	cpu_deliver(c, X86_EXC_DB, CPU_EV_TRAP, false, 0, c->rip);
}

/* Software interrupts and SYSCALL save TF and go on with it clear: no step trap after them. */
static bool saves_tf(const struct x86_insn *in)
{
	return in->op == X86_INT || in->op == X86_INT3 || in->op == X86_INTO ||
	       in->op == X86_INT1 || in->op == X86_SYSCALL || in->op == X86_SYSENTER;
}

void interp_step(struct cpu *c)
{
	const struct x86_insn *in;
	struct x86_insn buf;
	bool tf;

	if (!(c->mode & (MODE_TF | MODE_DBG))) {
		in = fetch_decode(c, &buf);
		interp_exec(c, in);
		c->n_insns++;
		return;
	}
	tf = c->mode & MODE_TF;
	if (c->mode & MODE_DBG)
		check_code_breakpoint(c);
	in = fetch_decode(c, &buf);
	/* Hits noted across a MOV SS stay for the next instruction's end. */
	if (!c->inhibit_irq)
		c->db_hits = 0;
	interp_exec(c, in);
	c->n_insns++;
	if (tf && saves_tf(in))
		tf = c->rflags & X86_FL_TF;
	debug_traps(c, tf, loads_ss(in), in->op == X86_INT1);
}
