#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives, networks and persistent memory that come to a running guest by the API, and go.
usage: plug_test.py [--cycles N] [REGEX]   (N: 10; MAYFLY may be a build with sanitizers)"""
import argparse
import os
import re
import sys
import time

from apilive import ApiGuest, enter_namespace
from harness import Suite

MIB = 1 << 20
TAPS = ["tap0", "tap1"]
RESCAN = "echo 1 >/sys/bus/pci/rescan"


def check(ok, text):
    if not ok:
        raise AssertionError(text)


def functions(g):
    return set(g.sh("ls /sys/bus/pci/devices").split())


def appears(g, before):
    """The function that a rescan finds."""
    g.sh(RESCAN)
    new = functions(g) - before
    check(len(new) == 1, f"a rescan found {new}")
    return new.pop()


def remove(g, function):
    g.sh(f"echo 1 >/sys/bus/pci/devices/{function}/remove")


def node(g, function, kind):
    g.until(lambda: f"no {kind} for {function}",
            lambda: g.sh(f"ls /sys/bus/pci/devices/{function}/virtio*/{kind} 2>/dev/null; true").split(), 10)
    return g.sh(f"ls /sys/bus/pci/devices/{function}/virtio*/{kind}").split()[-1]


def drive(g, name="more", path=None, **more):
    return {"drive_id": name, "is_root_device": False, "path_on_host": path or g.more, **more}


def boot(g):
    g.first, g.more = g.file("first.img", 8 * MIB, b"first"), g.file("more.img", 16 * MIB, b"more")
    g.metrics = os.path.join(g.tmp, "metrics")
    g.put("/metrics", {"metrics_path": g.metrics})
    g.put("/drives/first", {"drive_id": "first", "is_root_device": False, "path_on_host": g.first})
    g.put("/balloon", {"amount_mib": 0, "deflate_on_oom": False})
    g.put("/entropy", {})
    g.start()


def drives(g):
    before, fds = functions(g), g.server.n_fds()
    g.put("/drives/more", drive(g, rate_limiter={"ops": {"size": 100000, "refill_time": 100}}))
    f = appears(g, before)
    dev = "/dev/" + node(g, f, "block")
    g.sh(f"test $(head -c 4 {dev}) = more; mke2fs {dev} >/dev/null 2>&1; mkdir -p /m; mount -t ext2 {dev} /m; "
         f"cp /bin/busybox /m/b; sync; umount /m; mount -t ext2 {dev} /m && cmp /m/b /bin/busybox")
    check("block_more" in flush(g), "no metrics of it")
    check([d["drive_id"] for d in g.get("/vm/config")["drives"]] == ["first", "more"], "configuration")
    g.patch("/drives/more", {"drive_id": "more", "rate_limiter": {"bandwidth": {"size": MIB, "refill_time": 1000}}})
    g.refused("PUT", "/drives/more", drive(g), "^Device ID in use$")
    g.refused("PUT", "/drives/r", drive(g, "r", is_root_device=True), "^Drive config error: A root block device already exists!$")
    g.refused("PUT", "/drives/bad", drive(g, "bad", "/no/such"), "No such file or directory")
    g.refused("PUT", "/drives/same", drive(g, "same"), "locked by another")
    g.refused("DELETE", "/drives/none", None, "^Device not found$")
    g.sh("umount /m")
    remove(g, f)
    g.delete("/drives/more")
    check(functions(g) == before, "it is still there")
    g.sh(RESCAN)
    check(functions(g) == before, "a rescan found it again")
    check("block_more" not in flush(g), "metrics of what is gone")
    g.until(lambda: f"{g.server.n_fds()} descriptors, {fds} before", lambda: g.server.n_fds() <= fds, 5)
    g.refused("DELETE", "/drives/more", None, "^Device not found$")
    # the others are numbered anew, and changes reach the right one
    for name in ("a", "b", "c"):
        g.put(f"/drives/{name}", drive(g, name, g.file(name + ".img", MIB, name.encode())))
    g.delete("/drives/a")
    g.patch("/drives/c", {"drive_id": "c", "path_on_host": g.file("other.img", 3 * MIB, b"other")})
    g.sh(RESCAN)
    sizes = g.sh("cat /sys/block/vd*/size").split()
    check(sorted(sizes) == sorted(["16384", "2048", "6144"]), str(sizes))
    for f in functions(g) - before:
        remove(g, f)
    for name in ("b", "c"):
        g.delete(f"/drives/{name}")
    g.sh("head -c 5 /dev/vda | grep -q first")


def flush(g):
    g.put("/actions", {"action_type": "FlushMetrics"})
    with open(g.metrics, encoding="utf-8") as f:
        return f.read().splitlines()[-1]


def nets(g):
    before = functions(g)
    net = {"iface_id": "eth1", "host_dev_name": "tap1", "guest_mac": "06:00:ac:10:00:07"}
    g.put("/network-interfaces/eth1", net)
    f = appears(g, before)
    dev = node(g, f, "net")
    g.sh(f"ip addr add 10.1.0.2/24 dev {dev}; ip link set {dev} up; ping -c 2 -W 5 10.1.0.1 >/dev/null")
    check(g.sh(f"cat /sys/class/net/{dev}/address").strip() == net["guest_mac"], "MAC address")
    g.patch("/network-interfaces/eth1", {"iface_id": "eth1", "rx_rate_limiter": {"ops": {"size": 1000, "refill_time": 100}}})
    g.refused("PUT", "/network-interfaces/eth1", net, "^Device ID in use$")
    g.refused("PUT", "/network-interfaces/x", {**net, "iface_id": "x"}, "^Network config error: The MAC address is already in use")
    g.refused("PUT", "/network-interfaces/x", {"iface_id": "x", "host_dev_name": "tap1"}, "busy")
    g.refused("PUT", "/network-interfaces/x", {"iface_id": "x", "host_dev_name": "a/b"}, "Open tap device failed")
    g.refused("DELETE", "/network-interfaces/x", None, "^Device not found$")
    g.sh(f"ip link set {dev} down")
    remove(g, f)
    g.delete("/network-interfaces/eth1")
    check(functions(g) == before, "it is still there")
    g.put("/network-interfaces/eth1", net)
    dev = node(g, appears(g, before), "net")
    g.sh(f"ip addr add 10.1.0.2/24 dev {dev}; ip link set {dev} up; ping -c 1 -W 5 10.1.0.1 >/dev/null; ip link set {dev} down")
    remove(g, (functions(g) - before).pop())
    g.delete("/network-interfaces/eth1")


def pmem(g, n):
    """A file comes as memory, keeps what the guest flushes, and goes; others use their memory all the while."""
    before = functions(g)
    kept = g.file("kept.img", 32 * MIB, b"kept")
    body = {"id": "kept", "path_on_host": kept}
    g.sh("(while :; do dd if=/dev/urandom of=/dev/vda bs=64k seek=16 count=32 oflag=direct; done) >/dev/null 2>&1 & "
         "echo $! >/tmp/pid")
    for i in range(n):
        g.put("/pmem/kept", body)
        f = appears(g, before)
        g.until(lambda: "no pmem", lambda: g.sh("ls /dev | grep -c pmem; true").strip() == "1", 10)
        dev = "/dev/" + g.sh("ls /dev | grep pmem").strip()
        if i == 0:
            check(g.sh(f"head -c 4 {dev}") == "kept", "contents")
            g.sh(f"mke2fs -b 4096 {dev} >/dev/null 2>&1; mkdir -p /m; mount -t ext4 -o dax {dev} /m; "
                 "cp /bin/busybox /m/; umount /m")
            g.refused("PUT", "/pmem/kept", body, "^Device ID in use$")
            g.refused("PUT", "/pmem/r", {"id": "r", "path_on_host": kept, "root_device": True}, "Attempt to add pmem as a root")
            g.refused("PUT", "/pmem/x", {"id": "x", "path_on_host": "/no"}, "No such file or directory")
            g.patch("/pmem/kept", {"id": "kept", "rate_limiter": {"ops": {"size": 10000, "refill_time": 100}}})
        g.sh(f"mount -t ext4 -o dax {dev} /m && /m/busybox cmp /m/busybox /bin/busybox && echo {i} >/m/n && umount /m")  # runs in it
        remove(g, f)
        g.delete("/pmem/kept")
        check(functions(g) == before, "it is still there")
    g.refused("DELETE", "/pmem/kept", None, "^Device not found$")
    g.sh("kill $(cat /tmp/pid)")
    # two at once, and one goes between them
    a, b = g.file("a.img", 4 * MIB, b"a's"), g.file("b.img", 6 * MIB, b"b's")
    g.put("/pmem/a", {"id": "a", "path_on_host": a})
    g.put("/pmem/b", {"id": "b", "path_on_host": b})
    g.delete("/pmem/a")
    g.put("/pmem/kept", body)
    g.sh(RESCAN)
    g.until(lambda: "not two", lambda: g.sh("ls /dev | grep -c pmem; true").strip() == "2", 10)
    first = g.sh("for p in /dev/pmem*; do head -c 3 $p | tr '\\0' 0; echo; done").split("\n")
    check("b's" in first and "kep" in first, str(first))
    for f in functions(g) - before:
        remove(g, f)
    g.delete("/pmem/b")
    g.delete("/pmem/kept")


def cycles(g, n):
    """No descriptor, thread or memory stays behind."""
    before, figures = functions(g), []
    for i in range(n):
        g.put("/drives/more", drive(g))
        if i % 2:
            g.put("/network-interfaces/eth1", {"iface_id": "eth1", "host_dev_name": "tap1"})
        g.sh(RESCAN)
        new = functions(g) - before
        check(len(new) == 1 + i % 2, f"round {i}: {new}")
        for f in new:
            remove(g, f)
        g.delete("/drives/more")
        if i % 2:
            g.delete("/network-interfaces/eth1")
        figures.append((g.server.n_fds(), len(g.server.threads()), g.server.rss_kib()))
    g.until(lambda: f"descriptors and threads {figures[0]} -> {g.server.n_fds()}, {g.server.threads()}",
            lambda: g.server.n_fds() <= figures[1][0] and len(g.server.threads()) <= figures[1][1], 5)
    return f"{n} rounds; descriptors, threads, RSS KiB: {figures[1]} -> {figures[-1]}"


def storm(g, n):
    """Devices go while the guest hammers them. What used them waits for ever, as on a real machine (and a driver that is
    told to let go then waits for a reset); all else goes on, and finds the next device."""
    took = []

    def delete(path):
        start = time.monotonic()
        g.delete(path)
        took.append(time.monotonic() - start)
    for i in range(n):
        before = functions(g)
        g.put("/drives/more", drive(g))
        dev = "/dev/" + node(g, appears(g, before), "block")
        g.sh(f"(for k in 1 2 3; do (while dd if=/dev/zero of={dev} bs=64k count=200 oflag=direct; do :; done) & done) >/dev/null 2>&1")
        time.sleep(0.05 + 0.1 * (i % 3))
        delete("/drives/more")
    # once only: Linux may wait for the gone device's answer with a lock that every other network needs
    before = functions(g)
    g.put("/network-interfaces/eth1", {"iface_id": "eth1", "host_dev_name": "tap1"})
    eth = node(g, appears(g, before), "net")
    g.sh(f"ip addr add 10.1.0.2/24 dev {eth}; ip link set {eth} up; ping -c 1 -W 5 10.1.0.1 >/dev/null; "
         f"(while ping -c 3 -A -s 1400 10.1.0.1; do :; done) >/dev/null 2>&1 & "
         f"(head -c 100000000 /dev/zero | nc -u 10.1.0.1 9) >/dev/null 2>&1 & true")
    time.sleep(0.2)
    delete("/network-interfaces/eth1")
    g.sh("head -c 5 /dev/vda | grep -q first")
    return f"DELETE took {max(took) * 1e3:.0f} ms at most"


def limits(g):
    """There is an end to it, and then it says so."""
    made = []
    while True:
        name = f"d{len(made)}"
        path = g.file(name, MIB)
        status, body = g.call("PUT", f"/drives/{name}", drive(g, name, path))
        if status != 204:
            break
        made.append(name)
        check(len(made) < 40, "there is no end")
    check(re.search("no more fit|no slot is left", body["fault_message"]), str(body))
    for name in made:
        g.delete(f"/drives/{name}")
    g.sh(RESCAN)
    return f"{len(made)} more drives, then: {body['fault_message']}"


def at_end(g):
    """Not by powering off: Linux waits for what was taken away there, too."""
    g.sh("! dmesg | grep -E 'BUG:|Oops|soft lockup|general protection'")
    check(g.get("/")["state"] == "Running", "state")


def without_pci():
    with ApiGuest("cloud-6.1", "mmio", args=["--accel", "tcg"]) as g:
        boot(g)
        g.refused("PUT", "/drives/more", drive(g), "^PCI is not enabled$")
        g.refused("DELETE", "/drives/first", None, "^PCI is not enabled$")


def main():
    enter_namespace(TAPS)
    p = argparse.ArgumentParser()
    p.add_argument("--cycles", type=int, default=10)
    p.add_argument("only", nargs="?", default="")
    a = p.parse_args()
    suite = Suite()
    for kernel, cpus in (("cloud-6.1", 1), ("cloud-6.12", 2)):
        if not re.search(a.only, kernel):
            continue
        with ApiGuest(kernel, "pci", cpus=cpus, mem=256, taps=TAPS) as g:
            for case in (boot, drives, nets, lambda g: pmem(g, max(3, a.cycles // 3)), lambda g: cycles(g, a.cycles), limits, lambda g: storm(g, max(3, min(a.cycles // 5, 10))), at_end):
                name = case.__name__ if case.__name__ != "<lambda>" else case.__code__.co_names[0]
                suite.check(f"tcg: {kernel}, {cpus} vCPU: {name}", lambda c=case: c(g))
    suite.check("no PCI", without_pci)
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
