#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""virtio-fs under real work. usage: fs_test.py [REGEX]

A stock kernel without initrd has this host's root directory, read-only, as its own root (virtio-fs), and a
second directory to work in, where git, dpkg, python, sqlite and tests/boot/guest/fsops.c do what they do
on local disks; what fsops reads and finds must be what it does here.

MAYFLY_FS_OPS (3000) operations of fsops per seed, MAYFLY_FS_SEEDS (1) of them.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

from harness import ROOT, Skip, Suite, expect, guest, run

BAD = [r"Kernel panic - not syncing: (?!Attempted)", r"BUG:", r"WARNING: CPU", r"Oops"]
INIT = """#!/bin/sh
export PATH=%(path)s HOME=/tmp LC_ALL=C
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /run
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mount -t virtiofs work %(tmp)s/work || echo "fs bad: no mount"
cd %(tmp)s/work
echo "root is $(awk '$2 == "/" {print $1, $3, substr($4, 1, 2)}' /proc/mounts)"
touch /root-was-written 2>/dev/null && echo "fs bad: root can be written"
(set -e
%(script)s
) </dev/null && echo "fs good" || echo "fs bad: $?"
sync
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
"""

GIT = """git config --global user.name t; git config --global user.email t@example.org; git config --global init.defaultBranch main
mkdir repo; cd repo; git init -q
for i in $(seq 60); do mkdir -p d$((i % 7)); seq $i $((i * 50)) >d$((i % 7))/f$i; done
ln -s d0 link; git add -A; git commit -qm one
for i in $(seq 10); do echo $i >>d1/f1; git commit -qam $i; done
cd ..; git clone -q --no-hardlinks repo copy; cd copy
[ -z "$(git status --porcelain)" ]
git gc -q; git fsck --strict; git checkout -q -b side HEAD~5; git mv d2 d9; git commit -qm moved
git rebase -q main; git -c gc.auto=0 pull -q --rebase origin main; [ -z "$(git status --porcelain)" ]
[ "$(git rev-list --count HEAD)" = 12 ]
git stash list; cd ..; rm -rf copy; [ ! -e copy ]"""

DPKG = """mkdir -p pkg/DEBIAN pkg/usr/share/t/sub pkg/usr/bin root/var/lib/dpkg/updates root/var/lib/dpkg/info
touch root/var/lib/dpkg/status root/var/lib/dpkg/available
for i in $(seq 150); do seq $i 200 >pkg/usr/share/t/f$i; done
echo x >pkg/usr/bin/t; chmod 755 pkg/usr/bin/t; ln -s t pkg/usr/bin/t2; ln pkg/usr/bin/t pkg/usr/bin/t3
for v in 1 2; do
	printf 'Package: t\\nVersion: %s\\nArchitecture: all\\nMaintainer: t <t@example.org>\\nDescription: t\\n' $v >pkg/DEBIAN/control
	echo $v >pkg/usr/share/t/version; [ $v = 1 ] || rm pkg/usr/share/t/f7
	dpkg-deb --root-owner-group -Zgzip -b pkg t$v.deb
	dpkg --instdir=$PWD/root --admindir=$PWD/root/var/lib/dpkg --force-not-root --log=/tmp/log -i t$v.deb
	[ "$(cat root/usr/share/t/version)" = $v ]
done
[ ! -e root/usr/share/t/f7 ]; [ -z "$(dpkg --root=$PWD/root --admindir=$PWD/root/var/lib/dpkg -V t)" ]
cmp root/usr/bin/t root/usr/bin/t3; [ "$(readlink root/usr/bin/t2)" = t ]; [ -z "$(find root -name '*.dpkg-*')" ]
dpkg --instdir=$PWD/root --admindir=$PWD/root/var/lib/dpkg --force-not-root --log=/tmp/log -P t
[ ! -e root/usr/share/t ]"""

PYTHON = """python3 -m venv --without-pip env
env/bin/python - <<'E'
import sys, os, shutil, tempfile, compileall, zipfile, sqlite3, mmap
assert sys.prefix == os.path.join(os.getcwd(), "env"), sys.prefix
d = os.path.join(sys.prefix, "lib", "pkg"); os.makedirs(d)
for i in range(40): open(os.path.join(d, f"m{i}.py"), "w").write(f"x = {i}\\n")
assert compileall.compile_dir(d, quiet=1)
sys.path.insert(0, d)
assert sum(__import__(f"m{i}").x for i in range(40)) == 780
shutil.make_archive("z", "zip", d); assert zipfile.ZipFile("z.zip").testzip() is None
with tempfile.TemporaryFile(dir=".") as f: f.write(b"a" * 100000); f.seek(0); assert len(f.read()) == 100000
shutil.copytree(d, "copy"); shutil.rmtree("copy")
E"""

SQLITE = """python3 - <<'E'
import os, sqlite3, hashlib
for mode in ("delete", "truncate", "persist", "wal"):
    name = f"{mode}.db"
    pids = []
    db = sqlite3.connect(name, timeout=60); assert db.execute(f"pragma journal_mode={mode}").fetchone()[0] == mode
    db.execute("create table t(a integer primary key, w integer, b blob)"); db.commit(); db.close()
    for w in range(2):
        pid = os.fork()
        if not pid:
            db = sqlite3.connect(name, timeout=60, isolation_level=None)
            for i in range(25):
                db.execute("begin immediate")
                db.executemany("insert into t(w, b) values(?, ?)", [(w, os.urandom(500)) for _ in range(4)])
                db.execute("rollback" if i % 5 == 4 else "commit")
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(p, 0)[1] for p in pids] == [0, 0]
    db = sqlite3.connect(name); assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
    assert db.execute("select w, count(*) from t group by w").fetchall() == [(0, 80), (1, 80)], mode
    db.execute("delete from t where a % 2"); db.commit(); db.execute("vacuum"); db.close()
E"""


@contextlib.contextmanager
def directory():
    # not below /tmp, where the guest has its own
    with tempfile.TemporaryDirectory(prefix="mayfly-fs-", dir="/var/tmp") as tmp:
        os.mkdir(os.path.join(tmp, "work"))
        yield tmp


def work(tmp, script, cache="auto", timeout=240):
    init = os.path.join(tmp, "init")
    with open(init, "w", encoding="utf-8") as f:
        f.write(INIT % {"tmp": tmp, "script": script, "path": os.environ["PATH"]})
    os.chmod(init, 0o755)
    res = run(["run", "--accel", "tcg", "--cpus", "2", "--mem", "512M", "--bus", "pci", "--net", "none", "--kernel",
               guest("cloud-6.12"), "--fs", "/,tag=root,ro", "--fs", f"{tmp}/work,tag=work,cache={cache}", "--cmdline",
               f"console=ttyS0 quiet root=root rootfstype=virtiofs ro init={init}", "--timeout", f"{timeout}s"],
              timeout=timeout + 30)
    return expect(res, code=0, out=[r"root is root virtiofs ro", r"fs good"], not_out=BAD + ["fs bad"])


def program(script, needs):
    for tool in needs:
        if not shutil.which(tool):
            raise Skip(f"{tool} is missing")
    if os.geteuid():
        raise Skip("needs root, to be the guest's")
    with directory() as tmp:
        work(tmp, script)


def fsops(cache):
    ops, seeds = os.environ.get("MAYFLY_FS_OPS", "3000"), int(os.environ.get("MAYFLY_FS_SEEDS", "1"))
    if os.geteuid():
        raise Skip("needs root, to be the guest's")
    with directory() as tmp:
        exe = os.path.join(tmp, "fsops")
        subprocess.run(["cc", "-O2", "-static", "-o", exe, os.path.join(ROOT, "tests", "boot", "guest", "fsops.c")], check=True)
        here = "".join(subprocess.run([exe, os.path.join(tmp, f"here{s}"), str(s), ops], capture_output=True, text=True,
                                      check=True).stdout for s in range(1, seeds + 1))
        res = work(tmp, "\n".join(f"{exe} there{s} {s} {ops}" for s in range(1, seeds + 1)), cache)
        there = re.findall(r"fsops \d+: .*", res.out.replace("\r", ""))
        if there != here.splitlines():
            raise AssertionError(f"here {here.splitlines()}, in the guest {there}")
        for s in range(1, seeds + 1):  # and the host sees the same tree
            diff = subprocess.run(["diff", "-r", "--no-dereference", f"{tmp}/here{s}", f"{tmp}/work/there{s}"],
                                  capture_output=True, text=True)
            if diff.returncode:
                raise AssertionError(diff.stdout[:500])
        return f"{seeds} x {ops} operations"


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for cache in ("auto", "never", "always"):
        suite.check(f"tcg: virtio-fs, random operations as here, cache={cache}", lambda c=cache: fsops(c))
    suite.check("tcg: virtio-fs, git", lambda: program(GIT, ["git"]))
    suite.check("tcg: virtio-fs, dpkg", lambda: program(DPKG, ["dpkg", "dpkg-deb"]))
    suite.check("tcg: virtio-fs, python", lambda: program(PYTHON, ["python3"]))
    suite.check("tcg: virtio-fs, sqlite with journals and WAL", lambda: program(SQLITE, ["python3"]))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
