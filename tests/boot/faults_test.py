#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks and networks of the host fail under a stock guest. usage: faults_test.py [REGEX]

The image's file system is full, the file may grow no longer, the block device gives I/O errors, the tap is
down or deleted; nobody does anything; fio verifies what it wrote while the machine is paused and stopped again and again. The
guest sees errors or waits, the monitor lives, and what can recover does. Needs root for most of it; taps are
in a network namespace of their own.
"""
import contextlib
import ctypes
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import MAYFLY, ROOT, Skip, Suite, guest

KERNEL = "cloud-6.12"
MODULES = ["virtio_mmio", "virtio_pci", "virtio_blk", "virtio_net", "virtiofs"]
CLONE_NEWNET = 0x40000000


def need_root():
    if os.geteuid():
        raise Skip("needs root")


def initrd(tmp, script):
    path, out = os.path.join(tmp, "script"), os.path.join(tmp, "initrd")
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(path, 0o755)
    cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--modules", os.path.dirname(os.path.dirname(guest(KERNEL)))]
    subprocess.run(cmd + [x for m in MODULES for x in ("--module", m)] + ["--script", path, out], check=True,
                   capture_output=True)
    return out


class Machine:
    """A guest whose script waits for lines on its console. wait() raises unless the text comes."""

    def __init__(self, tmp, script, args, terminal=False, timeout=180):
        cmd = [MAYFLY, "run", "--accel", "tcg", "--mem", "256M", "--kernel", guest(KERNEL), "--initrd",
               initrd(tmp, script), "--cmdline", "console=ttyS0 quiet", "--timeout", f"{timeout}s", "--cpus", "2"] + args
        cmd += [] if "--net" in args else ["--net", "none"]
        cmd += [] if "--bus" in args else ["--bus", "pci"]
        self.out, self.seen = b"", 0
        inner, outer = pty.openpty() if terminal else (None, None)
        self.errors = open(os.path.join(tmp, "stderr"), "w+b")
        self.proc = subprocess.Popen(cmd, stdin=outer if terminal else subprocess.PIPE,
                                     stdout=outer if terminal else subprocess.PIPE, stderr=self.errors)
        if terminal:
            os.close(outer)
        self.fd_in = inner if terminal else self.proc.stdin.fileno()
        self.fd_out = inner if terminal else self.proc.stdout.fileno()

    def wait(self, pattern, seconds=120):
        end = time.monotonic() + seconds
        while True:
            hit = re.search(pattern.encode(), self.out[self.seen:])
            if hit:
                self.seen += hit.end()
                return hit[0].decode()
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd_out], [], [], left)[0]:
                self.fail(f"nothing like {pattern!r} in {seconds} s")
            try:
                chunk = os.read(self.fd_out, 65536)
            except OSError:
                chunk = b""
            if not chunk:
                self.fail(f"ended without {pattern!r}, code {self.proc.wait(30)}")
            self.out += chunk

    def say(self, text="\n"):
        os.write(self.fd_in, text.encode())

    def fail(self, why):
        self.errors.seek(0)
        raise AssertionError(f"{why}: {self.out[-1200:].decode('utf-8', 'replace')} {self.errors.read()[-300:]!r}")

    def end(self):
        if self.proc.wait(60):
            self.fail(f"exit code {self.proc.returncode}")

    def threads(self):
        """Of each thread: how often it went to sleep, and its CPU time in ns."""
        out = {}
        for t in os.listdir(f"/proc/{self.proc.pid}/task"):
            with open(f"/proc/{self.proc.pid}/task/{t}/status", encoding="ascii") as f:
                text = f.read()
            with open(f"/proc/{self.proc.pid}/task/{t}/schedstat", encoding="ascii") as f:
                ns = int(f.read().split()[0])
            name = re.search(r"Name:\s*(\S+)", text)[1]
            out[name + "/" + t] = (int(re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", text)[1]), ns)
        return out

    def check_idle(self, seconds):
        """The monitor has no timers of its own, and nothing that looks again and again; the guest's own
        wake-ups cost one thread each, and not much."""
        before = self.threads()
        time.sleep(seconds)
        after = self.threads()
        wakes = {t: after[t][0] - before[t][0] for t in before}
        busy_ns = {t: after[t][1] - before[t][1] for t in before}
        guest, timer = ({t for t in before if t.startswith(name)} for name in ("vcpu", "apic-timer"))
        own = set(before) - guest - timer
        own_wakes, own_ns = sum(wakes[t] for t in own), sum(busy_ns[t] for t in own)
        # a frame or two may come from the host's side
        if own_wakes > 6 or own_ns > seconds * 1e6:
            self.fail(f"not idle: {wakes}, {own_ns / 1e6:.1f} ms in {seconds} s")
        guest_wakes = sum(wakes[t] for t in guest)
        if sum(wakes[t] for t in timer) > 10 + guest_wakes // 2:
            self.fail(f"two threads wake for one tick: {wakes}")
        all_ns = sum(busy_ns.values())
        if all_ns > seconds * 10e6:  # 1 %; a fifth of that on a busy host
            self.fail(f"the guest's wake-ups are dear: {busy_ns}, {wakes}")
        return (f"{own_wakes} wake-ups of the monitor, {own_ns / 1e6:.1f} ms in {seconds} s; {guest_wakes} of the guest, "
                f"{all_ns / 1e6:.1f} ms in all")

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.proc.kill()
        self.proc.wait()
        self.errors.close()


# --- disks ------------------------------------------------------------------------------------------

# a try of one block; writes go past the guest's page cache
DISK_SCRIPT = """w() { dd if=/dev/urandom of=/dev/vda bs=64k seek=$1 count=$2 oflag=direct conv=notrunc 2>/dev/null && echo "$3 good" || echo "$3 bad"; }
r() { dd if=/dev/vda of=/dev/null bs=64k skip=$1 count=$2 iflag=direct 2>/dev/null && echo "$3 good" || echo "$3 bad"; }
echo 0 >/proc/sys/kernel/printk
stty -echo </dev/console
echo ready; read -r x </dev/console
w 16 16 first; r 16 16 read; w 512 64 second
dd if=/dev/vdb of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null && echo other good
echo again; read -r x </dev/console
w 1024 16 third; r 1024 16 back
"""


@contextlib.contextmanager
def small_tmpfs(tmp, size):
    path = os.path.join(tmp, "small")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def other_disk(tmp):
    path = os.path.join(tmp, "other.img")
    with open(path, "wb") as f:
        f.truncate(8 << 20)
    return path


def full(engine):
    """The host's file system has room for a third of what is written; later it has more."""
    need_root()
    with tempfile.TemporaryDirectory(prefix="mayfly-faults-") as tmp, small_tmpfs(tmp, "3M") as small:
        disk = os.path.join(small, "disk.img")
        with open(disk, "wb") as f:
            f.truncate(128 << 20)
        with Machine(tmp, DISK_SCRIPT, ["--disk", f"{disk},engine={engine}", "--disk", other_disk(tmp)]) as m:
            m.wait("ready")
            m.say()
            for want in ("first good", "read good", "second bad", "other good", "again"):
                m.wait(want)
            subprocess.run(["mount", "-o", "remount,size=64M", small], check=True)
            m.say()
            m.wait("third good")
            m.wait("back good")
            m.end()


def file_limit(engine):
    """The process may not make files of more than 16 MiB (SIGXFSZ, EFBIG): errors beyond, no death."""
    with tempfile.TemporaryDirectory(prefix="mayfly-faults-", dir="/var/tmp") as tmp:
        disk = os.path.join(tmp, "disk.img")
        with open(disk, "wb") as f:
            f.truncate(128 << 20)

        with Machine(tmp, DISK_SCRIPT, ["--disk", f"{disk},engine={engine}", "--disk", other_disk(tmp)]) as m:
            m.wait("ready")  # the translator's code cache is a file as well
            resource.prlimit(m.proc.pid, resource.RLIMIT_FSIZE, (16 << 20, resource.RLIM_INFINITY))
            m.say()
            for want in ("first good", "read good", "second bad", "other good", "again"):
                m.wait(want)
            resource.prlimit(m.proc.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            m.say()
            m.wait("third good")
            m.wait("back good")
            m.end()


def gone(engine):
    """The image is truncated and unlinked: the guest gets errors for what is not there any more."""
    with tempfile.TemporaryDirectory(prefix="mayfly-faults-", dir="/var/tmp") as tmp:
        disk = os.path.join(tmp, "disk.img")
        with open(disk, "wb") as f:
            f.truncate(128 << 20)
        script = DISK_SCRIPT.replace("w 512 64 second", "echo cut; read -r x </dev/console; r 512 64 second")
        with Machine(tmp, script, ["--disk", f"{disk},engine={engine}", "--disk", other_disk(tmp)]) as m:
            m.wait("ready")
            m.say()
            m.wait("cut")
            os.truncate(disk, 20 << 20)
            os.unlink(disk)
            m.say()
            for want in ("second bad", "other good", "again"):
                m.wait(want)
            m.say()
            m.wait("third good")  # writing beyond the end makes the file longer again
            m.wait("back good")
            m.end()


def io_errors(engine, cache):
    """A file over a loop device whose own file loses its pages: the block layer answers with EIO."""
    need_root()
    if not os.path.exists("/dev/loop-control"):
        raise Skip("no loop devices")
    with tempfile.TemporaryDirectory(prefix="mayfly-faults-", dir="/var/tmp") as tmp:
        under = os.path.join(tmp, "under.img")
        with open(under, "wb") as f:
            f.truncate(128 << 20)
        res = subprocess.run(["losetup", "--show", "-f", under], capture_output=True, text=True)
        if res.returncode:
            raise Skip("losetup: " + res.stderr.strip())
        loop = res.stdout.strip()
        try:
            # reads go to the loop device each time only past the page cache
            script = DISK_SCRIPT.replace("w 512 64 second", "echo cut; read -r x </dev/console; r 512 64 second")
            with Machine(tmp, script, ["--disk", f"{loop},engine={engine},cache={cache}", "--disk", other_disk(tmp)]) as m:
                m.wait("ready")
                m.say()
                m.wait("cut")
                os.truncate(under, 20 << 20)
                m.say()
                for want in ("second bad", "other good", "again"):
                    m.wait(want)
                os.truncate(under, 128 << 20)
                m.say()
                m.wait("third good")
                m.wait("back good")
                m.end()
        finally:
            subprocess.run(["losetup", "-d", loop], check=False)


# --- nothing to do ----------------------------------------------------------------------------------

IDLE_SCRIPT = """ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
mkdir -p /mnt; mount -t virtiofs t /mnt && dd if=/dev/vda of=/dev/null bs=64k count=4 2>/dev/null && echo idle
read -r x </dev/console
"""


def idle(bus):
    """All kinds of devices, used and then left alone."""
    with tempfile.TemporaryDirectory(prefix="mayfly-faults-", dir="/var/tmp") as tmp:
        args = ["--disk", other_disk(tmp), "--rng", "--fs", tmp + ",tag=t", "--net", "user", "--vsock", f"3,uds={tmp}/vsock",
                "--balloon", "0", "--console", f"name=c,file={tmp}/console", "--bus", bus]
        with Machine(tmp, IDLE_SCRIPT, args) as m:
            m.wait("idle")
            time.sleep(3)
            said = m.check_idle(10)
            m.say()
            m.end()
            return said


# --- taps -------------------------------------------------------------------------------------------

NET_SCRIPT = """echo 0 >/proc/sys/kernel/printk
stty -echo </dev/console
ifconfig eth0 10.99.0.2 netmask 255.255.255.0 up
p() { for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do ping -c 1 -W 1 10.99.0.1 >/dev/null 2>&1 && { echo "$1 good"; return; }; [ -n "$2" ] && break; done; echo "$1 bad"; }
echo ready
while read -r what once; do [ "$what" = end ] && break; p $what $once; done </dev/console
"""


def tap_faults():
    """The tap goes down and up, is deleted and made again: frames are lost meanwhile, then they pass."""
    need_root()
    pid = os.fork()  # in a network namespace that ends with the child
    if pid:
        _, status = os.waitpid(pid, 0)
        if status == 77 << 8:
            raise Skip("no network namespaces, or no /dev/net/tun")
        if status:
            raise AssertionError("see above")
        return
    code = 1
    try:
        if ctypes.CDLL(None).unshare(CLONE_NEWNET) or not os.path.exists("/dev/net/tun"):
            os._exit(77)
        tap_child()
        code = 0
    except AssertionError as why:
        print(f"# {why}", flush=True)
    finally:
        os._exit(code)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def make_tap():
    ip("tuntap", "add", "t0", "mode", "tap")
    ip("addr", "add", "10.99.0.1/24", "dev", "t0")
    ip("link", "set", "t0", "up")


def tap_child():
    with tempfile.TemporaryDirectory(prefix="mayfly-faults-") as tmp:
        make_tap()
        with Machine(tmp, NET_SCRIPT, ["--net", "tap=t0"]) as m:
            def ask(name, want, once=""):
                m.say(f"{name} {once}\n")
                m.wait(f"{name} {want}")
            m.wait("ready")
            ask("start", "good")
            time.sleep(3)
            m.check_idle(5)
            ip("link", "set", "t0", "down")
            ask("down", "bad", "once")
            ip("link", "set", "t0", "up")
            ask("up", "good")
            ip("link", "set", "t0", "mtu", "600")
            ask("mtu", "good")
            ip("link", "del", "t0")
            ask("deleted", "bad", "once")
            before = cpu_s(m.proc.pid)
            time.sleep(3)
            if cpu_s(m.proc.pid) - before > 1:
                m.fail("busy while the tap is gone")
            make_tap()
            ask("back", "good")
            m.say("end\n")
            m.end()


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


# --- pauses -----------------------------------------------------------------------------------------

FIO_SCRIPT = """mkdir -p /fio /tmp
mount -t virtiofs fio /fio || echo "fio bad"
echo 0 >/proc/sys/kernel/printk
stty -echo </dev/console
mount -t tmpfs tmpfs /tmp; cd /tmp
echo running
/fio/ld.so --library-path /fio/lib /fio/fio --name=j --filename=/dev/vda --direct=1 --ioengine=io_uring --rw=randrw \\
	--bsrange=512-64k --bs_unaligned=0 --blockalign=512 --iodepth=16 --numjobs=1 --thread --size=%(size)s --io_size=%(io)s \\
	--fsync=32 --verify=crc32c --verify_backlog=64 --verify_fatal=1 --randrepeat=0 >/tmp/out 2>&1 && echo "fio good" || { tail -c 600 /tmp/out; echo "fio bad"; }
"""


def fio_tree(tmp):
    fio = shutil.which("fio")
    if not fio:
        raise Skip("fio is missing")
    tree = os.path.join(tmp, "fio")
    os.makedirs(os.path.join(tree, "lib"))
    shutil.copy(fio, tree)
    shutil.copy("/lib64/ld-linux-x86-64.so.2", os.path.join(tree, "ld.so"))
    for path in sorted(set(re.findall(r"=> (/\S+)", subprocess.run(["ldd", fio], capture_output=True, text=True, check=True).stdout))):
        shutil.copy(path, os.path.join(tree, "lib"))
    return tree


def verified_over_pauses(keys, mib):
    with tempfile.TemporaryDirectory(prefix="mayfly-faults-", dir="/var/tmp") as tmp:
        disk = os.path.join(tmp, "disk.img")
        with open(disk, "wb") as f:
            f.truncate(32 << 20)
        script = FIO_SCRIPT % {"size": "32m", "io": f"{mib}m"}
        args = ["--disk", f"{disk},{keys}", "--fs", fio_tree(tmp) + ",tag=fio,ro"]
        with Machine(tmp, script, args, terminal=True, timeout=600) as m:
            m.wait("running")
            pauses = 0
            while not re.search(rb"fio (good|bad)", m.out[m.seen:]):
                if pauses % 3 == 2:  # the process, not the machine
                    m.proc.send_signal(signal.SIGSTOP)
                    time.sleep(0.2)
                    m.proc.send_signal(signal.SIGCONT)
                else:
                    m.say("\x01p")
                    time.sleep(0.2)
                    m.say("\x01p")
                pauses += 1
                with contextlib.suppress(AssertionError):
                    m.wait("fio (good|bad)", 0.2)
                    m.seen -= len("fio good")
                if m.proc.poll() is not None:
                    break  # what it said last is still to be read
                if pauses > 1000:
                    m.fail("does not end")
            m.wait("fio good")
            m.end()
            return f"{pauses} pauses"


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    mib = int(os.environ.get("MAYFLY_FIO_MIB", "24"))
    for engine in ("io_uring", "sync"):
        suite.check(f"tcg: host's file system full, {engine}", lambda e=engine: full(e))
        suite.check(f"tcg: file size limit, {engine}", lambda e=engine: file_limit(e))
        suite.check(f"tcg: image truncated and unlinked, {engine}", lambda e=engine: gone(e))
        suite.check(f"tcg: host's disk gives I/O errors, {engine}", lambda e=engine: io_errors(e, "none"))
    for bus in ("mmio", "pci"):
        suite.check(f"tcg: nothing to do, {bus}", lambda b=bus: idle(b))
    suite.check("tcg: tap down, deleted, made again", tap_faults)
    for keys in ("engine=io_uring,queues=1", "engine=io_uring,queues=4,cache=none", "engine=sync,queues=1",
                 "engine=sync,queues=4,cache=none"):
        suite.check(f"tcg: fio verifies over pauses, {keys}", lambda k=keys: verified_over_pauses(k, mib))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
