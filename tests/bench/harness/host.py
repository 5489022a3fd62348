# SPDX-License-Identifier: MIT
"""How the machine was while a program ran: tests/bench/hostspeed, asked."""

import json
import math
import subprocess
import time

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


class Host:
    """Watches from its first to its last use, in a with statement."""

    def __init__(self, program):
        self.program, self.process = program, None
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
        return {"probe": math.exp(mean / weight) if weight else None,
                "distance": sum(trips) / len(trips) if trips else None}
