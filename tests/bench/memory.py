#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory of mayfly beside guest RAM, while a guest sits in its shell.

usage: memory.py [--accel tcg] [--kernel cloud-6.1] [--mem 256] [--mayfly PATH]

Adds up resident memory (Pss) of /proc/PID/smaps; guest RAM (the one mapping of just its size), the
code cache (memfd mayfly-code) and the cache's table of blocks (mayfly-code-index) are counted apart.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "boot"))
from harness import ROOT, guest, initrd  # noqa: E402


def measure(pid, ram_kib):
    sums, kind = {"ram": 0, "code cache": 0, "its index": 0, "all else": 0}, "all else"
    for line in open(f"/proc/{pid}/smaps", encoding="utf-8"):
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            kind = ("its index" if "mayfly-code-index" in line
                    else "code cache" if "mayfly-code" in line else "all else")
        elif line.startswith("Size:") and int(line.split()[1]) == ram_kib:
            kind = "ram"
        elif line.startswith("Pss:"):
            sums[kind] += int(line.split()[1])
    if not sums["ram"]:
        sys.exit("no mapping looks like the guest's RAM")
    return sums


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--accel", default="tcg")
    ap.add_argument("--kernel", default="cloud-6.1")
    ap.add_argument("--mem", type=int, default=256)
    ap.add_argument("--cpus", type=int, default=1)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--mayfly", default=os.path.join(ROOT, "build-release", "vmm", "mayfly"))
    a = ap.parse_args()
    ramfs = initrd(a.kernel)
    rows = []
    for _ in range(a.runs):
        proc = subprocess.Popen([a.mayfly, "run", "--accel", a.accel, "--cpus", str(a.cpus), "--mem", f"{a.mem}M",
                                 "--kernel", guest(a.kernel), "--initrd", ramfs],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        text = b""
        while b"userspace reached" not in text:
            chunk = os.read(proc.stdout.fileno(), 65536)
            if not chunk:
                sys.exit("the guest ended early")
            text += chunk
        time.sleep(1)
        rows.append(measure(proc.pid, a.mem << 10))
        proc.kill()
        proc.wait()
    print(f"{a.accel}, {a.cpus} vCPU, {a.mem} MiB guest, median of {a.runs}: " + ", ".join(
        f"{k} {statistics.median(r[k] for r in rows) / 1024:.2f} MiB" for k in rows[0]))


if __name__ == "__main__":
    main()
