#!/bin/sh
# SPDX-License-Identifier: MIT
# lib/schedule.c does as an oracle says, in every state that calls lead to and at every
# reading of the clock: schedule_states.c, with times of 5 bits. ASYNCTIMER_LONG_TESTS=1:
# of 6 bits, too.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
widths=5
[ -z "${ASYNCTIMER_LONG_TESTS-}" ] || widths='5 6'

# The first compiler whose programs run here and have _BitInt(5), with 5 bits.
echo 'int main(void) { return (int)(unsigned _BitInt(5))32; }' >"$dir/probe.c"
for cc in "${CC:-cc}" clang; do
	# shellcheck disable=SC2086 # CC may hold flags
	{ $cc -o "$dir/probe" "$dir/probe.c" && "$dir/probe"; } 2>/dev/null || continue
	for width in $widths; do
		# shellcheck disable=SC2086
		$cc -O2 -Wall -Wextra -I "${srcdir:?}/lib" -I "$srcdir/include" -D WIDTH="$width" \
			-o "$dir/states" "$srcdir/tests/unit/schedule_states.c"
		"$dir/states"
	done
	exit 0
done
echo "SKIP: neither ${CC:-cc} nor clang makes programs here that have _BitInt (clang 14 has it)"
exit 77
