# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# Sourced by tests that have a folder $work and a function fail.

# unit_file_is_taken NAME: systemd finds nothing wrong with examples/NAME.service, of which
# $work/NAME.service is a copy that names a program and no manual. False if there is no systemd.
unit_file_is_taken() {
	if ! command -v systemd-analyze >/dev/null; then
		echo 'SKIP: the unit file: no systemd-analyze'
		return 1
	fi
	sed "s,^ExecStart=[^ ]*,ExecStart=/bin/true,; /^Documentation=/d" \
		"${srcdir:-.}/examples/$1.service" >"${work:?}/$1.service"
	systemd-analyze verify "$work/$1.service" >"$work/verified" 2>&1 ||
		fail "systemd-analyze: $(cat "$work/verified")"
	grep "$1.service" "$work/verified" && fail 'systemd-analyze does not like it'
	return 0
}
