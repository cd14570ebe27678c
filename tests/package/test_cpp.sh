#!/bin/sh
# SPDX-License-Identifier: MIT
# asynctimer.hpp, by each C++ compiler that is here: every standard from C++17 on compiles it
# without a warning, and tests/package/cpp passes, also without exceptions and with the
# sanitizers. The library is compiled along, since a sanitizer wants to see both.
# CONSUMERS, empty: none of it.
set -eu
[ "${CONSUMERS-all}" ] || { echo 'SKIP: CONSUMERS is empty'; exit 77; }
source=$(cd "${srcdir:?}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
warnings='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
	-Wnon-virtual-dtor -Werror'
tests=$source/tests/package/cpp
skipped=

# standards CXX: those that it knows, from C++17 on.
standards()
{
	for standard in 17 20 2b 2c; do
		! "$1" -std=c++$standard -fsyntax-only -x c++ /dev/null 2>/dev/null || echo $standard
	done
}

# compiles CXX STANDARD: alone, in both orders with the header of C, and with all that the tests use.
compiles()
{
	printf '#include <asynctimer%s>\n' .hpp .h .hpp >first.cpp
	printf '#include <asynctimer%s>\n' .h .hpp >second.cpp
	for file in first.cpp second.cpp "$tests"/*.cpp; do
		# shellcheck disable=SC2086 # flags are to be split
		"$1" -std="c++$2" $warnings -I"$source/include" -fsyntax-only "$file"
	done
}

# passes NAME CC CXX FLAGS FILE...: the tests in these files, as C++17.
passes()
{
	name=$1 cc=$2 cxx=$3 flags=$4
	shift 4
	mkdir "$name"
	# shellcheck disable=SC2086
	(cd "$name" && "$cc" -g -D_GNU_SOURCE -DPACKAGE_VERSION='""' -I"$source/include" $flags -c "$source"/lib/*.c)
	# shellcheck disable=SC2086
	"$cxx" -std=c++17 -g $warnings -I"$source/include" $flags -pthread -o "$name/test" "$@" "$name"/*.o
	timeout 600 "$name/test" >"$name/log" 2>&1 || { cat "$name/log"; echo "FAILED: $name"; exit 1; }
	echo "$name: $(tail -n 1 "$name/log")"
}

# can CXX FLAG: it makes a program with the flag, and that runs.
can()
{
	echo 'int main() {}' >empty.cpp
	"$1" "$2" -o empty empty.cpp 2>/dev/null && ./empty
}

# passes_sanitized SANITIZER: by the first compiler that has it.
passes_sanitized()
{
	for pair in 'clang clang++' 'gcc g++'; do
		if can "${pair#* }" "-fsanitize=$1"; then
			# shellcheck disable=SC2086 # the pair is two words
			passes "${pair#* }-$1" $pair "-fsanitize=$1 -fno-sanitize-recover=all" "$tests"/*.cpp
			return
		fi
	done
	skipped="$skipped -fsanitize=$1"
}

for pair in 'gcc g++' 'clang clang++'; do
	cxx=${pair#* }
	if ! can "$cxx" -std=c++17; then
		skipped="$skipped $cxx"
		continue
	fi
	for standard in $(standards "$cxx"); do
		compiles "$cxx" "$standard"
		echo "$cxx: compiles as C++$standard"
	done
	# shellcheck disable=SC2086
	passes "$cxx" $pair -O1 "$tests"/*.cpp
	# shellcheck disable=SC2086
	passes "$cxx-fno-exceptions" $pair '-O1 -fno-exceptions' "$tests/objects.cpp"
done
passes_sanitized address,undefined
passes_sanitized thread
[ -z "$skipped" ] || { echo "SKIP: not here:$skipped"; exit 77; }
