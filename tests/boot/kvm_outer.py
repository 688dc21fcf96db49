#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A machine with a real /dev/kvm, anywhere: QEMU translates one with AMD's SVM, Debian's kernel
and its kvm-amd module run in it, and commands run there.

    outer = Outer()
    outer.add_binary(path_to_mayfly)                      # with its shared libraries
    outer.add_file(kernel, "/guest/vmlinuz")
    for res in outer.run([("probe", "/bin/mayfly doctor", 20)]):
        print(res.name, res.code, res.seconds, res.out)

One processor is all it should have: with two, every third nested Linux of any monitor (QEMU's own,
too) ends in a deadlock on a spinlock, since interrupts reach it where they are disabled.

By hand: kvm_outer.py [--mayfly PATH] [--file HOST:GUEST]... [--cpus N] [--mem MIB] COMMAND...
"""
import argparse
import glob
import io
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile
import time

from harness import CACHE, MAYFLY, Skip, guest

MODULES = ["irqbypass", "kvm", "ccp", "kvm-amd", "tun"]
OPTIONAL = ["ccp", "tun"]

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs tmp /run
ln -sf /proc/self/fd /dev/fd
for m in {modules}; do [ -e /modules/$m.ko ] && insmod /modules/$m.ko; done
stty -F /dev/ttyS0 -onlcr 2>/dev/null
dmesg -n 1
[ -c /dev/kvm ] && echo "@@outer ready" || echo "@@outer no-kvm"
export HOME=/root XDG_CACHE_HOME=/nowhere
mkdir -p /root
{steps}
echo "@@outer done"
poweroff -f
"""

STEP = """echo "@@begin {name} $(cut -d' ' -f1 /proc/uptime)"
timeout -s KILL {limit} sh -c {command} </dev/null 2>&1
echo "@@end {name} $? $(cut -d' ' -f1 /proc/uptime)"
"""


class Cpio:
    """A newc archive writer: just enough for an initramfs."""

    def __init__(self):
        self.out, self.ino, self.dirs = io.BytesIO(), 0, set()

    def _entry(self, name, mode, data=b""):
        self.ino += 1
        head = [self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        self.out.write(b"070701" + b"".join(b"%08x" % x for x in head) + name.encode() + b"\0")
        self.out.write(b"\0" * (-self.out.tell() % 4) + data)
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def directory(self, path):
        path = path.strip("/")
        if path and path not in self.dirs:
            self.directory(os.path.dirname(path))
            self.dirs.add(path)
            self._entry(path, stat.S_IFDIR | 0o755)

    def add(self, path, data, mode=0o644):
        self.directory(os.path.dirname(path))
        self._entry(path.strip("/"), stat.S_IFREG | mode, data)

    def finish(self):
        self._entry("TRAILER!!!", 0)
        return self.out.getvalue()


class Step:
    """What a step gave; `cpu` is the processor time it took of the host, to about 0.05 s."""

    def __init__(self, name, code, out, seconds, cpu=0.0):
        self.name, self.code, self.out, self.seconds, self.cpu = name, code, out, seconds, cpu
        self.err = ""

    def tail(self, n=15):
        return "\n".join("#   " + re.sub(r"[^\x20-\x7e]", "?", x) for x in self.out.splitlines()[-n:])


def module_file(name):
    guest("cloud-6.1")
    pattern = os.path.join(CACHE, "guest", "cloud-6.1", "**", name + ".ko")
    found = glob.glob(pattern, recursive=True)
    if not found:
        raise Skip(f"no {name}.ko among the modules of cloud-6.1")
    return found[0]


def cpu_seconds(pid):
    try:
        fields = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Marks:
    """Watches a growing file for @@ lines and notes the processor time at each."""

    def __init__(self, fd, pid):
        self.fd, self.pid, self.at, self.cpu = fd, pid, 0, {}

    def poll(self):
        """True if there was a new one."""
        chunk, new = os.pread(self.fd, 1 << 26, self.at), False
        end = chunk.rfind(b"\n") + 1
        self.at += end
        for begun, ended in re.findall(rb"@@begin (.+) [0-9.]+\r?\n|@@end (.+) \d+ [0-9.]+\r?\n", chunk[:end]):
            mark = b"begin " + begun if begun else b"end " + ended
            self.cpu[mark.decode("ascii", "replace")], new = cpu_seconds(self.pid), True
        return new

    def begun(self):
        return sum(m.startswith("begin ") for m in self.cpu)

    def between(self, name):
        return max(self.cpu.get("end " + name, 0.0) - self.cpu.get("begin " + name, 0.0), 0.0)


class Outer:
    def __init__(self, cpus=1, mem=1024):
        self.cpus, self.mem, self.cpio = cpus, mem, Cpio()
        for path in ("proc", "sys", "dev", "tmp", "run", "root", "etc"):
            self.cpio.directory(path)
        self.cpio.add("/bin/busybox", open(guest("busybox"), "rb").read(), 0o755)
        for name in MODULES:
            try:
                self.cpio.add(f"/modules/{name}.ko", open(module_file(name), "rb").read())
            except Skip:
                if name not in OPTIONAL:
                    raise
        self.libs, self.marks = set(), None

    def add_file(self, host, path, mode=0o644):
        self.cpio.add(path, open(host, "rb").read(), mode)

    def add_binary(self, host, path="/bin/mayfly"):
        self.add_file(host, path, 0o755)
        ldd = subprocess.run(["ldd", host], capture_output=True, text=True)
        for lib in re.findall(r"(/\S+) \(0x", ldd.stdout):
            if lib not in self.libs:
                self.libs.add(lib)
                self.add_file(lib, lib, 0o755)

    def run(self, steps, timeout=300, echo=False):
        """steps: (name, shell command, seconds). Gives one Step each; code None: never ended."""
        script = "".join(STEP.format(name=n, limit=limit, command=shlex.quote(c)) for n, c, limit in steps)
        self.cpio.add("/init", INIT.format(steps=script, modules=" ".join(MODULES)).encode(), 0o755)
        with tempfile.NamedTemporaryFile(prefix="mayfly-outer-") as image:
            image.write(self.cpio.finish())
            image.flush()
            # Without XSAVE: QEMU's SVM does not intercept a nested guest's XSETBV, so KVM would not know.
            cmd = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max,-xsave",
                   "-smp", str(self.cpus), "-m", str(self.mem), "-nodefaults", "-no-user-config", "-nographic",
                   "-serial", "stdio", "-no-reboot", "-kernel", guest("cloud-6.1"), "-initrd", image.name,
                   "-append", "console=ttyS0 quiet panic=-1 tsc=reliable nowatchdog rcupdate.rcu_cpu_stall_suppress=1"]
            raw, end, marks = self._watch(cmd, steps, timeout)
        self.marks = marks  # of steps, and of what else printed such lines
        text = raw.decode("utf-8", "replace")
        if echo:
            print(text)
        if "@@outer no-kvm" in text:
            raise AssertionError("the outer machine has no /dev/kvm\n" + "\n".join(text.splitlines()[-15:]))
        if "@@outer done" in text:
            end = ""
        found = [self._find(name, text, end) for name, _, _ in steps]
        for step in found:
            step.cpu = marks.between(step.name)
        return found

    @staticmethod
    def _watch(cmd, steps, timeout):
        """Runs QEMU; ends it when a step is long over its time, since then the machine hangs."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            except FileNotFoundError:
                raise Skip("qemu-system-x86_64 is not installed") from None
            why, moved, ends = "", time.monotonic(), time.monotonic() + timeout
            marks = Marks(out.fileno(), proc.pid)
            while proc.poll() is None:
                time.sleep(0.05)
                now = time.monotonic()
                if marks.poll():
                    moved = now
                begun = min(marks.begun(), len(steps))
                patience = (steps[begun - 1][2] if begun else 60) + 60
                if now > ends or now > moved + patience:
                    why = f"nothing for {now - moved:.0f} s"
                    proc.kill()
                    proc.wait()
            err.seek(0)
            if not why:
                why = f"QEMU ended with {proc.returncode}: {err.read().decode('utf-8', 'replace').strip()[-300:]}"
            return os.pread(out.fileno(), 1 << 26, 0), why, marks

    @staticmethod
    def _find(name, text, ending):
        begin = re.search(rf"@@begin {re.escape(name)} ([0-9.]+)\r?\n", text)
        if not begin:
            return Step(name, None, "the outer machine ended before: " + ending, 0)
        end = re.search(rf"@@end {re.escape(name)} (\d+) ([0-9.]+)", text[begin.end():])
        if not end:
            return Step(name, None, text[begin.end():] + "\nthe outer machine ended here: " + ending, 0)
        out = text[begin.end():begin.end() + end.start()]
        return Step(name, int(end.group(1)), out, float(end.group(2)) - float(begin.group(1)))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mayfly", default=MAYFLY)
    ap.add_argument("--file", action="append", default=[])
    ap.add_argument("--cpus", type=int, default=1)
    ap.add_argument("--mem", type=int, default=1024)
    ap.add_argument("--timeout", type=int, default=120)
    ap.add_argument("command", nargs="+")
    a = ap.parse_args()
    outer = Outer(a.cpus, a.mem)
    outer.add_binary(a.mayfly)
    for pair in a.file:
        host, path = pair.split(":", 1)
        outer.add_file(host, path, 0o755 if os.access(host, os.X_OK) else 0o644)
    res = outer.run([("command", " ".join(a.command), a.timeout)], timeout=a.timeout + 60)[0]
    print(res.out)
    print(f"exit code {res.code} after {res.seconds:.2f} s", file=sys.stderr)
    return res.code if res.code is not None else 1


if __name__ == "__main__":
    sys.exit(main())
