#!/usr/bin/env bats
# Every subset of LINGERCLOSE_STEPS against three peers. Where a subset is one of the solutions
# of busybox's tcp.txt, the control is that solution written into the program.

load helper

setup() {
    export LINGERCLOSE_IDLE=150ms
}

# The three peers: nothing unread, input unread at the close, input that comes after the close.
nothing=(await=fin read)
unread=(send=100 await=fin read)
late=(await=line send=100 pause=20 read)

# by_hand WORDS...: the same in the program, without the shim
by_hand() {
    plain server write=1000000 "$@" close -- peer port "${nothing[@]}"
    whole 1000000
    plain server await write=1000000 "$@" close -- peer port "${unread[@]}"
    resets
    plain server write=1000000 "$@" say=closing close -- peer port "${late[@]}"
    resets
}

resets() {
    [ "$(value rsts)" -gt 0 ] || complain "no RST was sent"
}

without_drain() {
    shimmed server write=1000000 close -- peer port "${nothing[@]}"
    whole 1000000
    shimmed server await write=1000000 close -- peer port "${unread[@]}"
    resets
    shimmed server write=1000000 say=closing close -- peer port "${late[@]}"
    resets
}

with_drain() {
    shimmed server write=1000000 close -- peer port "${nothing[@]}"
    whole 1000000
    shimmed server await write=1000000 close -- peer port "${unread[@]}"
    whole 1000000
    shimmed server write=1000000 say=closing close -- peer port "${late[@]}"
    whole 1000000
}

@test "STEPS=linger gives solution #1: whole, but resets with unread or late input" {
    by_hand linger=5
    LINGERCLOSE_STEPS=linger without_drain
}

@test "STEPS=shutdown gives solution #2: whole, but resets with unread or late input" {
    by_hand shut=wr
    LINGERCLOSE_STEPS=shutdown without_drain
}

@test "STEPS=linger,shutdown gives #1 and #2 combined: whole, but resets with unread or late input" {
    by_hand linger=5 shut=wr
    LINGERCLOSE_STEPS=linger,shutdown without_drain
}

@test "STEPS=shutdown,drain gives solution #3: whole with every peer" {
    by_hand
    LINGERCLOSE_STEPS=shutdown,drain with_drain
}

@test "STEPS=drain reads what comes until IDLE, and only then lets the kernel send FIN" {
    by_hand
    unread=(send=100 pause=20 read) nothing=(read)
    LINGERCLOSE_STEPS=drain with_drain
}

@test "STEPS=linger,drain is drain alone as the peer sees it" {
    by_hand
    unread=(send=100 pause=20 read) nothing=(read)
    LINGERCLOSE_STEPS=linger,drain with_drain
}

@test "STEPS=linger,shutdown,drain, the default, is whole with every peer" {
    by_hand
    LINGERCLOSE_STEPS=linger,shutdown,drain with_drain
    with_drain
}

@test "the order of the words in STEPS means nothing" {
    by_hand
    LINGERCLOSE_STEPS=drain,shutdown with_drain
    LINGERCLOSE_STEPS=drain,linger,shutdown with_drain
}

@test "without a drain it is so too of an event loop's close, at the end of a process, past MAX, and with a bound of ms" {
    export LINGERCLOSE_MODE=auto LINGERCLOSE_LINGER=400ms
    local steps words
    for steps in linger shutdown; do
        export LINGERCLOSE_STEPS=$steps
        for words in close "nonblock close" nonblock; do
            # shellcheck disable=SC2086 # words
            shimmed server write=1000000 $words -- peer port "${nothing[@]}"
            whole 1000000
            # shellcheck disable=SC2086
            shimmed server await write=1000000 $words -- peer port "${unread[@]}"
            resets
            # shellcheck disable=SC2086
            LINGERCLOSE_MAX=0 shimmed server await write=1000000 $words -- peer port "${unread[@]}"
            resets
        done
        shimmed server write=1000000 nonblock close -- peer port silent
        between 0 "$(value close_ms)" 100
        # What is acknowledged is not waited for.
        shimmed server write=1000000 close -- peer port read
        between 0 "$(value close_ms)" 300
    done
}

@test "only the linger step waits for our own data when nothing is drained" {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_LINGER=400ms
    plain server write=1000000 close -- peer port silent
    between 0 "$(value close_ms)" 100
    LINGERCLOSE_STEPS=linger shimmed server write=1000000 close -- peer port silent
    between 380 "$(value close_ms)" 700
    LINGERCLOSE_STEPS=linger,shutdown shimmed server write=1000000 close -- peer port silent
    between 380 "$(value close_ms)" 700
    LINGERCLOSE_STEPS=shutdown shimmed server write=1000000 close -- peer port silent
    between 0 "$(value close_ms)" 100
}
