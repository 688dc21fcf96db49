#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The processor that stock kernels see, as the API describes it: features, names, threads. usage: cpu_test.py [REGEX]

The cases of KVM run in the machine of kvm_outer.py.
"""
import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "api"))
from fc import ACCEL, DONE, Server, response
from harness import MAYFLY, Suite, guest
from kvm_outer import Outer
from live import make_initrd

TOPOLOGY = "/sys/devices/system/cpu"
SCRIPT = f"""#!/bin/sh
echo "@@flags $(grep -m1 ^flags /proc/cpuinfo | cut -d: -f2)"
echo "@@name $(grep -m1 '^model name' /proc/cpuinfo | cut -d: -f2)"
echo "@@model $(grep -m1 '^cpu family' /proc/cpuinfo | cut -d: -f2) $(grep -m1 '^model' /proc/cpuinfo | cut -d: -f2)"
echo "@@cores $(grep -m1 ^siblings /proc/cpuinfo | cut -d: -f2) $(grep -m1 '^cpu cores' /proc/cpuinfo | cut -d: -f2)"
for i in {TOPOLOGY}/cpu[0-9]*; do
	echo "@@cpu $(cat $i/topology/thread_siblings_list) $(cat $i/topology/core_id)"
	for k in $i/cache/index*; do echo "@@cache $(cat $k/level) $(cat $k/shared_cpu_list)"; done
done
echo "@@smt $(cat {TOPOLOGY}/smt/active)"
dmesg | grep -E 'BUG|WARNING|Oops|unchecked MSR' && echo "@@bad 1"
echo "@@done 1"
poweroff -f
"""
CMDLINE = "console=ttyS0 quiet reboot=k panic=-1"
# AVX2, BMI2 and what else stands there are gone, the family is another one, and so is part of the name
MASK = {"cpuid_modifiers": [
    {"leaf": "0x7", "subleaf": "0x0", "flags": 1, "modifiers": [{"register": "ebx", "bitmap": "0b0xx0xxxxx"}]},
    {"leaf": "0x1", "subleaf": "0x0", "flags": 0, "modifiers": [
        {"register": "ecx", "bitmap": "0b0xxx_xxxx_xxxx_xxxx_xxxx_xxxx"}, {"register": "eax", "bitmap": "0b0001"}]},
    {"leaf": "0x80000002", "subleaf": "0x0", "flags": 0, "modifiers": [
        {"register": "eax", "bitmap": f"0b{int.from_bytes(b'veil', 'little'):032b}"}]}]}
SMT = {"vcpu_count": 4, "mem_size_mib": 256, "smt": True}


def read(text):
    """What the script said: name to list of values."""
    out = {}
    for name, value in re.findall(r"^@@(\w+)[ \t]*(.*?)[ \t\r]*$", text, re.M):
        out.setdefault(name, []).append(value)
    assert "done" in out and "bad" not in out, text[-1500:]
    return out


def boot(kernel, machine, cpu_config=None):
    with Server() as s:
        initrd = make_initrd(s.tmp, kernel, [], SCRIPT)
        for path, body in [("/machine-config", machine), ("/cpu-config", cpu_config),
                           ("/boot-source", {"kernel_image_path": guest(kernel), "initrd_path": initrd, "boot_args": CMDLINE}),
                           ("/actions", {"action_type": "InstanceStart"})]:
            answer = s.call("PUT", path, body) if body is not None else DONE
            assert answer in (DONE, response(204, deprecated=True)), f"PUT {path}: {answer!r}"
        s.wait_end(120)
        return read(s.out())


def check_mask(got, before):
    flags, whole = got["flags"][0].split(), before["flags"][0].split()
    for name in ("avx2", "bmi2", "popcnt"):
        assert name not in flags and (name in whole or name != "popcnt"), f"{name}: {name in whole}, {name in flags}"
    assert got["name"][0].startswith("veil"), got["name"]
    lost = set(whole) - set(flags)
    return f"without {' '.join(sorted(lost))}"


def mask(kernel):
    machine = {"vcpu_count": 1, "mem_size_mib": 256}
    return check_mask(boot(kernel, machine, MASK), boot(kernel, machine))


def named(kernel):
    """The template of the processor's vendor."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        name = "T2S" if "GenuineIntel" in f.read() else "T2A"
    got = boot(kernel, {"vcpu_count": 2, "mem_size_mib": 256, "cpu_template": name})
    flags = got["flags"][0].split()
    assert got["model"][0].split() == ["6", "63"], got["model"]
    wrong = {"rdseed", "adx", "clflushopt", "sha_ni", "xsavec", "xgetbv1", "pdpe1gb", "umip"} & set(flags)
    assert not wrong and {"avx2", "erms"} <= set(flags), f"{wrong} of {flags}"
    return name


def check_smt(got, cores=2, cached=True):
    assert got["cores"][0].split() == [str(2 * cores), str(cores)], got["cores"]
    want = [[f"{2 * i}-{2 * i + 1}", str(i)] for i in range(cores) for _ in range(2)]
    assert [x.split() for x in got["cpu"]] == want, got["cpu"]
    assert got["smt"] == ["1"], got["smt"]
    caches = [x.split() for x in got["cache"] if x]
    assert caches or not cached, "no caches are told of"
    for level, shared in caches:
        want = [f"0-{2 * cores - 1}"] if level == "3" else [x for x, _ in (c.split() for c in got["cpu"])]
        assert shared in want, f"L{level}: {shared}"
    return f"{len(got['cpu'])} processors, {len(caches)} caches"


def smt(kernel):
    return check_smt(boot(kernel, SMT))


def no_smt(kernel):
    got = boot(kernel, {"vcpu_count": 2, "mem_size_mib": 256})
    assert [x.split() for x in got["cpu"]] == [["0", "0"], ["1", "1"]] and got["smt"] == ["0"], got
    return None


def under_kvm():
    """Template and threads by KVM."""
    kernel = "cloud-6.12"
    outer = Outer()
    outer.add_binary(MAYFLY, "/bin/mayfly")
    outer.add_file(guest(kernel), "/guest/kernel")
    with tempfile.TemporaryDirectory() as tmp:
        outer.add_file(make_initrd(tmp, kernel, [], SCRIPT), "/guest/initrd")
        for name, more in [("smt", {"machine-config": {**SMT, "track_dirty_pages": True}, "cpu-config": MASK}),
                           ("plain", {"machine-config": {"vcpu_count": 1, "mem_size_mib": 256}})]:
            path = os.path.join(tmp, name)
            with open(path, "w", encoding="ascii") as f:
                json.dump({"boot-source": {"kernel_image_path": "/guest/kernel", "initrd_path": "/guest/initrd",
                                           "boot_args": CMDLINE}, "drives": [], **more}, f)
            outer.add_file(path, f"/guest/{name}")
        smt_got, plain = outer.run([(n, f"MAYFLY_ACCEL=kvm /bin/mayfly run --config /guest/{n}", 240) for n in ("smt", "plain")])
    got = read(smt_got.out)
    # QEMU's processor tells of no caches
    return check_smt(got, cached=False) + ", " + check_mask(got, read(plain.out))


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    suite.check("cpu: features masked, cloud-6.12", lambda: mask("cloud-6.12"))
    suite.check("cpu: a named template, cloud-6.1", lambda: named("cloud-6.1"))
    for kernel in ("cloud-6.1", "cloud-6.12"):
        suite.check(f"cpu: two threads per core, {kernel}", lambda k=kernel: smt(k))
    suite.check("cpu: one thread per core, cloud-6.12", lambda: no_smt("cloud-6.12"))
    if ACCEL == "tcg":
        suite.check("cpu: kvm: template and threads", under_kvm)
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
