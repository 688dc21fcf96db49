#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the metrics say against what a guest did. usage: metrics_test.py [REGEX]

A stock kernel does known things to each device, between two looks at the metrics; guests of a few bytes do them to chips.
Networks and the metadata service: mmds_test.py.
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

from balloon_test import check
from harness import MAYFLY, ROOT, Suite
from live import Live
import payload

sys.path.insert(0, os.path.join(ROOT, "tests", "api"))
from fc import DONE, Server  # noqa: E402

MODULES = ["virtio_mmio", "virtio_blk", "virtio_balloon", "virtio_mem", "virtio-rng", "vsock", "vmw_vsock_virtio_transport"]
DISK_BYTES = 1 << 20


def look(g):
    res = subprocess.run([MAYFLY, "debug", "metrics", str(g.proc.pid), "--json"], env=g.env, capture_output=True, check=True,
                         timeout=20)
    return json.loads(res.stdout)


class Change:
    """What a device has counted since this was made."""

    def __init__(self, g, group):
        self.g, self.group, self.before = g, group, look(g)[group]

    def __getitem__(self, key):
        return look(self.g)[self.group][key] - self.before[key]

    def time(self, key, n):
        """A time of n things is plausible: sum and mean of what happened since, the extremes of all time."""
        now, before = look(self.g)[self.group][key], self.before[key]
        took = now["sum_us"] - before["sum_us"]
        check(n > 0 and took > 0, f"{self.group}.{key}: nothing of {n} took any time: {now}")
        check(0 < now["min_us"] <= took / n + 1 and took / n <= now["max_us"] < 60e6 and now["max_us"] <= now["sum_us"],
              f"{self.group}.{key}: {n} took {took} us: {now}")


def equal(what, got, want, slack=0):
    check(abs(got - want) <= slack, f"{what}: {got}, not {want}")


def block(g):
    g.sh("sync; echo 3 >/proc/sys/vm/drop_caches")
    c = Change(g, "block_disk0")
    g.sh("cat /dev/vda >/dev/null")
    equal("read_bytes", c["read_bytes"], DISK_BYTES)
    c.time("read_agg", c["read_count"])
    equal("write_count", c["write_count"], 0)
    c = Change(g, "block_disk0")
    g.sh(f"dd if=/dev/zero of=/dev/vda bs=64k count={DISK_BYTES >> 17} conv=fsync,notrunc 2>/dev/null")
    equal("write_bytes", c["write_bytes"], DISK_BYTES // 2)
    check(c["flush_count"] >= 1 and c["queue_event_count"] >= 1, "no flush or no kick")
    c.time("write_agg", c["write_count"])
    n = look(g)
    check(n["block"] == n["block_disk0"], "one disk is not all disks")
    return f"{n['block']['read_agg']} {n['block']['write_agg']}"


def balloon(g):
    c = Change(g, "balloon")
    g.tell("balloon 64")
    g.until(lambda: g.figures("balloon"), lambda: g.figures("balloon")["actual_mib"] == 64)
    check(c["inflate_count"] >= 64 and c["deflate_count"] == 0, f"{look(g)['balloon']}")
    g.tell("balloon 0")
    g.until(lambda: g.figures("balloon"), lambda: g.figures("balloon")["actual_mib"] == 0)
    check(c["deflate_count"] >= 64, f"{look(g)['balloon']}")
    g.until(lambda: look(g)["balloon"], lambda: c["stats_updates_count"] >= 2)
    equal("event_fails", c["event_fails"], 0)


def hotplug(g):
    c = Change(g, "memory_hotplug")
    g.tell("hotplug 128M")
    g.until(lambda: g.figures("hotplug"), lambda: g.figures("hotplug")["plugged_size_mib"] == 128)
    equal("plug_bytes", c["plug_bytes"], 128 << 20)
    c.time("plug_agg", c["plug_count"] + c["plug_fails"])
    g.tell("hotplug 0")
    g.until(lambda: g.figures("hotplug"), lambda: g.figures("hotplug")["plugged_size_mib"] == 0)
    equal("unplug_bytes", c["unplug_bytes"], 128 << 20)
    c.time("unplug_agg", c["unplug_count"] + c["unplug_fails"])


def entropy(g):
    c = Change(g, "entropy")
    g.sh("dd if=/dev/hwrng of=/dev/null bs=64 count=64 2>/dev/null")
    check(c["entropy_bytes"] >= 3072 and 1 <= c["entropy_event_count"] <= c["entropy_bytes"], f"{look(g)['entropy']}")
    equal("host_rng_fails", c["host_rng_fails"], 0)
    g.tell("limit rng 1024")
    g.sh("dd if=/dev/hwrng of=/dev/null bs=64 count=48 2>/dev/null")
    check(c["entropy_rate_limiter_throttled"] > 0 and c["rate_limiter_event_count"] > 0, f"{look(g)['entropy']}")
    g.tell("limit rng 0")


def vsock(g, path):
    c = Change(g, "vsock")
    for i in range(5):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(path)
            s.sendall(b"CONNECT 7777\n")
            check(s.recv(100) == b"", "the guest has a service there")
        g.until(lambda: look(g)["vsock"], lambda: c["conns_removed"] == i + 1)  # pylint: disable=cell-var-from-loop
    equal("conns_added", c["conns_added"], 5)
    equal("rx_packets_count", c["rx_packets_count"], 5)  # requests
    equal("tx_packets_count", c["tx_packets_count"], 5)  # and their RST
    check(c["tx_queue_event_count"] >= 1 and c["rx_bytes_count"] == c["tx_bytes_count"] == 0, f"{look(g)['vsock']}")


def serial(g):
    g.sh("true")
    time.sleep(0.3)  # the end of its line
    c, exits, line = Change(g, "uart"), Change(g, "vcpu"), "echo " + "x" * 500
    out = g.sh(line)
    time.sleep(0.3)
    equal("read_count", c["read_count"], len(line) + 1)
    sent = c["write_count"]
    equal("write_count", sent, len(out) + len(f"agent-done {g.lines} 0\r\n") + 1, 3)
    check(exits["exit_io_out"] >= sent and exits["exit_io_in"] >= len(line), f"{look(g)['vcpu']}")
    exits.time("exit_io_out_agg", exits["exit_io_out"])
    exits.time("exit_io_in_agg", exits["exit_io_in"])
    mmio = Change(g, "vcpu")
    g.sh("echo 3 >/proc/sys/vm/drop_caches; cat /dev/vda >/dev/null")
    mmio.time("exit_mmio_write_agg", mmio["exit_mmio_write"])
    equal("rate_limiter_dropped_bytes", c["rate_limiter_dropped_bytes"], 0)


def linux(kernel):
    with tempfile.TemporaryDirectory() as tmp:
        disk, uds = os.path.join(tmp, "disk"), os.path.join(tmp, "vsock")
        with open(disk, "wb") as f:
            f.truncate(DISK_BYTES)
        with Live(kernel, MODULES, ["--disk", disk, "--balloon", "0,stats=1", "--hotplug-mem", "256M", "--rng", "--vsock",
                                    "3,uds=" + uds, "--cmdline+", "memhp_default_state=online_movable"]) as g:
            note = block(g)
            for part in (balloon, hotplug, entropy, lambda g: vsock(g, uds), serial):
                part(g)
            text = subprocess.run([MAYFLY, "debug", "metrics", str(g.proc.pid)], env=g.env, capture_output=True, text=True,
                                  check=True, timeout=20).stdout
            for want in ("# TYPE mayfly_blk_read_us_min gauge\n", "# TYPE mayfly_blk_read_us_sum_total counter\n",
                         "# TYPE mayfly_vcpu_exit_io_in_agg_max_us gauge\n", 'mayfly_vsock_conns_added_total{id="vsock"} 5\n'):
                check(want in text, f"no {want!r}")
            return note


def last_line(path):
    with open(path, encoding="utf-8") as f:
        return json.loads(f.read().splitlines()[-1])


def chips():
    """IN from 0x70 (write-only), OUT to status register C of the clock, one read of an empty UART, two keyboard commands."""
    code = (b"\xe4\x70" * 3 + payload.outb(0x70, 0x0C) + payload.outb(0x71, 0) + b"\x66\xba\xf8\x03\xec" +
            payload.print_text("hello\n") + b"\xe4\x64" * 2 + payload.outb(0x64, 0xAE) + payload.RESET_KEYBOARD)
    with Server() as s:
        path = os.path.join(s.tmp, "metrics")
        check(s.call("PUT", "/metrics", {"metrics_path": path}) == DONE, "PUT /metrics")
        s.boot(code)
        check(s.wait_end() == 0, s.err())
        n = last_line(path)
    for group, key, want in [("rtc", "missed_read_count", 3), ("rtc", "missed_write_count", 1), ("uart", "missed_read_count", 1),
                             ("uart", "write_count", 6), ("uart", "read_count", 0), ("i8042", "read_count", 2),
                             ("i8042", "write_count", 2), ("i8042", "reset_count", 1)]:
        equal(f"{group}.{key}", n[group][key], want)
    check(n["vcpu"]["exit_io_out"] >= 10 and n["vcpu"]["exit_io_out_agg"]["sum_us"] > 0, f"{n['vcpu']}")


def lifecycle():
    with Server() as s, s.connect() as c:
        path = os.path.join(s.tmp, "metrics")
        for method, where, body in [
                ("PUT", "/metrics", {"metrics_path": path}),
                ("PUT", "/serial", {"rate_limiter": {"size": 100, "refill_time": 3600000}})]:
            check(c.call(method, where, body) == DONE, where)
        s.boot(payload.FLOOD)
        time.sleep(0.2)
        for method, where, body in [("PATCH", "/vm", {"state": "Paused"}), ("PATCH", "/vm", {"state": "Resumed"}),
                                    ("PUT", "/actions", {"action_type": "FlushMetrics"})]:
            check(c.call(method, where, body) == DONE, where)
        first = last_line(path)
        check(c.call("PUT", "/actions", {"action_type": "FlushMetrics"}) == DONE, "flush")
        second = last_line(path)
        for n in (first, second):
            check(all(0 < n["latencies_us"][k] < 10e6 for k in ("pause_vm", "resume_vm", "vmm_pause_vm", "vmm_resume_vm")),
                  f"{n['latencies_us']}")
        check(0 < first["api_server"]["process_startup_time_us"] < 60e6, f"{first['api_server']}")
        check(first["uart"]["rate_limiter_dropped_bytes"] > 0, f"{first['uart']}")
        equal("bytes sent", first["uart"]["write_count"], 100 + first["uart"]["rate_limiter_dropped_bytes"], 100)
        agg = second["vcpu"]["exit_io_out_agg"]
        check(agg["max_us"] >= first["vcpu"]["exit_io_out_agg"]["max_us"] > 0 and
              agg["sum_us"] < 1000 + first["vcpu"]["exit_io_out_agg"]["sum_us"], f"{agg}")


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    suite.check("metrics: chips", chips)
    suite.check("metrics: life cycle", lifecycle)
    for kernel in ("cloud-6.1", "cloud-6.12"):
        suite.check(f"metrics: devices, {kernel}", lambda k=kernel: linux(k))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
