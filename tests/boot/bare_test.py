#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A virtio driver on bare metal, without an operating system. usage: bare_test.py [REGEX]

tests/boot/bare/virtio.c finds and drives a disk and an entropy device, on virtio-mmio and on PCI.
"""
import os
import subprocess
import sys
import tempfile

from harness import ROOT, Skip, Suite, expect, run


SOURCES = {"virtio": ["virtio.c"], "writer": ["writer.c"],
           "hostile": ["hostile.c", "hostile_ring.c", "hostile_dev.c", "hostile_mem.c", "hostile_race.c"]}


def build(directory, name="virtio"):
    bare = os.path.join(ROOT, "tests", "boot", "bare")
    out = os.path.join(directory, name + ".elf")
    cmd = ["cc", "-m32", "-O2", "-ffreestanding", "-fno-pic", "-no-pie", "-nostdlib", "-static", "-fno-stack-protector",
           "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-mgeneral-regs-only", "-Wall", "-Werror",
           "-Wl,--build-id=none,-Ttext=0x201000,--section-start=.head=0x200000", "-o", out]
    cmd += [os.path.join(bare, source) for source in ["machine.c", "vdev.c"] + SOURCES[name]]
    res = subprocess.run(cmd, capture_output=True, text=True)
    if res.returncode and "-m32" in res.stderr + res.stdout:
        raise Skip("no 32-bit compiler: " + res.stderr.strip()[:100])
    if res.returncode:
        raise AssertionError(res.stderr)
    return out


def drives(bus, accel, cpus=1):
    with tempfile.TemporaryDirectory(prefix="mayfly-test-") as tmp:
        disk = os.path.join(tmp, "disk.img")
        with open(disk, "wb") as f:
            f.write(b"first-sector")
            f.truncate(8 << 20)
        res = run(["run", "--accel", accel, "--cpus", str(cpus), "--mem", "16M", "--bus", bus, "--disk", disk, "--rng",
                   "--kernel", build(tmp), "--timeout", "15s"], timeout=30)
        expect(res, code=0, out=[f'blk {bus}: "first-sector" 16384 sectors, written and read back',
                                 f"rng {bus}: 64 bytes", "bare: done"])
        with open(disk, "rb") as f:
            f.seek(9 * 512)
            if f.read(512) != bytes(i * 7 & 255 for i in range(512)):
                raise AssertionError("the disk's file does not have what was written")


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for bus in ("mmio", "pci"):
        suite.check(f"bare metal: virtio driver, {bus}", lambda b=bus: drives(b, "tcg"))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
