#!/usr/bin/env bats
# Peers whose packets no kernel would send so, or in that order: wire/peer.py plays them as in 80-wire.bats. How the
# connection ends, and what does not end it.

load helper
load wire/wire

@test "a RST in the middle of the drain ends it at once, and one that is out of place does not" {
    export LINGERCLOSE_IDLE=600ms
    # The control: out of its place it is answered, and IDLE is waited for.
    lingers idle 10 700 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        100 < P. 1:11(10) ack 1002
            > . 1002:1002(0) ack 11
        200 < R 500:500(0)
            > . 1002:1002(0) ack 11     # RFC 5961 section 3.2: a challenge
        700 ! end
END
    lingers error 10 200 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        100 < P. 1:11(10) ack 1
            > . 1002:1002(0) ack 11
        200 < R 11:11(0)
        200 ! end
        500
END
}

@test "data after the peer's FIN neither resets nor costs our data, which it has not acknowledged yet" {
    late_input_resets
    lingers eof 10 100 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
         50 < P. 1:11(10) ack 1
            > . 1002:1002(0) ack 11
        100 < F. 11:11(0) ack 1
            > . 1002:1002(0) ack 12
        100 ! end
        150 < P. 12:22(10) ack 1
            > FP. 1:1001(1000) ack 12   # again
            < . 12:12(0) ack 1002
            < P. 12:22(10) ack 1002
            > . 1002:1002(0) ack 12     # TIME_WAIT
END
}

@test "ICMP says that the port and the host are unreachable: the peer, which is there all the same, gets all" {
    late_input_resets
    lingers eof 10 400 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        100 < icmp port
        150 < icmp host
            > FP. 1:1001(1000) ack 1    # again
            < icmp host
        300 < P. 1:11(10) ack 1002
            > . 1002:1002(0) ack 11
        400 < F. 11:11(0) ack 1002
            > . 1002:1002(0) ack 12
        400 ! end
END
}

@test "a program that wants to hear of ICMP messages (IP_RECVERR) closes as gently: they end no connection" {
    local begin='
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        100 < icmp port
        200 < P. 1:11(10) ack 1002' gently='
            > . 1002:1002(0) ack 11
        300 < F. 11:11(0) ack 1002
            > . 1002:1002(0) ack 12
        300 ! end'
    wire plain server recverr write=1000 close <<END
$begin
            > R 1002:1002(0)
END
    lingers eof 10 300 recverr write=1000 close <<<"$begin$gently"
    # And shutdown(SHUT_RDWR), whose lingering is in shim/shutdown.c.
    wire shimmed server recverr write=1000 shut=rdwr close <<<"$begin$gently"
}

@test "segments out of order and twice: the peer's end is where its FIN stands, not when it comes" {
    late_input_resets
    lingers eof 20 300 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        100 < P. 11:21(10) ack 1001
            > . 1002:1002(0) ack 1
        100 < P. 11:21(10) ack 1001
            > . 1002:1002(0) ack 1
        200 < F. 21:21(0) ack 1002
            > . 1002:1002(0) ack 1
        300 < P. 1:11(10) ack 1002
            > . 1002:1002(0) ack 22
        300 ! end
            < P. 1:11(10) ack 1002
            > . 1002:1002(0) ack 22
            < F. 21:21(0) ack 1002
            > . 1002:1002(0) ack 22
END
}

@test "both close at once: the FINs cross, and each is acknowledged" {
    late_input_resets
    lingers eof 10 100 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
            < . 1:1(0) ack 1001
        100 < P. 1:11(10) ack 1001
            > . 1002:1002(0) ack 11
        100 < F. 11:11(0) ack 1001
            > . 1002:1002(0) ack 12
        100 ! end
            < . 12:12(0) ack 1002
            < F. 11:11(0) ack 1002
            > . 1002:1002(0) ack 12
END
}

@test "past MAX late input is cut to its header: never acknowledged, and RST only when our FIN is" {
    local begin='
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
          0 ! end
        100 < P. 1:11(10) ack 1'
    export LINGERCLOSE_MAX=0
    LINGERCLOSE_MUTANT=no-headers-only preload=$debug_lib wire shimmed server write=1000 close <<END
$begin
            > R 1:1(0)
END
    lingers now 0 0 write=1000 close <<END
$begin
            < P. 1:11(10) ack 1001
        300 < . 1:1(0) ack 1002
            < P. 1:11(10) ack 1002
            > R 1002:1002(0)
END
}

@test "a peer whose FIN crosses the program's own: its unread input is drained, and what it has not acknowledged arrives" {
    local crossing='
            < P. 1:11(10) ack 1
            > P. 1:1001(1000) ack 11
            > F. 1001:1001(0) ack 11
            < F. 11:11(0) ack 1'
    wire plain server await write=1000 shut=wr await=fin close <<END
$crossing
            > R. 1002:1002(0) ack 12
END
    wire shimmed server await write=1000 shut=wr await=fin close <<END
$crossing
            > . 1002:1002(0) ack 12
          0 ! end
            < . 12:12(0) ack 1002
        200
END
    [ "$(value end)" = eof ] && [ "$(value bytes)" = 10 ]
}
