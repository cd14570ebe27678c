#!/bin/sh
# SPDX-License-Identifier: MIT
# make check-debian: the tarball with packaging/debian in it as debian/ builds as a
# Debian package, lintian finds nothing, the symbols are those of the symbols file
# (debian/rules sees to that), and the packages pass their autopkgtests. Nothing is
# installed: the tests get the packages unpacked in a folder.
set -eu
. "${srcdir:?}/tests/support/fresh_build.sh" # for an environment without the build's flags, too
export TMPDIR="$work"

skip()
{
	echo "SKIP: $1"
	exit 77
}

# run NAME COMMAND...: what it prints matters if it fails.
run()
{
	name=$1
	shift
	"$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAILED: $name"; exit 1; }
	echo "ok: $name"
}

for tool in dpkg-buildpackage dh lintian; do
	command -v $tool >/dev/null || skip "$tool is not installed (dpkg-dev, debhelper, lintian)"
done
LC_ALL=C.UTF-8 DEB_BUILD_OPTIONS=nocheck DEB_BUILD_PROFILES=nocheck
export LC_ALL DEB_BUILD_OPTIONS DEB_BUILD_PROFILES

run 'make dist' make -s dist
cp "asynctimer-${PACKAGE_VERSION:?}.tar.xz" "$work/asynctimer_$PACKAGE_VERSION.orig.tar.xz"
cd "$work"
tar -xf "asynctimer_$PACKAGE_VERSION.orig.tar.xz"
cd "asynctimer-$PACKAGE_VERSION"
cp -R packaging/debian debian
version=$(dpkg-parsechangelog -S Version)
[ "${version%-*}" = "$PACKAGE_VERSION" ] ||
	{ echo "packaging/debian/changelog is of $version, not $PACKAGE_VERSION"; exit 1; }
missing=$(dpkg-checkbuilddeps 2>&1) || skip "${missing##*error: }"

run dpkg-buildpackage dpkg-buildpackage -us -uc
set -- ../*.changes
lintian --allow-root --fail-on error,warning "$1"
echo 'ok: lintian'
# Built a second time it would start from the same.
run 'debian/rules clean' debian/rules clean
run 'dpkg-source' dpkg-source -b .

for package in every libasynctimer-dev libasynctimer0; do
	dpkg -x ../"${package}_$version"_*.deb ../root
done
root=$work/root
lib=$root/usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH)
PATH=$root/usr/bin:$PATH LD_LIBRARY_PATH=$lib PKG_CONFIG_LIBDIR=$lib/pkgconfig
PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export PATH LD_LIBRARY_PATH PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS PKG_CONFIG_ALLOW_SYSTEM_LIBS
sed -n 's/^Tests: //p' debian/tests/control | while read -r test; do
	run "autopkgtest $test" "debian/tests/$test"
done
