#!/bin/sh
# SPDX-License-Identifier: MIT
# Whatever tells a version tells that of configure.ac.
set -eu
: "${srcdir:?}" "${PACKAGE_VERSION:?}"
status=0

# says WHAT VERSION
says()
{
	echo "$1: $2"
	[ "$2" = "$PACKAGE_VERSION" ] || status=1
}

echo "configure.ac: $PACKAGE_VERSION"
says 'the header' "$(tests/package/print_version | sed -n 1p)"
says 'asynctimer_version()' "$(tests/package/print_version | sed -n 2p)"
says 'pkg-config file' "$(sed -n 's/^Version: //p' lib/asynctimer.pc)"
says 'CMake' "$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)")/\1/p' lib/asynctimer-config-version.cmake)"
[ ! -e tools/every ] || says 'every --version' "$(tools/every --version | sed 's/^every (asynctimer) //')"
says 'NEWS' "$(sed -n '1s/^asynctimer \([^ ,]*\).*/\1/p' "$srcdir/NEWS")"
says 'Debian changelog' "$(sed -n '1s/^asynctimer (\([^-]*\)-.*/\1/p' "$srcdir/packaging/debian/changelog")"
exit $status
