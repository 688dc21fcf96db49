/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of objects.h. A row: name in JSON, type, need, place in the struct. */
#include "api/objects.h"

static const char *const action_types[] = { "FlushMetrics", "InstanceStart", "SendCtrlAltDel", NULL };
const char *const cpu_template_names[] = { "C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None", NULL };
static const char *const huge_page_kinds[] = { "None", "Transparent", "2M", NULL };
static const char *const cache_types[] = { "Unsafe", "Writeback", NULL };
static const char *const engines[] = { "Async", "Sync", NULL };
static const char *const mmds_versions[] = { "V1", "V2", NULL };
static const char *const vm_states[] = { "Paused", "Resumed", NULL };
static const char *const snapshot_types[] = { "Diff", "Full", NULL };
static const char *const mem_backends[] = { "File", "Uffd", NULL };
static const char *const load_huge_pages[] = { "Snapshot", "None", "Transparent", "2M", NULL };
static const char *const cpuid_registers[] = { "eax", "ebx", "ecx", "edx", NULL };

static const struct schema_field token_bucket_fields[] = {
	{ "size", FIELD_U64, FIELD_REQUIRED, offsetof(struct token_bucket, size) },
	{ "one_time_burst", FIELD_U64, FIELD_OPTIONAL, offsetof(struct token_bucket, one_time_burst) },
	{ "refill_time", FIELD_U64, FIELD_REQUIRED, offsetof(struct token_bucket, refill_time) },
	{ 0 },
};
const struct schema schema_token_bucket = { "TokenBucketConfig", sizeof(struct token_bucket), token_bucket_fields, true };

static const struct schema_field rate_limiter_fields[] = {
	{ "bandwidth", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct rate_limiter, bandwidth),
	  .object = &schema_token_bucket },
	{ "ops", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct rate_limiter, ops),
	  .object = &schema_token_bucket },
	{ 0 },
};
const struct schema schema_rate_limiter = { "RateLimiterConfig", sizeof(struct rate_limiter), rate_limiter_fields };

static const struct schema_field action_fields[] = {
	{ "action_type", FIELD_CHOICE, FIELD_REQUIRED, offsetof(struct action_body, action_type),
	  .names = action_types },
	{ 0 },
};
const struct schema schema_action = { "ActionBody", sizeof(struct action_body), action_fields };

static const struct schema_field boot_source_fields[] = {
	{ "kernel_image_path", FIELD_STRING, FIELD_REQUIRED, offsetof(struct boot_source, kernel_image_path) },
	{ "initrd_path", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct boot_source, initrd_path) },
	{ "boot_args", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct boot_source, boot_args) },
	{ 0 },
};
const struct schema schema_boot_source = { "BootSourceConfig", sizeof(struct boot_source), boot_source_fields };

static const struct schema_field machine_fields[] = {
	{ "vcpu_count", FIELD_U8, FIELD_REQUIRED, offsetof(struct machine_body, vcpu_count) },
	{ "mem_size_mib", FIELD_USIZE, FIELD_REQUIRED, offsetof(struct machine_body, mem_size_mib) },
	{ "smt", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct machine_body, smt) },
	{ "cpu_template", FIELD_CHOICE, FIELD_OPTIONAL, offsetof(struct machine_body, cpu_template),
	  .names = cpu_template_names, .hidden = true },
	{ "track_dirty_pages", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct machine_body, track_dirty_pages) },
	{ "huge_pages", FIELD_CHOICE, FIELD_DEFAULT, offsetof(struct machine_body, huge_pages),
	  .names = huge_page_kinds },
	{ 0 },
};
const struct schema schema_machine = { "MachineConfig", sizeof(struct machine_body), machine_fields };

static const struct schema_field machine_update_fields[] = {
	{ "vcpu_count", FIELD_U8, FIELD_OPTIONAL, offsetof(struct machine_body, vcpu_count) },
	{ "mem_size_mib", FIELD_USIZE, FIELD_OPTIONAL, offsetof(struct machine_body, mem_size_mib) },
	{ "smt", FIELD_BOOL, FIELD_OPTIONAL, offsetof(struct machine_body, smt) },
	{ "cpu_template", FIELD_CHOICE, FIELD_OPTIONAL, offsetof(struct machine_body, cpu_template),
	  .names = cpu_template_names },
	{ "track_dirty_pages", FIELD_BOOL, FIELD_OPTIONAL, offsetof(struct machine_body, track_dirty_pages) },
	{ "huge_pages", FIELD_CHOICE, FIELD_OPTIONAL, offsetof(struct machine_body, huge_pages),
	  .names = huge_page_kinds },
	{ 0 },
};
const struct schema schema_machine_update = { "MachineConfigUpdate", sizeof(struct machine_body), machine_update_fields };

static const struct schema_field drive_fields[] = {
	{ "drive_id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct drive_body, drive_id) },
	{ "partuuid", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct drive_body, partuuid) },
	{ "is_root_device", FIELD_BOOL, FIELD_REQUIRED, offsetof(struct drive_body, is_root_device) },
	{ "cache_type", FIELD_CHOICE, FIELD_DEFAULT, offsetof(struct drive_body, cache_type),
	  .names = cache_types },
	{ "is_read_only", FIELD_BOOL, FIELD_OPTIONAL, offsetof(struct drive_body, is_read_only) },
	{ "path_on_host", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct drive_body, path_on_host) },
	{ "rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct drive_body, rate_limiter),
	  .object = &schema_rate_limiter },
	{ "io_engine", FIELD_CHOICE, FIELD_OPTIONAL, offsetof(struct drive_body, io_engine),
	  .names = engines },
	{ "socket", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct drive_body, socket) },
	{ 0 },
};
const struct schema schema_drive = { "BlockDeviceConfig", sizeof(struct drive_body), drive_fields };

static const struct schema_field drive_update_fields[] = {
	{ "drive_id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct drive_update, drive_id) },
	{ "path_on_host", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct drive_update, path_on_host) },
	{ "rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct drive_update, rate_limiter),
	  .object = &schema_rate_limiter },
	{ 0 },
};
const struct schema schema_drive_update = { "BlockDeviceUpdateConfig", sizeof(struct drive_update), drive_update_fields };

static const struct schema_field pmem_fields[] = {
	{ "id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct pmem_body, id) },
	{ "path_on_host", FIELD_STRING, FIELD_REQUIRED, offsetof(struct pmem_body, path_on_host) },
	{ "root_device", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct pmem_body, root_device) },
	{ "read_only", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct pmem_body, read_only) },
	{ "rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct pmem_body, rate_limiter),
	  .object = &schema_rate_limiter },
	{ 0 },
};
const struct schema schema_pmem = { "PmemConfig", sizeof(struct pmem_body), pmem_fields };

static const struct schema_field pmem_update_fields[] = {
	{ "id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct pmem_update, id) },
	{ "rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct pmem_update, rate_limiter),
	  .object = &schema_rate_limiter },
	{ 0 },
};
const struct schema schema_pmem_update = { "PmemDeviceUpdateConfig", sizeof(struct pmem_update), pmem_update_fields };

static const struct schema_field net_fields[] = {
	{ "iface_id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct net_body, iface_id) },
	{ "host_dev_name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct net_body, host_dev_name) },
	{ "guest_mac", FIELD_MAC, FIELD_OPTIONAL, offsetof(struct net_body, guest_mac) },
	{ "mtu", FIELD_U16, FIELD_OPTIONAL, offsetof(struct net_body, mtu) },
	{ "rx_rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct net_body, rx_rate_limiter),
	  .object = &schema_rate_limiter },
	{ "tx_rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct net_body, tx_rate_limiter),
	  .object = &schema_rate_limiter },
	{ 0 },
};
const struct schema schema_net = { "NetworkInterfaceConfig", sizeof(struct net_body), net_fields };

static const struct schema_field net_update_fields[] = {
	{ "iface_id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct net_update, iface_id) },
	{ "rx_rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct net_update, rx_rate_limiter),
	  .object = &schema_rate_limiter },
	{ "tx_rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct net_update, tx_rate_limiter),
	  .object = &schema_rate_limiter },
	{ 0 },
};
const struct schema schema_net_update = { "NetworkInterfaceUpdateConfig", sizeof(struct net_update), net_update_fields };

static const struct schema_field vsock_fields[] = {
	{ "vsock_id", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct vsock_body, vsock_id),
	  .hidden = true },
	{ "guest_cid", FIELD_U32, FIELD_REQUIRED, offsetof(struct vsock_body, guest_cid) },
	{ "uds_path", FIELD_STRING, FIELD_REQUIRED, offsetof(struct vsock_body, uds_path) },
	{ 0 },
};
const struct schema schema_vsock = { "VsockDeviceConfig", sizeof(struct vsock_body), vsock_fields };

static const struct schema_field entropy_fields[] = {
	{ "rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct entropy_body, rate_limiter),
	  .object = &schema_rate_limiter },
	{ 0 },
};
const struct schema schema_entropy = { "EntropyDeviceConfig", sizeof(struct entropy_body), entropy_fields };

static const struct schema_field serial_fields[] = {
	{ "serial_out_path", FIELD_PATH, FIELD_OPTIONAL, offsetof(struct serial_body, serial_out_path) },
	{ "rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct serial_body, rate_limiter),
	  .object = &schema_token_bucket },
	{ 0 },
};
const struct schema schema_serial = { "SerialConfig", sizeof(struct serial_body), serial_fields };

static const struct schema_field balloon_fields[] = {
	{ "amount_mib", FIELD_U32, FIELD_REQUIRED, offsetof(struct balloon_body, amount_mib) },
	{ "deflate_on_oom", FIELD_BOOL, FIELD_REQUIRED, offsetof(struct balloon_body, deflate_on_oom) },
	{ "stats_polling_interval_s", FIELD_U16, FIELD_DEFAULT, offsetof(struct balloon_body, stats_polling_interval_s) },
	{ "free_page_hinting", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct balloon_body, free_page_hinting) },
	{ "free_page_reporting", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct balloon_body, free_page_reporting) },
	{ 0 },
};
const struct schema schema_balloon = { "BalloonDeviceConfig", sizeof(struct balloon_body), balloon_fields };

static const struct schema_field balloon_update_fields[] = {
	{ "amount_mib", FIELD_U32, FIELD_REQUIRED, offsetof(struct balloon_update, amount_mib) },
	{ 0 },
};
const struct schema schema_balloon_update = { "BalloonUpdateConfig", sizeof(struct balloon_update), balloon_update_fields };

static const struct schema_field balloon_stats_update_fields[] = {
	{ "stats_polling_interval_s", FIELD_U16, FIELD_REQUIRED, offsetof(struct balloon_stats_update, stats_polling_interval_s) },
	{ 0 },
};
const struct schema schema_balloon_stats_update = { "BalloonUpdateStatsConfig", sizeof(struct balloon_stats_update), balloon_stats_update_fields };

static const struct schema_field balloon_hinting_start_fields[] = {
	{ "acknowledge_on_stop", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct balloon_hinting_start, acknowledge_on_stop),
	  .fallback = true },
	{ 0 },
};
const struct schema schema_balloon_hinting_start = { "StartHintingCmd", sizeof(struct balloon_hinting_start), balloon_hinting_start_fields, true };

static const struct schema_field hotplug_fields[] = {
	{ "total_size_mib", FIELD_USIZE, FIELD_REQUIRED, offsetof(struct hotplug_body, total_size_mib) },
	{ "block_size_mib", FIELD_USIZE, FIELD_DEFAULT, offsetof(struct hotplug_body, block_size_mib),
	  .fallback = 2 },
	{ "slot_size_mib", FIELD_USIZE, FIELD_DEFAULT, offsetof(struct hotplug_body, slot_size_mib),
	  .fallback = 128 },
	{ 0 },
};
const struct schema schema_hotplug = { "MemoryHotplugConfig", sizeof(struct hotplug_body), hotplug_fields };

static const struct schema_field hotplug_update_fields[] = {
	{ "requested_size_mib", FIELD_USIZE, FIELD_REQUIRED, offsetof(struct hotplug_update, requested_size_mib) },
	{ 0 },
};
const struct schema schema_hotplug_update = { "MemoryHotplugSizeUpdate", sizeof(struct hotplug_update), hotplug_update_fields };

static const struct schema_field mmds_config_fields[] = {
	{ "version", FIELD_CHOICE, FIELD_DEFAULT, offsetof(struct mmds_config_body, version),
	  .names = mmds_versions },
	{ "network_interfaces", FIELD_STRINGS, FIELD_REQUIRED, offsetof(struct mmds_config_body, network_interfaces) },
	{ "ipv4_address", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct mmds_config_body, ipv4_address) },
	{ "imds_compat", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct mmds_config_body, imds_compat) },
	{ 0 },
};
const struct schema schema_mmds_config = { "MmdsConfig", sizeof(struct mmds_config_body), mmds_config_fields };

static const struct schema_field logger_fields[] = {
	{ "log_path", FIELD_PATH, FIELD_OPTIONAL, offsetof(struct logger_body, log_path) },
	{ "level", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct logger_body, level) },
	{ "show_level", FIELD_BOOL, FIELD_OPTIONAL, offsetof(struct logger_body, show_level) },
	{ "show_log_origin", FIELD_BOOL, FIELD_OPTIONAL, offsetof(struct logger_body, show_log_origin) },
	{ "module", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct logger_body, module) },
	{ 0 },
};
const struct schema schema_logger = { "LoggerConfig", sizeof(struct logger_body), logger_fields };

static const struct schema_field metrics_fields[] = {
	{ "metrics_path", FIELD_PATH, FIELD_REQUIRED, offsetof(struct metrics_body, metrics_path) },
	{ "emit_id", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct metrics_body, emit_id) },
	{ "properties", FIELD_MAP, FIELD_OPTIONAL, offsetof(struct metrics_body, properties) },
	{ 0 },
};
const struct schema schema_metrics = { "MetricsConfig", sizeof(struct metrics_body), metrics_fields, true };

static const struct schema_field vm_state_fields[] = {
	{ "state", FIELD_CHOICE, FIELD_REQUIRED, offsetof(struct vm_state_body, state),
	  .names = vm_states },
	{ 0 },
};
const struct schema schema_vm_state = { "Vm", sizeof(struct vm_state_body), vm_state_fields };

static const struct schema_field snapshot_create_fields[] = {
	{ "snapshot_type", FIELD_CHOICE, FIELD_DEFAULT, offsetof(struct snapshot_create, snapshot_type),
	  .names = snapshot_types, .fallback = SNAPSHOT_FULL },
	{ "snapshot_path", FIELD_PATH, FIELD_REQUIRED, offsetof(struct snapshot_create, snapshot_path) },
	{ "mem_file_path", FIELD_PATH, FIELD_REQUIRED, offsetof(struct snapshot_create, mem_file_path) },
	{ 0 },
};
const struct schema schema_snapshot_create = { "CreateSnapshotParams", sizeof(struct snapshot_create), snapshot_create_fields };

static const struct schema_field mem_backend_fields[] = {
	{ "backend_path", FIELD_PATH, FIELD_REQUIRED, offsetof(struct mem_backend, backend_path) },
	{ "backend_type", FIELD_CHOICE, FIELD_REQUIRED, offsetof(struct mem_backend, backend_type),
	  .names = mem_backends },
	{ 0 },
};
static const struct schema schema_mem_backend = { "MemBackendConfig", sizeof(struct mem_backend), mem_backend_fields };

static const struct schema_field network_override_fields[] = {
	{ "iface_id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct network_override, iface_id) },
	{ "host_dev_name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct network_override, host_dev_name) },
	{ 0 },
};
static const struct schema schema_network_override = { "NetworkOverride", sizeof(struct network_override), network_override_fields, true };

static const struct schema_field vsock_override_fields[] = {
	{ "uds_path", FIELD_STRING, FIELD_REQUIRED, offsetof(struct vsock_override, uds_path) },
	{ 0 },
};
static const struct schema schema_vsock_override = { "VsockOverride", sizeof(struct vsock_override), vsock_override_fields, true };

static const struct schema_field snapshot_load_fields[] = {
	{ "snapshot_path", FIELD_PATH, FIELD_REQUIRED, offsetof(struct snapshot_load, snapshot_path) },
	{ "mem_file_path", FIELD_PATH, FIELD_OPTIONAL, offsetof(struct snapshot_load, mem_file_path) },
	{ "mem_backend", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct snapshot_load, mem_backend),
	  .object = &schema_mem_backend },
	{ "enable_diff_snapshots", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct snapshot_load, enable_diff_snapshots) },
	{ "track_dirty_pages", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct snapshot_load, track_dirty_pages) },
	{ "resume_vm", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct snapshot_load, resume_vm) },
	{ "network_overrides", FIELD_LIST, FIELD_DEFAULT, offsetof(struct snapshot_load, network_overrides),
	  .object = &schema_network_override },
	{ "vsock_override", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct snapshot_load, vsock_override),
	  .object = &schema_vsock_override },
	{ "clock_realtime", FIELD_BOOL, FIELD_DEFAULT, offsetof(struct snapshot_load, clock_realtime) },
	{ "huge_pages", FIELD_CHOICE, FIELD_DEFAULT, offsetof(struct snapshot_load, huge_pages),
	  .names = load_huge_pages },
	{ 0 },
};
const struct schema schema_snapshot_load = { "LoadSnapshotConfig", sizeof(struct snapshot_load), snapshot_load_fields };

static const struct schema_field cpuid_register_fields[] = {
	{ "register", FIELD_REGISTER, FIELD_REQUIRED, offsetof(struct cpuid_register, reg),
	  .names = cpuid_registers },
	{ "bitmap", FIELD_BITS32, FIELD_REQUIRED, offsetof(struct cpuid_register, bits) },
	{ 0 },
};
static const struct schema schema_cpuid_register = { "CpuidRegisterModifier", sizeof(struct cpuid_register), cpuid_register_fields };

static const struct schema_field cpuid_leaf_fields[] = {
	{ "leaf", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct cpuid_leaf, leaf) },
	{ "subleaf", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct cpuid_leaf, subleaf) },
	{ "flags", FIELD_U32, FIELD_REQUIRED, offsetof(struct cpuid_leaf, flags) },
	{ "modifiers", FIELD_LIST, FIELD_REQUIRED, offsetof(struct cpuid_leaf, modifiers),
	  .object = &schema_cpuid_register },
	{ 0 },
};
static const struct schema schema_cpuid_leaf = { "CpuidLeafModifier", sizeof(struct cpuid_leaf), cpuid_leaf_fields };

static const struct schema_field msr_modifier_fields[] = {
	{ "addr", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct msr_modifier, addr) },
	{ "bitmap", FIELD_BITS64, FIELD_REQUIRED, offsetof(struct msr_modifier, bits) },
	{ 0 },
};
static const struct schema schema_msr_modifier = { "RegisterModifier", sizeof(struct msr_modifier), msr_modifier_fields };

static const struct schema_field cpu_config_fields[] = {
	{ "kvm_capabilities", FIELD_CAPS, FIELD_DEFAULT, offsetof(struct cpu_config_body, kvm_capabilities) },
	{ "cpuid_modifiers", FIELD_LIST, FIELD_DEFAULT, offsetof(struct cpu_config_body, cpuid_modifiers),
	  .object = &schema_cpuid_leaf },
	{ "msr_modifiers", FIELD_LIST, FIELD_DEFAULT, offsetof(struct cpu_config_body, msr_modifiers),
	  .object = &schema_msr_modifier },
	{ 0 },
};
const struct schema schema_cpu_config = { "CustomCpuTemplate", sizeof(struct cpu_config_body), cpu_config_fields };

static const struct schema_field config_file_fields[] = {
	{ "drives", FIELD_LIST, FIELD_REQUIRED, offsetof(struct config_file, drives),
	  .object = &schema_drive },
	{ "boot-source", FIELD_OBJECT, FIELD_REQUIRED, offsetof(struct config_file, boot_source),
	  .object = &schema_boot_source },
	{ "machine-config", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, machine_config),
	  .object = &schema_machine },
	{ "balloon", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, balloon),
	  .object = &schema_balloon },
	{ "network-interfaces", FIELD_LIST, FIELD_DEFAULT, offsetof(struct config_file, network_interfaces),
	  .object = &schema_net },
	{ "vsock", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, vsock),
	  .object = &schema_vsock },
	{ "logger", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, logger),
	  .object = &schema_logger },
	{ "metrics", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, metrics),
	  .object = &schema_metrics },
	{ "mmds-config", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, mmds_config),
	  .object = &schema_mmds_config },
	{ "entropy", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, entropy),
	  .object = &schema_entropy },
	{ "pmem", FIELD_LIST, FIELD_DEFAULT, offsetof(struct config_file, pmem),
	  .object = &schema_pmem },
	{ "memory-hotplug", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct config_file, memory_hotplug),
	  .object = &schema_hotplug },
	{ 0 },
};
const struct schema schema_config_file = { "VmmConfig", sizeof(struct config_file), config_file_fields, true };
