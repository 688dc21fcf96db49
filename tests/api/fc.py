# SPDX-License-Identifier: Apache-2.0
"""A mayfly that serves the API, a client that sees every byte, and what answers look like."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "boot"))
import payload
from harness import MAYFLY

ACCEL = os.environ.get("MAYFLY_TEST_ACCEL", "tcg")
HEAD = b"Server: Firecracker API\r\nConnection: keep-alive\r\n"
JSON_ERROR = "An error occurred when deserializing the json body of a request: "
POST_ONLY = "The requested operation is not supported before starting the microVM."
PRE_ONLY = "The requested operation is not supported after starting the microVM."


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def response(status, body=None, deprecated=False):
    """The bytes of an answer."""
    out = b"HTTP/1.1 %d \r\n" % status + HEAD + (b"Deprecation: true\r\n" if deprecated else b"")
    if body is None:
        return out + b"\r\n"
    body = body.encode() if isinstance(body, str) else body
    return out + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def fault(message, deprecated=False):
    return response(400, compact({"fault_message": message}), deprecated)


def http_error(message):
    return response(400, '{ "error": "%s\nAll previous unanswered requests will be dropped." }' % message)


DONE = response(204)


def request(method, path, body=None):
    if body is not None and not isinstance(body, (str, bytes)):
        body = compact(body)
    body = body.encode() if isinstance(body, str) else body
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n".encode()
    if body is not None:
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return head + b"\r\n" + (body or b"")


class Connection:
    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        for _ in range(1000):
            try:
                self.sock.connect(path)
                break
            except BlockingIOError:  # many wait to be accepted
                time.sleep(0.01)
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def read_response(self):
        """One whole answer; what there is if the server closes early."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return self._take(len(self.buffer))
        head_len = self.buffer.index(b"\r\n\r\n") + 4
        length = 0
        for line in self.buffer[:head_len].split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(self.buffer) < head_len + length:
            if not self._more():
                break
        return self._take(head_len + length)

    def _take(self, n):
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def at_end(self):
        """True if the server has closed it and nothing is left."""
        return not self.buffer and not self._more()

    def call(self, method, path, body=None):
        self.send(request(method, path, body))
        return self.read_response()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Server:
    """`mayfly api`, or with firecracker=True the same program under that name."""

    def __init__(self, args=(), firecracker=False, socket_path=None, wait=True, env=None, cwd=None):
        self.tmp = tempfile.mkdtemp(prefix="mayfly-api-")
        self.path = socket_path or os.path.join(self.tmp, "api.sock")
        self.files = {}
        if firecracker:
            program = os.path.join(self.tmp, "firecracker")
            os.symlink(os.path.abspath(MAYFLY), program)
            cmd = [program, "--api-sock", self.path] if socket_path != "" else [program]
        else:
            cmd = [os.path.abspath(MAYFLY), "api", "--socket", self.path]
        self.out_path = os.path.join(self.tmp, "stdout")
        self.out_file = open(self.out_path, "wb")
        self.err_path = os.path.join(self.tmp, "stderr")
        self.err_file = open(self.err_path, "wb")
        self.proc = subprocess.Popen(cmd + list(args), stdin=subprocess.DEVNULL, stdout=self.out_file,
                                     stderr=self.err_file, cwd=cwd,
                                     env={**os.environ, "MAYFLY_ACCEL": ACCEL, **(env or {})})
        if wait:
            self.wait_socket()

    def wait_socket(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                raise AssertionError(f"it ended with {self.proc.returncode}: {self.err()} {self.out()}")
            try:
                Connection(self.path).close()
                return
            except OSError:
                time.sleep(0.002)
        raise AssertionError("no API socket")

    def out(self):
        return open(self.out_path, encoding="utf-8", errors="replace").read()

    def err(self):
        return open(self.err_path, encoding="utf-8", errors="replace").read()

    def connect(self, timeout=10):
        return Connection(self.path, timeout)

    def call(self, method, path, body=None):
        with self.connect() as c:
            return c.call(method, path, body)

    def file(self, name, size=0, data=None):
        path = os.path.join(self.tmp, name)
        with open(path, "wb") as f:
            f.write(data or b"")
            if size:
                f.truncate(size)
        return path

    def kernel(self, code=payload.SPIN, name="kernel"):
        return payload.write(self.tmp, name, code)

    def boot(self, code=payload.SPIN, **boot_source):
        """The least that runs."""
        for path, body in [("/machine-config", {"vcpu_count": 1, "mem_size_mib": 32}),
                           ("/boot-source", {"kernel_image_path": self.kernel(code), **boot_source}),
                           ("/actions", {"action_type": "InstanceStart"})]:
            answer = self.call("PUT", path, body)
            if answer != DONE:
                raise AssertionError(f"PUT {path}: {answer!r}")

    def wait_out(self, text, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.out():
                return
            time.sleep(0.01)
        raise AssertionError(f"no {text!r} in {self.out()[-500:]!r}")

    def wait_end(self, seconds=20):
        try:
            return self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("it does not end") from None

    def threads(self):
        base = f"/proc/{self.proc.pid}/task"
        return sorted(open(f"{base}/{t}/comm").read().strip("\n") for t in os.listdir(base))

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.proc.pid}/fd"))

    def rss_kib(self):
        for line in open(f"/proc/{self.proc.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0

    def close(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.out_file.close()
        self.err_file.close()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
