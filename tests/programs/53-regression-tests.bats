#!/usr/bin/env bats
# The regression tests of CPython and of tornado: each has the same outcome with the shim as without,
# and takes no longer, but for those that the file `differs` names with the reason. FULL=1 runs all of
# the modules; otherwise what is quick, and nearest to connections. TRANSPARENT_MODE=sync|background
# runs them in that mode.

load helper

here=$top/tests/programs

setup() {
    need_program /usr/bin/python3.11 python3
    [ -e /usr/lib/python3.11/test/test_socket.py ] || skip "no tests of CPython (Debian package libpython3.11-testsuite)"
    results=$BATS_TEST_TMPDIR
    temporary=$(mktemp -d /tmp/lc.XXXXXX) # the tests make AF_UNIX sockets in it, whose paths must be short
}

teardown() {
    rm -rf "$temporary"
}

# run_tests plain|shim RUN NAME...: as passes.py, in a place of its own
run_tests() {
    local how=$1 run=$2 environment=()
    shift 2
    [ "$how" = plain ] ||
        environment=(LD_PRELOAD="$lib" ${TRANSPARENT_MODE:+"LINGERCLOSE_MODE=$TRANSPARENT_MODE"})
    mkdir -p "$temporary/$how.$run"
    (cd "$temporary/$how.$run" && TMPDIR=$PWD HOME=$PWD timeout -k 10 840 unshare --net --pid --mount --fork \
        --kill-child --mount-proc "$bin/netns" env "${environment[@]}" /usr/bin/python3.11 "$here/passes.py" \
        "$results/$how.$run" "$@") >"$results/$how.$run.out" 2>&1 </dev/null 3>&-
}

# Both at once, so that they meet the same load.
run_both() {
    run_tests plain "$@" &
    run_tests shim "$@" || :
    wait $! || :
}

compare() {
    /usr/bin/python3 "$here/compare.py" "$here/differs" "$results"/plain.? -- "$results"/shim.?
}

# same_outcomes NAME... [-TEXT...]: what is not the same at first is run four times more, alone.
same_outcomes() {
    local suspects i
    run_both 1 "$@"
    [ -s "$results/plain.1" ] || complain "no test ran: $(tail -n 20 "$results/plain.1.out")"
    echo "$(wc -l <"$results/plain.1") tests, $(grep -c '^ok' "$results/plain.1") passed without the shim"
    suspects=$(compare | awk '$1 == "suspect" { print $2 }')
    if [ -n "$suspects" ]; then
        echo "again: $suspects"
        for i in 2 3 4 5; do
            # shellcheck disable=SC2086 # names
            run_both "$i" $suspects
        done
    fi
    compare
}

# Some of a module, or with FULL=1 all of it.
full() {
    [ "${FULL:-}" = 1 ]
}

@test "test_socket" {
    # AF_VSOCK knows no namespaces: the two runs would meet there.
    same_outcomes test.test_socket -VSOCK
}

@test "test_socketserver, test_asyncore, test_asynchat, test_smtpd" {
    local slow=(-handle_close_after_conn_broken)
    ! full || slow=()
    same_outcomes test.test_socketserver test.test_asynchat test.test_smtpd test.test_asyncore "${slow[@]}"
}

@test "test_httplib, test_ftplib, test_smtplib" {
    same_outcomes test.test_httplib test.test_ftplib test.test_smtplib
}

@test "test_asyncio" {
    if full; then
        same_outcomes test.test_asyncio
    else
        same_outcomes test.test_asyncio.test_{base_events,buffered_proto,events,selector_events,sendfile} \
            test.test_asyncio.test_{server,sock_lowlevel,sslproto,streams,unix_events} -test_drain_raises
    fi
}

@test "test_ssl" {
    same_outcomes test.test_ssl
}

@test "test_subprocess" {
    if full; then
        same_outcomes test.test_subprocess
    else
        same_outcomes test.test_subprocess.POSIXProcessTestCase
    fi
}

@test "test_multiprocessing_fork" {
    local module=test.test_multiprocessing_fork
    if full; then
        same_outcomes "$module"
    else
        same_outcomes "$module".WithProcesses{TestConnection,TestListener,TestListenerClient,TestPicklingConnections} \
            "$module".{WithProcessesTestPoll,WithManagerTestRemoteManager,TestWait,TestCloseFds,OtherTest}
    fi
}

@test "test_os, test_posix, test_threading" {
    same_outcomes test.test_os test.test_posix test.test_threading
}

@test "test_selectors, test_signal" {
    full || skip "only with FULL=1"
    same_outcomes test.test_selectors test.test_signal
}

@test "tornado" {
    [ -d /usr/lib/python3/dist-packages/tornado/test ] || skip "no tests of tornado (Debian package python3-tornado)"
    if full; then
        same_outcomes tornado.test.runtests.all
    else
        same_outcomes tornado.test.{iostream,http1connection,httpserver,tcpserver,tcpclient,simple_httpclient,process}_test
    fi
}
