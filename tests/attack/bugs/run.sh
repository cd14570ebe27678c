#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh SOURCE BUILD: plants the bugs, one at a time, in copies of the tree
# SOURCE, which are made in the folder BUILD, one for each processor. A patch says
# under "Killed by:" which tests must fail with it; without it they must pass. One
# that does not apply or does not build fails the run. BUGS names some of them to
# be planted; that they apply is asked of all. CLOCK_TESTS are those that set the clock.
set -u
: "${CLOCK_TESTS?}"
limit=300 # seconds, after which a test with no bug planted has failed

die()
{
	echo "$*"
	exit 1
}

tests_of()
{
	sed -n 's/^Killed by: //p' "$@" | tr ' ' '\n' | sort -u
}

# With a bug planted it counts as hung after several times what it took without.
limit_of()
{
	[ ! -e "$1.took" ] || limit=$((10 + 5 * $(cat "$1.took")))
}

# make_and_run NAME TEST...: whether all pass; if not, $by says which did not. While a
# test sets the clock, none that reads it runs elsewhere.
make_and_run()
{
	name=$1
	shift
	targets=lib/libasynctimer.la
	for test; do
		case $test in
		*.sh) targets="$targets check TESTS=" ;;
		*) targets="$targets tests/$test" ;;
		esac
	done
	# shellcheck disable=SC2086
	make -s $targets >log 2>&1 || {
		cat log
		die "$name: does not build"
	}
	for test; do
		limit_of "tests/$test"
		began=$(date +%s)
		case " $CLOCK_TESTS " in
		*" tests/$test "*) clock_use=-x ;;
		*) clock_use=-s ;;
		esac
		case $test in
		*.sh) set -- env ASAN_OPTIONS=detect_leaks=0 sh "$source/tests/$test" ;;
		*) set -- "tests/$test" ;;
		esac
		flock $clock_use "$clock" timeout -k 5 $limit env srcdir="$source" "$@" >log 2>&1
		case $? in
		0 | 77) ;;
		124 | 137) by="$test, by hanging"; return 1 ;;
		*) by=$test; return 1 ;;
		esac
		[ -e "tests/$test.took" ] || echo $(($(date +%s) - began)) >"tests/$test.took"
	done
}

# worker FOLDER BUG...
worker()
{
	source=$1/source
	cp -R "$original" "$source"
	mkdir "$1/build"
	cd "$1/build" || exit 99
	shift
	"$source/configure" -q --disable-shared CFLAGS='-g -O1 -fsanitize=address' || exit 99
	# shellcheck disable=SC2046
	make_and_run 'no bug' $(for bug; do tests_of "$source/tests/attack/bugs/$bug.patch"; done | sort -u) || {
		cat log
		die "$by fails with no bug planted"
	}
	for bug; do
		patch=$source/tests/attack/bugs/$bug.patch
		planted=$(date +%s)
		patch -s -p1 -F0 -d "$source" <"$patch" || exit 99
		# shellcheck disable=SC2046
		if make_and_run "$bug" $(tests_of "$patch"); then
			echo "$bug: SURVIVED"
		else
			echo "$bug: killed by $by, after $(($(date +%s) - planted)) s"
		fi
		patch -s -R -p1 -F0 -d "$source" <"$patch" || die "$bug: can't be taken back"
	done
}

original=$(cd "$1" && pwd) || exit 99
for patch in "$original"/tests/attack/bugs/*.patch; do
	patch -s -p1 -F0 --dry-run -d "$original" <"$patch" || die "$patch: does not apply any more"
done
rm -rf "$2"
mkdir -p "$2"
cd "$2" || exit 99
clock=$PWD/clock
: >clock
workers=$(nproc)
for i in $(seq "$workers"); do
	mkdir "$i"
done
count=0
for bug in ${BUGS:-"$original"/tests/attack/bugs/*.patch}; do
	bug=${bug##*/}
	bug=${bug%.patch}
	[ -n "$(tests_of "$original/tests/attack/bugs/$bug.patch")" ] || die "$bug: names no test that kills it"
	echo "$bug" >>$((count % workers + 1))/bugs
	count=$((count + 1))
done
for i in $(seq "$workers"); do
	# shellcheck disable=SC2046
	[ ! -f "$i/bugs" ] || worker "$PWD/$i" $(cat "$i/bugs") >"$i/log" 2>&1 &
done
wait
cat ./*/log
killed=$(cat ./*/log | grep -c ': killed by ')
[ -z "${ASYNCTIMER_TABLE-}" ] ||
	printf 'planted bugs\tkilled\t%s\t%s\n' "$killed" $((count - killed)) >>"$ASYNCTIMER_TABLE"
echo "$killed of $count planted bugs killed"
[ "$killed" = "$count" ]
