#!/usr/bin/env bats
# What a close asks of the kernel, call by call: what is expected is in tests/bench/syscalls, which is changed knowingly.

load helper

@test "a close makes the system calls that are expected, and of what is no live connection none besides" {
    need_command strace
    need_netns
    [ "$(uname -m)" = x86_64 ] || skip "glibc makes other calls of the same functions here"
    [ -z "${TEST_BUILD-}" ] || skip "glibc makes other calls of the same functions on 32 bit"
    sh "$top/tests/bench/syscalls.sh" >"$BATS_TEST_TMPDIR/syscalls"
    diff "$top/tests/bench/syscalls" "$BATS_TEST_TMPDIR/syscalls"
    for kind in file pipe udp unix; do
        grep -qx "$kind shim: close" "$BATS_TEST_TMPDIR/syscalls"
    done
    # The control: a preload that asks for more is seen to.
    SHIM=$bin/asking.so run sh "$top/tests/bench/syscalls.sh" file
    echo "$output"
    grep -x "file plain: close" <<<"$output"
    grep -x "file shim: fcntl close" <<<"$output"
}
