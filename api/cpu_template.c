/* SPDX-License-Identifier: Apache-2.0 */
/* /cpu-config, or the template that /machine-config names, as accelerators take it. */
#include <errno.h>
#include <stdlib.h>

#include "accel/cpu_template.h"
#include "api/vm.h"
#include "vmm/core/err.h"

static size_t add_leaf(const struct cpuid_leaf *l, struct cpuid_change *out)
{
	size_t i, n = l->modifiers.n;

	for (i = 0; out && i < (n ? n : 1); i++) {
		const struct cpuid_register *r = n ? l->modifiers.items[i] : NULL;

		/* a leaf without modifiers has to be there all the same */
		out[i] = (struct cpuid_change){
			.leaf = (uint32_t)l->leaf.v,
			.subleaf = (uint32_t)l->subleaf.v,
			.flags = (uint32_t)l->flags.v,
			.reg = r ? (uint8_t)r->reg.v : CPU_TEMPLATE_EAX,
			.filter = r ? (uint32_t)r->bits.filter : 0,
			.value = r ? (uint32_t)r->bits.value : 0,
		};
	}
	return n ? n : 1;
}

static struct cpu_template *make_custom(const struct cpu_config_body *b)
{
	struct cpu_template *t;
	size_t i, n = 0;

	for (i = 0; i < b->cpuid_modifiers.n; i++)
		n += add_leaf(b->cpuid_modifiers.items[i], NULL);
	t = cpu_template_create(n, b->msr_modifiers.n, b->kvm_capabilities.n);
	if (!t)
		return NULL;
	for (i = n = 0; i < b->cpuid_modifiers.n; i++)
		n += add_leaf(b->cpuid_modifiers.items[i], &t->cpuid[n]);
	for (i = 0; i < b->msr_modifiers.n; i++) {
		const struct msr_modifier *m = b->msr_modifiers.items[i];

		t->msrs[i] = (struct msr_change){ (uint32_t)m->addr.v, m->bits.filter, m->bits.value };
	}
	for (i = 0; i < b->kvm_capabilities.n; i++) {
		const char *s = b->kvm_capabilities.items[i];

		t->caps[i].remove = *s == '!';
		t->caps[i].cap = (uint32_t)strtoul(s + t->caps[i].remove, NULL, 10);
	}
	return t;
}

int vm_make_cpu_template(struct vm *vm, struct err *e)
{
	const struct schema_value *name = &vm->config.machine_config->cpu_template;

	free(vm->cpu_template);
	vm->cpu_template = NULL;
	if (name->given)
		vm->cpu_template = cpu_template_named(cpu_template_names[name->v]);
	else if (vm->cpu_config)
		vm->cpu_template = make_custom(vm->cpu_config);
	else
		return 0;
	return vm->cpu_template ? 0 : err_set(e, ENOMEM, "CPU template: out of memory");
}
