# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# Sourced by tests that look at system calls: they are skipped where strace can't.
skip()
{
	echo "SKIP: $1"
	exit 77
}

case "${CFLAGS-}" in
*-fsanitize*) skip 'a sanitizer makes system calls of its own' ;;
esac
command -v strace >/dev/null || skip 'no strace here'
strace -o /dev/null true || skip 'strace may not trace here'
