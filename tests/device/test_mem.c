/* SPDX-License-Identifier: Apache-2.0 */
/* The memory device: what is plugged and refused, what the host gets back, what resets do. */
#include "devices/virtio/mem.h"
#include "tests/device/vdriver.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { N_BLOCKS = 70, REQ = VD_BUF, RESP = VD_BUF + 0x1000 };
enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR, NOTHING = 0x5555 };
enum { PLUGGED, UNPLUGGED, MIXED };

static const uint64_t block = VIRTIO_MEM_MIN_BLOCK;
static struct vdriver d;
static gpaddr base;

static void start(void)
{
	struct virtio_mem_config c = {.id = "hotplug", .total_bytes = N_BLOCKS * block,
				      .block_bytes = block, .slot_bytes = 128 << 20,
				      .requested_bytes = 4 * block};
	struct virtio *v;
	struct err e;

	log_set_level(LOG_LEVEL_ERROR);
	vdriver_init(&d);
	cr_assert_eq(gmem_add_hotplug(d.mem, c.total_bytes, block, &base, &e), 0, "%s", e.msg);
	c.base = base;
	cr_assert_eq(virtio_mem_create(&c, &(struct virtio_mem_wiring){d.mem, d.loop}, &v, &e), 0);
	vdriver_attach(&d, v);
	vdriver_start(&d, 0, 8);
}

static void finish(void)
{
	vdriver_fini(&d);
}

static uint16_t state_told;

static uint16_t ask_raw(uint16_t type, uint64_t addr, uint16_t n, uint32_t out_len, uint32_t in_len)
{
	uint8_t raw[24] = {0}, resp[10];
	struct vdriver_used u;

	store_le16(raw, type);
	store_le64(raw + 8, addr);
	store_le16(raw + 16, n);
	gmem_write(d.mem, REQ, raw, sizeof(raw));
	gmem_fill(d.mem, RESP, 0x55, 16);
	vdriver_desc(&d, 0, REQ, out_len, VD_NEXT, 1);
	vdriver_desc(&d, 1, RESP, in_len, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert(vdriver_take(&d, &u));
	gmem_read(d.mem, RESP, resp, sizeof(resp));
	state_told = load_le16(resp + 8);
	cr_assert_eq(u.len, load_le16(resp) == NOTHING ? 0 : 10);
	return load_le16(resp);
}

static uint16_t ask(uint16_t type, uint64_t first, uint16_t n)
{
	return ask_raw(type, base + first * block, n, 24, 10);
}

static void request(uint64_t n)
{
	struct err e;

	cr_assert_eq(virtio_mem_request(d.v, n * block, &e), 0, "%s", e.msg);
}

static struct virtio_mem_counters counters(void)
{
	struct virtio_mem_counters n;

	virtio_mem_counters(d.v, &n);
	return n;
}

/* Pages of a block that take memory of the host. */
static size_t resident(uint64_t b)
{
	static unsigned char in_core[512];
	struct iovec iov;
	size_t n = 0;

	cr_assert_eq(gmem_map(d.mem, base + b * block, block, GMEM_FROM_GUEST, &iov, 1), 1);
	cr_assert_eq(mincore(iov.iov_base, block, in_core), 0);
	for (unsigned i = 0; i < 512; i++)
		n += in_core[i] & 1;
	return n;
}

TestSuite(mem, .init = start, .fini = finish);

Test(mem, tells_what_there_is)
{
	cr_assert_eq(vdriver_read(&d, 8), 24);
	cr_assert_eq(vdriver_config64(&d, 0), block);
	cr_assert_eq(vdriver_config64(&d, 8), 0);
	cr_assert_eq(vdriver_config64(&d, 16), base);
	cr_assert_eq(vdriver_config64(&d, 24), N_BLOCKS * block);
	cr_assert_eq(vdriver_config64(&d, 32), N_BLOCKS * block);
	cr_assert_eq(vdriver_config64(&d, 40), 0);
	cr_assert_eq(vdriver_config64(&d, 48), 4 * block);
	cr_assert_eq(base % (128 << 20), 0);
	cr_assert_eq(gmem_size(d.mem), 2 * VD_RAM); /* no RAM until it is plugged */
}

Test(mem, blocks_are_plugged_up_to_what_is_requested)
{
	cr_assert_eq(ask(PLUG, 2, 3), ACK);
	cr_assert_eq(vdriver_config64(&d, 40), 3 * block);
	cr_assert_eq(ask(PLUG, 10, 2), NACK);
	cr_assert_eq(vdriver_config64(&d, 40), 3 * block);
	cr_assert_eq(ask(PLUG, 10, 1), ACK);
	cr_assert_eq(ask(PLUG, 11, 1), NACK);
	request(N_BLOCKS);
	cr_assert_eq(ask(PLUG, 63, 2), ACK); /* over the edge of a word of the bitmap */
	cr_assert_eq(ask(PLUG, N_BLOCKS - 1, 1), ACK);
	cr_assert_eq(counters().plugs, 4);
	cr_assert_eq(counters().plug_fails, 2);
	cr_assert_eq(counters().plugged_bytes, 7 * block);
	cr_assert_eq(vdriver_counted(&d, "plugs"), 4);
	cr_assert_eq(vdriver_counted(&d, "plug_fails"), 2);
	cr_assert_eq(vdriver_counted(&d, "plugged_bytes"), 7 * block);
	cr_assert_geq(vdriver_counted(&d, "queue_events"), 6);
}

Test(mem, ranges_that_are_none_are_refused)
{
	request(N_BLOCKS);
	for (unsigned type = PLUG; type <= STATE; type++) {
		if (type == UNPLUG_ALL)
			continue;
		cr_assert_eq(ask_raw((uint16_t)type, base + 4096, 1, 24, 10), ERROR);
		cr_assert_eq(ask(type, 0, 0), ERROR);
		cr_assert_eq(ask(type, N_BLOCKS - 1, 2), ERROR);
		cr_assert_eq(ask(type, 0, N_BLOCKS + 1), ERROR);
		cr_assert_eq(ask(type, N_BLOCKS, 1), ERROR);
		cr_assert_eq(ask_raw((uint16_t)type, base - block, 1, 24, 10), ERROR);
		cr_assert_eq(ask_raw((uint16_t)type, 0, 65535, 24, 10), ERROR);
		cr_assert_eq(ask_raw((uint16_t)type, -block, 1, 24, 10), ERROR);
	}
	cr_assert_eq(vdriver_config64(&d, 40), 0);
	cr_assert_eq(ask(PLUG, 0, N_BLOCKS), ACK);
	cr_assert_eq(ask(STATE, 0, N_BLOCKS), ACK);
	cr_assert_eq(state_told, PLUGGED);
}

Test(mem, blocks_in_another_state_are_refused_as_a_whole)
{
	cr_assert_eq(ask(PLUG, 4, 2), ACK);
	cr_assert_eq(ask(PLUG, 5, 1), ERROR);
	cr_assert_eq(ask(PLUG, 3, 2), ERROR);
	cr_assert_eq(ask(UNPLUG, 3, 2), ERROR);
	cr_assert_eq(ask(UNPLUG, 5, 2), ERROR);
	cr_assert_eq(ask(STATE, 4, 2), ACK);
	cr_assert_eq(state_told, PLUGGED);
	cr_assert_eq(ask(STATE, 3, 2), ACK);
	cr_assert_eq(state_told, MIXED);
	cr_assert_eq(ask(STATE, 6, 1), ACK);
	cr_assert_eq(state_told, UNPLUGGED);
	cr_assert_eq(vdriver_config64(&d, 40), 2 * block);
}

Test(mem, unplugged_blocks_go_back_to_the_host)
{
	cr_assert_eq(ask(PLUG, 0, 4), ACK);
	cr_assert(gmem_fill(d.mem, base, 0x77, 4 * block));
	cr_assert_eq(resident(1), 512);
	cr_assert_eq(ask(UNPLUG, 1, 2), ACK);
	cr_assert_eq(resident(1) + resident(2), 0);
	cr_assert_eq(resident(0) + resident(3), 1024);
	cr_assert_eq(vdriver_byte(&d, base + 3 * block), 0x77);
	cr_assert_eq(vdriver_byte(&d, base + block), 0);
	cr_assert_eq(vdriver_config64(&d, 40), 2 * block);
	cr_assert_eq(counters().unplugged_bytes, 2 * block);
}

Test(mem, an_unplugged_block_that_is_touched_does_no_harm)
{
	cr_assert(gmem_fill(d.mem, base + 9 * block, 0x66, 4096));
	cr_assert_eq(ask(UNPLUG_ALL, 0, 0), ACK);
	cr_assert_eq(vdriver_byte(&d, base + 9 * block), 0);
	cr_assert_eq(ask(UNPLUG, 9, 1), ERROR);
}

Test(mem, all_go_at_once)
{
	cr_assert_eq(ask(PLUG, 0, 1), ACK);
	cr_assert_eq(ask(PLUG, 40, 3), ACK);
	gmem_fill(d.mem, base + 41 * block, 0x77, 64);
	cr_assert_eq(ask(UNPLUG_ALL, 12345, 7), ACK); /* what else it says does not count */
	cr_assert_eq(vdriver_config64(&d, 40), 0);
	cr_assert_eq(ask(STATE, 0, N_BLOCKS), ACK);
	cr_assert_eq(state_told, UNPLUGGED);
	cr_assert_eq(vdriver_byte(&d, base + 41 * block), 0);
}

Test(mem, what_is_no_request_gets_an_error)
{
	cr_assert_eq(ask(4, 0, 1), ERROR);
	cr_assert_eq(ask(0xffff, 0, 1), ERROR);
	cr_assert_eq(ask_raw(PLUG, base, 1, 23, 10), ERROR);
	cr_assert_eq(ask_raw(PLUG, base, 1, 24, 9), NOTHING);
	cr_assert_eq(vdriver_config64(&d, 40), 0);
	cr_assert_eq(counters().event_fails, 4);
}

Test(mem, the_operator_changes_what_is_requested)
{
	struct virtio_mem_state s;
	struct err e;
	unsigned before = d.n_irq + d.n_msi;

	request(2);
	cr_assert_gt(d.n_irq + d.n_msi, before);
	cr_assert_eq(vdriver_config64(&d, 48), 2 * block);
	cr_assert_eq(virtio_mem_request(d.v, block + 4096, &e), -EINVAL);
	cr_assert(strstr(e.msg, "no multiple of a block"), "%s", e.msg);
	cr_assert_eq(virtio_mem_request(d.v, (N_BLOCKS + 1) * block, &e), -EINVAL);
	cr_assert(strstr(e.msg, "more than there are"), "%s", e.msg);
	cr_assert_eq(ask(PLUG, 0, 2), ACK);
	request(0); /* less than it has: nothing happens to what is plugged */
	cr_assert_eq(ask(PLUG, 5, 1), NACK);
	virtio_mem_state(d.v, &s);
	cr_assert_eq(s.total_bytes, N_BLOCKS * block);
	cr_assert_eq(s.block_bytes, block);
	cr_assert_eq(s.slot_bytes, 128 << 20);
	cr_assert_eq(s.plugged_bytes, 2 * block);
	cr_assert_eq(s.requested_bytes, 0);
}

Test(mem, a_reset_of_the_device_keeps_blocks_and_one_of_the_machine_takes_them)
{
	struct virtio_mem_state s;

	cr_assert_eq(ask(PLUG, 0, 4), ACK);
	gmem_fill(d.mem, base, 0x77, 64);
	vdriver_start(&d, 0, 8);
	cr_assert_eq(vdriver_config64(&d, 40), 4 * block);
	cr_assert_eq(vdriver_byte(&d, base), 0x77);
	d.v->dev.ops->reset(&d.v->dev);
	virtio_mem_state(d.v, &s);
	cr_assert_eq(s.plugged_bytes, 0);
	cr_assert_eq(s.requested_bytes, 4 * block);
	cr_assert_eq(vdriver_byte(&d, base), 0);
}
