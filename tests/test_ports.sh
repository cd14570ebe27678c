#!/bin/sh
# SPDX-License-Identifier: MIT
# The library builds without a warning for musl, static, and for 32 bits with a
# 64-bit time, and passes the unit tests there. Check isn't there for these:
# tests/ports/ stands in for it.
# PORT_TESTS=all: the slower unit tests too.
# PORTS: "musl" or "32-bit", or nothing, if not both.
set -eu
PORTS=${PORTS-musl 32-bit}
[ "$PORTS" ] || { echo 'SKIP: PORTS is empty'; exit 77; }
case "${CFLAGS-}" in
*-fsanitize=* | *--coverage*)
	echo 'SKIP: the ports are builds of their own; see a build without sanitizers'
	exit 77
	;;
esac
build=$PWD
srcdir=$(cd "${srcdir:?}" && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
. "$srcdir/tests/fresh_build.sh"
unset ASYNCTIMER_LONG_TESTS
status=0
tests='batch deferred errors fork lifetime queue schedule shared slab slots stop virtual'
[ "${PORT_TESTS-}" != all ] || tests="$tests kernel policy reactor states threads"
programs=
for test in $tests; do
	programs="$programs tests/test_$test"
done
scripts='tests/test_embed.sh tests/test_every.sh tests/test_examples.sh tests/test_fuzz.sh
	tests/test_version.sh'

# can_run CC FLAG...
can_run()
{
	echo '#include <time.h>' >"$work/try.c"
	echo 'int main(void) { return sizeof(time_t) < 8; }' >>"$work/try.c"
	"$@" -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 -o "$work/try" "$work/try.c" 2>"$work/try.log" &&
		"$work/try"
}

# Those that wrap munmap would, if static, see the C library's own calls too.
make_and_check()
{
	make -s CFLAGS='-g -O2 -Werror' LDFLAGS="$1" lib/libasynctimer.la
	set -- "$1" CFLAGS='-g -O1 -Werror' check_PROGRAMS="$programs tests/fuzz/replay tests/print_version"
	make -s "$2" tests/test_errors tests/test_shared
	make -s -k "$2" "$3" LDFLAGS="$1" TESTS="$programs $scripts" check
}

# port NAME LDFLAGS CC FLAG...
port()
{
	name=$1
	ldflags=$2
	shift 2
	case " $PORTS " in
	*" $name "*) ;;
	*) return 0 ;;
	esac
	if ! can_run "$@"; then
		echo "SKIP: $name: $* makes no program that runs here, with a 64-bit time_t"
		[ $status != 0 ] || status=77
		return 0
	fi
	mkdir "$work/$name"
	cd "$work/$name"
	"$@" -Wall -Wextra -Werror -D_GNU_SOURCE -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 -c \
		"$srcdir/tests/ports/check.c"
	ar rc libcheck.a check.o
	# What pkg-config knows are this machine's libraries.
	fresh_build --disable-shared --enable-static PKG_CONFIG=false CC="$*" \
		CHECK_CFLAGS="-I$srcdir/tests/ports" CHECK_LIBS="$PWD/libcheck.a"
	if make_and_check "$ldflags" >make.log 2>&1 && ! grep -i 'warning:' make.log; then
		echo "ok: $name"
	else
		echo "FAILED: $name"
		cat make.log
		status=1
	fi
	cat tests/*.log 2>/dev/null | sed -n "s/^\([0-9]*%: Checks: \|SKIP: \)/$name: \1/p"
	grep -E '^# (TOTAL|PASS|SKIP|FAIL|ERROR): ' make.log | sed "s/^#/$name:/"
}

port musl -all-static musl-gcc
for cc in "${CC:-gcc} -m32" 'gcc -m32' i686-linux-gnu-gcc; do
	# shellcheck disable=SC2086 # it holds a flag
	! can_run $cc || break
done
# shellcheck disable=SC2086
port 32-bit '' $cc
exit $status
