# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Shared by the scripts, which source it first.

# Where the repository is, wherever it was cloned and whatever the caller's
# directory.
TRACT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# Kernels and all else that is large and can be made again.
TRACT_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tract
mkdir -p "$TRACT_CACHE"
# A process of another directory is handed these paths.
TRACT_CACHE=$(cd "$TRACT_CACHE" && pwd -P)
export TRACT_ROOT TRACT_CACHE

# say TEXT...: a progress line.
say()
{
	printf '[%s %ds] %s\n' "${0##*/}" "$SECONDS" "$*" >&2
}

# die TEXT...: the reason, then exit 1.
die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# missing_packages NAME...: prints those that are not installed.
missing_packages()
{
	local package state

	for package in "$@"; do
		state=$(dpkg-query -W -f '${db:Status-Status}' "$package" \
			2>/dev/null) || state=
		[ "$state" = installed ] || printf '%s\n' "$package"
	done
}

# run_quietly LOG COMMAND...: the output goes to LOG; it is shown on failure.
run_quietly()
{
	local log=$1

	shift
	if ! "$@" >"$log" 2>&1 </dev/null; then
		tail -n 40 "$log" >&2
		die "failed: $* (whole output: $log)"
	fi
}

# apt_update: refresh the package lists, once for a script and its children.
apt_update()
{
	[ -z "${TRACT_APT_UPDATED:-}" ] || return 0
	say "apt-get update"
	# A dead third-party source must not stop us: what is missing is
	# reported by the installation.
	flock "$TRACT_CACHE/apt.lock" apt-get update -q \
		>"$TRACT_CACHE/apt-update.log" 2>&1 </dev/null ||
		say "apt-get update reported errors, see $TRACT_CACHE/apt-update.log"
	export TRACT_APT_UPDATED=1
}

# need_packages NAME...: install what is not installed yet.
need_packages()
{
	local missing

	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] ||
		die "please install as root: apt-get install ${missing[*]}"
	apt_update
	say "installing ${missing[*]}"
	DEBIAN_FRONTEND=noninteractive run_quietly \
		"$TRACT_CACHE/apt-install.$$.log" \
		flock "$TRACT_CACHE/apt.lock" \
		apt-get install -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=600 "${missing[@]}"
	rm -f "$TRACT_CACHE/apt-install.$$.log"
}
