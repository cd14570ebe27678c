#!/bin/sh
# SPDX-License-Identifier: MIT
# A tick takes as many instructions as tests/unit/instructions says, within 3 %, so
# that none gets dearer unseen. Who makes it dearer, or cheaper, on purpose puts the
# figures that are printed here into that file.
set -eu
skip()
{
	echo "SKIP: $1"
	exit 77
}

# The code depends on the first two, the figure also on the libc, whose locks are in it.
compiler()
{
	# shellcheck disable=SC2086 # CC may hold flags
	echo '__clang_major__ __GNUC__ __GNUC_MINOR__ __GNUC_PATCHLEVEL__' | $CC -E -P - |
		sed 's/^__clang_major__ \(.*\) \(.*\) \(.*\)/gcc \1.\2.\3/; t; s/ .*//; s/^/clang /'
}

# Without those that change no code.
flags()
{
	for flag in ${CFLAGS-}; do
		case $flag in
		-W*,* | -[!gW]*) printf '%s, ' "$flag" ;;
		esac
	done
}

file=${srcdir:?}/tests/unit/instructions
# shellcheck disable=SC2086
build="$(compiler), $($CC -dumpmachine), $(flags)$(getconf GNU_LIBC_VERSION)"
case "${CFLAGS-}" in
*-fsanitize* | *--coverage*) skip 'instrumented code has more instructions' ;;
esac
[ -e lib/.libs/libasynctimer.so ] || skip 'the figures are those of a shared library'
command -v valgrind >/dev/null || skip 'no valgrind here'
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# count CASE: instructions per tick.
count()
{
	LD_BIND_NOW=1 ./libtool --mode=execute valgrind --tool=callgrind --callgrind-out-file=/dev/null \
		--toggle-collect=asynctimer_reactor_advance tests/unit/ticks "$1" \
		>"$dir/ticks" 2>"$dir/valgrind" || { cat "$dir/valgrind" >&2; return 1; }
	sed -n 's/.*Collected : //p' "$dir/valgrind" | cat - "$dir/ticks" | tr '\n' ' ' |
		awk '{ printf "%.1f\n", $1 / $2 }'
}

wrong=
missing=
for work in exact slack; do
	wanted=$(awk -F '\t' -v work=$work -v build="$build" '$1 == work && $3 == build { print $2 }' "$file")
	# Some compilers' debug information is too new for it.
	found=$(count $work) || [ "$wanted" ] || skip "valgrind cannot run what $(compiler) made"
	[ "$found" ]
	printf '%s\t%s\t%s\n' $work "$found" "$build"
	if [ ! "$wanted" ]; then
		missing=yes
	elif ! awk -v found="$found" -v wanted="$wanted" 'BEGIN {
		change = 100 * (found / wanted - 1)
		printf "%+.1f %% against the %s in tests/unit/instructions\n", change, wanted
		exit change > 3 || change < -3
	}'; then
		wrong=yes
	fi
done
[ ! "$wrong" ]
[ ! "$missing" ] || skip "tests/unit/instructions has no figures for $build"
