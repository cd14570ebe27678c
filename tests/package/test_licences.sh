#!/bin/sh
# SPDX-License-Identifier: MIT
# Each file that may have comments names its licence, whose text is in LICENSES.
# For what has none, and for the copyright of all, there is .reuse/dep5: reuse
# looks at that, in a clone of the repository.
set -eu
. "${srcdir:?}/tests/support/fresh_build.sh"
status=0
tag=SPDX-License-Identifier

packed_tree
cd "$work/source"
rm -r build-aux m4 aclocal.m4 configure Makefile.in
{
	find . -name '*.am' -o -name '*.ac' -o -name '*.[ch]' -o -name '*.[ch]pp' -o -name '*.in' \
		-o -name '*.map' -o -name '*.mk' -o -name '*.pml' -o -name '*.py' -o -name '*.service' \
		-o -name CMakeLists.txt -o -name meson.build
	find man -type f -exec grep -L '^\.so ' {} +
	find . -type f -exec sh -c 'head -qn 1 "$1" | grep -q "^#!"' - {} \; -print
} | sort -u >"$work/files"
[ -s "$work/files" ]
while read -r file; do
	head -n 3 "$file" | grep -q "$tag: MIT" || { echo "FAILED: no $tag in $file"; status=1; }
done <"$work/files"
cmp COPYING LICENSES/MIT.txt || { echo 'FAILED: LICENSES/MIT.txt is not COPYING'; status=1; }
[ "$status" = 0 ] || exit 1
if ! command -v reuse >/dev/null || ! [ -e "$srcdir/.reuse/dep5" ]; then
	echo 'SKIP: all files name their licence, but reuse is not here to judge, or no clone'
	exit 77
fi
reuse --root "$srcdir" lint
