#!/bin/sh
# SPDX-License-Identifier: MIT
# The public header compiles alone, as strict C99 and as C++, whose callers find
# the C symbols.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
[ "$(grep '#include' "${srcdir:?}/include/asynctimer.h")" = '#include <stdint.h>' ]
cat >"$dir/use.c" <<'END'
#include "asynctimer.h"
#include "asynctimer.h"
uint64_t interval_ns(void);
uint64_t interval_ns(void) { return ASYNCTIMER_MILLISECOND + (asynctimer_version() ? 1 : 0); }
END
cp "$dir/use.c" "$dir/use.cc"

compile()
{
	echo "$*"
	"$@" -I"$srcdir/include" -pedantic -Wall -Wextra -Werror -c -o "$dir/use.o"
	$NM -u "$dir/use.o" | grep -qw asynctimer_version
}

# shellcheck disable=SC2086 # CC may hold flags
compile $CC -std=c99 "$dir/use.c"
for cxx in ${CXX-} c++ g++ clang++; do
	if command -v "$cxx" >/dev/null; then
		compile "$cxx" -std=c++11 "$dir/use.cc"
		exit 0
	fi
done
echo 'SKIP: C99 is fine; C++ was not tried, no C++ compiler is here'
exit 77
