# SPDX-License-Identifier: Apache-2.0
"""The process around the API: options, exit codes, log lines, the socket's file, signals, limits."""
import json
import os
import re
import signal
import socket
import subprocess
import time

from fc import DONE, Server
import payload
from harness import MAYFLY, expect, run


def firecracker(*args, tmp=None):
    program = os.path.join(tmp, "firecracker")
    if not os.path.lexists(program):
        os.symlink(os.path.abspath(MAYFLY), program)
    return run(list(args), timeout=20, binary=program)


def options():
    with Server(wait=False) as s:
        tmp, sock = s.tmp, os.path.join(s.tmp, "none.sock")
        for args, out in [(["--version"], r"^Firecracker v1\.17\.0-dev\n\n$"), (["--snapshot-version"], r"^v11\.0\.0\n$"),
                          (["--help"], r"--api-sock <api-sock>")]:
            expect(firecracker(*args, tmp=tmp), out=out)
        for args, code, err in [
                (["--bogus"], 153, r'Error: ParseArguments\(UnexpectedArgument\("bogus"\)\)'),
                (["word"], 153, r'UnexpectedArgument\("word"\)'), (["--id=x"], 153, r'UnexpectedArgument\("id=x"\)'),
                (["--id"], 153, r'MissingValue\("id"\)'), (["--id", "--no-api"], 153, r'MissingValue\("id"\)'),
                (["--id", "a", "--id", "b"], 153, r'DuplicateArgument\("id"\)'),
                (["--no-api"], 153, r'MissingArgument\("config-file"\)'),
                (["--no-seccomp", "--seccomp-filter", "f"], 153, r"ForbiddenArgument"),
                (["--id", "a_b"], 153, r"InvalidInstanceId"), (["--id", "x" * 65], 153, r"InvalidInstanceId"),
                (["--http-api-max-payload-size", "many"], 153, r"InvalidValue"),
                (["--level", "loud", "--api-sock", sock], 152, r"Failed to parse string to level filter: loud"),
                (["--config-file", "/no/such", "--api-sock", sock], 152, r"/no/such: No such file"),
                (["--describe-snapshot", "/no"], 1, r"reads no snapshots"),
                (["--api-sock", "/no/dir/sock"], 1, r"Failed to open the API socket at: /no/dir/sock\. Check that it is not")]:
            expect(firecracker(*args, tmp=tmp), code=code, err=err)
        for args, code, err in [
                ([], 2, r"no socket is given"), (["--socket", s.path, "--id", "a b"], 2, r"--id: 'a b' is not valid"),
                (["--sock", "x"], 2, r"unknown option --sock.*--socket"),
                (["--socket", "x" * 200], 3, r"API socket: x+: the path must have 1 to 107 bytes")]:
            expect(run(["api"] + args, timeout=20), code=code, err=err)
        expect(run(["api", "--help"]), out="--config-file")
        for args, code, err in [([], 2, "no socket"), ([s.path], 2, "no verb"), ([s.path, "pasue"], 2, "did you mean pause"),
                                ([s.path + "x", "info"], 1, "No such file.*mayfly api --socket"),
                                ([s.path, "balloon=x"], 2, "not a number of MiB")]:
            expect(run(["ctl"] + args, timeout=20), code=code, err=err)
        s.wait_socket()
        expect(run(["ctl", s.path, "info"]), out='"state":"Not started"')
        expect(run(["ctl", s.path, "pause"]), code=1, err="before starting")
        expect(run(["ctl", s.path, "PUT", "/machine-config", '{"vcpu_count":1,"mem_size_mib":40}']), out="^$")
        expect(run(["ctl", s.path, "GET", "/machine-config"]), out='"mem_size_mib":40')


def socket_file():
    """A socket that exists is never removed by who did not make it."""
    with Server() as s:
        res = expect(run(["api", "--socket", s.path], timeout=20), code=3, err=r"Address already in use \(is it used already\?")
        assert res.out == ""
        assert s.call("GET", "/").startswith(b"HTTP/1.1 200 ")
        res = firecracker("--api-sock", s.path, tmp=s.tmp)
        expect(res, code=1, err="Failed to open the API socket")
        assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} \[anonymous-instance:main\] RunWithApiError error: Failed to "
                         r"open the API socket at: .*\. Check that it is not already used\.$", res.out, re.M), res.out
        plain = s.file("plain", data=b"keep me")
        expect(run(["api", "--socket", plain], timeout=20), code=3)
        assert open(plain, "rb").read() == b"keep me"


def log_lines():
    with Server(["--id", "log-1", "--level", "Info", "--show-level", "--show-log-origin"], firecracker=True) as s:
        s.call("GET", "/version")
        s.call("PUT", "/vsock", {})
        end = time.monotonic() + 5
        while "Received Error" not in s.out() and time.monotonic() < end:
            time.sleep(0.01)
        when = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} "
        for want in [r"\[log-1:fc_api:INFO:api/server\.c:\d+\] The API server received a Get request on \"/version\"\.$",
                     r"\[log-1:fc_api:INFO:api/server\.c:\d+\] The request was executed successfully\. Status code: 200 OK\.$",
                     r"\[log-1:fc_api:INFO:api/server\.c:\d+\] The API server received a Put request on \"/vsock\" with body "
                     r"\"\{\}\"\.$",
                     r"\[log-1:fc_api:ERROR:api/server\.c:\d+\] Received Error\. Status code: 400 Bad Request\. Message: An error "
                     r"occurred when deserializing the json body of a request: missing field `guest_cid` at line 1 column 2\.$"]:
            assert re.search(when + want, s.out(), re.M), (want, s.out())
        log = s.file("log")
        assert s.call("PUT", "/logger", {"log_path": log, "level": "Error"}) == DONE
        for _ in range(100):
            s.call("PUT", "/vsock", {})
        lines = open(log, encoding="utf-8").read().splitlines()
        assert 1 <= len(lines) <= 11, len(lines)  # 10 in 5 s from one place


def signals():
    for args, sig, code in [({}, signal.SIGTERM, 143), ({}, signal.SIGINT, 130), ({}, signal.SIGHUP, 129),
                            ({"firecracker": True}, signal.SIGTERM, -15), ({"firecracker": True}, signal.SIGHUP, 156),
                            ({"firecracker": True}, signal.SIGSEGV, 150), ({"firecracker": True}, signal.SIGBUS, 149),
                            ({"firecracker": True}, signal.SIGSYS, 148), ({"firecracker": True}, signal.SIGXFSZ, 151),
                            ({"firecracker": True}, signal.SIGXCPU, 154), ({"firecracker": True}, signal.SIGILL, 157)]:
        with Server(**args) as s:
            s.boot(payload.print_text("up.\n") + payload.SPIN)
            s.wait_out("up.")
            began = time.monotonic()
            s.proc.send_signal(sig)
            got = s.wait_end(10)
            assert got == code, f"{sig.name} {args}: {got}, expected {code}"
            assert time.monotonic() - began < 3
            assert os.path.exists(s.path) == bool(args), "the socket's file"


def guest_ends():
    for code, want_fc, want in [(payload.POWEROFF, 0, 0), (payload.RESET_KEYBOARD, 0, 0), (payload.TRIPLE_FAULT, 0, 33),
                                (payload.debug_exit(5), 0, 11)]:
        for firecracker_too, exit_code in ((True, want_fc), (False, want)):
            with Server(firecracker=firecracker_too) as s:
                s.boot(code)
                got = s.wait_end(20)
                assert got == exit_code, f"{got}, expected {exit_code}"


def boot_timer():
    write = b"\xb0\x7b\xa2\x00\x00\x00\xc0"  # mov al, 123; mov [0xc0000000], al
    other = b"\xb0\x7a\xa2\x00\x00\x00\xc0"
    with Server(["--boot-timer"], firecracker=True) as s:
        s.boot(other + write * 3 + payload.print_text("up.\n") + payload.SPIN)
        s.wait_out("up.")
        lines = re.findall(r"Guest-boot-time = +\d+ us \d+ ms, +\d+ CPU us \d+ CPU ms$", s.out(), re.M)
        assert len(lines) == 1, s.out()
    with Server(firecracker=True) as s:
        s.boot(write + payload.print_text("up.\n") + payload.SPIN)
        s.wait_out("up.")
        assert "Guest-boot-time" not in s.out()


def serial_output():
    """To a file, and no more of it than the limit allows."""
    with Server() as s:
        out = os.path.join(s.tmp, "serial")
        assert s.call("PUT", "/serial", {"serial_out_path": out}) == DONE
        s.boot(payload.print_text("to the file\n") + payload.POWEROFF)
        assert s.wait_end(20) == 0
        assert open(out).read() == "to the file\n" and s.out() == ""
    with Server() as s:
        assert s.call("PUT", "/serial", {"rate_limiter": {"size": 100, "refill_time": 3600000}}) == DONE
        s.boot(payload.print_text("x" * 400) + payload.POWEROFF)
        assert s.wait_end(30) == 0
        assert 90 <= len(s.out()) <= 110, len(s.out())


def kernel_command_line():
    """What a guest would find on its command line, from the zero page's point of view: a bzImage is too much here, so the
    Multiboot command line is printed."""
    # mov esi,[ebx+16]; 1: lodsb; test al,al; jz 2f; mov dx,3f8; out dx,al; jmp 1b
    show = b"\x8b\x73\x10" + b"\xac\x84\xc0\x74\x07\x66\xba\xf8\x03\xee\xeb\xf4" + payload.POWEROFF
    default = "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce"
    for drive, args, want in [
            (None, None, default + " pci=off"), (None, "a b", "a b pci=off"),
            ({"is_root_device": True}, "a", "a pci=off root=/dev/vda rw"),
            ({"is_root_device": True, "is_read_only": True}, "a", "a pci=off root=/dev/vda ro"),
            ({"is_root_device": True, "partuuid": "0eaa91a0-01"}, "a", "a pci=off root=PARTUUID=0eaa91a0-01 rw"),
            ({"is_root_device": False}, "a", "a pci=off"),
            ({"is_root_device": True}, "a acpi=off",
             "a acpi=off pci=off root=/dev/vda rw virtio_mmio.device=0x1000@0xd0000000:5")]:
        with Server() as s:
            if drive:
                body = {"drive_id": "r", "path_on_host": s.file("disk", 4096), **drive}
                assert s.call("PUT", "/drives/r", body) == DONE
            s.boot(show, **({"boot_args": args} if args else {}))
            assert s.wait_end(20) == 0
            assert want in s.out(), f"{s.out()!r} lacks {want!r}"


def config_files():
    with Server() as s:
        kernel, disk = s.kernel(payload.print_text("up.\n") + payload.POWEROFF), s.file("disk", 4096)
        boot = {"kernel_image_path": kernel}
        good = {"boot-source": boot, "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 32}}
        for config, err in [
                ("{", "EOF while parsing an object at line 1 column 1"), ("{}", "missing field `drives` at line 1 column 2"),
                ('{"drives":[]}', "missing field `boot-source` at line 1 column 13"),
                ({**good, "boot-source": {**boot, "x": 1}}, "unknown field `x`, expected one of `kernel_image_path`"),
                ({**good, "boot-source": {"kernel_image_path": "/no"}}, "The kernel file cannot be opened"),
                ({**good, "machine-config": {"vcpu_count": 33, "mem_size_mib": 1}}, "The number of vCPUs must be greater"),
                ({**good, "drives": [{"drive_id": "a-b", "is_root_device": True, "path_on_host": disk}]}, "alphanumeric"),
                ({**good, "drives": [{"drive_id": "a", "is_root_device": True, "path_on_host": "/no"}]}, "/no"),
                ({**good, "cpu-config": {"msr_modifiers": [{}]}}, "missing field `addr`"),
                ({**good, "cpu-config": "/no/such"}, "/no/such: No such file"),
                ({**good, "logger": {"level": "loud"}}, "loud"),
                ({**good, "pmem": [{"id": "p", "path_on_host": "/no"}]}, "/no")]:
            path = s.file("config", data=(config if isinstance(config, str) else json.dumps(config)).encode())
            sock = os.path.join(s.tmp, "no.sock")
            expect(run(["api", "--socket", sock, "--config-file", path], timeout=20), code=3, err=re.escape(err))
            expect(firecracker("--api-sock", sock, "--config-file", path, tmp=s.tmp), code=152, err=re.escape(err))
            assert not os.path.exists(sock)
        path = s.file("config", data=json.dumps({**good, "cpu-config": None, "unknown": 1}).encode())
        for args in (["api", "--socket", os.path.join(s.tmp, "1.sock"), "--accel", "tcg", "--config-file", path],
                     ["run", "--config", path, "--accel", "tcg"]):
            expect(run(args, timeout=30), code=0, out=r"up\.")
        expect(run(["run", "--config", path, "--mem", "64M", "--dry-run"]), out=r'"mem_size_mib": 64')
        expect(run(["run", "--mem", "64M", "--config", path, "--dry-run"]), code=2, err="--config comes first")
        expect(run(["run", "--config", "/no/such"]), code=2, err="/no/such: No such file")


def systemd():
    """A socket handed over, and READY=1 when it answers."""
    with Server(wait=False) as s:
        path, notify = os.path.join(s.tmp, "given.sock"), os.path.join(s.tmp, "notify")
        given, told = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        given.bind(path)
        given.listen(5)
        told.bind(notify)
        told.settimeout(10)
        script = f"exec 3<&{given.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET={notify} exec {MAYFLY} api"
        proc = subprocess.Popen(["sh", "-c", script], pass_fds=[given.fileno()], stdin=subprocess.DEVNULL)
        try:
            assert told.recv(100) == b"READY=1"
            given.close()
            s.path, own = path, s.path
            assert s.call("GET", "/").startswith(b"HTTP/1.1 200 ")
            s.path = own
        finally:
            proc.terminate()
            assert proc.wait(10) == 143
        assert os.path.exists(path), "a socket that is not ours was removed"


def many_starts():
    """A start that fails can be tried again, and leaves nothing behind."""
    with Server() as s, s.connect() as c:
        bad = s.file("bad", data=b"no kernel at all" * 100)
        assert c.call("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 32}) == DONE
        assert c.call("PUT", "/boot-source", {"kernel_image_path": bad}) == DONE
        fds = None
        for i in range(8):
            got = c.call("PUT", "/actions", {"action_type": "InstanceStart"})
            assert got.startswith(b"HTTP/1.1 400 ") and b"Start microvm error: " in got, got
            if i == 1:
                fds = s.n_fds()
        assert s.n_fds() == fds, f"{s.n_fds()} descriptors, {fds} before"
        for _ in range(20):
            assert c.call("PUT", "/logger", {"log_path": os.path.join(s.tmp, "log"), "level": "Error"}) == DONE
        assert s.n_fds() == fds + 1, "descriptors of the log"
        s.boot(payload.print_text("up.\n") + payload.SPIN)
        s.wait_out("up.")


CASES = [(f.__name__.replace("_", " "), f) for f in
         (options, socket_file, log_lines, signals, guest_ends, boot_timer, serial_output, kernel_command_line, config_files,
          systemd, many_starts)]
