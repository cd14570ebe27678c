#!/bin/sh
# SPDX-License-Identifier: MIT
# The functions in the header, in the version script, in Debian's symbols file and
# exported by the library are the same; and the library needs no other one but libc, and has
# nothing of the test build.
set -eu
library=lib/.libs/libasynctimer.so
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

$CC -E "${srcdir:?}/include/asynctimer.h" | grep -o 'asynctimer_[a-z0-9_]*(' | tr -d '(' |
	sort >"$dir/header"
sed -n 's/^	\(asynctimer_.*\);$/\1/p' "$srcdir/lib/asynctimer.map" | sort >"$dir/map"
[ -s "$dir/header" ]
echo 'header (-) and version script (+):'
diff -u "$dir/header" "$dir/map"

sed -n 's/^ \(asynctimer_[^@]*\)@.*/\1/p' "$srcdir/packaging/debian/libasynctimer0.symbols" |
	sort >"$dir/debian"
echo 'version script (-) and packaging/debian/libasynctimer0.symbols (+):'
diff -u "$dir/map" "$dir/debian"

# The version's own name is an absolute symbol (A).
exported()
{
	$NM -D "$1" | awk '$2 ~ /^[B-Z]$/ && $2 != "U" { sub(/@.*/, "", $3); print $3 }' | sort -u
}

# shellcheck disable=SC2086 # CC may hold flags
$CC -I"$srcdir/include" -I"$srcdir/lib" -D_GNU_SOURCE -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 \
	-DPACKAGE_VERSION='""' -fvisibility=hidden -fPIC -shared -pthread \
	-Wl,--version-script="$srcdir/lib/asynctimer.map" -o "$dir/hidden.so" "$srcdir"/lib/*.c
exported "$dir/hidden.so" >"$dir/exported"
echo 'version script (-) and library compiled with -fvisibility=hidden (+):'
diff -u "$dir/map" "$dir/exported"

if [ ! -e $library ]; then
	echo 'SKIP: header and version script agree; no shared library was built'
	exit 77
fi
exported $library >"$dir/exported"
echo 'version script (-) and library (+):'
diff -u "$dir/map" "$dir/exported"

# ld-linux is libc's own, for thread-local variables; old glibcs keep threads apart.
allowed='libc\.|libc-musl|ld-linux|ld64\.|libpthread\.'
case "${CFLAGS-}" in
*-fsanitize*) allowed="$allowed|lib[a-z]*san\\.|libm\\.|libgcc_s\\." ;;
esac
readelf -d $library | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >"$dir/needed"
[ -s "$dir/needed" ]
echo 'needs something other than libc:'
if grep -Ev "^($allowed)" "$dir/needed"; then
	exit 1
fi

# What the test build has (lib/test.h): the points at which tests make a thread pause, and
# assertions, which print what is not so and abort.
case "${CFLAGS-}" in
*-fsanitize* | *--coverage*) exit 0 ;;
esac
echo 'of the test build, in the library:'
if $NM -D -u $library | grep -E ' (abort|__assert_fail|fprintf|__fprintf_chk)(@|$)'; then
	exit 1
fi
if grep -aE 'asynctimer__test_hook|asynctimer__compared|not so: ' $library; then
	exit 1
fi
