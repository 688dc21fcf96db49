/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and destroying the translator, and what it tells about itself.
 */
#include "accel/tcg/jit/priv.h"

#include "accel/tcg/cpu/host.h"
#include "accel/tcg/jit/block.h"
#include "accel/tcg/jit/dump.h"
#include "accel/tcg/jit/lockstep.h"
#include "accel/accel.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list && *list) {
		size_t n = strcspn(list, ",");

		if (n == len && !memcmp(list, word, len))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

/*
 * As many records as take no more memory than the code, in proportions that let the code be full
 * first: a boot of Linux has a block in 374 bytes of code, an exit in 177, a site in 98 and an
 * interpreted instruction in 7,000.
 */
static void size_pools(struct jit *j)
{
	enum { BLOCKS = 4, EXITS = 8, SITES = 13, INSNS = 1 };
	size_t unit = BLOCKS * sizeof(*j->blocks) + EXITS * sizeof(*j->exits) +
		      SITES * sizeof(*j->sites) + INSNS * sizeof(*j->insns);
	uint32_t n = (uint32_t)(j->cache_bytes / unit);

	j->max_blocks = n * BLOCKS;
	j->max_exits = n * EXITS;
	j->max_sites = n * SITES;
	j->max_insns = n * INSNS;
}

int jit_create(struct tcg_vm *vm, uint64_t cache_bytes, struct jit **out, struct err *e)
{
	const char *debug = vm->cfg.debug;
	struct jit *j;
	int rc;

	if (list_has(debug, "nojit"))
		return -ENOTSUP;
	j = calloc(1, sizeof(*j));
	if (!j)
		return err_set(e, ENOMEM, "translator: out of memory");
	j->vm = vm;
	pthread_mutex_init(&j->lock, NULL);
	j->nochain = list_has(debug, "nochain");
	j->lockstep = list_has(debug, "lockstep");
	j->nochain |= j->lockstep;
	j->nochain |= list_has(debug, "paranoid-smc");
	j->strict = j->lockstep || list_has(debug, "strict-flags");
	j->all_slots = list_has(debug, "all-slots");
	j->no_super = list_has(debug, "nosuper");
	j->all_super = list_has(debug, "all-super");
	j->native_simd = !list_has(debug, "nosimd") && host_has_xsave_avx();
	host_features(j->host_has);
	rc = cache_create(j, cache_bytes, e);
	if (rc)
		goto fail;
	size_pools(j);
	j->ir = malloc(sizeof(*j->ir));
	if (!j->ir || table_create(j)) {
		rc = err_set(e, ENOMEM, "translator: out of memory");
		goto fail;
	}
	if (list_has(debug, "paranoid-smc") && paranoid_create(j)) {
		rc = err_set(e, ENOMEM, "translator: out of memory");
		goto fail;
	}
	if (j->lockstep) {
		j->paths = calloc(j->max_blocks, sizeof(*j->paths));
		if (!j->paths) {
			rc = err_set(e, ENOMEM, "translator: out of memory");
			goto fail;
		}
	}
	stubs_emit(j);
	j->hot_start = j->hot;
	j->cold_start = j->cold;
	rc = dump_create(j, list_has(debug, "perf-map"), list_has(debug, "disasm"), e);
	if (rc)
		goto fail;
	vm->code_watcher = (struct code_watcher){smc_written, j};
	vm->hooks.tlb_flushed = jump_tlb_flushed;
	*out = j;
	return 0;
fail:
	jit_destroy(j);
	return rc;
}

void jit_destroy(struct jit *j)
{
	if (!j)
		return;
	j->vm->code_watcher = (struct code_watcher){NULL, NULL};
	j->vm->hooks.tlb_flushed = NULL;
	dump_destroy(j);
	table_destroy(j);
	cache_destroy(j);
	free(j->ir);
	free(j->sums);
	free(j->paths);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

int jit_cpu_create(struct jit *j, struct cpu *c, struct err *e)
{
	typedef struct jit_ret helper_fn(struct cpu *, uint32_t, uint64_t);
	static helper_fn *const helpers[] = {
		[HELPER_FAST_MISS] = fast_miss,
		[HELPER_MISS] = run_miss,     [HELPER_INTERP] = run_interp,
		[HELPER_DISPATCH] = run_dispatch, [HELPER_LINK] = run_link,
		[HELPER_SIMD] = run_simd,     [HELPER_JUMP_MISS] = run_jump_miss,
		[HELPER_STRING] = string_run, [HELPER_SYSTEM] = fast_system,
		[HELPER_FAST_JUMP] = fast_jump, [HELPER_FAST_LINK] = fast_link,
		[HELPER_XSTATE] = fast_xstate, [HELPER_FAST_POLL] = fast_poll,
		[HELPER_POLL] = run_poll,     [HELPER_HALT] = run_halt,
	};

	void (*const commit)(struct cpu *) = fast_commit;

	c->jit = calloc(1, sizeof(*c->jit));
	if (!c->jit)
		return err_set(e, ENOMEM, "vcpu %u: out of memory", c->index);
	c->jit->j = j;
	if (j->lockstep) {
		c->jit->lockstep = lockstep_create();
		if (!c->jit->lockstep)
			return err_set(e, ENOMEM, "vcpu %u: out of memory", c->index);
	}
	c->jit->epoch = atomic_load(&j->epoch);
	for (unsigned i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++)
		memcpy(&c->jit_helper[i], &helpers[i], sizeof(helpers[i]));
	memcpy(&c->jit_helper[HELPER_COMMIT], &commit, sizeof(commit));
	c->jit_mxcsr = 0x1f80;
	jump_create(c);
	return 0;
}

void jit_cpu_destroy(struct cpu *c)
{
	lockstep_destroy(c->jit->lockstep);
	free(c->jit);
	c->jit = NULL;
}

/* The operations that the interpreter was called for most. */
static void log_interp_ops(const struct cpu *c)
{
	enum { TOP = 24 };
	uint32_t below = UINT32_MAX;
	char line[700] = "";
	size_t n = 0;

	for (unsigned k = 0; k < TOP; k++) {
		unsigned best = 0;

		for (unsigned op = 0; op < X86_N_OPS; op++)
			if (c->jit->st.interp_ops[op] < below &&
			    c->jit->st.interp_ops[op] > c->jit->st.interp_ops[best])
				best = op;
		below = c->jit->st.interp_ops[best];
		if (!best || n >= sizeof(line) - 40)
			break;
		n += (size_t)snprintf(line + n, sizeof(line) - n, " %s %" PRIu32, x86_op_name(best),
				      below);
	}
	if (n)
		log_info(NULL, "jit: vcpu %u: interpreted most:%s", c->index, line);
}

void jit_log_stats(const struct jit *j)
{
	const struct jit_stats *s = &j->st;
	double per_block = s->blocks ? (double)s->insns / (double)s->blocks : 0.0;

	log_info(NULL, "jit: %" PRIu64 " blocks of %.1f instructions (%.1f%% interpreted), %"
		 PRIu64 " KiB hot, %" PRIu64 " KiB cold, %" PRIu64 " links, %" PRIu64 " kills, %"
		 PRIu64 " flushes", s->blocks, per_block,
		 s->insns ? 100.0 * (double)s->interp_insns / (double)s->insns : 0.0,
		 s->hot_bytes >> 10, s->cold_bytes >> 10, s->links, s->kills, s->flushes);
	log_info(NULL, "jit: %" PRIu64 " checks of several accesses cover %" PRIu64 " more; %" PRIu64
		 " blocks without; %" PRIu64 " page slots given up; %" PRIu64 " superblocks, %" PRIu64
		 " with a loop", s->groups, s->shared, s->plain_blocks, s->slots_given_up,
		 s->superblocks, s->loops);
	for (unsigned i = 0; i < j->vm->n_vcpus; i++) {
		const struct cpu *c = j->vm->cpus[i];

		if (!c || !c->jit)
			continue;
		log_info(NULL, "jit: vcpu %u: %" PRIu64 " entries, %" PRIu64 " dispatches, %" PRIu64
			 " interpreter calls, %" PRIu64 " memory misses (%" PRIu64
			 " interpreted), %" PRIu64 " jump cache flushes", i, c->jit->st.enters,
			 c->jit->st.dispatches, c->jit->st.interp_calls, c->jit->st.mem_misses,
			 c->jit->st.mem_interp, c->jit->st.jump_flushes);
		log_info(NULL, "jit: vcpu %u: without leaving SIMD state: %" PRIu64 " fills, %" PRIu64
			 " faults, %" PRIu64 " interrupts, %" PRIu64 " system instructions, %" PRIu64
			 " jumps, %" PRIu64 " state images", i,
			 c->jit->st.fast_fills, c->jit->st.fast_faults,
			 c->jit->st.fast_interrupts, c->jit->st.fast_ops, c->jit->st.fast_jumps,
			 c->jit->st.fast_xstates);
		log_interp_ops(c);
		if (j->sums)
			log_info(NULL, "jit: vcpu %u: paranoid-smc: %" PRIu64 " blocks compared, %"
				 PRIu64 " stale", i, c->jit->st.checks, c->jit->st.stale);
	}
}

void jit_counters(const struct jit *j, const struct accel_counter_sink *s)
{
	const struct jit_stats *t = &j->st;
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{"jit.blocks", t->blocks},
		{"jit.instructions", t->insns},
		{"jit.instructions_not_translated", t->interp_insns},
		{"jit.hot_bytes", t->hot_bytes},
		{"jit.cold_bytes", t->cold_bytes},
		{"jit.links", t->links},
		{"jit.kills", t->kills},
		{"jit.flushes", t->flushes},
		{"jit.groups", t->groups},
		{"jit.accesses_in_groups", t->shared},
		{"jit.plain_blocks", t->plain_blocks},
		{"jit.slots_given_up", t->slots_given_up},
		{"jit.superblocks", t->superblocks},
		{"jit.superblocks_with_loop", t->loops},
		{"jit.registers_renamed", t->renamed},
	};
	char name[64];

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		s->put(s->ctx, all[i].name, all[i].value);
	for (unsigned i = 0; i < j->vm->n_vcpus; i++) {
		const struct cpu *c = j->vm->cpus[i];
		const struct jit_cpu_stats *v = c && c->jit ? &c->jit->st : NULL;
		const struct {
			const char *name;
			uint64_t value;
		} each[] = {
			{"entries", v ? v->enters : 0},
			{"dispatches", v ? v->dispatches : 0},
			{"interpreter_calls", v ? v->interp_calls : 0},
			{"memory_misses", v ? v->mem_misses : 0},
			{"memory_misses_interpreted", v ? v->mem_interp : 0},
			{"jump_cache_flushes", v ? v->jump_flushes : 0},
			{"fast_fills", v ? v->fast_fills : 0},
			{"fast_faults", v ? v->fast_faults : 0},
			{"fast_interrupts", v ? v->fast_interrupts : 0},
			{"fast_system_instructions", v ? v->fast_ops : 0},
			{"fast_jumps", v ? v->fast_jumps : 0},
		};

		for (size_t k = 0; v && k < ARRAY_LEN(each); k++) {
			snprintf(name, sizeof(name), "vcpu%u.jit.%s", i, each[k].name);
			s->put(s->ctx, name, each[k].value);
		}
		for (unsigned op = 0; v && op < X86_N_OPS; op++) {
			if (!v->interp_ops[op])
				continue;
			snprintf(name, sizeof(name), "vcpu%u.jit.interpreted.%s", i, x86_op_name(op));
			s->put(s->ctx, name, v->interp_ops[op]);
		}
	}
}
