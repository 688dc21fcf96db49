/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time as the guest sees it: the TSC, kvmclock's page and the wall clock.
 *
 * If the host's TSC is invariant the guest's is the host's plus an offset, and its frequency is
 * measured against CLOCK_MONOTONIC when the VM is made. Otherwise the TSC is made from
 * CLOCK_MONOTONIC at a nominal 1 GHz. Either way it starts at zero with the VM, is the same on all
 * processors, and one pair (TSC, nanoseconds) serves all kvmclock pages, so that they agree to the
 * last bit: what PVCLOCK_TSC_STABLE promises.
 *
 * Refs: Linux Documentation/virt/kvm/x86/{msr,cpuid}.rst (the ABI); Intel SDM vol. 3B,
 * "Time-Stamp Counter".
 */
#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/reset.h"
#include "vmm/core/bytes.h"

#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

enum { MEASURE_NS = 1000000, N_MEASURES = 16, NOMINAL_KHZ = 1000000, N_SAMPLES = 8 };

uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

#if defined(__x86_64__)
static bool host_tsc_invariant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && d >> 8 & 1;
}

static uint64_t host_rdtsc(void)
{
	return __rdtsc();
}
#else
static bool host_tsc_invariant(void)
{
	return false;
}

static uint64_t host_rdtsc(void)
{
	return 0;
}
#endif

/* The two clocks at one moment: the try with the least time between two TSC reads wins. */
static void sample(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < N_SAMPLES; i++) {
		uint64_t a = host_rdtsc(), n = clock_now_ns(), b = host_rdtsc();

		if (b - a < best) {
			best = b - a;
			*tsc = a + (b - a) / 2;
			*ns = n;
		}
	}
}

static uint64_t mul_div(uint64_t a, uint64_t mul, uint64_t div)
{
	return (uint64_t)((unsigned __int128)a * mul / div);
}

/* ns = ((tsc << shift) * mul) >> 32, with mul in [2^31, 2^32): hz << shift is in (1e9, 2e9]. */
static void set_pvclock_scale(struct tcg_vm *vm)
{
	unsigned __int128 num = (unsigned __int128)1000000000 << 32;
	uint64_t hz = vm->tsc_khz * 1000;
	int shift = 0;

	while (hz >> -shift > 2000000000)
		shift--;
	while (shift >= 0 && hz << shift <= 1000000000)
		shift++;
	vm->pvclock_shift = (int8_t)shift;
	vm->pvclock_mul = (uint32_t)(shift >= 0 ? num / (hz << shift) : (num << -shift) / hz);
}

/* The frequency over MEASURE_NS from *tsc and *ns on, which become the end of that time. */
static uint64_t measure_khz(uint64_t *tsc, uint64_t *ns)
{
	uint64_t tsc0 = *tsc, ns0 = *ns;

	do
		sample(tsc, ns);
	while (*ns - ns0 < MEASURE_NS);
	return *tsc <= tsc0 ? 0 : mul_div(*tsc - tsc0, 1000000, *ns - ns0);
}

/*
 * Two measurements in a row must agree within 1/512: on a host whose processors are taken away at
 * any moment one may be far off. 0: they never did, or it is not a clock one can use.
 */
static uint64_t find_khz(uint64_t *tsc, uint64_t *ns)
{
	uint64_t khz, last;

	sample(tsc, ns);
	khz = measure_khz(tsc, ns);
	for (unsigned i = 0; i < N_MEASURES; i++) {
		last = khz;
		khz = measure_khz(tsc, ns);
		if (khz >= 100000 && (khz > last ? khz - last : last - khz) <= khz / 512)
			return (khz + last) / 2;
	}
	return 0;
}

void clock_init(struct tcg_vm *vm)
{
	uint64_t tsc = 0, ns = 0;

	vm->tsc_khz = host_tsc_invariant() ? find_khz(&tsc, &ns) : 0;
	vm->tsc_native = vm->tsc_khz;
	if (!vm->tsc_native) {
		vm->tsc_khz = NOMINAL_KHZ;
		ns = clock_now_ns();
		tsc = mul_div(ns, NOMINAL_KHZ, 1000000);
	}
	vm->ns_ref = ns;
	vm->tsc_ref = tsc;
	set_pvclock_scale(vm);
}

uint64_t clock_host_tsc(const struct tcg_vm *vm)
{
	if (vm->tsc_native)
		return host_rdtsc();
	return mul_div(clock_now_ns(), vm->tsc_khz, 1000000);
}

uint64_t cpu_rdtsc(const struct cpu *c)
{
	return clock_host_tsc(c->vm) + c->tsc_offset;
}

/* --- kvmclock --- */

enum { PVCLOCK_STABLE = 1 };

/*
 * 32 bytes: version, pad, tsc_timestamp, system_time, mul, shift, flags. The version is odd while
 * the rest changes; a processor reads its own page only, so program order is order enough.
 */
static void write_system_page(struct cpu *c)
{
	gpaddr gpa = c->kvm_system_time & ~1ull;
	uint8_t b[32] = {0};
	uint16_t version;

	if (!(c->kvm_system_time & 1) || !gmem_load16(c->vm->mem, gpa, &version))
		return;
	version = (uint16_t)((version | 1) + 2);
	gmem_store16(c->vm->mem, gpa, version);
	store_le64(b + 8, c->vm->tsc_ref + c->tsc_offset);
	store_le64(b + 16, 0); /* the clock starts with the VM */
	store_le32(b + 24, c->vm->pvclock_mul);
	b[28] = (uint8_t)c->vm->pvclock_shift;
	b[29] = PVCLOCK_STABLE;
	gmem_write(c->vm->mem, gpa + 4, b + 4, sizeof(b) - 4);
	gmem_store16(c->vm->mem, gpa, (uint16_t)(version + 1));
}

void clock_write_system_time(struct cpu *c, uint64_t val)
{
	c->kvm_system_time = val;
	write_system_page(c);
}

void clock_tsc_moved(struct cpu *c)
{
	write_system_page(c);
	lapic_tsc_moved(c);
}

/* 12 bytes: version, seconds, nanoseconds of the wall clock when kvmclock was zero. */
void clock_write_wall_clock(struct cpu *c, uint64_t val)
{
	struct timespec ts;
	uint64_t wall;
	uint8_t b[12], version[4];
	uint32_t v;

	c->kvm_wall_clock = val;
	if (!val || !gmem_read(c->vm->mem, val, version, 4))
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	wall = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec -
	       (clock_now_ns() - c->vm->ns_ref);
	v = (load_le32(version) | 1) + 1;
	store_le32(b, v);
	store_le32(b + 4, (uint32_t)(wall / 1000000000));
	store_le32(b + 8, (uint32_t)(wall % 1000000000));
	gmem_write(c->vm->mem, val, b, sizeof(b));
}
