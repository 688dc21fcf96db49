#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GET /events and `mayfly ctl SOCKET events`: what is told, to whom, and what slow or many clients get.
usage: events_test.py [REGEX]"""
import datetime
import json
import os
import signal
import socket
import subprocess
import sys
import time

from fc import DONE, Server, request
from harness import MAYFLY, Skip, Suite
import payload

HEAD = b"HTTP/1.1 200 \r\nServer: Firecracker API\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n\r\n"
MAX_WATCHERS = 64


class Watcher:
    """A client that reads when it is told to."""

    def __init__(self, server, timeout=10, head=True):
        self.connection = server.connect(timeout)
        self.connection.send(request("GET", "/events"))
        self.data = b""
        while head and len(self.data) < len(HEAD):
            more = self.connection.sock.recv(len(HEAD) - len(self.data))
            assert more, self.data
            self.data += more
        assert not head or self.data == HEAD, self.data
        self.data = b""

    def events(self, until=None):
        """Those up to the named one, or to the end."""
        out = []
        while True:
            line, nl, rest = self.data.partition(b"\n")
            if nl:
                self.data = rest
                out.append(json.loads(line))
                if out[-1]["event"] == until:
                    return out
                continue
            more = self.connection.sock.recv(65536)
            if not more:
                assert not self.data, self.data
                return out
            self.data += more

    def close(self):
        self.connection.close()


def told(events):
    """Without numbers and times, which are checked."""
    times = [datetime.datetime.fromisoformat(e["time"].replace("Z", "+00:00")) for e in events]
    now = datetime.datetime.now(datetime.timezone.utc)
    assert all(e["time"].endswith("Z") for e in events) and times == sorted(times), events
    assert all(now - datetime.timedelta(seconds=120) < t <= now for t in times), (now, times)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1)), events
    return [{k: v for k, v in e.items() if k not in ("seq", "time")} for e in events]


def life():
    with Server() as s:
        curl = subprocess.Popen(["curl", "-sN", "--unix-socket", s.path, "http://localhost/events"], stdout=subprocess.PIPE,
                                bufsize=0)
        early, one, two = Watcher(s), s.file("one", 4096), s.file("two", 8192)
        limits = {"ops": {"size": 10, "refill_time": 100}}
        s.call("PUT", "/drives/root", {"drive_id": "root", "is_root_device": False, "path_on_host": one})
        s.call("PUT", "/balloon", {"amount_mib": 0, "deflate_on_oom": True})
        s.call("PUT", "/entropy", {})
        s.boot()
        for method, path, body in [
                ("PATCH", "/drives/root", {"drive_id": "root", "path_on_host": two}),
                ("PATCH", "/drives/root", {"drive_id": "root", "rate_limiter": limits}),
                ("PATCH", "/balloon", {"amount_mib": 4}),
                ("PATCH", "/vm", {"state": "Paused"}), ("PATCH", "/vm", {"state": "Paused"}),
                ("PATCH", "/vm", {"state": "Resumed"}), ("PUT", "/actions", {"action_type": "SendCtrlAltDel"})]:
            assert s.call(method, path, body) == DONE, path
        assert s.call("PATCH", "/drives/root", {"drive_id": "root", "path_on_host": "/no/such"}) != DONE
        late = Watcher(s)
        ctl = subprocess.Popen([MAYFLY, "ctl", s.path, "events"], stdout=subprocess.PIPE, bufsize=0)
        first, curled = [ctl.stdout.readline()], [curl.stdout.readline()]  # both are connected then
        s.proc.send_signal(signal.SIGTERM)
        want = [
            {"event": "starting"},
            {"event": "device_attached", "id": "root", "type": "virtio-blk"},
            {"event": "device_attached", "id": "rng", "type": "virtio-rng"},
            {"event": "device_attached", "id": "balloon", "type": "virtio-balloon"},
            {"event": "running"},
            {"event": "device_changed", "id": "root", "what": "image"},
            {"event": "device_changed", "id": "root", "what": "limits"},
            {"event": "device_changed", "id": "balloon", "what": "target"},
            {"event": "paused"}, {"event": "resumed"}, {"event": "shutdown_asked", "by": "ctrl_alt_del"},
            {"event": "exit", "code": 128 + signal.SIGTERM}]
        for name, events in (("early", early.events()), ("late", late.events()),
                             ("curl", [json.loads(line) for line in curled + curl.communicate(timeout=20)[0].splitlines()]),
                             ("ctl", [json.loads(line) for line in first + ctl.communicate(timeout=20)[0].splitlines()])):
            got = told(events)
            assert got == want, f"{name}: {[(a, b) for a, b in zip(got, want) if a != b] or got}"
        assert ctl.returncode == 0, ctl.returncode


ENDS = [
    ("power off", payload.POWEROFF, {"why": "poweroff", "by": "acpi"}, 0),
    ("halt for good", payload.HALT_FOR_GOOD, {"why": "poweroff", "by": "all_halted"}, 0),
    ("keyboard controller", payload.RESET_KEYBOARD, {"why": "reset", "by": "i8042"}, 0),
    ("reset port", payload.RESET_PORT, {"why": "reset", "by": "reset_port"}, 0),
    ("triple fault", payload.TRIPLE_FAULT, {"why": "crash", "by": "triple_fault"}, 33),
    ("debug exit", payload.debug_exit(3), {"why": "exit", "by": "debug_exit", "code": 7}, 7),
]


def end_of(code, want, status):
    def run():
        with Server() as s:
            w = Watcher(s)
            s.boot(code)
            got = told(w.events())
            assert s.wait_end() == status, s.proc.returncode
            assert [e["event"] for e in got] == ["starting", "running", "ended", "exit"], got
            assert got[2] == {"event": "ended", **want} and got[3]["code"] == status, got
    return run


def failed_start():
    with Server() as s:
        w = Watcher(s)
        s.call("PUT", "/boot-source", {"kernel_image_path": s.file("junk", data=b'not a "kernel" \xc3\xa4' * 100)})
        assert b" 400 " in s.call("PUT", "/actions", {"action_type": "InstanceStart"})
        got = told(w.events("start_failed"))
        assert got[0] == {"event": "starting"} and "kernel" in got[-1]["message"], got


def accounted(events):
    """Every number is told, or among those that are said to be lost; how many were lost."""
    at, lost = 0, 0
    for e in events:
        n = e["count"] if e["event"] == "lost" else 1
        at, lost = at + n, lost + (n if e["event"] == "lost" else 0)
        assert e["seq"] == at, (e, at)
    return lost


def slow_reader():
    n = 3000
    with Server() as s, s.connect() as c:
        slow, quick = Watcher(s, 30), Watcher(s, 30)
        s.boot()
        before = s.rss_kib()
        for i in range(n):
            assert c.call("PATCH", "/vm", {"state": "Resumed" if i % 2 else "Paused"}) == DONE
            if i % 100 == 99:
                quick_sees = quick.events("resumed")
                assert quick_sees[-1]["event"] == "resumed"
        more = s.rss_kib() - before
        events = slow.events("lost")  # before the end, at which what a full socket does not take is gone
        s.proc.send_signal(signal.SIGTERM)
        events += slow.events()
        lost = accounted(events)
        assert lost > 0 and events[-1]["event"] == "exit" and len(events) + lost > n, (lost, len(events))
        assert more < 4096, f"{more} KiB more"
        return f"{lost} of {n} lost, {more} KiB more"


def many_clients():
    with Server() as s:
        fds = s.n_fds()
        watchers = [Watcher(s) for _ in range(MAX_WATCHERS)]
        with s.connect() as c:
            full = c.call("GET", "/events")
            assert b" 400 " in full and b"64 clients are watching already" in full, full
            assert b" 200 " in c.call("GET", "/"), "the connection is not usable any more"
        watchers.pop().close()
        end = time.monotonic() + 5
        while s.n_fds() > fds + MAX_WATCHERS and time.monotonic() < end:
            time.sleep(0.01)
        watchers.append(Watcher(s))
        s.boot()
        for w in watchers:
            assert [e["event"] for e in w.events("running")] == ["starting", "running"]
            w.close()
        while s.n_fds() > fds + 20 and time.monotonic() < end:
            time.sleep(0.01)
        left = Watcher(s)
        assert s.n_fds() < fds + 40, (fds, s.n_fds())
        left.close()


def rude_clients():
    """Pipelined requests before and after, bytes while watching, gone in the middle."""
    with Server() as s:
        c = s.connect()
        c.send(request("GET", "/version") + request("GET", "/events") + request("GET", "/"))
        assert b"firecracker_version" in c.read_response()
        s.boot()
        c.sock.settimeout(10)
        data = c.buffer
        while b'"running"' not in data:
            data += c.sock.recv(4096)
        assert data.startswith(HEAD) and b"vmm_version" not in data, data
        c.sock.setblocking(False)
        try:
            c.send(b"x" * (1 << 20))  # thrown away, or not taken
        except BlockingIOError:
            pass
        c.close()
        for _ in range(200):
            w = Watcher(s, head=False)
            w.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            w.close()
        assert b" 400 " in s.call("GET", "/events", "{}")
        assert b" 400 " in s.call("PUT", "/events", "{}")
        assert b" 200 " in s.call("GET", "/")
        w = Watcher(s)
        assert w.events("running")
        w.close()


def firecracker_has_it_too():
    with Server(firecracker=True) as s:
        w = Watcher(s)
        s.boot(payload.RESET_KEYBOARD)
        assert told(w.events())[-1] == {"event": "exit", "code": 0}


def ctl_without_machine():
    out = subprocess.run([MAYFLY, "ctl", "/no/such", "events"], capture_output=True, text=True, timeout=20)
    assert out.returncode == 1 and out.stderr.startswith("mayfly: ctl: /no/such: "), out


def main():
    if not os.path.exists("/usr/bin/curl"):
        raise Skip("curl is needed")
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    suite.check("events: a life", life)
    for name, code, want, status in ENDS:
        suite.check(f"events: the end by {name}", end_of(code, want, status))
    suite.check("events: a start that fails", failed_start)
    suite.check("events: a slow reader loses some, nobody else does", slow_reader)
    suite.check("events: many clients", many_clients)
    suite.check("events: rude clients", rude_clients)
    suite.check("events: as firecracker", firecracker_has_it_too)
    suite.check("events: ctl without a machine", ctl_without_machine)
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
