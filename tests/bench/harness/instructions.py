# SPDX-License-Identifier: MIT
"""Instructions of a call: counted one by one, and over many by callgrind."""

import os
import re
import subprocess
import tempfile

from harness import measure

FUNCTIONS = ["malloc", "free", "calloc", "realloc", "aligned_alloc", "remote_free"]
PATTERNS = ["lifo", "batch", "window", "remote", "calloc", "realloc"]
# The difference between the two is what is counted; multiples of a batch.
ROUNDS = (6400, 25600)


def steps(place, allocator):
    """Function to its count, how common it was, and the path that was taken."""
    found = {}
    for function in FUNCTIONS:
        said = measure.finish([place.program("steps"), function],
                              allocator.variables(), place.timeout).splitlines()
        count = re.match(r"\w+ (\d+) instructions in (\d+) of (\d+) calls, "
                         r"(\d+) to (\d+)", said[0])
        if not count:
            raise measure.Failure(f"steps says {said[0]!r}")
        number, common, calls, least, most = map(int, count.groups())
        found[function] = {"instructions": number, "common": common,
                           "calls": calls, "least": least, "most": most,
                           "path": [line.split() for line in said[1:]]}
    return found


def listing(path):
    """The path in assembly; only where all of it is in one object."""
    objects = {name for name, _ in path}
    if len(objects) != 1:
        return []
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", objects.pop()],
                          text=True, capture_output=True, check=True).stdout
    at = {int(m[1], 16): " ".join(m[2].split()) for m in re.finditer(
        r"^\s*([0-9a-f]+):\t(.*)$", text, re.M)}
    return [f"{int(offset, 16):6x}: " + at.get(int(offset, 16), "?")
            for _, offset in path]


def executed(place, allocator, pattern, rounds):
    """By callgrind, of the whole process."""
    with tempfile.TemporaryDirectory(dir=place.work) as scratch:
        to = os.path.join(scratch, "callgrind")
        measure.finish(["valgrind", "--tool=callgrind", f"--callgrind-out-file={to}",
                        place.program("pairs"), pattern, str(rounds)],
                       allocator.variables(), place.timeout)
        with open(to, encoding="utf-8") as file:
            return int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M)[1])


def per_round(place, allocator, pattern):
    """What a round more costs."""
    few, many = (executed(place, allocator, pattern, n) for n in ROUNDS)
    return (many - few) / (ROUNDS[1] - ROUNDS[0])


def pairs(place, allocator):
    """Pattern to instructions of a pair, the loop and the calls taken off."""
    loop = per_round(place, allocator, "none")
    return {pattern: per_round(place, allocator, pattern) - loop
            for pattern in PATTERNS}
