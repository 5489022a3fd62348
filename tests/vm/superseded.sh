#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The cache of kernels, in one of our own: what a newer version has superseded
# goes, unless it is in use; other kernels stay.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$TRACT_ROOT"
# shellcheck source=tests/tap.sh
. tests/tap.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kernels=$work/tract/kernels

run()
{
	XDG_CACHE_HOME=$work scripts/kernel --kernel 6.12 >"$work/out" 2>"$work/err"
}

left()
{
	(cd "$kernels" && echo *_*)
}

for name in 6.1_6.1.9-1 6.12_6.12.{9,10,11}-1 debug-0_6.12.9-1; do
	mkdir -p "$kernels/$name/root"
	echo "${name#*_}" >"$kernels/$name/release"
	: >"$kernels/$name/vmlinuz"
done

exec 5<"$kernels/6.12_6.12.9-1"
flock -s 5
run
ok "the newest is taken" grep -qx '6.12 release 6.12.11-1' "$work/out"
is "one in use stays" "6.12_6.12.11-1 6.12_6.12.9-1 6.1_6.1.9-1 debug-0_6.12.9-1" \
	"$(left)"
exec 5<&-
run
is "and then goes" "6.12_6.12.11-1 6.1_6.1.9-1 debug-0_6.12.9-1" "$(left)"
tap_done
