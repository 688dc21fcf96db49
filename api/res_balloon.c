/* SPDX-License-Identifier: Apache-2.0 */
/* /balloon, /balloon/statistics, /balloon/hinting. */
#include <string.h>

#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/err.h"
#include "vmm/live.h"

void api_put_balloon(struct api_call *c)
{
	struct balloon_body *b = c->object;

	if (b->amount_mib.v > c->vm->config.machine_config->mem_size_mib.v) {
		api_fault(c, "Balloon config error: Amount of pages requested is too large.");
		return;
	}
	schema_free(&schema_balloon, c->vm->config.balloon);
	c->vm->config.balloon = b;
	c->object = NULL;
}

/* The message of a request that needs the device says so in its own way. */
static bool has_balloon(struct api_call *c, const char *prefix)
{
	if (c->vm->config.balloon)
		return true;
	api_fault(c, "%s: No balloon device found.", prefix);
	return false;
}

void api_get_balloon(struct api_call *c)
{
	if (c->tokens[1] && *c->tokens[1])
		api_fault(c, "Unrecognized GET request path `%s`.", c->tokens[1]);
	else if (has_balloon(c, c->vm->machine ? "Internal VMM error" : "Balloon config error"))
		api_answer_object(c, &schema_balloon, c->vm->config.balloon);
}

static void fault_update(struct api_call *c, const struct err *e)
{
	api_fault_err(c, "Balloon update error", e);
}

void api_patch_balloon(struct api_call *c)
{
	const struct balloon_update *u = c->object;
	struct err e = { 0 };

	if (!has_balloon(c, "Balloon update error"))
		return;
	if (machine_balloon_set(c->vm->machine, (uint32_t)u->amount_mib.v, &e) < 0)
		fault_update(c, &e);
	else
		c->vm->config.balloon->amount_mib.v = u->amount_mib.v;
}

void api_get_balloon_stats(struct api_call *c)
{
	struct virtio_balloon_stats s;
	struct err e = { 0 };
	unsigned i;

	if (!has_balloon(c, "Internal VMM error"))
		return;
	if (!c->vm->config.balloon->stats_polling_interval_s.v) {
		api_fault(c, "Internal VMM error: Received stats querry when stats are disabled.");
		return;
	}
	if (machine_balloon_stats(c->vm->machine, &s, &e) < 0) {
		api_fault_err(c, "Internal VMM error", &e);
		return;
	}
	c->status = 200;
	text_printf(&c->text, "{\"target_pages\":%u,\"actual_pages\":%u,\"target_mib\":%u,"
		    "\"actual_mib\":%u", s.target_pages, s.actual_pages,
		    s.target_pages / VIRTIO_BALLOON_PAGES_PER_MIB,
		    s.actual_pages / VIRTIO_BALLOON_PAGES_PER_MIB);
	for (i = 0; i < VIRTIO_BALLOON_N_STATS; i++)
		if (s.known & 1u << i)
			text_printf(&c->text, ",\"%s\":%llu", virtio_balloon_stat_names[i],
				    (unsigned long long)s.value[i]);
	text_add(&c->text, "}");
}

void api_patch_balloon_stats(struct api_call *c)
{
	const struct balloon_stats_update *u = c->object;
	struct schema_value *now;
	struct err e = { 0 };

	if (!has_balloon(c, "Balloon update error"))
		return;
	now = &c->vm->config.balloon->stats_polling_interval_s;
	if (!now->v != !u->stats_polling_interval_s.v)
		api_fault(c, "Balloon update error: Statistics cannot be enabled/disabled after "
			     "activation.");
	else if (now->v && machine_balloon_set_interval(c->vm->machine,
							(uint16_t)u->stats_polling_interval_s.v, &e) < 0)
		fault_update(c, &e);
	else
		now->v = u->stats_polling_interval_s.v;
}

/* --- free page hinting ------------------------------------------------------------------------ */

static bool started(struct api_call *c)
{
	if (c->vm->machine)
		return true;
	api_fault(c, "The requested operation is not supported before starting the microVM.");
	return false;
}

static void unrecognized(struct api_call *c)
{
	api_fault(c, "Unrecognized %s request path `/hinting/%s`.", http_method_name(c->method),
		  c->tokens[2] ? c->tokens[2] : "");
}

static void hinting_status(struct api_call *c)
{
	struct virtio_balloon_hinting h;
	struct err e = { 0 };

	if (machine_balloon_hint_status(c->vm->machine, &h, &e) < 0) {
		fault_update(c, &e);
		return;
	}
	c->status = 200;
	text_printf(&c->text, "{\"host_cmd\":%u,\"guest_cmd\":", h.host_cmd);
	if (h.guest_said)
		text_printf(&c->text, "%u}", h.guest_cmd);
	else
		text_add(&c->text, "null}");
}

void api_get_hinting(struct api_call *c)
{
	if (!c->tokens[2] || strcmp(c->tokens[2], "status"))
		unrecognized(c);
	else if (started(c) && has_balloon(c, "Balloon update error"))
		hinting_status(c);
}

static void start_hinting(struct api_call *c)
{
	struct balloon_hinting_start *cmd = NULL;
	struct text error = { 0 };
	struct err e = { 0 };

	if (c->body) {
		cmd = schema_parse(&schema_balloon_hinting_start, c->body, c->body_len, &error);
		if (!cmd)
			api_fault(c, "An error occurred when deserializing the json body of a "
				     "request: %s.", text_str(&error));
		text_free(&error);
		if (!cmd)
			return;
	}
	if (started(c) && has_balloon(c, "Balloon update error") &&
	    machine_balloon_hint_start(c->vm->machine, !cmd || cmd->acknowledge_on_stop.v, &e) < 0)
		fault_update(c, &e);
	schema_free(&schema_balloon_hinting_start, cmd);
}

void api_patch_hinting(struct api_call *c)
{
	const char *verb = c->tokens[2] ? c->tokens[2] : "";
	struct err e = { 0 };

	if (!strcmp(verb, "start"))
		start_hinting(c);
	else if (strcmp(verb, "stop"))
		unrecognized(c);
	else if (started(c) && has_balloon(c, "Balloon update error") &&
		 machine_balloon_hint_stop(c->vm->machine, &e) < 0)
		fault_update(c, &e);
}
