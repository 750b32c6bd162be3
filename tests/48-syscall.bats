#!/usr/bin/env bats
# syscall(): what the shim does not know passes as it is, and what it knows has the same results.

load helper
load ways

@test "every other number passes with six arguments, result and errno intact" {
    as_plain "$bin/syscalls"
    grep '^mmap: page 3' <<<"$output"
    grep '^splice: page 2' <<<"$output"
    grep '^syscall(100000L.* = -1, errno 38' <<<"$output"
    grep -e '^syscall(SYS_lseek, fd, 5L << 32, SEEK_SET) = 21474836480, errno 77' \
        -e '^syscall(SYS__llseek, fd, 5L, 0L, .* = 0, errno 77' <<<"$output" # 64 or 32 bit
}

@test "a call by number is no cancellation point" {
    as_plain "$bin/syscalls" cancelled
    [ "${lines[-1]}" = cancelled ]
    [ "${#lines[@]}" = 11 ]
}

@test "closing a connection by number is no cancellation point" {
    plain bynumber cancelled -- peer port send=100 await=fin read
    cut 600000
    same_server
    grep 'shutdown=0 close=0 in a cancelled thread' <<<"$output"
    shimmed bynumber cancelled -- peer port send=100 await=fin read
    whole 600000
    same_server
}

@test "connections that come and go by number alone are closed gently" {
    plain bynumber -- peer port send=100 await=fin read
    cut 600000
    same_server
    shimmed bynumber -- peer port send=100 await=fin read
    whole 600000
    same_server
}

@test "closing by number leaves a second number of the connection alone" {
    plain bynumber two -- peer port send=100 await=fin read
    cut 600000
    same_server
    shimmed bynumber two -- peer port send=100 await=fin read
    whole 600000
    same_server
}
