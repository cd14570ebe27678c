#!/bin/sh
# SPDX-License-Identifier: MIT
# Each example ends by itself, and its output obeys the laws however slow the machine is.
# EXAMPLES: where the programs are, if not in examples.
set -u
examples=${EXAMPLES:-examples}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failures=0

# check NAME AWK_PROGRAM [ARGUMENT...]: the awk program sets bad, to what is wrong, or leaves it empty.
check() {
	check_ending 0 "$@"
}

# check_ending STATUS NAME AWK_PROGRAM [ARGUMENT...]: the same for one that ends with that status.
check_ending() {
	expected=$1 name=$2 program=$3
	shift 3
	timeout 60 "$examples/$name" "$@" >"$work/out" 2>"$work/err"
	status=$?
	bad=$(awk "$program"' END { print bad }' "$work/out") || bad='awk failed'
	[ "$status" = "$expected" ] || bad="exit status $status"
	[ -s "$work/err" ] && bad='it wrote to stderr'
	if [ -z "$bad" ]; then
		echo "ok: $name $*"
		return
	fi
	echo "FAILED: $name $*: $bad"
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

# On a virtual clock, so to the letter.
check idle_timeouts '
BEGIN {
	line[1] = "  30 s  mute: closed, idle for 30 s"
	line[2] = "  30 s  slow: closed, idle for 30 s"
	line[3] = "  45 s  slow: a message, too late"
	line[4] = "  90 s  steady: closed, idle for 30 s"
	line[5] = " 100 s  chatty: closed, idle for 30 s"
	line[6] = "18 messages, 4 timeouts"
}
$0 != line[NR] { bad = "line " NR }
END { if (NR != 6) bad = NR " lines" }'

# 50 a second, but for those that a target misses while it is down. Retries alone meet other polls.
polls='
$1 == "polls" {
	if ($6 != "0,") bad = "off the grid"
	if ($2 + 0 > 180000 || $2 + 0 < 179000) bad = "not 50 polls a second"
	if ($8 < 2900 || $8 > 6000) bad = "not 10 to 20 retries each time that a target is down"
}
$1 == "behind" && ($4 + 0 > 3000 || $6 > 20) { bad = "they are not spread" }
END { if (NR != 2) bad = NR " lines" }'
for key in '' localhost another.example a-very-long-name-of-a-host.in.a-domain.example; do
	check pollers "$polls" "$key"
done
check pollers "$polls"

check_ending 1 shutdown '
$0 != "in the way: backup, tick 1, deferred" { bad = "line " NR }
END { if (NR != 1) bad = NR " lines" }'

# However slow the machine is, a minute will do.
check shutdown '
$0 != "nobody was in the way" { bad = "line " NR }
END { if (NR != 1) bad = NR " lines" }' 1 60000

check test_your_timing '
$0 != "all tests passed" { bad = "line " NR }
END { if (NR != 1) bad = NR " lines" }'
}

[ "$failures" = 0 ]
