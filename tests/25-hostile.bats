#!/usr/bin/env bats
# The tools read what others made: files, names, pages of counters. Each case was found by make fuzz, or by what it found.

load helper
load stats

ESCAPE=$'\033'

setup() {
    tool=$build/lingerclose-status
    check=$build/lingerclose-check
}

# of $output, which has a question mark in place of the control character
printable() {
    echo "$output" | cat -v
    [[ $output == *'?[31m'* ]] || complain "the name is not there"
    [[ $output != *"$ESCAPE"* ]] || complain "a control character is printed"
}

# a program under the shim that has named itself with a control character; $pid
named() {
    mkfifo "$BATS_TEST_TMPDIR/go"
    exec 5<>"$BATS_TEST_TMPDIR/go"
    env "$@" LD_PRELOAD="$lib" python3 -c '
import ctypes
ctypes.CDLL(None).prctl(15, b"\033[31mred", 0, 0, 0)  # PR_SET_NAME
print("named", flush=True)
input()' <&5 >"$BATS_TEST_TMPDIR/said" 3>&- &
    pid=$!
    until grep -q named "$BATS_TEST_TMPDIR/said"; do sleep 0.01; done
}

teardown() {
    [ -z "${pid-}" ] || kill "$pid"
}

@test "--status prints no control character of a page's name" {
    make_directory
    echo no page >"$LINGERCLOSE_STATS/1${ESCAPE}[31m"
    run "$tool"
    printable
}

@test "--status prints no control character of a page's version" {
    make_directory
    in_netns env LD_PRELOAD="$lib" "$bin/pages" close
    page=$(echo "$LINGERCLOSE_STATS"/ended.*)
    # struct stats: the pid at 32, the version at 36
    python3 -c '
import os, struct, sys
page = bytearray(open(sys.argv[1], "rb").read())
page[32:41] = struct.pack("i", 1 << 22) + b"\033[31m"
open(sys.argv[2], "wb").write(page)' "$page" "$LINGERCLOSE_STATS/4194304"
    run "$tool" 4194304
    printable
}

@test "--status prints no control character of the name of a process without counters" {
    make_directory
    named -u LINGERCLOSE_STATS
    run "$tool"
    printable
    run "$tool" "$pid"
    printable
}

@test "--check prints no control character of a remedy" {
    printf '#!/bin/sh\n' >"$BATS_TEST_TMPDIR/cron"
    chmod +x "$BATS_TEST_TMPDIR/cron"
    run "$check" "/lib/${ESCAPE}[31m/liblingerclose.so" "$BATS_TEST_TMPDIR/cron"
    printable
    [[ $output == *'LD_PRELOAD=/lib/?[31m/'* ]]
}

# 65,535 program headers that are one and the same (e_phentsize 0), a note that is not Go's
@test "--check is done in a moment with a program of 65,535 notes" {
    python3 -c '
import struct, sys
head = b"\177ELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 0, 65535, 0, 0, 0)
note = struct.pack("<IIQQQQQQ", 4, 4, 0, 0, 0, 16, 16, 4)
open(sys.argv[1], "wb").write(head + note)' "$BATS_TEST_TMPDIR/program"
    chmod +x "$BATS_TEST_TMPDIR/program"
    run timeout 60 "$check" "$lib" "$BATS_TEST_TMPDIR/program"
    echo "$output"
    [ "$status" = 1 ]
    [[ $output == *"it is statically linked"* ]]
}

@test "the launcher's sentence about a bad value is one line without control characters" {
    run "$top/scripts/lingerclose" --mode "a${ESCAPE}[31m
b" true
    printable
    [ "$output" = 'lingerclose: --mode "a?[31m?b" is not a mode; accepted: sync, background or auto' ]
}

@test "the tools' sentences about a bad argument are one line without control characters" {
    for action in status report; do
        run "$top/scripts/lingerclose" --$action "-${ESCAPE}[31m
b"
        printable
        [ "$status" = 125 ]
        [ "${#lines[@]}" = 1 ]
    done
}
