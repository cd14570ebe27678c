#!/bin/sh
# SPDX-License-Identifier: MIT
# Installed into an empty prefix, the library is found, linked and run by those
# who build against it: pkg-config, CMake and Meson, shared and static, C++; CMake
# also after it was moved. They get PKG_CONFIG_PATH or, for CMake, a prefix, and
# nothing else. CONSUMERS, empty: none of it.
# shellcheck disable=SC2317 # part calls them
set -eu
[ "${CONSUMERS-all}" ] || { echo 'SKIP: CONSUMERS is empty'; exit 77; }
case "${CFLAGS-}" in
*-fsanitize=* | *--coverage*)
	echo 'SKIP: the consumers link a build of their own; see a build without sanitizers'
	exit 77
	;;
esac
. "${srcdir:?}/tests/support/fresh_build.sh"
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
	for file in include/asynctimer.h include/asynctimer.hpp lib/libasynctimer.a lib/libasynctimer.so \
		lib/cmake/asynctimer/asynctimer-config.cmake lib/pkgconfig/asynctimer.pc share/man/man7/asynctimer.7; do
		grep -qx "./$file" found || { cat found; echo "no $file"; exit 1; }
	done
	# The headers and nothing of their build.
	[ "$(cd "$prefix/include" && echo *)" = 'asynctimer.h asynctimer.hpp' ]
	for page in "$prefix"/share/man/man3/*.3; do
		link=$(sed -n 's/^\.so //p' "$page")
		[ -z "$link" ] || [ -s "$prefix/share/man/$link" ] || { echo "$page leads to $link"; exit 1; }
	done
	! grep -rF "$work/source" "$prefix/lib/pkgconfig" "$prefix/lib/cmake"
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

find_cplusplus()
{
	for cxx in $CXX g++ clang++; do
		! command -v "$cxx" >/dev/null || break
	done
	needs "$cxx"
}

cplusplus()
{
	find_cplusplus
	for example in hello cpp_service; do
		# shellcheck disable=SC2046
		"$cxx" -std=c++17 -Wall -Wextra -pedantic -Werror -pthread -o "$example" \
			"$srcdir/examples/$example.cpp" $($PKG_CONFIG --cflags --libs asynctimer)
	done
	runs ./hello
	awk '$1 != "tick" || $2 + 0 <= last { exit 1 } { last = $2 + 0 } END { exit last < 5 }' output
	runs ./cpp_service
	grep -qx 'backup: made' output
	grep closed output | cut -d : -f 1 | xargs | grep -qx 'ann ben cleo'
	[ "$(tail -n 1 output)" = 'nobody was in the way' ]
}

# cmake_builds PREFIX STATIC [LANGUAGE]: the program in build/, with the library of that prefix.
cmake_builds()
{
	needs cmake
	cp "$srcdir/tests/package/consumers/CMakeLists.txt" .
	rm -rf build
	CC=$CC CMAKE_PREFIX_PATH=$1 cmake -G 'Unix Makefiles' -S . -B build \
		-Dasynctimer_USE_STATIC_LIBS="$2" -DLANGUAGE="${3-C}"
	make -C build VERBOSE=1
	./build/program | grep .
}

cmake_shared()
{
	cmake_builds "$prefix" OFF
	needed build/program | grep -qx 'libasynctimer\.so\.[0-9]*'
	version=$($PKG_CONFIG --modversion asynctimer)
	for wanted in 0.1 "$version" "$version;EXACT" "0.1...$version"; do
		cmake -B build -DWANTED="$wanted" .
	done
	for wanted in 99 "$version.1" '0.0;EXACT' "0.0...<$version" 0.0...0.0.9; do
		cmake -B build -DWANTED="$wanted" . || continue
		echo "$version was taken for $wanted"
		exit 1
	done
}

cmake_cplusplus()
{
	find_cplusplus
	rm program.c
	cp "$srcdir/examples/hello.cpp" program.cpp
	CXX=$cxx CXXFLAGS=-std=c++17 cmake_builds "$prefix" OFF CXX
	needed build/program | grep -qx 'libasynctimer\.so\.[0-9]*'
}

cmake_static()
{
	cmake_builds "$prefix" ON
	! needed build/program | grep asynctimer
}

# Nor is there one, unless configure was asked for it: CMake says so before it builds.
cmake_without_static()
{
	needs cmake
	cp "$srcdir/tests/package/consumers/CMakeLists.txt" .
	kept=$PWD/kept.a
	mv "$prefix/lib/libasynctimer.a" "$kept"
	trap 'mv "$kept" "$prefix/lib/libasynctimer.a"' EXIT
	if CC=$CC CMAKE_PREFIX_PATH=$prefix cmake -S . -B build -Dasynctimer_USE_STATIC_LIBS=ON >log 2>&1; then
		echo 'CMake found a static library that is not there'
		exit 1
	fi
	cat log
	grep -q -- '--enable-static' log
}

# Where it was installed nothing is left.
cmake_moved()
{
	moved="$PWD/elsewhere/one prefix"
	mkdir elsewhere
	mv "$prefix" "$moved"
	trap 'mv "$moved" "$prefix"' EXIT
	cmake_builds "$moved" OFF
	needed build/program | grep -qx 'libasynctimer\.so\.[0-9]*'
	rm "$moved/lib/libasynctimer.so"
	cmake_builds "$moved" OFF
	! needed build/program | grep asynctimer
}

# meson_builds OPTION...
meson_builds()
{
	needs meson ninja
	cp "$srcdir/tests/package/consumers/meson.build" .
	CC=$CC meson setup "$@" build
	ninja -C build
	needed build/program | grep -qx 'libasynctimer\.so\.[0-9]*'
	runs build/program
}

meson_by_pkg_config()
{
	meson_builds
}

meson_by_cmake()
{
	needs cmake
	unset PKG_CONFIG_PATH
	PKG_CONFIG_LIBDIR=/nowhere meson_builds --cmake-prefix-path="$prefix"
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
part cmake_shared cmake_shared
part cmake_cplusplus cmake_cplusplus
part cmake_static cmake_static
part cmake_without_static cmake_without_static
part meson_by_pkg_config meson_by_pkg_config
part meson_by_cmake meson_by_cmake
part cmake_moved cmake_moved
exit $status
