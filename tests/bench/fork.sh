#!/bin/sh
# What fork() costs with open connections, without the shim and with it, by turns in one run.
# Medians in microseconds: fork() as the parent sees it, and until an idle child has been reaped.
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
bin=$top/build/tests
rounds=${ROUNDS:-7}

median() {
    sort -n | awk '{ v[NR] = $1 } END { printf "%.1f", v[int((NR + 1) / 2)] }'
}

# measure CONNECTIONS TIMES OUTPUT [LIBRARY]
measure() {
    "$bin/netns" env ${4:+LD_PRELOAD="$4"} "$bin/bench/fork" "$1" "$2" >>"$3" || exit 1
}

directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT

echo "fork() with open connections, us: the call, and until the child is reaped ($rounds rounds, medians)"
printf '%12s %12s %12s %12s %12s\n' connections 'call plain' 'call shim' 'reaped plain' 'reaped shim'
for connections in 0 10 1000 10000; do
    times=$((connections < 1000 ? 300 : connections < 10000 ? 100 : 20))
    round=0
    : >"$directory/plain"
    : >"$directory/shim"
    while [ $round -lt "$rounds" ]; do
        measure $connections $times "$directory/plain"
        measure $connections $times "$directory/shim" "$top/build/liblingerclose.so"
        round=$((round + 1))
    done
    printf '%12s' $connections
    for column in 1 2; do
        for way in plain shim; do
            printf ' %12s' "$(awk -v column=$column '{ print $column }' "$directory/$way" | median)"
        done
    done
    echo
done
