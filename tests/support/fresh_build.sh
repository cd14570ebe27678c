# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# Sourced by tests that make a build of their own, in $work: from what is packed,
# because the source tree, $srcdir, may be configured itself. $build: the build that
# runs us.
build=$PWD
srcdir=$(cd "${srcdir:?}" && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# Of the make and the build that run us nothing is to be passed on, least of all CFLAGS.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL TESTS TEST_LOGS CFLAGS CPPFLAGS LDFLAGS LIBS

# packed_tree: what the tarball holds, as $work/source.
packed_tree()
{
	[ ! -d "${work:?}/source" ] || return 0
	make -s -C "${build:?}" distdir distdir="$work/source" >"$work/distdir.log" 2>&1 ||
		{ cat "$work/distdir.log"; return 1; }
}

# fresh_build ARGUMENT...: configures with them, in the current directory.
fresh_build()
{
	packed_tree || return 1
	"$work/source/configure" -q "$@"
}
