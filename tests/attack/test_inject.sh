#!/bin/sh
# SPDX-License-Identifier: MIT
# Faults from outside, on the library as it is installed: strace makes a system
# call of a run of tests/support/traced fail, the first, the second, ... The program ends
# with its 25 ticks, or by an error that it was told of, and never hangs or crashes.
set -eu
. "${srcdir:?}/tests/support/strace.sh"
strace -o /dev/null -e trace=close -e inject=close:error=EIO:when=60000 true ||
	skip 'this strace can not inject'
# The program behind libtool's script, found once: $1 from here on.
[ $# = 1 ] || exec ./libtool --mode=execute sh "$0" tests/support/traced
program=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
injected=0
violations=0

# One run: a system call fails, as said by the rest. May the program fail by it?
# False if the call was not reached.
run()
{
	policy=$1 may_fail=$2 call=$3 how=$4
	shift 4
	status=0
	timeout 20 strace -o "$dir/trace" -e "trace=$call" \
		-e "inject=$call:$how" "$@" "$program" "$policy" 1 || status=$?
	grep -q '(INJECTED)' "$dir/trace" || return 1
	injected=$((injected + 1))
	# 0 is 25 ticks, 1 an error that was returned.
	[ $status = 0 ] || { [ $status = 1 ] && [ "$may_fail" = yes ]; } || {
		echo "$policy: $call:$how: status $status"
		violations=$((violations + 1))
	}
}

# Each of the first so many calls fails, once.
each()
{
	for policy in schedule delay; do
		at=1
		while [ $at -le "$4" ] && run $policy "$1" "$2" "$3:when=$at"; do
			at=$((at + 1))
		done
	done
}

for error in EMFILE ENOMEM; do
	each yes epoll_create1 error=$error 2
	each yes eventfd2 error=$error 2
	each yes timerfd_create error=$error 2
done
each yes epoll_ctl error=ENOSPC 3
# The first is start's, which says so; what fails later is tried again.
for error in EINVAL EPERM; do
	each yes timerfd_settime error=$error 1
	for when in 2 3..7 5+3; do
		run delay no timerfd_settime error=$error:when=$when || :
	done
done
# Only of timerfds: the dynamic loader reads too.
for error in EAGAIN EINTR EIO; do
	for policy in schedule delay; do
		for when in 1 2+2; do
			run $policy no read error=$error:when=$when -P 'anon_inode:[timerfd]' || :
		done
	done
done
# It has other names elsewhere.
for call in epoll_wait epoll_pwait epoll_pwait2; do
	each no "$call" error=EINTR 4
	each yes "$call" error=EBADF 3
	for policy in schedule delay; do
		run $policy no "$call" error=EINTR:when=2+2 || :
	done
done

echo "$injected faults injected, $violations violations"
if [ -n "${ASYNCTIMER_TABLE-}" ]; then
	printf 'faults\tstrace\t%d\t%d\n' "$injected" "$violations" >>"$ASYNCTIMER_TABLE"
fi
[ "$injected" -ge 30 ] && [ "$violations" = 0 ]
