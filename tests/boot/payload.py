# SPDX-License-Identifier: Apache-2.0
"""Tiny Multiboot guests, made here byte by byte: 32-bit flat code at 1 MiB + 0x20.

    path = payload.write(tmp, "hello", payload.print_text("hi\\n") + payload.POWEROFF)
"""
import os
import struct

LOAD = 0x100000


def image(code):
    """A Multiboot 1 image with address fields; the header comes first, the code behind it."""
    end = LOAD + 0x20 + len(code)
    flags = 1 << 16
    head = struct.pack("<8I", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, LOAD, LOAD, end, end,
                       LOAD + 0x20)
    return head + code + bytes(4096)


def write(directory, name, code):
    path = os.path.join(directory, name + ".bin")
    with open(path, "wb") as f:
        f.write(image(code))
    return path


def outb(port, value):
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([value]) + b"\xee"  # mov dx; mov al; out


def outw(port, value):
    return b"\x66\xba" + struct.pack("<H", port) + b"\x66\xb8" + struct.pack("<H", value) + b"\x66\xef"


def print_text(text):
    """Each byte once the UART's holding register is empty."""
    wait = b"\x66\xba\xfd\x03" + b"\xec\xa8\x20\x74\xfb"  # mov dx,3fd; 1: in al,dx; test al,20; jz 1b
    return b"".join(wait + outb(0x3F8, c) for c in text.encode())


SPIN = b"\xeb\xfe"  # jmp .
HALT_FOR_GOOD = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp -1
POWEROFF = outw(0x604, 0x2000 | 5 << 10) + SPIN  # PM1 control: SLP_EN, S5
RESET_PORT = outb(0xCF9, 0x06) + SPIN
RESET_KEYBOARD = outb(0x64, 0xFE) + SPIN
TRIPLE_FAULT = b"\x6a\x00\x6a\x00\x0f\x01\x1c\x24\xcc"  # push 0; push 0; lidt [esp]; int3
FLOOD = (b"\x66\xba\xf8\x03\xb0\x2e" b"\xee\xeb\xfd")  # mov dx,3f8; mov al,'.'; 1: out dx,al; jmp 1b
# 1: mov dx,3fd; in al,dx; test al,1; jz 1b; mov dx,3f8; in al,dx; cmp al,'q'; je 2f; out dx,al; jmp 1b
ECHO = (b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7" b"\x66\xba\xf8\x03\xec\x3c\x71\x74\x03\xee\xeb\xeb") + POWEROFF
UD2 = b"\x0f\x0b"


def debug_exit(value):
    return outb(0xF4, value) + SPIN
