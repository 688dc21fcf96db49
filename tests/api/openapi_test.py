#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/api.yaml against the server. usage: openapi_test.py PRINT_TABLES [--write]

--write makes the file from the server's tables and the words of docs/api.md. Without it:
- the file is what --write would make: nothing is missing and nothing is too much;
- OpenAPI's own schema (Debian's openapi-specification) has nothing against it, if it is installed;
- a running server refuses what the schemas refuse, answers as they say, and never calls a body
  malformed that they allow. $MAYFLY names the program.
"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

import yaml

import openapi
from api_doc_test import DOC, read
from fc import JSON_ERROR, Server, request
from harness import Skip, Suite

YAML = os.path.join(os.path.dirname(DOC), "api.yaml")
META = "/usr/share/openapi-specification/schemas/v3.0/schema.json"
NOWHERE = "/nonexistent/file"
# Each is wrong for most members. 1.0 is not here: an integer for JSON Schema, not for the server.
POOL = [None, True, -1, 0, 1.5, 2, 63, 68, 128, 129, 2**16, 2**32, 2**64, "", "x", "Full", "\u00e9", NOWHERE, [], ["x"], {},
        {"x": 1}, "06:00:00:00:00:01", "0b1x", "0x10"]


def dump(document):
    return "# SPDX-License-Identifier: Apache-2.0\n" + yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)


def made(program):
    tables = json.loads(subprocess.run([program], capture_output=True, text=True, check=True).stdout)
    with open(DOC, encoding="utf-8") as f:
        words = read(f.read())[1]
    with open(os.path.join(os.path.dirname(os.path.dirname(YAML)), "meson.build"), encoding="utf-8") as f:
        version = re.search(r"version: '([^']+)'", f.read()).group(1)
    return tables, openapi.document(tables, words, version)


# --- the document -------------------------------------------------------------------------------

def differences(got, want, where=""):
    if isinstance(got, dict) and isinstance(want, dict):
        for key in list(want) + [k for k in got if k not in want]:
            if key not in got:
                yield f"docs/api.yaml lacks {where}/{key}"
            elif key not in want:
                yield f"docs/api.yaml has, and the server has not: {where}/{key}"
            else:
                yield from differences(got[key], want[key], f"{where}/{key}")
    elif got != want:
        yield f"docs/api.yaml: {where}: {got!r}, the server has {want!r}"


def is_as_made(want):
    with open(YAML, encoding="utf-8") as f:
        got = yaml.safe_load(f)
    wrong = list(differences(got, want))
    assert not wrong, "\n".join(wrong[:20]) + "\n# openapi_test.py PRINT_TABLES --write makes it anew"
    n = sum(m in ("get", "put", "patch", "delete") for item in got["paths"].values() for m in item)
    return f"{n} requests, {len(got['components']['schemas'])} schemas"


def is_openapi(document):
    try:
        import jsonschema
        with open(META, encoding="utf-8") as f:
            meta = json.load(f)
    except (ImportError, FileNotFoundError) as e:
        raise Skip(f"{e}: python3-jsonschema and openapi-specification are needed") from None
    jsonschema.Draft4Validator(meta).validate(document)


def refers_to_what_is_there(document):
    text = json.dumps(document)
    refs = set(re.findall(r'"\$ref": "#/components/(\w+)/(\w+)"', text))
    for kind, name in refs:
        assert name in document["components"][kind], name
    unused = [n for kind in ("schemas", "responses") for n in document["components"][kind]
              if (kind, n) not in refs and n not in ("VmmConfig",)]  # of a configuration file
    assert not unused, unused
    ids = re.findall(r'"operationId": "(\w+)"', text)
    assert len(ids) == len(set(ids)), sorted(ids)


# --- a schema, applied ---------------------------------------------------------------------------

class Checker:
    """As much of JSON Schema as openapi.py uses."""

    def __init__(self, document):
        self.schemas = document["components"]["schemas"]

    def wrong(self, s, value, where="body"):
        """The first thing that is wrong with a value, or None."""
        if "$ref" in s:
            return self.wrong(self.schemas[s["$ref"].rsplit("/", 1)[1]], value, where)
        if value is None:
            return None if s.get("nullable") or not s else f"{where}: null"
        if "oneOf" in s:
            n = sum(not self.wrong(one, value, where) for one in s["oneOf"])
            if n != 1:
                return f"{where}: fits {n} of oneOf"
        for part in s.get("allOf", []):
            why = self.wrong(part, value, where)
            if why:
                return why
        if "enum" in s and value not in s["enum"]:
            return f"{where}: {value!r} is none of {s['enum']}"
        fn = {"string": self.string, "integer": self.integer, "boolean": self.boolean, "array": self.array,
              "object": self.object}.get(s.get("type"))
        return fn(s, value, where) if fn else None

    @staticmethod
    def string(s, value, where):
        good = isinstance(value, str) and len(value) <= s.get("maxLength", len(value)) and \
            re.search(s.get("pattern", ""), value)
        return None if good else f"{where}: {value!r} for {s}"

    @staticmethod
    def integer(s, value, where):
        good = type(value) is int and s.get("minimum", value) <= value <= s.get("maximum", value)
        return None if good else f"{where}: {value!r} for {s}"

    @staticmethod
    def boolean(s, value, where):
        return None if isinstance(value, bool) else f"{where}: {value!r} for {s}"

    def array(self, s, value, where):
        if not isinstance(value, list) or len(value) < s.get("minItems", 0):
            return f"{where}: {value!r} for {s}"
        return next((why for i, v in enumerate(value) if (why := self.wrong(s["items"], v, f"{where}[{i}]"))), None)

    def object(self, s, value, where):
        members, more = s.get("properties", {}), s.get("additionalProperties", True)
        if not isinstance(value, dict) or len(value) < s.get("minProperties", 0):
            return f"{where}: {value!r} for {s.get('type')}"
        for name in s.get("required", []):
            if name not in value:
                return f"{where}: no {name}"
        for name, v in value.items():
            sub = members.get(name, more if isinstance(more, dict) else {})
            if name not in members and more is False:
                return f"{where}: {name} is unknown"
            why = self.wrong(sub, v, f"{where}.{name}")
            if why:
                return why
        return None

    def example(self, s):
        """A value that the schema allows; the least of it."""
        if "$ref" in s:
            return self.example(self.schemas[s["$ref"].rsplit("/", 1)[1]])
        if "allOf" in s:
            return self.example(s["allOf"][0])
        if "enum" in s:
            return s["enum"][0]
        if s.get("type") == "object":
            required = s.get("required", []) + s.get("oneOf", [{}])[0].get("required", [])
            out = {n: self.example(s["properties"][n]) for n in required}
            if s.get("minProperties") and not out:
                name = next(iter(s["properties"]))
                out[name] = self.example(s["properties"][name])
            return out
        if s.get("type") == "array":
            return [self.example(s["items"])] * s.get("minItems", 0)
        if s.get("type") == "string":
            return next((v for v in ("x", "06:00:00:00:00:01", "0b1x", "0x10", "Info")
                         if re.search(s.get("pattern", ""), v)), "x")
        return {"integer": s.get("minimum", 0), "boolean": False}.get(s.get("type"))

    def resolve(self, s):
        while "$ref" in s or "allOf" in s:
            s = self.schemas[s["$ref"].rsplit("/", 1)[1]] if "$ref" in s else s["allOf"][0]
        return s

    def variants(self, s, depth=0):
        """Values around what the schema allows: right ones, and ones with one thing wrong."""
        good = self.example(s)
        yield good
        s = self.resolve(s)
        if s.get("type") == "array" and depth < 4:
            for v in self.variants(s["items"], depth + 1):
                yield [v]
        if s.get("type") != "object":
            yield from POOL
            if "maximum" in s:
                yield from (s["minimum"] - 1, s["minimum"], s["maximum"], s["maximum"] + 1)
            if "maxLength" in s:
                yield from ("y" * s["maxLength"], "y" * (s["maxLength"] + 1))
            yield from s.get("enum", [])
            return
        for name in s.get("required", []):
            yield {k: v for k, v in good.items() if k != name}
        yield {**good, "no_such_member": 1}
        for name, sub in s.get("properties", {}).items():
            for v in self.variants(sub, depth + 1) if depth < 4 else [self.example(sub)]:
                yield {**good, name: v}


# --- a server against it -------------------------------------------------------------------------

def operations(document):
    for path, item in document["paths"].items():
        for method in ("get", "put", "patch", "delete"):
            if method in item:
                yield method.upper(), path, item[method]


def status_of(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def answer_schema(document, op, status):
    r = op["responses"][str(status)]
    if "$ref" in r:
        r = document["components"]["responses"][r["$ref"].rsplit("/", 1)[1]]
    return r.get("content", {}).get("application/json", {}).get("schema")


def check_answer(document, checker, what, op, answer):
    """The answer is one of those that the document has; its status and message."""
    status, body = status_of(answer)
    assert str(status) in op["responses"], f"{what}: status {status} is not documented: {body[:300]}"
    schema = answer_schema(document, op, status)
    if schema is None:
        assert body == "", f"{what}: {status} with {body!r}"
        return status, ""
    value = json.loads(body)
    why = checker.wrong(schema, value)
    assert not why, f"{what}: {status} {body[:300]}: {why}"
    return status, value.get("fault_message", "") if isinstance(value, dict) else ""


def bodies(document, checker, op):
    content = op.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if content is None:
        return
    seen = set()
    for v in checker.variants(content) if content else POOL:
        text = json.dumps(v)
        if text not in seen:
            seen.add(text)
            yield v, checker.wrong(content, v) if content else None


def refuses_what_the_schemas_refuse(document):
    """Before a machine is there, in a directory of its own: some bodies make files."""
    checker, n, refused = Checker(document), 0, 0
    with tempfile.TemporaryDirectory() as tmp, Server(cwd=tmp) as s, s.connect() as c:
        for method, path, op in operations(document):
            for body, why in bodies(document, checker, op):
                ident = next(iter(body.values()), "a") if isinstance(body, dict) else "a"
                good_id = isinstance(ident, str) and re.fullmatch(r"[A-Za-z0-9_]+", ident)
                what = f"{method} {path} {json.dumps(body)[:300]}"
                answer = c.call(method, path.replace("{id}", ident if good_id else "a"), json.dumps(body))
                status, message = check_answer(document, checker, what, op, answer)
                assert status >= 400 or not why, f"{what} is taken, which docs/api.yaml does not allow: {why}"
                assert why or not message.startswith(JSON_ERROR), f"{what}: docs/api.yaml allows it, but: {message}"
                n, refused = n + 1, refused + bool(why)
    return f"{n} bodies, {refused} against the schemas"


def limits_are_the_servers(document):
    """Both sides of what code checks: inside is taken, or refused for another reason than outside."""
    checker, n = Checker(document), 0
    with Server() as s, s.connect() as c:
        for method, path, op in operations(document):
            schema = op.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema") or {}
            name = schema.get("$ref", "").rsplit("/", 1)[-1]
            for limited, limit in openapi.LIMITS.items():
                if limited.split(".")[0] != name:
                    continue
                m = limited.split(".")[1]
                sub, good = document["components"]["schemas"][name]["properties"][m], checker.example(schema)
                good = {k: s.file("x") if k.endswith("path") else v for k, v in good.items()}
                for key, inside, outside in (
                        ("minimum", limit.get("minimum", 0), limit.get("minimum", 0) - 1),
                        ("maximum", sub.get("maximum", 0), sub.get("maximum", 0) + 1),
                        ("maxLength", "y" * limit.get("maxLength", 0), "y" * (limit.get("maxLength", 0) + 1))):
                    if key not in limit:
                        continue
                    was = [re.sub(r"\d+|y+", "", status_of(c.call(method, path.replace("{id}", "x"), {**good, m: v}))[1])
                           for v in (inside, outside)]
                    assert was[1] and was[0] != was[1], f"{method} {path}: {limited}: {key} {limit[key]}: {was}"
                    n += 1
    return f"{n} limits"


def check_lines(checker, server, path, started):
    """An answer that goes on: what is there so far. How many lines."""
    with server.connect() as c:
        c.send(request("GET", path))
        data = b""
        while b"\r\n\r\n" not in data or (started and b'"running"' not in data):
            data += c.sock.recv(4096)
    lines = data.split(b"\r\n\r\n")[1].splitlines()
    for line in lines:
        why = checker.wrong(checker.schemas["Event"], json.loads(line))
        assert not why, (line, why)
    return len(lines)


def events_are_named(document):
    """Each event of the source is in the schema and in docs/api.md, and no other."""
    root, told = os.path.dirname(os.path.dirname(DOC)), {"lost"}
    for directory in ("api", "vmm", "devices"):
        for path in glob.glob(os.path.join(root, directory, "**", "*.c"), recursive=True):
            with open(path, encoding="utf-8") as f:
                told |= set(re.findall(r'(?:\bevents_add\(|\btell_event\(m, )[^";{]*"(\w+)"', f.read()))
    enum = document["components"]["schemas"]["Event"]["properties"]["event"]["enum"]
    assert told == set(enum), told ^ set(enum)
    with open(DOC, encoding="utf-8") as f:
        table = f.read().split("## Events")[1].split("## Requests")[0]
    named = {w for line in table.splitlines() if line.startswith("| `") for w in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert told == named, told ^ named
    return f"{len(told)} events"


def answers_are_as_documented(document):
    """What GET says before and after the start."""
    checker, n = Checker(document), 0
    with Server() as s:
        s.call("PUT", "/balloon", {"amount_mib": 1, "deflate_on_oom": False, "stats_polling_interval_s": 1,
                                   "free_page_hinting": True})
        s.call("PUT", "/mmds", {"a": [1, {"b": None}]})
        for started in (False, True):
            if started:
                s.boot()
            for method, path, op in operations(document):
                if "application/x-ndjson" in str(op["responses"]):
                    n += check_lines(checker, s, path, started)
                elif method == "GET":
                    allowed = op["x-when"] != "after" or started
                    status, message = check_answer(document, checker, path, op, s.call(method, path))
                    assert status == 200 or not allowed or "not found" in message, f"{path}: {message}"
                    n += status == 200
        not_allowed = {"before": 0}
        for method, path, op in operations(document):
            if op["x-when"] == "before":
                _, message = check_answer(document, checker, path, op, s.call(
                    method, path.replace("{id}", "x"),
                    checker.example(op["requestBody"]["content"]["application/json"]["schema"])))
                assert message == "The requested operation is not supported after starting the microVM.", (path, message)
                not_allowed["before"] += 1
    return f"{n} answers, {not_allowed['before']} requests refused after the start"


def main():
    _, document = made(sys.argv[1])
    if "--write" in sys.argv:
        with open(YAML, "w", encoding="utf-8") as f:
            f.write(dump(document))
        return
    suite = Suite(sys.argv[2] if len(sys.argv) > 2 else None)
    suite.check("api.yaml: is what the server's tables say", lambda: is_as_made(document))
    suite.check("api.yaml: is OpenAPI 3.0", lambda: is_openapi(document))
    suite.check("api.yaml: refers to what is there", lambda: refers_to_what_is_there(document))
    suite.check("api.yaml: the server refuses what the schemas refuse", lambda: refuses_what_the_schemas_refuse(document))
    suite.check("api.yaml: limits are the server's", lambda: limits_are_the_servers(document))
    suite.check("api.yaml: events are named", lambda: events_are_named(document))
    suite.check("api.yaml: answers are as documented", lambda: answers_are_as_documented(document))
    sys.exit(suite.finish())


if __name__ == "__main__":
    main()
