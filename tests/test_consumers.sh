#!/bin/sh
# SPDX-License-Identifier: MIT
# Installed into an empty prefix, the library is found, linked and run by those
# who build against it: pkg-config shared and static, C++, CMake, Meson. They get
# PKG_CONFIG_PATH and nothing else. CONSUMERS, empty: none of it.
# shellcheck disable=SC2317 # part calls them
set -eu
[ "${CONSUMERS-all}" ] || { echo 'SKIP: CONSUMERS is empty'; exit 77; }
case "${CFLAGS-}" in
*-fsanitize=* | *--coverage*)
	echo 'SKIP: the consumers link a build of their own; see a build without sanitizers'
	exit 77
	;;
esac
build=$PWD
srcdir=$(cd "${srcdir:?}" && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
. "$srcdir/tests/fresh_build.sh"
status=0

skip_part()
{
	echo "SKIP: $*"
	[ $status != 0 ] || status=77
}

# part NAME FUNCTION: in a folder of its own that holds the examples.
part()
{
	mkdir "$work/$1"
	cp "$srcdir/examples/basic.c" "$work/$1/program.c"
	cp "$srcdir/examples/raii.cpp" "$work/$1/program.cpp"
	# Not in a condition: there -e is ignored.
	set +e
	(set -e; cd "$work/$1"; "$2") >"$work/$1.log" 2>&1
	set -- "$1" $?
	set -e
	if [ "$2" = 0 ]; then
		echo "ok: $1"
	elif [ "$2" = 77 ]; then
		skip_part "$1: $(tail -n 1 "$work/$1.log")"
	else
		cat "$work/$1.log"
		echo "FAILED: $1"
		status=1
	fi
}

# needs COMMAND...: skips the part where one is missing.
needs()
{
	for tool; do
		command -v "$tool" >/dev/null || { echo "$tool is not installed"; exit 77; }
	done
}

needed()
{
	readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

runs()
{
	LD_LIBRARY_PATH="$prefix/lib" "$@" >output
	cat output
	[ -s output ]
}

installed_files()
{
	(cd "$prefix" && find . -name '*asynctimer*' | sort) >found
	for file in include/asynctimer.h lib/libasynctimer.a lib/libasynctimer.so \
		lib/pkgconfig/asynctimer.pc share/man/man7/asynctimer.7; do
		grep -qx "./$file" found || { cat found; echo "no $file"; exit 1; }
	done
	# The header and nothing of its build.
	[ "$(ls "$prefix/include")" = asynctimer.h ]
	! grep -F "$work/source" "$PKG_CONFIG_PATH/asynctimer.pc"
}

# The same files under DESTDIR, that work from there, and go again.
destdir()
{
	stage=$PWD/stage
	make -C "$work/build" install DESTDIR="$stage"
	(cd "$prefix" && find . ! -type d | sort) >expected
	(cd "$stage$prefix" && find . ! -type d | sort) >found
	diff -u expected found
	(cd "$stage" && find . ! -type d ! -path ".$prefix/*") >elsewhere
	[ ! -s elsewhere ] || { cat elsewhere; exit 1; }
	make -C "$work/build" installcheck DESTDIR="$stage"
	make -C "$work/build" uninstall DESTDIR="$stage"
	[ -z "$(find "$stage" ! -type d)" ]
}

pkg_config_shared()
{
	# shellcheck disable=SC2046,SC2086 # flags are to be split
	$CC -o program program.c $($PKG_CONFIG --cflags --libs asynctimer)
	needed program | grep -qx 'libasynctimer\.so\.[0-9]*'
	runs ./program
}

pkg_config_static()
{
	echo 'int main(void) { return 0; }' >empty.c
	# shellcheck disable=SC2086 # CC may hold flags
	$CC -static -pthread -o empty empty.c ||
		{ echo "$CC can't link statically, there is no libc.a"; exit 77; }
	# shellcheck disable=SC2046,SC2086
	$CC -static -o program program.c $($PKG_CONFIG --static --cflags --libs asynctimer)
	[ -z "$(needed program)" ]
	runs ./program
}

cplusplus()
{
	for cxx in $CXX g++ clang++; do
		! command -v "$cxx" >/dev/null || break
	done
	needs "$cxx"
	# shellcheck disable=SC2046
	"$cxx" -std=c++11 -Wall -Wextra -pedantic -Werror -o program program.cpp \
		$($PKG_CONFIG --cflags --libs asynctimer)
	runs ./program
	cat >expected <<-'OUTPUT'
	callback 1
	callback 2
	callback 3
	callback 4
	callback 5
	failed: Input/output error
	failed: Resource temporarily unavailable
	once
	released
	OUTPUT
	sort output | LC_ALL=C diff -u expected -
	grep -A 1 'callback 2' output | grep -q Resource
	grep -A 1 once output | grep -qx released
}

cmake_imported_target()
{
	needs cmake
	cp "$srcdir/tests/consumers/CMakeLists.txt" .
	mkdir build
	cd build
	CC=$CC cmake -G 'Unix Makefiles' ..
	make
	needed program | grep -qx 'libasynctimer\.so\.[0-9]*'
	runs ./program
}

meson_dependency()
{
	needs meson ninja
	cp "$srcdir/tests/consumers/meson.build" .
	CC=$CC meson setup build
	ninja -C build
	needed build/program | grep -qx 'libasynctimer\.so\.[0-9]*'
	runs build/program
}

prefix=$work/prefix
mkdir "$work/build"
cd "$work/build"
fresh_build --prefix="$prefix" --libdir="$prefix/lib" --enable-static CC="$CC"
make -s install >"$work/install.log" 2>&1 || { cat "$work/install.log"; exit 1; }
if ! command -v "${PKG_CONFIG:=pkg-config}" >/dev/null; then
	echo "SKIP: it was installed, but there is no $PKG_CONFIG to find it by"
	exit 77
fi
PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PKG_CONFIG_PATH
part installed_files installed_files
part destdir destdir
part pkg_config_shared pkg_config_shared
part pkg_config_static pkg_config_static
part cplusplus cplusplus
part cmake cmake_imported_target
part meson meson_dependency
exit $status
