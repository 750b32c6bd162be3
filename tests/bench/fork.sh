#!/bin/sh
# What fork() costs with open connections, without the shim and with it, by turns in one run.
# Medians in microseconds: fork() as the parent sees it, and until an idle child has been reaped.
# shellcheck source=tests/bench/figures.sh
. "$(dirname "$0")/figures.sh"
rounds=${ROUNDS:-7}

# measure CONNECTIONS TIMES OUTPUT [LIBRARY]
measure() {
    "$bin/netns" env ${4:+LD_PRELOAD="$4"} "$bin/bench/fork" "$1" "$2" >>"$3" || exit 1
}

directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT

echo 'connections,call plain,call shim,reaped plain,reaped shim' >"$out/fork.csv"
echo "fork() with open connections, us: the call, and until the child is reaped ($rounds rounds, medians)"
printf '%12s %12s %12s %12s %12s\n' connections 'call plain' 'call shim' 'reaped plain' 'reaped shim'
for connections in ${CONNECTIONS:-0 10 1000 10000}; do
    times=$((connections < 1000 ? 300 : connections < 10000 ? 100 : 20))
    round=0
    : >"$directory/plain"
    : >"$directory/shim"
    while [ $round -lt "$rounds" ]; do
        measure "$connections" $times "$directory/plain"
        measure "$connections" $times "$directory/shim" "$lib"
        round=$((round + 1))
    done
    row=$connections
    for column in 1 2; do
        for way in plain shim; do
            row="$row $(awk -v column=$column '{ print $column }' "$directory/$way" | spread %.1f | cut -d ' ' -f 1)"
        done
    done
    # Words are meant to be split.
    # shellcheck disable=SC2086
    printf '%12s %12s %12s %12s %12s\n' $row
    echo "$row" | tr ' ' , >>"$out/fork.csv"
done

plot fork <<'END'
set title 'fork() with open connections'
set logscale y
set ylabel 'us'
set xlabel 'connections'
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9
plot csv using 2:xtic(1) title 'the call, plain' lc rgb plain, '' using 3 title 'the call, shim' lc rgb shim, \
     '' using 4 title 'reaped, plain' lc rgb plain fs pattern 2, '' using 5 title 'reaped, shim' lc rgb shim fs pattern 2
END
