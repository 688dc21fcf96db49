#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs programs on a processor with AVX-512 that nobody here has to have: Bochs's.

    tests/tcg/avx512_bochs.py [--model MODEL] [--seconds N] [--keep DIR] COMMAND [FILE...]

Boots Debian's cloud kernel (tools/guests) in Debian's bochs (packages bochs, bochs-term) with an
initramfs that holds a busybox and the FILEs, in /, with the shared libraries they name, and has its
shell run COMMAND. Prints what that prints; the exit status is COMMAND's. For example

    tests/tcg/avx512_bochs.py 'MAYFLY_TEST_DEBUG=avx512 MAYFLY_OP=avx512 /test_native 1000' \
        build-test/tests/tcg/test_native

    tests/tcg/avx512_bochs.py --mayfly PROGRAM [--debug LIST] [--seconds N] [--keep DIR]

boots Linux in mayfly there (PROGRAM, the static one), and in that and beside it runs a program that
compares AVX-512 with C, and executes an instruction that Bochs refuses: tests/boot/guest/avx512.c.

Neither BIOS nor boot loader: a ROM of a few instructions enters the kernel's 32-bit entry point with
boot parameters, kernel and initramfs that it reads from a disk. Not part of tools/test: the boot
takes 260 million instructions, and Debian's Bochs has its debugger compiled in.

The default model, a Skylake-X, has AVX512F, CD, BW, DQ and VL. With corei7_icelake_u, which has more,
Linux 6.1 does not come through its boot.

Refs: Linux Documentation/x86/boot.rst; Bochs User Manual, "bochsrc".
"""
import argparse
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARAMS, CMDLINE, KERNEL, INITRD, RAM_MB = 0x10000, 0x40000, 0x1000000, 0x8000000, 512
UNIT = 256 * 512

# 64 KiB that end at 1 MiB and at 4 GiB. Reads what the kernel's 32-bit entry point needs from the disk
# by programmed I/O, by a table of (first sector, number of 128 KiB units, address).
ROM = r"""
	.code16
start:	cli
	in $0x92, %al
	or $2, %al
	out %al, $0x92
	lgdtl %cs:gdtr - start
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $0x10, $protected
	.code32
protected:
	mov $0x18, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x9f000, %esp
	mov $table, %ebp
next:	mov (%ebp), %ebx
	mov 4(%ebp), %esi
	mov 8(%ebp), %edi
	add $12, %ebp
	test %esi, %esi
	jz go
unit:	mov $0x1f2, %edx
	xor %eax, %eax
	out %al, %dx
	mov %ebx, %eax
	inc %edx
	out %al, %dx
	shr $8, %eax
	inc %edx
	out %al, %dx
	shr $8, %eax
	inc %edx
	out %al, %dx
	mov $0xe0, %al
	inc %edx
	out %al, %dx
	mov $0x20, %al
	inc %edx
	out %al, %dx
	mov $256, %ecx
sector:	push %ecx
wait:	in %dx, %al
	test $8, %al
	jz wait
	mov $256, %ecx
	mov $0xf0, %dl
	rep insw
	mov $0xf7, %dl
	pop %ecx
	loop sector
	add $256, %ebx
	dec %esi
	jnz unit
	jmp next
go:	mov ${PARAMS}, %esi
	xor %ebx, %ebx
	xor %ebp, %ebp
	xor %edi, %edi
	mov ${KERNEL}, %eax
	jmp *%eax
gdtr:	.word 31
	.long gdt
gdt:	.quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
table:	.long {TABLE}, 0, 0, 0
	.org 0xfff0
	.code16
	ljmp $0xf000, $0
	.org 0x10000
"""


def assemble(work, text):
    base = os.path.join(work, "rom")
    with open(base + ".s", "w", encoding="ascii") as f:
        f.write(text)
    subprocess.run(["as", "--32", "-o", base + ".o", base + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0xf0000", "-e", "0xf0000", "--oformat=binary", "-o", base,
                    base + ".o"], check=True)


def boot_params(bzimage, initrd_size, size):
    """The zero page for the 32-bit boot protocol, and the part of the file that runs."""
    header_end = 0x202 + bzimage[0x201]
    zero = bytearray(4096)
    zero[0x1f1:header_end] = bzimage[0x1f1:header_end]
    zero[0x210] = 0xff
    zero[0x211] |= 1
    struct.pack_into("<II", zero, 0x218, INITRD, initrd_size)
    struct.pack_into("<I", zero, 0x228, CMDLINE)
    e820 = [(0, 0x9fc00, 1), (0xf0000, 0x10000, 2), (0x100000, size - 0x100000, 1)]
    zero[0x1e8] = len(e820)
    for i, entry in enumerate(e820):
        struct.pack_into("<QQI", zero, 0x2d0 + 20 * i, *entry)
    return bytes(zero), bzimage[(bzimage[0x1f1] + 1) * 512:]


def libraries(path):
    """Shared libraries that a program loads, as ldd tells."""
    out = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", out.stdout)


def tool(*args):
    return subprocess.run([os.path.join(TOP, "tools", args[0]), *args[1:]], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.split()


def make_initrd(work, command, files):
    script = os.path.join(work, "script")
    with open(script, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\ngrep -m 1 -o 'avx512f.*' /proc/cpuinfo\ncd /\n" + command + "\n"
                'echo "bochs-run: ended with $?"\nsleep 1000000\n')
    os.chmod(script, 0o755)
    add = []
    for path in files:
        add += ["--add", f"{path}:/{os.path.basename(path)}"]
        for lib in libraries(path):
            if f"{lib}:{lib}" not in add:
                add += ["--add", f"{lib}:{lib}"]
    out = os.path.join(work, "initrd")
    tool("mkinitrd", "--script", script, *add, out)
    return out


def make_machine(work, model, command, files):
    with open(tool("guests", "cloud-6.1")[0], "rb") as f:
        bzimage = f.read()
    initrd = make_initrd(work, command, files)
    params, kernel = boot_params(bzimage, os.path.getsize(initrd), RAM_MB << 20)
    # Linux does not believe in XSAVES and XSAVEC areas of Bochs's size, and then goes without XSAVE.
    cmdline = b"console=ttyS0 earlyprintk=ttyS0 acpi=off pci=off mitigations=off nokaslr clearcpuid=xsaves,xsavec lsm= quiet tsc=reliable\0"
    with open(initrd, "rb") as f:
        load = [(params, PARAMS), (cmdline, CMDLINE), (kernel, KERNEL), (f.read(), INITRD)]
    disk, table = b"", []
    for body, address in load:
        body += bytes(-len(body) % UNIT)
        table += [len(disk) // 512, len(body) // UNIT, address]
        disk += body
    disk += bytes(-len(disk) % (16 * 63 * 512))
    assemble(work, ROM.replace("{TABLE}", ", ".join(map(str, table))).replace("{PARAMS}", str(PARAMS))
             .replace("{KERNEL}", str(KERNEL)))
    for name, body in {"disk": disk, "vgarom": bytes(2048), "go": b"continue\n"}.items():
        with open(os.path.join(work, name), "wb") as f:
            f.write(body)
    lines = [
        f"romimage: file={work}/rom", f"vgaromimage: file={work}/vgarom", f"memory: guest={RAM_MB}, host={RAM_MB}",
        f"cpu: model={model}, count=1, ips=100000000, reset_on_triple_fault=0", "clock: sync=none",
        "display_library: term", f"com1: enabled=1, mode=file, dev={work}/serial", f"log: {work}/log",
        f"ata0-master: type=disk, mode=flat, path={work}/disk", "panic: action=fatal", "error: action=ignore", "info: action=report", "debug: action=ignore",
        "plugin_ctrl: biosdev=0, speaker=0, voodoo=0, sb16=0, es1370=0, e1000=0, ne2k=0"]
    with open(os.path.join(work, "bochsrc"), "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


# VPACKSSWB with W set: of the manual's, but not of Bochs's.
REFUSED = "62f1fd0863ca"


def under_mayfly(work, program, debug):
    """The command and its files for a guest of mayfly's."""
    name, script, inner = (os.path.join(work, n) for n in ("avx512", "inner.sh", "inner"))
    flags = [f"-mavx512{part}" for part in ("f", "cd", "bw", "dq", "vl")]
    subprocess.run(["cc", "-O2", "-s", "-static", *flags, "-fno-tree-vectorize", "-o", name,
                    os.path.join(TOP, "tests", "boot", "guest", "avx512.c")], check=True)
    with open(script, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\n"
                'echo "guest: avx512f on $(grep -c avx512f /proc/cpuinfo) processors"\n'
                f"/avx512 200 {REFUSED}\n")
    tool("mkinitrd", "--script", script, "--add", f"{name}:/avx512", inner)
    kernel = os.path.join(work, "bzImage")
    shutil.copyfile(tool("guests", "cloud-6.1")[0], kernel)
    command = (f"/avx512 20 {REFUSED} && /{os.path.basename(program)} run --accel tcg --debug {debug} --mem 128M --net none"
               " --kernel /bzImage --initrd /inner --cmdline+ quiet --timeout 300s </dev/null")
    return command, [name, program, kernel, inner]


def run(work, seconds):
    """Prints what comes from the serial port; COMMAND's status, or None if it did not end."""
    serial, end = os.path.join(work, "serial"), time.monotonic() + seconds
    pid, screen = pty.fork()
    if not pid:
        os.environ["TERM"] = "vt100"
        os.execvp("bochs", ["bochs", "-q", "-f", os.path.join(work, "bochsrc"), "-rc", os.path.join(work, "go")])
    text, shown, ended = "", 0, None
    try:
        while ended is None and time.monotonic() < end:
            if select.select([screen], [], [], 0.5)[0]:
                try:
                    if not os.read(screen, 65536):
                        break
                except OSError:
                    break
            if os.path.exists(serial):
                with open(serial, "r", encoding="ascii", errors="replace", newline="") as f:
                    text = f.read().replace("\r", "")
            sys.stdout.write(text[shown:])
            sys.stdout.flush()
            shown = len(text)
            m = re.search(r"bochs-run: ended with (\d+)\n", text)
            ended = int(m.group(1)) if m else None
    finally:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
    return ended


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="corei7_skylake_x", help="of `bochs --help cpu`; corei7_skylake_x")
    p.add_argument("--seconds", type=float, default=3600, help="give up after that time")
    p.add_argument("--keep", metavar="DIR", help="work there, and leave everything")
    p.add_argument("--mayfly", metavar="PROGRAM", help="run a guest in it")
    p.add_argument("--debug", metavar="LIST", default="avx512", help="mayfly's")
    p.add_argument("command", metavar="COMMAND", nargs="?")
    p.add_argument("files", metavar="FILE", nargs="*")
    args = p.parse_args()
    if bool(args.mayfly) == bool(args.command):
        p.error("either COMMAND or --mayfly")
    if not shutil.which("bochs"):
        sys.exit("avx512_bochs: no bochs\nhint: apt-get install bochs bochs-term")
    with tempfile.TemporaryDirectory(prefix="mayfly-bochs-") as temp:
        work = args.keep or temp
        os.makedirs(work, exist_ok=True)
        command, files = under_mayfly(work, args.mayfly, args.debug) if args.mayfly else (args.command, args.files)
        make_machine(work, args.model, command, files)
        begin = time.monotonic()
        status = run(work, args.seconds)
        print(f"avx512_bochs: {time.monotonic() - begin:.0f} s", file=sys.stderr)
        if status is None:
            if os.path.exists(os.path.join(work, "log")):
                with open(os.path.join(work, "log"), encoding="ascii", errors="replace") as f:
                    sys.stderr.writelines(f.readlines()[-12:])
            sys.exit("avx512_bochs: it did not come to its end")
    sys.exit(status)


if __name__ == "__main__":
    main()
