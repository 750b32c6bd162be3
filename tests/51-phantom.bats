#!/usr/bin/env bats
# A closed connection lingers under another number, and the kernel would go on reporting it to the
# program's epoll sets by the number that it was added under. The program must see what it sees without
# the shim: exactly one close per connection, and no event for a number that it has closed.

load helper

setup() {
    export LINGERCLOSE_MODE=auto LINGERCLOSE_IDLE=2s
}

# The peer sends, then sends more after the close, then finishes; each after a line of the program.
peer_of_sets=(peer port send=100 await=line send=50 say=sent await=line fin say=finished await=line read
    say=over)

# no_events [WORD...]: one connection, registered as the words say, causes no event once it is closed,
# and the next file under its number is not taken out in its place. The control keeps a copy of it.
no_events() {
    plain sets "$@" keep -- "${peer_of_sets[@]}"
    [ "$(value finished)" = 1 ] || complain "the control saw no event"
    plain sets "$@" -- "${peer_of_sets[@]}"
    [ "$(value at_once)" = 0 ] && [ "$(value rsts)" = 1 ]
    shimmed sets "$@" -- "${peer_of_sets[@]}"
    never -E '(at_once|^server: sent|finished)=1' <<<"$output"
    [ "$(value newcomer)" = 1 ] || complain "the newcomer's event did not come"
    whole "$(value wrote)"
}

@test "a connection in one epoll set: no event after the close" {
    no_events
    no_events edge
}

@test "a connection in three sets: no event after the close" {
    no_events three
    no_events three edge
}

@test "a connection in a set inside a set inside a set: no event after the close" {
    no_events nested
    no_events nested edge
}

@test "a connection with EPOLLONESHOT: no event after the close" {
    no_events oneshot
}

@test "a connection with EPOLLEXCLUSIVE: no event after the close" {
    no_events exclusive
}

@test "a connection added by syscall(SYS_epoll_ctl), closed by syscall(SYS_close): no event after it" {
    no_events raw
    no_events raw three
}

@test "another thread inside epoll_wait gets no event after the close" {
    no_events waited
    no_events waited edge
    no_events waited nested
}

@test "a set with two numbers: no event by the other once the first is closed" {
    for by in dup dup2 dup3 fcntl; do
        no_events copied=$by
    done
    no_events copied=dup beforehand
    no_events copied=dup waited
}

@test "a set whose first number went to another set: no event after the close" {
    no_events copied=dup replaced
    no_events copied=dup2 replaced
}

@test "a connection that was added under a number it no longer has: no event after the last close" {
    # Nobody can take it out of the set by a number that is gone: here even a plain close is right.
    plain sets renamed keep -- "${peer_of_sets[@]}"
    [ "$(value finished)" = 1 ]
    shimmed sets renamed -- "${peer_of_sets[@]}"
    [ "$(value at_once)" = 0 ]
    [ "$(value finished)" = 0 ]
    [ "$(value newcomer)" = 1 ]
}

# What epoll-server saw of 30 silent and 1,000 other peers.
one_close_each() {
    plain epoll-server "$@" keep -- visitors port silent=10 normal=100 bound=2000 go term
    [ "$(value phantoms)" -gt 0 ] || complain "the control saw no phantom"
    shimmed epoll-server "$@" -- visitors port silent=30 normal=1000 go term
    [ "$(value complete)" = 1030 ] || complain "$(value complete) of 1030 got all"
    grep "accepted=1030 closes=1030 bad=0" <<<"$output" || complain "not one close per connection"
    [ "$(value phantoms)" = 0 ] || complain "$(value phantoms) events for connections that were closed"
    no_resets
}

@test "an event loop sees exactly one close per connection, however they are registered" {
    export LINGERCLOSE_IDLE=300ms
    one_close_each
    one_close_each edge
    one_close_each all
    one_close_each raw
}

@test "an event loop with several and with nested sets sees exactly one close per connection" {
    export LINGERCLOSE_IDLE=300ms
    one_close_each sets=3
    one_close_each sets=4 nested
    one_close_each sets=3 all
}

peer_of_shared=(peer port send=10 say=1 await=line await=line send=10 say=2 await=line send=10 say=3
    await=line await=line fin say=4 await=line read)

@test "a child that closes its copy does not take the connection out of its parent's set" {
    plain shared-set del -- "${peer_of_shared[@]}"
    [ "$(value got)" = 0 ]
    plain shared-set child -- "${peer_of_shared[@]}"
    [ "$(value got)" = 1 ]
    shimmed shared-set child -- "${peer_of_shared[@]}"
    [ "$(value got)" = 1 ]
    never 'old=1' <<<"$output"
    whole 1000
}

@test "a parent that closes its copy does not take the connection out of the set of the child that goes on" {
    plain shared-set parent -- "${peer_of_shared[@]}"
    [ "$(value rsts)" = 1 ]
    shimmed shared-set parent -- "${peer_of_shared[@]}"
    [ "$(value got)" = 1 ]
    never 'old=1' <<<"$output"
    whole 1000
}

@test "a child that puts its own connection into an inherited set leaves nothing there" {
    plain shared-set child-only -- "${peer_of_shared[@]}"
    [ "$(value rsts)" = 1 ]
    shimmed shared-set child-only -- "${peer_of_shared[@]}"
    [ "$(value got)" = 1 ]
    never 'old=1' <<<"$output"
    whole 1000
}

@test "a connection with O_ASYNC raises no SIGIO while it lingers in the background" {
    export LINGERCLOSE_MODE=background
    client=(peer port await=fin send=100 say=sent pause=50 read)
    plain phantom dup async -- "${client[@]}"
    [ "$(value signals)" = some ]
    shimmed phantom async -- "${client[@]}"
    [ "$(value signals)" = none ]
    [ "$(value events)" = none ]
    whole 1000
}

peer_of_waiting=(peer port send=10 await=line send=10 say=sent await=line fin say=fin await=line read
    say=over)

@test "poll and select called after the close know no such descriptor" {
    client=(peer port send=10 await=line send=10 say=sent read)
    plain waiting after -- "${client[@]}"
    expected=$(grep '^server: poll=' <<<"$output")
    [ "$expected" = "server: poll=1,0x20 select=-1,EBADF" ]
    shimmed waiting after -- "${client[@]}"
    [ "$(grep '^server: poll=' <<<"$output")" = "$expected" ]
    whole 1000
}

# A call that is under way holds the file itself: without the shim the connection is not even closed
# until something else wakes the call. With it the peer is told at once, and our FIN wakes the call.

@test "a thread inside poll while another closes: the peer is told at once, and poll learns that the number is gone" {
    plain waiting poll -- "${peer_of_waiting[@]}"
    [ "$(value fin)" = 0 ]
    [ "$(value early)" = 0 ]
    # POLLNVAL
    [ "$(value result)" = 0x20 ]
    [ "$(value rsts)" = 1 ]
    shimmed waiting poll -- "${peer_of_waiting[@]}"
    [ "$(value fin)" = 1 ]
    [ "$(value early)" = 1 ]
    [ "$(value result)" = 0x20 ]
    whole 1000
}

@test "a thread inside select while another closes: the peer is told at once" {
    plain waiting select -- "${peer_of_waiting[@]}"
    [ "$(value fin)" = 0 ]
    [ "$(value rsts)" = 1 ]
    shimmed waiting select -- "${peer_of_waiting[@]}"
    [ "$(value fin)" = 1 ]
    whole 1000
}

@test "io_uring polls the connection while it is closed: the peer is told at once, the poll ends with it" {
    plain waiting uring -- "${peer_of_waiting[@]}"
    if grep -q unavailable= <<<"$output"; then
        skip "io_uring is not available here: $(value unavailable)"
    fi
    [ "$(value fin)" = 0 ]
    [ "$(value rsts)" = 1 ]
    shimmed waiting uring -- "${peer_of_waiting[@]}"
    [ "$(value fin)" = 1 ]
    [ "$(value early)" = 0 ]
    # POLLRDHUP
    [ $(($(value result) & 0x2000)) -ne 0 ]
    whole 1000
}
