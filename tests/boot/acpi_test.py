#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Intel's ACPI compiler reads our tables: acpi_test.py TEST_ACPI

Each table is disassembled and compiled again; that must work without an error or a warning of the
compiler, and give the same bytes. Ends with 77 if iasl is missing.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile


def run(*cmd, cwd):
    res = subprocess.run(cmd, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return res.returncode, res.stdout


def same(a, b):
    """Equal but for what names the compiler: checksum (9), creator and its revision (28..35)."""
    def plain(x):
        return x[:9] + x[10:28] + x[36:]
    return plain(a) == plain(b)


def check(table, where):
    name = os.path.basename(table)[:-4]
    code, out = run("iasl", "-d", name + ".aml", cwd=where)
    if code or not os.path.exists(table[:-4] + ".dsl") or re.search(r"ACPI (Error|Warning|BIOS)|Invalid", out):
        return f"{name}: iasl cannot read it:\n{out}"
    code, out = run("iasl", "-p", "again-" + name, name + ".dsl", cwd=where)
    counts = re.search(r"(\d+) Errors?, (\d+) Warnings?", out)
    if code or not counts or counts.group(1) != "0" or counts.group(2) != "0":
        return f"{name}: iasl does not compile it again:\n{out}"
    with open(table, "rb") as f, open(os.path.join(where, f"again-{name}.aml"), "rb") as g:
        if not same(f.read(), g.read()):
            return f"{name}: compiled again it is not the same"
    return None


def main():
    if not shutil.which("iasl"):
        print("iasl is missing (apt-get install acpica-tools)")
        return 77
    n = 0
    for cpus, virtio, pci in ((1, 0, 0), (2, 3, 0), (300, 32, 0), (1, 0, 1), (4, 0, 31)):
        with tempfile.TemporaryDirectory() as where:
            subprocess.run([sys.argv[1], where, str(cpus), str(virtio), str(pci)], check=True)
            tables = sorted(glob.glob(where + "/*.aml"))
            if len(tables) != (7 if pci else 6):
                print(f"{len(tables)} tables")
                return 1
            for t in tables:
                bad = check(t, where)
                if bad:
                    print(bad)
                    return 1
                n += 1
            with open(where + "/dsdt.dsl", encoding="ascii") as f:
                text = f.read()
            if text.count('Name (_HID, "LNRO0005")') != virtio or "PNP0501" not in text or "_S5" not in text:
                print("dsdt: not the devices that were asked for")
                return 1
            if pci and (text.count("FFFF,") < pci or "PNP0A08" not in text or "_OSC" not in text or "PNP0C02" not in text):
                print("dsdt: not the host bridge that was asked for")
                return 1
    print(f"{n} tables read and compiled again")
    return 0


sys.exit(main())
