# SPDX-License-Identifier: Apache-2.0
"""What the boot tests share: run mayfly, read its console, report TAP-like lines.

    suite = Suite()
    suite.check("name", lambda: expect(run([...], timeout=30), code=0, out="marker"))
    sys.exit(suite.finish())
"""
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAYFLY = os.environ.get("MAYFLY", os.path.join(ROOT, "build-test", "vmm", "mayfly"))
CACHE = os.environ.get("MAYFLY_TEST_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mayfly")


class Skip(Exception):
    """Raised by a case that this host cannot run; its text says what is missing."""


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def tail(self, n=12):
        lines = self.out.splitlines()[-n:] + ["stderr: " + x for x in self.err.splitlines()[-n:]]
        return "\n".join("#   " + re.sub(r"[^\x20-\x7e]", "?", x)[:200] for x in lines)


def run(args, timeout=60, stdin=subprocess.DEVNULL, binary=None):
    """Runs mayfly to its end; a timeout gives code None."""
    start = time.monotonic()
    proc = subprocess.Popen([binary or MAYFLY] + args, stdin=stdin, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    try:
        out, err = proc.communicate(timeout=timeout)
        code = proc.returncode
    except subprocess.TimeoutExpired:
        proc.kill()
        out, err = proc.communicate()
        code = None
    return Result(code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"),
                  time.monotonic() - start)


def expect(res, code=0, out=(), not_out=(), err=()):
    """Raises AssertionError with the end of the console unless the result is as told."""
    wrong = []
    if res.code != code:
        wrong.append(f"exit code {res.code}, expected {code}")
    for want in [out] if isinstance(out, str) else out:
        if not re.search(want, res.out):
            wrong.append(f"console lacks {want!r}")
    for bad in [not_out] if isinstance(not_out, str) else not_out:
        if re.search(bad, res.out):
            wrong.append(f"console has {bad!r}")
    for want in [err] if isinstance(err, str) else err:
        if not re.search(want, res.err):
            wrong.append(f"stderr lacks {want!r}")
    if wrong:
        raise AssertionError("; ".join(wrong) + "\n" + res.tail())
    return res


def guest(name):
    """Path that tools/guests knows a guest by, fetched if it is not there yet."""
    res = subprocess.run([os.path.join(ROOT, "tools", "guests"), name], capture_output=True, text=True)
    if res.returncode:
        raise Skip(f"tools/guests {name}: {res.stderr.strip().splitlines()[-1:] or 'failed'}")
    return res.stdout.strip().splitlines()[-1]


def initrd(kernel, modules=()):
    """A busybox initramfs, with modules of that kernel if asked."""
    path = os.path.join(CACHE, "guest", f"initrd-{'-'.join([kernel, *modules])}.img")
    cmd = [os.path.join(ROOT, "tools", "mkinitrd")]
    if modules:
        cmd += ["--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
    res = subprocess.run(cmd + [x for m in modules for x in ("--module", m)] + [path], capture_output=True, text=True)
    if res.returncode:
        raise AssertionError("tools/mkinitrd: " + res.stderr.strip())
    return path


class Suite:
    def __init__(self, only=None):
        self.passed = self.failed = self.skipped = 0
        self.only = re.compile(only) if only else None

    def check(self, name, case):
        if self.only and not self.only.search(name):
            return
        start = time.monotonic()
        try:
            note = case()
            self.passed += 1
            note = f" ({note})" if isinstance(note, str) else ""
            print(f"ok - {name} # {time.monotonic() - start:.1f} s{note}", flush=True)
        except Skip as why:
            self.skipped += 1
            print(f"skip - {name}: {why}", flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as why:
            self.failed += 1
            print(f"not ok - {name}: {why}", flush=True)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0
