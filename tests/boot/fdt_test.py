#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The device tree compiler reads our device tree: fdt_test.py TEST_DISCOVER

It must decompile it without a warning of its checks. Ends with 77 if dtc is missing.
"""
import os
import shutil
import subprocess
import sys
import tempfile


def main():
    if not shutil.which("dtc"):
        print("dtc is missing (apt-get install device-tree-compiler)")
        return 77
    for cpus, virtio in ((1, 0), (2, 3), (64, 32)):
        with tempfile.TemporaryDirectory() as tmp:
            path = os.path.join(tmp, "x.dtb")
            subprocess.run([sys.argv[1], path, str(cpus), str(virtio)], check=True)
            res = subprocess.run(["dtc", "-I", "dtb", "-O", "dts", path], capture_output=True, text=True)
            print(res.stderr, end="")
            if res.returncode or "Warning" in res.stderr or "ERROR" in res.stderr:
                return 1
            if res.stdout.count('compatible = "virtio,mmio"') != virtio or res.stdout.count('"cpu"') != cpus:
                print("not the devices that were asked for")
                return 1
    print("3 trees read")
    return 0


sys.exit(main())
