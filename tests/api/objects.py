# SPDX-License-Identifier: Apache-2.0
"""The objects of Firecracker's API, written down from its contract: member, type, need, default.

A type is str, path, bool, u8, u16, u32, u64, usize, mac, a tuple of words, an Object, or [Object]
and [str] for lists. A need is "*" (required), "?" (may be null or absent) or "=" (has a default).
"""


class Object:
    def __init__(self, name, members, is_open=False):
        self.name, self.members, self.is_open = name, members, is_open

    def names(self):
        return [m[0] for m in self.members]


BUCKET = Object("TokenBucketConfig", [("size", "u64", "*"), ("one_time_burst", "u64", "?"), ("refill_time", "u64", "*")],
                is_open=True)
LIMITER = Object("RateLimiterConfig", [("bandwidth", BUCKET, "?"), ("ops", BUCKET, "?")])
TEMPLATES = ("C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None")
PAGES = ("None", "Transparent", "2M")
ACTION = Object("ActionBody", [("action_type", ("FlushMetrics", "InstanceStart", "SendCtrlAltDel"), "*")])
BOOT_SOURCE = Object("BootSourceConfig", [("kernel_image_path", "str", "*"), ("initrd_path", "str", "?"),
                                          ("boot_args", "str", "?")])
MACHINE = Object("MachineConfig", [("vcpu_count", "u8", "*"), ("mem_size_mib", "usize", "*"), ("smt", "bool", "="),
                                   ("cpu_template", TEMPLATES, "?"), ("track_dirty_pages", "bool", "="),
                                   ("huge_pages", PAGES, "=")])
MACHINE_UPDATE = Object("MachineConfigUpdate", [(n, t, "?") for n, t, _ in MACHINE.members])
DRIVE = Object("BlockDeviceConfig", [("drive_id", "str", "*"), ("partuuid", "str", "?"), ("is_root_device", "bool", "*"),
                                     ("cache_type", ("Unsafe", "Writeback"), "="), ("is_read_only", "bool", "?"),
                                     ("path_on_host", "str", "?"), ("rate_limiter", LIMITER, "?"),
                                     ("io_engine", ("Async", "Sync"), "?"), ("socket", "str", "?")])
DRIVE_UPDATE = Object("BlockDeviceUpdateConfig", [("drive_id", "str", "*"), ("path_on_host", "str", "?"),
                                                  ("rate_limiter", LIMITER, "?")])
PMEM = Object("PmemConfig", [("id", "str", "*"), ("path_on_host", "str", "*"), ("root_device", "bool", "="),
                             ("read_only", "bool", "="), ("rate_limiter", LIMITER, "?")])
NET = Object("NetworkInterfaceConfig", [("iface_id", "str", "*"), ("host_dev_name", "str", "*"), ("guest_mac", "mac", "?"),
                                        ("mtu", "u16", "?"), ("rx_rate_limiter", LIMITER, "?"),
                                        ("tx_rate_limiter", LIMITER, "?")])
NET_UPDATE = Object("NetworkInterfaceUpdateConfig", [("iface_id", "str", "*"), ("rx_rate_limiter", LIMITER, "?"),
                                                     ("tx_rate_limiter", LIMITER, "?")])
VSOCK = Object("VsockDeviceConfig", [("vsock_id", "str", "?"), ("guest_cid", "u32", "*"), ("uds_path", "str", "*")])
ENTROPY = Object("EntropyDeviceConfig", [("rate_limiter", LIMITER, "?")])
SERIAL = Object("SerialConfig", [("serial_out_path", "path", "?"), ("rate_limiter", BUCKET, "?")])
BALLOON = Object("BalloonDeviceConfig", [("amount_mib", "u32", "*"), ("deflate_on_oom", "bool", "*"),
                                         ("stats_polling_interval_s", "u16", "="), ("free_page_hinting", "bool", "="),
                                         ("free_page_reporting", "bool", "=")])
BALLOON_UPDATE = Object("BalloonUpdateConfig", [("amount_mib", "u32", "*")])
BALLOON_STATS = Object("BalloonUpdateStatsConfig", [("stats_polling_interval_s", "u16", "*")])
HOTPLUG = Object("MemoryHotplugConfig", [("total_size_mib", "usize", "*"), ("block_size_mib", "usize", "="),
                                         ("slot_size_mib", "usize", "=")])
HOTPLUG_UPDATE = Object("MemoryHotplugSizeUpdate", [("requested_size_mib", "usize", "*")])
MMDS_CONFIG = Object("MmdsConfig", [("version", ("V1", "V2"), "="), ("network_interfaces", ["str"], "*"),
                                    ("ipv4_address", "str", "?"), ("imds_compat", "bool", "=")])
LOGGER = Object("LoggerConfig", [("log_path", "path", "?"), ("level", "str", "?"), ("show_level", "bool", "?"),
                                 ("show_log_origin", "bool", "?"), ("module", "str", "?")])
METRICS = Object("MetricsConfig", [("metrics_path", "path", "*"), ("emit_id", "bool", "=")], is_open=True)
VM_STATE = Object("Vm", [("state", ("Paused", "Resumed"), "*")])
SNAPSHOT_CREATE = Object("CreateSnapshotParams", [("snapshot_type", ("Diff", "Full"), "="), ("snapshot_path", "path", "*"),
                                                  ("mem_file_path", "path", "*")])
BACKEND = Object("MemBackendConfig", [("backend_path", "path", "*"), ("backend_type", ("File", "Uffd"), "*")])
SNAPSHOT_LOAD = Object("LoadSnapshotConfig", [("snapshot_path", "path", "*"), ("mem_file_path", "path", "?"),
                                              ("mem_backend", BACKEND, "?"), ("enable_diff_snapshots", "bool", "="),
                                              ("track_dirty_pages", "bool", "="), ("resume_vm", "bool", "="),
                                              ("network_overrides", [Object("NetworkOverride", [])], "="),
                                              ("vsock_override", Object("VsockOverride", [], True), "?"),
                                              ("clock_realtime", "bool", "="),
                                              ("huge_pages", ("Snapshot",) + PAGES, "=")])

# method, path, object; in the order in which they can be asked of one server
REQUESTS = [
    ("PUT", "/actions", ACTION), ("PUT", "/boot-source", BOOT_SOURCE), ("PUT", "/machine-config", MACHINE),
    ("PATCH", "/machine-config", MACHINE_UPDATE), ("PUT", "/drives/a", DRIVE), ("PATCH", "/drives/a", DRIVE_UPDATE),
    ("PUT", "/pmem/a", PMEM), ("PUT", "/network-interfaces/a", NET), ("PATCH", "/network-interfaces/a", NET_UPDATE),
    ("PUT", "/vsock", VSOCK), ("PUT", "/entropy", ENTROPY), ("PUT", "/serial", SERIAL), ("PUT", "/balloon", BALLOON),
    ("PATCH", "/balloon", BALLOON_UPDATE), ("PATCH", "/balloon/statistics", BALLOON_STATS),
    ("PUT", "/hotplug/memory", HOTPLUG), ("PATCH", "/hotplug/memory", HOTPLUG_UPDATE),
    ("PUT", "/mmds/config", MMDS_CONFIG), ("PUT", "/logger", LOGGER), ("PUT", "/metrics", METRICS),
    ("PATCH", "/vm", VM_STATE), ("PUT", "/snapshot/create", SNAPSHOT_CREATE), ("PUT", "/snapshot/load", SNAPSHOT_LOAD),
]

MAX = {"u8": 2**8 - 1, "u16": 2**16 - 1, "u32": 2**32 - 1, "u64": 2**64 - 1, "usize": 2**64 - 1}
EXPECTED = {"str": "a string", "mac": "a string", "path": "path string", "bool": "a boolean"}


def listed(words):
    quoted = [f"`{w}`" for w in words]
    if len(quoted) > 2:
        return "one of " + ", ".join(quoted)
    return " or ".join(quoted)


def good_value(kind):
    """Some JSON that is right for the type."""
    if isinstance(kind, tuple):
        return f'"{kind[0]}"'
    if isinstance(kind, Object):
        return "{" + ",".join(f'"{n}":{good_value(t)}' for n, t, need in kind.members if need == "*") + "}"
    if isinstance(kind, list):
        return "[]"
    return {"str": '"x"', "path": '"x"', "mac": '"06:00:00:00:00:01"', "bool": "true"}.get(kind, "7")


def bad_values(kind):
    """JSON values that are wrong, each with what is said and whether the next byte is meant."""
    if isinstance(kind, tuple):
        return [("1", "expected value", True), ("null", "expected value", True),
                ('"no\\nne"', "unknown variant `no\nne`, expected " + listed(kind), False)]
    if isinstance(kind, Object):
        want = "struct " + kind.name
        return [("1", f"invalid type: integer `1`, expected {want}", False),
                ('"x"', f'invalid type: string "x", expected {want}', False)]
    if isinstance(kind, list):
        return [("true", "invalid type: boolean `true`, expected a sequence", False)]
    if kind in EXPECTED:
        want = EXPECTED[kind]
        out = [("17", f"invalid type: integer `17`, expected {want}", False),
               ("-2.50", f"invalid type: floating point `-2.5`, expected {want}", False),
               ("[]", f"invalid type: sequence, expected {want}", None)]
        if kind == "bool":
            out.append(('"true"', f'invalid type: string "true", expected {want}', False))
        return out
    top = MAX[kind]
    over = [(str(top + 1), f"invalid value: integer `{top + 1}`, expected {kind}", False)]
    if top > 2**63:
        over = [(str(top + 1), f"invalid type: floating point `1.8446744073709552e19`, expected {kind}", False)]
    return over + [("-1", f"invalid value: integer `-1`, expected {kind}", False),
                   ("1.5", f"invalid type: floating point `1.5`, expected {kind}", False),
                   ('"1"', f'invalid type: string "1", expected {kind}', False),
                   ("01", "invalid number", True)]


def body_cases(o):
    """(body, message without its prefix) for everything that can be wrong with an object's text."""
    def at(text, column):
        line = text[:column].count("\n") + 1
        return f" at line {line} column {column - (text[:column].rfind(chr(10)) + 1)}"

    required = [(n, good_value(t)) for n, t, need in o.members if need == "*"]
    for missing, _ in required:
        text = "{" + ",".join(f'"{n}":{v}' for n, v in required if n != missing) + "}"
        # the first that is missing, in the table's order
        yield text, f"missing field `{missing}`" + at(text, len(text))
    for n, t, need in o.members:
        bad = bad_values(t)
        if need == "?":
            bad = [b for b in bad if b[0] != "null"]
        elif not isinstance(t, tuple):
            if isinstance(t, str):
                want = EXPECTED.get(t, t)
            else:
                want = "struct " + t.name if isinstance(t, Object) else "a sequence"
            bad = bad + [("null", f"invalid type: null, expected {want}", False)]
        for value, message, is_next in bad:
            start = '{\n "%s": ' % n
            text = start + value + "}"
            column = len(start) + (len(value) if is_next is False else 0 if is_next is None else 1)
            if value == "01":
                column = len(start) + 2
            yield text, message + at(text, column)
    if not o.is_open:
        text = '{ "nonsense" : 1}'
        words = o.names()
        yield text, "unknown field `nonsense`, expected " + listed(words) + at(text, len('{ "nonsense" '))
    n, t, _ = o.members[0]
    text = '{"%s":%s,"%s":%s}' % (n, good_value(t), n, good_value(t))
    yield text, f"duplicate field `{n}`" + at(text, len('{"%s":%s,"%s"' % (n, good_value(t), n)))
    full = "{" + ",".join(f'"{n}":{v}' for n, v in required) + "}"
    yield full + " x", "trailing characters" + at(full + " x", len(full) + 2)
    yield full[:-1], "EOF while parsing an object" + at(full, len(full) - 1)
    yield full[:-1] + ",}", ("trailing comma" if required else "key must be a string") + at(full, len(full) + bool(required))
    yield "{'", "key must be a string at line 1 column 2"
    yield '"text"', f'invalid type: string "text", expected struct {o.name} at line 1 column 6'
    yield "nul", "EOF while parsing a value at line 1 column 3"
    yield " ", "EOF while parsing a value at line 1 column 1"
