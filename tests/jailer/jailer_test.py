#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The jailer: options, what a jailed program finds, attacks on its directory.
usage: jailer_test.py MAYFLY PROBE [REGEX]. Needs root; skipped (77) without."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

MAYFLY, PROBE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
ONLY = sys.argv[3] if len(sys.argv) > 3 else ""
UID, GID = 30123, 30124


class Skip(Exception):
    pass


class Jail:
    """A base directory of its own, and the jail `id` of the probe in it."""

    def __init__(self, ident="vm-1", base=None):
        self.tmp = tempfile.TemporaryDirectory(prefix="mayfly-jail-")
        self.base = base or os.path.join(self.tmp.name, "base")
        os.makedirs(self.base, exist_ok=True)
        self.probe = os.path.join(self.tmp.name, "probe")
        with open(PROBE, "rb") as src, open(self.probe, "wb") as dst:
            dst.write(src.read())
        os.chmod(self.probe, 0o755)
        self.id = ident
        self.dir = os.path.join(self.base, "probe", ident)
        self.root = os.path.join(self.dir, "root")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmp.cleanup()

    def args(self, *options, rest=()):
        return [MAYFLY, "jailer", "--id", self.id, "--exec-file", self.probe, "--uid", str(UID), "--gid", str(GID),
                "--chroot-base-dir", self.base, *options, "--", *rest]

    def run(self, *options, rest=(), **kw):
        return subprocess.run(self.args(*options, rest=rest), capture_output=True, text=True, timeout=30,
                              stdin=kw.pop("stdin", subprocess.DEVNULL), **kw)

    def report(self):
        end = time.monotonic() + 10
        while not os.path.exists(os.path.join(self.root, "run", "report")):
            assert time.monotonic() < end, "no report"
            time.sleep(0.01)
        with open(os.path.join(self.root, "run", "report"), encoding="utf-8") as f:
            return json.load(f)

    def ok(self, *options, **kw):
        res = self.run(*options, **kw)
        assert res.returncode == 0 and not res.stderr, f"{res.returncode}: {res.stderr}"
        return self.report()

    def fails(self, err, *options, **kw):
        res = self.run(*options, **kw)
        assert res.returncode == 1 and re.search(err, res.stderr), f"{res.returncode}: {res.stderr}"


def options():
    full = ["--id", "a", "--exec-file", "/bin/true", "--uid", "1", "--gid", "1"]

    def with_(name, value):
        out = list(full)
        if "--" + name in out:
            out[out.index("--" + name) + 1] = value
            return out
        return out + ["--" + name, value]

    for args, err in [
        ([], "Arguments parsing error: Argument 'id' required, but not found."),
        (full[:-2], "Argument 'gid' required, but not found."),
        (full + ["--id", "b"], "The argument 'id' was provided more than once."),
        (full + ["--netns"], "The argument 'netns' requires a value, but none was supplied."),
        (full + ["--netns", "--daemonize"], "The argument 'netns' requires a value"),
        (full + ["stray"], "Found argument 'stray' which wasn't expected"),
        (with_("id", "a_b"), r"Invalid instance ID: Invalid char \(_\) at position 1"),
        (with_("id", ".."), r"Invalid char \(\.\) at position 0"),
        (with_("id", "a/b"), r"Invalid char \(/\) at position 1"),
        (with_("id", ""), r"Invalid len \(0\);  the length must be between 1 and 64"),
        (with_("id", "x" * 65), r"Invalid len \(65\)"),
        (with_("uid", "root"), "Invalid uid: root"),
        (with_("uid", "-1"), "Invalid uid: -1"),
        (with_("gid", "4294967296"), "Invalid gid: 4294967296"),
        (with_("cgroup", "cpu.shares"), "Invalid format for cgroups: cpu.shares"),
        (with_("cgroup", "cpu.shares="), "Invalid format for cgroups"),
        (with_("cgroup", "shares=1"), "Cgroup invalid file: shares"),
        (with_("cgroup", "../x.y=1"), "Cgroup invalid file"),
        (with_("cgroup-version", "3"), "3 is an invalid cgroup version specifier"),
        (with_("parent-cgroup", "/a"), "Parent cgroup path is invalid"),
        (with_("parent-cgroup", "a/../b"), "Parent cgroup path is invalid"),
        (with_("resource-limit", "fsize"), "Invalid format for resources limits: fsize"),
        (with_("resource-limit", "cpu=1"), "Invalid resource argument: cpu"),
        (with_("resource-limit", "fsize=x"), "Invalid limit value for resource: x: invalid digit"),
        (with_("exec-file", "/bin/.."), "Failed to extract filename"),
    ]:
        res = subprocess.run([MAYFLY, "jailer", *args], capture_output=True, text=True, timeout=10)
        assert res.returncode == 1 and re.match("Jailer error: ", res.stderr) and re.search(err, res.stderr), (args, res.stderr)


def personality():
    """A link of that name is the jailer."""
    with tempfile.TemporaryDirectory() as tmp:
        link = os.path.join(tmp, "jailer")
        os.symlink(MAYFLY, link)
        out = subprocess.run([link, "--version"], capture_output=True, text=True, check=True).stdout
        assert re.match(r"Jailer v\d+\.\d+\.\d+\n", out), out


def what_it_finds():
    with Jail() as j:
        r = j.ok(rest=["--config-file", "x.json"])
        assert r["args"][:3] == ["/probe", "--id", "vm-1"] and r["args"][-2:] == ["--config-file", "x.json"], r
        assert r["args"][3::2][:3] == ["--start-time-us", "--start-time-cpu-us", "--parent-cpu-time-us"], r
        assert all(x.isdigit() for x in r["args"][4:9:2]) and int(r["args"][4]) <= time.monotonic_ns() // 1000, r
        assert r["uid"] == [UID] * 3 and r["gid"] == GID and r["groups"] == 0, r
        assert sorted(r["/"]) == ["dev", "probe", "probe.pid", "run"], r
        assert sorted(r["/dev"]) == ["kvm", "net"] and r["/dev/net"] == ["tun"], r
        assert r["/dev/kvm"] == [1, 10, 232, UID, GID, 0o600] and r["/dev/net/tun"] == [1, 10, 200, UID, GID, 0o600], r
        assert r["env"] == r["fds"] == r["bounding"] == r["effective"] == r["permitted"] == 0 and r["no_new_privs"] == 1, r
        assert r["no-file"] == 2048 and r["fsize"] == (1 << 64) - 1 and r["core"] == 0, r
        with open(os.path.join(j.root, "probe.pid"), encoding="utf-8") as f:
            assert f.read() == str(r["pid"])
        st = os.stat(os.path.join(j.root, "probe"))
        assert (st.st_uid, st.st_mode & 0o7777) == (0, 0o555), oct(st.st_mode)
        assert j.root not in open("/proc/self/mounts", encoding="utf-8").read(), "a mount is left outside"


def nothing_comes_along():
    fds = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(100)]
    with Jail() as j:
        r = j.ok(pass_fds=fds, env={"SECRET": "x", "PATH": "/bin"})
        assert r["fds"] == 0 and r["env"] == 0, r
    for fd in fds:
        os.close(fd)


def no_way_out():
    with Jail() as j:
        secret = os.path.join(j.tmp.name, "secret")
        with open(secret, "w", encoding="utf-8") as f:
            f.write("x")
        os.chmod(j.tmp.name, 0o755)
        assert j.ok(rest=["--escape", secret])["escapes"] == 0


def limits():
    with Jail() as j:
        r = j.ok("--resource-limit", "no-file=99", "--resource-limit", "fsize=123456")
        assert r["no-file"] == 99 and r["fsize"] == 123456, r


def daemon():
    with Jail() as j:
        proc = subprocess.Popen(j.args("--daemonize", rest=["--sleep"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            r = j.report()
            assert r["pid"] == proc.pid == r["sid"], r  # the caller's number is right
            assert r["stdin_null"] and proc.stdout.read() == b"", r
        finally:
            proc.kill()
            proc.wait()


def leader_of_a_group():
    with Jail() as j:
        res = subprocess.run(j.args("--daemonize"), preexec_fn=os.setpgrp, timeout=10)
        r = j.report()
        assert res.returncode == 0 and r["pid"] == r["sid"], r


def pid_namespace():
    with Jail() as j:
        assert subprocess.run(j.args("--new-pid-ns", rest=["--sleep"]), timeout=10).returncode == 0
        r = j.report()
        with open(os.path.join(j.root, "probe.pid"), encoding="utf-8") as f:
            pid = int(f.read())
        try:
            assert r["pid"] == 1 and r["args"][6] == "0", r
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                assert f.read() == "probe\n"
        finally:
            os.kill(pid, signal.SIGKILL)


def network_namespace():
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip tuntap add jailtest0 mode tap && echo up && sleep 60"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if holder.stdout.readline() != "up\n":
            raise Skip("no network namespace with an interface: " + holder.stderr.readline().strip())
        with Jail() as j:
            assert j.ok("--netns", f"/proc/{holder.pid}/ns/net", rest=["--look-for", "jailtest0"])["interface"] == 1
        with Jail() as j:
            assert j.ok(rest=["--look-for", "jailtest0"])["interface"] == 0
            j.fails("Failed to open file /no/ns", "--netns", "/no/ns")
            j.fails("Failed to join network namespace", "--netns", "/dev/null")
    finally:
        holder.kill()
        holder.wait()


def remove_groups(*groups):
    for _ in range(100):  # the kernel lets go of them a little later
        try:
            for d in groups:
                if os.path.isdir(d):
                    os.rmdir(d)
            break
        except OSError:
            time.sleep(0.05)


def control_groups():
    hierarchy = None
    with open("/proc/mounts", encoding="utf-8") as f:
        for line in f:
            _, where, kind, opts = line.split()[:4]
            if kind == "cgroup" and "pids" in opts.split(","):
                hierarchy, version, procs = where, "1", "tasks"
            elif kind == "cgroup2" and not hierarchy:
                with open(os.path.join(where, "cgroup.controllers"), encoding="utf-8") as c:
                    if "pids" in c.read().split():
                        hierarchy, version, procs = where, "2", "cgroup.procs"
    if not hierarchy or not os.access(hierarchy, os.W_OK):
        raise Skip("no hierarchy with the pids controller")
    parent = f"mayfly-test-{os.getpid()}"
    with Jail() as j:
        group = os.path.join(hierarchy, parent, "sub", j.id)
        proc = subprocess.Popen(j.args("--cgroup-version", version, "--parent-cgroup", parent + "/sub", "--cgroup", "pids.max=57",
                                       rest=["--sleep"]), stderr=subprocess.PIPE)
        try:
            if proc.poll() is None:
                j.report()
            with open(os.path.join(group, "pids.max"), encoding="utf-8") as f:
                assert f.read() == "57\n"
            with open(os.path.join(group, procs), encoding="utf-8") as f:
                assert f.read() == f"{proc.pid}\n"
        finally:
            proc.kill()
            proc.wait()
            remove_groups(group, os.path.dirname(group), os.path.dirname(os.path.dirname(group)))
        j.fails("Controller nosuch is unavailable", "--cgroup-version", version, "--parent-cgroup", parent, "--cgroup",
                "nosuch.max=1")
        for d in (os.path.join(hierarchy, parent, j.id), os.path.join(hierarchy, parent)):
            if os.path.isdir(d):
                os.rmdir(d)


def numa_node():
    """--node writes the node's processors and memory to a cpuset; values given by name come after it."""
    with open("/proc/mounts", encoding="utf-8") as f:
        mounts = [line.split()[:4] for line in f]
    where = next((m[1] for m in mounts if m[2] == "cgroup" and "cpuset" in m[3].split(",")), None)
    version = "1"
    for m in mounts:
        if m[2] == "cgroup2" and not where:
            with open(os.path.join(m[1], "cgroup.controllers"), encoding="utf-8") as c:
                if "cpuset" in c.read().split():
                    where, version = m[1], "2"
    with Jail() as j:
        for bad in ("1000", "x", "-1", "00", "../node0", "1024"):
            j.fails("Invalid numa node: " + bad, "--node", bad)
    with open("/sys/devices/system/node/node0/cpulist", encoding="ascii") as f:
        cpus = f.read()
    if not where or not os.access(where, os.W_OK):
        with Jail() as j:
            j.ok("--node", "0")  # nothing to choose among
        raise Skip("no hierarchy with the cpuset controller")
    parent = f"mayfly-test-{os.getpid()}"
    for more, want in ((), cpus), (("--cgroup", "cpuset.cpus=0"), "0\n"):
        with Jail() as j:
            group = os.path.join(where, parent, j.id)
            proc = subprocess.Popen(j.args("--cgroup-version", version, "--parent-cgroup", parent, "--node", "0", *more,
                                           rest=["--sleep"]), stderr=subprocess.PIPE)
            try:
                j.report()
                for name, value in (("cpuset.cpus", want), ("cpuset.mems", "0\n")):
                    with open(os.path.join(group, name), encoding="ascii") as f:
                        assert f.read() == value, name
                with open(f"/proc/{proc.pid}/cpuset", encoding="ascii") as f:
                    assert f.read() == f"/{parent}/{j.id}\n"
            finally:
                proc.kill()
                proc.wait()
                remove_groups(group, os.path.dirname(group))


def links_are_not_followed():
    """J01, J02: a link at every place that the jailer makes something. What it leads to stays as it is."""
    for place, refused in [("probe", True), ("probe/vm-1", True), ("probe/vm-1/root", True), ("probe/vm-1/root/probe", False),
                           ("probe/vm-1/root/dev", True), ("probe/vm-1/root/run", True), ("probe/vm-1/root/dev/net", True),
                           ("probe/vm-1/root/dev/kvm", False), ("probe/vm-1/root/probe.pid", False)]:
        for hard in (False, True):
            with Jail() as j:
                victim, path = os.path.join(j.tmp.name, "victim"), os.path.join(j.base, place)
                is_dir = refused
                if is_dir:
                    os.mkdir(victim)
                else:
                    with open(victim, "w", encoding="utf-8") as f:
                        f.write("precious")
                if hard and is_dir:
                    continue
                os.makedirs(os.path.dirname(path), exist_ok=True)
                (os.link if hard else os.symlink)(victim, path)
                before = os.stat(victim)
                res = j.run()
                assert (res.returncode != 0) == refused, (place, hard, res.stderr)
                after = os.stat(victim)
                assert (before.st_uid, before.st_mode) == (after.st_uid, after.st_mode), place
                if is_dir:
                    assert os.listdir(victim) == [], (place, os.listdir(victim))
                else:
                    with open(victim, encoding="utf-8") as f:
                        assert f.read() == "precious", place


def others_must_not_write_above():
    for place in ("", "probe", "probe/vm-1", "probe/vm-1/root"):
        with Jail() as j:
            path = os.path.join(j.base, place)
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o775)
            j.fails("can be written by others.*chmod go-w")
            os.chmod(path, 0o755)
            os.chown(path, 12345, 0)
            j.fails("belongs to user 12345")


def takes_over_a_prepared_root():
    """Callers put kernel and disks there first; a second run finds what the first one left."""
    with Jail() as j:
        os.makedirs(j.root)
        with open(os.path.join(j.root, "vmlinux"), "w", encoding="utf-8") as f:
            f.write("kernel")
        assert "vmlinux" in j.ok()["/"]
        os.unlink(os.path.join(j.root, "run", "report"))
        assert "vmlinux" in j.ok()["/"]


def bad_files():
    with Jail() as j:
        j.probe = "/no/such/file"
        j.fails("Failed to open /no/such/file: No such file")
        j.probe = j.tmp.name
        j.fails("is not a file")
    with Jail() as j:
        j.base = "/no/such/dir"
        j.fails("Failed to canonicalize path /no/such/dir: No such file")
        j.base = j.probe
        j.fails("is not a directory")
    with Jail() as j:
        with open(j.probe, "w", encoding="utf-8") as f:
            f.write("no program")
        j.fails("Failed to exec into Firecracker: Exec format error")


def many_at_once():
    n = 40
    with tempfile.TemporaryDirectory(prefix="mayfly-jails-") as base:
        jails = [Jail(f"vm-{i}", base) for i in range(n)]
        began = time.monotonic()
        procs = [subprocess.Popen(j.args()) for j in jails]
        assert all(p.wait(30) == 0 for p in procs)
        took = time.monotonic() - began
        assert all(j.report()["uid"] == [UID] * 3 for j in jails)
        for j in jails:
            j.tmp.cleanup()
    return f"{took / n * 1000:.1f} ms each, {n} together"


def main():
    failed = passed = skipped = 0
    if os.geteuid():
        print("skip: needs root")
        return 77
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        print("skip: no mount namespaces")
        return 77
    for case in (options, personality, what_it_finds, nothing_comes_along, no_way_out, limits, daemon, leader_of_a_group,
                 pid_namespace, network_namespace, control_groups, numa_node, links_are_not_followed, others_must_not_write_above,
                 takes_over_a_prepared_root, bad_files, many_at_once):
        name = "jailer: " + case.__name__.replace("_", " ")
        if not re.search(ONLY, name):
            continue
        try:
            note = case()
            passed += 1
            print(f"ok - {name}" + (f" ({note})" if note else ""), flush=True)
        except Skip as why:
            skipped += 1
            print(f"skip - {name}: {why}", flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as why:
            failed += 1
            print(f"not ok - {name}: {why}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


sys.exit(main())
