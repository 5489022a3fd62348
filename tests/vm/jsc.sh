#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/vm/jsc.sh: where the map may be no larger than a program's libraries and
# a little more, JavaScriptCore with a scattered heap stalls or dies; with
# libtract-vm.so it ends, with the result that it has elsewhere.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=tests/tap.sh
. "$root/tests/tap.sh"
library=$root/build/libtract-vm.so
program=$root/build/tests/programs/jsc
script=$root/tests/programs/jsc-scatter.js
slowness=${TRACT_TEST_SLOWNESS:-1}
room=300

[ -x "$program" ] || { echo "build/tests/programs/jsc is not built"; exit 77; }
old=$(cat /proc/sys/vm/max_map_count)
work=$(mktemp -d)
trap 'echo "$old" >/proc/sys/vm/max_map_count; rm -rf "$work"' EXIT

# run NAME [VARIABLE=VALUE]...: the result in NAME.out, seconds in NAME.time.
run()
{
	local name=$1 start=$SECONDS status=0

	shift
	env "$@" timeout -s KILL $((25 * slowness)) "$program" "$script" \
		>"$work/$name.out" 2>"$work/$name.err" || status=$?
	echo "# $name: status $status, $((SECONDS - start)) s," \
		"$(tail -n 1 "$work/$name.err"), result $(cat "$work/$name.out")"
	return $status
}

status=0
run free || status=$?
ok "without the preload, room for all: it ends" [ $status = 0 ]
read -r _ before _ <"$work/free.err"
echo $((before + room)) >/proc/sys/vm/max_map_count
status=0
run stock || status=$?
ok "room for $room mappings more: it stalls or dies" [ $status != 0 ]
status=0
run ours "LD_PRELOAD=$library" || status=$?
cmp "$work/free.out" "$work/ours.out" || status=1
ok "with the preload it ends, with the same result" [ $status = 0 ]
tap_done
