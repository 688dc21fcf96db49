/* SPDX-License-Identifier: Apache-2.0 */
/* /mmds and /mmds/config: the document that a guest reads of itself, and how. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_read.h"
#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/err.h"
#include "vmm/mmds/mmds.h"

#define DEFAULT_ADDRESS "169.254.169.254"

/* There is none before somebody needs it. */
static struct mmds *service(struct api_call *c)
{
	struct err e = { 0 };

	if (!c->vm->mmds && mmds_create(c->vm->host.mmds_limit, &c->vm->mmds, &e) < 0)
		api_fault_err(c, "MMDS error", &e);
	return c->vm->mmds;
}

void api_get_mmds(struct api_call *c)
{
	char *document = c->vm->mmds ? mmds_get(c->vm->mmds) : NULL;

	c->status = 200;
	text_add(&c->text, document ? document : "{}");
	free(document);
}

/* Any JSON value. What is wrong with it is said as for every other body. */
static json_t *read_value(struct api_call *c)
{
	struct json_reader r;
	json_error_t why;
	json_t *value = NULL;

	json_reader_init(&r, c->body, c->body_len);
	if (!jread_skip(&r) || !jread_end(&r)) {
		api_fault(c, "An error occurred when deserializing the json body of a request: %s.",
			  text_str(&r.error));
	} else {
		value = json_loadb(c->body, c->body_len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
		if (!value)
			api_fault(c, "MMDS error: %s", why.text);
	}
	json_reader_free(&r);
	return value;
}

static void change(struct api_call *c, int (*fn)(struct mmds *m, json_t *value, struct err *e))
{
	struct err e = { 0 };
	json_t *value = read_value(c);
	int r;

	if (!value)
		return;
	if (service(c)) {
		r = fn(c->vm->mmds, value, &e);
		if (r == -E2BIG) {
			api_fault_err(c, "MMDS limit exceeded error", &e);
			c->status = 413;
		} else if (r < 0) {
			api_fault_err(c, "MMDS error", &e);
		}
	}
	json_decref(value);
}

void api_put_mmds(struct api_call *c)
{
	if (c->tokens[1] && *c->tokens[1])
		api_fault(c, "Unrecognized PUT request path `%s`.", c->tokens[1]);
	else
		change(c, mmds_put);
}

void api_patch_mmds(struct api_call *c)
{
	change(c, mmds_patch);
}

/* --- configuration ---------------------------------------------------------------------------- */

static bool is_network(const struct vm *vm, const char *id)
{
	size_t i;

	for (i = 0; i < vm->config.network_interfaces.n; i++)
		if (!strcmp(((const struct net_body *)vm->config.network_interfaces.items[i])->iface_id,
			    id))
			return true;
	return false;
}

static bool check_config(struct api_call *c, const struct mmds_config_body *b, struct mmds_config *out)
{
	size_t i;

	if (!b->network_interfaces.n) {
		api_fault(c, "MMMDS config error: The list of network interface IDs that allow "
			     "forwarding MMDS requests is empty.");
		return false;
	}
	for (i = 0; i < b->network_interfaces.n; i++) {
		if (is_network(c->vm, b->network_interfaces.items[i]))
			continue;
		api_fault(c, "MMMDS config error: The list of network interface IDs provided contains "
			     "at least one ID that does not correspond to any existing network "
			     "interface.");
		return false;
	}
	*out = (struct mmds_config){
		.version = b->version.v ? MMDS_V2 : MMDS_V1,
		.imds_compat = b->imds_compat.v,
	};
	if (mmds_address_parse(b->ipv4_address, out->address))
		return true;
	api_fault(c, "MMMDS config error: The MMDS IPv4 address is not link local.");
	return false;
}

void api_put_mmds_config(struct api_call *c)
{
	struct mmds_config_body *b = c->object;
	struct mmds_config config;

	c->deprecated = !b->version.v;
	if (!b->ipv4_address)
		b->ipv4_address = strdup(DEFAULT_ADDRESS);
	if (!b->ipv4_address)
		api_fault(c, "MMMDS config error: out of memory");
	if (!b->ipv4_address || !check_config(c, b, &config) || !service(c))
		return;
	mmds_configure(c->vm->mmds, &config);
	schema_free(&schema_mmds_config, c->vm->config.mmds_config);
	c->vm->config.mmds_config = b;
	c->object = NULL;
}
