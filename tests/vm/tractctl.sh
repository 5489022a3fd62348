#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Inside the VM: tractctl's numbers against a process whose history is known,
# its JSON, its errors and exit statuses.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/tap.sh
. tests/tap.sh
ctl=$PWD/build/tractctl

[ -e /dev/tract ] || {
	echo "1..0 # SKIP there is no /dev/tract"
	exit 77
}

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

# status COMMAND...: its exit status; what it says goes to files.
status()
{
	local status=0

	"$@" >"$work/out" 2>"$work/err" || status=$?
	echo "$status"
}

# json EXPRESSION COMMAND...: of the object "j" that the command prints.
json()
{
	local expression=$1

	shift
	"$@" 2>/dev/null |
		python3 -c "import json, sys; j = json.load(sys.stdin); print($expression)"
}

# A process without the library: two reservations, one operation of each kind
# and one that fails.  It says so, then waits to be killed.
cat >"$work/known.py" <<-'END'
	import fcntl, mmap, os, struct, sys, time

	INFO, RESERVE, BATCH = 0xd700, 0xd701, 0xd702
	device = os.open("/dev/tract", os.O_RDWR)

	def reserve(length, flags):
	    buffer = bytearray(struct.pack("=IIQQQQ", 40, flags, length, 0, 0, 0))
	    fcntl.ioctl(device, RESERVE, buffer)
	    return struct.unpack("=IIQQQQ", buffer)[5]

	def operation(op, number, offset, length):
	    import ctypes
	    entry = ctypes.create_string_buffer(
	        struct.pack("=IiQQQ", op, 0, number, offset, length), 32)
	    batch = bytearray(struct.pack(
	        "=IIQIIII", 32, 0, ctypes.addressof(entry), 1, 0, 0, 0))
	    fcntl.ioctl(device, BATCH, batch)

	first = reserve(64 << 20, 0)
	second = reserve(32 << 20, 3)
	operation(2, first, 0, 1 << 20)
	operation(1, first, 0, 3 << 20)
	operation(1, second, 1 << 20, 1 << 20)
	print(first, second, flush=True)
	time.sleep(1000)
END
python3 "$work/known.py" >"$work/known" &
known=$!
pids+=("$known")
for ((attempt = 0; attempt < 600; attempt++)); do
	[ ! -s "$work/known" ] || break
	kill -0 "$known"
	sleep 0.1
done
read -r first second <"$work/known"

is "info: exit status" 0 "$(status "$ctl" info)"
is "info: ABI" 1 "$(json 'j["info"][0]["abi_version"]' "$ctl" info --json)"
is "info: page size" 4096 \
	"$(json 'j["info"][0]["page_size"]' "$ctl" info --json)"
is "info: operations" \
	"decommit populate commit guard unguard nodump dodump discard" \
	"$(json 'j["info"][0]["operations"]' "$ctl" info --json)"

key='[j["stat"][0][k] for k in ("pid", "command", "reservations", "reserved",
	"populated", "decommitted", "operations", "refused")]'
is "stat PID" "[$known, 'python3', 2, 100663296, 1048576, 4194304, 3, 0]" \
	"$(json "$key" "$ctl" stat --json "$known")"
is "stat PID: maps as in /proc" "$(wc -l <"/proc/$known/maps")" \
	"$(json 'j["stat"][0]["maps"] + ("vsyscall" in open("/proc/'"$known"'/maps").read())' \
		"$ctl" stat --json "$known")"
is "stat PID: the limit of maps" "$(cat /proc/sys/vm/max_map_count)" \
	"$(json 'j["stat"][0]["maps_max"]' "$ctl" stat --json "$known")"
is "stat PID, as a table" "96.0 MiB" \
	"$("$ctl" stat "$known" | sed -n 's/^reserved  *//p')"
is "stat --bytes PID" 100663296 \
	"$("$ctl" stat --bytes "$known" | sed -n 's/^reserved  *//p')"
is "stat: the system has at least as much" True \
	"$(json 'j["stat"][0]["reserved"] >= 100663296' "$ctl" stat --json)"
is "stat of a process that has none" 0 \
	"$(json 'j["stat"][0]["reservations"]' "$ctl" stat --json $$)"
"$ctl" stat $$ >/dev/null 2>"$work/err"
is "stat of a process that has none: it says so" 1 \
	"$(grep -c 'no reservations' "$work/err")"

key='[(r["id"], r["pid"], r["reserved"], r["decommitted"], r["flags"])
	for r in j["reservations"]]'
is "list --pid" \
	"[($first, $known, 67108864, 3145728, None), ($second, $known, 33554432, 1048576, 'nodump nohuge')]" \
	"$(json "$key" "$ctl" list --json --pid "$known")"
is "list: addresses as in /proc" True \
	"$(json 'all(r["address"][2:] in open("/proc/'"$known"'/maps").read()
		for r in j["reservations"])' "$ctl" list --json --pid "$known")"
is "list of all has these too" True \
	"$(json "{$first, $second} <= {r['id'] for r in j['reservations']}" \
		"$ctl" list --json)"
is "list, as a table" 3 "$("$ctl" list --pid "$known" | wc -l)"
is "list of a process that has none" 0 \
	"$(json 'len(j["reservations"])' "$ctl" list --json --pid $$)"

status "$ctl" stat --watch=0.3 --json "$known" >"$work/watch.status" &
watch=$!
pids+=("$watch")
for ((attempt = 0; attempt < 200; attempt++)); do
	[ "$(grep -c '"stat"' "$work/out")" -lt 2 ] || break
	sleep 0.1
done
kill "$known"
wait "$known" || true
wait "$watch"
is "stat --watch ends well with the process" 0 "$(cat "$work/watch.status")"
is "stat --watch repeats" True "$(python3 - "$work/out" <<-'END'
	import json, sys
	text, end, found = open(sys.argv[1]).read(), 0, []
	decoder = json.JSONDecoder()
	while text[end:].strip():
	    while text[end].isspace():
	        end += 1
	    sample, end = decoder.raw_decode(text, end)
	    found.append(sample["stat"][0]["reserved"])
	# A process that has ended, and is not yet waited for, has none.
	print(found[:2] == [100663296] * 2 and set(found) <= {100663296, 0})
END
)"

is "a process that is gone: status" 1 "$(status "$ctl" stat "$known")"
is "a process that is gone: reason" 1 "$(grep -c 'No such process' "$work/err")"
is "wrong usage: status" 2 "$(status "$ctl" stat none)"
is "no command: status" 2 "$(status "$ctl")"
is "help: status" 0 "$(status "$ctl" --help)"

# As another user: not the system, not root's processes, but one's own.
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
is "not allowed, a process: status" 1 \
	"$(status "${nobody[@]}" "$ctl" stat $$)"
is "not allowed, a process: reason" 1 "$(grep -c CAP_SYS_PTRACE "$work/err")"
is "not allowed, the system: status" 1 "$(status "${nobody[@]}" "$ctl" stat)"
"${nobody[@]}" sleep 1000 &
own=$!
pids+=("$own")
sleep 0.5
is "allowed: a process of one's own" 0 \
	"$(status "${nobody[@]}" "$ctl" stat "$own")"

# The warning, with a limit that is nearly reached.
limit=$(cat /proc/sys/vm/max_map_count)
maps=$(json 'j["stat"][0]["maps"]' "$ctl" stat --json $$)
echo $((maps + 2)) >/proc/sys/vm/max_map_count
state=$(status "$ctl" stat $$)
echo "$limit" >/proc/sys/vm/max_map_count
is "few maps left: status" 0 "$state"
is "few maps left: a warning" 1 "$(grep -c 'warning: .* maps' "$work/err")"

mount --bind /dev/null /dev/tract
is "another device at its place: status" 1 "$(status "$ctl" info)"
umount /dev/tract
rm /dev/tract
is "no module: status" 3 "$(status "$ctl" info)"
is "no module: what to do" 1 "$(grep -c insmod "$work/err")"

tap_done
