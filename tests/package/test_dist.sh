#!/bin/sh
# SPDX-License-Identifier: MIT
# make check-dist: make dist gives the same bytes, whatever the tree's times, modes,
# owner and order, the umask, the time zone and the build folder are; with the time
# of SOURCE_DATE_EPOCH, else of the last commit, else of the tarball unpacked.
set -eu
. "${srcdir:?}/tests/support/fresh_build.sh"
unset SOURCE_DATE_EPOCH TAR_OPTIONS XZ_OPT XZ_DEFAULTS
time=1000000000

# copy NAME LIST DATE: the files in the order of the list.
copy()
{
	mkdir "$work/$1"
	tar -C "$work/source" --no-recursion -T "$2" -cf - |
		tar -C "$work/$1" --no-same-owner --no-same-permissions -xf -
	find "$work/$1" -exec touch -d "$3" {} +
}

regenerate()
{
	command -v autoreconf >/dev/null || return 0
	autoreconf -fi "$1" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}

# dist NAME ARGUMENT...: makes the tarball in the current directory, and takes it.
dist()
{
	name=$1
	shift
	{ "$@" -q && make -s dist; } >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
	mv asynctimer-*.tar.xz "$work/$name.tar.xz"
}

same()
{
	if ! cmp "$work/first.tar.xz" "$work/$1.tar.xz"; then
		for name in first "$1"; do
			TZ=UTC0 tar -tvf "$work/$name.tar.xz" --full-time --numeric-owner >"$work/$name.list"
		done
		diff -u "$work/first.list" "$work/$1.list" || :
		echo "FAILED: $1"
		exit 1
	fi
	echo "ok: $1"
}

packed_tree
command -v autoreconf >/dev/null || echo 'SKIP: autoreconf is not installed; what it makes is copied'
regenerate "$work/source"
rm -rf "$work/source/autom4te.cache"
(cd "$work/source" && find . -type f | sort) >"$work/files"
sort -r "$work/files" >"$work/reversed"

umask 022
copy plain "$work/files" 2021-01-01
cd "$work/plain"
SOURCE_DATE_EPOCH=$time
export SOURCE_DATE_EPOCH
dist first ./configure
TZ=UTC0 tar -tvf "$work/first.tar.xz" --full-time --numeric-owner |
	awk '{ print $1, $2, $4, $5 }' | LC_ALL=C sort -u >"$work/kinds"
LC_ALL=C diff -u - "$work/kinds" <<'KINDS'
-rw-r--r-- 0/0 2001-09-09 01:46:40
-rwxr-xr-x 0/0 2001-09-09 01:46:40
drwxr-xr-x 0/0 2001-09-09 01:46:40
KINDS
# The order is not the file system's: another's might differ.
tar -tf "$work/first.tar.xz" | sed 's,/$,,' | tr / '\1' >"$work/order"
LC_ALL=C sort -c "$work/order"

# Setgid folders hand that on; what configure and automake make has the umask's mode.
(
	umask 077
	copy odd "$work/reversed" 2020-02-02
	cd "$work/odd"
	find . -type d -exec chmod g+ws {} +
	find . -type f -name '*.c' -exec chmod a+w {} +
	[ "$(id -u)" != 0 ] || chown -R 12345:54321 .
	regenerate .
	mkdir "$work/build"
	cd "$work/build"
	TZ=Asia/Tokyo
	export TZ
	dist odd_tree "$work/odd/configure"
)
same odd_tree

unset SOURCE_DATE_EPOCH
mkdir "$work/unpacked"
tar -C "$work/unpacked" --strip-components=1 -xf "$work/first.tar.xz"
cd "$work/unpacked"
dist unpacked ./configure
same unpacked

command -v git >/dev/null || { echo 'SKIP: git is not installed'; exit 0; }
copy commit "$work/files" 2021-01-01
cd "$work/commit"
git init -q
git add NEWS
GIT_COMMITTER_DATE="@$time +0000" git -c user.name=name -c user.email=name@example.org \
	-c commit.gpgsign=false commit -q -m 'a commit'
dist last_commit ./configure
same last_commit
