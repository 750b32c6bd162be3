#!/usr/bin/env bats
# Calls of ours that fail: what tests/check-faults found. The calls are made to fail by tests/inject.c, or for good
# by tests/nolock.c's filter.

load helper
load ways

setup() {
    client=(peer port send=100 read)
    export LINGERCLOSE_IDLE=200ms LINGERCLOSE_DRAIN=1s
}

number() {
    echo "SYS_$1" | gcc -E -P -include sys/syscall.h -x c - | tail -n 1
}

need_inject() {
    run "$bin/inject" list /dev/null true
    [ "$status" != 77 ] || skip "faults cannot be injected here"
}

@test "dup2 leaves errno alone where a filter refuses the question before it" {
    "$bin/nolock" F_GETFD EPERM true || skip "no seccomp filter can be installed here"
    plain nolock F_GETFD EPERM faults dup2 -- "${client[@]}"
    same_server
    shimmed nolock F_GETFD EPERM faults dup2 -- "${client[@]}"
    same_server
    grep 'dup2(other, conn): [0-9]*, errno 77' <<<"$output"
}

@test "close_range that a filter refuses has closed nothing" {
    need_inject
    local range
    range=$(number close_range)
    plain inject 0 "$range" 1 EPERM+ faults close_range -- "${client[@]}"
    grep 'close_range(conn, conn, 0): -1, errno 1$' <<<"$output"
    grep 'descriptors: 1 too many' <<<"$output"
    same_server
    shimmed inject 0 "$range" 1 EPERM+ faults close_range -- "${client[@]}"
    same_server
}

@test "shutdown succeeds though the peer finishes in the moment when we stop to wait for it" {
    need_inject
    local ioctl
    ioctl=$(number ioctl)
    plain faults shutdown -- "${client[@]}"
    grep 'shutdown(conn, SHUT_RDWR): 0, errno 77' <<<"$output"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        shimmed inject 0 "$ioctl" 1 EACCES faults shutdown -- "${client[@]}"
        grep 'fault: done' <<<"$output"
        grep 'shutdown(conn, SHUT_RDWR): 0, errno 77' <<<"$output"
    done
}

# faulty CALL OCCURRENCE ERROR SERVER [ARG...] -- CLIENT [ARG...]: with this fault in the close
faulty() {
    shimmed inject 0 "$(number "$1")" "$2" "$3" "${@:4}"
    grep 'fault: done' <<<"$output"
}

@test "an input that cannot be read once is read, and one that cannot be read at all ends the lingering" {
    need_inject
    export LINGERCLOSE_MODE=sync
    local error
    for error in EINTR ENOMEM ECONNRESET; do
        faulty recvfrom 1 $error server await write=1000000 close -- peer port send=100 await=fin read
        whole 1000000
    done
    faulty recvfrom 1 EPERM+ server await write=1000000 close -- peer port send=100 await=fin read
    cut 1000000
    [ "$(value ret)" = 0 ]
}

@test "a queue that cannot be asked counts as acknowledged: IDLE is waited for, and not LINGER" {
    need_inject
    export LINGERCLOSE_MODE=sync LINGERCLOSE_LINGER=2s LINGERCLOSE_DRAIN=3s
    shimmed server write=1000000 close -- peer port silent
    between 1900 "$(value close_ms)" 3000
    faulty ioctl 1 EPERM+ server write=1000000 close -- peer port silent
    between 190 "$(value close_ms)" 1000
}

@test "with WHEN=pending a queue that cannot be asked is pending" {
    need_inject
    export LINGERCLOSE_MODE=sync LINGERCLOSE_WHEN=pending
    shimmed server close -- peer port silent
    between 0 "$(value close_ms)" 100
    for occurrence in 1 2; do
        faulty ioctl $occurrence EPERM server close -- peer port silent
        between 190 "$(value close_ms)" 1000
    done
}

@test "without a drain a queue that cannot be asked is not waited for" {
    need_inject
    export LINGERCLOSE_STEPS=linger LINGERCLOSE_LINGER=600ms LINGERCLOSE_MODE=sync
    shimmed server write=1000000 close -- peer port silent
    between 550 "$(value close_ms)" 1000
    faulty ioctl 1 EPERM+ server write=1000000 close -- peer port silent
    between 0 "$(value close_ms)" 300
}

@test "a port that the kernel does not tell is none of those in LINGERCLOSE_PORTS" {
    need_inject
    export LINGERCLOSE_PORTS=1-65535
    shimmed server await write=1000000 close -- peer port send=100 await=fin read
    whole 1000000
    faulty getsockname 1 EPERM server await write=1000000 close -- peer port send=100 await=fin read
    cut 1000000
}

@test "a peer whose address the kernel does not tell is not the program itself: the close waits" {
    need_inject
    export LINGERCLOSE_MODE=auto LINGERCLOSE_IDLE=300ms
    for call in getpeername getsockname; do
        faulty $call 1 EPERM server sockets=3 await write=1000 close -- peer port send=100 read silent
        between 290 "$(value close_ms)" 900
    done
}

@test "whichever question about a unix connection, or a TCP one beside it, is refused: the close succeeds and ends" {
    need_inject
    export LINGERCLOSE_MODE=sync LINGERCLOSE_FAMILIES=tcp,unix
    local path=$BATS_TEST_TMPDIR/socket occurrence
    for occurrence in 1 2 3 4 5 6; do
        rm -f "$path"
        shimmed inject 0 "$(number getsockopt)" $occurrence EPERM unixes serve "$path" close stream unread \
            -- unixes peer "$path" stream unread
        [ "$(value bytes)" = 60000 ]
        [[ $(value end) = EOF || $(value end) = RESET ]]
        between 0 "$(value close_ms)" 1000
        shimmed inject 0 "$(number getsockopt)" $occurrence EPERM server write=1000 close -- peer port read silent
        [ "$(value ret)" = 0 ]
        between 0 "$(value close_ms)" 1500
    done
    rm -f "$path"
    faulty getpeername 1 EPERM unixes serve "$path" close stream unread -- unixes peer "$path" stream unread
    [ "$(value end)" = RESET ]
}

@test "a fork that fails gives nothing away: the close lingers" {
    need_inject
    plain inject 0 "$(number clone)" 1 EAGAIN faults fork -- "${client[@]}"
    grep 'server: pid: -1' <<<"$output"
    for call in fork:clone vfork+exec:vfork; do
        shimmed inject 0 "$(number ${call#*:})" 1 EAGAIN faults ${call%:*} -- "${client[@]}"
        grep 'fault: done' <<<"$output"
        whole 100000
    done
}

@test "where no thread can be had for the background, its epoll set is not kept" {
    "$bin/refuse" EAGAIN true || skip "no seccomp filter can be installed here"
    export LINGERCLOSE_MODE=background
    run "$bin/refuse" EAGAIN "$bin/late" thread
    [[ $output = *pthread_create* ]]
    shimmed refuse EAGAIN faults close -- "${client[@]}"
    grep 'descriptors: 0 too many' <<<"$output"
}

@test "close_range and the background end though a filter refuses epoll_pwait" {
    need_inject
    local wait
    wait=$(number epoll_pwait)
    plain faults close_range -- "${client[@]}"
    same_server
    shimmed inject 0 "$wait" 1 EPERM+ faults close_range -- "${client[@]}"
    grep 'fault: done' <<<"$output"
    grep 'descriptors: 0 too many' <<<"$output"
    LINGERCLOSE_MODE=background shimmed inject 1 "$wait" 1 EPERM+ faults close -- "${client[@]}"
    grep 'fault: done' <<<"$output"
    grep 'descriptors: 0 too many' <<<"$output"
}
