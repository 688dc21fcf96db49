/* SPDX-License-Identifier: Apache-2.0 */
/* The microVM as a whole: /, /version, /vm, /vm/config, /actions. */
#include <string.h>

#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"

static void add_member(struct text *t, const char *name, const char *value)
{
	text_add(t, t->len ? "," : "{");
	text_add_json(t, name, strlen(name));
	text_add(t, ":");
	text_add_json(t, value, strlen(value));
}

void api_get_info(struct api_call *c)
{
	const struct vm_host *h = &c->vm->host;

	c->status = 200;
	add_member(&c->text, "id", h->id);
	add_member(&c->text, "state", vm_state_name(c->vm));
	add_member(&c->text, "vmm_version", h->version);
	add_member(&c->text, "app_name", h->app_name);
	text_add(&c->text, "}");
}

void api_get_version(struct api_call *c)
{
	c->status = 200;
	add_member(&c->text, "firecracker_version", c->vm->host.version);
	text_add(&c->text, "}");
}

/* The server goes on from here. */
void api_get_events(struct api_call *c)
{
	c->status = 200;
	c->watches = true;
}

/* In the order of Firecracker, which is not that of a configuration file. */
static const struct schema_field full_config_fields[] = {
	{ "balloon", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, balloon),
	  .object = &schema_balloon },
	{ "drives", FIELD_LIST, FIELD_REQUIRED, offsetof(struct config_file, drives),
	  .object = &schema_drive },
	{ "boot-source", FIELD_OBJECT, FIELD_REQUIRED, offsetof(struct config_file, boot_source),
	  .object = &schema_boot_source },
	{ "cpu-config", FIELD_NULL, FIELD_OPTIONAL },
	{ "logger", FIELD_NULL, FIELD_OPTIONAL },
	{ "machine-config", FIELD_OBJECT, FIELD_OPTIONAL,
	  offsetof(struct config_file, machine_config), .object = &schema_machine },
	{ "metrics", FIELD_NULL, FIELD_OPTIONAL },
	{ "mmds-config", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, mmds_config),
	  .object = &schema_mmds_config },
	{ "network-interfaces", FIELD_LIST, FIELD_DEFAULT,
	  offsetof(struct config_file, network_interfaces), .object = &schema_net },
	{ "vsock", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, vsock),
	  .object = &schema_vsock },
	{ "entropy", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, entropy),
	  .object = &schema_entropy },
	{ "pmem", FIELD_LIST, FIELD_DEFAULT, offsetof(struct config_file, pmem),
	  .object = &schema_pmem },
	{ "memory-hotplug", FIELD_OBJECT, FIELD_OPTIONAL,
	  offsetof(struct config_file, memory_hotplug), .object = &schema_hotplug },
	{ 0 },
};
static const struct schema schema_full_config = { "VmmConfig", sizeof(struct config_file),
						  full_config_fields };

void api_get_config(struct api_call *c)
{
	api_answer_object(c, &schema_full_config, &c->vm->config);
}

void api_patch_vm(struct api_call *c)
{
	const struct vm_state_body *b = c->object;
	uint64_t begun_ns = loop_now_ns();

	if (b->state.v == VM_PAUSED) {
		machine_pause(c->vm->machine);
		c->vm->pause_us = (loop_now_ns() - begun_ns) / 1000 + 1;
	} else {
		machine_resume(c->vm->machine);
		c->vm->resume_us = (loop_now_ns() - begun_ns) / 1000 + 1;
	}
	c->vm->paused = b->state.v == VM_PAUSED;
}

static void start(struct api_call *c)
{
	struct err e = { 0 };

	if (c->vm->machine)
		api_fault(c, "The requested operation is not supported after starting the microVM.");
	else if (vm_start(c->vm, &e) < 0)
		api_fault_err(c, "Start microvm error", &e);
}

void api_put_action(struct api_call *c)
{
	const struct action_body *b = c->object;

	if (b->action_type.v == ACTION_INSTANCE_START) {
		start(c);
		return;
	}
	if (!c->vm->machine) {
		api_fault(c, "The requested operation is not supported before starting the microVM.");
		return;
	}
	if (b->action_type.v == ACTION_CTRL_ALT_DEL)
		machine_ctrl_alt_del(c->vm->machine);
	else
		api_flush_metrics(c);
}
