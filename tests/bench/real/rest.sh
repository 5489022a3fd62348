#!/bin/sh
# SPDX-License-Identifier: MIT
# For a program that can start a shell and nothing more: waits a second, then says
# the RSS of that program, which is our parent, or a shell's in between.
sleep 1
pid=$PPID
if [ "$(cat "/proc/$pid/comm")" = sh ]; then
	pid=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$pid/status")
fi
sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/rested 1 rss \1/p' "/proc/$pid/status"
