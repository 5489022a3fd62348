#!/bin/bash
# SPDX-License-Identifier: MIT
#
# LuaJIT, unmodified: threads that all compile, with room for code near the
# compiler and somewhere else by default.  Without the preload it searches by
# trial and error, and gives up; with it each area is found at once.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=tests/tap.sh
. "$root/tests/tap.sh"
library=$root/build/libtract-vm.so
threads=${1:-200}
gap=64
reach=128

for tool in strace pkg-config; do
	command -v "$tool" >/dev/null || { echo "no $tool"; exit 77; }
done
pkg-config --exists luajit || { echo "no libluajit-5.1-dev"; exit 77; }
make -s -C "$root" build/tests/programs/luajit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TRACT_TEST_SCRIPT=$root/tests/programs/luajit.lua

# run NAME GAP [VARIABLE=VALUE]...: what it says in NAME.out; mmap() calls with a
# hint of the size of an area, and areas that became code, in NAME.calls.
run()
{
	local name=$1 gap=$2

	shift 2
	strace -f -qq -o "$work/$name.strace" -e trace=mmap,mprotect,getppid \
		-e signal=none "${@/#/-E}" \
		"$root/build/tests/programs/luajit" "$threads" "$gap" \
		>"$work/$name.out"
	awk '/getppid\(/ { on = 1 }
		!on { next }
		/mmap\(0x[0-9a-f]+, 65536, PROT_READ\|PROT_WRITE,/ { calls++ }
		match($0, /mprotect\(0x[0-9a-f]+, 65536, PROT_READ\|PROT_EXEC/) {
			split(substr($0, RSTART + 9), part, ",")
			if (!(part[1] in seen)) areas++
			seen[part[1]] = 1
		}
		END { print calls + 0, areas + 0 }' "$work/$name.strace" \
		>"$work/$name.calls"
}

value()
{
	awk -v name="$2" '$1 == name { print $2 }' "$work/$1.out"
}

run roomy 0
run stock "$gap"
run ours "$gap" "LD_PRELOAD=$library"
for name in roomy stock ours; do
	read -r calls areas <"$work/$name.calls"
	echo "# $name: $calls hinted mmap calls for $areas areas," \
		"$(value $name aborts) aborts," \
		"code at most $(value $name farthest) MiB away"
done

read -r calls areas <"$work/stock.calls"
ok "without the preload the squeeze costs $calls calls for $areas areas" \
	[ "$calls" -gt $((areas * 2)) ]
read -r calls areas <"$work/ours.calls"
ok "every thread has code: $areas areas" [ "$areas" -ge "$threads" ]
ok "at most one call an area: $calls for $areas" [ "$calls" -le "$areas" ]
ok "no aborts: $(value ours aborts)" [ "$(value ours aborts)" = 0 ]
ok "all code within $reach MiB: $(value ours farthest)" \
	[ "$(value ours farthest)" -le $reach ]
ok "the same result: $(value ours sum)" \
	[ "$(value ours sum)" = "$(value roomy sum)" ]
tap_done
