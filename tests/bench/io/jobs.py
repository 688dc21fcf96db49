# SPDX-License-Identifier: Apache-2.0
"""The jobs of the I/O benchmark and the machines that they need. A group of jobs shares one boot of each monitor, which take
turns, the other one being stopped meanwhile. `run` has put all of it into namespaces of its own."""
import os
import re
import signal
import subprocess
import sys
import time

from machines import guest, initramfs, make_disk, make_tree, mayfly_command, qemu_command, rr, tools_image, tsc_khz
from engines import Engine, Failed

VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
ENGINES = ("mayfly", "qemu")


class Job:
    """line: what the guest is told; {n} is the monitor's number, {s} the seconds. unit: what the rate counts. target: of
    mayfly's over QEMU's rate; better: 1 if more is better, -1 if less."""

    def __init__(self, name, line, unit, target, better=1, read=None, seconds=None):
        self.name, self.line, self.unit, self.target, self.better = name, line, unit, target, better
        self.read, self.seconds = read or (lambda text, took: float(text.split()[0])), seconds


def fio_rate(column):
    def read(text, _):
        f = [float(x) for x in text.split(";")]
        return (f[:3] if max(f[0], f[3]) == f[0] else f[3:])[column]
    return read


def disk_jobs():
    def random(rw, depth):
        return Job(f"{rw}-4k-qd{depth}", f"disk {rw} 4k {depth} {{s}} 1", "IOPS", 1.5, read=fio_rate(1))

    def sequential(rw):
        return Job(f"{rw}-1m", f"disk {rw} 1m 4 {{s}} 1", "MiB/s", 1.2, read=lambda text, took: fio_rate(0)(text, took) / 1024)
    return [random("randread", 1), random("randread", 32), random("randwrite", 1), random("randwrite", 32), sequential("read"),
            sequential("write")]


def tap_jobs():
    to = "10.77.{n}.1"
    return [Job("tap-out", f"stream {to} 5201 {{s}}", "Mbit/s", 1.3), Job("tap-in", f"stream {to} 5201 {{s}} -R", "Mbit/s", 1.3),
            Job("tap-rr", f"rr {to} 5202 {{s}}", "us", 0.8, -1, lambda text, took: float(text.split()[1]))]


def user_jobs():
    to = "10.0.2.2"
    return [Job("user-out", f"stream {to} 5201 {{s}}", "Mbit/s", 1.0), Job("user-in", f"stream {to} 5201 {{s}} -R", "Mbit/s", 1.0),
            Job("user-rr", "rr 10.0.2.2 5202 {s}", "us", 1.0, -1, lambda text, took: float(text.split()[1]))]


def share_jobs(mib=256):
    def took(_, seconds):
        return seconds * 1000

    def rate(_, seconds):
        return mib / seconds
    return [Job("git-status-cold", "share status-cold", "ms", 1.0, -1, took),
            Job("git-status-again", "share status-again", "ms", 1.0, -1, took),
            Job("share-read", "share read", "MiB/s", 1.0, 1, rate), Job("share-write", f"share write {mib}", "MiB/s", 1.0, 1, rate)]


GROUPS = {"disk": disk_jobs, "tap": tap_jobs, "user": user_jobs, "share": share_jobs}


# --- processes ----------------------------------------------------------------------------------------


def descendants(pid):
    """pid and the processes below it."""
    parent = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                    parent[int(name)] = int(f.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found = [pid]
    for p in found:
        found += [c for c, up in parent.items() if up == p]
    return found


def cpu_of(pids):
    """CPU seconds of all threads of these processes."""
    total = 0.0
    for pid in pids:
        try:
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            pass
    return total


class Helpers:
    """Processes of ours, ended when all is over."""

    def __init__(self):
        self.procs = []

    def start(self, cmd, **how):
        p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True, **how)
        self.procs.append(p)
        return p

    def stop(self):
        for p in self.procs:
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            p.wait()


def virtiofsd(helpers, share, socket):
    """QEMU's server; in a chroot where it may not have namespaces."""
    if not os.path.exists(VIRTIOFSD):
        raise Failed(f"{VIRTIOFSD} is missing: apt-get install qemu-system-common")
    for sandbox in ("namespace", "chroot"):
        p = helpers.start([VIRTIOFSD, f"--socket-path={socket}", "-o", f"source={share},sandbox={sandbox},cache=auto"],
                          stderr=subprocess.DEVNULL)
        end = time.monotonic() + 5
        while time.monotonic() < end and p.poll() is None:
            if os.path.exists(socket):
                return p
            time.sleep(0.05)
    raise Failed("virtiofsd does not start")


# --- groups -------------------------------------------------------------------------------------------


def make_machine(a, group, number, tmp, helpers):
    m, extra = {"accel": "tcg", "cache": a.cache}, []
    if group == "disk":
        m["disk"] = os.path.join(tmp, f"disk{number}.img")
        make_disk(m["disk"], a.size)
    elif group == "tap":
        m["tap"], m["line"] = f"mfbench{number}", f"io.ip=eth0/10.77.{number}.2/24"
        subprocess.run(["ip", "tuntap", "add", m["tap"], "mode", "tap", "vnet_hdr"], check=True)
        subprocess.run(["ip", "addr", "add", f"10.77.{number}.1/24", "dev", m["tap"]], check=True)
        subprocess.run(["ip", "link", "set", m["tap"], "up"], check=True)
    elif group == "user":
        m["user"], m["line"] = True, "io.ip=eth0/10.0.2.15/24"
    elif group == "share":
        m["share"], m["line"] = make_tree(a.tree), "io.share=share"
        if ENGINES[number] == "qemu":
            m["socket"] = os.path.join(tmp, "fs.sock")
            extra.append(virtiofsd(helpers, m["share"], m["socket"]))
    return m, extra


def per_second(job, value, took):
    """Operations: requests, transactions, mebibytes, runs of git status."""
    return max({"us": 1e6 / max(value, 1e-9), "ms": 1 / took, "Mbit/s": value * 1e6 / 8 / 2**20}.get(job.unit, value), 1e-9)


def measure(engine, pids, number, job, seconds):
    line = job.line.format(n=number, s=seconds)
    engine.ask(line, rb"@begin\r?\n", 90)
    start, cpu = time.monotonic(), cpu_of(pids)
    hit = engine.wait_for(rb"@(end|fail)([^\r\n]*)\r?\n", seconds + 120)
    took, cpu = time.monotonic() - start, cpu_of(pids) - cpu
    if hit[1] == b"end":
        hit = engine.wait_for(rb"@(done|fail) ([^\r\n]*)\r?\n", 90)
    if hit[1] != b"done":
        raise Failed(f"{job.name}: {engine.name}: {hit[2].decode(errors='replace').strip()}")
    text = hit[2].decode()
    value = job.read(text, took)
    return {"value": value, "cpu_us": cpu / (per_second(job, value, took) * took) * 1e6, "said": text, "took_s": took}


def signalled(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


def run_group(a, group, tmp, helpers, results):
    jobs = [j for j in GROUPS[group]() if re.search(a.only, j.name)]
    if not jobs:
        return
    at = {"kernel": guest(a.kernel), "initrd": initramfs(a.kernel), "tools": tools_image()}
    if group in ("tap", "user"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        helpers.start(["iperf3", "-s", "-p", "5201"], stderr=subprocess.DEVNULL)
        helpers.start([rr(), "server", "5202"])
    engines = []
    try:
        for number, name in enumerate(ENGINES):
            if name not in a.engines.split(","):
                continue
            m, extra = make_machine(a, group, number, tmp, helpers)
            cmd = mayfly_command(a, m, at) if name == "mayfly" else qemu_command(a, m, at, tsc_khz())
            if a.verbose:
                print(" ".join(cmd), file=sys.stderr)
            e = Engine(name, cmd).start()
            pids = descendants(e.proc.pid) + [pid for p in extra for pid in descendants(p.pid)]
            engines.append((e, number, pids))
            signalled(pids, signal.SIGSTOP)
        end = time.monotonic() + a.minutes * 60 / len(a.groups.split(","))
        for turn in range(a.rounds):
            if turn and time.monotonic() > end:
                print(f"bench: {group}: {turn} of {a.rounds} rounds, for want of time", file=sys.stderr)
                break
            for job in jobs:
                for e, number, pids in engines if turn % 2 == 0 else engines[::-1]:
                    signalled(pids, signal.SIGCONT)
                    time.sleep(0.05)
                    got = measure(e, pids, number, job, job.seconds or a.seconds)
                    results.setdefault(job.name, {"job": job, "runs": {}})["runs"].setdefault(e.name, []).append(got)
                    signalled(pids, signal.SIGSTOP)
    finally:
        for e, _, pids in engines:
            signalled(pids, signal.SIGCONT)
            e.stop()
