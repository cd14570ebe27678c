#!/bin/sh
# SPDX-License-Identifier: MIT
# Each paragraph of tests/attack/mutants is about a place of lib/ that is there.
set -eu
if ! command -v python3 >/dev/null; then
	echo "SKIP: there is no python3"
	exit 77
fi
exec python3 -B "${srcdir:?}"/tests/attack/mutants.py --check "$srcdir"
