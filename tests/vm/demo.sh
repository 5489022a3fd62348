#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Inside the VM: Debian's redis-server, unmodified, with its heap on a
# reservation of the module; a benchmark, FLUSHALL, and where the memory went.
# Each claim is checked; ends with 1 when one does not hold.
#
# It must see /dev/tract, build/libtract.so and build/tractctl.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
library=$PWD/build/libtract.so
ctl=$PWD/build/tractctl
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8

work=$(mktemp -d)
redis=(redis-cli -s "$work/socket")
server=
sampler=
failed=0

clean_up()
{
	[ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap clean_up EXIT

headline()
{
	printf '\n=== %s\n' "$*"
}

# expect TEXT CONDITION...: the condition is a command.
expect()
{
	local text=$1

	shift
	if "$@"; then
		printf '  [holds] %s\n' "$text"
	else
		printf '  [FAILS] %s\n' "$text"
		failed=1
	fi
}

# status FIELD: VmRSS or VmHWM of the server in kB.
status()
{
	awk -v field="$1:" '$1 == field { print $2 }' "/proc/$server/status"
}

# counter FIELD: what the module says of the server.
counter()
{
	"$ctl" stat --json "$server" |
		sed -n 's/.*"'"$1"'": *\([0-9]*\).*/\1/p'
}

# Bytes that the module has dropped: asked to, or because they were offered.
dropped()
{
	echo $(($(counter decommitted) + $(counter purged_age) + \
		$(counter purged_pressure)))
}

memory_field()
{
	"${redis[@]}" info memory | tr -d '\r' |
		awk -F: -v field="$1" '$1 == field { print $2 }'
}

# In hundredths of a second since boot; no process is needed to ask.
now()
{
	local up _

	read -r up _ </proc/uptime
	echo "${up/./}"
}

sample()
{
	local begin pages _

	begin=$(now)
	while read -r _ pages _ 2>/dev/null <"/proc/$server/statm"; do
		printf '%d %d\n' $(($(now) - begin)) $((pages * 4))
		sleep 0.2
	done >"$work/samples"
}

headline "the module"
uname -sr
"$ctl" info

headline "redis-server, with LD_PRELOAD=libtract.so"
dpkg-query -W redis-server
# The loader writes down which library each symbol of the server came from.
LD_DEBUG=bindings LD_DEBUG_OUTPUT="$work/bindings" LD_PRELOAD=$library \
	TRACT_OPTIONS=backend=module redis-server --port 0 \
	--unixsocket "$work/socket" --dir "$work" --save '' \
	--enable-debug-command yes >"$work/log" 2>&1 &
server=$!
for ((attempt = 0; attempt < 300; attempt++)); do
	! "${redis[@]}" ping >/dev/null 2>&1 || break
	kill -0 "$server" || {
		cat "$work/log"
		exit 1
	}
	sleep 0.1
done
start_rss=$(status VmRSS)
echo "process $server, RSS $start_rss kB before the benchmark"

sample &
sampler=$!

headline "redis-benchmark: 100,000 each of set, get, lpush with 1 KiB values"
redis-benchmark -s "$work/socket" -n 100000 -r 200000 -d 1024 -P 8 --csv \
	-t set,get,lpush

headline "is it really tract that serves this server?"
family='malloc|calloc|realloc|free|malloc_usable_size|posix_memalign|aligned_alloc'
bound()
{
	grep -E "binding file [^ ]*redis-server .*\`($family)'" \
		"$work"/bindings.* | grep -c "to [^ ]*/$1" || true
}
echo "malloc symbols of redis-server, by the loader's own account:"
echo "  bound to libtract.so:  $(bound libtract.so)"
echo "  bound to libjemalloc:  $(bound libjemalloc)"
expect "redis-server's malloc symbols are all libtract's" \
	test "$(bound libtract.so)" -ge 4 -a "$(bound libjemalloc)" -eq 0

used=$(memory_field used_memory)
own=$(memory_field allocator_allocated)
echo "Redis counts $used bytes in use; of them its jemalloc serves $own"
echo "(jemalloc stays loaded, Redis asks it for statistics)"
expect "jemalloc serves less than 1 % of what Redis uses" \
	test $((own * 100)) -lt "$used"

"${redis[@]}" set demo:key "$(printf '%01000d' 7)" >/dev/null
value=$("${redis[@]}" debug object demo:key | grep -o '0x[0-9a-f]*')
"$ctl" list --pid "$server"
inside=no
while read -r address length; do
	if ((value >= address && value < address + length)); then
		inside=yes
	fi
done < <("$ctl" list --json --pid "$server" | tr -d ' ",' |
	awk -F: '$1 == "address" { address = $2 }
		$1 == "reserved" { print address, $2 }')
expect "a value that Redis keeps at $value is inside a reservation" \
	test "$inside" = yes

headline "tractctl stat, before FLUSHALL"
"$ctl" stat "$server"
maps=$(counter maps)
dropped=$(dropped)
peak=$(status VmHWM)
expect "the heap is on the module" test "$(counter reservations)" -ge 1
expect "the benchmark's data is there: peak RSS $peak kB" \
	test "$peak" -gt $((start_rss + 100000))

headline "FLUSHALL"
begin=$(now)
"${redis[@]}" flushall >/dev/null
while :; do
	took=$(($(now) - begin))
	rss=$(status VmRSS)
	# Twenty-five percent of the peak, and no more than five seconds.
	((rss * 4 >= peak && took < 500)) || break
	sleep 0.1
done
printf 'RSS %d kB, %d %% of its peak, after %d.%02d s\n' "$rss" \
	$((rss * 100 / peak)) $((took / 100)) $((took % 100))
expect "RSS is below 25 % of its peak within 5 s" test $((rss * 4)) -lt "$peak"
sleep 3

headline "tractctl stat, after FLUSHALL"
"$ctl" stat "$server"
expect "the module dropped half the peak or more, nobody asked it to" test \
	$((($(dropped) - dropped) / 1024)) -ge $((peak / 2))
expect "VMAs of the process: $maps before, $(counter maps) now, no two more" \
	test "$(counter maps)" -lt $((maps + 2))

headline "RSS of the server over time"
kill "$sampler"
wait "$sampler" 2>/dev/null || true
sampler=
gnuplot <<-END
	set terminal dumb size 78,20
	set xlabel "seconds"
	set ylabel "MB"
	set yrange [0:*]
	unset key
	plot "$work/samples" using (\$1 / 100):(\$2 / 1000) with lines
END

headline "the server's end"
"${redis[@]}" shutdown nosave
wait "$server" || {
	echo "redis-server ended with $?"
	tail -n 20 "$work/log"
	failed=1
}
server=
if grep -q '^tract: ' "$work/log"; then
	grep '^tract: ' "$work/log"
	failed=1
fi
[ "$failed" = 0 ] || {
	echo "something does not hold, see [FAILS] above"
	exit 1
}
echo "all of it holds"
