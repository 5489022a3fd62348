#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The UAPI header by itself: as C90 and as C++, every structure without a hole,
# of the size and with the offsets that are set for ever, on 64 and 32 bits.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/tract-header.XXXXXX")
trap 'rm -rf "$dir"' EXIT
points=0
failed=0

# point NAME COMMAND...: one TAP line, with the output when it fails.
point()
{
	local name=$1 output
	shift
	points=$((points + 1))
	if output=$("$@" 2>&1); then
		echo "ok $points - $name"
	else
		echo "not ok $points - $name"
		echo "${output//$'\n'/$'\n'# }" | sed '1s/^/# /'
		failed=$((failed + 1))
	fi
}

skip()
{
	points=$((points + 1))
	echo "ok $points - $1 # SKIP $2"
}

# Field and offset, in order; "end" and the size.
layout='
tract_info size 0 flags 4 out_abi_version 8 out_page_size 12 out_features 16
tract_info out_reserve_flags 24 out_op_mask 32 out_unit_size 40 out_batch_max 44
tract_info out_align_min 48 out_align_max 56 out_reservations_max 64
tract_info out_bytes_max 72 out_purge_map_bytes_max 80 out_purge_unit_min 88
tract_info out_purge_unit_max 92 end 96
tract_reserve size 0 flags 4 length 8 align 16 out_address 24 out_id 32 near 40
tract_reserve reach 48 end 56
tract_op op 0 out_result 4 id 8 offset 16 length 24 end 32
tract_batch size 0 flags 4 ops 8 count 16 out_completed 20 out_failed 24
tract_batch reserved 28 end 32
tract_stats size 0 flags 4 scope 8 pid 12 id 16 out_id 24 out_address 32
tract_stats out_pid 40 out_reserve_flags 44 out_reservations 48
tract_stats out_reserved_bytes 56 out_populated_bytes 64
tract_stats out_decommitted_bytes 72 out_operations 80 out_refused_zaps 88
tract_stats out_map_count 96 out_map_max 104 out_offered_units 112
tract_stats out_reused_units 120 out_purged_age_bytes 128
tract_stats out_purged_pressure_bytes 136 out_sweeps 144 out_sweep_ns 152
tract_stats out_skipped_sweeps 160 end 168
tract_purge_header offered 0 reused 8 reserved_process 16 sweeps 64 purged 72
tract_purge_header flags 80 reserved_module 84 end 128
tract_purge_map size 0 flags 4 id 8 address 16 length 24 unit_size 32
tract_purge_map decay_ms 36 end 40
'

{
	echo '#include <linux/tract.h>'
	echo '#include <stddef.h>'
	echo '#define SAME(n, a, b) extern char n[(a) == (b) ? 1 : -1]'
	echo "$layout" | while read -r struct rest; do
		# shellcheck disable=SC2086 # pairs of words
		set -- $rest
		while [ $# -gt 0 ]; do
			if [ "$1" = end ]; then
				echo "SAME(${struct}_end, sizeof(struct $struct), $2);"
			else
				echo "SAME(${struct}_$1, offsetof(struct $struct, $1), $2);"
			fi
			shift 2
		done
	done
	echo 'SAME(info, TRACT_IOC_INFO, 0xd700);'
	echo 'SAME(reserve, TRACT_IOC_RESERVE, 0xd701);'
	echo 'SAME(batch, TRACT_IOC_BATCH, 0xd702);'
	echo 'SAME(stats, TRACT_IOC_STATS, 0xd703);'
	echo 'SAME(purge_map, TRACT_IOC_PURGE_MAP, 0xd704);'
	echo 'SAME(live, TRACT_UNIT_LIVE, 0);'
	echo 'SAME(is_volatile, TRACT_UNIT_VOLATILE, 1);'
	echo 'SAME(aged, TRACT_UNIT_AGED, 2);'
	echo 'SAME(purging, TRACT_UNIT_PURGING, 3);'
	echo 'SAME(purged, TRACT_UNIT_PURGED, 4);'
	echo 'SAME(shared, TRACT_PURGE_SHARED, 1);'
	echo 'SAME(unbind, TRACT_PURGE_MAP_UNBIND, 1);'
	echo 'SAME(never, TRACT_DECAY_NEVER, 0xffffffff);'
	echo 'SAME(batch_max, TRACT_BATCH_MAX, 1024);'
	echo 'SAME(decommit, TRACT_OP_DECOMMIT, 1);'
	echo 'SAME(populate, TRACT_OP_POPULATE, 2);'
	echo 'SAME(commit, TRACT_OP_COMMIT, 3);'
	echo 'SAME(guard, TRACT_OP_GUARD, 4);'
	echo 'SAME(unguard, TRACT_OP_UNGUARD, 5);'
	echo 'SAME(op_nodump, TRACT_OP_NODUMP, 6);'
	echo 'SAME(op_dodump, TRACT_OP_DODUMP, 7);'
	echo 'SAME(discard, TRACT_OP_DISCARD, 8);'
	echo 'SAME(trap, TRACT_RESERVE_TRAP, 4);'
	echo 'SAME(near, TRACT_RESERVE_NEAR, 8);'
	echo 'SAME(exec, TRACT_RESERVE_EXEC, 16);'
	echo 'SAME(of_reservation, TRACT_SCOPE_RESERVATION, 1);'
	echo 'SAME(of_process, TRACT_SCOPE_PROCESS, 2);'
	echo 'SAME(of_system, TRACT_SCOPE_SYSTEM, 3);'
	echo 'SAME(next, TRACT_STATS_NEXT, 1);'
	echo 'SAME(nodump, TRACT_RESERVE_NODUMP, 1);'
	echo 'SAME(nohuge, TRACT_RESERVE_NOHUGE, 2);'
	echo 'SAME(version, TRACT_ABI_VERSION, 1);'
} >"$dir/layout.c"

cat >"$dir/every.c" <<'END'
#include <linux/tract.h>
struct tract_info info;
struct tract_reserve reserve;
struct tract_op op;
struct tract_batch batch;
struct tract_stats stats;
struct tract_purge_header header;
struct tract_purge_map map;
unsigned long features = TRACT_FEATURE_HUGE | TRACT_FEATURE_LOCKLESS_HUGE |
			 TRACT_FEATURE_SHARED_ZAP | TRACT_FEATURE_PURGE_MAP |
			 TRACT_FEATURE_TRAP | TRACT_FEATURE_ISLAND;
enum tract_op_code code = TRACT_OP_DECOMMIT;
enum tract_scope scope = TRACT_SCOPE_SYSTEM;
enum tract_unit unit = TRACT_UNIT_LIVE;
END
cp "$dir/every.c" "$dir/every.cc"

# The kernel's own <linux/types.h> uses long long and is left to itself.
flags=(-Iinclude/uapi -Wall -Wextra -Werror -pedantic -Wno-long-long)

for std in c90 c99 gnu11 c17; do
	point "the header as $std" gcc -std=$std "${flags[@]}" -c \
		-o "$dir/every.o" "$dir/every.c"
done
for std in c++98 c++11 c++20; do
	point "the header as $std" g++ -std=$std "${flags[@]}" -c \
		-o "$dir/every.o" "$dir/every.cc"
done
point 'twice in one file' gcc -std=c90 "${flags[@]}" -include linux/tract.h \
	-c -o "$dir/every.o" "$dir/every.c"
point 'sizes, offsets, numbers' gcc -std=c90 "${flags[@]}" -c \
	-o "$dir/layout.o" "$dir/layout.c"

if echo '#include <stddef.h>' | gcc -m32 -E -Iinclude/uapi -include \
	linux/tract.h - >"$dir/m32" 2>&1; then
	point 'the same on 32 bits' gcc -m32 -std=c90 "${flags[@]}" -c \
		-o "$dir/layout32.o" "$dir/layout.c"
else
	skip 'the same on 32 bits' "no headers for -m32"
fi

no_holes()
{
	gcc -g -std=c90 "${flags[@]}" -c -o "$dir/every.o" "$dir/every.c"
	for struct in info reserve op batch stats purge_header purge_map; do
		pahole -C "tract_$struct" "$dir/every.o" >"$dir/pahole"
		if ! grep -q "^struct tract_$struct {" "$dir/pahole" ||
			grep -E 'XXX|holes:|padding:' "$dir/pahole"; then
			cat "$dir/pahole"
			return 1
		fi
	done
}

if command -v pahole >/dev/null; then
	point 'no holes, by pahole' no_holes
else
	skip 'no holes, by pahole' 'pahole is not installed'
fi

echo "1..$points"
[ "$failed" = 0 ]
