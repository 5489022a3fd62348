# SPDX-License-Identifier: MIT
"""How the machine was while a program ran: tests/bench/hostspeed, asked."""

import json
import math
import subprocess
import time

# A run was quiet if the probe took at most so many times what it took beside the
# quietest of all: where a shared core has half the speed, a seventh of the time was
# shared.  (Not its shortest sample: now and then one says half of what it can be.)
QUIET = 1.1
# Its processors were near if a cache line took at most so many times as long between
# them as in the run in which they were nearest.  The figures have two states, five or
# six times apart: a fifth of the time far is let pass.
NEAR = 2


def busy():
    """Ticks that each processor has worked so far."""
    ticks = {}
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *rest = line.split()
            if name.startswith("cpu") and name != "cpu":
                user, nice, system, _idle, _wait, hard, soft, *_ = map(int, rest)
                ticks[name[3:]] = user + nice + system + hard + soft
    return ticks


def least(runs, key):
    """Of what the probe said beside each run."""
    return min((r[key] for r in runs if r.get(key)), default=math.inf)


def disturbance(run, nearest, meets):
    """To sort by; @meets: does it matter how far the processors are?"""
    far = meets and (run.get("distance") or math.inf) > NEAR * nearest
    return far, run.get("probe") or math.inf


class Host:
    """Watches from its first to its last use, in a with statement."""

    def __init__(self, program, earlier=()):
        self.program, self.process = program, None
        self.best = {key: least(earlier, key) for key in ("probe", "distance")}
        self.begin, self.ticks = 0, {}

    def __enter__(self):
        self.process = subprocess.Popen([self.program], text=True,
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def samples(self):
        """All since the last call: [processor] -> [time, work, trip], in ns."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self):
        """A program is about to run."""
        self.samples()
        self.ticks, self.begin = busy(), time.monotonic()

    def stop(self, seconds):
        """The means of the probes while it ran, in ns; it ran for so many seconds.

        Of the work a geometric one: a probe that is disturbed itself counts little.
        Each processor counts by what it has worked: how fast an idle one would be is
        of no interest.  Of the trips between two of them the plain one, for that is
        what many trips take.
        """
        mean, weight, trips = 0, 0, []
        after = busy()
        for processor, samples in self.samples().items():
            meant = [s for s in samples
                     if self.begin <= s[0] <= self.begin + seconds and s[1]]
            if not meant:
                continue
            worked = after[processor] - self.ticks[processor]
            mean += worked * sum(math.log(work) for _, work, _ in meant) / len(meant)
            weight += worked
            trips += [trip for _, _, trip in meant if trip]
        found = {"probe": math.exp(mean / weight) if weight else None,
                 "distance": sum(trips) / len(trips) if trips else None}
        for key, value in found.items():
            self.best[key] = min(self.best[key], value or math.inf)
        return found

    def quiet(self, run, meets):
        """Was it undisturbed?  What was too short to tell is not."""
        far, probe = disturbance(run, self.best["distance"], meets)
        return not far and probe <= QUIET * self.best["probe"]
