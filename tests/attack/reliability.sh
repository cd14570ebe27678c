#!/bin/sh
# SPDX-License-Identifier: MIT
# make reliability: each attack on a promise, and the planted bugs that the tests
# must find; then one table, and reliability.tsv with a line for each of its parts.
# RELIABILITY=long is the setting that the targets are meant for: hours, most of
# them for the races. TRIALS is how often each is tried with two threads; those
# with more threads than that are tried a tenth as often.
set -u
: "${srcdir:?}" "${RELIABILITY:=quick}" "${TRIALS:=10000000}"
ASYNCTIMER_TABLE=$PWD/reliability.tsv
ASYNCTIMER_SEED=${ASYNCTIMER_SEED-$(date +%s)}
export srcdir ASYNCTIMER_TABLE ASYNCTIMER_SEED
: >"$ASYNCTIMER_TABLE"
runs=2000
seconds=3
if [ "$RELIABILITY" = long ]; then
	ASYNCTIMER_LONG_TESTS=1
	ASYNCTIMER_TRIALS=$TRIALS
	CK_TIMEOUT_MULTIPLIER=1000
	export ASYNCTIMER_LONG_TESTS ASYNCTIMER_TRIALS CK_TIMEOUT_MULTIPLIER
	runs=40000
	seconds=60
fi
failed=

# attack COMMAND...: 77 says that it can't be run here.
attack()
{
	echo "== $*"
	"$@"
	case $? in
	0) ;;
	77) printf 'skipped\t%s\t1\t0\n' "${1##*/}" >>"$ASYNCTIMER_TABLE" ;;
	*) failed="$failed ${1##*/}" ;;
	esac
}

attack tests/kernel/kernel_facts
attack tests/attack/test_races
attack tests/attack/test_faults
attack "$srcdir/tests/attack/test_inject.sh"
attack tests/attack/test_steps
attack tests/attack/fuzz/replay --seed "$ASYNCTIMER_SEED" --runs $runs \
	"$srcdir"/tests/attack/fuzz/corpus/*
attack tests/attack/test_explore
attack tests/behaviour/test_virtual
attack "$srcdir/tests/unit/test_schedule_states.sh"
attack tests/attack/test_world
attack tests/attack/soak -t $seconds -s "$ASYNCTIMER_SEED"
attack "$srcdir/tests/attack/model/run"
attack "${MAKE:-make}" -s bugs

printf '\n%s setting, seed %s, %s, %s\n\n' "$RELIABILITY" "$ASYNCTIMER_SEED" "$(date +%F)" "$(uname -sr)"
sh "$srcdir/tests/attack/sum_table.sh" "$ASYNCTIMER_TABLE" || failed="$failed figures"

echo
awk -F '\t' '
	$1 !~ /^races of / { next }
	!rows++ { printf "%-38s %7s %10s %8s  %s\n", "race", "threads", "trials", "seconds", "rarest outcome" }
	{ printf "%-38s %7s %10d %8.0f  %.2f %%, %s\n", $2, substr($1, 10), $3, $5, $6, $7 }' \
	"$ASYNCTIMER_TABLE"
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
