#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone. usage: check_headers.py CC BUILD"""
import os
import subprocess
import sys


def main():
    headers = [os.path.join(base, n) for top in ("vmm", "accel", "devices", "boot", "api")
               for base, _, names in os.walk(top) for n in names if n.endswith(".h")]
    bad = 0
    for h in sorted(headers):
        cmd = sys.argv[1:2] + ["-fsyntax-only", "-I" + sys.argv[2], "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror", "-I.", "-x", "c", "-"]
        res = subprocess.run(cmd, input=f'#include "{h}"\n', text=True, capture_output=True)
        if res.returncode:
            bad += 1
            print(f"{h}: {res.stderr.strip().splitlines()[0:3]}")
    print(f"{len(headers)} headers, {bad} do not compile alone")
    return 1 if bad or not headers else 0


sys.exit(main())
