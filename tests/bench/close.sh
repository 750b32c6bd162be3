#!/bin/sh
# What a TCP connection costs a server from accept to its close with the shim, against the same lingering written into the
# program by hand.
#
#   RUNS=15 CONNECTIONS=2000 sh tests/bench/close.sh
set -eu

# shellcheck source=tests/bench/figures.sh
. "$(dirname "$0")/figures.sh"
runs=${RUNS:-15}
connections=${CONNECTIONS:-2000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# quartiles COLUMN [DIVISOR]: the median and the first and third quartile of a column, or of what
# each run gives for it divided by another
quartiles() {
    awk -v column="$1" -v divisor="${2:-0}" '{ print $column / (divisor ? $divisor : 1) }' "$work/runs" |
        sort -n | awk '{ v[NR] = $1 } END {
            printf "%.3f (quartiles %.3f to %.3f)\n", v[int((NR + 1) / 2)], v[int((NR + 3) / 4)], v[int((3 * NR + 1) / 4)]
        }'
}

i=0
while [ $i -lt "$runs" ]; do
    "$bin/netns" "$bin/bench/close" compare "$connections" "$lib" >>"$work/runs"
    i=$((i + 1))
done

{
    echo 'us plain,us by hand,us shim'
    tr ' ' , <"$work/runs"
} >"$out/close.csv"
echo "CPU time of the server per TCP connection in us, medians of $runs runs of $connections connections:"
echo "  plain close, no lingering: $(quartiles 1)"
echo "  lingering written by hand: $(quartiles 2)"
echo "  close with the shim:       $(quartiles 3)"
echo "  the shim against by hand:  $(quartiles 3 2)"
