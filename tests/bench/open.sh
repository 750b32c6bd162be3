#!/bin/sh
# Does a close cost more where many descriptors are open? Processor time of closes in a process that has so many more open,
# without the shim, by hand and with it, by turns in one run. What the limit on descriptors (ulimit -Hn) forbids is left out.
#
#   EXTRA='10 100 1000 10000 100000' ROUNDS=15 sh tests/bench/open.sh
set -eu
# shellcheck source=tests/bench/figures.sh
. "$(dirname "$0")/figures.sh"
rounds=${ROUNDS:-15}
most=$(awk '/^Max open files/ { print $5 }' /proc/self/limits)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ "$most" != unlimited ] || most=1000000

echo 'open,file plain,file shim,tcp finished by hand,tcp finished shim,tcp waiting by hand,tcp waiting shim' >"$out/open.csv"
echo "processor time of one close with many descriptors open, us; medians of $rounds rounds of 64:"
printf '%10s %22s %25s %25s\n' '' 'a file' 'TCP, peer finished' 'TCP, peer waits for EOF' open 'plain shim' 'by hand shim' 'by hand shim'
for extra in ${EXTRA:-10 100 1000 10000 100000}; do
    if [ "$extra" -gt $((most - 1000)) ]; then
        echo "$(printf '%10s' "$extra")   not here: a process may have $most"
        continue
    fi
    "$bin/netns" "$bin/bench/kinds" open "$extra" "$rounds" "$lib" >"$work/ns"
    # median KIND COLUMN
    median() {
        awk -v kind="$1" -v column="$2" '$1 == kind { print $column / 1000 }' "$work/ns" | spread %.2f | cut -d ' ' -f 1
    }
    row="$(median file 3) $(median file 5) $(median tcp-finished 4) $(median tcp-finished 5) $(median tcp-waiting 4) $(median tcp-waiting 5)"
    # Words are meant to be split.
    # shellcheck disable=SC2086
    printf '%10s %11s %10s %14s %10s %14s %10s\n' "$extra" $row
    echo "$extra $row" | tr ' ' , >>"$out/open.csv"
done

plot open <<'END'
set title 'A close, with many descriptors open'
set logscale xy
set xlabel 'descriptors'
set ylabel 'processor time, us'
plot csv using 1:2 title 'file, plain' lt 1, '' using 1:3 title 'file, shim' lt 3, \
     '' using 1:4 title 'TCP finished, by hand' lt 2 dt 2, '' using 1:5 title 'TCP finished, shim' lt 3 dt 2, \
     '' using 1:6 title 'TCP waiting, by hand' lt 2 dt 3, '' using 1:7 title 'TCP waiting, shim' lt 3 dt 3
END
