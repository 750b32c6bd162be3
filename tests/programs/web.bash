# shellcheck shell=bash disable=SC2154,SC2034,SC2015,SC2153 # bats sets output and status; helper.bash the rest
# For servers with event loops, after `load helper`:
#
#   ends SIGNAL NAME        the oldest process NAME gets SIGNAL; how many ms until none is left is in $ms
#   leaves_nothing START PORT QUIET EARLY       no socket more than before, no zombie, after many early replies
#   lingers NAME CASE START PORT EARLY    as `early`, where the program lingers itself: see below

# Open sockets of all processes in the place. Those of a connection that lingers go with it.
sockets() {
    inside find /proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' -lname 'socket:*' 2>/dev/null | wc -l
}

# After QUIET and then 60 times EARLY, 20 at once, there are soon as many open sockets as after QUIET, and nobody waits to be
# reaped.
leaves_nothing() {
    local start=$1 port=$2 quiet=("${!3}") early=("${!4}") before tries
    phase shim
    "$start"
    ask "$port" any "${quiet[@]}"
    sleep 0.2
    before=$(sockets)
    for _ in 1 2 3; do
        at_once 20 "$port" any "${early[@]}"
        wait "${at_once[@]}"
    done
    cat "$work"/peer.*
    cat "$work"/peer.* | never -v 'end=EOF'
    for ((tries = 0; tries < 60; tries++)); do
        [ "$(sockets)" -gt "$before" ] || break
        sleep 0.1
    done
    [ "$tries" -lt 60 ] || complain "$(sockets) sockets are open, $before were before"
    inside ps -A -o stat=,args= | never '^Z'
}

ends() {
    local pid t
    pid=$(inside pgrep -o -x "$2") || complain "no process $2"
    t=$(date +%s%3N)
    inside kill "-$1" "$pid"
    while inside pgrep -x "$2" >/dev/null; do
        ms=$(($(date +%s%3N) - t))
        [ "$ms" -lt 20000 ] || complain "$2 goes on after SIG$1" || return
    done
    ms=$(($(date +%s%3N) - t))
    echo "$phase: $2 ended $ms ms after SIG$1"
}

# lingers PROGRAM CASE START PORT EARLY
#
# A program that lingers itself: EARLY ends with EOF and without RST in each of TRIES, and reads as much and takes no
# longer with the shim (the quickest of each, in ms: a busy machine is no delay of ours).
lingers() {
    local program=$1 case=$2 start=$3 port=$4 early=("${!5}") i j whole
    local -A ms
    for i in plain shim; do
        phase "$i"
        "$start"
        : >"$work/ms"
        for ((j = 0; j < TRIES; j++)); do
            ask "$port" any "${early[@]//TRY/$j}"
            [ "$(value end) $(value send_error)" = "EOF none" ] && [ "$(value bytes)" = "${whole:=$(value bytes)}" ] ||
                complain "$i: try $j was not whole"
            value ms >>"$work/ms"
        done
        ms[$i]=$(sort -n "$work/ms" | head -n 1)
        kernel
        no_resets
    done
    [ "${ms[shim]}" -le $((ms[plain] * 3 / 2 + 100)) ] || complain "${ms[shim]} ms with the shim, ${ms[plain]} without"
    row "$program" "$case" "$TRIES of $TRIES whole" "$TRIES of $TRIES whole"
}
