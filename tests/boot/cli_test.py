#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line from outside: bad input, exit codes, streams, signals, the terminal.
usage: cli_test.py [REGEX]. Guests are a few bytes of code (payload.py) under MAYFLY_TEST_ACCEL (tcg)."""
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

import payload
from harness import MAYFLY, Skip, Suite, expect, run

ACCEL = os.environ.get("MAYFLY_TEST_ACCEL", "tcg")
RUN = ["run", "--accel", ACCEL, "--mem", "16M"]


def fails(args, code, err):
    """The command ends at once with this code and one line on stderr that matches err."""
    res = expect(run(args, timeout=20), code=code, err=err)
    lines = res.err.strip().splitlines()
    if len(lines) != 1 or not lines[0].startswith("mayfly: "):
        raise AssertionError(f"not one 'mayfly: ' line: {lines}")
    if res.out:
        raise AssertionError(f"standard output is not empty: {res.out[:200]!r}")


def file_with(tmp, name, data, mode=0o644):
    path = os.path.join(tmp, name)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)
    return path


def sparse(tmp, name, size):
    path = os.path.join(tmp, name)
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def fifo(tmp, name):
    path = os.path.join(tmp, name)
    os.mkfifo(path)
    return path


def elf(machine=62, cls=2, data=1):
    head = bytes([0x7F]) + b"ELF" + bytes([cls, data, 1]) + bytes(9)
    return head + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x1000000, 64, 0, 0, 64, 56, 0, 64, 0, 0) + bytes(4096)


def usage_cases(s):
    for name, args, err in [
        ("no such command", ["rnu"], r"unknown command 'rnu' \(did you mean `mayfly run`"),
        ("no such option", ["run", "--kernal", "x"], r"unknown option --kernal \(did you mean --kernel\?"),
        ("short option", ["run", "-m", "1"], r"unknown option -+m"),
        ("option without value", ["run", "--kernel"], r"--kernel needs a value"),
        ("flag with value", ["run", "--no-reboot=1"], r"--no-reboot takes no value"),
        ("stray word", ["run", "vmlinuz"], r"unexpected argument 'vmlinuz'"),
        ("unknown key", ["run", "--disk", "/x,readonly"], r"--disk: unknown key 'readonly'.*known keys"),
        ("key given twice", ["run", "--disk", "/x,ro,ro"], r"ro is given twice"),
        ("shared directory without path", ["run", "--fs", "tag=x"], r"--fs: no directory"),
        ("shared directory, bad cache", ["run", "--fs", "/,cache=some"], r"--fs: .*cache"),
        ("no command after --", ["run", "--"], r"no command follows --"),
        ("metadata without file", ["run", "--mmds", "version=V2"], r"--mmds: no file"),
        ("metadata, address of elsewhere", ["run", "--mmds", "/x,address=10.0.0.1"], r"'10.0.0.1' is not a link-local"),
        ("metadata without any limit", ["run", "--mmds", "/x,limit=1G"], r"--mmds: limit"),
        ("network, no bytes at all", ["run", "--net", "user,rx_bw=0"], r"--net: rx_bw=0 would allow nothing"),
        ("network, burst alone", ["run", "--net", "user,tx_ops_burst=5"], r"--net: tx_ops_burst without tx_ops"),
        ("disk without path", ["run", "--disk", "ro=on"], r"--disk: no path"),
        ("bad size", ["run", "--mem", "much"], r"--mem: size: 'much' is not valid.*512M"),
        ("negative CPUs", ["run", "--cpus", "-1"], r"--cpus: count: '-1'"),
        ("bad accelerator", ["run", "--accel", "xen"], r"--accel: type: 'xen'.*auto\|kvm\|tcg"),
        ("bad timeout", ["run", "--timeout", "soon"], r"--timeout: time: 'soon'"),
        ("no timeout at all", ["run", "--timeout", "0"], r"--timeout: 0"),
        ("bad log level", ["run", "--log", "loud"], r"--log: level: 'loud'"),
        ("bad serial", ["run", "--serial", "tty"], r"--serial: type: 'tty'"),
        ("serial to two ends", ["run", "--serial", "pty,file=/x"], r"--serial: more than one end"),
        ("serial limit of nothing", ["run", "--serial", "stdio,bw=0"], r"--serial: bw=0 would allow nothing"),
        ("bad console", ["run", "--console", "tty"], r"--console: type: 'tty'.*stdio\|pty"),
        ("nine consoles", ["run"] + 9 * ["--console", "pty"], r"--console: at most 8"),
        ("bad balloon", ["run", "--balloon", "64M"], r"--balloon: target: '64M'"),
        ("two balloons", ["run", "--balloon", "--balloon"], r"--balloon is given twice"),
        ("balloon statistics too rare", ["run", "--balloon", "0,stats=65536"], r"stats=65536: at most 65535"),
        ("balloon beyond counting", ["run", "--balloon", "4294967296"], r"--balloon: 4294967296 MiB is too large"),
        ("random numbers, burst alone", ["run", "--rng", "ops_burst=5"], r"--rng: ops_burst without ops"),
        ("debug tell without process", ["debug", "tell"], r"debug tell: no process id"),
        ("debug tell without command", ["debug", "tell", "1"], r"debug tell: no command"),
        ("debug tell of a word", ["debug", "tell", "me", "x"], r"debug tell: 'me' is not a process id"),
        ("debug tell of much", ["debug", "tell", "1", "x" * 200], r"debug tell: the command is too long"),
        ("bad escape key", ["run", "--escape", "Ctrl-B"], r"--escape: 'Ctrl-B' is not a key"),
        ("no such help topic", ["help", "exitcodes"], r"no topic 'exitcodes'.*exit-codes"),
        ("debug without a word", ["debug"], r"debug: nothing to do is named.*debug stats\|metrics PID"),
        ("debug with another word", ["debug", "dump"], r"debug: unknown word 'dump'"),
        ("debug stats without process", ["debug", "stats"], r"debug stats: no process id"),
        ("debug stats of a word", ["debug", "stats", "me"], r"debug stats: 'me' is not a process id"),
        ("debug stats of two", ["debug", "stats", "1", "2"], r"debug stats: unexpected argument '2'"),
        ("doctor with a word", ["doctor", "all"], r"doctor: unexpected argument"),
    ]:
        s.check("usage: " + name, lambda a=args, e=err: fails(a, 2, e))


def config_cases(s, tmp):
    k = payload.write(tmp, "spin", payload.SPIN)
    for name, args, code, err in [
        ("no memory", ["--mem", "0"], 3, r"memory: 0 bytes is too little"),
        ("memory without a unit", ["--mem", "512"], 3, r"512 bytes is too little.*--mem 512M"),
        ("odd memory", ["--mem", "16777217"], 3, r"16777217 bytes is not a multiple of 4096"),
        ("more memory than the host", ["--mem", "4096T"], 4, r"more than this host has"),
        ("odd memory in huge pages", ["--mem", "63M,hugepages=2M"], 3, r"not a multiple of 2 MiB.*--mem 64M,hugepages=2M"),
        ("more huge pages than the host", ["--mem", "8G,hugepages=2M"], 4, r"cannot map \d+ huge pages.*nr_hugepages"),
        ("no such pages", ["--mem", "64M,hugepages=1G"], 2, r"hugepages: '1G' is not valid"),
        ("no CPUs", ["--cpus", "0"], 3, r"vCPUs: 0 is out of range"),
        ("too many CPUs", ["--cpus", "65"], 3, r"vCPUs: 65 is out of range.*--cpus 64"),
        ("very many CPUs", ["--cpus", "4294967297"], 3, r"vCPUs: .* is out of range"),
        ("long command line", ["--cmdline", "x" * 2048], 3, r"kernel command line: 2048 bytes is too long"),
        ("long addition", ["--cmdline+", "x" * 2048], 3, r"kernel command line: \d+ bytes is too long"),
        ("newline in the command line", ["--cmdline", "a\nb"], 3, r"control character 0x0a at byte 1"),
        ("pidfile in no directory", ["--pidfile", tmp + "/no/pid"], 3, r"pidfile: .*/no/pid: No such file"),
        ("log is a directory", ["--log", "info,file=" + tmp], 3, r"log: .*: Is a directory"),
        ("serial file in no directory", ["--serial", "file=" + tmp + "/no/s"], 3, r"serial: .*No such file"),
        ("shared directory's tag", ["--fs", "/,tag=" + 37 * "x"], 3, r"tag 'x+' is not valid"),
        ("shared directory's tag twice", ["--fs", "/,tag=x", "--fs", "/tmp,tag=x"], 3, r"tag 'x' is used twice"),
        ("shared directory is missing", ["--fs", "/nowhere/at/all"], 3, r"/nowhere/at/all: No such file"),
        ("shared directory is a file", ["--fs", k], 3, r"Not a directory"),
        ("metadata is missing", ["--net", "user", "--mmds", "/no/metadata"], 3, r"--mmds: .*/no/metadata: No such file"),
        ("metadata is not JSON", ["--net", "user", "--mmds", file_with(tmp, "bad.json", b'{"a":\n tru}')], 3,
         r"--mmds: .*bad.json: line 2 column \d+"),
        ("metadata is too long", ["--net", "user", "--mmds", file_with(tmp, "long.json", b'"' + b"x" * 51200 + b'"')], 3,
         r"more than 51200 bytes.*limit=SIZE"),
        ("metadata without network", ["--net", "none", "--mmds", "/no/metadata"], 3, r"the machine has no network"),
        ("metadata for another network", ["--net", "user,id=a", "--mmds", "/x,net=a,net=b"], 3, r"no such network"),
        ("serial socket in no directory", ["--serial", "socket=" + tmp + "/no/s"], 3, r"serial: .*/no/s: No such file"),
        ("serial socket's long name", ["--serial", "socket=/" + 120 * "x"], 3, r"serial: socket path of 121 bytes"),
        ("serial socket is a file", ["--serial", "socket=" + k], 3, r"serial: .*Address already in use.*another path"),
        ("two on standard output", ["--serial", "stdio", "--console", "stdio"], 3, r"more than one console.*--console pty"),
        ("console name", ["--console", "pty,name=a b"], 3, r"console name 'a b' is not valid"),
        ("console name twice", ["--console", "pty,name=x", "--console", "pty,name=x"], 3, r"name 'x' is used twice"),
        ("balloon larger than memory", ["--mem", "64M", "--balloon", "65"], 3, r"balloon: 65 MiB are more than .* 64 MiB"),
        ("disk id", ["--disk", k + ",id=a b"], 3, r"disk id 'a b' is not valid"),
    ]:
        s.check("config: " + name, lambda a=args, c=code, e=err: fails(
            ["run", "--accel", ACCEL, "--kernel", k] + a, c, e))


def image_cases(s, tmp):
    k = payload.write(tmp, "ok", payload.SPIN)
    bz = bytearray(64 << 10)
    bz[0x1F1] = 4
    bz[0x1FE:0x206] = b"\x55\xaa\xeb\x66HdrS"
    for name, path, err in [
        ("missing", tmp + "/no-such", r"no-such: .*[Nn]o such file"),
        ("a directory", tmp, r"is a directory|directory"),
        ("a FIFO", fifo(tmp, "fifo"), r"fifo: .*not a regular file|FIFO"),
        ("empty", file_with(tmp, "empty", b""), r"empty"),
        ("too short", file_with(tmp, "short", b"MZ" + bytes(40)), r"short"),
        ("text", file_with(tmp, "text", b"#!/bin/sh\n" * 1000), r"text"),
        ("for another processor", file_with(tmp, "arm", elf(machine=183)), r"arm.*(aarch64|AArch64|x86|machine)"),
        ("a truncated bzImage", file_with(tmp, "bz", bytes(bz)), r"bz"),
    ]:
        s.check("kernel: " + name, lambda p=path, e=err: fails(RUN + ["--kernel", p], 3, e))
    for name, path, err in [
        ("missing", tmp + "/no-initrd", r"no-initrd: .*[Nn]o such file"),
        ("a directory", tmp, r"directory"),
        ("a FIFO", fifo(tmp, "fifo2"), r"fifo2: .*not a regular file|FIFO"),
        ("empty", file_with(tmp, "empty2", b""), r"empty2.*empty"),
        ("larger than memory", sparse(tmp, "huge", 64 << 20), r"huge"),
    ]:
        s.check("initrd: " + name, lambda p=path, e=err: fails(RUN + ["--kernel", k, "--initrd", p], 3, e))
    s.check("kernel: larger than memory", lambda: fails(
        RUN + ["--kernel", file_with(tmp, "big", payload.image(bytes(17 << 20)))], 3, r"big"))
    if os.geteuid() != 0:
        secret = file_with(tmp, "secret", payload.image(payload.SPIN), 0)
        s.check("kernel: unreadable", lambda: fails(RUN + ["--kernel", secret], 3, r"secret: .*[Pp]ermission denied"))
    s.check("kernel: none at all", lambda: no_default_kernel(tmp))


def disk_cases(s, tmp):
    k = payload.write(tmp, "disk guest", payload.SPIN)
    good = sparse(tmp, "good.img", 1 << 20)
    base = ["run", "--accel", ACCEL, "--kernel", k, "--mem", "16M"]
    for name, disk, err in [
        ("missing", tmp + "/no.img", r"no\.img: .*[Nn]o such file"),
        ("a directory", tmp, r"directory"),
        ("a FIFO", fifo(tmp, "fifo.img"), r"fifo\.img: .*(FIFO|regular file)"),
        ("empty", sparse(tmp, "empty.img", 0), r"empty\.img: .*empty"),
        ("not whole sectors", sparse(tmp, "odd.img", 1025), r"odd\.img: .*1025.*512"),
        ("a device that is no disk", "/dev/null", r"/dev/null: "),
    ]:
        s.check("disk: " + name, lambda d=disk, e=err: fails(base + ["--disk", d], 3, e))
    s.check("disk: same file twice", lambda: fails(base + ["--disk", good, "--disk", good], 3, r"good\.img: .*(lock|use)"))
    for keys, err in (("bw=0", r"bw=0 would allow nothing"), ("ops_burst=5", r"ops_burst without ops"), ("queues=0", r"1 to 16"),
                      ("queues=17", r"1 to 16"), ("cache=some", r"cache"), ("engine=aio", r"engine")):
        s.check(f"disk: {keys}", lambda k=keys, e=err: fails(base + ["--disk", f"{good},{k}"], 2, e))
    s.check("disk: ro with overlay", lambda: fails(base + ["--disk", f"{good},ro,overlay=ephemeral"], 3, r"overlay goes neither with ro"))
    for name, keys, err in [("path and socket", f"{good},socket=/s", r"path and socket exclude"), ("socket, ro", "socket=/s,ro", r"only.*tell the program"),
                            ("socket, limit", "socket=/s,bw=1M", r"id, queues and cache=unsafe only")]:
        s.check(f"disk: {name}", lambda k=keys, e=err: fails(base + ["--disk", k], 3, e))
    s.check("disk: no such socket", lambda: fails(base + ["--disk", f"socket={tmp}/no.sock"], 3, r"no\.sock: cannot connect.*start the program"))
    s.check("disk: too many", lambda: fails(base + sum((["--disk", f"{good},ro"] for _ in range(13)), []), 2,
                                            r"at most 12 disks"))
    s.check("disk: same id twice", lambda: fails(base + ["--disk", good + ",id=a", "--disk", good + ",id=a"], 3,
                                                 r"id 'a' is used twice"))
    if os.geteuid() != 0:
        locked = file_with(tmp, "ro.img", bytes(512), 0o444)
        s.check("disk: read-only file", lambda: fails(base + ["--disk", locked], 3, r"ro\.img: .*ermission.*,ro"))

    def in_use():
        proc = start(["--kernel", k, "--disk", good])
        wait_for(lambda: locks_held(proc.pid), "a lock on the image")
        fails(base + ["--disk", good], 3, r"good\.img: .*(lock|use)")
        fails(base + ["--disk", good + ",ro"], 3, r"good\.img: .*(lock|use)")
        proc.kill_and_check(signal.SIGHUP, 129)
        expect(run(base + ["--disk", good, "--timeout", "300ms"]), code=124)
        expect(run(base + ["--disk", good + ",ro", "--disk", good + ",ro", "--timeout", "300ms"]), code=124)

    s.check("disk: in use by another mayfly, free when that ends", in_use)


def locks_held(pid):
    """OFD locks have no pid in /proc/locks; the image's fdinfo shows them."""
    folder = f"/proc/{pid}/fdinfo"
    for fd in os.listdir(folder):
        try:
            if "OFDLCK" in open(os.path.join(folder, fd)).read():
                return True
        except OSError:
            pass
    return False


def no_default_kernel(tmp):
    if any(n.startswith("vmlinuz-") for n in (os.listdir("/boot") if os.path.isdir("/boot") else [])):
        raise Skip("this host has kernels in /boot")
    env = {x: v for x, v in os.environ.items() if not x.startswith("MAYFLY_")}
    res = subprocess.run([MAYFLY, "run"], env=dict(env, XDG_CACHE_HOME=tmp), capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, timeout=20)
    if res.returncode != 3 or not re.search(r"no kernel to boot.*--kernel.*tools/quickstart", res.stderr):
        raise AssertionError(f"exit {res.returncode}: {res.stderr}")


def output_cases(s, tmp):
    k = payload.write(tmp, "out", payload.SPIN)

    def version():
        res = expect(run(["version"]), out=r"^mayfly v\d+\.\d+\.\d+\n")
        expect(run(["--version"]), out=re.escape(res.out))

    def dry_run():
        args = ["--kernel", k, "--disk", "/a,,b,ro,id=root", "--cpus", "3", "--mem", "2G", "--rng",
                "--cmdline+", 'x="y"', "--dry-run"]
        conf = json.loads(expect(run(["run"] + args)).out)
        assert conf["machine-config"] == {"vcpu_count": 3, "mem_size_mib": 2048, "smt": False, "track_dirty_pages": False,
                                          "huge_pages": "None"}, conf
        described = os.path.join(tmp, "described.json")
        for machine in ({"vcpu_count": 2, "mem_size_mib": 64, "smt": True, "track_dirty_pages": True, "huge_pages": "2M"},
                        {"vcpu_count": 1, "mem_size_mib": 64, "smt": False, "track_dirty_pages": False,
                         "huge_pages": "Transparent"}):
            with open(described, "w", encoding="ascii") as f:
                json.dump({"boot-source": {"kernel_image_path": k}, "drives": [], "machine-config": machine}, f)
            assert json.loads(expect(run(["run", "--config", described, "--dry-run"])).out)["machine-config"] == machine
        fails(["run", "--config", described, "--mem", "65M,hugepages=2M", "--dry-run"], 3, r"multiple of 2 MiB.*--mem 66M")
        assert conf["drives"] == [{"drive_id": "root", "path_on_host": "/a,b", "is_root_device": True,
                                   "is_read_only": True}], conf
        assert conf["boot-source"]["boot_args"].endswith(' root=/dev/vda ro x="y"'), conf
        assert conf["mayfly"]["rng"] is True, conf
        conf = json.loads(expect(run(["run", "--kernel", k, "--net", "user,hostfwd=tcp:1-:2,rx_bw=1M,rx_bw_burst=2M,tx_ops=50",
                                      "--dry-run"])).out)["network-interfaces"][0]
        assert conf["rx_rate_limiter"] == {"bandwidth": {"size": 1 << 20, "one_time_burst": 2 << 20, "refill_time": 1000}}, conf
        assert conf["tx_rate_limiter"] == {"ops": {"size": 50, "one_time_burst": 0, "refill_time": 1000}}, conf

    def doctor():
        res = run(["doctor", "--json"])
        doc = json.loads(res.out)
        names = {c["name"]: c for c in doc["checks"]}
        assert res.code == (0 if doc["can_run"] else 4), res.code
        assert {"kvm", "translator", "memory"} <= set(names), names
        assert all(c["result"] in ("ok", "warn", "fail") and c["text"] for c in doc["checks"]), doc
        for c in doc["checks"]:
            if c["result"] == "fail":
                assert c["fix"], c
        expect(run(["doctor"]), code=res.code, out=r"kvm: .*\n")

    def auto_says_why():
        checks = {c["name"]: c for c in json.loads(run(["doctor", "--json"]).out)["checks"]}
        if checks["kvm"]["result"] == "ok":
            raise Skip("KVM works here")
        res = expect(run(["run", "--accel", "auto", "--mem", "16M", "--kernel", k, "--timeout", "300ms"]), code=124,
                     err=r"kvm: .*; using the translator")
        assert res.err.count("using the translator") == 1, res.err

    def help_pages():
        for topic in ("run", "api", "ctl", "keys", "exit-codes", "signals", "environment"):
            expect(run(["help", topic]), out=r"\w")
        expect(run(["run", "--help"]), out=r"--kernel FILE")
        expect(run(["--help"]), out=r"mayfly run")

    s.check("run: auto says why it takes the translator", auto_says_why)
    s.check("version: first line has two words", version)
    s.check("run: --dry-run prints what was resolved", dry_run)
    s.check("doctor: JSON and text", doctor)
    s.check("help: every topic", help_pages)


def guest_cases(s, tmp):
    def guest(name, code, want, out="", args=()):
        path = payload.write(tmp, name, code)
        s.check("guest: " + name, lambda: expect(
            run(RUN + ["--kernel", path, "--timeout", "10s"] + list(args), timeout=20), code=want, out=out) and None)

    guest("prints and powers off", payload.print_text("hello\n") + payload.POWEROFF, 0, "^hello")
    guest("exits through the debug port", payload.debug_exit(3), 7)
    guest("exits with zero through the debug port", payload.debug_exit(0), 1)
    guest("triple fault", payload.TRIPLE_FAULT, 33)
    guest("reset port with --no-reboot", payload.RESET_PORT, 32, args=["--no-reboot"])
    guest("keyboard reset with --no-reboot", payload.RESET_KEYBOARD, 32, args=["--no-reboot"])
    guest("spins until --timeout", payload.SPIN, 124, args=["--timeout", "300ms"])
    # Counts in memory, which a reset leaves alone: three times, then off.
    again = (payload.print_text("boot ") + b"\xfe\x05\x00\x00\x20\x00" b"\x80\x3d\x00\x00\x20\x00\x03"
             b"\x74" + bytes([len(payload.RESET_PORT)]) + payload.RESET_PORT + payload.POWEROFF)
    guest("resets come back to the start", again, 0, "^boot boot boot $")
    guest("serial off", payload.print_text("hello") + payload.POWEROFF, 0, "^$", ["--serial", "off"])

    def serial_file():
        path = payload.write(tmp, "serial file", payload.print_text("to a file") + payload.POWEROFF)
        out = os.path.join(tmp, "serial.txt")
        expect(run(RUN + ["--kernel", path, "--serial", "file=" + out]), out="^$")
        assert open(out).read() == "to a file"

    def pidfile():
        path = payload.write(tmp, "spin for pid", payload.SPIN)
        pid = os.path.join(tmp, "pid")
        proc = start(["--kernel", path, "--pidfile", pid])
        wait_for(lambda: os.path.exists(pid) and open(pid).read() == f"{proc.pid}\n", "pidfile")
        proc.kill_and_check(signal.SIGHUP, 128 + signal.SIGHUP)
        assert not os.path.exists(pid), "pidfile is left behind"

    def debug_stats():
        """A running machine answers, text and JSON, its counters grow; then the socket is gone."""
        path = payload.write(tmp, "spin for stats", payload.print_text("up") + payload.SPIN)
        env = dict(os.environ, XDG_RUNTIME_DIR=tmp)
        sock = os.path.join(tmp, "mayfly")

        def ask(*args):
            return subprocess.run([MAYFLY, "debug", "stats", *args], env=env, timeout=20, capture_output=True, text=True)

        proc = start(["--kernel", path], env=env)
        assert proc.stdout.read(2) == b"up"
        first = ask(str(proc.pid))
        assert first.returncode == 0 and re.match(r"running, 1 vCPU, 16 MiB, accelerator \w+, booted as multiboot, up "
                                                  r"\d+\.\d{3} s, 0 resets\n", first.stdout), first
        doc = json.loads(ask(str(proc.pid), "--json").stdout)
        assert (doc["pid"], doc["state"], doc["vcpus"], doc["mem_bytes"]) == (proc.pid, "running", 1, 16 << 20), doc
        if doc["accel"] == "tcg":
            assert sum(doc["counters"].values()) > 0, doc
        stalled = socket.socket(socket.AF_UNIX)
        stalled.connect(os.path.join(sock, f"{proc.pid}.sock"))  # says nothing: others still get their turn
        assert json.loads(ask("--json", str(proc.pid)).stdout)["uptime_ns"] > doc["uptime_ns"]
        stalled.close()
        proc.kill_and_check(signal.SIGHUP, 128 + signal.SIGHUP)
        assert os.listdir(sock) == [], "the socket is left behind"
        gone = ask(str(proc.pid))
        assert gone.returncode != 0 and re.match(rf"mayfly: process {proc.pid} is no running machine", gone.stderr), gone

    s.check("guest: debug stats", debug_stats)
    s.check("guest: serial to a file", serial_file)
    s.check("guest: pidfile comes and goes", pidfile)


class start(subprocess.Popen):
    """mayfly run in the background, pipes on all streams."""

    def __init__(self, args, **kw):
        for stream in ("stdin", "stdout", "stderr"):
            kw.setdefault(stream, subprocess.PIPE)
        super().__init__([MAYFLY] + RUN + args, **kw)

    def kill_and_check(self, sig, code, timeout=10):
        self.send_signal(sig)
        self.check(code, timeout)

    def check(self, code, timeout=10):
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
            raise AssertionError(f"still running after {timeout} s") from None
        finally:
            for f in (self.stdin, self.stdout, self.stderr):
                if f:
                    f.close()
        if self.returncode != code:
            raise AssertionError(f"exit code {self.returncode}, expected {code}")


def wait_for(what, name, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise AssertionError(f"{name}: nothing after {seconds} s")
        time.sleep(0.02)


def stream_cases(s, tmp):
    hello = payload.write(tmp, "stream hello", payload.print_text("hello") + payload.POWEROFF)
    echo = payload.write(tmp, "echo", payload.ECHO)
    flood = payload.write(tmp, "flood", payload.FLOOD)
    spin = payload.write(tmp, "stream spin", payload.SPIN)

    def closed(fds):
        pre = "".join(f"{fd}>&-; " if fd else "0<&-; " for fd in fds)
        res = subprocess.run(["sh", "-c", f"exec {pre.replace('; ', ' ')}; \"$@\"", "sh", MAYFLY] + RUN +
                             ["--kernel", hello, "--timeout", "10s"], capture_output=True, timeout=20)
        assert res.returncode == 0, f"exit {res.returncode}: {res.stderr}"
        assert 1 in fds or res.stdout == b"hello", res.stdout

    def echoed(data, chunks):
        proc = start(["--kernel", echo, "--timeout", "20s"])
        got = bytearray()
        for i in range(0, len(data), chunks):
            proc.stdin.write(data[i:i + chunks])
            proc.stdin.flush()
        proc.stdin.write(b"q")
        proc.stdin.close()
        while True:
            part = proc.stdout.read(4096)
            if not part:
                break
            got += part
        proc.stdin = None
        proc.check(0)
        assert bytes(got) == data, f"{len(got)} bytes of {len(data)} came back"

    def input_file():
        path = file_with(tmp, "typed", b"from a file" * 100 + b"q")
        with open(path, "rb") as f:
            res = run(RUN + ["--kernel", echo, "--timeout", "20s"], stdin=f)
        expect(res, out="^" + "from a file" * 100 + "$")

    def stopped_reader(sig, code):
        """Nobody reads a flood of output: the guest goes on and mayfly still answers signals."""
        proc = start(["--kernel", flood])
        time.sleep(1.0)
        assert proc.poll() is None
        began = time.monotonic()
        proc.send_signal(sig)
        if sig == signal.SIGTERM:
            proc.send_signal(sig)
            time.sleep(0.1)
            proc.send_signal(sig)
        out = proc.stderr
        proc.check(code)
        assert out is None or time.monotonic() - began < 5

    def reader_gone():
        proc = start(["--kernel", flood, "--timeout", "1s"])
        proc.stdout.close()
        proc.stdout = None
        proc.check(124)

    def end_of_input():
        res = run(RUN + ["--kernel", spin, "--timeout", "700ms"])
        expect(res, code=124)
        assert res.seconds > 0.6, "ended with its input"

    def two_terms():
        proc = start(["--kernel", spin])
        time.sleep(0.4)
        proc.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert proc.poll() is None, "the first TERM already ended it"
        proc.kill_and_check(signal.SIGTERM, 128 + signal.SIGTERM, timeout=3)

    def term_without_answer():
        proc = start(["--kernel", spin])
        time.sleep(0.4)
        began = time.monotonic()
        proc.kill_and_check(signal.SIGTERM, 128 + signal.SIGTERM, timeout=9)
        assert 4 < time.monotonic() - began < 8

    def user_signal():
        proc = start(["--kernel", spin])
        time.sleep(0.4)
        proc.send_signal(signal.SIGUSR1)
        line = proc.stderr.readline()
        assert b"running, 1 vCPU, 16 MiB" in line, line
        proc.kill_and_check(signal.SIGHUP, 128 + signal.SIGHUP)

    s.check("streams: standard input closed", lambda: closed([0]))
    s.check("streams: all three closed", lambda: closed([0, 1, 2]))
    s.check("streams: a pipe in, echoed whole", lambda: echoed(bytes(range(0x20, 0x71)) * 50, 100))
    s.check("streams: control bytes pass through a pipe", lambda: echoed(b"\x01x\x01c\x03\x04", 100))
    s.check("streams: a file as input", input_file)
    s.check("streams: the end of the input does not end the guest", end_of_input)
    s.check("streams: nobody reads, TERM twice", lambda: stopped_reader(signal.SIGTERM, 128 + signal.SIGTERM))
    s.check("streams: nobody reads, HUP", lambda: stopped_reader(signal.SIGHUP, 128 + signal.SIGHUP))
    s.check("streams: the reader goes away", reader_gone)
    s.check("signals: TERM twice ends at once", two_terms)
    s.check("signals: TERM without an answer ends after 5 s", term_without_answer)
    s.check("signals: USR1 prints counters", user_signal)


class Terminal:
    """mayfly on a pseudo-terminal of its own session."""

    def __init__(self, args):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.proc = subprocess.Popen([MAYFLY] + RUN + args, stdin=slave, stdout=slave, stderr=slave,
                                     preexec_fn=self._own)
        self.seen = b""
        os.set_blocking(self.master, False)

    def _own(self):
        os.setsid()
        import fcntl
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self):
        try:
            self.seen += os.read(self.master, 65536)
        except (BlockingIOError, OSError):
            pass
        return self.seen

    def wait_text(self, text):
        wait_for(lambda: re.search(text, self.read()), f"{text!r} in {self.seen[-200:]!r}")

    def wait_raw(self):
        wait_for(lambda: not termios.tcgetattr(self.slave)[3] & termios.ICANON, "raw mode")

    def type(self, keys):
        os.write(self.master, keys)

    def close(self, code):
        try:
            end = time.monotonic() + 10
            while self.proc.poll() is None and time.monotonic() < end:
                self.read()
                time.sleep(0.02)
            if self.proc.poll() is None:
                self.proc.kill()
                self.proc.wait()
                raise AssertionError("still running after 10 s")
            self.read()
            after = termios.tcgetattr(self.slave)
            if self.proc.returncode != code:
                raise AssertionError(f"exit code {self.proc.returncode}, expected {code}; {self.seen[-300:]!r}")
            if after != self.before:
                raise AssertionError("the terminal is not as it was")
        finally:
            os.close(self.master)
            os.close(self.slave)


def terminal_cases(s, tmp):
    spin = payload.write(tmp, "tty spin", payload.SPIN)
    echo = payload.write(tmp, "tty echo", payload.ECHO)
    again = payload.write(tmp, "tty again", payload.print_text("start.") + payload.SPIN)

    def quits():
        t = Terminal(["--kernel", spin])
        t.wait_raw()
        t.type(b"\x01x")
        t.close(130)
        assert b"Ctrl-A x quits" in t.seen

    def literal_and_echo():
        t = Terminal(["--kernel", echo])
        t.wait_raw()
        t.type(b"ab\x03\x01\x01z")
        t.wait_text(b"ab\x03\x01z")
        t.type(b"q")
        t.close(0)

    def other_escape():
        t = Terminal(["--kernel", echo, "--escape", "^]"])
        t.wait_raw()
        t.type(b"\x01")
        t.wait_text(b"\x01")
        t.type(b"\x1dx")
        t.close(130)

    def prompt():
        t = Terminal(["--kernel", again])
        t.wait_text(b"start\\.")
        for line, want in [(b"info", b"running, 1 vCPU"), (b"pause", b"paused"), (b"info", b"paused, 1 vCPU"),
                           (b"resume", b"running\r\n"), (b"bogus", b"no command 'bogus'"), (b"help", b"powerdown")]:
            t.seen = b""
            t.type(b"\x01c")
            t.wait_text(rb"\(mayfly\) ")
            t.type(line + b"\r")
            t.wait_text(want)
        t.seen = b""
        t.type(b"\x01creset\r")
        t.wait_text(b"start\\.")
        t.type(b"\x01cquot\x7f\x7fit\r")
        t.close(130)

    def pause_key():
        t = Terminal(["--kernel", spin])
        t.wait_raw()
        t.type(b"\x01p")
        t.wait_text(b"mayfly: paused")
        t.type(b"\x01p")
        t.wait_text(b"mayfly: running")
        t.type(b"\x01h")
        t.wait_text(b"control prompt")
        t.type(b"\x01x")
        t.close(130)

    def fatal(sig):
        t = Terminal(["--kernel", spin])
        t.wait_raw()
        time.sleep(0.2)
        t.proc.send_signal(sig)
        t.close(-sig)

    def hangup():
        t = Terminal(["--kernel", spin])
        t.wait_raw()
        t.proc.send_signal(signal.SIGHUP)
        t.close(129)

    def stop_and_continue():
        t = Terminal(["--kernel", spin])
        t.wait_raw()
        time.sleep(0.2)
        t.proc.send_signal(signal.SIGTSTP)
        wait_for(lambda: termios.tcgetattr(t.slave) == t.before, "terminal given back on TSTP")
        wait_for(lambda: open(f"/proc/{t.proc.pid}/stat").read().split(")")[1].split()[0] == "T", "stopped")
        t.proc.send_signal(signal.SIGCONT)
        t.wait_raw()
        t.type(b"\x01x")
        t.close(130)

    s.check("terminal: escape x quits and restores", quits)
    s.check("terminal: keys reach the guest, escape twice is literal", literal_and_echo)
    s.check("terminal: --escape", other_escape)
    s.check("terminal: control prompt", prompt)
    s.check("terminal: escape p and h", pause_key)
    s.check("terminal: restored after SIGSEGV", lambda: fatal(signal.SIGSEGV))
    s.check("terminal: restored after SIGABRT", lambda: fatal(signal.SIGABRT))
    s.check("terminal: restored after SIGHUP", hangup)
    s.check("terminal: TSTP and CONT", stop_and_continue)


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    usage_cases(suite)
    for cases in (config_cases, image_cases, disk_cases, output_cases, guest_cases, stream_cases, terminal_cases):
        with tempfile.TemporaryDirectory(prefix="mayfly-cli-") as tmp:
            cases(suite, tmp)
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
