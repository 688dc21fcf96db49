#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What stands around `mayfly run`: ps, metrics of running machines, completions, service managers, man pages.
usage: comfort_test.py [REGEX]. Guests are a few bytes of code, as in cli_test.py."""
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import payload
from harness import MAYFLY, ROOT, Skip, Suite

ACCEL = os.environ.get("MAYFLY_TEST_ACCEL", "tcg")


def say(*words, env=None):
    res = subprocess.run([MAYFLY, *words], capture_output=True, text=True, timeout=20, env=env)
    assert res.returncode == 0, f"{words}: {res.returncode}, {res.stderr}"
    return res.stdout


class Machines:
    """Running machines with a runtime directory of their own."""

    def __init__(self, tmp, n, extra=()):
        self.env = dict(os.environ, XDG_RUNTIME_DIR=tmp)
        kernel = payload.write(tmp, "spin", payload.SPIN)
        self.procs = [subprocess.Popen([MAYFLY, "run", "--accel", ACCEL, "--mem", f"{16 * (i + 1)}M", "--net", "none", "--kernel",
                                        kernel, "--timeout", "30s", *extra], env=self.env, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(n)]
        end = time.monotonic() + 10
        while len(self.list()) < n:
            assert time.monotonic() < end, "machines do not show up"
            time.sleep(0.05)

    def list(self):
        return json.loads(say("ps", "--json", env=self.env))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.procs:
            p.kill()
            p.wait()


def ps_lists_machines(tmp):
    with Machines(tmp, 3) as m:
        by_pid = {x["pid"]: x for x in m.list()}
        for i, p in enumerate(m.procs):
            one = by_pid[p.pid]
            assert one["mem_bytes"] == 16 * (i + 1) << 20 and one["accel"] == ACCEL and one["state"] == "running", one
        lines = say("ps", env=m.env).splitlines()
        assert len(lines) == 4 and lines[0].split() == ["PID", "STATE", "ACCEL", "VCPUS", "MEM", "UP", "RESETS"], lines
        m.procs[0].kill()  # its socket stays
        m.procs[0].wait()
        m.procs[1].send_signal(signal.SIGHUP)
        m.procs[1].wait()
        assert [x["pid"] for x in m.list()] == [m.procs[2].pid]


def ps_without_machines(tmp):
    env = dict(os.environ, XDG_RUNTIME_DIR=tmp)
    assert json.loads(say("ps", "--json", env=env)) == []
    assert len(say("ps", env=env).splitlines()) == 1


def metrics_of_a_running_machine(tmp):
    with Machines(tmp, 1, ["--rng"]) as m:
        pid = str(m.procs[0].pid)
        text = say("debug", "metrics", pid, env=m.env)
        for line in text.splitlines():
            assert re.fullmatch(r"# TYPE [a-z0-9_]+ (counter|gauge)|[a-z0-9_]+(\{[a-z]+=\"[^\"]*\"(,[a-z]+=\"[^\"]*\")*\})? [0-9.]+",
                                line), line
        assert f'mayfly_info{{accel="{ACCEL}",state="running"}} 1' in text
        doc = json.loads(say("debug", "metrics", pid, "--json", env=m.env))
        assert "vcpu" in doc and doc["net"]["tx_count"] == 0


def metrics_to_a_file(tmp):
    path = os.path.join(tmp, "lines")
    with Machines(tmp, 1, ["--metrics", path]) as m:
        m.procs[0].send_signal(signal.SIGUSR1)
        time.sleep(0.3)
        m.procs[0].send_signal(signal.SIGHUP)
        m.procs[0].wait()
    with open(path, encoding="utf-8") as f:
        lines = [json.loads(x) for x in f]
    assert len(lines) == 2 and lines[0]["utc_timestamp_ms"] < lines[1]["utc_timestamp_ms"], lines


def manager_is_told(tmp, abstract):
    name = f"\0mayfly-test-{os.getpid()}" if abstract else os.path.join(tmp, "notify")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(name)
    sock.settimeout(10)
    env = dict(os.environ, NOTIFY_SOCKET=name.replace("\0", "@"))
    proc = subprocess.Popen([MAYFLY, "run", "--accel", ACCEL, "--mem", "16M", "--net", "none", "--kernel",
                             payload.write(tmp, "spin", payload.SPIN), "--timeout", "20s"], env=env,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert sock.recv(200).startswith(b"READY=1\n")
        proc.send_signal(signal.SIGTERM)
        assert sock.recv(200).startswith(b"STOPPING=1\n")
    finally:
        proc.kill()
        proc.wait()
        sock.close()


def unit_is_sound(tmp):
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze")
    unit = os.path.join(tmp, "mayfly@.service")
    shutil.copy(os.path.join(ROOT, "tools", "systemd", "mayfly@.service"), unit)
    res = subprocess.run(["systemd-analyze", "verify", "--man=no", unit.replace("@.", "@x.")], capture_output=True, text=True)
    assert "mayfly" not in res.stderr, res.stderr


def unit_environment(tmp):
    """What the unit runs, with its environment: a JSON file alone will do, options in a .conf count for more."""
    with open(os.path.join(ROOT, "tools", "systemd", "mayfly@.service"), encoding="utf-8") as f:
        unit = f.read().replace("/etc/mayfly/%i", os.path.join(tmp, "web")).replace("%C", tmp).replace("%t", tmp)
    env = dict(w.split("=", 1) for line in re.findall(r"^Environment=(.*)$", unit, re.M) for w in shlex.split(line))
    documented = re.findall(r"[A-Z_]{4,}", say("help", "environment")) + ["MAYFLY_OPTIONS", "XDG_RUNTIME_DIR"]
    named = set(env) | set(re.findall(r"^#\t([A-Z_]+)=", unit, re.M))
    assert named <= set(documented), named - set(documented)
    assert re.search(r"^EnvironmentFile=-" + re.escape(os.path.join(tmp, "web")) + r"\.conf$", unit, re.M), unit
    kernel = os.path.join(tmp, "vmlinux")
    open(kernel, "wb").close()
    with open(os.path.join(tmp, "web.json"), "w", encoding="utf-8") as f:
        json.dump({"boot-source": {"kernel_image_path": kernel}, "drives": [], "machine-config": {"vcpu_count": 2, "mem_size_mib": 96}},
                  f)
    run = re.search(r"^ExecStart=/usr/bin/env mayfly run (.*)$", unit, re.M).group(1)
    assert run == "$MAYFLY_OPTIONS", run
    for options, mib in ((env["MAYFLY_OPTIONS"], 96), (f"--kernel {kernel} --mem 64M --net none", 64)):
        out = subprocess.run([MAYFLY, "run", *options.split(), "--dry-run"], env={**os.environ, **env}, capture_output=True,
                             text=True, timeout=20)
        assert out.returncode == 0, out.stderr
        assert f": {mib}" in out.stdout or f": {mib << 20}" in out.stdout or f"{mib}M" in out.stdout, out.stdout


def options():
    return re.findall(r"^  --([a-z+-]+)", say("help", "run"), re.M)


def commands():
    return set(re.findall(r"^  mayfly ([a-z]+)", say("help"), re.M))


def completes_in_bash(tmp):
    script = os.path.join(tmp, "bash")
    with open(script, "w", encoding="utf-8") as f:
        f.write(say("completion", "bash"))

    def complete(*words):
        shell = (f"source {script}; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _mayfly; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        return subprocess.run(["bash", "-c", shell, "bash", "mayfly", *words], check=True, capture_output=True,
                              text=True).stdout.split()

    assert set(complete("run", "--")) == {"--" + o for o in options()}
    assert complete("run", "--accel", "") == ["auto", "kvm", "tcg"]
    assert commands() <= set(complete("")), complete("")
    assert complete("p") == ["ps"]
    assert os.path.join(tmp, "bash") in complete("run", "--kernel", tmp + "/ba")


def completes_in(shell, check, tmp):
    if not shutil.which(shell):
        raise Skip(f"no {shell}")
    text, path = say("completion", shell), os.path.join(tmp, "completion." + shell)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    subprocess.run([*check, path], check=True)
    missing = [o for o in options() if not re.search(rf"(--|-l ){re.escape(o)}(\[| |$)", text, re.M)]
    assert not missing, missing


def fish_completes(tmp):
    completes_in("fish", ["fish", "--no-execute"], tmp)
    res = subprocess.run(["fish", "-c", f"source {tmp}/completion.fish; complete -C 'mayfly run --acc'"], capture_output=True,
                         text=True, env=dict(os.environ, HOME=tmp))
    assert res.stdout.startswith("--accel\t"), res.stdout


def said_by_firecracker(tmp):
    program = os.path.join(tmp, "firecracker")
    os.symlink(os.path.abspath(MAYFLY), program)
    return subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout


def pages_are_made(tmp):
    """Each has every option or verb that the program says it has, and man nothing to complain of."""
    pages = os.path.join(os.path.dirname(os.path.dirname(MAYFLY)), "docs", "man")
    if not os.path.exists(os.path.join(pages, "mayfly-run.1")):
        raise Skip("the build made no pages (scdoc)")
    said = {"run": say("help", "run"), "api": say("help", "api"), "jailer": say("jailer", "--help"),
            "firecracker": said_by_firecracker(tmp), "ctl": say("help", "ctl"), "ps": "", "doctor": "", "version": ""}
    for name, text in [("", "")] + [("-" + n, t) for n, t in said.items()]:
        path = os.path.join(pages, f"mayfly{name}.1")
        with open(path, encoding="utf-8") as f:
            page = f.read().replace("\\-", "-").replace("\\(", "(").replace("\\&", "")
        wanted = re.findall(r"^ +(--[a-z+-]+)", text, re.M) + (re.findall(r"^  ([a-z]+) ", text, re.M) if name == "-ctl" else [])
        assert wanted or not text, name
        missing = [w for w in wanted if w not in page]
        assert not missing, f"{path} lacks {missing}"
        if shutil.which("man"):
            res = subprocess.run(["man", "--warnings", "-l", path], capture_output=True, text=True,
                                 env=dict(os.environ, MANWIDTH="100", MANPAGER="cat"))
            assert res.returncode == 0 and not res.stderr and "SEE ALSO" in res.stdout, (path, res.stderr)
    with open(os.path.join(pages, "mayfly.1"), encoding="utf-8") as f:
        text = f.read().replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
    missing = [n for n in said if f"mayfly-{n}(1)" not in text]
    assert not missing, f"mayfly(1) does not name {missing}"


def main():
    suite = Suite(sys.argv[1] if len(sys.argv) > 1 else None)
    for name, case in [
        ("ps lists running machines", ps_lists_machines),
        ("ps without machines", ps_without_machines),
        ("metrics of a running machine", metrics_of_a_running_machine),
        ("metrics to a file", metrics_to_a_file),
        ("a service manager is told", lambda t: manager_is_told(t, False)),
        ("a service manager is told, abstract socket", lambda t: manager_is_told(t, True)),
        ("the service unit is sound", unit_is_sound),
        ("bash completes", completes_in_bash),
        ("zsh completes", lambda t: completes_in("zsh", ["zsh", "-n"], t)),
        ("fish completes", fish_completes),
        ("the service unit's environment", unit_environment),
        ("manual pages", pages_are_made),
    ]:
        with tempfile.TemporaryDirectory(prefix="mayfly-comfort-") as tmp:
            suite.check(name, lambda c=case, t=tmp: c(t))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
