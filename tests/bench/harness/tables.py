# SPDX-License-Identifier: MIT
"""From results to ratios to Markdown; nothing is measured here."""

import math
import statistics

from harness import covariance

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


def values(by_name, key, adjust):
    """[allocator] -> a figure of each run, of programs that never failed."""
    good = {name: [r for r in runs if r.get(key) is not None]
            for name, runs in by_name.items() if not any("failed" in r for r in runs)}
    good = {name: runs for name, runs in good.items() if runs}
    if good and adjust and key in TIMES:
        return covariance.adjusted(good, key)
    return {name: [r[key] for r in runs] for name, runs in good.items()}


def medians(report, key, names=None, rows=None, adjust=True):
    """[row][allocator] -> median; those that failed or have none left out.

    @adjust: times are those of the same machine in all of a row, see covariance.py.
    """
    names = names or report["allocators"]
    return {row: {name: statistics.median(v) for name, v in values(
                {n: by_name[n] for n in names if n in by_name}, key, adjust).items()}
            for row, by_name in (rows or report["results"]).items()}


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
    return "one run of each" if n == 1 else f"medians of {n} runs"


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


def over(ratio, of_row):
    """What is to be said of the rows in which ours is above a bound, or nothing."""
    if not of_row:
        return ""
    rows = {row: r[OURS] for row, r in ratio.items() if r.get(OURS, 0) > of_row}
    if not rows:
        return f"no row above {of_row}"
    return f"rows above {of_row}: " + ", ".join(
        f"{row} {r:.2f}" for row, r in sorted(rows.items(), key=lambda x: -x[1]))


def every_other(report, first):
    """Half of the rounds: as far as a figure differs between halves it is chance."""
    return report | {"results": {
        row: {name: runs[first::2] for name, runs in by_name.items()}
        for row, by_name in report["results"].items()}}


def bounds(report):
    """What was aimed at, and what came of it."""
    lines = []
    names = list(report["allocators"])
    titles = {key: title for key, title, *_ in METRICS}

    def found(what, key, adjust=True):
        """Our mean, and the rows that are too high."""
        ratio = ratios(medians(what, key, adjust=adjust))
        mean, rows = geometric(ratio, names)
        return mean.get(OURS), rows, over(ratio, BOUNDS[key][1])

    for key, (of_mean, _) in BOUNDS.items():
        mean, rows, high = found(report, key)
        if mean is None:
            continue
        verdict = "held" if mean <= of_mean else "**missed**"
        lines.append(f"- {titles[key]}: geometric mean over {rows} rows "
                     f"{mean:.3f}, aimed at {of_mean:.2f} or less: {verdict}"
                     + (f"; {high}." if high else "."))
        if key not in TIMES:
            continue
        mean, _, high = found(report, key, False)
        lines.append(f"  Of times as they were taken: {mean:.3f}, {high}.")
        if report["runs"] > 1:
            halves = [f"{found(every_other(report, i), key)[0]:.3f}" for i in (0, 1)]
            lines.append("  Of every other round alone, adjusted: "
                         + " and ".join(halves) + ".")
    return lines


def factors(runs_of):
    """How far the times of a program and an allocator lie apart."""
    spans = [max(v) / min(v) for v in runs_of if len(v) > 1]
    if not spans:
        return "none"
    return f"{statistics.median(spans):.2f} in the median, {max(spans):.2f} at most"


def spread(report):
    """A median hides how far the runs lay apart, and how quiet it was: say it once."""
    rows = [{n: by_name[n] for n in report["allocators"] if n in by_name}
            for by_name in report["results"].values()]
    taken, adjusted = ([v for by_name in rows
                        for v in values(by_name, "cpu", adjust).values()]
                       for adjust in (False, True))
    text = ("CPU time of one pair of program and allocator varied by a factor of "
            f"{factors(taken)}; adjusted, of {factors(adjusted)}.")
    runs = [r for by_name in rows for some in by_name.values() for r in some]
    for covariate, what in (("probe", "The probe's arithmetic"),
                            ("distance", "A cache line's way there and back")):
        took = sorted(r[covariate] for r in runs if r.get(covariate))
        if took:
            text += (f" {what} took {took[0] / 1000:.2f} us beside the run in which it "
                     f"was fastest, {statistics.median(took) / 1000:.2f} in the median, "
                     f"{took[-1] / 1000:.2f} at most.")
    return [text]


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
            # They run in the first rounds alone: held against those.
            rounds = {row: {n: runs[:len(by_name.get(name, []))]
                            for n, runs in by_name.items()}
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
