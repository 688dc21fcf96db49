#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an idle guest costs: CPU time and wake-ups of each thread, mayfly and QEMU microvm side by side.

usage: idle.py [--seconds 20] [--rounds 3] [--settle 20] [--cpus 1] [--kernel cloud-6.12] [--mayfly PATH]...
               [--no-qemu] [--stats] [--json FILE]

Each monitor boots the same kernel and initramfs with all devices (two disks, a user-mode network that is up, entropy, balloon,
console; mayfly also vsock and a shared directory, which QEMU has not without vhost-vsock and a daemon), and then sits in a
shell. They are measured in turn, the others stopped meanwhile. Wake-ups are voluntary context switches, CPU time is the
scheduler's, both from /proc/PID/task. --mayfly may be repeated, to compare builds; --stats prints mayfly's own counters for
a wake-up of a vCPU.
"""
import argparse
import json
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "boot"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cpu"))
from boot import tsc_khz  # noqa: E402
from harness import ROOT, guest  # noqa: E402
from live import make_initrd  # noqa: E402

MODULES = ["virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "virtio_balloon", "virtio_console"]
SCRIPT = """#!/bin/sh
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
dd if=/dev/vda of=/dev/null bs=64k count=4 2>/dev/null
[ "$(grep -c . /proc/swaps)" = 1 ] && echo guest-is-idle
read -r x </dev/console
"""


def disks(tmp):
    for name in ("a", "b"):
        path = os.path.join(tmp, name + ".img")
        if not os.path.exists(path):
            with open(path, "wb") as f:
                f.truncate(8 << 20)
        yield path


def ours(path, a, tmp, number):
    cmd = [path, "run", "--accel", "tcg", "--cpus", str(a.cpus), "--mem", "256M", "--net", "user", "--rng", "--balloon", "0",
           "--vsock", f"3,uds={tmp}/vsock{number}", "--console", f"name=c,file={tmp}/console{number}", "--fs", tmp + ",tag=t"]
    return cmd + [x for d in disks(tmp) for x in ("--disk", d + ",ro")]


def theirs(a, tmp):
    cmd = ["qemu-system-x86_64", "-M", "microvm", "-accel", "tcg", "-cpu", "max", "-smp", str(a.cpus), "-m", "256",
           "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio", "-no-reboot",
           "-netdev", "user,id=n", "-device", "virtio-net-device,netdev=n", "-device", "virtio-rng-device",
           "-device", "virtio-balloon-device", "-device", "virtio-serial-device",
           "-chardev", f"file,id=c,path={tmp}/console-q", "-device", "virtserialport,chardev=c"]
    for i, d in enumerate(disks(tmp)):
        cmd += ["-drive", f"id=d{i},file.locking=off,file.filename={d},format=raw,if=none,readonly=on", "-device", f"virtio-blk-device,drive=d{i}"]
    return cmd


class Monitor:
    def __init__(self, name, cmd, line, a, ramfs):
        flags = ["-kernel", "-initrd", "-append"] if name == "qemu" else ["--kernel", "--initrd", "--cmdline"]
        cmd = cmd + [x for pair in zip(flags, (guest(a.kernel), ramfs, line)) for x in pair]
        self.name, self.rows, self.stats = name, [], []
        self.proc = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        text, end = b"", time.monotonic() + 120
        while b"guest-is-idle" not in text:
            ready = select.select([self.proc.stdout], [], [], max(0, end - time.monotonic()))[0]
            chunk = os.read(self.proc.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                self.proc.kill()
                raise SystemExit(f"{name}: does not get there: {text[-500:].decode('utf-8', 'replace')}")
            text += chunk

    def threads(self):
        """Of each thread by name: sleeps and ns of CPU time."""
        out = {}
        for t in os.listdir(f"/proc/{self.proc.pid}/task"):
            try:
                with open(f"/proc/{self.proc.pid}/task/{t}/status", encoding="ascii") as f:
                    text = f.read()
                with open(f"/proc/{self.proc.pid}/task/{t}/schedstat", encoding="ascii") as f:
                    ns = int(f.read().split()[0])
            except OSError:
                continue
            name = re.search(r"Name:\s*(.*)", text)[1].replace("CPU 0/TCG", "vcpu")
            wakes = int(re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", text)[1])
            out[f"{name}/{t}"] = (wakes, ns)
        return out

    def counters(self):
        res = subprocess.run([self.proc.args[0], "debug", "stats", str(self.proc.pid), "--json"], capture_output=True, text=True)
        return flat(json.loads(res.stdout)) if res.returncode == 0 else {}

    def measure(self, seconds):
        before, t0 = self.threads(), time.monotonic()
        time.sleep(seconds)
        after, took = self.threads(), time.monotonic() - t0
        row = {t: ((after[t][0] - before[t][0]) / took, (after[t][1] - before[t][1]) / took / 1e9) for t in after if t in before}
        self.rows.append(row)

    def stop(self, on):
        self.proc.send_signal(signal.SIGSTOP if on else signal.SIGCONT)


def flat(value, name=""):
    if isinstance(value, dict):
        return {k: v for key, val in value.items() for k, v in flat(val, f"{name}.{key}" if name else key).items()}
    if isinstance(value, list):
        return {k: v for i, val in enumerate(value) for k, v in flat(val, f"{name}[{i}]").items()}
    return {name: value} if isinstance(value, (int, float)) else {}


def report(m):
    total = [sum(ns for _, ns in r.values()) for r in m.rows]
    cpu = {t for r in m.rows for t in r if re.match(r"vcpu|CPU \d", t)}
    wakes = [sum(r[t][0] for t in cpu if t in r) for r in m.rows]
    busy = [sum(r[t][1] for t in cpu if t in r) for r in m.rows]
    out = {"cpu_percent": statistics.median(total) * 100, "least_percent": min(total) * 100,
           "vcpu_wakes_per_s": statistics.median(wakes),
           "us_per_wake": statistics.median(b / w * 1e6 if w else 0 for b, w in zip(busy, wakes))}
    print(f"{m.name}: {out['cpu_percent']:.3f} % of a processor (least {out['least_percent']:.3f}), {out['vcpu_wakes_per_s']:.1f} "
          f"wake-ups of vCPUs per s, {out['us_per_wake']:.0f} us each")
    for t in sorted(m.rows[0]):
        w = statistics.median(r.get(t, (0, 0))[0] for r in m.rows)
        c = statistics.median(r.get(t, (0, 0))[1] for r in m.rows)
        if w or c:
            print(f"    {t:24} {w:8.2f} wake-ups/s {c * 100:8.4f} %")
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=float, default=20)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--settle", type=float, default=20)
    ap.add_argument("--cpus", type=int, default=1)
    ap.add_argument("--kernel", default="cloud-6.12")
    ap.add_argument("--mayfly", action="append")
    ap.add_argument("--no-qemu", action="store_true")
    ap.add_argument("--stats", action="store_true")
    ap.add_argument("--json")
    a = ap.parse_args()
    monitors = []
    with tempfile.TemporaryDirectory(prefix="mayfly-idle-", dir="/var/tmp") as tmp:
        line = "console=ttyS0 quiet reboot=t panic=-1"
        ramfs = make_initrd(tmp, a.kernel, MODULES, SCRIPT)
        try:
            for i, path in enumerate(a.mayfly or [os.path.join(ROOT, "build-release", "vmm", "mayfly")]):
                monitors.append(Monitor(f"mayfly {i} ({path})" if i else "mayfly", ours(path, a, tmp, i), line, a, ramfs))
            if not a.no_qemu:
                monitors.append(Monitor("qemu", theirs(a, tmp), f"{line} tsc=reliable tsc_early_khz={tsc_khz()}", a, ramfs))
            time.sleep(a.settle)
            for _ in range(a.rounds):
                for m in monitors:
                    for other in monitors:
                        other.stop(other is not m)
                    time.sleep(2)
                    old = m.counters() if a.stats and m.name != "qemu" else {}
                    m.measure(a.seconds)
                    if old:
                        new = m.counters()
                        m.stats.append({k: new[k] - old[k] for k in new if k in old and new[k] != old[k]})
        finally:
            for m in monitors:
                m.proc.kill()
                m.proc.wait()
    print(f"{a.kernel}, {a.cpus} vCPU, {a.rounds} rounds of {a.seconds:.0f} s, load {os.getloadavg()[0]:.1f}")
    out = {m.name: report(m) for m in monitors}
    for m in monitors:
        if m.stats:
            print(f"{m.name}: counters of the last round: {m.stats[-1]}")
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
