#!/bin/sh
# What it costs that connections linger, all at once and with silent peers, against a server that keeps
# as many connections open.
#
#   CONNECTIONS='1 100 1000 10000 50000' sh tests/bench/lingering.sh
set -eu
# shellcheck source=tests/bench/figures.sh
. "$(dirname "$0")/figures.sh"
name=lingering

# Time for all of them to come in: IDLE counts for each from its own close.
export LINGERCLOSE_MAX=1000000 LINGERCLOSE_IDLE=120s LINGERCLOSE_DRAIN=120s

# value NAME LINE
value() {
    for word in $2; do
        case $word in "$1"=*) echo "${word#*=}" ;; esac
    done
}

echo 'connections,processes,memory shim,memory kept open,up shim,up kept open,next close,down shim,down kept open,processor,left' >"$out/$name.csv"
echo 'Connections that linger at once, their peers silent; in brackets, of a server that keeps as many open instead:'
printf '%11s %9s %22s %22s %9s %18s %9s\n' '' '' 'memory a connection' 'accept to close' 'the next' 'its end' 'processor'
printf '%11s %9s %22s %22s %9s %18s %9s\n' connections processes 'bytes' 'CPU us' 'close us' 'CPU us' '%'
for connections in ${CONNECTIONS:-1 100 1000 10000 50000}; do
    without=$("$bin/netns" "$bin/bench/lingering" measure "$connections")
    with=$("$bin/netns" "$bin/bench/lingering" measure "$connections" "$lib")
    # cell NAME
    cell() { echo "$(value "$1" "$with") ($(value "$1" "$without"))"; }
    if [ "$(value still "$with")" -lt "$connections" ]; then
        echo "only $(value still "$with") of $connections connections still lingered after the idle seconds" >&2
        exit 1
    fi
    printf '%11s %9s %22s %22s %9s %18s %9s\n' "$connections" "$(value servers "$with")" "$(cell anonymous)" "$(cell up_us)" \
        "$(value next_us "$with")" "$(cell down_us)" "$(value idle "$with")"
    row=$connections,$(value servers "$with")
    for figure in anonymous up_us; do
        row=$row,$(value $figure "$with"),$(value $figure "$without")
    done
    echo "$row,$(value next_us "$with"),$(value down_us "$with"),$(value down_us "$without"),$(value idle "$with"),$(value left "$with")" >>"$out/$name.csv"
done

plot $name <<'END'
set title 'Connections that linger at once'
set logscale x
set xlabel 'connections'
set ylabel 'CPU time, us a connection'
set y2label '% of a processor'
set y2tics
set yrange [0:*]
set y2range [0:*]
plot csv using 1:5 title 'accept to close' lt 3, '' using 1:6 title 'without the close' lt 1, \
     '' using 1:7 title 'the next close, elapsed' lt 2, '' using 1:10 axes x1y2 title 'while they linger (right)' lt 4
END
