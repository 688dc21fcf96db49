/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_BUS_H
#define MAYFLY_VMM_CORE_BUS_H
/*
 * An address space of device registers: port I/O or memory-mapped I/O.
 *
 * Regions that stay where they are do not overlap. Others can be moved by the guest (a PCI device's
 * base address registers); they may lie anywhere, and are looked at where no fixed region is. Which
 * regions there are does not change while the guest's processors run, only where the movable ones
 * begin, so accesses need no lock of their own. The owner's lock is held around each callback but the quick
 * ones. The bus checks
 * access sizes, devices do not. An access that no region claims reads as all ones.
 *
 * Threads: bus_read, bus_write and bus_move from any thread at once; bus_add, bus_add_movable and
 * those that remove only while the machine is built, or while all its processors are parked.
 */
#include <stdbool.h>
#include <stdint.h>

struct device;
struct err;

struct region_ops { /* off is relative to the region's base; len of an access never crosses it */
	uint64_t (*read)(struct device *d, uint64_t off, unsigned size);
	void (*write)(struct device *d, uint64_t off, unsigned size, uint64_t val);
	uint8_t sizes; /* allowed access sizes in bytes, OR of 1, 2, 4, 8 */
	/* Tried first, without the owner's lock, for registers that need none and are used much;
	 * false: not one of those. May be NULL. */
	bool (*quick_read)(struct device *d, uint64_t off, unsigned size, uint64_t *val);
	bool (*quick_write)(struct device *d, uint64_t off, unsigned size, uint64_t val);
};

struct region {
	const char *name;
	uint64_t base, len; /* in the bus's own address space */
	const struct region_ops *ops;
	struct device *owner; /* its lock is held around read and write; NULL: no lock */
};

enum bus_result { BUS_OK, BUS_UNCLAIMED, BUS_BAD_ACCESS };

struct bus;
struct bus_slot; /* a movable region; the bus's */

#define BUS_NOWHERE UINT64_MAX /* a base: the region is not there for now */

int bus_create(const char *name, struct bus **out, struct err *e);
void bus_destroy(struct bus *b); /* NULL is allowed; devices are not the bus's */
/* Copies *r. -EINVAL for an empty or wrapping range or one that overlaps another region. */
int bus_add(struct bus *b, const struct region *r, struct err *e);
/* One that begins at r->base, or BUS_NOWHERE, until it is moved. */
int bus_add_movable(struct bus *b, const struct region *r, struct bus_slot **out, struct err *e);
/* What of it would lie beyond 2^64 is out of reach. An access under way may still reach its old
 * place. */
void bus_move(struct bus_slot *slot, uint64_t base);
/* The region that begins there. */
void bus_remove(struct bus *b, uint64_t base);
void bus_remove_movable(struct bus *b, struct bus_slot *slot);

/*
 * One access of size 1, 2, 4 or 8 bytes. A size the region does not list, or one that crosses its
 * end, is BUS_BAD_ACCESS: reads give all ones, writes are dropped. A port access wider than the
 * region allows is split by bus_*_split() instead, as the ISA bus does.
 */
enum bus_result bus_read(struct bus *b, uint64_t addr, unsigned size, uint64_t *val);
enum bus_result bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t val);

/* As above, but an access that no region takes whole is made byte by byte. For the port bus. */
void bus_read_split(struct bus *b, uint64_t addr, unsigned size, uint64_t *val);
void bus_write_split(struct bus *b, uint64_t addr, unsigned size, uint64_t val);

#endif
