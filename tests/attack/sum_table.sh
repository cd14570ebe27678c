#!/bin/sh
# SPDX-License-Identifier: MIT
# sum_table.sh TABLE: what attacks noted there, in the order in which they began; fails if
# a promise was found broken.
exec awk -F '\t' '
	!($1 in parts) { order[++families] = $1 }
	{ parts[$1]++; count[$1] += $3; violations[$1] += $4 }
	END {
		printf "%-40s %8s %16s %10s\n", "figure", "parts", "count", "violations"
		for (i = 1; i <= families; i++) {
			f = order[i]
			printf "%-40s %8d %16.0f %10d\n", f, parts[f], count[f], violations[f]
			sum += violations[f]
		}
		exit sum != 0
	}' "$1"
