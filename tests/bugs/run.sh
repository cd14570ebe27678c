#!/bin/sh
# SPDX-License-Identifier: MIT
# Plants the bugs, one at a time, in a copy of the tree: SOURCE is a copy to
# spoil, BUILD a folder to make. Each patch says under "Killed by:" which tests
# must fail with it; with none planted they must pass. A patch that does not
# apply, or does not build, fails the run. BUGS names some of them.
set -u
source=$(cd "$1" && pwd) || exit 99
build=$2
limit=60	# seconds a test may take before it counts as hung
killed=0
survivors=

die()
{
	echo "$*"
	exit 1
}

tests_of()
{
	sed -n 's/^Killed by: //p' "$@" | tr ' ' '\n' | sort -u
}

make_and_run()
{
	programs=
	for test in "$@"; do
		case $test in
		*.sh) programs="$programs check TESTS=" ;;
		*) programs="$programs tests/$test" ;;
		esac
	done
	# shellcheck disable=SC2086
	make -s lib/libasynctimer.la $programs >log 2>&1 || {
		cat log
		die "$name: does not build"
	}
	for test in "$@"; do
		case $test in
		*.sh) set -- env ASAN_OPTIONS=detect_leaks=0 sh "$source/tests/$test" ;;
		*) set -- "tests/$test" ;;
		esac
		timeout -k 5 $limit env srcdir="$source" "$@" >log 2>&1
		case $? in
		0 | 77) ;;
		124 | 137) by="$test, by hanging"; return 1 ;;
		*) by=$test; return 1 ;;
		esac
	done
	return 0
}

bugs=
for name in ${BUGS:-"$source"/tests/bugs/*.patch}; do
	name=${name##*/}
	bugs="$bugs ${name%.patch}"
done
rm -rf "$build"
mkdir -p "$build" && cd "$build" || exit 99
"$source/configure" -q --disable-shared CFLAGS='-g -O1 -fsanitize=address' || exit 99

name='no bug'
# shellcheck disable=SC2046
make_and_run $(for name in $bugs; do tests_of "$source/tests/bugs/$name.patch"; done | sort -u) || {
	cat log
	die "$by fails with no bug planted"
}
for name in $bugs; do
	patch=$source/tests/bugs/$name.patch
	[ -n "$(tests_of "$patch")" ] || die "$name: names no test that kills it"
	patch -s -p1 -F0 -d "$source" <"$patch" || die "$name: does not apply any more"
	# shellcheck disable=SC2046
	if make_and_run $(tests_of "$patch"); then
		echo "$name: SURVIVED"
		survivors="$survivors $name"
		violations=1
	else
		echo "$name: killed by $by"
		killed=$((killed + 1))
		violations=0
	fi
	patch -s -R -p1 -F0 -d "$source" <"$patch" || die "$name: can't be taken back"
	[ -z "${ASYNCTIMER_TABLE-}" ] || printf 'planted bugs\t%s\t1\t%s\n' "$name" $violations >>"$ASYNCTIMER_TABLE"
done
# shellcheck disable=SC2086
set -- $bugs
echo "$killed of $# planted bugs killed${survivors:+, survivors:$survivors}"
[ -z "$survivors" ]
