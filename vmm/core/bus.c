/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/bus.h"

#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct bus_slot {
	struct region r; /* but for its base */
	_Atomic uint64_t base;
};

struct bus {
	const char *name;
	struct region *regions; /* sorted by base */
	unsigned n_regions;
	struct bus_slot **slots;
	unsigned n_slots;
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
	while (b->n_slots)
		free(b->slots[--b->n_slots]);
	free(b->slots);
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

int bus_add_movable(struct bus *b, const struct region *r, struct bus_slot **out, struct err *e)
{
	struct bus_slot **grown = realloc(b->slots, (b->n_slots + 1) * sizeof(struct bus_slot *));
	struct bus_slot *slot = calloc(1, sizeof(*slot));

	if (grown)
		b->slots = grown;
	if (!grown || !slot) {
		free(slot);
		return err_set(e, ENOMEM, "%s bus: out of host memory", b->name);
	}
	slot->r = *r;
	atomic_init(&slot->base, r->base);
	b->slots[b->n_slots++] = slot;
	*out = slot;
	return 0;
}

void bus_move(struct bus_slot *slot, uint64_t base)
{
	atomic_store(&slot->base, base);
}

void bus_remove(struct bus *b, uint64_t base)
{
	for (unsigned i = 0; i < b->n_regions; i++) {
		if (b->regions[i].base != base)
			continue;
		b->n_regions--;
		memmove(b->regions + i, b->regions + i + 1,
			(b->n_regions - i) * sizeof(*b->regions));
		break;
	}
}

void bus_remove_movable(struct bus *b, struct bus_slot *slot)
{
	for (unsigned i = 0; i < b->n_slots; i++) {
		if (b->slots[i] != slot)
			continue;
		b->slots[i] = b->slots[--b->n_slots];
		free(slot);
		break;
	}
}

static const struct region *find_movable(const struct bus *b, uint64_t addr, uint64_t *off)
{
	for (unsigned i = 0; i < b->n_slots; i++) {
		uint64_t base = atomic_load_explicit(&b->slots[i]->base, memory_order_acquire);

		if (addr >= base && addr - base < b->slots[i]->r.len && base != BUS_NOWHERE) {
			*off = addr - base;
			return &b->slots[i]->r;
		}
	}
	return NULL;
}

/* The region at addr, and where in it that is. */
static const struct region *find(const struct bus *b, uint64_t addr, uint64_t *off)
{
	unsigned lo = 0, hi = b->n_regions;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct region *r = &b->regions[mid];

		*off = addr - r->base;
		if (addr < r->base)
			hi = mid;
		else if (*off < r->len)
			return r;
		else
			lo = mid + 1;
	}
	return find_movable(b, addr, off);
}

static enum bus_result check(const struct region *r, uint64_t off, unsigned size)
{
	if (!r)
		return BUS_UNCLAIMED;
	if (!(r->ops->sizes & size) || r->len - off < size)
		return BUS_BAD_ACCESS;
	return BUS_OK;
}

static uint64_t ones(unsigned size)
{
	return size == 8 ? ~0ull : (1ull << 8 * size) - 1;
}

enum bus_result bus_read(struct bus *b, uint64_t addr, unsigned size, uint64_t *val)
{
	uint64_t off = 0;
	const struct region *r = find(b, addr, &off);
	enum bus_result res = check(r, off, size);

	if (res != BUS_OK) {
		*val = ones(size);
		return res;
	}
	if (r->ops->quick_read && r->ops->quick_read(r->owner, off, size, val))
		return BUS_OK;
	device_lock(r->owner);
	*val = r->ops->read(r->owner, off, size) & ones(size);
	device_unlock(r->owner);
	return BUS_OK;
}

enum bus_result bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	uint64_t off = 0;
	const struct region *r = find(b, addr, &off);
	enum bus_result res = check(r, off, size);

	if (res != BUS_OK)
		return res;
	if (r->ops->quick_write && r->ops->quick_write(r->owner, off, size, val & ones(size)))
		return BUS_OK;
	device_lock(r->owner);
	r->ops->write(r->owner, off, size, val & ones(size));
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
