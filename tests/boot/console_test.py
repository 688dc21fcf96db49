#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Consoles, byte channels and limits under stock kernels. usage: console_test.py [REGEX]"""
import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

from harness import MAYFLY, Suite, guest
from live import Live, make_initrd

# The stock 6.12 has virtio-console built in, the 6.1 as a module.
MODULES = {"cloud-6.1": ["virtio_mmio", "virtio_console"], "cloud-6.12": ["virtio_mmio"]}
PCI_MODULES = {"cloud-6.1": ["virtio_pci", "virtio_console"], "cloud-6.12": []}


def check(ok, text):
    if not ok:
        raise AssertionError(text)


class Terminal:
    """A mayfly on a pseudo-terminal of its own, as an operator has it."""

    def __init__(self, args, rows, cols):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
            os.execv(MAYFLY, [MAYFLY] + args)
        self.text = ""

    def resize(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self, want, timeout=60):
        end = time.monotonic() + timeout
        while not re.search(want, self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {want!r} within {timeout} s: {self.text[-500:]!r}")
            try:
                chunk = os.read(self.fd, 65536)
            except OSError:  # how a terminal says that nobody is left
                chunk = b""
            if not chunk:
                raise AssertionError(f"no {want!r} before the end: {self.text[-500:]!r}")
            self.text += chunk.decode("utf-8", "replace")
        text, self.text = self.text, ""
        return text

    def end(self, timeout=10):
        """The exit status, once it has ended by itself."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        return None

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def shell_on_hvc0(kernel, bus):
    with tempfile.TemporaryDirectory(prefix="mayfly-console-") as tmp:
        modules = (PCI_MODULES if bus == "pci" else MODULES)[kernel]
        t = Terminal(["run", "--accel", "tcg", "--mem", "256M", "--bus", bus, "--net", "none", "--console", "--kernel",
                      guest(kernel), "--initrd", make_initrd(tmp, kernel, modules, None), "--timeout", "90s"], 33, 97)
        try:
            t.wait(r"Ctrl-A x quits")
            t.wait(r"userspace reached.*\n(.*\n)*.*# ")
            t.type("echo on $(tty), size $(stty size).\r")
            t.wait(r"on /dev/hvc0, size 33 97\.")
            t.resize(41, 120)
            t.type("sleep 1; echo now $(stty size).\r")
            t.wait(r"now 41 120\.")
            t.type("\x01c")
            t.wait(r"\(mayfly\) ")
            t.type("size 61x17\r")
            t.wait(r"\n")
            t.type("sleep 1; echo then $(stty size).\r")
            t.wait(r"then 17 61\.")
            t.type("\x01c")
            t.type("size 61\r")
            t.wait(r"'61' is not understood")
            t.type("\x01x")
            code = t.end()
            check(code == 130, f"Ctrl-A x: exit {code}")
        finally:
            t.close()


def connect(path, timeout=10):
    end = time.monotonic() + timeout
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            s.settimeout(20)
            return s
        except OSError:
            s.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def read_until(s, n_bytes):
    data = b""
    while len(data) < n_bytes:
        chunk = s.recv(65536)
        if not chunk:
            break
        data += chunk
    return data


FIND_PORT = ("for d in /sys/class/virtio-ports/*; do [ \"$(cat $d/name 2>/dev/null)\" = agent ] && "
             "port=/dev/${d##*/}; done; echo port is $port; [ -c $port ]")


def named_port(kernel, bus):
    """Echo, bulk both ways, a client that leaves and another one, against a guest's process."""
    modules = (PCI_MODULES if bus == "pci" else MODULES)[kernel]
    with Live(kernel, modules, ["--console", "socket=@/agent.sock,name=agent", "--console", "file=@/hvc0"], bus=bus) as g:
        path = os.path.join(g.dir, "agent.sock")
        g.sh(FIND_PORT)
        g.sh("echo to a file >/dev/hvc0")
        s = connect(path)
        g.sh("(while read -r l; do echo \"guest says $l\"; done) 0<>$port 1>&0 &")
        s.sendall(b"hello\nagain\n")
        want = b"guest says hello\nguest says again\n"
        check(read_until(s, len(want)) == want, "the echo is wrong")
        other = connect(path)  # turned away, since the first one is there
        check(other.recv(1) == b"", "a second client was served")
        other.close()
        s.close()
        g.sh("kill $!; wait 2>/dev/null; true")
        # bulk, with a reader that is slow to start: nothing may be lost
        s = connect(path)
        out = g.sh("dd if=/dev/urandom of=/tmp/r bs=64k count=48 2>/dev/null; md5sum </tmp/r; cat /tmp/r >$port &")
        time.sleep(1)
        data = read_until(s, 48 << 16)
        check(hashlib.md5(data).hexdigest() in out, f"{len(data)} bytes came from the guest, not as sent")
        data = os.urandom(1 << 20)
        g.sh("dd of=/tmp/in bs=4k iflag=fullblock count=256 <$port 2>/dev/null &")
        s.sendall(data)
        out = g.sh("wait; md5sum </tmp/in")
        check(hashlib.md5(data).hexdigest() in out, "the guest got other bytes than were sent")
        # a client that only sends: what it says arrives, though it is gone by then
        s.close()
        time.sleep(0.2)
        s = connect(path)
        g.sh("head -n 1 <$port >/tmp/one &")
        s.sendall(b"a last word\n")
        s.shutdown(socket.SHUT_WR)
        check("a last word" in g.sh("wait; cat /tmp/one"), "what a client sent before it left is lost")
        s.close()
        with open(os.path.join(g.dir, "hvc0"), "rb") as f:
            check(b"to a file" in f.read(), "hvc0's file lacks what was written")
        n = g.figures("counters")
        check(n["console.tx_dropped"] == 0 and n["console.ctrl_fails"] == 0, str(n))


def reader_that_stopped(kernel):
    """Ten mebibytes to a console whose reader has stopped: the guest goes on, the monitor does not grow."""
    with Live(kernel, MODULES[kernel], ["--console", "socket=@/hvc.sock"]) as g:
        s = connect(os.path.join(g.dir, "hvc.sock"))
        time.sleep(0.2)
        g.sh("echo first >/dev/hvc0")
        rss = g.rss_mib()
        g.sh("dd if=/dev/zero bs=64k count=160 2>/dev/null | tr '\\0' x >/dev/hvc0", 60)
        n = g.figures("counters")
        check(n["console.tx_dropped"] > 8 << 20, str(n))
        check(g.rss_mib() - rss < 8, f"RSS went from {rss} to {g.rss_mib()} MiB")
        s.setblocking(False)
        data, end = b"", time.monotonic() + 20
        while b"alive" not in data and time.monotonic() < end:
            try:
                data = (data + s.recv(65536))[-200:]
            except BlockingIOError:
                g.sh("echo alive >/dev/hvc0")
        check(b"alive" in data, f"nothing new comes after the reader goes on: {data!r}")
        s.close()
        return f"{n['console.tx_dropped'] >> 20} MiB dropped"


def on_pty(kernel):
    with tempfile.TemporaryDirectory(prefix="mayfly-console-") as tmp:
        proc = subprocess.Popen([MAYFLY, "run", "--accel", "tcg", "--mem", "256M", "--net", "none", "--serial", "pty",
                                 "--kernel", guest(kernel), "--initrd", make_initrd(tmp, kernel, [], None), "--timeout",
                                 "60s", "--cmdline", "console=ttyS0 quiet"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            name = re.search(r"serial is at (/dev/pts/\d+)", proc.stderr.readline()).group(1)
            fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
            text, end, asked = "", time.monotonic() + 50, False
            while "it is 42" not in text and time.monotonic() < end:
                if select.select([fd], [], [], 1)[0]:
                    text += os.read(fd, 4096).decode("utf-8", "replace")
                if "# " in text and not asked:
                    os.write(fd, b"echo it is $((6 * 7)); poweroff -f\n")
                    asked = True
            os.close(fd)
            check("it is 42" in text, f"no answer: {text[-300:]!r}")
            check(proc.wait(20) == 0, f"exit {proc.returncode}")
        finally:
            proc.kill()
            proc.wait()
            proc.stderr.close()


def serial_limit(kernel):
    with Live(kernel, [], []) as g:
        g.tell("limit serial 2000")
        g.lines += 1  # its output is cut: what it says at the end may be lost
        g.proc.stdin.write(b"i=0; while [ $i -lt 400 ]; do echo a line of sixty-four bytes, this is one of many "
                           b"that come so; i=$((i + 1)); done; sleep 2\n")
        g.proc.stdin.flush()
        g.until(lambda: g.figures("counters"), lambda: g.figures("counters")["serial.dropped"] > 20000)
        time.sleep(3)
        g.tell("limit serial 0")
        n = g.figures("counters")["serial.dropped"]
        g.sh("echo unlimited again; i=0; while [ $i -lt 100 ]; do echo a line of some bytes; i=$((i + 1)); done")
        check(g.figures("counters")["serial.dropped"] == n, "bytes were dropped without a limit")
        return f"{n} bytes dropped"


def rng_limit(kernel):
    with Live(kernel, ["virtio_mmio", "virtio_rng"], ["--rng", "bw=4K,bw_burst=64K"]) as g:
        g.sh("dd if=/dev/hwrng of=/dev/null bs=512 count=128 2>/dev/null")
        start = time.monotonic()
        g.sh("dd if=/dev/hwrng of=/dev/null bs=512 count=32 2>/dev/null")
        slow = time.monotonic() - start
        n = g.figures("counters")
        check(n["rng.throttled"] > 0 and slow > 1.5, f"16 KiB at 4 KiB/s took {slow:.1f} s: {n}")
        g.tell("limit rng 0 0")
        start = time.monotonic()
        g.sh("dd if=/dev/hwrng of=/dev/null bs=512 count=512 2>/dev/null")
        fast = time.monotonic() - start
        check(fast < 10, f"256 KiB without a limit took {fast:.1f} s")
        return f"16 KiB in {slow:.1f} s at 4 KiB/s, 256 KiB in {fast:.1f} s without a limit"


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for kernel, bus in (("cloud-6.12", "pci"), ("cloud-6.12", "mmio"), ("cloud-6.1", "mmio")):
        suite.check(f"tcg: shell on hvc0, sizes, {kernel}, {bus}", lambda k=kernel, b=bus: shell_on_hvc0(k, b))
    for kernel, bus in (("cloud-6.1", "mmio"), ("cloud-6.12", "pci")):
        suite.check(f"tcg: named port, {kernel}, {bus}", lambda k=kernel, b=bus: named_port(k, b))
    suite.check("tcg: console whose reader has stopped", lambda: reader_that_stopped("cloud-6.12"))
    suite.check("tcg: serial port on a pseudo-terminal", lambda: on_pty("cloud-6.12"))
    suite.check("tcg: serial limit drops, counts, is lifted", lambda: serial_limit("cloud-6.12"))
    suite.check("tcg: random numbers at a limited rate", lambda: rng_limit("cloud-6.12"))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
