#!/usr/bin/env bats
# close_range and closefrom: each connection in the range, and nothing else than asked for.

load helper
load ways

# gentle CASE: all of the reply arrives.
gentle() {
    arrives 600000 ranges "$1"
}

@test "a range over three numbers of one connection, with files between them, closes it gently" {
    gentle copies
    grep 'close_range ret=0 errno=any open=0' <<<"$output"
}

@test "closefrom over three numbers of one connection closes it gently" {
    gentle from
    grep 'closefrom ret=0 errno=any open=0' <<<"$output"
}

@test "a range over one of two numbers leaves the connection to the other one" {
    gentle part
    grep 'close_range ret=0 errno=any open=0' <<<"$output"
}

@test "CLOSE_RANGE_CLOEXEC closes nothing: the reply goes on" {
    gentle cloexec
    grep 'close_range ret=0 errno=any open=1' <<<"$output"
}

@test "CLOSE_RANGE_UNSHARE in one thread leaves the connection to the others" {
    gentle unshare
    grep 'in the thread: ret=0 errno=any open=0' <<<"$output"
    grep 'here: ret=0 errno=any open=1' <<<"$output"
}

@test "CLOSE_RANGE_UNSHARE in a process that shares nothing closes gently" {
    gentle alone
}

@test "a range that the kernel refuses leaves the connection as it is" {
    gentle wrong
    grep 'backwards ret=-1 errno=EINVAL open=1' <<<"$output"
    grep 'flags ret=-1 errno=EINVAL open=1' <<<"$output"
}

@test "ranges over everything do not reach what lingers in another thread" {
    plain ranges lingering -- peer port send=100 await=fin say=now await=line read
    cut 600000
    same_server
    shimmed ranges lingering -- peer port send=100 await=fin say=now await=line read
    whole 600000
    same_server
}

# calls WORD: how many system calls the program made before it printed a line for the Nth time.
calls() {
    sed -n "/write(1, \"begin/,\$p" "$BATS_TEST_TMPDIR/strace" |
        awk -v n="$1" '/write\(1, "close_range/ { if (++seen == n) { print count; exit } count = 0 } { count++ }'
}

@test "a range over a million numbers costs a few system calls more than without the shim" {
    need_command strace
    need_netns
    local with without empty_with empty_without
    local words=(ranges million -- peer port send=100 await=fin read)
    PATH=$bin:$PATH run netns exchange strace -o "$BATS_TEST_TMPDIR/strace" "${words[@]}" 3>&-
    echo "$output"
    cut 600000
    without=$(calls 1) empty_without=$(calls 2)
    PATH=$bin:$PATH run netns exchange strace -E "LD_PRELOAD=$lib" -o "$BATS_TEST_TMPDIR/strace" "${words[@]}" 3>&-
    echo "$output"
    whole 600000
    with=$(calls 1) empty_with=$(calls 2)
    echo "with a connection $with instead of $without, without one $empty_with instead of $empty_without"
    between "$without" "$with" "$((without + 40))"
    between "$empty_without" "$empty_with" "$((empty_without + 2))"
}

# What is open below 100 after closefrom(3), where the kernel has no close_range.
left_by_closefrom() {
    run "$bin/refuse" close_range env "$@" python3 -c '
import ctypes, os
for i in range(9):
    os.open("/dev/null", os.O_RDONLY)
libc = ctypes.CDLL(None)
libc.closefrom(3)
libc.write(1, b"left=%d\n" % sum(libc.fcntl(fd, 1) >= 0 for fd in range(3, 100)), 7)'
    [ "$status" != 77 ] || skip "seccomp may not be had here"
}

@test "closefrom on a kernel without close_range closes what is below a number of ours as well" {
    need_command python3
    left_by_closefrom
    [ "$output" = left=0 ]
    left_by_closefrom LD_PRELOAD="$lib" LINGERCLOSE_LOG="$BATS_TEST_TMPDIR/log"
    [ "$output" = left=0 ]
}
