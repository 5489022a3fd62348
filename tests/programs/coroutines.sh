#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A server of many coroutines with guard pages on stacks from jemalloc: without
# libtract-vm.so it dies when the map is full; with it the map does not grow.
#
#   tests/programs/coroutines.sh [COUNT]      default: 50000

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=tests/tap.sh
. "$root/tests/tap.sh"
program=$root/build/tests/programs/coroutines
library=$root/build/libtract-vm.so
# To the end of what ldconfig says: it fails where nobody reads on.
jemalloc=$(ldconfig -p | awk '/libjemalloc\.so\.2/ && !seen++ { print $NF }')
count=${1:-50000}
limit=$(cat /proc/sys/vm/max_map_count)

[ -n "$jemalloc" ] || { echo "no libjemalloc2"; exit 77; }
[ "$limit" -lt $((count * 2)) ] || { echo "vm.max_map_count is $limit"; exit 77; }
make -s -C "$root" build/tests/programs/coroutines

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Guards without a mapping each need markers, or the module.
needed=$(LD_PRELOAD="$library $jemalloc" TRACT_OPTIONS=stats=1 \
	"$program" 100 2>&1 >/dev/null | awk '/^guards marked/ { print $3 }')
[ "$needed" -gt 0 ] || { echo "no guard markers on this kernel"; exit 77; }

status=0
LD_PRELOAD=$jemalloc "$program" "$count" >"$work/stock" 2>&1 || status=$?
ok "without the preload: $(tail -n 1 "$work/stock")" \
	grep -q 'mprotect: Cannot allocate memory' "$work/stock"
# As many as there is room for say what is right.
few=$((limit / 4))
LD_PRELOAD=$jemalloc "$program" $few >"$work/few.stock"
LD_PRELOAD="$library $jemalloc" "$program" $few >"$work/few.ours"
ok "$few coroutines, the same sum: $(head -n 1 "$work/few.ours")" \
	cmp -s <(head -n 1 "$work/few.stock") <(head -n 1 "$work/few.ours")
status=0
LD_PRELOAD="$library $jemalloc" "$program" "$count" >"$work/ours" 2>&1 ||
	status=$?
sed 's/^/# /' "$work/ours"
ok "with it $count coroutines run" [ $status = 0 ]
mappings=$(awk '/^mappings/ { print $2 }' "$work/ours")
ok "mappings at most 2000: ${mappings:-none}" [ "${mappings:-9999}" -le 2000 ]
tap_done
