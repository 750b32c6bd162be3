#!/usr/bin/env bats
# What a hostile peer can cost, and what a hostile local user can do: one who has taken a process of the family that forked
# from the program.

load helper

# hostile HOW PEERS N [VARIABLE=VALUE...]: bench/hostile.c's line in $output
hostile() {
    need_netns
    run in_netns "$bin/bench/hostile" "$1" "$2" "$3" 8000 "$lib" LINGERCLOSE_MODE=auto LINGERCLOSE_DRAIN=3s LINGERCLOSE_LINGER=2s \
        LINGERCLOSE_IDLE=1s "${@:4}"
    echo "$*: $output"
    [ "$status" -eq 0 ]
}

# bounded FIGURE BOUND: in ms, for each from its own close, and the figure from the last; and the cost is one descriptor a connection, an epoll set, one thread, and some memory
bounded() {
    between $(($2 - 100 - $(value closed_ms))) "$(value "$1")" $(($2 + 1500))
    [ "$(value left)" = 0 ]
    between 0 "$(value descriptors)" $((peers + 1))
    [ "$(value threads)" = 1 ]
    between 0 "$(value anonymous)" 1024
}

@test "peers that never close cost their descriptors for IDLE, and one thread" {
    peers=100
    hostile loop silent $peers
    bounded gone_ms 1000
    # The control: with a longer bound they are still there.
    hostile loop silent $peers LINGERCLOSE_IDLE=30s LINGERCLOSE_DRAIN=30s
    [ "$(value left)" = $peers ]
}

@test "peers that send a byte now and then, or as much as goes, cost their descriptors for DRAIN" {
    peers=100
    hostile loop drip $peers
    bounded gone_ms 3000
    hostile loop flood $peers
    bounded gone_ms 3000
    hostile loop drip $peers LINGERCLOSE_DRAIN=30s
    [ "$(value left)" = $peers ]
}

@test "peers that acknowledge nothing, or keep their window shut, cost their descriptors for LINGER" {
    peers=100
    hostile loop deaf $peers
    bounded gone_ms 2000
    hostile loop full $peers
    bounded gone_ms 2000
    hostile loop deaf $peers LINGERCLOSE_LINGER=30s LINGERCLOSE_DRAIN=30s
    [ "$(value left)" = $peers ]
}

@test "no more than MAX connections linger at once, however many peers do not close" {
    peers=50
    hostile loop silent 500 LINGERCLOSE_MAX=$peers LINGERCLOSE_IDLE=2s
    bounded gone_ms 2000
    hostile loop silent 500 LINGERCLOSE_IDLE=2s
    [ "$(value descriptors)" -ge 500 ]
}

@test "hostile peers hold up the end of a program for EXIT, and the close of a blocking socket for DRAIN or LINGER" {
    hostile exit drip 50 LINGERCLOSE_EXIT=1s
    between 900 "$(value closed_ms)" 2500
    hostile exit drip 50 LINGERCLOSE_EXIT=3s LINGERCLOSE_DRAIN=20s
    between 2900 "$(value closed_ms)" 4500
    hostile sync drip 1
    between 2900 "$(value closed_ms)" 4500
    hostile sync deaf 1
    between 1900 "$(value closed_ms)" 3500
}

@test "a child that writes rubbish over the shared memory neither crashes its parent nor holds it up" {
    local fill
    # A parent that takes an index from that memory dies of it.
    preload=$debug_lib LINGERCLOSE_MUTANT=trusts-shared shimmed rubbish ones -- peer port send=100 read
    [ "$(value overwritten)" -gt 0 ]
    never alive <<<"$output"
    for fill in ones 1 2 3 4 5; do
        start=${EPOCHREALTIME/./}
        shimmed rubbish $fill -- peer port send=100 read
        [ "$(value overwritten)" -gt 0 ]
        grep -q alive <<<"$output"
        between 0 $(((${EPOCHREALTIME/./} - start) / 1000)) 10000
    done
}
