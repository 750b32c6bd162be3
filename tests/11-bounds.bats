#!/usr/bin/env bats
# Peers that do not end: every bound holds, measured in ms at the program's close. A bound may
# be missed by EARLY ms before (clocks are read at different places) and LATE ms after it (the
# machine may be busy). The controls show that the same close without the shim waits for
# nothing, or that another bound would have been another time.

load helper

EARLY=20
LATE=300

# The close took N ms.
took() {
    between $(($1 - EARLY)) "$(value close_ms)" $(($1 + LATE))
    [ "$(value ret)" = 0 ]
}

setup() {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_LINGER=10s LINGERCLOSE_DRAIN=10s LINGERCLOSE_IDLE=10s
}

@test "a peer that stays silent is given up after IDLE, without a reset" {
    plain server write=1000 close -- peer port read silent
    between 0 "$(value close_ms)" 100
    LINGERCLOSE_IDLE=400ms shimmed server write=1000 close -- peer port read silent
    took 400
    whole 1000
}

@test "an error queue that the program has not read does not make the close spin" {
    plain server zerocopy=1000 close -- peer port await=fin send=1 read
    [ "$(value abort_on_data)" = 1 ]
    LINGERCLOSE_IDLE=400ms shimmed server zerocopy=1000 close -- peer port read silent
    took 400
    between 0 "$(value cpu_ms)" 100
    whole 1000
}

@test "a peer that drips a byte before each end of IDLE is given up after DRAIN" {
    plain server write=1000 close -- peer port await=fin send=1 read
    [ "$(value abort_on_data)" = 1 ]
    export LINGERCLOSE_IDLE=200ms LINGERCLOSE_DRAIN=700ms
    shimmed server write=1000 close -- peer port read drip=100
    took 700
    shimmed server write=1000 close -- peer port read drip=500
    took 200
}

@test "a peer that floods is given up after DRAIN" {
    plain server write=1000 close -- peer port await=fin send=100000 read
    [ "$(value abort_on_data)" = 1 ]
    between 0 "$(value close_ms)" 100
    LINGERCLOSE_DRAIN=500ms shimmed server write=1000 close -- peer port read flood
    took 500
}

@test "a peer that floods is given up after DRAIN_BYTES, to the byte" {
    export LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log
    LINGERCLOSE_DRAIN=300ms shimmed server write=1000 close -- peer port read flood
    took 300
    output=$(cat "$LINGERCLOSE_LOG")
    [ "$(value end)" = drain ]
    [ "$(value bytes)" -gt 1048576 ]
    rm "$LINGERCLOSE_LOG"
    LINGERCLOSE_DRAIN_BYTES=1M shimmed server write=1000 close -- peer port read flood
    took 0
    output=$(tee /dev/stderr <"$LINGERCLOSE_LOG")
    [ "$(value end)" = bytes ]
    [ "$(value bytes)" = 1048576 ]
}

@test "a peer that never reads is given up after LINGER, however short IDLE is" {
    plain server write=1000000 close -- peer port silent
    between 0 "$(value close_ms)" 100
    for idle in 100ms 2ms; do
        LINGERCLOSE_IDLE=$idle LINGERCLOSE_LINGER=400ms shimmed server write=1000000 close -- peer port silent
        took 400
    done
}

@test "a peer that never reads is given up after DRAIN where that is the shorter bound" {
    LINGERCLOSE_LINGER=400ms shimmed server write=1000000 close -- peer port silent
    took 400
    LINGERCLOSE_DRAIN=200ms shimmed server write=1000000 close -- peer port silent
    took 200
}

@test "a peer that never reads but floods is given up after LINGER" {
    LINGERCLOSE_LINGER=300ms shimmed server write=1000000 close -- peer port await=fin flood
    took 300
}

@test "IDLE counts from the moment when our data was acknowledged" {
    # Half a second of silence with data outstanding, then all of it is read, then silence.
    plain server await write=1000000 close -- peer port send=1 await=fin pause=500 read silent
    cut 1000000
    LINGERCLOSE_IDLE=200ms shimmed server await write=1000000 close -- \
        peer port send=1 await=fin pause=500 read silent
    took 700
    whole 1000000
}

@test "IDLE counts anew from each byte that comes" {
    export LINGERCLOSE_IDLE=300ms
    shimmed server write=1000 close -- peer port read silent
    took 300
    shimmed server write=1000 close -- peer port read pause=200 send=1 pause=200 send=1 silent
    took 700
    whole 1000
}

@test "a slow reader is not hurried by IDLE, as long as LINGER lasts" {
    LINGERCLOSE_LINGER=100ms shimmed server write=1000000 close -- \
        peer port rcvbuf=40000 slow=20000:10
    took 100
    LINGERCLOSE_IDLE=50ms shimmed server write=1000000 close -- \
        peer port rcvbuf=40000 slow=20000:10
    whole 1000000
    [ "$(value close_ms)" -gt 300 ]
}

@test "signals every millisecond neither shorten a bound nor stretch it nor fail the close" {
    LINGERCLOSE_IDLE=300ms shimmed server write=1000 storm close -- peer port read silent
    took 300
    LINGERCLOSE_DRAIN=300ms shimmed server write=1000 storm close -- peer port read drip=50
    took 300
    LINGERCLOSE_LINGER=300ms shimmed server write=1000000 storm close -- peer port silent
    took 300
}

@test "past MAX lingering connections a close does what it can without waiting" {
    # Four peers that never end, closed one after another while the ones before still linger.
    run in_netns "$bin/many" 4
    echo "$output"
    [ "$output" = "close 1: waited=0 peer=RESET
close 2: waited=0 peer=RESET
close 3: waited=0 peer=RESET
close 4: waited=0 peer=RESET" ]
    export LINGERCLOSE_IDLE=600ms LINGERCLOSE_MAX=2 # MODE=sync: setup
    run in_netns env LD_PRELOAD="$lib" "$bin/many" 4
    echo "$output"
    [ "$output" = "close 1: waited=1 peer=EOF
close 2: waited=1 peer=EOF
close 3: waited=0 peer=EOF
close 4: waited=0 peer=EOF" ]
    LINGERCLOSE_MAX=0 run in_netns env LD_PRELOAD="$lib" "$bin/many" 1
    [ "$output" = "close 1: waited=0 peer=EOF" ]
}
