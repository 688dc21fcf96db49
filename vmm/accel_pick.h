/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_ACCEL_PICK_H
#define MAYFLY_VMM_ACCEL_PICK_H
/* Which accelerator runs the guest: the one that is named, or for "auto" KVM if a probe guest
 * shows that it really runs guests at a processor's speed, else the translator. */
#include <stdint.h>

struct accel_ops;
struct cpu_template;
struct err;

/* -ENODEV, -EACCES, ... if the named one cannot be used here, or none can. t (or NULL) may ask for
 * capabilities. */
int accel_pick(const char *name, const struct cpu_template *t, const struct accel_ops **out,
	       uint32_t *caps, struct err *e);

#endif
