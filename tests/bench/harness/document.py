# SPDX-License-Identifier: MIT
"""The report as a page, its plots, and the section of the README: from the JSON."""

import os
import re
import shutil
import subprocess

from harness import tables

COLOURS = ["#8c8c8c", "#1f6fb4", "#c44e52", "#dd8452", "#55a868", "#8172b3", "#937860"]
MARK = "<!-- benchmarks: {} (written by tests/bench/publish) -->"


def machine(report):
    """One paragraph."""
    m = report["machine"]
    versions = ", ".join(f"{n} {v}" for n, v in m["packages"].items())
    return (f"{m['processor']}, {m['processors']} processors, {m['memory_mib']} MiB; "
            f"Linux {m['kernel']}, {m['distribution']}; transparent huge pages "
            f"\"{m['huge_pages']}\"; tract {m['commit']}, gcc {m['compiler']}, "
            f"{'with' if m['module'] else 'without'} its module. {versions}. Each "
            f"program ran {report['runs']} times under each allocator in turn. Beside "
            "it a probe (`tests/bench/hostspeed`) did the same few microseconds of "
            "arithmetic on every processor each 10 ms, which tells when a virtual "
            "machine has but a part of its core, and let two processors pass a cache "
            "line to and fro, which tells when it has two that are far from each "
            "other. Times are adjusted to the average of that over all runs of the "
            "row, as far as they follow it (analysis of covariance, one pair of "
            "slopes for all allocators of a row: `tests/bench/harness/covariance.py`). "
            "All figures are medians; in brackets the ratio to the best of the row.")


def acceptance(figures):
    """What tests/bench/acceptance has found."""
    lines = []
    for one in figures:
        verdict = "held" if one["held"] else "**missed**"
        lines += [f"### {one['title']}: {verdict}", "", *(f"- {t}" for t in one["found"]),
                  ""]
    return lines


def page(report, plots=(), figures=()):
    """All tables."""
    lines = ["<!-- SPDX-License-Identifier: MIT -->",
             "# Benchmarks of the malloc family", "", machine(report), "",
             "The first eleven programs are in `tests/bench`, each described at its "
             "head; the others are the distribution's, with the inputs in "
             "`tests/bench/real`. redis and memcached: CPU time and memory of the "
             "server alone. luajit: buffers of `malloc`; Lua's own objects lie in an "
             "allocator of LuaJIT's. Every run's result was held against the others'.",
             "", "What was aimed at:", "", *tables.bounds(report), ""]
    for key, title, unit, divisor, digits in tables.METRICS:
        lines += [f"## {title}", "", f"In {unit}, less is better.", ""]
        lines += tables.metric(report, key, unit, divisor, digits) + [""]
        if f"{key}.svg" in plots:
            lines += [f"![{title}, ratio to the best]({key}.svg)", ""]
    lines += tables.spread(report) + [""]
    start = tables.start_up(report)
    if start:
        lines += ["## Start-up", "", "A program that allocates a hundred small blocks "
                  "and ends.", "", *start, ""]
    change = tables.variants(report)
    if change:
        lines += ["## What a feature costs", "", "*unchecked* is the library with no "
                  "check of the allocated bit, so that double and invalid frees pass; "
                  "the bitmap itself stays, it is the list of free blocks. *hardened* is "
                  "`TRACT_OPTIONS=hardened=1`. Same rounds as the tables above.", "",
                  *change, ""]
    counts = tables.instructions(report)
    if counts:
        lines += ["## Instructions", "", "*One call*: a warmed-up call for 64 bytes was "
                  "executed instruction by instruction (`tests/bench/steps`); the "
                  "number is that of the path that most calls took, its return "
                  "included, the call itself and the PLT not; where it is under 90 % "
                  "of the calls, its share. *A pair*: by callgrind, the difference "
                  "between many and few rounds of `tests/bench/pairs`, the loop taken "
                  "off.", "", *counts]
        for function, path in report.get("listing", {}).items():
            if path:
                lines += [f"`{function}` of tract, {len(path)} instructions:", "",
                          "```", *path, "```", ""]
    if figures:
        lines += ["## What was asked", "", "By `tests/bench/acceptance`.", "",
                  *acceptance(figures)]
    failed = tables.complaints(report)
    if failed:
        lines += ["## Failures", ""]
        lines += [f"- {row} under {name}: {text}" for row, name, text in failed] + [""]
    return "\n".join(lines).rstrip("\n") + "\n"


def quoted(text):
    """For gnuplot."""
    return '"' + text.replace('"', "'").replace("_", "\\\\_") + '"'


def bars(path, title, names, rows):
    """Clusters of bars on a logarithmic scale; rows are (label, {name: ratio})."""
    data = [" ".join([quoted("row"), *map(quoted, names)])]
    for label, ratio in rows:
        data.append(" ".join([quoted(label), *(f"{ratio[n]:.4f}" if n in ratio else "NaN"
                                               for n in names)]))
    most = max(r for _, ratio in rows for r in ratio.values())
    plot = ", ".join(f"$data using {i + 2}{':xtic(1)' if not i else ''} title "
                     f"{quoted(n)} linecolor rgb '{COLOURS[i % len(COLOURS)]}'"
                     for i, n in enumerate(names))
    script = f"""
set terminal svg size 1000,420 font 'sans-serif,12' background rgb 'white'
set output '{path}'
set title {quoted(title)}
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set logscale y 2
set yrange [0.9:{min(most * 1.1, 32):.3f}]
set ylabel 'ratio to the best, less is better'
set ytics add (1.25)
set grid ytics linecolor rgb '#dddddd'
set xtics {'rotate by 30 right' if len(rows) > 6 else ''} scale 0
set key outside top center horizontal
$data << END
{chr(10).join(data[1:])}
END
plot {plot}
"""
    subprocess.run(["gnuplot", "-"], input=script, text=True, check=True)
    # A licence in its head, as in every file, and no date or place of the machine.
    with open(path, encoding="utf-8") as file:
        head, rest = file.read().split("\n", 1)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{head}\n<!-- SPDX-License-Identifier: MIT -->\n{rest}")


def plots(report, out):
    """One SVG a metric, and one of the means; their names."""
    if not shutil.which("gnuplot"):
        print("no plots: gnuplot is not installed")
        return []
    names = list(report["allocators"])
    written, means = [], []
    for key, title, *_ in tables.METRICS:
        ratio = tables.ratios(tables.medians(report, key))
        if not ratio:
            continue
        bars(os.path.join(out, f"{key}.svg"), title, names, list(ratio.items()))
        written.append(f"{key}.svg")
        mean, rows = tables.geometric(ratio, names)
        if rows:
            means.append((f"{title.split(',')[0]} ({rows} programs)", mean))
    if means:
        bars(os.path.join(out, "means.svg"),
             "Geometric means of the ratios to the best of each program", names, means)
        written.append("means.svg")
    return written


def section(report):
    """What the README shows: the plot of the means, and a row for each program."""
    names = list(report["allocators"])
    lines = ["![Geometric means of CPU time, wall time, peak and final RSS]"
             "(docs/bench/means.svg)", "",
             "Ratio to the best of each row, CPU time / peak RSS; 1.00 is the best:", "",
             tables.line(["", *names]), "|---|" + "---:|" * len(names)]
    by_key = {key: tables.ratios(tables.medians(report, key))
              for key in ("cpu", "peak_rss")}
    for row in report["results"]:
        cells = []
        for name in names:
            pair = [by_key[key].get(row, {}).get(name) for key in by_key]
            text = " / ".join("–" if r is None else f"{r:.2f}" for r in pair)
            cells.append(f"**{text}**" if name == tables.OURS and
                         (pair[0] or 0) > 1.25 else text)
        lines.append(tables.line([row, *cells]))
    means = [tables.geometric(by_key[key], names)[0] for key in by_key]
    lines.append(tables.line(["geometric mean", *(
        " / ".join(f"{mean[n]:.3f}" if n in mean else "–" for mean in means)
        for n in names)]))
    m = report["machine"]
    lines += ["", f"{m['processor']}, {m['processors']} processors, {m['distribution']}, "
              f"{tables.runs(report)} in turn; more in "
              "[docs/bench](docs/bench/README.md), `make bench` makes it anew."]
    return "\n".join(lines)


def between_marks(text, new):
    """The text with what stands between the marks replaced."""
    begin, end = MARK.format("begin"), MARK.format("end")
    found = re.search(re.escape(begin) + r".*?" + re.escape(end), text, re.S)
    if not found:
        raise ValueError(f"no '{begin}' and end of it")
    return text[:found.start()] + f"{begin}\n{new}\n{end}" + text[found.end():]
