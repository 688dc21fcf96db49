/* SPDX-License-Identifier: Apache-2.0 */
#include "tcg_machine.h"

#include "debug_env.h"

#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <string.h>

static void no_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
	if (!write)
		*val = ~0ull;
}

static void pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
	struct tcg_machine *m = ctx;

	if (write && port == 0x80) {
		m->port80 = *val;
		m->n_out++;
	}
}

static void no_eoi(void *ctx, uint8_t vector)
{
}

static int no_intack(void *ctx)
{
	return -1;
}

void tm_open(struct tcg_machine *m, uint64_t ram_bytes, const struct accel_config *cfg)
{
	const struct gmem_region *r;
	struct accel_config all = *cfg;
	static char buf[100];
	struct err e = {0};
	uint32_t caps;

	memset(m, 0, sizeof(*m));
	all.debug = debug_with_env(cfg->debug, buf, sizeof(buf));
	m->n = cfg->n_vcpus;
	m->io = (struct accel_io){no_mmio, pio, no_eoi, no_intack, m};
	cr_assert_eq(accel_tcg.probe(NULL, &caps, &e), 0);
	cr_assert_eq(gmem_create(ram_bytes, 0xc0000000, &m->mem, &e), 0, "%s", e.msg);
	gmem_regions(m->mem, &r);
	m->ram = r[0].host;
	cr_assert_eq(accel_tcg.vm_create(m->mem, &m->io, &all, &m->vm, &e), 0, "%s", e.msg);
	for (unsigned i = 0; i < m->n; i++)
		cr_assert_eq(accel_tcg.vcpu_create(m->vm, i, &m->cpu[i], &e), 0, "%s", e.msg);
	/* null, 64-bit code, data */
	tm_poke64(m, TM_GDT + 8, 0x00af9b000000ffff);
	tm_poke64(m, TM_GDT + 16, 0x00cf93000000ffff);
}

void tm_close(struct tcg_machine *m)
{
	for (unsigned i = 0; i < m->n; i++)
		accel_tcg.vcpu_destroy(m->cpu[i]);
	accel_tcg.vm_destroy(m->vm);
	gmem_destroy(m->mem);
}

void tm_poke64(struct tcg_machine *m, gpaddr at, uint64_t val)
{
	memcpy(m->ram + at, &val, 8);
}

uint64_t tm_peek64(const struct tcg_machine *m, gpaddr at)
{
	uint64_t val;

	memcpy(&val, m->ram + at, 8);
	return val;
}

void tm_start(struct tcg_machine *m, unsigned i, gpaddr at, struct code code, uint64_t rsp,
	      gpaddr tables)
{
	struct x86_state s;
	struct err e;

	memcpy(m->ram + at, code.bytes, code.len);
	cr_assert_eq(accel_tcg.get_state(m->cpu[i], &s, &e), 0);
	s.rip = at;
	s.rflags = 2;
	memset(s.gpr, 0, sizeof(s.gpr));
	s.gpr[X86_RSP] = rsp;
	for (unsigned k = 0; k < X86_N_SEGS; k++)
		s.seg[k] = (struct x86_seg){0x10, 0xc93, 0xffffffff, 0};
	s.seg[X86_CS] = (struct x86_seg){0x08, 0xa9b, 0xffffffff, 0};
	s.gdt = (struct x86_table){TM_GDT, 0x17};
	s.idt = (struct x86_table){TM_IDT, 0xfff};
	s.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP;
	s.cr3 = tables;
	s.cr4 = X86_CR4_PAE;
	s.efer = X86_EFER_LME | X86_EFER_LMA;
	s.halted = false;
	cr_assert_eq(accel_tcg.set_state(m->cpu[i], &s, &e), 0);
}
