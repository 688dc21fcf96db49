/* SPDX-License-Identifier: Apache-2.0 */
/* Which accelerator runs the guest. See accel_pick.h. */
#include "vmm/accel_pick.h"

#include <errno.h>
#include <string.h>

#include "accel/accel.h"
#include "config.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"
#if MAYFLY_KVM
#include "accel/kvm/probe.h"
#endif

static const struct accel_ops *const accels[] = {
#if MAYFLY_KVM
	&accel_kvm,
#endif
#if MAYFLY_TCG
	&accel_tcg,
#endif
	NULL,
};

static int pick_named(const char *name, const struct cpu_template *t,
		      const struct accel_ops **out, uint32_t *caps, struct err *e)
{
	unsigned i;

	for (i = 0; accels[i]; i++) {
		if (strcmp(accels[i]->name, name) == 0) {
			*out = accels[i];
			return accels[i]->probe(t, caps, e);
		}
	}
	err_set(e, ENODEV, "accelerator %s is not built into this mayfly", name);
	err_hint(e, "`mayfly version` lists what is; --accel auto takes what works");
	return -ENODEV;
}

int accel_pick(const char *name, const struct cpu_template *t, const struct accel_ops **out,
	       uint32_t *caps, struct err *e)
{
	if (strcmp(name, "auto") != 0)
		return pick_named(name, t, out, caps, e);
#if MAYFLY_KVM
	struct kvm_probe probe;

	kvm_probe_run(&probe);
	if (probe.verdict == KVM_PROBE_USABLE)
		return pick_named("kvm", t, out, caps, e);
	if (!MAYFLY_TCG)
		return err_set(e, ENODEV, "kvm: %s", probe.reason);
	log_warn(NULL, "kvm: %s; using the translator", probe.reason);
#endif
	return pick_named("tcg", t, out, caps, e);
}
