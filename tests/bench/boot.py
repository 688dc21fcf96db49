#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boot time, paired: mayfly and QEMU microvm boot the same kernel and initramfs in turn.

usage: boot.py [--runs 7] [--kernel cloud-6.1] [--accel tcg] [--cpus 1] [--mayfly PATH] [--json FILE]

Times are wall clock from exec: to the guest's userspace marker on the console, and to the end of
the process after the guest powered off. Medians and their ratio are printed; a ratio below 1
means mayfly is faster. --accel kvm compares both under KVM. QEMU's kernel is told the frequency of
the TSC (tests/bench/cpu/engines.py says why); --calibrate has it find out.
"""
import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "boot"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cpu"))
from harness import ROOT, guest, initrd  # noqa: E402
from image import program  # noqa: E402

MARK = b"mayfly-init: userspace reached"


def tsc_khz():
    """The host's, by counting for a tenth of a second in the program of the CPU benchmark."""
    return subprocess.run([program(), "tsc"], capture_output=True, text=True, check=True).stdout.strip()


def timed(cmd, timeout=30, tries=5):
    """(seconds to marker, seconds to exit, CPU seconds). A boot that hangs is tried again: on a
    busy host QEMU's guest may fail to calibrate its TSC against the PIT, and then waits forever."""
    for _ in range(tries):
        row = timed_once(cmd, timeout)
        if row:
            return row
        print(f"  {os.path.basename(cmd[0])}: hung for {timeout} s; again", flush=True)
    sys.exit(f"{cmd[0]}: hung {tries} times")


def timed_once(cmd, timeout):
    start = time.monotonic()
    proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seen, tail = None, b""
    while True:
        if not select.select([proc.stdout], [], [], max(0, start + timeout - time.monotonic()))[0]:
            proc.kill()
            proc.wait()
            return None
        chunk = os.read(proc.stdout.fileno(), 65536)
        if not chunk:
            break
        tail = (tail + chunk)[-4096:]
        if seen is None and MARK in tail:
            seen = time.monotonic() - start
    _, status, usage = os.wait4(proc.pid, 0)
    code = proc.returncode = os.waitstatus_to_exitcode(status)
    if seen is None:
        sys.exit(f"{cmd[0]}: no marker, exit {code}\n" + tail.decode("utf-8", "replace")[-600:])
    return seen, time.monotonic() - start, usage.ru_utime + usage.ru_stime


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--runs", type=int, default=7)
    ap.add_argument("--kernel", default="cloud-6.1")
    ap.add_argument("--accel", default="tcg", choices=["tcg", "kvm"])
    ap.add_argument("--cpus", type=int, default=1)
    ap.add_argument("--mem", type=int, default=512, help="MiB")
    ap.add_argument("--mayfly", default=os.path.join(ROOT, "build-release", "vmm", "mayfly"))
    ap.add_argument("--vmlinuz")
    ap.add_argument("--initrd")
    ap.add_argument("--extra", default="", help="more words for mayfly's command")
    ap.add_argument("--calibrate", action="store_true")
    ap.add_argument("--json")
    a = ap.parse_args()
    kernel = a.vmlinuz or guest(a.kernel)
    ramfs = a.initrd or initrd(a.kernel)
    line = "console=ttyS0 reboot=t panic=-1 mayfly.poweroff"
    ours = [a.mayfly, "run", "--accel", a.accel, "--cpus", str(a.cpus), "--mem", f"{a.mem}M", "--kernel", kernel,
            "--initrd", ramfs, "--cmdline", line] + a.extra.split()
    told = "" if a.calibrate else f" tsc=reliable tsc_early_khz={tsc_khz()}"
    theirs = ["qemu-system-x86_64", "-M", "microvm", "-accel", a.accel, "-cpu", "max" if a.accel == "tcg" else "host",
              "-smp", str(a.cpus), "-m", str(a.mem), "-kernel", kernel, "-initrd", ramfs, "-append", line + told,
              "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio", "-no-reboot"]
    rows = {"mayfly": [], "qemu": []}
    for i in range(a.runs):
        for name, cmd in (("mayfly", ours), ("qemu", theirs)) if i % 2 == 0 else (("qemu", theirs), ("mayfly", ours)):
            rows[name].append(timed(cmd))
    out = {"kernel": a.kernel, "accel": a.accel, "cpus": a.cpus, "runs": a.runs, "commands": {"mayfly": ours, "qemu": theirs}}
    print(f"{a.kernel}, {a.accel}, {a.cpus} vCPU, {a.runs} paired runs")
    for k, what in enumerate(("to userspace", "to exit", "CPU time")):
        m, q = (statistics.median(r[k] for r in rows[n]) for n in ("mayfly", "qemu"))
        pair = statistics.median(x[k] / y[k] for x, y in zip(rows["mayfly"], rows["qemu"]))
        out[what] = {"mayfly_s": [r[k] for r in rows["mayfly"]], "qemu_s": [r[k] for r in rows["qemu"]],
                     "ratio": m / q, "median_pair_ratio": pair}
        print(f"  {what:13} mayfly {m:6.3f} s  qemu {q:6.3f} s  ratio {m / q:.3f}  (median of pairs {pair:.3f})")
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
