#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vsock beside a tap, in the same guest, turn by turn: bytes a second each way, a byte there and back, connections a second.

    tests/bench/io/vsock.py [--mayfly PATH] [--seconds 1] [--rounds 5] [--kernel cloud-6.12] [--cpus 1] [--accel tcg]

Both sides are tests/boot/guest/stream.c. Processor time is that of mayfly, the guest's work included, and of the program
on the host; it is trusted more than the rate on a busy host. Ratios above 1 are better for vsock in rates, below 1 in
times. Runs in a network namespace of its own, so no privileges are needed (but /dev/net/tun).
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "cpu"), os.path.join(HERE, "..", "..", "boot")]
from engines import Engine  # noqa: E402
from harness import ROOT  # noqa: E402
from smp_test import build, run_script  # noqa: E402

PORT = 7000
MODULES = ["vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport", "failover", "net_failover",
           "virtio_net", "virtio_mmio"]
ITEMS = {"send": ("guest to host", "MiB/s"), "recv": ("host to guest", "MiB/s"), "ping": ("a byte there and back", "us"),
         "rate": ("connections with a byte each way", "per s")}
ADDRESS = {"tap": "172.31.7.1", "vsock": "host"}
SCRIPT = """ip link set lo up
ip addr add 172.31.7.2/24 dev eth0 && ip link set eth0 up
sleep 1
stty -echo </dev/console
echo 0 >/proc/sys/kernel/printk
echo @serving
while read -r what args; do
	[ "$what" = stream ] || break
	stream $args
done </dev/console
"""


def measure(engine, server, item, by, seconds):
    """The figure, and microseconds of processor time for a MiB, a round, a connection."""
    def cpu():
        return engine.cpu() + time.clock_gettime((~server.pid << 3) | 2)
    before = cpu()
    hit = engine.ask(f"stream {item} {ADDRESS[by]} {PORT} {seconds}", rb"stream " + item.encode() + rb": ([0-9.]+)", 60 + seconds)
    value = float(hit[1])
    n = 1e6 * seconds / value if item == "ping" else value * seconds
    return value, (cpu() - before) * 1e6 / n


def drive(args, a, servers):
    engine = Engine("mayfly", [a.mayfly, *args]).start()
    found = {}
    try:
        for r in range(a.rounds + 1):  # the first one warms up
            for item in ITEMS:
                for by in ADDRESS:
                    got = measure(engine, servers[by], item, by, a.seconds)
                    if r:
                        found.setdefault((item, by), []).append(got)
    finally:
        engine.stop()
    return found


def report(found):
    print(f"{'':34} {'unit':6} {'vsock':>8} {'tap':>8} {'ratio':>6} {'pairs from, to':>16}   {'CPU us: vsock':>13} {'tap':>8} {'ratio':>6}")
    for item, (title, unit) in ITEMS.items():
        v, t = found[item, "vsock"], found[item, "tap"]
        ratios = [x[0] / y[0] for x, y in zip(v, t)]
        cpu = statistics.median(x[1] / y[1] for x, y in zip(v, t))
        print(f"{title:34} {unit:6} {statistics.median(x[0] for x in v):8.1f} {statistics.median(x[0] for x in t):8.1f} "
              f"{statistics.median(ratios):6.2f} {min(ratios):8.2f} {max(ratios):7.2f}   {statistics.median(x[1] for x in v):13.1f} "
              f"{statistics.median(x[1] for x in t):8.1f} {cpu:6.2f}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--mayfly", default=os.environ.get("MAYFLY", os.path.join(ROOT, "build", "vmm", "mayfly")))
    p.add_argument("--seconds", type=float, default=1)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--kernel", default="cloud-6.12")
    p.add_argument("--cpus", type=int, default=1)
    p.add_argument("--accel", default="tcg", choices=("tcg", "kvm"))
    a = p.parse_args()
    if not os.environ.get("MAYFLY_BENCH_NETNS"):
        os.environ["MAYFLY_BENCH_NETNS"] = "1"
        os.execvp("unshare", ["unshare", "-rn", sys.executable, *sys.argv])
    for cmd in ("link set lo up", "tuntap add tap0 mode tap", "addr add 172.31.7.1/24 dev tap0", "link set tap0 up"):
        subprocess.run(["ip", *cmd.split()], check=True)
    with tempfile.TemporaryDirectory(prefix="mayfly-vsock-") as tmp:
        path = os.path.join(tmp, "v.sock")
        stream = build("stream", tmp)
        servers = {by: subprocess.Popen([stream, "serve", *where], stdout=subprocess.DEVNULL)
                   for by, where in (("tap", ("tcp", str(PORT))), ("vsock", ("unix", f"{path}_{PORT}")))}
        try:
            report(run_script(a.kernel, a.cpus, SCRIPT, ["stream"], modules=MODULES, timeout=3600, cmdline="quiet",
                              extra=["--accel", a.accel, "--net", "tap=tap0", "--vsock", f"3,uds={path}"],
                              runner=lambda args, timeout: drive(args, a, servers)))
        finally:
            for s in servers.values():
                s.kill()
                s.wait()


if __name__ == "__main__":
    main()
