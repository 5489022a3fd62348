# SPDX-License-Identifier: MIT
"""From results to ratios to Markdown; nothing is measured here."""

import math
import statistics

from harness import host

# Key of a result, title, unit, divisor, digits.
METRICS = [
    ("cpu", "CPU time", "s", 1, 3),
    ("wall", "Wall time", "s", 1, 3),
    ("peak_rss", "Peak RSS", "MiB", 1024, 1),
    ("final_rss", "Final RSS, a second after the work", "MiB", 1024, 1),
]
TIMES = ("cpu", "wall")
OURS = "tract"
# Of the geometric mean, and of each row; of no interest: None.
BOUNDS = {"cpu": (1.05, 1.25), "wall": (1.05, 1.25), "peak_rss": (1.20, None)}


def meeting(report):
    """Rows in which it matters how far the processors are; older reports have none."""
    return report.get("meeting", [])


def counted(report, row, runs, key):
    """Those whose figure counts: of times, the ones in which the host was quietest.

    What the host did is told by a probe beside the program, not by the program.
    """
    if key not in TIMES:
        return [r for r in runs if key in r]
    nearest, meets = host.least(probed(report), "distance"), row in meeting(report)
    return sorted(runs, key=lambda r: host.disturbance(r, nearest, meets))[
        :report["runs"]]


def medians(report, key, names=None, rows=None):
    """[row][allocator] -> median; those that failed or have none left out."""
    table = {}
    for row, by_name in (rows or report["results"]).items():
        table[row] = {}
        for name in names or report["allocators"]:
            runs = by_name.get(name, [])
            values = [r.get(key) for r in counted(report, row, runs, key)]
            if values and None not in values and not any("failed" in r for r in runs):
                table[row][name] = statistics.median(values)
    return table


def ratios(table):
    """[row][allocator] -> ratio to the best of the row."""
    return {row: {name: value / min(cells.values()) for name, value in cells.items()}
            for row, cells in table.items() if cells and min(cells.values()) > 0}


def geometric(ratio, names):
    """Geometric mean of each allocator's ratios, over rows where all have one."""
    rows = [row for row in ratio.values() if all(n in row for n in names)]
    if not rows:
        return {}, 0
    return {n: math.exp(sum(math.log(r[n]) for r in rows) / len(rows))
            for n in names}, len(rows)


def runs(report):
    """How often each program ran, and what that makes of the figures."""
    n = report["runs"]
    return "one run of each" if n == 1 else f"medians of the {n} quietest runs"


def complaints(report):
    """Each (row, allocator, text): failed runs, and other results than most have."""
    found = []
    for row, by_name in report["results"].items():
        sums = {}
        for name, runs in by_name.items():
            for result in runs:
                if "failed" in result:
                    found.append((row, name, result["failed"]))
                else:
                    sums.setdefault(result["checksum"], set()).add(name)
        # The most common one is taken for right.
        right = max(sums, key=lambda s: len(sums[s]), default=None)
        for checksum, names in sums.items():
            if checksum != right:
                found += [(row, name, f"result {checksum}, not {right}")
                          for name in sorted(names)]
    return found


def behind(ratio):
    """What the last column says of ours."""
    if ratio is None:
        return ""
    if ratio == 1:
        return "best"
    text = f"+{100 * (ratio - 1):.0f} %"
    return f"**{text}**" if ratio > 1.25 else text


def line(cells):
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


def metric(report, key, unit, divisor, digits):
    """One table: value, ratio to the best, how far ours is from it."""
    names = list(report["allocators"])
    table = medians(report, key)
    ratio = ratios(table)
    lines = [line(["", *names, f"{OURS} from the best"]),
             "|---|" + "---:|" * (len(names) + 1)]
    for row in report["results"]:
        cells = []
        for name in names:
            if name in ratio.get(row, {}):
                cells.append(f"{table[row][name] / divisor:.{digits}f} "
                             f"({ratio[row][name]:.2f})")
            else:
                cells.append("–")
        if any(c != "–" for c in cells):
            lines.append(line([row, *cells, behind(ratio[row].get(OURS))]))
    mean, rows = geometric(ratio, names)
    lines.append(line([f"geometric mean of {rows}, ratio",
                       *(f"**{mean[n]:.3f}**" if n in mean else "" for n in names),
                       f"{unit}; (ratio to the best)"]))
    return lines


def bounds(report):
    """What was aimed at, and what came of it."""
    lines = []
    names = list(report["allocators"])
    titles = {key: title for key, title, *_ in METRICS}
    for key, (of_mean, of_row) in BOUNDS.items():
        ratio = ratios(medians(report, key))
        mean, rows = geometric(ratio, names)
        if OURS not in mean:
            continue
        verdict = "held" if mean[OURS] <= of_mean else "**missed**"
        lines.append(f"- {titles[key]}: geometric mean over {rows} rows "
                     f"{mean[OURS]:.3f}, aimed at {of_mean:.2f} or less: {verdict}.")
        over = {row: r[OURS] for row, r in ratio.items()
                if of_row and r.get(OURS, 0) > of_row}
        if over:
            lines.append(f"  Rows above {of_row}: " + ", ".join(
                f"{row} {r:.2f}" for row, r in sorted(
                    over.items(), key=lambda item: -item[1])) + ".")
        elif of_row:
            lines.append(f"  No row is above {of_row}.")
    return lines


def factors(runs_of):
    """How far the CPU times of a program and an allocator lie apart."""
    spans = []
    for runs in runs_of:
        values = [r["cpu"] for r in runs if r.get("cpu")]
        if len(values) > 1:
            spans.append(max(values) / min(values))
    if not spans:
        return "none"
    return f"{statistics.median(spans):.2f} in the median, {max(spans):.2f} at most"


def probed(report):
    """The runs that were long enough for the probe to say something."""
    return [r for by_name in report["results"].values()
            for runs in by_name.values() for r in runs if r.get("probe")]


def spread(report):
    """A median hides how far the runs lay apart, and how quiet it was: say it once."""
    pairs = [(row, runs) for row, by_name in report["results"].items()
             for name, runs in by_name.items() if name in report["allocators"]]
    every = [runs for _, runs in pairs]
    used = [counted(report, row, runs, "cpu") for row, runs in pairs]
    lines = ["CPU time of one pair of program and allocator varied by a factor of "
             f"{factors(used)}, between the runs that count; between all, of "
             f"{factors(every)}."]
    least = host.least(probed(report), "probe")
    took = [r["probe"] / least for runs in used for r in runs if r.get("probe")]
    if took:
        loud = sum(t > host.QUIET for t in took)
        lines.append(f"{sum(map(len, every))} runs, of which {sum(map(len, used))} "
                     "count; beside these the probe took "
                     f"{statistics.median(took):.2f} times as long as beside the "
                     f"quietest of all in the median, {max(took):.2f} at most, and "
                     f"in {loud} of them more than the {host.QUIET} that pass for "
                     "quiet.")
    nearest = host.least(probed(report), "distance")
    trips = [r["distance"] / nearest for (row, _), runs in zip(pairs, used)
             for r in runs if r.get("distance") and row in meeting(report)]
    if trips:
        far = sum(t > host.NEAR for t in trips)
        lines.append(f"In {far} of the {len(trips)} that count of "
                     f"{', '.join(meeting(report))} a cache line took more than "
                     f"{host.NEAR} times as long between the processors as in the run "
                     "in which they were nearest.")
    return [" ".join(lines)]


def start_up(report):
    """Processes that do next to nothing."""
    runs = report.get("start_up", {})
    names = [n for n in report["allocators"] if runs.get(n)
             and not any("failed" in r for r in runs[n])]
    if "glibc" not in names:
        return []
    rows = {"": runs}
    cpu = medians(report, "cpu", names, rows)[""]
    wall = medians(report, "wall", names, rows)[""]
    rss = medians(report, "final_rss", names, rows)[""]
    return [line(["", *names]), "|---|" + "---:|" * len(names),
            line(["CPU time of 1,000 processes, s", *(f"{cpu[n]:.3f}" for n in names)]),
            line(["wall time, s", *(f"{wall[n]:.3f}" for n in names)]),
            line(["RSS of one beyond glibc's, KiB",
                  *(f"{rss[n] - rss['glibc']:.0f}" for n in names)])]


def variants(report):
    """What a feature costs: ours with and without it, in the same rounds."""
    lines = []
    names = [OURS, *report.get("variants", [])]
    for name in names[1:]:
        for key, title, *_ in METRICS[:3:2]:
            # Others run only as often as was asked: held against those rounds.
            rounds = {row: {n: runs[:report["runs"]] for n, runs in by_name.items()}
                      for row, by_name in report["results"].items()}
            table = medians(report, key, [OURS, name], rounds)
            both = {row: cells for row, cells in table.items() if len(cells) == 2}
            if not both:
                continue
            change = {row: cells[name] / cells[OURS] for row, cells in both.items()}
            mean = math.exp(sum(map(math.log, change.values())) / len(change))
            lines.append(f"- {name}, {title}: {mean:.3f} times that of {OURS} in the "
                         "geometric mean (" + ", ".join(
                             f"{row} {x:.2f}" for row, x in change.items()) + ").")
    return lines + [f"- {text}: left out." for text in report.get("missing", [])]


def instructions(report):
    """Counts of single calls, and of pairs by callgrind."""
    counts = report.get("instructions", {})
    lines = []
    names = [n for n in counts if "steps" in counts[n]]
    if names:
        functions = list(counts[names[0]]["steps"])
        lines += [line(["one call", *names]), "|---|" + "---:|" * len(names)]
        for function in functions:
            cells = []
            for name in names:
                one = counts[name]["steps"][function]
                share = 100 * one["common"] / one["calls"]
                text = str(one["instructions"])
                cells.append(text if share >= 90 else f"{text} ({share:.0f} %)")
            lines.append(line([function.replace("_", " ") if function == "remote_free"
                               else function, *cells]))
        lines.append("")
    names = [n for n in counts if "pairs" in counts[n]]
    if names:
        lines += [line(["a pair, over thousands", *names]),
                  "|---|" + "---:|" * len(names)]
        for pattern in counts[names[0]]["pairs"]:
            lines.append(line([pattern, *(f"{counts[n]['pairs'][pattern]:.1f}"
                                          for n in names)]))
        lines.append("")
    return lines
