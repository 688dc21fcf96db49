/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of blocks, the chains between them, and their end.
 *
 * A block is found by guest-physical address, mode and, for kernel code, linear address. Looking
 * up takes no lock; inserting, linking and killing do.
 *
 * A chain is a jump whose displacement, which lies within eight aligned bytes, is replaced by one
 * store, so that whoever executes it sees the old or the new target. A killed block is unlinked
 * in both directions and its entry for indirect jumps becomes a jump to the dispatcher: jump
 * caches, which nobody else can clean, may point there until the cache is emptied. Its memory is
 * not reused before that.
 */
#include "accel/tcg/jit/priv.h"

#include "accel/tcg/jit/dump.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Zeroed memory that costs nothing until it is used; a memfd so that /proc/PID/smaps tells the
 * index of the code cache from everything else. */
static void *reserve(size_t bytes)
{
	int fd = memfd_create("mayfly-code-index", MFD_CLOEXEC);
	void *p;

	if (fd < 0)
		return NULL;
	p = ftruncate(fd, (off_t)bytes) < 0
		    ? MAP_FAILED
		    : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

int jit_add_region(struct jit *j, unsigned region)
{
	j->pages[region] = reserve((j->vm->ram[region].len_bytes >> 12) * sizeof(**j->pages));
	return j->pages[region] ? 0 : -ENOMEM;
}

void jit_drop_region(struct jit *j, unsigned region)
{
	release(j->pages[region], (j->vm->ram[region].len_bytes >> 12) * sizeof(**j->pages));
	j->pages[region] = NULL;
}

int table_create(struct jit *j)
{
	j->blocks = reserve(j->max_blocks * sizeof(*j->blocks));
	j->exits = reserve(j->max_exits * sizeof(*j->exits));
	j->sites = reserve(j->max_sites * sizeof(*j->sites));
	j->insns = reserve(j->max_insns * sizeof(*j->insns));
	j->buckets = reserve(JIT_N_BUCKETS * sizeof(*j->buckets));
	if (!j->blocks || !j->exits || !j->sites || !j->insns || !j->buckets)
		return -1;
	for (unsigned i = 0; i < j->vm->n_ram; i++)
		if (jit_add_region(j, i) < 0)
			return -1;
	j->n_blocks = j->n_exits = j->n_sites = j->n_insns = 1; /* 0 is none */
	return 0;
}

void table_destroy(struct jit *j)
{
	release(j->blocks, j->max_blocks * sizeof(*j->blocks));
	release(j->exits, j->max_exits * sizeof(*j->exits));
	release(j->sites, j->max_sites * sizeof(*j->sites));
	release(j->insns, j->max_insns * sizeof(*j->insns));
	release((void *)(uintptr_t)j->buckets, JIT_N_BUCKETS * sizeof(*j->buckets));
	for (unsigned i = 0; i < j->vm->n_ram; i++)
		jit_drop_region(j, i);
}

struct jit_page *table_page(struct jit *j, gpaddr gpa)
{
	for (unsigned i = 0; i < j->vm->n_ram; i++) {
		uint64_t off = gpa - j->vm->ram[i].base;

		if (off < j->vm->ram[i].len_bytes)
			return &j->pages[i][off >> 12];
	}
	return NULL;
}

/* The link of a block that is in the list of page p. */
static uint32_t *link_of(struct jit *j, uint32_t block, const struct jit_page *p)
{
	struct jit_block *b = &j->blocks[block];

	return table_page(j, b->gpa) == p ? &b->next_page : &b->next_page2;
}

uint32_t table_next(struct jit *j, uint32_t block, const struct jit_page *p)
{
	return *link_of(j, block, p);
}

/* Lines of page p that a block depends on; of a second page only the first. */
uint64_t table_lines(struct jit *j, uint32_t block, const struct jit_page *p)
{
	struct jit_block *b = &j->blocks[block];

	return table_page(j, b->gpa) == p ? b->lines : 1;
}

static void page_insert(struct jit *j, uint32_t block, struct jit_page *p)
{
	*link_of(j, block, p) = p->first;
	p->first = block;
	atomic_fetch_or(&p->lines, table_lines(j, block, p));
}

void table_insert(struct jit *j, uint32_t block)
{
	struct jit_block *b = &j->blocks[block];
	_Atomic uint32_t *head = &j->buckets[table_bucket(b->gpa, b->va, b->mode)];

	page_insert(j, block, table_page(j, b->gpa));
	if (b->gpa2)
		page_insert(j, block, table_page(j, b->gpa2));
	b->next_hash = atomic_load_explicit(head, memory_order_relaxed);
	atomic_store_explicit(head, block, memory_order_release);
}

static void hash_remove(struct jit *j, uint32_t block)
{
	struct jit_block *b = &j->blocks[block];
	_Atomic uint32_t *head = &j->buckets[table_bucket(b->gpa, b->va, b->mode)];
	uint32_t i = atomic_load_explicit(head, memory_order_relaxed);

	if (i == block) {
		atomic_store_explicit(head, b->next_hash, memory_order_release);
		return;
	}
	while (j->blocks[i].next_hash != block)
		i = j->blocks[i].next_hash;
	__atomic_store_n(&j->blocks[i].next_hash, b->next_hash, __ATOMIC_RELEASE);
}

static void page_remove(struct jit *j, uint32_t block, gpaddr gpa)
{
	struct jit_page *p = table_page(j, gpa);
	uint32_t *at = &p->first;
	uint64_t lines = 0;

	while (*at != block)
		at = link_of(j, *at, p);
	*at = *link_of(j, block, p);
	for (uint32_t i = p->first; i; i = *link_of(j, i, p))
		lines |= table_lines(j, i, p);
	atomic_store(&p->lines, lines);
	if (!p->first)
		phys_clear_code(j->vm, gpa);
}

/* Replaces n bytes that lie within eight aligned ones, by one store. */
static void patch(struct jit *j, uint32_t off, const void *bytes, unsigned n)
{
	uint64_t *word = (uint64_t *)(void *)jit_rw(j, off & ~7u);
	uint64_t v = *word;

	memcpy((uint8_t *)&v + (off & 7), bytes, n);
	__atomic_store_n(word, v, __ATOMIC_RELEASE);
}

static void patch_rel(struct jit *j, uint32_t at, uint32_t target)
{
	int32_t rel = (int32_t)(target - (at + 4));

	patch(j, at, &rel, 4);
}

void table_link(struct jit *j, uint32_t exit, uint32_t block, gpaddr target_page)
{
	struct jit_exit *e = &j->exits[exit];
	struct jit_block *b = &j->blocks[block];
	uint32_t tag = (uint32_t)(target_page >> 8), old;

	if (e->to || !e->rel || b->dead || j->blocks[e->block].dead)
		return;
	if (e->guard) {
		/* The guard is set once: another vCPU may be past it at any time. */
		memcpy(&old, jit_rw(j, e->guard), 4);
		if (target_page >> 40 || (old != ~0u && old != tag))
			return;
	}
	patch_rel(j, e->rel, e->flags_e ? b->entry_e : b->entry_m);
	if (e->guard)
		patch(j, e->guard, &tag, 4);
	e->to = block;
	e->next = b->incoming;
	b->incoming = exit;
	j->st.links++;
}

static void unlink_exit(struct jit *j, uint32_t exit)
{
	struct jit_exit *e = &j->exits[exit];

	patch_rel(j, e->rel, e->stub);
	e->to = 0;
}

void table_unlink(struct jit *j, uint32_t exit)
{
	uint32_t to = j->exits[exit].to, *at = &j->blocks[to].incoming;

	if (!to)
		return;
	while (*at != exit)
		at = &j->exits[*at].next;
	*at = j->exits[exit].next;
	unlink_exit(j, exit);
}

void table_kill(struct jit *j, uint32_t block)
{
	struct jit_block *b = &j->blocks[block];
	uint8_t jump[5] = {0xe9};
	int32_t rel = (int32_t)(j->stub_dispatch - (b->entry_ind + 5));

	hash_remove(j, block);
	page_remove(j, block, b->gpa);
	if (b->gpa2)
		page_remove(j, block, b->gpa2);
	b->dead = true;
	for (uint32_t e = b->incoming; e; e = j->exits[e].next)
		unlink_exit(j, e);
	b->incoming = 0;
	for (uint32_t i = 0; i < b->n_exits; i++)
		table_unlink(j, b->first_exit + i);
	memcpy(jump + 1, &rel, 4);
	patch(j, b->entry_ind, jump, sizeof(jump));
	j->st.kills++;
}

static void forget_page(struct jit *j, gpaddr gpa)
{
	struct jit_page *p = table_page(j, gpa);

	if (!p->first)
		return;
	p->first = 0;
	atomic_store(&p->lines, 0);
	phys_clear_code(j->vm, gpa);
}

void table_reset(struct jit *j)
{
	for (uint32_t i = 1; i < j->n_blocks; i++) {
		forget_page(j, j->blocks[i].gpa);
		if (j->blocks[i].gpa2)
			forget_page(j, j->blocks[i].gpa2);
	}
	for (unsigned i = 0; i < JIT_N_BUCKETS; i++)
		atomic_store_explicit(&j->buckets[i], 0, memory_order_relaxed);
	j->n_blocks = j->n_exits = j->n_sites = j->n_insns = 1;
	j->hot = j->hot_start;
	j->cold = j->cold_start;
	dump_reset(j);
}
