#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory that stock kernels get and give back while they run. usage: hotplug_test.py [REGEX]"""
import re
import sys

from balloon_test import check, memory_is_sound
from harness import Suite
from live import Live

MODULES = ["virtio_mmio", "virtio_mem"]
PCI_MODULES = {"cloud-6.1": ["virtio_pci", "virtio_mem"], "cloud-6.12": ["virtio_mem"]}
ONLINE = "memhp_default_state=online_movable"


def total_mib(g):
    return int(re.search(r"MemTotal:\s+(\d+) kB", g.sh("grep MemTotal /proc/meminfo")).group(1)) // 1024


def plugged(g):
    return g.figures("hotplug")["plugged_size_mib"]


def plug_and_unplug(kernel, cpus, bus):
    modules = PCI_MODULES[kernel] if bus == "pci" else MODULES
    with Live(kernel, modules, ["--hotplug-mem", "1G", "--cmdline+", ONLINE], mem="256M", cpus=cpus, bus=bus) as g:
        before = total_mib(g)
        check(plugged(g) == 0, f"{plugged(g)} MiB are plugged")
        g.tell("hotplug 256M")
        g.until(lambda: g.figures("hotplug"), lambda: plugged(g) == 256)
        g.until(lambda: f"MemTotal {before} -> {total_mib(g)} MiB", lambda: total_mib(g) - before > 240)
        after = total_mib(g)
        g.sh("mount -o remount,size=400m /tmp")
        memory_is_sound(g, 250)  # more than there was
        full = g.rss_mib()
        g.tell("hotplug 0")
        g.until(lambda: g.figures("hotplug"), lambda: plugged(g) == 0)
        g.until(lambda: f"MemTotal {after} -> {total_mib(g)} MiB", lambda: total_mib(g) == before)
        small = g.rss_mib()
        check(full - small > 100, f"RSS went from {full} to {small} MiB")
        g.tell("hotplug 1G")
        g.until(lambda: g.figures("hotplug"), lambda: plugged(g) == 1024)
        g.tell("hotplug 62M")  # fewer than a memory block of Linux
        g.until(lambda: g.figures("hotplug"), lambda: plugged(g) == 62)
        check("no multiple of a block" in g.tell("hotplug 3M", code=1), "3M was taken")
        check("more than there are" in g.tell("hotplug 2G", code=1), "2G was taken")
        n = g.figures("counters")
        check(n["hotplug.discard_fails"] == 0 and n["hotplug.event_fails"] == 0, str(n))
        g.sh("! dmesg | grep -E 'BUG:|WARNING:|Oops'")
        g.tell("hotplug 128M")
        g.until(lambda: g.figures("hotplug"), lambda: plugged(g) == 128)
        g.proc.stdin.write(b"reboot -f\n")  # everything goes; the new kernel asks for it again
        g.proc.stdin.flush()
        g.wait("agent-ready", 60)
        g.lines = 0
        g.until(lambda: g.figures("hotplug"), lambda: plugged(g) == 128 and total_mib(g) - before > 100)
        return f"MemTotal {before} -> {after} MiB, RSS {full} -> {small} MiB"


def at_boot(kernel):
    with Live(kernel, MODULES, ["--hotplug-mem", "512M,block=16M,requested=128M", "--cmdline+", ONLINE], mem="128M") as g:
        g.until(lambda: g.figures("hotplug"), lambda: plugged(g) == 128 and total_mib(g) > 190)
        return f"MemTotal {total_mib(g)} MiB"


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for kernel, cpus, bus in (("cloud-6.1", 2, "pci"), ("cloud-6.12", 1, "mmio")):
        suite.check(f"tcg: plug and unplug, {kernel}, {bus}", lambda k=kernel, c=cpus, b=bus: plug_and_unplug(k, c, b))
    suite.check("tcg: memory at boot, large blocks", lambda: at_boot("cloud-6.12"))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
