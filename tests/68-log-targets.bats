#!/usr/bin/env bats
# Where the log goes besides standard error and a file: the local syslog and the journal, both played here by
# datagrams.py. It never waits, says how many lines it dropped, and never writes where the program has put its own.

load helper

setup() {
    need_netns
    need_command unshare
    out=$BATS_TEST_TMPDIR/out
    fifo=$BATS_TEST_TMPDIR/fifo
    # pages WORD...: with the shim
    mkdir "$BATS_TEST_TMPDIR/bin"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$@"\n' "$lib" "$bin/pages" >"$BATS_TEST_TMPDIR/bin/pages"
    chmod +x "$BATS_TEST_TMPDIR/bin/pages"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    unshare -m true 2>/dev/null || unshare -rm true 2>/dev/null || skip "no mount namespace can be made here"
}

# played TARGET COMMAND...: what the daemon of that target got is in $out, the command's output in $output
played() {
    rm -f "$out"
    run in_netns "$top/tests/played" "$1" "$out" "${@:2}" 3>&-
    echo "$output"
    [ "$status" = 0 ] || complain "exit status $status"
    echo "--- it got:"
    cat "$out"
}

form='time=[-0-9]{10}T[0-9:.]{12}Z pid=[0-9]+ program=pages fd=[0-9]+ local=127\.0\.0\.1:[0-9]+'
form+=' remote=127\.0\.0\.1:[0-9]+ how=close decided=linger why=always end=eof bytes=5 ms=[0-9]+'

@test "LINGERCLOSE_LOG=syslog: a datagram to /dev/log for each connection, as RFC 3164 has it" {
    played syslog bash -c 'pages close close'
    [ ! -s "$out" ]
    LINGERCLOSE_LOG=syslog played syslog bash -c 'pages close close'
    # facility 3 (daemon), severity 6 (informational)
    [ "$(grep -cE "^<30>lingerclose\[[0-9]+\]: $form\$" "$out")" = 2 ]
    [ "$(grep -c '^--$' "$out")" = 2 ]
    [ "$(sed -n 's/^<30>lingerclose\[\([0-9]*\)\].*/\1/p' "$out" | sort -u)" = "$(sed -n 's/.* pid=\([0-9]*\) .*/\1/p' "$out" | sort -u)" ]
}

@test "LINGERCLOSE_LOG=journal: the line as MESSAGE, and a field for each of its words" {
    played journal bash -c 'pages close'
    [ ! -s "$out" ]
    LINGERCLOSE_LOG=journal played journal bash -c 'pages close'
    grep -qE "^MESSAGE=$form\$" "$out"
    for field in PRIORITY=6 SYSLOG_IDENTIFIER=lingerclose SYSLOG_FACILITY=3 LINGERCLOSE_PROGRAM=pages \
        LINGERCLOSE_HOW=close LINGERCLOSE_DECIDED=linger LINGERCLOSE_WHY=always LINGERCLOSE_END=eof LINGERCLOSE_BYTES=5; do
        grep -qx "$field" "$out" || complain "there is no $field"
    done
    # Every word of the message has its field, and every line is a field: nothing is left over.
    sed -n 's/^MESSAGE=//p' "$out" | tr ' ' '\n' | sed 's/=.*//' | tr '[:lower:]' '[:upper:]' | sort >"$out.words"
    sed -n 's/^LINGERCLOSE_\([A-Z]*\)=.*/\1/p' "$out" | sort | diff "$out.words" -
    [ "$(wc -l <"$out.words")" = 12 ] || complain "not 12 words"
    never -vE '^([A-Z_]+=.*|--|)$' "$out"
}

@test "a connection that ran into a bound has severity notice (5)" {
    LINGERCLOSE_LOG=syslog LINGERCLOSE_IDLE=50ms LINGERCLOSE_DRAIN=60ms LINGERCLOSE_MODE=sync \
        played syslog env PATH="$bin:$PATH" SHIM="$lib" exchange server write=9 close -- peer port read drip=10
    grep -q '^<29>lingerclose.* end=drain' "$out"
    LINGERCLOSE_LOG=syslog LINGERCLOSE_IDLE=50ms LINGERCLOSE_MODE=sync \
        played syslog env PATH="$bin:$PATH" SHIM="$lib" exchange server write=9 close -- peer port read silent
    grep -q '^<30>lingerclose.* end=idle' "$out"
}

@test "a daemon that reads nothing makes nobody wait, and the next line says how many were dropped" {
    need_command python3
    # The control: a program that waits for its turn does not come back.
    # shellcheck disable=SC2016
    HOLD=hold run in_netns "$top/tests/played" syslog "$out" timeout 1 python3 -c '
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect("/dev/log")
for i in range(1000): s.send(b"x")' 3>&-
    [ "$status" = 124 ]
    for target in syslog journal; do
        # 40 lines are more than net.unix.max_dgram_qlen lets wait; then the daemon reads, and there is one more.
        # shellcheck disable=SC2016
        HOLD=hold LINGERCLOSE_LOG=$target played $target timeout 20 bash -c '
            mkfifo "$0" && exec 5<>"$0" 6<"$0" 
            pages $(yes close | head -40) say close <&5 | {
                read -r said
                kill -USR1 $daemon
                until [ "$(grep -c "^--$" "$1")" -ge 1 ]; do sleep 0.01; done
                echo go >&5
                cat
            }' "$fifo.$target" "$out"
        got=$(grep -c '^--$' "$out")
        dropped=$(grep -oE '[ _](dropped|DROPPED)=[0-9]+' "$out" | sed 's/.*=//' | sort -u)
        echo "$target: got=$got dropped=$dropped"
        [ "$got" -gt 1 ]
        [ "$dropped" -gt 0 ]
        [ $((got + dropped)) = 41 ]
        # It is the last line that says so, and no other.
        [ "$(grep -E '^(<30>|MESSAGE=)' "$out" | grep -c ' dropped=')" = 1 ]
        grep -E '^(<30>|MESSAGE=)' "$out" | tail -n 1 | grep -q " dropped=$dropped\$"
    done
}

@test "a log that goes into a full pipe says in its next line how many it dropped" {
    mkfifo "$fifo" "$fifo.go"
    exec 5<>"$fifo" 6<>"$fifo.go"
    run timeout 0.3 sh -c 'cat /dev/zero >&5'
    [ "$status" = 124 ]
    # shellcheck disable=SC2016
    LINGERCLOSE_LOG=$fifo run in_netns timeout 20 bash -c '
        pages close close close say close <&6 | {
            read -r said
            timeout 0.3 cat <&5 >/dev/null
            echo go >&6
            cat
        }'
    echo "$output"
    [ "$status" = 0 ]
    run timeout 0.5 head -n 1 <&5
    echo "$output"
    [[ $output == *" end=eof bytes=5 ms="*" dropped=3" ]]
    exec 5>&- 6>&-
}

@test "a daemon that is started anew gets the lines from then on, also in a changed root directory" {
    need_command python3
    # shellcheck disable=SC2016
    script='mkfifo "$0" && exec 5<>"$0"
        pages close say close exit=3 <&5 | {
            read -r said
            kill $daemon
            while kill -0 $daemon 2>/dev/null; do sleep 0.01; done
            rm -f "$1.2"
            $play "$1.2" & second=$!
            until [ -e "$1.2" ]; do sleep 0.01; done
            echo go >&5
            cat
            kill $second
            while kill -0 $second 2>/dev/null; do sleep 0.01; done
        }'
    # The daemon is a child of its own: a zombie until it is waited for, which kill -0 takes for alive.
    script=${script//kill -0 \$daemon/grep -q \"^State:[[:space:]]*[^Z[:space:]]\" \/proc/\$daemon\/status}
    script=${script//kill -0 \$second/grep -q \"^State:[[:space:]]*[^Z[:space:]]\" \/proc/\$second\/status}
    for target in syslog journal; do
        LINGERCLOSE_LOG=$target played $target timeout 20 bash -c "$script" "$fifo.$target" "$out"
        cat "$out.2"
        [ "$(grep -c '^--$' "$out")" = 1 ]
        [ "$(grep -c '^--$' "$out.2")" = 1 ]
        never -i dropped= "$out.2"
    done
    [ "$(id -u)" = 0 ] || skip "only root may change the root directory"
    mkdir "$BATS_TEST_TMPDIR/empty"
    LINGERCLOSE_LOG=syslog played syslog bash -c "pages close chroot=$BATS_TEST_TMPDIR/empty close"
    [ "$(grep -c '^--$' "$out")" = 2 ]
}

# It walks upwards, and meets the log under its next number again and again.
@test "a program that puts a file of its own in the log's place finds nothing in it, and the log goes on" {
    touch "$BATS_TEST_TMPDIR/log"
    for target in syslog journal; do
        LINGERCLOSE_LOG=$target played $target bash -c "pages close usurp=$BATS_TEST_TMPDIR/data close"
        [ "$(grep -c '^--$' "$out")" = 2 ]
        [ "$(value usurped)" -ge 1 ]
        [ -f "$BATS_TEST_TMPDIR/data" ]
        [ ! -s "$BATS_TEST_TMPDIR/data" ]
    done
    LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log played journal bash -c "pages close usurp=$BATS_TEST_TMPDIR/data close"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/log")" = 2 ]
    [ "$(value usurped)" -ge 1 ]
    [ ! -s "$BATS_TEST_TMPDIR/data" ]
    # The control: without a log there is nothing to usurp.
    played journal bash -c "pages close usurp=$BATS_TEST_TMPDIR/data close"
    [ "$(value usurped)" = 0 ]
}

@test "a daemon that is not there is said once, and the program runs as it would" {
    for target in syslog journal; do
        # shellcheck disable=SC2016
        run unshare -rmn bash -c 'mount -t tmpfs none /run && { [ ! -e /dev/log ] || mount --bind /dev/null /dev/log; } &&
            ip link set lo up && LINGERCLOSE_LOG=$0 pages close exit=3' "$target"
        echo "$output"
        [ "$status" = 3 ]
        [ "$output" = "lingerclose: LINGERCLOSE_LOG=\"$target\" is not listening here; accepted: off, stderr, syslog, journal or a path that starts with / (default off holds)" ]
    done
}
