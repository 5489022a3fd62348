#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/vm/smoke.sh [KERNEL]...: boot each, by default all four, run smoke.c on
# the module, unload it.  It is all that is asked of kernel 7.2.  Inside a VM it
# is smoke.c alone.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$TRACT_ROOT"

[ -z "${TRACT_VM:-}" ] || exec build/tests/vm/smoke
[ $# -gt 0 ] || set -- 6.1 6.12 7.2 debug
need_packages make gcc libc6-dev
make -s build/tests/vm/smoke
failed=0
for kernel in "$@"; do
	say "kernel $kernel"
	status=0
	scripts/vm --kernel "$kernel" --timeout 300 -- build/tests/vm/smoke ||
		status=$?
	if [ "$status" != 0 ]; then
		say "FAIL on $kernel: scripts/vm: expected 0, found $status"
		failed=1
	fi
done
exit "$failed"
