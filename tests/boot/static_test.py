#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The static build: small, without libraries, and it boots. usage: static_test.py [REGEX]
$MAYFLY_STATIC names the program (build-static/vmm/mayfly)."""
import os
import re
import subprocess
import sys
import tempfile

from harness import ROOT, Skip, Suite, guest

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


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    suite.check("static: at most 2 MiB, no libraries", is_small_and_static)
    suite.check("static: boots", boots)
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
