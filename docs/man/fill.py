#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills a page's @PLACES@ with what mayfly says of itself. usage: fill.py MAYFLY PAGE.in OUT"""
import re
import subprocess
import sys

mayfly, page, out = sys.argv[1:]


def say(*words):
    return subprocess.run([mayfly, *words], check=True, capture_output=True, text=True).stdout


def verbatim(topic):
    """A help topic as it is, in scdoc's literal form."""
    return "```\n" + re.sub(r"^  ", "", say("help", topic), flags=re.M) + "```\n"


with open(page, encoding="utf-8") as f:
    text = f.read()
for place, what in [("OPTIONS", say("completion", "scdoc")), ("EXIT", verbatim("exit-codes")), ("KEYS", verbatim("keys")),
                    ("SIGNALS", verbatim("signals")), ("ENVIRONMENT", verbatim("environment"))]:
    text = text.replace(f"@{place}@\n", what)
if re.search(r"^@[A-Z]+@$", text, re.M):
    sys.exit(f"{page}: a place is left empty")
with open(out, "w", encoding="utf-8") as f:
    f.write(text)
