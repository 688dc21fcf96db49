#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the monitor while a guest writes: nothing that was flushed may be lost.

usage: kill_test.py [--cycles N] [REGEX]

tests/boot/bare/writer.c writes numbered blocks and says which are durable. Each cycle it first checks what
the cycles before left, then writes, and is killed (SIGKILL) 5 to 500 ms later, every other time counted
from when all blocks are durable. That proves that the monitor itself holds nothing back; the host's page
cache outlives it. That a flush is answered only after
an fdatasync() that covers it is shown by tests/fuzz/fuzz_schedule.c and tests/device/test_blk_overlay.c.
"""
import argparse
import os
import random
import re
import select
import subprocess
import sys
import tempfile
import time

from bare_test import build
from harness import MAYFLY, Suite

N_BLOCKS = 256
KINDS = ["engine=io_uring", "engine=sync", "engine=io_uring,cache=none", "engine=sync,cache=none",
         "engine=io_uring,overlay=OVER", "engine=sync,overlay=OVER"]


class Life:
    """One run of the guest."""

    def __init__(self, kernel, disk, words):
        cmd = [MAYFLY, "run", "--accel", "tcg", "--mem", "16M", "--disk", disk, "--net", "none", "--kernel", kernel,
               "--cmdline", words, "--timeout", "60s"]
        self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.out = b""

    def read(self, seconds, until=None):
        """What it says in that time, or up to the word."""
        end = time.monotonic() + seconds
        while not (until and until in self.out):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.proc.stdout], [], [], left)[0]:
                break
            chunk = os.read(self.proc.stdout.fileno(), 65536)
            if not chunk:
                break
            self.out += chunk

    def flushed(self):
        return [int(x) for x in re.findall(rb"^F (\d+)\r?\n", self.out, re.M)]

    def read_flushed(self, n, seconds):
        end = time.monotonic() + seconds
        while max(self.flushed(), default=0) < n and time.monotonic() < end and self.proc.poll() is None:
            self.read(0.05)

    def kill(self):
        self.proc.kill()
        self.read(10)
        self.proc.wait()
        return self.out.decode("utf-8", "replace")


def image_of(tmp, kind):
    path = os.path.join(tmp, "disk.img")
    with open(path, "wb") as f:
        f.truncate(N_BLOCKS * 4096)
    return path, path + "," + kind.replace("OVER", os.path.join(tmp, "over"))


def cycles(kind, n):
    chance = random.Random(7)
    base, last, total, flushes = 0, 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="mayfly-kill-", dir="/var/tmp") as tmp:
        kernel = build(tmp, "writer")
        path, disk = image_of(tmp, kind)
        for epoch in range(1, n + 2):
            words = f"epoch={epoch} base={base} last={last}" + (" only_check=1" if epoch > n else "")
            life = Life(kernel, disk, words)
            life.read(60, b"checked")
            if epoch <= n:
                if epoch % 2:  # of these all blocks are durable, however busy the host is
                    life.read_flushed(N_BLOCKS, 30)
                life.read(chance.uniform(0.005, 0.5))
            else:
                life.proc.wait(60)
            out = life.kill()
            if "checked" not in out or "FAIL" in out:
                raise AssertionError(f"cycle {epoch}, durable up to {last} of {base}: {out[-300:]}")
            said = life.flushed()
            flushes += len(said)
            total += max(said, default=0)
            if max(said, default=0) >= N_BLOCKS:
                base, last = epoch, max(said)
        if "overlay" in kind:
            with open(path, "rb") as f:
                if f.read().strip(b"\0"):
                    raise AssertionError("the image below the overlay was written")
        if not base or flushes < n:
            raise AssertionError(f"only {flushes} flushes in {n} cycles")
    return f"{n} kills, {flushes} flushes, {total} writes durable"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--cycles", type=int, default=4)
    p.add_argument("only", nargs="?")
    a = p.parse_args()
    suite = Suite(a.only)
    for kind in KINDS:
        suite.check(f"tcg: killed while writing, {kind}", lambda k=kind: cycles(k, a.cycles))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
