#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/vm/pressure.sh [--kernel KERNEL] [--seconds N]
#
# Boots a VM in which there is not enough memory for everything that is offered,
# and runs pressure.c: all of the machine, and in a memory cgroup.  Each of the
# runs takes N seconds, 12 unless set; 600 is the long test.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$TRACT_ROOT"

kernel=6.12
seconds=12
while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || die "usage: tests/vm/pressure.sh [--kernel K] [--seconds N]"
	case $1 in
	--kernel) kernel=$2 ;;
	--seconds) seconds=$2 ;;
	*) die "unknown option: $1" ;;
	esac
	shift 2
done

if [ -z "${TRACT_VM:-}" ]; then
	need_packages make gcc libc6-dev
	make -s build/tests/vm/pressure
	# 300 MiB live, 300 MiB for the other, and what the kernel takes.
	memory=768M
	[ "$kernel" != debug ] || memory=1200M
	exec scripts/vm --kernel "$kernel" --mem "$memory" \
		--timeout $((seconds * 6 + 600)) \
		-- tests/vm/pressure.sh --seconds "$seconds"
fi

points=0
failed=0

killed()
{
	awk '/^oom_kill / { print $2 }' /proc/vmstat
}

# point TEXT COMMAND...: passes if the command does, and nobody was killed.
point()
{
	local text=$1 before status=0

	shift
	before=$(killed)
	"$@" || status=$?
	points=$((points + 1))
	if [ "$status" = 0 ] && [ "$(killed)" = "$before" ]; then
		echo "ok $points - $text"
	else
		echo "not ok $points - $text: status $status, killed $(($(killed) - before))"
		failed=1
	fi
}

# in_cgroup MAX COMMAND...: in one of its own with memory.max.
# shellcheck disable=SC2317 # called by point
in_cgroup()
{
	local group=/sys/fs/cgroup/pressure max=$1 status=0

	shift
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p "$group"
	echo "$max" >"$group/memory.max"
	# shellcheck disable=SC2016 # for the inner shell
	sh -c 'echo $$ >"$0"/cgroup.procs; exec "$@"' "$group" "$@" ||
		status=$?
	sed 's/^/# memory.events: /' "$group/memory.events"
	# A limit that was never reached has tested nothing.
	grep -q '^max [1-9]' "$group/memory.events" || status=1
	rmdir "$group"
	return "$status"
}

free -m | sed 's/^/# /'
program=build/tests/vm/pressure
point "purged under pressure only" "$program" never "$seconds"
point "purged by age as well" "$program" decay "$seconds"
point "given up in bursts" "$program" burst "$seconds"
point "in a memory cgroup" \
	in_cgroup 340M "$program" never "$seconds" 150 1536 150
echo "1..$points"
exit $failed
