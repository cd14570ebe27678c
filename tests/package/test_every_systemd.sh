#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/every as systemd runs it, with a NOTIFY_SOCKET that writes down what it says.
# shellcheck disable=SC2016 # the dollars in single quotes are COMMAND's
# shellcheck source=tests/package/every.sh
. "${srcdir:?}/tests/package/every.sh"
# shellcheck source=tests/support/unit_file.sh
. "${srcdir:?}/tests/support/unit_file.sh"
systemd=${FAKE_SYSTEMD:-tests/package/fake_systemd}

# listen SOCKET
listen() {
	mkfifo "$work/alive"
	: >"$work/said"
	"$systemd" "$1" <"$work/alive" >"$work/said" &
	systemd_pid=$!
	exec 9>"$work/alive"
	rm "$work/alive"
	until grep -q listening "$work/said"; do sleep 0.01; done
}

# serve SOCKET [NAME=VALUE...] -- ARGUMENTS: a service that is ready, or has ended already, as $pid.
serve() {
	socket=$1
	shift
	listen "$socket"
	variables=
	while [ "$1" != -- ]; do
		variables="$variables $1"
		shift
	done
	shift
	: >"$work/out"
	: >"$work/err"
	# shellcheck disable=SC2086 # words
	env --default-signal NOTIFY_SOCKET="$socket" $variables sh -c 'exec "$@"' - "$every" "$@" \
		>"$work/out" 2>"$work/err" 9>&- &
	pid=$!
	# What it said may not have been written down when it is gone.
	until heard READY=1 || ! kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
}

# served STATUS: awaits the end, and then of whom it talks to.
served() {
	ends "$1"
	exec 9>&-
	wait "$systemd_pid"
	systemd_pid=
	heard READY=1 || fail 'it was never ready'
}

# heard STATE [NUMBER]: at least so often, once if not told.
heard() {
	[ "$(count "$1")" -ge "${2:-1}" ]
}

count() {
	awk -v state="$1" '$2 == state { count++ } END { print count + 0 }' "$work/said"
}

# What was heard, without the times, in one line.
all_heard() {
	sed 's/^[0-9.]* //' "$work/said" | tr '\n' '/'
}

begin 'it is ready, has a status after each run, and stops'
serve "$work/socket" -- -n 3 10ms sh -c '[ $EVERY_RUN != 2 ] || exit 3'
served 3
all_heard | grep -Eqx "listening/READY=1/STATUS=run 1: exit status 0 after $took; 0 failed so far/STATUS=run 2: exit status 3 after $took; 1 failed so far/STATUS=run 3: exit status 0 after $took; 1 failed so far/STOPPING=1/" ||
	fail "it said: $(all_heard)"

begin 'by an abstract socket, too, and it says so at once when it is told to stop'
serve "@asynctimer-every-$$" -- 10ms sh -c 'echo run; until [ -e "$1" ]; do sleep 0.01; done' - "$work/go"
until_true [ -s "$work/out" ]
kill -TERM "$pid"
until_true heard STOPPING=1
touch "$work/go"
served 0
all_heard | grep -Eqx "listening/READY=1/STOPPING=1/STATUS=run 1: exit status 0 after $took; 0 failed so far/" ||
	fail "it said: $(all_heard)"

begin 'its command cannot speak in its place'
serve "$work/socket" WATCHDOG_USEC=3600000000 WATCHDOG_PID=1 -- -n 1 1ms env
served 0
grep -E '^(NOTIFY|WATCHDOG)' "$work/out" && fail 'it has its variables'
grep -q '^EVERY_RUN=1$' "$work/out" || fail 'it has none'

begin 'it pings the watchdog twice a period'
serve "$work/socket" WATCHDOG_USEC=200000 -- 10ms true
until_true heard WATCHDOG=1 12
kill -TERM "$pid"
served 0
# The k-th is never before k halves of the period from the start.
awk '
$2 == "listening" { begun = $1 }
$2 == "WATCHDOG=1" && $1 < begun + 0.1 * ++k { exit 1 }' "$work/said" || fail 'a ping came early'

begin "another process's watchdog gets no pings"
serve "$work/socket" WATCHDOG_USEC=2000 WATCHDOG_PID=1 -- -n 5 50ms true
served 0
heard WATCHDOG=1 && fail 'it pinged'
begin 'its own watchdog does'
listen "$work/socket"
NOTIFY_SOCKET=$work/socket WATCHDOG_USEC=20000 env --default-signal \
	sh -c 'WATCHDOG_PID=$$ exec "$@"' - "$every" 10ms true >"$work/out" 2>"$work/err" 9>&- &
pid=$!
until_true heard WATCHDOG=1 3
kill -TERM "$pid"
served 0

begin 'there are no pings while a run hangs, and they go on afterwards'
mkfifo "$work/fifo"
serve "$work/socket" WATCHDOG_USEC=100000 -- 10ms sh -c '[ ! -e "$1/hang" ] || read line <"$1/fifo"' - "$work"
until_true heard WATCHDOG=1 4
touch "$work/hang"
until_true grep -Eq '^every: run [0-9]+ hangs: no pings for the watchdog$' "$work/err"
pings=$(count WATCHDOG=1)
since=$(uptime_s)
until_true has_passed "$since" 0.5
rm "$work/hang"
echo >"$work/fifo"
until_true heard WATCHDOG=1 $((pings + 4))
kill -TERM "$pid"
served 0
said 'hangs' 1
# It hung for half a second; in all of the other time there was a ping each 50 ms.
awk '$2 == "WATCHDOG=1" { if (last && $1 - last > 0.4) gap = 1; last = $1 } END { exit !gap }' "$work/said" ||
	fail 'it pinged while the run hung'

begin 'a run that its timeout allows does not hang'
mkfifo "$work/fifo"
serve "$work/socket" WATCHDOG_USEC=100000 -- -k 1h 10ms sh -c 'read line <"$1"' - "$work/fifo"
until_true heard WATCHDOG=1 8
said 'hangs' 0
kill -TERM "$pid"
echo >"$work/fifo"
served 0

begin 'one that outlasts SIGKILL hangs'
# A tracer that is stopped keeps the end of what it traces to itself.
serve "$work/socket" WATCHDOG_USEC=100000 -- -k 2s,0s -n 1 10ms sh -c 'echo $$; exec sleep 1000'
until_true [ -s "$work/out" ]
command=$(cat "$work/out")
strace -o /dev/null -p "$command" 2>/dev/null &
tracer=$!
while kill -0 "$tracer" && ! grep -q "^TracerPid:.$tracer\$" "/proc/$command/status"; do
	sleep 0.01
done 2>/dev/null
if kill -STOP "$tracer" 2>/dev/null && ! is_gone "$command"; then
	until_true grep -q 'hangs: no pings' "$work/err"
	kill -KILL "$tracer"
else
	echo 'SKIP: one that outlasts SIGKILL: no strace, or it may not trace this'
fi
wait "$tracer" 2>/dev/null
served 124
said "timed out after $took \(SIGKILL\)\$"

begin 'a SIGTERM to all of the service is no failure'
serve "$work/socket" -- 10ms sh -c 'echo $$; exec sleep 1000'
until_true [ -s "$work/out" ]
kill -TERM "$pid" "$(cat "$work/out")"
served 0
expect failed 0

begin 'a socket that it cannot use it says so, and runs'
NOTIFY_SOCKET=nonsense "$every" -n 2 10ms echo run >"$work/out" 2>"$work/err" || fail "exit status $?"
said "^every: can't reach systemd by NOTIFY_SOCKET: Address family not supported by protocol\$"
[ "$(lines "$work/out")" = 2 ] || fail 'it did not run'
NOTIFY_SOCKET=$work/nobody "$every" -n 2 10ms echo run >"$work/out" 2>"$work/err" || fail "exit status $?"
[ "$(lines "$work/out")" = 2 ] || fail 'with nobody there it did not run'

begin 'its unit file is one that systemd takes, and hardened'
if unit_file_is_taken every; then
	if systemd-analyze security --offline=true "$work/every.service" >"$work/security" 2>&1; then
		systemd-analyze security --offline=true --threshold=20 "$work/every.service" >/dev/null ||
			fail "$(tail -n 1 "$work/security")"
	else
		echo "SKIP: how hardened it is: systemd-analyze can't tell"
	fi
fi

done_testing
