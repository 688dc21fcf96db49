/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event delivery in real, VM86, protected and long mode: frames, stacks, flags, error codes, and
 * faults of faults up to shutdown.
 */
#include "tests/tcg/cpu_rig.h"

#include <criterion/criterion.h>

struct ev {
	unsigned vector;
	enum cpu_event kind;
	bool has_error;
	uint32_t error;
};

static void do_deliver(struct cpu *c, void *arg)
{
	struct ev *e = arg;

	cpu_deliver(c, e->vector, e->kind, e->has_error, e->error, 0x5555);
}

static void expect(struct rig *r, struct ev e, int vector, uint32_t error)
{
	struct rig_fault f = rig_catch(r->c, do_deliver, &e);

	cr_assert_eq(f.vector, vector, "vector %d, expected %d", f.vector, vector);
	if (vector >= 0)
		cr_assert_eq(f.error, error, "error code %x, expected %x", f.error, error);
}

static void put_gate32(struct rig *r, unsigned vector, uint16_t sel, uint32_t off, unsigned attr)
{
	rig_put(r, RIG_IDT + vector * 8, (off & 0xffff) | (uint64_t)sel << 16 |
						 (uint64_t)attr << 40 | (uint64_t)(off >> 16) << 48, 8);
}

static void put_gate64(struct rig *r, unsigned vector, uint16_t sel, uint64_t off, unsigned attr,
		       unsigned ist)
{
	rig_put(r, RIG_IDT + vector * 16, (off & 0xffff) | (uint64_t)sel << 16 |
						  (uint64_t)ist << 32 | (uint64_t)attr << 40 |
						  (off >> 16 & 0xffff) << 48, 8);
	rig_put(r, RIG_IDT + vector * 16 + 8, off >> 32, 8);
}

static void user32(struct rig *r)
{
	struct cpu *c = r->c;

	c->seg[X86_CS] = (struct x86_seg){RIG_CS3, 0xcfb, 0xffffffff, 0};
	c->seg[X86_SS] = (struct x86_seg){RIG_DS3, 0xcf3, 0xffffffff, 0};
	c->cpl = 3;
	rig_put(r, RIG_TSS_AT + 4, 0x8000, 4);
	rig_put(r, RIG_TSS_AT + 8, RIG_DS0, 4);
	cpu_update_mode(c);
}

static void user64(struct rig *r)
{
	struct cpu *c = r->c;

	c->seg[X86_CS] = (struct x86_seg){RIG_CS64U, 0xafb, 0xffffffff, 0};
	c->seg[X86_SS] = (struct x86_seg){RIG_DS3, 0xcf3, 0xffffffff, 0};
	c->cpl = 3;
	rig_put(r, RIG_TSS_AT + 4, 0x8000, 8);
	cpu_update_mode(c);
}

Test(excp, real_mode_pushes_six_bytes)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	c->idt = (struct x86_table){0, 0x3ff};
	c->seg[X86_CS] = (struct x86_seg){0x1000, 0x9b, 0xffff, 0x10000};
	c->seg[X86_SS] = (struct x86_seg){0x0800, 0x93, 0xffff, 0x8000};
	c->gpr[X86_RSP] = 0x12340100;
	c->rflags = 0x302;
	rig_put(r, 0x20 * 4, 0x30002000, 4);
	expect(r, (struct ev){0x20, CPU_EV_EXTERNAL, false, 0}, -1, 0);
	cr_assert_eq(c->rip, 0x2000);
	cr_assert_eq(c->seg[X86_CS].base, 0x30000);
	cr_assert_eq(c->gpr[X86_RSP], 0x123400fa);
	cr_assert_eq(rig_get(r, 0x80fa, 2), 0x5555);
	cr_assert_eq(rig_get(r, 0x80fc, 2), 0x1000);
	cr_assert_eq(rig_get(r, 0x80fe, 2), 0x302);
	cr_assert_eq(c->rflags, 2);
	c->idt.limit = 0x20 * 4 + 2;
	expect(r, (struct ev){0x20, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, 0x20 * 8 + 3);
	rig_destroy(r);
}

Test(excp, protected_mode_same_and_inner_ring)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_protected(r);
	put_gate32(r, 0x30, RIG_CS0, 0x12345678, 0x8e);
	put_gate32(r, 14, RIG_CS0, 0x4000, 0x8f);
	c->rflags = 0x202;
	expect(r, (struct ev){0x30, CPU_EV_EXTERNAL, false, 0}, -1, 0);
	cr_assert_eq(c->rip, 0x12345678);
	cr_assert_eq(c->gpr[X86_RSP], 0x9000 - 12);
	cr_assert_eq(rig_get(r, 0x8ffc, 4), 0x202);
	cr_assert_eq(rig_get(r, 0x8ff4, 4), 0x5555);
	cr_assert_eq(c->rflags, 2);

	rig_protected(r);
	user32(r);
	c->rflags = 0x202;
	c->gpr[X86_RSP] = 0xa000;
	expect(r, (struct ev){14, CPU_EV_FAULT, true, 7}, -1, 0);
	cr_assert_eq(c->cpl, 0);
	cr_assert_eq(c->gpr[X86_RSP], 0x8000 - 24);
	cr_assert_eq(rig_get(r, 0x7ffc, 4), RIG_DS3);
	cr_assert_eq(rig_get(r, 0x7ff8, 4), 0xa000);
	cr_assert_eq(rig_get(r, 0x7ff4, 4), 0x202 | X86_FL_RF);
	cr_assert_eq(rig_get(r, 0x7ff0, 4), RIG_CS3);
	cr_assert_eq(rig_get(r, 0x7fec, 4), 0x5555);
	cr_assert_eq(rig_get(r, 0x7fe8, 4), 7);
	cr_assert(c->rflags & X86_FL_IF); /* trap gate */
	rig_destroy(r);
}

Test(excp, software_interrupt_needs_gate_privilege)
{
	struct rig *r = rig_create(1);

	rig_protected(r);
	user32(r);
	put_gate32(r, 0x80, RIG_CS0, 0x4000, 0x8e);
	expect(r, (struct ev){0x80, CPU_EV_SOFT, false, 0}, X86_EXC_GP, 0x80 * 8 + 2);
	put_gate32(r, 0x80, RIG_CS0, 0x4000, 0xee);
	expect(r, (struct ev){0x80, CPU_EV_SOFT, false, 0}, -1, 0);
	cr_assert_eq(r->c->cpl, 0);
	rig_destroy(r);
}

Test(excp, bad_gates_have_the_manuals_codes)
{
	struct rig *r = rig_create(1);

	rig_protected(r);
	put_gate32(r, 1, RIG_CS0, 0, 0x8c);                   /* a call gate */
	put_gate32(r, 2, RIG_CS0, 0, 0x0e);                   /* not present */
	put_gate32(r, 3, 0, 0, 0x8e);                         /* null */
	put_gate32(r, 4, RIG_DS0, 0, 0x8e);                   /* data */
	put_gate32(r, 5, RIG_CS3, 0, 0x8e);                   /* outer ring */
	put_gate32(r, 6, RIG_CS16, 0x10000, 0x8e);            /* beyond the limit */
	expect(r, (struct ev){1, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, 1 * 8 + 3);
	expect(r, (struct ev){1, CPU_EV_SOFT, false, 0}, X86_EXC_GP, 1 * 8 + 2);
	expect(r, (struct ev){2, CPU_EV_EXTERNAL, false, 0}, X86_EXC_NP, 2 * 8 + 3);
	expect(r, (struct ev){3, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, 1);
	expect(r, (struct ev){4, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, RIG_DS0 | 1);
	expect(r, (struct ev){5, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, (RIG_CS3 & ~3) | 1);
	expect(r, (struct ev){6, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, 1);
	r->c->idt.limit = 7;
	expect(r, (struct ev){6, CPU_EV_SOFT, false, 0}, X86_EXC_GP, 6 * 8 + 2);
	rig_destroy(r);
}

Test(excp, vm86_pushes_all_segments_and_obeys_iopl)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_protected(r);
	user32(r);
	put_gate32(r, 0x21, RIG_CS0, 0x4000, 0xee);
	c->rflags = X86_FL_VM | 2;
	c->seg[X86_ES].selector = 0x1111;
	c->seg[X86_GS].selector = 0x2222;
	c->seg[X86_CS] = (struct x86_seg){0x1000, 0xf3, 0xffff, 0x10000};
	cpu_update_mode(c);
	expect(r, (struct ev){0x21, CPU_EV_SOFT, false, 0}, X86_EXC_GP, 0);
	c->rflags |= X86_FL_IOPL;
	expect(r, (struct ev){0x21, CPU_EV_SOFT, false, 0}, -1, 0);
	cr_assert_eq(c->gpr[X86_RSP], 0x8000 - 36);
	cr_assert_eq(rig_get(r, 0x7ffc, 4), 0x2222);
	cr_assert_eq(rig_get(r, 0x7ff0, 4), 0x1111);
	cr_assert_eq(c->seg[X86_ES].attr & X86_SEG_P, 0);
	cr_assert_not(c->rflags & X86_FL_VM);
	rig_destroy(r);
}

Test(excp, vme_redirects_int_n_through_the_vector_table)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_protected(r);
	c->cr4 = X86_CR4_VME;
	rig_put(r, RIG_TSS_AT + 102, 0x100, 2); /* bitmap for INT n: 32 bytes before it, zeroes */
	rig_put(r, 0x21 * 4, 0x30002000, 4);
	c->rflags = X86_FL_VM | X86_FL_VIF | 2;
	c->seg[X86_SS] = (struct x86_seg){0x0900, 0xf3, 0xffff, 0x9000};
	c->seg[X86_CS] = (struct x86_seg){0x1000, 0xf3, 0xffff, 0x10000};
	c->gpr[X86_RSP] = 0x100;
	cpu_update_mode(c);
	expect(r, (struct ev){0x21, CPU_EV_SOFT, false, 0}, -1, 0);
	cr_assert_eq(c->seg[X86_CS].base, 0x30000);
	cr_assert_eq(c->rip, 0x2000);
	cr_assert(c->rflags & X86_FL_VM);
	cr_assert_not(c->rflags & X86_FL_VIF);
	cr_assert_eq(rig_get(r, 0x90fe, 2), 0x3202); /* IOPL 3, IF = VIF */
	rig_destroy(r);
}

Test(excp, long_mode_frame_stack_and_ist)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	put_gate64(r, 14, RIG_CS64, 0x123456789abc, 0x8e, 0);
	put_gate64(r, 2, RIG_CS64, 0x6000, 0x8e, 3);
	rig_put(r, RIG_TSS_AT + 36 + 2 * 8, 0x7008, 8); /* IST3, to be aligned down */
	user64(r);
	c->rflags = 0x202;
	c->gpr[X86_RSP] = 0xdead0;
	expect(r, (struct ev){14, CPU_EV_FAULT, true, 6}, -1, 0);
	cr_assert_eq(c->rip, 0x123456789abc);
	cr_assert_eq(c->cpl, 0);
	cr_assert_eq(c->gpr[X86_RSP], 0x8000 - 48);
	cr_assert_eq(rig_get(r, 0x7ff8, 8), RIG_DS3);
	cr_assert_eq(rig_get(r, 0x7ff0, 8), 0xdead0);
	cr_assert_eq(rig_get(r, 0x7fe8, 8), 0x202 | X86_FL_RF);
	cr_assert_eq(rig_get(r, 0x7fe0, 8), RIG_CS64U);
	cr_assert_eq(rig_get(r, 0x7fd8, 8), 0x5555);
	cr_assert_eq(rig_get(r, 0x7fd0, 8), 6);
	cr_assert_eq(c->seg[X86_SS].selector, 0);
	cr_assert_eq(c->rflags, 2);
	/* nested on the IST stack, same ring */
	expect(r, (struct ev){2, CPU_EV_EXTERNAL, false, 0}, -1, 0);
	cr_assert_eq(c->gpr[X86_RSP], 0x7000 - 40);
	rig_destroy(r);
}

Test(excp, long_mode_refuses_what_it_must)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	put_gate64(r, 3, RIG_CS64, 0x6000, 0x85, 0); /* no task gates */
	put_gate64(r, 4, RIG_CS0, 0x6000, 0x8e, 0);  /* 32-bit code */
	put_gate64(r, 5, RIG_CS64, 1ull << 50, 0x8e, 0);
	put_gate64(r, 6, RIG_CS64, 0x6000, 0x8e, 1);
	expect(r, (struct ev){3, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, 3 * 8 + 3);
	expect(r, (struct ev){4, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, RIG_CS0 | 1);
	expect(r, (struct ev){5, CPU_EV_EXTERNAL, false, 0}, X86_EXC_GP, 1);
	rig_put(r, RIG_TSS_AT + 36, 1ull << 48, 8);
	expect(r, (struct ev){6, CPU_EV_EXTERNAL, false, 0}, X86_EXC_SS, 1);
	c->tr.limit = 0x20;
	expect(r, (struct ev){6, CPU_EV_EXTERNAL, false, 0}, X86_EXC_TS, RIG_TSS | 1);
	rig_destroy(r);
}

/* --- faults of faults --- */

static void raise_gp(struct cpu *c, void *arg)
{
	cpu_raise_error(c, X86_EXC_GP, 0x40);
}

static void raise_ud(struct cpu *c, void *arg)
{
	cpu_raise(c, X86_EXC_UD);
}

Test(excp, raised_fault_is_delivered_with_its_rip)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	put_gate64(r, 13, RIG_CS64, 0x6000, 0x8e, 0);
	c->rip = 0x1234;
	rig_catch(c, raise_gp, NULL);
	cpu_deliver_raised(c);
	cr_assert_eq(c->rip, 0x6000);
	cr_assert_eq(rig_get(r, c->gpr[X86_RSP], 8), 0x40);
	cr_assert_eq(rig_get(r, c->gpr[X86_RSP] + 8, 8), 0x1234);
	cr_assert_eq(c->delivering, -1);
	rig_destroy(r);
}

Test(excp, contributory_pair_is_a_double_fault)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	put_gate64(r, 13, RIG_CS64, 0x6000, 0x0e, 0); /* not present: #NP in #GP */
	put_gate64(r, 8, RIG_CS64, 0x7000, 0x8e, 0);
	rig_catch(c, raise_gp, NULL);
	cpu_deliver_raised(c);
	cr_assert_eq(c->rip, 0x7000);
	cr_assert_eq(rig_get(r, c->gpr[X86_RSP], 8), 0);
	cr_assert_eq(c->shutdown, 0);
	rig_destroy(r);
}

Test(excp, benign_first_fault_gives_the_second)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	put_gate64(r, 6, RIG_CS64, 0x6000, 0x0e, 0); /* #UD's gate is absent: #NP */
	put_gate64(r, 11, RIG_CS64, 0x7000, 0x8e, 0);
	rig_catch(c, raise_ud, NULL);
	cpu_deliver_raised(c);
	cr_assert_eq(c->rip, 0x7000);
	cr_assert_eq(rig_get(r, c->gpr[X86_RSP], 8), 6 * 8 + 3);
	rig_destroy(r);
}

Test(excp, triple_fault_shuts_down)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	c->idt.limit = 0;
	rig_catch(c, raise_gp, NULL);
	cpu_deliver_raised(c);
	cr_assert_eq(c->shutdown, 1);
	cr_assert_not(cpu_poll(c));
	rig_destroy(r);
}

Test(excp, page_fault_in_page_fault_is_a_double_fault)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	put_gate64(r, 14, RIG_CS64, 0x6000, 0x8e, 0);
	put_gate64(r, 8, RIG_CS64, 0x7000, 0x8e, 1);
	rig_put(r, RIG_TSS_AT + 36, 0x8000, 8);
	c->gpr[X86_RSP] = 0x7f0000000000; /* not mapped */
	rig_catch(c, raise_gp, NULL);
	c->exc_vector = X86_EXC_PF;
	cpu_deliver_raised(c);
	cr_assert_eq(c->rip, 0x7000);
	cr_assert_eq(c->gpr[X86_RSP], 0x8000 - 48);
	cr_assert_eq(c->cr2, 0x7f0000000000 - 48);
	rig_destroy(r);
}

Test(excp, delivery_that_faults_changes_no_register)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;
	struct x86_state before, after;

	rig_long(r);
	user64(r);
	put_gate64(r, 0x20, RIG_CS64, 0x6000, 0x8e, 0);
	rig_put(r, RIG_TSS_AT + 4, 0x7f0000000000, 8);
	cpu_get_state(c, &before);
	before.cr2 = 0x7f0000000000 - 40;
	expect(r, (struct ev){0x20, CPU_EV_EXTERNAL, false, 0}, X86_EXC_PF, PF_W);
	cpu_get_state(c, &after);
	cr_assert_arr_eq((char *)&before, (char *)&after, sizeof(before));
	rig_destroy(r);
}

/* H63: any IDT, any TSS; delivery ends in a handler or in shutdown. */
Test(excp, garbage_tables_end_in_a_handler_or_shutdown)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;
	uint32_t seed = 5;
	unsigned n_shutdown = 0, n_handled = 0;

	for (unsigned i = 0; i < 20000; i++) {
		if (rig_random(&seed) & 1)
			rig_long(r);
		else
			rig_protected(r);
		for (unsigned n = 0; n < 0x200; n += 8)
			rig_put(r, RIG_IDT + n, ((uint64_t)rig_random(&seed) << 32 |
						 rig_random(&seed)) & 0xffff8fe7ffffffff,
				8);
		for (unsigned v = 0; v < 32; v++)
			if (rig_random(&seed) & 1)
				rig_put(r, RIG_IDT + v * (c->efer ? 16 : 8) + 2,
					c->efer ? RIG_CS64 : RIG_CS0, 2);
		c->cpl = rig_random(&seed) & 3;
		c->rflags = (rig_random(&seed) & 0x277fd7) | 2;
		if (c->efer)
			c->rflags &= ~(uint64_t)X86_FL_VM;
		c->gpr[X86_RSP] = rig_random(&seed) & 1 ? 0x9000 : rig_random(&seed);
		c->tr.limit = rig_random(&seed) & 3 ? 0x7ff : rig_random(&seed) & 0x7f;
		if (!(rig_random(&seed) & 7))
			c->tr.base = (uint64_t)rig_random(&seed) << 8;
		c->shutdown = 0;
		cpu_update_mode(c);
		rig_catch(c, raise_ud, NULL);
		c->exc_vector = rig_random(&seed) & 31;
		c->exc_has_error = rig_random(&seed) & 1;
		cpu_deliver_raised(c);
		cr_assert_eq(c->delivering, -1);
		n_shutdown += c->shutdown;
		n_handled += !c->shutdown;
		r->n_mmio = 0;
	}
	cr_assert(n_shutdown > 100 && n_handled > 100, "%u %u", n_shutdown, n_handled);
	rig_destroy(r);
}
