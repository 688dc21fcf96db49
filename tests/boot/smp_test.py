#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several vCPUs under the translator: memory model, paravirtual features, steal time, clocks.

usage: smp_test.py [--seconds N] [--clock-seconds N] [REGEX]      N: of each litmus run, of each clock's run
The programs of guest/ are compiled for the guest, statically, and run from an initramfs.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

from harness import MAYFLY, ROOT, Result, Skip, Suite, expect, guest, run

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


def run_script(kernel, cpus, script, programs=(), extra=(), cmdline="", mem="512M", timeout=120, modules=(),
               runner=run):
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
        return runner(["run", "--accel", "tcg", "--cpus", str(cpus), "--mem", mem, "--kernel", guest(kernel), "--initrd",
                    img, "--cmdline+", cmdline, "--timeout", f"{timeout}s", *extra], timeout=timeout + 20)


def litmus(cpus, seconds):
    res = expect(run_script("cloud-6.12", cpus, f"litmus {seconds}\n", ["litmus"], timeout=seconds * 3 + 200),
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


class Watch:
    """Runs mayfly and sees each line of its guest when it comes."""

    def run(self, args, timeout):
        proc = subprocess.Popen([MAYFLY] + args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)
        watchdog = threading.Timer(timeout, proc.kill)
        watchdog.start()
        out = []
        for line in proc.stdout:
            now = time.monotonic()
            out.append(line.decode("utf-8", "replace"))
            self.line(out[-1], now, proc.pid)
        watchdog.cancel()
        return Result(proc.wait(), "".join(out), "", 0)


class Ticks(Watch):
    """Notes when each line "tick NS TSC" came."""

    def __init__(self):
        self.ticks = []

    def line(self, text, now, _pid):
        m = re.match(r"tick (\d+) (\d+)", text)
        if m:
            self.ticks.append((now, int(m.group(1)) / 1e9, int(m.group(2))))

    def drift(self, clock):
        """How much faster than the host's a clock runs: lines come late, never early, so the least delay of the
        first and of the last fifth are compared."""
        n = len(self.ticks) // 5
        late = [(host - clock(guest), host) for *guest, host in ((t[1], t[2], t[0]) for t in self.ticks)]
        first, last = min(late[:n]), min(late[-n:])
        return (first[0] - last[0]) / (last[1] - first[1])


def guest_time(clocksource, seconds, longer=True):
    ticks = Ticks()
    res = run_script("cloud-6.12", 2, f"""
dmesg | grep -E 'tsc: (Detected|Refined)'
sleep 2
cd /sys/devices/system/clocksource/clocksource0
echo {clocksource} >current_clocksource
echo now $(cat current_clocksource)
clocks {seconds}
status=$?
echo still $(cat current_clocksource)
exit $status
""", ["clocks"], runner=ticks.run, timeout=seconds + 120)
    expect(res, out=["script ended with 0", f"now {clocksource}", f"still {clocksource}"], not_out=BAD)
    mhz = float(re.search(r"tsc: (?:Refined TSC clocksource calibration|Detected):? ([0-9.]+) MHz", res.out).group(1))
    mono, tsc = ticks.drift(lambda t: t[0]), ticks.drift(lambda t: t[1] / mhz / 1e6)
    note = (f"CLOCK_MONOTONIC {1e6 * mono:+.0f} ppm, TSC {1e6 * tsc:+.0f} ppm of the host's; "
            + re.search(r"clocks: (.*)", res.out).group(1).strip())
    if abs(mono) <= 0.001 and abs(tsc) <= 0.001:
        return note
    if longer:  # on a busy host no line of a few seconds may come in time
        return guest_time(clocksource, seconds * 4, False)
    raise AssertionError(note)


def pingpong(seconds):
    res = expect(run_script("cloud-6.12", 2, f"sleep 1\npingpong {seconds}\n", ["pingpong"], timeout=120),
                 out=["script ended with 0"] + [rf"pingpong {x}: [0-9.]+" for x in ("pipe", "ipi", "compute", "fork")],
                 not_out=BAD)
    return ", ".join(x.strip() for x in re.findall(r"pingpong (.*)", res.out))


class IdleCpu(Watch):
    """Measures mayfly's processor time, in percent, over the seconds after its guest says so."""

    def __init__(self, seconds):
        self.seconds, self.percent = seconds, None

    def line(self, text, now, pid):
        if "idle now" in text:
            used = self.used(pid)
            time.sleep(self.seconds)
            self.percent = 100 * (self.used(pid) - used) / (time.monotonic() - now)

    @staticmethod
    def used(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_is_cheap(cpus):
    idle = IdleCpu(6)
    expect(run_script("cloud-6.12", cpus, "sleep 3\necho idle now\nsleep 8\n", runner=idle.run), not_out=BAD,
           out="script ended with 0")
    if idle.percent is None or idle.percent > 3:
        raise AssertionError(f"{idle.percent} % of a processor")
    return f"{idle.percent:.2f} % of a processor"


# Kernel text changes under the feet of the other vCPU: ftrace, static keys, kprobes (and jump-optimised ones), with
# proof that each change had its effect.
TOGGLE = """
mount -t tracefs tracefs /sys/kernel/tracing
cd /sys/kernel/tracing
echo 256 >buffer_size_kb
status=0
fail() { echo "toggle: $1"; status=1; }
(sleep HALF; exec smc HALF) & smc=$!
end=$(($(cut -d. -f1 /proc/uptime) + SECONDS))
rounds=0 keys=0
while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
	rounds=$((rounds + 1))
	echo function >current_tracer
	: >trace
	ls / >/dev/null
	[ $(grep -c -m 50 -v '^#' trace) -ge 50 ] || fail "function tracer sees nothing"
	echo nop >current_tracer
	echo 'p:probe_open do_sys_openat2' >kprobe_events
	echo 'r:probe_ret do_sys_openat2' >>kprobe_events
	echo 1 >events/kprobes/enable
	for i in 1 2 3 4 5; do cat /proc/version; done >/dev/null
	sleep 0.2
	cat /proc/version >/dev/null
	[ $(awk '$2 >= 6' kprobe_profile | wc -l) = 2 ] || fail "kprobes: $(cat kprobe_profile)"
	echo 0 >events/kprobes/enable
	echo >kprobe_events
	for i in 1 2 3 4 5 6 7 8; do
		for v in 1 0; do
			echo $v >/proc/sys/kernel/sched_schedstats
			echo $v >events/sched/enable
			echo $v >events/syscalls/enable
			keys=$((keys + 3))
		done
	done
	echo >trace
done
wait $smc || status=1
echo "toggle: $rounds rounds of ftrace and kprobes, $keys of static keys"
echo "bpf_jit_enable $(cat /proc/sys/net/core/bpf_jit_enable)"
exit $status
"""


def code_changes(kernel, seconds, debug=()):
    script = TOGGLE.replace("SECONDS", str(seconds)).replace("HALF", str((seconds + 1) // 2))
    res = expect(run_script(kernel, 2, script, ["smc"], timeout=seconds * 4 + 120, extra=[*debug, "--log", "debug"]),
                 out=["script ended with 0", r"smc: 0 errors", r"bpf_jit_enable 1"], not_out=BAD)
    note = re.search(r"toggle: (\d+ rounds.*)", res.out).group(1).strip()
    if debug:
        counts = re.findall(r"paranoid-smc: (\d+) blocks compared, (\d+) stale", res.err)
        if len(counts) != 2 or any(int(s) for _, s in counts) or not all(int(n) for n, _ in counts):
            raise AssertionError(f"{counts}\n" + res.tail())
        note += f"; {sum(int(n) for n, _ in counts)} blocks compared, none stale"
    return note + "; " + re.search(r"(\d+) kills", res.err).group(0)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("--clock-seconds", type=int, default=20, help="of each clock source's run")
    p.add_argument("only", nargs="?")
    a = p.parse_args()
    suite = Suite(a.only)
    for kernel in ("cloud-6.1", "cloud-6.12"):
        suite.check(f"smp: {kernel} finds the paravirtual features", lambda k=kernel: pv_features(k))
    suite.check("smp: steal time is told, and only what was stolen", steal_is_honest)
    suite.check("smp: two vCPUs wake, interrupt and help each other", lambda: pingpong(1))
    suite.check("smp: an idle guest costs little, 2 vCPUs", lambda: idle_is_cheap(2))
    for cpus in (2, 4):
        suite.check(f"smp: memory model, {cpus} vCPUs", lambda c=cpus: litmus(c, a.seconds))
    for clock in ("kvm-clock", "tsc", "acpi_pm"):
        suite.check(f"smp: {clock} is monotonic and keeps the host's time under load",
                    lambda c=clock: guest_time(c, a.clock_seconds))
    suite.check("smp: changing code, kernel and user", lambda: code_changes("cloud-6.12", a.seconds))
    suite.check("smp: changing code, 6.1, paranoid-smc silent",
                lambda: code_changes("cloud-6.1", a.seconds, ["--debug", "paranoid-smc"]))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
