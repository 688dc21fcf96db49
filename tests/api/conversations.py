# SPDX-License-Identifier: Apache-2.0
"""What programs that drive Firecracker say to it, replayed: the order, the bodies and the waits are theirs."""
import json
import os
import signal
import socket
import stat
import subprocess
import time

from fc import DONE, Connection, Server, compact, response
import payload
from harness import MAYFLY, Skip

BUSY = payload.print_text("up.\n") + payload.SPIN


def must(got, want, what):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, expected {want!r}")


def ready(path, method="/machine-config", seconds=20):
    """Every 10 ms: is the socket there, and does it answer?"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                with Connection(path, 0.5) as c:
                    if c.call("GET", method).startswith(b"HTTP/1.1 200 "):
                        return
        except OSError:
            pass
        time.sleep(0.01)
    raise AssertionError("not ready in time")


def go_sdk():
    """firecracker-go-sdk, as firecracker-containerd and others use it: FIFOs for log and metrics, one keep-alive
    connection."""
    with Server(["--id", "sdk-1"], firecracker=True, wait=False) as s:
        log, disk = os.path.join(s.tmp, "log.fifo"), s.file("rootfs", 4096)
        os.mkfifo(log)
        reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        ready(s.path)
        with s.connect() as c:
            for method, path, body in [
                    ("PUT", "/logger", {"level": "Debug", "log_path": log, "show_level": True, "show_log_origin": False}),
                    ("PUT", "/machine-config", {"mem_size_mib": 32, "smt": False, "track_dirty_pages": False, "vcpu_count": 2}),
                    ("PUT", "/boot-source", {"boot_args": "console=ttyS0 reboot=k panic=1 pci=off nomodules rw",
                                             "kernel_image_path": s.kernel(BUSY)}),
                    ("PUT", "/drives/1", {"drive_id": "1", "is_read_only": False, "is_root_device": True, "path_on_host": disk}),
                    ("PUT", "/actions", {"action_type": "InstanceStart"})]:
                must(c.call(method, path, body), DONE, path)
            must(json.loads(c.call("GET", "/").split(b"\r\n\r\n")[1])["state"], "Running", "state")
            must(c.call("PATCH", "/vm", {"state": "Paused"}), DONE, "pause")
            must(c.call("PATCH", "/vm", {"state": "Resumed"}), DONE, "resume")
            must(c.call("PUT", "/actions", {"action_type": "SendCtrlAltDel"}), DONE, "Ctrl-Alt-Del")
        s.wait_out("up.")
        s.proc.send_signal(signal.SIGTERM)
        must(s.wait_end(5), -signal.SIGTERM, "end")
        text = os.read(reader, 1 << 20).decode()
        os.close(reader)
        for want in ['[sdk-1:fc_api:INFO] The API server received a Put request on "/machine-config" with body "{',
                     "[sdk-1:fc_api:INFO] The request was executed successfully. Status code: 204 No Content."]:
            if want not in text:
                raise AssertionError(f"the log lacks {want!r}: {text[:600]!r}")


def kata_go():
    """Kata's Go runtime: version, a configuration file, GET / every 10 ms, placeholders patched, TERM."""
    with Server(firecracker=True, wait=False) as s:
        s.close()
    out = subprocess.run([MAYFLY, "version"], capture_output=True, text=True, timeout=10).stdout
    word, version = out.splitlines()[0].split()
    assert word == "mayfly" and version.startswith("v"), out
    with Server(wait=False, args=["--id", "unused-here"]) as probe:
        tmp, kernel = probe.tmp, probe.kernel(BUSY)
        program = os.path.join(tmp, "firecracker")
        os.symlink(os.path.abspath(MAYFLY), program)
        out = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10).stdout
        must(out, "Firecracker v1.17.0-dev\n\n", "--version")
        drives = [{"drive_id": "rootfs", "path_on_host": probe.file("root.img", 8192), "is_root_device": False,
                   "is_read_only": True, "cache_type": "Unsafe", "io_engine": "Sync"}]
        for i in range(8):
            drives.append({"drive_id": f"drive_{i}", "path_on_host": probe.file(f"drive_{i}"), "is_root_device": False,
                           "is_read_only": False})
        config = {"boot-source": {"kernel_image_path": kernel, "boot_args": "pci=off acpi=off reboot=k panic=1"},
                  "machine-config": {"vcpu_count": 1, "mem_size_mib": 32, "smt": False}, "drives": drives,
                  "vsock": {"guest_cid": 3, "uds_path": os.path.join(tmp, "kata.hvsock"), "vsock_id": "root"},
                  "logger": {"log_path": os.path.join(tmp, "log"), "level": "Debug"}}
        path = probe.file("fcConfig.json", data=json.dumps(config, indent=1).encode())
        hot = probe.file("layer.img", 1 << 20)
        with Server(["--id", "kata-1", "--config-file", path], firecracker=True, wait=False) as s:
            ready(s.path, "/")
            os.chmod(config["vsock"]["uds_path"], 0o660)  # it is there as soon as the API answers
            s.wait_out("up.")
            names = s.threads()
            assert "fc_vcpu 0" in names, names
            for i in (0, 3):
                must(s.call("PATCH", f"/drives/drive_{i}", {"drive_id": f"drive_{i}", "path_on_host": hot if i else
                                                            probe.file("other.img", 4096)}), DONE, f"drive_{i}")
            s.proc.send_signal(signal.SIGTERM)
            began = time.monotonic()
            must(s.wait_end(5), -signal.SIGTERM, "end")
            assert time.monotonic() - began < 2, "TERM is not immediate"
            assert "kata-1:fc_api" in open(config["logger"]["log_path"], encoding="utf-8").read()


def kata_rs():
    """Kata's runtime-rs: requests only, on connections of their own, tried again for 5 s; null limits; KILL."""
    with Server(firecracker=True, wait=False) as s:
        def ask(method, path, body):
            for _ in range(500):
                try:
                    if s.call(method, path, body) in (DONE, response(204, deprecated=True)):
                        return
                except OSError:
                    pass
                time.sleep(0.01)
            raise AssertionError(f"{method} {path}: no luck")
        ask("PUT", "/boot-source", {"kernel_image_path": s.kernel(BUSY), "boot_args": "reboot=k panic=1 pci=off"})
        ask("PUT", "/machine-config", {"mem_size_mib": 32, "vcpu_count": 1})
        ask("PUT", "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": s.file("root", 4096), "is_root_device": False,
                                      "is_read_only": True})
        for i in range(1, 6):
            ask("PUT", f"/drives/drive{i}", {"drive_id": f"drive{i}", "path_on_host": s.file(f"d{i}"), "is_root_device": False,
                                             "is_read_only": False})
        ask("PUT", "/vsock", {"guest_cid": 3, "uds_path": os.path.join(s.tmp, "kata.hvsock"), "vsock_id": "root"})
        ask("PUT", "/actions", {"action_type": "InstanceStart"})
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(os.path.join(s.tmp, "kata.hvsock"))
        limits = {"bandwidth": {"size": 1 << 20, "one_time_burst": 0, "refill_time": 1000}, "ops": None}
        ask("PATCH", "/drives/drive1", {"drive_id": "drive1", "path_on_host": s.file("layer", 4096), "rate_limiter": limits})
        ask("PATCH", "/drives/drive2", {"drive_id": "drive2", "path_on_host": s.file("layer2", 4096),
                                        "rate_limiter": {"bandwidth": None, "ops": None}})
        s.wait_out("up.")
        s.proc.kill()
        must(s.wait_end(5), -signal.SIGKILL, "end")


def flintlock():
    """flintlock: everything from a configuration file, no API, a boot timer; the guest ends it."""
    with Server(["--id", "unused"], wait=False) as probe:
        config = {"boot-source": {"kernel_image_path": probe.kernel(payload.print_text("up.\n") + payload.RESET_KEYBOARD),
                                  "boot_args": "console=ttyS0 reboot=k", "initrd_path": None},
                  "drives": [{"drive_id": "root", "path_on_host": probe.file("root", 4096), "is_root_device": True,
                              "is_read_only": False, "cache_type": "Unsafe"}],
                  "machine-config": {"vcpu_count": 1, "mem_size_mib": 32, "smt": False, "track_dirty_pages": False},
                  "something-newer": {"ignored": True}}
        path = probe.file("firecracker.cfg", data=json.dumps(config).encode())
        with Server(["--id", "uid-1", "--boot-timer", "--no-api", "--config-file", path], firecracker=True, wait=False) as s:
            must(s.wait_end(20), 0, "exit code")
            assert "up." in s.out() and "Firecracker exiting successfully. exit_code=0" in s.out(), s.out()
            assert not os.path.exists(s.path), "a socket in spite of --no-api"


def curl():
    with Server() as s:
        def ask(*args):
            cmd = ["curl", "-sS", "-i", "--unix-socket", s.path, *args]
            try:
                return subprocess.run(cmd, capture_output=True, timeout=20, check=True).stdout
            except FileNotFoundError:
                raise Skip("no curl") from None
        must(ask("http://localhost/version"), response(200, '{"firecracker_version":"0.1.0"}'), "GET")
        must(ask("-X", "PUT", "http://localhost/machine-config", "-d", compact({"vcpu_count": 1, "mem_size_mib": 32})), DONE, "PUT")
        big = compact({"level": "Error", "module": "x" * 40000})  # curl asks for a 100 first
        got = ask("-X", "PUT", "http://localhost/logger", "-H", "Expect: 100-continue", "-d", big)
        assert got.startswith(b"HTTP/1.1 100 \r\n") and got.endswith(DONE), got
        got = ask("-T", "-", "-X", "PUT", "http://localhost/logger")  # sends chunks
        assert got.startswith(b"HTTP/1.1 400 "), got


class UnixConnection:
    """http.client and requests over a Unix socket."""

    @staticmethod
    def http(path):
        import http.client

        class Unix(http.client.HTTPConnection):
            def connect(self):
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.connect(path)
        return Unix("localhost")


def python_clients():
    with Server() as s:
        c = UnixConnection.http(s.path)
        for _ in range(3):
            c.request("GET", "/machine-config")
            answer = c.getresponse()
            must((answer.status, json.loads(answer.read())["vcpu_count"]), (200, 1), "http.client")
        c.request("PUT", "/machine-config", body=compact({"vcpu_count": 2, "mem_size_mib": 64}))
        answer = c.getresponse()
        must((answer.status, answer.read()), (204, b""), "PUT")
        c.close()
        try:
            import requests
            from requests.adapters import HTTPAdapter
            from urllib3.connection import HTTPConnection
            from urllib3.connectionpool import HTTPConnectionPool
        except ImportError:
            return "without requests"

        class Unix(HTTPConnection):
            def connect(self):
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.connect(s.path)

        class Pool(HTTPConnectionPool):
            def _new_conn(self):
                return Unix("localhost")

        class Adapter(HTTPAdapter):
            def get_connection(self, url, proxies=None):
                return Pool("localhost")

            def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
                return Pool("localhost")
        session = requests.Session()
        session.mount("http://", Adapter())
        answer = session.get("http://localhost/machine-config")
        must((answer.status_code, answer.json()["mem_size_mib"]), (200, 64), "requests")
        answer = session.patch("http://localhost/machine-config", json={"smt": "no"})
        must(answer.status_code, 400, "requests")
        assert "invalid type" in answer.json()["fault_message"]
        return "with requests " + requests.__version__


CASES = [("conversation of firecracker-go-sdk", go_sdk), ("conversation of Kata (Go)", kata_go),
         ("conversation of Kata (runtime-rs)", kata_rs), ("conversation of flintlock", flintlock), ("client: curl", curl),
         ("client: Python", python_clients)]
