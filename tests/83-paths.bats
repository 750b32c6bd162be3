#!/usr/bin/env bats
# Paths that lose, delay, reorder and double packets, between two kernels: wire/link.py carries them between the program's
# network namespace and the client's, with the same chances each time (seed).
#
# What no clock of ours decides, and so is no bound: how often the kernels repeat what was lost.

load helper
load wire/wire
export LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=2s

# The client's input is unread when the server closes, and all of the reply is under way.
unread=(server await write=100000 close -- peer port send=100 read)
# It comes after the close, when the client's buffer is full at most.
late=(server write=100000 say=closing close -- peer port rcvbuf=20000 await=line pause=30 send=100 read)

# carried LINK-WORD...: the reply is cut without the shim; with it all arrives, and the close ends with the client's FIN
carried() {
    local exchange
    for exchange in unread late; do
        local -n words=$exchange
        link plain "$@" -- "${words[@]}"
        cut 100000
        link shimmed "$@" -- "${words[@]}"
        whole 100000
        grep -q 'end=eof bytes=100 ' <<<"$output"
    done
}

# It did happen: N of what the link counts, at least.
happened() {
    [ "$(value "$1")" -ge "$2" ] || complain "$1=$(value "$1"), fewer than $2"
}

@test "packets are lost: the reply arrives whole" {
    carried loss=5 seed=2
    happened lost 1
}

@test "packets overtake each other: the reply arrives whole" {
    carried late=30
    happened overtaken 10
}

@test "packets come twice: the reply arrives whole" {
    carried twice=20
    happened doubled 10
}

@test "a path with all of that: the reply arrives whole" {
    carried delay=10 loss=2 late=20 twice=5
    happened lost 1
    happened overtaken 5
    happened doubled 1
}

@test "a path that takes longer than IDLE: silence counts from the acknowledgement, and the client's FIN is near by then" {
    export LINGERCLOSE_IDLE=80ms
    carried delay=100
    # The first window of 100,000 bytes is 14,480: the close waited for more than one round trip.
    [ "$(value close_ms)" -ge 400 ]
}

@test "our FIN is lost twice: the close waits until the kernel has repeated it" {
    export LINGERCLOSE_IDLE=50ms
    carried lose=fin:2
    [ "$(value lost)" = 2 ]
    [ "$(value close_ms)" -ge 100 ]
}

@test "the client's FIN is lost twice: the close waits for it within IDLE, and past it the connection ends without a RST" {
    carried lose=answer:2
    [ "$(value lost)" = 2 ]
    between 180 "$(value close_ms)" 1900
    LINGERCLOSE_IDLE=100ms link shimmed lose=answer:2 after=700 -- "${unread[@]}"
    whole 100000
    [ "$(value lost)" = 2 ]
    grep -q 'end=idle bytes=100 ' <<<"$output"
    between 80 "$(value close_ms)" 400
}
