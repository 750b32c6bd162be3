#!/usr/bin/env bats
# A program that holds both ends of a connection, as test suites do, closes one in the only thread that
# could close the other: waiting there would be waiting for itself.

load helper

setup() {
    export LINGERCLOSE_MODE=auto LINGERCLOSE_IDLE=1s
}

# both [WORD...]: neither close waits, and the other end reads all and EOF.
both() {
    run in_netns "$bin/bothends" "$@"
    echo "without: $output"
    [ "$(value end)" = ECONNRESET ]
    run in_netns env LD_PRELOAD="$lib" "$bin/bothends" "$@"
    echo "with: $output"
    [ "$(value end)" = EOF ]
    [ "$(value bytes)" = 10000 ]
    between 0 "$(value first_ms)" 200
    between 0 "$(value second_ms)" 200
}

@test "a close that waits for a peer elsewhere shows in these figures" {
    LINGERCLOSE_IDLE=500ms shimmed server await write=1000 close -- peer port send=100 read silent
    between 450 "$(value close_ms)" 900
}

@test "the accepted end is closed first: no stall, and the other end reads all" {
    both
}

@test "the end that connected is closed first: no stall, and the other end reads all" {
    both connected
}

@test "with O_NONBLOCK ends, and with IPv6: no stall" {
    both nonblock
    both 6
    both 6 connected
}

@test "a listener for IPv6 and IPv4 that is called by IPv4: no stall at either end" {
    both dual
    both dual connected
}

@test "an address that is not the loopback's is not looked for: the close waits for IDLE, and no longer" {
    for how in dual "dual connected"; do
        # shellcheck disable=SC2086 # words
        run in_netns sh -c 'ip address add 10.9.9.9 dev lo && exec "$@"' sh env ADDRESS=10.9.9.9 LD_PRELOAD="$lib" \
            "$bin/bothends" $how
        echo "with: $output"
        [ "$(value end)" = EOF ] && [ "$(value bytes)" = 10000 ]
        between 900 "$(value first_ms)" 2500
    done
}

@test "fifty such connections, one after another: no stall" {
    both many=50
}

@test "both ends, the other one read by another thread" {
    both thread
}

@test "both ends, the other one held by a child as well: no stall, and it is not ended" {
    both child
}

@test "a test suite in Python, server and client in one thread, blocking sockets: no stall" {
    need_command python3
    cat >"$BATS_TEST_TMPDIR/both.py" <<'END'
import socket, time
def pair():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    return client, server
began, ends = time.monotonic(), []
for i in range(20):
    client, server = pair()
    client.sendall(b"x" * 1000)
    server.sendall(b"y" * 1000)
    server.close()
    try:
        client.sendall(b"late")
        data = b""
        while chunk := client.recv(4096):
            data += chunk
        ends.append(len(data) == 1000)
    except OSError as error:
        ends.append(False)
    client.close()
print(f"whole={sum(ends)} ms={int((time.monotonic() - began) * 1000)}")
END
    run in_netns python3 "$BATS_TEST_TMPDIR/both.py"
    echo "without: $output"
    [ "$(value whole)" = 0 ]
    run in_netns env LD_PRELOAD="$lib" python3 "$BATS_TEST_TMPDIR/both.py"
    echo "with: $output"
    [ "$(value whole)" = 20 ]
    between 0 "$(value ms)" 1000
}

@test "a connection to the program's own listener that is closed before it is accepted: no stall" {
    need_command python3
    cat >"$BATS_TEST_TMPDIR/early.py" <<'END'
import os, socket, time
def call(listening):
    client = socket.create_connection(listening.getsockname()[:2])
    client.sendall(b"x" * 1000)
    began = time.monotonic()
    client.close()
    ms = (time.monotonic() - began) * 1000
    server, _ = listening.accept()
    assert len(server.recv(2000, socket.MSG_WAITALL)) == 1000
    return ms
listening = socket.create_server(("127.0.0.1", 0))
times = [call(listening), call(listening.dup())]
if os.environ.get("INHERITED"):
    times = [call(socket.socket(fileno=int(os.environ["INHERITED"])))]
else:
    listening.set_inheritable(True)
    os.environ["INHERITED"] = str(listening.fileno())
    print("ms=%d" % max(times), flush=True)
    os.execv("/usr/bin/env", ["env", "python3", __file__])
print("inherited_ms=%d" % max(times))
END
    run in_netns env LINGERCLOSE_MODE=auto LINGERCLOSE_IDLE=3s LD_PRELOAD="$lib" python3 "$BATS_TEST_TMPDIR/early.py"
    echo "$output"
    [ "$status" = 0 ]
    between 0 "$(value ms)" 1000
    between 0 "$(value inherited_ms)" 1000
}
