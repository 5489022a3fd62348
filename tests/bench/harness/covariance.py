# SPDX-License-Identifier: MIT
"""Times freed of what the machine did: analysis of covariance.

A program that ran while the machine had half a core is not slow.  What the probe said
beside each run tells how the machine was, and how much a row's times follow it is the
same for all allocators: so log time = allocator + b log probe + c log distance, of
which b and c are found by least squares from all runs of a row, each against the mean
of its own allocator's.  Which allocator is the faster has no part in them.
"""

import math
import sys

try:
    import numpy
except ImportError:
    sys.exit("numpy is missing: apt-get install python3-numpy")

# What beside a run may explain its time; tests/bench/hostspeed says what they are.
COVARIATES = ("probe", "distance")


def mean(values):
    """Of those that there are; 0 of none."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else 0


def logarithms(runs, key):
    """Of what was measured; None: it was not."""
    return [math.log(r[key]) if r.get(key) else None for r in runs]


def centred(values):
    """Distances from their mean; of what was not measured 0."""
    middle = mean(values)
    return [0 if v is None else v - middle for v in values]


def slopes(rows, key):
    """How the times of @rows, each the runs of one allocator, follow the covariates."""
    matrix, times = [], []
    for runs in rows:
        matrix += zip(*(centred(logarithms(runs, c)) for c in COVARIATES))
        times += centred(logarithms(runs, key))
    # Of all that fit equally well it takes the smallest: what never varied has none.
    return [float(s) for s in numpy.linalg.lstsq(numpy.array(matrix, float),
                                                 numpy.array(times, float),
                                                 rcond=None)[0]]


def adjusted(by_name, key):
    """[allocator] -> times of its runs, as with the row's average machine.

    @by_name: [allocator] -> runs of one program, each with @key.
    """
    follow = slopes(by_name.values(), key)
    every = [r for runs in by_name.values() for r in runs]
    middle = [mean(logarithms(every, c)) for c in COVARIATES]
    found = {}
    for name, runs in by_name.items():
        found[name] = []
        for run in runs:
            beside = [math.log(run[c]) - m if run.get(c) else 0
                      for c, m in zip(COVARIATES, middle)]
            found[name].append(run[key] * math.exp(
                -sum(s * b for s, b in zip(follow, beside))))
    return found
