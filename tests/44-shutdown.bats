#!/usr/bin/env bats
# shutdown(SHUT_RDWR) makes the kernel answer the peer's next byte with a RST, before any close.

load helper
load ways

# same CASE [rd] -- PEER...: the program sees the same as without the shim, but for the time, and for
# which of its threads speaks first.
same() {
    plain shutdowns "$@"
    said server | grep -v _ms= | sort >"$BATS_TEST_TMPDIR/plainly"
    shimmed shutdowns "$@"
    said server | grep -v _ms= | sort | diff "$BATS_TEST_TMPDIR/plainly" -
}

@test "after shutdown(SHUT_RDWR) the peer's next byte brings no RST and the reply is whole" {
    plain server write=1000000 shut=rdwr close -- peer port await=fin send=100 read
    cut 1000000
    [ "$(value abort_on_data)" = 1 ]
    shimmed server write=1000000 shut=rdwr close -- peer port await=fin send=100 read
    whole 1000000
}

@test "an error queue that the program has not read is not taken for the peer's end by shutdown(SHUT_RDWR)" {
    plain server zerocopy=1000 shut=rdwr close -- peer port await=fin pause=100 send=100 read
    [ "$(value rsts)" = 1 ]
    shimmed server zerocopy=1000 shut=rdwr close -- peer port await=fin pause=100 send=100 read
    whole 1000
}

@test "a peer that sends 2 MB against shutdown(SHUT_RDWR) is neither held up nor reset" {
    plain server write=1000 shut=rdwr close -- peer port sndbuf=65536 await=fin send=2000000 read
    [ "$(value send_error)" != none ]
    for buffer in 16384 65536 262144; do
        shimmed server rcvbuf=$buffer write=1000 shut=rdwr close -- peer port sndbuf=65536 await=fin send=2000000 read
        whole 1000
        between 0 "$(value ms)" 1500
    done
    shimmed server write=1000 shut=rdwr close -- peer port sndbuf=65536 await=fin send=2000000 read
    whole 1000
    between 0 "$(value ms)" 1500
}

@test "a thread that is blocked in recv wakes up with 0 in a moment when another calls shutdown(SHUT_RDWR)" {
    export LINGERCLOSE_IDLE=5s LINGERCLOSE_EXIT=300ms
    same recv -- peer port read silent
    [ "$(value reader)" = 0 ]
    between 0 "$(value woken_ms)" 200
    between 0 "$(value shutdown_ms)" 200
    same recv rd -- peer port send=0 await=line read silent
    [ "$(value reader)" = 0 ]
    between 0 "$(value woken_ms)" 200
}

@test "a thread that waits in poll or epoll_wait wakes up in a moment, with the same events" {
    export LINGERCLOSE_IDLE=5s LINGERCLOSE_EXIT=300ms
    same poll -- peer port read silent
    between 0 "$(value woken_ms)" 200
    same epoll -- peer port read silent
    between 0 "$(value woken_ms)" 200
}

@test "after shutdown(SHUT_RDWR) recv, poll, send and shutdown say what they say without the shim" {
    export LINGERCLOSE_IDLE=200ms
    same after -- peer port send=100 read silent
    [ "$(value send)" = -1 ]
}

@test "what was unread at shutdown(SHUT_RD) can still be read, and the reply still be written" {
    export LINGERCLOSE_IDLE=100ms
    same after rd -- peer port send=100 read silent
    between 0 "$(value shutdown_ms)" 100
    plain server await shut=rd write=1000000 close -- peer port send=100 slow=20000:1
    cut 1000000
    shimmed server await shut=rd write=1000000 close -- peer port send=100 slow=20000:1
    whole 1000000
}

@test "shutdown(SHUT_RDWR) of a non-blocking connection does not wait" {
    export LINGERCLOSE_IDLE=5s
    plain shutdowns nonblock -- peer port send=100 await=fin read
    cut 600000
    shimmed shutdowns nonblock -- peer port send=100 await=fin slow=20000:10
    whole 600000
    between 0 "$(value shutdown_ms)" 100
}

@test "shutdown(SHUT_RDWR) in a program with threads waits a moment at most" {
    export LINGERCLOSE_IDLE=5s
    plain shutdowns thread -- peer port send=100 await=fin read
    cut 600000
    shimmed shutdowns thread -- peer port send=100 await=fin slow=20000:10
    whole 600000
    between 0 "$(value shutdown_ms)" 200
}

@test "shutdown(SHUT_RDWR) of a connection that a child has too does just that, at once" {
    export LINGERCLOSE_IDLE=5s
    same child -- peer port send=100 await=fin read
    between 0 "$(value shutdown_ms)" 100
    whole 600000
    grep "child's recv=0 fine" <<<"$output"
}

@test "shutdown(SHUT_RDWR) of a connection that a child has too: what comes in a moment brings no RST" {
    for _ in 1 2 3; do
        plain shutdowns held -- peer port send=100 await=fin send=100 send=100 read
        [ "$(value send_error)" != none ]
    done
    # On a busy machine the peer may be later than a moment.
    for _ in 1 2 3; do
        shimmed shutdowns held -- peer port send=100 await=fin send=100 send=100 read
        between 0 "$(value shutdown_ms)" 200
        [ "$(value send_error)" != none ] || break
    done
    whole 600000
}

@test "a server that ends fifty silent sessions by shutdown(SHUT_RDWR) does not wait a moment for each" {
    export LINGERCLOSE_EXIT=0
    plain shutdowns many -- peer port send=100 read
    between 0 "$(value many_ms)" 100
    shimmed shutdowns many -- peer port send=100 read
    between 100 "$(value many_ms)" 1000
}

@test "two numbers in one process are still ours alone" {
    plain shutdowns copy -- peer port send=100 await=fin send=100 read
    [ "$(value bytes)" -lt 600000 ]
    [ "$(value send_error)" = RESET ]
    shimmed shutdowns copy -- peer port send=100 await=fin send=100 read
    whole 600000
}

@test "shutdown of what is no live connection gives the same results" {
    same errors -- peer port send=100 read
    same errors rd -- peer port send=100 read
}

@test "shutdown(SHUT_WR) is left alone: the peer's answer to the FIN is read" {
    same half -- peer port send=100 await=fin send=100 read
    [ "$(value recv)" = 100 ]
    whole 600000
}

@test "LINGERCLOSE_SHUTDOWN=off leaves shutdown as it is, and close as gentle" {
    export LINGERCLOSE_SHUTDOWN=off
    plain server write=1000000 shut=rdwr close -- peer port await=fin send=100 read
    cut 1000000
    shimmed server write=1000000 shut=rdwr close -- peer port await=fin send=100 read
    cut 1000000
    shimmed server await write=1000000 close -- peer port send=100 await=fin read
    whole 1000000
    shimmed server await write=1000000 shut=rdwr close -- peer port send=100 await=fin read
    whole 1000000
}

# Counters of four bytes: what is read after the shutdown has to be the stream's beginning.
@test "a program with threads reads no stream with a hole after shutdown(SHUT_RDWR), however much comes meanwhile" {
    need_command python3
    need_netns
    local program='
import itertools, socket, struct, threading, time
threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
def send(peer):
    try:
        for i in itertools.count(0, 1024):
            peer.sendall(struct.pack("1024I", *range(i, i + 1024)))
    except OSError:
        pass
def read(connection):
    try:
        return connection.recv(1 << 16)
    except OSError: # the connection may have been reset meanwhile, once all is read
        return b""
with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
    connection = listener.accept()[0]
    threading.Thread(target=send, args=(peer,), daemon=True).start()
    connection.recv(1 << 16, socket.MSG_PEEK | socket.MSG_WAITALL)
    connection.shutdown(socket.SHUT_RDWR)
    data = b"".join(iter(lambda: read(connection), b""))
    numbers = struct.unpack("%dI" % (len(data) // 4), data[:len(data) // 4 * 4])
    print("prefix" if numbers == tuple(range(len(numbers))) and numbers else "hole")'
    run in_netns python3 -c "$program"
    [ "$output" = prefix ]
    run in_netns env LD_PRELOAD="$lib" python3 -c "$program"
    [ "$output" = prefix ]
}
