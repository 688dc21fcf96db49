# SPDX-License-Identifier: Apache-2.0
"""Builds what the benchmark runs: the program, the initramfs, the Debian root."""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "boot"))
from harness import CACHE, ROOT, guest  # noqa: E402

DIR = os.path.join(CACHE, "bench")
PACKAGES = "gzip,xz-utils,zstd,python3,perl,sqlite3,nodejs,gcc,libc6-dev,procps"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def fail(text):
    sys.exit(f"bench: {text}")


def digest(paths, extra=""):
    h = hashlib.sha256(extra.encode())
    for p in paths:
        with open(p, "rb") as f:
            h.update(os.path.basename(p).encode() + b"\0" + f.read())
    return h.hexdigest()[:16]


def program():
    """The static benchmark program. Kept by a hash of its sources; a change makes another file."""
    names = sorted(n for n in os.listdir(HERE) if n.endswith((".c", ".h")))
    paths = [os.path.join(HERE, n) for n in names]
    version = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    out = os.path.join(DIR, "program-" + digest(paths, version), "bench")
    if os.path.exists(out):
        return out
    os.makedirs(os.path.dirname(out), exist_ok=True)
    tmp = f"{out}.{os.getpid()}"
    base = ["gcc", "-std=gnu11", "-O2", "-static", "-pthread", *WARNINGS, "-o", tmp, *[p for p in paths if p.endswith(".c")]]
    res = subprocess.run(base + ["-lcrypto", "-lm"], capture_output=True, text=True)
    if res.returncode and ("openssl/" in res.stderr or "-lcrypto" in res.stderr):
        print("bench: no static libcrypto (apt-get install libssl-dev); without its items", file=sys.stderr)
        res = subprocess.run(base + ["-DBENCH_NO_CRYPTO", "-lm"], capture_output=True, text=True)
    if res.returncode:
        fail("cannot build the program\n" + res.stderr)
    os.rename(tmp, out)
    return out


def listed(binary, only=None, quick=False, par=False):
    """The items whose "group:name" matches, as dictionaries for report.py."""
    items = []
    for line in subprocess.run([binary, "list"], capture_output=True, text=True, check=True).stdout.splitlines():
        name, group, needs = line.split("\t")
        if (group == "par") == par and not (quick and needs) and (not only or re.search(only, f"{group}:{name}")):
            items.append({"name": name, "group": group, "root": bool(needs), "runs": {}})
    return items


def initramfs(kernel, binary, disk):
    """An initramfs with the program, the work files, and the modules that a disk needs."""
    work = os.path.join(HERE, "work")
    files = [os.path.join(work, n) for n in sorted(os.listdir(work))] if os.path.isdir(work) else []
    script = os.path.join(HERE, "guest.sh")
    out = os.path.join(os.path.dirname(binary), f"initrd-{kernel}-{'disk' if disk else 'plain'}-{digest(files + [script])}.img")
    if os.path.exists(out):
        return out
    tmp = f"{out}.{os.getpid()}"
    cmd = [os.path.join(ROOT, "tools", "mkinitrd"), "--script", script, "--add", f"{binary}:bench/bench"]
    if disk:
        cmd += ["--modules", os.path.dirname(os.path.dirname(guest(kernel))), "--module", "virtio_mmio", "--module", "virtio_blk"]
        cmd += [x for f in files for x in ("--add", f"{f}:bench/work/{os.path.basename(f)}")]
    res = subprocess.run(cmd + [tmp], capture_output=True, text=True)
    if res.returncode:
        fail("tools/mkinitrd: " + res.stderr.strip())
    os.rename(tmp, out)
    return out


def debian_root():
    """(tree, image) of a Debian 12 root with the programs that items run; made once, needs root."""
    where = os.path.join(DIR, "root-" + hashlib.sha256(PACKAGES.encode()).hexdigest()[:16])
    tree, image = os.path.join(where, "root"), os.path.join(where, "root.ext4")
    os.makedirs(DIR, exist_ok=True)
    with open(os.path.join(DIR, ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(image):
            return tree, image
        for tool in ("mmdebstrap", "mke2fs"):
            if not shutil.which(tool):
                fail(f"{tool} is missing; apt-get install mmdebstrap e2fsprogs, or leave out the programs: --only '^(int|simd|sys):'")
        print("bench: making the Debian root (once, some minutes)", file=sys.stderr)
        shutil.rmtree(where, ignore_errors=True)
        os.makedirs(where)
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}",
                        "--aptopt=Acquire::Languages \"none\"", "bookworm", tree], check=True, stdout=sys.stderr)
        for junk in ("usr/share/doc", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt"):
            shutil.rmtree(os.path.join(tree, junk), ignore_errors=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, "-L", "bench-root", image + ".new", "1500M"], check=True)
        os.rename(image + ".new", image)
    return tree, image
