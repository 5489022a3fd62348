#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Inside the VM: runs the tests named (see scripts/run-test) and says at its end
# what scripts/test counts, a line "RESULT PASSED FAILED SKIPPED KIND/NAME" each.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

TRACT_RESULTS=$(mktemp)
export TRACT_RESULTS
status=0
prove --timer --exec scripts/run-test "$@" 2>&1 || status=$?
sed 's/^/RESULT /' "$TRACT_RESULTS"
exit $status
