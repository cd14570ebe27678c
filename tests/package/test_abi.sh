#!/bin/sh
# SPDX-License-Identifier: MIT
# What programs were compiled against is what the library is: functions, their
# arguments and the public structs are as in abi/libasynctimer.abi.
set -eu
library=lib/.libs/libasynctimer.so
dump=${srcdir:?}/abi/libasynctimer.abi
skip()
{
	echo "SKIP: $1"
	exit 77
}

command -v abidw >/dev/null || skip 'abidw and abidiff (abigail-tools) are not installed'
[ -e $library ] || skip 'no shared library was built'
readelf -h $library | grep -q 'Machine:.*X86-64' || skip 'the dump is of x86-64'
readelf -h $library | grep -q 'Class:.*ELF64' || skip 'the dump is of 64-bit x86-64'
readelf -S $library | grep -q '\.debug_info' || skip 'the library was built without -g'

# Dumps are compared, without private types: a dump has no places of types to leave these out by.
now=$(mktemp)
trap 'rm -f "$now"' EXIT
"$srcdir/abi/dump" "$srcdir/include" $library >"$now"
if ! abidiff --harmless "$dump" "$now"; then
	echo 'If that is meant, HACKING says what it does to the version; then: make abi'
	exit 1
fi
