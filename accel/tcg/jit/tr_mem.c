/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory operands: effective address, look-up in the TLB, host operand.
 *
 * The check compares the page of the access's last byte with the tag in the slot of its first
 * byte, so one that crosses a page misses. An access that must be aligned is compared with its
 * low bits kept instead: misaligned ones miss. A miss calls run_miss(), which comes back with the
 * addend, or has had the interpreter execute the instruction.
 *
 * rsp-based operands use the stack slot, a copy of the write entry of the page that the stack is
 * on, at a fixed place.
 *
 * Page slots: an access, or a group, of a 64-bit user loop compares with a copy of a TLB entry that is its
 * own, at a fixed place, so that its address is not needed to find the addend. Those that go from
 * page to page too quickly use the TLB instead: see slot_pays() in run.c.
 *
 * Groups (tr_group.c): the first access that is emitted checks the bytes of all members and keeps
 * the addend in struct cpu; the others load it from there, unless it is still in T0. If the check
 * fails for good the instruction is where the plain block begins, which checks each access.
 * Whatever may make a kept addend void ends the block: see jit_drops in run.c.
 *
 * Addresses whose registers live in host registers are computed twice rather than kept, since
 * both temporaries are in use during the check.
 */
#include "accel/tcg/jit/tr_ea.h"

static unsigned site_flags(const struct tr *t, const struct tr_access *a)
{
	return (a->write ? SITE_WRITE : 0) | (a->align ? SITE_ALIGN : 0) |
	       (a->write && a->commit ? SITE_COMMIT : 0) | (a->partial ? SITE_PARTIAL : 0) |
	       (t->it->in.mem.seg == X86_SS ? SITE_SS : 0);
}

/* Out of line: T0 holds the linear address; comes back to `back` with T0 = addend. */
static void miss_emit(struct tr *t, uint32_t site, uint32_t stub, uint8_t *back)
{
	const struct jit_site *s = &t->j->sites[site];

	if (s->slot) {
		unsigned span = s->flags & SITE_GROUP ? s->span : s->size;
		unsigned acc = s->flags & (s->flags & SITE_GROUP ? SITE_GROUP_WRITE : SITE_WRITE)
				       ? TLB_WRITE : TLB_READ;

		emit_mov_imm(&t->cold, H_T1,
			     (uint64_t)site << JIT_SLOT_BITS | (s->slot - 1u));
		stub = t->j->stub_page[acc][span > 8];
	} else {
		emit_mov_imm(&t->cold, H_T1, site);
	}
	tr_call(t, &t->cold, stub);
	if (s->flags & SITE_COMMIT) {
		emit_rr(&t->cold, OP_TEST, false, H_T1, H_T1);
		t->bounced = emit_jcc(&t->cold, CC_NE);
		t->operand = back;
	}
	emit_jmp_to(&t->cold, back);
}

void tr_commit(struct tr *t)
{
	size_t n = (size_t)(t->hot.p - t->operand);

	if (!t->bounced)
		return;
	emit_fix32(t->bounced, t->cold.p);
	memcpy(t->cold.p, t->operand, n);
	t->cold.p += n;
	tr_call(t, &t->cold, t->j->stub_commit);
	emit_jmp_to(&t->cold, t->hot.p);
	t->bounced = NULL;
}

/* The mask that leaves a page's tag, or for aligned accesses also what must be zero. */
static int32_t tag_mask(unsigned align)
{
	return align ? -4096 | (int32_t)(align - 1) : -4096;
}

/* T0 is the addend; m without it addresses linear memory. Puts the two together. True if T0 is
 * still the addend. */
static bool join(struct tr *t, const struct tr_access *acc, struct hmem *m)
{
	bool uses_t1 = m->base == H_T1 || m->index == H_T1;

	if (acc->pointer || (m->base != H_NONE && m->index != H_NONE) ||
	    (uses_t1 && acc->free_t1)) {
		if (acc->pointer || m->index == H_T1) {
			/* All of it into T0. */
			if (m->base != H_NONE)
				emit_lea(&t->hot, H_T0, (struct hmem){H_T0, m->base, 0, m->disp});
			else if (m->disp)
				emit_lea(&t->hot, H_T0, (struct hmem){H_T0, H_NONE, 0, m->disp});
			if (m->index != H_NONE)
				emit_lea(&t->hot, H_T0,
					 (struct hmem){H_T0, m->index, m->shift, 0});
			*m = (struct hmem){H_T0, H_NONE, 0, 0};
			return false;
		}
		emit_lea(&t->hot, H_T0, (struct hmem){H_T0, m->base, 0, 0});
		m->base = H_T0;
		return false;
	}
	if (m->base == H_NONE)
		m->base = H_T0;
	else
		m->index = H_T0;
	return true;
}

/* T0 = addend of the page of an address that is known, and fits in a sign-extended immediate: its
 * slot is at a fixed place. */
static uint8_t *const_check(struct tr *t, uint64_t la, bool write)
{
	int off = off_tlb(t->tlb_idx, write) + (int)cpu_tlb_slot(la) * 16;
	uint8_t *miss;

	emit_cpu(&t->hot, 0x81, true, ALU_CMP, off);
	emit32(&t->hot, (uint32_t)(la & ~0xfffull));
	miss = emit_jcc(&t->hot, CC_NE);
	emit_cpu(&t->hot, OP_LOAD, true, H_T0, off + 8);
	return miss;
}

static void mem_const(struct tr *t, const struct tr_access *acc, uint64_t la, struct hmem *m)
{
	uint8_t *miss, *back;
	uint32_t site = tr_site(t, acc->size, site_flags(t, acc));

	miss = const_check(t, la, acc->write);
	back = t->hot.p;
	emit_fix32(miss, t->cold.p);
	emit_mov_imm(&t->cold, H_T0, la);
	miss_emit(t, site, t->j->stub_miss, back);
	*m = (struct hmem){H_T0, H_NONE, 0, (int32_t)la};
	if (acc->pointer && m->disp) {
		emit_lea(&t->hot, H_T0, *m);
		m->disp = 0;
	}
}

/* The stack slot serves what is addressed by rsp alone. */
static bool uses_slot(const struct tr *t)
{
	const struct x86_insn *in = &t->it->in;

	return in->mem.base == X86_RSP && in->mem.index == X86_NO_REG && !tr_seg_off(t, in) &&
	       in->addrsize == 8 && fits_int32(in->mem.disp);
}

/*
 * T0 = the slot's addend if [at], `span` bytes, is within the slot's page. Two offsets are both
 * below 4096 if what they have together is.
 */
static uint8_t *slot_check(struct tr *t, struct hmem at, unsigned span)
{
	unsigned limit = span <= 4 ? 1 : span <= 8 ? 2 : 0;
	unsigned temp = H_T0;
	uint8_t *miss;

	emit_rm(&t->hot, OP_LEA, t->code64, H_T0, at);
	emit_cpu(&t->hot, OP_SUB_LOAD, true, H_T0, off_slot(t->tlb_idx));
	if (!limit) {
		temp = H_T1;
		emit_lea(&t->hot, H_T1, (struct hmem){H_T0, H_NONE, 0, (int32_t)span - 1});
		emit_rr(&t->hot, OP_OR_LOAD, true, H_T1, H_T0);
	}
	emit_cpu(&t->hot, OP_CMP_LOAD, true, temp, off_slot_limit(t->tlb_idx, limit));
	miss = emit_jcc(&t->hot, CC_AE);
	emit_cpu(&t->hot, OP_LOAD, true, H_T0, off_slot_addend(t->tlb_idx));
	return miss;
}

/* The same for operands that must be aligned: with the low bits kept in the comparison. */
static uint8_t *slot_check_aligned(struct tr *t, struct hmem at, unsigned align)
{
	uint8_t *miss;

	emit_rm(&t->hot, OP_LEA, t->code64, H_T0, at);
	emit_alu_imm(&t->hot, ALU_AND, true, H_T0, tag_mask(align));
	emit_cpu(&t->hot, OP_CMP_LOAD, true, H_T0, off_slot(t->tlb_idx));
	miss = emit_jcc(&t->hot, CC_NE);
	emit_cpu(&t->hot, OP_LOAD, true, H_T0, off_slot_addend(t->tlb_idx));
	return miss;
}

/*
 * T0 = addend of the page that [*a + off], `span` bytes, is on, from the TLB.
 */
static uint8_t *tlb_check(struct tr *t, const struct ea *a, int32_t off, unsigned span, int table,
			  unsigned align)
{
	struct hmem at = a->m;

	at.disp += off;
	emit_lea(&t->hot, H_T0, at);
	if (align || span == 1) {
		emit_mov_rr(&t->hot, H_T1, H_T0);
	} else if (a->temp || !fits_int32((int64_t)at.disp + span - 1)) {
		emit_lea(&t->hot, H_T1, (struct hmem){H_T0, H_NONE, 0, (int32_t)span - 1});
	} else {
		at.disp += (int32_t)span - 1;
		emit_lea(&t->hot, H_T1, at);
	}
	return emit_tlb_look_up(&t->hot, table, tag_mask(align));
}

/* --- page slots --- */

/* test T0, align - 1 */
static void emit_test_align(struct jit_buf *b, unsigned align)
{
	emit_rr(b, 0xf6, false, 0, H_T0);
	emit8(b, align - 1);
}

/* A page slot for bytes that are not addressed by a constant, or -1: the TLB is better. */
static int slot_new(struct tr *t, enum ea_form form, unsigned span, bool write)
{
	gpaddr gpa = (t->b->gpa & ~0xfffull) + t->it->off;
	unsigned bit = jit_no_slot_bit(gpa);

	if (!t->user || !t->loops || !t->code64 || t->plain || span > 64 || form == EA_CONST ||
	    t->j->no_slot[bit / 64] >> bit % 64 & 1)
		return -1;
	return (int)(write * JIT_SLOTS + t->j->next_slot[write]++ % JIT_SLOTS);
}

/* As tlb_check(), with a page slot. */
static uint8_t *page_check(struct tr *t, const struct ea *a, int32_t off, unsigned span,
			   unsigned slot)
{
	struct hmem at = a->m;
	int place = off_page_slot(slot);
	uint8_t *miss;

	at.disp += off;
	emit_lea(&t->hot, H_T0, at);
	emit_cpu(&t->hot, OP_SUB_LOAD, true, H_T0, place);
	emit_cpu(&t->hot, OP_CMP_LOAD, true, H_T0,
		 place + (int)offsetof(struct jit_page_slot, limit) + (span > 8 ? 8 : 0));
	miss = emit_jcc(&t->hot, CC_AE);
	emit_cpu(&t->hot, OP_LOAD, true, H_T0,
		 place + (int)offsetof(struct jit_page_slot, addend));
	return miss;
}

/* T0 = addend, by a page slot or the TLB. With a slot, an operand that must be aligned and is not
 * goes another way: the second jump. */
static uint8_t *page_or_tlb(struct tr *t, const struct ea *a, enum ea_form form, int32_t off,
			    unsigned span, bool write, unsigned align, uint32_t site,
			    uint8_t **misaligned)
{
	int slot = slot_new(t, form, span, write);

	if (slot < 0)
		return tlb_check(t, a, off, span, off_tlb(t->tlb_idx, write), align);
	t->j->sites[site].slot = (uint16_t)(slot + 1);
	if (align) {
		emit_lea(&t->hot, H_T0, a->m);
		emit_test_align(&t->hot, align);
		*misaligned = emit_jcc(&t->hot, CC_NE);
		span = 1; /* it ends where its page does, at most */
	}
	return page_check(t, a, off, span, (unsigned)slot);
}

/* --- groups --- */

/* The group that the access is a member of, or NULL: it is checked by itself. */
static struct tr_group *group_of(const struct tr *t, unsigned which)
{
	unsigned g = t->groups->member[t->i][which].group;

	if (t->plain || g == TR_NO_GROUP || t->groups->group[g].held == TR_NO_GROUP)
		return NULL;
	return &t->groups->group[g];
}

/* Whether the group's check covers this access, too, and its bounds can be addressed. */
static bool group_covers(const struct tr *t, unsigned which, int32_t disp,
			 const struct tr_access *acc)
{
	const struct tr_group *g = group_of(t, which);
	int rel = t->groups->member[t->i][which].rel;

	return g && rel >= g->lo && rel + acc->size <= g->hi &&
	       (g->write || !acc->write) && fits_int32((int64_t)disp + g->lo - rel) &&
	       fits_int32((int64_t)disp + g->hi - rel);
}

static bool is_checked(const struct tr *t, unsigned which)
{
	unsigned g = t->groups->member[t->i][which].group;

	return g != TR_NO_GROUP && t->checked >> g & 1;
}

/* Whether the operand is aligned as it must be, as far as is known from other members. */
static bool is_aligned(const struct tr *t, unsigned which, const struct tr_access *acc)
{
	unsigned n = t->groups->member[t->i][which].group;
	int rel = t->groups->member[t->i][which].rel;

	return !acc->align || (is_checked(t, which) && t->groups->known[n].align >= acc->align &&
			       !((rel - t->groups->known[n].rel) & (acc->align - 1)));
}

/* The operand at `at` must be aligned; if it is not the plain block sees to it. Loses T0. */
static void group_align(struct tr *t, unsigned which, struct hmem at, const struct tr_access *acc)
{
	unsigned n = t->groups->member[t->i][which].group;

	emit_lea(&t->hot, H_T0, at);
	emit_test_align(&t->hot, acc->align);
	tr_exit_plain_hot(t, CC_NE);
	t->groups->known[n].align = acc->align;
	t->groups->known[n].rel = t->groups->member[t->i][which].rel;
	t->t0 = TR_NO_GROUP;
}

/* Before the check of a group that was not checked: what is known of addresses is of no use. */
static void group_begin(struct tr *t, unsigned which, struct hmem at, const struct tr_access *acc)
{
	t->groups->known[t->groups->member[t->i][which].group].align = 0;
	if (acc->align)
		group_align(t, which, at, acc);
}

static uint32_t group_site(struct tr *t, const struct tr_group *g, int rel,
			   const struct tr_access *acc, unsigned flags)
{
	uint32_t site = tr_site(t, acc->size, flags | SITE_GROUP | (acc->write ? SITE_WRITE : 0) |
						      (g->write ? SITE_GROUP_WRITE : 0));

	t->j->sites[site].span = (uint16_t)(g->hi - g->lo);
	t->j->sites[site].lead = (uint16_t)(rel - g->lo);
	return site;
}

/* Out of line: T0 holds the address of the first byte. Bytes on two pages are for the plain
 * block. */
static void group_miss_emit(struct tr *t, const struct tr_group *g, uint32_t site, uint8_t *back)
{
	struct tr_plain_exit plain;

	emit_lea(&t->cold, H_T1, (struct hmem){H_T0, H_NONE, 0, g->hi - g->lo - 1});
	emit_rr(&t->cold, OP_XOR_LOAD, true, H_T1, H_T0);
	emit_shift_imm(&t->cold, 5, true, H_T1, 12);
	plain = tr_exit_plain(t, CC_NE);
	miss_emit(t, site, t->j->stub_miss, back);
	tr_exit_plain_end(t, plain);
}

static void group_note(struct tr *t, unsigned which, const struct tr_group *g)
{
	unsigned n = t->groups->member[t->i][which].group;

	emit_cpu(&t->hot, OP_STORE, true, H_T0, off_held(g->held));
	t->checked |= 1ull << n;
	t->j->st.groups++;
	t->t0 = (uint8_t)n;
}

/* T0 = addend of a group that is checked. */
static void group_load(struct tr *t, unsigned which, const struct tr_group *g)
{
	unsigned n = t->groups->member[t->i][which].group;

	t->j->st.shared++;
	if (t->t0 != n)
		emit_cpu(&t->hot, OP_LOAD, true, H_T0, off_held(g->held));
	t->t0 = (uint8_t)n;
}

/* The first of a group's accesses on the stack: checks for all of them. */
static void group_check_stack(struct tr *t, unsigned which, const struct tr_group *g, int rel,
			      struct hmem at, const struct tr_access *acc)
{
	uint32_t site = group_site(t, g, rel, acc, SITE_SLOT | SITE_SS);
	uint8_t *miss, *back;

	at.disp += g->lo - rel;
	miss = slot_check(t, at, (unsigned)(g->hi - g->lo));
	back = t->hot.p;
	emit_fix32(miss, t->cold.p);
	emit_lea(&t->cold, H_T0, at);
	group_miss_emit(t, g, site, back);
	group_note(t, which, g);
}

static bool group_stack(struct tr *t, unsigned which, unsigned reg, int32_t disp,
			const struct tr_access *acc, struct hmem *m)
{
	struct tr_group *g = group_of(t, which);
	struct hmem at = {(uint8_t)reg, H_NONE, 0, disp};
	int rel;

	if (!group_covers(t, which, disp, acc))
		return false;
	rel = t->groups->member[t->i][which].rel;
	if (!is_checked(t, which)) {
		group_begin(t, which, at, acc);
		group_check_stack(t, which, g, rel, at, acc);
	} else {
		if (!is_aligned(t, which, acc))
			group_align(t, which, at, acc);
		group_load(t, which, g);
	}
	*m = at;
	if (join(t, acc, m))
		t->t0_after = t->t0;
	return true;
}

static void group_check_const(struct tr *t, const struct tr_group *g, int rel, uint64_t la,
			      const struct tr_access *acc)
{
	uint32_t site = group_site(t, g, rel, acc, 0);
	uint8_t *miss, *back;

	t->groups->known[t->groups->member[t->i][0].group].align = 0;
	miss = const_check(t, la, g->write);
	back = t->hot.p;
	emit_fix32(miss, t->cold.p);
	emit_mov_imm(&t->cold, H_T0, la + (uint64_t)(int64_t)(g->lo - rel));
	miss_emit(t, site, t->j->stub_miss, back);
	group_note(t, 0, g);
}

static bool group_covers_mem(const struct tr *t, const struct ea *a, enum ea_form form,
			     const struct tr_access *acc)
{
	return group_covers(t, 0, a->m.disp, acc) &&
	       (form != EA_CONST ||
		(fits_int32((int64_t)a->la) && !(acc->align && a->la & (acc->align - 1u))));
}

static bool group_mem(struct tr *t, struct ea *a, enum ea_form form, const struct tr_access *acc,
		      struct hmem *m)
{
	struct tr_group *g = group_of(t, 0);
	int rel = t->groups->member[t->i][0].rel;

	if (!group_covers_mem(t, a, form, acc))
		return false;
	if (is_checked(t, 0)) {
		if (form != EA_CONST && !is_aligned(t, 0, acc)) {
			tr_ea_load(t, &t->hot, a, form, H_T1);
			group_align(t, 0, a->m, acc);
		}
		group_load(t, 0, g);
	} else if (form == EA_CONST) {
		group_check_const(t, g, rel, a->la, acc);
	} else {
		uint32_t site = group_site(t, g, rel, acc, site_flags(t, acc) & SITE_SS);
		unsigned span = (unsigned)(g->hi - g->lo);
		uint8_t *miss, *back;
		struct hmem at;

		tr_ea_load(t, &t->hot, a, form, H_T1);
		group_begin(t, 0, a->m, acc);
		/* What is addressed by rip is on one page by its making. */
		miss = page_or_tlb(t, a, form, g->lo - rel, form == EA_PC ? 1 : span, g->write, 0,
				   site, NULL);
		back = t->hot.p;
		emit_fix32(miss, t->cold.p);
		tr_ea_load(t, &t->cold, a, form, H_T1);
		at = a->m;
		at.disp += g->lo - rel;
		emit_lea(&t->cold, H_T0, at);
		group_miss_emit(t, g, site, back);
		group_note(t, 0, g);
	}
	if (form == EA_CONST) {
		*m = (struct hmem){H_NONE, H_NONE, 0, (int32_t)a->la};
	} else {
		tr_ea_load(t, &t->hot, a, form, H_T1);
		*m = a->m;
	}
	if (join(t, acc, m))
		t->t0_after = t->t0;
	return true;
}

/* --- the templates' view --- */

void tr_clobber_mem(struct tr *t, unsigned park, const struct tr_access *acc)
{
	enum ea_form form;
	struct ea a;
	bool free = false;

	if (!is_aligned(t, 0, acc))
		free = false;
	else if (is_checked(t, 0) && uses_slot(t))
		free = group_covers(t, 0, (int32_t)t->it->in.mem.disp, acc);
	else if (is_checked(t, 0) && tr_ea_form(t, &a, &form) && form != EA_SUM && form != EA_PC_SEG) /* which add */
		free = group_covers_mem(t, &a, form, acc);
	if (!free)
		tr_clobber(t, park);
}

void tr_clobber_stack(struct tr *t, unsigned park, const struct tr_access *acc)
{
	/* Displacements of stack operations are small: 0 does for the question. */
	if (!is_checked(t, 1) || !group_covers(t, 1, 0, acc))
		tr_clobber(t, park);
}

static void stack_single(struct tr *t, unsigned reg, int32_t disp, const struct tr_access *acc,
			 struct hmem *m)
{
	struct hmem at = {(uint8_t)reg, H_NONE, 0, disp};
	unsigned stub = acc->size <= 4 ? 1 : 2;
	uint8_t *miss, *back;
	uint32_t site;

	t->t0 = TR_NO_GROUP;
	site = tr_site(t, acc->size,
				SITE_SLOT | SITE_SS | (acc->write ? SITE_WRITE : 0) |
					(acc->align ? SITE_ALIGN : 0) |
					(acc->write && acc->commit ? SITE_COMMIT : 0) |
					(acc->partial ? SITE_PARTIAL : 0));

	miss = acc->align ? slot_check_aligned(t, at, acc->align) : slot_check(t, at, acc->size);
	back = t->hot.p;
	emit_fix32(miss, t->cold.p);
	emit_rm(&t->cold, OP_LEA, t->code64, H_T0, at);
	miss_emit(t, site, acc->align || acc->size > 8 ? t->j->stub_miss
						       : t->j->stub_slot[t->tlb_idx][stub],
		  back);
	if (!t->code64) { /* the sum may wrap at 4 GiB */
		emit_rm(&t->hot, OP_LEA, false, H_T1, at);
		at = (struct hmem){H_T1, H_NONE, 0, 0};
	}
	*m = at;
	join(t, acc, m);
}

/*
 * 32-bit code, segment with a base: an operand that wraps at the end of the segment is beyond its
 * limit, though its linear address may be a good one. False if it always does.
 */
static bool wrap_check(struct tr *t, unsigned size)
{
	const struct x86_mem *m = &t->it->in.mem;
	uint8_t *wraps;

	if (t->code64 || !tr_seg_off(t, &t->it->in) || size == 1)
		return true;
	if (m->base == X86_NO_REG && m->index == X86_NO_REG)
		return (uint32_t)m->disp <= UINT32_MAX - (size - 1);
	tr_ea_sum(t, &t->hot, m, 0, (int32_t)m->disp, H_T1, true);
	emit_alu_imm(&t->hot, ALU_CMP, false, H_T1, -(int32_t)size);
	wraps = emit_jcc(&t->hot, CC_A);
	tr_interp_cold(t, &wraps, 1, false);
	return true;
}

/* Out of line, behind the look at the low bits: the interpreter refuses the operand. */
static void misaligned_emit(struct tr *t, struct ea *a, enum ea_form form,
			    const struct tr_access *acc)
{
	uint32_t site = tr_site(t, acc->size, site_flags(t, acc));

	tr_ea_load(t, &t->cold, a, form, H_T1);
	emit_lea(&t->cold, H_T0, a->m);
	emit_mov_imm(&t->cold, H_T1, site);
	tr_call(t, &t->cold, t->j->stub_miss); /* and not back */
}

bool tr_mem(struct tr *t, const struct tr_access *acc, struct hmem *m)
{
	enum ea_form form;
	struct ea a;
	uint8_t *miss, *back, *misaligned = NULL;
	uint32_t site;

	t->t0_after = TR_NO_GROUP;
	if (uses_slot(t)) {
		int32_t disp = (int32_t)t->it->in.mem.disp;

		if (!group_stack(t, 0, H_GSP, disp, acc, m))
			stack_single(t, H_GSP, disp, acc, m);
		return true;
	}
	if (!tr_ea_form(t, &a, &form))
		return false;
	if (group_mem(t, &a, form, acc, m))
		return true;
	t->t0 = TR_NO_GROUP;
	if (form == EA_CONST) {
		if (acc->align && a.la & (acc->align - 1u))
			return false;
		if ((a.la & 0xfff) + acc->size > 4096)
			return false;
		if (fits_int32((int64_t)a.la)) {
			mem_const(t, acc, a.la, m);
			return true;
		}
	}
	if (!wrap_check(t, acc->size))
		return false;
	site = tr_site(t, acc->size, site_flags(t, acc));
	tr_ea_load(t, &t->hot, &a, form, H_T1);
	miss = page_or_tlb(t, &a, form, 0, acc->size, acc->write, acc->align, site, &misaligned);
	back = t->hot.p;
	/* Out of line. */
	if (misaligned) {
		emit_fix32(misaligned, t->cold.p);
		misaligned_emit(t, &a, form, acc);
	}
	emit_fix32(miss, t->cold.p);
	tr_ea_load(t, &t->cold, &a, form, H_T1);
	emit_lea(&t->cold, H_T0, a.m);
	miss_emit(t, site, t->j->stub_miss, back);
	/* The operand. */
	if (a.temp)
		tr_ea_load(t, &t->hot, &a, form, H_T1);
	*m = a.m;
	join(t, acc, m);
	return true;
}

void tr_stack(struct tr *t, unsigned reg, int32_t disp, const struct tr_access *acc,
	      struct hmem *m)
{
	t->t0_after = TR_NO_GROUP;
	if (!group_stack(t, 1, reg, disp, acc, m))
		stack_single(t, reg, disp, acc, m);
}

bool tr_lea(struct tr *t, unsigned dst)
{
	const struct x86_insn *in = &t->it->in;
	const struct x86_mem *m = &in->mem;
	bool narrow = in->addrsize == 4 || in->opsize == 4;
	struct hmem a = {H_NONE, H_NONE, 0, 0};
	struct henc e = {.opcode = OP_LEA, .p66 = in->opsize == 2, .w = in->opsize == 8};

	if (in->addrsize == 2 || !fits_int32(m->disp))
		return false;
	/* 32-bit addresses are the low half of the sum; a 16-bit result is its low part. */
	if (narrow)
		e.w = false;
	a.disp = (int32_t)m->disp;
	if (m->base == X86_REG_RIP) {
		int64_t pc = (int64_t)t->it->off + in->len + m->disp;

		if (!fits_int32(pc) || in->opsize == 2)
			return false;
		if (!t->user) {
			uint64_t la = (t->b->va & ~0xfffull) + (uint64_t)pc;

			emit_mov_imm(&t->hot, dst, narrow ? (uint32_t)la : la);
			return true;
		}
		emit_cpu(&t->hot, OP_LOAD, true, H_T0, OFF_PCBASE);
		a = (struct hmem){H_T0, H_NONE, 0, (int32_t)pc};
	} else {
		if (m->base != X86_NO_REG)
			a.base = (uint8_t)tr_reg(t, m->base, H_T0);
		if (m->index != X86_NO_REG) {
			a.index = (uint8_t)tr_reg(t, m->index, H_T1);
			a.shift = (uint8_t)tr_shift_of(m->scale);
		}
	}
	emit_enc_mem(&t->hot, &e, dst, &a, NULL, 0);
	return true;
}
