#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The benchmark report itself: it runs, and it finds out an allocator that is
# fast and wrong.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 failed=0

# verdict NAME COMMAND...: a line of TAP; what it printed is shown if it fails.
verdict()
{
	local name=$1

	shift
	count=$((count + 1))
	if "$@" >"$work/log" 2>&1; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		tail -n 20 "$work/log" | sed 's/^/# /'
		failed=1
	fi
}

# Memory of calloc() that is not zero: no crash, and the wrong result.
cat >"$work/broken.c" <<'END'
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
extern char *program_invocation_short_name;
void *calloc(size_t count, size_t size)
{
	void *p = malloc(count * size);
	int wrong = !strcmp(program_invocation_short_name, "callocs");

	return p ? memset(p, wrong && size > 1 ? 1 : 0, count * size) : p;
}
END
gcc -shared -fPIC -O1 -fno-builtin -o "$work/broken.so" "$work/broken.c"
mkdir -p "$work/build/tests"
ln -s "$root/build/tests/bench" "$work/build/tests/bench"
cp "$work/broken.so" "$work/build/libtract.so"

verdict "it runs and both have one result" \
	"$root/tests/bench/report" --quick --only callocs,sqlite3 \
	--allocators glibc,tract --out "$work/out"
verdict "there is a row for each program" \
	grep -cE '^\| (callocs|sqlite3) \|.*\|.*\|' "$work/out/table.md"
verdict "its pages can be made again of its JSON" \
	"$root/tests/bench/report" --from "$work/out/results.json" --out "$work/out"
verdict "a broken one is named" bash -c "
	PEERS=broken=$work/broken.so '$root/tests/bench/report' --quick \
		--only callocs --allocators glibc,tract,broken --out '$work/out' &&
	grep -q '^- callocs under broken: result' '$work/out/table.md'"
verdict "it fails if that is ours" bash -c "
	! '$root/tests/bench/report' --quick --only callocs --build '$work/build' \
		--allocators glibc,tract --out '$work/out' &&
	grep -q '^- callocs under .*: result' '$work/out/table.md'"

# Two allocators, of which the slower one had the better machine.
cat >"$work/adjusts.py" <<'END'
import math
import sys

sys.path.insert(0, sys.argv[1])
from harness import covariance

def run(time, probe, distance):
    return {"cpu": time * probe ** 0.8 * (distance or 90) ** 0.2,
            "probe": probe, "distance": distance}

found = covariance.adjusted({
    "fast": [run(2, 30, 60), run(2, 33, 300), run(2, 20, 70), run(2, 31, 310)],
    "slow": [run(3, 16, 60), run(3, 17, 62), run(3, 20, 300), run(3, 16, 65)]}, "cpu")
times = {name: sum(times) / len(times) for name, times in found.items()}
for name in found:
    assert all(math.isclose(t, times[name]) for t in found[name]), found
assert math.isclose(times["slow"] / times["fast"], 1.5), times
# What never varied, or was never measured, explains nothing.
one = {"fast": [run(2, 30, None)], "slow": [{"cpu": 3.0}, {"cpu": 3.0}]}
found = covariance.adjusted(one, "cpu")
assert found["slow"] == [3.0, 3.0] and found["fast"] == [one["fast"][0]["cpu"]], found
END
verdict "times are brought to the same machine" \
	/usr/bin/python3 -B "$work/adjusts.py" "$root/tests/bench"
verdict "an estimate is held against itself" bash -c "
	'$root/tests/bench/estimates' '$root/docs/bench/results.json' --cuts 2 |
	grep -q '^adjusted: halves differ by .* mean of tract 1'"
echo "1..$count"
exit $failed
