#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Inside the VM with the debug kernel: loads the KUnit modules and reads their
# KTAP.  A kernel without KUnit would load them and run nothing, so the number
# of tests is compared with the sources.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/tap.sh
. tests/tap.sh

modules=("build/module/${TRACT_VM:?only inside the VM}"/tests/kunit/*.ko)
[ -e "${modules[0]}" ] || {
	echo "Bail out! no KUnit module was built for $TRACT_VM"
	exit 1
}
for module in "${modules[@]}"; do
	insmod "$module"
done

cases=$(cat tests/kunit/*.c | grep -cE '^[[:space:]]*KUNIT_CASE(_PARAM|_SLOW)?\(')
suites=$(cat tests/kunit/*.c | grep -cE '^static struct kunit_suite ')
plans=0
found=0
for results in /sys/kernel/debug/kunit/tract*/results; do
	sed 's/^/# /' "$results"
	suite=$(basename "$(dirname "$results")")
	planned=$(sed -n 's/^ *1\.\.\([0-9]*\).*/\1/p' "$results" | tail -n 1)
	passed=$(grep -cE '^    ok [0-9]+' "$results" || true)
	is "$suite: all of its plan passed" "${planned:-no plan}" "$passed"
	is "$suite: nothing failed" 0 "$(grep -c 'not ok' "$results" || true)"
	is "$suite: nothing was skipped" 0 "$(grep -c '# SKIP' "$results" || true)"
	found=$((found + ${planned:-0}))
	plans=$((plans + 1))
done
is "suites that ran, as in the sources" "$suites" "$plans"
is "tests that were planned, as in the sources" "$cases" "$found"

for module in "${modules[@]}"; do
	rmmod "$(basename "$module" .ko)"
done
tap_done
