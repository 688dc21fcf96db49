#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compilers at run time as guests: V8 and HotSpot with two vCPUs, their results against the host's.

usage: runtimes_test.py [--rounds N] [REGEX]
Node.js and a JDK in a Debian root, shared with the guest (virtio-fs). The root is made once by mmdebstrap (root;
some minutes, 500 MB), which is why tools/test leaves this out.
"""
import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys

from harness import CACHE, Skip, Suite, expect, guest, run

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = "nodejs,openjdk-17-jdk-headless,procps"
INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs tmpfs /tmp
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
for w in $(cat /proc/cmdline); do case $w in test.run=*) run=$(echo "${w#test.run=}" | tr ',' ' ');; esac; done
cd /work && $run
echo "status $?"
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
"""
BAD = [r"Kernel panic", r"BUG:", r"Oops", r"soft lockup", r"rcu.*stall", r"SIGSEGV", r"SIGILL", r"general protection"]


def tree():
    """The root's directory."""
    sources = [os.path.join(HERE, "guest", n) for n in ("Changing.java", "changing.js")]
    text = PACKAGES + INIT + "".join(open(s, encoding="utf-8").read() for s in sources)
    where = os.path.join(CACHE, "runtimes")
    root, stamp = os.path.join(where, "root"), os.path.join(where, "stamp")
    want = hashlib.sha256(text.encode()).hexdigest()
    if os.path.exists(stamp) and open(stamp, encoding="ascii").read() == want:
        return root
    if os.geteuid() or not shutil.which("mmdebstrap"):
        raise Skip("needs root and mmdebstrap")
    if not os.path.exists(os.path.join(root, "usr", "bin", "javac")):
        shutil.rmtree(where, ignore_errors=True)
        os.makedirs(where)
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}",
                        "--aptopt=Acquire::Languages \"none\"", "bookworm", root], check=True)
    work = os.path.join(root, "work")
    os.makedirs(work, exist_ok=True)
    for s in sources:
        shutil.copy(s, work)
    with open(os.path.join(root, "sbin", "test-init"), "w", encoding="ascii") as f:
        f.write(INIT)
        os.fchmod(f.fileno(), 0o755)
    native(root, ["javac", "Changing.java"])
    with open(stamp, "w", encoding="ascii") as f:
        f.write(want)
    return root


def native(root, command):
    script = "cd /work; mountpoint -q /proc || mount -t proc proc /proc; exec " + " ".join(command)
    return subprocess.run(["unshare", "--mount", "chroot", root, "sh", "-c", script], check=True, capture_output=True,
                          text=True).stdout


def same_results(command, rounds, debug=()):
    root = tree()
    want = re.findall(r"^result .*", native(root, [*command, str(rounds)]), re.M)
    if len(want) != rounds:
        raise AssertionError(f"the host gives {len(want)} results of {rounds}")
    res = run(["run", "--accel", "tcg", "--cpus", "2", "--mem", "1500M", "--bus", "pci", "--net", "none",
               "--kernel", guest("cloud-6.12"), "--fs", root + ",tag=root", "--log", "debug", *debug, "--timeout", "900s",
               "--cmdline", "console=ttyS0 quiet root=root rootfstype=virtiofs rw init=/sbin/test-init test.run="
               + ",".join([*command, str(rounds)])], timeout=960)
    expect(res, out="status 0", not_out=BAD)
    got = re.findall(r"^result .*", res.out.replace("\r", ""), re.M)
    if got != want:
        raise AssertionError(f"{[(a, b) for a, b in zip(got, want) if a != b][:2]}, {len(got)} results of {len(want)}")
    note = f"{rounds} results"
    if debug:
        counts = re.findall(r"paranoid-smc: (\d+) blocks compared, (\d+) stale", res.err)
        if len(counts) != 2 or any(int(s) for _, s in counts):
            raise AssertionError(f"{counts}\n" + res.tail())
        note += f", {sum(int(n) for n, _ in counts)} blocks compared, none stale"
    return note + "; " + re.search(r"(\d+) kills", res.err).group(0)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("only", nargs="?")
    a = p.parse_args()
    suite = Suite(a.only)
    for name, command in (("node", ["node", "changing.js"]), ("java", ["java", "-Xmx256m", "Changing"])):
        suite.check(f"runtimes: {name} gives the host's results", lambda c=command: same_results(c, a.rounds))
        suite.check(f"runtimes: {name}, paranoid-smc silent",
                    lambda c=command: same_results(c, a.rounds, ["--debug", "paranoid-smc"]))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
