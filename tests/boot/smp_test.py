#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several vCPUs under the translator: memory model, paravirtual features, steal time.

usage: smp_test.py [--seconds N] [REGEX]      N: of each litmus run (default 20)
The programs of guest/ are compiled for the guest, statically, and run from an initramfs.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

from harness import ROOT, Skip, Suite, expect, guest, run

HERE = os.path.dirname(os.path.abspath(__file__))
BAD = [r"Kernel panic", r"BUG:", r"Oops", r"WARNING: CPU", r"soft lockup", r"rcu.*stall",
       r"clocksource: Marking clocksource", r"unchecked MSR access", r"general protection"]


def build(name, where, *flags):
    """Compiles guest/NAME.c into the directory; the program's path."""
    out = os.path.join(where, name)
    res = subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-pthread", f"-I{where}", "-o", out,
                          os.path.join(HERE, "guest", name + ".c"), *flags], capture_output=True, text=True)
    if res.returncode:
        raise AssertionError(f"{name}.c: " + res.stderr.strip()[-400:])
    return out


def run_script(kernel, cpus, script, programs=(), extra=(), cmdline="", mem="512M", timeout=120, modules=()):
    """Boots the kernel with an initramfs that runs the script (sh) and powers off."""
    with tempfile.TemporaryDirectory(prefix="mayfly-smp-") as tmp:
        if "litmus" in programs:
            subprocess.run([sys.executable, os.path.join(HERE, "litmus_gen.py"), os.path.join(tmp, "litmus_tests.h")],
                           check=True)
        path = os.path.join(tmp, "script")
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\n" + script)
        img = os.path.join(tmp, "initrd")
        cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--script", path]
        for name in programs:
            cmd += ["--add", build(name, tmp) + ":/bin/" + name]
        if modules:
            cmd += ["--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
            cmd += [x for m in modules for x in ("--module", m)]
        res = subprocess.run(cmd + [img], capture_output=True, text=True)
        if res.returncode:
            raise AssertionError("tools/mkinitrd: " + res.stderr.strip())
        return run(["run", "--accel", "tcg", "--cpus", str(cpus), "--mem", mem, "--kernel", guest(kernel), "--initrd",
                    img, "--cmdline+", cmdline, "--timeout", f"{timeout}s", *extra], timeout=timeout + 20)


def litmus(cpus, seconds):
    res = expect(run_script("cloud-6.12", cpus, f"litmus {seconds}\n", ["litmus"], timeout=seconds * 3 + 60),
                 out=r"litmus: \d+ tests, \d+ rounds, 0 forbidden, SB relaxed [1-9]",
                 not_out=BAD + ["FORBIDDEN"])
    if "script ended with 0" not in res.out:
        raise AssertionError("litmus failed\n" + res.tail())
    return re.search(r"litmus: (\d+ tests, .*)", res.out).group(1).strip()


def pv_features(kernel):
    expect(run_script(kernel, 2, "dmesg | grep -iE 'kvm|clock|spinlock'\n"),
           out=[r"kvm-guest: setup PV IPIs", r"PV spinlocks enabled", r"kvm-guest: .*(?i:pv sched yield)",
                r"kvm-guest: .*(?i:pv remote tlb flush)", r"kvm-clock: using sched offset"], not_out=BAD)


def stat_fields(text, tag):
    """user, system, idle, steal of a /proc/stat line after a tag, in ticks of 10 ms."""
    f = [int(x) for x in re.search(rf"{tag} cpu +(.*)", text).group(1).split()]
    return f[0] + f[1], f[2], f[3], f[7]


def steal_is_honest():
    """Twice as many busy vCPUs as processors: about half is stolen. None busy: none is."""
    host = len(os.sched_getaffinity(0))
    if host * 2 > 32:
        raise Skip("too many processors")
    res = expect(run_script("cloud-6.12", host * 2, f"""
sleep 1
echo idle0 $(head -n1 /proc/stat)
sleep 3
echo idle1 $(head -n1 /proc/stat)
for i in $(seq {host * 2}); do timeout 4 sh -c 'while :; do :; done' & done
sleep 1
echo busy0 $(head -n1 /proc/stat)
sleep 2
echo busy1 $(head -n1 /proc/stat)
wait
"""), out="script ended with 0", not_out=BAD)
    idle = [b - a for a, b in zip(stat_fields(res.out, "idle0"), stat_fields(res.out, "idle1"))]
    busy = [b - a for a, b in zip(stat_fields(res.out, "busy0"), stat_fields(res.out, "busy1"))]
    all_idle, all_busy = sum(idle), sum(busy)
    note = f"idle guest {100 * idle[3] // all_idle} % stolen, busy one {100 * busy[3] // all_busy} %"
    if busy[3] < 0.4 * all_busy or idle[3] > 0.2 * all_idle or idle[2] < 0.6 * all_idle:
        raise AssertionError(note + f"; {idle} {busy}\n" + res.tail())
    return note


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("only", nargs="?")
    a = p.parse_args()
    suite = Suite(a.only)
    for kernel in ("cloud-6.1", "cloud-6.12"):
        suite.check(f"smp: {kernel} finds the paravirtual features", lambda k=kernel: pv_features(k))
    suite.check("smp: steal time is told, and only what was stolen", steal_is_honest)
    for cpus in (2, 4):
        suite.check(f"smp: memory model, {cpus} vCPUs", lambda c=cpus: litmus(c, a.seconds))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
