#!/bin/sh
# What hostile peers cost a server at most: each kind of peer, PEERS at once, against the setting that bounds it (made
# small, so that this takes a minute: the bound is what counts).
#
#   PEERS=1000 sh tests/bench/hostile.sh
set -eu
# shellcheck source=tests/bench/figures.sh
. "$(dirname "$0")/figures.sh"
peers=${PEERS:-1000}
drain=3s linger=2s idle=1s exit=1s max=100

# value NAME LINE
value() {
    for word in $2; do
        case $word in "$1"=*) echo "${word#*=}" ;; esac
    done
}

# row HOW PEERS N SETTING TOOK [VARIABLE=VALUE]: TOOK is the figure that SETTING bounds
row() {
    how=$1 kind=$2 n=$3 setting=$4 took=$5
    shift 5
    line=$("$bin/netns" "$bin/bench/hostile" "$how" "$kind" "$n" 20000 "$lib" LINGERCLOSE_DRAIN=$drain LINGERCLOSE_LINGER=$linger \
        LINGERCLOSE_IDLE=$idle LINGERCLOSE_EXIT=$exit "$@")
    case $kind in
    silent) does='never close' ;;
    drip) does='a byte each 200 ms' ;;
    flood) does='send on and on' ;;
    deaf) does='acknowledge nothing' ;;
    full) does='window stays shut' ;;
    esac
    case $how in
    exit) does="$does, at exit" ;;
    sync) does="$does, blocking" ;;
    esac
    if [ "$how" = loop ]; then
        set -- "$(value descriptors "$line")" "$(value threads "$line")" "$(value anonymous "$line")" "$(value kernel "$line")" "$(value cpu_ms "$line")"
    else
        set -- - - - - -
    fi
    printf '%5s %-28s %-18s %8s %11s %7s %10s %10s %6s\n' "$n" "$does" "$setting" "$(value "$took" "$line")" "$@"
    echo "$n,$does,$setting,$(value "$took" "$line"),$1,$2,$3,$4,$5" >>"$out/hostile.csv"
}

echo 'peers,what they do,bound,ms,descriptors,threads,shim bytes,kernel bytes,cpu ms' >"$out/hostile.csv"
echo 'what hostile peers cost at most; memory and buffers in bytes a connection; descriptors include one epoll set:'
printf '%5s %-28s %-18s %8s %11s %7s %10s %10s %6s\n' peers 'that' 'bound' 'took ms' descriptors threads memory buffers 'CPU ms'
row loop silent "$peers" "IDLE=$idle" gone_ms
row loop drip "$peers" "DRAIN=$drain" gone_ms
row loop flood "$peers" "DRAIN=$drain" gone_ms
row loop flood "$peers" 'DRAIN_BYTES=64K' gone_ms LINGERCLOSE_DRAIN_BYTES=64K
row loop deaf "$peers" "LINGER=$linger" gone_ms
row loop full "$peers" "LINGER=$linger" gone_ms
row loop silent "$peers" "MAX=$max" gone_ms LINGERCLOSE_MAX=$max
row exit drip "$peers" "EXIT=$exit" closed_ms
row sync drip 1 "DRAIN=$drain" closed_ms
row sync deaf 1 "LINGER=$linger" closed_ms
