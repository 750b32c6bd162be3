#!/usr/bin/env bats
# AF_UNIX stream sockets have the same fault: the peer of one that is closed with unread input gets
# ECONNRESET. They linger where LINGERCLOSE_FAMILIES says so, and otherwise are left alone.

load helper
load ways

setup() {
    path=$BATS_TEST_TMPDIR/socket
}

# unixly plain|shimmed MODEL TYPE CASE
unixly() {
    rm -f "$path"
    "$1" unixes serve "$path" "$2" "$3" "$4" -- unixes peer "$path" "$3" "$4"
}

# ended END SEND_ERROR
ended() {
    [ "$(value bytes)" = 60000 ] || complain "the peer read $(value bytes) bytes"
    [ "$(value end)" = "$1" ] || complain "the peer's reading ended with $(value end)"
    [ "$(value send_error)" = "$2" ] || complain "the peer's sending ended with $(value send_error)"
}

@test "by default a unix socket is left alone" {
    local families
    for families in "" tcp; do
        [ -z "$families" ] || export LINGERCLOSE_FAMILIES=$families
        LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log unixly shimmed close stream unread
        ended RESET none
        unixly shimmed close stream late
        ended EOF EPIPE
        unixly shimmed exit stream unread
        ended RESET none
        never . "$BATS_TEST_TMPDIR/log"
    done
}

@test "with LINGERCLOSE_FAMILIES=tcp,unix the peer reads EOF although input was unread" {
    local model
    export LINGERCLOSE_FAMILIES=tcp,unix
    for model in close fclose exit fork; do
        unixly plain "$model" stream unread
        ended RESET none
        unixly shimmed "$model" stream unread
        ended EOF none
        exits_with 0
    done
}

@test "with it a log line of a unix connection says so in the place of its addresses" {
    export LINGERCLOSE_FAMILIES=tcp,unix LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log
    unixly shimmed close stream unread
    cat "$LINGERCLOSE_LOG"
    [ "$(grep -c ' local=unix remote=unix ' "$LINGERCLOSE_LOG")" = 1 ]
}

@test "with it the peer can still send after the close" {
    local model
    export LINGERCLOSE_FAMILIES=tcp,unix
    for model in close fclose exit fork; do
        unixly plain "$model" stream late
        ended EOF EPIPE
        unixly shimmed "$model" stream late
        ended EOF none
    done
}

@test "with it a silent peer is waited for no longer than LINGERCLOSE_IDLE" {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_FAMILIES=tcp,unix LINGERCLOSE_IDLE=300ms
    unixly plain close stream silent
    ended RESET none
    between 0 "$(value close_ms)" 50
    unixly shimmed close stream silent
    ended EOF none
    between 290 "$(value close_ms)" 900
}

@test "with it the second number of a unix connection is one too" {
    export LINGERCLOSE_FAMILIES=tcp,unix
    unixly plain dup stream unread
    ended RESET none
    unixly shimmed dup stream unread
    ended EOF none
}

@test "with it LINGERCLOSE_DRAIN_BYTES and LINGERCLOSE_MAX bound what is discarded of a unix connection" {
    export LINGERCLOSE_FAMILIES=tcp,unix LINGERCLOSE_IDLE=200ms
    LINGERCLOSE_DRAIN_BYTES=4 unixly shimmed close stream unread
    ended EOF none
    # The reset comes after the FIN: these peers read when both are there.
    LINGERCLOSE_DRAIN_BYTES=2 unixly shimmed close stream silent
    ended RESET none
    unixly shimmed close stream much
    ended EOF none
    # Past MAX a dup2 over it takes four of its buffers, 16 KB, and waits for nothing.
    unixly shimmed dup2 stream much
    ended EOF none
    LINGERCLOSE_MAX=0 unixly shimmed dup2 stream unread
    ended EOF none
    LINGERCLOSE_MAX=0 unixly shimmed dup2 stream much
    ended RESET none
}

@test "with it other types of unix sockets are left alone" {
    export LINGERCLOSE_FAMILIES=tcp,unix
    unixly plain close seqpacket unread
    [ "$(value end)" = RESET ]
    unixly shimmed close seqpacket unread
    [ "$(value end)" = RESET ]
}

@test "with it TCP lingers as before" {
    export LINGERCLOSE_FAMILIES=tcp,unix
    plain server await write=1000000 close -- peer port send=100 await=fin read
    cut 1000000
    shimmed server await write=1000000 close -- peer port send=100 await=fin read
    whole 1000000
    # To a bound, and to the peer's reset amid the lingering.
    LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=200ms shimmed server await write=1000 close -- peer port send=100 read silent
    between 190 "$(value close_ms)" 700
    LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=2s shimmed server await write=1000 close -- peer port send=100 await=fin pause=20 reset
    between 0 "$(value close_ms)" 1000
}

@test "with it the other end of a connection is looked for among TCP sockets alone, and among no more than 64" {
    export LINGERCLOSE_MODE=auto LINGERCLOSE_FAMILIES=tcp,unix LINGERCLOSE_IDLE=300ms
    cd "$BATS_TEST_TMPDIR"
    # A close that takes the other end for the program's own hands over, and does not wait.
    run in_netns env LD_PRELOAD="$lib" "$bin/bothends"
    between 0 "$(value first_ms)" 200
    shimmed server sockets=3 await write=1000 close -- peer port send=100 read silent
    between 290 "$(value close_ms)" 900
    # The name of this one begins with the number of the peer's port, where a TCP socket's address has its port.
    shimmed server decoy await write=1000 close -- peer port send=100 read silent
    between 290 "$(value close_ms)" 900
    shimmed server sockets=70 await write=1000 close -- peer port send=100 read silent
    between 290 "$(value close_ms)" 900
    # Nor has a unix connection an address to look for.
    unixly shimmed close stream silent
    between 290 "$(value close_ms)" 900
}
