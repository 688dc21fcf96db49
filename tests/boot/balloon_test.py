#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The balloon under stock kernels: the host really gets memory back, and the guest its own. usage: balloon_test.py [REGEX]"""
import re
import sys

from harness import Suite
from live import Live

MODULES = ["virtio_mmio", "virtio_balloon"]
PCI_MODULES = {"cloud-6.1": ["virtio_pci", "virtio_balloon"], "cloud-6.12": ["virtio_balloon"]}


def check(ok, text):
    if not ok:
        raise AssertionError(text)


def memory_is_sound(g, mib):
    """What the guest writes to fresh memory it reads again."""
    out = g.sh(f"dd if=/dev/urandom of=/tmp/a bs=64k count=16 2>/dev/null; for i in $(seq {mib}); do cat /tmp/a; done "
               ">/tmp/b; i=0; while [ $i -lt 3 ]; do md5sum </tmp/b; i=$((i + 1)); done; rm /tmp/b", 90)
    sums = re.findall(r"\b[0-9a-f]{32}\b", out)
    check(len(sums) == 3 and len(set(sums)) == 1, f"sums differ: {sums}")


def inflate_and_deflate(kernel, cpus, bus):
    with Live(kernel, PCI_MODULES[kernel] if bus == "pci" else MODULES, ["--balloon"], cpus=cpus, bus=bus) as g:
        full = g.use_and_free(300)
        before, rss = g.available_mib(), g.rss_mib()
        check(rss > 300, f"RSS is only {rss} MiB after 300 were used")
        g.tell("balloon 256")
        g.until(lambda: g.figures("balloon"), lambda: g.figures("balloon")["actual_mib"] == 256)
        after, small = g.available_mib(), g.rss_mib()
        check(before - after > 230, f"MemAvailable went from {before} to {after} MiB")
        check(rss - small > 180, f"RSS went from {rss} to {small} MiB")
        memory_is_sound(g, 60)
        g.tell("balloon 0")
        g.until(lambda: g.figures("balloon"), lambda: g.figures("balloon")["actual_mib"] == 0)
        again = g.available_mib()
        check(before - again < 30, f"MemAvailable was {before}, is {again} MiB after deflating")
        memory_is_sound(g, 250)
        n = g.figures("counters")
        check(n["balloon.inflated_pages"] >= 65536 and n["balloon.event_fails"] == 0, str(n))
        return f"RSS {full} -> {rss} -> {small} MiB, MemAvailable {before} -> {after} -> {again} MiB"


def target_at_boot(kernel):
    with Live(kernel, MODULES, ["--balloon", "200"]) as g:
        g.until(lambda: g.figures("balloon"), lambda: g.figures("balloon")["actual_mib"] == 200)
        check(g.available_mib() < 300, "the guest has its memory still")
        why = g.tell("balloon 513", code=1)
        check("more than the guest's memory" in why, why)
        check("statistics cannot be switched on" in g.tell("balloon stats 1", code=1), "interval was taken")
        check("no free page hinting" in g.tell("balloon hints start", code=1), "run of hints was begun")


def deflates_on_oom(kernel):
    with Live(kernel, MODULES, ["--balloon", "280,deflate_on_oom"]) as g:
        g.until(lambda: g.figures("balloon"), lambda: g.figures("balloon")["actual_mib"] == 280)
        g.sh("dd if=/dev/zero of=/tmp/fill bs=1M count=300", 90)
        n = g.figures("balloon")
        check(n["actual_mib"] < 260, f"the balloon still has {n['actual_mib']} MiB")
        check("Out of memory" not in g.sh("dmesg"), "the guest killed a process")
        return f"balloon went from 280 to {n['actual_mib']} MiB by itself"


def statistics(kernel):
    with Live(kernel, MODULES, ["--balloon", "0,stats=1"]) as g:
        n = g.figures("balloon")
        names = {"swap_in", "swap_out", "major_faults", "minor_faults", "free_memory", "total_memory",
                 "available_memory", "disk_caches", "hugetlb_allocations", "hugetlb_failures"}
        if kernel == "cloud-6.12":
            names |= {"oom_kill", "alloc_stall", "async_scan", "direct_scan", "async_reclaim", "direct_reclaim"}
        check(names <= set(n), f"missing: {names - set(n)}")
        check(400 << 20 < n["total_memory"] < 512 << 20, f"total_memory {n['total_memory']}")
        was = n["available_memory"]
        g.sh("dd if=/dev/zero of=/tmp/fill bs=1M count=150 2>/dev/null")
        g.until(lambda: g.figures("balloon"), lambda: was - g.figures("balloon")["available_memory"] > 130 << 20, 10)
        g.tell("balloon stats 60")
        n = g.figures("balloon")
        check(n["stats_interval_s"] == 60, str(n))
        g.until(lambda: g.figures("balloon"), lambda: g.figures("balloon")["stats_age_ms"] > 3000, 10)
        g.tell("balloon stats 1")
        g.until(lambda: g.figures("balloon"), lambda: g.figures("balloon")["stats_age_ms"] < 1500, 10)
        return f"{len(set(n) & names)} figures"


def reporting(kernel, cpus):
    with Live(kernel, MODULES, ["--balloon", "0,reporting"], cpus=cpus) as g:
        full = g.use_and_free(300)
        g.until(lambda: f"RSS stays at {g.rss_mib()} of {full} MiB", lambda: full - g.rss_mib() > 250, 40)
        small = g.rss_mib()
        memory_is_sound(g, 200)
        n = g.figures("counters")
        check(n["balloon.report_fails"] == 0 and n["balloon.reported_bytes"] > 250 << 20, str(n))
        return f"RSS {full} -> {small} MiB by itself"


def hinting(kernel):
    with Live(kernel, MODULES, ["--balloon", "0,hinting"]) as g:
        full = g.use_and_free(300)
        check(g.figures("balloon hints") == {"host_cmd": 0}, "a run was begun")
        g.tell("balloon hints start")
        g.until(lambda: g.figures("balloon hints"),
                lambda: g.figures("balloon hints") == {"host_cmd": 1, "guest_cmd": 0})
        small = g.rss_mib()
        check(full - small > 200, f"RSS went from {full} to {small} MiB")
        memory_is_sound(g, 200)
        free = g.available_mib()
        g.tell("balloon hints keep")  # the guest keeps what it hinted until it is told
        g.until(lambda: g.figures("balloon hints"),
                lambda: g.figures("balloon hints") == {"host_cmd": 3, "guest_cmd": 0})
        g.tell("balloon hints stop")
        g.until(lambda: f"{g.available_mib()} of {free} MiB", lambda: free - g.available_mib() < 40, 10)
        memory_is_sound(g, 200)
        n = g.figures("counters")
        check(n["balloon.hint_fails"] == 0, str(n))
        return f"RSS {full} -> {small} MiB"


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for kernel, cpus, bus in (("cloud-6.1", 2, "mmio"), ("cloud-6.12", 1, "pci")):
        suite.check(f"tcg: inflate and deflate, {kernel}, {bus}",
                    lambda k=kernel, c=cpus, b=bus: inflate_and_deflate(k, c, b))
    suite.check("tcg: target at boot, refusals", lambda: target_at_boot("cloud-6.12"))
    suite.check("tcg: deflate on OOM", lambda: deflates_on_oom("cloud-6.1"))
    for kernel in ("cloud-6.1", "cloud-6.12"):
        suite.check(f"tcg: statistics, {kernel}", lambda k=kernel: statistics(k))
    suite.check("tcg: free page reporting, cloud-6.1, 2 vCPU", lambda: reporting("cloud-6.1", 2))
    suite.check("tcg: free page reporting, cloud-6.12", lambda: reporting("cloud-6.12", 1))
    suite.check("tcg: free page hinting, cloud-6.1", lambda: hinting("cloud-6.1"))
    suite.check("tcg: free page hinting, cloud-6.12", lambda: hinting("cloud-6.12"))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
