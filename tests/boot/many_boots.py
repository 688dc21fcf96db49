#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots in a row: every one must reach userspace and power off cleanly.

usage: many_boots.py [--count 200] [--jobs 2] [--cpus 1,2] [--kernel cloud-6.1,cloud-6.12] [--disk IMAGE]
Boots cycle through the kernels and vCPU counts. With --disk each boot runs from its own copy of
the image, made by tools/mkroot. Ends at the first failure with that guest's console.
"""
import argparse
import concurrent.futures
import os
import statistics
import subprocess
import sys
import tempfile
import time

from harness import expect, guest, initrd
from linux_test import BAD, boot


def one(i, kernel, cpus, disk, accel):
    if not disk:
        res = boot(kernel, cpus, timeout=120, accel=accel)
        expect(res, code=0, out=r"mayfly-init: userspace reached", not_out=BAD)
        return res.seconds
    with tempfile.TemporaryDirectory(prefix="mayfly-boots-") as tmp:
        copy = os.path.join(tmp, "root.ext4")
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", disk, copy], check=True)
        res = boot(kernel, cpus, timeout=120, extra=["--disk", copy], accel=accel,
                   modules=("virtio_mmio", "virtio_blk"),
                   cmdline="root=/dev/vda init=/sbin/mayfly-init mayfly.run=uname,-a")
        expect(res, code=0, out=[r"mayfly-root: userspace reached", r"mayfly-root: status 0"], not_out=BAD)
        return res.seconds


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--count", type=int, default=200)
    ap.add_argument("--jobs", type=int, default=2)
    ap.add_argument("--cpus", default="1,2")
    ap.add_argument("--kernel", default="cloud-6.1,cloud-6.12")
    ap.add_argument("--disk")
    ap.add_argument("--accel", default="tcg")
    a = ap.parse_args()
    kernels, cpus = a.kernel.split(","), [int(c) for c in a.cpus.split(",")]
    for k in kernels:
        guest(k)
        initrd(k)
    combos = [(k, c) for k in kernels for c in cpus]
    start, done, times = time.monotonic(), 0, []
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        jobs = {pool.submit(one, i, *combos[i % len(combos)], a.disk, a.accel): i for i in range(a.count)}
        for job in concurrent.futures.as_completed(jobs):
            try:
                times.append(job.result())
            except AssertionError as why:
                print(f"boot {jobs[job]} {combos[jobs[job] % len(combos)]} failed after {done} good ones: {why}")
                pool.shutdown(cancel_futures=True)
                sys.exit(1)
            done += 1
            if done % 20 == 0:
                print(f"{done} boots, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{done} boots in a row without a failure; median {statistics.median(times):.2f} s, "
          f"slowest {max(times):.2f} s, {a.jobs} at a time")


if __name__ == "__main__":
    main()
