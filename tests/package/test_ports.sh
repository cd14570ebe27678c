#!/bin/sh
# SPDX-License-Identifier: MIT
# The library builds without a warning for musl, static, and for 32 bits with a
# 64-bit time, and passes the unit tests there; and, if asked to, for machines of
# other kinds, where qemu runs the tests. Check isn't there for these:
# tests/package/ports/ stands in for it.
# PORT_TESTS=all: the slower unit tests too, but not under qemu.
# PORTS: which, if not musl and 32-bit: of these and arm64, armhf, ppc64el,
# riscv64 and s390x, or nothing.
set -eu
PORTS=${PORTS-musl 32-bit}
[ "$PORTS" ] || { echo 'SKIP: PORTS is empty'; exit 77; }
case "${CFLAGS-}" in
*-fsanitize=* | *--coverage*)
	echo 'SKIP: the ports are builds of their own; see a build without sanitizers'
	exit 77
	;;
esac
. "${srcdir:?}/tests/support/fresh_build.sh"
unset ASYNCTIMER_LONG_TESTS
status=0
tests='unit/test_phase unit/test_queue unit/test_schedule unit/test_slab unit/test_slots
	unit/test_spin unit/test_spots behaviour/test_batch behaviour/test_deferred
	behaviour/test_errors behaviour/test_fork behaviour/test_interval
	behaviour/test_lifetime behaviour/test_shared behaviour/test_stop behaviour/test_virtual'
[ "${PORT_TESTS-}" != all ] || tests="$tests kernel/test_kernel behaviour/test_policy
	behaviour/test_reactor behaviour/test_states behaviour/test_threads"
programs=
for test in $tests; do
	programs="$programs tests/$test"
done
scripts='tests/attack/test_fuzz.sh tests/package/test_dlopen.sh tests/package/test_embed.sh
	tests/package/test_every.sh tests/package/test_every_signals.sh tests/package/test_every_systemd.sh
	tests/package/test_examples.sh tests/package/test_version.sh'

# What they run. In one line, as make wants it.
script_programs='tests/attack/fuzz/replay'
for program in clock_watch fake_systemd print_splay print_version; do
	script_programs="$script_programs tests/package/$program"
done

# Those of other machines are set by cross.
run=
host=

# wanted NAME
wanted()
{
	case " $PORTS " in
	*" $1 "*) ;;
	*) return 1 ;;
	esac
}

# can_run CC FLAG...
can_run()
{
	echo '#include <time.h>' >"$work/try.c"
	echo 'int main(void) { return sizeof(time_t) < 8; }' >>"$work/try.c"
	"$@" -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 -o "$work/try" "$work/try.c" 2>"$work/try.log" &&
		$run "$work/try" 2>>"$work/try.log"
}

# Those that wrap munmap would, if static, see the C library's own calls too.
make_and_check()
{
	make -s -j2 CFLAGS='-g -O2 -Werror' LDFLAGS="$1" lib/libasynctimer.la
	set -- "$1" CFLAGS='-g -O1 -Werror' \
		check_PROGRAMS="$programs $script_programs"
	make -s "$2" tests/behaviour/test_errors tests/behaviour/test_shared
	make -s -k -j2 "$2" "$3" LDFLAGS="$1" LOG_COMPILER="$run" TESTS="$programs $scripts" check &&
		if [ "$run" ]; then check_other_machine; fi
}

# What scripts would start by themselves. In a condition: there -e is ignored.
check_other_machine()
{
	$run tests/attack/fuzz/replay --seed 1 --runs 200 &&
		$run tools/every -n 3 10ms echo run >runs &&
		[ "$(cat runs)" = "$(printf 'run\nrun\nrun')" ] &&
		$run tests/package/print_version >versions &&
		[ "$(sort -u versions)" = "$(sed -n 's/^Version: //p' lib/asynctimer.pc)" ]
}

# port NAME LDFLAGS CC FLAG...
port()
{
	wanted "$1" || return 0
	name=$1
	ldflags=$2
	shift 2
	if ! can_run "$@"; then
		echo "SKIP: $name: $* makes no program that runs here${run:+ by $run}, with a 64-bit time_t"
		tail -n 1 "$work/try.log"
		[ $status != 0 ] || status=77
		return 0
	fi
	mkdir "$work/$name"
	cd "$work/$name"
	"$@" -Wall -Wextra -Werror -D_GNU_SOURCE -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 -c \
		"$srcdir/tests/package/ports/check.c"
	# What pkg-config knows are this machine's libraries; with --host configure knows that.
	fresh_build --disable-shared --enable-static "${host:-PKG_CONFIG=false}" CC="$*" \
		CHECK_CFLAGS="-I$srcdir/tests/package/ports" CHECK_LIBS="$PWD/check.o"
	if make_and_check "$ldflags" >make.log 2>&1 && ! grep -i 'warning:' make.log; then
		echo "ok: $name"
	else
		echo "FAILED: $name"
		cat make.log
		status=1
	fi
	cat tests/*/*.log 2>/dev/null | sed -n "s/^\([0-9]*%: Checks: \|SKIP: \)/$name: \1/p"
	grep -E '^# (TOTAL|PASS|SKIP|FAIL|ERROR): ' make.log | sed "s/^#/$name:/"
}

# cross NAME TRIPLET QEMU: with what Debian's gcc-TRIPLET and qemu-user bring. gcc-multilib
# excludes the compilers, but not their libraries, with which clang compiles too.
cross()
{
	wanted "$1" || return 0
	host=--host=$2
	run="$3 -L /usr/$2"
	if command -v "$2-gcc" >/dev/null; then
		port "$1" '' "$2-gcc"
	else
		port "$1" '' clang "--target=$2"
	fi
}

port musl -all-static musl-gcc
for cc in "${CC:-gcc} -m32" 'gcc -m32' i686-linux-gnu-gcc; do
	# shellcheck disable=SC2086 # it holds a flag
	! can_run $cc || break
done
# shellcheck disable=SC2086
port 32-bit '' $cc

# What qemu-user 7 does not do: forget memory in a child (MADV_WIPEONFORK), tell every that a
# command could not be started, keep time.
programs=
for test in unit/test_phase unit/test_queue unit/test_schedule unit/test_slab unit/test_slots \
	behaviour/test_batch behaviour/test_deferred behaviour/test_once behaviour/test_virtual; do
	programs="$programs tests/$test"
done
scripts=
cross arm64 aarch64-linux-gnu qemu-aarch64
cross armhf arm-linux-gnueabihf qemu-arm
cross ppc64el powerpc64le-linux-gnu qemu-ppc64le
cross riscv64 riscv64-linux-gnu qemu-riscv64
cross s390x s390x-linux-gnu qemu-s390x
exit $status
