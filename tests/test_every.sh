#!/bin/sh
# SPDX-License-Identifier: MIT
# examples/every as its users run it. Waits for conditions, never for time; the
# only limit is the one that ends a hanging test.
# EVERY: the program, if not examples/every.
# shellcheck disable=SC2016 # the dollars in single quotes are COMMAND's
set -u
every=${EVERY:-examples/every}
[ -n "${EVERY_TEST_LIMITED-}" ] || EVERY_TEST_LIMITED=1 exec timeout 120 "$0" "$@"

work=$(mktemp -d) || exit 99
pid=
trap 'rm -rf "$work"' EXIT
trap '[ -z "$pid" ] || kill "$pid"; echo "FAILED: hung or interrupted in: $test"; exit 1' INT TERM
failures=0
test=

begin() {
	test=$1
	rm -rf "${work:?}"/*
}

fail() {
	echo "FAILED: $test: $1"
	[ ! -s "$work/err" ] || sed 's/^/    /; 3q' "$work/err"
	failures=$((failures + 1))
}

# run ARGUMENTS: to its end, which is to be exit 0.
run() {
	"$every" "$@" >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = 0 ] || fail "exit status $status of: every $*"
}

# launch ARGUMENTS: in the background, as $pid.
launch() {
	: >"$work/out"
	: >"$work/err"
	"$every" "$@" >"$work/out" 2>"$work/err" &
	pid=$!
}

# finish SIGNAL: ends what was launched, to exit 0.
finish() {
	kill -"$1" "$pid"
	wait "$pid"
	status=$?
	pid=
	[ "$status" = 0 ] || fail "exit status $status after SIG$1"
}

until_true() {
	until "$@"; do
		kill -0 "$pid" || { fail "it ended before: $*"; return; }
		sleep 0.01
	done
}

lines() {
	wc -l <"$1" | tr -d ' '
}

# summary FIELD: its number in the summary line.
summary() {
	sed -n "s/^every: callbacks.*/, &,/; s/.*[ ,:]$1 \([0-9][0-9]*\)[ ,].*/\1/p" "$work/err"
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

# The timerfd's own words: "(seconds, nanoseconds)" of the field that $1 names, once it is armed.
timerfd() {
	sed -n "s/^$1: //p" /proc/"$pid"/fdinfo/* 2>/dev/null | grep -v '(0, 0)'
}

# refuses MESSAGE_PART ARGUMENTS
refuses() {
	part=$1
	shift
	begin "refuses: $*"
	"$every" "$@" >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = 2 ] || fail "exit status $status, not 2"
	head -n 1 "$work/err" | grep -qF -- "$part" || fail "its first line does not say: $part"
	grep -q '^usage: every ' "$work/err" || fail "it does not print its usage"
	[ ! -s "$work/out" ] || fail "it wrote to stdout"
}

refuses 'INTERVAL and COMMAND are missing'
refuses 'COMMAND is missing' 1s
refuses 'COMMAND is missing' 1s --
refuses 'option -x' -x 1s true
refuses 'option -n needs a value' -n
refuses "COUNT '0'" -n 0 1s true
refuses "COUNT '-1'" -n -1 1s true
refuses "COUNT '2x'" -n 2x 1s true
refuses "COUNT ''" -n '' 1s true
refuses "COUNT '18446744073709551616'" -n 18446744073709551616 1s true
refuses "clock 'tai'" -c tai 1s true
refuses "ANCHOR 'noon'" -a noon 1s true
refuses '-d does not go with -c realtime' -n 1 -d -c realtime 1s true
refuses 'SLACK is not below' -s 1s 1s true
refuses "SLACK 'some' is not a duration" -s some 1s true
for zero in 0 0s 0.000ns 00h; do
	refuses "INTERVAL '$zero' is zero" "$zero" true
done
for bad in '' s . .s 5. 5.s 1,5s 1.5.5s 1s5 1sec 1S '1 s' ' 1s' '1s ' +1s 0x10s 1e3s 1m30s abc; do
	refuses "INTERVAL '$bad' is not a duration" "$bad" true
done
for fine in 0.1ns 0.0000000001s 1.0000000001 0.0001us 0.000000000005m 0.00000000000005h \
	0.00000000000125h 0.000000000000000000000000001h 0.00000000001m; do
	refuses "INTERVAL '$fine' is finer than a nanosecond" "$fine" true
done
for long in 4611686018427387905ns 4611686018.427387905s 5000000000 1281024h 18446744073709551616 \
	18446744073709551615h 5124095576030432h 99999999999999999999999999999999; do
	refuses "INTERVAL '$long' is too long" "$long" true
done

# Armed for a far anchor nothing runs, and the kernel says what it was told.
while read -r duration seconds nanoseconds; do
	begin "takes $duration to the nanosecond"
	[ -r /proc/self/fdinfo/0 ] || { echo 'SKIP: exact durations: no /proc/self/fdinfo'; break; }
	launch -c realtime -a 4600000000s "$duration" true
	until_true timerfd it_interval >"$work/armed"
	[ "$(cat "$work/armed")" = "($seconds, $nanoseconds)" ] ||
		fail "not $seconds s $nanoseconds ns but $(cat "$work/armed")"
	finish TERM
	expect callbacks 0
done <<END
1 1 0
1s 1 0
001.500s 1 500000000
.5s 0 500000000
0.1 0 100000000
0.3s 0 300000000
250ms 0 250000000
1.5ms 0 1500000
0.000001ms 0 1
7us 0 7000
0.001us 0 1
1ns 0 1
1.000000000000000000000ns 0 1
4.35s 4 350000000
1.123456789s 1 123456789
2m 120 0
0.00000000005m 0 3
0.1m 6 0
1h 3600 0
1.25h 4500 0
0.000000000005h 0 18
0.0000000000125h 0 45
4611686018.427387904s 4611686018 427387904
4611686018427387904ns 4611686018 427387904
END

begin 'runs COUNT times'
run -n 3 10ms echo run
[ "$(lines "$work/out")" = 3 ] || fail "$(lines "$work/out") runs instead of 3"
[ "$(lines "$work/err")" = 1 ] || fail 'more on stderr than the summary'
expect callbacks 3
expect failed 0
[ "$(summary maximum)" -ge "$(summary lateness)" ] || fail 'the mean lateness is over the maximum'

begin 'waits for its slack, on a shared timer'
run -n 2 -s 30ms 40ms echo run
[ "$(lines "$work/out")" = 2 ] || fail "$(lines "$work/out") runs instead of 2"
expect callbacks 2
expect_least maximum 30000

begin "gives COMMAND its own options"
run -n 1 1ms printf '%s.' -n 5 -d --
[ "$(cat "$work/out")" = '-n.5.-d.--.' ] || fail "COMMAND got: $(cat "$work/out")"
run -n 1 -- 1ms -- printf '%s.' -- -a
[ "$(cat "$work/out")" = '--.-a.' ] || fail "after --, COMMAND got: $(cat "$work/out")"

begin "COMMAND inherits no descriptor, no blocked and no ignored signal"
run -n 1 1ms ls /proc/self/fd
ls /proc/self/fd >"$work/alone"
cmp -s "$work/out" "$work/alone" || fail 'it has other descriptors than if run alone'
run -n 1 1ms grep '^SigBlk' /proc/self/status
grep '^SigBlk' /proc/self/status >"$work/alone"
cmp -s "$work/out" "$work/alone" || fail 'it has other signals blocked than if run alone'
# In a background job SIGINT is ignored.
launch -n 1 1ms sh -c 'kill -INT $$'
wait "$pid"
pid=
expect failed 1

begin 'runs never overlap'
run -n 5 20ms sh -c 'mkdir "$1" || echo overlap; sleep 0.05; rmdir "$1"; echo ran' - "$work/lock"
[ "$(sort -u "$work/out")" = ran ] || fail 'two runs at once'
[ "$(lines "$work/out")" = 5 ] || fail 'not 5 runs'
expect callbacks 5
expect_least 'skipped busy' 8

begin 'a fixed delay begins at the end of the command'
run -d -n 4 100ms sh -c 'cut -d " " -f 1 /proc/uptime; sleep 0.15; cut -d " " -f 1 /proc/uptime'
expect callbacks 4
expect 'skipped busy' 0
expect 'skipped late' 0
# /proc/uptime has two decimals, cut off.
awk 'NR > 1 && NR % 2 && $1 < ended + 0.0899 { bad = 1 } { ended = $1 } END { exit bad }' \
	"$work/out" || fail "begun less than 100 ms after the end: $(tr '\n' ' ' <"$work/out")"

begin 'a failing command is counted and the schedule goes on'
run -n 4 10ms sh -c 'echo >>"$1/runs"; [ "$(wc -l <"$1/runs")" != 2 ]' - "$work"
expect callbacks 4
expect failed 1
run -n 3 10ms false
expect failed 3
run -n 3 10ms sh -c 'kill -KILL $$'
expect failed 3

begin 'a command that is not found is counted, said once, and the schedule goes on'
run -n 3 10ms "$work/nosuch"
expect callbacks 3
expect failed 3
[ "$(grep -c "can't start '$work/nosuch': No such file" "$work/err")" = 1 ] || fail 'not said once'
touch "$work/plain"
run -n 2 10ms "$work/plain"
expect failed 2
grep -q "can't start '$work/plain': Permission denied" "$work/err" || fail 'it does not say why'

begin 'a command that appears later is run'
launch 10ms "$work/late"
until_true grep -q "can't start" "$work/err"
printf '#!/bin/sh\necho ran\n' >"$work/new"
chmod +x "$work/new"
mv "$work/new" "$work/late"
until_true grep -q ran "$work/out"
finish TERM
expect_least failed 1
[ "$(summary callbacks)" = $(($(summary failed) + $(lines "$work/out"))) ] ||
	fail 'callbacks are not failed and successful runs'

for signal in TERM INT; do
	begin "SIG$signal lets the running command end"
	launch 10ms sh -c 'echo begun; until [ -e "$1/go" ]; do sleep 0.01; done; sleep 0.05; echo done' \
		- "$work"
	until_true grep -q begun "$work/out"
	kill -$signal "$pid"
	# Taken: no longer pending.
	until_true grep -q '^ShdPnd:.0*$' "/proc/$pid/status"
	touch "$work/go"
	wait "$pid"
	status=$?
	pid=
	[ "$status" = 0 ] || fail "exit status $status"
	[ "$(tr '\n' ' ' <"$work/out")" = 'begun done ' ] ||
		fail "the command said: $(tr '\n' ' ' <"$work/out")"
	expect callbacks 1
	expect failed 0
done

begin 'SIGTERM with no command running ends it at once'
launch 1h true
until_true timerfd it_interval >/dev/null
finish TERM
expect callbacks 0
expect lateness 0

begin 'anchored at 0 of the real-time clock it is due at a full interval'
if [ -r /proc/self/fdinfo/0 ]; then
	before=$(date +%s)
	launch -a 0s -c realtime 1h true
	until_true timerfd it_value >"$work/left"
	after=$(date +%s)
	left=$(tr -d '(,' <"$work/left" | cut -d ' ' -f 1)
	# Due between before + left and after + 1 + left + 1: a full hour is in there.
	[ $(((after + left + 2) / 3600)) -gt $(((before + left - 1) / 3600)) ] ||
		fail "due $left s after $before to $after"
	finish TERM
else
	echo 'SKIP: what a full hour is: no /proc/self/fdinfo'
fi
before=$(($(date +%s%N) / 1000000))
run -n 3 -a 0s -c realtime 100ms date +%s%N
due=$((before / 100))
while read -r at; do
	due=$((due + 1))
	[ $((at / 1000000)) -ge $((due * 100)) ] || fail "a run at $at, due at $due x 100 ms"
done <"$work/out"
[ "$(lines "$work/out")" = 3 ] || fail 'not 3 runs'

[ "$failures" = 0 ] && echo 'ok'
