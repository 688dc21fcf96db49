#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that breaks the rules of virtio (tests/boot/bare/hostile.c). usage: hostile_test.py [REGEX]

Runs it on both buses with two disks (one read-only), an entropy source, a network, persistent memory and memory to plug in, and watches the
monitor meanwhile: it answers on its control socket, and its memory, descriptors and log stay bounded.
"""
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

from bare_test import build
from harness import MAYFLY, Suite

RSS_GROWTH_KIB = 4096
LOG_BYTES = 64 << 10
ANSWER_S = 0.1  # nearly always; and never TIMEOUT_S, however busy the host is
TIMEOUT_S = 10


class Peer:
    """The host's end of the network: swallows frames, and floods when a frame asks for it."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.n_frames, self.stop = 0, False
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            conn, _ = self.listener.accept()
            with conn, conn.makefile("rb") as f:
                while len(head := f.read(4)) == 4:
                    frame = f.read(int.from_bytes(head, "big"))
                    self.n_frames += 1
                    if b"flood" in frame:
                        threading.Thread(target=self.flood, args=(conn,), daemon=True).start()

    def flood(self, conn):
        frame = (1000).to_bytes(4, "big") + b"\xff" * 1000
        with contextlib.suppress(OSError):
            for _ in range(5000):
                conn.sendall(frame)


class Watch:
    """Asks the running monitor again and again; keeps the worst answer."""

    def __init__(self, proc, run_dir):
        self.proc, self.path = proc, os.path.join(run_dir, "mayfly", f"{proc.pid}.sock")
        self.answers_s, self.silent = [], 0
        self.rss, self.fds = [], []
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def ask(self):
        start = time.monotonic()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(TIMEOUT_S)
            s.connect(self.path)
            s.sendall(b"stats json\n")
            while s.recv(65536):
                pass
        self.answers_s.append(time.monotonic() - start)

    def loop(self):
        while self.proc.poll() is None:
            try:
                self.ask()
                with open(f"/proc/{self.proc.pid}/smaps_rollup", encoding="ascii") as f:
                    self.rss.append(int(re.search(r"Rss: +(\d+)", f.read())[1]))
                self.fds.append(len(os.listdir(f"/proc/{self.proc.pid}/fd")))
            except socket.timeout:
                self.silent += 1
            except (OSError, TypeError):
                pass  # not there yet, or just gone
            time.sleep(0.05)


def hostile(bus, accel="tcg", cases="", timeout=120):
    with tempfile.TemporaryDirectory(prefix="mayfly-test-") as tmp:
        disks = [os.path.join(tmp, name) for name in ("disk.img", "ro.img")]
        for disk in disks:
            with open(disk, "wb") as f:
                f.truncate(8 << 20)
        pmem = os.path.join(tmp, "pmem.img")
        with open(pmem, "wb") as f:
            f.truncate(4 << 20)
        peer = Peer(os.path.join(tmp, "net"))
        log = os.path.join(tmp, "log")
        cmd = [MAYFLY, "run", "--accel", accel, "--cpus", "2", "--mem", "16M", "--bus", bus, "--disk", disks[0],
               "--disk", disks[1] + ",ro", "--rng", "--pmem", pmem, "--hotplug-mem", "128M,requested=64M", "--net", f"unix={tmp}/net", "--kernel", build(tmp, "hostile"),
               "--cmdline", f"cases={cases}" + (" kvm" if accel == "kvm" else ""), "--log", f"info,file={log}", "--timeout", f"{timeout}s"]
        env = dict(os.environ, XDG_RUNTIME_DIR=tmp)
        with open(os.path.join(tmp, "out"), "w+b") as out:
            proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env)
            watch = Watch(proc, tmp)
            try:
                proc.wait(timeout + 30)
            finally:
                proc.kill()
                proc.wait()
                watch.thread.join()
            out.seek(0)
            text = out.read().decode("utf-8", "replace")
        wrong = [line for line in text.splitlines() if not re.match(r"ok H\d\d ", line)]
        n_ok = len(re.findall(r"^ok H\d\d ", text, re.M))
        if proc.returncode or wrong != ["hostile: done"]:
            raise AssertionError(f"exit {proc.returncode}, {n_ok} ok, and:\n" + "\n".join(wrong[:30]))
        if os.path.getsize(log) > LOG_BYTES:
            raise AssertionError(f"{os.path.getsize(log)} bytes of log")
        answers = sorted(watch.answers_s)
        if watch.silent or not answers or answers[len(answers) * 9 // 10] > ANSWER_S:
            raise AssertionError(f"{watch.silent} answers missing, times {answers[-20:]}")
        with open(disks[1], "rb") as f:
            if f.read().strip(b"\0"):
                raise AssertionError("the read-only disk was written")
        # the guest's own memory counts as well, and all of it may have been touched
        grown = max(watch.rss) - watch.rss[0] - 16384
        if grown > RSS_GROWTH_KIB or len(set(watch.fds[1:])) > 2:
            raise AssertionError(f"{grown} KiB more memory, descriptors {sorted(set(watch.fds))}")
        if not n_ok:
            raise AssertionError("no case was run")
        return f"{n_ok} cases, slowest answer {answers[-1] * 1000:.0f} ms, {peer.n_frames} frames"


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    cases = os.environ.get("MAYFLY_HOSTILE_CASES", "")
    accel = os.environ.get("MAYFLY_HOSTILE_ACCEL", "tcg")
    for bus in ("mmio", "pci"):
        suite.check(f"{accel}: hostile virtio driver, {bus}", lambda b=bus: hostile(b, accel, cases))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
