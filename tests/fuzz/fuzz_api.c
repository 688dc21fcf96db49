/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API with arbitrary requests, before there is a machine. The input is a list of requests: a
 * byte for the method, a path up to a newline, a body up to a NUL. Whatever it is, it is answered,
 * an answer's body is JSON, what was taken can be read back, and what was read back is taken again.
 *
 * Requests that open files are left out of it by their paths: those that name none of ours fail.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/cpu_template.h"
#include "api/json_read.h"
#include "api/vm.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_serial(void *ctx, int fd, struct err *e)
{
	(void)ctx;
	(void)fd;
	return err_set(e, 1, "no machines here");
}

static int use_machine(void *ctx, struct machine *m, struct err *e)
{
	(void)ctx;
	(void)e;
	assert(!m);
	return 0;
}

static void set_log(void *ctx, const struct logger_body *b)
{
	(void)ctx;
	(void)b;
}

static bool is_json(const struct text *t)
{
	struct json_reader r;
	bool good;

	json_reader_init(&r, text_str(t), t->len);
	good = jread_skip(&r) && jread_end(&r);
	json_reader_free(&r);
	return good;
}

static unsigned call(struct vm *vm, enum http_method m, const char *path, const char *body, size_t len,
		     struct text *out)
{
	struct api_call c = { .vm = vm, .method = m, .path = path, .body = len ? body : NULL,
			      .body_len = len };
	unsigned status;

	api_serve(&c);
	status = c.status;
	assert(status == 200 || status == 204 || status == 400 || status == 413);
	assert(status == 204 || is_json(&c.text));
	if (out)
		text_add_bytes(out, text_str(&c.text), c.text.len);
	text_free(&c.text);
	return status;
}

/* Files, taps and logs of this host are no part of the test. That paths are UTF-8 is seen to by the
 * HTTP parser. */
static bool is_safe(const char *path, const char *body)
{
	for (const char *s = path; *s; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return !strstr(path, "logger") && !strstr(path, "serial") && !strstr(path, "network") &&
	       !strstr(path, "metrics") && !strstr(path, "vsock") && !strstr(body, "/");
}

static void check_config(struct vm *vm)
{
	struct text one = { 0 }, two = { 0 };

	assert(call(vm, HTTP_GET, "/machine-config", NULL, 0, &one) == 200);
	assert(call(vm, HTTP_PUT, "/machine-config", text_str(&one), one.len, NULL) == 204);
	assert(call(vm, HTTP_GET, "/machine-config", NULL, 0, &two) == 200);
	assert(!strcmp(text_str(&one), text_str(&two)));
	text_free(&one);
	text_free(&two);
	assert(call(vm, HTTP_GET, "/vm/config", NULL, 0, NULL) == 200);
}

/* What was taken for a CPU template becomes one, whose bits are those that it names. */
static void check_template(struct vm *vm)
{
	const struct cpu_template *t;
	struct err e = { 0 };
	size_t i;

	assert(vm_make_cpu_template(vm, &e) == 0);
	t = vm->cpu_template;
	assert(!t == (!vm->cpu_config && !vm->config.machine_config->cpu_template.given));
	for (i = 0; t && i < t->n_cpuid; i++)
		assert(t->cpuid[i].reg < 4 && !(t->cpuid[i].value & ~t->cpuid[i].filter));
	for (i = 0; t && i < t->n_msrs; i++)
		assert(!(t->msrs[i].value & ~t->msrs[i].filter));
	for (i = 0; t && i < t->n_caps; i++)
		assert(cpu_template_names_cap(t, t->caps[i].cap, t->caps[i].remove));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vm_host host = {
		.id = "fuzz", .version = "0", .app_name = "fuzz", .accel = "tcg", .mmds_limit = 51200,
		.open_serial = open_serial, .use_machine = use_machine, .set_log = set_log,
	};
	char *text = malloc(size + 1), *at, *end;
	struct err e = { 0 };
	struct vm *vm;

	if (!text || vm_create(NULL, &host, &vm, &e) < 0)
		abort();
	log_set_level(LOG_LEVEL_OFF);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	for (at = text, end = text + size; at < end;) {
		enum http_method m = (enum http_method)((unsigned char)*at % HTTP_N_METHODS);
		char *path = at + 1, *body = path + strcspn(path, "\n");

		if (path >= end)
			break;
		if (*body)
			*body++ = '\0';
		if (strlen(path) < HTTP_LINE_MAX && is_safe(path, body))
			call(vm, m, path, body, strlen(body), NULL);
		at = body + strlen(body) + 1;
	}
	check_template(vm);
	check_config(vm);
	vm_destroy(vm);
	free(text);
	return 0;
}
