# SPDX-License-Identifier: Apache-2.0
"""The API as an OpenAPI 3.0 document, from the server's own tables (print_tables.c) and the words of docs/api.md.

What the tables do not have is here: limits that code checks, and answers that code writes. openapi_test.py holds both
against a running server.
"""
import re

# Of members, beyond what their type says. The test tries both sides of each.
LIMITS = {
    "MachineConfig.vcpu_count": {"minimum": 1, "maximum": 32},
    "MachineConfigUpdate.vcpu_count": {"minimum": 1, "maximum": 32},
    "MachineConfig.mem_size_mib": {"minimum": 1},
    "MachineConfigUpdate.mem_size_mib": {"minimum": 1},
    "BootSourceConfig.boot_args": {"maxLength": 2047, "pattern": "^[ -~]*$"},
    "NetworkInterfaceConfig.mtu": {"minimum": 68},
    "VsockDeviceConfig.guest_cid": {"minimum": 3},
    "MemoryHotplugConfig.total_size_mib": {"minimum": 128},
    "MemoryHotplugConfig.block_size_mib": {"minimum": 2},
    "MemoryHotplugConfig.slot_size_mib": {"minimum": 128},
    "MmdsConfig.network_interfaces": {"minItems": 1},
    "LoggerConfig.level": {"pattern": "^([Oo][Ff][Ff]|[Tt][Rr][Aa][Cc][Ee]|[Dd][Ee][Bb][Uu][Gg]|[Ii][Nn][Ff][Oo]|"
                                      "[Ww][Aa][Rr][Nn]([Ii][Nn][Gg])?|[Ee][Rr][Rr][Oo][Rr])$"},
    "CustomCpuTemplate.kvm_capabilities": {"items": {"type": "string", "pattern": "^!?[0-9]{1,9}$"}},
    "CpuidLeafModifier.leaf": {"pattern": "^(0x[0-9a-fA-F]{1,8}|0b[01]{1,32})$"},
    "CpuidLeafModifier.subleaf": {"pattern": "^(0x[0-9a-fA-F]{1,8}|0b[01]{1,32})$"},
    "CpuidRegisterModifier.bitmap": {"pattern": "^(0b)?(([01x]_*){32}|_*([01x]_*){0,31})$"},
    "RegisterModifier.addr": {"pattern": "^(0x[0-9a-fA-F]{1,8}|0b[01]{1,32})$"},
    "RegisterModifier.bitmap": {"pattern": "^(0b)?(([01x]_*){64}|_*([01x]_*){0,63})$"},
}

# Rows of the table whose third word says what happens: that path, when, body, words.
SPLIT = {
    ("GET", "/balloon/hinting"): [("/balloon/hinting/status", "after", "", "how far a run of free page hinting is")],
    ("PATCH", "/balloon/hinting"): [
        ("/balloon/hinting/start", "after", "StartHintingCmd", "begins a run of free page hinting"),
        ("/balloon/hinting/stop", "after", "", "ends it; a body is ignored")],
}
BODY_OPTIONAL = {("PATCH", "/balloon/hinting/start"), ("PATCH", "/balloon/hinting/stop")}
ANY_BODY = {("PUT", "/mmds"), ("PATCH", "/mmds"), ("PATCH", "/mmds/config"), ("PUT", "/snapshot"),
            ("PATCH", "/balloon/hinting/stop")}
COUNT = {"type": "integer", "format": "int64", "minimum": 0}


def record(members, optional=()):
    return {"type": "object", "additionalProperties": False, "required": [m for m in members if m not in optional],
            "properties": members}


BALLOON_STATS = ("swap_in", "swap_out", "major_faults", "minor_faults", "free_memory", "total_memory", "available_memory",
                 "disk_caches", "hugetlb_allocations", "hugetlb_failures", "oom_kill", "alloc_stall", "async_scan",
                 "direct_scan", "async_reclaim", "direct_reclaim")
ANSWERS = {
    "InstanceInfo": record({
        "id": {"type": "string"}, "state": {"type": "string", "enum": ["Not started", "Running", "Paused"]},
        "vmm_version": {"type": "string"}, "app_name": {"type": "string"}}),
    "FirecrackerVersion": record({"firecracker_version": {"type": "string"}}),
    "BalloonStats": record({**{n: COUNT for n in ("target_pages", "actual_pages", "target_mib", "actual_mib")},
                            **{n: COUNT for n in BALLOON_STATS}}, BALLOON_STATS),
    "BalloonHintingStatus": record({"host_cmd": COUNT, "guest_cmd": {**COUNT, "nullable": True}}),
    "MemoryHotplugStatus": record({n: COUNT for n in ("block_size_mib", "total_size_mib", "slot_size_mib",
                                                      "plugged_size_mib", "requested_size_mib")}),
    "Event": {"description": "One line of an answer that goes on. More members, by event: docs/api.md.",
              "type": "object", "required": ["seq", "time", "event"], "properties": {
                  "seq": {**COUNT, "minimum": 1}, "time": {"type": "string", "format": "date-time"},
                  "event": {"type": "string", "enum": [
                      "starting", "device_attached", "device_detached", "start_failed", "running", "paused", "resumed", "shutdown_asked", "reset",
                      "device_changed", "device_needs_reset", "ended", "exit", "lost"]}}},
    "Error": {"description": "fault_message for a request that is refused, error for bytes that are no request.",
              "oneOf": [record({"fault_message": {"type": "string"}}), record({"error": {"type": "string"}})]},
}
# (method, path): name of what a 200 has
ANSWER_OF = {
    ("GET", "/"): "InstanceInfo", ("GET", "/version"): "FirecrackerVersion", ("GET", "/vm/config"): "FullVmConfiguration",
    ("GET", "/machine-config"): "MachineConfig", ("GET", "/balloon"): "BalloonDeviceConfig",
    ("GET", "/balloon/statistics"): "BalloonStats", ("GET", "/balloon/hinting/status"): "BalloonHintingStatus",
    ("GET", "/hotplug/memory"): "MemoryHotplugStatus", ("GET", "/events"): "Event", ("GET", "/mmds"): None, ("GET", "/mmds/config"): None,
}
WIDTHS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64, "usize": 64}


def ref(name):
    return {"$ref": f"#/components/schemas/{name}"}


def member(name, kind, need, words, limits):
    """The schema of a member from its row."""
    if kind in WIDTHS:
        s = {"type": "integer", "format": "int32" if WIDTHS[kind] < 32 else "int64", "minimum": 0,
             "maximum": 2 ** WIDTHS[kind] - 1}
    elif kind in ("string", "path", "MAC", "bool"):
        s = {"type": "boolean" if kind == "bool" else "string"}
        if kind == "MAC":
            s["pattern"] = "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"
    elif kind == "[string]":
        s = {"type": "array", "items": {"type": "string"}}
    elif kind == "{string: string}":
        s = {"type": "object", "additionalProperties": {"type": "string"}}
    elif kind.startswith("["):
        s = {"type": "array", "items": ref(kind[1:-1])}
    elif " or " in kind:
        s = {"type": "string", "enum": kind.split(" or ")}
    else:
        s = {"allOf": [ref(kind)]}
    s.update(limits.get(name, {}))
    if need == "optional":
        s["nullable"] = True
        if "enum" in s:  # null has to be among them
            s["enum"] = s["enum"] + [None]
    elif need == "empty":
        s["default"] = []
    elif need != "required":
        s["default"] = {"true": True, "false": False}.get(need, int(need) if need.isdigit() else need)
    if words.get(name):
        s["description"] = words[name]
    return s


def schemas(tables, words):
    out = {}
    for o in tables["objects"]:
        members = {n: member(f"{o['name']}.{n}", kind, need, words, LIMITS) for n, kind, need in o["members"]}
        out[o["name"]] = {"type": "object", "additionalProperties": o["open"],
                          "required": [n for n, _, need in o["members"] if need == "required"], "properties": members}
        if not out[o["name"]]["required"]:
            del out[o["name"]]["required"]
    full = {n: {**s, "nullable": True} for n, s in out["VmmConfig"]["properties"].items()}
    for s in full.values():
        s.pop("default", None)
    full["cpu-config"] = {"nullable": True, "description": "always null"}
    out["FullVmConfiguration"] = record(full)
    out["MachineConfigUpdate"]["minProperties"] = 1
    out["LoadSnapshotConfig"]["oneOf"] = [  # a null is none
        {"type": "object", "required": [m], "properties": {m: {"type": kind}}}
        for m, kind in (("mem_backend", "object"), ("mem_file_path", "string"))]
    return {**out, **ANSWERS}


def operation_id(method, path):
    words = re.findall(r"[A-Za-z]+", path.replace("{id}", "")) or ["info"]
    return method.lower() + "".join(w.capitalize() for w in words)


def operation(method, path, phase, body, what):
    op = {"operationId": operation_id(method, path), "summary": what, "x-when": phase}
    if body or (method, path) in ANY_BODY:
        op["requestBody"] = {"required": (method, path) not in BODY_OPTIONAL,
                             "content": {"application/json": {"schema": ref(body) if body else {}}}}
    if method == "GET":
        name = ANSWER_OF[(method, path)]
        kind = "application/x-ndjson" if name == "Event" else "application/json"
        op["responses"] = {"200": {"description": "as asked for", "content": {kind: {"schema": ref(name) if name else {}}}}}
    else:
        op["responses"] = {"204": {"description": "done"}}
    op["responses"]["400"] = {"$ref": "#/components/responses/Refused"}
    if path.startswith("/mmds") and method != "GET" and body != "MmdsConfig":
        op["responses"]["413"] = {"$ref": "#/components/responses/TooLarge"}
    return op


def rows(tables, words):
    """(method, path, phase, body, words): the table's rows, split where a third word counts."""
    for method, path, phase, body in tables["requests"]:
        for row in SPLIT.get((method, path), [(path, phase, body, words.get(f"{method} {path}", ""))]):
            yield method, *row


def document(tables, words, version):
    paths = {}
    for method, path, phase, body, what in rows(tables, words):
        item = paths.setdefault(path, {})
        if "{id}" in path:
            item["parameters"] = [{"name": "id", "in": "path", "required": True,
                                   "description": "letters, digits and _; as in the body",
                                   "schema": {"type": "string", "pattern": r"^\w+$"}}]
        item[method.lower()] = operation(method, path, phase, body, what)
        if path in tables["ours"]:
            item[method.lower()]["x-mayfly"] = True
    refused = {"application/json": {"schema": ref("Error")}}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "mayfly", "version": version,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "description": "Firecracker's API as mayfly serves it, on a Unix socket. Written by tests/api/openapi_test.py from "
                           "the tables that the server uses; docs/api.md has the rest. x-when says when a request is allowed: "
                           "any, before or after InstanceStart. x-mayfly marks what Firecracker does not have."},
        "servers": [{"url": "http://localhost", "description": "curl --unix-socket PATH http://localhost/..."}],
        "paths": paths,
        "components": {
            "responses": {"Refused": {"description": "refused; nothing has changed", "content": refused},
                          "TooLarge": {"description": "more metadata than the limit", "content": refused}},
            "schemas": schemas(tables, words)},
    }
