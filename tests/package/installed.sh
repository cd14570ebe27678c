#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles the program given with nothing but what pkg-config says of the
# installed library, and runs it.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck disable=SC2046 # flags are to be split
$CC -o "$dir/program" "$1" $($PKG_CONFIG --cflags --libs asynctimer)
"$dir/program"
