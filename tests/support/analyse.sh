#!/bin/sh
# SPDX-License-Identifier: MIT
# make analyse: what reads the code without running it. Any finding fails.
set -u
cd "${srcdir:?}" || exit 1
failed=0
flags='-D_GNU_SOURCE -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 -DASYNCTIMER_TEST_POINTS
	-DPACKAGE_VERSION=__FILE__ -I include -I lib -I tests/support -pthread -Wall -Wextra'

# begin TOOL: false, and a line that says so, where it is not installed
begin()
{
	if command -v "$1" >/dev/null; then
		echo "analyse: $1"
	else
		echo "SKIP: analyse: $1 is not installed"
		return 1
	fi
}

# The bench and the host loops are programs of many libraries; what is tested needs Check alone.
set -- lib/*.c tools/*.c
for file in examples/*.c; do
	case $file in examples/embed_*) ;; *) set -- "$@" "$file" ;; esac
done
if pkg-config --exists check; then
	for folder in unit behaviour kernel attack package support; do
		set -- "$@" tests/$folder/*.c
	done
	flags="$flags $(pkg-config --cflags check)"
else
	echo 'SKIP: analyse: the tests: Check is not installed'
fi

# shellcheck disable=SC2086,SC2016 # a word for each flag, also in the inner shell
{
	if begin gcc; then
		printf '%s\n' "$@" |
			xargs -n 1 -P "$(nproc)" gcc -fanalyzer -Werror -O1 -c -o /dev/null $flags || failed=1
	fi
	if begin clang-tidy; then
		printf '%s\n' "$@" |
			xargs -n 8 -P "$(nproc)" sh -c 'flags=$1; shift
				exec clang-tidy --quiet --warnings-as-errors="*" "$@" -- $flags' sh "$flags" ||
			failed=1
	fi
}
if begin cppcheck; then
	cppcheck -q --error-exitcode=1 --inline-suppr --suppress=missingIncludeSystem \
		--enable=warning,performance,portability \
		-I include -I lib -I tests/support -i tests/package/cpp \
		include lib tools examples tests ||
		failed=1
fi
exit $failed
