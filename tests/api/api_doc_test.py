#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/api.md against the server's tables. usage: api_doc_test.py PRINT_TABLES [--write]

Requests and objects are tables in the document, between marks; --write makes them anew, but for the words that say what a
request or a member is for, which are kept.
"""
import json
import os
import re
import subprocess
import sys

DOC = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs", "api.md")
MARKS = {"requests": ("<!-- requests -->", "<!-- end of requests -->"), "objects": ("<!-- objects -->", "<!-- end of objects -->")}


def section(text, name):
    begin, end = MARKS[name]
    return text[text.index(begin) + len(begin):text.index(end)]


def replace(text, name, new):
    begin, end = MARKS[name]
    return text[:text.index(begin) + len(begin)] + new + text[text.index(end):]


def rows(text):
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if line.startswith("|") and not set(line) <= set("|- ") and cells[0] not in ("request", "member"):
            yield cells


def read(text):
    """What the document says, and the words of it."""
    words = {}
    requests = []
    for what, phase, body, meaning in rows(section(text, "requests")):
        method, path = what.strip("`").split(" ", 1)
        requests.append([method, path, phase, body.strip("`")])
        words[what.strip("`")] = meaning
    objects = []
    for part in re.split(r"^### ", section(text, "objects"), flags=re.M)[1:]:
        name = part.split("\n", 1)[0].strip()
        is_open = "Other members are ignored." in part
        members = [[m.strip("`"), kind, need] for m, kind, need, _ in rows(part)]
        for m, _, _, meaning in rows(part):
            words[f"{name}.{m.strip('`')}"] = meaning
        objects.append({"name": name, "open": is_open, "members": members})
    return {"requests": requests, "objects": objects}, words


def write(tables, text, words):
    out = "\n\n| request | when | body | what it does |\n|---|---|---|---|\n"
    for method, path, phase, body in tables["requests"]:
        what = f"{method} {path}"
        out += f"| `{what}` | {phase} | {body} | {words.get(what, '')} |\n"
    text = replace(text, "requests", out + "\n")
    out = "\n"
    for o in tables["objects"]:
        out += f"\n### {o['name']}\n\n" + ("Other members are ignored.\n\n" if o["open"] else "")
        out += "| member | type | if absent | |\n|---|---|---|---|\n"
        for name, kind, need in o["members"]:
            out += f"| `{name}` | {kind} | {need} | {words.get(o['name'] + '.' + name, '')} |\n"
    return replace(text, "objects", out + "\n")


def main():
    tables = json.loads(subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout)
    with open(DOC, encoding="utf-8") as f:
        text = f.read()
    said, words = read(text)
    if "--write" in sys.argv:
        with open(DOC, "w", encoding="utf-8") as f:
            f.write(write(tables, text, words))
        return 0
    wrong = []
    for kind in ("requests", "objects"):
        wrong += [f"docs/api.md lacks {x}" for x in tables[kind] if x not in said[kind]]
        wrong += [f"docs/api.md has, and the server has not: {x}" for x in said[kind] if x not in tables[kind]]
    wrong += [f"docs/api.md does not say what {w} is for" for w, meaning in words.items() if not meaning and "." not in w]
    print("\n".join(wrong) or f"{len(tables['requests'])} requests and {len(tables['objects'])} objects are as documented")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
