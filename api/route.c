/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request to who acts: the table of resources, and what is checked before anybody acts, in
 * the order of Firecracker: path and method, body or none, id, JSON, ids that agree, phase.
 *
 * Only as many words of a path as a row has are looked at; what follows is ignored.
 */
#include "api/api.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/objects.h"
#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

/* The first row whose words fit counts. */
static const struct api_resource resources[] = {
	{ "", .methods = { [HTTP_GET] = { api_get_info } } },
	{ "version", .methods = { [HTTP_GET] = { api_get_version } } },
	{ "events", .ours = true, .methods = { [HTTP_GET] = { api_get_events } } },
	{ "vm", "config", .methods = { [HTTP_GET] = { api_get_config },
				       [HTTP_PATCH] = { api_patch_vm, API_AFTER_START,
							&schema_vm_state } } },
	{ "vm", .methods = { [HTTP_PATCH] = { api_patch_vm, API_AFTER_START, &schema_vm_state } } },
	{ "actions", .methods = { [HTTP_PUT] = { api_put_action, API_ANY, &schema_action } } },
	{ "boot-source", .boots = true,
	  .methods = { [HTTP_PUT] = { api_put_boot_source, API_BEFORE_START, &schema_boot_source } } },
	{ "machine-config", .boots = true,
	  .methods = { [HTTP_GET] = { api_get_machine },
		       [HTTP_PUT] = { api_put_machine, API_BEFORE_START, &schema_machine },
		       [HTTP_PATCH] = { api_patch_machine, API_BEFORE_START,
					&schema_machine_update } } },
	{ "cpu-config",
	  .methods = { [HTTP_PUT] = { api_put_cpu_config, API_BEFORE_START, &schema_cpu_config } } },
	{ "drives", .id = API_ID, .boots = true,
	  .methods = { [HTTP_PUT] = { api_put_drive, API_ANY, &schema_drive },
		       [HTTP_PATCH] = { api_patch_drive, API_AFTER_START, &schema_drive_update },
		       [HTTP_DELETE] = { api_delete_drive, API_AFTER_START } } },
	{ "pmem", .id = API_ID, .boots = true,
	  .methods = { [HTTP_PUT] = { api_put_pmem, API_ANY, &schema_pmem },
		       [HTTP_PATCH] = { api_patch_pmem, API_AFTER_START, &schema_pmem_update },
		       [HTTP_DELETE] = { api_delete_pmem, API_AFTER_START } } },
	{ "network-interfaces", .id = API_NET_ID, .boots = true,
	  .methods = { [HTTP_PUT] = { api_put_net, API_ANY, &schema_net },
		       [HTTP_PATCH] = { api_patch_net, API_AFTER_START, &schema_net_update },
		       [HTTP_DELETE] = { api_delete_net, API_AFTER_START } } },
	{ "vsock", .boots = true,
	  .methods = { [HTTP_PUT] = { api_put_vsock, API_BEFORE_START, &schema_vsock } } },
	{ "entropy", .boots = true,
	  .methods = { [HTTP_PUT] = { api_put_entropy, API_BEFORE_START, &schema_entropy } } },
	{ "serial", .methods = { [HTTP_PUT] = { api_put_serial, API_BEFORE_START, &schema_serial } } },
	{ "balloon", "statistics",
	  .methods = { [HTTP_GET] = { api_get_balloon_stats, API_AFTER_START },
		       [HTTP_PUT] = { api_put_balloon, API_BEFORE_START, &schema_balloon },
		       [HTTP_PATCH] = { api_patch_balloon_stats, API_AFTER_START,
					&schema_balloon_stats_update } } },
	{ "balloon", "hinting",
	  .methods = { [HTTP_GET] = { api_get_hinting, API_ANY },
		       [HTTP_PUT] = { api_put_balloon, API_BEFORE_START, &schema_balloon },
		       [HTTP_PATCH] = { api_patch_hinting, API_ANY, .body_optional = true } } },
	{ "balloon", .boots = true,
	  .methods = { [HTTP_GET] = { api_get_balloon },
		       [HTTP_PUT] = { api_put_balloon, API_BEFORE_START, &schema_balloon },
		       [HTTP_PATCH] = { api_patch_balloon, API_AFTER_START,
					&schema_balloon_update } } },
	{ "hotplug", "memory", .boots = true,
	  .methods = { [HTTP_GET] = { api_get_hotplug, API_AFTER_START },
		       [HTTP_PUT] = { api_put_hotplug, API_BEFORE_START, &schema_hotplug },
		       [HTTP_PATCH] = { api_patch_hotplug, API_AFTER_START,
					&schema_hotplug_update } } },
	{ "mmds", "config", .boots = true,
	  .methods = { [HTTP_GET] = { api_get_mmds },
		       [HTTP_PUT] = { api_put_mmds_config, API_BEFORE_START, &schema_mmds_config },
		       [HTTP_PATCH] = { api_patch_mmds } } },
	{ "mmds",
	  .methods = { [HTTP_GET] = { api_get_mmds },
		       [HTTP_PUT] = { api_put_mmds },
		       [HTTP_PATCH] = { api_patch_mmds } } },
	{ "logger", .methods = { [HTTP_PUT] = { api_put_logger, API_BEFORE_START, &schema_logger } } },
	{ "metrics",
	  .methods = { [HTTP_PUT] = { api_put_metrics, API_BEFORE_START, &schema_metrics } } },
	{ "snapshot", "create",
	  .methods = { [HTTP_PUT] = { api_put_snapshot_create, API_AFTER_START,
				      &schema_snapshot_create } } },
	{ "snapshot", "load",
	  .methods = { [HTTP_PUT] = { api_put_snapshot_load, API_ANY, &schema_snapshot_load } } },
	{ "snapshot", .methods = { [HTTP_PUT] = { api_put_snapshot } } },
	{ NULL },
};
_Static_assert(ARRAY_LEN(resources) <= API_MAX_RESOURCES, "struct vm has no room for the counts");

const struct api_resource *api_resources(void)
{
	return resources;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void fault_text(struct api_call *c, const char *message, size_t len)
{
	c->status = 400;
	text_clear(&c->text);
	text_add(&c->text, "{\"fault_message\":");
	text_add_json(&c->text, message, len);
	text_add(&c->text, "}");
}

void api_fault(struct api_call *c, const char *fmt, ...)
{
	char *message = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&message, fmt, ap);
	va_end(ap);
	if (n < 0)
		fault_text(c, "out of memory", strlen("out of memory"));
	else
		fault_text(c, message, (size_t)n);
	if (n >= 0)
		free(message);
}

void api_fault_err(struct api_call *c, const char *prefix, const struct err *e)
{
	if (e->hint[0])
		api_fault(c, "%s: %s (%s)", prefix, e->msg, e->hint);
	else
		api_fault(c, "%s: %s", prefix, e->msg);
}

void api_answer_object(struct api_call *c, const struct schema *s, const void *obj)
{
	c->status = 200;
	text_clear(&c->text);
	schema_write(s, obj, &c->text);
}

const char *api_os_error(int code, char *buf)
{
	snprintf(buf, API_OS_ERROR, "%s (os error %d)", strerror(code), code);
	return buf;
}

/* --- checks ----------------------------------------------------------------------------------- */

/* Cuts path at its slashes into words; "/" and "" have one, which is empty. */
static void split(struct api_call *c, char *path)
{
	unsigned n = 0;

	path += strspn(path, "/");
	c->tokens[n++] = path;
	while (n < ARRAY_LEN(c->tokens) && (path = strchr(path, '/'))) {
		*path++ = '\0';
		if (!*path)
			break;
		c->tokens[n++] = path;
	}
	if (path)
		path[strcspn(path, "/")] = '\0';
}

static const struct api_resource *find(const struct api_call *c)
{
	const struct api_resource *r;

	for (r = resources; r->path; r++)
		if (!strcmp(r->path, c->tokens[0]) &&
		    (!r->second || (c->tokens[1] && !strcmp(r->second, c->tokens[1]))))
			return r;
	return NULL;
}

/* Letters of other scripts are letters too; they are taken as they are. */
static bool check_id(struct api_call *c)
{
	const char *s = c->tokens[1];

	if (!s || !*s) {
		api_fault(c, "The ID cannot be empty.");
		return false;
	}
	for (c->id = s; *s; s++) {
		if (!isalnum((unsigned char)*s) && *s != '_' && (unsigned char)*s < 0x80) {
			api_fault(c, "API Resource IDs can only contain alphanumeric characters and "
				     "underscores.");
			return false;
		}
	}
	return true;
}

static const char *const no_body[] = {
	[HTTP_PUT] = "Empty PUT request.",
	[HTTP_PATCH] = "Empty PATCH request.",
};

static const struct api_method *check_method(struct api_call *c, const struct api_resource *r)
{
	const struct api_method *m = r ? &r->methods[c->method] : NULL;

	if (c->method == HTTP_GET && c->body)
		api_fault(c, "GET request cannot have a body.");
	else if (c->method == HTTP_DELETE && c->body)
		api_fault(c, "Empty Delete request.");
	else if (no_body[c->method < ARRAY_LEN(no_body) ? c->method : HTTP_GET] && !c->body &&
		 !(m && m->fn && m->body_optional))
		api_fault(c, "%s", no_body[c->method]);
	else if (!m || !m->fn)
		api_fault(c, "Invalid request method and/or path: %s %s.",
			  http_method_name(c->method), c->tokens[0]);
	else
		return m;
	return NULL;
}

static bool read_body(struct api_call *c, const struct api_resource *r, const struct api_method *m)
{
	struct text error = { 0 };
	const char *id;

	if (!m->schema || !c->body)
		return true;
	c->object = schema_parse(m->schema, c->body, c->body_len, &error);
	if (!c->object) {
		api_fault(c, "An error occurred when deserializing the json body of a request: %s.",
			  text_str(&error));
		text_free(&error);
		return false;
	}
	if (r->id == API_NO_ID)
		return true;
	id = *(const char *const *)c->object;
	if (!strcmp(id, c->id))
		return true;
	if (r->id == API_NET_ID)
		api_fault(c, "The id from the path [%s] does not match the id from the body [%s]!",
			  c->id, id);
	else
		api_fault(c, "The id from the path does not match the id from the body!");
	return false;
}

static bool check_phase(struct api_call *c, enum api_phase phase)
{
	if (phase == API_BEFORE_START && c->vm->machine)
		api_fault(c, "The requested operation is not supported after starting the microVM.");
	else if (phase == API_AFTER_START && !c->vm->machine)
		api_fault(c, "The requested operation is not supported before starting the microVM.");
	else
		return true;
	return false;
}

static void act(struct api_call *c, const struct api_resource *r, const struct api_method *m)
{
	if (r->id != API_NO_ID && !check_id(c))
		return;
	if (!read_body(c, r, m) || !check_phase(c, m->phase))
		return;
	if (r->boots && c->method != HTTP_GET && !c->vm->machine)
		c->vm->boot_configured = true;
	m->fn(c);
}

void api_serve(struct api_call *c)
{
	char path[HTTP_LINE_MAX];
	const struct api_resource *r;
	const struct api_method *m;
	struct api_counts *counts;

	snprintf(path, sizeof(path), "%s", c->path);
	split(c, path);
	c->status = 204;
	r = find(c);
	m = check_method(c, r);
	if (m)
		act(c, r, m);
	if (m && m->schema)
		schema_free(m->schema, c->object);
	if (c->deprecated)
		c->vm->deprecated_calls++;
	if (!r)
		return;
	counts = &c->vm->counts[r - resources][c->method];
	counts->n++;
	counts->failed += c->status >= 400;
}

struct api_counts api_counts_of(const struct vm *vm, const char *path, const char *second,
				enum http_method m)
{
	const struct api_resource *r;

	for (r = resources; r->path; r++)
		if (!strcmp(r->path, path) && (second ? r->second && !strcmp(r->second, second) :
						       !r->second))
			return vm->counts[r - resources][m];
	return (struct api_counts){ 0 };
}
