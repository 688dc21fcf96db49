/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API where memory runs out: a list of requests is served again and again, and each time another
 * one of its allocations fails. Every request is answered all the same, and a request that was
 * answered with "out of memory" can be made again.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/vm.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

/* The linker turns calls of NAME in our libraries into __wrap_NAME (see meson.build). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

static long n_until_failure; /* 0: none fails */

static bool fails(void)
{
	return n_until_failure && --n_until_failure == 0;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

static int open_serial(void *ctx, int fd, struct err *e)
{
	(void)ctx;
	(void)fd;
	return err_set(e, 1, "no machines here");
}

static int use_machine(void *ctx, struct machine *m, struct err *e)
{
	(void)ctx;
	(void)m;
	(void)e;
	return 0;
}

static void set_log(void *ctx, const struct logger_body *b)
{
	(void)ctx;
	(void)b;
}

static const struct {
	enum http_method method;
	const char *path, *body;
} requests[] = {
	{ HTTP_GET, "/", NULL },
	{ HTTP_PUT, "/machine-config", "{\"vcpu_count\":2,\"mem_size_mib\":64}" },
	{ HTTP_PUT, "/machine-config", "{\"vcpu_count\":2,\"nonsense\":64}" },
	{ HTTP_PUT, "/drives/a", "{\"drive_id\":\"a\",\"is_root_device\":true,\"path_on_host\":\"/no/such\","
				 "\"rate_limiter\":{\"ops\":{\"size\":1,\"refill_time\":2}}}" },
	{ HTTP_PUT, "/balloon", "{\"amount_mib\":1,\"deflate_on_oom\":true}" },
	{ HTTP_PUT, "/vsock", "{\"guest_cid\":3,\"uds_path\":\"v\"}" },
	{ HTTP_PUT, "/cpu-config", "{\"kvm_capabilities\":[\"1\",\"!2\"],\"cpuid_modifiers\":[{\"leaf\":\"0x1\","
				   "\"subleaf\":\"0x0\",\"flags\":0,\"modifiers\":[{\"register\":\"eax\","
				   "\"bitmap\":\"0b1\"}]}]}" },
	{ HTTP_PUT, "/snapshot/load", "{\"snapshot_path\":\"s\",\"mem_backend\":{\"backend_type\":\"Fi\\u006ce\","
				      "\"backend_path\":\"m\"}}" },
	{ HTTP_PUT, "/actions", "{\"action_type\":\"InstanceStart\"}" },
	{ HTTP_GET, "/vm/config", NULL },
	{ HTTP_GET, "/balloon", NULL },
};

/* False if memory ran out on the way. */
static bool serve_all(struct vm *vm)
{
	bool whole = true;
	size_t i;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct api_call c = {
			.vm = vm,
			.method = requests[i].method,
			.path = requests[i].path,
			.body = requests[i].body,
			.body_len = requests[i].body ? strlen(requests[i].body) : 0,
		};

		api_serve(&c);
		assert(c.status == 200 || c.status == 204 || c.status == 400);
		whole = whole && !c.text.failed && !strstr(text_str(&c.text), "out of memory");
		text_free(&c.text);
	}
	return whole;
}

int main(void)
{
	static const struct vm_host host = {
		.id = "oom", .version = "0", .app_name = "oom", .accel = "tcg", .mmds_limit = 51200,
		.open_serial = open_serial, .use_machine = use_machine, .set_log = set_log,
	};
	unsigned n_short = 0;
	long n;

	log_set_level(LOG_LEVEL_OFF);
	for (n = 1;; n++) {
		struct err e = { 0 };
		struct vm *vm = NULL;
		bool reached;

		n_until_failure = n;
		if (vm_create(NULL, &host, &vm, &e) < 0) {
			assert(e.code && e.msg[0]);
			continue;
		}
		n_short += !serve_all(vm);
		reached = n_until_failure == 0;
		n_until_failure = 0;
		assert(serve_all(vm));
		vm_destroy(vm);
		if (!reached)
			break;
	}
	printf("%ld allocations failed in turn; %u times a request was refused for it\n", n - 1, n_short);
	return n > 40 && n_short > 20 ? 0 : 1;
}
