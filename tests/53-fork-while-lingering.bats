#!/usr/bin/env bats
# A process forks, or executes another program, while connections of its linger in the background. A
# child has no such thread: what it inherits of them would keep them alive for ever. forker says in its
# first lines what it does; the dripping peers learn by a RST that nobody holds the connection any more.

load helper

setup() {
    export LINGERCLOSE_MODE=auto LINGERCLOSE_IDLE=400ms LINGERCLOSE_DRAIN=700ms
}

# becomes HOW: five dripping peers linger when it happens, 200 others come afterwards.
becomes() {
    plain forker 5 "$@" -- visitors port drip=5 go normal=200 go term
    [ "$(grep -c 'complete=0' <<<"$output")" = 2 ]
    [ "$(value rsts)" -ge 205 ]
    shimmed forker 5 "$@" -- visitors port drip=5 go normal=200 go given-up term
    grep 'complete=5 short=0 reset=0' <<<"$output"
    grep 'complete=200 short=0 reset=0' <<<"$output"
    never -v 'extra=0' < <(grep 'extra=' <<<"$output")
    value given_up_ms
    [ "$(value rsts)" = 5 ]
}

@test "a child that does nothing holds none of what lingers in its parent" {
    plain forker 1 keep -- visitors port drip=1 go bound=1500 given-up term
    [ "$(value extra)" = 1 ]
    [ "$(value not_given_up)" = 1 ]
    becomes child
    at_most_ms 1500 "$(value given_up_ms)"
}

@test "workers forked while their master lingers linger themselves, and so does the master" {
    becomes prefork=3
}

@test "a program that turns into a daemon while connections linger goes on lingering" {
    becomes daemon
}

@test "a daemon whose parent lingers: the parent is gone within LINGERCLOSE_EXIT" {
    export LINGERCLOSE_IDLE=10s LINGERCLOSE_DRAIN=10s LINGERCLOSE_EXIT=600ms
    shimmed forker 5 daemon -- visitors port drip=5 go normal=200 go given-up term
    grep 'complete=5 short=0 reset=0' <<<"$output"
    at_most_ms 1500 "$(value given_up_ms)"
}

@test "exec while connections linger: nothing leaks, and what lingered is cut short" {
    # That is: FIN is sent and what was unread is discarded, but late input meets a RST at once.
    export LINGERCLOSE_DRAIN=10s
    becomes exec
    at_most_ms 1500 "$(value given_up_ms)"
}

@test "one thread forks while others close and many connections linger: all complete, nothing inherited" {
    export LINGERCLOSE_IDLE=1s LINGERCLOSE_DRAIN=1s
    plain forker 0 threads=4 -- visitors port silent=20 normal=500 go term
    [ "$(value rsts)" -ge 500 ]
    shimmed forker 0 threads=4 -- visitors port drip=20 silent=200 normal=3000 go given-up fds=1 term
    grep 'complete=3220 short=0 reset=0' <<<"$output"
    [ "$(value children)" -ge 50 ]
    [ "$(value extra)" = 0 ]
    [ "$(value rsts)" = 20 ]
}

@test "100 forks a second while 500 linger: none is reset, no child inherits one" {
    export LINGERCLOSE_IDLE=2s LINGERCLOSE_DRAIN=2s
    plain epoll-server forks=100 keep -- visitors port silent=100 normal=500 go bound=1000 fds term
    [ "$(value strange)" -gt 0 ]
    shimmed epoll-server forks=100 -- visitors port silent=500 normal=3000 go fds=1 term
    [ "$(value complete)" = 3500 ]
    [ "$(value closes)" = 3500 ] && [ "$(value phantoms)" = 0 ]
    [ "$(value strange)" = 0 ]
    # 100 a second for as long as it took.
    [ $(($(value forks) * 1000 / ($(value ms) + $(value fds_ms)))) -ge 70 ]
    no_resets
}

@test "a signal handler that forks while close waits: the child comes back from close" {
    corner handler
    [ "$output" = "amid=0 child=6" ]
    corner handler LD_PRELOAD="$lib" LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=1s
    [ "$output" = "amid=1 child=6" ]
}

@test "a signal handler that forks in the middle of close: the child leaves alone what has got our numbers" {
    corner amid
    [[ $output == spoiled=0* ]]
    corner amid LD_PRELOAD="$debug_lib" LINGERCLOSE_MODE=sync LINGERCLOSE_DELAY=300 LINGERCLOSE_IDLE=20ms
    [ "$output" = "spoiled=0 during=some" ]
}

@test "a signal handler that forks while shutdown waits: the child comes back, keeps its files and is not busy" {
    corner shutter
    [ "$output" = "files=20" ]
    corner shutter LD_PRELOAD="$lib" LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=1s
    [ "$output" = "files=20" ]
}

@test "an unnoticed child that has no descriptor left takes nothing from what lingers in its parent" {
    corner emfile
    [ "$(value sent)" -lt 10 ]
    corner emfile LD_PRELOAD="$lib" LINGERCLOSE_IDLE=5s LINGERCLOSE_DRAIN=5s
    [ "$output" = "sent=10 queued=0" ]
}

at_most_ms() {
    [ "$2" -le "$1" ] || complain "$2 ms are more than $1"
}

@test "a signal handler that forks while close_range waits: the child comes back from it" {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=500ms
    plain meanwhile fork-range -- peer port send=10 silent
    shimmed meanwhile fork-range -- peer port send=10 silent
    grep "^server: ret=0 signals=some busy=0 child=7" <<<"$output"
}
