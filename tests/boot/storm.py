# SPDX-License-Identifier: Apache-2.0
"""How long requests to the API take while a guest does its worst. For tests/bench/api.py and apispeed_test.py."""
import json
import time

from apilive import ApiGuest
from fc import Server, request

# mov ecx,0; 1: to each of 8 slots' notification registers; jmp 1b. Queue numbers go round.
DOORBELLS = (b"\x31\xc9" + b"".join(b"\x89\x0d" + (0xD0000050 + 0x1000 * n).to_bytes(4, "little") for n in range(8)) +
             b"\x41\x83\xe1\x07" + b"\xeb\xca")
STORM = """for k in 1 2; do (while :; do dd if=/dev/vda of=/dev/null bs=4k count=2000 iflag=direct; done) & done
(while :; do dd if=/dev/zero of=/dev/vda bs=64k count=200 oflag=direct; done) &
(while :; do ping -c 100 -A -s 1400 10.0.0.1; done) &
(while :; do head -c 20000000 /dev/zero | nc -u 10.0.0.1 9; done) &
(while :; do cat /proc/kallsyms >/dev/ttyS0; done) &
(while :; do cat /dev/hwrng >/dev/null; done) &
(while :; do agent pour 2 7001; done) &
true"""


class Times:
    def __init__(self):
        self.all = []

    def at(self, percent):
        return sorted(self.all)[min(len(self.all) - 1, int(len(self.all) * percent / 100))]

    def __str__(self):
        return (f"{len(self.all)} requests, p50 {self.at(50) * 1e3:.2f} ms, p99 {self.at(99) * 1e3:.2f} ms, "
                f"max {max(self.all) * 1e3:.2f} ms")


def ask(server, requests, seconds, pace=0.0, tick=lambda: None):
    """Each request in its turn on one connection, for so long."""
    times, end = Times(), time.monotonic() + seconds
    with server.connect(30) as c:
        while time.monotonic() < end:
            for method, path, body in requests:
                data = request(method, path, body)
                start = time.monotonic()
                c.send(data)
                answer = c.read_response()
                times.all.append(time.monotonic() - start)
                if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204")):
                    raise AssertionError(f"{method} {path}: {answer!r}")
                if pace:
                    time.sleep(pace)
            tick()
    return times


def busy_guest(kernel, bus, seconds, accel="tcg"):
    """A stock guest that hammers disk, network, vsock, balloon, serial port and random numbers at once."""
    with ApiGuest(kernel, bus, mem=256, cpus=2, taps=["tap0"], accel=accel) as g:
        disk = g.file("disk", 32 << 20)
        g.put("/serial", {"serial_out_path": "/dev/null"})
        g.put("/drives/d", {"drive_id": "d", "is_root_device": False, "path_on_host": disk})
        g.put("/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": "tap0"})
        g.put("/balloon", {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1})
        g.put("/entropy", {})
        g.listen(7001)
        g.start()
        g.sh("ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; ping -c 1 -W 5 10.0.0.1 >/dev/null")
        before = g.cpu_s()
        g.sh("(" + STORM + ") >/dev/null 2>&1")
        size = [0]

        def tick():
            size[0] = 64 - size[0]
        requests = [("GET", "/machine-config", None), ("GET", "/balloon/statistics", None), ("GET", "/", None),
                    ("PATCH", "/drives/d", {"drive_id": "d", "rate_limiter": {"ops": {"size": 0, "refill_time": 0}}}),
                    ("PATCH", "/network-interfaces/eth0", {"iface_id": "eth0"}),
                    ("PATCH", "/balloon", {"amount_mib": 0}), ("PATCH", "/balloon", {"amount_mib": 64})]
        times = ask(g.server, requests, seconds, 0.002, tick)
        cpu = g.cpu_s() - before
        poured = g.poured
    return times, cpu, poured


def hostile_guest(seconds):
    """Two processors that write to the notification registers of every device, and do nothing else."""
    with Server() as s:
        for i in range(6):
            s.call("PUT", f"/drives/d{i}", {"drive_id": f"d{i}", "is_root_device": False, "path_on_host": s.file(f"d{i}", 4096)})
        metrics = s.file("metrics")
        s.call("PUT", "/metrics", {"metrics_path": metrics})
        s.call("PUT", "/entropy", {})
        s.call("PUT", "/balloon", {"amount_mib": 0, "deflate_on_oom": True})
        s.boot(DOORBELLS)
        time.sleep(0.2)
        requests = [("GET", "/machine-config", None), ("GET", "/", None), ("PATCH", "/drives/d0", {"drive_id": "d0"})]
        times = ask(s, requests, seconds, 0.002)
        s.call("PUT", "/actions", {"action_type": "FlushMetrics"})
        with open(metrics, encoding="utf-8") as f:
            rung = json.loads(f.read())["vcpu"]["exit_mmio_write"]
        if rung < 10000:
            raise AssertionError(f"{rung} doorbells are none to speak of")
        return times
