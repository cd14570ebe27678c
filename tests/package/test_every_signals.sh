#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/every and signals: how it is ended, and how it ends a run that takes too
# long. On a real terminal, too, and as the first process of a container.
# shellcheck disable=SC2016 # the dollars in single quotes are COMMAND's
# shellcheck source=tests/package/every.sh
. "${srcdir:?}/tests/package/every.sh"

for signal in TERM INT HUP QUIT; do
	begin "SIG$signal lets the running command end"
	launch 10ms sh -c 'echo begun; until [ -e "$1/go" ]; do sleep 0.01; done; sleep 0.05; echo done' \
		- "$work"
	until_true grep -q begun "$work/out"
	taken $signal
	touch "$work/go"
	ends 0
	[ "$(tr '\n' ' ' <"$work/out")" = 'begun done ' ] ||
		fail "the command said: $(tr '\n' ' ' <"$work/out")"
	expect runs 1
	expect failed 0
done

begin 'SIGTERM with no command running ends it at once'
launch -v -i 1h true
until_true grep -q 'run 1 ended' "$work/err"
finish TERM
expect runs 1
expect failed 0

begin 'a signal to all processes is no failure'
for signal in TERM HUP INT QUIT; do
	launch 10ms sh -c 'echo $$; exec sleep 1000'
	until_true [ -s "$work/out" ]
	taken $signal
	kill -$signal "$(cat "$work/out")"
	ends 0
	expect runs 1
	expect failed 0
	[ "$(lines "$work/err")" = 1 ] || fail 'it says more than the summary'
done
# As a shell has it whose command was ended.
launch 10ms sh -c 'trap "exit 143" TERM; echo $$; while :; do sleep 0.01; done'
until_true [ -s "$work/out" ]
taken TERM
kill -TERM "$(cat "$work/out")"
ends 0
expect failed 0
# Whatever else it does is one.
launch 10ms sh -c 'trap "exit 3" TERM; echo $$; while :; do sleep 0.01; done'
until_true [ -s "$work/out" ]
taken TERM
kill -TERM "$(cat "$work/out")"
ends 3
expect failed 1

begin 'a second signal goes to the command'
for signal in TERM HUP INT; do
	launch 10ms sh -c 'trap "echo felt; exit 0" $1; echo begun; while :; do sleep 0.01; done' - $signal
	until_true grep -q begun "$work/out"
	taken $signal
	finish $signal
	[ "$(tr '\n' ' ' <"$work/out")" = 'begun felt ' ] ||
		fail "the command said: $(tr '\n' ' ' <"$work/out")"
	expect failed 0
done

begin 'and leaves nothing running, where there is no terminal'
# A child that needs its time, one that leaves the command to end first.
: >"$work/out"
env --default-signal setsid "$every" 10ms sh -c 'sh -c "trap \"sleep 0.2; echo child; exit\" TERM
	echo \$\$; while :; do sleep 0.01; done" & wait' >"$work/out" 2>"$work/err" &
pid=$!
until_true [ -s "$work/out" ]
child=$(cat "$work/out")
taken TERM
finish TERM
[ "$(tail -n 1 "$work/out")" = child ] || fail 'it did not wait for the child of the command'
is_gone "$child" || fail 'a child of the command is left'
expect failed 0

begin 'signals that it was started to ignore it ignores, as does the command'
(
	trap '' INT HUP
	exec "$every" 10ms sh -c 'kill -INT $$; kill -HUP $$; echo lives; until [ -e "$1" ]; do sleep 0.01; done' \
		- "$work/go"
) >"$work/out" 2>"$work/err" &
pid=$!
until_true grep -q lives "$work/out"
kill -HUP "$pid"
kill -INT "$pid"
touch "$work/go"
until_true lines_are_least 3 "$work/out"
finish TERM
expect failed 0

begin 'a signal is felt while nobody reads its log'
mkfifo "$work/log"
exec 7<>"$work/log"
dd if=/dev/zero of="$work/log" oflag=nonblock bs=512 2>/dev/null
: >"$work/out"
env --default-signal "$every" -v 10ms echo run >"$work/out" 2>"$work/log" &
pid=$!
until_true [ -s "$work/out" ]
finish TERM
exec 7>&-

begin 'what its command leaves behind is reaped'
launch 20ms sh -c '(sleep 0.01; exit 3) & (true & exec sleep 0.01) & echo run'
until_true lines_are_least 8 "$work/out"
# zombies: how many children of it have ended and are still there.
zombies() {
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v parent="$pid" '
		{ sub(/.*\) /, ""); if ($1 == "Z" && $2 == parent) count++ } END { print count + 0 }'
}
no_zombies() {
	[ "$(zombies)" = 0 ]
}
kill -0 "$pid" && until_true no_zombies
finish TERM
expect failed 0

begin 'it is a good first process of a container'
if unshare --pid --fork --mount-proc true 2>"$work/err"; then
	echo '"$@" & until [ -s "$RUNS" ] && [ "$(wc -l <"$RUNS")" -ge 8 ]; do sleep 0.01; done
		until ! grep -q "^State:.Z" /proc/[0-9]*/status; do sleep 0.01; done
		kill -TERM 1; wait' >"$work/sh"
	export RUNS="$work/runs"
	: >"$RUNS"
	unshare --pid --fork --mount-proc "$every" -v 20ms sh -c '[ -e "$RUNS.helper" ] || {
		: >"$RUNS.helper"
		setsid sh -c "until [ \$(wc -l <\"\$RUNS\") -ge 8 ]; do sleep 0.01; done
			(sleep 0.01 & exit) ; sleep 0.05
			grep -l \"^State:.Z\" /proc/[0-9]*/status >\"\$RUNS.zombies\"
			kill -TERM 1" >/dev/null 2>&1 &
	}; (sleep 0.01 & exit); echo $PPID >>"$RUNS"' >"$work/out" 2>"$work/err" &
	pid=$!
	ends 0
	[ "$(sort -u "$RUNS")" = 1 ] || fail 'it is not the first process'
	[ -e "$RUNS.zombies" ] || fail 'it ended too early'
	expect failed 0
else
	echo 'SKIP: the first process of a container: unshare may make none'
fi

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
over_its_timeout() {
	before=$(uptime_s)
	run_to 124 -k $((200 * $1))ms -n 2 10ms sh -c 'trap "cut -d \" \" -f 1 /proc/uptime; exit 0" TERM
		while :; do sleep 0.01; done'
	expect failed 2
	[ "$(lines "$work/out")" = 2 ] || fail 'not two SIGTERMs'
	awk -v before="$before" -v times="$1" '$1 < before + 0.2 * times * NR - 0.0101 { exit 1 }' "$work/out" ||
		fail "$((200 * $1)) ms a run from $before: $(tr '\n' ' ' <"$work/out")"
	said "^every: run [12] failed: timed out after $took \(SIGTERM\)\$" 2
}
given_time over_its_timeout

begin 'a run that ignores SIGTERM gets SIGKILL a timeout later'
ignores_sigterm() {
	before=$(uptime_s)
	run_to 124 -k $((150 * $1))ms -n 1 10ms sh -c 'trap "echo asked" TERM; while :; do sleep 0.01; done'
	after=$(uptime_s)
	expect failed 1
	[ "$(cat "$work/out")" = asked ] || fail 'it got no SIGTERM'
	awk "BEGIN { exit $after < $before + 0.3 * $1 - 0.0101 }" || fail "all from $before to $after"
	said "^every: run 1 failed: timed out after $took \(SIGKILL\)\$"
}
given_time ignores_sigterm

begin 'or the grace that it is given later'
has_grace() {
	before=$(uptime_s)
	run_to 124 -k $((10 * $1))ms,300ms -n 1 10ms sh -c 'trap "echo asked" TERM; while :; do sleep 0.01; done'
	[ "$(cat "$work/out")" = asked ] || fail 'it got no SIGTERM'
	has_passed "$before" 0.2999 || fail "from $before to $(uptime_s)"
	run_to 124 -k $((10 * $1))ms,1h -n 1 10ms sh -c 'trap "sleep 0.2; echo asked; exit" TERM
		while :; do sleep 0.01; done'
	[ "$(cat "$work/out")" = asked ] || fail 'it had no time to end'
	said 'SIGKILL' 0
	# Long before the timeout would be over again.
	run_to 124 -k $((100 * $1))ms,0s -n 1 10ms sh -c 'trap "" TERM; while :; do sleep 0.01; done'
	said "^every: run 1 failed: timed out after $took \(SIGKILL\)\$"
}
given_time has_grace

begin 'SIGKILL is a timeout after SIGTERM even if that was late'
before=$(uptime_s)
launch -k 500ms -n 1 10ms sh -c 'trap "" TERM; echo begun; while :; do sleep 0.01; done'
until_true [ -s "$work/out" ]
kill -STOP "$pid"
until_true is_stopped "$pid"
stopped=$(uptime_s)
until has_passed "$stopped" 0.8; do sleep 0.01; done
asked=$(uptime_s)
kill -CONT "$pid"
ends 124
if awk "BEGIN { exit $stopped > $before + 0.48 }"; then
	has_passed "$asked" 0.4899 || fail "asked after $asked, ended by $(uptime_s)"
else
	echo 'SKIP: SIGKILL after a late SIGTERM: this machine is too slow to have one late'
fi

begin 'a run that has ended in time did not time out, however late that is noted'
launch -k 1s -n 1 10ms sh -c 'echo $$; until [ -e "$1" ]; do sleep 0.01; done' - "$work/go"
begun=$(uptime_s)
until_true [ -s "$work/out" ]
kill -STOP "$pid"
until_true is_stopped "$pid"
stopped=$(uptime_s)
touch "$work/go"
until is_gone "$(cat "$work/out")"; do sleep 0.01; done
kill -HUP "$pid"
kill -TERM "$pid"
until has_passed "$stopped" 1.1; do sleep 0.01; done
kill -CONT "$pid"
wait "$pid"
status=$?
pid=
if awk "BEGIN { exit $stopped > $begun + 0.9 }"; then
	[ "$status" = 0 ] || fail "exit status $status"
	expect failed 0
else
	echo 'SKIP: a run that has ended in time: this machine is too slow'
fi

begin 'a timeout reaches what the command has started'
has_a_child() {
	run_to 124 -k $((100 * $1))ms -n 1 10ms sh -c 'trap : TERM
		sh -c "trap \"echo child; exit\" TERM; while :; do sleep 0.01; done" &
		wait; wait'
	[ "$(cat "$work/out")" = child ] || fail 'its child got no SIGTERM'
}
given_time has_a_child

begin 'and nothing of that is left, also if the command is the first to end'
ends_before_its_child() {
	run_to 124 -k $((100 * $1))ms -n 1 10ms sh -c 'sh -c "trap \"\" TERM; echo \$\$
		while :; do sleep 0.01; done" & wait'
	is_gone "$(cat "$work/out")" || fail 'a child of the command is left'
	said '\(SIGKILL\)$'
	run_to 124 -k $((100 * $1))ms,1h -n 1 10ms sh -c 'sh -c "trap \"sleep 0.2; echo child; exit\" TERM
		while :; do sleep 0.01; done" & wait'
	[ "$(cat "$work/out")" = child ] || fail 'its child had no time to end'
	said '\(SIGTERM\)$'
}
given_time ends_before_its_child

begin 'a timeout reaches a command that has left its process group'
left_its_group() {
	run_to 124 -k $((100 * $1))ms -n 1 10ms perl -e 'setpgrp(0, getpgrp(getppid)) or die;
		$SIG{TERM} = sub { syswrite(STDOUT, "asked\n"); exit };
		sleep 1 while 1'
	[ "$(cat "$work/out")" = asked ] || fail 'it got no SIGTERM'
}
# A child that ignores SIGTERM, whose parent has left the group and does not wait for it.
is_not_waited_for() {
	run_to 124 -k $((200 * $1))ms -n 1 10ms perl -e 'use POSIX;
		if (!fork) {
			if (!fork) {
				$SIG{TERM} = "IGNORE";
				sleep 1 while 1;
			}
			setsid;
			syswrite(STDOUT, "$$\n");
			sleep 1 while 1;
		}
		sleep 1 while 1'
	said "timed out after $took \(SIGKILL\)\$"
	kill -KILL "$(cat "$work/out")" 2>/dev/null || fail 'one that has left the group is gone'
}
if command -v perl >/dev/null; then
	given_time left_its_group
	begin 'and is over after SIGKILL, whoever waits for what was killed'
	given_time is_not_waited_for
else
	echo 'SKIP: a command that has left its process group: no perl'
fi

begin 'a timeout reaches a command that is stopped'
is_stopped_by_itself() {
	run_to 124 -k $((100 * $1))ms,1h -n 1 10ms sh -c 'trap "echo asked; exit" TERM
		kill -STOP $$; while :; do sleep 0.01; done'
	[ "$(cat "$work/out")" = asked ] || fail 'it did not feel SIGTERM'
}
given_time is_stopped_by_itself

begin 'a timeout ends a run after the last tick, too, and after SIGTERM'
launch -k 300ms 10ms sh -c 'echo begun; while :; do sleep 0.01; done'
until_true grep -q begun "$work/out"
finish TERM 124
expect runs 1

# on_terminal COMMAND [FILE]: by sh, on a terminal on which ^C is typed when $work/begun is there, and
# again when FILE is. What both write comes together, lines end in CR LF.
on_terminal() {
	{
		until [ -e "$work/begun" ]; do sleep 0.01; done
		printf '\003'
		if [ $# = 2 ]; then
			until [ -e "$2" ]; do sleep 0.01; done
			printf '\003'
		fi
	} | env --default-signal script -qec "$1" /dev/null >"$work/terminal" 2>&1
	status=$?
	tr -d '\r' <"$work/terminal" | sed 's/\^C//g' >"$work/err"
}

if ! script -qec true /dev/null </dev/null >/dev/null 2>&1; then
	echo 'SKIP: on a terminal: no script(1)'
	done_testing
	exit
fi

begin "the terminal's interrupt is no failure"
echo ': >"$1"; exec sleep 1000' >"$work/sh"
on_terminal "exec '$every' 1ms sh '$work/sh' '$work/begun'"
[ "$status" = 0 ] || fail "exit status $status, not 0"
expect runs 1
expect failed 0
rm "$work/begun"
on_terminal "exec '$every' -k 1h 1ms sh '$work/sh' '$work/begun'"
[ "$status" = 0 ] || fail "exit status $status, not 0, with a timeout"
expect failed 0

begin "the terminal's interrupt reaches a command with a timeout"
echo 'trap "echo interrupted; exit 3" INT
	: >"$1"; while :; do sleep 0.01; done' >"$work/sh"
on_terminal "exec '$every' -n 1 -k 1h 1ms sh '$work/sh' '$work/begun'"
[ "$status" = 3 ] || fail "exit status $status, not 3"
grep -q interrupted "$work/err" || fail 'it was not interrupted'

begin "each of the terminal's interrupts is felt once"
for options in '' '-k 1h'; do
	rm -f "$work/begun" "$work/again" "$work/pid" "$work/terminal"
	echo 'trap "echo interrupted; : >\"$2\"" INT; trap "exit 0" TERM
		: >"$1"; while :; do :; done' >"$work/sh"
	# Who ends it has seen what came of the second one, which is typed once there is the first.
	{
		until [ -e "$work/again" ]; do sleep 0.01; done
		rm "$work/again"
		: >"$work/second"
		until [ -e "$work/again" ]; do sleep 0.01; done
		until grep -q '^ShdPnd:.0*$' "/proc/$(cat "$work/pid")/status"; do sleep 0.01; done
		kill -TERM "$(cat "$work/pid")"
	} &
	on_terminal "echo \$\$ >'$work/pid'; exec '$every' $options 1ms sh '$work/sh' '$work/begun' '$work/again'" \
		"$work/second"
	wait
	[ "$status" = 0 ] || fail "exit status $status, not 0, with: $options"
	[ "$(grep -c interrupted "$work/err")" = 2 ] || fail "not felt twice, with: $options"
	rm "$work/second"
done

begin 'a command reads from the terminal, unless it has a timeout'
echo 'read line </dev/tty && echo "got $line"' >"$work/sh"
echo typed | env --default-signal script -qec "exec '$every' -n 1 1ms sh '$work/sh'" /dev/null >"$work/err"
grep -q 'got typed' "$work/err" || fail 'it could not'

begin 'a terminal that goes away ends it and its command'
for options in '' '-k 1h'; do
	rm -f "$work/pids"
	echo 'echo $$ $PPID >"$1"; exec sleep 1000' >"$work/sh"
	mkfifo "$work/typing"
	env --default-signal script -qec "exec '$every' $options 1ms sh '$work/sh' '$work/pids'" /dev/null \
		<"$work/typing" >"$work/err" 2>&1 &
	pid=$!
	exec 8>"$work/typing"
	rm "$work/typing"
	until_true [ -s "$work/pids" ]
	read -r command_pid every_pid <"$work/pids"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	pid=
	until is_gone "$command_pid" && is_gone "$every_pid"; do sleep 0.01; done
	exec 8>&-
done

done_testing
