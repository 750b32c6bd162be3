#!/usr/bin/env bats
# The table of variables: what each value does, and what a bad value does not do.

load helper

reply=(await write=1000000 close)
unread=(send=100 await=fin read)

# log: $output becomes the log that the last exchange wrote
log() {
    output=$(cat "$LINGERCLOSE_LOG")
    echo "log: $output"
    rm "$LINGERCLOSE_LOG"
}

@test "LINGERCLOSE=off: the shim does nothing at all" {
    shimmed server "${reply[@]}" -- peer port "${unread[@]}"
    whole 1000000
    LINGERCLOSE=on shimmed server "${reply[@]}" -- peer port "${unread[@]}"
    whole 1000000
    LINGERCLOSE=off shimmed server "${reply[@]}" -- peer port "${unread[@]}"
    cut 1000000
}

@test "LINGERCLOSE_MODE: the peer reads all in each of them" {
    plain server "${reply[@]}" -- peer port "${unread[@]}"
    cut 1000000
    for mode in sync background auto; do
        LINGERCLOSE_MODE=$mode shimmed server "${reply[@]}" -- peer port "${unread[@]}"
        whole 1000000
    done
}

@test "durations are numbers with ms, s, m or nothing, which is seconds, and may have fractions" {
    # The control is the default of 2 s, which none of these is.
    export LINGERCLOSE_MODE=sync
    for idle in 300ms 0.3s .3s 0.005m 0.3 300.5ms; do
        echo "IDLE=$idle"
        LINGERCLOSE_IDLE=$idle shimmed server write=9 close -- peer port read silent
        between 280 "$(value close_ms)" 600
    done
    shimmed server write=9 close -- peer port read silent
    between 1980 "$(value close_ms)" 2300
}

@test "sizes are numbers with K, M, G or nothing, which is bytes, and may have fractions" {
    export LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log LINGERCLOSE_DRAIN=200ms
    shimmed server write=9 close -- peer port read flood=end
    log
    [ "$(value end)" = drain ]
    for size in 65536 64K 0.0625M; do
        LINGERCLOSE_DRAIN_BYTES=$size shimmed server write=9 close -- peer port read flood=end
        log
        [ "$(value end)" = bytes ]
        [ "$(value bytes)" = 65536 ]
    done
    LINGERCLOSE_DRAIN_BYTES=0.001G shimmed server write=9 close -- peer port read flood=end
    log
    [ "$(value bytes)" = 1073741 ]
}

@test "LINGERCLOSE_DRAIN_BYTES is what may be discarded: so much input and then FIN is a whole one" {
    export LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log LINGERCLOSE_DRAIN_BYTES=1000
    # The peer reads when the close is over.
    LINGERCLOSE_MODE=sync shimmed server write=1000000 close -- peer port await=fin send=1100 await=line read
    cut 1000000
    log
    [ "$(value end)" = bytes ]
    [ "$(value bytes)" = 1000 ]
    shimmed server write=1000000 close -- peer port await=fin send=1000 fin read
    whole 1000000
    log
    [ "$(value end)" = eof ]
    [ "$(value bytes)" = 1000 ]
}

@test "LINGERCLOSE_DRAIN_BYTES=auto: no limit for those who called us, 1M for those we called" {
    export LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log LINGERCLOSE_DRAIN=300ms
    for bytes in auto ""; do
        LINGERCLOSE_DRAIN_BYTES=$bytes shimmed server write=9 close -- peer port read flood=end
        log
        [ "$(value end)" = drain ]
        [ "$(value bytes)" -gt 1048576 ]
        SHIM_ON=client LINGERCLOSE_DRAIN_BYTES=$bytes shimmed peer listen read flood=end -- \
            server to port write=9 close
        log
        [ "$(value end)" = bytes ]
        [ "$(value bytes)" = 1048576 ]
    done
    shimmed handoff server fd 3 write=9 close -- peer port read flood=end
    log
    [ "$(value end)" = drain ]
    [ "$(value bytes)" -gt 1048576 ]
}

@test "LINGERCLOSE_ROLES: accepted, which inherited is too, connected, or both" {
    for roles in accepted connected,accepted accepted,connected; do
        LINGERCLOSE_ROLES=$roles shimmed server "${reply[@]}" -- peer port "${unread[@]}"
        whole 1000000
        LINGERCLOSE_ROLES=$roles shimmed handoff server fd 3 "${reply[@]}" -- peer port "${unread[@]}"
        whole 1000000
    done
    for roles in connected connected,accepted; do
        SHIM_ON=client LINGERCLOSE_ROLES=$roles shimmed peer listen "${unread[@]}" -- \
            server to port "${reply[@]}"
        whole 1000000
    done
    export LINGERCLOSE_ROLES=connected
    shimmed server "${reply[@]}" -- peer port "${unread[@]}"
    cut 1000000
    shimmed handoff server fd 3 "${reply[@]}" -- peer port "${unread[@]}"
    cut 1000000
    SHIM_ON=client LINGERCLOSE_ROLES=accepted shimmed peer listen "${unread[@]}" -- \
        server to port "${reply[@]}"
    cut 1000000
}

@test "LINGERCLOSE_WHEN=pending: only where input is unread or output unacknowledged" {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=300ms
    # Nothing pending: the peer has read all, and says so before the close.
    LINGERCLOSE_WHEN=always shimmed server write=9 await=line close -- peer port say=hello read silent
    between 280 "$(value close_ms)" 600
    export LINGERCLOSE_WHEN=pending
    shimmed server write=9 await=line close -- peer port pause=50 say=hello read silent
    between 0 "$(value close_ms)" 50
    no_resets
    shimmed server "${reply[@]}" -- peer port "${unread[@]}"
    whole 1000000
    shimmed server write=1000000 close -- peer port await=fin send=100 read
    whole 1000000
}

@test "LINGERCLOSE_ABORT=linger: even where the program set SO_LINGER {1, 0}" {
    shimmed server await write=1000000 linger=0 close -- peer port "${unread[@]}"
    cut 1000000
    LINGERCLOSE_ABORT=keep shimmed server await write=1000000 linger=0 close -- \
        peer port "${unread[@]}"
    cut 1000000
    LINGERCLOSE_ABORT=linger shimmed server await write=1000000 linger=0 close -- \
        peer port "${unread[@]}"
    whole 1000000
}

@test "LINGERCLOSE_PORTS: local ports and ranges of them" {
    export LINGERCLOSE_PORTS=25,80,8000-8999,9001
    for port in 25 8000 8080 8999 9001; do
        shimmed server on $port "${reply[@]}" -- peer port "${unread[@]}"
        whole 1000000
    done
    for port in 24 7999 9000; do
        shimmed server on $port "${reply[@]}" -- peer port "${unread[@]}"
        cut 1000000
    done
    shimmed server 6 on 8080 "${reply[@]}" -- peer 6 port "${unread[@]}"
    whole 1000000
    # Here the local port is the one that connect chose.
    SHIM_ON=client shimmed peer listen "${unread[@]}" -- server to port "${reply[@]}"
    cut 1000000
}

@test "LINGERCLOSE_PROGRAMS: names to act in, or with ! not to" {
    for programs in server nginx,server server,nginx '!nginx' '!nginx,!peer'; do
        LINGERCLOSE_PROGRAMS=$programs shimmed server "${reply[@]}" -- peer port "${unread[@]}"
        whole 1000000
    done
    for programs in nginx serve servers '!server' '!nginx,!server'; do
        LINGERCLOSE_PROGRAMS=$programs shimmed server "${reply[@]}" -- peer port "${unread[@]}"
        cut 1000000
    done
}

@test "LINGERCLOSE_PROGRAMS goes by the executable, not by what it calls itself" {
    LINGERCLOSE_PROGRAMS=nginx shimmed bash -c 'exec -a nginx server "$@"' - "${reply[@]}" -- \
        peer port "${unread[@]}"
    cut 1000000
    LINGERCLOSE_PROGRAMS=server shimmed bash -c 'exec -a nginx server "$@"' - "${reply[@]}" -- \
        peer port "${unread[@]}"
    whole 1000000
}

# warns NAME VALUE DEFAULT: one line that names all three, and the program is as it was
warns() {
    run env "$1=$2" LD_PRELOAD="$lib" echo hello
    echo "$output"
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 2 ] || complain "$1=$2: not one warning"
    grep -qxF hello <<<"$output"
    grep -v '^hello$' <<<"$output" >"$BATS_TEST_TMPDIR/warning"
    grep -qE "^lingerclose: [A-Z_]*=\".*\" is not a.*; accepted: .* \(default .* holds\)$" \
        "$BATS_TEST_TMPDIR/warning"
    grep -qF "lingerclose: $1=\"$2\" is not a" "$BATS_TEST_TMPDIR/warning"
    grep -qF "(default $3 holds)" "$BATS_TEST_TMPDIR/warning"
}

silent() {
    run env "$1=$2" LD_PRELOAD="$lib" echo hello
    [ "$output" = hello ] || complain "$1=$2: $output"
}

@test "a bad value is one warning that names the variable, the value and what is accepted" {
    run env LINGERCLOSE_DRAIN=soon LD_PRELOAD="$lib" true
    [ "$output" = 'lingerclose: LINGERCLOSE_DRAIN="soon" is not a duration; accepted: a number with ms, s or m (default 30s holds)' ]
    for value in maybe 1 ON on,off; do warns LINGERCLOSE "$value" on; done
    for value in later sync,auto; do warns LINGERCLOSE_MODE "$value" auto; done
    for value in dance "drain,dance" "drain," ",drain" "drain,,linger" "drain, linger"; do
        warns LINGERCLOSE_STEPS "$value" linger,shutdown,drain
    done
    for value in soon -1s 1h 1e3 "1 s" s . 1.2.3s 5S 99999999999999999999s; do
        warns LINGERCLOSE_LINGER "$value" 30s
        warns LINGERCLOSE_DRAIN "$value" 30s
        warns LINGERCLOSE_IDLE "$value" 2s
    done
    for value in lots -1 5T 1KB 99999999999999999999G; do warns LINGERCLOSE_DRAIN_BYTES "$value" auto; done
    for value in nobody accepted,nobody; do warns LINGERCLOSE_ROLES "$value" accepted,connected; done
    warns LINGERCLOSE_WHEN sometimes always
    warns LINGERCLOSE_ABORT maybe keep
    for value in many -1 1.5 99999999999999999999; do warns LINGERCLOSE_MAX "$value" 4096; done
    for value in http 70000 90-80 '80,' '80-' '80-,' -80 80,http; do warns LINGERCLOSE_PORTS "$value" all; done
    for value in nginx,,redis /usr/sbin/nginx; do warns LINGERCLOSE_PROGRAMS "$value" all; done
    warns LINGERCLOSE_NODELAY yes off
    warns LINGERCLOSE_CORK 1 off
    warns LINGERCLOSE_LOG somewhere off
}

@test "good and empty values give no warning" {
    warns LINGERCLOSE bad on
    for name in '' _MODE _STEPS _LINGER _DRAIN _IDLE _DRAIN_BYTES _ROLES _WHEN _ABORT _MAX _PORTS \
        _PROGRAMS _LOG; do
        silent "LINGERCLOSE$name" ''
    done
    for value in on off; do silent LINGERCLOSE $value; done
    for value in sync background auto; do silent LINGERCLOSE_MODE $value; done
    for value in 0 0ms 1 1.5 .5m 30s 1440m; do silent LINGERCLOSE_LINGER $value; done
    for value in auto 0 1 1.5K 4G; do silent LINGERCLOSE_DRAIN_BYTES $value; done
    for value in always pending; do silent LINGERCLOSE_WHEN $value; done
    for value in keep linger; do silent LINGERCLOSE_ABORT $value; done
    for value in 0 1 4096 100000; do silent LINGERCLOSE_MAX $value; done
    for value in 80 1-65535 25,80,8000-8999; do silent LINGERCLOSE_PORTS $value; done
    for value in nginx '!nginx' a,b; do silent LINGERCLOSE_PROGRAMS $value; done
    for value in off stderr /dev/null; do silent LINGERCLOSE_LOG $value; done
}

@test "after a bad value the default holds, and a program of several bad values runs on" {
    plain server "${reply[@]}" -- peer port "${unread[@]}"
    cut 1000000
    LINGERCLOSE=perhaps LINGERCLOSE_STEPS=none LINGERCLOSE_IDLE=soon LINGERCLOSE_PORTS=http \
        LINGERCLOSE_ROLES=all shimmed server "${reply[@]}" -- peer port "${unread[@]}"
    whole 1000000
    [ "$(grep -c '^lingerclose: ' <<<"$output")" = 5 ]
    LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=soon shimmed server write=9 close -- peer port read silent
    between 1980 "$(value close_ms)" 2300
}

@test "a warning never goes into a socket, nor into whatever else descriptor 2 is not" {
    export LINGERCLOSE_DRAIN=soon
    run "$bin/stderrto" pipe env LD_PRELOAD="$lib" true
    echo "$output"
    [ "$(grep -c '^lingerclose: ' <<<"$output")" = 1 ]
    [ "${lines[-1]}" = exit=0 ]
    run "$bin/stderrto" socket env LD_PRELOAD="$lib" true
    [ "$output" = exit=0 ]
    run "$bin/stderrto" nothing env LD_PRELOAD="$lib" true
    [ "$output" = exit=0 ]
}
