#!/usr/bin/env bats
# Peers such as no kernel is one: they do not acknowledge, do not open their window, do not end. wire/peer.py plays each over
# a TUN device, by a script of the packets that are expected, in order, with times in ms since the handshake; it tells what
# the words are. "! end" is the end of the program, which comes with the end of the lingering: in sync mode because the
# close waits for that, and in background mode, where the close returns at once, because the process waits for its thread.
# Nearly all of these peers say something after the close; the controls show that without the shim the answer is RST, at its
# first byte.
#
# A test that fails leaves its packets in build/captures.

load helper
load wire/wire

@test "a peer that never acknowledges our data is given up after LINGER; what it acknowledges later counts all the same" {
    late_input_resets
    export LINGERCLOSE_LINGER=500ms LINGERCLOSE_IDLE=100ms
    lingers linger 10 500 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        100 < P. 1:11(10) ack 1
            > . 1002:1002(0) ack 11
        500 ! end
        550 < . 11:11(0) ack 1002
        600 < F. 11:11(0) ack 1002
            > . 1002:1002(0) ack 12
        700
END
}

@test "a peer that never acknowledges our FIN is given up after LINGER, not after IDLE; the kernel repeats it" {
    late_input_resets
    export LINGERCLOSE_LINGER=700ms LINGERCLOSE_IDLE=100ms
    lingers linger 10 700 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
            < . 1:1(0) ack 1001
            > F. 1001:1001(0) ack 1
            < . 1:1(0) ack 1001
        500 < P. 1:11(10) ack 1001
            > . 1002:1002(0) ack 11
        700 ! end
            < F. 11:11(0) ack 1002
            > . 1002:1002(0) ack 12
END
}

@test "a peer whose window stays shut is given up after LINGER; when it opens, past the bound, all arrives" {
    # The kernel's probes have the number before the first that it may not send (tcp_xmit_probe_skb()).
    wire plain server write=5000 close <<'END'
            window 1000
            > . 1:501(500) ack 1
            > P. 501:1001(500) ack 1
          0 ! end
            window 0
            < . 1:1(0) ack 1001
            > . 1000:1000(0) ack 1
            < P. 1:11(10) ack 1001
            > R 1001:1001(0)
END
    export LINGERCLOSE_LINGER=700ms LINGERCLOSE_IDLE=100ms
    lingers linger 10 700 write=5000 close <<'END'
            window 1000
            > . 1:501(500) ack 1
            > P. 501:1001(500) ack 1
            window 0
            < . 1:1(0) ack 1001
            > . 1000:1000(0) ack 1
            < P. 1:11(10) ack 1001
            > . 1001:1001(0) ack 11
            > . 1000:1000(0) ack 11
            < . 11:11(0) ack 1001
        700 ! end
            window 65535
            < . 11:11(0) ack 1001
            take 5002
            < F. 11:11(0) ack 5002
            > . 5002:5002(0) ack 12
END
}

@test "a window of one byte that grows: all arrives, however short IDLE is" {
    export LINGERCLOSE_IDLE=50ms
    wire plain server write=5000 close <<'END'
            window 1
          0 ! end
            > P. 1:2(1) ack 1
            < . 1:1(0) ack 2
            > P. 2:3(1) ack 1
            < P. 1:11(10) ack 3
            > R 3:3(0)
END
    lingers eof 10 600 write=5000 close <<'END'
            window 1
            > P. 1:2(1) ack 1
            < . 1:1(0) ack 2
            > P. 2:3(1) ack 1
            window 10
            < P. 1:11(10) ack 3
            > P. 3:13(10) ack 11
            window 65535
            < . 11:11(0) ack 13
            take 5002
            < F. 11:11(0) ack 5002
            > . 5002:5002(0) ack 12
END
}

@test "a drip just under IDLE is given up after DRAIN: the byte after it is answered with RST" {
    late_input_resets
    export LINGERCLOSE_IDLE=200ms LINGERCLOSE_DRAIN=700ms
    lingers drain 4 700 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        150 < P. 1:2(1) ack 1002
            > . 1002:1002(0) ack 2
        300 < P. 2:3(1) ack 1002
            > . 1002:1002(0) ack 3
        450 < P. 3:4(1) ack 1002
            > . 1002:1002(0) ack 4
        600 < P. 4:5(1) ack 1002
            > . 1002:1002(0) ack 5
        700 ! end
        750 < P. 5:6(1) ack 1002
            > R 1002:1002(0)
END
}

@test "a peer that has acknowledged all and falls silent is given up after IDLE, without a packet" {
    late_input_resets
    export LINGERCLOSE_IDLE=400ms
    lingers idle 0 500 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        100 < . 1:1(0) ack 1002
       +400 ! end
        800 < P. 1:11(10) ack 1002
            > R 1002:1002(0)
END
}

@test "half-open: a host that is gone after the handshake is given up after LINGER, whatever a router says" {
    wire plain server close <<'END'
            > F. 1:1(0) ack 1
          0 ! end
            < icmp host
            > F. 1:1(0) ack 1
END
    export LINGERCLOSE_LINGER=700ms LINGERCLOSE_IDLE=100ms
    lingers linger 0 700 close <<'END'
            > F. 1:1(0) ack 1
            > F. 1:1(0) ack 1           # again
            < icmp host
            > F. 1:1(0) ack 1
            < icmp host
        700 ! end
END
}

@test "half-open: a cable that is pulled after the handshake is waited for as long as LINGER" {
    wire plain server write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
          0 ! end
            unplug
        500
END
    export LINGERCLOSE_LINGER=500ms LINGERCLOSE_IDLE=100ms
    lingers linger 0 500 write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
            unplug
        500 ! end
END
}

@test "a process that ends is bound by EXIT; after it late input is cut to its header, and what was sent still arrives" {
    wire plain server write=1000 <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
          0 ! end
            < P. 1:11(10) ack 1
            > R 1:1(0)
END
    LINGERCLOSE_EXIT=400ms wire shimmed server write=1000 <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
        100 < P. 1:11(10) ack 1
            > . 1002:1002(0) ack 11
        400 ! end
            < P. 11:21(10) ack 1
        600 < . 11:11(0) ack 1002
        700
END
}

@test "the scripted peer itself notices what comes late, early, otherwise, not at all, or unasked" {
    # mistaken WHAT: the script fails, with these words
    mistaken() {
        run wire plain server write=1000 close
        echo "$output"
        [ "$status" -ne 0 ] && [[ $output == *"wire: line "*"$1"* ]]
    }
    mistaken "it did not come" <<'END'
        > P. 1:1001(1000)
        > F. 1001:1001(0)
      0 > F. 1001:1001(0) ack 2
END
    mistaken "it came at" <<<'500 > P. 1:1001(1000) ack 1'
    mistaken "the kernel sent P. 1:1001(1000)" <<<'> P. 1:1001(1000) ack 2'
    mistaken "the kernel sent P. 1:1001(1000)" <<<'0 ! end'
    mistaken "it happened at" <<'END'
        > P. 1:1001(1000)
        > F. 1001:1001(0)
    500 ! end
END
    mistaken "the kernel sent R 1:1(0)" <<'END'
        > P. 1:1001(1000)
        > F. 1001:1001(0)
        < P. 1:11(10) ack 1
        200
END
    mistaken "this is no packet" <<<'< P. 1:11 ack 1'
}
