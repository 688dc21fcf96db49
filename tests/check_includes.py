#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Layering as a test: who may include whom (docs/tour.md), and that headers are guarded."""
import os
import re
import sys

ALLOWED = {  # directory prefix -> prefixes it may include from; longest prefix wins
    "vmm/core": ["vmm/core", "config.h"],
    "accel": ["accel/accel.h", "accel/cpu_template.h", "accel/x86_state.h", "vmm/core"],
    "accel/kvm": ["accel/accel.h", "accel/cpu_template.h", "accel/x86_state.h", "accel/kvm", "vmm/core"],
    "accel/tcg/x86": ["accel/tcg/x86", "vmm/core"],
    "accel/tcg/cpu": ["accel/tcg/cpu", "accel/tcg/x86", "accel/accel.h", "accel/cpu_template.h", "accel/x86_state.h",
                      "vmm/core"],
    "accel/tcg/interp": ["accel/tcg/interp", "accel/tcg/cpu", "accel/tcg/x86", "accel/x86_state.h", "vmm/core"],
    "accel/tcg/jit": ["accel/tcg", "accel/accel.h", "accel/x86_state.h", "vmm/core"],
    "accel/tcg": ["accel", "vmm/core"],  # vcpu.c: the run loop over interpreter and JIT
    "devices/virtio": ["devices/virtio", "vmm/core"],
    "devices/pci": ["devices/pci", "vmm/core"],
    "devices/virtio/pci": ["devices/virtio", "devices/pci", "vmm/core"],  # the transport's files
    "devices/legacy": ["devices/legacy", "vmm/core"],
    "boot": ["boot", "accel/x86_state.h", "vmm/core", "config.h"],
    "vmm": ["vmm", "accel/accel.h", "accel/x86_state.h", "accel/kvm/probe.h", "devices", "boot", "config.h", "guest_init.h"],
    "vmm/cli": ["vmm", "accel/accel.h", "accel/kvm/probe.h", "devices", "boot", "api/server.h", "api/vm.h", "config.h"],
    "api": ["api", "accel/cpu_template.h", "vmm/machine.h", "vmm/live.h", "vmm/mmds/mmds.h", "vmm/metrics/metrics.h", "vmm/core", "config.h"],
}
# Only these may see what their neighbours must not.
ONLY = {"linux/kvm.h": ["accel/kvm/"], "liburing.h": ["vmm/core/loop"], "linux/io_uring.h": ["vmm/core/loop"]}


def rule(path):
    best = max((p for p in ALLOWED if path.startswith((p + "/", p + ".", p + "_"))), key=len, default=None)
    return ALLOWED[best] if best else None


def main():
    bad = []
    for top in ("vmm", "accel", "devices", "boot", "api"):
        for base, _, names in os.walk(top):
            for name in names:
                if not name.endswith((".c", ".h", ".def")):
                    continue
                path = os.path.join(base, name)
                text = open(path, encoding="utf-8").read()
                for inc in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
                    if not any(inc == a or inc.startswith(a + "/") for a in rule(path) or []):
                        bad.append(f"{path}: may not include {inc}")
                for inc in re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.M):
                    if inc in ONLY and not path.startswith(tuple(ONLY[inc])):
                        bad.append(f"{path}: may not include <{inc}>")
                if "SPDX-License-Identifier: Apache-2.0" not in text.split("\n", 2)[0] + text.split("\n", 2)[1]:
                    bad.append(f"{path}: no SPDX line at its head")
                if name.endswith(".h"):
                    guard = "MAYFLY_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper()
                    if f"#ifndef {guard}" not in text:
                        bad.append(f"{path}: guard should be {guard}")
    print("\n".join(bad) or "layering holds")
    return 1 if bad else 0


sys.exit(main())
