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

# is TEXT EXPECTED FOUND: the same for two values, which are shown.
is()
{
	local text="$1: $3"

	[ "$2" = "$3" ] || text="$1: expected '$2', found '$3'"
	ok "$text" [ "$2" = "$3" ]
}

# The plan; ends the script.
tap_done()
{
	echo "1..$tap_count"
	exit $tap_failed
}
