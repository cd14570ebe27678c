#!/bin/sh
# SPDX-License-Identifier: MIT
# make coverage: what of lib/ the tests have run, lines and branches, in a build
# of its own below the build folder. The program is linked with the static
# library: a forked child can write down what it ran of that alone.
set -eu
for tool in gcc gcovr; do
	command -v $tool >/dev/null || { echo "SKIP: coverage: $tool is not installed"; exit 0; }
done
rm -rf coverage
mkdir coverage
cd coverage
"${srcdir:?}/configure" -q --disable-shared --enable-static CC=gcc \
	CFLAGS="-g -O0 --coverage -include $srcdir/tests/support/coverage.h"
"${MAKE:-make}" check
rm -f ./*conftest*
# An assertion's other side is a failed test.
report()
{
	gcovr -r "$srcdir" --filter "$srcdir/lib/" --object-directory . \
		--exclude-unreachable-branches --exclude-branches-by-pattern '\s*ASSERT\(.*' . "$@"
}
report --txt -
report --branches --txt -
report --txt - --fail-under-line 100 --fail-under-branch 95 >/dev/null
