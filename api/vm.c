/* SPDX-License-Identifier: Apache-2.0 */
/* See vm.h. */
#include "api/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/err.h"
#include "vmm/core/events.h"
#include "vmm/metrics/metrics.h"
#include "vmm/mmds/mmds.h"

/* What GET /machine-config and GET /vm/config say before anything was set. */
static bool set_defaults(struct vm *vm)
{
	struct boot_source *boot = calloc(1, sizeof(*boot));
	struct machine_body *m = calloc(1, sizeof(*m));

	vm->config.boot_source = boot;
	vm->config.machine_config = m;
	if (!boot || !m)
		return false;
	m->vcpu_count.v = 1;
	m->mem_size_mib.v = 128;
	boot->kernel_image_path = strdup("");
	return boot->kernel_image_path;
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Since somebody began to start us, as they say; not since a time to come. */
static uint64_t since_us(clockid_t id, uint64_t began)
{
	uint64_t now = clock_us(id);

	return now > began ? now - began : 0;
}

int vm_create(struct loop *l, const struct vm_host *host, struct vm **out, struct err *e)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	unsigned i;

	if (!vm)
		return err_set(e, ENOMEM, "API: out of memory");
	vm->loop = l;
	vm->host = *host;
	vm->startup_us = since_us(CLOCK_MONOTONIC, host->start_us);
	vm->startup_cpu_us = since_us(CLOCK_PROCESS_CPUTIME_ID, host->start_cpu_us);
	vm->kernel_fd = vm->initrd_fd = vm->serial_fd = vm->log_fd = -1;
	for (i = 0; i < MACHINE_MAX_NETS; i++)
		vm->tap_fds[i] = -1;
	if (!set_defaults(vm) || events_create(&vm->events, e) < 0) {
		vm_destroy(vm);
		return err_set(e, ENOMEM, "API: out of memory");
	}
	*out = vm;
	return 0;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void vm_close_taps(struct vm *vm)
{
	unsigned i;

	for (i = 0; i < MACHINE_MAX_NETS; i++) {
		close_if_open(vm->tap_fds[i]);
		vm->tap_fds[i] = -1;
	}
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->metrics) {
		metrics_flush(vm->metrics);
		metrics_detach(vm->metrics);
	}
	machine_destroy(vm->machine);
	metrics_destroy(vm->metrics);
	free(vm->metrics_properties);
	mmds_destroy(vm->mmds);
	events_destroy(vm->events);
	schema_clear(&schema_config_file, &vm->config);
	schema_free(&schema_cpu_config, vm->cpu_config);
	free(vm->cpu_template);
	schema_free(&schema_serial, vm->serial);
	close_if_open(vm->kernel_fd);
	close_if_open(vm->initrd_fd);
	close_if_open(vm->serial_fd);
	vm_close_taps(vm);
	free(vm);
}

const char *vm_state_name(const struct vm *vm)
{
	return !vm->machine ? "Not started" : vm->paused ? "Paused" : "Running";
}

/* --- lists ------------------------------------------------------------------------------------ */

int vm_find(const struct schema_list *l, const char *id)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(*(const char *const *)l->items[i], id))
			return (int)i;
	return -1;
}

bool vm_append(struct schema_list *l, void *item)
{
	void **items = realloc(l->items, (l->n + 1) * sizeof(*items));

	if (!items)
		return false;
	l->items = items;
	l->items[l->n++] = item;
	return true;
}

void vm_remove(struct schema_list *l, const struct schema *s, unsigned at)
{
	schema_free(s, l->items[at]);
	l->n--;
	memmove(l->items + at, l->items + at + 1, (l->n - at) * sizeof(*l->items));
}

/* --- limits ----------------------------------------------------------------------------------- */

void vm_bucket(const struct token_bucket *b, struct limiter_bucket_config *out)
{
	*out = (struct limiter_bucket_config){ 0 };
	if (!b)
		return;
	out->size = b->size.v;
	out->one_time_burst = b->one_time_burst.v;
	out->refill_ms = b->refill_time.v;
}

void vm_limits(const struct rate_limiter *r, struct limiter_config *out)
{
	vm_bucket(r ? r->bandwidth : NULL, &out->bandwidth);
	vm_bucket(r ? r->ops : NULL, &out->ops);
}

static void tidy_bucket(struct token_bucket **b)
{
	if (!*b)
		return;
	if (!(*b)->size.v || !(*b)->refill_time.v) {
		schema_free(&schema_token_bucket, *b);
		*b = NULL;
	} else if (!(*b)->one_time_burst.v) {
		(*b)->one_time_burst.given = false;
	}
}

void vm_tidy_limits(struct rate_limiter **r)
{
	if (!*r)
		return;
	tidy_bucket(&(*r)->bandwidth);
	tidy_bucket(&(*r)->ops);
	if (!(*r)->bandwidth && !(*r)->ops) {
		schema_free(&schema_rate_limiter, *r);
		*r = NULL;
	}
}

static void merge_bucket(struct token_bucket **into, struct token_bucket **from)
{
	if (!*from)
		return;
	schema_free(&schema_token_bucket, *into);
	*into = *from;
	*from = NULL;
}

void vm_merge_limits(struct rate_limiter **into, struct rate_limiter **from)
{
	if (!*from)
		return;
	if (!*into) {
		*into = *from;
		*from = NULL;
	} else {
		merge_bucket(&(*into)->bandwidth, &(*from)->bandwidth);
		merge_bucket(&(*into)->ops, &(*from)->ops);
	}
	vm_tidy_limits(into);
}
