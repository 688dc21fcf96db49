/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics and FlushMetrics, and what of the metrics only the API knows: its requests. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/metrics/metrics.h"

#define BAD_INPUT "Metrics error: Cannot initialize the metrics system due to bad user input: "

static const struct {
	const char *key, *path, *second;
} put_counts[] = {
	{ "actions", "actions" },
	{ "boot_source", "boot-source" },
	{ "drive", "drives" },
	{ "logger", "logger" },
	{ "machine_cfg", "machine-config" },
	{ "cpu_cfg", "cpu-config" },
	{ "metrics", "metrics" },
	{ "network", "network-interfaces" },
	{ "mmds", "mmds" },
	{ "vsock", "vsock" },
	{ "pmem", "pmem" },
	{ "serial", "serial" },
	{ "hotplug_memory", "hotplug", "memory" },
}, patch_counts[] = {
	{ "drive", "drives" },
	{ "network", "network-interfaces" },
	{ "machine_cfg", "machine-config" },
	{ "mmds", "mmds" },
	{ "hotplug_memory", "hotplug", "memory" },
	{ "pmem", "pmem" },
}, get_counts[] = {
	{ "instance_info", "" },
	{ "machine_cfg", "machine-config" },
	{ "mmds", "mmds" },
	{ "vmm_version", "version" },
	{ "hotplug_memory", "hotplug", "memory" },
};

static void tell(struct metrics *m, const char *group, const char *key, const char *suffix,
		 uint64_t total)
{
	char name[48];

	snprintf(name, sizeof(name), "%s_%s", key, suffix);
	metrics_set(m, group, name, total);
}

static void on_document(void *ctx, struct metrics *m)
{
	const struct vm *vm = ctx;
	struct api_counts n;
	size_t i;

	for (i = 0; i < ARRAY_LEN(put_counts); i++) {
		n = api_counts_of(vm, put_counts[i].path, put_counts[i].second, HTTP_PUT);
		if (put_counts[i].path[0] == 'm' && put_counts[i].path[1] == 'm') {
			struct api_counts config = api_counts_of(vm, "mmds", "config", HTTP_PUT);

			n.n += config.n;
			n.failed += config.failed;
		}
		tell(m, "put_api_requests", put_counts[i].key, "count", n.n);
		tell(m, "put_api_requests", put_counts[i].key, "fails", n.failed);
	}
	for (i = 0; i < ARRAY_LEN(patch_counts); i++) {
		n = api_counts_of(vm, patch_counts[i].path, patch_counts[i].second, HTTP_PATCH);
		tell(m, "patch_api_requests", patch_counts[i].key, "count", n.n);
		tell(m, "patch_api_requests", patch_counts[i].key, "fails", n.failed);
	}
	for (i = 0; i < ARRAY_LEN(get_counts); i++)
		tell(m, "get_api_requests", get_counts[i].key, "count",
		     api_counts_of(vm, get_counts[i].path, get_counts[i].second, HTTP_GET).n);
	metrics_set(m, "api_server", "process_startup_time_us", vm->startup_us);
	metrics_set(m, "api_server", "process_startup_time_cpu_us", vm->startup_cpu_us);
	metrics_set(m, "latencies_us", "pause_vm", vm->pause_us);
	metrics_set(m, "latencies_us", "vmm_pause_vm", vm->pause_us);
	metrics_set(m, "latencies_us", "resume_vm", vm->resume_us);
	metrics_set(m, "latencies_us", "vmm_resume_vm", vm->resume_us);
	metrics_set(m, "deprecated_api", "deprecated_http_api_calls", vm->deprecated_calls);
}

static int start(struct vm *vm, const struct metrics_body *b, struct err *e)
{
	struct metrics_property *p = calloc(b->properties.n / 2 + 1, sizeof(*p));
	struct metrics_config config = {
		.id = b->emit_id.v ? vm->host.id : NULL,
		.properties = p,
		.n_properties = (unsigned)(b->properties.n / 2),
		.hook = on_document,
		.ctx = vm,
	};
	size_t i;
	int r;

	if (!p)
		return err_set(e, ENOMEM, "out of memory");
	for (i = 0; i < config.n_properties; i++)
		p[i] = (struct metrics_property){ b->properties.items[2 * i],
						  b->properties.items[2 * i + 1] };
	r = metrics_create(&config, vm->loop, &vm->metrics, e);
	if (r == 0) {
		r = metrics_open(vm->metrics, b->metrics_path, e);
		if (r < 0) {
			metrics_destroy(vm->metrics);
			vm->metrics = NULL;
		}
	}
	if (r < 0)
		free(p);
	else
		vm->metrics_properties = p;
	return r;
}

void api_put_metrics(struct api_call *c)
{
	char buf[API_OS_ERROR];
	struct err e = { 0 };

	if (c->vm->metrics) {
		api_fault(c, BAD_INPUT "Reinitialization of metrics not allowed.");
		return;
	}
	if (start(c->vm, c->object, &e) < 0) {
		api_fault(c, BAD_INPUT "%s", api_os_error(e.code, buf));
		return;
	}
	c->vm->config.metrics = c->object; /* its strings are in use */
	c->object = NULL;
}

void api_flush_metrics(struct api_call *c)
{
	if (c->vm->metrics && metrics_flush(c->vm->metrics) == -ENOMEM)
		api_fault(c, "Internal VMM error: out of memory");
}
