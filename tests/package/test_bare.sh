#!/bin/sh
# SPDX-License-Identifier: MIT
# make check-bare: the tarball builds, installs and runs on a Debian that has nothing else, and on
# an Alpine (musl), each in a folder that is changed into. Root makes them: Debian's by
# debootstrap, from the mirror and of the release that this machine's apt uses; Alpine's by apk,
# from the repository that ALPINE_REPOSITORY names.
set -eu
: "${srcdir:?}" "${PACKAGE_VERSION:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=77
tarball=asynctimer-$PACKAGE_VERSION.tar.xz

# run COMMAND...: what it prints matters if it fails.
run()
{
	"$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAILED: $*"; exit 1; }
}

# install_in ROOT: as README has it.
install_in()
{
	cp "$tarball" "$srcdir/examples/basic.c" "$1"
	[ -c "$1/dev/null" ] || mknod -m 666 "$1/dev/null" c 1 3
	# shellcheck disable=SC2016 # for the shell inside
	run env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$1" sh -ec '
		tar -xf asynctimer-*.tar.xz
		cd asynctimer-*/
		./configure -q
		make -s
		make -s install
		! command -v ldconfig || ldconfig /usr/local/lib
		export PKG_CONFIG_PATH=/usr/local/lib/pkgconfig
		cc -o basic ../basic.c $(pkg-config --cflags --libs asynctimer)
		./basic
		every -n 2 10ms true'
}

bare_debian()
{
	[ "$(id -u)" = 0 ] || { echo 'SKIP: Debian: only root can make a root folder'; return 0; }
	command -v debootstrap >/dev/null || { echo 'SKIP: Debian: debootstrap is not installed'; return 0; }
	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016 # for apt-get
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $release" | head -n 1)
	run debootstrap --variant=minbase --include=gcc,libc6-dev,make,pkg-config,xz-utils \
		"$release" "$work/debian" "$mirror"
	install_in "$work/debian"
	echo "ok: Debian $release"
	status=0
}

bare_alpine()
{
	[ "$(id -u)" = 0 ] || { echo 'SKIP: Alpine: only root can make a root folder'; return 0; }
	command -v apk >/dev/null || { echo 'SKIP: Alpine: apk is not installed'; return 0; }
	[ "${ALPINE_REPOSITORY-}" ] || { echo 'SKIP: Alpine: ALPINE_REPOSITORY names no repository'; return 0; }
	run apk --root "$work/alpine" --initdb --allow-untrusted --repository "$ALPINE_REPOSITORY" \
		add alpine-base gcc musl-dev make pkgconf xz
	install_in "$work/alpine"
	echo 'ok: Alpine'
	status=0
}

run make -s dist
bare_debian
bare_alpine
exit $status
