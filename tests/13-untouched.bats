#!/usr/bin/env bats
# What is no live TCP connection of the program goes to the real call: the same results, nothing
# logged, and one system call more at most. What the program meant to abort is aborted.

load helper

KINDS="tcp bound listening connecting refused udp unix unix-listening file null pipe epoll eventfd
not-open negative"

@test "a close of anything but a live TCP connection gives the same results and is not logged" {
    need_netns
    local kind expected
    # The control: a connection in the same place is logged.
    LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log shimmed server await write=9 close -- peer port send=1 read
    [ "$(wc -l <"$BATS_TEST_TMPDIR/log")" = 1 ]
    for kind in $KINDS; do
        expected=$(in_netns "$bin/kinds" "$kind")
        run in_netns env LINGERCLOSE_LOG="$BATS_TEST_TMPDIR/$kind" LD_PRELOAD="$lib" "$bin/kinds" "$kind"
        echo "$kind: plain: $expected, shim: $output"
        [ "$output" = "$expected" ]
        # (What the program still holds when it exits is another matter.)
        never how=close "$BATS_TEST_TMPDIR/$kind"
    done
}

@test "EBADF stays EBADF" {
    [ "$("$bin/kinds" not-open)" = "ret=-1 errno=9 again=-1,EBADF" ]
    [ "$(LD_PRELOAD=$lib "$bin/kinds" not-open)" = "ret=-1 errno=9 again=-1,EBADF" ]
    [ "$(LD_PRELOAD=$lib "$bin/kinds" negative)" = "ret=-1 errno=9 again=-1,EBADF" ]
}

# The system calls between the two marks of `kinds KIND N`.
calls() {
    in_netns strace -o "$BATS_TEST_TMPDIR/trace" ${1:+-E LD_PRELOAD="$1"} "$bin/kinds" "$2" "$3" >/dev/null
    awk '/^write\(-1, "mark"/ { marks++; next } marks == 1 { n++ } END { print n + 0 }' \
        "$BATS_TEST_TMPDIR/trace"
}

@test "a close of anything but a live TCP connection costs at most one system call more, of no socket none" {
    need_netns
    need_command strace
    local kind plain shim
    for kind in $KINDS; do
        plain=$(calls "" "$kind" 20)
        shim=$(calls "$lib" "$kind" 20)
        echo "$kind: 20 closes: $plain system calls, with the shim $shim"
        [ "$plain" = 20 ]
        case $kind in
        file | null | pipe | epoll | eventfd) [ "$shim" = 20 ] ;;
        *) [ "$shim" -le 40 ] ;;
        esac
    done
}

@test "an abort that the program asked for, SO_LINGER {1, 0}, still sends its RST at once" {
    plain server await write=100 linger=0 close -- peer port send=1 await=fin read
    [ "$(value rsts)" = 1 ]
    [ "$(value end)" = RESET ]
    shimmed server await write=100 linger=0 close -- peer port send=1 await=fin read
    [ "$(value rsts)" = 1 ]
    [ "$(value end)" = RESET ]
    between 0 "$(value close_ms)" 50
}

@test "an abort with nothing unread is an abort too" {
    plain server linger=0 close -- peer port read
    [ "$(value end)" = RESET ]
    shimmed server linger=0 close -- peer port read
    [ "$(value end)" = RESET ]
    [ "$(value rsts)" = 1 ]
}

@test "a connection that was aborted by its peer is closed without waiting" {
    # The control: with the peer alive the same close waits for IDLE.
    export LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=400ms
    shimmed server await close -- peer port send=1 silent
    between 380 "$(value close_ms)" 700
    shimmed server await=fin close -- peer port reset
    between 0 "$(value close_ms)" 50
    [ "$(value ret)" = 0 ]
}

@test "SO_LINGER {1, 5} is no abort: the connection lingers" {
    plain server await write=1000000 linger=5 close -- peer port send=100 await=fin read
    cut 1000000
    shimmed server await write=1000000 linger=5 close -- peer port send=100 await=fin read
    whole 1000000
}

@test "a number that was a connection is an ordinary file's afterwards" {
    need_netns
    need_command strace
    # The control: a fresh descriptor costs the same.
    plain=$(calls "$lib" null 20)
    run in_netns strace -o "$BATS_TEST_TMPDIR/trace" -E LD_PRELOAD="$lib" "$bin/reuse"
    echo "$output"
    [ "$output" = "same=1 ret=0" ]
    [ "$(awk '/^write\(-1, "mark"/ { marks++; next } marks == 1 { n++ } END { print n + 0 }' \
        "$BATS_TEST_TMPDIR/trace")" -le $((plain / 20)) ]
}

# given exec|pass: a listener with SO_LINGER {1, 0}, made by a program without the shim, goes to one with it by exec or in a
# message; what the peer of its connection meets
given() {
    cat >"$BATS_TEST_TMPDIR/given.py" <<'END'
import os, socket, struct, sys
way, lib = sys.argv[1:]
if lib == "-":
    fd = int(os.environ["FD"])
    listening = socket.socket(fileno=fd if way == "exec" else socket.recv_fds(socket.socket(fileno=fd), 1, 1)[1][0])
    connection, _ = listening.accept()
    connection.recv(5)
    connection.sendall(b"reply")
    connection.close()
    sys.exit()
listening = socket.create_server(("127.0.0.1", 0))
listening.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
ours, theirs = socket.socketpair()
if not os.fork():
    fd = listening if way == "exec" else theirs
    fd.set_inheritable(True)
    os.environ.update({"FD": str(fd.fileno()), "LD_PRELOAD": lib} if lib else {"FD": str(fd.fileno())})
    os.execvp("python3", ["python3", __file__, way, "-"])
socket.send_fds(ours, [b"x"], [listening.fileno()])
client = socket.create_connection(listening.getsockname())
client.sendall(b"hello")
os.wait()
try:
    while client.recv(100):
        pass
    print("end=EOF")
except ConnectionResetError:
    print("end=RESET")
END
    need_netns
    run counted env LINGERCLOSE_IDLE=500ms python3 "$BATS_TEST_TMPDIR/given.py" "$@"
    echo "$output"
    [ "$(value end)" = RESET ]
    [ "$(value rsts)" = 1 ]
}

@test "an abort that another program has set on the listener, which came by exec or in a message, is one" {
    need_command python3
    for way in exec pass; do
        given $way ''
        given $way "$lib"
    done
}
