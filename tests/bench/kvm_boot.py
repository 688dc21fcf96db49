#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boot time and memory under KVM, paired with QEMU microvm, inside the outer machine of
tests/boot/kvm_outer.py (an emulated machine with a real /dev/kvm).

usage: kvm_boot.py [--runs 5] [--kernel cloud-6.1] [--mayfly PATH] [--rtc] [--exits] [--json FILE]

Both run the same kernel, initramfs, command line and memory, in turn, in one boot of the outer
machine; times are the outer machine's clock from exec to exit (the guest powers itself off), and
the processor time the outer machine took of the host meanwhile, which a busy host disturbs less.
Under an emulated processor only the ratio means something. --rtc gives QEMU the clock that its
microvm leaves out without saying so: the guest spends 20,000 reads on looking for it.
"""
import argparse
import json
import os
import re
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "boot"))
from harness import ROOT, guest, initrd  # noqa: E402
from kvm_outer import Outer  # noqa: E402

QEMU = "/usr/bin/qemu-system-x86_64"
FIRMWARE = ["bios-microvm.bin", "qboot.rom", "linuxboot_dma.bin", "pvh.bin", "kvmvapic.bin"]
LINE = "console=ttyS0 reboot=t panic=-1 mayfly.poweroff"
MEMORY = r"""mayfly run --accel kvm --mem 256M --kernel /guest/vmlinuz --initrd /guest/initrd </dev/null >/tmp/o 2>&1 &
pid=$!
until grep -q 'userspace reached' /tmp/o; do sleep 1; done
sleep 1
awk '/^Size:/ { k = $2 == 262144 ? "ram" : "all_else" } /^Pss:/ { s[k] += $2 } END { for (k in s) print "pss", k, s[k] }' /proc/$pid/smaps
kill -KILL $pid"""
EXITS = r"""mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null; cd /sys/kernel/debug/tracing
echo hist:keys=gsi >events/kvm/kvm_set_irq/trigger
%s >/tmp/o 2>&1 </dev/null &
pid=$!
until grep -q 'userspace reached' /tmp/o; do sleep 0.1; done
for f in /sys/kernel/debug/kvm/[a-z]*; do [ -f $f ] && echo "exits ${f##*/} $(cat $f)"; done | grep -v ' 0$'
echo "exits kvm_set_irq $(sed -n 's/.*Hits: //p' events/kvm/kvm_set_irq/hist)"
echo '!hist:keys=gsi' >events/kvm/kvm_set_irq/trigger
kill -KILL $pid; wait $pid"""


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--kernel", default="cloud-6.1")
    ap.add_argument("--mayfly", default=os.path.join(ROOT, "build-release", "vmm", "mayfly"))
    ap.add_argument("--rtc", action="store_true")
    ap.add_argument("--exits", action="store_true", help="also count exits up to userspace, a boot each")
    ap.add_argument("--json")
    a = ap.parse_args()
    outer = Outer(cpus=1, mem=3072)
    outer.add_binary(a.mayfly)
    outer.add_binary(QEMU, "/bin/qemu")
    for name in FIRMWARE:
        path = os.path.realpath(os.path.join("/usr/share/qemu", name))
        if os.path.exists(path):
            outer.add_file(path, "/usr/share/qemu/" + name)
    outer.add_file(guest(a.kernel), "/guest/vmlinuz")
    outer.add_file(initrd(a.kernel), "/guest/initrd")
    ours = f"mayfly run --accel kvm --mem 512M --kernel /guest/vmlinuz --initrd /guest/initrd --cmdline '{LINE}'"
    theirs = (f"qemu -L /usr/share/qemu -M microvm{',rtc=on' if a.rtc else ''} -accel kvm -cpu host -m 512 -nodefaults -no-user-config -nographic -serial stdio "
              f"-no-reboot -kernel /guest/vmlinuz -initrd /guest/initrd -append '{LINE}'")
    steps = [("memory", MEMORY, 90)]
    if a.exits:
        steps += [(f"exits {n}", EXITS % c.replace(" mayfly.poweroff", ""), 120) for n, c in (("mayfly", ours), ("qemu", theirs))]
    for i in range(a.runs):
        pair = [(f"mayfly {i}", ours, 90), (f"qemu {i}", theirs, 120)]
        steps += pair if i % 2 == 0 else pair[::-1]
    times, cpu, out = {"mayfly": [], "qemu": []}, {"mayfly": [], "qemu": []}, {"kernel": a.kernel, "commands": {"mayfly": ours, "qemu": theirs}}
    for res in outer.run(steps, timeout=120 + a.runs * 60):
        if res.name == "memory":
            out["pss_kib"] = {k: int(v) for k, v in re.findall(r"pss (\w+) (\d+)", res.out)}
            continue
        if res.name.startswith("exits"):
            out[res.name] = {k: int(v) for k, v in re.findall(r"^exits (\S+) (\d+)", res.out, re.M)}
            print(f"{res.name}: " + ", ".join(f"{k} {v}" for k, v in out[res.name].items()))
            continue
        if "userspace reached" not in res.out or res.code != 0:
            print(f"{res.name}: exit {res.code}\n{res.tail()}")
            continue
        times[res.name.split()[0]].append(res.seconds)
        cpu[res.name.split()[0]].append(res.cpu)
    if not times["mayfly"] or not times["qemu"]:
        sys.exit("no pair ended well")
    m, q = (statistics.median(times[n]) for n in ("mayfly", "qemu"))
    print(f"{a.kernel}, kvm in the outer machine, {len(times['mayfly'])} + {len(times['qemu'])} runs: "
          f"mayfly {m:.2f} s, qemu {q:.2f} s, ratio {m / q:.3f}")
    print(f"  mayfly {times['mayfly']}  qemu {times['qemu']}")
    m, q = (statistics.median(cpu[n]) for n in ("mayfly", "qemu"))
    print(f"  the host's processor: mayfly {m:.2f} s, qemu {q:.2f} s, ratio {m / q:.3f}; {cpu}")
    print("memory of mayfly, KiB: " + ", ".join(f"{k} {v}" for k, v in out["pss_kib"].items()))
    if a.json:
        out["seconds"], out["host cpu"] = times, cpu
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
