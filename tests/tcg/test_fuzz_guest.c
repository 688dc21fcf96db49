/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage as a guest: whatever code and state, the monitor neither crashes nor hangs.
 *
 * One or two vCPUs run through the accelerator's own run loop, translated and interpreted. A case
 * is a memory full of random code (bytes, valid instructions, instructions of up to 20 bytes, loops
 * and calls), random descriptors, interrupt gates and page tables (holes, MMIO, themselves,
 * reserved bits), and a random state in any mode. Handlers are random code as well, so guests go on
 * for long; they are kicked out of vcpu_run() after some 100 microseconds, and one that does not come
 * out within TIMEOUT seconds fails the test.
 *
 * Before that: a million distinct blocks through a code cache that holds a fraction of them.
 *
 * usage: test_fuzz_guest [seconds [seed]], or MAYFLY_SECONDS, MAYFLY_SEED. A failure names the seed
 * of its case: with that and 0 seconds only this case runs (scheduling still differs).
 */
#include "chance.h"
#include "debug_env.h"

#include "accel/accel.h"
#include "accel/tcg/cpu/cpu.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	RAM = 1 << 20,
	GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, LDT = 0x3800,
	TABLES = 0x4000, /* four pages */
	CODE = 0x10000, CODE_END = 0x30000,
	DATA = 0x30000,
	MMIO = 0xd0000000,
	MAX_VCPUS = 2,
	CASES_PER_VM = 1000,
	TIMEOUT = 60,
};

struct fuzz {
	struct gmem *mem;
	struct accel_io io;
	struct accel_vm *vm;
	unsigned n_vcpus;
	struct runner {
		struct fuzz *f;
		struct vcpu *cpu;
		pthread_t thread;
		sem_t go, done;
		enum vcpu_stop stop;
		bool end;
	} r[MAX_VCPUS];
	uint64_t rng, case_seed;
	uint8_t image[RAM];
	unsigned long n_stops[VCPU_FAILED + 1];
};

/* --- chance --- */

static uint64_t rnd(struct fuzz *f)
{
	return chance_next(&f->rng);
}

static unsigned pick(struct fuzz *f, unsigned n)
{
	return chance_pick(&f->rng, n);
}

static uint64_t address(struct fuzz *f)
{
	switch (pick(f, 16)) {
	case 0: return rnd(f);
	case 1: return MMIO + pick(f, 8192);
	case 2: return RAM - pick(f, 64); /* the end of RAM */
	case 3: return 0x00007fffffffffc0ull + pick(f, 128);
	case 4: return 0xfee00000u + pick(f, 0x400);
	case 5: return TABLES + pick(f, 0x4000);
	case 6: return GDT + pick(f, 0x3000);
	case 7: return (uint64_t)-(int64_t)pick(f, 64);
	case 8: return 0xffff800000000000ull + pick(f, RAM);
	case 9: case 10: return CODE + pick(f, CODE_END - CODE);
	default: return DATA + pick(f, RAM - DATA);
	}
}

static void put(struct fuzz *f, unsigned at, uint64_t v)
{
	memcpy(f->image + at, &v, 8);
}

/* --- memory --- */

static unsigned put_insn(struct fuzz *f, unsigned at, enum x86_mode mode)
{
	struct x86_insn in;
	uint8_t b[16];

	for (unsigned tries = 0; tries < 50; tries++) {
		uint64_t v[2] = { rnd(f), rnd(f) };

		memcpy(b, v, 16);
		if (pick(f, 3) == 0)
			b[0] = 0x0f;
		else if (mode == X86_MODE64 && pick(f, 2))
			b[0] = (uint8_t)(0x40 | (b[0] & 15));
		if (x86_decode(b, 15, mode, &in) == X86_DECODE_OK)
			break;
		in.len = 1;
	}
	memcpy(f->image + at, b, in.len);
	return in.len;
}

static void make_code(struct fuzz *f, enum x86_mode mode)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26,
					    0x64, 0x65, 0x40, 0x48 };
	unsigned style = pick(f, 5), at = CODE;

	for (unsigned i = CODE; i < RAM; i += 8)
		put(f, i, rnd(f));
	if (!style)
		return;
	while (at < CODE_END - 64) {
		switch (style == 1 ? 0 : pick(f, 24)) {
		case 1: /* too long, or nearly */
			for (unsigned n = pick(f, 18); n; n--)
				f->image[at++] = prefixes[pick(f, sizeof(prefixes))];
			at += put_insn(f, at, mode);
			break;
		case 2: /* jcc, jmp short */
			f->image[at++] = pick(f, 3) ? (uint8_t)(0x70 | pick(f, 16)) : 0xeb;
			f->image[at++] = (uint8_t)rnd(f);
			break;
		case 3: { /* call, jmp near */
			int32_t d = (int32_t)pick(f, 0x8000) - 0x4000;

			f->image[at++] = pick(f, 2) ? 0xe8 : 0xe9;
			memcpy(f->image + at, &d, 4);
			at += 4;
			break;
		}
		case 4: /* ret, loop, string, system calls, halt */
			f->image[at++] = "\xc3\xe2\xa4\xab\xcc\xf4\xfa\xfb\xcf\x9d\x9c"[pick(f, 11)];
			break;
		case 5: /* privileged */
			f->image[at++] = 0x0f;
			f->image[at++] = "\x01\x00\x20\x22\x23\x30\x32\x05\x07\x34\x35\xae\x06\x09\xa2\xc7"
				[pick(f, 16)];
			break;
		case 6: /* a pointer, for what comes next */
			if (mode != X86_MODE64)
				break;
			f->image[at++] = 0x48;
			f->image[at++] = (uint8_t)(0xb8 | pick(f, 8));
			put(f, at, address(f));
			at += 8;
			break;
		default:
			at += put_insn(f, at, mode);
		}
	}
}

/* Descriptors and gates: mostly usable. */
static void make_descriptors(struct fuzz *f, bool lma)
{
	static const uint8_t types[] = { 0x9b, 0x93, 0xfb, 0xf3, 0x9f, 0x97, 0x89, 0x8b, 0x8c, 0x82,
					 0x85, 0xb2, 0xd3, 0x1b };
	unsigned step = lma ? 16 : 8;

	for (unsigned i = 1; i < 64; i++) {
		uint64_t d = pick(f, 8) ? 0x00cf00000000ffffull : rnd(f);

		d = (d & ~(0xffull << 40)) | (uint64_t)types[pick(f, sizeof(types))] << 40;
		if (pick(f, 2))
			d = (d & ~(3ull << 53)) | (pick(f, 2) ? 1ull << 53 : 1ull << 54);
		if (pick(f, 4) == 0)
			d |= (uint64_t)pick(f, 0xffff) << 16;
		put(f, (pick(f, 4) ? GDT : LDT) + 8 * i, pick(f, 16) ? d : rnd(f));
	}
	put(f, GDT + 8, lma ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	put(f, GDT + 16, 0x00cf93000000ffff);
	put(f, GDT + 24, lma ? 0x00affb000000ffff : 0x00cffb000000ffff);
	put(f, GDT + 32, 0x00cff3000000ffff);
	for (unsigned i = 0; i < 256; i++) {
		uint64_t to = CODE + pick(f, CODE_END - CODE);
		uint64_t d = (to & 0xffff) | (to >> 16) << 48 | 8ull << 16;

		d |= (pick(f, 2) ? 0x8eull : 0xefull) << 40;
		if (pick(f, 8) == 0)
			d ^= 1ull << pick(f, 64);
		if (lma && pick(f, 16) == 0)
			d |= (uint64_t)pick(f, 8) << 32; /* interrupt stacks */
		if (pick(f, 32) == 0)
			d = rnd(f);
		put(f, IDT + step * (i % (0x1000 / step)), d);
		if (lma)
			put(f, IDT + 16 * i + 8, 0);
	}
	for (unsigned i = 0; i < 0x70; i += 8)
		put(f, TSS + i, address(f));
	for (unsigned i = 0; i < 3 && pick(f, 8); i++)
		put(f, TSS + 4 + 8 * i, DATA + 0x8000 + 0x1000 * i);
}

static uint64_t table_entry(struct fuzz *f, uint64_t usual)
{
	switch (pick(f, 64)) {
	case 0: return 0;
	case 1: return rnd(f);
	case 2: return (TABLES + 0x1000 * pick(f, 4)) | 7; /* tables as a page, or themselves */
	case 3: return (uint64_t)0x40000000 | 7;             /* a hole */
	case 4: return (MMIO + 0x1000 * pick(f, 2)) | 7;
	case 5: return usual ^ 1ull << pick(f, 64);
	case 6: return usual | 0x80;                       /* large, or PAT */
	case 7: return 0x000ffffffffff000ull | 7;
	case 8: return usual & ~6ull;
	default: return usual;
	}
}

static void make_tables(struct fuzz *f, const struct x86_state *s)
{
	bool wide = s->cr4 & X86_CR4_PAE;

	if (!wide) { /* two levels of four-byte entries */
		for (unsigned i = 0; i < 1024; i += 2)
			put(f, TABLES + 4 * i, table_entry(f, (TABLES + 0x1000) | 7) |
			    table_entry(f, 0x83) << 32);
		for (unsigned i = 0; i < 1024; i += 2)
			put(f, TABLES + 0x1000 + 4 * i,
			    table_entry(f, (i << 12 | 7)) | table_entry(f, (i + 1) << 12 | 7) << 32);
		return;
	}
	for (unsigned i = 0; i < 512; i++) {
		bool upper = s->efer & X86_EFER_LME;

		if (upper || i >= 4) {
			put(f, TABLES + 8 * i, i % 256 < 2 ? table_entry(f, (TABLES + 0x1000) | 7)
							 : table_entry(f, 0));
			put(f, TABLES + 0x1000 + 8 * i, table_entry(f, i ? (uint64_t)i << 30 | 0x87
								 : (TABLES + 0x2000) | 7));
		}
		put(f, TABLES + 0x2000 + 8 * i, table_entry(f, i ? (uint64_t)i << 21 | 0x87
							    : (TABLES + 0x3000) | 7));
		put(f, TABLES + 0x3000 + 8 * i, table_entry(f, (uint64_t)i << 12 | 7));
	}
	if (!(s->efer & X86_EFER_LME)) /* the four pointers of PAE paging */
		for (unsigned i = 0; i < 4; i++)
			put(f, TABLES + 8 * i, table_entry(f, (TABLES + 0x2000) | 1));
}

/* --- state --- */

static void set_segs(struct x86_state *s, uint16_t cs, uint16_t code, uint16_t ds, uint16_t data,
		     uint32_t limit)
{
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s->seg[i] = (struct x86_seg){ ds, data, limit, 0 };
	s->seg[X86_CS] = (struct x86_seg){ cs, code, limit, 0 };
}

static enum x86_mode make_state(struct fuzz *f, struct x86_state *s)
{
	enum x86_mode mode = X86_MODE64;
	unsigned which = pick(f, 12);
	bool user = false;

	s->halted = false;
	s->rflags = 2 | (rnd(f) & 0xcd5) | (pick(f, 2) ? X86_FL_IF : 0);
	if (pick(f, 16) == 0)
		s->rflags |= rnd(f) & (X86_FL_TF | X86_FL_IOPL | X86_FL_NT | X86_FL_AC | X86_FL_RF);
	s->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | (rnd(f) & X86_CR0_NE) |
		 (rnd(f) & X86_CR0_WP);
	if (pick(f, 8) == 0)
		s->cr0 |= rnd(f) & (X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_AM | X86_CR0_CD);
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXSAVE | X86_CR4_OSXMMEXCPT;
	if (pick(f, 2))
		s->cr4 ^= rnd(f) & (X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE |
				    X86_CR4_PSE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
				    X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_OSXSAVE |
				    X86_CR4_SMEP | X86_CR4_SMAP);
	s->efer = X86_EFER_SCE | (pick(f, 4) ? X86_EFER_NXE : 0);
	s->xcr0 = pick(f, 4) ? 7 : 1 + 2 * pick(f, 2);
	s->ldt = (struct x86_seg){ 0x100, 0x82, 0x7ff, LDT };
	if (which < 6) { /* 64-bit */
		user = which < 3;
		s->efer |= X86_EFER_LME | X86_EFER_LMA;
		set_segs(s, user ? 0x1b : 8, user ? 0xafb : 0xa9b, user ? 0x23 : 0x10,
			 user ? 0xcf3 : 0xc93, 0xffffffff);
		s->cr4 |= pick(f, 4) ? 0 : X86_CR4_PCIDE;
		s->seg[X86_FS].base = address(f) & 0x7fffffffffff;
		s->seg[X86_GS].base = address(f) & 0x7fffffffffff;
	} else if (which < 9) { /* 32-bit, flat or not, paged or not, in long mode or not */
		user = pick(f, 2);
		mode = X86_MODE32;
		set_segs(s, user ? 0x1b : 8, user ? 0xcfb : 0xc9b, user ? 0x23 : 0x10,
			 user ? 0xcf3 : 0xc93, 0xffffffff);
		if (pick(f, 3) == 0) {
			s->seg[X86_DS].base = pick(f, RAM);
			s->seg[pick(f, 6)].limit = pick(f, RAM);
		}
		if (which == 6)
			s->efer |= X86_EFER_LME | X86_EFER_LMA;
		else if (pick(f, 2))
			s->cr0 &= ~(uint64_t)X86_CR0_PG;
		else if (pick(f, 2))
			s->cr4 &= ~(uint64_t)X86_CR4_PAE;
	} else { /* 16-bit: protected, real, virtual-8086 */
		mode = X86_MODE16;
		set_segs(s, 8, 0x9b, 0x10, 0x93, 0xffff);
		s->seg[X86_CS].base = CODE;
		s->cr0 &= ~(uint64_t)X86_CR0_PG;
		if (which == 10) {
			s->cr0 &= ~(uint64_t)X86_CR0_PE;
			set_segs(s, CODE >> 4, 0x9b, DATA >> 4, 0x93, 0xffff);
		} else if (which == 11) {
			user = true;
			s->rflags |= X86_FL_VM;
			s->cr4 &= ~(uint64_t)(pick(f, 2) ? X86_CR4_PAE : 0);
			s->cr0 |= X86_CR0_PG;
			set_segs(s, CODE >> 4, 0xf3, DATA >> 4, 0xf3, 0xffff);
		}
		for (unsigned i = 0; i < X86_N_SEGS && which >= 10; i++)
			s->seg[i].base = (uint64_t)s->seg[i].selector << 4;
	}
	s->cr3 = pick(f, 32) ? TABLES : address(f) & 0xfffff000;
	s->gdt = (struct x86_table){ GDT, pick(f, 8) ? 0x1ff : (uint16_t)rnd(f) };
	s->idt = (struct x86_table){ pick(f, 16) ? IDT : address(f) & 0xffffffff,
				     pick(f, 8) ? 0xfff : (uint16_t)rnd(f) };
	s->tr = (struct x86_seg){ 0x28, 0x8b, pick(f, 8) ? 0x67 : pick(f, 0x3000), TSS };
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = pick(f, 3) ? address(f) : pick(f, 300);
	s->rip = mode == X86_MODE16 ? pick(f, 0x10000) : CODE + pick(f, CODE_END - CODE);
	if (pick(f, 64) == 0)
		s->rip = address(f) & (mode == X86_MODE64 ? ~0ull : 0xffffffff);
	if (pick(f, 16) == 0) { /* breakpoints */
		for (unsigned i = 0; i < 4; i++)
			s->dr[i] = address(f);
		s->dr[7] = 0x400 | (rnd(f) & 0xffff03ff);
	}
	if (mode != X86_MODE64)
		for (unsigned i = 0; i < 16; i++)
			s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
	return mode;
}

/* --- the machine --- */

static void io_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
	if (!write) /* also as code */
		*val = (gpa ^ gpa << 13) * 0x9e3779b97f4a7c15ull;
}

static void io_pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
	if (!write)
		*val = port * 2654435761u;
}

static void io_eoi(void *ctx, uint8_t vector)
{
}

static int io_intack(void *ctx)
{
	return 0x20;
}

static _Noreturn void fail(const struct fuzz *f, const char *what)
{
	fprintf(stderr, "%s; case seed %#" PRIx64 "\n", what, f->case_seed);
	abort();
}

static void *runner(void *arg)
{
	struct runner *r = arg;
	struct err e;

	for (;;) {
		while (sem_wait(&r->go))
			;
		if (r->end)
			return NULL;
		r->stop = accel_tcg.vcpu_run(r->cpu, &e);
		sem_post(&r->done);
	}
}

static void open_vm(struct fuzz *f, unsigned n_vcpus, const char *debug, uint64_t ram)
{
	static char buf[100];
	struct accel_config cfg = { .n_vcpus = n_vcpus, .code_cache_bytes = 1 << 20,
				    .debug = debug_with_env(debug, buf, sizeof(buf)) };
	struct err e = { 0 };

	f->io = (struct accel_io){ io_mmio, io_pio, io_eoi, io_intack, f };
	f->n_vcpus = n_vcpus;
	if (gmem_create(ram, 0xc0000000, &f->mem, &e) ||
	    accel_tcg.vm_create(f->mem, &f->io, &cfg, &f->vm, &e))
		fail(f, e.msg);
	for (unsigned i = 0; i < n_vcpus; i++) {
		struct runner *r = &f->r[i];

		r->f = f;
		r->end = false;
		if (accel_tcg.vcpu_create(f->vm, i, &r->cpu, &e))
			fail(f, e.msg);
		if (sem_init(&r->go, 0, 0) || sem_init(&r->done, 0, 0) ||
		    pthread_create(&r->thread, NULL, runner, r))
			fail(f, "no thread");
	}
}

static void close_vm(struct fuzz *f)
{
	for (unsigned i = 0; i < f->n_vcpus; i++) {
		f->r[i].end = true;
		sem_post(&f->r[i].go);
		pthread_join(f->r[i].thread, NULL);
		sem_destroy(&f->r[i].go);
		sem_destroy(&f->r[i].done);
		accel_tcg.vcpu_destroy(f->r[i].cpu);
	}
	accel_tcg.vm_destroy(f->vm);
	gmem_destroy(f->mem);
}

/* Lets all run for a while, and gets them back. */
static void run(struct fuzz *f, unsigned usec)
{
	struct timespec until;

	for (unsigned i = 0; i < f->n_vcpus; i++)
		sem_post(&f->r[i].go);
	usleep(usec);
	for (unsigned i = 0; i < f->n_vcpus; i++)
		accel_tcg.vcpu_kick(f->r[i].cpu);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += TIMEOUT;
	for (unsigned i = 0; i < f->n_vcpus; i++) {
		int rc;

		while ((rc = sem_timedwait(&f->r[i].done, &until)) && errno == EINTR)
			;
		if (rc)
			fail(f, "a vCPU does not come back");
		if ((unsigned)f->r[i].stop > VCPU_SHUTDOWN)
			fail(f, "a vCPU stopped for a wrong reason");
		f->n_stops[f->r[i].stop]++;
	}
}

static void one_case(struct fuzz *f, uint64_t seed)
{
	enum x86_mode mode = X86_MODE64;
	struct x86_state s[MAX_VCPUS];
	struct err e;

	f->case_seed = seed;
	f->rng = seed * 0x9e3779b97f4a7c15ull | 1;
	memset(f->image, 0, CODE);
	for (unsigned i = 0; i < f->n_vcpus; i++) {
		if (accel_tcg.vcpu_reset(f->r[i].cpu, &e) ||
		    accel_tcg.get_state(f->r[i].cpu, &s[i], &e))
			fail(f, "no state");
		mode = make_state(f, &s[i]);
	}
	make_code(f, mode);
	make_descriptors(f, s[0].efer & X86_EFER_LMA);
	make_tables(f, &s[0]);
	gmem_write(f->mem, 0, f->image, RAM);
	for (unsigned i = 0; i < f->n_vcpus; i++)
		if (accel_tcg.set_state(f->r[i].cpu, &s[i], &e))
			fail(f, "state refused");
	run(f, 50 + pick(f, 200));
	if (pick(f, 64) == 0) /* again, from wherever that was */
		run(f, 1000);
}

/* --- a million blocks --- */

static void many_blocks(struct fuzz *f, unsigned n)
{
	static const uint8_t block[8] = { 0xff, 0xc0, 0xe9, 0x01, 0, 0, 0, 0xcc };
	static const uint8_t end[] = { 0xf4 };
	uint64_t ram = 32 << 20, at = 1 << 20, entry = 1 << 20;
	struct x86_state s;
	struct err e;

	/* inc eax; jmp to the next */
	open_vm(f, 1, NULL, ram);
	if (accel_tcg.get_state(f->r[0].cpu, &s, &e))
		fail(f, "no state");
	memset(f->image, 0, RAM);
	put(f, TABLES, (TABLES + 0x1000) | 3);
	put(f, TABLES + 0x1000, 0x83);
	put(f, GDT + 8, 0x00af9b000000ffff);
	gmem_write(f->mem, 0, f->image, RAM);
	for (unsigned i = 0; i < n; i++, at += sizeof(block))
		gmem_write(f->mem, at, block, sizeof(block));
	gmem_write(f->mem, at, end, sizeof(end));
	memset(s.gpr, 0, sizeof(s.gpr));
	s.rip = entry;
	s.rflags = 2;
	s.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | X86_CR0_NE;
	s.cr3 = TABLES;
	s.cr4 = X86_CR4_PAE;
	s.efer = X86_EFER_LME | X86_EFER_LMA;
	s.gdt = (struct x86_table){ GDT, 0xf };
	set_segs(&s, 8, 0xa9b, 0, 0xc93, 0xffffffff);
	if (accel_tcg.set_state(f->r[0].cpu, &s, &e))
		fail(f, "state refused");
	do
		run(f, 100000);
	while (f->r[0].stop == VCPU_KICKED);
	accel_tcg.get_state(f->r[0].cpu, &s, &e);
	printf("%u distinct blocks: rax %" PRIu64 ", rip %#" PRIx64 "\n", n, s.gpr[X86_RAX], s.rip);
	if (f->r[0].stop != VCPU_HALTED || s.gpr[X86_RAX] != n)
		fail(f, "blocks went wrong");
	close_vm(f);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	static const char *const debug[] = { NULL, "all-super", NULL, "nochain", "strict-flags", "nosimd",
					     "nojit", "all-super,strict-flags" };
	static struct fuzz f;
	double seconds = (double)chance_arg(argc, argv, 1, "MAYFLY_SECONDS", 10), from;
	uint64_t seed = chance_arg(argc, argv, 2, "MAYFLY_SEED", 1);
	unsigned long n = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (seconds > 0)
		many_blocks(&f, 1000000);
	/* The low bits of a case's seed say what machine it runs on. */
	for (from = now(); now() - from < seconds || !n; seed++) {
		open_vm(&f, 1 + (seed & 1), debug[seed >> 1 & 7], RAM);
		do {
			one_case(&f, seed);
			seed += 16;
		} while (++n % CASES_PER_VM && now() - from < seconds);
		close_vm(&f);
	}
	printf("%lu cases in %.0f s: kicked %lu, halted %lu, reset %lu, shut down %lu\n", n,
	       now() - from, f.n_stops[VCPU_KICKED], f.n_stops[VCPU_HALTED],
	       f.n_stops[VCPU_RESET], f.n_stops[VCPU_SHUTDOWN]);
	return 0;
}
