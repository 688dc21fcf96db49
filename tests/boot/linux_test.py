#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stock guests under the translator: boots, poweroff, reboot, crash, disks. usage: linux_test.py [REGEX]"""
import os
import re
import subprocess
import sys
import tempfile

from harness import CACHE, MAYFLY, ROOT, Skip, Suite, expect, guest, initrd, run

KERNELS = ["cloud-6.1", "cloud-6.12"]
BAD = [r"Kernel panic", r"BUG:", r"Oops", r"WARNING: CPU", r"soft lockup", r"rcu.*stall",
       r"clocksource: Marking clocksource", r"unchecked MSR access", r"general protection"]


def boot(kernel, cpus=1, cmdline="mayfly.poweroff", extra=(), mem="512M", timeout=120, accel="tcg", modules=()):
    args = ["run", "--accel", accel, "--cpus", str(cpus), "--mem", mem, "--kernel", guest(kernel),
            "--initrd", initrd(kernel, modules), "--cmdline+", cmdline, "--timeout", f"{timeout}s"]
    return run(args + list(extra), timeout=timeout + 20)


def boots_and_powers_off(kernel, cpus, extra=(), timeout=120):
    res = expect(boot(kernel, cpus, extra=extra, timeout=timeout), code=0,
                 out=[r"mayfly-init: userspace reached", rf"Brought up 1 node, {cpus} CPU"], not_out=BAD)
    return "userspace at " + re.search(r"userspace reached ([0-9.]+)", res.out).group(1) + " s guest time"


def disk_image():
    from_env = os.environ.get("MAYFLY_TEST_ROOT")
    if from_env:
        return from_env
    res = subprocess.run([os.path.join(ROOT, "tools", "mkroot"), os.path.join(CACHE, "root")],
                         capture_output=True, text=True)
    if res.returncode == 4:
        raise Skip(res.stderr.strip().splitlines()[-1])
    if res.returncode:
        raise AssertionError("tools/mkroot: " + res.stderr.strip()[-300:])
    return res.stdout.strip().splitlines()[-1]


def run_on_disk(kernel, command, cpus, timeout):
    """Boots the Debian root, runs the command there, gives the console. The image is copied."""
    image = disk_image()
    with tempfile.TemporaryDirectory(prefix="mayfly-test-") as tmp:
        copy = os.path.join(tmp, "root.ext4")
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, copy], check=True)
        return boot(kernel, cpus, timeout=timeout, mem="1G", extra=["--disk", copy],
                    modules=("virtio_mmio", "virtio_blk"),
                    cmdline="root=/dev/vda init=/sbin/mayfly-init mayfly.run=" + command.replace(" ", ","))


def run_on_shared_root(kernel, command, cpus, timeout):
    """The same root as a shared directory: virtio-fs, no disk. The directory is copied."""
    root = os.path.join(os.path.dirname(disk_image()), "root")
    with tempfile.TemporaryDirectory(prefix="mayfly-test-") as tmp:
        copy = os.path.join(tmp, "root")
        subprocess.run(["cp", "-a", "--reflink=auto", root, copy], check=True)
        with open(os.path.join(copy, "run-this"), "w") as f:
            f.write(f"#!/bin/sh\n{command}\n")
            os.fchmod(f.fileno(), 0o755)
        return boot(kernel, cpus, timeout=timeout, mem="1G", extra=["--fs", copy + ",tag=root"],
                    modules=("virtio_mmio", "virtiofs"),
                    cmdline="root=root rootfstype=virtiofs rw init=/sbin/mayfly-init mayfly.run=/run-this")


def shared_root_stress_verifies(kernel, cpus):
    """stress-ng's file system methods, one second each, but those that need what FUSE has not."""
    res = expect(run_on_shared_root(kernel, "stress-ng --temp-path /root --class filesystem --sequential 1 --timeout 1 "
                                    "--verify --exclude binderfs,fanotify,ioprio,procfs,sysfs,dev", cpus, 300), code=0,
                 out=[r"successful run completed", r"mayfly-root: status 0"], not_out=[*BAD, r"stress-ng: fail"])
    return re.search(r"successful run completed in ([0-9.]+)s", res.out).group(0)


def workload_matches_host(kernel, cpus, run=run_on_disk):
    root = os.path.join(os.path.dirname(disk_image()), "root")
    res = expect(run(kernel, "workload.sh 1", cpus, 400), code=0,
                 out=[r"mayfly-root: userspace reached", r"workload done", r"mayfly-root: status 0"], not_out=BAD)
    host = subprocess.run(["chroot", root, "/usr/local/bin/workload.sh", "1"], capture_output=True, text=True,
                          check=True).stdout
    here = re.findall(r"^workload .*?$", res.out.replace("\r", ""), re.M)
    there = re.findall(r"^workload .*?$", host, re.M)
    differ = [f"{a} != {b}" for a, b in zip(here, there) if a != b]
    if differ or len(here) != len(there):
        raise AssertionError(f"{len(here)} lines, host {len(there)}; " + "; ".join(differ))


def stress_verifies(kernel, cpus, seconds):
    cmd = f"stress-ng --cpu {cpus} --cpu-method all --verify --metrics-brief -t {seconds}s"
    expect(run_on_disk(kernel, cmd, cpus, seconds * 3 + 240), code=0,
           out=[r"successful run completed", r"mayfly-root: status 0"], not_out=BAD + [r"fail:"])


def bench_results_equal(kernel, cpus):
    """The CPU benchmark's items, once, for their results: each must be what this host's processor gives."""
    cmd = [os.path.join(ROOT, "tests", "bench", "cpu", "run"), "--quick", "--engines", "native,mayfly", "--cpus", str(cpus),
           "--kernel", kernel, "--mayfly", MAYFLY, "--seconds", "300"]
    res = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if res.returncode:
        raise AssertionError("\n".join((res.stdout + res.stderr).splitlines()[-12:]))
    return res.stdout.splitlines()[0].split(",")[0]


PCI_SCRIPT = """for d in /sys/bus/pci/devices/*; do
echo "function ${d##*/} $(cat $d/vendor $d/device $d/class | tr '\\n' ' ')$(grep -c . $d/resource) $(basename $(readlink $d/driver))"
done
dd if=/dev/vda bs=512 count=1 2>/dev/null | head -c 13; echo
dd if=/dev/urandom of=/tmp/r bs=64k count=32 2>/dev/null
dd if=/tmp/r of=/dev/vda bs=64k seek=16 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo "written $(md5sum </tmp/r) read $(dd if=/dev/vda bs=64k skip=16 count=32 2>/dev/null | md5sum)"
echo hwrng $(dd if=/dev/hwrng bs=16 count=4 2>/dev/null | wc -c)
grep -E 'virtio|GSI|fasteoi|IO-APIC' /proc/interrupts
"""
# Anything a kernel says about PCI that it does not say on a healthy PC.
PCI_COMPLAINTS = [r"pci.*(conflict|failed|can't|cannot|invalid|not assigned|no space|broken|timed out)",
                  r"ACPI.*(Error|Warning|BIOS)", r"Firmware (Bug|Warn)", r"virtio.*(failed|error|timeout)",
                  r"nobody cared", r"MMCONFIG.*not reserved"]


def script_initrd(tmp, kernel, modules, script):
    path, out = os.path.join(tmp, "script"), os.path.join(tmp, "initrd")
    with open(path, "w") as f:
        f.write(script)
    cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
    cmd += [x for m in modules for x in ("--module", m)] + ["--script", path, out]
    subprocess.run(cmd, check=True, capture_output=True)
    return out


def devices_on_pci(kernel, cpus, words="", interrupts=r"PCI-MSI"):
    """Disk and entropy source behind PCI: what the guest sees of them, what it reads and writes, and no complaints."""
    modules = ["virtio_blk", "virtio_rng"] + (["virtio_pci"] if kernel.endswith("6.1") else [])
    with tempfile.TemporaryDirectory(prefix="mayfly-test-") as tmp:
        disk = os.path.join(tmp, "disk.img")
        with open(disk, "wb") as f:
            f.write(b"first-sector\n")
            f.truncate(8 << 20)
        res = run(["run", "--accel", "tcg", "--cpus", str(cpus), "--mem", "256M", "--bus", "pci", "--net", "none", "--kernel",
                   guest(kernel), "--initrd", script_initrd(tmp, kernel, modules, PCI_SCRIPT), "--disk", disk, "--rng",
                   "--cmdline", "console=ttyS0 " + words, "--timeout", "90s"], timeout=110)
        # functions of bus 0: vendor, device, class, driver
        expect(res, code=0, out=[r"first-sector", r"written ([0-9a-f]{32})  - read \1", r"hwrng 64",
                                 r"function 0000:00:00.0 0x1b36 0x0008 0x060000",
                                 r"function 0000:00:01.0 0x1af4 0x1042 0x018000 .*virtio-pci",
                                 r"function 0000:00:02.0 0x1af4 0x1044 0xff0000 .*virtio-pci",
                                 rf"{interrupts}.*virtio0"], not_out=BAD + PCI_COMPLAINTS)


KASLR_SCRIPT = """#!/bin/sh
grep ' _text$' /proc/kallsyms
grep 'Kernel code' /proc/iomem
poweroff -f
"""


def kernel_places(kernel, tmp, unpack, words=""):
    """Virtual and physical address of the kernel's code."""
    res = run(["run", "--accel", "tcg", "--unpack", unpack, "--net", "none", "--kernel", guest(kernel), "--initrd",
               script_initrd(tmp, kernel, [], KASLR_SCRIPT), "--cmdline", "console=ttyS0 quiet " + words, "--timeout", "60s"],
              timeout=80)
    expect(res, code=0, out=[r"[0-9a-f]{16} T _text", r"[0-9a-f]{8}-[0-9a-f]{8} : Kernel code"], not_out=BAD)
    return (int(re.search(r"([0-9a-f]{16}) T _text", res.out).group(1), 16),
            int(re.search(r"([0-9a-f]{8})-[0-9a-f]{8} : Kernel code", res.out).group(1), 16))


def kernel_goes_to_random_places(kernel):
    """Unpacked by the host as by the guest: somewhere else each time, but where it is linked to without KASLR."""
    linked = (0xffffffff81000000, 0x1000000)
    with tempfile.TemporaryDirectory(prefix="mayfly-test-") as tmp:
        # two of some 100,000 pairs
        places = {kernel_places(kernel, tmp, "host") for _ in range(2)}
        if len(places) != 2 or linked in places or kernel_places(kernel, tmp, "guest") == linked:
            raise AssertionError(f"the kernel is where it is linked to, or in the same place twice: {places}")
        if kernel_places(kernel, tmp, "host", "nokaslr") != linked:
            raise AssertionError("nokaslr is not heeded")


def gnumach_prints_banner():
    res = run(["run", "--accel", "tcg", "--mem", "128M", "--kernel", guest("gnumach"), "--cmdline", "console=com0",
               "--timeout", "20s", "--no-reboot"], timeout=40)
    if not re.search(r"GNU Mach", res.out):
        raise AssertionError(f"no banner, exit {res.code}\n" + res.tail())


def memtest_starts():
    res = run(["run", "--accel", "tcg", "--mem", "64M", "--kernel", guest("memtest"), "--cmdline",
               "console=ttyS0,115200", "--timeout", "20s"], timeout=60)
    if not re.search(r"Memtest86\+", res.out) or res.code != 124:
        raise AssertionError(f"no screen, exit {res.code}\n" + res.tail())


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for kernel in KERNELS:
        for cpus in (1, 2):
            suite.check(f"tcg: {kernel} boots and powers off, {cpus} vCPU",
                        lambda k=kernel, c=cpus: boots_and_powers_off(k, c))
        suite.check(f"tcg: {kernel} boots and powers off, 32 vCPU",
                    lambda k=kernel: boots_and_powers_off(k, 32, timeout=240))
    suite.check("tcg: acpi=off boots by the MP table",
                lambda: expect(boot("cloud-6.1", 2, cmdline="acpi=off mayfly.reboot reboot=k", extra=["--no-reboot"]),
                               code=32, out=r"userspace reached", not_out=BAD) and None)
    for kernel in KERNELS:
        for cpus in (1, 2):
            suite.check(f"tcg: disk and random numbers on PCI, {kernel}, {cpus} vCPU",
                        lambda k=kernel, c=cpus: devices_on_pci(k, c))
    suite.check("tcg: PCI without MSI: INTx", lambda: devices_on_pci("cloud-6.12", 1, "pci=nomsi", r"IO-APIC"))
    suite.check("tcg: PCI without ECAM, by ports", lambda: devices_on_pci("cloud-6.1", 1, "pci=nommconf"))
    suite.check("tcg: PCI with all addresses assigned anew",
                lambda: devices_on_pci("cloud-6.12", 2, "pci=realloc=on"))
    suite.check("tcg: PCI without ACPI", lambda: devices_on_pci("cloud-6.12", 1, "acpi=off", r"XT-PIC"))
    for kernel in KERNELS:
        suite.check(f"tcg: KASLR, {kernel}", lambda k=kernel: kernel_goes_to_random_places(k))
    suite.check("tcg: interpreter alone boots",
                lambda: boots_and_powers_off("cloud-6.1", 1, ["--debug", "nojit"], timeout=300))
    suite.check("tcg: timers calibrate without kvm-clock",
                lambda: expect(boot("cloud-6.1", 1, cmdline="mayfly.poweroff no-kvmclock nokaslr"), code=0,
                               out=[r"userspace reached", r"tsc: Detected"], not_out=BAD) and None)
    for model in ("v2", "v3"):
        suite.check(f"tcg: boots on the processor model {model}",
                    lambda m=model: boots_and_powers_off("cloud-6.12", 2, ["--cpu", m]))
    suite.check("tcg: guest reboot ends with 32 under --no-reboot",
                lambda: expect(boot("cloud-6.1", 1, cmdline="mayfly.reboot", extra=["--no-reboot"]), code=32,
                               out=r"userspace reached") and None)
    suite.check("tcg: guest reboot boots again",
                lambda: expect(boot("cloud-6.1", 1, cmdline="mayfly.reboot", timeout=15), code=124,
                               out=r"(?s)userspace reached.*userspace reached") and None)
    suite.check("tcg: guest crash ends with 33",
                lambda: expect(boot("cloud-6.1", 1, cmdline="mayfly.crash panic=-1 reboot=t", extra=["--no-reboot"]),
                               code=33, out=r"userspace reached") and None)
    suite.check("tcg: gnumach prints its banner (Multiboot)", gnumach_prints_banner)
    suite.check("tcg: memtest86+ starts", memtest_starts)
    for kernel in KERNELS:
        suite.check(f"tcg: Debian root on virtio-blk, same output as the host, {kernel}",
                    lambda k=kernel: workload_matches_host(k, 2 if k.endswith("12") else 1))
        suite.check(f"tcg: Debian root on virtio-fs, same output as the host, {kernel}",
                    lambda k=kernel: workload_matches_host(k, 1 if k.endswith("12") else 2, run_on_shared_root))
    suite.check("tcg: file system stress on virtio-fs", lambda: shared_root_stress_verifies("cloud-6.1", 2))
    suite.check("tcg: benchmark items give this host's results, 2 vCPU", lambda: bench_results_equal("cloud-6.12", 2))
    suite.check("tcg: stress-ng --verify over its CPU methods", lambda: stress_verifies("cloud-6.12", 2, 60))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
