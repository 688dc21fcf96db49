/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_CPU_H
#define MAYFLY_ACCEL_TCG_CPU_CPU_H
/*
 * One software processor: architectural state, translation look-aside buffers, and the privileged
 * semantics that interpreter and JIT share.
 *
 * Layout. struct cpu sits at the top of a per-vCPU mapping [guard][C stack 256 KiB][struct cpu]
 * [guard], 4 KiB-aligned: JIT code runs with the host's rsp == &cpu, so that every field is
 * [rsp+disp] and a helper is a plain call. The first 128 bytes are reached with disp8.
 *
 * State rule. Outside JIT code everything here is architectural and complete: rflags holds all
 * flags, xs holds all x87/SSE/AVX state. What JIT code keeps in host registers it writes back
 * before it calls anything that is not written for it.
 *
 * Exceptions. cpu_raise*() do not return: they longjmp to the run loop, which delivers the
 * exception with cpu->rip (the faulting instruction) as the saved RIP. An instruction changes no
 * architectural state before its last possible fault. Traps and software interrupts are delivered
 * by cpu_deliver() with the RIP to save as argument.
 *
 * Threads: a struct cpu belongs to its vCPU thread. Others touch only `requests` (atomic, by
 * cpu_request()) and the local APIC's incoming side (lapic.h).
 */
#include "accel/x86_state.h"
#include "accel/tcg/x86/insn.h"
#include "vmm/core/gmem.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct accel_io;
struct err;
struct jit;
struct lapic;
struct tcg_vm;

enum { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI, X86_R8, X86_R9,
       X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15 };

enum { /* rflags */
	X86_FL_TF = 1 << 8, X86_FL_IF = 1 << 9, X86_FL_DF = 1 << 10, X86_FL_IOPL = 3 << 12,
	X86_FL_NT = 1 << 14, X86_FL_RF = 1 << 16, X86_FL_VM = 1 << 17, X86_FL_AC = 1 << 18,
	X86_FL_VIF = 1 << 19, X86_FL_VIP = 1 << 20, X86_FL_ID = 1 << 21,
};
enum { X86_CR0_PE = 1 << 0, X86_CR0_MP = 1 << 1, X86_CR0_EM = 1 << 2, X86_CR0_TS = 1 << 3,
       X86_CR0_ET = 1 << 4, X86_CR0_NE = 1 << 5, X86_CR0_WP = 1 << 16, X86_CR0_AM = 1 << 18,
       X86_CR0_NW = 1 << 29, X86_CR0_CD = 1 << 30 };
#define X86_CR0_PG (1u << 31)
enum { X86_CR4_VME = 1 << 0, X86_CR4_PVI = 1 << 1, X86_CR4_TSD = 1 << 2, X86_CR4_DE = 1 << 3,
       X86_CR4_PSE = 1 << 4, X86_CR4_PAE = 1 << 5, X86_CR4_MCE = 1 << 6, X86_CR4_PGE = 1 << 7,
       X86_CR4_PCE = 1 << 8, X86_CR4_OSFXSR = 1 << 9, X86_CR4_OSXMMEXCPT = 1 << 10,
       X86_CR4_UMIP = 1 << 11, X86_CR4_FSGSBASE = 1 << 16, X86_CR4_PCIDE = 1 << 17,
       X86_CR4_OSXSAVE = 1 << 18, X86_CR4_SMEP = 1 << 20, X86_CR4_SMAP = 1 << 21 };
enum { X86_EFER_SCE = 1 << 0, X86_EFER_LME = 1 << 8, X86_EFER_LMA = 1 << 10,
       X86_EFER_NXE = 1 << 11, X86_EFER_SVME = 1 << 12, X86_EFER_FFXSR = 1 << 14 };
enum { X86_EXC_DE, X86_EXC_DB, X86_EXC_NMI, X86_EXC_BP, X86_EXC_OF, X86_EXC_BR, X86_EXC_UD,
       X86_EXC_NM, X86_EXC_DF, X86_EXC_TS = 10, X86_EXC_NP, X86_EXC_SS, X86_EXC_GP, X86_EXC_PF,
       X86_EXC_MF = 16, X86_EXC_AC, X86_EXC_MC, X86_EXC_XM };

/* The XSAVE image, standard format (Intel SDM vol. 1, "XSAVE Area"): the one home of x87, SSE and
 * AVX state. The JIT loads and stores it with XRSTOR and XSAVE, so xstate_bv is kept at 7 while
 * the image is in use by C code. */
struct xsave_area {
	uint16_t fcw, fsw; /* TOP is in fsw bits 13..11 */
	uint8_t ftw;       /* abridged: bit i set = physical register i not empty */
	uint8_t rsvd0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];   /* ST(0)..ST(7) relative to TOP, 10 bytes each used */
	uint8_t xmm[16][16];
	uint8_t rsvd1[96];
	uint64_t xstate_bv, xcomp_bv, rsvd2[6];
	uint8_t ymmh[16][16]; /* offset 576 */
	/* AVX-512; zero where there is none. Not where the host's XSAVE has it: see xstate.h. */
	uint64_t k[8];
	uint8_t zmmh[16][32];
	uint8_t zmm16[16][64];
} __attribute__((aligned(64)));

/* Data TLB: direct-mapped, one table per (index, access). tag is the page's linear address or
 * TLB_EMPTY, which no page has; addend is host minus linear address.
 * A write entry exists only for a page that is writable, dirty, RAM, and holds no translated
 * code. MMIO pages never get an entry. */
enum { TLB_BITS = 12, TLB_ENTRIES = 1 << TLB_BITS };
#define TLB_EMPTY (~0ull)
struct tlb_entry {
	uint64_t tag, addend;
};
enum tlb_index {
	TLB_USER,        /* CPL 3 */
	TLB_KERNEL,      /* CPL 0..2; with SMAP and AC=0: no user pages in it */
	TLB_KERNEL_AC,   /* CPL 0..2 with SMAP and AC=1: user pages allowed */
	TLB_N_INDEX
};
enum tlb_access { TLB_READ, TLB_WRITE, TLB_N_ACCESS };

/* Instruction TLB: linear page -> guest-physical page, for fetch permission. Indexed by CPL 3 or
 * not. */
enum { ITLB_ENTRIES = 4096 };
struct itlb_entry {
	uint64_t tag; /* linear page address or TLB_EMPTY */
	uint64_t gpa; /* guest-physical page address */
};

/* Second-level TLB: what page walks found, of all process-context identifiers. See fill.c. */
enum { TLB2_SET_BITS = 10, TLB2_WAYS = 4, TLB2_PCIDS = 4096 };
struct tlb2_entry {
	uint64_t key;   /* page address | identifier */
	uint64_t val;   /* guest-physical page address | flags | size */
	uint64_t stamp; /* of its making; 0: empty */
};
struct tlb2 {
	struct tlb2_entry entry[1 << TLB2_SET_BITS][TLB2_WAYS];
	/* Each flush has a number; what is older than the one that concerns it is void. */
	uint64_t stamp, all_from, nonglobal_from, pcid_from[TLB2_PCIDS];
	unsigned next;        /* way to replace */
	bool has_2m, has_1g;  /* such pages were remembered since everything was emptied */
};

/*
 * The JIT's slot for the page that a stack is on, per enum tlb_index: a copy of a write entry that
 * is found at a fixed place. Empty: page is TLB_EMPTY and all limits are 0.
 */
struct jit_slot {
	uint64_t page, addend;
	/* A smaller offset in the page is fine for: all its bytes; operands of up to 4 bytes; of 8. */
	uint64_t limit[3];
};

/*
 * Page slots of the JIT: copies of TLB entries at fixed places, each for one or a few accesses of
 * translated user code, which were given its number: JIT_SLOTS for reads, then as many for
 * writes. Empty: limits 0.
 */
enum { JIT_SLOTS = 1024, JIT_PAGE_SLOTS = 2 * JIT_SLOTS };
struct jit_page_slot {
	uint64_t page, addend;
	/* A smaller offset in the page is fine for operands of up to 8 bytes; of up to 64. */
	uint64_t limit[2];
};

/* Jump cache of the JIT, per enum tlb_index: linear address to translated code. */
enum { JIT_JUMP_BITS = 12, JIT_JUMP_ENTRIES = 1 << JIT_JUMP_BITS };
struct jit_jump {
	uint64_t pc;
	const void *host;
};

/* Translation mode: everything beside the bytes that decides what an instruction means. Part of
 * a block's key; recomputed by cpu_update_mode() whenever one of its inputs changes. */
enum {
	MODE_CS64 = 1 << 0,    /* 64-bit code (LMA and CS.L) */
	MODE_CS32 = 1 << 1,    /* 32-bit code (CS.D); neither: 16-bit */
	MODE_SS32 = 1 << 2,    /* SS.B; set in 64-bit mode */
	MODE_CPL_SHIFT = 3,    /* two bits */
	MODE_CPL = 3 << 3,
	MODE_PE = 1 << 5,
	MODE_VM86 = 1 << 6,
	MODE_PG = 1 << 7,
	MODE_LMA = 1 << 8,
	MODE_FLAT = 1 << 9,    /* CS DS ES SS: base 0, limit 4 GiB, usable, writable; set in 64-bit */
	MODE_TF = 1 << 10,     /* single-step */
	MODE_AC = 1 << 11,     /* alignment checks on: CR0.AM, AC, CPL 3 */
	MODE_TLB_SHIFT = 12,   /* enum tlb_index of data accesses, two bits */
	MODE_TLB = 3 << 12,
	MODE_FPU_NM = 1 << 14, /* CR0.TS or EM: x87 raises #NM */
	MODE_SSE_UD = 1 << 15, /* no CR4.OSFXSR or CR0.EM: SSE raises #UD */
	MODE_AVX_UD = 1 << 16, /* no CR4.OSXSAVE or XCR0 without AVX */
	MODE_SSE_NM = 1 << 17, /* CR0.TS: SSE and AVX raise #NM */
	MODE_MP_NM = 1 << 18,  /* CR0.MP and TS: WAIT raises #NM */
	MODE_DBG = 1 << 19,    /* a breakpoint is enabled in DR7 */
	/* Outside 64-bit code: FS, GS is writable data with a limit of 4 GiB, at any base. */
	MODE_FS32 = 1 << 20,
	MODE_GS32 = 1 << 21,
	MODE_EVEX_UD = 1 << 22, /* no CR4.OSXSAVE or XCR0 without AVX-512 */
};

enum { /* requests: bits that others set; nonzero makes JIT code leave at its next poll */
	REQ_KICK = 1 << 0,      /* return from vcpu_run */
	REQ_INTERRUPT = 1 << 1, /* look at local APIC, NMI, ExtINT again */
	REQ_TIMER = 1 << 2,     /* local APIC timer is due */
	REQ_INIT = 1 << 3,
	REQ_SIPI = 1 << 4,
	REQ_NMI = 1 << 5,
	REQ_TLB_FLUSH = 1 << 6, /* all TLBs, from another thread */
	REQ_JIT = 1 << 7,       /* the JIT's own: code cache being emptied */
	REQ_EXCLUSIVE = 1 << 8, /* another vCPU wants an exclusive section (exclusive.h) */
};

struct cpu {
	/* --- 128 bytes within disp8 of rsp --- */
	_Atomic uint32_t requests; /* 0x00: REQ_*; polled by JIT code */
	uint32_t jit_flags;        /* 0x04: the JIT's saved arithmetic flags */
	uint64_t jit_pcbase;       /* 0x08: the JIT's */
	uint64_t jit_held[2];      /* 0x10: the JIT's: addends that a block goes on to use */
	uint64_t gpr[16];          /* 0x20: r9..r11 at 0x68..0x78 */
	/* --- 0xa0 --- */
	uint64_t rip;    /* of the instruction being executed; advanced at its end */
	uint64_t rflags; /* bit 1 set; complete outside JIT code */
	uint32_t mode;   /* MODE_* */
	uint8_t tlb_idx; /* == (mode & MODE_TLB) >> MODE_TLB_SHIFT */
	uint8_t cpl;
	uint8_t inhibit_irq; /* 1: after STI or MOV SS, for one instruction */
	uint8_t halted;      /* HLT until an interrupt */
	struct x86_seg seg[X86_N_SEGS];
	struct x86_seg ldt, tr;
	struct x86_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
	uint64_t dr[8];
	uint64_t next_rip; /* set before each instruction's handler runs: rip + len, wrapped */
	/* The JIT's: C functions that translated code calls, the stack pointer to return to,
	 * spills; whether SIMD state is in host registers, and is wanted back there. */
	const void *jit_helper[16];
	uint64_t jit_host_sp, jit_spill[4];
	uint8_t jit_simd, jit_simd_want;
	bool jit_waits;     /* HLT sleeps in translated code; else that is left for it */
	uint32_t jit_mxcsr; /* the host's default */
	/* Bytes of an access to two pages, and where they go afterwards. */
	uint8_t jit_bounce[64] __attribute__((aligned(64)));
	uint8_t *jit_commit[2];
	uint32_t jit_commit_len[2];
	uint32_t jit_jump_mode[TLB_N_INDEX]; /* of the blocks in each jump cache */
	struct jit_slot jit_slot[TLB_N_INDEX];
	uint64_t jit_held_more[6];
	struct jit_page_slot jit_page[JIT_PAGE_SLOTS];
	uint64_t jit_page_used[JIT_PAGE_SLOTS / 64]; /* those that are not empty */
	uint8_t jit_page_budget[JIT_PAGE_SLOTS];     /* fills until somebody asks whether it pays */
	uint32_t jit_drops; /* counts what makes addends that translated code holds void */
	struct xsave_area xs;
	struct tlb_entry tlb[TLB_N_INDEX][TLB_N_ACCESS][TLB_ENTRIES] __attribute__((aligned(64)));
	struct itlb_entry itlb[2][ITLB_ENTRIES];
	struct jit_jump jit_jump[TLB_N_INDEX][JIT_JUMP_ENTRIES];
	/* Where non-global translations were put in the two kernel tables since the last flush, so
	 * that a CR3 write empties only those; n > the array: empty everything. */
	uint32_t n_nonglobal;
	uint16_t nonglobal[256];

	/* --- model-specific registers --- */
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_offset, tsc_aux, tsc_adjust, misc_enable, spec_ctrl, xss, mcg_status;
	uint64_t mtrr_def, mtrr_fixed[11], mtrr_var[16];
	uint64_t kvm_system_time, kvm_wall_clock, kvm_steal_time, kvm_poll_control, hwcr;
	uint64_t smi_count, debugctl;

	/* --- the machine around it --- */
	struct tcg_vm *vm;
	struct lapic *lapic;
	unsigned index; /* also the initial local APIC ID */
	bool nmi_pending, nmi_masked;
	bool wait_sipi;
	int shutdown; /* 1: triple fault happened */
	jmp_buf *fault_jmp;
	/* The exception being raised through fault_jmp. */
	uint8_t exc_vector;
	bool exc_has_error;
	uint32_t exc_error;
	/* Interrupt or exception being delivered, for double faults: X86_EXC_* or -1. */
	int delivering;
	struct jit_cpu *jit; /* the JIT's own per-vCPU state, or NULL */
	/* The store log of the lockstep mode; NULL otherwise. */
	struct store_log *log;
	/* The interpreter's: data breakpoints hit by the current instruction (DR6 bits 3..0), and
	 * decoded instructions, or NULL to decode each time. */
	uint8_t db_hits;
	struct interp_cache *icache;
	uint64_t n_insns, n_mmio, n_faults, n_interrupts, n_tlb_fills, n_walks;
	uint64_t n_halts, n_sleeps; /* HLT; those of them in which the thread slept */

	/* --- bookkeeping of accel/tcg/cpu --- */
	/* An interrupt was found that IF forbids: whoever sets IF asks again (cpu_irq_recheck). */
	uint8_t irq_waiting;
	_Atomic uint8_t pv_unhalt;    /* KVM_HC_KICK_CPU came: the next or present HLT ends */
	_Atomic uint32_t sleeping;    /* in cpu_wait(): cpu_request() has to wake it */
	_Atomic uint32_t sipi_vector; /* with REQ_SIPI */
	unsigned excl_depth;          /* inside mmu_exclusive_begin/end; own thread only */
	_Atomic bool in_guest;        /* between exclusive_enter_guest and _leave_guest */
	bool excl_from_guest;         /* the section was begun in the guest */
	uint64_t pdpte[4];            /* PAE paging: loaded by CR3 writes */
	/* Slots of TLB_USER filled since it was last emptied, as nonglobal[]. */
	uint32_t n_user_fills;
	uint16_t user_fills[256];
	uint32_t n_user_fetches; /* the same for the user's instruction TLB */
	uint16_t user_fetches[512];
	bool itlb_nonglobal; /* the kernel's instruction TLB holds a non-global page */
	/* Where large pages were used since the last flush, for INVLPG: Bloom filters over 2 MiB
	 * frames, for non-global and global pages in either half of the address space, and a list
	 * of 1 GiB frames. */
	uint64_t large_seen[2][2][16];
	unsigned n_huge_seen; /* > the array: anywhere */
	uint64_t huge_seen[16];
	uint64_t halt_spin_ns; /* halt.c: how long to spin before sleeping */
	bool halts_long;       /* the last wait was */
	/* steal.c: real and processor time that stolen_ns counts from */
	uint64_t steal_wall_ns, steal_thread_ns, stolen_ns, steal_told_ns;
	bool steal_paused, steal_fresh; /* fresh: it has just begun to count again */
	uint32_t n_pauses; /* PAUSE instructions, to tell spinning (vm->own_processors) */
	struct tlb2 tlb2;
};

static inline unsigned cpu_tlb_slot(uint64_t la)
{
	return (unsigned)(la >> 12) & (TLB_ENTRIES - 1);
}

/* --- raising exceptions (excp.c). Do not return. --- */
_Noreturn void cpu_raise(struct cpu *c, unsigned vector);                    /* no error code */
_Noreturn void cpu_raise_error(struct cpu *c, unsigned vector, uint32_t ec); /* with one */
_Noreturn void cpu_raise_gp0(struct cpu *c);
_Noreturn void cpu_raise_page_fault(struct cpu *c, gvaddr la, uint32_t ec);  /* sets CR2 */
/* Takes the exception that was raised through fault_jmp; escalates to #DF and shutdown. */
void cpu_deliver_raised(struct cpu *c);
/*
 * Delivers an interrupt, trap or software interrupt through the IDT or IVT; return_rip is what is
 * pushed. May raise. software: INT n, INT3, INTO (DPL checks).
 */
enum cpu_event { CPU_EV_EXTERNAL, CPU_EV_FAULT, CPU_EV_TRAP, CPU_EV_SOFT };
void cpu_deliver(struct cpu *c, unsigned vector, enum cpu_event kind, bool has_error,
		 uint32_t error, uint64_t return_rip);

/* --- modes and segments (mode.c, seg.c) --- */
void cpu_update_mode(struct cpu *c); /* recompute mode, tlb_idx from state */
static inline enum x86_mode cpu_code_mode(const struct cpu *c)
{
	return c->mode & MODE_CS64 ? X86_MODE64 : c->mode & MODE_CS32 ? X86_MODE32 : X86_MODE16;
}
void cpu_reset(struct cpu *c); /* INIT/RESET state incl. TLBs; not the local APIC */
void cpu_set_rflags(struct cpu *c, uint64_t val); /* all bits as given; updates mode */
/* To call after IF was set in rflags by other means than cpu_set_rflags(). */
static inline void cpu_irq_recheck(struct cpu *c)
{
	if (c->irq_waiting && c->rflags & X86_FL_IF) {
		c->irq_waiting = 0;
		atomic_fetch_or(&c->requests, REQ_INTERRUPT);
	}
}
/* The register file as snapshots and boot see it. The vCPU's thread, or while that is parked. */
void cpu_get_state(const struct cpu *c, struct x86_state *s);
void cpu_set_state(struct cpu *c, const struct x86_state *s);

/* MOV/POP to a segment register other than CS, LxS: all checks, may raise. */
void cpu_load_seg(struct cpu *c, unsigned seg, uint16_t selector);
/* Far transfers; set rip. JMP/CALL ptr or mem far, any gate; RETF; IRET of opsize 2, 4, 8. */
void cpu_far_jump(struct cpu *c, uint16_t selector, uint64_t off, unsigned opsize);
void cpu_far_call(struct cpu *c, uint16_t selector, uint64_t off, unsigned opsize,
		  uint64_t return_rip);
void cpu_far_return(struct cpu *c, unsigned opsize, unsigned pop_bytes);
void cpu_iret(struct cpu *c, unsigned opsize);
void cpu_syscall(struct cpu *c, uint64_t return_rip);
void cpu_sysret(struct cpu *c, unsigned opsize);
void cpu_sysenter(struct cpu *c);
void cpu_sysexit(struct cpu *c, unsigned opsize);
void cpu_lldt(struct cpu *c, uint16_t selector);
void cpu_ltr(struct cpu *c, uint16_t selector);
/* LAR, LSL, VERR, VERW: true if the selector is accessible for that; out: rights or limit. */
bool cpu_lar(struct cpu *c, uint16_t selector, uint32_t *out);
bool cpu_lsl(struct cpu *c, uint16_t selector, uint32_t *out);
bool cpu_ver(struct cpu *c, uint16_t selector, bool write);

/*
 * Linear address of seg:off for an access of len bytes. Checks canonical form in 64-bit code, and
 * limit, type and null selectors elsewhere; raises #GP(0), or #SS(0) for SS. write: for the type.
 */
gvaddr cpu_linear(struct cpu *c, unsigned seg, uint64_t off, unsigned len, bool write);

/* --- control, debug and model-specific registers, CPUID (cr.c, msr.c, cpuid.c). May raise. --- */
uint64_t cpu_read_cr(struct cpu *c, unsigned n);
void cpu_write_cr(struct cpu *c, unsigned n, uint64_t val);
uint64_t cpu_read_dr(struct cpu *c, unsigned n);
void cpu_write_dr(struct cpu *c, unsigned n, uint64_t val);
uint64_t cpu_rdmsr(struct cpu *c, uint32_t msr);
void cpu_wrmsr(struct cpu *c, uint32_t msr, uint64_t val);
void cpu_xsetbv(struct cpu *c, uint32_t n, uint64_t val);
struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};
void cpu_cpuid(const struct cpu *c, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);
bool cpu_has_feature(unsigned feature); /* enum x86_feature that is implemented */
uint64_t cpu_rdtsc(const struct cpu *c);
void cpu_vmcall(struct cpu *c); /* KVM hypercalls; #UD where there are none */

/* --- port I/O: permission check (CPL/IOPL/TSS bitmap, may raise), then the machine --- */
uint32_t cpu_in(struct cpu *c, uint16_t port, unsigned size);
void cpu_out(struct cpu *c, uint16_t port, unsigned size, uint32_t val);
void cpu_check_io(struct cpu *c, uint16_t port, unsigned size);

/* --- requests --- */
void cpu_request(struct cpu *c, uint32_t req); /* any thread; wakes a halted vCPU */
/* Handles what is pending between instructions: TLB requests, INIT/SIPI, NMI, interrupts (if IF
 * and no inhibition). False if vcpu_run must return (kick, shutdown). May raise. */
bool cpu_poll(struct cpu *c);
/* Sleeps until `requests` is not empty or the local APIC's timer is due; not in an exclusive
 * section. For HLT and wait-for-SIPI: poll, and while nothing woke the processor, wait. */
void cpu_wait(struct cpu *c);

/* --- making and destroying (vm.c): vm->cpus[index] is set and cleared --- */
int cpu_create(struct tcg_vm *vm, unsigned index, struct cpu **out, struct err *e);
void cpu_destroy(struct cpu *c); /* NULL is allowed */

#endif
