#!/bin/sh
# SPDX-License-Identifier: MIT
# The functions in the header, in the version script, in Debian's symbols file and
# exported by the library are the same; and the library needs no other one but libc.
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

if [ ! -e $library ]; then
	echo 'SKIP: header and version script agree; no shared library was built'
	exit 77
fi
# The version's own name is an absolute symbol (A).
$NM -D $library | awk '$2 ~ /^[B-Z]$/ && $2 != "U" { sub(/@.*/, "", $3); print $3 }' |
	sort -u >"$dir/exported"
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
