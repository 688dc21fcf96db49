#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a C header with a file's bytes as an array. usage: embed.py FILE NAME OUT"""
import sys

path, name, out = sys.argv[1:]
with open(path, "rb") as f:
    data = f.read()
lines = (", ".join(str(b) for b in data[i:i + 20]) for i in range(0, len(data), 20))
with open(out, "w", encoding="utf-8") as f:
    f.write(f"static const unsigned char {name}[] = {{\n" + ",\n".join("\t" + x for x in lines) + "\n};\n")
