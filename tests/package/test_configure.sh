#!/bin/sh
# SPDX-License-Identifier: MIT
# configure says where bugs go. For another machine it asks that machine's
# pkg-config, never the plain one, which knows this machine's libraries.
# Without examples nothing is asked about their libraries.
set -eu
. "${srcdir:?}/tests/support/fresh_build.sh"
unset PKG_CONFIG PKG_CONFIG_LIBDIR PKG_CONFIG_PATH
status=0
fail()
{
	echo "FAILED: $*"
	status=1
}

# fake NAME: a pkg-config that knows every library, and writes down what it is asked.
fake()
{
	cat >"$work/bin/$1" <<-FAKE
		#!/bin/sh
		echo "\$*" >>"$work/$1.asked"
	FAKE
	chmod +x "$work/bin/$1"
}

# configured ARGUMENT...: in a new folder, which is left again.
configured()
{
	rm -rf "$work/build" "$work"/*.asked
	mkdir "$work/build"
	cd "$work/build"
	fresh_build CC="$CC" --host=s390x-ibm-linux "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
	make -n >"$work/make.log"
	cd "$build"
}

# asked NAME WHAT: whether the fake of that name was.
asked()
{
	grep -qs -e "$2" "$work/$1.asked"
}

mkdir "$work/bin"
PATH=$work/bin:$PATH
packed_tree
"$work/source/configure" --help | tail -n 1 >"$work/help"
address=$(sed -n 's/^Maintainer: .*\(<.*>\)$/\1/p' "$work/source/packaging/debian/control")
grep -qF "Report bugs to $address." "$work/help" || fail "--help ends with: $(cat "$work/help")"
! grep -q '^PACKAGE_URL=.*http' "$work/source/configure" || fail 'it has a URL'

fake pkg-config
configured
! asked pkg-config '[a-z]' || ! grep -v -e --atleast-pkgconfig-version "$work/pkg-config.asked" ||
	fail "for another machine it asked this one's pkg-config"
grep -q examples/basic "$work/make.log" || fail 'it would not build the examples'

configured PKG_CONFIG=pkg-config
asked pkg-config 'check >= ' || fail 'it did not ask the pkg-config that it was told to'
configured PKG_CONFIG_LIBDIR=/nowhere
asked pkg-config 'check >= ' || fail 'it did not ask pkg-config, of which it was told where to look'

fake s390x-ibm-linux-pkg-config
configured --disable-examples
! asked pkg-config '[a-z]' || fail "it asked this machine's pkg-config, though there is the other's"
asked s390x-ibm-linux-pkg-config 'check >= ' || fail "it did not ask the other machine's pkg-config"
! asked s390x-ibm-linux-pkg-config glib || fail 'without examples it asked for glib'
! grep -q examples/ "$work/make.log" || fail '--disable-examples builds examples'
exit $status
