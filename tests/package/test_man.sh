#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual is complete and true to the header: each exported function is in one
# page's NAME and SYNOPSIS, as the header declares it, and has a page of its name;
# references lead somewhere, sections stand in their order, examples compile and
# the markup is clean. asynctimer(7) lists all functions by task, asynctimer_cpp(7)
# has the classes of asynctimer.hpp. every(1) has the options of the program. From
# the source tree man -l shows each page.
set -eu
cd "${srcdir:?}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=

# same TITLE EXPECTED GOT
same()
{
	diff -u "$2" "$3" >"$dir/diff" && return
	echo "$1:"
	sed 1,2d "$dir/diff"
	failed=yes
}

fail()
{
	echo "$*"
	failed=yes
}

# section PAGE TITLE
section()
{
	awk -v title=".SH $2" '/^\.SH / { inside = $0 == title; next } inside' "$1"
}

# Declarations without white space, one a line.
declarations()
{
	tr -d ' \t\n"' | awk '{
		for (i = 1; i <= length($0); i++) {
			c = substr($0, i, 1)
			depth += (c == "{") - (c == "}")
			if (c == ";" && !depth)
				print ""
			else
				printf "%s", c
		}
	}'
}

synopsis()
{
	section "$1" SYNOPSIS | sed -n '/#include/d; s/^\.[BIR]* //p' | declarations
}

names()
{
	section "$1" NAME | tr '\n' ' ' | sed 's/\\-.*//' | tr -d ' ' | tr ',' '\n'
	echo
}

compile()
{
	# shellcheck disable=SC2086 # CC may hold flags
	${CC:-cc} "$@"
}

# compile_example FILE: what a page shows, without its markup. C++ only where it is here.
compile_example()
{
	sed 's/\\-/-/g; s/\\e/\\/g' "$1" >"$dir/example.${1##*.}"
	case $1 in
	*.c) compile -Iinclude -O2 -Wall -Wextra -Werror -c -o "$dir/example.o" "$dir/example.c" ;;
	*) [ -z "$cxx" ] || "$cxx" -std=c++17 -Iinclude -Wall -Wextra -Werror -fsyntax-only "$dir/example.cpp" ;;
	esac
}

cxx=
for name in ${CXX-} c++ g++ clang++; do
	[ "$cxx" ] || ! command -v "$name" >/dev/null || cxx=$name
done

sed -n 's/^	\(asynctimer_.*\);$/\1/p' lib/asynctimer.map | sort >"$dir/functions"
[ -s "$dir/functions" ]
compile -E -P include/asynctimer.h | sed '/^#/d' | declarations | grep 'asynctimer_.*[({]' | sort >"$dir/header"
[ -s "$dir/header" ]
printf '%s\n' NAME SYNOPSIS DESCRIPTION 'RETURN VALUE' ERRORS NOTES EXAMPLES 'SEE ALSO' \
	>"$dir/order.3"
sed '/^DESCRIPTION$/a\
FUNCTIONS BY TASK\
HOW DO I' "$dir/order.3" >"$dir/order.7"
: >"$dir/named"
: >"$dir/declared"

for page in man/*.3 man/*.7; do
	base=${page#man/}
	case $(head -n 1 "$page") in
	.so*) continue ;;
	esac
	names "$page" >"$dir/names"
	grep -qx "${base%.*}" "$dir/names" || fail "$page does not name itself"

	case $base in
	asynctimer.7) order=$dir/order.7 language=c ;;
	asynctimer_cpp.7) order=$dir/order.3 language=cpp ;;
	*) order=$dir/order.3 language=c ;;
	esac
	sed -n 's/^\.SH //p' "$page" >"$dir/sections"
	same "$page: sections, expected (-) and found (+)" "$order" "$dir/sections"

	sed -n 's/^\.BR \(asynctimer[a-z0-9_]*\) "\{0,1\}(\([0-9]\{0,1\}\)).*/\1.\2/p' "$page" |
		sed 's/\.$/.3/' | sort -u >"$dir/references"
	[ -s "$dir/references" ] || fail "$page refers to no other"
	while read -r reference; do
		[ -e "man/$reference" ] || fail "$page refers to $reference, which is no page"
	done <"$dir/references"

	# What HOW DO I shows leaves out the headers.
	{
		section "$page" 'HOW DO I' |
			sed 's/^\.EX/&\n#include <time.h>\n#include <asynctimer.h>/'
		section "$page" EXAMPLES
	} | awk -v path="$dir/$base" -v language=$language '
		/^\.EX/ { code = path "." ++count "." language; next }
		/^\.EE/ { code = "" }
		code { print >code }'
	for code in "$dir/$base".*."$language"; do
		if [ ! -e "$code" ]; then
			fail "$page has no example"
			break
		fi
		compile_example "$code" || fail "$page: an example does not compile"
	done

	[ "${base##*.}" = 3 ] || continue
	cat "$dir/names" >>"$dir/named"
	synopsis "$page" >"$dir/synopsis"
	cat "$dir/synopsis" >>"$dir/declared"
	grep -o 'asynctimer_[a-z0-9_]*(' "$dir/synopsis" | tr -d '(' >"$dir/functions_declared"
	same "$page: NAME (-) and SYNOPSIS (+)" "$dir/names" "$dir/functions_declared"

	while read -r name; do
		[ "$name" = "${base%.3}" ] && continue
		echo ".so man/$base" | cmp -s - "man/$name.3" ||
			fail "man/$name.3 is no link to $page"
	done <"$dir/names"
done

sort -o "$dir/named" "$dir/named"
same 'exported functions (-) and those in a NAME (+)' "$dir/functions" "$dir/named"
sort -o "$dir/declared" "$dir/declared"
same 'header (-) and SYNOPSIS (+)' "$dir/header" "$dir/declared"
for page in man/*.3; do
	basename "$page" .3
done | sort >"$dir/files"
same 'exported functions (-) and pages (+)' "$dir/functions" "$dir/files"
section man/asynctimer.7 'FUNCTIONS BY TASK' | sed -n 's/^\.BR \(asynctimer_[a-z_]*\) .*/\1/p' |
	sort >"$dir/listed"
same 'exported functions (-) and those listed by task (+)' "$dir/functions" "$dir/listed"

# What is public in each class, without comments.
sed '/^ \* The rest is how/,$d' include/asynctimer.hpp |
	sed -z 's:/\*\([^*]\|\*\+[^*/]\)*\*\+/::g' |
	awk '/^(class|struct) asynctimer::/ { inside = 1; hidden = 0 }
		/^private:/ { hidden = 1 }
		/^};/ { hidden = 0 }
		inside && !hidden
		/^};/ { inside = 0 }' | declarations | grep :: >"$dir/classes"
[ -s "$dir/classes" ]
synopsis man/asynctimer_cpp.7 | grep '^[cs][a-z]*asynctimer::' >"$dir/classes_shown"
same 'asynctimer.hpp (-) and SYNOPSIS of asynctimer_cpp(7) (+)' "$dir/classes" "$dir/classes_shown"

sed -n 's/.*getopt_long(argc, argv, "+:\([a-zA-Z0-9:]*\)".*/\1/p' tools/options.c |
	sed 's/:/ VALUE/g; s/[a-zA-Z0-9]\( VALUE\)*/&\n/g' | sed '/^$/d' | sort >"$dir/options"
[ -s "$dir/options" ]
section man/every.1 OPTIONS |
	awk '/^\.TP/ { getline; print substr($2, 3) (NF > 2 ? " VALUE" : "") }' | sort >"$dir/options_named"
same 'options of every (-) and those in every(1) (+)' "$dir/options" "$dir/options_named"
sed -n 's/^	"  -\([a-zA-Z0-9]\)\( [A-Z]\{1,\}\)\{0,1\}[ ,].*/\1\2/p' \
	tools/options.c | sed 's/ .*/ VALUE/' | sort >"$dir/options_helped"
same 'options of every (-) and those in its help (+)' "$dir/options" "$dir/options_helped"
printf '%s\n' NAME SYNOPSIS DESCRIPTION OPTIONS '"INSTEAD OF"' '"EXIT STATUS"' ENVIRONMENT NOTES \
	EXAMPLES '"SEE ALSO"' >"$dir/order"
sed -n 's/^\.SH //p' man/every.1 >"$dir/sections"
same 'man/every.1: sections, expected (-) and found (+)' "$dir/order" "$dir/sections"

skipped=
for page in man/*.1 man/*.3 man/*.7; do
	case $(head -n 1 "$page") in
	.so*) continue ;;
	esac
	if command -v mandoc >/dev/null; then
		mandoc -T lint "$page" || :
	elif man --help 2>&1 | grep -q -e --warnings; then
		{ man --warnings -E UTF-8 -l "$page" >/dev/null || :; } 2>&1
	else
		skipped=yes
	fi
done >"$dir/lint"
if [ -s "$dir/lint" ]; then
	cat "$dir/lint"
	failed=yes
fi

# Of man-db alone: mandoc's man has no warnings to ask for.
if man --help 2>&1 | grep -q -e --warnings; then
	grep -l '^\.so ' man/* >"$dir/links"
	while read -r page; do
		man -l "$page" 2>&1 | grep -q '^NAME' || fail "man -l $page shows no page"
	done <"$dir/links"
fi

[ -z "$failed" ] || exit 1
if [ "$skipped" ]; then
	echo 'SKIP: all is well but the markup, which neither mandoc nor man-db is here to check'
	exit 77
fi
