#!/bin/sh
# SPDX-License-Identifier: MIT
# What was compiled with the header of release 0.1 does with today's library what it did with that
# one. The examples named below are as they were then; test_examples.sh sees them compiled with
# today's header, too.
set -eu
case "${CFLAGS-}" in
*-fsanitize=* | *--coverage*)
	echo 'SKIP: the programs are linked without what the library has in it; see a plain build'
	exit 77
	;;
esac
[ -e lib/.libs/libasynctimer.so ] || { echo 'SKIP: no shared library was built'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/examples"
for program in examples/*; do
	[ ! -x "$program" ] || ln -s "$PWD/$program" "$work/examples"
done
for example in basic deferred multiple_timers schedule_policy; do
	rm "$work/examples/$example"
	# shellcheck disable=SC2086 # CC may hold flags
	${CC:?} -D_GNU_SOURCE -Wall -Wextra -Werror -pthread -I"${srcdir:?}/tests/package/release_0.1" \
		-o "$work/examples/$example" "$srcdir/examples/$example.c" lib/.libs/libasynctimer.so
done
LD_LIBRARY_PATH=$PWD/lib/.libs EXAMPLES=$work/examples sh "$srcdir/tests/package/test_examples.sh"
