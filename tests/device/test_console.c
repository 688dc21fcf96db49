/* SPDX-License-Identifier: Apache-2.0 */
/* The console device: data both ways with an end that has room or not, sizes, control messages. */
#include "devices/virtio/console.h"
#include "tests/device/mqdriver.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <errno.h>

enum { F_SIZE = 1, F_MULTIPORT = 2, N_PORTS = 3, PLAIN = 3, MULTI = 0xff };
enum { RX0, TX0, CTRL_RX, CTRL_TX, RX1, TX1, RX2, TX2 };
enum { DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN,
       PORT_NAME };

struct end { /* the host's */
	char text[4096];
	size_t len, room;
	unsigned n_rx_ready;
};

static struct mqdriver m;
static struct end end[N_PORTS];
static const uint64_t ms = 1000000;

static size_t on_write(void *ctx, const uint8_t *p, size_t n)
{
	struct end *x = ctx;

	if (n > x->room)
		n = x->room;
	cr_assert_leq(x->len + n, sizeof(x->text));
	memcpy(x->text + x->len, p, n);
	x->len += n;
	x->room -= n;
	return n;
}

static void on_rx_ready(void *ctx)
{
	struct end *x = ctx;

	x->n_rx_ready++;
}

static struct virtio_console_port port_of(unsigned i, const char *name)
{
	end[i] = (struct end){.room = sizeof(end[i].text)};
	return (struct virtio_console_port){.name = name, .closed = name, .write = on_write,
					    .rx_ready = on_rx_ready, .ctx = &end[i]};
}

static void make(unsigned n_ports)
{
	struct virtio_console_port ports[N_PORTS];
	struct virtio *v;
	struct err e;

	log_set_level(LOG_LEVEL_ERROR);
	ports[0] = port_of(0, NULL);
	ports[1] = port_of(1, "agent");
	ports[2] = port_of(2, NULL);
	mq_init(&m);
	cr_assert_eq(virtio_console_create(&(struct virtio_console_config){"con", ports, n_ports},
					   &(struct virtio_console_wiring){m.d.mem, m.d.loop}, &v,
					   &e), 0, "%s", e.msg);
	vdriver_attach(&m.d, v);
}

static void start_plain(void)
{
	make(1);
	mq_start(&m, F_SIZE, PLAIN, 16);
}

static void teardown(void)
{
	mq_fini(&m);
}

TestSuite(console, .fini = teardown);

static struct virtio_console_counters counters(void)
{
	struct virtio_console_counters n;

	virtio_console_counters(m.d.v, &n);
	return n;
}

static void print(unsigned queue, uint16_t i, const char *text)
{
	mq_put(&m, queue, i, MQ_BUF + 0x100u * i, text, (uint32_t)strlen(text));
	mq_kick(&m, queue);
}

static bool taken(unsigned queue)
{
	struct vdriver_used u;

	return mq_take(&m, queue, &u);
}

static void give_buffer(unsigned queue, uint16_t i, uint32_t len)
{
	mq_desc(&m, queue, i, MQ_BUF + 0x8000 + 0x100u * i, len, VD_WRITE, 0);
	mq_offer(&m, queue, i);
	mq_kick(&m, queue);
}

static size_t type(unsigned port, const char *text)
{
	return virtio_console_rx(m.d.v, port, (const uint8_t *)text, strlen(text));
}

static void expect_input(unsigned queue, const char *text)
{
	struct vdriver_used u;
	char buf[64] = "";

	cr_assert(mq_take(&m, queue, &u));
	cr_assert_eq(u.len, strlen(text));
	gmem_read(m.d.mem, MQ_BUF + 0x8000 + 0x100u * u.id, buf, u.len);
	cr_assert_str_eq(buf, text);
}

/* --- output ----------------------------------------------------------------------------------- */

Test(console, output_reaches_the_end_in_order)
{
	struct vdriver_used u;

	start_plain();
	gmem_write(m.d.mem, MQ_BUF, "hello, ", 7);
	gmem_write(m.d.mem, MQ_BUF + 0x1000, "world", 5);
	mq_desc(&m, TX0, 0, MQ_BUF, 7, VD_NEXT, 1);
	mq_desc(&m, TX0, 1, MQ_BUF + 0x1000, 5, 0, 0);
	mq_offer(&m, TX0, 0);
	mq_kick(&m, TX0);
	cr_assert(mq_take(&m, TX0, &u));
	cr_assert_eq(u.len, 0);
	cr_assert_str_eq(end[0].text, "hello, world");
	cr_assert_eq(counters().tx_bytes, 12);
}

Test(console, output_waits_for_an_end_that_makes_progress)
{
	start_plain();
	end[0].room = 3;
	print(TX0, 0, "abcdef");
	print(TX0, 1, "ghi");
	cr_assert_not(taken(TX0));
	fake_loop_advance(m.d.loop, 99 * ms);
	end[0].room = 2;
	virtio_console_room(m.d.v, 0);
	cr_assert_not(taken(TX0));
	fake_loop_advance(m.d.loop, 99 * ms);
	end[0].room = 100;
	virtio_console_room(m.d.v, 0);
	cr_assert(taken(TX0) && taken(TX0));
	cr_assert_str_eq(end[0].text, "abcdefghi");
	cr_assert_eq(counters().tx_dropped, 0);
}

Test(console, output_of_a_console_is_lost_on_an_end_that_takes_nothing)
{
	start_plain();
	end[0].room = 3;
	print(TX0, 0, "abcdef");
	fake_loop_advance(m.d.loop, 99 * ms);
	cr_assert_not(taken(TX0));
	fake_loop_advance(m.d.loop, ms);
	cr_assert(taken(TX0));
	print(TX0, 1, "lost at once");
	cr_assert(taken(TX0));
	cr_assert_eq(counters().tx_dropped, 15);
	end[0].room = 100;
	virtio_console_room(m.d.v, 0);
	print(TX0, 2, "xyz");
	cr_assert(taken(TX0));
	cr_assert_str_eq(end[0].text, "abcxyz");
	cr_assert_eq(counters().tx_dropped, 15);
}

Test(console, an_end_that_takes_some_again_is_waited_for_again)
{
	start_plain();
	end[0].room = 0;
	print(TX0, 0, "lost");
	fake_loop_advance(m.d.loop, 100 * ms);
	cr_assert(taken(TX0));
	end[0].room = 3;
	print(TX0, 1, "abcdef");
	cr_assert_not(taken(TX0));
	end[0].room = 100;
	virtio_console_room(m.d.v, 0);
	cr_assert(taken(TX0));
	cr_assert_str_eq(end[0].text, "abcdef");
}

Test(console, a_chain_that_waits_does_not_outlive_a_reset)
{
	start_plain();
	end[0].room = 0;
	print(TX0, 0, "old");
	mq_start(&m, F_SIZE, PLAIN, 16);
	end[0].room = 100;
	virtio_console_room(m.d.v, 0);
	fake_loop_advance(m.d.loop, 1000 * ms);
	cr_assert_not(taken(TX0));
	print(TX0, 0, "new");
	cr_assert(taken(TX0));
	cr_assert_str_eq(end[0].text, "new");
}

Test(console, long_queue_is_served_in_rounds)
{
	unsigned n = 0;

	make(1);
	mq_start(&m, 0, PLAIN, 64);
	for (uint16_t i = 0; i < 64; i++)
		mq_put(&m, TX0, i, MQ_BUF, "x", 1);
	vdriver_write(&m.d, VIRTIO_MMIO_NOTIFY, TX0);
	cr_assert_geq(fake_loop_poll(m.d.loop), 2);
	while (taken(TX0))
		n++;
	cr_assert_eq(n, 64);
	cr_assert_eq(end[0].len, 64);
}

Test(console, emergency_output_needs_no_driver)
{
	make(1);
	vdriver_write(&m.d, MQ_CONFIG + 8, 'P');
	vdriver_write(&m.d, MQ_CONFIG + 8, 'Q');
	cr_assert_str_eq(end[0].text, "PQ");
	end[0].room = 0;
	vdriver_write(&m.d, MQ_CONFIG + 8, 'R');
	cr_assert_eq(counters().tx_dropped, 1);
}

/* --- input ------------------------------------------------------------------------------------ */

Test(console, input_fills_buffers_and_is_refused_without_any)
{
	start_plain();
	give_buffer(RX0, 0, 4);
	give_buffer(RX0, 1, 16);
	cr_assert_eq(type(0, "abcdefg"), 7);
	expect_input(RX0, "abcd");
	expect_input(RX0, "efg");
	cr_assert_eq(type(0, "more"), 0);
	cr_assert_eq(end[0].n_rx_ready, 0);
	give_buffer(RX0, 2, 16);
	cr_assert_eq(end[0].n_rx_ready, 1);
	cr_assert_eq(type(0, "more"), 4);
	expect_input(RX0, "more");
	give_buffer(RX0, 3, 16);
	cr_assert_eq(end[0].n_rx_ready, 1); /* nothing was refused since */
}

Test(console, input_before_there_is_a_driver_waits)
{
	make(1);
	cr_assert_eq(type(0, "x"), 0);
	mq_start(&m, 0, PLAIN, 16);
	give_buffer(RX0, 0, 16);
	cr_assert_eq(end[0].n_rx_ready, 1);
	cr_assert_eq(type(0, "x"), 1);
}

/* --- size ------------------------------------------------------------------------------------- */

Test(console, size_is_in_the_configuration_and_its_change_announced)
{
	start_plain();
	cr_assert_eq(mq_config(&m, 0), 80 | 24 << 16);
	cr_assert_eq(m.d.n_irq, 1); /* once from the start, for drivers that wait for a change */
	vdriver_write(&m.d, 0x64, 2);
	m.d.n_irq = 0;
	virtio_console_resize(m.d.v, 0, 132, 43);
	cr_assert_eq(m.d.n_irq, 1);
	cr_assert_eq(mq_config(&m, 0), 132 | 43 << 16);
	cr_assert_eq(mq_config(&m, 4), 0); /* one port */
}

/* --- control messages ------------------------------------------------------------------------- */

struct message {
	uint32_t port;
	uint16_t event, value;
	char rest[64];
	size_t rest_len;
};

static void tell(uint32_t port, uint16_t event, uint16_t value)
{
	uint8_t raw[8];

	store_le32(raw, port);
	store_le16(raw + 4, event);
	store_le16(raw + 6, value);
	mq_put(&m, CTRL_TX, 0, MQ_BUF, raw, 8);
	mq_kick(&m, CTRL_TX);
	cr_assert(taken(CTRL_TX));
}

static bool hear(struct message *out)
{
	struct vdriver_used u;
	uint8_t raw[128];

	if (!mq_take(&m, CTRL_RX, &u))
		return false;
	cr_assert(u.len >= 8 && u.len <= sizeof(raw));
	gmem_read(m.d.mem, MQ_BUF + 0x8000 + 0x100u * u.id, raw, u.len);
	*out = (struct message){load_le32(raw), load_le16(raw + 4), load_le16(raw + 6), "",
				u.len - 8};
	memcpy(out->rest, raw + 8, u.len - 8);
	return true;
}

static void expect_message(uint32_t port, uint16_t event, uint16_t value)
{
	struct message msg;

	cr_assert(hear(&msg), "port %u event %u: nothing came", port, event);
	cr_assert(msg.port == port && msg.event == event && msg.value == value,
		  "port %u event %u value %u came for port %u event %u", msg.port, msg.event,
		  msg.value, port, event);
}

static void give_ctrl_buffers(unsigned n)
{
	for (uint16_t i = 0; i < n; i++)
		give_buffer(CTRL_RX, i, 0x100);
}

static void start_multi(void)
{
	make(3);
	mq_start(&m, F_SIZE | F_MULTIPORT, MULTI, 64);
}

static void start_ready(void)
{
	struct message msg;

	start_multi();
	give_ctrl_buffers(40);
	tell(0, DEVICE_READY, 1);
	for (unsigned i = 0; i < 3; i++)
		tell(i, PORT_READY, 1);
	while (hear(&msg))
		;
}

Test(console, ports_introduce_themselves)
{
	struct message msg;

	start_multi();
	cr_assert_eq(mq_config(&m, 4), 3);
	give_ctrl_buffers(20);
	cr_assert_not(hear(&msg));
	tell(0, DEVICE_READY, 1);
	for (unsigned i = 0; i < 3; i++)
		expect_message(i, DEVICE_ADD, 1);
	tell(0, PORT_READY, 1);
	expect_message(0, CONSOLE_PORT, 1);
	expect_message(0, PORT_OPEN, 1);
	cr_assert(hear(&msg));
	cr_assert(msg.event == RESIZE && msg.rest_len == 4);
	cr_assert(load_le16(msg.rest) == 80 && load_le16(msg.rest + 2) == 24);
	tell(1, PORT_READY, 1);
	cr_assert(hear(&msg));
	cr_assert(msg.port == 1 && msg.event == PORT_NAME && msg.rest_len == 5);
	cr_assert_arr_eq(msg.rest, "agent", 5);
	cr_assert_not(hear(&msg)); /* nobody is there yet */
	virtio_console_set_open(m.d.v, 1, true);
	expect_message(1, PORT_OPEN, 1);
	virtio_console_set_open(m.d.v, 1, false);
	expect_message(1, PORT_OPEN, 0);
}

Test(console, messages_wait_for_buffers_and_the_latest_comes)
{
	struct message msg;

	start_multi();
	tell(0, DEVICE_READY, 1);
	tell(1, PORT_READY, 1);
	virtio_console_set_open(m.d.v, 1, true);
	virtio_console_set_open(m.d.v, 1, false);
	virtio_console_set_open(m.d.v, 1, true);
	give_ctrl_buffers(2);
	expect_message(0, DEVICE_ADD, 1);
	expect_message(1, DEVICE_ADD, 1);
	cr_assert_not(hear(&msg));
	give_ctrl_buffers(10);
	expect_message(1, PORT_NAME, 1);
	expect_message(1, PORT_OPEN, 1);
	expect_message(2, DEVICE_ADD, 1);
	cr_assert_not(hear(&msg));
}

Test(console, each_port_has_its_queues)
{
	start_ready();
	print(TX0, 0, "zero");
	print(TX1, 0, "one");
	print(TX2, 0, "two");
	cr_assert_str_eq(end[0].text, "zero");
	cr_assert_str_eq(end[1].text, "one");
	cr_assert_str_eq(end[2].text, "two");
	give_buffer(RX1, 5, 16);
	give_buffer(RX2, 6, 16);
	tell(1, PORT_OPEN, 1);
	tell(2, PORT_OPEN, 1);
	cr_assert_eq(type(1, "to one"), 6);
	cr_assert_eq(type(2, "to two"), 6);
	expect_input(RX1, "to one");
	expect_input(RX2, "to two");
}

Test(console, input_waits_until_somebody_opens_the_port)
{
	start_ready();
	give_buffer(RX1, 5, 16);
	cr_assert_eq(type(1, "x"), 0);
	tell(1, PORT_OPEN, 1);
	cr_assert_eq(end[1].n_rx_ready, 1);
	cr_assert_eq(type(1, "x"), 1);
	tell(1, PORT_OPEN, 0);
	give_buffer(RX1, 6, 16);
	cr_assert_eq(type(1, "y"), 0);
}

Test(console, output_of_a_channel_is_never_lost)
{
	start_ready();
	end[1].room = 2;
	print(TX1, 0, "abcd");
	fake_loop_advance(m.d.loop, 60000 * ms);
	cr_assert_not(taken(TX1));
	print(TX0, 1, "others go on");
	cr_assert(taken(TX0));
	end[1].room = 9;
	virtio_console_room(m.d.v, 1);
	cr_assert(taken(TX1));
	cr_assert_str_eq(end[1].text, "abcd");
	cr_assert_eq(counters().tx_dropped, 0);
}

Test(console, sizes_go_by_message_with_several_ports)
{
	struct message msg;

	start_ready();
	virtio_console_resize(m.d.v, 2, 100, 30);
	cr_assert(hear(&msg));
	cr_assert(msg.port == 2 && msg.event == RESIZE);
	cr_assert(load_le16(msg.rest) == 100 && load_le16(msg.rest + 2) == 30);
	virtio_console_resize(m.d.v, 2, 100, 30);
	virtio_console_resize(m.d.v, 1, 100, 30); /* no console */
	cr_assert_not(hear(&msg));
}

Test(console, messages_that_make_no_sense_are_counted)
{
	struct message msg;

	start_multi();
	give_ctrl_buffers(10);
	tell(3, PORT_READY, 1);
	tell(UINT32_MAX, PORT_OPEN, 1);
	tell(0, PORT_NAME, 1);
	tell(0, 99, 1);
	mq_put(&m, CTRL_TX, 1, MQ_BUF, "short", 5);
	mq_kick(&m, CTRL_TX);
	cr_assert(taken(CTRL_TX));
	tell(0, DEVICE_READY, 0);
	tell(0, PORT_READY, 0);
	cr_assert_eq(counters().ctrl_fails, 5);
	cr_assert_not(hear(&msg));
}

Test(console, a_buffer_too_short_for_a_message_comes_back_empty)
{
	struct vdriver_used u;

	start_multi();
	give_buffer(CTRL_RX, 0, 7);
	tell(0, DEVICE_READY, 1);
	cr_assert(mq_take(&m, CTRL_RX, &u));
	cr_assert_eq(u.len, 0);
	cr_assert_eq(counters().ctrl_fails, 1);
}

Test(console, without_control_queues_port_0_is_a_console)
{
	make(3);
	mq_start(&m, F_SIZE, MULTI, 16);
	print(TX0, 0, "plain");
	cr_assert_str_eq(end[0].text, "plain");
	give_buffer(RX0, 0, 16);
	cr_assert_eq(type(0, "x"), 1);
	cr_assert_eq(type(1, "x"), 0);
	mq_put(&m, CTRL_TX, 0, MQ_BUF, "12345678", 8);
	mq_kick(&m, CTRL_TX);
	cr_assert_not(taken(CTRL_TX));
}

Test(console, ports_are_checked)
{
	struct virtio_console_port p[9] = {{.name = ""}};
	const struct virtio_console_wiring w = {m.d.mem, m.d.loop};
	struct virtio *v;
	struct err e;

	start_plain();
	cr_assert_eq(virtio_console_create(&(struct virtio_console_config){"c", p, 1}, &w, &v, &e),
		     -EINVAL);
	cr_assert_eq(virtio_console_create(&(struct virtio_console_config){"c", p, 9}, &w, &v, &e),
		     -EINVAL);
	cr_assert_eq(virtio_console_create(&(struct virtio_console_config){"c", p, 0}, &w, &v, &e),
		     -EINVAL);
}
