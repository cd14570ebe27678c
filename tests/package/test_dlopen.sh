#!/bin/sh
# SPDX-License-Identifier: MIT
# The library comes by dlopen: see dlopened.c. Where none was built that can come
# so, it is compiled for this alone, as it would be.
set -eu
library=$PWD/lib/.libs/libasynctimer.so
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

compile()
{
	# shellcheck disable=SC2086 # CC may hold flags
	${CC:-cc} -I"${srcdir:?}/include" -I"$srcdir/lib" -D_GNU_SOURCE -D_TIME_BITS=64 \
		-D_FILE_OFFSET_BITS=64 -O1 -pthread "$@"
}

case "${CFLAGS-}" in
*-fsanitize*) library= ;; # what it needs would have to be there first
esac
compiled=
if [ ! -e "$library" ]; then
	compiled=yes
	library=$dir/libasynctimer.so
	compile -DPACKAGE_VERSION='""' -fPIC -shared -o "$library" "$srcdir"/lib/*.c
fi
compile -rdynamic -o "$dir/dlopened" "$srcdir/tests/package/dlopened.c" -ldl
"$dir/dlopened" "$library"
if [ "$compiled" ]; then
	echo 'SKIP: it was not loaded again and again: how that ends is decided where it is linked'
	exit 77
fi
"$dir/dlopened" "$library" again
