/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_OBJECTS_H
#define MAYFLY_API_OBJECTS_H
/*
 * The JSON objects of the API, as structs and as tables (schema.h). Names of members, their order
 * and their defaults are Firecracker's (docs/api.md). Strings belong to the structs.
 */
#include "api/schema.h"

struct token_bucket {
	struct schema_value size, one_time_burst, refill_time; /* refill_time: ms */
};

struct rate_limiter {
	struct token_bucket *bandwidth, *ops;
};

struct action_body {
	struct schema_value action_type; /* enum action_type */
};
enum action_type { ACTION_FLUSH_METRICS, ACTION_INSTANCE_START, ACTION_CTRL_ALT_DEL };

struct boot_source {
	char *kernel_image_path, *initrd_path, *boot_args;
};

enum cpu_template_name { CPU_C3, CPU_T2, CPU_T2S, CPU_T2CL, CPU_T2A, CPU_V1N1, CPU_NONE };
enum huge_pages { HUGE_NONE, HUGE_TRANSPARENT, HUGE_2M };

struct machine_body {
	struct schema_value vcpu_count, mem_size_mib, smt, cpu_template, track_dirty_pages, huge_pages;
};

enum drive_cache { DRIVE_UNSAFE, DRIVE_WRITEBACK };
enum drive_engine { DRIVE_ASYNC, DRIVE_SYNC };

struct drive_body {
	char *drive_id, *partuuid;
	struct schema_value is_root_device, cache_type, is_read_only;
	char *path_on_host;
	struct rate_limiter *rate_limiter;
	struct schema_value io_engine;
	char *socket;
};

struct drive_update {
	char *drive_id, *path_on_host;
	struct rate_limiter *rate_limiter;
};

struct pmem_body {
	char *id, *path_on_host;
	struct schema_value root_device, read_only;
	struct rate_limiter *rate_limiter;
};

struct pmem_update {
	char *id;
	struct rate_limiter *rate_limiter;
};

struct net_body {
	char *iface_id, *host_dev_name, *guest_mac;
	struct schema_value mtu;
	struct rate_limiter *rx_rate_limiter, *tx_rate_limiter;
};

struct net_update {
	char *iface_id;
	struct rate_limiter *rx_rate_limiter, *tx_rate_limiter;
};

struct vsock_body {
	char *vsock_id;
	struct schema_value guest_cid;
	char *uds_path;
};

struct entropy_body {
	struct rate_limiter *rate_limiter;
};

struct serial_body {
	char *serial_out_path;
	struct token_bucket *rate_limiter;
};

struct balloon_body {
	struct schema_value amount_mib, deflate_on_oom, stats_polling_interval_s;
	struct schema_value free_page_hinting, free_page_reporting;
};

struct balloon_update {
	struct schema_value amount_mib;
};

struct balloon_stats_update {
	struct schema_value stats_polling_interval_s;
};

struct balloon_hinting_start {
	struct schema_value acknowledge_on_stop;
};

struct hotplug_body {
	struct schema_value total_size_mib, block_size_mib, slot_size_mib;
};

struct hotplug_update {
	struct schema_value requested_size_mib;
};

struct mmds_config_body {
	struct schema_value version; /* 0: V1, 1: V2 */
	struct schema_list network_interfaces;
	char *ipv4_address;
	struct schema_value imds_compat;
};

enum logger_level { LOGGER_OFF, LOGGER_TRACE, LOGGER_DEBUG, LOGGER_INFO, LOGGER_WARN, LOGGER_ERROR };

struct logger_body {
	char *log_path, *level;
	struct schema_value show_level, show_log_origin;
	char *module;
};

struct metrics_body {
	char *metrics_path;
	struct schema_value emit_id;
	struct schema_list properties;
};

enum vm_state { VM_PAUSED, VM_RESUMED };

struct vm_state_body {
	struct schema_value state;
};

enum snapshot_type { SNAPSHOT_DIFF, SNAPSHOT_FULL };

struct snapshot_create {
	struct schema_value snapshot_type;
	char *snapshot_path, *mem_file_path;
};

struct mem_backend {
	char *backend_path;
	struct schema_value backend_type; /* 0: File, 1: Uffd */
};

struct network_override {
	char *iface_id, *host_dev_name;
};

struct vsock_override {
	char *uds_path;
};

struct snapshot_load {
	char *snapshot_path, *mem_file_path;
	struct mem_backend *mem_backend;
	struct schema_value enable_diff_snapshots, track_dirty_pages, resume_vm;
	struct schema_list network_overrides;
	struct vsock_override *vsock_override;
	struct schema_value clock_realtime, huge_pages;
};

struct cpuid_register {
	struct schema_value reg;
	struct schema_bits bits;
};

struct cpuid_leaf {
	struct schema_value leaf, subleaf, flags;
	struct schema_list modifiers;
};

struct msr_modifier {
	struct schema_value addr;
	struct schema_bits bits;
};

struct cpu_config_body {
	struct schema_list kvm_capabilities, cpuid_modifiers, msr_modifiers;
};

/* A configuration file. */
struct config_file {
	struct schema_list drives;
	struct boot_source *boot_source;
	struct machine_body *machine_config;
	struct balloon_body *balloon;
	struct schema_list network_interfaces;
	struct vsock_body *vsock;
	struct logger_body *logger;
	struct metrics_body *metrics;
	struct mmds_config_body *mmds_config;
	struct entropy_body *entropy;
	struct schema_list pmem;
	struct hotplug_body *memory_hotplug;
};

extern const char *const cpu_template_names[]; /* by enum cpu_template_name */
extern const struct schema schema_action, schema_boot_source, schema_machine, schema_machine_update,
	schema_drive, schema_drive_update, schema_pmem, schema_pmem_update, schema_net,
	schema_net_update, schema_vsock, schema_entropy, schema_serial, schema_balloon,
	schema_balloon_update, schema_balloon_stats_update, schema_balloon_hinting_start,
	schema_hotplug, schema_hotplug_update, schema_mmds_config, schema_logger, schema_metrics,
	schema_vm_state, schema_snapshot_create, schema_snapshot_load, schema_cpu_config,
	schema_config_file, schema_rate_limiter, schema_token_bucket;

#endif
