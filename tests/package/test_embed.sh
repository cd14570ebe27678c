#!/bin/sh
# SPDX-License-Identifier: MIT
# In each host loop, the ticks come on their grid and the pipe is served meanwhile,
# one line after each tick. EXAMPLES: where the programs are, if not in examples.
# Of asyncio, what it adds to that is looked at, too: see asyncio_timers.py.
set -u
examples=${EXAMPLES:-examples}
interval_ns=20000000
rounds=10
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap '' PIPE
mkfifo "$work/in" "$work/out" || exit 99
failures=0
skipped=0

# Reads the program's output from 4, feeds its pipe, 3, and sets bad, if it is.
talk() {
	bad=
	last=0
	sent=0
	echoed=0
	while read -r word number due_word due <&4; do
		case "$word $due_word" in
		'tick due')
			[ "$number" -gt "$last" ] || bad="tick $number after $last"
			[ "$last" = 0 ] || [ "$due" = $((last_due + interval_ns * (number - last))) ] ||
				bad="tick $number is off the grid"
			last=$number
			last_due=$due
			if [ $sent = $echoed ] && [ $sent -lt $rounds ]; then
				sent=$((sent + 1))
				echo "line $sent" >&3
			fi
			;;
		'line ')
			echoed=$((echoed + 1))
			[ "$number" = $echoed ] || bad="line $number instead of $echoed"
			[ $echoed -lt $rounds ] || exec 3>&-
			;;
		*)
			bad="it says '$word $number $due_word $due'"
			;;
		esac
	done
	[ $echoed = $rounds ] || bad="it echoed $echoed lines of $rounds"
	[ "$last" -ge $rounds ] || bad="it ended after tick $last"
}

# check NAME [OPTION]
check() {
	if [ ! -x "$examples/$1" ]; then
		echo "SKIP: $1: configure did not find the library it embeds the reactor in"
		skipped=$((skipped + 1))
		return
	fi
	name=$1
	shift
	timeout 60 "$examples/$name" "$@" <"$work/in" >"$work/out" 2>"$work/err" &
	exec 3>"$work/in" 4<"$work/out"
	talk
	wait $!
	status=$?
	exec 3>&- 4<&-
	[ $status = 0 ] || bad="exit status $status"
	[ -s "$work/err" ] && bad='it wrote to stderr'
	if [ -z "$bad" ]; then
		echo "ok: $name $*"
		return
	fi
	echo "FAILED: $name $*: $bad"
	cat "$work/err"
	failures=$((failures + 1))
}

check embed_poll
check embed_epoll
check embed_epoll -e
check embed_glib
check embed_libev
check embed_libevent
check embed_libuv
check embed_sdevent

# Python loads the shared library of this build.
LD_LIBRARY_PATH=$PWD/lib/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
PYTHONDONTWRITEBYTECODE=yes
export LD_LIBRARY_PATH PYTHONDONTWRITEBYTECODE
missing=
[ -e lib/.libs/libasynctimer.so.0 ] || missing='no shared library was built'
python3 -c 'import asyncio, ctypes' 2>/dev/null || missing='there is no python3 with asyncio and ctypes'
case "${CFLAGS-}" in
*-fsanitize*) missing='what a sanitizer needs would have to be there before python3' ;;
esac
if [ "$missing" ]; then
	echo "SKIP: embed_asyncio.py: $missing"
	skipped=$((skipped + 1))
else
	examples=${srcdir:?}/examples
	check embed_asyncio.py
	check embed_asyncio.py -a
	timeout 60 python3 "$srcdir/tests/package/asyncio_timers.py" "$examples" ||
		failures=$((failures + 1))
fi

[ $failures = 0 ] || exit 1
[ $skipped = 0 ] || exit 77
