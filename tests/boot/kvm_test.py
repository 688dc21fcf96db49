#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Payloads and stock guests under KVM. usage: kvm_test.py [REGEX]

Where this host's /dev/kvm runs guests they run here; elsewhere in kvm_outer.py's machine, all in
one boot of it.
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

import apilive
import bare_test
import payload
from harness import MAYFLY, ROOT, Skip, Suite, guest, initrd, run
from kvm_outer import Outer, Step
from smp_test import build as build_program

BAD = [r"Kernel panic", r"BUG:", r"Oops", r"WARNING: CPU", r"soft lockup", r"rcu.*stall", r"unchecked MSR access",
       r"general protection", r"Sanitizer"]
PAYLOAD_TEST = os.path.join(os.path.dirname(os.path.dirname(MAYFLY)), "tests", "boot", "payload_test")


DISK_SCRIPT = """dd if=/dev/vda bs=512 count=1 2>/dev/null | head -c 13; echo
dd if=/dev/urandom of=/tmp/r bs=64k count=64 2>/dev/null
dd if=/tmp/r of=/dev/vda bs=64k seek=16 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo "$(dd if=/dev/vda bs=64k skip=16 count=64 2>/dev/null | md5sum | cut -c1-32) guest"
echo hwrng $(dd if=/dev/hwrng bs=16 count=4 2>/dev/null | wc -c)
grep virtio /proc/interrupts
"""


BALLOON_SCRIPT = """mount -t tmpfs -o size=90% none /tmp
dd if=/dev/zero of=/tmp/f bs=1M count=100 2>/dev/null; rm /tmp/f
echo guest filled
n=0
while [ $(sed -n 's/MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) -gt 120000 ] && [ $n -lt 300 ]; do usleep 100000; n=$((n + 1)); done
dd if=/dev/urandom of=/tmp/f bs=1M count=20 2>/dev/null
echo sums $(md5sum </tmp/f) $(md5sum </tmp/f)
echo guest waited $n
"""


def disk_initrd(tmp, kernel="cloud-6.1", modules=("virtio_mmio", "virtio_pci", "virtio_blk", "virtio_rng"),
                text=DISK_SCRIPT, name="initrd-"):
    script, out = os.path.join(tmp, "script"), os.path.join(tmp, name + kernel)
    with open(script, "w") as f:
        f.write(text)
    cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
    for module in modules:
        cmd += ["--module", module]
    subprocess.run(cmd + ["--script", script, out], check=True, capture_output=True)
    return out


PMEM_SCRIPT = """#!/bin/sh
dd if=/dev/urandom of=/tmp/r bs=64k count=16 2>/dev/null
dd if=/tmp/r of=/dev/pmem0 bs=64k conv=fsync 2>/dev/null
echo "written $(md5sum </tmp/r)"
echo "cut it off"
sleep 3
echo "zeroes $(dd if=/dev/pmem0 bs=1M skip=16 count=1 iflag=direct 2>/dev/null | tr -dc '\\0' | wc -c)"
dd if=/tmp/r of=/dev/pmem0 bs=64k seek=256 conv=fsync 2>/dev/null || echo "flush failed"
"""

VSOCK_SCRIPT = """#!/bin/sh
stream serve vsock 6000 &
stream many host 5000 50 20000 && stream half host 5000 100001 && stream refused host 5001
"""


def vsock_initrd(tmp, stream):
    script, out = os.path.join(tmp, "vsock-script"), os.path.join(tmp, "initrd-vsock")
    with open(script, "w") as f:
        f.write(VSOCK_SCRIPT)
    cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--modules", os.path.dirname(os.path.dirname(guest("cloud-6.1")))]
    for module in ("virtio_mmio", "virtio_pci", "vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"):
        cmd += ["--module", module]
    subprocess.run(cmd + ["--add", stream + ":/bin/stream", "--script", script, out], check=True, capture_output=True)
    return out


class Here:
    """The same steps on this host."""

    def __init__(self, tmp):
        self.tmp, self.paths = tmp, {}

    def add_file(self, host, path, mode=0o644):
        self.paths[path] = host

    add_binary = add_file

    def run(self, steps, timeout=0):
        out = []
        for name, command, limit in steps:
            for path in sorted(self.paths, key=len, reverse=True):
                command = command.replace(path, self.paths[path])
            start = time.monotonic()
            res = subprocess.run(["timeout", "-s", "KILL", str(limit), "sh", "-c", command], capture_output=True,
                                 stdin=subprocess.DEVNULL)
            out.append(Step(name, res.returncode, (res.stdout + res.stderr).decode("utf-8", "replace"),
                            time.monotonic() - start))
        return out


def kvm_works_here():
    doc = json.loads(run(["doctor", "--json"]).out)
    return any(c["name"] == "kvm" and c["result"] == "ok" for c in doc["checks"])


class Plan:
    """Steps to run in one go, each with what is expected of it."""

    def __init__(self):
        self.steps, self.wants = [], []

    def add(self, name, command, code=0, out=(), not_out=(), limit=130):
        self.steps.append((name.replace(" ", "-"), command, limit))
        self.wants.append((name, code, [out] if isinstance(out, str) else out, not_out))

    def select(self, regex):
        keep = [i for i, w in enumerate(self.wants) if not regex or re.search(regex, "kvm: " + w[0])]
        self.steps = [self.steps[i] for i in keep]
        self.wants = [self.wants[i] for i in keep]


def verdict(step, code, out, not_out):
    wrong = []
    if step.code != code:
        wrong.append(f"exit code {step.code}, expected {code}")
    wrong += [f"console lacks {w!r}" for w in out if not re.search(w, step.out)]
    wrong += [f"console has {b!r}" for b in not_out if re.search(b, step.out)]
    if wrong:
        raise AssertionError("; ".join(wrong) + "\n" + step.tail())
    return f"{step.seconds:.1f} s there"


def linux(kernel, cpus=1, words="mayfly.poweroff", extra="", accel="kvm", mem="256M"):
    return (f"/bin/mayfly run --accel {accel} --mem {mem} --cpus {cpus} --kernel /guest/{kernel} "
            f"--initrd /guest/initrd --cmdline+ {shlex.quote('loglevel=5 ' + words)} --timeout 100s {extra}")


def plan_payloads(plan, names):
    plan.add("probe accepts this KVM", "/bin/mayfly doctor --json", out=r'"kvm", "result": "ok"')
    plan.add("payloads", "/bin/payload_test kvm", out=[rf"ok - kvm: {n}" for n in names], not_out=["not ok"], limit=120)
    for name, code, want, text, extra in [
        ("prints and powers off", payload.print_text("hello\n") + payload.POWEROFF, 0, "hello", ""),
        ("exits through the debug port", payload.debug_exit(3), 7, "", ""),
        ("triple fault", payload.TRIPLE_FAULT, 33, "triple fault", ""),
        ("undefined opcode without an IDT", payload.UD2, 33, "", ""),
        ("reset port", payload.RESET_PORT, 32, "", "--no-reboot"),
        ("keyboard reset", payload.RESET_KEYBOARD, 32, "", "--no-reboot"),
        ("spins until the timeout", payload.SPIN, 124, "", "--timeout 1s"),
        ("halts for good until the timeout", payload.HALT_FOR_GOOD, 124, "", "--timeout 1s"),
        ("floods the console until the timeout", payload.FLOOD, 124, "", "--timeout 1s >/dev/null"),
        ("powers off with 32 vCPUs", payload.POWEROFF, 0, "", "--cpus 32"),
    ]:
        path = f"/guest/{name.replace(' ', '-')}.bin"
        plan.add(name, f"/bin/mayfly run --accel kvm --mem 16M --kernel {path} {extra}", want, text, limit=20)
        yield path, payload.image(code)


def plan_linux(plan):
    boots = r"mayfly-init: userspace reached"
    for kernel in ("cloud-6.1", "cloud-6.12"):
        for cpus in (1, 2):
            plan.add(f"{kernel} boots and powers off, {cpus} vCPU", linux(kernel, cpus), 0, boots, BAD)
    plan.add("cloud-6.1, 4 vCPUs", linux("cloud-6.1", 4), 0, boots, BAD)
    plan.add("auto takes KVM", linux("cloud-6.1", accel="auto", extra="--log info"), 0,
             [boots, r"accelerator kvm"], BAD)
    plan.add("acpi=off boots by the MP table", linux("cloud-6.1", 2, "acpi=off mayfly.reboot reboot=k", "--no-reboot"),
             32, boots, BAD)
    plan.add("guest reboot ends with 32", linux("cloud-6.1", 1, "mayfly.reboot", "--no-reboot"), 32, boots, BAD)
    plan.add("guest reboot boots again", linux("cloud-6.1", 2, "mayfly.reboot") + " >/tmp/twice 2>&1 & pid=$!;"
             "until [ $(grep -c reached /tmp/twice) -ge 2 ] || ! kill -0 $pid; do sleep 1; done; kill -HUP $pid; wait $pid;"
             "code=$?; cat /tmp/twice; exit $code", 129, r"(?s)reached.*reached", BAD, limit=240)
    plan.add("guest crash ends with 33", linux("cloud-6.1", 1, "mayfly.crash panic=-1 reboot=t", "--no-reboot"), 33,
             [boots, "sysrq triggered crash"])
    plan.add("cloud-6.1 unpacked on the host", linux("cloud-6.1", 1, extra="--unpack host"), 0, boots, BAD)
    def disk(name, kernel, initrd_name, extra, irqs):
        plan.add(name, "truncate -s 32M /tmp/disk.img; echo first-sector | dd of=/tmp/disk.img "
                 f"conv=notrunc 2>/dev/null; /bin/mayfly run --accel kvm --mem 256M --kernel /guest/{kernel} --initrd "
                 f"/guest/{initrd_name} --disk /tmp/disk.img --rng --timeout 100s --cmdline 'console=ttyS0 loglevel=5' "
                 f"{extra}; code=$?; dd if=/tmp/disk.img bs=1M skip=1 count=4 2>/dev/null | md5sum; exit $code", 0,
                 [r"first-sector", r"(?s)([0-9a-f]{32}) guest.*\b\1\b", r"hwrng 64", irqs], BAD)

    for bus in ("mmio", "pci"):
        plan.add(f"virtio driver on bare metal, {bus}", "truncate -s 8M /tmp/bare.img; printf first-sector | "
                 "dd of=/tmp/bare.img conv=notrunc 2>/dev/null; /bin/mayfly run --accel kvm --mem 16M --kernel "
                 f"/guest/bare.elf --disk /tmp/bare.img --rng --bus {bus} --timeout 15s", 0,
                 [f'blk {bus}: "first-sector" 16384 sectors, written and read back', f"rng {bus}: 64 bytes"], limit=30)
    disk("disk and random numbers", "cloud-6.1", "initrd-disk", "", r"IO-APIC.*virtio")
    for cpus in (1, 2):
        disk(f"disk and random numbers on PCI, cloud-6.1, {cpus} vCPU", "cloud-6.1", "initrd-disk",
             f"--bus pci --cpus {cpus}", r"PCI-MSI.*virtio")
        disk(f"disk and random numbers on PCI, cloud-6.12, {cpus} vCPU", "cloud-6.12", "initrd-disk-6.12",
             f"--bus pci --cpus {cpus}", r"PCI-MSI.*virtio")
    disk("PCI without MSI: INTx", "cloud-6.1", "initrd-disk", "--bus pci --cmdline+ pci=nomsi", r"IO-APIC.*virtio")
    disk("PCI with all addresses assigned anew", "cloud-6.12", "initrd-disk-6.12",
         "--bus pci --cmdline+ pci=realloc=on", r"PCI-MSI.*virtio")
    for bus in ("mmio", "pci"):
        plan.add(f"connections to the host, {bus}", "rm -f /tmp/v.sock*; /bin/stream serve unix /tmp/v.sock_5000 & pid=$!;"
                 "/bin/mayfly run --accel kvm --mem 256M --kernel /guest/cloud-6.1 --initrd /guest/initrd-vsock "
                 f"--net none --bus {bus} --vsock 3,uds=/tmp/v.sock --timeout 100s --cmdline 'console=ttyS0 loglevel=5';"
                 "code=$?; kill $pid; exit $code", 0,
                 [r"50 connections of 20000 bytes each way, 0 unfinished, 0 wrong", r"sum right, count right, then 0",
                  r"refused: Connection reset"], BAD)
    plan.add("balloon gives memory back", "export XDG_RUNTIME_DIR=/tmp; rss() { sed -n 's/VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' "
             "/proc/$pid/status; }; /bin/mayfly run --accel kvm --mem 256M --kernel /guest/cloud-6.1 --initrd "
             "/guest/initrd-balloon --balloon --timeout 100s --cmdline 'console=ttyS0 loglevel=5' >/tmp/balloon 2>&1 & "
             "pid=$!; until grep -q filled /tmp/balloon || ! kill -0 $pid; do sleep 0.2; done; full=$(rss); "
             "/bin/mayfly debug tell $pid balloon 100; until grep -q sums /tmp/balloon || ! kill -0 $pid; do sleep 0.2; done; "
             "small=$(rss); wait $pid; code=$?; cat /tmp/balloon; echo rss $full $small kB; "
             "[ $((full - small)) -gt 40000 ] && echo fell; exit $code", 0,
             [r"sums ([0-9a-f]{32}) - \1 -", r"(?m)^fell", r"guest waited [12]?\d?\d\b"], BAD)
    plan.add("persistent memory is kept, and may be cut off", "truncate -s 32M /tmp/pmem.img; /bin/mayfly run --accel kvm "
             "--mem 256M --kernel /guest/cloud-6.1 --initrd /guest/initrd-pmem --pmem /tmp/pmem.img --timeout 100s "
             "--cmdline 'console=ttyS0 loglevel=4' >/tmp/pmem 2>&1 & pid=$!; "
             "until grep -q 'cut it off' /tmp/pmem || ! kill -0 $pid; do sleep 0.2; done; "
             "head -c 1048576 /tmp/pmem.img | md5sum; truncate -s 8M /tmp/pmem.img; wait $pid; code=$?; cat /tmp/pmem; "
             "exit $code", 0, [r"([0-9a-f]{32})  -[^$]*written \1", r"zeroes 1048576", r"flush failed"],
             [r"Kernel panic", r"BUG:", r"Oops"])
    plan.add("booted and changed by the API alone", "sh /guest/kvm_api.sh /bin/mayfly /bin/agent /guest/cloud-6.1 "
             "/guest/initrd-api", 0, [rf"{what} right" for what in (
                 "boot", "contents", "image", "limit", "balloon", "memory", "entropy", "net", "mmds", "pause", "metrics",
                 "(?s)(more plug right.*){3}unplug", "(?s)(later memory plug right.*){3}memory unplug", "taken away")], [*BAD, "refused"], limit=240)
    plan.add("TERM shuts the guest down", "mkfifo /tmp/in; sleep 60 >/tmp/in & " +
             linux("cloud-6.1", 1, "mayfly.shell", "--log info") + " </tmp/in >/tmp/out 2>&1 & pid=$!;"
             "until grep -q reached /tmp/out; do sleep 1; done; sleep 1;"
             "kill -TERM $pid; wait $pid; code=$?; cat /tmp/out; exit $code", 0, boots, BAD)


def run_all(make_place, steps):
    """Runs the steps; where the outer machine itself dies (QEMU's SVM is an emulation, too) a new
    one goes on from the step it died in. The same step is not tried a third time."""
    results, tries = [], 0
    while steps:
        got = make_place().run(steps, timeout=900)
        alive = [r for r in got if r.code is not None]
        results += alive
        if len(alive) == len(got):
            break
        tries = tries + 1 if not alive else 1
        print(f"# the outer machine died in {steps[len(alive)][0]}: {got[len(alive)].tail(2)}", flush=True)
        steps = steps[len(alive):]
        if tries == 2:
            results.append(got[len(alive)])
            steps, tries = steps[1:], 0
    return results


def main():
    regex = sys.argv[1] if len(sys.argv) > 1 else None
    suite = Suite()
    plan = Plan()
    with tempfile.TemporaryDirectory(prefix="mayfly-kvm-") as tmp:
        try:
            files = [(MAYFLY, "/bin/mayfly"), (PAYLOAD_TEST, "/bin/payload_test")]
            names = ["ports of all sizes", "kicks", "msi", "second processor starts", "state and reset"]
            for path, data in plan_payloads(plan, names):
                host = os.path.join(tmp, os.path.basename(path))
                with open(host, "wb") as f:
                    f.write(data)
                files.append((host, path))
            plan_linux(plan)
            files.append((bare_test.build(tmp), "/guest/bare.elf"))
            stream = build_program("stream", tmp)
            files += [(stream, "/bin/stream"), (vsock_initrd(tmp, stream), "/guest/initrd-vsock")]
            agent = build_program("agent", tmp)
            files += [(agent, "/bin/agent"), (apilive.make_initrd(tmp, "cloud-6.1", "pci", agent), "/guest/initrd-api"),
                      (os.path.join(ROOT, "tests", "boot", "kvm_api.sh"), "/guest/kvm_api.sh")]
            files += [(guest(k), f"/guest/{k}") for k in ("cloud-6.1", "cloud-6.12")]
            files += [(initrd("cloud-6.1"), "/guest/initrd"), (disk_initrd(tmp), "/guest/initrd-disk"),
                      (disk_initrd(tmp, "cloud-6.12", ("virtio_blk", "virtio_rng")), "/guest/initrd-disk-6.12"),
                      (disk_initrd(tmp, "cloud-6.1", ("virtio_mmio", "virtio_balloon"), BALLOON_SCRIPT, "balloon-"),
                       "/guest/initrd-balloon"),
                      (disk_initrd(tmp, "cloud-6.1", ("virtio_mmio", "virtio_pmem", "nd_pmem"), PMEM_SCRIPT, "pmem-"),
                       "/guest/initrd-pmem")]
            plan.select(regex)
            here = kvm_works_here()

            def make_place():
                place = Here(tmp) if here else Outer(mem=1536)
                for host, path in files:
                    (place.add_binary if path.startswith("/bin/") else place.add_file)(host, path)
                return place

            results = run_all(make_place, plan.steps)
        except (Skip, AssertionError) as why:
            error = why

            def broken():
                raise error

            suite.check("kvm", broken)
            sys.exit(suite.finish())
    for step, (name, code, out, not_out) in zip(results, plan.wants):
        suite.check("kvm: " + name, lambda s=step, c=code, o=out, b=not_out: verdict(s, c, o, b))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
