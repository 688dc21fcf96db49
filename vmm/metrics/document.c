/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics document: its objects and members in order, as the tools that read Firecracker's know
 * them, and which counter of which device each one is. A member that nothing is counted for here is
 * zero.
 *
 * Refs: Firecracker docs/metrics.md.
 */
#include "vmm/metrics/metrics_int.h"

/* The three of a time: of a device (vmm/core/latency.h), or told. */
#define AGG(name, counter)                                         \
	{ name "_agg.min_us", counter "_us_min", METRICS_MIN },    \
	{ name "_agg.max_us", counter "_us_max", METRICS_MAX },    \
	{ name "_agg.sum_us", counter "_us_sum" }
#define AGG_TOLD(name)                                             \
	{ name "_agg.min_us", NULL, METRICS_MIN },                 \
	{ name "_agg.max_us", NULL, METRICS_MAX },                 \
	{ name "_agg.sum_us" }

static const struct metrics_key api_server_keys[] = {
	{ "process_startup_time_us", NULL, METRICS_STORE },
	{ "process_startup_time_cpu_us", NULL, METRICS_STORE }, { 0 },
};

static const struct metrics_key balloon_keys[] = {
	{ "activate_fails" }, { "inflate_count", "inflates" },
	{ "stats_updates_count", "stats_updates" }, { "stats_update_fails", "stats_fails" },
	{ "deflate_count", "deflates" }, { "event_fails", "event_fails" },
	{ "free_page_report_count", "reports" }, { "free_page_report_freed", "reported_bytes" },
	{ "free_page_report_fails", "report_fails" }, { "free_page_hint_count", "hints" },
	{ "free_page_hint_freed", "hinted_bytes" }, { "free_page_hint_fails", "hint_fails" },
	{ 0 },
};

static const struct metrics_key block_keys[] = {
	{ "activate_fails" }, { "cfg_fails" }, { "no_avail_buffer" }, { "event_fails" },
	{ "execute_fails", "failed" }, { "invalid_reqs_count", "refused" },
	{ "flush_count", "flushes" }, { "queue_event_count", "kicks" },
	{ "rate_limiter_event_count", "limiter_events" }, { "update_count" }, { "update_fails" },
	{ "read_bytes", "read_bytes" }, { "write_bytes", "write_bytes" },
	{ "read_count", "reads" }, { "write_count", "writes" }, AGG("read", "read"), AGG("write", "write"),
	{ "rate_limiter_throttled_events", "throttled" }, { "io_engine_throttled_events" },
	{ "remaining_reqs_count" }, { 0 },
};

static const struct metrics_key deprecated_api_keys[] = {
	{ "deprecated_http_api_calls" }, { 0 },
};

static const struct metrics_key get_api_requests_keys[] = {
	{ "instance_info_count" }, { "machine_cfg_count" }, { "mmds_count" },
	{ "vmm_version_count" }, { "hotplug_memory_count" }, { 0 },
};

static const struct metrics_key i8042_keys[] = {
	{ "error_count" }, { "missed_read_count" }, { "missed_write_count" },
	{ "read_count", "reads" }, { "reset_count", "resets" }, { "write_count", "writes" },
	{ 0 },
};

static const struct metrics_key rtc_keys[] = {
	{ "error_count" }, { "missed_read_count", "missed_reads" },
	{ "missed_write_count", "missed_writes" }, { 0 },
};

static const struct metrics_key uart_keys[] = {
	{ "error_count" }, { "flush_count" }, { "missed_read_count", "missed_reads" },
	{ "missed_write_count" },
	{ "read_count", "received_bytes" }, { "write_count", "sent_bytes" },
	{ "rate_limiter_dropped_bytes" }, { 0 },
};

static const struct metrics_key latencies_us_keys[] = {
	{ "full_create_snapshot", NULL, METRICS_STORE },
	{ "diff_create_snapshot", NULL, METRICS_STORE },
	{ "load_snapshot", NULL, METRICS_STORE }, { "pause_vm", NULL, METRICS_STORE },
	{ "resume_vm", NULL, METRICS_STORE },
	{ "vmm_full_create_snapshot", NULL, METRICS_STORE },
	{ "vmm_diff_create_snapshot", NULL, METRICS_STORE },
	{ "vmm_load_snapshot", NULL, METRICS_STORE }, { "vmm_pause_vm", NULL, METRICS_STORE },
	{ "vmm_resume_vm", NULL, METRICS_STORE }, { 0 },
};

static const struct metrics_key logger_keys[] = {
	{ "missed_metrics_count" }, { "metrics_fails" }, { "missed_log_count" },
	{ "rate_limited_log_count" }, { 0 },
};

static const struct metrics_key mmds_keys[] = {
	{ "rx_accepted" }, { "rx_accepted_err" }, { "rx_accepted_unusual" }, { "rx_bad_eth" },
	{ "rx_invalid_token" }, { "rx_no_token" }, { "rx_count" }, { "tx_bytes" },
	{ "tx_count" }, { "tx_errors" }, { "tx_frames" }, { "connections_created" },
	{ "connections_destroyed" }, { 0 },
};

static const struct metrics_key net_keys[] = {
	{ "activate_fails" }, { "cfg_fails" }, { "no_rx_avail_buffer", "rx_starved" },
	{ "no_tx_avail_buffer" }, { "event_fails" }, { "rx_queue_event_count", "rx_kicks" },
	{ "rx_event_rate_limiter_count" }, { "rx_rate_limiter_throttled", "rx_throttled" },
	{ "rx_tap_event_count" }, { "rx_bytes_count", "rx_bytes" },
	{ "rx_packets_count", "rx_frames" }, { "rx_fails", "rx_dropped" },
	{ "rx_count", "rx_frames" }, { "tap_read_fails", "peer_lost" },
	{ "tap_write_fails", "tx_dropped" }, AGG("tap_write", "send"),
	{ "tx_bytes_count", "tx_bytes" }, { "tx_malformed_frames", "tx_malformed" },
	{ "tx_fails", "tx_dropped" }, { "tx_count", "tx_frames" },
	{ "tx_packets_count", "tx_frames" }, { "tx_queue_event_count", "tx_kicks" },
	{ "tx_rate_limiter_event_count" }, { "tx_rate_limiter_throttled", "tx_throttled" },
	{ "tx_spoofed_mac_count" }, { "tx_remaining_reqs_count" }, { 0 },
};

static const struct metrics_key patch_api_requests_keys[] = {
	{ "drive_count" }, { "drive_fails" }, { "network_count" }, { "network_fails" },
	{ "machine_cfg_count" }, { "machine_cfg_fails" }, { "mmds_count" }, { "mmds_fails" },
	{ "hotplug_memory_count" }, { "hotplug_memory_fails" }, { "pmem_count" },
	{ "pmem_fails" }, { 0 },
};

static const struct metrics_key put_api_requests_keys[] = {
	{ "actions_count" }, { "actions_fails" }, { "boot_source_count" },
	{ "boot_source_fails" }, { "drive_count" }, { "drive_fails" }, { "logger_count" },
	{ "logger_fails" }, { "machine_cfg_count" }, { "machine_cfg_fails" },
	{ "cpu_cfg_count" }, { "cpu_cfg_fails" }, { "metrics_count" }, { "metrics_fails" },
	{ "network_count" }, { "network_fails" }, { "mmds_count" }, { "mmds_fails" },
	{ "vsock_count" }, { "vsock_fails" }, { "pmem_count" }, { "pmem_fails" },
	{ "serial_count" }, { "serial_fails" }, { "hotplug_memory_count" },
	{ "hotplug_memory_fails" }, { 0 },
};

static const struct metrics_key seccomp_keys[] = {
	{ "num_faults" }, { 0 },
};

static const struct metrics_key vcpu_keys[] = {
	{ "exit_io_in" }, { "exit_io_out" }, { "exit_mmio_read" }, { "exit_mmio_write" },
	{ "failures" }, { "kvmclock_ctrl_fails" }, AGG_TOLD("exit_io_in"), AGG_TOLD("exit_io_out"),
	AGG_TOLD("exit_mmio_read"), AGG_TOLD("exit_mmio_write"), { 0 },
};

static const struct metrics_key vmm_keys[] = {
	{ "panic_count", NULL, METRICS_STORE }, { 0 },
};

static const struct metrics_key signals_keys[] = {
	{ "sigbus", NULL, METRICS_STORE }, { "sigsegv", NULL, METRICS_STORE },
	{ "sigxfsz", NULL, METRICS_STORE }, { "sigxcpu", NULL, METRICS_STORE },
	{ "sigpipe", NULL, METRICS_STORE }, { "sighup", NULL, METRICS_STORE },
	{ "sigill", NULL, METRICS_STORE }, { 0 },
};

static const struct metrics_key vsock_keys[] = {
	{ "activate_fails" }, { "cfg_fails" }, { "rx_queue_event_fails" },
	{ "tx_queue_event_fails" }, { "ev_queue_event_fails" }, { "muxer_event_fails" },
	{ "conn_event_fails" }, { "rx_queue_event_count", "rx_queue_events" },
	{ "tx_queue_event_count", "tx_queue_events" }, { "rx_bytes_count", "rx_bytes" },
	{ "tx_bytes_count", "tx_bytes" }, { "rx_packets_count", "rx_packets" },
	{ "tx_packets_count", "tx_packets" }, { "conns_added", "conns_added" },
	{ "conns_killed", "conns_killed" }, { "conns_removed", "conns_removed" },
	{ "killq_resync" }, { "tx_flush_fails", "tx_flush_fails" },
	{ "tx_write_fails", "tx_write_fails" }, { "rx_read_fails", "rx_read_fails" }, { 0 },
};

static const struct metrics_key entropy_keys[] = {
	{ "activate_fails" }, { "entropy_event_fails", "host_fails" },
	{ "entropy_event_count", "requests" },
	{ "entropy_bytes", "bytes" }, { "host_rng_fails", "host_fails" },
	{ "entropy_rate_limiter_throttled", "throttled" },
	{ "rate_limiter_event_count", "limiter_events" },
	{ 0 },
};

static const struct metrics_key pmem_keys[] = {
	{ "activate_fails" }, { "cfg_fails" }, { "event_fails", "event_fails" },
	{ "queue_event_count", "queue_events" }, { "rate_limiter_throttled_events", "throttled" },
	{ "rate_limiter_event_count", "limiter_events" }, { 0 },
};

static const struct metrics_key vhost_user_block_keys[] = {
	{ "activate_fails", "activate_fails" }, { "cfg_fails", "cfg_fails" },
	{ "init_time_us", "init_us", METRICS_STORE },
	{ "activate_time_us", "activate_us", METRICS_STORE },
	{ "config_change_time_us", "config_us", METRICS_STORE }, { 0 },
};

static const struct metrics_key interrupts_keys[] = {
	{ "triggers" }, { "config_updates" }, { 0 },
};

static const struct metrics_key memory_hotplug_keys[] = {
	{ "activate_fails" }, { "queue_event_fails", "event_fails" },
	{ "queue_event_count", "queue_events" }, AGG("plug", "plug"), { "plug_count", "plugs" }, { "plug_bytes", "plugged_bytes" },
	{ "plug_fails", "plug_fails" }, AGG("unplug", "unplug"),
	{ "unplug_count", "unplugs" }, { "unplug_bytes", "unplugged_bytes" },
	{ "unplug_fails", "unplug_fails" }, { "unplug_discard_fails", "discard_fails" },
	AGG("unplug_all", "unplug_all"), { "unplug_all_count", "unplug_alls" },
	{ "unplug_all_fails", "unplug_all_fails" },
	AGG("state", "state"),
	{ "state_count", "states" }, { "state_fails", "state_fails" }, { 0 },
};

const struct metrics_group metrics_groups[] = {
	{ "api_server", NULL, METRICS_SUM, api_server_keys },
	{ "balloon", "virtio-balloon", METRICS_SUM, balloon_keys },
	{ "block", "virtio-blk", METRICS_EACH_AND_SUM, block_keys },
	{ "deprecated_api", NULL, METRICS_SUM, deprecated_api_keys },
	{ "get_api_requests", NULL, METRICS_SUM, get_api_requests_keys },
	{ "i8042", "i8042", METRICS_SUM, i8042_keys },
	{ "rtc", "rtc", METRICS_SUM, rtc_keys },
	{ "uart", "serial", METRICS_SUM, uart_keys },
	{ "latencies_us", NULL, METRICS_SUM, latencies_us_keys },
	{ "logger", NULL, METRICS_SUM, logger_keys },
	{ "mmds", NULL, METRICS_SUM, mmds_keys },
	{ "net", "virtio-net", METRICS_EACH_AND_SUM, net_keys },
	{ "patch_api_requests", NULL, METRICS_SUM, patch_api_requests_keys },
	{ "put_api_requests", NULL, METRICS_SUM, put_api_requests_keys },
	{ "seccomp", NULL, METRICS_SUM, seccomp_keys },
	{ "vcpu", NULL, METRICS_SUM, vcpu_keys },
	{ "vmm", NULL, METRICS_SUM, vmm_keys },
	{ "signals", NULL, METRICS_SUM, signals_keys },
	{ "vsock", "virtio-vsock", METRICS_SUM, vsock_keys },
	{ "entropy", "virtio-rng", METRICS_SUM, entropy_keys },
	{ "pmem", "virtio-pmem", METRICS_EACH_AND_SUM, pmem_keys },
	{ "vhost_user_block", "vhost-user-blk", METRICS_EACH, vhost_user_block_keys },
	{ "interrupts", NULL, METRICS_SUM, interrupts_keys },
	{ "memory_hotplug", "virtio-mem", METRICS_SUM, memory_hotplug_keys },
	{ 0 },
};
