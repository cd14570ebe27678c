#!/bin/sh
# SPDX-License-Identifier: MIT
# What the library asks of the kernel for a tick that was in time: on a fixed
# schedule epoll_wait and read, and one absolute, periodic settime per start; with a
# fixed delay epoll_wait and one relative settime.
set -eu
. "${srcdir:?}/tests/support/strace.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# One line a call, by its oldest name; the clock is no system call but on odd machines.
trace()
{
	./libtool --mode=execute strace -o "$dir/raw" tests/support/traced "$1"
	sed 's/^epoll_pwait2\{0,1\}(/epoll_wait(/; s/^\([a-z_0-9]*\)64(/\1(/; /^clock_gettime(/d' \
		"$dir/raw" | sed -n '/^write(-1, "new"/,/^write(-1, "stop"/p' >"$dir/$1"
	echo "$1:"
	cat "$dir/$1"
}

# The calls from one tick to the next, by name, are those wanted. Not looked at is
# what leads to a tick after busy ones, or follows skipped ones: the expiration of
# a point that came due while it was decided about may still be taken then.
check_ticks()
{
	awk -v wanted="$2" '
		/^write\(-1, "(new|start|stop)"/ { looking = 0; next }
		/^write\(-1, "(tick|late|busy)"/ {
			if (looking && !/"busy"/) {
				checked++
				if (calls != wanted) {
					print "line " NR ": the calls to a tick were" calls ", not" wanted
					wrong++
				}
			}
			calls = ""
			looking = /"tick"/
			next
		}
		{ sub(/\(.*/, ""); calls = calls " " $0 }
		END {
			print checked + 0 " ticks in time checked"
			exit wrong ? 1 : !checked ? 77 : 0
		}' "$dir/$1"
}

count()
{
	grep -cE "$2" "$dir/$1" || :
}

trace schedule
check_ticks schedule ' epoll_wait read' || { [ $? = 77 ] && skip 'no tick was in time'; exit 1; }
armed=$(count schedule '^timerfd_settime\(')
periodic=$(count schedule '^timerfd_settime\([0-9]+, TFD_TIMER_ABSTIME, \{it_interval=\{tv_sec=0, tv_nsec=20000000\}')
overruns=$(count schedule '"busy"')
echo "fixed schedule: $armed timerfd_settime, $periodic absolute and periodic, $overruns overruns"
# An overrun that ends right at a grid point may have to arm again.
[ "$armed" -ge 1 ] && [ "$armed" -le $((1 + overruns)) ] && [ "$armed" = "$periodic" ]

trace delay
check_ticks delay ' timerfd_settime epoll_wait'
armed=$(count delay '^timerfd_settime\(')
relative=$(count delay '^timerfd_settime\([0-9]+, 0, \{it_interval=\{tv_sec=0, tv_nsec=0\}, it_value=\{tv_sec=0, tv_nsec=20000000\}')
echo "fixed delay: $armed timerfd_settime, $relative relative, once, for the interval"
# The start armed the first of 25 ticks, each completion the next.
[ "$armed" = 26 ] && [ "$relative" = 25 ]

for policy in schedule delay; do
	made=$(count $policy '^(epoll_create1?|eventfd2?|timerfd_create|open(at2?)?|socket|pipe2?|dup[23]?|memfd_create|signalfd4?|pidfd_open)\(')
	epoll=$(count $policy '^epoll_create1\(EPOLL_CLOEXEC\)')
	others=$(count $policy '^(timerfd_create|eventfd2)\(.*(FD_CLOEXEC\|.FD_NONBLOCK|FD_NONBLOCK\|.FD_CLOEXEC)\)')
	echo "$policy: $made descriptors, $epoll epoll and $others others as they should be"
	[ "$epoll" = 1 ] && [ "$others" = 2 ] && [ "$made" = 3 ]
done
