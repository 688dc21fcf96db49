/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/bus.h"

#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

struct bus {
	const char *name;
	struct region *regions; /* sorted by base */
	unsigned n_regions;
};

int bus_create(const char *name, struct bus **out, struct err *e)
{
	struct bus *b = calloc(1, sizeof(*b));

	if (!b)
		return err_set(e, ENOMEM, "%s bus: out of host memory", name);
	b->name = name;
	*out = b;
	return 0;
}

void bus_destroy(struct bus *b)
{
	if (!b)
		return;
	free(b->regions);
	free(b);
}

int bus_add(struct bus *b, const struct region *r, struct err *e)
{
	struct region *grown;
	unsigned at = 0;

	if (!r->len || r->base + (r->len - 1) < r->base)
		return err_set(e, EINVAL, "%s bus: %s: bad range 0x%llx+0x%llx", b->name, r->name,
			       (unsigned long long)r->base, (unsigned long long)r->len);
	while (at < b->n_regions && b->regions[at].base < r->base)
		at++;
	if ((at > 0 && r->base - b->regions[at - 1].base < b->regions[at - 1].len) ||
	    (at < b->n_regions && b->regions[at].base - r->base < r->len))
		return err_set(e, EINVAL, "%s bus: %s at 0x%llx overlaps another region", b->name,
			       r->name, (unsigned long long)r->base);
	grown = realloc(b->regions, (b->n_regions + 1) * sizeof(*grown));
	if (!grown)
		return err_set(e, ENOMEM, "%s bus: out of host memory", b->name);
	b->regions = grown;
	memmove(grown + at + 1, grown + at, (b->n_regions - at) * sizeof(*grown));
	grown[at] = *r;
	b->n_regions++;
	return 0;
}

static const struct region *find(const struct bus *b, uint64_t addr)
{
	unsigned lo = 0, hi = b->n_regions;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct region *r = &b->regions[mid];

		if (addr < r->base)
			hi = mid;
		else if (addr - r->base < r->len)
			return r;
		else
			lo = mid + 1;
	}
	return NULL;
}

static enum bus_result check(const struct region *r, uint64_t addr, unsigned size)
{
	if (!r)
		return BUS_UNCLAIMED;
	if (!(r->ops->sizes & size) || r->len - (addr - r->base) < size)
		return BUS_BAD_ACCESS;
	return BUS_OK;
}

static uint64_t ones(unsigned size)
{
	return size == 8 ? ~0ull : (1ull << 8 * size) - 1;
}

enum bus_result bus_read(struct bus *b, uint64_t addr, unsigned size, uint64_t *val)
{
	const struct region *r = find(b, addr);
	enum bus_result res = check(r, addr, size);

	if (res != BUS_OK) {
		*val = ones(size);
		return res;
	}
	device_lock(r->owner);
	*val = r->ops->read(r->owner, addr - r->base, size) & ones(size);
	device_unlock(r->owner);
	return BUS_OK;
}

enum bus_result bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	const struct region *r = find(b, addr);
	enum bus_result res = check(r, addr, size);

	if (res != BUS_OK)
		return res;
	device_lock(r->owner);
	r->ops->write(r->owner, addr - r->base, size, val & ones(size));
	device_unlock(r->owner);
	return BUS_OK;
}

void bus_read_split(struct bus *b, uint64_t addr, unsigned size, uint64_t *val)
{
	uint64_t byte;

	if (bus_read(b, addr, size, val) == BUS_OK || size == 1)
		return;
	*val = 0;
	for (unsigned i = 0; i < size; i++) {
		bus_read(b, addr + i, 1, &byte);
		*val |= byte << 8 * i;
	}
}

void bus_write_split(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	if (bus_write(b, addr, size, val) == BUS_OK || size == 1)
		return;
	for (unsigned i = 0; i < size; i++)
		bus_write(b, addr + i, 1, val >> 8 * i & 0xff);
}
