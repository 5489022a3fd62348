#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/vm/debug-kernel.sh: what the tests rely on in the debug kernel is really
# on.  tinyconfig has switched off both KASAN and WARN() without a word before.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$TRACT_ROOT"

failed=0

# check WHAT COMMAND...: it succeeds.
check()
{
	local what=$1

	shift
	if "$@"; then
		echo "ok: $what"
	else
		echo "FAIL: $what: expected success of: $*"
		failed=1
	fi
}

inside()
{
	local option config=/tmp/config missing

	zcat /proc/config.gz >$config
	missing=$(grep '^CONFIG_' tests/vm/debug.config |
		grep -vxFf $config || true)
	check "debug.config took effect (missing: '$missing')" test -z "$missing"
	for option in KASAN PROVE_LOCKING PROVE_RCU DEBUG_KMEMLEAK BUG KUNIT \
		FAULT_INJECTION DEBUG_ATOMIC_SLEEP DEBUG_VM USERFAULTFD; do
		check "$option" grep -qx "CONFIG_$option=y" $config
	done
	check "lockdep works" grep -qE '^ *debug_locks: +1$' /proc/lockdep_stats
	check "kmemleak scans" sh -c 'echo scan >/sys/kernel/debug/kmemleak'
	check "KUnit" test -d /sys/kernel/debug/kunit
	check "KASAN is initialised" sh -c 'dmesg | grep -q "kasan: Kernel"'
	check "mmap_lock tracepoints" \
		test -e /sys/kernel/tracing/events/mmap_lock/mmap_lock_start_locking
	check "smaps" grep -q '^Rss:' /proc/self/smaps
	check "memory cgroups" grep -qw memory /sys/fs/cgroup/cgroup.controllers
	check "fail-nth" python3 - <<-'END'
	import errno, os
	knobs = "/sys/kernel/debug/failslab/"
	with open(knobs + "ignore-gfp-wait", "w") as f:
	    f.write("N")
	with open(knobs + "verbose", "w") as f:
	    f.write("0")
	nth = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
	for n in range(1, 40):
	    os.write(nth, b"%d" % n)
	    try:
	        os.pipe()
	        code = 0
	    except OSError as error:
	        code = error.errno
	    # A failure that pipe() has not come to meets this call: once.
	    try:
	        os.write(nth, b"0")
	    except OSError:
	        os.write(nth, b"0")
	    if code == errno.ENOMEM:
	        print("the allocation", n, "of pipe() failed")
	        raise SystemExit(0)
	raise SystemExit("expected ENOMEM from pipe(), found none")
	END
	exit "$failed"
}

[ -z "${TRACT_VM:-}" ] || inside

status=0
scripts/vm --kernel debug --no-module --timeout 300 -- \
	tests/vm/debug-kernel.sh || status=$?
if [ "$status" != 0 ]; then
	say "FAIL: the checks inside: expected 0, found $status"
	failed=1
fi

# Real mistakes, made by the kernel's own test module, must be found.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
# shellcheck disable=SC2016 # for the shell in the VM
scripts/vm --kernel debug --no-module --timeout 300 --keep-log "$log" -- \
	sh -c 'for crash in WARNING READ_AFTER_FREE ARRAY_BOUNDS; do
		echo $crash >/sys/kernel/debug/provoke-crash/DIRECT
	done; true' >/dev/null 2>&1 || status=$?
if [ "$status" != 126 ]; then
	say "FAIL: with a warning provoked: expected 126, found $status"
	failed=1
fi
for pattern in 'WARNING: .*lkdtm' 'BUG: KASAN: .*lkdtm' 'UBSAN: array-index'; do
	if grep -qE "$pattern" "$log"; then
		say "ok: the log has '$pattern'"
	else
		say "FAIL: expected '$pattern' in the kernel log, found none in:"
		tail -n 100 "$log" >&2
		failed=1
	fi
done
exit "$failed"
