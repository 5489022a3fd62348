#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A server that has freed nearly all it had, and then is idle, gives the memory
# back: RSS of Redis falls below 25 % of its peak within 5 s of FLUSHALL.  On
# whichever backend the library takes by itself.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
library=$PWD/build/libtract.so
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8

work=$(mktemp -d)
redis=(redis-cli -s "$work/socket")
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true
	wait; rm -rf "$work"' EXIT

# status FIELD: of the server, in kB.
status()
{
	awk -v field="$1:" '$1 == field { print $2 }' "/proc/$server/status"
}

LD_PRELOAD=$library redis-server --port 0 --unixsocket "$work/socket" \
	--dir "$work" --save '' >"$work/log" 2>&1 &
server=$!
until "${redis[@]}" ping >/dev/null 2>&1; do
	kill -0 "$server"
	sleep 0.05
done
start=$(status VmRSS)
redis-benchmark -s "$work/socket" -n 100000 -r 200000 -d 1024 -P 8 -q \
	-t set,lpush >/dev/null
peak=$(status VmHWM)
"${redis[@]}" flushall >/dev/null
for ((tenths = 0; tenths < 50; tenths++)); do
	rss=$(status VmRSS)
	((rss * 4 >= peak)) || break
	sleep 0.1
done

failed=0
if ((peak > start + 100000)); then
	echo "ok 1 - peak RSS $peak kB, $start kB at the start"
else
	echo "not ok 1 - expected a peak 100000 kB above $start kB, found $peak kB"
	failed=1
fi
if ((rss * 4 < peak)); then
	echo "ok 2 - RSS $rss kB, $((rss * 100 / peak)) %, after $tenths tenths of a second"
else
	echo "not ok 2 - expected RSS below 25 % of $peak kB within 5 s, found $rss kB"
	failed=1
fi
echo "1..2"
exit $failed
