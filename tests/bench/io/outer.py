# SPDX-License-Identifier: Apache-2.0
"""The jobs under KVM: both monitors in the outer machine of tests/boot/kvm_outer.py, a boot of each in every round, with a
disk, a tap, a user-mode network and a shared directory at once.

The outer machine has one processor, so everything in it waits for that: the processor time which it took of the host is
the time that the job would have had on an idle host. Rates and times are told by that time, since the host's clock tells of
the host's other work as well; by the clock they are in the JSON ("clock")."""
import os
import re
import shutil
import shlex
import sys

from jobs import ENGINES, disk_jobs, per_second, share_jobs, tap_jobs, user_jobs
from machines import HERE, ROOT, guest, initramfs, make_tree, mayfly_command, qemu_command, rr, tools_image
from engines import Failed

sys.path.insert(0, os.path.join(ROOT, "tests", "boot"))
from kvm_outer import Outer, module_file  # noqa: E402

QEMU = "/usr/bin/qemu-system-x86_64"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
FIRMWARE = ["bios-microvm.bin", "qboot.rom", "linuxboot_dma.bin", "pvh.bin", "kvmvapic.bin"]
MODULES = ["tun", "tap", "vhost_iotlb", "vhost", "vhost_net"]
SETUP = """for m in tun tap vhost_iotlb vhost vhost_net; do insmod /modules/$m.ko 2>/dev/null; done
ulimit -n 65536
ip link set lo up
dd if=/dev/urandom of=/tmp/block bs=1M count=1 2>/dev/null
for n in 0 1; do
	tunctl -t mfbench$n >/dev/null
	ip addr add 10.77.$n.1/24 dev mfbench$n
	ip link set mfbench$n up
done
i=0; while [ $i -lt {size} ]; do cat /tmp/block >>/tmp/disk; i=$((i + 1)); done
mkdir -p /share /tmp/run; cp /tmp/block /share/stream
i=1; while [ $i -lt {stream} ]; do cat /tmp/block >>/share/stream; i=$((i + 1)); done
(setsid iperf3 -s -p 5201 >/dev/null 2>&1 &) ; (setsid rr server 5202 >/dev/null 2>&1 &)
ls -l /dev/net/tun /dev/vhost-net; free -m | head -n 2"""
COUNTS = ("exits", "mmio", "io", "halt", "interrupts")  # of KVM, for one operation
FILES, STREAM_MIB, DISK_MIB, STEP_S = 1000, 32, 128, 240
MAX_ROUNDS = 2
AT = {"kernel": "/guest/vmlinuz", "initrd": "/guest/initrd", "tools": "/guest/tools"}


def add_directory(outer, host, where):
    for base, _, names in os.walk(host):
        for name in names:
            path = os.path.join(base, name)
            outer.add_file(path, os.path.join(where, os.path.relpath(path, host)))


def build(a, tmp):
    outer = Outer(cpus=1, mem=3072)
    outer.add_binary(a.mayfly)
    slirp = os.path.join(os.path.dirname(os.path.abspath(a.mayfly)), "mayfly-slirp")
    if os.path.exists(slirp):
        outer.add_binary(slirp, "/bin/mayfly-slirp")
    outer.add_binary(QEMU, "/bin/qemu-system-x86_64")
    outer.add_binary(VIRTIOFSD, "/bin/virtiofsd")
    outer.add_binary(shutil.which("iperf3"), "/bin/iperf3")
    outer.add_file(rr(), "/bin/rr", 0o755)
    outer.add_file(os.path.join(HERE, "inner.sh"), "/bin/inner.sh", 0o755)
    for name in FIRMWARE:
        path = os.path.realpath(os.path.join("/usr/share/qemu", name))
        if os.path.exists(path):
            outer.add_file(path, "/usr/share/qemu/" + name)
    for name in MODULES:
        outer.add_file(module_file(name), f"/modules/{name}.ko")
    outer.add_file(guest(a.kernel), "/guest/vmlinuz")
    outer.add_file(initramfs(a.kernel), "/guest/initrd")
    outer.add_file(tools_image(), "/guest/tools")
    tree = os.path.join(tmp, "tree")
    make_tree(tree, FILES, 0)
    add_directory(outer, tree, "/share")
    return outer


def kvm_jobs(a, group="kvm"):
    jobs = disk_jobs() + tap_jobs() + user_jobs() + share_jobs(STREAM_MIB)
    for j in jobs:
        j.name = f"{group}-{j.name}"
    return [j for j in jobs if re.search(a.only, j.name)]


def steps_of(a, jobs):
    """The monitors in turn: label and command of each."""
    steps = []
    for turn in range(min(a.rounds, MAX_ROUNDS)):
        for name in ENGINES if turn % 2 == 0 else ENGINES[::-1]:
            number = ENGINES.index(name)
            plan = ",".join(j.line.format(n=number, s=1).replace(" ", ":") for j in jobs)
            line = f"io.ip=eth0/10.77.{number}.2/24 io.ip=eth1/10.0.2.15/24 io.share=share io.plan={plan}"
            m = {"accel": "kvm", "cache": "writeback", "disk": "/tmp/disk", "share": "/share", "tap": f"mfbench{number}",
                 "user": True, "socket": "/tmp/fs.sock", "line": line}
            if name == "mayfly":
                cmd = shlex.join(["mayfly"] + mayfly_command(a, m, AT)[1:])
            else:
                cmd = shlex.join(qemu_command(a, m, AT) + ["-L", "/usr/share/qemu"])
                cmd = ("rm -f /tmp/fs.sock; virtiofsd --socket-path=/tmp/fs.sock -o source=/share,sandbox=chroot,cache=auto >/tmp/fsd 2>&1 & "
                       "n=0; while [ ! -S /tmp/fs.sock ] && [ $n -lt 50 ]; do usleep 100000; n=$((n + 1)); done; /bin/inner.sh {label} " + cmd)
            label = f"{name}{turn}"
            cmd = cmd.replace("{label}", label) if name == "qemu" else f"/bin/inner.sh {label} {cmd}"
            steps.append((label, cmd, STEP_S))
    return steps


def run_kvm(a, group, tmp, results):
    jobs = kvm_jobs(a, group)
    a.mayfly_pci = a.qemu_pci = group == "kvm-pci"
    if not jobs:
        return
    outer = build(a, tmp)
    steps = steps_of(a, jobs)
    found = outer.run([("setup", SETUP.format(size=DISK_MIB, stream=STREAM_MIB), 60)] + steps, timeout=120 + len(steps) * STEP_S)
    if a.verbose:
        for s in found:
            print(f"--- {s.name}: {s.code} after {s.seconds} s\n{s.out}", file=sys.stderr)
    for step in found[1:]:
        engine = re.sub(r"\d+$", "", step.name)
        for n, job in enumerate(jobs):
            mark = re.escape(f"{step.name}.{n}")
            said = re.search(rf"@{mark} @(done|fail) ([^\r\n]*)", step.out)
            times = re.search(rf"@@begin {mark} ([0-9.]+)[\s\S]*?@@end {mark} 0 ([0-9.]+)", step.out)
            if not said or not times or said[1] == "fail":
                raise Failed(f"{job.name}: {engine}: {said[2] if said else 'no answer'}\n{step.tail(6)}")
            took = max(float(times[2]) - float(times[1]), 0.01)
            value = job.read(said[2], took)
            counts = [[int(x) for x in c.split()] for c in re.findall(rf"@{mark} @count ([0-9 ]+)", step.out)]
            ops = per_second(job, value, took) * took
            per_op = {k: (after - before) / ops for k, before, after in zip(COUNTS, *counts)}
            cpu = max(outer.marks.between(f"{step.name}.{n}"), 0.01)
            got = {"value": value * took / cpu if job.better > 0 else value * cpu / took, "clock": value, "cpu_us": cpu / ops * 1e6,
                   "said": said[2], "took_s": took, "kvm": per_op}
            results.setdefault(job.name, {"job": job, "runs": {}})["runs"].setdefault(engine, []).append(got)
