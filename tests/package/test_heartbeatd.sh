#!/bin/sh
# SPDX-License-Identifier: MIT
# examples/heartbeatd as systemd runs it, with a NOTIFY_SOCKET that writes down
# what it says. Waits for conditions, never for time; the only limit is the one
# that ends a hanging test.
set -u
program=${HEARTBEATD:-examples/heartbeatd}
systemd=${FAKE_SYSTEMD:-tests/package/fake_systemd}
[ -n "${HEARTBEATD_TEST_LIMITED-}" ] ||
	HEARTBEATD_TEST_LIMITED=1 exec timeout -k 5 120 "$0" "$@"

umask 077 # as in the unit file
work=$(mktemp -d) || exit 99
output=$work/out
pid=
systemd_pid=
test=
failures=0
trap '[ -z "$systemd_pid" ] || kill "$systemd_pid"; rm -rf "$work"' EXIT
trap 'fail "hung or interrupted"; [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; exit 1' INT TERM

begin() {
	test=$1
}

# shellcheck source=tests/support/unit_file.sh
. "${srcdir:-.}/tests/support/unit_file.sh"

fail() {
	echo "FAILED: $test: $1"
	sed 's/^/    /' "$work/said" "$work/out" "$work/err" | tail -n 20
	failures=$((failures + 1))
}

until_true() {
	until "$@"; do
		kill -0 "$pid" || { fail "it ended before: $*"; return; }
		sleep 0.01
	done
}

# launch SOCKET [NAME=VALUE...]: a service that is ready, as $pid. It writes to $output.
launch() {
	socket=$1
	shift
	mkfifo "$work/alive"
	: >"$work/said"
	"$systemd" "$socket" <"$work/alive" >"$work/said" &
	systemd_pid=$!
	exec 9>"$work/alive"
	rm "$work/alive"
	pid=$systemd_pid
	until_true said listening
	: >"$work/out"
	: >"$work/err"
	# exec keeps the number: it can be told as WATCHDOG_PID. A libtool wrapper keeps it, too.
	env NOTIFY_SOCKET="$socket" "$@" sh -c 'exec "$@"' - \
		"$program" "$work/config" "$work/polled" "$work/metrics.prom" \
		>"$output" 2>"$work/err" 9>&- &
	pid=$!
	until_true said READY=1
}

# ends STATUS: awaits the end, and then of whom it talks to.
ends() {
	wait "$pid"
	status=$?
	pid=
	[ "$status" = "$1" ] || fail "exit status $status, not $1"
	exec 9>&-
	wait "$systemd_pid"
	systemd_pid=
}

# said STATE: so far.
said() {
	[ "$(count "$1")" != 0 ]
}

# count STATE: how often it said so.
count() {
	awk -v state="$1" '$2 == state { count++ } END { print count + 0 }' "$work/said"
}

# count_is_least NUMBER STATE
count_is_least() {
	[ "$(count "$2")" -ge "$1" ]
}

heartbeats() {
	grep -c '^heartbeat ' "$work/out"
}

heartbeats_are_least() {
	[ "$(heartbeats)" -ge "$1" ]
}

# Waits for so many heartbeats more, one a second here.
more_heartbeats() {
	until_true heartbeats_are_least $(($(heartbeats) + $1))
}

# polls FIELD: the number in the last heartbeat.
polls() {
	sed -n "s/^heartbeat .*$1 \([0-9]*\),.*/\1/p" "$work/out" | tail -n 1
}

polls_are_least() {
	number=$(polls polls)
	[ "${number:-0}" -ge "$1" ]
}

# timer_is CLOCK INTERVAL: a timerfd armed so, "(seconds, nanoseconds)".
timer_is() {
	cat /proc/"$pid"/fdinfo/* 2>/dev/null |
		awk -v clock="$1" -v interval="$2" '
		$1 == "clockid:" { is = $2 == clock }
		$1 == "it_interval:" { sub(/^[^:]*: /, ""); if (is && $0 == interval) found = 1 }
		END { exit !found }'
}

# beats_on_full SECONDS: the timer on the real-time clock is armed for a multiple of them.
beats_on_full() {
	[ "$fdinfo" ] || return 0
	timer_is 0 "($1, 0)" || fail "no timer of $1 s on the real-time clock"
	before=$(date +%s)
	left=$(cat /proc/"$pid"/fdinfo/* 2>/dev/null | awk '
		$1 == "clockid:" { is = $2 == 0 }
		$1 == "it_value:" && is { gsub(/[(,]/, ""); print $2 }')
	after=$(date +%s)
	# Due between before + left and after + 1 + left + 1: a multiple is in there.
	[ $(((after + left + 2) / $1)) -gt $(((before + left - 1) / $1)) ] ||
		fail "due $left s after $before to $after"
}

tables() {
	grep -c '^NAME ' "$work/out"
}

tables_are_least() {
	[ "$(tables)" -ge "$1" ]
}

# Has it show its timers: $work/table is the new table, which a heartbeat may follow.
show_timers() {
	tables=$(($(tables) + 1))
	kill -USR1 "$pid"
	until_true tables_are_least "$tables"
	more_heartbeats 1
	awk -v number="$tables" '
		$1 == "NAME" { seen++ }
		seen == number && NF == 12 && !/^heartbeat [^ ]*Z: /' "$work/out" >"$work/table"
}

# in_table NAME COLUMN: as the last table has it.
in_table() {
	awk -v name="$1" -v column="$2" '
		$1 == "NAME" { for (i = 1; i <= NF; i++) at[$i] = i }
		$1 == name { print $at[column] }' "$work/table"
}

# in_metrics METRIC TIMER: its value in the file.
in_metrics() {
	sed -n "s/^asynctimer_$1{timer=\"$2\",[^}]*} //p" "$work/metrics.prom"
}

# lines_are_least NUMBER PATTERN: on stderr.
lines_are_least() {
	[ "$(grep -c "$2" "$work/err")" -ge "$1" ]
}

# configure POLL_MS HEARTBEAT_S
configure() {
	printf 'poll_ms %s\nheartbeat_s %s\n' "$1" "$2" >"$work/config.new"
	mv "$work/config.new" "$work/config"
}

# And afterwards all is written down that was said before.
reload() {
	readies=$(count READY=1)
	kill -HUP "$pid"
	until_true count_is_least $((readies + 1)) READY=1
}

fdinfo=
[ -r /proc/self/fdinfo/0 ] && fdinfo=yes
[ "$fdinfo" ] || echo 'SKIP: how its timers are armed: no /proc/self/fdinfo'
echo seen1 >"$work/polled"

begin 'it is ready, polls, keeps heartbeats, and stops cleanly'
configure 20 1
launch "$work/socket"
until_true polls_are_least 3
kill -TERM "$pid"
ends 0
[ "$(awk '{ printf "%s ", $2 }' "$work/said")" = 'listening READY=1 STOPPING=1 ' ] ||
	fail 'it said something else than READY=1 and STOPPING=1'
grep -q 'failed 0, last seen: seen1$' "$work/out" || fail 'it did not see what it polls'
[ ! -s "$work/err" ] || fail 'it wrote to stderr'

begin 'heartbeats are on full minutes, and never early'
configure 3600000 60
launch "$work/socket2"
beats_on_full 60
configure 3600000 1
reload
for _ in 1 2 3; do
	more_heartbeats 1
	now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	latest=$(sed -n 's/^heartbeat \([^ ]*\): .*/\1/p' "$work/out" | tail -n 1)
	[ "$(printf '%s\n%s\n' "$latest" "$now" | sort | head -n 1)" = "$latest" ] ||
		fail "heartbeat of $latest at $now"
done
# Not so many seconds after the last one.
configure 3600000 3600
reload
beats_on_full 3600
kill -INT "$pid"
ends 0

begin 'it pings the watchdog twice a period, by an abstract socket'
launch "@asynctimer-heartbeatd-$$" WATCHDOG_USEC=200000
[ -z "$fdinfo" ] || timer_is 1 '(0, 100000000)' || fail 'no timer of half the period'
until_true count_is_least 12 WATCHDOG=1
# The k-th is never before k halves of the period from the start.
awk '
$2 == "listening" { begun = $1 }
$2 == "WATCHDOG=1" && $1 < begun + 0.1 * ++k { exit 1 }' "$work/said" ||
	fail 'a ping came early'
kill -TERM "$pid"
ends 0

begin "another process's watchdog gets no pings"
configure 3600000 1
launch "$work/socket4" WATCHDOG_USEC=20000 WATCHDOG_PID=1
more_heartbeats 1
reload
said WATCHDOG=1 && fail 'it pinged'
kill -TERM "$pid"
ends 0
# shellcheck disable=SC2016 # the dollars are the other shell's
begin 'its own watchdog does'
launch "$work/socket5" WATCHDOG_USEC=20000 sh -c 'WATCHDOG_PID=$$ exec "$@"' -
until_true count_is_least 3 WATCHDOG=1
kill -TERM "$pid"
ends 0

begin 'a stuck worker gets no pings, and one that goes on does'
mkfifo "$work/fifo"
echo seen2 >"$work/plain"
configure 10 1
launch "$work/socket6" WATCHDOG_USEC=100000
until_true count_is_least 3 WATCHDOG=1
mv "$work/fifo" "$work/polled"
until_true grep -q 'no ping for the watchdog: poll hangs' "$work/err"
reload
pings=$(count WATCHDOG=1)
more_heartbeats 1
reload
[ "$(count WATCHDOG=1)" = "$pings" ] || fail 'it pinged while the worker was stuck'
show_timers
awk -v open="$(in_table poll OPEN)" 'BEGIN { exit !(open >= 50) }' ||
	fail 'the table does not say since when its tick is open'
[ "$(in_table poll NEXT)" = - ] || fail 'the table has a next tick for one that is open'
awk -v open="$(in_metrics open_seconds poll)" 'BEGIN { exit !(open >= 0.05) }' ||
	fail 'the metrics do not say since when its tick is open'
# Let go, it shall find no fifo any more.
exec 8>"$work/polled"
mv "$work/plain" "$work/polled"
echo unstuck >&8
exec 8>&-
until_true count_is_least $((pings + 3)) WATCHDOG=1
until_true grep -q 'last seen: seen2$' "$work/out"
kill -TERM "$pid"
ends 0

# Its output is a pipe that is full: so the heartbeat's callback blocks.
begin 'a stuck callback gets no pings, and one that goes on does'
configure 10 1
mkfifo "$work/pipe"
exec 7<>"$work/pipe"
full=$(dd if=/dev/zero of="$work/pipe" oflag=nonblock bs=512 2>&1 | awk '/ bytes? /{ print $1 }')
output=$work/pipe
launch "$work/socket10" WATCHDOG_USEC=100000
output=$work/out
until_true lines_are_least 1 'no ping for the watchdog: heartbeat hangs'
reload
pings=$(count WATCHDOG=1)
until_true lines_are_least 5 'no ping for the watchdog: heartbeat hangs'
reload
[ "$(count WATCHDOG=1)" = "$pings" ] || fail 'it pinged while a callback was stuck'
head -c "${full:-1}" <&7 >/dev/null
until_true count_is_least $((pings + 3)) WATCHDOG=1
kill -TERM "$pid"
ends 0
exec 7>&-

begin 'SIGUSR1 has it show its timers'
configure 10 1
launch "$work/socket11" WATCHDOG_USEC=200000
until_true polls_are_least 3
until_true count_is_least 2 WATCHDOG=1
show_timers
[ "$(awk 'NR > 1 { print $1, $2, $3 }' "$work/table" | sort | tr '\n' ' ')" = \
	'heartbeat schedule 1000.000 poll delay 10.000 watchdog schedule 100.000 ' ] ||
	fail "not its three timers: $(cat "$work/table")"
awk -v failed=1 '
NR == 1 { failed = NF != 12; next }
NF != 12 || $5 < 1 || $8 > $9 || $10 > $5 * ($9 + 0.001) || $9 < 0 || $10 < 0 || $11 < 0 { failed = 1 }
$1 == "poll" && ($5 < 3 || $6 || $7) { failed = 1 }
END { exit failed }' "$work/table" || fail "a row that cannot be: $(cat "$work/table")"
for timer in poll heartbeat watchdog; do
	for pair in CALLBACKS:callbacks_total BUSY:skipped_busy_total LATE:skipped_late_total; do
		[ "$(in_table $timer "${pair%:*}")" = "$(in_metrics "${pair#*:}" $timer)" ] ||
			fail "$timer: the table has another ${pair%:*} than the metrics"
	done
done
# Each name once; each sample of a family that was announced; buckets that grow; an end.
awk '
/^# EOF$/ { eof = NR; next }
/^# HELP / { next }
/^# TYPE [a-z_]+ (counter|gauge|histogram)$/ {
	if (family[$3]++)
		bad = "twice: " $3
	type = $4
	name = $3
	next
}
!/^[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9]+(\.[0-9]+)?$/ { bad = "no sample: " $0 }
{
	sample = $1
	sub(/\{.*/, "", sample)
	suffix = substr(sample, length(name) + 1)
	if (index(sample, name) != 1 ||
	    type suffix !~ /^(counter_total|gauge|histogram_(bucket|count|sum))$/)
		bad = "of no family: " $0
	if (seen[$1]++)
		bad = "twice: " $1
}
/_bucket/ {
	if ($2 < last)
		bad = "a bucket smaller than the one before"
	last = $2
}
/_count / && $2 != last { bad = "not as many as in all buckets" }
END {
	if (eof != NR)
		bad = "no end"
	if (bad)
		print bad
	exit bad != ""
}' "$work/metrics.prom" >"$work/wrong" || fail "metrics: $(cat "$work/wrong")"
[ "$(stat -c %a "$work/metrics.prom")" = 644 ] || fail 'others cannot read the metrics'
# Who reads the old file meanwhile has all of it, and nobody sees half of one.
exec 6<"$work/metrics.prom"
callbacks=$(in_table poll CALLBACKS)
until_true polls_are_least $((callbacks + 1))
show_timers
[ "$(in_metrics callbacks_total poll)" -gt "$callbacks" ] || fail 'the metrics did not go on'
grep -q "^asynctimer_callbacks_total{timer=\"poll\".* $callbacks\$" <&6 ||
	fail 'the old file was written to'
exec 6<&-
[ "$(echo "$work"/metrics*)" = "$work/metrics.prom" ] || fail 'it left a file behind'
rm "$work/metrics.prom"
mkdir "$work/metrics.prom"
show_timers
grep -q "can't write '$work/metrics.prom': Is a directory" "$work/err" || fail 'it does not say why'
[ "$(echo "$work"/metrics*)" = "$work/metrics.prom" ] || fail 'it left a file behind'
rmdir "$work/metrics.prom"
kill -TERM "$pid"
ends 0

begin 'it ends when a poll under way has'
mkfifo "$work/fifo"
mv "$work/fifo" "$work/polled"
launch "$work/socket9"
more_heartbeats 1
kill -TERM "$pid"
until_true said STOPPING=1
exec 8<>"$work/polled"
echo unstuck >&8
ends 0
exec 8>&-
rm "$work/polled"

begin 'a reload changes the interval'
echo seen1 >"$work/polled"
configure 3600000 1
launch "$work/socket7"
more_heartbeats 2
[ "$(polls polls)" = 1 ] || fail 'it polled again though an hour is not over'
timer_is 1 '(3600, 0)' && fail 'its polls are on a schedule'
configure 10 1
reload
until_true polls_are_least 6
configure 3600000 1
reload
more_heartbeats 2
before=$(polls polls)
more_heartbeats 2
[ "$(polls polls)" = "$before" ] || fail 'it went on to poll at the old interval'
[ "$(count RELOADING=1)" = 2 ] || fail 'it did not say RELOADING=1 twice'
# Each has its time, which is before it was heard, and READY=1 follows.
awk '
/RELOADING=1/ {
	if ($3 !~ /^MONOTONIC_USEC=[0-9]+$/ || substr($3, 16) / 1e6 > $1 ||
	    substr($3, 16) / 1e6 < last)
		bad = 1
	open++
}
/READY=1/ { open = 0; last = $1 }
END { exit bad || open }' "$work/said" || fail 'RELOADING=1 without its time, or READY=1 after it'

begin 'a configuration that is wrong changes nothing'
for wrong in 'poll_ms 0' 'poll_ms 12x' 'poll_ms -1' 'poll_ms' 'poll 5' 'poll_ms 9999999999'; do
	echo "$wrong" >"$work/config"
	reload
	grep -q "can't use '$work/config': Invalid argument" "$work/err" || fail "it took: $wrong"
	: >"$work/err"
done
rm "$work/config"
reload
grep -q "can't use '$work/config': No such file" "$work/err" || fail 'it does not say why'
before=$(polls polls)
more_heartbeats 2
[ "$(polls polls)" = "$before" ] || fail 'it polled'
kill -TERM "$pid"
ends 0

begin 'a poll that fails is counted, and said'
configure 10 1
launch "$work/socket8"
rm "$work/polled"
until_true grep -q "can't poll '$work/polled': No such file" "$work/err"
more_heartbeats 2
[ "$(polls failed)" -ge 1 ] || fail 'none is counted'
kill -TERM "$pid"
ends 0

begin 'without systemd it runs as well, and without a configuration not at all'
: >"$work/said"
: >"$work/out"
"$program" "$work/config" >"$work/out" 2>"$work/err" &
pid=$!
more_heartbeats 1
kill -TERM "$pid"
wait "$pid"
status=$?
pid=
[ "$status" = 0 ] || fail "exit status $status, not 0"
"$program" "$work/nosuch" >"$work/out" 2>"$work/err"
status=$?
[ "$status" = 1 ] || fail "exit status $status, not 1, without a configuration"
grep -q "can't use '$work/nosuch': No such file" "$work/err" || fail 'it does not say why'

begin 'its unit file is one that systemd takes'
unit_file_is_taken heartbeatd

[ "$failures" = 0 ] && echo 'ok'
