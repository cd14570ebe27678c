#!/bin/sh
# SPDX-License-Identifier: MIT
# The public header compiles alone, as strict C99 and as C++, whose callers find
# the C symbols. What it declares can be exported, and found, where all else is hidden.
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

cat >"$dir/library.c" <<'END'
#include "asynctimer.h"
const char *asynctimer_version(void) { return "hidden"; }
END
cat >"$dir/program.c" <<'END'
#pragma GCC visibility push(hidden)
#include "asynctimer.h"
int after(void);
#pragma GCC visibility pop
int after(void) { return 0; }
int main(void) { return !asynctimer_version() || after(); }
END
# shellcheck disable=SC2086
$CC -I"$srcdir/include" -fvisibility=hidden -fPIC -shared -o "$dir/library.so" "$dir/library.c"
# shellcheck disable=SC2086
$CC -I"$srcdir/include" -c -o "$dir/program.o" "$dir/program.c"
# shellcheck disable=SC2086
$CC -o "$dir/program" "$dir/program.o" "$dir/library.so"
"$dir/program"
# What comes after the header is hidden as before.
readelf -s "$dir/program.o" | grep -w after | grep -w HIDDEN
for cxx in ${CXX-} c++ g++ clang++; do
	if command -v "$cxx" >/dev/null; then
		compile "$cxx" -std=c++11 "$dir/use.cc"
		exit 0
	fi
done
echo 'SKIP: C99 is fine; C++ was not tried, no C++ compiler is here'
exit 77
