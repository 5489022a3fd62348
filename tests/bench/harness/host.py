# SPDX-License-Identifier: MIT
"""How fast the machine was while a program ran: tests/bench/hostspeed, asked."""

import json
import math
import subprocess
import time

# A run was quiet if the probe took at most so many times what it took beside the
# quietest of all: where a shared core has half the speed, a seventh of the time was
# shared.  (Not its shortest sample: now and then one says half of what it can be.)
QUIET = 1.1


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

    def __init__(self, program, earlier=()):
        self.program, self.process = program, None
        self.least = min(earlier, default=math.inf)
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
        """All since the last call: [processor] -> [time, nanoseconds]."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self):
        """A program is about to run."""
        self.samples()
        self.ticks, self.begin = busy(), time.monotonic()

    def stop(self, seconds):
        """The mean of the probes while it ran, in ns; it ran for so many seconds.

        A geometric one: a probe that is disturbed itself counts little.  Each
        processor counts by what it has worked: how fast an idle one would be is
        of no interest.
        """
        mean, weight = 0, 0
        after = busy()
        for processor, pairs in self.samples().items():
            logs = [math.log(took) for at, took in pairs
                    if self.begin <= at <= self.begin + seconds and took]
            if not logs:
                continue
            worked = after[processor] - self.ticks[processor]
            mean += worked * sum(logs) / len(logs)
            weight += worked
        if not weight:
            return None
        probe = math.exp(mean / weight)
        self.least = min(self.least, probe)
        return probe

    def quiet(self, probe):
        """Was a run undisturbed?  What was too short to tell is not."""
        return probe is not None and probe <= QUIET * self.least
