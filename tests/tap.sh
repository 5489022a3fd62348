# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# TAP for tests that are scripts: to be sourced.

tap_count=0
tap_failed=0

# ok TEXT COMMAND...: a line of the plan, by the status of the command.
ok()
{
	tap_count=$((tap_count + 1))
	if "${@:2}"; then
		echo "ok $tap_count - $1"
	else
		echo "not ok $tap_count - $1"
		tap_failed=1
	fi
}

# The plan; ends the script.
tap_done()
{
	echo "1..$tap_count"
	exit $tap_failed
}
