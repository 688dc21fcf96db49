/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU model: x86-64-v3 and what this processor implements beyond it.
 *
 * Two faces of one model, by the host's vendor, because VMCALL, SYSENTER, undefined flags and some
 * leaves differ: a family 19h model 11h AMD, or a family 6 model 8fh Intel. Either says it needs
 * no software mitigation for speculation (automatic or enhanced IBRS, not touched by Meltdown and
 * its kin): they would cost much here and protect nothing, as guest code does not run on the
 * host's own branch predictor state in the way they assume.
 *
 * One socket, one or two threads per core, APIC id = vCPU index. What the operator's template
 * changes comes last (template.c). No LA57, PKU, MONITOR,
 * XSAVES, SVM or VMX.
 *
 * Compiled for general registers only, as are model.c and feature.c: translated code asks (fast_sys.c).
 *
 * Refs: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "accel/tcg/cpu/feature.h"
#include "accel/tcg/cpu/model.h"
#include "accel/tcg/cpu/reset.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/template.h"
#include "accel/tcg/cpu/xstate.h"
#include "vmm/core/bytes.h"

#define BIT(n) (1u << (n))

enum { SIG_AMD = 0x00a10f11, SIG_INTEL = 0x000806f8 };
enum { MAX_BASIC = 0x16, CRYSTAL_KHZ = 1000000 };
static const uint32_t max_ext_amd = 0x80000021, max_ext_intel = 0x80000008;
static const uint32_t kvm_base = 0x40000000;

static const uint32_t leaf1_edx =
	BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | /* FPU VME DE PSE
		TSC MSR PAE MCE */
	BIT(8) | BIT(9) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | /* CX8 APIC SEP
		MTRR PGE MCA CMOV PAT */
	BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26); /* PSE36 CLFLUSH MMX FXSR SSE
		SSE2 */
static const uint32_t leaf1_ecx =
	BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | /* SSE3 PCLMUL
		SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 */
	BIT(21) | BIT(22) | BIT(23) | BIT(24) | BIT(25) | BIT(26) | /* x2APIC MOVBE POPCNT
		TSC-deadline AES XSAVE */
	BIT(28) | BIT(29) | BIT(30) | BIT(31); /* AVX F16C RDRAND hypervisor */
static const uint32_t leaf7_ebx =
	BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | /* FSGSBASE
		TSC_ADJUST BMI1 AVX2 SMEP BMI2 ERMS INVPCID */
	BIT(13) | BIT(18) | BIT(19) | BIT(20) | BIT(23) | BIT(29); /* no FCS and FDS; RDSEED ADX
		SMAP CLFLUSHOPT SHA */
static const uint32_t leaf7_ecx = BIT(2) | BIT(22); /* UMIP RDPID */
static const uint32_t leaf7_edx = BIT(4);           /* FSRM */
static const uint32_t leaf7_edx_intel = BIT(26) | BIT(29); /* IBRS, IA32_ARCH_CAPABILITIES */
/* What 8000_0001h EDX repeats of leaf 1 on AMD processors. */
static const uint32_t ext1_edx_common = 0x0183f3ff;

/* What the translator implements; a model may have less: vm->has. */
bool cpu_has_feature(unsigned feature)
{
	static const uint8_t have[] = {
		X86_FEAT_NONE, X86_FEAT_486, X86_FEAT_FPU, X86_FEAT_CX8, X86_FEAT_CMOV,
		X86_FEAT_MMX, X86_FEAT_FXSR, X86_FEAT_SSE, X86_FEAT_SSE2, X86_FEAT_SSE3,
		X86_FEAT_SSSE3, X86_FEAT_SSE41, X86_FEAT_SSE42, X86_FEAT_POPCNT, X86_FEAT_LZCNT,
		X86_FEAT_AES, X86_FEAT_PCLMUL, X86_FEAT_SHA, X86_FEAT_AVX, X86_FEAT_AVX2,
		X86_FEAT_FMA, X86_FEAT_F16C, X86_FEAT_BMI1, X86_FEAT_BMI2, X86_FEAT_ADX,
		X86_FEAT_MOVBE, X86_FEAT_CX16, X86_FEAT_LM, X86_FEAT_LAHF, X86_FEAT_SYSCALL,
		X86_FEAT_SYSENTER, X86_FEAT_RDTSCP, X86_FEAT_RDPID, X86_FEAT_RDRAND,
		X86_FEAT_RDSEED, X86_FEAT_FSGSBASE, X86_FEAT_SMAP, X86_FEAT_INVPCID, X86_FEAT_XSAVE,
		X86_FEAT_XSAVEOPT, X86_FEAT_XSAVEC, X86_FEAT_CLFLUSH, X86_FEAT_CLFLUSHOPT,
		X86_FEAT_PREFETCHW, X86_FEAT_TSC, X86_FEAT_MSR, X86_FEAT_AVX512,
	};

	for (unsigned i = 0; i < ARRAY_LEN(have); i++)
		if (have[i] == feature)
			return true;
	return false;
}

uint32_t cpu_signature(const struct tcg_vm *vm)
{
	return vm->intel ? SIG_INTEL : SIG_AMD;
}

/* Bits of APIC ID that number a core's threads. */
static unsigned thread_bits(const struct tcg_vm *vm)
{
	return vm->cfg.threads_per_core == 2 && vm->n_vcpus % 2 == 0;
}

/* Bits of APIC ID that number the package's threads. */
static unsigned core_bits(const struct tcg_vm *vm)
{
	unsigned bits = 0;

	while (1u << bits < vm->n_vcpus)
		bits++;
	return bits;
}

/* Sixteen characters of the name, beginning with the 16 * i-th. */
static void put_name(const char *name, unsigned i, struct cpuid_regs *r)
{
	uint32_t *const regs[] = {&r->eax, &r->ebx, &r->ecx, &r->edx};
	unsigned at = 0;

	for (; name[at] && at < 47; at++)
		if (at / 16 == i)
			*regs[at / 4 % 4] |= (uint32_t)(uint8_t)name[at] << at % 4 * 8;
}

/* One row per cache: level, type (1 data, 2 instruction, 3 both), ways, sets; lines of 64 bytes. */
struct cache_row {
	uint8_t level, type;
	uint16_t ways;
	uint32_t sets;
	bool shared; /* by all cores */
};
static const struct cache_row caches[] = {
	{1, 1, 8, 64, false}, {1, 2, 8, 64, false}, {2, 3, 8, 2048, false}, {3, 3, 16, 32768, true},
};

static void cache_leaf(const struct tcg_vm *vm, uint32_t sub, bool intel, struct cpuid_regs *r)
{
	const struct cache_row *k;

	if (sub >= ARRAY_LEN(caches))
		return;
	k = &caches[sub];
	r->eax = k->type | (uint32_t)k->level << 5 | 1u << 8;
	if (k->shared)
		r->eax |= (uint32_t)(intel ? (1u << core_bits(vm)) - 1 : vm->n_vcpus - 1) << 14;
	else
		r->eax |= thread_bits(vm) << 14;
	if (intel)
		r->eax |= ((1u << (core_bits(vm) - thread_bits(vm))) - 1) << 26;
	r->ebx = 63 | (k->ways - 1u) << 22;
	r->ecx = k->sets - 1;
}

/*
 * TSC over the 1 GHz crystal as a fraction: the last convergent whose numerator times the crystal's
 * kHz fits 32 bits, because Linux multiplies so. At worst some 50 parts in a million off.
 */
static void tsc_ratio(uint64_t tsc_khz, uint32_t *num, uint32_t *den)
{
	uint64_t a = tsc_khz, b = CRYSTAL_KHZ;
	uint64_t n0 = 0, d0 = 1, n1 = 1, d1 = 0;

	while (b) {
		uint64_t q = a / b, r = a % b;
		uint64_t n2 = q * n1 + n0, d2 = q * d1 + d0;

		if (n2 > UINT32_MAX / CRYSTAL_KHZ)
			break;
		n0 = n1;
		d0 = d1;
		n1 = n2;
		d1 = d2;
		a = b;
		b = r;
	}
	*num = (uint32_t)n1;
	*den = (uint32_t)d1;
}

static void basic_leaf(const struct cpu *c, uint32_t leaf, uint32_t sub, struct cpuid_regs *r)
{
	const struct tcg_vm *vm = c->vm;
	unsigned bits = core_bits(vm);

	switch (leaf) {
	case 0:
		r->eax = MAX_BASIC;
		r->ebx = load_le32(vm->intel ? "Genu" : "Auth");
		r->edx = load_le32(vm->intel ? "ineI" : "enti");
		r->ecx = load_le32(vm->intel ? "ntel" : "cAMD");
		break;
	case 1:
		r->eax = cpu_signature(vm);
		r->ebx = c->index << 24 | (1u << bits) << 16 | 8 << 8;
		r->ecx = leaf1_ecx | (c->cr4 & X86_CR4_OSXSAVE ? BIT(27) : 0);
		r->edx = leaf1_edx | (vm->n_vcpus > 1 ? BIT(28) : 0);
		break;
	case 2:
		if (vm->intel)
			r->eax = 0x00feff01; /* "see leaf 4" for caches and TLBs */
		break;
	case 4:
		if (vm->intel)
			cache_leaf(vm, sub, true, r);
		break;
	case 6:
		r->eax = BIT(2); /* the APIC timer always runs */
		break;
	case 7:
		if (sub == 0) {
			r->ebx = leaf7_ebx;
			r->ecx = leaf7_ecx;
			if (vm->has[X86_FEAT_AVX512]) { /* IFMA; VBMI VBMI2 VNNI BITALG VPOPCNTDQ */
				r->ebx |= CPUID7_EBX_AVX512 | BIT(21);
				r->ecx |= BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14);
			}
			r->edx = leaf7_edx | (vm->intel ? leaf7_edx_intel : 0);
			r->eax = vm->intel ? 2 : 0;
		} else if (sub == 2 && vm->intel) {
			r->edx = BIT(4); /* BHI_CTRL: or kernels clear branch history by hand */
		}
		break;
	case 0xb:
		r->ecx = sub & 0xff;
		r->edx = c->index;
		if (sub == 0) {
			r->eax = thread_bits(vm);
			r->ebx = 1u << thread_bits(vm);
			r->ecx |= 1 << 8; /* thread */
		} else if (sub == 1) {
			r->eax = bits;
			r->ebx = vm->n_vcpus;
			r->ecx |= 2 << 8; /* core */
		}
		break;
	case 0xd:
		if (sub == 0) {
			r->eax = (uint32_t)xstate_allowed(vm);
			r->ebx = xstate_end(c->xcr0, 0);
			r->ecx = xstate_end(r->eax, 0);
		} else if (sub == 1) {
			r->eax = BIT(0) | BIT(1) | BIT(2); /* XSAVEOPT XSAVEC XGETBV1 */
			r->ebx = xstate_end(c->xcr0, c->xcr0);
		} else if (sub < XSAVE_N && xstate_allowed(vm) >> sub & 1) {
			r->eax = xstate_size(sub);
			r->ebx = sub < XSAVE_FIRST ? 0 : xstate_at(sub);
		}
		break;
	case 0x15: /* TSC = crystal * ebx / eax; the crystal is the APIC timer's clock */
		tsc_ratio(vm->tsc_khz, &r->ebx, &r->eax);
		r->ecx = CRYSTAL_KHZ * 1000;
		break;
	case 0x16:
		r->eax = r->ebx = (uint32_t)(vm->tsc_khz / 1000);
		r->ecx = 100;
		break;
	}
}

static void extended_leaf(const struct cpu *c, uint32_t leaf, uint32_t sub, struct cpuid_regs *r)
{
	const struct tcg_vm *vm = c->vm;
	bool amd = !vm->intel;

	switch (leaf) {
	case 0x80000000:
		r->eax = amd ? max_ext_amd : max_ext_intel;
		if (amd) { /* the vendor again */
			struct cpuid_regs v = {0};

			basic_leaf(c, 0, 0, &v);
			r->ebx = v.ebx;
			r->ecx = v.ecx;
			r->edx = v.edx;
		}
		break;
	case 0x80000001:
		/* SYSCALL NX PDPE1GB RDTSCP LM; LAHF LZCNT PREFETCHW */
		r->edx = BIT(20) | BIT(26) | BIT(27) | BIT(29);
		r->ecx = BIT(0) | BIT(5) | BIT(8);
		if (amd) {
			r->eax = SIG_AMD;
			r->edx |= (leaf1_edx & ext1_edx_common) | BIT(11) | BIT(22); /* MMXEXT */
			r->ecx |= BIT(22) | (vm->n_vcpus > 1 ? BIT(1) : 0); /* TOPOEXT CMP_LEGACY */
		} else if (c->mode & MODE_CS64) {
			r->edx |= BIT(11);
		}
		break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		put_name(model_string(vm), leaf - 0x80000002, r);
		break;
	case 0x80000005:
		if (amd) {
			r->ecx = 32u << 24 | 8 << 16 | 1 << 8 | 64;
			r->edx = 32u << 24 | 8 << 16 | 1 << 8 | 64;
		}
		break;
	case 0x80000006:
		r->ecx = 1024u << 16 | 6 << 12 | 1 << 8 | 64; /* L2: 1 MiB, 8 ways */
		if (amd)
			r->edx = 64u << 18 | 8 << 12 | 1 << 8 | 64; /* L3: 32 MiB, 16 ways */
		break;
	case 0x80000007:
		r->edx = BIT(8); /* invariant TSC */
		break;
	case 0x80000008:
		r->eax = PHYS_ADDR_BITS | LIN_ADDR_BITS << 8;
		if (amd) {
			/* error pointers are always saved; SSB_NO; BTC_NO */
			r->ebx = BIT(2) | BIT(26) | BIT(29);
			r->ecx = (vm->n_vcpus - 1) | core_bits(vm) << 12;
		}
		break;
	case 0x8000001d:
		cache_leaf(vm, sub, false, r);
		break;
	case 0x8000001e:
		r->eax = c->index;
		r->ebx = (c->index >> thread_bits(vm) & 0xff) | thread_bits(vm) << 8;
		break;
	case 0x80000021:
		/* NoNestedDataBp LFENCE-serializing null-selector-clears-base AutoIBRS
		 * no-SMM-CTL SRSO_NO; TSA_SQ_NO TSA_L1_NO and the bit that newer
		 * kernels want beside these two */
		r->eax = BIT(0) | BIT(2) | BIT(6) | BIT(8) | BIT(9) | BIT(29);
		r->ecx = BIT(1) | BIT(2) | BIT(7);
		break;
	}
}

static void kvm_leaf(const struct cpu *c, uint32_t leaf, struct cpuid_regs *r)
{
	if (leaf == kvm_base) {
		r->eax = kvm_base + 0x10;
		r->ebx = load_le32("KVMK");
		r->ecx = load_le32("VMKV");
		r->edx = load_le32("M\0\0");
	} else if (leaf == kvm_base + 1) {
		/* NOP_IO_DELAY CLOCKSOURCE2 STEAL_TIME PV_UNHALT PV_TLB_FLUSH PV_SEND_IPI
		 * POLL_CONTROL PV_SCHED_YIELD CLOCKSOURCE_STABLE */
		r->eax = BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(9) | BIT(11) | BIT(12) | BIT(13) |
			 BIT(24);
	} else if (leaf == kvm_base + 0x10) {
		r->eax = (uint32_t)c->vm->tsc_khz;
		r->ebx = CRYSTAL_KHZ; /* the APIC timer's */
	}
}

bool cpuid_has_leaf(const struct tcg_vm *vm, uint32_t leaf)
{
	return leaf <= MAX_BASIC || leaf - kvm_base < 2 || leaf == kvm_base + 0x10 ||
	       (leaf >= 0x80000000 && leaf <= (vm->intel ? max_ext_intel : max_ext_amd));
}

void cpuid_model(const struct cpu *c, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
	*out = (struct cpuid_regs){0};
	if (leaf <= MAX_BASIC) {
		basic_leaf(c, leaf, subleaf, out);
	} else if (leaf - kvm_base < 0x100) {
		kvm_leaf(c, leaf, out);
	} else if (leaf >= 0x80000000 && leaf <= (c->vm->intel ? max_ext_intel : max_ext_amd)) {
		extended_leaf(c, leaf, subleaf, out);
	}
	model_mask(c->vm, leaf, subleaf, out);
}

void cpu_cpuid(const struct cpu *c, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
	cpuid_model(c, leaf, subleaf, out);
	template_cpuid(c, leaf, subleaf, out);
}
