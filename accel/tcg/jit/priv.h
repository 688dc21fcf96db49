/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_PRIV_H
#define MAYFLY_ACCEL_TCG_JIT_PRIV_H
/*
 * What the files of the translator share: the code cache, the pools of blocks, exits and sites,
 * and who may touch them.
 *
 * Everything is referred to by index or by offset into the cache; emitted code holds neither host
 * pointers nor addresses of the executable mapping. Index 0 of each pool means none.
 *
 * Threads: `lock` protects translation, linking, killing and all pools. Look-ups in the hash table
 * and of sites and blocks by index are lock-free: entries are published complete, and memory is
 * reused only by a flush, when no vCPU is inside (run.c). The lock is never held while waiting
 * for another vCPU or while guest memory faults can be raised.
 */
#include "accel/tcg/cpu/vm.h"
#include "accel/tcg/jit/emit.h"
#include "accel/tcg/jit/jit.h"
#include "accel/tcg/jit/regs.h"

#include <pthread.h>

enum {
	JIT_MAX_INSNS = 128,      /* guest instructions per block, */
	JIT_BLOCK_INSNS = 64,     /* if it is no superblock */
	JIT_BLOCK_ROOM = 128 << 10, /* more than the worst block emits into either half */
	JIT_SUPER_AFTER = 2,      /* requests that a backward jump saw until its target gets a superblock */
	JIT_BUCKET_BITS = 18,
	JIT_N_BUCKETS = 1 << JIT_BUCKET_BITS,
	JIT_BLOOM_BITS = 12,
	JIT_NO_SLOT_BITS = 1 << 16,
	JIT_LINE_SHIFT = 6, /* granularity of self-modifying code: 64 bytes */
};

/* In a block's mode, beside the MODE_*: every access is checked by itself. Such a block is where
 * one goes whose check of several accesses together failed. */
#define JIT_PLAIN (1u << 31)

/* Likewise: a superblock, where a hot backward jump goes to. See super.c. */
#define JIT_SUPER (1u << 30)
#define JIT_KIND (JIT_PLAIN | JIT_SUPER)

struct block_ir;

struct jit_block {
	/* What table_find() reads is on one line of the host's cache. */
	gpaddr gpa;
	uint64_t va;  /* linear address; kernel code has it built in, user code is shared */
	uint32_t mode;
	uint32_t next_hash;
	uint32_t entry_ind; /* from indirect jumps: T0 = pc, polls, flags in jit_flags */
	uint32_t entry_m;   /* flags in jit_flags */
	uint32_t entry_e;   /* flags in EFLAGS */
	uint32_t hot_end;
	uint64_t lines; /* of the page that it was made from */
	gpaddr gpa2;    /* page of the last bytes, if the one instruction reaches there; else 0 */
	uint32_t next_page, next_page2;
	uint32_t first_exit, n_exits;
	uint32_t incoming; /* first of the exits that jump here */
	uint16_t n_insns, n_bytes;
	bool dead, user;
};

struct jit_exit { /* a direct jump out of a block */
	int64_t target; /* linear address; of user code relative to the block's page */
	uint32_t block;
	uint32_t mode;  /* of the target, JIT_KIND included */
	uint32_t rel;   /* offset of the rel32 field */
	uint32_t stub;  /* where it goes while it is not linked */
	uint32_t guard; /* cross-page: offset of the imm32 that holds gpa >> 8; 0: none */
	uint32_t to, next; /* the block it is linked to; next exit of that one's list */
	bool flags_e;      /* jumps to entry_e, else to entry_m */
	bool backward;     /* within the page: a superblock may be made of where it goes */
	uint8_t count;     /* of requests seen there; racy, which does no harm */
};

/* With an exit's number: jit_pcbase is the target's page already. */
#define JIT_EXIT_MOVED (1u << 31)

enum { /* struct jit_site.flags */
	SITE_WRITE = 1 << 0,
	SITE_SS = 1 << 1,     /* stack segment: #SS instead of #GP */
	SITE_SLOT = 1 << 2,   /* fills the stack slot */
	SITE_ALIGN = 1 << 3,  /* must be aligned */
	SITE_LEAVE = 1 << 4,  /* the instruction ends the block: nothing to resume */
	SITE_STEP = 1 << 5,   /* fetch and decode again */
	SITE_COMMIT = 1 << 6, /* stores through the bounce buffer are committed */
	SITE_GROUP = 1 << 7,  /* checks several accesses: a failure leads to the plain block */
	SITE_GROUP_WRITE = 1 << 8, /* one of which writes */
	SITE_PARTIAL = 1 << 9, /* who does not find it in the TLB must not touch it */
};

struct jit_site { /* a place in emitted code that may call C */
	uint32_t block;
	uint32_t resume; /* offset of the code after the instruction */
	uint32_t insn;   /* interpreter calls: index into the pool of instructions */
	uint16_t pc_off; /* of the instruction in its page */
	uint8_t len;     /* of the instruction */
	uint8_t size;    /* bytes accessed */
	uint16_t flags;
	int8_t sp_undo;  /* indirect jumps: what to add to rsp to undo the instruction */
	/* Groups: bytes checked; where among them the instruction's own operand is. */
	uint16_t span, lead;
	uint16_t slot; /* 1 + page slot that it checks; 0: none */
};

struct jit_page { /* one per 4 KiB page of RAM */
	uint32_t first; /* block */
	_Atomic uint64_t lines; /* union of its blocks' */
};

struct jit_stats {
	uint64_t blocks, insns, interp_insns, hot_bytes, cold_bytes, links, kills, flushes;
	uint64_t groups, shared; /* groups checked; accesses that another one's check covers */
	uint64_t plain_blocks, slots_given_up;
	uint64_t superblocks, loops; /* loops: superblocks with one inside */
	uint64_t renamed; /* registers in superblocks */
};

struct jit_cpu_stats {
	uint32_t interp_ops[X86_N_OPS]; /* calls of the interpreter by operation */
	uint64_t checks, stale; /* paranoid.c */
	uint64_t dispatches, links, interp_calls, mem_misses, mem_interp, enters, jump_flushes,
		 fast_ops, fast_faults, fast_fills, fast_jumps, fast_xstates,
		 fast_interrupts;
};

struct jit_cpu {
	struct jit *j;
	bool inside;       /* counted in j->inside */
	bool leave;        /* a block was killed: do not resume the current one */
	uint32_t epoch;    /* of the jump caches */
	uint32_t mode;     /* that translated code ran in last: the stack slot's */
	/* Slots filled since each jump cache was emptied; more than the array holds: any. */
	uint16_t n_jumps[TLB_N_INDEX], jumps[TLB_N_INDEX][1024];
	uint64_t slot_since[JIT_PAGE_SLOTS]; /* time stamp of when its budget was set */
	/* Bloom filters: pages that each jump cache may point to. */
	uint64_t jump_pages[TLB_N_INDEX][1 << JIT_BLOOM_BITS >> 6];
	struct lockstep *lockstep; /* NULL: off */
	struct jit_cpu_stats st;
};

struct jit {
	struct tcg_vm *vm;
	pthread_mutex_t lock;
	uint8_t *rw;
	const uint8_t *rx;
	size_t cache_bytes;
	uint32_t hot, hot_end, cold, cold_end; /* bump pointers */
	uint32_t hot_start, cold_start;        /* after the stubs */
	size_t ready[6]; /* bytes with pages: hot, cold, blocks, exits, sites, insns */
	/* stubs.c */
	uint32_t stub_enter, stub_exit_saved, stub_resume, stub_dispatch, stub_poll, stub_link,
		 stub_link_e, stub_miss, stub_commit, stub_interp, stub_simd, stub_jump_miss,
		 stub_string, stub_system, stub_halt, stub_xsave, stub_xrstor;
	uint32_t stub_wide[2]; /* state of AVX-512: to memory, from it */
	uint32_t stub_slot[TLB_N_INDEX][3]; /* by the limit of struct jit_slot */
	uint32_t stub_page[TLB_N_ACCESS][2]; /* ... of struct jit_page_slot */
	struct jit_block *blocks;
	struct jit_exit *exits;
	struct jit_site *sites;
	struct x86_insn *insns;
	uint32_t n_blocks, max_blocks, n_exits, max_exits, n_sites, max_sites, n_insns, max_insns;
	_Atomic uint32_t *buckets;
	struct jit_page *pages[GMEM_MAX_REGIONS];
	/* emptying the cache: run.c */
	_Atomic bool flush_pending;
	_Atomic unsigned inside;
	_Atomic uint32_t epoch;
	bool nochain, strict, lockstep, native_simd, all_slots, no_super, all_super;
	unsigned next_slot[TLB_N_ACCESS]; /* page slots are given out in turn */
	/* Accesses that slots do not pay for, by a hash of their guest-physical address. */
	uint64_t no_slot[JIT_NO_SLOT_BITS / 64];
	bool host_has[X86_N_FEATURES];
	struct block_ir *ir; /* the translation at work */
	uint64_t *sums;      /* paranoid-smc: of what each block was made from; NULL: off */
	/* lockstep: page offsets of each block's instructions; NULL: off */
	uint16_t (*paths)[JIT_MAX_INSNS];
	struct jit_dump *dump; /* NULL: off */
	struct jit_stats st;
};

struct jit_ret { /* of the C helpers that emitted code calls, in rax and rdx */
	uint64_t t0;
	const uint8_t *to; /* where to go with all registers loaded; or one of */
};
#define JIT_TO_RETRY NULL                        /* back to the caller, T0 = t0 */
#define JIT_TO_EXIT ((const uint8_t *)(uintptr_t)1) /* out of translated code */
#define JIT_TO_BOUNCE ((const uint8_t *)(uintptr_t)2) /* retry; then commit a store */
#define JIT_TO_SLOW ((const uint8_t *)(uintptr_t)3) /* fast_*(): nothing done, ask run_*() */

/* The stack slot takes the write entry of la's page, if there is one. */
static inline void jit_slot_fill(struct cpu *c, uint64_t la)
{
	const struct tlb_entry *t = &c->tlb[c->tlb_idx][TLB_WRITE][cpu_tlb_slot(la)];

	if (t->tag == (la & ~0xfffull))
		c->jit_slot[c->tlb_idx] = (struct jit_slot){
			.page = t->tag, .addend = t->addend,
			.limit = {4096, 4096 - 3, 4096 - 7}};
}

/* A page slot takes a page; false if it is time to ask whether that pays. */
static inline bool jit_page_fill(struct cpu *c, unsigned slot, uint64_t page, uint64_t addend)
{
	c->jit_page[slot] = (struct jit_page_slot){page, addend, {4096 - 7, 4096 - 63}};
	c->jit_page_used[slot / 64] |= 1ull << slot % 64;
	return c->jit_page_budget[slot]-- != 0;
}

/* What stub_page wants in T1: a site and its page slot. */
enum { JIT_SLOT_BITS = 11 };
_Static_assert(JIT_PAGE_SLOTS <= 1 << JIT_SLOT_BITS, "page slots fit beside a site");

/* The bit of j->no_slot for the access of an instruction. */
static inline unsigned jit_no_slot_bit(gpaddr gpa)
{
	return (unsigned)(gpa * 0x9e3779b97f4a7c15ull >> 48) & (JIT_NO_SLOT_BITS - 1);
}

enum { HELPER_FAST_MISS, HELPER_COMMIT, HELPER_MISS, HELPER_INTERP, HELPER_DISPATCH,
       HELPER_LINK, HELPER_SIMD, HELPER_JUMP_MISS, HELPER_STRING, HELPER_SYSTEM,
       HELPER_FAST_JUMP, HELPER_FAST_LINK, HELPER_XSTATE,
       HELPER_FAST_POLL, HELPER_POLL, HELPER_HALT, JIT_N_HELPERS };
_Static_assert(JIT_N_HELPERS <= sizeof(((struct cpu *)NULL)->jit_helper) / sizeof(void *),
	       "the table of helpers");

static inline uint8_t *jit_rw(const struct jit *j, uint32_t off)
{
	return j->rw + off;
}

static inline bool jit_host_has(const struct jit *j, unsigned feature)
{
	return feature < X86_N_FEATURES && j->host_has[feature];
}

/* --- flags: rflags are complete outside translated code, jit_flags at its ways to C --- */
static inline void jit_sync_flags(struct cpu *c)
{
	uint32_t v = c->jit_flags;

	c->rflags = (c->rflags & ~(uint64_t)X86_FL_ARITH) | (v >> 8 & (X86_FL_ARITH & 0xff)) |
		    (v & 1 ? X86_FL_OF : 0);
}

static inline void jit_take_flags(struct cpu *c)
{
	uint32_t v = (uint32_t)c->rflags;

	c->jit_flags = (v & (X86_FL_ARITH & 0xff)) << 8 | !!(v & X86_FL_OF);
}

/* The linear address of page offset `off` of a block. */
static inline uint64_t jit_pc_of(const struct cpu *c, const struct jit_block *b, int64_t off)
{
	uint64_t pc = (b->user ? c->jit_pcbase : b->va & ~0xfffull) + (uint64_t)off;

	return b->mode & MODE_CS64 ? pc : (uint32_t)pc;
}

/* A linked exit came to its stub: if it jumps backward, a request was there, which comes with every
 * tick of the guest's clock at least. Whether it was so often enough to be called hot. */
static inline bool jit_exit_is_hot(const struct jit *j, struct jit_exit *e)
{
	uint8_t n = __atomic_load_n(&e->count, __ATOMIC_RELAXED);

	if (!e->backward || j->no_super || j->all_super || e->mode & JIT_KIND)
		return false;
	if (n < JIT_SUPER_AFTER)
		__atomic_store_n(&e->count, n + 1, __ATOMIC_RELAXED);
	return n + 1 >= JIT_SUPER_AFTER;
}

/* --- stubs.c --- */
void stubs_emit(struct jit *j);

/* --- translate.c: makes the block of (gpa, va, mode); lock held. 0 when the cache or a pool is
 * full, JIT_WANTS_NEXT if its one instruction goes on on the next page and that was not asked
 * for. --- */
struct jit_source {
	gpaddr gpa;
	uint64_t va;
	uint32_t mode;
	const uint8_t *page; /* host bytes of gpa's page */
	bool asked;          /* the next page was asked for */
	const uint8_t *next; /* its host bytes; NULL: not in RAM */
	gpaddr next_gpa;
};
enum { JIT_WANTS_NEXT = -1 };
uint32_t translate_block(struct jit *j, const struct jit_source *src);
static inline bool jit_mode_ok(uint32_t mode)
{
	if (mode & (MODE_TF | MODE_DBG | MODE_AC | MODE_VM86))
		return false;
	if (mode & MODE_CS64)
		return true;
	return (mode & (MODE_CS32 | MODE_SS32 | MODE_FLAT | MODE_PE)) ==
	       (MODE_CS32 | MODE_SS32 | MODE_FLAT | MODE_PE);
}

/* --- table.c: the hash table, chains, and their end --- */
int table_create(struct jit *j);
void table_destroy(struct jit *j);
static inline unsigned table_bucket(gpaddr gpa, uint64_t va, uint32_t mode)
{
	uint64_t h = (gpa ^ (uint64_t)mode << 32 ^ (va >> 12) << 20) * 0x9e3779b97f4a7c15ull;

	return (unsigned)(h >> (64 - JIT_BUCKET_BITS));
}

static inline uint32_t table_find(struct jit *j, gpaddr gpa, uint64_t va, uint32_t mode)
{
	uint32_t i = atomic_load_explicit(&j->buckets[table_bucket(gpa, va, mode)],
					  memory_order_acquire);

	while (i) {
		const struct jit_block *b = &j->blocks[i];

		if (b->gpa == gpa && b->mode == mode && b->va == va)
			return i;
		i = __atomic_load_n(&b->next_hash, __ATOMIC_ACQUIRE);
	}
	return 0;
}
void table_insert(struct jit *j, uint32_t block);
void table_link(struct jit *j, uint32_t exit, uint32_t block, gpaddr target_page);
void table_unlink(struct jit *j, uint32_t exit); /* nothing if it is not linked */
void table_kill(struct jit *j, uint32_t block);
uint64_t table_lines(struct jit *j, uint32_t block, const struct jit_page *p);
uint32_t table_next(struct jit *j, uint32_t block, const struct jit_page *p); /* in p's list */
void table_reset(struct jit *j); /* no vCPU inside */
struct jit_page *table_page(struct jit *j, gpaddr gpa);

/* --- smc.c --- */
void smc_written(void *ctx, struct cpu *c_or_null, gpaddr gpa, unsigned len);
uint64_t smc_lines(unsigned off, unsigned len);

/* --- paranoid.c: with j->sums --- */
int paranoid_create(struct jit *j);
void paranoid_note(struct jit *j, uint32_t block, const struct block_ir *ir);
/* Before a block is entered; false: it is gone, look again. */
bool paranoid_check(struct cpu *c, uint32_t block);

/* --- fast.c: helpers that leave SIMD registers alone --- */
struct jit_ret fast_miss(struct cpu *c, uint32_t site, uint64_t la);
struct jit_ret fast_jump(struct cpu *c, uint32_t site, uint64_t pc);
struct jit_ret fast_link(struct cpu *c, uint32_t exit, uint64_t unused);
struct jit_ret fast_poll(struct cpu *c, uint32_t unused, uint64_t pc); /* fast_event.c */
struct jit_ret fast_system(struct cpu *c, uint32_t site, uint64_t val); /* fast_sys.c */
struct jit_ret fast_xstate(struct cpu *c, uint32_t site, uint64_t la); /* fast_xstate.c */
void fast_commit(struct cpu *c);

/* --- string.c: ditto; 0 when done, 1: the interpreter goes on --- */
enum { /* what to do: operation, log2 of the element, repeat, address size, source segment */
	JIT_STR_MOVS, JIT_STR_STOS, JIT_STR_LODS, JIT_STR_CMPS, JIT_STR_SCAS, JIT_STR_OP = 7,
	JIT_STR_SHIFT = 4, /* two bits */
	JIT_STR_REP = 1 << 6, JIT_STR_REPNE = 1 << 7, JIT_STR_ADDR32 = 1 << 8,
	JIT_STR_SEG = 16, /* the rest */
};
struct jit_ret string_run(struct cpu *c, uint32_t unused, uint64_t what);

/* --- run.c: the helpers --- */
struct jit_ret run_miss(struct cpu *c, uint32_t site, uint64_t la);
struct jit_ret run_poll(struct cpu *c, uint32_t unused, uint64_t pc);
struct jit_ret run_halt(struct cpu *c, uint32_t site, uint64_t unused);
struct jit_ret run_interp(struct cpu *c, uint32_t site, uint64_t unused);
struct jit_ret run_dispatch(struct cpu *c, uint32_t unused, uint64_t pc);
struct jit_ret run_link(struct cpu *c, uint32_t exit, uint64_t unused);
struct jit_ret run_simd(struct cpu *c, uint32_t site, uint64_t unused);
struct jit_ret run_jump_miss(struct cpu *c, uint32_t site, uint64_t pc);

/* --- jump.c: per-vCPU jump caches --- */
/* Of an address's lower half: return addresses in a kernel of 16 MiB differ in any of 24 bits. */
#define JUMP_HASH 0x9e3779b1u
static inline unsigned jump_slot(uint64_t pc)
{
	return (uint32_t)pc * JUMP_HASH >> (32 - JIT_JUMP_BITS);
}
void jump_create(struct cpu *c);
void jump_tlb_flushed(struct cpu *c, enum cpu_flush what, gvaddr la); /* hook */
void jump_flush(struct cpu *c, unsigned idx);
void jump_flush_all(struct cpu *c);
void jump_flush_page(struct cpu *c, gvaddr la);
void jump_insert(struct cpu *c, uint64_t pc, uint32_t entry_ind);
const uint8_t *jump_find(const struct cpu *c, uint64_t pc); /* NULL: not there */

/* --- cache.c --- */
int cache_create(struct jit *j, uint64_t bytes, struct err *e);
void cache_destroy(struct jit *j);
/* Makes the pages that the next translations will write; with the lock held. */
void cache_prepare(struct jit *j);

#endif
