# SPDX-License-Identifier: Apache-2.0
"""A guest that the API alone describes, starts and changes, and that a test talks to over vsock.

    with ApiGuest("cloud-6.12", "pci", taps=["tap0"]) as g:
        g.put("/drives/a", {...})        # raises unless the answer is 204
        g.start()                        # InstanceStart, until the guest's agent answers
        g.sh("cat /proc/partitions")     # runs in the guest, over vsock
"""
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

from harness import ROOT, Skip, guest
from smp_test import build as build_program

sys.path.insert(0, os.path.join(ROOT, "tests", "api"))
from fc import DONE, Server  # noqa: E402

PORT = 7000
DRIVERS = ["virtio_blk", "virtio_net", "vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport",
           "virtio_balloon", "virtio_rng", "virtio_pmem", "nd_pmem", "virtio_mem"]
SCRIPT = f"""#!/bin/sh
mount -t tmpfs -o size=95% none /tmp
ip link set lo up
echo guest-is-up
exec agent serve {PORT}
"""


def modules(kernel, bus):
    """The drivers a guest needs that its kernel does not have built in."""
    return ([] if bus == "pci" and kernel == "cloud-6.12" else ["virtio_" + bus]) + DRIVERS


def make_initrd(tmp, kernel, bus, agent):
    script, out = os.path.join(tmp, "script"), os.path.join(tmp, "initrd")
    with open(script, "w", encoding="ascii") as f:
        f.write(SCRIPT)
    cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
    cmd += [x for m in modules(kernel, bus) for x in ("--module", m)]
    subprocess.run(cmd + ["--add", agent + ":/bin/agent", "--script", script, out], check=True, capture_output=True)
    return out


def enter_namespace(taps):
    """Runs the calling script again in a network namespace that has these taps; once."""
    if os.environ.get("MAYFLY_TEST_NETNS"):
        return
    lines = ["ip link set lo up"]
    for i, tap in enumerate(taps):
        lines += [f"ip tuntap add {tap} mode tap", f"ip addr add 10.{i}.0.1/24 dev {tap}", f"ip link set {tap} up"]
    for unshare in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        if subprocess.run(unshare + ["sh", "-c", " && ".join(lines)], capture_output=True).returncode == 0:
            os.environ["MAYFLY_TEST_NETNS"] = "1"
            os.execvp("unshare", unshare + ["sh", "-c", " && ".join(lines) + ' && exec "$@"', "sh", sys.executable] + sys.argv)


class ApiGuest:
    def __init__(self, kernel, bus="mmio", mem=512, cpus=2, taps=(), accel="tcg", args=()):
        if taps and not os.environ.get("MAYFLY_TEST_NETNS"):
            raise Skip("no network namespace with a tap")
        self.server = Server(["--bus", bus, *args], env={"MAYFLY_ACCEL": accel})
        self.tmp, self.bus, self.proc = self.server.tmp, bus, self.server.proc
        self.uds = os.path.join(self.tmp, "v.sock")
        try:
            agent = build_program("agent", self.tmp)
            self.put("/machine-config", {"vcpu_count": cpus, "mem_size_mib": mem})
            self.put("/boot-source", {"kernel_image_path": guest(kernel),
                                      "initrd_path": make_initrd(self.tmp, kernel, bus, agent),
                                      "boot_args": "console=ttyS0 quiet panic=-1 reboot=k memhp_default_state=online_movable"})
            self.put("/vsock", {"guest_cid": 3, "uds_path": self.uds})
        except BaseException:
            self.server.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    def call(self, method, path, body=None):
        """(status, parsed JSON or None)"""
        answer = self.server.call(method, path, body)
        head, _, rest = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0, json.loads(rest) if rest else None

    def done(self, method, path, body=None):
        answer = self.server.call(method, path, body)
        if answer.replace(b"Deprecation: true\r\n", b"") != DONE:
            raise AssertionError(f"{method} {path} {body}: {answer!r}")

    def put(self, path, body):
        self.done("PUT", path, body)

    def patch(self, path, body):
        self.done("PATCH", path, body)

    def delete(self, path):
        self.done("DELETE", path)

    def get(self, path):
        status, body = self.call("GET", path)
        if status != 200:
            raise AssertionError(f"GET {path}: {status} {body}")
        return body

    def refused(self, method, path, body, want):
        status, got = self.call(method, path, body)
        if status != 400 or not re.search(want, got["fault_message"]):
            raise AssertionError(f"{method} {path} {body}: {status} {got}, expected {want!r}")

    def start(self, seconds=60):
        self.put("/actions", {"action_type": "InstanceStart"})
        end = time.monotonic() + seconds
        while True:
            try:
                return self.sh("true", 5)
            except (OSError, EOFError) as why:
                if time.monotonic() > end or self.proc.poll() is not None:
                    raise AssertionError(f"the guest's agent does not answer ({why}): {self.server.out()[-600:]!r} "
                                         f"{self.server.err()[-300:]!r}") from None
                time.sleep(0.05)

    def open_raw(self, timeout=60):
        """A connection that the guest's agent has not accepted yet."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(self.uds)
        s.sendall(b"CONNECT %d\n" % PORT)
        return s

    def open(self, line, timeout=60):
        """A connection on which the guest's agent runs the line."""
        s, answer = self.open_raw(timeout), b""
        while not answer.endswith(b"\n"):
            c = s.recv(1)
            if not c:
                s.close()
                raise EOFError("nobody listens")
            answer += c
        s.sendall(line.encode() + b"\0")
        return s

    @staticmethod
    def finish(s, line, code=0):
        out = b""
        with s:
            while chunk := s.recv(65536):
                out += chunk
        text, mark, status = out.decode("utf-8", "replace").rpartition("@@ ")
        if not mark:
            raise EOFError(f"{line!r}: no answer")
        if int(status) != code:
            raise AssertionError(f"{line!r} ended with {status.strip()}: {text[-600:]!r}")
        return text

    def sh(self, line, timeout=60, code=0):
        return self.finish(self.open(line, timeout), line, code)

    def timed(self, line, timeout=60):
        start = time.monotonic()
        self.sh(line, timeout)
        return time.monotonic() - start

    def until(self, what, condition, timeout=30):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout} s: {what()}")
            time.sleep(0.1)

    def sound(self):
        self.sh("! dmesg | grep -E 'BUG:|WARNING:|Oops|soft lockup|I/O error'")

    def cpu_s(self):
        """Processor time of the monitor, guest included."""
        with open(f"/proc/{self.proc.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def listen(self, port):
        """Takes what the guest sends to this port; g.poured counts bytes."""
        s = socket.socket(socket.AF_UNIX)
        s.bind(f"{self.uds}_{port}")
        s.listen(16)
        self.poured = 0

        def take():
            while True:
                with s.accept()[0] as conn:
                    while chunk := conn.recv(1 << 20):
                        self.poured += len(chunk)
        threading.Thread(target=take, daemon=True).start()

    def file(self, name, size=0, data=b""):
        return self.server.file(name, size, data)

    def power_off(self, seconds=30):
        try:
            self.sh("poweroff -f", 10)
        except (OSError, EOFError):
            pass
        code = self.server.wait_end(seconds)
        if code:
            raise AssertionError(f"ended with {code}: {self.server.err()[-600:]}")
