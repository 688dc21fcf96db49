#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks that another program serves (vhost-user): QEMU's storage daemon. usage: vhost_test.py [REGEX]"""
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

from bare_test import build
from harness import Skip, Suite, expect, run
from live import Live

MIB = 1 << 20


class Daemon:
    def __init__(self, directory, mib=64):
        self.image, self.sock = os.path.join(directory, "image"), os.path.join(directory, "vhost")
        if not shutil.which("qemu-storage-daemon"):
            raise Skip("no qemu-storage-daemon")
        with open(self.image, "wb") as f:
            f.write(b"first-sector")
            f.truncate(mib * MIB)
        self.start()

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.sock)
        self.proc = subprocess.Popen(["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=f,filename={self.image}",
                                      "--export", f"type=vhost-user-blk,id=e,addr.type=unix,addr.path={self.sock},"
                                      "node-name=f,writable=on,num-queues=2"])
        end = time.monotonic() + 10
        while not os.path.exists(self.sock) and time.monotonic() < end:
            time.sleep(0.02)

    def end(self):
        self.proc.kill()
        self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def modules(kernel, bus):
    return ["virtio_blk"] + (["virtio_mmio"] if bus == "mmio" else ["virtio_pci"] if kernel == "cloud-6.1" else [])


def read_back(kernel, bus, mib=12):
    """What Linux writes reads back, in the guest and in the image; with two queues, beside memory that is discarded."""
    with tempfile.TemporaryDirectory(prefix="mayfly-vhost-", dir="/var/tmp") as tmp, Daemon(tmp) as daemon:
        with Live(kernel, modules(kernel, bus), ["--disk", f"socket={daemon.sock},queues=2", "--balloon", "0,reporting"],
                  bus=bus, cpus=2) as g:
            g.sh("[ $(cat /sys/block/vda/size) = 131072 ] && [ $(ls /sys/block/vda/mq | wc -l) = 2 ]")
            g.sh(f"dd if=/dev/urandom of=/tmp/r bs=1M count={mib} 2>/dev/null")
            g.sh("dd if=/tmp/r of=/dev/vda bs=64k seek=4 conv=fsync 2>/dev/null")
            g.sh("for i in 1 2 3 4; do dd if=/tmp/r of=/dev/vda bs=64k skip=$((i * 16)) seek=$((i * 200)) count=16 oflag=direct"
                 " 2>/dev/null & done; wait")
            g.sh("blkdiscard -o 60M -l 1M /dev/vda")
            g.sh("echo 3 >/proc/sys/vm/drop_caches; md5sum </tmp/r >/tmp/sum")
            g.sh("for i in 1 2 3; do for f in '' iflag=direct; do"
                 f" dd if=/dev/vda bs=64k skip=4 count={16 * mib} $f 2>/dev/null | md5sum | cmp - /tmp/sum || false; done; done")
            seen = g.sh("cat /tmp/sum").split()[0]
        # the monitor was killed; the other program serves the next one
        with Live(kernel, modules(kernel, bus), ["--disk", f"socket={daemon.sock}"], bus=bus) as g:
            g.sh(f"[ {seen} = $(dd if=/dev/vda bs=64k skip=4 count={16 * mib} 2>/dev/null | md5sum | cut -d' ' -f1) ]")
        with open(daemon.image, "rb") as f:
            f.seek(256 << 10)
            if hashlib.md5(f.read(mib * MIB)).hexdigest() != seen:
                raise AssertionError("the image is not what the guest wrote")


def runs_programs(kernel):
    """Programs come from the disk, again and again into the same memory: translations of what was there are not used."""
    with tempfile.TemporaryDirectory(prefix="mayfly-vhost-", dir="/var/tmp") as tmp, Daemon(tmp) as daemon:
        subprocess.run(["mkfs.ext4", "-q", "-F", daemon.image], check=True, stdin=subprocess.DEVNULL)
        daemon.end()
        daemon.start()
        with Live(kernel, modules(kernel, "pci") + ["ext4"], ["--disk", f"socket={daemon.sock}"], bus="pci", mem="192M") as g:
            g.sh("mkdir -p /m && mount -t ext4 /dev/vda /m && mkdir /m/a /m/b && cp /bin/busybox /m/a && cp /bin/busybox /m/b && sync")
            for _ in range(6):
                g.sh("echo 3 >/proc/sys/vm/drop_caches; [ $(/m/a/busybox seq 1 50 | /m/b/busybox md5sum | /m/a/busybox cut -c1-6) ="
                     " $(seq 1 50 | md5sum | cut -c1-6) ]")
                g.sh("dd if=/dev/urandom of=/tmp/x bs=1M count=40 2>/dev/null; rm /tmp/x")


def dies(kernel, bus):
    """Without it requests fail and the machine goes on; when it is there again and the driver begins anew, they do not."""
    with tempfile.TemporaryDirectory(prefix="mayfly-vhost-", dir="/var/tmp") as tmp, Daemon(tmp) as daemon:
        with Live(kernel, modules(kernel, bus), ["--disk", f"socket={daemon.sock}"], bus=bus) as g:
            read = "dd if=/dev/vda of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null"
            g.sh(read)
            g.sh("(while dd if=/dev/vda of=/dev/null bs=64k count=100 iflag=direct 2>/dev/null; do :; done; echo ended >/tmp/e) &")
            daemon.end()
            g.sh("i=0; while [ ! -e /tmp/e ] && [ $i -lt 20 ]; do i=$((i + 1)); sleep 1; done; [ -e /tmp/e ]")
            g.sh(read, code=1)
            daemon.start()
            g.sh(read, code=1)
            at = "/sys/bus/virtio/drivers/virtio_blk"
            g.sh(f"d=$(basename {at}/virtio*); echo $d >{at}/unbind; echo $d >{at}/bind")
            g.sh(read)


def bare(bus, accel):
    with tempfile.TemporaryDirectory(prefix="mayfly-vhost-") as tmp, Daemon(tmp, 8) as daemon:
        res = run(["run", "--accel", accel, "--mem", "16M", "--bus", bus, "--disk", f"socket={daemon.sock}", "--rng",
                   "--kernel", build(tmp), "--timeout", "15s"], timeout=30)
        if accel == "kvm" and res.code == 4:
            raise Skip("no KVM")
        expect(res, code=0, out=[f'blk {bus}: "first-sector" 16384 sectors, written and read back', "bare: done"])
        with open(daemon.image, "rb") as f:
            f.seek(9 * 512)
            if f.read(512) != bytes(i * 7 & 255 for i in range(512)):
                raise AssertionError("the image does not have what was written")


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for bus in ("mmio", "pci"):
        for accel in ("tcg", "kvm"):
            suite.check(f"{accel}: bare metal, {bus}", lambda b=bus, a=accel: bare(b, a))
    for kernel, bus in (("cloud-6.1", "mmio"), ("cloud-6.12", "pci")):
        suite.check(f"tcg: reads back, {kernel}, {bus}", lambda k=kernel, b=bus: read_back(k, b))
        suite.check(f"tcg: the other program dies, {kernel}, {bus}", lambda k=kernel, b=bus: dies(k, b))
    suite.check("tcg: programs on it", lambda: runs_programs("cloud-6.12"))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
