#!/bin/sh
# SPDX-License-Identifier: MIT
# Each example ends by itself, and its output obeys the laws however slow the machine is.
# EXAMPLES: where the programs are, if not in examples.
set -u
examples=${EXAMPLES:-examples}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failures=0

# check NAME AWK_PROGRAM: the program sets bad, to what is wrong, or leaves it empty.
check() {
	timeout 60 "$examples/$1" >"$work/out" 2>"$work/err"
	status=$?
	bad=$(awk "$2"' END { print bad }' "$work/out") || bad='awk failed'
	[ "$status" = 0 ] || bad="exit status $status"
	[ -s "$work/err" ] && bad='it wrote to stderr'
	if [ -z "$bad" ]; then
		echo "ok: $1"
		return
	fi
	echo "FAILED: $1: $bad"
	cat "$work/out" "$work/err"
	failures=$((failures + 1))
}

# shellcheck disable=SC2016 # the dollars are awk's
{
check basic '
$1 != "tick" || $2 + 0 <= last || $4 != "ns" || $5 != "late" { bad = "line " NR }
{ last = $2 + 0 }
END { if (last < 5) bad = "it ended before tick 5" }'

check multiple_timers '
BEGIN { interval["fast"] = 100; interval["medium"] = 200; interval["slow"] = 300 }
!($1 in interval) { bad = "line " NR }
$2 == "tick" {
	if ($6 != $3 * interval[$1]) bad = "line " NR ": due is off the grid"
	if ($3 <= last[$1]) bad = "line " NR ": the number did not grow"
	last[$1] = $3; lines[$1]++
}
$3 == "callbacks," {
	if ($2 != lines[$1] + 0) bad = "line " NR ": another number of callbacks was seen"
	if ($2 + $4 != last[$1] + 0) bad = "line " NR ": callbacks and skips are not all ticks"
	summaries++
}
END {
	if (lines["slow"] != 4) bad = "it did not end with the fourth callback of slow"
	if (summaries != 3) bad = "not three summaries"
}'

check schedule_policy '
$1 == "FIXED_SCHEDULE" || $1 == "FIXED_DELAY" { policy = $1; last = 0; next }
$1 == "tick" {
	number = $2; due = $4; began = $7; busy = $10; late = $12
	if (number != last + 1 + busy + late) bad = "line " NR ": number does not count the skips"
	if (began < due) bad = "line " NR ": early"
	if (policy == "FIXED_SCHEDULE" && due != number * 100) bad = "line " NR ": due is off the grid"
	if (policy == "FIXED_SCHEDULE" && last && busy < 1) bad = "line " NR ": nothing skipped busy"
	if (policy == "FIXED_DELAY" && last && due < ended + 99.99) bad = "line " NR ": delay cut short"
	if (policy == "FIXED_DELAY" && busy + late) bad = "line " NR ": a fixed delay skipped"
	last = number; ended = began + 150; lines[policy]++
}
END { if (lines["FIXED_SCHEDULE"] != 5 || lines["FIXED_DELAY"] != 5) bad = "not five ticks each" }'

check deferred '
$1 == "job:" {
	if (open) bad = "line " NR ": a tick before the last one was done"
	if ($3 <= last) bad = "line " NR ": the number did not grow"
	if (last && $6 < 2) bad = "line " NR ": less skipped busy than 250 ms of work"
	open = 1; last = $3
}
$1 == "worker:" {
	if (!open || $3 != last) bad = "line " NR ": done without being begun"
	open = 0; done++
}
$1 == "heartbeat:" {
	if ($3 <= beat) bad = "line " NR ": the heartbeat did not go on"
	beat = $3
}
END { if (last < 11 || !done || !beat) bad = "it ended too soon" }'
}

[ "$failures" = 0 ]
