/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics document of a machine that is not there: two networks and a disk that count. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/latency.h"
#include "vmm/core/loop.h"
#include "vmm/machine.h"
#include "vmm/metrics/metrics.h"
#include "vmm/mmds/mmds_int.h"

struct fake {
	struct device dev;
	uint64_t frames, other;
	struct latency time;
};

static const struct device_counter net_counters[] = {
	{ "tx_frames", offsetof(struct fake, frames) }, { "uncommon", offsetof(struct fake, other) },
	LATENCY_COUNTERS("send", struct fake, time), { 0 },
};
static const struct device_counter blk_counters[] = {
	{ "reads", offsetof(struct fake, frames) }, { "read_bytes", offsetof(struct fake, other) }, { 0 },
};
static const struct device_ops net_ops = { .type = "virtio-net", .counters = net_counters };
static const struct device_ops blk_ops = { .type = "virtio-blk", .counters = blk_counters };
static const struct device_ops quiet_ops = { .type = "virtio-quiet" };

static struct fake devices[4] = {
	{ .dev = { .ops = &net_ops, .id = "eth0" } },
	{ .dev = { .ops = &blk_ops, .id = "root" } },
	{ .dev = { .ops = &quiet_ops, .id = "quiet" } },
	{ .dev = { .ops = &net_ops, .id = "eth1" } },
};
static struct machine_exits exits;
static struct loop *loop;
static struct metrics *m;
static struct mmds *service;
static char path[] = "/tmp/mayfly-metrics-XXXXXX";
static const struct machine *const machine = (const struct machine *)devices; /* only passed on */

/* --- the machine ---------------------------------------------------------------------------------- */

void machine_each_device(const struct machine *mm, void (*fn)(void *ctx, const struct device *d), void *ctx)
{
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		fn(ctx, &devices[i].dev);
}

void machine_count_exits(const struct machine *mm, struct machine_exits *out)
{
	*out = exits;
}

uint64_t machine_serial_dropped(const struct machine *mm)
{
	return 0;
}

void machine_info(const struct machine *mm, struct machine_info *out)
{
	*out = (struct machine_info){ .accel = "fake", .state = "running", .uptime_ns = 1234567890 };
}

static void count_requests(void *ctx, struct metrics *mm)
{
	metrics_set(mm, "put_api_requests", "drive_count", *(uint64_t *)ctx);
}

static uint64_t n_requests;

static void make(void)
{
	static const struct metrics_property properties[] = { { "zone", "a\"b" } };
	const struct metrics_config c = {
		.id = "vm1",
		.properties = properties,
		.n_properties = 1,
		.hook = count_requests,
		.ctx = &n_requests,
	};

	cr_assert(mkdtemp(path));
	cr_assert_eq(loop_create(&loop, NULL), 0);
	cr_assert_eq(mmds_create(1000, &service, NULL), 0);
	cr_assert_eq(metrics_create(&c, loop, &m, NULL), 0);
	cr_assert_eq(metrics_attach(m, machine, service), 0);
}

static void done(void)
{
	char cmd[100];

	metrics_destroy(m);
	mmds_destroy(service);
	loop_destroy(loop);
	snprintf(cmd, sizeof(cmd), "rm -r %s", path);
	cr_assert_eq(system(cmd), 0);
}

/* --- looking -------------------------------------------------------------------------------------- */

static json_t *render(enum metrics_form form)
{
	static char text[32768];
	size_t len = metrics_render(m, form, text, sizeof(text));
	json_error_t e;
	json_t *doc = json_loads(text, 0, &e);

	cr_assert_eq(len, strlen(text));
	cr_assert(doc, "column %d: %s", e.column, e.text);
	return doc;
}

static json_int_t member(json_t *doc, const char *group, const char *key)
{
	json_t *v = json_object_get(json_object_get(doc, group), key);

	cr_assert(json_is_integer(v), "%s.%s", group, key);
	return json_integer_value(v);
}

/* The same of an object within it. */
static json_int_t within(json_t *doc, const char *group, const char *object, const char *key)
{
	return member(json_object_get(doc, group), object, key);
}

/* The names of an object's members, each followed by a space. */
static const char *names(json_t *object)
{
	static char text[4096];
	const char *key;
	json_t *v;

	text[0] = '\0';
	json_object_foreach(object, key, v) {
		strcat(text, key);
		strcat(text, " ");
	}
	return text;
}

static const char *file(const char *name)
{
	static char text[100];

	snprintf(text, sizeof(text), "%s/%s", path, name);
	return text;
}

static size_t read_all(const char *name, char *text, size_t size)
{
	FILE *f = fopen(file(name), "r");
	size_t n = fread(text, 1, size - 1, f);

	fclose(f);
	text[n] = '\0';
	return n;
}

/* --- the document --------------------------------------------------------------------------------- */

Test(metrics, has_all_objects_in_order, .init = make, .fini = done)
{
	json_t *doc = render(METRICS_DELTA);

	cr_assert_str_eq(names(doc),
			 "utc_timestamp_ms id properties api_server balloon block_root block deprecated_api "
			 "get_api_requests i8042 rtc uart latencies_us logger mmds net_eth0 net_eth1 net "
			 "patch_api_requests put_api_requests seccomp vcpu vmm signals vsock entropy pmem "
			 "interrupts memory_hotplug ");
	cr_assert_str_eq(names(json_object_get(doc, "block")),
			 "activate_fails cfg_fails no_avail_buffer event_fails execute_fails "
			 "invalid_reqs_count flush_count queue_event_count rate_limiter_event_count "
			 "update_count update_fails read_bytes write_bytes read_count write_count read_agg "
			 "write_agg rate_limiter_throttled_events io_engine_throttled_events "
			 "remaining_reqs_count ");
	cr_assert_str_eq(names(json_object_get(json_object_get(doc, "block"), "write_agg")),
			 "min_us max_us sum_us ");
	cr_assert_str_eq(names(json_object_get(doc, "memory_hotplug")),
			 "activate_fails queue_event_fails queue_event_count plug_agg plug_count plug_bytes "
			 "plug_fails unplug_agg unplug_count unplug_bytes unplug_fails "
			 "unplug_discard_fails unplug_all_agg unplug_all_count unplug_all_fails "
			 "state_agg state_count state_fails ");
	cr_assert_str_eq(json_string_value(json_object_get(doc, "id")), "vm1");
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(doc, "properties"), "zone")),
			 "a\"b");
	cr_assert_gt(json_integer_value(json_object_get(doc, "utc_timestamp_ms")), 1600000000000);
	json_decref(doc);
}

Test(metrics, sums_devices_of_a_kind, .init = make, .fini = done)
{
	json_t *doc;

	devices[0].frames = 3;
	devices[1].frames = 7;
	devices[1].other = 512;
	devices[3].frames = 4;
	exits = (struct machine_exits){ { 1 }, { 2, 10, 20, 30 }, { 3 }, { 4, 5, 6, 7 } };
	mmds_count(&service->stats.rx_bad_eth, 9);
	n_requests = 5;
	doc = render(METRICS_DELTA);
	cr_assert_eq(member(doc, "net_eth0", "tx_packets_count"), 3);
	cr_assert_eq(member(doc, "net_eth1", "tx_packets_count"), 4);
	cr_assert_eq(member(doc, "net", "tx_packets_count"), 7);
	cr_assert_eq(member(doc, "net", "rx_packets_count"), 0);
	cr_assert_eq(member(doc, "block_root", "read_count"), 7);
	cr_assert_eq(member(doc, "block", "read_bytes"), 512);
	cr_assert_eq(member(doc, "vcpu", "exit_io_in"), 1);
	cr_assert_eq(member(doc, "vcpu", "exit_mmio_write"), 4);
	cr_assert_eq(within(doc, "vcpu", "exit_io_out_agg", "min_us"), 10);
	cr_assert_eq(within(doc, "vcpu", "exit_io_out_agg", "max_us"), 20);
	cr_assert_eq(within(doc, "vcpu", "exit_mmio_write_agg", "sum_us"), 7);
	cr_assert_eq(member(doc, "mmds", "rx_bad_eth"), 9);
	cr_assert_eq(member(doc, "put_api_requests", "drive_count"), 5);
	json_decref(doc);
}

/* Sums are of the interval; the shortest and the longest of all time, and of all devices. */
Test(metrics, times_of_devices_are_combined, .init = make, .fini = done)
{
	json_t *doc;

	devices[3].time = devices[0].time = (struct latency){ 0 };
	latency_add(&devices[3].time, 700);
	latency_add(&devices[3].time, 5001);
	doc = render(METRICS_DELTA);
	cr_assert_eq(within(doc, "net_eth0", "tap_write_agg", "min_us"), 0);
	cr_assert_eq(within(doc, "net_eth1", "tap_write_agg", "min_us"), 1);
	cr_assert_eq(within(doc, "net", "tap_write_agg", "min_us"), 1);
	cr_assert_eq(within(doc, "net", "tap_write_agg", "max_us"), 6);
	cr_assert_eq(within(doc, "net", "tap_write_agg", "sum_us"), 6);
	json_decref(doc);
	cr_assert_eq(metrics_open(m, file("t"), NULL), 0);
	cr_assert_eq(metrics_flush(m), 0);
	latency_add(&devices[0].time, 9000);
	doc = render(METRICS_DELTA);
	cr_assert_eq(within(doc, "net", "tap_write_agg", "min_us"), 1);
	cr_assert_eq(within(doc, "net", "tap_write_agg", "max_us"), 9);
	cr_assert_eq(within(doc, "net", "tap_write_agg", "sum_us"), 9);
	json_decref(doc);
}

Test(metrics, says_how_much_room_it_needs, .init = make, .fini = done)
{
	static char text[32768];
	size_t len = metrics_render(m, METRICS_TOTAL, NULL, 0);

	cr_assert_eq(metrics_render(m, METRICS_TOTAL, text, sizeof(text)), len);
	memset(text, 'x', 101);
	cr_assert_eq(metrics_render(m, METRICS_TOTAL, text, 100), len);
	cr_assert_eq(text[99], '\0');
	cr_assert_eq(text[100], 'x');
}

Test(metrics, knows_no_other_members, .init = make, .fini = done)
{
	cr_assert_eq(metrics_set(m, "put_api_requests", "no_count", 1), -ENOENT);
	cr_assert_eq(metrics_set(m, "none", "drive_count", 1), -ENOENT);
	cr_assert_eq(metrics_set(m, "block", "read_count", 1), -ENOENT); /* the disk's to say */
	cr_assert_eq(metrics_set(m, "latencies_us", "pause_vm", 1), 0);
}

Test(metrics, without_machine_has_the_same_objects, .init = make, .fini = done)
{
	json_t *doc;

	metrics_detach(m);
	doc = render(METRICS_DELTA);
	cr_assert_eq(member(doc, "net", "tx_packets_count"), 0);
	cr_assert_null(json_object_get(doc, "net_eth0"));
	json_decref(doc);
}

Test(metrics, prometheus_has_every_counter_by_its_name, .init = make, .fini = done)
{
	static char text[32768];

	devices[0].other = 11;
	devices[3].other = 12;
	cr_assert_lt(metrics_render(m, METRICS_PROMETHEUS, text, sizeof(text)), sizeof(text));
	cr_assert(strstr(text, "# TYPE mayfly_net_uncommon_total counter\n"
			       "mayfly_net_uncommon_total{id=\"eth0\"} 11\n"
			       "mayfly_net_uncommon_total{id=\"eth1\"} 12\n"));
	cr_assert(strstr(text, "# TYPE mayfly_info gauge\n"
			       "mayfly_info{id=\"vm1\",accel=\"fake\",state=\"running\"} 1\n"));
	cr_assert(strstr(text, "\nmayfly_uptime_seconds 1.234\n"));
	cr_assert(strstr(text, "\nmayfly_vcpu_exit_io_in_total "));
	cr_assert(strstr(text, "# TYPE mayfly_latencies_us_pause_vm gauge\nmayfly_latencies_us_pause_vm 0\n"));
}

/* --- flushes -------------------------------------------------------------------------------------- */

Test(metrics, flush_begins_an_interval, .init = make, .fini = done)
{
	static char text[65536];
	char *second;
	json_t *doc;

	cr_assert_eq(metrics_flush(m), -EBADF);
	cr_assert_eq(metrics_open(m, file("f"), NULL), 0);
	devices[0].frames = 3;
	metrics_set(m, "latencies_us", "pause_vm", 77);
	cr_assert_eq(metrics_flush(m), 0);
	devices[0].frames = 5;
	cr_assert_eq(metrics_flush(m), 0);
	read_all("f", text, sizeof(text));
	second = strchr(text, '\n');
	*second++ = '\0';
	doc = json_loads(text, 0, NULL);
	cr_assert_eq(member(doc, "net", "tx_packets_count"), 3);
	json_decref(doc);
	doc = json_loads(second, 0, NULL);
	cr_assert_eq(member(doc, "net", "tx_packets_count"), 2);
	cr_assert_eq(member(doc, "latencies_us", "pause_vm"), 77); /* stays as it is */
	json_decref(doc);
	doc = render(METRICS_TOTAL);
	cr_assert_eq(member(doc, "net", "tx_packets_count"), 5);
	json_decref(doc);
}

Test(metrics, opens_once, .init = make, .fini = done)
{
	struct err e = { 0 };

	cr_assert_eq(metrics_open(m, "/no/such/directory", &e), -ENOENT);
	cr_assert_eq(metrics_open(m, file("f"), NULL), 0);
	cr_assert_eq(metrics_open(m, file("g"), &e), -EEXIST);
	cr_assert_str_eq(e.msg, "Reinitialization of metrics not allowed.");
}

Test(metrics, slow_reader_of_a_fifo_misses_nothing, .init = make, .fini = done)
{
	static char text[200000];
	unsigned n_lines = 0;
	uint64_t sum = 0, missed = 0;
	size_t len = 0;
	ssize_t n;
	int fd, r = 0;

	cr_assert_eq(mkfifo(file("p"), 0600), 0);
	cr_assert_eq(metrics_open(m, file("p"), NULL), 0);
	for (unsigned i = 0; i < 100; i++) { /* far more than a FIFO holds */
		devices[0].frames++;
		r = metrics_flush(m);
		cr_assert(r == 0 || r == -EAGAIN);
	}
	cr_assert_eq(r, -EAGAIN);
	fd = open(file("p"), O_RDONLY | O_NONBLOCK);
	while ((n = read(fd, text + len, sizeof(text) - len)) > 0)
		len += (size_t)n;
	cr_assert_eq(metrics_flush(m), 0);
	while ((n = read(fd, text + len, sizeof(text) - len)) > 0)
		len += (size_t)n;
	close(fd);
	for (char *line = text, *end; (end = memchr(line, '\n', len)); line = end + 1) {
		json_t *doc;

		len -= (size_t)(end + 1 - line);
		*end = '\0';
		doc = json_loads(line, 0, NULL); /* every line is whole */
		cr_assert(doc);
		sum += (uint64_t)member(doc, "net", "tx_packets_count");
		missed += (uint64_t)member(doc, "logger", "missed_metrics_count");
		json_decref(doc);
		n_lines++;
	}
	cr_assert_eq(len, 0);
	cr_assert_eq(sum, 100);
	cr_assert_eq(missed, 101 - n_lines);
	cr_assert_gt(missed, 10);
}
