/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small payloads straight on an accelerator, with no board around it: port and memory-mapped
 * accesses of every size, string I/O, kicks, interrupts, MSI, ioeventfd, start-up of a second
 * processor, triple fault, CPUID, MSRs, register state and reset.
 *
 * usage: payload_test kvm|tcg [NAME]. Exits with 77 if the accelerator cannot be used here.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "accel/accel.h"
#include "accel/kvm/probe.h"
#include "accel/x86_state.h"
#include "config.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem.h"

#define PAYLOAD(name) extern const uint8_t name[], name##_end[]
#define CODE(name, body)                                                                           \
	__asm__(".pushsection .rodata\n.balign 256\n.globl " #name ", " #name "_end\n" #name ":\n.code32\n"     \
		body "\n" #name "_end:\n.code64\n.popsection\n")

enum { CODE_GPA = 0x1000, MMIO_GPA = (int)0xd0000000, IDT_GPA = 0x3000, AP_PAGE = 8 };

struct access {
	bool mmio, write;
	uint64_t addr, val;
	unsigned size;
};

struct rig {
	const struct accel_ops *accel;
	uint32_t caps;
	struct gmem *mem;
	struct accel_io io;
	struct accel_vm *vm;
	struct vcpu *cpus[4];
	unsigned n_cpus;
	pthread_mutex_t lock;
	struct access log[64];
	unsigned n_log;
	struct vcpu *stop_at_port_f4; /* kicked when the payload writes port 0xf4 */
};

static unsigned n_failed;

#define EXPECT(cond)                                                                               \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			printf("# %s:%d: %s\n", __func__, __LINE__, #cond);                        \
			n_failed++;                                                                \
		}                                                                                  \
	} while (0)

static void record(struct rig *r, struct access a)
{
	pthread_mutex_lock(&r->lock);
	if (r->n_log < ARRAY_LEN(r->log))
		r->log[r->n_log++] = a;
	pthread_mutex_unlock(&r->lock);
}

static void on_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
	if (!write)
		*val = 0x1122334455667788 & (size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1);
	record(ctx, (struct access){ true, write, gpa, *val, size });
}

static void on_pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
	struct rig *r = ctx;
	unsigned i;

	if (write && port == 0xf4) {
		for (i = 0; i < r->n_cpus; i++)
			r->accel->vcpu_kick(r->cpus[i]);
		return;
	}
	if (!write)
		*val = 0xa1b2c3d4 & (size == 4 ? UINT32_MAX : (1u << 8 * size) - 1);
	record(r, (struct access){ false, write, port, *val, size });
}

static void on_eoi(void *ctx, uint8_t vector)
{
}

static int on_intack(void *ctx)
{
	return -1;
}

static void die(const char *what, const struct err *e)
{
	printf("not ok - %s: %s\n", what, e->msg);
	exit(1);
}

static void rig_init(struct rig *r, const struct accel_ops *accel, unsigned n_cpus)
{
	struct accel_config cfg = { .n_vcpus = n_cpus };
	struct err e = { 0 };
	unsigned i;

	memset(r, 0, sizeof(*r));
	r->accel = accel;
	r->n_cpus = n_cpus;
	pthread_mutex_init(&r->lock, NULL);
	r->io = (struct accel_io){ on_mmio, on_pio, on_eoi, on_intack, r };
	if (accel->probe(NULL, &r->caps, &e) < 0) {
		printf("skip: %s\n", e.msg);
		exit(77);
	}
	if (gmem_create(4 << 20, 0xc0000000, &r->mem, &e) < 0 ||
	    accel->vm_create(r->mem, &r->io, &cfg, &r->vm, &e) < 0)
		die("create", &e);
	for (i = 0; i < n_cpus; i++) {
		if (accel->vcpu_create(r->vm, i, &r->cpus[i], &e) < 0)
			die("create vCPU", &e);
	}
}

static void rig_fini(struct rig *r)
{
	unsigned i;

	for (i = 0; i < r->n_cpus; i++)
		r->accel->vcpu_destroy(r->cpus[i]);
	r->accel->vm_destroy(r->vm);
	gmem_destroy(r->mem);
	pthread_mutex_destroy(&r->lock);
}

/* 32-bit flat protected mode, stack at 0x8000, interrupts off. */
static void rig_load(struct rig *r, const uint8_t *code, const uint8_t *end)
{
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
	struct x86_state s;
	struct err e = { 0 };
	unsigned i;

	gmem_write(r->mem, CODE_GPA, code, (size_t)(end - code));
	gmem_write(r->mem, 0x500, gdt, sizeof(gdt));
	x86_state_reset(&s, 0);
	for (i = 0; i < X86_N_SEGS; i++)
		s.seg[i] = (struct x86_seg){ 16, 0xc93, 0xffffffff, 0 };
	s.seg[X86_CS] = (struct x86_seg){ 8, 0xc9b, 0xffffffff, 0 };
	s.gdt = (struct x86_table){ 0x500, sizeof(gdt) - 1 };
	s.cr0 |= 1;
	s.rip = CODE_GPA;
	s.gpr[4] = 0x8000;
	if (r->accel->set_state(r->cpus[0], &s, &e) < 0)
		die("set state", &e);
}

/* A 32-bit interrupt gate to CODE_GPA + off. */
static void rig_gate(struct rig *r, unsigned vector, uint32_t target)
{
	uint64_t gate = (target & 0xffff) | 8ull << 16 | 0x8e00ull << 32 |
			(uint64_t)(target >> 16) << 48;
	const uint8_t idtr[6] = { 0xff, 0x07, IDT_GPA & 0xff, IDT_GPA >> 8, 0, 0 };

	gmem_write(r->mem, IDT_GPA + 8 * vector, &gate, sizeof(gate));
	gmem_write(r->mem, 0x600, idtr, sizeof(idtr));
}

static enum vcpu_stop rig_run(struct rig *r)
{
	struct err e = { 0 };
	enum vcpu_stop stop = r->accel->vcpu_run(r->cpus[0], &e);

	if (stop == VCPU_FAILED)
		printf("# %s\n", e.msg);
	return stop;
}

static void expect_access(struct rig *r, unsigned i, bool mmio, bool write, uint64_t addr,
			  unsigned size, uint64_t val)
{
	const struct access *a = &r->log[i];
	bool same = i < r->n_log && a->mmio == mmio && a->write == write && a->addr == addr &&
		    a->size == size && a->val == val;

	if (!same) {
		printf("# access %u of %u: %s %s 0x%llx size %u value 0x%llx, expected 0x%llx size "
		       "%u value 0x%llx\n",
		       i, r->n_log, a->mmio ? "mmio" : "pio", a->write ? "write" : "read",
		       (unsigned long long)a->addr, a->size, (unsigned long long)a->val,
		       (unsigned long long)addr, size, (unsigned long long)val);
		n_failed++;
	}
}

static uint32_t load32(struct rig *r, gpaddr gpa)
{
	uint32_t v = 0;

	gmem_read(r->mem, gpa, &v, sizeof(v));
	return v;
}

PAYLOAD(code_pio);
CODE(code_pio, "mov $0x12345678, %eax\n out %al, $0x10\n mov $0x234, %dx\n out %ax, %dx\n"
	       "out %eax, %dx\n in $0x38, %al\n mov %eax, 0x2000\n in %dx, %ax\n mov %eax, 0x2004\n"
	       "in %dx, %eax\n mov %eax, 0x2008\n mov %eax, %eax\n out %al, $0xf4\n 1: jmp 1b\n");

static void test_ports_of_all_sizes(struct rig *r)
{
	rig_load(r, code_pio, code_pio_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	expect_access(r, 0, false, true, 0x10, 1, 0x78);
	expect_access(r, 1, false, true, 0x234, 2, 0x5678);
	expect_access(r, 2, false, true, 0x234, 4, 0x12345678);
	expect_access(r, 3, false, false, 0x38, 1, 0xd4);
	expect_access(r, 4, false, false, 0x234, 2, 0xc3d4);
	expect_access(r, 5, false, false, 0x234, 4, 0xa1b2c3d4);
	EXPECT(r->n_log == 6);
	EXPECT(load32(r, 0x2000) == 0x123456d4);
	EXPECT(load32(r, 0x2004) == 0x1234c3d4);
	EXPECT(load32(r, 0x2008) == 0xa1b2c3d4);
}

PAYLOAD(code_string);
CODE(code_string, "cld\n mov $0x2100, %esi\n mov $5, %ecx\n mov $0x80, %dx\n rep outsb\n"
		  "mov $3, %ecx\n mov $0x2200, %edi\n rep insw\n out %al, $0xf4\n 1: jmp 1b\n");

static void test_string_ports(struct rig *r)
{
	unsigned i;

	gmem_write(r->mem, 0x2100, "hello", 5);
	rig_load(r, code_string, code_string_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	for (i = 0; i < 5; i++)
		expect_access(r, i, false, true, 0x80, 1, (uint8_t)"hello"[i]);
	for (i = 5; i < 8; i++)
		expect_access(r, i, false, false, 0x80, 2, 0xc3d4);
	EXPECT(load32(r, 0x2200) == 0xc3d4c3d4);
	EXPECT(load32(r, 0x2204) == 0x0000c3d4);
}

PAYLOAD(code_mmio);
CODE(code_mmio, "mov $0xd0000000, %ebx\n mov $0xcafebabe, %eax\n mov %al, 1(%ebx)\n mov %ax, 2(%ebx)\n"
		"mov %eax, 4(%ebx)\n movzbl 1(%ebx), %ecx\n mov %ecx, 0x2000\n movswl 2(%ebx), %ecx\n"
		"mov %ecx, 0x2004\n mov 4(%ebx), %ecx\n mov %ecx, 0x2008\n addl $1, 8(%ebx)\n"
		"out %al, $0xf4\n 1: jmp 1b\n");

static void test_mmio_of_all_sizes(struct rig *r)
{
	rig_load(r, code_mmio, code_mmio_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	expect_access(r, 0, true, true, 0xd0000001, 1, 0xbe);
	expect_access(r, 1, true, true, 0xd0000002, 2, 0xbabe);
	expect_access(r, 2, true, true, 0xd0000004, 4, 0xcafebabe);
	expect_access(r, 3, true, false, 0xd0000001, 1, 0x88);
	expect_access(r, 4, true, false, 0xd0000002, 2, 0x7788);
	expect_access(r, 5, true, false, 0xd0000004, 4, 0x55667788);
	expect_access(r, 6, true, false, 0xd0000008, 4, 0x55667788);
	expect_access(r, 7, true, true, 0xd0000008, 4, 0x55667789);
	EXPECT(load32(r, 0x2000) == 0x88);
	EXPECT(load32(r, 0x2004) == 0x7788);
	EXPECT(load32(r, 0x2008) == 0x55667788);
}

PAYLOAD(code_spin);
CODE(code_spin, "incl 0x2000\n jmp code_spin\n");
PAYLOAD(code_halt);
CODE(code_halt, "sti\n 1: hlt\n jmp 1b\n");

static void *kick_soon(void *arg)
{
	struct rig *r = arg;
	struct timespec ts = { 0, 20000000 };

	nanosleep(&ts, NULL);
	r->accel->vcpu_kick(r->cpus[0]);
	return NULL;
}

static void run_until_kicked(struct rig *r)
{
	pthread_t t;

	pthread_create(&t, NULL, kick_soon, r);
	EXPECT(rig_run(r) == VCPU_KICKED);
	pthread_join(t, NULL);
}

static void test_kicks(struct rig *r)
{
	uint32_t before;
	int i;

	rig_load(r, code_spin, code_spin_end);
	r->accel->vcpu_kick(r->cpus[0]);
	EXPECT(rig_run(r) == VCPU_KICKED); /* a kick before the run is not lost */
	EXPECT(load32(r, 0x2000) == 0);
	for (i = 0; i < 3; i++) {
		before = load32(r, 0x2000);
		run_until_kicked(r);
		EXPECT(load32(r, 0x2000) > before);
	}
	rig_gate(r, 8, CODE_GPA);
	rig_load(r, code_halt, code_halt_end);
	for (i = 0; i < 3; i++)
		run_until_kicked(r); /* asleep in HLT */
}

PAYLOAD(code_irq);
CODE(code_irq, "lidt 0x600\n mov $0x11, %al\n out %al, $0x20\n mov $0x30, %al\n out %al, $0x21\n"
	       "mov $4, %al\n out %al, $0x21\n mov $1, %al\n out %al, $0x21\n mov $0xef, %al\n"
	       "out %al, $0x21\n sti\n out %al, $0x11\n 1: hlt\n jmp 1b\n .balign 64\n"
	       "mov $0x77, %al\n out %al, $0x12\n mov $0x20, %al\n out %al, $0x20\n"
	       "out %al, $0xf4\n iret\n");

static void *irq_soon(void *arg)
{
	struct rig *r = arg;
	struct timespec ts = { 0, 30000000 };

	nanosleep(&ts, NULL);
	r->accel->irq_set(r->vm, 4, true);
	r->accel->irq_set(r->vm, 4, false);
	return NULL;
}

static void test_i8259_interrupt(struct rig *r)
{
	pthread_t t;

	if (!(r->caps & ACCEL_CAP_IRQCHIP))
		return;
	rig_gate(r, 0x34, CODE_GPA + 64);
	rig_load(r, code_irq, code_irq_end);
	pthread_create(&t, NULL, irq_soon, r);
	EXPECT(rig_run(r) == VCPU_KICKED);
	pthread_join(t, NULL);
	expect_access(r, 0, false, true, 0x11, 1, 0xef);
	expect_access(r, 1, false, true, 0x12, 1, 0x77);
}

PAYLOAD(code_msi);
CODE(code_msi, "lidt 0x600\n mov $0x1ff, %eax\n mov %eax, 0xfee000f0\n sti\n out %al, $0x11\n"
	       "1: hlt\n jmp 1b\n .balign 64\n mov $0x55, %al\n out %al, $0x12\n xor %eax, %eax\n"
	       "mov %eax, 0xfee000b0\n out %al, $0xf4\n iret\n");

static void *msi_soon(void *arg)
{
	struct rig *r = arg;
	struct timespec ts = { 0, 30000000 };

	nanosleep(&ts, NULL);
	r->accel->msi_send(r->vm, 0xfee00000, 0x4041); /* edge, fixed, vector 0x41 */
	return NULL;
}

static void test_msi(struct rig *r)
{
	pthread_t t;

	rig_gate(r, 0x41, CODE_GPA + 64);
	rig_load(r, code_msi, code_msi_end);
	pthread_create(&t, NULL, msi_soon, r);
	EXPECT(rig_run(r) == VCPU_KICKED);
	pthread_join(t, NULL);
	expect_access(r, 1, false, true, 0x12, 1, 0x55);
}

PAYLOAD(code_notify);
CODE(code_notify, "mov $0xd0000050, %ebx\n movl $7, (%ebx)\n movl $8, (%ebx)\n out %al, $0xf4\n"
		  "1: jmp 1b\n");

static void test_ioeventfd(struct rig *r)
{
	int any = eventfd(0, EFD_NONBLOCK), seven = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0;

	if (!(r->caps & ACCEL_CAP_IOEVENTFD)) {
		close(any);
		close(seven);
		return;
	}
	EXPECT(r->accel->ioeventfd(r->vm, 0xd0000050, 4, 7, seven, true) == 0);
	rig_load(r, code_notify, code_notify_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	EXPECT(read(seven, &n, sizeof(n)) == sizeof(n) && n == 1);
	expect_access(r, 0, true, true, 0xd0000050, 4, 8);
	EXPECT(r->n_log == 1);
	EXPECT(r->accel->ioeventfd(r->vm, 0xd0000060, 4, UINT64_MAX, any, true) == 0);
	/* taken back, it leaves the address to the machine */
	EXPECT(r->accel->ioeventfd(r->vm, 0xd0000050, 4, 7, seven, false) == 0);
	EXPECT(r->accel->ioeventfd(r->vm, 0xd0000050, 4, 7, seven, false) < 0);
	r->n_log = 0;
	rig_load(r, code_notify, code_notify_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	EXPECT(read(seven, &n, sizeof(n)) < 0);
	expect_access(r, 0, true, true, 0xd0000050, 4, 7);
	/* any size at all, where the instruction need not be decoded */
	EXPECT(r->accel->ioeventfd(r->vm, 0xd0000050, 0, UINT64_MAX, seven, true) == 0);
	r->n_log = 0;
	rig_load(r, code_notify, code_notify_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	EXPECT(read(seven, &n, sizeof(n)) == sizeof(n) && n == 2);
	EXPECT(r->n_log == 0);
	close(any);
	close(seven);
}

PAYLOAD(code_triple);
CODE(code_triple, "push $0\n push $0\n lidt (%esp)\n int3\n");

static void test_triple_fault(struct rig *r)
{
	rig_load(r, code_triple, code_triple_end);
	EXPECT(rig_run(r) == VCPU_SHUTDOWN);
}

PAYLOAD(code_cpuid);
CODE(code_cpuid, "mov $0x2000, %edi\n mov $1, %eax\n xor %ecx, %ecx\n cpuid\n mov %ebx, (%edi)\n"
		 "mov %ecx, 4(%edi)\n mov %edx, 8(%edi)\n mov $0xb, %eax\n mov $1, %ecx\n cpuid\n"
		 "mov %eax, 12(%edi)\n mov %ebx, 16(%edi)\n mov %ecx, 20(%edi)\n mov %edx, 24(%edi)\n"
		 "mov $0x40000000, %eax\n cpuid\n mov %ebx, 28(%edi)\n mov $0xa, %eax\n cpuid\n"
		 "mov %eax, 32(%edi)\n out %al, $0xf4\n 1: jmp 1b\n");

static void test_cpuid(struct rig *r)
{
	rig_load(r, code_cpuid, code_cpuid_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	EXPECT(load32(r, 0x2000) >> 24 == 0);			  /* APIC id */
	EXPECT(load32(r, 0x2004) >> 31 == 1);			  /* hypervisor */
	EXPECT((load32(r, 0x2008) & 0x201) == 0x201);		  /* FPU, APIC */
	EXPECT((load32(r, 0x2008) >> 28 & 1) == (r->n_cpus > 1)); /* HTT */
	EXPECT((load32(r, 0x2010) & 0xffff) == r->n_cpus);	  /* logical processors */
	EXPECT((load32(r, 0x2014) & 0xff00) == 0x200);		  /* core level */
	EXPECT(load32(r, 0x2018) == 0);				  /* x2APIC id */
	EXPECT(load32(r, 0x201c) == 0x4b4d564b);		  /* "KVMK" */
	EXPECT((load32(r, 0x2020) & 0xff) == 0);		  /* no counters */
}

PAYLOAD(code_msr);
CODE(code_msr, "lidt 0x600\n mov $0xc0010007, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n"
	       "mov $0x2ff, %ecx\n rdmsr\n mov %eax, 0x2000\n mov $0x1234567, %ecx\n rdmsr\n"
	       "out %al, $0x10\n 1: jmp 1b\n .balign 128\n out %al, $0x13\n out %al, $0xf4\n"
	       "2: jmp 2b\n");

static void test_msrs(struct rig *r)
{
	rig_gate(r, 13, CODE_GPA + 128);
	rig_load(r, code_msr, code_msr_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	EXPECT(r->n_log == 1 && r->log[0].addr == 0x13); /* the last one gave #GP */
	if (r->caps & ACCEL_CAP_IRQCHIP)
		EXPECT(load32(r, 0x2000) == 0x806);
}

PAYLOAD(code_smp);
CODE(code_smp, "mov $0x1ff, %eax\n mov %eax, 0xfee000f0\n mov $0x01000000, %eax\n"
	       "mov %eax, 0xfee00310\n mov $0x4500, %eax\n mov %eax, 0xfee00300\n"
	       "mov $0x01000000, %eax\n mov %eax, 0xfee00310\n mov $0x4608, %eax\n"
	       "mov %eax, 0xfee00300\n 1: pause\n cmpl $0, 0x2000\n je 1b\n mov 0x2000, %eax\n"
	       "out %eax, $0x14\n out %al, $0xf4\n 2: jmp 2b\n");
PAYLOAD(code_ap); /* 16-bit, at AP_PAGE: mov eax, 0x5a; mov [0x2000], eax (DS 0); hlt */
CODE(code_ap, ".code16\n xor %ax, %ax\n mov %ax, %ds\n movl $0x5a, 0x2000\n 3: hlt\n jmp 3b\n");

static void *run_ap(void *arg)
{
	struct rig *r = arg;
	struct err e = { 0 };
	enum vcpu_stop stop = r->accel->vcpu_run(r->cpus[1], &e);

	EXPECT(stop == VCPU_KICKED);
	return NULL;
}

static void test_second_processor_starts(struct rig *r)
{
	pthread_t t;

	gmem_write(r->mem, AP_PAGE << 12, code_ap, (size_t)(code_ap_end - code_ap));
	rig_load(r, code_smp, code_smp_end);
	pthread_create(&t, NULL, run_ap, r);
	EXPECT(rig_run(r) == VCPU_KICKED);
	pthread_join(t, NULL);
	expect_access(r, 0, false, true, 0x14, 4, 0x5a);
}

PAYLOAD(code_regs);
CODE(code_regs, "mov $0x11, %ebx\n mov $0x22, %ecx\n mov $0x33, %esi\n fninit\n fld1\n out %al, $0xf4\n"
		"1: jmp 1b\n");

static void test_state_and_reset(struct rig *r)
{
	struct x86_state a, b, fresh;
	struct err e = { 0 };

	EXPECT(r->accel->get_state(r->cpus[0], &fresh, &e) == 0);
	EXPECT(fresh.rip == 0xfff0 && fresh.seg[X86_CS].base == 0xffff0000 && !fresh.halted);
	rig_load(r, code_regs, code_regs_end);
	EXPECT(rig_run(r) == VCPU_KICKED);
	EXPECT(r->accel->get_state(r->cpus[0], &a, &e) == 0);
	EXPECT(a.gpr[3] == 0x11 && a.gpr[1] == 0x22 && a.gpr[6] == 0x33);
	EXPECT(a.cr0 & 1 && a.seg[X86_CS].selector == 8 && a.seg[X86_CS].limit == 0xffffffff);
	EXPECT(r->accel->set_state(r->cpus[0], &a, &e) == 0);
	EXPECT(r->accel->get_state(r->cpus[0], &b, &e) == 0);
	EXPECT(memcmp(&a, &b, sizeof(a)) == 0);
	EXPECT(r->accel->vcpu_reset(r->cpus[0], &e) == 0);
	EXPECT(!r->accel->vm_reset || r->accel->vm_reset(r->vm, &e) == 0);
	EXPECT(r->accel->get_state(r->cpus[0], &b, &e) == 0);
	EXPECT(memcmp(&fresh, &b, sizeof(b)) == 0);
	EXPECT(r->accel->vcpu_reset(r->cpus[1], &e) == 0);
	EXPECT(r->accel->get_state(r->cpus[1], &b, &e) == 0 && b.halted);
}

static const struct {
	const char *name;
	void (*fn)(struct rig *r);
	unsigned n_cpus;
	bool real; /* not for a KVM that emulates a guest's instructions: it lacks some of these */
} tests[] = {
	{ "ports of all sizes", test_ports_of_all_sizes, 1 },
	{ "string ports", test_string_ports, 1 },
	{ "mmio of all sizes", test_mmio_of_all_sizes, 1 },
	{ "kicks", test_kicks, 1 },
	{ "i8259 interrupt", test_i8259_interrupt, 1 },
	{ "msi", test_msi, 1 },
	{ "ioeventfd", test_ioeventfd, 1 },
	{ "triple fault", test_triple_fault, 1, true },
	{ "cpuid of one", test_cpuid, 1, true },
	{ "cpuid of three", test_cpuid, 3, true },
	{ "msrs", test_msrs, 1 },
	{ "second processor starts", test_second_processor_starts, 2 },
	{ "state and reset", test_state_and_reset, 2, true },
};

int main(int argc, char **argv)
{
	static struct rig r;
	const struct accel_ops *accel = NULL;
	bool emulates = false;
	unsigned bad = 0;
	size_t i;

#if MAYFLY_KVM
	if (argc > 1 && strcmp(argv[1], "kvm") == 0) {
		struct kvm_probe probe;

		accel = &accel_kvm;
		kvm_probe_run(&probe);
		emulates = probe.verdict == KVM_PROBE_SLOW;
	}
#endif
#if MAYFLY_TCG
	if (argc > 1 && strcmp(argv[1], "tcg") == 0)
		accel = &accel_tcg;
#endif
	if (!accel)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < ARRAY_LEN(tests); i++) {
		if (argc > 2 && !strstr(tests[i].name, argv[2]))
			continue;
		if (tests[i].real && emulates) {
			printf("skip - %s: %s: this host's KVM emulates instructions\n", accel->name, tests[i].name);
			continue;
		}
		n_failed = 0;
		rig_init(&r, accel, tests[i].n_cpus);
		tests[i].fn(&r);
		rig_fini(&r);
		printf("%sok - %s: %s\n", n_failed ? "not " : "", accel->name, tests[i].name);
		bad += n_failed != 0;
	}
	return bad ? 1 : 0;
}
