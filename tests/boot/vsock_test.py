#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connections between programs of a stock guest and of the host (--vsock). usage: vsock_test.py [--accel tcg|kvm] [REGEX]

The guest's program is guest/stream.c. This process is the host's side: its services listen at PATH_PORT, and it connects
to PATH for the guest's.
"""
import argparse
import os
import socket
import stat
import struct
import sys
import tempfile
import threading
import time

from harness import ROOT, Skip, Suite, expect, guest, run  # noqa: F401
from smp_test import BAD, run_script

MODULES = ["vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"]
ECHO, NOBODY, SHY = 5000, 5001, 5002  # ports of the host's services
GUEST_PORT = 6000
TIMEOUT_S = 100


def pattern(seed, n):
    """As in stream.c."""
    mask, out = (1 << 64) - 1, bytearray()
    for i in range((n + 7) // 8):
        x = (i * 0x9e3779b97f4a7c15 + seed * 0xbf58476d1ce4e5b9) & mask
        out += (x ^ x >> 29).to_bytes(8, "little")
    return bytes(out[:n])


def summed(total, data):
    for b in data:
        total = (total * 31 + b) & ((1 << 64) - 1)
    return total


def serve(conn):
    """What stream.c expects of a service: the first byte says which."""
    with conn:
        conn.settimeout(TIMEOUT_S)
        what = conn.recv(1)
        if what == b"e":
            while data := conn.recv(1 << 16):
                conn.sendall(data)
        elif what == b"s":
            total = count = 0
            while data := conn.recv(1 << 16):
                total, count = summed(total, data), count + len(data)
            conn.sendall(struct.pack("<QQ", total, count))


class Service:
    """A listening socket; a thread for each connection."""

    def __init__(self, path, handler=serve):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(path)
        self.sock.listen(16)  # fewer than come at once: mayfly tries again
        self.handler = handler
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            try:
                conn = self.sock.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.guarded, args=(conn,), daemon=True).start()

    def guarded(self, conn):
        try:
            self.handler(conn)
        except OSError:
            pass

    def close(self):
        self.sock.close()


def connect(path, port, service, deadline):
    """A connection to the guest's service; asks again while nobody listens there yet."""
    while time.monotonic() < deadline:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(TIMEOUT_S)
        try:
            s.connect(path)
            s.sendall(b"CONNECT %d\n" % port)
            line = b""
            while not line.endswith(b"\n"):
                c = s.recv(1)
                if not c:
                    break
                line += c
            if line.startswith(b"OK "):
                s.sendall(service)
                return s
        except (ConnectionError, FileNotFoundError):
            pass
        s.close()
        time.sleep(0.05)
    raise AssertionError(f"no connection to the guest's port {port}")


class Host(threading.Thread):
    """Runs fn(path) beside the guest and keeps what it returns or raises."""

    def __init__(self, fn, path):
        super().__init__(daemon=True)
        self.fn, self.path, self.error, self.value = fn, path, None, None
        self.start()

    def run(self):
        try:
            self.value = self.fn(self.path)
        except Exception as why:  # pylint: disable=broad-except
            self.error = why
        try:  # the guest waits for it
            connect(self.path, GUEST_PORT, b"q", time.monotonic() + 5).close()
        except (AssertionError, OSError):
            pass


def echo_all(path, n, size):
    """n connections at once, all of them open before data flow; returns how many came back right."""
    deadline = time.monotonic() + TIMEOUT_S
    conns = [connect(path, GUEST_PORT, b"e", deadline) for _ in range(n)]
    right = []

    def one(i, s):
        data, got = pattern(i, size), b""
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        while chunk := s.recv(1 << 16):
            got += chunk
        sender.join(TIMEOUT_S)
        if got == data:
            right.append(i)
        s.close()

    threads = [threading.Thread(target=one, args=(i, s), daemon=True) for i, s in enumerate(conns)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(max(0, deadline - time.monotonic()))
    return len(right)


def host_side(path, n, size):
    deadline = time.monotonic() + TIMEOUT_S
    s = connect(path, GUEST_PORT, b"s", deadline)  # half-closed: the answer comes after our end
    data = pattern(3, 300001)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    answer = b""
    while chunk := s.recv(64):
        answer += chunk
    if answer != struct.pack("<QQ", summed(0, data), len(data)):
        raise AssertionError(f"half-closed: answer {answer.hex()}")
    s.close()
    s = connect(path, GUEST_PORT, b"g", deadline)  # we stop in the middle of a stream
    s.recv(100000)
    s.close()
    if (right := echo_all(path, n, size)) != n:
        raise AssertionError(f"echo: {right} of {n} came back right")


def guest_talks(accel, kernel, cpus, bus, n, size):
    with tempfile.TemporaryDirectory(prefix="mayfly-vsock-") as tmp:
        path = os.path.join(tmp, "v.sock")
        services = [Service(f"{path}_{ECHO}"), Service(f"{path}_{SHY}", lambda c: (c.recv(1), c.close()))]
        script = f"""stream serve vsock {GUEST_PORT} &
stream many host {ECHO} {n} {size} || exit 1
stream many host {ECHO} 1 3000001 || exit 1
stream half host {ECHO} 700001 || exit 1
STREAM_BUFFER=16384 stream half host {ECHO} 700001 || exit 1
stream refused host {NOBODY} || exit 1
stream refused 7 {ECHO} || exit 1
stream late host {SHY} || exit 1
wait
grep -o 'vsock.*' /proc/modules | head -1
"""
        host = Host(lambda p: host_side(p, n, size), path)
        modules = MODULES + (["virtio_pci"] if bus == "pci" and kernel.endswith("6.1") else [] if bus == "pci" else ["virtio_mmio"])
        res = run_script(kernel, cpus, script, ["stream"], timeout=TIMEOUT_S, modules=modules, extra=[
            "--net", "none", "--bus", bus, "--accel", accel, "--vsock", f"3,uds={path}"])
        host.join(5)
        for s in services:
            s.close()
        if host.error:
            raise AssertionError(f"host: {host.error}\n" + res.tail())
        expect(res, code=0, out=[rf"many: {n} connections of {size} bytes each way, 0 unfinished, 0 wrong",
                                 r"many: 1 connections of 3000001 bytes each way, 0 unfinished, 0 wrong",
                                 r"(?s)half: answer 16 bytes, sum right, count right, then 0.*half: answer 16 bytes, sum right",
                                 r"refused: Connection reset.* after [01]\.",
                                 r"late: read 0", r"script ended with 0"], not_out=BAD)
        if os.path.exists(path):
            raise AssertionError("the socket is still there at the end")


def socket_is_ours():
    """The path: what is there is kept, a link is not followed, another one's file is not removed."""
    with tempfile.TemporaryDirectory(prefix="mayfly-vsock-") as tmp:
        path, target = os.path.join(tmp, "v.sock"), os.path.join(tmp, "target")
        base = ["run", "--accel", "tcg", "--net", "none", "--kernel", guest("cloud-6.1"), "--timeout", "1s"]
        with open(path, "w") as f:
            f.write("precious")
        expect(run([*base, "--vsock", f"3,uds={path}"]), code=3, err=r"v\.sock: something with that name exists")
        if open(path).read() != "precious":
            raise AssertionError("the file was changed")
        os.unlink(path)
        os.symlink(target, path)
        expect(run([*base, "--vsock", f"3,uds={path}"]), code=3, err=r"something with that name exists")
        if os.path.exists(target) or not os.path.islink(path):
            raise AssertionError("the link was followed or replaced")
        os.unlink(path)
        seen = []

        def swap():
            for _ in range(200):
                if os.path.exists(path):
                    seen.append(os.lstat(path))
                    os.rename(path, path + ".old")
                    with open(path, "w") as f:
                        f.write("another one's")
                    return
                time.sleep(0.01)
        t = threading.Thread(target=swap)
        t.start()
        expect(run([*base, "--vsock", f"3,uds={path}"]), code=124)
        t.join()
        if not seen or not stat.S_ISSOCK(seen[0].st_mode) or not os.path.exists(path):
            raise AssertionError("the socket was not there, or what came in its place was removed")
        expect(run([*base, "--vsock", f"3,uds={tmp}/none/v"]), code=3, err=r"none/v: No such file", )
        expect(run([*base, "--vsock", f"2,uds={tmp}/w"]), code=3, err=r"CID 2 is not one for a guest")
        longest = os.path.join(tmp, "x" * (107 - len("_4294967295") - len(tmp) - 1))  # the name of every port fits
        expect(run([*base, "--vsock", f"3,uds={longest}"]), code=124)
        expect(run([*base, "--vsock", f"3,uds={longest}x"]), code=3, err=r"must have 1 to 96 bytes .*use a shorter one")
        expect(run([*base, "--vsock", "3"]), code=2, err=r"no path is given")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--accel", default="tcg", choices=("tcg", "kvm"))
    p.add_argument("only", nargs="?")
    a = p.parse_args()
    suite = Suite(a.only)
    suite.check("vsock: the socket's file", socket_is_ours)
    for kernel, cpus, bus in (("cloud-6.1", 1, "mmio"), ("cloud-6.12", 2, "pci"), ("cloud-6.12", 1, "mmio"), ("cloud-6.1", 2, "pci")):
        suite.check(f"vsock: {kernel}, {cpus} vCPU, {bus}: 200 connections each way, half-closed ones, refusals",
                    lambda k=kernel, c=cpus, b=bus: guest_talks(a.accel, k, c, b, 200, 20000))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
