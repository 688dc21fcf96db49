#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The static build: small, without libraries, and it boots. usage: static_test.py [REGEX]
$MAYFLY_STATIC names the program (build-static/vmm/mayfly)."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from harness import ROOT, Skip, Suite, guest, initrd

STATIC = os.environ.get("MAYFLY_STATIC", os.path.join(ROOT, "build-static", "vmm", "mayfly"))
MAX_BYTES = 2 << 20


def needed():
    if not os.path.exists(STATIC):
        raise Skip(f"{STATIC} was not built")


def is_small_and_static():
    needed()
    headers = subprocess.run(["readelf", "-lhd", STATIC], check=True, capture_output=True, text=True).stdout
    assert "INTERP" not in headers and "(NEEDED)" not in headers, headers
    assert re.search(r"Type: +DYN", headers), "not position-independent"
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "mayfly")
        subprocess.run(["strip", "-o", out, STATIC], check=True)
        size = os.path.getsize(out)
        assert size <= MAX_BYTES, f"{size} bytes"
        version = subprocess.run([out, "version"], check=True, capture_output=True, text=True).stdout
        assert re.match(r"mayfly v\d", version), version
    return f"{size} bytes stripped"


def boots():
    needed()
    res = subprocess.run([STATIC, "run", "--accel", "tcg", "--mem", "256M", "--net", "none", "--timeout", "60s", "--kernel",
                          guest("cloud-6.1"), "--", "uname", "-s"], stdin=subprocess.DEVNULL, capture_output=True, timeout=90)
    assert (res.returncode, res.stdout, res.stderr) == (0, b"Linux\n", b""), res


def ends_though_nobody_reads():
    """The console's writer waits for a reader for ever: cancelling it needs the unwind tables that vmm/static.ld keeps."""
    needed()
    reader, writer = os.pipe()
    try:
        res = subprocess.run([STATIC, "run", "--accel", "tcg", "--mem", "256M", "--net", "none", "--timeout", "5s", "--kernel",
                              guest("cloud-6.1"), "--", "yes", "x" * 60], stdin=subprocess.DEVNULL, stdout=writer,
                             stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(reader)
        os.close(writer)
    assert res.returncode == 124 and b"nobody read them" in res.stderr, res


def put(path, resource, body):
    """A request to the API; the status."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        text = json.dumps(body)
        s.sendall(f"PUT {resource} HTTP/1.1\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        return int(s.recv(4096).split()[1])


def boots_in_a_jail():
    """As jailer starts a firecracker: no /proc, no /dev/null, another user, the API on a socket in the jail."""
    needed()
    if os.geteuid():
        raise Skip("needs root")
    with tempfile.TemporaryDirectory() as tmp:
        for name in ("firecracker", "jailer"):
            shutil.copy(STATIC, os.path.join(tmp, name))
        os.chmod(tmp, 0o755)
        jail = os.path.join(tmp, "jails", "firecracker", "t1", "root")
        os.mkdir(os.path.join(tmp, "jails"))
        proc = subprocess.Popen([os.path.join(tmp, "jailer"), "--id", "t1", "--exec-file", os.path.join(tmp, "firecracker"),
                                 "--uid", "4242", "--gid", "4242", "--chroot-base-dir", os.path.join(tmp, "jails"), "--",
                                 "--api-sock", "/run/api.sock"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            api, end = os.path.join(jail, "run", "api.sock"), time.monotonic() + 20
            while not os.path.exists(api) and proc.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
            for source, name in ((guest("cloud-6.1"), "vmlinuz"), (initrd("cloud-6.1"), "initrd")):
                shutil.copyfile(source, os.path.join(jail, name))
                os.chmod(os.path.join(jail, name), 0o644)
            for resource, body in (
                    ("/boot-source", {"kernel_image_path": "/vmlinuz", "initrd_path": "/initrd",
                                      "boot_args": "console=ttyS0 reboot=k panic=1 mayfly.reboot"}),
                    ("/machine-config", {"vcpu_count": 1, "mem_size_mib": 256}),
                    ("/actions", {"action_type": "InstanceStart"})):
                assert put(api, resource, body) == 204, resource
            out = proc.communicate(timeout=90)[0].decode("utf-8", "replace")
        finally:
            proc.kill()
            proc.wait()
    assert proc.returncode == 0 and "mayfly-init: userspace reached" in out, (proc.returncode, out[-400:])


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    suite.check("static: at most 2 MiB, no libraries", is_small_and_static)
    suite.check("static: boots", boots)
    suite.check("static: ends though nobody reads its output", ends_though_nobody_reads)
    suite.check("static: boots in a jail, as firecracker", boots_in_a_jail)
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
