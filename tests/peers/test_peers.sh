#!/bin/sh
# SPDX-License-Identifier: MIT
# make check-peers in small: some scenes with this library, and the table that is made of it.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
program=$PWD/tests/peers/peer_asynctimer
compare=$(cd "${srcdir:?}" && pwd)/tests/peers/compare.sh
scenes=$(cd "$srcdir" && pwd)/tests/peers/scenes.c
comparison=$(cd "$srcdir" && pwd)/doc/comparison
cd "$dir"

SCENES='callback gap batch thread cross' sh "$compare" "$program"
[ "$(cut -f 1,5 peers.tsv | sort -u | tr '\t\n' ' ,')" = 'batch 1,callback 1,cross 1,gap 1,thread 1,' ]
grep -q '^    asynctimer           waits its time$' peers.txt

# A broken promise fails it, unless it is explained; variants that differ have a line each.
cat >fake <<'END'
#!/bin/sh
printf 'burst\tAfter a stall\tasynctimer, own\t1\t1\tone callback\t\n'
printf 'burst\tAfter a stall\tasynctimer, shared\t1\t0\tbursts\t%s\n' "$REMARK"
END
chmod +x fake
REMARK='as documented' sh "$compare" ./fake
grep -q '^    asynctimer, own      one callback$' peers.txt
grep -q '^    asynctimer, shared   bursts  *as documented$' peers.txt
if REMARK='' sh "$compare" ./fake; then
	echo 'a broken promise passed'
	exit 1
fi
# The table in the tree has what is played now.
sed -n 's/^\t{ "[a-z]*", "\(.*\)",.*/\1/p' "$scenes" >headings
[ "$(grep -cxFf headings "$comparison")" = "$(wc -l <headings)" ]
echo 'ok: five scenes, and the table'
