# SPDX-License-Identifier: Apache-2.0
"""Where items run: on this host, under mayfly, under QEMU. Each is a process that serves the
benchmark program's commands (main.c) on its standard input and output."""
import os
import re
import select
import shlex
import signal
import subprocess
import time

from image import guest, initramfs

BOOT_SECONDS = 90


class Failed(Exception):
    pass


class Engine:
    """One running machine (or native process). `ask` sends a line and waits for the answer."""

    def __init__(self, name, cmd, native=False, preexec=None, env=None):
        self.name, self.native = name, native
        self.proc = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     preexec_fn=preexec, env=env, start_new_session=True)
        self.text, self.log = b"", b""

    def wait_for(self, pattern, seconds):
        end = time.monotonic() + seconds
        while True:
            hit = re.search(pattern, self.text)
            if hit:
                self.text = self.text[hit.end():]
                return hit
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.proc.stdout], [], [], left)[0]:
                raise Failed(f"no answer in {seconds:g} s; it said: {self.tail()}")
            chunk = os.read(self.proc.stdout.fileno(), 65536)
            if not chunk:
                raise Failed(f"ended: {self.tail()}")
            self.text += chunk
            self.log = (self.log + chunk)[-4000:]

    def tail(self):
        return " ".join(self.log[-300:].decode("utf-8", "replace").split())

    def ask(self, line, pattern, seconds):
        try:
            self.proc.stdin.write(line.encode() + b"\n")
            self.proc.stdin.flush()
        except OSError as ex:
            raise Failed(f"ended: {ex}; {self.tail()}") from ex
        return self.wait_for(pattern, seconds)

    def start(self):
        try:
            self.wait_for(rb"@serving\r?\n", BOOT_SECONDS)
        except Failed:
            self.stop()
            raise
        return self

    def cpu(self):
        """CPU seconds of the process, all threads, ended ones too."""
        return time.clock_gettime((~self.proc.pid << 3) | 2)

    def run(self, item, seconds):
        """Runs one item: its time by the guest's clock, by ours, CPU seconds, its result."""
        end = rb"@(done|fail) ([^\r\n]*)\r?\n"
        hit = self.ask(f"prepare {item}", rb"@(ready|fail) ([^\r\n]*)\r?\n", 2 * seconds)
        if hit[1] == b"fail":
            raise Failed(hit[2].decode())
        cpu, start = self.cpu(), time.monotonic()
        hit = self.ask("go", end, seconds)
        host, cpu = time.monotonic() - start, self.cpu() - cpu
        if hit[1] == b"fail":
            raise Failed(hit[2].decode())
        _, took, inner_cpu, result = hit[2].decode().split()
        return {"s": float(took), "host_s": host, "cpu_s": float(inner_cpu) if self.native else cpu, "result": result}

    def stop(self):
        try:
            self.proc.stdin.write(b"quit\n")
            self.proc.stdin.close()
            self.proc.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()
        self.proc.stdout.close()


def native(binary, work, cpus, root=None):
    """The program on this host, kept to as many processors as the guests have; with `root` in a
    mount namespace of its own, where /tmp is a tmpfs, with that tree as its root."""
    def settle():
        have = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, have[:cpus])

    if not root:
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
        return Engine("native", [binary, "serve"], True, settle, {"TMPDIR": shm}).start()
    r = shlex.quote(root)
    script = (f"mount -t proc proc {r}/proc && mount --bind /dev {r}/dev && mount -t tmpfs tmpfs {r}/tmp && "
              f"mkdir {r}/tmp/bench && cp {shlex.quote(binary)} {r}/tmp/bench/ && cp -r {shlex.quote(work)} {r}/tmp/bench/work && "
              f"exec chroot {r} /tmp/bench/bench serve")
    return Engine("native", ["unshare", "--mount", "sh", "-c", script], True, settle, {"PATH": os.environ["PATH"]}).start()


def mayfly(path, kernel, binary, cpus, mem, image=None, extra=()):
    line = "console=ttyS0 quiet reboot=t panic=-1" + (" bench.root" if image else "")
    cmd = [path, "run", "--accel", "tcg", "--cpus", str(cpus), "--mem", f"{mem}M", "--kernel", guest(kernel),
           "--initrd", initramfs(kernel, binary, bool(image)), "--cmdline", line, "--no-reboot"]
    if image:
        cmd += ["--disk", f"{image},ro"]
    return Engine("mayfly", cmd + list(extra)).start()


def qemu(kernel, binary, cpus, mem, image=None):
    """-M microvm, TCG. Its guest calibrates the TSC against the PIT, which fails on a busy host and leaves
    it waiting forever; so the kernel is told the frequency, which is the host's, and to trust the counter."""
    khz = subprocess.run([binary, "tsc"], capture_output=True, text=True, check=True).stdout.strip()
    line = f"console=ttyS0 quiet reboot=t panic=-1 tsc=reliable tsc_early_khz={khz}" + (" bench.root" if image else "")
    cmd = ["qemu-system-x86_64", "-M", "microvm", "-accel", "tcg", "-cpu", "max", "-smp", str(cpus), "-m", str(mem),
           "-kernel", guest(kernel), "-initrd", initramfs(kernel, binary, bool(image)), "-append", line,
           "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio", "-no-reboot"]
    if image:
        cmd += ["-drive", f"id=root,if=none,format=raw,readonly=on,file.locking=off,file.filename={image}",
                "-device", "virtio-blk-device,drive=root"]
    return Engine("qemu", cmd).start()
