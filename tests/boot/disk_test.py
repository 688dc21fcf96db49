#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks of every kind under stock kernels: what is written reads back, overlays keep it apart, limits hold."""
import os
import re
import subprocess
import sys
import tempfile

from harness import MAYFLY, ROOT, Suite, expect, guest, run

BAD = [r"Kernel panic", r"BUG:", r"WARNING:", r"Oops", r"Call Trace", r"I/O error", r"blk_update_request"]
SCRIPT = """cd /tmp
dd if=/dev/urandom of=r bs=64k count=16 2>/dev/null
for d in %(disks)s; do
	dd if=r of=/dev/$d bs=64k seek=4 conv=fsync 2>/dev/null
	blkdiscard -o 0 -l 65536 /dev/$d || echo "$d: no discard"
done
echo 3 >/proc/sys/vm/drop_caches
sum=$(md5sum <r)
for d in %(disks)s; do
	[ "$sum" = "$(dd if=/dev/$d bs=64k skip=4 count=16 2>/dev/null | md5sum)" ] && same=same || same=other
	q=$(ls /sys/block/$d/mq | wc -l)
	echo "disk $d $same, $q queues, first $(dd if=/dev/$d bs=512 count=1 2>/dev/null | tr -d '\\0' | head -c 5)."
done
read -r before x </proc/uptime
dd if=/dev/zero of=/dev/vde bs=64k count=96 conv=fsync 2>/dev/null
read -r after x </proc/uptime
echo "limited: $before $after"
echo "sum $sum"
"""


def initrd(tmp, kernel, script):
    path, out = os.path.join(tmp, "script"), os.path.join(tmp, "initrd")
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(path, 0o755)
    modules = ["virtio_blk"] + (["virtio_pci"] if kernel.endswith("6.1") else [])
    cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
    cmd += [x for m in modules for x in ("--module", m)] + ["--script", path, out]
    subprocess.run(cmd, check=True, capture_output=True)
    return out


def boot(tmp, kernel, script, disks):
    args = ["run", "--accel", "tcg", "--cpus", "2", "--mem", "256M", "--bus", "pci", "--kernel", guest(kernel), "--initrd",
            initrd(tmp, kernel, script), "--cmdline", "console=ttyS0 quiet", "--timeout", "100s"]
    return run(args + [x for d in disks for x in ("--disk", d)], timeout=120)


def contents(path):
    with open(path, "rb") as f:
        return f.read()


def every_kind(kernel):
    with tempfile.TemporaryDirectory(prefix="mayfly-disk-", dir="/var/tmp") as tmp:
        images = [os.path.join(tmp, f"{i}.img") for i in range(5)]
        for path in images:
            with open(path, "wb") as f:
                f.write(b"first" + bytes(507) + b"\xaa" * (8 << 20))
        kinds = ["queues=4", "cache=none", f"overlay={tmp}/over", "overlay=ephemeral", "engine=sync,bw=2M"]
        names = " ".join(f"vd{c}" for c in "abcde")
        res = boot(tmp, kernel, SCRIPT % {"disks": names}, [f"{p},{k}" for p, k in zip(images, kinds)])
        want = [rf"disk vd{c} same, {2 if c == 'a' else 1} queues, first \." for c in "abcde"]
        expect(res, code=0, out=want, not_out=BAD + ["no discard"])
        before, after = map(float, re.search(r"limited: (\S+) (\S+)", res.out).groups())
        if not 1.5 < after - before < 30:  # 6 MiB at 2 MiB/s, less the bucket
            raise AssertionError(f"6 MiB at 2 MiB/s took {after - before} s")
        for i, path in enumerate(images):
            untouched = contents(path) == b"first" + bytes(507) + b"\xaa" * (8 << 20)
            if untouched != (i in (2, 3)):
                raise AssertionError(f"disk {i} ({kinds[i]}): image {'not ' if untouched else ''}written")
        # the overlay still has it, the image still has not
        again = boot(tmp, kernel, "echo sum $(dd if=/dev/vda bs=64k skip=4 count=16 2>/dev/null | md5sum)",
                     [f"{images[2]},overlay={tmp}/over"])
        expect(again, code=0, out=[re.search(r"sum [0-9a-f]{32}", res.out)[0]], not_out=BAD)


ERRORS_SCRIPT = """echo ready
read -r x </dev/console
for i in 1 2 3; do dd if=/dev/vda of=/dev/null bs=4k skip=1000 count=1 iflag=direct 2>&1 | tail -1; done
dd if=/dev/vdb of=/dev/null bs=4k count=1 iflag=direct 2>&1 | tail -1
echo end
"""


def truncated_under_the_guest(kernel):
    """The image loses its end: the guest gets I/O errors for it, and the other disk and the machine live."""
    with tempfile.TemporaryDirectory(prefix="mayfly-disk-", dir="/var/tmp") as tmp:
        images = [os.path.join(tmp, f"{i}.img") for i in range(2)]
        for path in images:
            with open(path, "wb") as f:
                f.truncate(8 << 20)
        cmd = [MAYFLY, "run", "--accel", "tcg", "--mem", "256M", "--bus", "pci", "--kernel", guest(kernel), "--initrd",
               initrd(tmp, kernel, ERRORS_SCRIPT), "--cmdline", "console=ttyS0 quiet", "--timeout", "60s"]
        with subprocess.Popen(cmd + [x for p in images for x in ("--disk", p)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as proc:
            out = b""
            while b"ready" not in out and (chunk := os.read(proc.stdout.fileno(), 4096)):
                out += chunk
            os.truncate(images[0], 1 << 20)
            os.unlink(images[1])
            proc.stdin.write(b"\n")
            proc.stdin.flush()
            out += proc.stdout.read()
        text = out.decode("utf-8", "replace")
        if proc.returncode or len(re.findall(r"vda.*I/O error|error reading|Input/output error", text)) < 3 or \
                not re.search(r"1\+0 records out\s+end", text):
            raise AssertionError(f"exit {proc.returncode}: {text[-1500:]}")


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for kernel in ("cloud-6.1", "cloud-6.12"):
        suite.check(f"tcg: disks of every kind, {kernel}", lambda k=kernel: every_kind(k))
    suite.check("tcg: image truncated under the guest", lambda: truncated_under_the_guest("cloud-6.12"))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
