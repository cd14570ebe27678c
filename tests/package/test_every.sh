#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/every as its users run it: its command line, when it runs its command, what
# it says of that and what the command sees. test_every_signals.sh and
# test_every_systemd.sh look at the rest.
# shellcheck disable=SC2016 # the dollars in single quotes are COMMAND's
# shellcheck source=tests/package/every.sh
. "${srcdir:?}/tests/package/every.sh"
splay=${PRINT_SPLAY:-tests/package/print_splay}
clock_watch=${CLOCK_WATCH:-tests/package/clock_watch}

# The timerfd's own words: "(seconds, nanoseconds)" of the field that $1 names, once it is armed.
timerfd() {
	sed -n "s/^$1: //p" /proc/"$pid"/fdinfo/* 2>/dev/null | grep -v '(0, 0)'
}

# is_in LEAST NUMBER MOST
is_in() {
	[ "$1" -le "$2" ] && [ "$2" -le "$3" ]
}

# by_the_wall TEST: a function that compares times of the wall clock. If other tests set that clock
# meanwhile it is asked once more.
by_the_wall() {
	mkfifo "$work.alive"
	"$clock_watch" <"$work.alive" >"$work.watching" &
	watcher=$!
	exec 6>"$work.alive"
	rm "$work.alive"
	until [ -s "$work.watching" ]; do sleep 0.01; done
	failures_before=$failures
	"$1" 6>&- >"$work.said"
	exec 6>&-
	if wait "$watcher" || [ "$failures" = "$failures_before" ]; then
		cat "$work.said"
		rm "$work.said" "$work.watching"
	else
		failures=$failures_before
		by_the_wall "$1"
	fi
}

# refuses MESSAGE_PART ARGUMENTS
refuses() {
	part=$1
	shift
	begin "refuses: $*"
	"$every" "$@" >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = 125 ] || fail "exit status $status, not 125"
	grep -qF -- "$part" "$work/err" || fail "it does not say: $part"
	[ "$(lines "$work/err")" = 1 ] || fail 'it says more than one line'
	grep -q '^every: .*; try every --help$' "$work/err" || fail 'it does not say where help is'
	[ ! -s "$work/out" ] || fail "it wrote to stdout"
}

refuses 'INTERVAL and COMMAND are missing'
refuses 'COMMAND is missing' 1s
refuses 'COMMAND is missing' 1s --
refuses 'option -x' -x 1s true
refuses 'option -x' -qx 1s true
refuses 'option --verbose' --verbose 1s true
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
refuses '-d does not go with -j' -n 1 -d -c boottime -j key 1s true
refuses '-1 does not go with -K' -1 -K -n 1 1s true
refuses '-q does not go with -v' -q -v -n 1 1s true
refuses "TIMEOUT '0s' is zero" -k 0s 1s true
refuses "TIMEOUT 'soon' is not a duration" -k soon 1s true
refuses "GRACE 'soon' is not a duration" -k 1s,soon 1s true
refuses "GRACE '' is not a duration" -k 1s, 1s true
refuses "LIMIT 'some' is not a duration" -l some 1s true
refuses 'SLACK is not below' -s 1s 1s true
refuses "SLACK 'some' is not a duration" -s some 1s true
for zero in 0 0s 0.000ns 00h 0h0s; do
	refuses "INTERVAL '$zero' is zero" "$zero" true
done
for bad in '' s . .s 5. 5.s 1,5s 1.5.5s 1s5 1sec 1S '1 s' ' 1s' '1s ' +1s 0x10s 1e3s abc \
	'2 weeks' 2weeks 2w 30s1m 1m1min 1h1h 1m30 1m.s 1mi 1minute 1m-30s; do
	refuses "INTERVAL '$bad' is not a duration: write numbers with the units d, h, min (or m), s, ms, us or ns" "$bad" true
done
for fine in 0.1ns 0.0000000001s 1.0000000001 0.0001us 0.000000000005m 0.00000000000005h \
	0.00000000000125h 0.000000000000000000000000001h 0.00000000001m 0.00000000000001d \
	1h0.1ns; do
	refuses "INTERVAL '$fine' is finer than a nanosecond" "$fine" true
done
for long in 4611686018427387905ns 4611686018.427387905s 5000000000 1281024h 53376d 53375d24h \
	18446744073709551616 18446744073709551615h 5124095576030432h \
	4611686018s427387905ns 99999999999999999999999999999999; do
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
	expect runs 0
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
90min 5400 0
1m30s 90 0
1min30s 90 0
1h1.5m.5s 3690 500000000
2d3h4m5s6ms7us8ns 183845 6007008
0.00000000005m 0 3
0.1m 6 0
1h 3600 0
1.25h 4500 0
1d 86400 0
0.00000000000125d 0 108
0.000000000005h 0 18
0.0000000000125h 0 45
4611686018.427387904s 4611686018 427387904
4611686018427387904ns 4611686018 427387904
53375d23h53m38.427387904s 4611686018 427387904
END

begin 'runs COUNT times'
run -n 3 10ms echo run
[ "$(lines "$work/out")" = 3 ] || fail "$(lines "$work/out") runs instead of 3"
[ "$(lines "$work/err")" = 1 ] || fail 'more on stderr than the summary'
expect runs 3
expect failed 0
[ "$(summary maximum)" -ge "$(summary lateness)" ] || fail 'the mean lateness is over the maximum'

# At a spot of 10 ms or more in the second half of the slack; one of 250 ms may be in the first,
# but not for both runs.
begin 'waits for its slack, on a shared timer'
run -n 2 -s 30ms 40ms echo run
[ "$(lines "$work/out")" = 2 ] || fail "$(lines "$work/out") runs instead of 2"
expect runs 2
expect_least maximum 15000

begin "gives COMMAND its own options"
run -n 1 1ms printf '%s.' -n 5 -d --
[ "$(cat "$work/out")" = '-n.5.-d.--.' ] || fail "COMMAND got: $(cat "$work/out")"
run -n 1 -- 1ms -- printf '%s.' -- -a
[ "$(cat "$work/out")" = '--.-a.' ] || fail "after --, COMMAND got: $(cat "$work/out")"

begin 'COMMAND inherits descriptors, the signals blocked and those ignored as if run alone'
run -n 1 1ms ls /proc/self/fd
ls /proc/self/fd >"$work/alone"
cmp -s "$work/out" "$work/alone" || fail 'it has other descriptors than if run alone'
# The first 28: of two that are the C library's own, glibc's posix_spawn has the command ignore them.
signals='/^Sig[BI]/s/[^:]*\(.......\)$/\1/p'
run -n 1 1ms sed -n "$signals" /proc/self/status
sed -n "$signals" /proc/self/status >"$work/alone"
cmp -s "$work/out" "$work/alone" || fail 'it has other signals blocked or ignored than if run alone'
(
	trap '' INT QUIT HUP PIPE
	run -n 1 1ms sed -n "$signals" /proc/self/status
	sed -n "$signals" /proc/self/status >"$work/ignored"
)
cmp -s "$work/ignored" "$work/alone" && fail 'none is ignored'
cmp -s "$work/out" "$work/ignored" || fail 'it has others ignored than was every'

begin 'COMMAND finds closed what is closed'
run_to 0 -q -n 1 1ms sh -c 'ls /proc/$$/fd' <&-
grep -qx 0 "$work/out" && fail 'its standard input is open'

sees_its_run() {
	begin 'COMMAND sees which run it is, and why'
	before=$(date +%s%N)
	run -n 4 -c realtime -a 0s 40ms sh -c 'echo $EVERY_RUN $(date -d $EVERY_DUE +%s%N) $(date +%s%N) \
		$EVERY_LATENESS_NS $EVERY_SKIPPED_BUSY $EVERY_SKIPPED_LATE $EVERY_DUE; sleep 0.05'
	after=$(date +%s%N)
	expect_least 'skipped busy' 3
	number=0
	busy=0
	last=
	while read -r run due begun lateness run_busy run_late text; do
		number=$((number + 1))
		[ "$run" = "$number" ] || fail "run $run where $number is to be"
		is_in "$before" "$due" "$after" || fail "due at $due, not $before to $after"
		[ $((due + lateness)) -le "$begun" ] || fail "due at $due, $lateness ns late, yet begun at $begun"
		[ $((due % 40000000)) = 0 ] || fail "due at $due"
		echo "$text" | grep -Eqx '[0-9-]{10}T[0-9:]{8}\.[0-9]{9}Z' || fail "due at $text"
		[ -z "$last" ] || [ $((due - last)) = $((40000000 * (1 + run_busy + run_late))) ] ||
			fail "due $((due - last)) ns after the last, $run_busy and $run_late skipped"
		last=$due
		busy=$((busy + run_busy))
	done <"$work/out"
	[ "$number" = 4 ] || fail "$number runs"
	[ "$busy" = "$(summary 'skipped busy')" ] || fail "$busy skipped in all"
	# On a clock that is not the wall's, the wall's time of the same moment.
	before=$(date +%s%N)
	run -n 1 40ms sh -c 'date -d $EVERY_DUE +%s%N'
	is_in $((before + 39000000)) "$(cat "$work/out")" "$(date +%s%N)" ||
		fail "due $(cat "$work/out"), from $before to now"
}
by_the_wall sees_its_run

begin 'runs never overlap'
run -n 5 20ms sh -c 'mkdir "$1" || echo overlap; sleep 0.05; rmdir "$1"; echo ran' - "$work/lock"
[ "$(sort -u "$work/out")" = ran ] || fail 'two runs at once'
[ "$(lines "$work/out")" = 5 ] || fail 'not 5 runs'
expect runs 5
expect_least 'skipped busy' 8

begin 'a fixed delay begins at the end of the command'
run -d -n 4 100ms sh -c 'cut -d " " -f 1 /proc/uptime; sleep 0.15; cut -d " " -f 1 /proc/uptime'
expect runs 4
expect 'skipped busy' 0
expect 'skipped late' 0
# /proc/uptime has two decimals, cut off.
awk 'NR > 1 && NR % 2 && $1 < ended + 0.0899 { bad = 1 } { ended = $1 } END { exit bad }' \
	"$work/out" || fail "begun less than 100 ms after the end: $(tr '\n' ' ' <"$work/out")"

begin '-i has the first run at once'
run -i -n 1 1h echo run
run -i -d -n 1 1h echo run
# And keeps to the grid afterwards, if there is one.
run -i -a 0s -n 3 250ms sh -c 'echo $EVERY_DUE'
awk -F '[.Z]' 'NR == 1 ? $2 % 250000000 == 0 : $2 % 250000000 { bad = 1 } END { exit bad || NR != 3 }' \
	"$work/out" || fail "runs due at: $(tr '\n' ' ' <"$work/out")"
before=$(uptime_s)
run -i -n 2 300ms true
has_passed "$before" 0.29 || fail 'the second run came too early'

begin '-j shifts the grid by what the machine and KEY decide'
if [ "$(tr -d '\n' </etc/machine-id | wc -c)" = 32 ]; then
	machine=$(cat /etc/machine-id)
	for key in '' backup 'another key'; do
		phase=$("$splay" "$machine$key" 250000000)
		run -j "$key" -n 2 250ms sh -c 'echo $EVERY_DUE'
		run -j "$key" -a 33ms -n 1 250ms sh -c 'echo $EVERY_DUE'
		[ "$(sed 's/.*\.0*//; s/Z//; s/$/ % 250000000/' "$work/out" | xargs expr)" = \
			$(((phase + 33000000) % 250000000)) ] || fail "with an anchor: $(cat "$work/out")"
		run -j "$key" -n 2 250ms sh -c 'echo $EVERY_DUE'
		awk -F '[.Z]' -v phase="$phase" '$2 % 250000000 != phase { bad = 1 } END { exit bad || NR != 2 }' \
			"$work/out" || fail "phase $phase, due: $(tr '\n' ' ' <"$work/out")"
	done
	# Without a machine id there is no phase, which is said.
	echo 'mount --bind /dev/null /etc/machine-id && exec "$@"' >"$work/no_id"
	if unshare -m sh "$work/no_id" true 2>/dev/null; then
		unshare -m sh "$work/no_id" "$every" -j '' -n 1 1ms true >"$work/out" 2>"$work/err"
		status=$?
		[ "$status" = 125 ] || fail "exit status $status without a machine id"
		said 'no machine id in /etc/machine-id: Invalid argument'
	else
		echo 'SKIP: no machine id: unshare may not mount'
	fi
else
	refuses 'no machine id in /etc/machine-id' -j '' -n 1 1ms true
fi

begin '-l skips a run that is later than that, and counts it'
# No run is begun at the very nanosecond at which it is due.
launch -v -l 0s 5ms echo run
until_true lines_are_least 3 "$work/err"
finish TERM
[ ! -s "$work/out" ] || fail 'a run began'
expect runs 0
expect_least 'skipped late' 3
skips=$(grep -cE "Z every: a run skipped, for it would start $took late\$" "$work/err")
is_in 3 "$skips" "$(summary 'skipped late')" || fail "it says $skips"
run -l 1h -n 3 10ms echo run
expect runs 3

skips_one() {
	begin '-l skips a run in between'
	# Stopped for the second run's due time and beyond: run late it would be, or skipped if a third is due.
	launch -n 2 -l 100ms -c realtime -a 0s 1s sh -c 'date -d $EVERY_DUE +%s%N
		echo $EVERY_RUN $EVERY_LATENESS_NS $EVERY_SKIPPED_BUSY $EVERY_SKIPPED_LATE'
	until_true lines_are_least 2 "$work/out"
	kill -STOP "$pid"
	stopped=$(uptime_s)
	until has_passed "$stopped" 1.2; do sleep 0.01; done
	kill -CONT "$pid"
	ends 0
	expect_least 'skipped late' 1
	# shellcheck disable=SC2046 # words
	set -- $(cat "$work/out")
	[ "$#" = 10 ] || fail "not two runs: $*"
	[ $(($6 - $1)) = $((1000000000 * (1 + $9 + ${10}))) ] || fail "skipped and not counted: $*"
	[ "${10}" -ge 1 ] || fail "skipped late, and the next run is not told: $*"
	{ is_in 0 "$3" 100000000 && is_in 0 "$8" 100000000; } || fail "run though over the limit: $*"
}
by_the_wall skips_one

begin 'a failed run is a line, and the schedule goes on'
run_to 3 -n 4 10ms sh -c '[ $EVERY_RUN != 2 ] || exit 3'
expect runs 4
expect failed 1
said "^every: run 2 failed: exit status 3 after $took\$"
[ "$(lines "$work/err")" = 2 ] || fail 'it says more'
run_to 1 -n 3 10ms false
expect failed 3
said "^every: run [123] failed: exit status 1 after $took\$" 3
run_to 139 -n 2 10ms sh -c 'kill -SEGV $$'
expect failed 2
said "^every: run [12] failed: killed by SIGSEGV after $took\$" 2
run_to 143 -n 1 10ms sh -c 'kill -TERM $$'
said "^every: run 1 failed: killed by SIGTERM after $took\$"
run_to 1 -n 1 10ms sh -c 'sleep 0.05; exit 1'
said '^every: run 1 failed: exit status 1 after ([5-9][0-9]|[0-9]{3}) ms$|after [0-9.]+ s$'
run_to 1 -n 1 10ms sh -c 'sleep 1.3; exit 1'
said '^every: run 1 failed: exit status 1 after (1\.[3-9]|[2-9]|[1-9][0-9]|[0-9]+\.[1-9]) s$'

begin 'its exit status is that of the last run that failed'
run_to 4 -n 4 10ms sh -c 'case $EVERY_RUN in 2) exit 3 ;; 3) exit 4 ;; esac'
expect failed 2
run_to 255 -n 1 10ms sh -c 'exit 255'
launch 10ms sh -c 'echo run; exit 7'
until_true grep -q run "$work/out"
finish TERM 7

begin '-1 ends at the first run that fails'
run_to 3 -1 -n 5 10ms sh -c '[ $EVERY_RUN != 2 ] || exit 3'
expect runs 2
expect failed 1
run -1 -n 3 10ms true
expect runs 3
run_to 124 -1 -k 20ms 10ms sleep 1000
expect runs 1

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

begin 'what cannot be started ends it'
run_to 127 10ms "$work/nosuch"
expect runs 1
expect failed 1
said "^every: run 1 failed: can't start '$work/nosuch': No such file or directory\$"
[ "$(lines "$work/err")" = 2 ] || fail 'it says more'
touch "$work/plain"
run_to 126 10ms "$work/plain"
said "^every: run 1 failed: can't start '$work/plain': Permission denied\$"
run_to 127 10ms sh -c 'exit 127'
run_to 126 10ms env "$work/plain"
expect runs 1

begin '-K keeps going, and each run says why'
run_to 127 -K -n 3 10ms "$work/nosuch"
expect runs 3
expect failed 3
said "^every: run [123] failed: can't start '$work/nosuch': No such file or directory\$" 3
run_to 126 -K -n 2 10ms sh -c 'exit 126'
expect failed 2
# It appears and vanishes. No script, which the shell would still have to find.
launch -K 10ms "$work/late"
until_true grep -q "can't start" "$work/err"
ln -s /bin/echo "$work/late"
until_true lines_are_least 1 "$work/out"
rm "$work/late"
until_true lines_are_least $(($(lines "$work/err") + 2)) "$work/err"
finish TERM 127
expect_least failed 3
said "can't start" "$(summary failed)"
[ "$(summary runs)" = $(($(summary failed) + $(lines "$work/out"))) ] ||
	fail 'runs are not failed and successful runs'

begin 'a script that names no interpreter is one for the shell'
printf 'echo "$0 $1 $#"\n' >"$work/script"
chmod +x "$work/script"
run -n 1 1ms "$work/script" 'an argument' b
[ "$(cat "$work/out")" = "$work/script an argument 2" ] || fail "it said: $(cat "$work/out")"
mkdir "$work/first" "$work/first/script"
path=$PATH
PATH=$work/first:$work/nosuch:$work:$PATH
run -n 1 1ms script 'an argument' b
PATH=$path
[ "$(cat "$work/out")" = "$work/script an argument 2" ] || fail "in PATH, it said: $(cat "$work/out")"

begin '-q says nothing'
run -q -n 1 10ms echo run
[ "$(cat "$work/out")" = run ] || fail 'the command did not run'
[ ! -s "$work/err" ] || fail 'it wrote to stderr'
run_to 127 -q 10ms "$work/nosuch"
[ ! -s "$work/err" ] || fail 'it wrote to stderr'
run_to 5 -q -n 2 10ms sh -c 'echo its own >&2; exit 5'
[ "$(sort -u "$work/err")" = 'its own' ] || fail 'not what the command wrote to stderr'

begin '-v tells of starts and ends, too, with times'
export TZ=EST5
run_to 3 -v -n 5 20ms sh -c 'echo ran >&2; sleep 0.05; [ $EVERY_RUN != 4 ] || exit 3'
unset TZ
[ ! -s "$work/out" ] || fail 'it wrote to stdout'
awk '
$0 == "ran" { if (state != "started") bad = "ran"; next }
$1 !~ /^[0-9-]+T[0-9:]+\.[0-9][0-9][0-9]Z$/ || $2 != "every:" { bad = $0 }
$3 == "run" && $5 == "started" {
	if (state == "started" || $4 != ++number) bad = $0
	busy += $11; late += $14
}
$3 == "run" && ($5 == "ended:" || $5 == "failed:") {
	if (state != "started" || $4 != number || ($5 == "failed:") != ($4 == 4)) bad = $0
	if ($6 $7 != "exitstatus") bad = $0
}
{ state = $5 }
END { print busy + 0, late + 0; exit bad != "" || number != 5 || NR != 16 }' "$work/err" >"$work/sums" ||
	fail "it said: $(tr '\n' '/' <"$work/err")"
said "started $took late, skipped busy [0-9]+, skipped late [0-9]+\$" 5
at=$(date -d "$(sed 's/ .*//; q' "$work/err")" +%s)
is_in $((at - 600)) "$(date +%s)" $((at + 600)) || fail 'its times are not of UTC'
expect_least 'skipped busy' 8
[ "$(cat "$work/sums")" = "$(summary 'skipped busy') $(summary 'skipped late')" ] ||
	fail "the lines add up to: $(cat "$work/sums")"

begin 'help and version'
for help in -h --help; do
	run "$help"
	grep -q '^usage: every ' "$work/out" || fail 'no usage on stdout'
done
for version in -V --version; do
	run "$version"
	[ "$(cat "$work/out")" = "every (asynctimer) ${PACKAGE_VERSION:-$(sed 's/.* //' "$work/out")}" ] ||
		fail "the version is: $(cat "$work/out")"
done

begin 'what cannot be written is a failure'
if [ -w /dev/full ]; then
	for ask in --help --version; do
		"$every" $ask >/dev/full 2>"$work/err"
		status=$?
		[ "$status" = 1 ] || fail "exit status $status of $ask"
	done
	# to_full STATUS ARGUMENTS
	to_full() {
		expected=$1
		shift
		"$every" "$@" >"$work/out" 2>/dev/full
		status=$?
		[ "$status" = "$expected" ] || fail "exit status $status, not $expected, of: every $*"
	}
	to_full 1 -n 1 1ms true
	to_full 1 -v -n 2 1ms echo run
	[ "$(lines "$work/out")" = 2 ] || fail 'it did not go on'
	to_full 0 -q -n 1 1ms true
	to_full 3 -n 1 1ms sh -c 'exit 3'
else
	echo 'SKIP: a full device: no /dev/full'
fi
"$every" -v -n 2 1ms echo run >"$work/out" 2>&-
status=$?
[ "$status" = 1 ] || fail "exit status $status with standard error closed"
[ "$(tr '\n' ' ' <"$work/out")" = 'run run ' ] || fail 'it wrote elsewhere, or did not go on'

# fill FIFO: makes one that is full, and that this shell holds open as 7.
fill() {
	mkfifo "$1"
	exec 7<>"$1"
	dd if=/dev/zero of="$1" oflag=nonblock bs=512 2>/dev/null
}

begin 'a log that nobody reads delays neither runs nor the end'
fill "$work/log"
: >"$work/out"
env --default-signal "$every" -v 1ms sh -c 'echo $EVERY_RUN' >"$work/out" 2>"$work/log" 7>&- &
pid=$!
until_true lines_are_least 300 "$work/out"
# That is so for its own descriptor; of the other one its command would feel it.
for fd in /proc/"$pid"/fd/*; do
	[ "$(readlink "$fd")" = "$work/log" ] || continue
	flags=$(sed -n 's/^flags:.//p' "/proc/$pid/fdinfo/${fd##*/}")
	[ "${fd##*/}" = 2 ] && echo "shared $((flags & 04000))" || echo "own $((flags & 04000))"
done | sort >"$work/flags"
[ "$(tr '\n' ' ' <"$work/flags")" = 'own 2048 shared 0 ' ] || fail "O_NONBLOCK: $(cat "$work/flags")"
finish TERM
# Read again, it says how much is lost.
: >"$work/out"
env --default-signal "$every" -v 1ms sh -c 'echo $EVERY_RUN' >"$work/out" 2>"$work/log" &
pid=$!
until_true lines_are_least 300 "$work/out"
cat <&7 >"$work/err" &
reader=$!
until_true grep -aqE ' every: lost [0-9]+ lines, which nobody read in time$' "$work/err"
finish TERM
kill "$reader"
exec 7>&-

begin 'a log whose reader has gone ends it'
{
	"$every" -v 10ms true 2>&1
	echo "status $?" >"$work/status"
} | head -n 3 >"$work/out"
[ "$(cat "$work/status")" = 'status 1' ] || fail "$(cat "$work/status")"

begin 'the log may be a socket, full or not'
cat >"$work/socket.pl" <<'END'
use Socket;
socketpair(my $ours, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or exit 77;
my $pid = fork;
if (!$pid) {
	open(STDERR, ">&", $its);
	exec @ARGV;
}
close $its;
waitpid($pid, 0);
my $status = $? >> 8;
print while <$ours>;
exit $status;
END
if command -v perl >/dev/null; then
	perl "$work/socket.pl" "$every" -n 2 -v 1ms true >"$work/err" || fail "exit status $?"
	expect runs 2
	# Nobody reads until it has ended.
	perl "$work/socket.pl" env --default-signal "$every" -v 1ms sh -c \
		'echo run >>"$1"; [ $EVERY_RUN -lt 3000 ] || kill -TERM $PPID' - "$work/runs" >"$work/err" &
	pid=$!
	until_true lines_are_least 1 "$work/runs" 2>/dev/null
	every_pid=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) || every_pid=
	if [ "$every_pid" ]; then
		until_true lines_are_least 2000 "$work/runs"
		kill -TERM "${every_pid% }"
	fi
	ends 0
	said 'run 1 ended'
else
	echo 'SKIP: a socket: no perl'
fi

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

is_anchored() {
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
}
by_the_wall is_anchored

done_testing
