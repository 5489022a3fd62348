#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/vm/cache.sh: the cache of tests/examples/cache.c, on this machine on plain
# Linux, where nothing is short and nothing may be lost; and on the module in a VM
# of 512 MiB that it fills, beside another process that needs half of that, where
# it must lose entries, and nothing but entries, and nobody may be killed.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$TRACT_ROOT"
# shellcheck source=tests/tap.sh
. tests/tap.sh

program=build/tests/examples/cache
make -s "$program"

# figure WHEN WHAT: the number before WHAT in the line of WHEN.
figure()
{
	sed -nE "s/^$1: (.* )?([0-9]+) $2.*/\2/p" <<<"$output"
}

run()
{
	status=0
	output=$("$@" 2>&1) || status=$?
	printf '%s\n' "$output" | sed 's/^/# /'
}

run env TRACT_OPTIONS=backend=plain "$program" 64 2000
ok "plain: the program ended well" [ "$status" = 0 ]
ok "plain: all images are found again" \
	[ "$(figure alone hits)" = 2000 ]

run scripts/vm --kernel 6.12 --mem 512M --timeout 300 \
	--env TRACT_OPTIONS=backend=module -- "$program" 260 1500 200
ok "module: the program ended well" [ "$status" = 0 ]
ok "module: it is the module" grep -q '^backend module' <<<"$output"
ok "module: beside another process entries are lost" \
	[ "$(figure 'beside another' 'for want')" -gt 0 ]
ok "module: and found" [ "$(figure 'beside another' hits)" -gt 0 ]
ok "module: and none is wrong" \
	[ "$(figure 'beside another' wrong)" = 0 ]
tap_done
