#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The metadata service as a stock guest sees it, over user-mode network and a tap. usage: mmds_test.py [REGEX]"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

from harness import MAYFLY, ROOT, Skip, Suite, expect, guest, run

LONG = "0123456789abcdef" * 3000
DOCUMENT = {"latest": {"meta-data": {"ami-id": "ami-87654321", "n": 43}, "user-data": LONG}, "hostname": "mayfly-guest"}
SCRIPT = """ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
%(route)s
url=http://169.254.169.254
get() { printf "$1 $2 HTTP/1.1\\r\\n$3Connection: close\\r\\n\\r\\n" | nc 169.254.169.254 80; }
echo "root: $(wget -qO- $url/ | tr '\\n' ' ')"
echo "text: $(wget -qO- $url/latest/meta-data/ami-id)"
echo "json: $(wget -qO- --header 'Accept: application/json' $url/latest/meta-data)"
echo "long: $(wget -qO- $url/latest/user-data | md5sum)"
wget -qO- $url/none || echo "none: refused"
echo "none: $(get GET /none | head -n 1)"
token=$(get PUT /latest/api/token 'X-metadata-token-ttl-seconds: 60\\r\\n' | tail -n 1)
echo "token: ${#token}"
echo "with token: $(wget -qO- --header "X-metadata-token: $token" $url/hostname)"
n=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	wget -qO /tmp/out$i $url/latest/user-data &
done
wait
echo "parallel: $(cat /tmp/out* | md5sum)"
"""
ROUTES = {
    "user": "ip route add default via 10.0.2.2",
    "tap": "ip route add 169.254.169.254 dev eth0",
}
IN_NAMESPACE = "ip tuntap add tap0 mode tap && ip link set tap0 up && exec \"$@\""


def initrd(tmp, kernel, script):
    path, out = os.path.join(tmp, "script"), os.path.join(tmp, "initrd")
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(path, 0o755)
    modules = ["virtio_mmio", "virtio_net"]
    cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
    cmd += [x for m in modules for x in ("--module", m)] + ["--script", path, out]
    subprocess.run(cmd, check=True, capture_output=True)
    return out


def namespace_prefix():
    prefix = ["unshare", "-n", "sh", "-c", IN_NAMESPACE, "sh"]
    for try_ in (prefix, ["unshare", "-r"] + prefix[1:]):
        if subprocess.run(try_ + ["true"], capture_output=True).returncode == 0:
            return try_
    raise Skip("no network namespace with a tap")


def counted(metrics, version):
    """What the guest did is in the metrics."""
    mmds, net = metrics["mmds"], metrics["net_eth0"]
    wrong = [name for name, ok in [
        ("mmds.connections_created", mmds["connections_created"] == mmds["connections_destroyed"] >= 20),
        ("mmds.tx_bytes", mmds["tx_bytes"] > (20 * len(LONG) if version == "V1" else 1000)),
        ("mmds.rx_no_token", mmds["rx_no_token"] > 20),
        ("mmds.rx_invalid_token", mmds["rx_invalid_token"] == 0),
        ("net.rx_packets_count", net["rx_packets_count"] >= mmds["tx_frames"] > 0),
        ("net", net == metrics["net"]),
        ("net.tap_write_agg", net["tx_count"] > 0 and 0 < net["tap_write_agg"]["min_us"] <= net["tap_write_agg"]["max_us"] <=
         net["tap_write_agg"]["sum_us"]),
        ("vcpu.exit_io_out", metrics["vcpu"]["exit_io_out"] > 100),
    ] if not ok]
    if wrong:
        raise AssertionError(f"{wrong}: {mmds} {net}")


def serves(kernel, kind, version):
    prefix = namespace_prefix() if kind == "tap" else []
    if kind == "user" and not os.path.exists(os.path.join(os.path.dirname(MAYFLY), "mayfly-slirp")):
        raise Skip("mayfly-slirp was not built")
    with tempfile.TemporaryDirectory(prefix="mayfly-mmds-") as tmp:
        path = os.path.join(tmp, "metadata.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(DOCUMENT, f, indent=2)
        args = ["run", "--accel", "tcg", "--mem", "256M", "--kernel", guest(kernel), "--initrd",
                initrd(tmp, kernel, SCRIPT % {"route": ROUTES[kind]}), "--cmdline", "console=ttyS0 quiet",
                "--timeout", "100s", "--net", "tap=tap0,id=eth0" if kind == "tap" else "user,id=eth0",
                "--mmds", path + ",version=" + version + ",net=eth0", "--metrics", os.path.join(tmp, "metrics")]
        if prefix:
            args = prefix[1:] + [MAYFLY] + args
        res = run(args, timeout=120, binary=prefix[0] if prefix else None)
        with open(os.path.join(tmp, "metrics"), encoding="utf-8") as f:
            metrics = json.loads(f.read())  # one line, at the end
    counted(metrics, version)
    md5 = hashlib.md5(LONG.encode()).hexdigest()
    if version == "V2":
        expect(res, out=[r"root: \s*$".replace("$", "\r?\n"), r"none: HTTP/1.1 401", r"token: 48",
                         r"with token: mayfly-guest"], not_out=[r"text: ami"])
        return
    expect(res, out=[r"root: hostname latest/", r"text: ami-87654321",
                     r'json: \{"ami-id":"ami-87654321","n":43\}', r"long: " + md5, r"none: refused",
                     r"none: HTTP/1.1 404", r"token: 48", r"with token: mayfly-guest",
                     r"parallel: " + hashlib.md5(LONG.encode() * 20).hexdigest()])


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    suite.check("metadata by user-mode network, cloud-6.12", lambda: serves("cloud-6.12", "user", "V1"))
    suite.check("metadata by a tap, cloud-6.1", lambda: serves("cloud-6.1", "tap", "V1"))
    suite.check("metadata with tokens by a tap, cloud-6.12", lambda: serves("cloud-6.12", "tap", "V2"))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
