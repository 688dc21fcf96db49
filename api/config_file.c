/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration file: the same objects as the API's requests, in one JSON text. It is turned into
 * those requests, so that there is one place that says what is allowed. Unknown members of its top
 * level are ignored, within the objects they are errors.
 *
 * "cpu-config" is an object, or a string that names a file with one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/json_read.h"
#include "api/vm.h"

enum { MAX_FILE_BYTES = 1 << 20 };

bool vm_request(struct vm *vm, const char *path, const char *body, size_t len, struct text *error)
{
	static const char head[] = "{\"fault_message\":";
	struct api_call c = {
		.vm = vm, .method = HTTP_PUT, .path = path, .body = body, .body_len = len,
	};
	struct json_reader r;
	bool good;

	api_serve(&c);
	good = c.status < 400;
	if (!good && c.text.len > sizeof(head)) {
		json_reader_init(&r, c.text.p + sizeof(head) - 1, c.text.len - sizeof(head));
		if (jread_string(&r))
			text_add_bytes(error, text_str(&r.string), r.string.len);
		json_reader_free(&r);
	}
	text_free(&c.text);
	return good;
}

static bool request_object(struct vm *vm, const char *path, const struct schema *s, const void *obj,
			   struct text *error)
{
	struct text body = { 0 };
	bool good;

	if (!obj)
		return true;
	schema_write(s, obj, &body);
	good = vm_request(vm, path, text_str(&body), body.len, error);
	text_free(&body);
	return good;
}

/* The first member of each object is its id. */
static bool request_list(struct vm *vm, const char *path, const struct schema *s,
			 const struct schema_list *l, struct text *error)
{
	struct text at = { 0 };
	bool good = true;
	size_t i;

	for (i = 0; good && i < l->n; i++) {
		text_clear(&at);
		text_printf(&at, "%s/%s", path, *(const char *const *)l->items[i]);
		good = request_object(vm, text_str(&at), s, l->items[i], error);
	}
	text_free(&at);
	return good;
}

static bool read_all(const char *path, struct text *out, struct text *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char buf[4096], why[API_OS_ERROR];
	ssize_t n = 0;

	while (fd >= 0 && out->len <= MAX_FILE_BYTES && (n = read(fd, buf, sizeof(buf))) > 0)
		text_add_bytes(out, buf, (size_t)n);
	if (fd < 0 || n < 0)
		text_printf(error, "%s: %s", path, api_os_error(errno, why));
	else if (out->failed || out->len > MAX_FILE_BYTES)
		text_printf(error, "%s: more than %d bytes", path, MAX_FILE_BYTES);
	if (fd >= 0)
		close(fd);
	return error->len == 0;
}

bool vm_request_file(struct vm *vm, const char *path, const char *file, struct text *error)
{
	struct text body = { 0 };
	bool good = read_all(file, &body, error) &&
		    vm_request(vm, path, text_str(&body), body.len, error);

	text_free(&body);
	return good;
}

/* The value of a top-level member as it stands in the text; false: it is not there, or null. */
static bool find_member(const char *json, size_t len, const char *name, const char **at,
			size_t *n_bytes)
{
	struct json_reader r;
	bool first = true, more, found = false;
	size_t from;

	json_reader_init(&r, json, len);
	if (jread_peek(&r) == '{' && jread_enter(&r)) {
		while (!found && jread_next_key(&r, first, &more) && more) {
			found = !strcmp(text_str(&r.string), name);
			first = false;
			if (!jread_colon(&r))
				break;
			jread_peek(&r);
			from = r.at;
			if (!jread_skip(&r))
				break;
			*at = json + from;
			*n_bytes = r.at - from;
		}
	}
	found = found && !r.error.len && **at != 'n';
	json_reader_free(&r);
	return found;
}

static bool load_cpu_config(struct vm *vm, const char *json, size_t len, struct text *error)
{
	struct json_reader r;
	const char *at = NULL;
	size_t n = 0;
	bool good;

	if (!find_member(json, len, "cpu-config", &at, &n))
		return true;
	if (*at != '"')
		return vm_request(vm, "/cpu-config", at, n, error);
	json_reader_init(&r, at, n);
	good = jread_string(&r) && vm_request_file(vm, "/cpu-config", text_str(&r.string), error);
	json_reader_free(&r);
	return good;
}

bool vm_load_config(struct vm *vm, const char *json, size_t len, struct text *error)
{
	struct config_file *c = schema_parse(&schema_config_file, json, len, error);
	bool good;

	if (!c)
		return false;
	good = request_object(vm, "/logger", &schema_logger, c->logger, error) &&
	       request_object(vm, "/metrics", &schema_metrics, c->metrics, error) &&
	       request_object(vm, "/machine-config", &schema_machine, c->machine_config, error) &&
	       load_cpu_config(vm, json, len, error) &&
	       request_object(vm, "/boot-source", &schema_boot_source, c->boot_source, error) &&
	       request_list(vm, "/drives", &schema_drive, &c->drives, error) &&
	       request_list(vm, "/network-interfaces", &schema_net, &c->network_interfaces, error) &&
	       request_object(vm, "/vsock", &schema_vsock, c->vsock, error) &&
	       request_object(vm, "/balloon", &schema_balloon, c->balloon, error) &&
	       request_object(vm, "/mmds/config", &schema_mmds_config, c->mmds_config, error) &&
	       request_object(vm, "/entropy", &schema_entropy, c->entropy, error) &&
	       request_list(vm, "/pmem", &schema_pmem, &c->pmem, error) &&
	       request_object(vm, "/hotplug/memory", &schema_hotplug, c->memory_hotplug, error);
	schema_free(&schema_config_file, c);
	return good;
}

bool vm_load_config_file(struct vm *vm, const char *path, struct text *error)
{
	struct text json = { 0 };
	bool good = read_all(path, &json, error) &&
		    vm_load_config(vm, text_str(&json), json.len, error);

	text_free(&json);
	return good;
}
