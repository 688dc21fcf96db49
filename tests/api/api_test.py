#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Conformance of the API: every answer is compared byte for byte. usage: api_test.py [REGEX]

The server is the real one; where a started machine is needed its guest is a few bytes of code
under MAYFLY_TEST_ACCEL (tcg).
"""
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time

from fc import (ACCEL, DONE, HEAD, JSON_ERROR, POST_ONLY, PRE_ONLY, Server, compact, fault, http_error, request,
                response)
import conversations
import process
from harness import Skip, Suite
from objects import REQUESTS, body_cases

with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
    HOST_IS_INTEL = "GenuineIntel" in cpuinfo.read()


class Cases:
    """Many small comparisons that are one line of output."""

    def __init__(self, suite):
        self.suite, self.n = suite, 0

    def group(self, name, cases):
        def run():
            n = 0
            wrong = []
            for what, got, want in cases():
                n += 1
                if got != want:
                    wrong.append(f"{what}\n#   got  {got!r}\n#   want {want!r}")
            self.n += n
            if wrong:
                raise AssertionError(f"{len(wrong)} of {n} differ: " + "\n".join(wrong[:5]))
            return f"{n} requests"
        self.suite.check(name, run)


def bodies():
    with Server() as s, s.connect() as c:
        for method, path, obj in REQUESTS:
            for body, message in body_cases(obj):
                yield f"{method} {path} {body!r}", c.call(method, path, body), fault(JSON_ERROR + message + ".")
        yield "still there", c.call("GET", "/")[:13], b"HTTP/1.1 200 "


# --- which request when -------------------------------------------------------------------------

def phases(s):
    """(method, path, good body, phase, answer in it or None: not compared)"""
    image = s.file("image", 4096)
    mem = s.file("mem", 4096)
    none = "No balloon device found."
    bucket = {"size": 10, "refill_time": 100}
    return [
        ("GET", "/", None, "any", None),
        ("GET", "/version", None, "any", None),
        ("GET", "/machine-config", None, "any", None),
        ("GET", "/vm/config", None, "any", None),
        ("GET", "/mmds", None, "any", None),
        ("GET", "/balloon", None, "any", None),
        ("GET", "/balloon/statistics", None, "post", fault("Internal VMM error: " + none)),
        ("GET", "/balloon/hinting/status", None, "post", fault("Balloon update error: " + none)),
        ("GET", "/hotplug/memory", None, "post", fault("Internal VMM error: Device not found")),
        ("PUT", "/logger", {"level": "Error"}, "pre", DONE),
        ("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 32}, "pre", DONE),
        ("PATCH", "/machine-config", {"vcpu_count": 1}, "pre", DONE),
        ("PUT", "/cpu-config", {}, "pre", DONE),
        ("PUT", "/boot-source", {"kernel_image_path": s.kernel()}, "pre", DONE),
        ("PUT", "/entropy", {}, "pre", DONE),
        ("PUT", "/serial", {"rate_limiter": {"size": 1000, "refill_time": 100}}, "pre", DONE),
        ("PUT", "/drives/one", {"drive_id": "one", "is_root_device": False, "path_on_host": image}, "pre-pci", DONE),
        ("PATCH", "/drives/one", {"drive_id": "one"}, "post", DONE),
        ("PATCH", "/drives/one", {"drive_id": "one", "path_on_host": image}, "post", DONE),
        ("PATCH", "/drives/one", {"drive_id": "one", "rate_limiter": {"ops": bucket, "bandwidth": None}}, "post", DONE),
        ("PATCH", "/drives/two", {"drive_id": "two"}, "post",
         fault("Drive config error: Unable to patch the block device: Device not found Please verify the request arguments.")),
        ("DELETE", "/drives/one", None, "post", fault("PCI is not enabled")),
        ("DELETE", "/pmem/one", None, "post", fault("PCI is not enabled")),
        ("DELETE", "/network-interfaces/one", None, "post", fault("PCI is not enabled")),
        ("PATCH", "/network-interfaces/one", {"iface_id": "one"}, "post",
         fault("Network config error: Unable to update the net device: Device not found")),
        ("PATCH", "/pmem/one", {"id": "one"}, "post", fault("Pmem config error: Device not found")),
        ("PATCH", "/balloon", {"amount_mib": 1}, "post", fault("Balloon update error: " + none)),
        ("PATCH", "/balloon/statistics", {"stats_polling_interval_s": 1}, "post", fault("Balloon update error: " + none)),
        ("PATCH", "/balloon/hinting/start", {"acknowledge_on_stop": False}, "post", fault("Balloon update error: " + none)),
        ("PATCH", "/balloon/hinting/start", None, "post", fault("Balloon update error: " + none)),
        ("PATCH", "/balloon/hinting/stop", None, "post", fault("Balloon update error: " + none)),
        ("PATCH", "/balloon/hinting/stop", "not even JSON", "post", fault("Balloon update error: " + none)),
        ("PATCH", "/hotplug/memory", {"requested_size_mib": 1}, "post", fault("Memory hotplug update error: Device not found")),
        ("PATCH", "/vm", {"state": "Resumed"}, "post", DONE),
        ("PUT", "/actions", {"action_type": "SendCtrlAltDel"}, "post", DONE),
        ("PUT", "/snapshot/create", {"snapshot_path": "s", "mem_file_path": mem, "snapshot_type": "Diff"}, "post", None),
    ]


def check_phase(c, rows, started):
    for method, path, body, phase, answer in rows:
        got = c.call(method, path, body)
        name = f"{method} {path} {'after' if started else 'before'} the start"
        if phase == "pre" and started:
            yield name, got, fault(PRE_ONLY)
        elif phase == "pre-pci" and started:
            yield name, got, fault("PCI is not enabled")
        elif phase == "post" and not started:
            yield name, got, fault(POST_ONLY)
        elif answer is not None:
            yield name, got, answer
        else:
            yield name, b"HTTP/1.1 " in got and POST_ONLY.encode() not in got and PRE_ONLY.encode() not in got, True


def phase_matrix():
    with Server() as s, s.connect() as c:
        rows = phases(s)
        yield from check_phase(c, rows, False)
        yield "start", c.call("PUT", "/actions", {"action_type": "InstanceStart"}), DONE
        yield "start twice", c.call("PUT", "/actions", {"action_type": "InstanceStart"}), fault(PRE_ONLY)
        yield from check_phase(c, rows, True)
        yield "pause", c.call("PATCH", "/vm", {"state": "Paused"}), DONE
        yield from check_phase(c, [r for r in rows if r[1] != "/vm"], True)
        yield "start while paused", c.call("PUT", "/actions", {"action_type": "InstanceStart"}), fault(PRE_ONLY)


# --- what requests mean -------------------------------------------------------------------------

def machine_config():
    machine = {"vcpu_count": 1, "mem_size_mib": 128, "smt": False, "track_dirty_pages": False, "huge_pages": "None"}
    vcpus = fault("Machine config error: The number of vCPUs must be greater than 0, less than 32 and must be 1 or an "
                  "even number if SMT is enabled.")
    memory = fault("Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured page size.")
    with Server() as s, s.connect() as c:
        def get():
            return c.call("GET", "/machine-config")
        yield "defaults", get(), response(200, compact(machine))
        for body, want in [({"vcpu_count": 0, "mem_size_mib": 1}, vcpus), ({"vcpu_count": 33, "mem_size_mib": 1}, vcpus),
                           ({"vcpu_count": 3, "mem_size_mib": 1, "smt": True}, vcpus),
                           ({"vcpu_count": 1, "mem_size_mib": 0}, memory),
                           ({"vcpu_count": 1, "mem_size_mib": 3, "huge_pages": "2M"}, memory),
                           ({"vcpu_count": 1, "mem_size_mib": 3, "huge_pages": "Transparent"}, memory)]:
            yield f"PUT {body}", c.call("PUT", "/machine-config", body), want
            yield "unchanged", get(), response(200, compact(machine))
        machine.update(vcpu_count=32, mem_size_mib=3, smt=True)
        yield "PUT smt", c.call("PUT", "/machine-config", {"vcpu_count": 32, "mem_size_mib": 3, "smt": True}), DONE
        yield "all of it", get(), response(200, compact(machine))
        machine.update(vcpu_count=1, mem_size_mib=4, smt=False)
        yield "PUT sets defaults", c.call("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 4}), DONE
        yield "all of it again", get(), response(200, compact(machine))
        yield "empty PATCH", c.call("PATCH", "/machine-config", {}), fault("Empty PATCH request.")
        yield "PATCH of null", c.call("PATCH", "/machine-config", {"smt": None}), fault("Empty PATCH request.")
        for field, value in [("vcpu_count", 5), ("mem_size_mib", 300), ("track_dirty_pages", True), ("huge_pages", "2M"),
                             ("huge_pages", "None")]:
            machine[field] = value
            yield f"PATCH {field}", c.call("PATCH", "/machine-config", {field: value}), DONE
            yield f"{field} is set", get(), response(200, compact(machine))
        yield "PATCH odd", c.call("PATCH", "/machine-config", {"smt": True}), vcpus
        yield "template", c.call("PATCH", "/machine-config", {"cpu_template": "T2"}), response(204, deprecated=True)
        with_template = {}
        for k, v in machine.items():
            with_template[k] = v
            if k == "smt":
                with_template["cpu_template"] = "T2"
        yield "template is told", get(), response(200, compact(with_template))
        yield "no template", c.call("PATCH", "/machine-config", {"cpu_template": "None"}), response(204, deprecated=True)
        yield "none is told", get(), response(200, compact(machine))


def drives():
    with Server() as s, s.connect() as c:
        image, other = s.file("image", 8192), s.file("other", 512)

        def drive(name, root=False, path=image, **more):
            return c.call("PUT", "/drives/" + name, {"drive_id": name, "is_root_device": root, "path_on_host": path, **more})

        def order():
            got = c.call("GET", "/vm/config").split(b"\r\n\r\n")[1]
            return [d["drive_id"] for d in json.loads(got)["drives"]]
        create = "Drive config error: Unable to create the virtio block device: "
        yield "no file", drive("a", path="/no/such"), fault(
            create + "Virtio backend error: Error manipulating the backing file: No such file or directory (os error 2) /no/such")
        yield "a directory", drive("a", path=s.tmp), fault(
            create + f"Virtio backend error: Error manipulating the backing file: Is a directory (os error 21) {s.tmp}")
        yield "no path", c.call("PUT", "/drives/a", {"drive_id": "a", "is_root_device": False}), fault(
            create + "Invalid block config.")
        yield "vhost-user and more", c.call("PUT", "/drives/a", {"drive_id": "a", "is_root_device": False, "socket": "s",
                                                                 "is_read_only": True}), fault(
            "Drive config error: Unable to create the vhost-user block device: Invalid block config.")
        yield "another id", c.call("PUT", "/drives/b", {"drive_id": "a", "is_root_device": False}), fault(
            "The id from the path does not match the id from the body!")
        for path in ["/drives", "/drives/", "/drives//a"]:
            yield f"no id {path}", c.call("PUT", path, {}), fault("The ID cannot be empty.")
        for name in ["a-b", "a.b", "a%20b", "$"]:
            yield f"id {name}", c.call("PUT", "/drives/" + name, {}), fault(
                "API Resource IDs can only contain alphanumeric characters and underscores.")
        yield "first", drive("one"), DONE
        yield "second", drive("two"), DONE
        yield "root comes first", drive("root", True), DONE
        yield "order", order(), ["root", "one", "two"]
        yield "another root", drive("three", True), fault("Drive config error: A root block device already exists!")
        yield "the same root again", drive("root", True, path=other), DONE
        yield "replaced", drive("one", path=other, is_read_only=True), DONE
        yield "order stays", order(), ["root", "one", "two"]
        yield "not root any more", drive("root"), DONE
        yield "another becomes it", drive("two", True), DONE
        yield "they change places", order(), ["two", "one", "root"]
        limits = {"bandwidth": {"size": 5, "one_time_burst": 7, "refill_time": 9}, "ops": {"size": 0, "refill_time": 1}}
        yield "limits", drive("two", True, rate_limiter=limits, io_engine="Async", cache_type="Writeback", partuuid="u"), DONE
        yield "letters of other scripts", drive("\u00e4", path=other), DONE
        rest = '"rate_limiter":null,"io_engine":"Sync","socket":null}'
        drives_json = (
            '"drives":[{"drive_id":"two","partuuid":"u","is_root_device":true,"cache_type":"Writeback","is_read_only":false,'
            f'"path_on_host":"{image}","rate_limiter":{{"bandwidth":{{"size":5,"one_time_burst":7,"refill_time":9}},"ops":null}},'
            '"io_engine":"Async","socket":null},'
            '{"drive_id":"one","partuuid":null,"is_root_device":false,"cache_type":"Unsafe","is_read_only":true,'
            f'"path_on_host":"{other}",{rest},'
            '{"drive_id":"root","partuuid":null,"is_root_device":false,"cache_type":"Unsafe","is_read_only":false,'
            f'"path_on_host":"{image}",{rest},'
            '{"drive_id":"\u00e4","partuuid":null,"is_root_device":false,"cache_type":"Unsafe","is_read_only":false,'
            f'"path_on_host":"{other}",{rest}]')
        yield "all of them", c.call("GET", "/vm/config"), response(200, (
            '{"balloon":null,' + drives_json + ',"boot-source":{"kernel_image_path":"","initrd_path":null,"boot_args":null},'
            '"cpu-config":null,"logger":null,"machine-config":{"vcpu_count":1,"mem_size_mib":128,"smt":false,'
            '"track_dirty_pages":false,"huge_pages":"None"},"metrics":null,"mmds-config":null,"network-interfaces":[],'
            '"vsock":null,"entropy":null,"pmem":[],"memory-hotplug":null}'))


def served_drives():
    """Drives that another program serves: QEMU's storage daemon here."""
    if not shutil.which("qemu-storage-daemon"):
        raise Skip("no qemu-storage-daemon")
    with Server() as s, s.connect() as c:
        image, sock, flushed = s.file("image", 1 << 20), os.path.join(s.tmp, "vhost"), os.path.join(s.tmp, "metrics")
        failed = "Drive config error: Unable to create the vhost-user block device: Vhost-user error: Failed to connect to UDS Unix stream: "

        def put(name, path, **more):
            return c.call("PUT", "/drives/" + name, {"drive_id": name, "is_root_device": False, "socket": path, **more})

        def patch(**more):
            return c.call("PATCH", "/drives/a", {"drive_id": "a", **more})
        yield "no such socket", put("a", "/no/such"), fault(failed + "No such file or directory (os error 2)")
        yield "no socket", put("a", image), fault(failed + "Connection refused (os error 111)")
        with subprocess.Popen(["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=f,filename={image}", "--export",
                               f"type=vhost-user-blk,id=e,addr.type=unix,addr.path={sock},node-name=f,writable=on"]) as daemon:
            try:
                while not os.path.exists(sock):
                    time.sleep(0.02)
                yield "a socket", put("a", sock, cache_type="Writeback"), DONE
                got = json.loads(c.call("GET", "/vm/config").split(b"\r\n\r\n")[1])["drives"]
                yield "as it is told", got, [{"drive_id": "a", "partuuid": None, "is_root_device": False, "cache_type": "Writeback",
                                              "is_read_only": None, "path_on_host": None, "rate_limiter": None, "io_engine": None,
                                              "socket": sock}]
                c.call("PUT", "/metrics", {"metrics_path": s.file("metrics", 0)})
                c.call("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 32})
                c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel()})
                yield "start", c.call("PUT", "/actions", {"action_type": "InstanceStart"}), DONE
                yield "its configuration", patch(), DONE
                other = "Drive config error: Unable to patch the block device: "
                for more in ({"path_on_host": image}, {"rate_limiter": {"ops": {"size": 1, "refill_time": 1}}}):
                    yield f"{more}", patch(**more), fault(other + "Running method expected different backend. "
                                                          "Please verify the request arguments.")
            finally:
                daemon.kill()
        got = patch()
        yield "it is gone", (got[:12], (other + "Vhost user backend error: ").encode() in got), (b"HTTP/1.1 400", True)
        yield "still there", c.call("GET", "/")[:13], b"HTTP/1.1 200 "
        yield "flush", c.call("PUT", "/actions", {"action_type": "FlushMetrics"}), DONE
        with open(flushed, encoding="ascii") as f:
            got = json.loads(f.readline())
        yield "counted", sorted(got["vhost_user_block_a"]), ["activate_fails", "activate_time_us", "cfg_fails",
                                                             "config_change_time_us", "init_time_us"]
        yield "told", (got["vhost_user_block_a"]["cfg_fails"], got["vhost_user_block_a"]["init_time_us"] > 0,
                       "vhost_user_block" in got, list(got)[list(got).index("pmem") + 1]), (1, True, False, "vhost_user_block_a")


def plugged_served_drives():
    """Drives of other programs that come to a running microVM, and go: if its memory is shared."""
    if not shutil.which("qemu-storage-daemon"):
        raise Skip("no qemu-storage-daemon")
    with Server(["--bus", "pci"]) as s, Server(["--bus", "pci"]) as private, s.connect() as c, private.connect() as p:
        args, socks = ["qemu-storage-daemon"], [os.path.join(s.tmp, f"vhost{i}") for i in range(2)]
        for i, sock in enumerate(socks):
            args += ["--blockdev", f"driver=file,node-name=f{i},filename={s.file(f'image{i}', 1 << 20)}", "--export",
                     f"type=vhost-user-blk,id=e{i},addr.type=unix,addr.path={sock},node-name=f{i},writable=on"]
        with subprocess.Popen(args) as daemon:
            try:
                while not all(os.path.exists(sock) for sock in socks):
                    time.sleep(0.02)
                bodies_of = [{"drive_id": f"d{i}", "is_root_device": False, "socket": sock} for i, sock in enumerate(socks)]
                yield "before", c.call("PUT", "/drives/d0", bodies_of[0]), DONE
                s.boot()
                n_fds = s.n_fds()
                for _ in range(5):
                    yield "comes", c.call("PUT", "/drives/d1", bodies_of[1]), DONE
                    yield "its configuration", c.call("PATCH", "/drives/d1", {"drive_id": "d1"}), DONE
                    yield "goes", c.call("DELETE", "/drives/d1"), DONE
                yield "descriptors", s.n_fds() <= n_fds, True
                private.boot()
                got = p.call("PUT", "/drives/d1", bodies_of[1])
                yield "memory is not shared", (got[:12], b"is not shared with other programs" in got), (b"HTTP/1.1 400", True)
            finally:
                daemon.kill()


def other_resources():
    with Server() as s, s.connect() as c:
        kernel, image = s.kernel(), s.file("image", 4096)
        boot = "Boot source error: "
        for body, want in [
                ({"kernel_image_path": "/no"}, boot + "The kernel file cannot be opened: No such file or directory (os error 2)"),
                ({"kernel_image_path": s.tmp}, boot + "The kernel file cannot be opened: Is a directory (os error 21)"),
                ({"kernel_image_path": kernel, "initrd_path": "/no"}, boot + "The initrd file cannot be opened due to invalid "
                 "path or invalid permissions. No such file or directory (os error 2)")]:
            yield f"PUT /boot-source {body}", c.call("PUT", "/boot-source", body), fault(want)
        yield "no kernel", c.call("PUT", "/actions", {"action_type": "InstanceStart"}), fault(
            "Start microvm error: Cannot start microvm without kernel configuration.")
        yield "boot source", c.call("PUT", "/boot-source", {"kernel_image_path": kernel, "boot_args": "a=b"}), DONE
        hot = "Memory hotplug config error: "
        for body, want in [
                ({"total_size_mib": 128, "block_size_mib": 1}, hot + "Block size must not be lower than 2 MiB"),
                ({"total_size_mib": 128, "block_size_mib": 3}, hot + "Block size must be a power of 2"),
                ({"total_size_mib": 128, "slot_size_mib": 64}, hot + "Slot size must not be lower than 128 MiB"),
                ({"total_size_mib": 128, "block_size_mib": 4, "slot_size_mib": 130},
                 hot + "Slot size must be a multiple of block size (4 MiB)"),
                ({"total_size_mib": 64}, hot + "Total size must not be lower than slot size (128 MiB)"),
                ({"total_size_mib": 200}, hot + "Total size must be a multiple of slot size (128 MiB)")]:
            yield f"PUT /hotplug/memory {body}", c.call("PUT", "/hotplug/memory", body), fault(want)
        yield "hotplug", c.call("PUT", "/hotplug/memory", {"total_size_mib": 256}), DONE
        yield "balloon, absent", c.call("GET", "/balloon"), fault("Balloon config error: No balloon device found.")
        yield "balloon, too large", c.call("PUT", "/balloon", {"amount_mib": 129, "deflate_on_oom": True}), fault(
            "Balloon config error: Amount of pages requested is too large.")
        yield "balloon", c.call("PUT", "/balloon", {"amount_mib": 64, "deflate_on_oom": True}), DONE
        yield "balloon again", c.call("GET", "/balloon"), response(200, compact({
            "amount_mib": 64, "deflate_on_oom": True, "stats_polling_interval_s": 0, "free_page_hinting": False,
            "free_page_reporting": False}))
        yield "balloon, other path", c.call("GET", "/balloon/x"), fault("Unrecognized GET request path `x`.")
        yield "hinting", c.call("GET", "/balloon/hinting"), fault("Unrecognized GET request path `/hinting/`.")
        yield "hinting x", c.call("PATCH", "/balloon/hinting/x"), fault("Unrecognized PATCH request path `/hinting/x`.")
        yield "memory below the balloon", c.call("PATCH", "/machine-config", {"mem_size_mib": 63}), fault(
            "Machine config error: The memory size (MiB) is smaller than the previously set balloon device target size.")
        yield "old name of vsock", c.call("PUT", "/vsock", {"guest_cid": 3, "uds_path": s.tmp + "/v", "vsock_id": "x"}), \
            response(204, deprecated=True)
        yield "vsock", c.call("PUT", "/vsock", {"guest_cid": 4, "uds_path": s.tmp + "/w"}), DONE
        yield "vsock, host", c.call("PUT", "/vsock", {"guest_cid": 2, "uds_path": "v"}), fault(
            "Vsock config error: The guest CID must be at least 3.")
        mac = '{"iface_id":"a","host_dev_name":"t","guest_mac":"06:00"}'
        yield "vsock, long path", c.call("PUT", "/vsock", {"guest_cid": 3, "uds_path": "v" * 97})[:13], b"HTTP/1.1 400 "
        yield "vsock, longest path", c.call("PUT", "/vsock", {"guest_cid": 3, "uds_path": "v" * 96}), DONE
        yield "mac", c.call("PUT", "/network-interfaces/a", mac), fault(
            JSON_ERROR + f"The provided MAC address is invalid. at line 1 column {len(mac)}.")
        wrong = "Boot source error: The kernel command line is invalid: "
        for args, message in [("a" * 2048, "Inserting string would make command line too long."),
                              ("a\nb", "String contains a non-printable ASCII character."),
                              ("\u00e4", "String contains a non-printable ASCII character.")]:
            yield f"args {args[:10]!r}", c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel(), "boot_args": args}), \
                fault(wrong + message)
        yield "args that are long", c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel(), "boot_args": "a" * 2047}), DONE
        yield "too long with what is added", c.call("PUT", "/actions", {"action_type": "InstanceStart"}), fault(
            "Start microvm error: Invalid kernel command line: Inserting string would make command line too long.")
        yield "net id", c.call("PUT", "/network-interfaces/a", {"iface_id": "b", "host_dev_name": "t"}), fault(
            "The id from the path [a] does not match the id from the body [b]!")
        yield "pmem", c.call("PUT", "/pmem/p", {"id": "p", "path_on_host": image, "root_device": True}), DONE
        yield "two roots", c.call("PUT", "/drives/r", {"drive_id": "r", "is_root_device": True, "path_on_host": image}), fault(
            "Drive config error: Attempt to add block as a root device while the root device defined as a pmem device")
        yield "another two", c.call("PUT", "/pmem/q", {"id": "q", "path_on_host": image, "root_device": True}), fault(
            "Pmem config error: Attempt to add pmem as a root device while the root device defined as a block device")
        yield "pmem again", c.call("PUT", "/pmem/p", {"id": "p", "path_on_host": image}), DONE
        yield "level", c.call("PUT", "/logger", {"level": "loud"}), fault(
            "Logger error: Failed to parse string to level filter: loud")
        yield "log", c.call("PUT", "/logger", {"log_path": "/no/log"}), fault(
            "Logger error: Failed to open target file: No such file or directory (os error 2)")
        for level in ["Off", "trace", "DEBUG", "Info", "warn", "Warning", "error"]:
            yield f"level {level}", c.call("PUT", "/logger", {"level": level, "log_path": s.tmp + "/log"}), DONE
        yield "serial", c.call("PUT", "/serial", {"serial_out_path": s.tmp + "/serial"}), DONE


def cpu_config():
    """What a CPU template may say, to the column. Where the error is found late, so is its place."""
    def number(key):
        before = {"leaf": '{"cpuid_modifiers":[{"subleaf":"0x0","flags":0,"modifiers":[],"leaf":', "subleaf":
                  '{"cpuid_modifiers":[{"leaf":"0b1","flags":0,"modifiers":[],"subleaf":', "addr":
                  '{"msr_modifiers":[{"bitmap":"0b1","addr":'}[key]
        prefix = "No supported number system prefix found in value [%s]. Make sure to prefix the number with '0x' for " \
                 "hexadecimal numbers or '0b' for binary numbers."
        parse = "Failed to parse string [%s] as a number for CPU template - ParseIntError { kind: %s }"
        for text, message in [("1", prefix % "1"), ("", prefix % ""), ("0X1", prefix % "0X1"), ("0x", parse % ("0x", "Empty")),
                              ("0x1g", parse % ("0x1g", "InvalidDigit")), ("0b2", parse % ("0b2", "InvalidDigit")),
                              ("0x-1", parse % ("0x-1", "InvalidDigit")), ("0x+", parse % ("0x+", "InvalidDigit")),
                              ("0x1_0", parse % ("0x1_0", "InvalidDigit")),
                              ("0x100000000", parse % ("0x100000000", "PosOverflow")),
                              ("0b" + "1" * 33, parse % ("0b" + "1" * 33, "PosOverflow"))]:
            body = before + f'"{text}"'
            yield body + "}]}", message, len(body) + 1
            yield body + ' , "x":1}]}', message, len(body) + 1
        yield before + "1}]}", "invalid type: integer `1`, expected a string", len(before) + 1

    def bitmap(width):
        before = '{"msr_modifiers":[{"addr":"0x10","bitmap":' if width == 64 else \
            '{"cpuid_modifiers":[{"leaf":"0x1","subleaf":"0x0","flags":0,"modifiers":[{"register":"eax","bitmap":'
        after = "}]}" if width == 64 else "}]}]}"
        long = "0b" + "x" * (width + 1)
        for text, why in [("0b2", "unknown character: 50"), ("0bX", "unknown character: 88"), ("0x1", None),
                          ("1-1", "unknown character: 45"), (long, "string is too long"),
                          ("0b_" + "1" * width, "string is too long"), ("0b1y" + "_" * 70 + "01", "unknown character: 121")]:
            if why:
                body = before + f'"{text}"'
                yield body + after, f"Failed to parse string [{text}] as a bitmap - {why}", len(body) + 1

    def capability():
        before = '{"kvm_capabilities":["1","!2",'
        say = "Failed to parse string [%s] as a kvm capability - can not convert to numeric: %s"
        for text, why in [("", "cannot parse integer from empty string"), ("!", "cannot parse integer from empty string"),
                          ("x", "invalid digit found in string"), ("!!1", "invalid digit found in string"),
                          ("-1", "invalid digit found in string"), ("0x1", "invalid digit found in string"),
                          ("4294967296", "number too large to fit in target type")]:
            body = before + f'"{text}"'
            yield body + "]}", say % (text, why), len(body) + 1
            yield body + ' , "3"]}', say % (text, why), len(body) + 3

    with Server() as s, s.connect() as c:
        for body, message, column in [*number("leaf"), *number("subleaf"), *number("addr"), *bitmap(32), *bitmap(64),
                                      *capability()]:
            yield body, c.call("PUT", "/cpu-config", body), fault(JSON_ERROR + f"{message} at line 1 column {column}.")
        register = '{"cpuid_modifiers":[{"leaf":"0x1","subleaf":"0x0","flags":0,"modifiers":[{"bitmap":"0b1","register":"ekx"'
        yield "register", c.call("PUT", "/cpu-config", register + "}]}]}"), fault(
            JSON_ERROR + "Invalid CPUID register. Must be one of [eax, ebx, ecx, edx] at line 1 column %d." % (len(register) + 1))
        yield "good", c.call("PUT", "/cpu-config", {
            "kvm_capabilities": ["!121", "!+5"], "msr_modifiers": [
                {"addr": "0x1a0", "bitmap": "0b1x0_1"}, {"addr": "0x8b", "bitmap": ""}, {"addr": "0x8b", "bitmap": "x" * 64}],
            "cpuid_modifiers": [{"leaf": "0x00000000000000001", "subleaf": "0b0", "flags": 0, "modifiers": [
                {"register": "eax", "bitmap": "0bx"}, {"register": "ecx", "bitmap": "0" + "_x" * 31}]},
                {"leaf": "0x+7", "subleaf": "0x0", "flags": 1, "modifiers": []}]}), DONE
        yield "kernel", c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel()}), DONE
        start = {"action_type": "InstanceStart"}
        yield "starts", c.call("PUT", "/actions", start), DONE


def cpu_refusals():
    """What the processor does not have is refused when it is asked for, and can be asked for differently."""
    start = {"action_type": "InstanceStart"}
    if ACCEL != "tcg":
        raise Skip("the words are the translator's")
    prefix = "Start microvm error: Failed to create guest config: Template "
    entry = prefix + "changes a CPUID entry not supported by the translator: Leaf: %x, Subleaf: %x " \
        "(leave it out of cpuid_modifiers, or use --accel kvm)"
    bits = prefix + "sets features that the translator does not implement: Leaf: %x, Subleaf: %x, %s: 0x%x " \
        "(write x or 0 for these bits, or use --accel kvm)"
    msr = prefix + "changes an MSR entry not supported by the translator: Register Address: %x " \
        "(leave it out of msr_modifiers, or use --accel kvm)"

    def leaf(number, sub, register=None, bitmap=""):
        return {"cpuid_modifiers": [{"leaf": hex(number), "subleaf": hex(sub), "flags": 0, "modifiers": [
            {"register": register, "bitmap": bitmap}] if register else []}]}
    with Server() as s, s.connect() as c:
        yield "kernel", c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel()}), DONE
        for body, message in [
                (leaf(0x17, 0), entry % (0x17, 0)), (leaf(1, 1), entry % (1, 1)), (leaf(0x40000002, 0), entry % (0x40000002, 0)),
                (leaf(0x80000022, 0), entry % (0x80000022, 0)), (leaf(7, 9, "eax", "0b0"), entry % (7, 9)),
                (leaf(1, 0, "ecx", "0b1xxxxx"), bits % (1, 0, "ecx", 1 << 5)),  # VMX
                (leaf(7, 0, "ecx", "1" + "x" * 16), bits % (7, 0, "ecx", 1 << 16)),  # LA57
                (leaf(0x80000001, 0, "ecx", "1xx"), bits % (0x80000001, 0, "ecx", 1 << 2)),  # SVM
                ({"msr_modifiers": [{"addr": "0x9999", "bitmap": "0"}]}, msr % 0x9999),
                ({"msr_modifiers": [{"addr": "0xce", "bitmap": "1" + "x" * 31}]},
                 prefix + "sets bits of an MSR that the translator does not implement: Register Address: ce, bits: 0x80000000 "
                 "(leave it out of msr_modifiers, or use --accel kvm)"),
                ({"kvm_capabilities": ["!7", "121"]}, "Start microvm error: Kvm error: Missing KVM capabilities: 0x79 "
                 "(leave it out of kvm_capabilities, or use --accel kvm)")]:
            yield f"{body}", c.call("PUT", "/cpu-config", body), DONE
            yield f"start with {body}", c.call("PUT", "/actions", start), fault(message)
        vendor = "Start microvm error: Failed to get CPU template: CPU vendor mismatched between actual CPU and CPU template."
        other = ["T2A"] if HOST_IS_INTEL else ["C3", "T2", "T2S", "T2CL"]
        for name in other + ["V1N1"]:
            yield name, c.call("PATCH", "/machine-config", {"cpu_template": name}), response(204, deprecated=True)
            yield f"start with {name}", c.call("PUT", "/actions", start), fault(vendor)
        # of the two kinds of templates the last one counts
        yield "custom", c.call("PUT", "/cpu-config", leaf(0x17, 0)), DONE
        yield "no name", b"cpu_template" in c.call("GET", "/machine-config"), False
        yield "custom counts", c.call("PUT", "/actions", start), fault(entry % (0x17, 0))
        yield "none", c.call("PATCH", "/machine-config", {"cpu_template": "None"}), response(204, deprecated=True)
        yield "then this one", c.call("PUT", "/cpu-config", {}), DONE
        yield "mine", c.call("PATCH", "/machine-config", {"cpu_template": "T2S" if HOST_IS_INTEL else "T2A"}), \
            response(204, deprecated=True)
        yield "starts", c.call("PUT", "/actions", start), DONE


def cpu_refusals_kvm():
    """The same by KVM, in Firecracker's words."""
    start = {"action_type": "InstanceStart"}
    prefix = "Start microvm error: "
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        raise Skip(f"/dev/kvm: {e.strerror}") from None
    with Server(env={"MAYFLY_ACCEL": "kvm"}) as s, s.connect() as c:
        yield "kernel", c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel()}), DONE
        for body, message in [
                ({"cpuid_modifiers": [{"leaf": "0xff00", "subleaf": "0x1f", "flags": 0, "modifiers": []}]},
                 "Failed to create guest config: Template changes a CPUID entry not supported by KVM: Leaf: ff00, Subleaf: 1f"),
                ({"msr_modifiers": [{"addr": "0x9999", "bitmap": "0bx"}]},
                 "Failed to create guest config: KVM vcpu ioctl failed: Failed to get KVM vcpu msr: 0x9999"),
                ({"kvm_capabilities": ["9999"]}, "Kvm error: Missing KVM capabilities: 0x270f")]:
            yield f"{body}", c.call("PUT", "/cpu-config", body), DONE
            yield f"start with {body}", c.call("PUT", "/actions", start), fault(prefix + message)
        for name in (["T2A"] if HOST_IS_INTEL else ["C3", "T2", "T2S", "T2CL"]) + ["V1N1"]:
            yield name, c.call("PATCH", "/machine-config", {"cpu_template": name}), response(204, deprecated=True)
            yield f"start with {name}", c.call("PUT", "/actions", start), fault(
                prefix + "Failed to get CPU template: CPU vendor mismatched between actual CPU and CPU template.")
        yield "KVM has it, and need not have it", c.call("PUT", "/cpu-config", {
            "kvm_capabilities": ["3", "!9999", "9999", "!55"], "msr_modifiers": [{"addr": "0x277", "bitmap": "0bx"}]}), DONE
        yield "dirty pages", c.call("PATCH", "/machine-config", {"track_dirty_pages": True, "vcpu_count": 2, "smt": True}), DONE
        yield "starts", c.call("PUT", "/actions", start), DONE


def huge_pages():
    """Pages of 2 MiB: refused while there are none, and used when they are reserved."""
    path = "/proc/sys/vm/nr_hugepages"
    start = {"action_type": "InstanceStart"}
    with open(path, encoding="ascii") as f:
        before = int(f.read())
    with open("/proc/meminfo", encoding="ascii") as f:
        free = int(re.search(r"HugePages_Free:\s+(\d+)", f.read()).group(1))
    with Server() as s, s.connect() as c:
        yield "kernel", c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel()}), DONE
        mib = 2 * (free + 64)
        yield "too many", c.call("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": mib, "huge_pages": "2M"}), DONE
        yield "start", c.call("PUT", "/actions", start), fault(
            "Start microvm error: Invalid Memory Configuration: Cannot create mmap region: Out of memory (os error 12) "
            f"(reserve huge pages: echo {mib // 2} > {path})")
        yield "Transparent", c.call("PATCH", "/machine-config", {"mem_size_mib": 32, "huge_pages": "Transparent"}), DONE
        if os.path.exists("/sys/kernel/mm/transparent_hugepage"):
            yield "start in transparent ones", c.call("PUT", "/actions", start), DONE
    try:
        with open(path, "w", encoding="ascii") as f:
            f.write(str(before + 32))
    except OSError as e:
        yield f"cannot reserve pages: {e}", True, True
        return
    try:
        with open("/proc/meminfo", encoding="ascii") as f:
            if int(re.search(r"HugePages_Free:\s+(\d+)", f.read()).group(1)) < 32:
                return  # memory is in pieces
        with Server() as s, s.connect() as c:
            yield "kernel", c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel()}), DONE
            yield "2M", c.call("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 64, "huge_pages": "2M"}), DONE
            yield "it tells", b'"huge_pages":"2M"' in c.call("GET", "/machine-config"), True
            yield "start", c.call("PUT", "/actions", start), DONE
            with open(f"/proc/{s.proc.pid}/smaps", encoding="ascii") as f:
                text = f.read()
            sizes = [int(x) for x in re.findall(r"mayfly-ram.*\nSize:\s+(\d+) kB\nKernelPageSize:\s+2048 kB", text)]
            yield "in huge pages", sizes, [64 << 10]
    finally:
        with open(path, "w", encoding="ascii") as f:
            f.write(str(before))


def added_memory():
    with Server() as s, s.connect() as c:
        image = s.file("p.img", 3 << 20)
        yield "kernel", c.call("PUT", "/boot-source", {"kernel_image_path": s.kernel()}), DONE
        yield "pmem", c.call("PUT", "/pmem/p", {"id": "p", "path_on_host": image, "root_device": True}), DONE
        yield "hotplug", c.call("PUT", "/hotplug/memory", {"total_size_mib": 256}), DONE
        yield "start", c.call("PUT", "/actions", {"action_type": "InstanceStart"}), DONE
        sizes = {"block_size_mib": 2, "total_size_mib": 256, "slot_size_mib": 128, "plugged_size_mib": 0}
        yield "none", c.call("GET", "/hotplug/memory"), response(200, compact({**sizes, "requested_size_mib": 0}))
        yield "wanted", c.call("PATCH", "/hotplug/memory", {"requested_size_mib": 64}), DONE
        yield "some", c.call("GET", "/hotplug/memory"), response(200, compact({**sizes, "requested_size_mib": 64}))
        yield "odd", c.call("PATCH", "/hotplug/memory", {"requested_size_mib": 3}), fault(
            "Memory hotplug update error: hotplug: 3145728 bytes are no multiple of a block (a block has 2 MiB)")
        yield "limit", c.call("PATCH", "/pmem/p", {"id": "p", "rate_limiter": {"ops": {"size": 1, "refill_time": 100}}}), DONE
        yield "another", c.call("PATCH", "/pmem/q", {"id": "q"}), fault("Pmem config error: Device not found")


def poke_slots(slots):
    """A guest that switches the functions of these slots on and writes to all their registers, for ever."""
    code = b""
    for n in slots:
        config, bar = 0xE0000000 + (n << 15), 0xC0000000 + n * 0x8000
        for address, value in ((config + 4, 6), (bar + 0x14, 0x0F), (bar + 0x3000, 0), (bar + 0x4000, 0xFEE00000),
                               (bar + 0x16, 0), (bar + 0x1C, 1), (config + 0x10, bar)):
            code += b"\xc7\x05" + address.to_bytes(4, "little") + value.to_bytes(4, "little")  # mov dword [address], value
        code += b"\xa1" + bar.to_bytes(4, "little") + b"\xa1" + config.to_bytes(4, "little")  # mov eax, [...]
    return code + b"\xe9" + (-len(code) - 5).to_bytes(4, "little", signed=True)


def plugged_and_poked():
    """Devices come and go while a hostile guest uses their registers, there or not."""
    with Server(["--bus", "pci"]) as s, s.connect() as c:
        drives = [{"drive_id": f"d{i}", "is_root_device": False, "path_on_host": s.file(f"d{i}", 4096)} for i in range(3)]
        s.boot(poke_slots(range(1, 32)))
        for i in range(100):
            d = drives[i % 3]
            yield "comes", c.call("PUT", "/drives/" + d["drive_id"], d), DONE
            if i >= 2:
                d = drives[(i + 1) % 3]
                yield "goes", c.call("DELETE", "/drives/" + d["drive_id"]), DONE
            if i == 2:
                threads = s.threads()  # with two drives
        for i in (98, 99):
            yield "goes at last", c.call("DELETE", f"/drives/d{i % 3}"), DONE
        yield "threads", len(s.threads()), len(threads) - 2
        yield "the guest runs", b'"Running"' in c.call("GET", "/"), True


def plugged():
    """Devices of a running microVM that come and go."""
    with Server(["--bus", "pci"]) as s, s.connect() as c:
        first, more, none = s.file("first", 4096), s.file("more", 8192), fault("Device not found")
        body = {"drive_id": "more", "is_root_device": False, "path_on_host": more}
        root = {"drive_id": "root", "is_root_device": True, "path_on_host": first}
        yield "root", c.call("PUT", "/drives/root", root), DONE
        for path in ("/drives/root", "/pmem/p", "/network-interfaces/n"):
            yield f"DELETE {path} before", c.call("DELETE", path), fault(POST_ONLY)
        s.boot()
        for i in range(40):  # more often than there are slots
            yield "comes", c.call("PUT", "/drives/more", body), DONE
            yield "again", c.call("PUT", "/drives/more", body), fault("Device ID in use")
            yield "other image", c.call("PATCH", "/drives/more", {"drive_id": "more", "path_on_host": more}), DONE
            yield "goes", c.call("DELETE", "/drives/more"), DONE
            yield "has gone", c.call("DELETE", "/drives/more"), none
            if i == 0:  # all that the start makes is there by now
                n_fds, threads = s.n_fds(), s.threads()
            yield "change", c.call("PATCH", "/drives/more", {"drive_id": "more"}), fault(
                "Drive config error: Unable to patch the block device: Device not found Please verify the request arguments.")
        yield "descriptors", s.n_fds() <= n_fds, True
        yield "threads", len(s.threads()), len(threads)
        yield "second root", c.call("PUT", "/drives/r", {**root, "drive_id": "r"}), fault(
            "Drive config error: A root block device already exists!")
        yield "root stays", c.call("DELETE", "/drives/root"), fault("Cannot unplug root device")
        yield "no image", c.call("PUT", "/drives/x", {**body, "drive_id": "x", "path_on_host": "/no"}), fault(
            "Drive config error: Unable to create the virtio block device: Virtio backend error: Error manipulating the backing "
            "file: No such file or directory (os error 2) /no")
        for path in ("/pmem/p", "/network-interfaces/n"):
            yield path, c.call("DELETE", path), none
        yield "paused", c.call("PATCH", "/vm", {"state": "Paused"}), DONE
        yield "comes to a paused one", c.call("PUT", "/drives/more", body), DONE
        yield "goes from a paused one", c.call("DELETE", "/drives/more"), DONE
        yield "still paused", b"Paused" in c.call("GET", "/") and b"yes", b"yes"
        later = {"id": "later", "path_on_host": s.file("later", 3 << 20)}
        for i in range(20):
            yield "memory comes", c.call("PUT", "/pmem/later", later), DONE
            yield "memory again", c.call("PUT", "/pmem/later", later), fault("Device ID in use")
            yield "memory goes", c.call("DELETE", "/pmem/later"), DONE
        yield "root memory", c.call("PUT", "/pmem/later", {**later, "root_device": True}), fault(
            "Pmem config error: Attempt to add pmem as a root device while the root device defined as a block device")
        for i in range(11):
            yield "fill", c.call("PUT", f"/drives/d{i}", {**body, "drive_id": f"d{i}", "path_on_host": s.file(f"d{i}", 512)}), DONE
        yield "too many", c.call("PUT", "/drives/more", body), fault(
            "PCI manager error: disk: there are 12 already, and no more fit (unplug one)")


def balloon():
    with Server() as s, s.connect() as c:
        body = {"amount_mib": 4, "deflate_on_oom": False, "stats_polling_interval_s": 1, "free_page_hinting": True,
                "free_page_reporting": False}
        yield "configured", c.call("PUT", "/balloon", body), DONE
        s.boot()
        yield "size", c.call("PATCH", "/balloon", {"amount_mib": 8}), DONE
        body["amount_mib"] = 8
        yield "as told", c.call("GET", "/balloon"), response(200, compact(body))
        yield "too large", c.call("PATCH", "/balloon", {"amount_mib": 33})[:13], b"HTTP/1.1 400 "
        yield "no change", c.call("GET", "/balloon"), response(200, compact(body))
        yield "statistics of a silent guest", c.call("GET", "/balloon/statistics"), response(
            200, '{"target_pages":2048,"actual_pages":0,"target_mib":8,"actual_mib":0}')
        yield "interval", c.call("PATCH", "/balloon/statistics", {"stats_polling_interval_s": 5}), DONE
        yield "off", c.call("PATCH", "/balloon/statistics", {"stats_polling_interval_s": 0}), fault(
            "Balloon update error: Statistics cannot be enabled/disabled after activation.")
        body["stats_polling_interval_s"] = 5
        yield "still on", c.call("GET", "/balloon"), response(200, compact(body))
        yield "no hints yet", c.call("GET", "/balloon/hinting/status"), response(200, '{"host_cmd":0,"guest_cmd":null}')
        yield "start", c.call("PATCH", "/balloon/hinting/start"), DONE
        yield "asked", c.call("GET", "/balloon/hinting/status"), response(200, '{"host_cmd":2,"guest_cmd":null}')
        yield "stop", c.call("PATCH", "/balloon/hinting/stop"), DONE
    with Server() as s, s.connect() as c:
        yield "plain", c.call("PUT", "/balloon", {"amount_mib": 0, "deflate_on_oom": True}), DONE
        s.boot()
        yield "no statistics", c.call("GET", "/balloon/statistics"), fault(
            "Internal VMM error: Received stats querry when stats are disabled.")
        yield "on", c.call("PATCH", "/balloon/statistics", {"stats_polling_interval_s": 1}), fault(
            "Balloon update error: Statistics cannot be enabled/disabled after activation.")
        yield "no hints", c.call("PATCH", "/balloon/hinting/start")[:13], b"HTTP/1.1 400 "


def mmds():
    def put(c, path, body):
        return c.call("PUT", path, body)
    with Server() as s, s.connect() as c:
        yield "nothing", c.call("GET", "/mmds"), response(200, "{}")
        yield "not there yet", c.call("PATCH", "/mmds", {"a": 1}), fault("MMDS error: The MMDS data store is not initialized.")
        yield "PUT", put(c, "/mmds", '{"a": {"b": 1, "c": "\u00e4"}, "d": [1, null]}'), DONE
        yield "GET", c.call("GET", "/mmds"), response(200, '{"a":{"b":1,"c":"\u00e4"},"d":[1,null]}')
        yield "PATCH", c.call("PATCH", "/mmds", '{"a":{"b":null,"e":true}}'), DONE
        yield "merged", c.call("GET", "/mmds"), response(200, '{"a":{"c":"\u00e4","e":true},"d":[1,null]}')
        yield "numbers", put(c, "/mmds", '{"a":1.1,"b":[0.30000000000000004,1e21,5]}'), DONE
        yield "as they came", c.call("GET", "/mmds"), response(200, '{"a":1.1,"b":[0.30000000000000004,1e21,5]}')
        yield "any value", put(c, "/mmds", '"text"'), DONE
        yield "is told", c.call("GET", "/mmds"), response(200, '"text"')
        yield "no JSON", put(c, "/mmds", "{"), fault(JSON_ERROR + "EOF while parsing an object at line 1 column 1.")
        yield "more", put(c, "/mmds", "{} x"), fault(JSON_ERROR + "trailing characters at line 1 column 4.")
        yield "another path", put(c, "/mmds/x", "{}"), fault("Unrecognized PUT request path `x`.")
        config = "MMMDS config error: "
        yield "no network", put(c, "/mmds/config", {"network_interfaces": []}), fault(
            config + "The list of network interface IDs that allow forwarding MMDS requests is empty.", True)
        yield "no such network", put(c, "/mmds/config", {"network_interfaces": ["x"], "version": "V2"}), fault(
            config + "The list of network interface IDs provided contains at least one ID that does not correspond to any "
            "existing network interface.")
        s.boot()
        yield "while it runs", put(c, "/mmds", "{}"), DONE
        yield "no configuration any more", put(c, "/mmds/config", {"network_interfaces": ["x"]}), fault(PRE_ONLY)
    with Server(["--mmds-size-limit", "20"], firecracker=True) as s, s.connect() as c:
        limit = response(413, compact({"fault_message": "MMDS limit exceeded error: The MMDS patch request doesn't fit."}))
        yield "too long", put(c, "/mmds", {"a": "x" * 14}), limit
        yield "just right", put(c, "/mmds", {"a": "x" * 12}), DONE
        yield "too long together", c.call("PATCH", "/mmds", {"b": 1}), limit
        yield "as it was", c.call("GET", "/mmds"), response(200, compact({"a": "x" * 12}))


def metrics():
    with Server(["--id", "metrics-1"], firecracker=True) as s, s.connect() as c:
        path = os.path.join(s.tmp, "metrics")
        bad = "Metrics error: Cannot initialize the metrics system due to bad user input: "
        yield "no directory", c.call("PUT", "/metrics", {"metrics_path": "/no/such"}), fault(
            bad + "No such file or directory (os error 2)")
        yield "metrics", c.call("PUT", "/metrics", {"metrics_path": path, "emit_id": True, "properties": {"a": "b"}}), DONE
        yield "twice", c.call("PUT", "/metrics", {"metrics_path": path}), fault(
            bad + "Reinitialization of metrics not allowed.")
        yield "before", c.call("PUT", "/actions", {"action_type": "FlushMetrics"}), fault(POST_ONLY)
        c.call("PUT", "/vsock", {})
        s.boot()
        yield "flush", c.call("PUT", "/actions", {"action_type": "FlushMetrics"}), DONE
        got = json.loads(open(path, encoding="utf-8").read().splitlines()[-1])
        yield "id", (got["id"], got["properties"]), ("metrics-1", {"a": "b"})
        yield "requests", {k: got["put_api_requests"][k] for k in ("metrics_count", "metrics_fails", "vsock_fails",
                                                                   "boot_source_count", "drive_count")}, \
            {"metrics_count": 3, "metrics_fails": 2, "vsock_fails": 1, "boot_source_count": 1, "drive_count": 0}
        yield "again", c.call("PUT", "/actions", {"action_type": "FlushMetrics"}), DONE
        got = json.loads(open(path, encoding="utf-8").read().splitlines()[-1])
        yield "since the last", got["put_api_requests"]["metrics_count"], 0
        yield "the flush itself", got["put_api_requests"]["actions_count"], 1


def snapshots():
    load = {"snapshot_path": "/s", "mem_backend": {"backend_type": "File", "backend_path": "/m"}}
    none = JSON_ERROR + "missing field: either `mem_backend` or `mem_file_path` is required."
    both = JSON_ERROR + "too many fields: either `mem_backend` or `mem_file_path` exclusively is required."
    with Server() as s, s.connect() as c:
        yield "no verb", c.call("PUT", "/snapshot", {}), fault("Missing snapshot operation type.")
        yield "no verb of ours", c.call("PUT", "/snapshot/take", {}), fault(
            "Invalid request method and/or path: PUT /snapshot/take.")
        yield "no memory", c.call("PUT", "/snapshot/load", {"snapshot_path": "/s"}), fault(none)
        yield "two memories", c.call("PUT", "/snapshot/load", {**load, "mem_file_path": "/m"}), fault(both, True)
        yield "old name", c.call("PUT", "/snapshot/load", {"snapshot_path": "/s", "mem_file_path": "/m"}), fault(
            "Load snapshot error: this version of mayfly reads no snapshots", True)
        yield "no phase", c.call("PUT", "/snapshot/create", {"snapshot_path": "/s", "mem_file_path": "/m"}), fault(POST_ONLY)
        for path, body in [("/logger", {}), ("/serial", {}), ("/cpu-config", {})]:
            yield path, c.call("PUT", path, body), DONE
            yield "allowed after " + path, c.call("PUT", "/snapshot/load", load), fault(
                "Load snapshot error: this version of mayfly reads no snapshots")
        yield "machine", c.call("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 32}), DONE
        yield "not allowed", c.call("PUT", "/snapshot/load", load), fault(
            "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources.")
        s.boot()
        create = {"snapshot_path": "/s", "mem_file_path": "/m"}
        yield "running", c.call("PUT", "/snapshot/create", create), fault(
            "Create snapshot error: Cannot save the microVM state: Operation not allowed: save/restore unavailable while running")
        yield "pause", c.call("PATCH", "/vm", {"state": "Paused"}), DONE
        yield "paused", c.call("PUT", "/snapshot/create", create), fault(
            "Create snapshot error: this version of mayfly writes no snapshots")
        yield "load", c.call("PUT", "/snapshot/load", load), fault(PRE_ONLY)


def states():
    def info(state):
        return response(200, compact({"id": "my-vm-1", "state": state, "vmm_version": "1.17.0-dev", "app_name": "Firecracker"}))
    with Server(["--id", "my-vm-1"], firecracker=True) as s, s.connect() as c:
        yield "version", c.call("GET", "/version"), response(200, '{"firecracker_version":"1.17.0-dev"}')
        yield "before", c.call("GET", "/"), info("Not started")
        s.boot()
        yield "running", c.call("GET", "/"), info("Running")
        for state, want in [("Paused", "Paused"), ("Paused", "Paused"), ("Resumed", "Running"), ("Resumed", "Running")]:
            yield state, c.call("PATCH", "/vm", {"state": state}), DONE
            yield want, c.call("GET", "/"), info(want)


def live_changes():
    with Server() as s, s.connect() as c:
        small, large = s.file("small", 4096), s.file("large", 1 << 20)
        yield "drive", c.call("PUT", "/drives/d", {"drive_id": "d", "is_root_device": False, "path_on_host": small}), DONE
        s.boot()
        yield "another image", c.call("PATCH", "/drives/d", {"drive_id": "d", "path_on_host": large}), DONE
        yield "the same once more", c.call("PATCH", "/drives/d", {"drive_id": "d", "path_on_host": large}), DONE
        os.truncate(large, 1 << 21)
        yield "it has grown", c.call("PATCH", "/drives/d", {"drive_id": "d", "path_on_host": large}), DONE
        yield "no such file", c.call("PATCH", "/drives/d", {"drive_id": "d", "path_on_host": "/no"}), fault(
            "Drive config error: Unable to patch the block device: Virtio backend error: Error manipulating the backing file: "
            "No such file or directory (os error 2) /no Please verify the request arguments.")
        one, two = {"size": 1, "refill_time": 1}, {"size": 2, "one_time_burst": 3, "refill_time": 4}
        yield "bandwidth", c.call("PATCH", "/drives/d", {"drive_id": "d", "rate_limiter": {"bandwidth": one}}), DONE
        yield "operations", c.call("PATCH", "/drives/d", {"drive_id": "d", "rate_limiter": {"ops": two}}), DONE
        want = ('"rate_limiter":{"bandwidth":{"size":1,"one_time_burst":null,"refill_time":1},'
                '"ops":{"size":2,"one_time_burst":3,"refill_time":4}}')
        got = c.call("GET", "/vm/config").decode()
        yield "both are told", want in got and f'"path_on_host":"{large}"' in got, True
        zero = {"size": 0, "refill_time": 0}
        yield "off", c.call("PATCH", "/drives/d", {"drive_id": "d", "rate_limiter": {"bandwidth": zero, "ops": zero}}), DONE
        yield "none is told", '"rate_limiter":null' in c.call("GET", "/vm/config").decode(), True


def networks():
    """In a network namespace of its own, where taps are nobody else's."""
    if os.geteuid() or not os.path.exists("/dev/net/tun") or subprocess.run(["unshare", "-n", "true"],
                                                                           capture_output=True).returncode:
        raise Skip("root and /dev/net/tun are needed")
    code = subprocess.run(["unshare", "-n", sys.executable, os.path.abspath(__file__), "--networks"], capture_output=True,
                          text=True)
    if code.returncode:
        raise AssertionError(code.stdout[-2000:] + code.stderr[-2000:])
    return code.stdout.strip()


def network_cases():
    with Server() as s, s.connect() as c:
        def net(name, tap, **more):
            return c.call("PUT", "/network-interfaces/" + name, {"iface_id": name, "host_dev_name": tap, **more})
        yield "first", net("eth0", "tap0", guest_mac="06:00:00:00:00:0A", mtu=1400), DONE
        yield "same MAC", net("eth1", "tap1", guest_mac="06:00:00:00:00:0a"), fault(
            "Network config error: The MAC address is already in use: 06:00:00:00:00:0a")
        yield "same tap", net("eth1", "tap0"), fault(
            "Network config error: Could not create the network device: Open tap device failed: Error while creating ifreq "
            "structure: Device or resource busy (os error 16). Invalid TUN/TAP Backend provided by tap0. Check our "
            "documentation on setting up the network devices.")
        yield "second", net("eth1", "tap1"), DONE
        yield "again", net("eth0", "tap0", guest_mac="06:00:00:00:00:0b"), DONE
        yield "another tap", net("eth1", "tap2"), DONE
        yield "small mtu", net("eth2", "tap3", mtu=67), fault("Network config error: The MTU 67 is not between 68 and 65535")
        want = ('"network-interfaces":[{"iface_id":"eth0","host_dev_name":"tap0","guest_mac":"06:00:00:00:00:0b","mtu":null,'
                '"rx_rate_limiter":null,"tx_rate_limiter":null},{"iface_id":"eth1","host_dev_name":"tap2","guest_mac":null,'
                '"mtu":null,"rx_rate_limiter":null,"tx_rate_limiter":null}]')
        got = c.call("GET", "/vm/config").decode()
        yield "both are told", want if want in got else got, want
        s.boot()
        limits = {"bandwidth": {"size": 1000, "refill_time": 100}}
        yield "limits", c.call("PATCH", "/network-interfaces/eth1", {"iface_id": "eth1", "rx_rate_limiter": limits,
                                                                     "tx_rate_limiter": {"ops": None}}), DONE
        yield "told", '"rx_rate_limiter":{"bandwidth":{"size":1000,"one_time_burst":null' in \
            c.call("GET", "/vm/config").decode(), True


# --- the wire -----------------------------------------------------------------------------------

def routes():
    def unknown(method, path):
        return fault(f"Invalid request method and/or path: {method} {path}.")
    with Server() as s, s.connect() as c:
        for method, path, body, want in [
                ("GET", "/foo", None, unknown("GET", "foo")), ("GET", "/foo/bar", None, unknown("GET", "foo")),
                ("PUT", "/foo", "{}", unknown("PUT", "foo")), ("PATCH", "/foo", "{}", unknown("PATCH", "foo")),
                ("DELETE", "/foo", None, unknown("DELETE", "foo")), ("PUT", "/", "{}", unknown("PUT", "")),
                ("GET", "/vm", None, unknown("GET", "vm")), ("GET", "/vm/x", None, unknown("GET", "vm")),
                ("GET", "/hotplug", None, unknown("GET", "hotplug")), ("PUT", "/hotplug/cpu", "{}", unknown("PUT", "hotplug")),
                ("GET", "/drives/a", None, unknown("GET", "drives")), ("GET", "/logger", None, unknown("GET", "logger")),
                ("PATCH", "/logger", "{}", unknown("PATCH", "logger")), ("PATCH", "/vsock", "{}", unknown("PATCH", "vsock")),
                ("PUT", "/vm", "{}", unknown("PUT", "vm")), ("PUT", "/version", "{}", unknown("PUT", "version")),
                ("DELETE", "/vsock", None, unknown("DELETE", "vsock")),
                ("GET", "/", "x", fault("GET request cannot have a body.")),
                ("GET", "/foo", "x", fault("GET request cannot have a body.")),
                ("PUT", "/foo", None, fault("Empty PUT request.")), ("PUT", "/logger", None, fault("Empty PUT request.")),
                ("PATCH", "/vm", None, fault("Empty PATCH request.")), ("PATCH", "/balloon", None, fault("Empty PATCH request.")),
                ("DELETE", "/drives/a", "x", fault("Empty Delete request.")),
                ("PUT", "/logger/and/more", "{}", DONE), ("PUT", "//logger", "{}", DONE), ("PUT", "/logger/", "{}", DONE),
                ("PUT", "http://localhost/logger", "{}", DONE), ("PUT", "http://a:80/logger", "{}", DONE),
                ("PATCH", "/vm/", "{}", fault(JSON_ERROR + "missing field `state` at line 1 column 2."))]:
            yield f"{method} {path} {body}", c.call(method, path, body), want
        for target in ["logger", "http://localhost", "http://", "*"]:  # no path: the root
            yield target, c.call("GET", target)[:13], b"HTTP/1.1 200 "


def wire():
    version = response(200, '{"firecracker_version":"0.1.0"}')
    get = b"GET /version HTTP/1.1\r\n\r\n"
    header = "Invalid header. Reason: "
    good = [
        ("the least", get, [version]), ("HTTP/1.0", b"GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [version]),
        ("two at once", get + get, [version, version]), ("a hundred at once", get * 100, [version] * 100),
        ("any header", b"GET /version HTTP/1.1\r\nX-Y: z\r\nAccept: */*\r\nhost:a\r\n\r\n", [version]),
        ("no blank after the colon", b"PUT /logger HTTP/1.1\r\ncontent-length:2\r\n\r\n{}", [DONE]),
        ("blanks around the length", b"PUT /logger HTTP/1.1\r\nContent-Length: \t 2 \r\n\r\n{}", [DONE]),
        ("the same length twice", b"PUT /logger HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", [DONE]),
        ("an empty body", b"PUT /logger HTTP/1.1\r\nContent-Length: 0\r\n\r\n", [fault("Empty PUT request.")]),
        ("identity", b"GET /version HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", [version]),
        ("1022 bytes of path", b"GET /" + b"a" * 1008 + b" HTTP/1.1\r\n\r\n",
         [fault("Invalid request method and/or path: GET " + "a" * 1008 + ".")]),
        ("1022 bytes of header", b"GET /version HTTP/1.1\r\nX: " + b"a" * 1019 + b"\r\n\r\n", [version]),
        ("wait for 100", b"PUT /logger HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
         [b"HTTP/1.1 100 \r\n" + HEAD + b"\r\n", DONE]),
        ("a body of the longest kind", b"PUT /logger HTTP/1.1\r\nContent-Length: 51200\r\n\r\n" + b" " * 51198 + b"{}", [DONE]),
        ("NUL in a body", b"PUT /logger HTTP/1.1\r\nContent-Length: 1\r\n\r\n\0",
         [fault(JSON_ERROR + "expected value at line 1 column 1.")]),
    ]
    bad = [
        ("no method", b"/ HTTP/1.1\r\n\r\n", "Invalid request."), ("one word", b"GET\r\n\r\n", "Invalid request."),
        ("an empty line", b"\r\n\r\n", "Invalid request."), ("two words", b"GET /\r\n\r\n", "Invalid request."),
        ("POST", b"POST / HTTP/1.1\r\n\r\n", "Invalid HTTP Method: Unsupported HTTP method."),
        ("small letters", b"get / HTTP/1.1\r\n\r\n", "Invalid HTTP Method: Unsupported HTTP method."),
        ("two blanks", b"GET  / HTTP/1.1\r\n\r\n", "Invalid URI: Empty URI not allowed."),
        ("no UTF-8", b"GET /\xff HTTP/1.1\r\n\r\n", "Invalid URI: Cannot parse URI as UTF-8."),
        ("HTTP/2", b"GET / HTTP/2\r\n\r\n", "Invalid HTTP Version: Unsupported HTTP version."),
        ("HTTP/1.2", b"GET / HTTP/1.2\r\n\r\n", "Invalid HTTP Version: Unsupported HTTP version."),
        ("a long path", b"GET /" + b"a" * 1020, "Invalid request."),
        ("no colon", b"GET / HTTP/1.1\r\nfoo\r\n\r\n", header + "Header is incorrectly formatted. Key: foo"),
        ("a long header", b"GET / HTTP/1.1\r\n" + b"a" * 1024, header + "Invalid content length. Header: " + "a" * 1024),
        ("LF alone", b"GET /a\nb HTTP/1.1\r\n\r\n", "Invalid URI: Control characters are not allowed."),
        ("LF alone in a header", b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
         header + "Header contains invalid characters. Key: control character"),
        ("no UTF-8 in a header", b"GET / HTTP/1.1\r\nA: \xff\r\n\r\n",
         header + "Header contains invalid characters. Key: invalid utf-8 sequence of 1 bytes from index 3"),
        ("chunks", b"PUT /logger HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
         header + "Unsupported feature. Key: Transfer-Encoding; Value: chunked"),
        ("a blank before the colon", b"PUT /logger HTTP/1.1\r\nContent-Length : 2\r\n\r\n{}",
         header + "Unsupported feature. Key: Content-Length; Value: 2"),
        ("two lengths", b"PUT /logger HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
         header + "Invalid value. Key:Content-Length; Value: 3"),
        ("51201 bytes", b"PUT /logger HTTP/1.1\r\nContent-Length: 51201\r\n\r\n",
         "Request payload with size 51201 is larger than the limit of 51200 allowed by server."),
        ("many headers", b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 65, header + "Too many header fields."),
    ] + [(f"length {v}", f"PUT /logger HTTP/1.1\r\nContent-Length: {v}\r\n\r\n".encode(),
          header + f"Invalid value. Key:Content-Length; Value: {v}")
         for v in ["-1", "+2", "x", "", "2 3", "0x2", "4294967296", "18446744073709551616", "99999999999999999999999"]]
    with Server() as s:
        for name, data, answers in good:
            with s.connect() as c:
                c.send(data)
                for answer in answers:
                    yield name, c.read_response(), answer
                c.send(get)
                yield name + ", then another", c.read_response(), version
        for name, data, message in bad:
            with s.connect() as c:
                c.send(data)
                yield name, c.read_response(), http_error(message)
                yield name + ": closed", c.at_end(), True
        with s.connect() as c:
            c.send(get + b"BAD\r\n")
            yield "what came before is answered", c.read_response(), version
            yield "then the error", c.read_response(), http_error("Invalid request.")
        for data in [b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET /version HTTP/1.0\r\n\r\n"]:
            with s.connect() as c:
                c.send(data)
                yield "close", c.read_response(), version
                yield "closed", c.at_end(), True
    with Server(["--http-api-max-payload-size", "250"], firecracker=True) as s, s.connect() as c:
        c.send(b"PUT /mmds/config HTTP/1.1\r\nContent-Length: 260\r\n\r\nsome body")
        yield "a smaller limit", c.read_response(), http_error(
            "Request payload with size 260 is larger than the limit of 250 allowed by server.")


def json_texts():
    """Texts that are no JSON, or odd JSON, as a whole body."""
    deep = 127
    with Server() as s, s.connect() as c:
        for text, message in [
                ('{"level":"\\x"}', "invalid escape at line 1 column 12"),
                ('{"level":"\\u12"}', "invalid escape at line 1 column 16"),
                ('{"level":"\\u12', "EOF while parsing a string at line 1 column 14"),
                ('{"level":"\\ud800"}', "unexpected end of hex escape at line 1 column 17"),
                ('{"level":"\\udc00"}', "lone leading surrogate in hex escape at line 1 column 16"),
                ('{"level":"a\tb"}', "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 12"),
                ('{"level":"a', "EOF while parsing a string at line 1 column 11"),
                ('{"level" "a"}', "expected `:` at line 1 column 10"),
                ('{"level"', "EOF while parsing an object at line 1 column 8"),
                ('{"level":', "EOF while parsing a value at line 1 column 9"),
                ('{"level":"info" "x"}', "expected `,` or `}` at line 1 column 17"),
                ('{"show_level":1e5}', "invalid type: floating point `100000.0`, expected a boolean at line 1 column 17"),
                ('{"show_level":1e400}', "number out of range at line 1 column 19"),
                ('{"show_level":-0}', "invalid type: floating point `-0.0`, expected a boolean at line 1 column 16"),
                ('{"show_level":-}', "invalid number at line 1 column 16"),
                ('{"show_level":1.}', "invalid number at line 1 column 17"),
                ('{"show_level":1e}', "invalid number at line 1 column 17"),
                ('{"show_level":.5}', "expected value at line 1 column 15"),
                ('{"show_level":NaN}', "expected value at line 1 column 15"),
                ('{"show_level":tru}', "expected ident at line 1 column 18"),
                ('{"show_level":true', "EOF while parsing an object at line 1 column 18"),
                ('{"show_level":0.000001}', "invalid type: floating point `1e-6`, expected a boolean at line 1 column 22"),
                ('{"show_level":12345678901234567890123}',
                 "invalid type: floating point `1.2345678901234568e22`, expected a boolean at line 1 column 37"),
                ("\ufeff{}", "expected value at line 1 column 1")]:
            yield text, c.call("PUT", "/logger", text), fault(JSON_ERROR + message + ".")
        yield "no UTF-8", c.call("PUT", "/logger", b'{"level":"\xff"}'), fault(
            JSON_ERROR + "invalid unicode code point at line 1 column 12.")
        for text in ['{"level":"\\u0049nfo"}', ' {\n"level"\t:\r"info"} \n', '{"module":"\\ud83d\\ude00\\/"}']:
            yield text, c.call("PUT", "/logger", text), DONE
        bucket = '{"rate_limiter":{"size":1,"refill_time":1,"x":%s}}'
        yield "deep", c.call("PUT", "/serial", bucket % ("[" * (deep - 2) + "]" * (deep - 2))), DONE
        at = bucket.index("%s") + deep - 1
        yield "too deep", c.call("PUT", "/serial", bucket % ("[" * deep + "]" * deep)), fault(
            JSON_ERROR + f"recursion limit exceeded at line 1 column {at}.")


def robust():
    get = b"GET /version HTTP/1.1\r\n\r\n"
    version = response(200, '{"firecracker_version":"0.1.0"}')
    put = request("PUT", "/logger", {"level": "Error"})
    full = (b"HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: 40\r\n\r\n"
            b'{ "error": "Too many open connections" }')
    with Server() as s:
        fds, rss = s.n_fds(), s.rss_kib()
        for cut in range(1, len(put)):  # a client may leave at any byte
            with s.connect() as c:
                c.send(put[:cut])
        for cut in range(1, len(put)):
            with s.connect() as c:
                c.send(put[:cut])
                c.send(put[cut:])
                yield f"cut at {cut}", c.read_response(), DONE
        with s.connect() as c:
            for i in range(len(put)):
                c.send(put[i:i + 1])
            yield "byte by byte", c.read_response(), DONE
        ten = [s.connect() for _ in range(10)]
        for c in ten:
            c.send(get)
            yield "ten clients", c.read_response(), version
        for _ in range(20):
            with s.connect() as c:
                yield "the eleventh", c.read_response(), full
        for c in ten:
            c.close()
        for _ in range(300):  # half-open ones come and go
            with s.connect() as c:
                c.send(b"PUT /logger HT")
        with s.connect() as c:
            yield "afterwards", (c.send(get), c.read_response())[1], version
        with s.connect() as lazy, s.connect() as c:  # asks and never reads
            lazy.sock.setblocking(False)
            try:
                for _ in range(100000):
                    lazy.sock.send(get * 20)
            except BlockingIOError:
                pass
            yield "others are served", (c.send(get), c.read_response())[1], version
            yield "and memory stays", "ASAN_OPTIONS" in os.environ or s.rss_kib() - rss < 4 << 10, True
        with s.connect() as c:
            c.send(get * 3)
            c.sock.shutdown(socket.SHUT_WR)
            yield "half-closed", [c.read_response() for _ in range(3)], [version] * 3
            yield "then closed", c.at_end(), True
        with s.connect() as c:
            rights = struct.pack("i", 0)
            c.sock.sendmsg([get], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights * 5)])
            yield "descriptors on the side", c.read_response(), version
        for _ in range(100):
            if s.n_fds() == fds:
                break
            time.sleep(0.02)
        yield "no descriptor is left", s.n_fds(), fds
        os.unlink(s.path)
        yield "still alive without its socket", s.proc.poll(), None


def main():
    if sys.argv[1:] == ["--networks"]:
        n = 0
        for what, got, want in network_cases():
            n += 1
            assert got == want, f"{what}\ngot  {got!r}\nwant {want!r}"
        print(f"{n} requests")
        return
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    cases = Cases(suite)
    for group in (bodies, phase_matrix, machine_config, drives, served_drives, plugged_served_drives, other_resources, balloon,
                  added_memory, plugged, plugged_and_poked, cpu_config, cpu_refusals, cpu_refusals_kvm, huge_pages, mmds, metrics,
                  snapshots, states, live_changes,
                  routes, wire,
                  json_texts, robust):
        cases.group("api: " + group.__name__.replace("_", " "), group)
    suite.check("api: networks", networks)
    for name, case in conversations.CASES + process.CASES:
        suite.check("api: " + name, case)
    print(f"{cases.n} requests compared byte for byte")
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
