#!/usr/bin/env bats
# LINGERCLOSE_LOG: one line for each connection that the program let go.

load helper

# log: $output becomes the log that the last exchange wrote
log() {
    output=$(cat "$LINGERCLOSE_LOG")
    echo "log: $output"
    rm "$LINGERCLOSE_LOG"
}

# says WORDS: the log is one line of the right form, and these words are in it
says() {
    local word form
    log
    form='^time=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z pid=[0-9]+ program=server'
    form+=' fd=[0-9]+ local=[^ ]+:[0-9]+ remote=[^ ]+:[0-9]+ how=[a-z0-9_]+ decided=(linger|close) why=[a-z]+'
    form+=' end=[a-z]+ bytes=[0-9]+ ms=[0-9]+$'
    [ "$(wc -l <<<"$output")" = 1 ] || complain "not one line"
    grep -qE "$form" <<<"$output" || complain "not the form of a log line"
    for word; do
        [[ " $output " == *" $word "* ]] || complain "the log does not say $word"
    done
}

setup() {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log
}

@test "the log is off unless asked for" {
    need_netns
    LINGERCLOSE_LOG=off shimmed server await write=9 close -- peer port send=7 read
    never decided= <<<"$output"
    unset LINGERCLOSE_LOG
    shimmed server await write=9 close -- peer port send=7 read
    never decided= <<<"$output"
    LINGERCLOSE_LOG=stderr shimmed server await write=9 close -- peer port send=7 read
    [ "$(grep -c decided= <<<"$output")" = 1 ]
}

@test "a log line tells who, where, what was decided and why, and how it ended" {
    local before after seconds
    before=$(date +%s)
    shimmed server on 8080 await write=9 close -- peer port send=7 await=fin read
    after=$(date +%s)
    whole 9
    says local=127.0.0.1:8080 how=close decided=linger why=always end=eof bytes=7
    seconds=$(date -d "$(value time)" +%s)
    between "$before" "$seconds" "$after"
    [ "$(value pid)" -gt 1 ]
    between 0 "$(value ms)" 500
    [[ $(value remote) == 127.0.0.1:[1-9]* ]]
}

@test "a log line has IPv6 addresses in brackets" {
    shimmed server 6 on 8080 await write=9 close -- peer 6 port send=7 await=fin read
    says 'local=[::1]:8080' end=eof
    [[ $(value remote) == '[::1]:'[1-9]* ]]
}

@test "a log line says how the lingering ended, and after how many ms" {
    LINGERCLOSE_IDLE=200ms shimmed server write=9 close -- peer port read silent
    says decided=linger end=idle bytes=0
    between 190 "$(value ms)" 500
    LINGERCLOSE_LINGER=200ms shimmed server write=1000000 close -- peer port silent
    says decided=linger end=linger
    between 190 "$(value ms)" 500
    LINGERCLOSE_DRAIN=200ms shimmed server write=9 close -- peer port read drip=20
    says decided=linger end=drain
    between 3 "$(value bytes)" 12
    LINGERCLOSE_DRAIN_BYTES=5 shimmed server await write=9 close -- peer port send=100 silent
    says decided=linger end=bytes bytes=5
    shimmed server write=9 close -- peer port await=fin reset
    says decided=linger end=error
    LINGERCLOSE_STEPS=shutdown shimmed server write=9 close -- peer port read
    says decided=linger end=now
}

@test "what lingers in the background when the process ends has its line in the log as well" {
    export LINGERCLOSE_MODE=background LINGERCLOSE_EXIT=200ms LINGERCLOSE_IDLE=10s
    plain server write=9 close -- peer port silent
    never decided= <<<"$output"
    shimmed server write=9 close -- peer port silent
    says decided=linger why=always end=exit bytes=0
    between 150 "$(value ms)" 500
}

@test "a program's name cannot forge a word or a line of the log" {
    local name=$BATS_TEST_TMPDIR/$'a b\nend=eof'
    cp "$bin/server" "$name"
    shimmed "$name" await write=9 close -- peer port send=7 await=fin read
    log
    [ "$(wc -l <<<"$output")" = 1 ]
    [ "$(value program)" = 'a?b?end?eof' ]
}

@test "a log that is at its limit does not kill the program" {
    # The control: who writes beyond RLIMIT_FSIZE dies of SIGXFSZ.
    run sh -c 'ulimit -f 0; exec "$0" x >"$1"' "$(command -v printf)" "$BATS_TEST_TMPDIR/control"
    [ "$status" = 153 ]
    run sh -c 'ulimit -f 0; exec "$@"' sh env LINGERCLOSE_IDLE=50ms LD_PRELOAD="$lib" "$bin/many" 1
    echo "$output"
    [ "$status" = 0 ]
    [ "$output" = "close 1: waited=0 peer=EOF" ]
    [ ! -s "$LINGERCLOSE_LOG" ]
}

@test "a log line says why a connection was closed without lingering" {
    shimmed server linger=0 close -- peer port read
    says decided=close why=abort end=none bytes=0
    LINGERCLOSE_ROLES=connected shimmed server write=9 close -- peer port read
    says decided=close why=role end=none
    LINGERCLOSE_PORTS=1 shimmed server write=9 close -- peer port read
    says decided=close why=port end=none
    LINGERCLOSE_WHEN=pending shimmed server write=9 await=line close -- \
        peer port pause=20 say=hello read
    says decided=close why=idle end=none
    shimmed server await=fin write=9 close -- peer port fin read
    says decided=close why=finished end=none
    LINGERCLOSE_WHEN=pending shimmed server await write=9 close -- peer port send=1 read
    says decided=linger why=pending
}

@test "each connection adds its line to the log" {
    shimmed server await write=9 close -- peer port send=7 read
    shimmed server await write=9 close -- peer port send=7 read
    [ "$(wc -l <"$LINGERCLOSE_LOG")" = 2 ]
    rm "$LINGERCLOSE_LOG"
    shimmed threads 300 -- crowd port 300 20000
    [ "$(value whole)" = 300 ]
    [ "$(grep -c '^time=.* ms=[0-9]*$' "$LINGERCLOSE_LOG")" = 300 ]
    [ "$(wc -l <"$LINGERCLOSE_LOG")" = 300 ]
}

@test "a log that cannot be written changes nothing" {
    for path in /nonexistent/log / /dev/full; do
        LINGERCLOSE_LOG=$path shimmed server await write=1000000 errno=77 close -- \
            peer port send=100 await=fin read
        whole 1000000
        [ "$(value errno)" = 77 ]
    done
}

@test "LINGERCLOSE_LOG=stderr never writes into a socket" {
    need_netns
    run in_netns "$bin/stderrto" pipe env LINGERCLOSE_IDLE=50ms LINGERCLOSE_LOG=stderr LD_PRELOAD="$lib" "$bin/many" 1
    echo "$output"
    grep -q decided= <<<"$output"
    run in_netns "$bin/stderrto" socket env LINGERCLOSE_IDLE=50ms LINGERCLOSE_LOG=stderr LD_PRELOAD="$lib" "$bin/many" 1
    echo "$output"
    never decided= <<<"$output"
    grep -q '^exit=0' <<<"$output"
}

@test "LINGERCLOSE_LOG=stderr writes into the journal's stream that a service of systemd has there" {
    local told
    need_netns
    # shellcheck disable=SC2016 # the inner shell's
    for told in 'stat -L -c %d:1 /dev/fd/2' 'stat -L -c %d:%i /dev/fd/2'; do
        run in_netns "$bin/stderrto" socket sh -c 'JOURNAL_STREAM=$('"$told"') && export JOURNAL_STREAM && exec "$@"' sh \
            env LINGERCLOSE_IDLE=50ms LINGERCLOSE_LOG=stderr LD_PRELOAD="$lib" "$bin/many" 1
        echo "$told: $output"
        case $told in
        *:1*) never decided= <<<"$output" ;; # the control: it is another one
        *) grep decided= <<<"$output" ;;
        esac
    done
}

@test "LINGERCLOSE_LOG=stderr never writes into a file that the program has put there" {
    export LINGERCLOSE_LOG=stderr
    shimmed server await write=9 close -- peer port send=7 read
    [ "$(grep -c decided= <<<"$output")" = 1 ]
    shimmed server stderr="$BATS_TEST_TMPDIR/data" await write=9 close -- peer port send=7 read
    [ -f "$BATS_TEST_TMPDIR/data" ]
    [ ! -s "$BATS_TEST_TMPDIR/data" ]
    never decided= <<<"$output"
}

@test "a log that goes into a full pipe does not make the program wait" {
    need_netns
    mkfifo "$BATS_TEST_TMPDIR/full"
    exec 5<>"$BATS_TEST_TMPDIR/full"
    # The control: who writes there waits.
    run timeout 0.3 sh -c 'cat /dev/zero >&5'
    [ "$status" = 124 ]
    # shellcheck disable=SC2016
    LINGERCLOSE_IDLE=50ms LINGERCLOSE_LOG=stderr run timeout 10 "$bin/netns" \
        env LD_PRELOAD="$lib" sh -c 'exec "$0" 1 2>&5' "$bin/many"
    echo "$output"
    [ "$status" = 0 ]
    [ "$output" = "close 1: waited=0 peer=EOF" ]
    exec 5>&-
}

@test "a log that goes into a pipe that nobody reads does not kill the program" {
    need_netns
    mkfifo "$BATS_TEST_TMPDIR/deaf"
    # shellcheck disable=SC2094
    exec 6<>"$BATS_TEST_TMPDIR/deaf" 5>"$BATS_TEST_TMPDIR/deaf" 6>&-
    run sh -c '"$0" one more >&5' "$(command -v printf || command -v echo)"
    [ "$status" != 0 ]
    # shellcheck disable=SC2016
    LINGERCLOSE_IDLE=50ms LINGERCLOSE_LOG=stderr run "$bin/netns" \
        env LD_PRELOAD="$lib" sh -c 'exec "$0" 1 2>&5' "$bin/many"
    echo "$output"
    [ "$status" = 0 ]
    [ "$output" = "close 1: waited=0 peer=EOF" ]
    exec 5>&-
}
