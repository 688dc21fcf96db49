/* SPDX-License-Identifier: Apache-2.0 */
/* /balloon, /balloon/statistics, /balloon/hinting. */
#include <string.h>

#include "api/resources.h"
#include "api/vm.h"

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

void api_patch_balloon(struct api_call *c)
{
	has_balloon(c, "Balloon update error");
}

void api_get_balloon_stats(struct api_call *c)
{
	has_balloon(c, "Internal VMM error");
}

void api_patch_balloon_stats(struct api_call *c)
{
	has_balloon(c, "Balloon update error");
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

void api_get_hinting(struct api_call *c)
{
	if (!c->tokens[2] || strcmp(c->tokens[2], "status"))
		unrecognized(c);
	else if (started(c))
		has_balloon(c, "Balloon update error");
}

static void start_hinting(struct api_call *c)
{
	struct text error = { 0 };
	void *cmd = NULL;

	if (c->body) {
		cmd = schema_parse(&schema_balloon_hinting_start, c->body, c->body_len, &error);
		if (!cmd)
			api_fault(c, "An error occurred when deserializing the json body of a "
				     "request: %s.", text_str(&error));
		text_free(&error);
		if (!cmd)
			return;
	}
	if (started(c))
		has_balloon(c, "Balloon update error");
	schema_free(&schema_balloon_hinting_start, cmd);
}

void api_patch_hinting(struct api_call *c)
{
	const char *verb = c->tokens[2] ? c->tokens[2] : "";

	if (!strcmp(verb, "start"))
		start_hinting(c);
	else if (strcmp(verb, "stop"))
		unrecognized(c);
	else if (started(c))
		has_balloon(c, "Balloon update error");
}
