#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux's own x86 self-tests (tools/testing/selftests/x86 of Debian's linux-source) in a guest.

    selftests_x86.py            builds them, runs them under mayfly, checks against QEMU's results
    selftests_x86.py --table    runs them here, under mayfly and under QEMU's TCG: a table
    selftests_x86.py REGEX      only cases that match

A program passes if it ends with 0, is skipped if it ends with 4. Needs the packages linux-source-6.1
and gcc-multilib; without them, and without kernels, the cases are skipped by name.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import tarfile
import tempfile

from harness import CACHE, ROOT, Skip, Suite, guest, run

KERNELS = ["cloud-6.1", "cloud-6.12"]
DIR = os.path.join(CACHE, "selftests")
PARTS = ["tools/testing/selftests/x86", "tools/testing/selftests/lib.mk", "tools/testing/selftests/kselftest",
         "arch/x86/include/asm/desc_defs.h"]

# What does not pass in a guest of any kernel, though nothing is wrong: docs/performance.md.
NOT_PASSED = {"amx_64": "fail(1)"}  # the model has no AMX

SCRIPT = """#!/bin/sh
ulimit -c 0
mkdir -p /dev/shm
for t in /st/*; do
	n=${t##*/}
	echo "selftest-begin $n"
	timeout %d $t >/out 2>&1 </dev/null
	code=$?
	grep -E "FAIL|not ok|SKIP" /out | head -%d
	echo "selftest $n $code ok $(grep -cE '^.?(.OK|ok )' /out) fail $(grep -cE 'FAIL|^not ok' /out)"
done
echo "selftest-end"
"""


def build():
    """The directory with the programs, statically linked."""
    out = os.path.join(DIR, "bin")
    if os.path.exists(os.path.join(DIR, "done")):
        return out
    source = sorted(glob.glob("/usr/src/linux-source-6.1*.tar.xz"))
    if not source:
        raise Skip("no /usr/src/linux-source-6.1.tar.xz (package linux-source-6.1)")
    os.makedirs(out, exist_ok=True)
    with tarfile.open(source[-1]) as tar:
        for member in tar:
            path = member.name.split("/", 1)[-1]
            if any(path.startswith(p) for p in PARTS):
                tar.extract(member, DIR)
    tree = os.path.dirname(glob.glob(os.path.join(DIR, "linux-source*", "tools"))[0])
    res = subprocess.run(["make", "-s", "-k", "-C", os.path.join(tree, PARTS[0]), "all", "OUTPUT=" + out, "CC=gcc -static"],
                         capture_output=True, text=True)
    if not glob.glob(os.path.join(out, "*_32")):
        raise Skip("no 32-bit programs can be built (package gcc-multilib)")
    if res.returncode:
        raise AssertionError("make: " + res.stderr[-300:])
    open(os.path.join(DIR, "done"), "w").close()
    return out


def image(only, seconds, lines):
    programs = [p for p in sorted(glob.glob(os.path.join(build(), "*"))) if re.search(only, os.path.basename(p))]
    path = os.path.join(DIR, "initrd.img")
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as f:
        f.write(SCRIPT % (seconds, lines))
        f.flush()
        cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--script", f.name]
        res = subprocess.run(cmd + [x for p in programs for x in ("--add", f"{p}:st/{os.path.basename(p)}")] + [path],
                             capture_output=True, text=True)
    if res.returncode:
        raise AssertionError("tools/mkinitrd: " + res.stderr.strip())
    return path, [os.path.basename(p) for p in programs]


def parse(text):
    found = re.findall(r"^selftest (\S+) (\d+) ok (\d+) fail (\d+)", text.replace("\r", ""), re.M)
    return {name: int(code) for name, code, _, _ in found}


def word(code):
    return {None: "-", 0: "pass", 4: "skip", 124: "timeout", 143: "timeout"}.get(code, f"fail({code})")


def under_mayfly(kernel, cpus, initrd, timeout):
    res = run(["run", "--accel", "tcg", "--cpus", str(cpus), "--mem", "512M", "--kernel", guest(kernel), "--initrd", initrd,
               "--timeout", f"{timeout}s"], timeout=timeout + 20)
    return parse(res.out), res.out


def under_qemu(kernel, cpus, initrd, timeout):
    cmd = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", str(cpus), "-m", "512",
           "-nographic", "-no-reboot", "-kernel", guest(kernel), "-initrd", initrd, "-append", "console=ttyS0 panic=-1"]
    res = subprocess.run(["timeout", str(timeout)] + cmd, capture_output=True, stdin=subprocess.DEVNULL)
    return parse(res.stdout.decode("utf-8", "replace")), res.stdout.decode("utf-8", "replace")


def here(names):
    codes = {}
    for name in names:
        try:
            codes[name] = subprocess.run([os.path.join(DIR, "bin", name)], capture_output=True, timeout=60,
                                         stdin=subprocess.DEVNULL).returncode
        except subprocess.TimeoutExpired:
            codes[name] = 124
        except OSError:  # no 32-bit programs here
            codes[name] = None
    return codes


def table(a):
    initrd, names = image(a.only, a.seconds, 200)
    runs = {"here": (here(names), "")}
    for kernel in KERNELS:
        runs["mayfly " + kernel] = under_mayfly(kernel, a.cpus, initrd, a.timeout)
        if not a.no_qemu:
            runs["QEMU " + kernel] = under_qemu(kernel, a.cpus, initrd, a.timeout)
    for title, (_, text) in runs.items():
        with open(os.path.join(DIR, title.replace(" ", "-") + ".log"), "w") as f:
            f.write(text)
    print(f"{'':28}" + "".join(f"{t:>20}" for t in runs))
    for name in names:
        print(f"{name:28}" + "".join(f"{word(codes.get(name)):>20}" for codes, _ in runs.values()))
    for title, (codes, _) in runs.items():
        words = [word(codes.get(n)) for n in names]
        print(f"{title}: {words.count('pass')} pass, {words.count('skip')} skip, "
              f"{len(words) - words.count('pass') - words.count('skip')} other")


def passes(kernel, a):
    initrd, names = image(a.only, a.seconds, 20)
    codes, text = under_mayfly(kernel, a.cpus, initrd, a.timeout)
    wrong = []
    for name in names:
        if word(codes.get(name)) != NOT_PASSED.get(name, "pass"):
            wrong.append(f"{name} {word(codes.get(name))}")
    if wrong:
        lines = [x for x in text.splitlines() if re.search("FAIL|not ok|BUG|WARNING", x)]
        raise AssertionError("; ".join(wrong) + "\n" + "\n".join(lines[-20:]))
    return f"{sum(c == 0 for c in codes.values())} of {len(names)} pass, the others as expected"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("only", nargs="?", default="")
    p.add_argument("--table", action="store_true")
    p.add_argument("--no-qemu", action="store_true")
    p.add_argument("--cpus", type=int, default=2)
    p.add_argument("--seconds", type=int, default=90, help="for each program")
    p.add_argument("--timeout", type=int, default=600)
    a = p.parse_args()
    if a.table:
        table(a)
        return 0
    suite = Suite()
    for kernel in KERNELS:
        suite.check(f"tcg: Linux's x86 self-tests, {kernel}", lambda: passes(kernel, a))
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
