#!/bin/sh
# SPDX-License-Identifier: MIT
# configure.ac, the header, the library and the pkg-config file are of one version.
set -eu
found=$(tests/package/print_version; sed -n 's/^Version: //p' lib/asynctimer.pc)
echo "configure.ac: $PACKAGE_VERSION; header, library, pkg-config file:"
echo "$found"
wanted=$(printf '%s\n' "$PACKAGE_VERSION" "$PACKAGE_VERSION" "$PACKAGE_VERSION")
[ "$found" = "$wanted" ]
