#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Persistent memory under stock kernels: what the guest flushes is in the file. usage: pmem_test.py [REGEX]"""
import hashlib
import os
import re
import subprocess
import sys

from harness import Suite
from live import Live

MODULES = ["virtio_mmio", "virtio_pmem", "nd_pmem"]
PCI_MODULES = {"cloud-6.1": ["virtio_pci", "virtio_pmem", "nd_pmem"], "cloud-6.12": ["virtio_pmem", "nd_pmem"]}
MIB = 1 << 20


def check(ok, text):
    if not ok:
        raise AssertionError(text)


def make_file(g_dir, name, size, fill=b""):
    path = os.path.join(g_dir, name)
    with open(path, "wb") as f:
        f.write(fill)
        f.truncate(size)
    return path


def contents(path):
    with open(path, "rb") as f:
        return f.read()


class Guest(Live):
    """With files made where they are wanted before it starts; {name: (size, bytes)}."""

    def __init__(self, kernel, files, args, cpus=1, bus="mmio", **more):
        self.files = {}
        for name, (size, fill) in files.items():
            self.files[name] = make_file("/var/tmp", f"mayfly-pmem-{os.getpid()}-{name}", size, fill)
            args = [a.replace(name, self.files[name]) for a in args]
        try:
            super().__init__(kernel, PCI_MODULES[kernel] if bus == "pci" else MODULES, args, cpus=cpus, bus=bus, **more)
        except BaseException:
            self.remove_files()
            raise

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.remove_files()

    def remove_files(self):
        for path in self.files.values():
            os.unlink(path)


def write_flush_read(kernel, cpus, bus):
    size = 64 * MIB + 5000
    files = {"FIRST": (size, b"hello from the host"), "SECOND": (4 * MIB, b"read me"), "THIRD": (32 * MIB, b"")}
    with Guest(kernel, files, ["--pmem", "FIRST", "--pmem", "SECOND,ro", "--pmem", "THIRD"], cpus=cpus, bus=bus) as g:
        out = g.sh("blockdev --getsize64 /dev/pmem0; head -c 19 /dev/pmem0")
        check(out.split("\n")[0] == str(66 * MIB) and "hello from the host" in out, out)
        # The last MiB of the file, its tail that is no whole page, and what lies behind it.
        out = g.sh("dd if=/dev/urandom of=/tmp/r bs=64k count=16 2>/dev/null; md5sum </tmp/r; "
                   "dd if=/tmp/r of=/dev/pmem0 bs=64k seek=32 conv=fsync 2>/dev/null; "
                   "dd if=/tmp/r of=/dev/pmem0 bs=4096 seek=16384 count=4 conv=fsync 2>/dev/null")
        now = contents(g.files["FIRST"])
        check(len(now) == size, f"the file has {len(now)} bytes")
        check(hashlib.md5(now[2 * MIB:3 * MIB]).hexdigest() in out, "the file has other bytes")
        check(now[64 * MIB:] == now[2 * MIB:2 * MIB + 5000], "the last page is another")
        n = g.figures("counters")
        check(n["pmem0.requests"] >= 2 and n["pmem0.syncs"] >= 1 and not n["pmem0.fails"], str(n))
        # Linux from 6.9 on takes the place from the transport's shared memory region.
        feature = g.sh("cut -c1 /sys/bus/virtio/drivers/virtio_pmem/virtio*/features").split()
        check(feature == (["1"] if kernel == "cloud-6.12" else ["0"]) * 3, f"VIRTIO_PMEM_F_SHMEM_REGION: {feature}")
        # A file system on it, with programs that run from it.
        g.sh("mke2fs -b 4096 /dev/pmem2 >/dev/null 2>&1; mkdir -p /m; mount -t ext4 -o dax /dev/pmem2 /m; mkdir /m/bin; "
             "cp /bin/busybox /m/bin/; sync; umount /m; mount -t ext4 -o dax /dev/pmem2 /m; grep -q dax=always /proc/mounts && "
             "/m/bin/busybox cmp /m/bin/busybox /bin/busybox")
        # What is only read is the guest's own where it writes, until a reset.
        g.sh("head -c 7 /dev/pmem1 | grep -q 'read me'; echo changed | dd of=/dev/pmem1 conv=fsync,notrunc 2>/dev/null; "
             "echo 3 >/proc/sys/vm/drop_caches; head -c 7 /dev/pmem1 | grep -q changed")
        check(contents(g.files["SECOND"])[:7] == b"read me", "a file that is only read was written")
        g.sh("! dmesg | grep -E 'BUG:|WARNING:|Oops|I/O error'")
        g.proc.stdin.write(b"reboot -f\n")
        g.proc.stdin.flush()
        g.wait("agent-ready", 60)
        g.lines = 0
        g.sh("head -c 7 /dev/pmem1 | grep -q 'read me'; mkdir -p /m; mount -t ext4 /dev/pmem2 /m && "
             "/m/bin/busybox cmp /m/bin/busybox /bin/busybox")
        return f"{n['pmem0.requests']} flushes"


def cut_off(kernel):
    """Somebody truncates the file: the guest reads zeroes, its flushes fail, and the machine lives."""
    with Guest(kernel, {"FIRST": (32 * MIB, b"x" * 20 * MIB)}, ["--pmem", "FIRST"]) as g:
        os.truncate(g.files["FIRST"], 8 * MIB)
        out = g.sh("dd if=/dev/pmem0 bs=1M skip=8 count=12 2>/dev/null | tr -d '\\0' | wc -c; "
                   "dd if=/dev/pmem0 bs=1M count=8 2>/dev/null | tr -d x | wc -c")
        check(out.split() == ["0", "0"], out)
        g.sh("dd if=/dev/zero of=/dev/pmem0 bs=1M seek=9 count=1 conv=fsync", code=1)
        g.sh("dmesg | grep -E 'I/O error|error -5' | head -3; true")
        n = g.figures("counters")
        check(n["pmem0.fails"] > 0 and n["pmem0.lost_pages"] >= 12 * 256, str(n))
        check(os.path.getsize(g.files["FIRST"]) == 8 * MIB, "the file grew")
        return f"{n['pmem0.lost_pages']} pages were gone"


def limited(kernel):
    """Flushes wait for the operator's limit, and go on when it is lifted."""
    with Guest(kernel, {"FIRST": (8 * MIB, b"")}, ["--pmem", "FIRST,ops=1"]) as g:
        g.sh("for i in 1 2 3; do dd if=/dev/zero of=/dev/pmem0 bs=4k seek=$i count=1 conv=fsync 2>/dev/null; done")
        n = g.figures("counters")
        check(n["pmem0.throttled"] >= 2, str(n))
        g.tell("limit pmem0 0 0")
        g.sh("for i in $(seq 20); do dd if=/dev/zero of=/dev/pmem0 bs=4k seek=$i count=1 conv=fsync 2>/dev/null; done", 10)
        check("no such persistent memory" in g.tell("limit pmem1 1", code=1), "there is a pmem1")


def root(kernel):
    """The root of the guest is in it."""
    with Guest(kernel, {"FIRST": (16 * MIB, b"")}, ["--pmem", "FIRST"]) as g:
        g.sh("mke2fs -b 4096 /dev/pmem0 >/dev/null 2>&1; mkdir -p /m; mount -t ext4 /dev/pmem0 /m; mkdir /m/sbin /m/dev /m/proc; "
             "cp /bin/busybox /m/sbin/; { echo '#!/sbin/busybox sh'; echo '/sbin/busybox mount -t proc proc /proc'; "
             "echo '/sbin/busybox grep pmem /proc/mounts; echo root is there; /sbin/busybox poweroff -f'; } >/m/sbin/init; "
             "chmod +x /m/sbin/init; umount /m; sync")
        g.proc.kill()
        g.proc.wait()
        with Live(kernel, MODULES, ["--pmem", g.files["FIRST"] + ",root,ro", "--cmdline", "console=ttyS0 quiet root=/dev/pmem0 ro"],
                  script=None, ready="root is there") as r:
            out = r.seen
            check("/dev/pmem0 / ext4 ro" in out, out[-300:])


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for kernel, cpus, bus in (("cloud-6.1", 2, "mmio"), ("cloud-6.12", 1, "pci")):
        suite.check(f"tcg: write, flush, read, {kernel}, {bus}", lambda k=kernel, c=cpus, b=bus: write_flush_read(k, c, b))
    suite.check("tcg: file cut off under the guest", lambda: cut_off("cloud-6.12"))
    suite.check("tcg: limits", lambda: limited("cloud-6.1"))
    suite.check("tcg: root", lambda: root("cloud-6.12"))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
