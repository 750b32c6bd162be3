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
