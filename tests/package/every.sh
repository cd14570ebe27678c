# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# What the tests of tools/every share. Nothing in them waits for time, only for
# conditions; the only limit is the one that ends a hanging test.
# EVERY: the program, if not tools/every.
set -u
every=${EVERY:-tools/every}
[ -n "${EVERY_TEST_LIMITED-}" ] || EVERY_TEST_LIMITED=1 exec timeout -k 5 300 "$0" "$@"

work=$(mktemp -d) || exit 99
pid=
systemd_pid=
trap '[ -z "$systemd_pid" ] || kill "$systemd_pid"; rm -rf "$work" "$work".*' EXIT
trap '[ -z "$pid" ] || kill "$pid"; echo "FAILED: hung or interrupted in: $test"; exit 1' INT TERM
failures=0
test=

begin() {
	test=$1
	rm -rf "${work:?}"/*
}

fail() {
	echo "FAILED: $test: $1"
	[ ! -s "$work/err" ] || sed 's/^/    /; 5q' "$work/err"
	failures=$((failures + 1))
}

# run_to STATUS ARGUMENTS: to its end, which is to have that exit status.
run_to() {
	expected=$1
	shift
	"$every" "$@" >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = "$expected" ] || fail "exit status $status, not $expected, of: every $*"
}

run() {
	run_to 0 "$@"
}

# launch ARGUMENTS: in the background, as $pid, with no signal ignored.
launch() {
	: >"$work/out"
	: >"$work/err"
	env --default-signal "$every" "$@" >"$work/out" 2>"$work/err" &
	pid=$!
}

# ends STATUS: awaits the end of what was launched.
ends() {
	wait "$pid"
	status=$?
	pid=
	[ "$status" = "$1" ] || fail "exit status $status, not $1"
}

# given_time FUNCTION: a test of a timeout before which the command must have got so far as to trap
# a signal. FUNCTION multiplies the timeout by its argument, which is larger in a second and third
# try: on a slow machine the first may fail for that alone.
given_time() {
	for times in 1 10 100; do
		# shellcheck disable=SC2030,SC2031 # failures of one try stay in its subshell
		found=$(failures=0; "$1" $times; exit $failures) && return
	done
	echo "$found"
	# shellcheck disable=SC2031
	failures=$((failures + 1))
}

# finish SIGNAL [STATUS]: ends what was launched.
finish() {
	kill -"$1" "$pid"
	ends "${2:-0}"
}

# until_true COMMAND...: or it has ended, and what it did before is not enough.
until_true() {
	until "$@"; do
		kill -0 "$pid" 2>/dev/null || { "$@" || fail "it ended before: $*"; return; }
		sleep 0.01
	done
}

# taken SIGNAL: sends it, and waits until it is no longer pending.
taken() {
	kill -"$1" "$pid"
	until_true grep -q '^ShdPnd:.0*$' "/proc/$pid/status"
}

# is_gone PID: nothing of it runs any more.
is_gone() {
	! grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null
}

# is_stopped PID
is_stopped() {
	grep -q '^State:.T' "/proc/$1/status"
}

# Seconds with two decimals, cut off. A command's own stamps say when it got to it, not when it was
# begun or got a signal: how long something took at least is measured from before it could begin.
uptime_s() {
	cut -d ' ' -f 1 /proc/uptime
}

# has_passed UPTIME SECONDS: since then.
has_passed() {
	awk "{ exit \$1 < $1 + $2 }" /proc/uptime
}

lines() {
	wc -l <"$1" | tr -d ' '
}

# lines_are_least NUMBER FILE
lines_are_least() {
	[ "$(lines "$2")" -ge "$1" ]
}

# summary FIELD: its number in the summary line.
summary() {
	sed -n "/every: runs /{s/.*every: //; s/.*/, &,/; s/.*[ ,:]$1 \([0-9][0-9]*\)[ ,].*/\1/p}" \
		"$work/err"
}

# expect FIELD NUMBER
expect() {
	[ "$(summary "$1")" = "$2" ] || fail "the summary's $1 is not $2"
}

# expect_least FIELD NUMBER
expect_least() {
	number=$(summary "$1")
	[ "${number:-0}" -ge "$2" ] || fail "the summary's $1 is not $2 or more"
}

# said PATTERN [NUMBER]: so many lines on stderr match it, one if not told.
said() {
	[ "$(grep -cE -- "$1" "$work/err")" = "${2:-1}" ] ||
		fail "not ${2:-1} but $(grep -cE -- "$1" "$work/err") lines like: $1"
}

# How long a run took, as its line says it.
# shellcheck disable=SC2034 # the tests use it
took='[0-9]+(\.[1-9])? (us|ms|s)'

# done_testing: the last line of a test.
done_testing() {
	[ "$failures" = 0 ] && echo 'ok'
}
