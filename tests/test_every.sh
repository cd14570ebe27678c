#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/every as its users run it. Waits for conditions, never for time; the
# only limit is the one that ends a hanging test.
# EVERY: the program, if not tools/every.
# shellcheck disable=SC2016 # the dollars in single quotes are COMMAND's
set -u
every=${EVERY:-tools/every}
[ -n "${EVERY_TEST_LIMITED-}" ] || EVERY_TEST_LIMITED=1 exec timeout -k 5 120 "$0" "$@"

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

# launch ARGUMENTS: in the background, as $pid.
launch() {
	: >"$work/out"
	: >"$work/err"
	"$every" "$@" >"$work/out" 2>"$work/err" &
	pid=$!
}

# ends STATUS: awaits the end of what was launched.
ends() {
	wait "$pid"
	status=$?
	pid=
	[ "$status" = "$1" ] || fail "exit status $status, not $1"
}

# finish SIGNAL [STATUS]: ends what was launched.
finish() {
	kill -"$1" "$pid"
	ends "${2:-0}"
}

until_true() {
	until "$@"; do
		kill -0 "$pid" || { fail "it ended before: $*"; return; }
		sleep 0.01
	done
}

# Seconds with two decimals, cut off. A command's own stamps say when it got to it, not when it was
# begun or got a signal: how long something took at least is measured from before it could begin.
uptime_s() {
	cut -d ' ' -f 1 /proc/uptime
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
	[ "$status" = 125 ] || fail "exit status $status, not 125"
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
refuses '-d does not go with the realtime clock' -n 1 -d -c realtime 1s true
refuses '-d does not go with the realtime clock' -n 1 -d -a 0s 1s true
refuses "TIMEOUT '0s' is zero" -k 0s 1s true
refuses "TIMEOUT 'soon' is not a duration" -k soon 1s true
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
ends 130
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
run_to 1 -n 4 10ms sh -c 'echo >>"$1/runs"; [ "$(wc -l <"$1/runs")" != 2 ]' - "$work"
expect callbacks 4
expect failed 1
run_to 1 -n 3 10ms false
expect failed 3
run_to 137 -n 3 10ms sh -c 'kill -KILL $$'
expect failed 3

begin 'its exit status is that of the last run that failed'
run_to 4 -n 4 10ms sh -c 'echo >>"$1/runs"
	case $(wc -l <"$1/runs") in 2) exit 3 ;; 3) exit 4 ;; esac' - "$work"
expect failed 2
run_to 255 -n 1 10ms sh -c 'exit 255'
launch 10ms sh -c 'echo run; exit 7'
until_true grep -q run "$work/out"
finish TERM 7

begin 'its own failure is exit status 125'
case "${CFLAGS-}" in
*-fsanitize*) traces=false ;; # a leak sanitizer refuses to be traced
*) traces=strace ;;
esac
if "$traces" -o /dev/null true 2>"$work/err"; then
	strace -f -o /dev/null -e trace=epoll_create1 -e inject=epoll_create1:error=EMFILE \
		"$every" 10ms true >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = 125 ] || fail "exit status $status"
	grep -q "^every: can't run its timer: [TN]o.* file" "$work/err" || fail 'it does not say so'
else
	echo 'SKIP: its own failure: no strace, or it may not trace this'
fi

begin 'a command that is not found is counted, said once, and the schedule goes on'
run_to 127 -n 3 10ms "$work/nosuch"
expect callbacks 3
expect failed 3
[ "$(grep -c "can't start '$work/nosuch': No such file" "$work/err")" = 1 ] || fail 'not said once'
touch "$work/plain"
run_to 126 -n 2 10ms "$work/plain"
expect failed 2
grep -q "can't start '$work/plain': Permission denied" "$work/err" || fail 'it does not say why'

begin 'a command that appears later is run'
launch 10ms "$work/late"
until_true grep -q "can't start" "$work/err"
printf '#!/bin/sh\necho ran\n' >"$work/new"
chmod +x "$work/new"
mv "$work/new" "$work/late"
until_true grep -q ran "$work/out"
finish TERM 127
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
	ends 0
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

begin '-q leaves out the summary and nothing else'
run -q -n 1 10ms echo run
[ "$(cat "$work/out")" = run ] || fail 'the command did not run'
[ ! -s "$work/err" ] || fail 'it wrote to stderr'
run_to 127 -q -n 1 10ms "$work/nosuch"
grep -q "can't start" "$work/err" || fail 'it does not say why nothing ran'

begin '-v labels the output of each run'
run -v -n 5 20ms sh -c 'echo ran; sleep 0.05'
awk -F '[ ,]+' '
NR % 2 == 0 { if ($0 != "ran") bad = 1; next }
$1 $2 $4 $6 $7 $8 $10 $11 != "every:ticklatenessusskippedbusyskippedlate" { bad = 1 }
$3 != number + 1 + $9 + $12 { bad = 1 }
{ number = $3; busy += $9; late += $12; if ($5 > maximum) maximum = $5 }
END { print busy + 0, late + 0, maximum + 0; exit bad || NR != 10 }' "$work/out" >"$work/sums" ||
	fail "the output is: $(tr '\n' '/' <"$work/out")"
expect_least 'skipped busy' 8
summary="$(summary 'skipped busy') $(summary 'skipped late') $(summary maximum)"
[ "$(cat "$work/sums")" = "$summary" ] ||
	fail "the labels add up to: $(cat "$work/sums")"

begin 'a run within its timeout is left alone'
run -k 1h -n 3 10ms sh -c 'sleep 0.02; echo done'
[ "$(lines "$work/out")" = 3 ] || fail "$(lines "$work/out") runs were left alone, not 3"

begin 'the timeout is of each run, not of all'
before=$(uptime_s)
"$every" -k 300ms -n 8 10ms sh -c 'echo begun $(cut -d " " -f 1 /proc/uptime)
	sleep 0.1; echo done' >"$work/out" 2>"$work/err"
echo "begun $(uptime_s)" >>"$work/out"
# On a machine so slow that one was ended, it had its time, which began after the one before.
awk -v before="$before" '
$1 == "begun" {
	if (open && $2 < before + 0.2899)
		bad = 1
	if (runs++)
		before = begun
	begun = $2
	open = 1
}
$1 == "done" { open = 0 }
END { exit bad || runs < 2 }' "$work/out" || fail "it said: $(tr '\n' ' ' <"$work/out")"

begin 'a run over its timeout gets SIGTERM, no sooner, and has failed whatever it says'
before=$(uptime_s)
run_to 124 -k 200ms -n 2 10ms sh -c 'trap "cut -d \" \" -f 1 /proc/uptime; exit 0" TERM
	while :; do sleep 0.01; done'
expect failed 2
[ "$(lines "$work/out")" = 2 ] || fail 'not two SIGTERMs'
awk -v before="$before" '$1 < before + 0.2 * NR - 0.0101 { exit 1 }' "$work/out" ||
	fail "200 ms a run from $before: $(tr '\n' ' ' <"$work/out")"

begin 'a run that ignores SIGTERM gets SIGKILL a timeout later'
before=$(uptime_s)
run_to 124 -k 150ms -n 1 10ms sh -c 'trap "echo asked" TERM; while :; do sleep 0.01; done'
after=$(uptime_s)
expect failed 1
[ "$(cat "$work/out")" = asked ] || fail 'it got no SIGTERM'
awk "BEGIN { exit $after < $before + 0.2899 }" || fail "all from $before to $after"

begin 'SIGKILL is a timeout after SIGTERM even if that was late'
before=$(uptime_s)
launch -k 500ms -n 1 10ms sh -c 'trap "" TERM; echo begun; while :; do sleep 0.01; done'
until_true [ -s "$work/out" ]
kill -STOP "$pid"
until_true grep -q '^State:.T' "/proc/$pid/status"
stopped=$(uptime_s)
until awk "{ exit \$1 < $stopped + 0.8 }" /proc/uptime; do
	sleep 0.01
done
asked=$(uptime_s)
kill -CONT "$pid"
ends 124
after=$(uptime_s)
if awk "BEGIN { exit $stopped > $before + 0.48 }"; then
	awk "BEGIN { exit $after < $asked + 0.4899 }" || fail "asked after $asked, ended by $after"
else
	echo 'SKIP: SIGKILL after a late SIGTERM: this machine is too slow to have one late'
fi

begin 'a timeout reaches what the command has started'
run_to 124 -k 100ms -n 1 10ms sh -c 'trap : TERM
	sh -c "trap \"echo child; exit\" TERM; while :; do sleep 0.01; done" &
	wait; wait'
[ "$(cat "$work/out")" = child ] || fail 'its child got no SIGTERM'

begin 'a timeout ends a run after the last tick, too, and after SIGTERM'
launch -k 300ms 10ms sh -c 'echo begun; while :; do sleep 0.01; done'
until_true grep -q begun "$work/out"
finish TERM 124
expect callbacks 1

begin "the terminal's interrupt reaches a command with a timeout"
# exec, for a shell that waits is the one that the interrupt ends.
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
	echo 'trap "echo interrupted; exit 3" INT
		: >"$1"; while :; do sleep 0.01; done' >"$work/sh"
	{
		until [ -e "$work/begun" ]; do sleep 0.01; done
		printf '\003'
	} | script -qec "exec '$every' -n 1 -k 1h 1ms sh '$work/sh' '$work/begun'" /dev/null \
		>"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = 3 ] || fail "exit status $status, not 3"
	grep -q interrupted "$work/out" || fail 'it was not interrupted'
else
	echo "SKIP: the terminal's interrupt: no script(1)"
fi

begin 'help and version'
run -h
grep -q '^usage: every ' "$work/out" || fail 'no usage on stdout'
run -V
[ "$(cat "$work/out")" = "every (asynctimer) ${PACKAGE_VERSION:-$(sed 's/.* //' "$work/out")}" ] ||
	fail "the version is: $(cat "$work/out")"

begin 'an anchor is on the real-time clock unless -c says otherwise'
while read -r clock arguments; do
	[ -r /proc/self/fdinfo/0 ] || { echo 'SKIP: which clock: no /proc/self/fdinfo'; break; }
	# shellcheck disable=SC2086 # several arguments
	launch $arguments 1h true
	until_true timerfd it_value >"$work/left"
	timerfd clockid >"$work/clock"
	[ "$(cat "$work/clock")" = "$clock" ] || fail "clock $(cat "$work/clock") for: $arguments"
	finish TERM
done <<END
0 -a 0s
1 -a 0s -c monotonic
7 -c boottime -a 0s
1 -q
END

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
