#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/vm/verdicts.sh: scripts/vm tells success from every kind of failure.  A
# ground that calls everything good is worse than none.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$TRACT_ROOT"

output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=0

# expect STATUS TEXT VM-ARGUMENT...: TEXT is a pattern found in what is printed.
expect()
{
	local wanted=$1 text=$2 status=0

	shift 2
	scripts/vm --no-module --timeout 100 "$@" >"$output" 2>&1 || status=$?
	if [ "$status" = "$wanted" ] && grep -qE "$text" "$output"; then
		say "ok: $wanted for $*"
		return
	fi
	say "FAIL: scripts/vm $*"
	say "expected status $wanted and '$text', found $status and:"
	cat "$output" >&2
	failed=1
}

expect 0 '^a  "b" c$' -- printf '%s\n' 'a  "b" c'
# shellcheck disable=SC2016 # for the shell in the VM
expect 7 '^two words$' --env 'NAME=two words' -- sh -c 'echo "$NAME"; exit 7'
# shellcheck disable=SC2016 # likewise
expect 139 'log clean' -- sh -c 'kill -SEGV $$'
expect 127 'No such file' -- no-such-command
expect 124 'not done within 15 s' --timeout 15 -- sleep 1000
expect 126 'BUG: made up' -- sh -c 'echo "BUG: made up" >/dev/kmsg'
expect 0 'log clean' --allow 'BUG: made up' -- \
	sh -c 'echo "BUG: made up" >/dev/kmsg'
# The kernel's end in the middle of the command, and a panic.
expect 125 'no report' -- sh -c 'echo o >/proc/sysrq-trigger; sleep 1000'
expect 126 'Kernel panic' -- sh -c 'echo c >/proc/sysrq-trigger'
# What a command leaves running does not keep the machine up.
expect 0 '^server up$' -- sh -c 'sleep 1000 & echo server up'

# Written bytes come out as they are.
binary=$(scripts/vm --no-module -- printf '\r\n\004\377x' 2>/dev/null |
	od -An -tx1 | tr -d ' ')
if [ "$binary" != 0d0a04ff78 ]; then
	say "FAIL: output bytes: expected 0d0a04ff78, found $binary"
	failed=1
fi
exit "$failed"
