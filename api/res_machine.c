/* SPDX-License-Identifier: Apache-2.0 */
/* /machine-config and /cpu-config. */
#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/bytes.h"

enum { MAX_VCPUS = 32, PAGE_2M_MIB = 2 };

static void merge(struct schema_value *into, const struct schema_value *from)
{
	if (from->given)
		into->v = from->v;
}

static void update(struct api_call *c, const struct machine_body *u)
{
	struct machine_body *now = c->vm->config.machine_config, m = *now;
	const struct balloon_body *balloon = c->vm->config.balloon;

	merge(&m.vcpu_count, &u->vcpu_count);
	merge(&m.mem_size_mib, &u->mem_size_mib);
	merge(&m.smt, &u->smt);
	merge(&m.track_dirty_pages, &u->track_dirty_pages);
	merge(&m.huge_pages, &u->huge_pages);
	if (u->cpu_template.given) {
		m.cpu_template = u->cpu_template;
		m.cpu_template.given = u->cpu_template.v != CPU_NONE;
	}
	if (m.vcpu_count.v == 0 || m.vcpu_count.v > MAX_VCPUS ||
	    (m.smt.v && m.vcpu_count.v > 1 && m.vcpu_count.v % 2))
		api_fault(c, "Machine config error: The number of vCPUs must be greater than 0, less "
			     "than %d and must be 1 or an even number if SMT is enabled.",
			  MAX_VCPUS);
	else if (m.mem_size_mib.v == 0 ||
		 (m.huge_pages.v != HUGE_NONE && m.mem_size_mib.v % PAGE_2M_MIB))
		api_fault(c, "Machine config error: The memory size (MiB) is either 0, or not a "
			     "multiple of the configured page size.");
	else if (balloon && balloon->amount_mib.v > m.mem_size_mib.v)
		api_fault(c, "Machine config error: The memory size (MiB) is smaller than the "
			     "previously set balloon device target size.");
	else {
		*now = m;
		if (u->cpu_template.given) { /* None, too: /cpu-config counts no more */
			schema_free(&schema_cpu_config, c->vm->cpu_config);
			c->vm->cpu_config = NULL;
		}
	}
	c->deprecated = u->cpu_template.given;
}

void api_get_machine(struct api_call *c)
{
	api_answer_object(c, &schema_machine, c->vm->config.machine_config);
}

void api_put_machine(struct api_call *c)
{
	struct machine_body *b = c->object;

	/* a PUT sets what it does not name to its default, but for the template */
	b->smt.given = b->track_dirty_pages.given = b->huge_pages.given = true;
	update(c, b);
}

void api_patch_machine(struct api_call *c)
{
	const struct machine_body *b = c->object;

	if (!b->vcpu_count.given && !b->mem_size_mib.given && !b->smt.given &&
	    !b->cpu_template.given && !b->track_dirty_pages.given && !b->huge_pages.given)
		api_fault(c, "Empty PATCH request.");
	else
		update(c, b);
}

/* Of this and a template by name the last one counts. */
void api_put_cpu_config(struct api_call *c)
{
	schema_free(&schema_cpu_config, c->vm->cpu_config);
	c->vm->cpu_config = c->object;
	c->object = NULL;
	c->vm->config.machine_config->cpu_template.given = false;
}
