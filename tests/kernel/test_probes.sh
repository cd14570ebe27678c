#!/bin/sh
# SPDX-License-Identifier: MIT
# The library has the probes that asynctimer(7) lists, and bpftrace sees in them
# what the public interface says of the same ticks; so do the scripts in examples.
# PROBES: yes if configure found that they can be built.
set -eu
library=lib/.libs/libasynctimer.so
dir=$(mktemp -d)
probed=
tracer=
trap 'kill $probed $tracer 2>/dev/null || :; rm -rf "$dir"' EXIT

skip()
{
	echo "SKIP: $*"
	exit 77
}

fail()
{
	echo "FAILED: $*"
	exit 1
}

# wait_for SECONDS COMMAND...: false if it does not come true.
wait_for()
{
	tries=$((10 * $1))
	shift
	until "$@"; do
		[ $((tries -= 1)) -gt 0 ] || return 1
		sleep 0.1
	done
}

[ "${PROBES:?}" = yes ] || skip 'the library was configured without probes'
[ -e $library ] || skip 'no shared library was built'

# From asynctimer(7): the probe in bold, its arguments in italics.
sed -n 's/^\.BI "\([a-z_]*\)(" \(.*\) )$/\1 \2/p' "${srcdir:?}/man/asynctimer.7" |
	awk '{ n = 1 + gsub(/", "/, ""); print $1, n }' | sort >"$dir/documented"
[ "$(wc -l <"$dir/documented")" = 5 ]
readelf -n $library | awk '
	$1 == "Provider:" { provider = $2 }
	$1 == "Name:" { name = $2 }
	/Semaphore: 0x0*$/ { name = name " without semaphore" }
	$1 == "Arguments:" { if (provider == "asynctimer") print name, gsub(/@/, "") }' |
	sort -u >"$dir/built"
echo 'probes and how many arguments, documented (-) and built (+):'
diff -u "$dir/documented" "$dir/built"

command -v bpftrace >/dev/null || skip 'the probes are there; bpftrace is not, to see them fire'
[ "$(id -u)" = 0 ] || skip 'the probes are there; only root can see them fire'

tests/kernel/probed >"$dir/expected" &
probed=$!
wait_for 30 grep -qx end "$dir/expected" || fail 'no cycle of events'
sed -i '/^end$/d' "$dir/expected"

# trace SCRIPT SECONDS COMMAND...: traces the program until the command is true of the output.
trace()
{
	script=$1
	: >"$dir/out"
	bpftrace -B none -p $probed "$script" >"$dir/out" 2>"$dir/err" &
	tracer=$!
	shift
	wait_for "$@" || traced_all=no
	kill -INT $tracer 2>/dev/null || :
	wait $tracer || :
	tracer=
}

has_lines()
{
	[ "$(wc -l <"$dir/out")" -ge "$1" ]
}

# Where this can't be traced the probes can't either.
cat >"$dir/able.bt" <<END
uprobe:$PWD/$library:asynctimer_complete { printf("called\n"); }
END
traced_all=yes
trace "$dir/able.bt" 30 has_lines 2
if [ $traced_all = no ]; then
	cat "$dir/err"
	skip 'the probes are there; bpftrace sees no function of the library called here'
fi

# Each probe's arguments, in full, over whole cycles.
cat >"$dir/all.bt" <<'END'
usdt:*:asynctimer:start { printf("0x%lx start [%s] %lu %lu\n", arg0, str(arg1), arg2, arg3); }
usdt:*:asynctimer:stop { printf("0x%lx stop [%s]\n", arg0, str(arg1)); }
usdt:*:asynctimer:skip { printf("0x%lx skip [%s] %lu %lu %lu\n", arg0, str(arg1), arg2, arg3, arg4); }
usdt:*:asynctimer:tick_start { printf("0x%lx tick_start [%s] %lu %lu %lu %lu\n", arg0, str(arg1), arg2, arg3, arg4, arg5); }
usdt:*:asynctimer:tick_end { printf("0x%lx tick_end [%s] %lu %lu\n", arg0, str(arg1), arg2, arg3); }
END
lines=$(wc -l <"$dir/expected")
trace "$dir/all.bt" 60 has_lines $((20 * lines))
[ $traced_all = yes ] || { cat "$dir/err"; fail "too few events in a minute: $(wc -l <"$dir/out")"; }
# The first event of a cycle, from which on an odd timer's name is its address.
awk -v lines="$lines" -v dir="$dir" '
	!/^0x/ { next }
	{ address = $1; sub(/^[^ ]* /, "") }
	$2 == "[" address "]" { $2 = "[itself]" }
	$0 == "start [busy] 100000000 100000000" { cycle++ }
	cycle > 5 && cycle <= 15 { print >(dir "/cycle." cycle) }' "$dir/out"
for cycle in 6 7 8 9 10 11 12 13 14 15; do
	echo "events of cycle $cycle by the program (-) and by the probes (+):"
	diff -u "$dir/expected" "$dir/cycle.$cycle"
done

# ends_after NAME: the script in examples, with an end.
ends_after()
{
	cat "$srcdir/examples/$1.bt"
	echo 'usdt:*:asynctimer:tick_end { @ticks++; if (@ticks > 200) { exit(); } }'
}

has_ended()
{
	! kill -0 "$tracer" 2>/dev/null
}

run_example()
{
	ends_after "$1" >"$dir/$1.bt"
	trace "$dir/$1.bt" 60 has_ended
	cat "$dir/err" "$dir/out"
	[ $traced_all = yes ] || fail "$1.bt does not end"
}

# "busy" is late by 7 ns at most, the one without a name by 20, 50 or 80 ms, or not; each time
# because of another callback.
run_example lateness
awk '
	/^@/ { name = $1; rows[name] = 0 }
	/^\[.*\|$/ { rows[name]++; counts[name $1] = /^\[0\]/ ? $2 : $3 }
	END {
		exit !(rows["@behind_us[busy]:"] == 1 && counts["@behind_us[busy]:[0]"] > 0 &&
		       rows["@behind_us[]:"] == 18 && counts["@behind_us[]:[0]"] > 0 &&
		       counts["@behind_us[]:[8K,"] == 0 && counts["@behind_us[]:[16K,"] > 0 &&
		       counts["@behind_us[]:[32K,"] > 0 && counts["@behind_us[]:[64K,"] > 0 &&
		       rows["@kernel_us[busy]:"] == 1 && counts["@kernel_us[busy]:[0]"] > 0 &&
		       rows["@kernel_us[]:"] == 1 && counts["@kernel_us[]:[0]"] > 0)
	}' "$dir/out" || fail 'lateness.bt: another lateness than there was'

# "busy" is only skipped busy, the one without a name only late.
run_example skips
awk '
	/^@.*\]: / { value[$1] = $2 }
	END {
		exit !(value["@skipped_busy[busy]:"] > 0 && value["@skipped_late[busy]:"] == 0 &&
		       value["@skipped_busy[]:"] == 0 && value["@skipped_late[]:"] > 0 &&
		       value["@callbacks[busy]:"] > 0 && value["@callbacks[]:"] > 0 &&
		       value["@longest_us[busy]:"] == 250000 && value["@longest_us[]:"] == 0)
	}' "$dir/out" || fail 'skips.bt: other skips than there were'
