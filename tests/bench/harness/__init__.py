# SPDX-License-Identifier: MIT
"""The parts of tests/bench/report, tests/bench/acceptance and tests/bench/publish."""
