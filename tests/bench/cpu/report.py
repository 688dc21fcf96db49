# SPDX-License-Identifier: Apache-2.0
"""The benchmark's results as a table, as JSON and as an SVG bar chart."""
import json
import math
import statistics

GROUPS = {"int": "scalar integer", "simd": "vector, string, crypto, floating point", "zip": "compression",
          "app": "programs", "sys": "system", "par": "parallel"}


def geomean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def median(rows, key):
    return statistics.median(r[key] for r in rows)


def summary(items, key="s"):
    """Adds to each item medians and ratios; gives the geometric means per group and over the set."""
    for it in items:
        it["median"] = {e: median(rows, key) for e, rows in it["runs"].items() if rows and not it.get("failed")}
        m = it["median"]
        it["ratio"] = {}
        if "qemu" in m and "mayfly" in m:
            it["ratio"]["qemu/mayfly"] = m["qemu"] / m["mayfly"]
        if "mayfly" in m and "native" in m:
            it["ratio"]["mayfly/native"] = m["mayfly"] / m["native"]
        if "qemu" in m and "native" in m:
            it["ratio"]["qemu/native"] = m["qemu"] / m["native"]
    means = {}
    for group in [g for g in GROUPS if any(it["group"] == g for it in items)] + ["all"]:
        part = [it for it in items if group in (it["group"], "all")]
        means[group] = {r: geomean(it["ratio"][r] for it in part if r in it["ratio"])
                        for r in ("qemu/mayfly", "mayfly/native", "qemu/native")}
        means[group]["items"] = len(part)
    return means


def num(v, digits=3):
    return "-" if v is None else f"{v:.{digits}f}"


def table(items, means, engines):
    head = f"{'item':15}{'group':6}" + "".join(f"{e:>10}" for e in engines) + f"{'qemu/mayfly':>13}{'mayfly/native':>15}"
    lines = [head, "-" * len(head)]
    for it in items:
        lines.append(f"{it['name']:15}{it['group']:6}" + "".join(f"{num(it['median'].get(e)):>10}" for e in engines) +
                     f"{num(it['ratio'].get('qemu/mayfly'), 2):>13}{num(it['ratio'].get('mayfly/native'), 2):>15}" +
                     (f"  {it['failed']}" if it.get("failed") else ""))
    lines.append("-" * len(head))
    for group, m in means.items():
        label = f"geometric mean, {m['items']} items" + ("" if group == "all" else f" ({GROUPS[group]})")
        lines.append(f"{group:6}{num(m['qemu/mayfly'], 2):>8} qemu/mayfly {num(m['mayfly/native'], 2):>7} mayfly/native "
                     f"{num(m['qemu/native'], 2):>7} qemu/native   {label}")
    return "\n".join(lines)


def write_json(path, data):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(data, f, indent=1)
        f.write("\n")


def write_svg(path, items, means, title):
    """Horizontal bars, logarithmic: times as multiples of the native one, mayfly and QEMU."""
    rows = [(it["name"], it["group"], it["ratio"].get("mayfly/native"), it["ratio"].get("qemu/native"))
            for it in items if "mayfly/native" in it["ratio"]]
    rows += [(f"mean: {g}", "mean", m["mayfly/native"], m["qemu/native"]) for g, m in means.items() if m["mayfly/native"]]
    left, width, step, top = 130, 640, 22, 64
    low = min([0.5] + [v for r in rows for v in r[2:] if v])
    high = max([10] + [v for r in rows for v in r[2:] if v])
    low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))

    def x(v):
        return left + width * math.log(v / low) / math.log(high / low)

    bottom = top + step * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{bottom + 40}" '
           'font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{left}" y="20" font-size="14">{title}</text>',
           f'<rect x="{left}" y="32" width="10" height="10" fill="#2a7f62"/><text x="{left + 14}" y="41">mayfly</text>'
           f'<rect x="{left + 70}" y="32" width="10" height="10" fill="#c98b3c"/><text x="{left + 84}" y="41">QEMU TCG</text>'
           f'<text x="{left + 160}" y="41">time as a multiple of native, logarithmic; less is better</text>']
    v = low
    while v <= high:
        out.append(f'<line x1="{x(v):.1f}" y1="{top - 6}" x2="{x(v):.1f}" y2="{bottom}" stroke="{"#444" if v == 1 else "#ddd"}"/>'
                   f'<text x="{x(v):.1f}" y="{bottom + 14}" text-anchor="middle">{v:g}</text>')
        v *= 10
    for i, (name, group, ours, theirs) in enumerate(rows):
        y = top + step * i
        weight = ' font-weight="bold"' if group == "mean" else ""
        out.append(f'<text x="{left - 6}" y="{y + 13}" text-anchor="end"{weight}>{name}</text>')
        for k, (value, colour) in enumerate(((ours, "#2a7f62"), (theirs, "#c98b3c"))):
            if value:
                start, end = sorted((x(1), x(value)))
                out.append(f'<rect x="{start:.1f}" y="{y + 1 + 9 * k}" width="{max(0.5, end - start):.1f}" height="8" fill="{colour}"/>'
                           f'<text x="{end + 3:.1f}" y="{y + 8 + 9 * k}" font-size="8">{value:.2f}</text>')
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out + ["</svg>", ""]))
