/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers out of order, and requests that make no sense to their device: H18, H19, H29 to H36,
 * H45, H50 to H52.
 */
#include "hostile.h"

enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, T_IN = 0, T_OUT = 1, T_GET_ID = 8, T_DISCARD = 11,
       T_WRITE_ZEROES = 13 };

static uint64_t features_of(const struct vdev *d)
{
	return (vdev_offered(d) & 0xffffff) | F_INDIRECT;
}

static int good_request(const struct vdev *d)
{
	unsigned queue = d->id == ID_NET ? 1 : 0;
	uint32_t written;

	build_good(d, queue);
	vdev_offer(queue, 0);
	return kick_and_wait(d, queue, &written) == USED;
}

/* --- registers -------------------------------------------------------------------------------- */

/* H18: a queue cannot be changed while it is used. */
static void frozen(struct vdev *d)
{
	struct ring *r = &vdev_rings[0];
	int good;

	vdev_start(d, features_of(d));
	vdev_set_queue(d, 0, 32768, 0xdeadbee0, 0xffffffff00000000ull, 0xfee00000);
	if (d->on_pci) {
		good = *r16(d->common, 24) == VDEV_N && *r32(d->common, 32) == (uint32_t)r->desc &&
		       *r32(d->common, 52) == 0;
		*r16(d->common, 28) = 0;
		good &= *r16(d->common, 28) == 1;
	} else {
		*r32(d->common, 0x44) = 0;
		good = *r32(d->common, 0x44) == 1;
	}
	good &= good_request(d);
	finish_case("H18 queue changed after DRIVER_OK", d, 0, good);
}

/* H19 */
static void no_such_queue(struct vdev *d)
{
	static const uint32_t sels[] = {63, 64, 0x7fff, 0xfffe, 0xffff};
	unsigned seen = 0;

	vdev_start(d, features_of(d));
	for (unsigned i = 0; i < sizeof(sels) / sizeof(sels[0]); i++) {
		seen |= (unsigned)vdev_set_queue(d, sels[i], VDEV_N, 0x1000, 0x2000, 0x3000);
		vdev_reset_queue(d, sels[i]);
		for (unsigned off = 24; d->on_pci && off < 56; off += 2)
			seen |= off == 26 ? 0 : *r16(d->common, off);
		if (!d->on_pci)
			seen |= *r32(d->common, 0x34) | *r32(d->common, 0x44);
		if (d->on_pci && sels[i] < 0x400)
			vdev_kick(d, sels[i]);
		else if (!d->on_pci)
			*r32(d->common, 0x50) = sels[i];
	}
	finish_case("H19 queues that do not exist", d, 0, !seen && good_request(d));
}

static void step(const struct vdev *d, unsigned what)
{
	switch (what) {
	case 0:
		vdev_set_status(d, 0);
		break;
	case 1:
		vdev_reset_queue(d, 0);
		break;
	case 2:
		vdev_set_status(d, STATUS_READY);
		break;
	case 3:
		vdev_take_features(d, ~0ull >> 1);
		break;
	case 4:
		vdev_set_own_queue(d, 0);
		break;
	case 5: /* FAILED, or on PCI bus mastering off and on */
		if (d->on_pci) {
			outl(0xcf8, 0x80000000u | d->slot << 11 | 4);
			outw(0xcfc, 2);
			outw(0xcfc, 6);
		} else {
			vdev_set_status(d, 128);
		}
		break;
	}
}

/* H29: every pair of steps, with a request in flight */
static void orders(struct vdev *d)
{
	int good = 1;

	for (unsigned i = 0; i < 36; i++) {
		unsigned queue = d->id == ID_NET ? 1 : 0;

		good &= vdev_start(d, features_of(d) | (vdev_offered(d) & F_RING_RESET));
		build_good(d, queue);
		vdev_offer(queue, 0);
		vdev_kick(d, queue);
		step(d, i / 6);
		step(d, i % 6);
		vdev_kick(d, queue);
		good &= works(d);
	}
	finish_case("H29 resets and set-up in every order", d, 0, good);
}

/* H30: notifications as no driver makes them */
static void odd_notifications(struct vdev *d)
{
	volatile uint8_t *p = vdev_notify_register(d, 0);
	uint32_t n = 4, *from = (uint32_t *)(void *)buffer;
	volatile uint8_t *to = p;
	int good;

	vdev_start(d, features_of(d));
	__asm__ volatile("lock; addl $0, (%0)" : : "r"(p) : "memory");
	__asm__ volatile("lock; xaddl %1, (%0)" : : "r"(p), "r"(0) : "memory");
	__asm__ volatile("lock; cmpxchg8b (%0)" : : "r"(p), "a"(0), "d"(0), "b"(0), "c"(0) : "memory");
	*p = 0;
	*(p + 1) = 0;
	*r16(p, 0) = 0;
	*r16(p, 1) = 0;
	*r32(p, 1) = 0;
	*r32(p, 3) = 0;
	if (!under_kvm)
		__asm__ volatile("fildll (%0); fistpll (%1)" : : "r"(buffer), "r"(p) : "memory");
	__asm__ volatile("cld; rep movsl" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
	n = 8;
	outl(0xcf8, 0); /* no register of PCI */
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(0xcfc) : "memory");
	good = good_request(d);
	if (!good) /* stopped by what was written around it: as good if a reset helps */
		good = works(d);
	finish_case("H30 odd notifications", d, 0, good);
}

/* --- block device ----------------------------------------------------------------------------- */

static void sectors(struct vdev *d)
{
	static const uint64_t bad[] = {~0ull, ~0ull / SECTOR, ~0ull / SECTOR + 1, 1ull << 55,
				       1ull << 63, DISK_SECTORS, DISK_SECTORS - 1};
	int good = 1;

	vdev_start(d, features_of(d));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		good &= transfer(d, T_IN, bad[i], 2 * SECTOR, 1) == S_IOERR;
		good &= transfer(d, T_OUT, bad[i], 2 * SECTOR, 0) == S_IOERR;
	}
	good &= transfer(d, T_IN, 0, SECTOR + 1, 1) == S_IOERR;
	good &= transfer(d, T_OUT, 0, 1, 0) == S_IOERR;
	good &= transfer(d, T_IN, DISK_SECTORS - 2, 2 * SECTOR, 1) == S_OK;
	good &= transfer(d, T_IN, DISK_SECTORS, 0, 1) == S_OK; /* nothing of it is beyond */
	finish_case("H31 sectors", d, 0, good);
}

static uint8_t range(struct vdev *d, uint32_t type, unsigned n, uint64_t sector, uint32_t sectors_n,
		     uint32_t flags)
{
	uint32_t written;

	build_good(d, 0);
	*(uint32_t *)(void *)header = type;
	for (unsigned i = 0; i < n; i++) {
		*(uint64_t *)(void *)(buffer + 16 * i) = sector;
		*(uint32_t *)(void *)(buffer + 16 * i + 8) = sectors_n;
		*(uint32_t *)(void *)(buffer + 16 * i + 12) = flags;
	}
	vdev_desc(0, 1, buffer, 16 * n, DESC_NEXT);
	vdev_offer(0, 0);
	kick_and_wait(d, 0, &written);
	return status_byte;
}

static void ranges(struct vdev *d)
{
	int good = 1;

	vdev_start(d, features_of(d));
	good &= range(d, T_WRITE_ZEROES, 1, 1, 0x00800000, 0) == S_IOERR; /* * 512 wraps */
	good &= range(d, T_WRITE_ZEROES, 1, ~0ull, 2, 0) == S_IOERR;
	good &= range(d, T_WRITE_ZEROES, 1, 0, 0xffffffff, 0) == S_IOERR;
	good &= range(d, T_WRITE_ZEROES, 1, 0, 1, 0x80000000) == S_UNSUPP;
	good &= range(d, T_DISCARD, 1, 0, 1, 1) == S_UNSUPP;
	good &= range(d, T_DISCARD, 0, 0, 1, 0) == S_IOERR;
	good &= range(d, T_DISCARD, 17, 100, 1, 0) == S_IOERR;
	good &= range(d, T_DISCARD, 16, 100, 3, 0) == S_OK; /* the same sixteen times */
	good &= range(d, T_DISCARD, 1, DISK_SECTORS, 1, 0) == S_IOERR;
	good &= range(d, T_WRITE_ZEROES, 1, 3, 9, 0) == S_OK; /* not aligned */
	finish_case("H32 discard and write zeroes", d, 0, good);
}

static void kinds(struct vdev *d, int read_only)
{
	static const uint32_t bad[] = {2, 3, 5, 9, 16, 17, 0x80000000, 0xffffffff};
	int good = 1;

	vdev_start(d, features_of(d) & ~(read_only ? 1ull << 5 : 0)); /* as if it could be written */
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		good &= transfer(d, bad[i], 0, SECTOR, 0) == S_UNSUPP;
	good &= transfer(d, T_OUT, 50, SECTOR, 0) == (read_only ? S_IOERR : S_OK);
	if (read_only) {
		good &= range(d, T_DISCARD, 1, 0, 1, 0) == S_UNSUPP;
		good &= range(d, T_WRITE_ZEROES, 1, 0, 1, 0) == S_UNSUPP;
	}
	good &= transfer(d, T_GET_ID, 0, 1, 1) == S_OK && buffer[1] == 0;
	good &= transfer(d, T_GET_ID, 0, 20, 0) == S_OK; /* nowhere to put it */
	finish_case(read_only ? "H33 kinds, read-only" : "H33 kinds", d, 0, good);
}

static int is_read_only(const struct vdev *d)
{
	return vdev_offered(d) >> 5 & 1;
}

/* --- network ---------------------------------------------------------------------------------- */

static int send(struct vdev *d, const uint8_t *hdr, uint32_t len)
{
	uint32_t written;

	build_good(d, 1);
	for (unsigned i = 0; hdr && i < 12; i++)
		buffer[i] = hdr[i];
	vdev_desc(1, 0, len > sizeof(buffer) ? (uint8_t *)0x400000 : buffer, len, 0);
	vdev_offer(1, 0);
	return kick_and_wait(d, 1, &written) == USED && !written;
}

static void frames(struct vdev *d)
{
	static const uint8_t headers[][12] = {
		{1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, /* checksum out of the frame */
		{1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		{1, 1, 54, 0, 0, 0, 34, 0, 16, 0}, /* segments of no bytes */
		{0, 1, 54, 0, 100, 0},		   /* segments without a checksum */
		{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0xff, 0xff},
	};
	static const uint32_t lens[] = {0, 1, 11, 12, 13, 25, 65562, 65563, 1 << 20, 8 << 20};
	uint32_t written;
	int good = 1;

	vdev_start(d, features_of(d));
	for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		good &= send(d, headers[i], 12 + 60);
	for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		good &= send(d, 0, lens[i]);
	for (unsigned i = 0; i < VDEV_N; i++) { /* in pieces of a byte each */
		vdev_desc(1, i, buffer + i, 1, DESC_NEXT);
		if (i == VDEV_N - 1)
			vdev_rings[1].desc[i].flags = 0;
	}
	vdev_offer(1, 0);
	good &= kick_and_wait(d, 1, &written) == USED;
	finish_case("H34 frames to send", d, 1, good && vdev_status(d) == STATUS_READY);
}

/* H35: buffers that no frame fits into, while the host's side sends to us */
static void receive_buffers(struct vdev *d)
{
	static const uint8_t ask[] = "flood";
	struct ring *r = &vdev_rings[0];
	uint64_t end;

	vdev_start(d, features_of(d) & ~(1ull << 15)); /* not mergeable */
	build_good(d, 1);
	for (unsigned i = 0; i < sizeof(ask); i++)
		buffer[12 + 14 + i] = ask[i];
	vdev_desc(1, 0, buffer, 12 + 60, 0);
	vdev_offer(1, 0);
	vdev_kick(d, 1);
	for (unsigned i = 0; i < VDEV_N; i++) {
		vdev_desc(0, i, buffer + SECTOR, i < 4 ? 1 : 64, i & 1 ? DESC_WRITE : 0);
		vdev_offer(0, (uint16_t)i);
	}
	vdev_kick(d, 0);
	/* and none for a while */
	for (end = ticks() + 300ull * TICKS_PER_MS; ticks() < end;)
		relax();
	finish_case("H35 buffers to receive into", d, 0,
		    r->used.idx >= 4 && vdev_status(d) == STATUS_READY);
}

static uint8_t command(struct vdev *d, const uint8_t *cmd, uint32_t len, unsigned ack_flags)
{
	uint32_t written;

	for (unsigned i = 0; i < len; i++)
		buffer[i] = cmd[i];
	status_byte = 0xff;
	vdev_desc(2, 0, buffer, len, DESC_NEXT);
	vdev_desc(2, 1, &status_byte, 1, (uint16_t)ack_flags);
	vdev_offer(2, 0);
	if (kick_and_wait(d, 2, &written) != USED)
		return 0xfe;
	return status_byte;
}

static void commands(struct vdev *d)
{
	static const uint8_t huge[10] = {1, 0, 255, 255, 255, 255}, wraps[10] = {1, 0, 0xab, 0xaa, 0xaa, 0x2a};
	static const uint8_t no_pairs[4] = {4, 0, 0, 0}, many_pairs[4] = {4, 0, 0xff, 0xff};
	static const uint8_t unknown[4] = {0xff, 0xff, 0xff, 0xff}, short_mac[5] = {1, 1, 2, 3, 4};
	int good = 1;

	vdev_start(d, features_of(d));
	good &= command(d, huge, sizeof(huge), DESC_WRITE) == 1;
	good &= command(d, wraps, sizeof(wraps), DESC_WRITE) == 1;
	good &= command(d, no_pairs, sizeof(no_pairs), DESC_WRITE) == 1;
	good &= command(d, many_pairs, sizeof(many_pairs), DESC_WRITE) == 1;
	good &= command(d, unknown, sizeof(unknown), DESC_WRITE) == 1;
	good &= command(d, short_mac, sizeof(short_mac), DESC_WRITE) == 1;
	good &= command(d, huge, 1, DESC_WRITE) == 1;
	good &= command(d, huge, sizeof(huge), 0) == 0xff; /* an answer that cannot be written */
	finish_case("H36 commands", d, 2, good && vdev_status(d) == STATUS_READY);
}

/* --- resources -------------------------------------------------------------------------------- */

/* H45 */
static void greedy_rng(struct vdev *d)
{
	uint32_t written;
	int good = 1;

	vdev_start(d, features_of(d));
	for (unsigned i = 0; i < VDEV_N; i++)
		vdev_rings[0].desc[i] = (struct desc){0, 0xffffffff, (uint16_t)(DESC_WRITE | (i + 1 < VDEV_N)),
						      (uint16_t)(i + 1)};
	vdev_offer(0, 0);
	good &= kick_and_wait(d, 0, &written) == USED && !written;
	for (unsigned i = 0; i < 20; i++) { /* megabytes asked for, 64 KiB given */
		vdev_desc(0, 0, (uint8_t *)0x400000, 8 << 20, DESC_WRITE);
		vdev_offer(0, 0);
		good &= kick_and_wait(d, 0, &written) == USED && written == 64 << 10;
	}
	for (unsigned i = 0; i < often(20000); i++)
		good &= good_request(d);
	finish_case("H45 entropy without end", d, 0, good);
}

/* H50: what is not logged without end */
static void noise(struct vdev *d)
{
	uint32_t written;

	for (unsigned i = 0; i < often(20000); i++) { /* each breaks the device, or tries a bad queue */
		vdev_set_queue(d, i % 4, i, i * 4097ull, i, ~0ull);
		*r32(d->common, 4 * (i % 64)) = i;
	}
	for (unsigned i = 0; i < often(500); i++) {
		vdev_start(d, features_of(d));
		vdev_offer(0, 0xffff);
		kick_and_wait(d, 0, &written);
	}
	finish_case("H50 endless errors", d, 0, 1);
}

/* H51 */
static void storm(struct vdev *d)
{
	vdev_start(d, features_of(d));
	for (unsigned i = 0; i < often(100000); i++)
		vdev_kick(d, i % d->n_queues);
	finish_case("H51 notifications without requests", d, 0, good_request(d));
}

/* H52 */
static void interrupts(struct vdev *d)
{
	unsigned queue = d->id == ID_NET ? 1 : 0;
	int good = 1;

	vdev_start(d, features_of(d) | F_EVENT_IDX);
	for (unsigned i = 0; i < often(2000); i++) {
		vdev_rings[queue].avail.event = (uint16_t)(i & 1 ? vdev_rings[queue].used.idx : i * 31);
		good &= good_request(d);
	}
	finish_case("H52 interrupts for each request", d, queue, good);
}

void device_cases(struct vdev *d)
{
	static const struct {
		const char *name;
		void (*run)(struct vdev *);
		uint16_t id;
	} all[] = {
		{"H18", frozen, 0}, {"H19", no_such_queue, 0}, {"H29", orders, 0},
		{"H30", odd_notifications, 0}, {"H31", sectors, ID_BLOCK}, {"H34", frames, ID_NET},
		{"H35", receive_buffers, ID_NET}, {"H36", commands, ID_NET},
		{"H45", greedy_rng, ID_ENTROPY}, {"H50", noise, 0}, {"H51", storm, 0},
		{"H52", interrupts, 0},
	};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (wanted(all[i].name) && (!all[i].id || all[i].id == d->id) &&
		    !(all[i].run == sectors && is_read_only(d)))
			all[i].run(d);
	if (d->id == ID_BLOCK && wanted("H32") && !is_read_only(d))
		ranges(d);
	if (d->id == ID_BLOCK && wanted("H33"))
		kinds(d, is_read_only(d));
}
