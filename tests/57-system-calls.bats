#!/usr/bin/env bats
# What a close asks of the kernel, call by call: what is expected is in tests/bench/syscalls, which is changed knowingly.

load helper
load load

@test "a close makes the system calls that are expected, and of what is no live connection none besides" {
    need_command strace
    need_netns
    [ "$(uname -m)" = x86_64 ] || skip "glibc makes other calls of the same functions here"
    [ -z "${TEST_BUILD-}" ] || skip "glibc makes other calls of the same functions on 32 bit"
    sh "$top/tests/bench/syscalls.sh" >"$BATS_TEST_TMPDIR/syscalls"
    diff "$top/tests/bench/syscalls" "$BATS_TEST_TMPDIR/syscalls"
    for kind in file pipe udp unix; do
        grep -qx "$kind shim: close" "$BATS_TEST_TMPDIR/syscalls"
    done
    # The control: a preload that asks for more is seen to.
    SHIM=$bin/asking.so run sh "$top/tests/bench/syscalls.sh" file
    echo "$output"
    grep -x "file plain: close" <<<"$output"
    grep -x "file shim: fcntl close" <<<"$output"
}

# naps: of the children of a server that forks for each of 300 connections, 20 at once, in all
naps() {
    : >"$BATS_TEST_TMPDIR/naps"
    LAUNCH="strace -D -f -qq -e trace=nanosleep,clock_nanosleep -o $BATS_TEST_TMPDIR/naps" SHIM=$debug_lib \
        loaded_shimmed 300 20 20000 -- "$bin/models" fork
    all_complete 300
    naps=$(grep -c nanosleep "$BATS_TEST_TMPDIR/naps") || true
    echo "$naps naps"
}

@test "a child that closes its connection waits for no birth of a brother who cannot have it" {
    need_command strace
    need_netns
    naps
    local with=$naps
    export LINGERCLOSE_MUTANT=had-all
    naps
    [ "$naps" -gt 100 ]
    [ $((with * 5)) -lt "$naps" ]
}

# asked PYTHON: of the kernel about its socket, by a program that forks and its child
asked() {
    run strace -f -qq -e trace=socket,getsockopt,fcntl,epoll_create1 -E LD_PRELOAD="$lib" python3 -c "import os, socket
s = socket.socket()
s.bind(('127.0.0.1', 0))
$1
if os.fork():
    os.wait()"
    [ "$status" = 0 ] || echo "python3 ended with $status"
    sed '1,/socket(AF_INET/d' <<<"$output" | grep -E 'SO_COOKIE|F_SETLK|epoll_create1' || true
}

@test "nobody asks who else has a listener, when a server forks or ends" {
    need_command strace
    need_command python3
    [ -n "$(asked '')" ]
    [ -z "$(asked 's.listen()')" ]
    [ -z "$(asked 's.listen(); s = s.dup()')" ]
}

# looks WHAT: how often a parent looks for its child's lock when it closes the connection that both have
looks() {
    cat >"$BATS_TEST_TMPDIR/looks.py" <<'END'
import ctypes, os, socket, sys
what = sys.argv[1]
if not os.fork(): # so that the connection is not older than the family
    os._exit(0)
os.wait()
listening = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listening.getsockname())
server, _ = listening.accept()
server.set_inheritable(True)
ready, done = os.pipe() # done is close-on-exec
stays, goes = os.pipe()
if not os.fork():
    os.close(ready)
    os.dup2(stays, 0) # the child ends with its parent
    os.close(goes)
    if "sandbox" in what: # SECCOMP_RET_ALLOW for all
        one = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\xff\x7f", 8)
        program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(one))
        libc = ctypes.CDLL(None)
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
    if "exec" in what:
        os.execvp("sh", ["sh", "-c", "read line"])
    os.close(done)
    sys.stdin.readline()
    os._exit(0)
os.close(done)
os.read(ready, 1)
os.write(2, b"mark\n")
server.close()
os.write(2, b"mark\n")
END
    run strace -qq -e trace=fcntl,write -E LD_PRELOAD="$lib" python3 "$BATS_TEST_TMPDIR/looks.py" "$1"
    [ "$status" = 0 ] || echo "python3 ended with $status"
    sed -n '/"mark/,/"mark/p' <<<"$output" | grep -c 'F_GETLK.*=1818848871'
}

@test "what another program may have is looked at again, after an exec in a sandbox too; what a child has, once" {
    need_command strace
    need_command python3
    [ "$(looks child)" = 1 ]
    [ "$(looks exec)" -gt 1 ]
    [ "$(looks 'sandbox exec')" -gt 1 ]
}

@test "dup2 onto a shared connection beyond a lowered limit, which the kernel refuses, does not let go of its lock" {
    need_command strace
    need_command python3
    need_command prlimit
    [[ $(ulimit -Hn) == unlimited || $(ulimit -Hn) -ge 1000 ]] || skip "no 1,000 descriptors"
    cat >"$BATS_TEST_TMPDIR/beyond.py" <<'END'
import fcntl, os, resource, socket, sys
listening = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listening.getsockname())
server, _ = listening.accept()
high = fcntl.fcntl(server.fileno(), fcntl.F_DUPFD, 200)
server.close()
if not os.fork():
    os._exit(0)
os.wait()
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), 1000))
os.write(2, b"mark\n")
try:
    os.dup2(0, high)
    print("done")
except OSError as e:
    print("errno=%d" % e.errno)
os.write(2, b"mark\n")
END
    # unlocks LIMIT: how often, and how the dup2 ended
    unlocks() {
        run strace -qq -e trace=fcntl,write -E LD_PRELOAD="$lib" prlimit --nofile=1000 python3 "$BATS_TEST_TMPDIR/beyond.py" "$1"
        echo "$(sed -n '/"mark/,/"mark/p' <<<"$output" | grep -c F_UNLCK) $(grep -o '"errno=[0-9]*\|"done' <<<"$output")"
    }
    [[ $(unlocks 900) == [1-9]*' "done' ]]
    [ "$(unlocks 150)" = '0 "errno=9' ]
}
