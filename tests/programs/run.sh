#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Real programs, unmodified, with libtract.so preloaded: each runs to its end and
# says exactly what it says without.
#
#   tests/programs/run.sh [PROGRAM]...     default: all, as TAP

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
library=$root/build/libtract.so
# The distribution's own programs, not somebody's wrappers of them.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# workload NAME: says, in the current directory, what is to be compared.
workload()
{
	case $1 in
	python) PYTHONMALLOC=malloc python3 "$here/python.py" ;;
	perl) perl "$here/perl.pl" ;;
	sqlite3) sqlite3 -batch -bail :memory: <"$here/sqlite.sql" ;;
	*) bash "$here/$1.sh" ;;
	esac
}

failed=0
count=0

# Which backend auto must choose on this machine.
backend=plain
[ ! -e /dev/tract ] || backend=module

check()
{
	local name=$1 mode problem='' start=$SECONDS

	count=$((count + 1))
	for mode in without with; do
		mkdir -p "$work/$name.$mode"
		# Only what is compared gets the preload, not this script.
		if ! (
			cd "$work/$name.$mode"
			if [ $mode = with ]; then
				export LD_PRELOAD=$library TRACT_OPTIONS=stats=1
			fi
			workload "$name"
		) >"$work/$name.$mode.out" 2>"$work/$name.$mode.err"; then
			problem="it fails $mode the library"
			tail -n 20 "$work/$name.$mode.err" | sed 's/^/# /'
			break
		fi
	done
	if [ -z "$problem" ]; then
		if [ ! -s "$work/$name.without.out" ]; then
			problem="it says nothing"
		elif ! cmp -s "$work/$name.without.out" "$work/$name.with.out"; then
			problem="other results than without the library"
			diff "$work/$name.without.out" "$work/$name.with.out" |
				head -n 20 | sed 's/^/# /'
		elif ! grep -qE "^backend +$backend\$" "$work/$name.with.err"; then
			problem="no report of the $backend backend at its exit"
			head -n 20 "$work/$name.with.err" | sed 's/^/# /'
		elif grep '^tract: ' "$work/$name.with.err"; then
			problem="the library complained"
		fi
	fi
	if [ -n "$problem" ]; then
		echo "not ok $count - $name: $problem"
		failed=1
	else
		echo "ok $count - $name: same results with the library, $((SECONDS - start)) s"
	fi
}

[ -f "$library" ] || {
	echo "Bail out! no $library: run make first"
	exit 1
}
programs=("$@")
[ ${#programs[@]} -gt 0 ] ||
	programs=(python perl sqlite3 redis git gcc gxx)
for program in "${programs[@]}"; do
	check "$program"
done
echo "1..$count"
exit $failed
