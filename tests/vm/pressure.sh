#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/vm/pressure.sh [--kernel KERNEL] [--seconds N]
#
# Boots VMs in which there is not enough memory for everything that is offered,
# and runs pressure.c in them: 300 MiB live, 1.5 GiB offered over time, and 300 MiB
# for another.  The live memory of the two is 600 MiB and never gives way, so a
# machine of 512 MiB has swap for the rest; and in one of 768 MiB without swap,
# as in a memory cgroup, what is offered is all that can be had.  Each run takes
# N seconds, 12 unless set, and twice that with swap; for long ones see
# tests/bench/pressure_report.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$TRACT_ROOT"

kernel=6.12
seconds=12
inside=
while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || die "usage: tests/vm/pressure.sh [--kernel K] [--seconds N]"
	case $1 in
	--kernel) kernel=$2 ;;
	--seconds) seconds=$2 ;;
	--inside) inside=$2 ;;
	*) die "unknown option: $1" ;;
	esac
	shift 2
done

failed=0

# boot PLACE OPTION...: the points of PLACE, in a VM with these options.
boot()
{
	local place=$1 status=0

	shift
	scripts/vm --kernel "$kernel" --timeout $((seconds * 6 + 600)) "$@" \
		-- tests/vm/pressure.sh --seconds "$seconds" --inside "$place" ||
		status=$?
	# Points that are not ok have said so themselves.
	[ "$status" -le 1 ] || echo "not ok - the VM: status $status"
	[ "$status" = 0 ] || failed=1
}

if [ -z "$inside" ]; then
	need_packages make gcc libc6-dev
	make -s build/tests/vm/pressure
	# What the kernel takes comes on top.
	memory=768M
	[ "$kernel" != debug ] || memory=1200M
	boot machine --mem "$memory"
	places=4
	# The debug kernel has no disks.
	if [ "$kernel" != debug ]; then
		boot swap --mem 512M --disk 512M
		places=5
	fi
	echo "1..$places"
	exit $failed
fi

killed()
{
	awk '/^oom_kill / { print $2 }' /proc/vmstat
}

# point NUMBER TEXT COMMAND...: passes if the command does, and nobody was killed.
point()
{
	local number=$1 text=$2 before status=0

	shift 2
	before=$(killed)
	"$@" || status=$?
	if [ "$status" = 0 ] && [ "$(killed)" = "$before" ]; then
		echo "ok $number - $text"
	else
		echo "not ok $number - $text: status $status, killed $(($(killed) - before))"
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

# with_swap COMMAND...: a machine that has not swapped has tested nothing.
# shellcheck disable=SC2317 # called by point
with_swap()
{
	local status=0

	modprobe virtio_blk
	mkswap /dev/vda
	swapon /dev/vda
	"$@" || status=$?
	grep '^pswp' /proc/vmstat | sed 's/^/# /'
	grep -q '^pswpout [1-9]' /proc/vmstat || status=1
	return "$status"
}

free -m | sed 's/^/# /'
program=build/tests/vm/pressure
case $inside in
machine)
	point 1 "purged under pressure only" "$program" never "$seconds"
	point 2 "purged by age as well" "$program" decay "$seconds"
	point 3 "given up in bursts" "$program" burst "$seconds"
	point 4 "in a memory cgroup" \
		in_cgroup 340M "$program" never "$seconds" 150 1536 150
	;;
swap) point 5 "on a machine of 512 MiB with swap" \
	with_swap "$program" never $((seconds * 2)) ;;
esac
exit $failed
