#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that the API alone boots, with every device it has, each changed while the guest runs and looked at from inside.
usage: apiboot_test.py [REGEX]"""
import hashlib
import json
import os
import re
import socket
import sys
import threading
import time

from apilive import ApiGuest, enter_namespace
from harness import Suite

MIB = 1 << 20
TAPS = ["tap0"]
METADATA = {"latest": {"meta-data": {"ami-id": "ami-1", "n": 1}}, "name": "first"}
URL = "http://169.254.169.254"


def check(ok, text):
    if not ok:
        raise AssertionError(text)


def configure(g, version):
    g.first = g.file("first.img", 16 * MIB, b"first disk")
    g.second = g.file("second.img", 8 * MIB, b"second disk")
    g.third = g.file("third.img", 24 * MIB, b"third disk")
    g.kept = g.file("kept.img", 32 * MIB, b"kept in memory")
    g.metrics, g.serial = os.path.join(g.tmp, "metrics"), os.path.join(g.tmp, "serial")
    g.put("/metrics", {"metrics_path": g.metrics, "properties": {"test": "boot"}})
    g.put("/logger", {"log_path": os.path.join(g.tmp, "log"), "level": "Info"})
    g.put("/serial", {"serial_out_path": g.serial, "rate_limiter": {"size": 1 << 20, "refill_time": 1000}})
    g.put("/drives/one", {"drive_id": "one", "is_root_device": False, "path_on_host": g.first, "io_engine": "Async",
                          "rate_limiter": {"bandwidth": {"size": 64 * MIB, "refill_time": 100}}})
    g.put("/drives/two", {"drive_id": "two", "is_root_device": False, "path_on_host": g.second, "is_read_only": True})
    g.put("/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": "tap0", "guest_mac": "06:00:ac:10:00:02"})
    g.put("/mmds/config", {"network_interfaces": ["eth0"], "version": version})
    g.put("/mmds", METADATA)
    g.put("/balloon", {"amount_mib": 0, "deflate_on_oom": False, "stats_polling_interval_s": 1})
    g.put("/entropy", {"rate_limiter": {"bandwidth": {"size": 1000000, "refill_time": 100}}})
    g.put("/pmem/kept", {"id": "kept", "path_on_host": g.kept})
    g.put("/hotplug/memory", {"total_size_mib": 256})


def drives(g):
    out = g.sh("head -c 10 /dev/vda; echo; head -c 11 /dev/vdb; echo; blockdev --getsize64 /dev/vda; "
               "blockdev --getsize64 /dev/vdb; cat /sys/block/vdb/ro")
    check(out.split("\n")[:5] == ["first disk", "second disk", str(16 * MIB), str(8 * MIB), "1"], out)
    g.sh("dd if=/dev/urandom of=/tmp/r bs=64k count=16 2>/dev/null; dd if=/tmp/r of=/dev/vda bs=64k seek=16 conv=fsync "
         "2>/dev/null")
    want = g.sh("md5sum </tmp/r").split()[0]
    with open(g.first, "rb") as f:
        check(hashlib.md5(f.read()[MIB:2 * MIB]).hexdigest() == want, "the image has other bytes")
    g.patch("/drives/two", {"drive_id": "two", "path_on_host": g.third})
    g.until(lambda: "vdb keeps its size", lambda: g.sh("blockdev --getsize64 /dev/vdb").strip() == str(24 * MIB), 10)
    out = g.sh("echo 3 >/proc/sys/vm/drop_caches; head -c 10 /dev/vdb")
    check(out == "third disk", out)
    os.truncate(g.first, 20 * MIB)
    g.patch("/drives/one", {"drive_id": "one", "path_on_host": g.first})
    g.until(lambda: "vda keeps its size", lambda: g.sh("blockdev --getsize64 /dev/vda").strip() == str(20 * MIB), 10)
    g.refused("PATCH", "/drives/one", {"drive_id": "one", "path_on_host": "/no/such"}, "No such file")
    read = "dd if=/dev/vda of=/dev/null bs=64k count=%d iflag=direct 2>/dev/null"
    free = g.timed(read % 64)
    g.patch("/drives/one", {"drive_id": "one", "rate_limiter": {"bandwidth": {"size": MIB, "refill_time": 500}}})
    slow = g.timed(read % 80)  # 5 MiB at 2 MiB/s; what the bucket has first is free
    check(1.7 < slow < 8 + free, f"5 MiB at 2 MiB/s took {slow:.2f} s")
    g.patch("/drives/one", {"drive_id": "one", "rate_limiter": {"bandwidth": {"size": 0, "refill_time": 0},
                                                                 "ops": {"size": 10, "refill_time": 500}}})
    few = g.timed("dd if=/dev/vda of=/dev/null bs=4k count=50 iflag=direct 2>/dev/null")
    check(1.7 < few < 8 + free, f"50 reads at 20/s took {few:.2f} s")
    g.patch("/drives/one", {"drive_id": "one", "rate_limiter": {"ops": {"size": 0, "refill_time": 0}}})
    again = g.timed(read % 64)
    check(again < slow, f"without a limit: {again:.2f} s")
    return f"4 MiB in {free:.2f} s, 5 MiB at 2 MiB/s in {slow:.2f} s, 50 reads at 20/s in {few:.2f} s"


class Peer:
    """A TCP service on the host: 'g' gets bytes, 's' has them taken."""

    def __init__(self, size):
        self.sock, self.size = socket.create_server(("10.0.0.1", 5000)), size
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            try:
                conn = self.sock.accept()[0]
            except OSError:
                return
            with conn:
                conn.settimeout(60)
                if conn.recv(2)[:1] == b"g":
                    conn.sendall(bytes(self.size))
                else:
                    got = 0
                    while got < self.size and (chunk := conn.recv(65536)):
                        got += len(chunk)
                    conn.sendall(b"%d\n" % got)


def network(g):
    size = 1500000
    peer = Peer(size)
    g.sh("ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; ip route add 169.254.169.254 dev eth0; "
         "ping -c 1 -W 5 10.0.0.1 >/dev/null")
    get = f"test $(echo g | nc 10.0.0.1 5000 | wc -c) = {size}"
    send = f"test $({{ echo s; head -c {size} /dev/zero; }} | nc 10.0.0.1 5000) = {size}"
    took = {"rx": [g.timed(get)], "tx": [g.timed(send)]}
    none, slow = {"size": 0, "refill_time": 0}, {"size": 250000, "refill_time": 500}
    for way, line in (("rx", get), ("tx", send)):
        g.patch("/network-interfaces/eth0", {"iface_id": "eth0", way + "_rate_limiter": {"bandwidth": slow}})
        took[way].append(g.timed(line))
        check(2 < took[way][1] < 15, f"{size} bytes {way} at 500 kB/s took {took[way][1]:.2f} s")
        g.patch("/network-interfaces/eth0", {"iface_id": "eth0", way + "_rate_limiter": {"bandwidth": none}})
    for way, line in (("rx", get), ("tx", send)):
        took[way].append(g.timed(line))
        check(took[way][2] < took[way][1] / 2, f"{way} without a limit: {took[way]}")
    peer.sock.shutdown(socket.SHUT_RDWR)
    peer.sock.close()
    return "; ".join(way + " " + " ".join(f"{x:.2f}" for x in t) + " s free, at 500 kB/s, free" for way, t in took.items())


def metadata(g, version):
    head = ""
    if version == "V2":
        g.sh(f"! wget -qO- {URL}/name")
        token = g.sh("printf 'PUT /latest/api/token HTTP/1.1\\r\\nX-metadata-token-ttl-seconds: 60\\r\\n"
                     "Connection: close\\r\\n\\r\\n' | nc 169.254.169.254 80 | tail -n 1").strip()
        check(len(token) == 48, f"token {token!r}")
        head = f"--header 'X-metadata-token: {token}'"
    check(g.sh(f"wget {head} -qO- {URL}/name") == "first", "the first name")
    g.patch("/mmds", {"name": "second", "latest": {"meta-data": {"n": None, "new": [1, 2]}}})
    check(g.sh(f"wget {head} -qO- {URL}/name") == "second", "the second name")
    got = json.loads(g.sh(f"wget {head} --header 'Accept: application/json' -qO- {URL}/latest/meta-data"))
    check(got == {"ami-id": "ami-1", "new": [1, 2]} == g.get("/mmds")["latest"]["meta-data"], str(got))
    g.put("/mmds", {"only": "this"})
    check(g.sh(f"wget {head} -qO- {URL}/") == "only", "the document is another")


def available_mib(g):
    return int(re.search(r"MemAvailable:\s+(\d+) kB", g.sh("cat /proc/meminfo")).group(1)) // 1024


def balloon(g):
    before = available_mib(g)
    g.until(lambda: g.get("/balloon/statistics"), lambda: "total_memory" in g.get("/balloon/statistics"), 10)
    s = g.get("/balloon/statistics")
    check(abs(s["available_memory"] / MIB - before) < 40, f"{s} and {before} MiB in the guest")
    g.patch("/balloon", {"amount_mib": 128})
    g.until(lambda: g.get("/balloon/statistics"), lambda: g.get("/balloon/statistics")["actual_mib"] == 128)
    after = available_mib(g)
    check(100 < before - after < 160, f"MemAvailable {before} -> {after} MiB")
    g.until(lambda: g.get("/balloon/statistics"),
            lambda: s["available_memory"] - g.get("/balloon/statistics")["available_memory"] > 100 * MIB, 10)
    g.patch("/balloon/statistics", {"stats_polling_interval_s": 60})
    check(g.get("/balloon")["stats_polling_interval_s"] == 60, "interval")
    time.sleep(1.2)  # what was asked before
    old = g.get("/balloon/statistics")["available_memory"]
    g.patch("/balloon", {"amount_mib": 0})
    g.until(lambda: g.get("/balloon/statistics"), lambda: g.get("/balloon/statistics")["actual_mib"] == 0)
    time.sleep(1.2)
    check(g.get("/balloon/statistics")["available_memory"] == old, "statistics came within the longer interval")
    g.patch("/balloon/statistics", {"stats_polling_interval_s": 1})
    g.until(lambda: g.get("/balloon/statistics"), lambda: g.get("/balloon/statistics")["available_memory"] != old, 10)
    return f"MemAvailable {before} -> {after} -> {available_mib(g)} MiB"


def memory(g):
    total = lambda: int(re.search(r"MemTotal:\s+(\d+) kB", g.sh("cat /proc/meminfo")).group(1)) // 1024
    before = total()
    g.patch("/hotplug/memory", {"requested_size_mib": 256})
    g.until(lambda: g.get("/hotplug/memory"), lambda: g.get("/hotplug/memory")["plugged_size_mib"] == 256)
    g.until(lambda: f"MemTotal {before} -> {total()}", lambda: total() - before > 240)
    g.patch("/hotplug/memory", {"requested_size_mib": 0})
    g.until(lambda: g.get("/hotplug/memory"), lambda: g.get("/hotplug/memory")["plugged_size_mib"] == 0)
    g.until(lambda: f"MemTotal is {total()}, was {before}", lambda: total() == before)
    return f"MemTotal {before} MiB"


def others(g):
    """Entropy, persistent memory, the serial port."""
    check(g.sh("dd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c").strip() == "256", "random numbers")
    check(g.sh("head -c 14 /dev/pmem0") == "kept in memory", "what the file has")
    flush = "for i in 1 2 3 4 5 6; do echo flushed | dd of=/dev/pmem0 bs=4k seek=$i conv=fsync,notrunc 2>/dev/null; done"
    g.sh(flush)
    with open(g.kept, "rb") as f:
        f.seek(4096)
        check(f.read(8) == b"flushed\n", "the file of the persistent memory")
    fast = g.timed(flush)
    g.patch("/pmem/kept", {"id": "kept", "rate_limiter": {"ops": {"size": 1, "refill_time": 400}}})
    slow = g.timed(flush)
    check(slow > 1.5, f"6 flushes at 2.5/s took {slow:.2f} s, {fast:.2f} s without a limit")
    g.patch("/pmem/kept", {"id": "kept", "rate_limiter": {"ops": {"size": 0, "refill_time": 0}}})
    g.sh("echo said to the port >/dev/ttyS0")
    g.until(lambda: "nothing came", lambda: "said to the port" in open(g.serial, encoding="utf-8", errors="replace").read(), 10)


def pause(g):
    g.sh("while :; do echo $((n = n + 1)) >/tmp/m; mv -f /tmp/m /tmp/n; done >/dev/null 2>&1 & echo $! >/tmp/pid")
    for _ in range(3):
        g.patch("/vm", {"state": "Paused"})
        check(g.get("/")["state"] == "Paused", "state")
        s = g.open_raw()
        s.settimeout(0.4)
        try:
            got = s.recv(1)
            raise AssertionError(f"a paused guest answered {got!r}")
        except TimeoutError:
            pass
        g.patch("/vm", {"state": "Resumed"})
        s.settimeout(20)
        check(s.recv(2) == b"OK", "the guest answers once it goes on")
        s.close()
    check(g.get("/")["state"] == "Running", "state")
    g.until(lambda: "it does not count on", lambda: int(g.sh("cat /tmp/n") or 0) > 100)
    g.sh("kill $(cat /tmp/pid)")


def flush(g, version):
    g.put("/actions", {"action_type": "FlushMetrics"})
    with open(g.metrics, encoding="utf-8") as f:
        m = json.loads(f.read().splitlines()[-1])
    g.put("/actions", {"action_type": "FlushMetrics"})
    with open(g.metrics, encoding="utf-8") as f:
        lines = f.read().splitlines()
    check(len(lines) >= 2 and m["properties"] == {"test": "boot"}, f"{len(lines)} lines")
    wrong = [name for name, ok in [
        ("block_one", m["block_one"]["read_bytes"] > 9 * MIB and m["block_one"]["write_bytes"] >= MIB),
        ("block throttled", m["block_one"]["rate_limiter_throttled_events"] > 0),
        ("net", m["net_eth0"]["rx_bytes_count"] > 4000000 and m["net_eth0"]["tx_bytes_count"] > 4000000),
        ("net throttled", m["net_eth0"]["rx_rate_limiter_throttled"] > 0 and m["net_eth0"]["tx_rate_limiter_throttled"] > 0),
        ("mmds", m["mmds"]["connections_created"] >= 3), ("pmem", m["pmem_kept"]["rate_limiter_throttled_events"] > 0),
        ("hotplug", m["memory_hotplug"]["plug_bytes"] == 256 * MIB == m["memory_hotplug"]["unplug_bytes"]),
        ("patch", m["patch_api_requests"]["drive_count"] >= 6),
        ("api fails", m["patch_api_requests"]["drive_fails"] == 1),
    ] if not ok]
    check(not wrong, f"{wrong}: {m}")
    again = json.loads(lines[-1])
    check(again["block_one"]["read_bytes"] < MIB, "counters go on from the last flush")


def everything(suite, kernel, bus, version):
    box = {}
    name = f"tcg: {kernel}, {bus}, MMDS {version}: "

    def boot():
        g = ApiGuest(kernel, bus, taps=TAPS)
        try:
            configure(g, version)
            g.start()
        except BaseException:
            g.server.close()
            raise
        box["g"] = g

    def end():
        box["g"].sound()
        box["g"].power_off()
    try:
        suite.check(name + "boot by the API alone", boot)
        if "g" not in box:
            return
        g = box["g"]
        for what, case in [("drives", drives), ("network", network), ("metadata", lambda g: metadata(g, version)),
                           ("balloon", balloon), ("memory", memory), ("entropy, pmem, serial", others), ("pause", pause),
                           ("metrics", lambda g: flush(g, version))]:
            suite.check(name + what, lambda c=case: c(g))
        suite.check(name + "power off", end)
    finally:
        if "g" in box:
            box["g"].server.close()


def main():
    enter_namespace(TAPS)
    suite = Suite()
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    for kernel, bus, version in (("cloud-6.1", "mmio", "V1"), ("cloud-6.12", "pci", "V2")):
        if re.search(only, f"{kernel} {bus} {version}"):
            everything(suite, kernel, bus, version)
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
