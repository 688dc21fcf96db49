/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segmentation: linear addresses, loads of segment registers, far transfers, SYSCALL, port
 * permissions, task switches, control-register checks. Error codes are those of the manual.
 */
#include "tests/tcg/cpu_rig.h"

#include <criterion/criterion.h>

struct args {
	unsigned seg;
	uint16_t sel;
	uint64_t off;
	unsigned len; /* or operand size */
	bool write;
	uint64_t out;
};

static void do_load(struct cpu *c, void *arg)
{
	struct args *a = arg;

	cpu_load_seg(c, a->seg, a->sel);
}

static void do_linear(struct cpu *c, void *arg)
{
	struct args *a = arg;

	a->out = cpu_linear(c, a->seg, a->off, a->len, a->write);
}

static void do_jump(struct cpu *c, void *arg)
{
	struct args *a = arg;

	cpu_far_jump(c, a->sel, a->off, a->len);
}

static void do_call(struct cpu *c, void *arg)
{
	struct args *a = arg;

	cpu_far_call(c, a->sel, a->off, a->len, 0x5005);
}

static void do_ret(struct cpu *c, void *arg)
{
	struct args *a = arg;

	cpu_far_return(c, a->len, (unsigned)a->off);
}

static void do_iret(struct cpu *c, void *arg)
{
	struct args *a = arg;

	cpu_iret(c, a->len);
}

static void do_in(struct cpu *c, void *arg)
{
	struct args *a = arg;

	a->out = cpu_in(c, (uint16_t)a->off, a->len == 8 ? 4 : a->len);
}

static void do_write_cr(struct cpu *c, void *arg)
{
	struct args *a = arg;

	cpu_write_cr(c, a->seg, a->off);
}

static void expect(struct rig *r, void (*fn)(struct cpu *, void *), struct args a, int vector,
		   uint32_t error)
{
	struct rig_fault f = rig_catch(r->c, fn, &a);

	cr_assert_eq(f.vector, vector, "vector %d, expected %d", f.vector, vector);
	if (vector >= 0)
		cr_assert_eq(f.error, error, "error code %x, expected %x", f.error, error);
}

static struct rig *protected_rig(void)
{
	struct rig *r = rig_create(1);

	rig_protected(r);
	return r;
}

static void set_cpl3(struct rig *r)
{
	struct cpu *c = r->c;

	c->seg[X86_CS] = (struct x86_seg){RIG_CS3, 0xcfb, 0xffffffff, 0};
	c->seg[X86_SS] = (struct x86_seg){RIG_DS3, 0xcf3, 0xffffffff, 0};
	c->cpl = 3;
	cpu_update_mode(c);
}

Test(seg, load_checks_selector_type_privilege_presence)
{
	struct rig *r = protected_rig();

	expect(r, do_load, (struct args){.seg = X86_DS, .sel = RIG_DS0}, -1, 0);
	expect(r, do_load, (struct args){.seg = X86_DS, .sel = 0}, -1, 0);
	expect(r, do_load, (struct args){.seg = X86_DS, .sel = 0x100}, X86_EXC_GP, 0x100);
	expect(r, do_load, (struct args){.seg = X86_DS, .sel = 0x0c}, X86_EXC_GP, 0x0c); /* no LDT */
	expect(r, do_load, (struct args){.seg = X86_DS, .sel = RIG_TSS}, X86_EXC_GP, RIG_TSS);
	expect(r, do_load, (struct args){.seg = X86_DS, .sel = RIG_NP}, X86_EXC_NP, RIG_NP);
	expect(r, do_load, (struct args){.seg = X86_DS, .sel = RIG_DS0 | 3}, X86_EXC_GP, RIG_DS0);
	expect(r, do_load, (struct args){.seg = X86_DS, .sel = RIG_CONF | 3}, -1, 0);
	expect(r, do_load, (struct args){.seg = X86_SS, .sel = 0}, X86_EXC_GP, 0);
	expect(r, do_load, (struct args){.seg = X86_SS, .sel = RIG_DATA_RO}, X86_EXC_GP, RIG_DATA_RO);
	expect(r, do_load, (struct args){.seg = X86_SS, .sel = RIG_DS3}, X86_EXC_GP, RIG_DS3 & ~3);
	expect(r, do_load, (struct args){.seg = X86_SS, .sel = RIG_NP}, X86_EXC_SS, RIG_NP);
	expect(r, do_load, (struct args){.seg = X86_SS, .sel = RIG_DS0}, -1, 0);
	rig_destroy(r);
}

Test(seg, load_sets_accessed_once)
{
	struct rig *r = protected_rig();

	rig_put(r, RIG_GDT + RIG_FREE, rig_desc(0x12345678, 0xfff, 0x492), 8);
	expect(r, do_load, (struct args){.seg = X86_ES, .sel = RIG_FREE}, -1, 0);
	cr_assert_eq(rig_get(r, RIG_GDT + RIG_FREE + 5, 1), 0x93);
	cr_assert_eq(r->c->seg[X86_ES].base, 0x12345678);
	cr_assert_eq(r->c->seg[X86_ES].limit, 0xfff);
	cr_assert_eq(r->c->seg[X86_ES].attr, 0x493);
	rig_destroy(r);
}

Test(seg, linear_checks_limits_both_ways)
{
	struct rig *r = protected_rig();
	struct x86_seg *ds = &r->c->seg[X86_DS];

	*ds = (struct x86_seg){RIG_DS0, 0x493, 0xfff, 0x10000};
	cpu_update_mode(r->c);
	cr_assert_not(r->c->mode & MODE_FLAT);
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 0xffc, .len = 4}, -1, 0);
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 0xffd, .len = 4}, X86_EXC_GP, 0);
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 0xffffffff, .len = 4}, X86_EXC_GP, 0);
	ds->attr = 0x497; /* expand-down: 0x1000..0xffffffff */
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 0xfff, .len = 1}, X86_EXC_GP, 0);
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 0x1000, .len = 4}, -1, 0);
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 0xfffffffd, .len = 4}, X86_EXC_GP, 0);
	ds->attr = 0x97; /* 16-bit expand-down */
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 0x10000, .len = 1}, X86_EXC_GP, 0);
	r->c->seg[X86_SS].limit = 0xfff;
	expect(r, do_linear, (struct args){.seg = X86_SS, .off = 0x1000, .len = 1}, X86_EXC_SS, 0);
	*ds = (struct x86_seg){0};
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 0, .len = 1}, X86_EXC_GP, 0);
	expect(r, do_linear, (struct args){.seg = X86_CS, .off = 0, .len = 1, .write = true},
	       X86_EXC_GP, 0);
	rig_destroy(r);
}

Test(seg, linear_in_64_bit_code_is_canonical_or_faults)
{
	struct rig *r = rig_create(1);
	struct args a = {.seg = X86_GS, .off = 0x10, .len = 8};

	rig_long(r);
	r->c->seg[X86_GS].base = 0xffff888000000000;
	r->c->seg[X86_DS].base = 0x1000; /* ignored */
	rig_catch(r->c, do_linear, &a);
	cr_assert_eq(a.out, 0xffff888000000010);
	a.seg = X86_DS;
	rig_catch(r->c, do_linear, &a);
	cr_assert_eq(a.out, 0x10);
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = 1ull << 47, .len = 1}, X86_EXC_GP, 0);
	expect(r, do_linear, (struct args){.seg = X86_SS, .off = 1ull << 47, .len = 1}, X86_EXC_SS, 0);
	expect(r, do_linear, (struct args){.seg = X86_DS, .off = (1ull << 47) - 4, .len = 8},
	       X86_EXC_GP, 0);
	rig_destroy(r);
}

Test(seg, unreal_mode_keeps_limits)
{
	struct rig *r = protected_rig();
	struct args a = {.seg = X86_DS, .off = 0x123456, .len = 4};

	r->c->cr0 &= ~(uint64_t)X86_CR0_PE;
	cpu_update_mode(r->c);
	expect(r, do_load, (struct args){.seg = X86_DS, .sel = 0x100}, -1, 0);
	cr_assert_eq(rig_catch(r->c, do_linear, &a).vector, -1);
	cr_assert_eq(a.out, 0x123456 + 0x1000);
	rig_destroy(r);
}

Test(seg, far_jump_checks_privilege_and_limit)
{
	struct rig *r = protected_rig();

	expect(r, do_jump, (struct args){.sel = RIG_CS0, .off = 0x1234, .len = 4}, -1, 0);
	cr_assert_eq(r->c->rip, 0x1234);
	expect(r, do_jump, (struct args){.sel = 0, .len = 4}, X86_EXC_GP, 0);
	expect(r, do_jump, (struct args){.sel = RIG_CS3, .len = 4}, X86_EXC_GP, RIG_CS3 & ~3);
	expect(r, do_jump, (struct args){.sel = RIG_DS0, .len = 4}, X86_EXC_GP, RIG_DS0);
	expect(r, do_jump, (struct args){.sel = RIG_CS16, .off = 0x10000, .len = 4}, X86_EXC_GP, 0);
	expect(r, do_jump, (struct args){.sel = RIG_CS16, .off = 0x100, .len = 4}, -1, 0);
	cr_assert_eq(cpu_code_mode(r->c), X86_MODE16);
	set_cpl3(r);
	expect(r, do_jump, (struct args){.sel = RIG_CONF, .off = 0x10, .len = 4}, -1, 0);
	cr_assert_eq(r->c->seg[X86_CS].selector, RIG_CONF | 3);
	cr_assert_eq(r->c->cpl, 3);
	rig_destroy(r);
}

/* A 32-bit call gate at RIG_GATE to RIG_CS0:0x7000 with two parameters. */
static void put_gate(struct rig *r, unsigned type_dpl, uint16_t sel)
{
	rig_put(r, RIG_GDT + RIG_GATE, 0x7000 | (uint64_t)sel << 16 | 2ull << 32 |
					       (uint64_t)type_dpl << 40, 8);
	rig_put(r, RIG_GDT + RIG_GATE + 8, 0, 8);
}

Test(seg, call_gate_to_inner_ring_and_back)
{
	struct rig *r = protected_rig();

	put_gate(r, 0xec, RIG_CS0);
	rig_put(r, RIG_TSS_AT + 4, 0x8000, 4);
	rig_put(r, RIG_TSS_AT + 8, RIG_DS0, 4);
	set_cpl3(r);
	r->c->gpr[X86_RSP] = 0x9000;
	rig_put(r, 0x9000, 0x11111111, 4);
	rig_put(r, 0x9004, 0x22222222, 4);
	expect(r, do_call, (struct args){.sel = RIG_GATE | 3, .len = 4}, -1, 0);
	cr_assert_eq(r->c->cpl, 0);
	cr_assert_eq(r->c->rip, 0x7000);
	cr_assert_eq(r->c->gpr[X86_RSP], 0x8000 - 6 * 4);
	cr_assert_eq(rig_get(r, 0x7ffc, 4), RIG_DS3);
	cr_assert_eq(rig_get(r, 0x7ff8, 4), 0x9000);
	cr_assert_eq(rig_get(r, 0x7ff4, 4), 0x22222222);
	cr_assert_eq(rig_get(r, 0x7ff0, 4), 0x11111111);
	cr_assert_eq(rig_get(r, 0x7fec, 4), RIG_CS3);
	cr_assert_eq(rig_get(r, 0x7fe8, 4), 0x5005);

	expect(r, do_ret, (struct args){.len = 4, .off = 8}, -1, 0);
	cr_assert_eq(r->c->cpl, 3);
	cr_assert_eq(r->c->rip, 0x5005);
	cr_assert_eq(r->c->gpr[X86_RSP], 0x9008);
	cr_assert_eq(r->c->seg[X86_SS].selector, RIG_DS3);
	cr_assert_eq(r->c->seg[X86_DS].attr & X86_SEG_P, 0); /* ring 0 data became null */
	rig_destroy(r);
}

Test(seg, call_gate_faults_have_the_manuals_codes)
{
	struct rig *r = protected_rig();

	put_gate(r, 0xec, RIG_CS0);
	set_cpl3(r);
	rig_put(r, RIG_TSS_AT + 4, 0x8000, 4);
	rig_put(r, RIG_TSS_AT + 8, 0, 4);
	expect(r, do_call, (struct args){.sel = RIG_GATE | 3, .len = 4}, X86_EXC_TS, 0);
	rig_put(r, RIG_TSS_AT + 8, RIG_DS3, 4);
	expect(r, do_call, (struct args){.sel = RIG_GATE | 3, .len = 4}, X86_EXC_TS, RIG_DS3 & ~3);
	rig_put(r, RIG_TSS_AT + 8, RIG_NP, 4);
	expect(r, do_call, (struct args){.sel = RIG_GATE | 3, .len = 4}, X86_EXC_SS, RIG_NP);
	r->c->tr.limit = 7;
	expect(r, do_call, (struct args){.sel = RIG_GATE | 3, .len = 4}, X86_EXC_TS, RIG_TSS);
	put_gate(r, 0x8c, RIG_CS0); /* DPL 0 */
	expect(r, do_call, (struct args){.sel = RIG_GATE | 3, .len = 4}, X86_EXC_GP, RIG_GATE);
	put_gate(r, 0x6c, RIG_CS0); /* not present */
	expect(r, do_call, (struct args){.sel = RIG_GATE | 3, .len = 4}, X86_EXC_NP, RIG_GATE);
	put_gate(r, 0xec, RIG_DS0);
	expect(r, do_call, (struct args){.sel = RIG_GATE | 3, .len = 4}, X86_EXC_GP, RIG_DS0);
	cr_assert_eq(r->c->cpl, 3);
	cr_assert_eq(r->c->rip, 0x5000);
	rig_destroy(r);
}

Test(seg, iret_between_rings_in_long_mode)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;
	uint64_t frame[] = {0x400000, RIG_CS64U, 0x202, 0x800000, RIG_DS3};

	rig_long(r);
	c->gpr[X86_RSP] = 0x8000;
	gmem_write(r->mem, 0x8000, frame, sizeof(frame));
	expect(r, do_iret, (struct args){.len = 8}, -1, 0);
	cr_assert_eq(c->cpl, 3);
	cr_assert_eq(c->rip, 0x400000);
	cr_assert_eq(c->gpr[X86_RSP], 0x800000);
	cr_assert_eq(c->rflags, 0x202);
	cr_assert_eq(c->seg[X86_SS].selector, RIG_DS3);

	/* Non-canonical target, wrong SS: #GP, and nothing moved. */
	rig_long(r);
	c->gpr[X86_RSP] = 0x8000;
	rig_put(r, 0x8000, 1ull << 60, 8);
	expect(r, do_iret, (struct args){.len = 8}, X86_EXC_GP, 0);
	rig_put(r, 0x8000, 0x400000, 8);
	rig_put(r, 0x8020, RIG_DS0, 8);
	expect(r, do_iret, (struct args){.len = 8}, X86_EXC_GP, RIG_DS0);
	rig_put(r, 0x8020, 0, 8);
	expect(r, do_iret, (struct args){.len = 8}, X86_EXC_GP, 0);
	cr_assert_eq(c->cpl, 0);
	cr_assert_eq(c->gpr[X86_RSP], 0x8000);
	c->rflags |= X86_FL_NT;
	expect(r, do_iret, (struct args){.len = 8}, X86_EXC_GP, 0);
	rig_destroy(r);
}

Test(seg, iret_to_vm86_and_its_flags)
{
	struct rig *r = protected_rig();
	struct cpu *c = r->c;
	uint32_t frame[] = {0x1234, 0x2000, X86_FL_VM | X86_FL_IF | 2, 0xfffe, 0x3000, 0x4000, 0x5000,
			    0x6000, 0x7000};

	c->gpr[X86_RSP] = 0x8000;
	gmem_write(r->mem, 0x8000, frame, sizeof(frame));
	expect(r, do_iret, (struct args){.len = 4}, -1, 0);
	cr_assert(c->mode & MODE_VM86);
	cr_assert_eq(c->cpl, 3);
	cr_assert_eq(c->seg[X86_CS].base, 0x20000);
	cr_assert_eq(c->seg[X86_SS].base, 0x30000);
	cr_assert_eq(c->seg[X86_ES].base, 0x40000);
	cr_assert_eq(c->seg[X86_GS].base, 0x70000);
	cr_assert_eq(c->gpr[X86_RSP], 0xfffe);
	/* IRET at IOPL 0 without VME: #GP(0). */
	expect(r, do_iret, (struct args){.len = 2}, X86_EXC_GP, 0);
	rig_destroy(r);
}

static void do_syscall(struct cpu *c, void *arg)
{
	cpu_syscall(c, 0x400002);
}

static void do_sysret(struct cpu *c, void *arg)
{
	struct args *a = arg;

	cpu_sysret(c, a->len);
}

Test(seg, syscall_and_sysret)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;

	rig_long(r);
	c->cpl = 3;
	c->seg[X86_CS] = (struct x86_seg){RIG_CS64U, 0xafb, 0xffffffff, 0};
	cpu_update_mode(c);
	expect(r, do_syscall, (struct args){0}, X86_EXC_UD, 0);
	c->efer |= X86_EFER_SCE;
	c->star = (uint64_t)RIG_CS0 << 32 | (uint64_t)RIG_CS3 << 48;
	c->lstar = 0xffffffff81000000;
	c->sfmask = X86_FL_IF | X86_FL_TF;
	c->rflags = 0x203;
	expect(r, do_syscall, (struct args){0}, -1, 0);
	cr_assert_eq(c->rip, 0xffffffff81000000);
	cr_assert_eq(c->gpr[X86_RCX], 0x400002);
	cr_assert_eq(c->gpr[X86_R11], 0x203);
	cr_assert_eq(c->rflags, 3);
	cr_assert_eq(c->cpl, 0);
	cr_assert_eq(c->seg[X86_CS].selector, RIG_CS0);
	cr_assert_eq(c->seg[X86_SS].selector, RIG_CS0 + 8);
	cr_assert(c->mode & MODE_CS64);
	expect(r, do_sysret, (struct args){.len = 8}, -1, 0);
	cr_assert_eq(c->cpl, 3);
	cr_assert_eq(c->rip, 0x400002);
	cr_assert_eq(c->rflags, 0x203);
	cr_assert_eq(c->seg[X86_CS].selector, (RIG_CS3 & ~3) + 16 + 3);
	expect(r, do_sysret, (struct args){.len = 8}, X86_EXC_GP, 0);
	rig_destroy(r);
}

Test(seg, port_permissions_follow_the_bitmap)
{
	struct rig *r = protected_rig();
	struct args a = {.off = 0x80, .len = 1};

	expect(r, do_in, a, -1, 0);
	set_cpl3(r);
	rig_put(r, RIG_TSS_AT + 102, 0x68, 2);
	expect(r, do_in, a, -1, 0); /* bitmap of zeroes allows */
	rig_put(r, RIG_TSS_AT + 0x68 + 0x10, 2, 1);
	expect(r, do_in, (struct args){.off = 0x81, .len = 1}, X86_EXC_GP, 0);
	expect(r, do_in, (struct args){.off = 0x80, .len = 2}, X86_EXC_GP, 0);
	expect(r, do_in, (struct args){.off = 0x82, .len = 2}, -1, 0);
	expect(r, do_in, (struct args){.off = 0xffff, .len = 1}, X86_EXC_GP, 0);
	rig_put(r, RIG_TSS_AT + 102, 0xffff, 2);
	expect(r, do_in, (struct args){.off = 0, .len = 1}, X86_EXC_GP, 0);
	r->c->rflags |= X86_FL_IOPL;
	expect(r, do_in, (struct args){.off = 0x81, .len = 4}, -1, 0);
	rig_destroy(r);
}

Test(seg, task_switch_there_and_back)
{
	struct rig *r = protected_rig();
	struct cpu *c = r->c;

	rig_put(r, RIG_GDT + RIG_TSS + 5, 0x8b, 1);
	rig_put(r, RIG_TSS_B_AT + 0x20, 0x7777, 4);
	rig_put(r, RIG_TSS_B_AT + 0x24, 2, 4);
	rig_put(r, RIG_TSS_B_AT + 0x28, 0xaaaa, 4); /* EAX */
	rig_put(r, RIG_TSS_B_AT + 0x38, 0x6000, 4); /* ESP */
	rig_put(r, RIG_TSS_B_AT + 0x4c, RIG_CS0, 4);
	for (unsigned i = 0; i < 6; i++)
		if (i != 1)
			rig_put(r, RIG_TSS_B_AT + 0x48 + i * 4, RIG_DS0, 4);
	c->gpr[X86_RAX] = 0x1111;
	expect(r, do_call, (struct args){.sel = RIG_TSS_B, .len = 4}, -1, 0);
	cr_assert_eq(c->rip, 0x7777);
	cr_assert_eq(c->gpr[X86_RAX], 0xaaaa);
	cr_assert_eq(c->gpr[X86_RSP], 0x6000);
	cr_assert(c->rflags & X86_FL_NT);
	cr_assert(c->cr0 & X86_CR0_TS);
	cr_assert_eq(c->tr.selector, RIG_TSS_B);
	cr_assert_eq(rig_get(r, RIG_TSS_B_AT, 2), RIG_TSS);
	cr_assert_eq(rig_get(r, RIG_GDT + RIG_TSS_B + 5, 1), 0x8b);
	cr_assert_eq(rig_get(r, RIG_GDT + RIG_TSS + 5, 1), 0x8b);
	cr_assert_eq(rig_get(r, RIG_TSS_AT + 0x20, 4), 0x5005);
	cr_assert_eq(rig_get(r, RIG_TSS_AT + 0x28, 4), 0x1111);

	c->gpr[X86_RAX] = 0x2222;
	expect(r, do_iret, (struct args){.len = 4}, -1, 0);
	cr_assert_eq(c->rip, 0x5005);
	cr_assert_eq(c->gpr[X86_RAX], 0x1111);
	cr_assert_eq(c->tr.selector, RIG_TSS);
	cr_assert_not(c->rflags & X86_FL_NT);
	cr_assert_eq(rig_get(r, RIG_GDT + RIG_TSS_B + 5, 1), 0x89);
	cr_assert_eq(rig_get(r, RIG_TSS_B_AT + 0x28, 4), 0x2222);

	/* A busy task cannot be called; a bad CS faults in the new task. */
	expect(r, do_jump, (struct args){.sel = RIG_TSS, .len = 4}, X86_EXC_GP, RIG_TSS);
	rig_put(r, RIG_TSS_B_AT + 0x4c, RIG_DS0, 4);
	expect(r, do_call, (struct args){.sel = RIG_TSS_B, .len = 4}, X86_EXC_TS, RIG_DS0);
	cr_assert_eq(c->tr.selector, RIG_TSS_B);
	rig_destroy(r);
}

Test(seg, control_register_writes_are_checked)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;
	uint64_t cr0, cr4;

	rig_long(r);
	cr0 = c->cr0;
	cr4 = c->cr4;
	expect(r, do_write_cr, (struct args){.seg = 0, .off = cr0 | 1ull << 32}, X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 0, .off = cr0 & ~1ull}, X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 0, .off = cr0 | X86_CR0_NW}, X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 0, .off = cr0 & ~(uint64_t)X86_CR0_PG},
	       X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 4, .off = 0}, X86_EXC_GP, 0);
	c->cr3 |= 0x18; /* PCIDE wants a zero identifier, and keeps paging on */
	expect(r, do_write_cr, (struct args){.seg = 4, .off = cr4 | X86_CR4_PCIDE}, X86_EXC_GP, 0);
	c->cr3 &= ~0x18ull;
	expect(r, do_write_cr, (struct args){.seg = 3, .off = c->cr3 | 1ull << 63}, X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 4, .off = cr4 | X86_CR4_PCIDE}, -1, 0);
	expect(r, do_write_cr, (struct args){.seg = 3, .off = c->cr3 | 1ull << 63}, -1, 0);
	expect(r, do_write_cr, (struct args){.seg = 0, .off = cr0 & ~(uint64_t)X86_CR0_PG},
	       X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 4, .off = cr4}, -1, 0);
	expect(r, do_write_cr, (struct args){.seg = 4, .off = cr4 | 1ull << 40}, X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 3, .off = 1ull << 50}, X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 8, .off = 16}, X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 5, .off = 0}, X86_EXC_UD, 0);
	expect(r, do_write_cr, (struct args){.seg = 8, .off = 5}, -1, 0);
	cr_assert_eq(lapic_get_tpr(c->lapic), 0x50);
	c->cpl = 3;
	expect(r, do_write_cr, (struct args){.seg = 3, .off = 0}, X86_EXC_GP, 0);
	rig_destroy(r);
}

Test(seg, entering_and_leaving_long_mode)
{
	struct rig *r = protected_rig();
	struct cpu *c = r->c;

	rig_long(r); /* for the tables */
	rig_protected(r);
	c->cr3 = 0x10000;
	c->efer = X86_EFER_LME;
	expect(r, do_write_cr, (struct args){.seg = 0, .off = c->cr0 | X86_CR0_PG}, X86_EXC_GP, 0);
	expect(r, do_write_cr, (struct args){.seg = 4, .off = X86_CR4_PAE}, -1, 0);
	expect(r, do_write_cr, (struct args){.seg = 0, .off = c->cr0 | X86_CR0_PG}, -1, 0);
	cr_assert(c->efer & X86_EFER_LMA);
	cr_assert_eq(cpu_code_mode(c), X86_MODE32);
	expect(r, do_jump, (struct args){.sel = RIG_CS64, .off = 0x5000, .len = 4}, -1, 0);
	cr_assert_eq(cpu_code_mode(c), X86_MODE64);
	expect(r, do_jump, (struct args){.sel = RIG_CS0, .off = 0x5000, .len = 8}, -1, 0);
	cr_assert_eq(cpu_code_mode(c), X86_MODE32);
	expect(r, do_write_cr, (struct args){.seg = 0, .off = c->cr0 & ~(uint64_t)X86_CR0_PG}, -1, 0);
	cr_assert_not(c->efer & X86_EFER_LMA);
	rig_destroy(r);
}

/* H63: every far transfer and load over random tables in random places. */
Test(seg, garbage_descriptors_do_no_harm)
{
	struct rig *r = rig_create(1);
	struct cpu *c = r->c;
	uint32_t seed = 99;
	void (*const fns[])(struct cpu *, void *) = {do_load, do_jump, do_call, do_ret, do_iret,
						     do_in, do_linear};
	static const unsigned sizes[] = {2, 4, 8};

	for (unsigned i = 0; i < 100000; i++) {
		struct args a = {.seg = rig_random(&seed) % 6, .sel = rig_random(&seed) & 0x1ff,
				 .off = rig_random(&seed), .len = sizes[rig_random(&seed) % 3],
				 .write = rig_random(&seed) & 1};

		if (i % 16 == 0) {
			if (rig_random(&seed) & 1)
				rig_long(r);
			else
				rig_protected(r);
			for (unsigned n = 0; n < 0x100; n += 8)
				if (!(rig_random(&seed) & 3))
					rig_put(r, RIG_GDT + n, (uint64_t)rig_random(&seed) << 32 |
								     rig_random(&seed), 8);
			c->cpl = rig_random(&seed) & 3;
			c->rflags = (rig_random(&seed) & 0x277fd7) | 2;
			c->gdt.limit = rig_random(&seed) & 7 ? 0xff : rig_random(&seed);
			if (!(rig_random(&seed) & 15))
				c->gdt.base = (uint64_t)rig_random(&seed) << (rig_random(&seed) & 31);
			c->tr.limit = rig_random(&seed) & 7 ? 0x7ff : 0;
			if (!(rig_random(&seed) & 15))
				c->cr0 &= ~(uint64_t)(X86_CR0_PE | X86_CR0_PG);
			if (!(c->cr0 & X86_CR0_PG))
				c->efer &= ~(uint64_t)X86_EFER_LMA;
			cpu_update_mode(c);
		}
		if (a.seg == X86_CS)
			a.seg = X86_DS;
		rig_catch(c, fns[rig_random(&seed) % 7], &a);
		r->n_mmio = r->n_pio = 0;
	}
	rig_destroy(r);
}
