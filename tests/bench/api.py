#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the API costs: requests a second on one connection and with one each, CPU time until it answers, memory.
usage: api.py [--storm] [SECONDS]. With --storm, instead, how long requests take while a guest hammers its devices: its
last number is the monitor's CPU time. The client is one Python process, which is most of what is measured: the server's own CPU time
for each request is shown beside it."""
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "api"))
from fc import Server, request


def cpu_s(pid):
    fields = open(f"/proc/{pid}/schedstat").read().split()
    return int(fields[0]) / 1e9


def drain(sock, want):
    got = 0
    while got < want:
        got += len(sock.recv(65536))


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


def measure(name, pid, seconds, once):
    n, cpu, end = 0, cpu_s(pid), time.monotonic() + seconds
    start = time.monotonic()
    while time.monotonic() < end:
        once()
        n += 1
    took = time.monotonic() - start
    print(f"{name:44} {n / took:8.0f} /s   server CPU {(cpu_s(pid) - cpu) / n * 1e6:6.1f} us each")


def under_storm(seconds):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "boot"))
    from apilive import enter_namespace
    import storm
    enter_namespace(["tap0"])
    print(f"{'a guest that rings doorbells':36} {storm.hostile_guest(seconds)}")
    for kernel, bus in (("cloud-6.1", "mmio"), ("cloud-6.12", "pci")):
        times, cpu, poured = storm.busy_guest(kernel, bus, seconds)
        print(f"{'all devices, ' + kernel + ', ' + bus:36} {times}; {poured >> 20} MiB of vsock, {cpu:.1f} s of CPU")


def main():
    args = [a for a in sys.argv[1:] if a != "--storm"]
    seconds = float(args[0]) if args else 3
    if len(args) + 1 < len(sys.argv):
        under_storm(seconds)
        return
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    starts = 20
    for _ in range(starts):
        with Server() as s:
            s.call("GET", "/")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"start, first answer and end: {total / starts * 1e3:.2f} ms of CPU")
    with Server() as s:
        s.call("PUT", "/logger", {"level": "Off"})
        print(f"idle: RSS {s.rss_kib()} KiB, of which {private_kib(s.proc.pid)} KiB are this process's own")
        get = request("GET", "/machine-config")
        size = len(s.call("GET", "/machine-config"))
        sock = connect(s.path)

        def keep_alive():
            sock.sendall(get)
            drain(sock, size)

        def fresh():
            c = connect(s.path)
            c.sendall(get)
            drain(c, size)
            c.close()

        def pipelined():
            sock.sendall(get * 50)
            drain(sock, size * 50)
        measure("GET, one connection", s.proc.pid, seconds, keep_alive)
        measure("GET, a connection each", s.proc.pid, seconds, fresh)
        measure("50 GETs at once (figures are for 50)", s.proc.pid, seconds, pipelined)
        image = s.file("disk", 4096)
        s.call("PUT", "/drives/d", {"drive_id": "d", "is_root_device": False, "path_on_host": image})
        s.boot()
        put = request("PATCH", "/drives/d", {"drive_id": "d", "rate_limiter": {"ops": {"size": 100, "refill_time": 100}}})
        done = len(s.call("PATCH", "/drives/d", {"drive_id": "d"}))

        def patch():
            sock.sendall(put)
            drain(sock, done)
        measure("PATCH of a limit, machine running", s.proc.pid, seconds, patch)


def private_kib(pid):
    total = 0
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith(("Private_Clean", "Private_Dirty")):
            total += int(line.split()[1])
    return total


main()
