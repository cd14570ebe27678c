#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/PROMISES names nothing that does not exist, and each function that is
# exported, each planted bug and each hammer is in it; nor do planted bugs.
set -eu
cd "${srcdir:?}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=

fail()
{
	echo "tests/PROMISES: $*"
	failed=yes
}

# The lines with a key, without it.
lines()
{
	sed -n "s/^    $1  *//p" "$dir/promises"
}

# all_named KIND FILE: the words after the key KIND are those in the file, all and no other.
all_named()
{
	lines "$1" | tr -s ' ' '\n' | sort -u >"$dir/named"
	[ -s "$2" ]
	comm -13 "$dir/named" "$2" | sed "s/^/$1 in no paragraph: /" >"$dir/missing"
	comm -23 "$dir/named" "$2" | sed "s/^/no such $1: /" >>"$dir/missing"
	[ ! -s "$dir/missing" ] || fail "$(cat "$dir/missing")"
}

# After the explanation.
sed '1,/^====/d' tests/PROMISES >"$dir/promises"
unknown=$(sed -n 's/^    //p' "$dir/promises" | grep -Evn '^(call|test|bug|hammer|model)  *[^ ]' || :)
[ -z "$unknown" ] || fail "unknown key: $unknown"
awk -v RS= '!/\n    test / && !/\n====/' "$dir/promises" >"$dir/untested"
[ ! -s "$dir/untested" ] || fail "no test: $(cat "$dir/untested")"

sed -n 's/^	\(asynctimer_.*\);$/\1/p' lib/asynctimer.map | sort >"$dir/calls"
all_named call "$dir/calls"
for patch in tests/attack/bugs/*.patch; do
	basename "$patch" .patch
done | sort >"$dir/bugs"
all_named bug "$dir/bugs"
sed -n 's/^START_TEST(\(.*\))$/\1/p; s/^OWN_AND_SHARED(\([a-z_]*\),.*/\1/p' \
	tests/attack/test_races.c | sort >"$dir/hammers"
all_named hammer "$dir/hammers"

{
	lines test
	sed -n 's/^Killed by: //p' tests/attack/bugs/*.patch | tr ' ' '\n'
} >"$dir/tests"
while read -r program cases; do
	case $program in
	*.sh) file=tests/$program ;;
	*/cpp/*) file=tests/$program.cpp ;;
	*) file=tests/$program.c ;;
	esac
	[ -e "$file" ] || { fail "no such test: $program"; continue; }
	for name in $cases; do
		grep -Eqx "(START_)?TEST\($name\)" "$file" || fail "no such test in $program: $name"
	done
done <"$dir/tests"

for name in $(lines model); do
	case $name in
	[A-Z]*) cat tests/attack/model/*.pml | grep -qw "BROKEN_$name" ;;
	*) cat tests/attack/model/* | grep -qw "$name" ;;
	esac || fail "no such word in tests/attack/model: $name"
done
[ -z "$failed" ]
