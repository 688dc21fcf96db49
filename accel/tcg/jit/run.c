/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entering translated code, and the C helpers that it calls: look-up and translation, linking,
 * memory misses, calls of the interpreter.
 *
 * In a helper guest registers are in cpu->gpr and SIMD state in cpu->xs; the arithmetic flags are
 * in jit_flags, and jit_sync_flags() makes rflags complete before anything that could raise. Faults
 * come to jit_run(), which delivers them and goes on.
 *
 * Emptying the cache. Whoever finds it full sets flush_pending and leaves; so do the others at
 * their next poll. The last one out empties it. Nobody waits: until that has happened jit_run()
 * returns at once and the run loop interprets.
 */
#include "accel/tcg/jit/priv.h"

#include "accel/tcg/jit/block.h"
#include "accel/tcg/jit/lockstep.h"

#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/cpu/walk.h"
#include "accel/tcg/interp/interp.h"

#include <assert.h>

typedef void enter_fn(struct cpu *c, const uint8_t *to, uint64_t t0);

static const struct jit_ret ret_exit = {0, JIT_TO_EXIT};

/* --- finding and making blocks --- */

static void request_flush(struct jit *j, struct cpu *self)
{
	atomic_store(&j->flush_pending, true);
	for (unsigned i = 0; i < j->vm->n_vcpus; i++) {
		struct cpu *c = j->vm->cpus[i];

		if (c && c != self)
			cpu_request(c, REQ_JIT);
	}
}

/* Whether memory still is what the block just inserted was made from. */
static bool still_same(const struct jit *j, const struct jit_source *src)
{
	const struct block_ir *ir = j->ir;

	for (unsigned i = 0; i < 64; i++)
		if (ir->lines >> i & 1 &&
		    memcmp(ir->page + (i << JIT_LINE_SHIFT), src->page + (i << JIT_LINE_SHIFT),
			   1 << JIT_LINE_SHIFT))
			return false;
	return !ir->crosses || !memcmp(ir->page + 4096, src->next, 16);
}

/* A block that was not there, with its page protected and the lock held; 0 if the cache is full, or
 * if its bytes changed meanwhile: a store between their being copied and the insertion may not have
 * seen that the block depends on them; one that comes later does (smc.c). */
static uint32_t new_block(struct cpu *c, const struct jit_source *src)
{
	struct jit *j = c->jit->j;
	uint32_t block = translate_block(j, src);

	if (!block)
		request_flush(j, c);
	if (!block || block == (uint32_t)JIT_WANTS_NEXT)
		return block;
	table_insert(j, block);
	atomic_thread_fence(memory_order_seq_cst);
	if (still_same(j, src))
		return block;
	table_kill(j, block);
	return 0;
}

/* The block of src, made if there is none; 0 if none can be made now. */
static uint32_t make_block(struct cpu *c, const struct jit_source *src)
{
	struct jit *j = c->jit->j;
	uint32_t block;

	/* A page may lose its mark whenever its last block is killed; and another vCPU that gave
	 * it back may not be done with that. */
	for (;;) {
		phys_protect_code(c, src->gpa);
		if (src->next)
			phys_protect_code(c, src->next_gpa);
		pthread_mutex_lock(&j->lock);
		if (phys_page_has_code(c->vm, src->gpa) &&
		    (!src->next || phys_page_has_code(c->vm, src->next_gpa)) &&
		    !atomic_load(&c->vm->protecting))
			break;
		pthread_mutex_unlock(&j->lock);
	}
	block = table_find(j, src->gpa, src->va, src->mode);
	if (!block)
		block = new_block(c, src);
	pthread_mutex_unlock(&j->lock);
	return block;
}

/* The block at c->rip, 0 if there is none and none can be made; kind: of JIT_KIND, or 0. May
 * raise. */
static uint32_t find_block(struct cpu *c, uint32_t kind)
{
	struct jit *j = c->jit->j;
	bool user = c->cpl == 3;
	uint64_t la = c->rip, next_la = (la | 0xfff) + 1;
	struct itlb_entry *t = &c->itlb[user][la >> 12 & (ITLB_ENTRIES - 1)];
	struct jit_source src = {.va = user ? 0 : la, .mode = c->mode | kind};
	const uint8_t *host;
	uint32_t block;

	if (c->mode & MODE_CS64 ? !la_is_canonical(la) : la > UINT32_MAX)
		return 0;
	if (t->tag == (la & ~0xfffull)) {
		block = table_find(j, t->gpa | (la & 0xfff), src.va, src.mode);
		if (block)
			return block;
	}
	src.gpa = mmu_fetch(c, la, &host);
	if (!host || !table_page(j, src.gpa))
		return 0;
	src.page = host - (src.gpa & 0xfff);
	block = table_find(j, src.gpa, src.va, src.mode);
	if (!block)
		block = make_block(c, &src);
	if (block != (uint32_t)JIT_WANTS_NEXT)
		return block;
	/* Its bytes go on on the next page, which is fetched as it would be by the instruction. */
	src.asked = true;
	if (c->mode & MODE_CS64 ? !la_is_canonical(next_la) : next_la > UINT32_MAX)
		return 0;
	src.next_gpa = mmu_fetch(c, next_la, &src.next);
	if (src.next && (!table_page(j, src.next_gpa) || src.next_gpa >> 40 ||
			 src.next_gpa >> 12 == src.gpa >> 12))
		src.next = NULL;
	return make_block(c, &src);
}

static bool must_leave(const struct cpu *c)
{
	return atomic_load_explicit(&c->requests, memory_order_relaxed) || c->halted ||
	       c->wait_sipi || c->shutdown || c->inhibit_irq || !jit_mode_ok(c->mode) ||
	       atomic_load_explicit(&c->jit->j->flush_pending, memory_order_relaxed);
}

/* Goes on at c->rip with complete state; flags in jit_flags and rflags. may_cache: the jump cache
 * may answer, which knows killed blocks, too. May raise. */
static struct jit_ret go_on_in(struct cpu *c, bool may_cache, uint32_t kind)
{
	struct jit_cpu *jc = c->jit;
	struct jit *j = jc->j;
	uint32_t block;

	c->jit_simd_want = 0;
	jc->leave = false;
	if (jc->lockstep)
		lockstep_after(c, jc->lockstep);
again:
	if (must_leave(c))
		return ret_exit;
	if (c->mode != jc->mode) {
		jc->mode = c->mode;
		if (c->jit_jump_mode[c->tlb_idx] != c->mode) {
			c->jit_jump_mode[c->tlb_idx] = c->mode;
			jump_flush(c, c->tlb_idx);
		}
	}
	jc->st.dispatches++;
	if (may_cache) {
		const uint8_t *host = jump_find(c, c->rip);

		if (host)
			return (struct jit_ret){c->rip, host};
	}
	block = find_block(c, kind);
	if (!block)
		return ret_exit;
	if (j->sums && !paranoid_check(c, block))
		goto again;
	if (jc->lockstep) {
		bool entered = lockstep_before(c, jc->lockstep, j->paths[block],
						j->blocks[block].n_insns);

		/* Its stores may have killed the block. */
		if (j->blocks[block].dead) {
			lockstep_forget(jc->lockstep);
			if (entered) /* undone, and to happen again with each block made for it */
				interp_step(c);
		}
		jit_take_flags(c);
		if (!entered || j->blocks[block].dead) {
			kind = 0;
			goto again;
		}
	}
	if (!j->nochain && !kind)
		jump_insert(c, c->rip, j->blocks[block].entry_ind);
	return (struct jit_ret){c->rip, j->rx + j->blocks[block].entry_ind};
}

static struct jit_ret go_on(struct cpu *c, bool may_cache)
{
	return go_on_in(c, may_cache, 0);
}

struct jit_ret run_dispatch(struct cpu *c, uint32_t unused, uint64_t pc)
{
	c->rip = pc;
	jit_sync_flags(c);
	return go_on(c, false);
}

struct jit_ret run_link(struct cpu *c, uint32_t arg, uint64_t unused)
{
	struct jit *j = c->jit->j;
	bool moved = arg & JIT_EXIT_MOVED;
	uint32_t exit = arg & ~JIT_EXIT_MOVED;
	struct jit_exit *e = &j->exits[exit];
	struct jit_block *from = &j->blocks[e->block];
	struct jit_ret ret;
	gpaddr page;
	uint32_t block;

	c->rip = from->user ? jit_pc_of(c, from, moved ? e->target & 0xfff : e->target)
			    : (uint64_t)e->target;
	jit_sync_flags(c);
	if (e->mode & JIT_PLAIN) /* in the middle of a block */
		lockstep_forget(c->jit->lockstep);
	if (e->to && jit_exit_is_hot(j, e)) {
		pthread_mutex_lock(&j->lock);
		table_unlink(j, exit);
		__atomic_fetch_or(&e->mode, JIT_SUPER, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&j->lock);
	}
	ret = go_on_in(c, false, e->mode & JIT_KIND);
	if (ret.to == JIT_TO_EXIT || j->nochain || e->to)
		return ret;
	c->jit->st.links++;
	page = c->itlb[c->cpl == 3][c->rip >> 12 & (ITLB_ENTRIES - 1)].gpa;
	block = table_find(j, page | (c->rip & 0xfff), from->user ? 0 : c->rip, e->mode);
	if (block && c->mode == (e->mode & ~JIT_KIND)) {
		pthread_mutex_lock(&j->lock);
		table_link(j, exit, block, page);
		pthread_mutex_unlock(&j->lock);
	}
	return ret;
}

/* An indirect jump to pc that the jump cache does not know. */
struct jit_ret run_jump_miss(struct cpu *c, uint32_t site, uint64_t pc)
{
	struct jit *j = c->jit->j;
	const struct jit_site *s = &j->sites[site];
	const struct jit_block *b = &j->blocks[s->block];

	jit_sync_flags(c);
	if (b->mode & MODE_CS64 && !la_is_canonical(pc)) {
		/* The jump itself faults: as if it had not begun. */
		c->rip = jit_pc_of(c, b, s->pc_off);
		c->gpr[X86_RSP] += (uint64_t)(int64_t)s->sp_undo;
		cpu_raise_gp0(c);
	}
	c->rip = pc;
	return go_on(c, false);
}

/* --- requests --- */

/* Serves them, unless the run loop has to see them, and goes on at c->rip. May raise. */
static struct jit_ret serve(struct cpu *c)
{
	/* A timer asks for a look at its interrupt, which is taken at once: once more, to see that. */
	for (unsigned i = 0; i < 2 && (!i || atomic_load(&c->requests)); i++) {
		if (c->jit->lockstep || atomic_load(&c->requests) & REQ_KICK)
			return ret_exit;
		if (!cpu_poll(c)) { /* a kick has come meanwhile */
			atomic_fetch_or(&c->requests, REQ_KICK);
			return ret_exit;
		}
		jit_take_flags(c);
	}
	return go_on(c, true);
}

/* The entry of a block at c->rip found requests that fast_poll() does not serve. */
struct jit_ret run_poll(struct cpu *c, uint32_t unused, uint64_t pc)
{
	jit_sync_flags(c);
	return serve(c);
}

/* HLT with interrupts on: the vCPU sleeps here. What ends that but is not for the guest is the run
 * loop's, where it counts as halted. */
struct jit_ret run_halt(struct cpu *c, uint32_t site, uint64_t unused)
{
	const struct jit_site *s = &c->jit->j->sites[site];

	if (!c->jit_waits || c->jit->lockstep || c->cpl || !(c->rflags & X86_FL_IF))
		return run_interp(c, site, unused);
	c->rip = jit_pc_of(c, &c->jit->j->blocks[s->block], s->pc_off + s->len);
	jit_sync_flags(c);
	c->halted = 1;
	if (!atomic_load(&c->requests))
		cpu_wait(c);
	return serve(c);
}

/* --- the interpreter --- */

static bool simd_unmasked(const struct cpu *c)
{
	return (c->xs.mxcsr & 0x1f80) != 0x1f80 || (c->xs.fcw & 0x3f) != 0x3f;
}

/* The interpreter executed the instruction of a site, which ended at `next`. */
static struct jit_ret after_interp(struct cpu *c, const struct jit_site *s, uint64_t next,
				   uint32_t drops)
{
	struct jit *j = c->jit->j;

	c->jit->st.interp_calls++;
	/* The shadow of STI and MOV SS is one instruction. */
	if (c->inhibit_irq && !c->halted && !(c->mode & (MODE_TF | MODE_DBG))) {
		interp_step(c);
		c->inhibit_irq = 0;
	}
	jit_take_flags(c);
	if (s->flags & SITE_LEAVE || c->rip != next || c->jit->leave || c->halted ||
	    c->jit_drops != drops || c->mode != (j->blocks[s->block].mode & ~JIT_KIND) ||
	    (c->jit_simd_want && simd_unmasked(c))) {
		lockstep_forget(c->jit->lockstep);
		return go_on(c, true);
	}
	return (struct jit_ret){0, j->rx + s->resume};
}

struct jit_ret run_interp(struct cpu *c, uint32_t site, uint64_t unused)
{
	struct jit *j = c->jit->j;
	const struct jit_site *s = &j->sites[site];
	uint32_t drops = c->jit_drops;
	uint64_t next;

	c->rip = jit_pc_of(c, &j->blocks[s->block], s->pc_off);
	next = jit_pc_of(c, &j->blocks[s->block], s->pc_off + s->len);
	jit_sync_flags(c);
	if (s->flags & SITE_STEP) {
		interp_step(c);
	} else {
		const struct x86_insn *in = &j->insns[s->insn];

		c->jit->st.interp_ops[in->op]++;
		interp_exec(c, in);
	}
	return after_interp(c, s, next, drops);
}

/* SIMD instructions follow and an exception is unmasked. */
struct jit_ret run_simd(struct cpu *c, uint32_t site, uint64_t unused)
{
	struct jit *j = c->jit->j;
	const struct jit_site *s = &j->sites[site];

	c->rip = jit_pc_of(c, &j->blocks[s->block], s->pc_off);
	jit_sync_flags(c);
	lockstep_forget(c->jit->lockstep);
	for (unsigned i = 0; i < JIT_BLOCK_INSNS && !(i && must_leave(c)); i++)
		interp_step(c);
	jit_take_flags(c);
	return go_on(c, false);
}

/* --- memory --- */

static void *tlb_ptr(struct cpu *c, uint64_t la, const struct jit_site *s)
{
	return mmu_fast(c, la, s->size, c->tlb_idx, s->flags & SITE_WRITE ? TLB_WRITE : TLB_READ);
}

/* Fills the slot that the site looked at. */
static void fill_slot(struct cpu *c, const struct jit_site *s, uint64_t la, uint64_t addend)
{
	if (s->flags & SITE_SLOT)
		jit_slot_fill(c, la);
	if (s->slot)
		jit_page_fill(c, s->slot - 1u, la & ~0xfffull, addend);
}

/* Addends that the block keeps are void: the current instruction begins a new one. */
static struct jit_ret restart(struct cpu *c)
{
	lockstep_forget(c->jit->lockstep);
	return go_on(c, true);
}

enum { SLOT_BUDGET = 64, SLOT_CYCLES = 2000 /* per fill, at least */ };

/*
 * The slot was filled SLOT_BUDGET times since it was asked before. If that was quick, looking
 * pages up in the TLB is better for this access, and its block is made again, without the slot.
 */
static bool slot_pays(struct cpu *c, const struct jit_site *s)
{
	struct jit *j = c->jit->j;
	const struct jit_block *b = &j->blocks[s->block];
	unsigned slot = s->slot - 1u, bit = jit_no_slot_bit((b->gpa & ~0xfffull) + s->pc_off);
	uint64_t now = __builtin_ia32_rdtsc(), since = c->jit->slot_since[slot];

	c->jit->slot_since[slot] = now;
	c->jit_page_budget[slot] = SLOT_BUDGET;
	if (now - since > SLOT_BUDGET * SLOT_CYCLES || b->dead)
		return true;
	pthread_mutex_lock(&j->lock);
	if (!b->dead) {
		j->no_slot[bit / 64] |= 1ull << bit % 64;
		j->st.slots_given_up++;
		table_kill(j, s->block);
	}
	pthread_mutex_unlock(&j->lock);
	return false;
}

/*
 * The check of the bytes [la, la + span) failed, all of them the instruction's own or of later
 * ones. Only its own operand may fault now, and only that one's accessed and dirty bits are set.
 * What is not on one page, or on a page that lacks what a later access needs, is for the plain
 * block.
 */
static struct jit_ret group_miss(struct cpu *c, const struct jit_site *s, uint64_t la)
{
	uint64_t own = la + s->lead;

	if ((la & 0xfff) + s->span <= 4096 && la_is_canonical(la)) {
		unsigned acc = s->flags & SITE_GROUP_WRITE ? TLB_WRITE : TLB_READ;
		const struct tlb_entry *t = &c->tlb[c->tlb_idx][acc][cpu_tlb_slot(la)];
		uint32_t drops = c->jit_drops;

		mmu_probe(c, own, s->size, s->flags & SITE_WRITE, c->tlb_idx);
		if (c->jit_drops != drops)
			return restart(c);
		if (t->tag == (la & ~0xfffull)) {
			fill_slot(c, s, la, t->addend);
			return (struct jit_ret){t->addend, JIT_TO_RETRY};
		}
	}
	lockstep_forget(c->jit->lockstep);
	return go_on_in(c, false, JIT_PLAIN);
}

struct jit_ret run_miss(struct cpu *c, uint32_t site, uint64_t la)
{
	struct jit *j = c->jit->j;
	const struct jit_site *s = &j->sites[site];
	const struct jit_block *b = &j->blocks[s->block];
	uint32_t drops = c->jit_drops;
	uint64_t next;
	bool ok;
	void *p;

	c->jit->st.mem_misses++;
	c->rip = jit_pc_of(c, b, s->pc_off);
	jit_sync_flags(c);
	if (s->slot && c->jit_page_budget[s->slot - 1] == UINT8_MAX && !slot_pays(c, s))
		return restart(c);
	if (s->flags & SITE_GROUP)
		return group_miss(c, s, la);
	if (s->flags & SITE_PARTIAL)
		goto interpret;
	if (b->mode & MODE_CS64 && (!la_is_canonical(la) || !la_is_canonical(la + s->size - 1))) {
		if (s->flags & SITE_SS)
			cpu_raise_error(c, X86_EXC_SS, 0);
		cpu_raise_gp0(c);
	}
	/* A misaligned operand that must not be is the interpreter's to refuse. */
	ok = !(s->flags & SITE_ALIGN && la & (s->size - 1u));
	p = ok ? tlb_ptr(c, la, s) : NULL;
	if (ok && !p && (la & 0xfff) + s->size <= 4096) {
		mmu_probe(c, la, s->size, s->flags & SITE_WRITE, c->tlb_idx);
		p = tlb_ptr(c, la, s);
	}
	if (ok && !p && (la & 0xfff) + s->size > 4096) {
		struct jit_ret ret;

		mmu_probe(c, la, s->size, s->flags & SITE_WRITE, c->tlb_idx);
		ret = fast_miss(c, site, la);
		if (ret.to != JIT_TO_SLOW && c->jit_drops == drops)
			return ret;
	}
	if (c->jit_drops != drops)
		return restart(c);
	if (p) {
		fill_slot(c, s, la, (uint64_t)(uintptr_t)p - la);
		return (struct jit_ret){(uint64_t)(uintptr_t)p - la, JIT_TO_RETRY};
	}
interpret:
	/* Device memory, a page with code, two pages, or a masked operand. */
	c->jit->st.mem_interp++;
	next = jit_pc_of(c, b, s->pc_off + s->len);
	interp_step(c);
	return after_interp(c, s, next, drops);
}

/* --- entering and leaving --- */

static void try_flush(struct jit *j)
{
	pthread_mutex_lock(&j->lock);
	if (atomic_load(&j->flush_pending) && !atomic_load(&j->inside)) {
		table_reset(j);
		j->st.flushes++;
		atomic_fetch_add(&j->epoch, 1);
		atomic_store(&j->flush_pending, false);
	}
	pthread_mutex_unlock(&j->lock);
}

static void leave(struct cpu *c)
{
	struct jit *j = c->jit->j;

	if (!c->jit->inside)
		return;
	c->jit->inside = false;
	if (atomic_fetch_sub(&j->inside, 1) == 1 && atomic_load(&j->flush_pending))
		try_flush(j);
}

static bool enter(struct cpu *c)
{
	struct jit *j = c->jit->j;

	atomic_fetch_add(&j->inside, 1);
	c->jit->inside = true;
	if (atomic_load(&j->flush_pending)) {
		leave(c);
		return false;
	}
	if (c->jit->epoch != atomic_load(&j->epoch)) {
		c->jit->epoch = atomic_load(&j->epoch);
		jump_flush_all(c);
	}
	return true;
}

/* May longjmp through c->fault_jmp. */
static void execute(struct cpu *c)
{
	struct jit *j = c->jit->j;
	enter_fn *fn;
	const void *code = j->rx + j->stub_enter;
	struct jit_ret r;

	c->jit_simd = 0;
	c->xs.xstate_bv = 7;
	c->xs.xcomp_bv = 0;
	c->rflags &= ~(uint64_t)X86_FL_RF;
	jit_take_flags(c);
	r = go_on(c, false);
	if (r.to == JIT_TO_EXIT)
		return;
	c->jit->st.enters++;
	memcpy(&fn, &code, sizeof(fn));
	fn(c, r.to, r.t0);
	jit_sync_flags(c);
	if (c->jit->lockstep) /* an entry found a request */
		lockstep_forget(c->jit->lockstep);
}

void jit_run(struct cpu *c)
{
	jmp_buf *outer = c->fault_jmp, here;

	if (!enter(c))
		return;
	c->fault_jmp = &here;
	if (setjmp(here)) {
		exclusive_abort(c);
		lockstep_forget(c->jit->lockstep);
		c->inhibit_irq = 0;
		cpu_deliver_raised(c);
		c->fault_jmp = &here;
	}
	execute(c);
	c->fault_jmp = outer;
	leave(c);
}
