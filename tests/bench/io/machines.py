# SPDX-License-Identifier: Apache-2.0
"""What the I/O benchmark runs: its guest (kernel, initramfs, tools), and the two monitors with the same devices.

A machine is described by a dictionary: disk (an image), cache, tap or user (a network), share (a directory),
line (more of the kernel's command line). mayfly_command() and qemu_command() tell how either monitor makes it.
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cpu"))
from image import DIR, ROOT, digest, fail, guest, program  # noqa: E402

MODULES = {"cloud-6.1": ["virtio_mmio", "virtio_pci", "virtio_blk", "virtio_net", "virtiofs"],
           "cloud-6.12": ["virtio_mmio", "virtio_blk", "virtio_net"]}
TOOLS = {"fio": "fio", "iperf3": "iperf3", "git": "git"}
LINE = "console=ttyS0 quiet reboot=t panic=-1"


def libraries(path):
    out = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    return re.findall(r"=> (/\S+)", out)


def tools_image(names=("fio", "iperf3", "git"), size="128M"):
    """An ext4 image with programs of this host, their libraries and their loader."""
    paths = {}
    for name in names:
        paths[name] = shutil.which(name) or fail(f"{name} is missing: apt-get install {TOOLS[name]}")
    libs = sorted({lib for p in paths.values() for lib in libraries(p)})
    key = repr([(p, os.stat(p).st_mtime) for p in [*paths.values(), *libs]])
    out = os.path.join(DIR, "tools-" + hashlib.sha256(key.encode()).hexdigest()[:16] + ".ext4")
    if os.path.exists(out):
        return out
    os.makedirs(DIR, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        os.mkdir(os.path.join(tmp, "lib"))
        for name, path in paths.items():
            shutil.copy(path, os.path.join(tmp, name))
        shutil.copy("/lib64/ld-linux-x86-64.so.2", os.path.join(tmp, "ld.so"))
        for path in libs:
            shutil.copy(path, os.path.join(tmp, "lib", os.path.basename(path)))
        new = f"{out}.{os.getpid()}"
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", tmp, new, size], check=True)
    os.rename(new, out)
    return out


def rr():
    """The request and response program, for the guest and for here."""
    src = os.path.join(HERE, "rr.c")
    out = os.path.join(DIR, "rr-" + digest([src]))
    if not os.path.exists(out):
        os.makedirs(DIR, exist_ok=True)
        new = f"{out}.{os.getpid()}"
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", new, src], check=True)
        os.rename(new, out)
    return out


def initramfs(kernel):
    script = os.path.join(HERE, "guest.sh")
    out = os.path.join(DIR, f"initrd-io-{kernel}-{digest([script, rr()], repr(MODULES))}.img")
    if not os.path.exists(out):
        new = f"{out}.{os.getpid()}"
        cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--script", script, "--add", f"{rr()}:bench/rr",
               "--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
        subprocess.run(cmd + [x for m in MODULES[kernel] for x in ("--module", m)] + [new], check=True, stdout=sys.stderr)
        os.rename(new, out)
    return out


def tsc_khz():
    return subprocess.run([program(), "tsc"], capture_output=True, text=True, check=True).stdout.strip()


def kernel_line(m, more=""):
    words = [LINE, m.get("line", ""), more, f"io.tools={'vdb' if m.get('disk') else 'vda'}"]
    return " ".join(w for w in words if w)


def mayfly_command(a, m, at):
    """at: where the files are: kernel, initrd, tools."""
    cmd = [a.mayfly, "run", *(["--bus", "pci"] if a.mayfly_pci else []), "--accel", m["accel"], "--cpus", str(a.cpus),
           "--mem", "512M", "--kernel", at["kernel"], "--initrd", at["initrd"], "--cmdline", kernel_line(m), "--no-reboot"]
    if m.get("disk"):
        cmd += ["--disk", f"{m['disk']},cache={m['cache']}" + ("," + a.disk_keys if a.disk_keys else "")]
    cmd += ["--disk", at["tools"] + ",ro"]
    if m.get("share"):
        cmd += ["--fs", f"{m['share']},tag=share"]
    nets = (["tap=" + m["tap"]] if m.get("tap") else []) + ([a.user_net] if m.get("user") else [])
    return cmd + [x for n in nets or ["none"] for x in ("--net", n)]


def qemu_command(a, m, at, khz=""):
    """With what a user would take: io_uring and an I/O thread for the disk, a network without a thread of its own.
    --qemu-pci puts the devices on PCI Express, where QEMU has I/O threads under TCG, too."""
    pci = a.qemu_pci or m.get("share")  # vhost-user-fs wants PCI
    kind = "pci" if a.qemu_pci else "device"
    more = f"tsc=reliable tsc_early_khz={khz}" if khz else ""
    cmd = ["qemu-system-x86_64", "-M", "microvm" + (",pcie=on" if pci else ""), "-accel", m["accel"], "-cpu",
           "max" if m["accel"] == "tcg" else "host", "-smp", str(a.cpus), "-m", "512", "-kernel", at["kernel"], "-initrd",
           at["initrd"], "-append", kernel_line(m, more), "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio",
           "-no-reboot"]
    if m.get("share"):  # vhost-user's process sees the guest's memory
        cmd += ["-object", "memory-backend-memfd,id=mem,size=512M,share=on", "-machine", "memory-backend=mem",
                "-chardev", f"socket,id=fs0,path={m['socket']}", "-device", "vhost-user-fs-pci,chardev=fs0,tag=share"]
    # microvm numbers its slots from the last: /dev/vda is the device that is given first all the same
    if m.get("disk"):
        # QEMU 7.2 has no I/O threads for virtio-mmio under TCG
        thread = ",iothread=io0" if a.qemu_pci or m["accel"] == "kvm" else ""
        cmd += ["-object", "iothread,id=io0",
                "-drive", f"id=d0,if=none,format=raw,aio=io_uring,cache={m['cache']},file={m['disk']}", "-device", f"virtio-blk-{kind},drive=d0" + thread]
    cmd += ["-drive", f"id=d1,if=none,format=raw,readonly=on,file.locking=off,file.filename={at['tools']}",
            "-device", f"virtio-blk-{kind},drive=d1"]
    rom = ",romfile=" if a.qemu_pci else ""
    if m.get("tap"):
        cmd += ["-netdev", f"tap,id=n0,ifname={m['tap']},script=no,downscript=no,vhost={'on' if a.vhost else 'off'}",
                "-device", f"virtio-net-{kind},netdev=n0" + rom]
    if m.get("user"):
        cmd += ["-netdev", "user,id=n1", "-device", f"virtio-net-{kind},netdev=n1" + rom]
    return cmd


def make_disk(path, mib):
    """Real blocks, and all of them in the page cache."""
    block = os.urandom(1 << 20)
    with open(path, "wb") as f:
        for i in range(mib):
            f.write(i.to_bytes(8, "little") + block[8:])
        f.flush()
        os.fsync(f.fileno())


def make_tree(path, files=20000, stream_mib=256):
    """A git work tree, all of it committed: the same files each time, in directories of 50."""
    if os.path.exists(os.path.join(path, "tree", ".git", "index")):
        return path
    tree = os.path.join(path, "tree")
    os.makedirs(tree, exist_ok=True)
    for i in range(files):
        where = os.path.join(tree, f"d{i // 1000:02d}", f"e{i // 50 % 20:02d}")
        if i % 50 == 0:
            os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, f"file{i:05d}.txt"), "w", encoding="ascii") as f:
            f.write(f"{i}\n" * (1 + i % 97))
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
    for cmd in (["init", "-q", "-b", "main"], ["add", "."],
                ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0", "commit", "-q", "-m", "tree"],
                ["repack", "-adq"]):
        subprocess.run(["git", "-C", tree, *cmd], check=True, env=env, stdout=subprocess.DEVNULL)
    if stream_mib:
        make_disk(os.path.join(path, "stream"), stream_mib)
    return path
