#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills a page's @PLACES@ with what mayfly says of itself. usage: fill.py MAYFLY PAGE.in OUT"""
import os
import re
import subprocess
import sys
import tempfile

mayfly, page, out = sys.argv[1:]


def say(*words):
    return subprocess.run([mayfly, *words], check=True, capture_output=True, text=True).stdout


def literal(text):
    """As it is, in scdoc's literal form."""
    return "```\n" + re.sub(r"^  ", "", text.strip("\n"), flags=re.M) + "\n```\n"


def verbatim(topic):
    return literal(say("help", topic))


def options_of(*words):
    """What a help says after its first paragraph."""
    return literal(say(*words).split("\n\n", 1)[1])


def firecracker():
    """The lines of options that the program has under that name."""
    with tempfile.TemporaryDirectory() as tmp:
        program = os.path.join(tmp, "firecracker")
        os.symlink(os.path.abspath(mayfly), program)
        out = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    return literal("".join(line for line in out.splitlines(True) if line.startswith(" ")))


with open(page, encoding="utf-8") as f:
    text = f.read()
for place, what in [("OPTIONS", lambda: say("completion", "scdoc")), ("API", lambda: say("completion", "scdoc-api")),
                    ("EXIT", lambda: verbatim("exit-codes")), ("KEYS", lambda: verbatim("keys")),
                    ("SIGNALS", lambda: verbatim("signals")), ("ENVIRONMENT", lambda: verbatim("environment")),
                    ("VERBS", lambda: options_of("help", "ctl")), ("JAILER", lambda: options_of("jailer", "--help")),
                    ("FIRECRACKER", firecracker)]:
    if f"@{place}@\n" in text:
        text = text.replace(f"@{place}@\n", what())
if re.search(r"^@[A-Z]+@$", text, re.M):
    sys.exit(f"{page}: a place is left empty")
with open(out, "w", encoding="utf-8") as f:
    f.write(text)
