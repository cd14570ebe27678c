#!/bin/sh
# SPDX-License-Identifier: MIT
# compare.sh PROGRAM...: has every program play the scenes, or those that SCENES names, and
# makes one table of what it saw: peers.txt, of the lines in peers.tsv. It fails if this
# library broke a promise that its adapter does not explain. With PEERS_SET_CLOCK set,
# and as root, the wall clock is set as well.
set -u
: "${SCENES=}"
: >peers.tsv
for program; do
	# shellcheck disable=SC2086 # words
	"$program" $SCENES >>peers.tsv || { echo "$program: failed"; exit 1; }
done
awk -F '\t' '
# The outcomes of one scene, a line for each library, or variant where they differ.
function show(scene,    i, j, lib, same)
{
	printf "\n%s\n", what[scene]
	for (i = 1; i <= rows[scene]; i = j) {
		lib = library(scene, i)
		same = 1
		for (j = i + 1; j <= rows[scene] && library(scene, j) == lib; j++)
			same = same && outcome[scene, j] == outcome[scene, i]
		if (same)
			line(lib, outcome[scene, i])
		else
			for (; i < j; i++)
				line(peer[scene, i], outcome[scene, i])
	}
}
function library(scene, row)
{
	return substr(peer[scene, row], 1, index(peer[scene, row] ",", ",") - 1)
}
function line(name, outcome,    parts)
{
	split(outcome, parts, "\t")
	sub(/ +$/, "", parts[2])
	printf parts[2] == "" ? "    %-20s %s\n" : "    %-20s %-34s %s\n", name, parts[1], parts[2]
}
{
	if (!($1 in rows))
		order[++scenes] = $1
	row = ++rows[$1]
	what[$1] = $2
	peer[$1, row] = $3
	outcome[$1, row] = $6 "\t" $7
	name = library($1, row) " " $4
	if (!(name in seen)) {
		seen[name] = 1
		versions = versions (versions == "" ? "" : ", ") name
	}
}
END {
	print versions
	for (i = 1; i <= scenes; i++)
		show(order[i])
}' peers.tsv >peers.txt
cat peers.txt
broken=$(awk -F '\t' '$3 ~ /^asynctimer/ && $5 == "0" && $7 == "" { print "BROKEN: " $3 ": " $2 ": " $6 }' peers.tsv)
[ -z "$broken" ] || { echo; echo "$broken"; exit 1; }
