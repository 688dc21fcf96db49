# SPDX-License-Identifier: Apache-2.0
"""A guest that runs while a test talks to it: shell lines on its serial console, commands to the monitor.

    with Live("cloud-6.12", ["virtio_mmio", "virtio_balloon"], ["--balloon", "0"]) as g:
        g.sh("cat /proc/meminfo")        # the output; raises if the shell line fails
        g.tell("balloon 128")            # mayfly debug tell
        g.rss_mib()                      # of the monitor
"""
import os
import re
import select
import subprocess
import tempfile
import time

from harness import MAYFLY, ROOT, guest

# Reads a line, runs it, and says so in a way that the echo of the line does not.
AGENT = """#!/bin/sh
mount -t tmpfs -o size=95% none /tmp
stty -echo
n=0
echo agent-ready
while read -r line; do
	n=$((n + 1))
	eval "$line"
	echo "agent-done $n $?"
done
"""


def make_initrd(tmp, kernel, modules, script=AGENT):
    path, out = os.path.join(tmp, "script"), os.path.join(tmp, "initrd")
    with open(path, "w", encoding="utf-8") as f:
        f.write(script or "")
    os.chmod(path, 0o755)
    cmd = [os.path.join(ROOT, "tools", "mkinitrd")]
    if modules:
        cmd += ["--modules", os.path.dirname(os.path.dirname(guest(kernel)))]
    cmd += [x for m in modules for x in ("--module", m)] + (["--script", path] if script else []) + [out]
    subprocess.run(cmd, check=True, capture_output=True)
    return out


class Live:
    def __init__(self, kernel, modules, args, mem="512M", cpus=1, bus="mmio", accel="tcg", script=AGENT, ready="agent-ready"):
        self.tmp = tempfile.TemporaryDirectory(prefix="mayfly-live-")
        self.dir = self.tmp.name
        self.env = {**os.environ, "XDG_RUNTIME_DIR": self.dir}
        cmd = [MAYFLY, "run", "--accel", accel, "--cpus", str(cpus), "--mem", mem, "--bus", bus, "--net", "none",
               "--kernel", guest(kernel), "--initrd", make_initrd(self.dir, kernel, modules, script),
               "--cmdline", "console=ttyS0 quiet", "--timeout", "150s"]
        self.proc = subprocess.Popen(cmd + [a.replace("@", self.dir) for a in args], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)
        self.text, self.lines, self.ready, self.seen = "", 0, ready, ""

    def __enter__(self):
        self.seen = self.wait(self.ready, 60)
        return self

    def __exit__(self, *_):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()
        self.proc.stderr.close()
        self.tmp.cleanup()

    def wait(self, want, timeout):
        """Reads the console until it has what is wanted; gives what came since the last call."""
        end = time.monotonic() + timeout
        while not re.search(want, self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.proc.stdout], [], [], left)[0]:
                raise AssertionError(f"no {want!r} within {timeout} s: {self.text[-600:]!r}")
            chunk = os.read(self.proc.stdout.fileno(), 65536)
            if not chunk:
                raise AssertionError(f"ended ({self.proc.wait()}): {self.text[-600:]!r}"
                                     f"{self.proc.stderr.read()[-300:]!r}")
            self.text += chunk.decode("utf-8", "replace")
        text, self.text = self.text, ""
        return text

    def sh(self, line, timeout=60, code=0):
        self.lines += 1
        self.proc.stdin.write(line.encode() + b"\n")
        self.proc.stdin.flush()
        out = self.wait(rf"agent-done {self.lines} \d+", timeout)
        got = re.search(rf"agent-done {self.lines} (\d+)", out).group(1)
        if int(got) != code:
            raise AssertionError(f"{line!r} ended with {got}: {out[-600:]!r}")
        return out.replace("\r", "").split("agent-done")[0]

    def tell(self, command, code=0):
        res = subprocess.run([MAYFLY, "debug", "tell", str(self.proc.pid), *command.split()], env=self.env,
                             capture_output=True, text=True, timeout=20)
        if res.returncode != code:
            raise AssertionError(f"tell {command}: {res.returncode} {res.stdout}{res.stderr}")
        return res.stdout if code == 0 else res.stderr

    def figures(self, command):
        return {k: int(v) for k, v in re.findall(r"^(\S+) +(\d+)$", self.tell(command), re.M)}

    def until(self, what, condition, timeout=30):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout} s: {what()}")
            time.sleep(0.1)

    def rss_mib(self):
        with open(f"/proc/{self.proc.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) // 1024

    def available_mib(self):
        return int(re.search(r"MemAvailable:\s+(\d+) kB", self.sh("grep MemAvailable /proc/meminfo")).group(1)) // 1024

    def use_and_free(self, mib):
        """Has the guest fill so much memory and free it again; gives the monitor's RSS then."""
        self.sh(f"dd if=/dev/zero of=/tmp/fill bs=1M count={mib} 2>/dev/null")
        full = self.rss_mib()
        self.sh("rm /tmp/fill")
        return full
