#!/usr/bin/env bats
# What the peer of a closed connection reads. Each case first without the shim.

load helper

@test "a reply of 1 MB arrives whole although a request was left unread" {
    plain server await write=1000000 close -- peer port send=100 await=fin read
    cut 1000000
    [ "$(value abort_on_close)" = 1 ]
    shimmed server await write=1000000 close -- peer port send=100 await=fin read
    whole 1000000
}

@test "a reply of 1 MB arrives whole although input comes after the close" {
    plain server write=1000000 close -- peer port await=fin send=100 read
    cut 1000000
    [ "$(value abort_on_data)" = 1 ]
    shimmed server write=1000000 close -- peer port await=fin send=100 read
    whole 1000000
}

@test "a slow reader gets all of 1 MB that was outstanding at the close" {
    plain server await write=1000000 close -- peer port send=100 slow=20000:2
    cut 1000000
    shimmed server await write=1000000 close -- peer port send=100 slow=20000:2
    whole 1000000
}

@test "an upload of 20 MB that the server refuses ends with the server's answer" {
    plain server await write=1000 close -- peer port send=20000000 read
    [ "$(value sent)" -lt 20000000 ]
    [ "$(value send_error)" != none ]
    [ "$(value rsts)" -gt 0 ]
    shimmed server await write=1000 close -- peer port send=20000000 read
    whole 1000
    [ "$(value sent)" = 20000000 ]
    [ "$(value send_error)" = none ]
}

@test "a connection that the program opened itself is closed as gently" {
    SHIM_ON=client plain peer listen send=100 await=fin read -- \
        server to port await write=1000000 close
    cut 1000000
    SHIM_ON=client shimmed peer listen send=100 await=fin read -- \
        server to port await write=1000000 close
    whole 1000000
}

@test "IPv6 connections are closed gently, with unread and with late input" {
    plain server 6 await write=1000000 close -- peer 6 port send=100 await=fin read
    cut 1000000
    plain server 6 write=1000000 close -- peer 6 port await=fin send=100 read
    cut 1000000
    shimmed server 6 await write=1000000 close -- peer 6 port send=100 await=fin read
    whole 1000000
    shimmed server 6 write=1000000 close -- peer 6 port await=fin send=100 read
    whole 1000000
}

@test "MPTCP connections are closed gently" {
    need_mptcp
    plain server mptcp await write=1000000 close -- peer mptcp port send=100 slow=20000:2
    cut 1000000
    shimmed server mptcp await write=1000000 close -- peer mptcp port send=100 slow=20000:2
    whole 1000000
}

@test "a plain TCP peer of an MPTCP server is closed gently" {
    need_mptcp
    plain server mptcp await write=1000000 close -- peer port send=100 slow=20000:2
    cut 1000000
    shimmed server mptcp await write=1000000 close -- peer port send=100 slow=20000:2
    whole 1000000
}

@test "a non-blocking connection is closed as gently as a blocking one" {
    plain server await write=1000000 nonblock close -- peer port send=100 await=fin read
    cut 1000000
    shimmed server await write=1000000 nonblock close -- peer port send=100 await=fin read
    whole 1000000
}

@test "a program that did shutdown(SHUT_WR) itself no longer resets with unread input" {
    plain server await write=1000000 shut=wr close -- peer port send=100 slow=20000:2
    cut 1000000
    shimmed server await write=1000000 shut=wr close -- peer port send=100 slow=20000:2
    whole 1000000
}

@test "a program that did shutdown(SHUT_WR) itself no longer resets on late input" {
    plain server write=1000000 shut=wr close -- peer port await=fin send=100 slow=20000:2
    cut 1000000
    shimmed server write=1000000 shut=wr close -- peer port await=fin send=100 slow=20000:2
    whole 1000000
}

@test "both sides have finished, data is outstanding and input unread: it is drained, not reset" {
    plain server await=fin write=1000000 shut=wr close -- peer port send=100 fin slow=20000:2
    cut 1000000
    shimmed server await=fin write=1000000 shut=wr close -- peer port send=100 fin slow=20000:2
    whole 1000000
}

@test "the peer has finished and its input is unread: it is drained, not reset" {
    plain server await=fin write=1000000 close -- peer port send=100 fin await=fin read
    cut 1000000
    shimmed server await=fin write=1000000 close -- peer port send=100 fin await=fin read
    whole 1000000
}

@test "corked data leaves with the close although input is unread" {
    plain server await cork write=1000 close -- peer port send=100 read
    [ "$(value bytes)" = 0 ]
    cut 1000
    shimmed server await cork write=1000 close -- peer port send=100 read
    whole 1000
}

@test "an urgent byte in the unread input does not stop the drain" {
    plain server await=line write=1000000 close -- \
        peer port send=100 urgent send=100 say=sent await=fin read
    cut 1000000
    shimmed server await=line write=1000000 close -- \
        peer port send=100 urgent send=100 say=sent await=fin read
    whole 1000000
    plain server write=1000000 close -- peer port await=fin urgent read
    cut 1000000
    shimmed server write=1000000 close -- peer port await=fin urgent read
    whole 1000000
}

@test "a close waits for a peer that has not finished, and not for one that has" {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=300ms
    plain server await write=100 close -- peer port send=1 silent
    between 0 "$(value close_ms)" 50
    [ "$(value rsts)" = 1 ]
    shimmed server read=1 write=100 close -- peer port send=1 silent
    between 280 "$(value close_ms)" 600
    shimmed server await=fin write=100 close -- peer port fin silent
    between 0 "$(value close_ms)" 50
    no_resets
}

@test "a close ends as soon as the peer has finished, long before the bounds" {
    plain server await write=1000000 close -- peer port send=100 await=fin read
    cut 1000000
    LINGERCLOSE_IDLE=10s shimmed server await write=1000000 close -- \
        peer port send=100 await=fin read
    whole 1000000
    between 0 "$(value close_ms)" 1000
}

@test "the peer's reset in the middle of lingering ends it at once" {
    # The control is the same peer without its reset: there the close waits.
    export LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=300ms
    shimmed server write=100 close -- peer port await=fin read silent
    between 280 "$(value close_ms)" 600
    shimmed server write=100 close -- peer port await=fin reset silent
    between 0 "$(value close_ms)" 100
    [ "$(value ret)" = 0 ]
}

@test "close returns 0 and leaves errno alone, whatever the lingering met" {
    plain server await write=1000 errno=77 close -- peer port send=100 read
    [ "$(value ret)" = 0 ]
    [ "$(value errno)" = 77 ]
    shimmed server await write=1000 errno=77 close -- peer port send=100 read
    [ "$(value ret)" = 0 ]
    [ "$(value errno)" = 77 ]
    whole 1000
    shimmed server write=100 errno=77 close -- peer port await=fin reset
    [ "$(value ret)" = 0 ]
    [ "$(value errno)" = 77 ]
}
