#!/usr/bin/env bats
# Connections that the program left in some special state when it let go of them.

load helper
load ways

@test "a corked reply arrives although input is unread, whichever way the program lets go" {
    local words
    for words in "" "close" "shut=wr" "shut=wr close" "shut=rdwr" "shut=rdwr close"; do
        # shellcheck disable=SC2086 # a list of words
        plain server await cork write=1000 $words -- peer port send=100 await=fin read
        [ "$(value rsts)" = 1 ]
        # Without a FIN of its own before the reset nothing at all arrives.
        case $words in shut*) ;; *) [ "$(value bytes)" = 0 ] ;; esac
        # shellcheck disable=SC2086
        shimmed server await cork write=1000 $words -- peer port send=100 await=fin read
        whole 1000
    done
}

@test "a corked reply arrives when input comes after the letting go" {
    plain server cork write=100000 -- peer port await=fin send=100 read
    [ "$(value rsts)" -gt 0 ]
    shimmed server cork write=100000 -- peer port await=fin send=100 read
    whole 100000
    shimmed server cork write=100000 close -- peer port await=fin send=100 read
    whole 100000
}

@test "after the program's own shutdown(SHUT_WR) unread input is drained" {
    local words
    for words in "" "close"; do
        # shellcheck disable=SC2086 # a list of words
        plain server await write=1000000 shut=wr $words -- peer port send=100 await=fin read
        cut 1000000
        # shellcheck disable=SC2086
        shimmed server await write=1000000 shut=wr $words -- peer port send=100 await=fin read
        whole 1000000
    done
}

@test "after shutdown(SHUT_RD) recv gives 0, which is not taken for the peer's end" {
    export LINGERCLOSE_IDLE=300ms LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log
    plain server shut=rd write=1000000 close -- peer port send=100 slow=20000:1
    cut 1000000
    # The peer's input comes while the reply is under way, after the letting go.
    local words peer=(peer port await=line pause=30 send=100 slow=20000:1)
    for words in "" close; do
        # shellcheck disable=SC2086 # a list of words
        plain server shut=rd write=1000000 say=closing $words -- "${peer[@]}"
        cut 1000000
        rm -f "$LINGERCLOSE_LOG"
        # shellcheck disable=SC2086
        shimmed server shut=rd write=1000000 say=closing $words -- "${peer[@]}"
        whole 1000000
        grep 'decided=linger' "$LINGERCLOSE_LOG"
        never 'end=eof' "$LINGERCLOSE_LOG"
    done
}

@test "after shutdown(SHUT_RD) the peer's own end is noticed: the close does not wait for silence" {
    export LINGERCLOSE_IDLE=2s
    plain server shut=rd write=1000 close -- peer port fin read
    between 0 "$(value close_ms)" 50
    shimmed server await=fin shut=rd write=1000 close -- peer port fin read
    between 0 "$(value close_ms)" 500
    whole 1000
}

@test "a connection that the peer has reset is closed at once" {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=2s
    shimmed server write=1000 close -- peer port read silent
    between 1900 "$(value close_ms)" 3000
    plain server await=line close -- peer port reset say=gone
    between 0 "$(value close_ms)" 50
    shimmed server await=line close -- peer port reset say=gone
    between 0 "$(value close_ms)" 200
}

@test "a socket that has listened, and was connected then, lingers as any other" {
    need_command python3
    cat >"$BATS_TEST_TMPDIR/turned.py" <<'END'
import os, socket, sys
turned = socket.create_server(("127.0.0.1", 0))
turned.shutdown(socket.SHUT_RDWR)
turned.connect(("127.0.0.1", int(sys.argv[1])))
turned.recv(1, socket.MSG_PEEK)
turned.sendall(b"x" * 100000)
turned.close()
END
    cat >"$BATS_TEST_TMPDIR/called.py" <<'END'
import os, socket, subprocess, sys
listening = socket.create_server(("127.0.0.1", 0))
program = subprocess.Popen(["env"] + sys.argv[2:] + ["python3", sys.argv[1], str(listening.getsockname()[1])])
peer, _ = listening.accept()
peer.sendall(b"unread")
got = 0
try:
    while block := peer.recv(65536):
        got += len(block)
    print("end=EOF bytes=%d" % got)
except ConnectionResetError:
    print("end=RESET bytes=%d" % got)
peer.close()
sys.exit(program.wait())
END
    need_netns
    run counted python3 "$BATS_TEST_TMPDIR/called.py" "$BATS_TEST_TMPDIR/turned.py"
    echo "$output"
    [ "$(value end)" = RESET ]
    [ "$(value abort_on_close)" = 1 ]
    run counted python3 "$BATS_TEST_TMPDIR/called.py" "$BATS_TEST_TMPDIR/turned.py" LD_PRELOAD="$lib"
    echo "$output"
    [ "$(value end)" = EOF ]
    [ "$(value bytes)" = 100000 ]
    no_resets
}
