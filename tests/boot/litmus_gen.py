# SPDX-License-Identifier: Apache-2.0
"""Writes memory-model tests as C, with the outcomes that x86 allows: usage: litmus_gen.py OUT.h

A test is a few threads of a few accesses to locations x, y, z that start as 0. Which final registers
and memory are possible follows from running the operational model x86-TSO (each processor has a
first-in first-out store buffer that its own loads look into; locked instructions and MFENCE wait
until it is empty) through all interleavings; what the model without buffers cannot do is "relaxed"
and should be seen now and then, or the test is blind.

Accesses: W loc value, R loc, F (mfence), L (lock add to the stack), X loc value (xchg, gives the old
value), A loc (lock xadd 1, gives the old value), C loc value (lock cmpxchg 0 -> value, gives the old
value). Each thread's results are numbered in the order of its accesses.

guest/litmus.c runs them. Refs: Sewell et al., "x86-TSO" (2010); Alglave et al., "Herding Cats" (2014),
for the names.
"""
import sys

TESTS = {
    "MP": ["W x 1; W y 1", "R y; R x"],
    "MP+xchg": ["X x 1; W y 1", "R y; R x"],
    "MP+cmpxchg": ["W x 1; C y 1", "A y; R x"],
    "SB": ["W x 1; R y", "W y 1; R x"],
    "SB+mfences": ["W x 1; F; R y", "W y 1; F; R x"],
    "SB+mfence+po": ["W x 1; F; R y", "W y 1; R x"],
    "SB+locks": ["W x 1; L; R y", "W y 1; L; R x"],
    "SB+xchgs": ["X x 1; R y", "X y 1; R x"],
    "SB+xadds": ["A x; R y", "A y; R x"],
    "SB+cmpxchgs": ["C x 1; R y", "C y 1; R x"],
    "SB+rfi": ["W x 1; R x; R y", "W y 1; R y; R x"],
    "LB": ["R x; W y 1", "R y; W x 1"],
    "LB+xchgs": ["R x; X y 1", "R y; X x 1"],
    "S": ["W x 2; W y 1", "R y; W x 1"],
    "R": ["W x 1; W y 1", "W y 2; R x"],
    "R+mfence": ["W x 1; W y 1", "W y 2; F; R x"],
    "R+xchg": ["W x 1; W y 1", "X y 2; R x"],
    "2+2W": ["W x 1; W y 2", "W y 1; W x 2"],
    "CoRR": ["W x 1; W x 2", "R x; R x"],
    "CoWR": ["W x 1; R x", "W x 2; R x"],
    "CoRW": ["R x; W x 1", "W x 2; R x"],
    "CoWW": ["W x 1; W x 2", "W x 3; R x"],
    "xadd": ["A x; A x", "A x; A x"],
    "cmpxchg": ["C x 1; R x", "C x 2; R x"],
    "n6": ["W x 1; R x; R y", "W y 1; W x 2"],
    "n5": ["W x 1; R x", "W x 2; R x"],
    "WRC": ["W x 1", "R x; W y 1", "R y; R x"],
    "RWC": ["W x 1", "R x; R y", "W y 1; R x"],
    "RWC+mfence": ["W x 1", "R x; R y", "W y 1; F; R x"],
    "ISA2": ["W x 1; W y 1", "R y; W z 1", "R z; R x"],
    "3.SB": ["W x 1; R y", "W y 1; R z", "W z 1; R x"],
    "3.SB+mfences": ["W x 1; F; R y", "W y 1; F; R z", "W z 1; F; R x"],
    "IRIW": ["W x 1", "W y 1", "R x; R y", "R y; R x"],
    "IRIW+mfences": ["W x 1", "W y 1", "R x; F; R y", "R y; F; R x"],
    "CoIRIW": ["W x 1", "W x 2", "R x; R x", "R x; R x"],
    "4.xadd": ["A x", "A x", "A x", "R x; R x"],
}
WIDTHS = {"b": "al", "l": "eax", "q": "rax"}


def parse(text):
    return [[tuple(op.split()) for op in thread.split(";")] for thread in text]


def locations(threads):
    return sorted({op[1] for t in threads for op in t if len(op) > 1})


def gives(op):
    return op[0] in "RXAC"


def outcomes(threads, buffered):
    """All (registers, memory) that the model can end with."""
    locs = locations(threads)
    start = (tuple(0 for _ in threads), tuple(() for _ in threads), tuple(() for _ in threads),
             tuple(0 for _ in locs))
    seen, todo, found = {start}, [start], set()

    def put(tup, i, v):
        return tup[:i] + (v,) + tup[i + 1:]

    while todo:
        pcs, bufs, regs, mem = todo.pop()
        nexts = []
        for i, t in enumerate(threads):
            if bufs[i]:
                loc, val = bufs[i][0]
                nexts.append((pcs, put(bufs, i, bufs[i][1:]), regs, put(mem, loc, val)))
            if pcs[i] == len(t):
                continue
            op, pc = t[pcs[i]], put(pcs, i, pcs[i] + 1)
            loc = locs.index(op[1]) if len(op) > 1 else 0
            if op[0] == "R":
                val = next((v for a, v in reversed(bufs[i]) if a == loc), mem[loc])
                nexts.append((pc, bufs, put(regs, i, regs[i] + (val,)), mem))
            elif op[0] == "W" and buffered:
                nexts.append((pc, put(bufs, i, bufs[i] + ((loc, int(op[2])),)), regs, mem))
            elif op[0] == "W":
                nexts.append((pc, bufs, regs, put(mem, loc, int(op[2]))))
            elif not bufs[i] and op[0] in "FL":
                nexts.append((pc, bufs, regs, mem))
            elif not bufs[i]:
                old = mem[loc]
                new = {"X": lambda: int(op[2]), "A": lambda: old + 1,
                       "C": lambda: int(op[2]) if old == 0 else old}[op[0]]()
                nexts.append((pc, bufs, put(regs, i, regs[i] + (old,)), put(mem, loc, new)))
        if not nexts:
            found.add((sum(regs, ()), mem))
        for s in nexts:
            if s not in seen:
                seen.add(s)
                todo.append(s)
    return found


def code(outcome, shift):
    regs, mem = outcome
    return sum(v << shift * i for i, v in enumerate(regs + mem))


def asm(op, width, loc, reg):
    """Lines of AT&T text; the result ends in the 64-bit register named by reg."""
    acc = WIDTHS[width]
    if op[0] == "W":
        return [f"mov{width} ${op[2]}, (%[{loc}])"]
    if op[0] == "F":
        return ["mfence"]
    if op[0] == "L":
        return ["lock addl $0, -64(%%rsp)"]
    if op[0] == "R":
        return ["xorl %%eax, %%eax", f"mov{width} (%[{loc}]), %%{acc}", f"movq %%rax, {reg}"]
    if op[0] == "X":
        return [f"movl ${op[2]}, %%eax", f"xchg{width} %%{acc}, (%[{loc}])", f"movq %%rax, {reg}"]
    if op[0] == "A":
        return ["movl $1, %%eax", f"lock xadd{width} %%{acc}, (%[{loc}])", f"movq %%rax, {reg}"]
    src = {"b": "cl", "l": "ecx", "q": "rcx"}[width]
    return ["xorl %%eax, %%eax", f"movl ${op[2]}, %%ecx", f"lock cmpxchg{width} %%{src}, (%[{loc}])",
            f"movq %%rax, {reg}"]


REGS = ["r8", "r9", "r10"]


def emit_thread(name, thread, width):
    """A function that does the accesses back to back and stores the results afterwards."""
    used, n = [], 0
    for op in thread:
        used += asm(op, width, op[1] if len(op) > 1 else "", f"%%{REGS[n]}" if gives(op) else "")
        n += gives(op)
    text = "\n".join(f'\t\t"{line}\\n\\t"' for line in used)
    stores = "".join(f"\tout[{i}] = g{i};\n" for i in range(n))
    decls = "".join(f'\tregister uint64_t g{i} __asm__("{REGS[i]}");\n' for i in range(n))
    outs = ", ".join(f'"=r"(g{i})' for i in range(n))
    locs = sorted({op[1] for op in thread if len(op) > 1})
    ins = ", ".join(f'[{a}] "r"(loc[{"xyz".index(a)}])' for a in locs)
    early = outs.replace('"=r"', '"=&r"')
    return (f"static void {name}(void *const *loc, uint64_t *out)\n{{\n{decls}\n\t__asm__ volatile(\n{text}\n"
            f'\t\t: {early}\n\t\t: {ins}\n\t\t: "rax", "rcx", "memory", "cc");\n{stores}}}\n\n')


def main():
    out = ["/* Made by litmus_gen.py. */\n"]
    rows = []
    for name, text in TESTS.items():
        threads = parse(text)
        n_regs = sum(gives(op) for t in threads for op in t)
        n_locs = len(locations(threads))
        tso, sc = outcomes(threads, True), outcomes(threads, False)
        shift = 16 // (n_regs + n_locs)
        assert shift >= 2 and max(max(r + m) for r, m in tso) < 1 << shift, name
        allowed = sorted(code(o, shift) for o in tso)
        relaxed = sorted(code(o, shift) for o in tso - sc)
        base = "t_" + "".join(c if c.isalnum() else "_" for c in name)
        for field, codes in (("allowed", allowed), ("relaxed", relaxed)):
            out.append(f"static const uint16_t {base}_{field}[] = {{{', '.join(map(str, codes)) or 0}}};\n")
        for width in WIDTHS:
            fns = []
            for i, t in enumerate(threads):
                fn = f"{base}_{width}{i}"
                out.append(emit_thread(fn, t, width))
                fns.append(f"{{{fn}, {sum(gives(op) for op in t)}}}")
            rows.append(f'\t{{"{name}.{width}", {len(threads)}, {n_locs}, {shift}, {{{", ".join(fns)}}}, '
                        f"{base}_allowed, {len(allowed)}, {base}_relaxed, {len(relaxed)}}},\n")
    out.append("static const struct litmus tests[] = {\n" + "".join(rows) + "};\n")
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("".join(out))


main()
