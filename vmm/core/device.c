/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/device.h"

#include <stdio.h>

void device_init(struct device *d, const struct device_ops *ops, const char *id)
{
	d->ops = ops;
	pthread_mutex_init(&d->lock, NULL);
	snprintf(d->id, sizeof(d->id), "%s", id);
	d->next = NULL;
}

void device_fini(struct device *d)
{
	pthread_mutex_destroy(&d->lock);
}

uint64_t device_count(const struct device *d, const struct device_counter *c)
{
	return __atomic_load_n((const uint64_t *)((const char *)d + c->offset), __ATOMIC_RELAXED);
}

void device_lock(struct device *d)
{
	if (d)
		pthread_mutex_lock(&d->lock);
}

void device_unlock(struct device *d)
{
	if (d)
		pthread_mutex_unlock(&d->lock);
}
