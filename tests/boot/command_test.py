#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`mayfly run -- CMD`: output, exit status, where commands are found. usage: command_test.py [REGEX]"""
import os
import pty
import select
import subprocess
import sys
import tempfile
import time

from harness import MAYFLY, ROOT, Suite, guest

BASE = ["run", "--accel", "tcg", "--mem", "256M", "--net", "none", "--timeout", "60s"]


def command(kernel, words, extra=(), timeout=90, stdin=b""):
    """Runs words in the guest, with bytes or a file to read; returns exit code and output, byte for byte."""
    given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    res = subprocess.run([MAYFLY, *BASE, "--kernel", guest(kernel), *extra, "--", *words], **given,
                         capture_output=True, timeout=timeout)
    return res.returncode, res.stdout, res.stderr


def expect(got, code, out, err=b""):
    if got[0] != code or (out is not None and got[1] != out) or (err is not None and got[2] != err):
        raise AssertionError(f"code {got[0]}, output {got[1][-300:]!r}, errors {got[2][-300:]!r}")


def says_which_kernel(kernel):
    code, out, err = command(kernel, ["uname", "-s", "-m"])
    expect((code, out, err), 0, b"Linux x86_64\n")


def gives_bytes_as_they_are():
    expect(command("cloud-6.1", ["printf", r"a\nb\r\n\377\000\033[0m"]), 0, b"a\nb\r\n\xff\0\x1b[0m")


def gives_long_output_whole():
    code, out, _ = command("cloud-6.12", ["sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"])
    expect((code, out, b""), 0, b"".join(b"line %d\n" % i for i in range(2000)))


def keeps_words_apart():
    expect(command("cloud-6.1", ["sh", "-c", 'printf "[%s]" "$@"', "sh", "a b", "", "*", "é'\""]), 0, "[a b][][*][é'\"]".encode())


def gives_exit_status():
    expect(command("cloud-6.1", ["sh", "-c", "exit 42"]), 42, b"")
    expect(command("cloud-6.12", ["false"]), 1, b"")
    expect(command("cloud-6.1", ["sh", "-c", "kill -9 $$"]), 137, b"")
    expect(command("cloud-6.1", ["no-such-program"]), 127, None, None)


def has_no_input():
    expect(command("cloud-6.1", ["sh", "-c", "wc -c; echo done"], stdin=subprocess.DEVNULL), 0, b"0\ndone\n")


def reads_a_pipe():
    """Every byte value, marks of the framing in a row, and more than any buffer on the way holds."""
    sent = bytes(range(256)) + b"\x10\x10\x04\x10" + os.urandom(150_000) + b"\x10"
    expect(command("cloud-6.12", ["cat"], stdin=sent), 0, sent)


def reads_a_file():
    with tempfile.TemporaryFile() as f:
        f.write(b"x" * 5000)
        f.seek(0)
        expect(command("cloud-6.1", ["wc", "-c"], stdin=f), 0, b"5000\n")


def reads_late():
    """The command looks at its input long after it came: nothing is lost in between."""
    sent = os.urandom(100_000)
    expect(command("cloud-6.1", ["sh", "-c", "sleep 2; cat"], stdin=sent), 0, sent)


def ends_before_its_input():
    expect(command("cloud-6.1", ["head", "-c", "3"], stdin=b"abc" + bytes(200_000)), 0, b"abc")


def answers_line_by_line():
    """What is written is there at once, not only when the input ends."""
    p = subprocess.Popen([MAYFLY, *BASE, "--kernel", guest("cloud-6.1"), "--", "sh", "-c", "while read -r x; do echo \"> $x\"; done"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        for line in (b"one\n", b"two\n"):
            p.stdin.write(line)
            p.stdin.flush()
            if not select.select([p.stdout], [], [], 60)[0] or p.stdout.readline() != b"> " + line:
                raise AssertionError(f"no answer to {line!r}")
        p.stdin.close()
        if p.wait(60) != 0:
            raise AssertionError(f"code {p.returncode}")
    finally:
        p.kill()
        p.wait()


def ends_when_the_guest_crashes():
    code, _, err = command("cloud-6.1", ["sh", "-c", "mount -t proc p /proc; echo c >/proc/sysrq-trigger; sleep 60"])
    if code != 32 or b"loglevel" not in err:
        raise AssertionError(f"code {code}, errors {err!r}")


def powers_off():
    code, _, err = command("cloud-6.1", ["poweroff", "-f"])
    if code != 1 or b"before it said" not in err:
        raise AssertionError(f"code {code}, errors {err!r}")


def uses_own_initrd_and_modules():
    with tempfile.TemporaryDirectory(prefix="mayfly-cmd-") as tmp:
        out = os.path.join(tmp, "initrd")
        subprocess.run([os.path.join(ROOT, "tools", "mkinitrd"), "--modules",
                        os.path.dirname(os.path.dirname(guest("cloud-6.1"))), "--module", "virtio_mmio", "--module", "virtio_rng",
                        "--gzip", out], check=True, capture_output=True)
        got = command("cloud-6.1", ["cat", "/sys/class/misc/hw_random/rng_current"], ["--initrd", out, "--rng"])
    expect(got, 0, b"virtio_rng.0\n")


def runs_in_a_shared_directory():
    """The directory is the guest's root: its program, its file; what the command writes is there."""
    with tempfile.TemporaryDirectory(prefix="mayfly-cmd-") as tmp:
        out, root = os.path.join(tmp, "initrd"), os.path.join(tmp, "root")
        for d in ("bin", "dev", "proc", "sys"):
            os.makedirs(os.path.join(root, d))
        subprocess.run([os.path.join(ROOT, "tools", "mkinitrd"), "--modules",
                        os.path.dirname(os.path.dirname(guest("cloud-6.12"))), "--module", "virtio_mmio", "--module", "virtiofs",
                        out], check=True, capture_output=True)
        for path in ("/bin/busybox", "/usr/bin/busybox"):
            if os.path.exists(path):
                subprocess.run(["cp", path, os.path.join(root, "bin", "busybox")], check=True)
                break
        os.symlink("busybox", os.path.join(root, "bin", "sh"))
        with open(os.path.join(root, "text"), "w", encoding="utf-8") as f:
            f.write("from the host\n")
        got = command("cloud-6.12", ["sh", "-c", "cat /text; echo from the guest >/answer; ls /proc/1/exe >/dev/null || echo no proc"],
                      ["--initrd", out, "--fs", root + ",tag=r", "--cmdline+", "root=r rootfstype=virtiofs"])
        expect(got, 0, b"from the host\n")
        with open(os.path.join(root, "answer"), encoding="utf-8") as f:
            if f.read() != "from the guest\n":
                raise AssertionError("the guest's answer is not there")


def talks_to_a_terminal():
    """On a terminal there is a prompt's line editing and job control, and raw mode is left at the end."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(MAYFLY, [MAYFLY, *BASE, "--kernel", guest("cloud-6.1"), "--", "sh", "-c",
                          "tty -s && echo ready && read -r x && echo \"got <$x>\"; exit 7"])
    text, sent, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([fd], [], [], 1)[0]:
            continue
        try:
            data = os.read(fd, 4096)
        except OSError:
            break
        if not data:
            break
        text += data
        if b"ready" in text and not sent:
            os.write(fd, b"hellx\x7fo\r")
            sent = True
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 7 or b"got <hello>" not in text:
        raise AssertionError(f"code {status}, terminal {text!r}")


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for kernel in ("cloud-6.1", "cloud-6.12"):
        suite.check(f"command: uname, {kernel}", lambda k=kernel: says_which_kernel(k))
    for name, case in [
        ("output byte for byte", gives_bytes_as_they_are),
        ("long output", gives_long_output_whole),
        ("words stay apart", keeps_words_apart),
        ("exit status", gives_exit_status),
        ("no input", has_no_input),
        ("reads a pipe", reads_a_pipe),
        ("reads a file", reads_a_file),
        ("reads late", reads_late),
        ("ends before its input", ends_before_its_input),
        ("answers line by line", answers_line_by_line),
        ("guest powers off", powers_off),
        ("guest crashes", ends_when_the_guest_crashes),
        ("initrd with modules", uses_own_initrd_and_modules),
        ("root is a shared directory", runs_in_a_shared_directory),
        ("on a terminal", talks_to_a_terminal),
    ]:
        suite.check("command: " + name, case)
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
