#!/usr/bin/env bats
# Debian's Python: the standard library's servers, each with its own way of letting go.

load helper
load models

python=/usr/bin/python3
needs=("$python" python3)

start_model() {
    daemon 8080 "$python" "$top/tests/programs/servers.py" "$model" 8080
}

start_http() {
    mkdir -p "$work/www"
    head -c 3000000 /dev/zero >"$work/www/file"
    daemon 8080 "$python" -m http.server --bind 127.0.0.1 -d "$work/www" 8080
}

# A certificate that nobody checks.
start_tls() {
    export CERTIFICATE=$work/certificate.pem
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout "$work/key" -out "$CERTIFICATE" \
        2>"$work/openssl.log"
    cat "$work/key" >>"$CERTIFICATE"
    model=tls
    start_model
}

fetch() {
    inside curl -s http://127.0.0.1:8080/file | cksum
    inside curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/none http://127.0.0.1:8080/
    inside curl -s -o /dev/null -w '%{http_code}\n' -d x=y http://127.0.0.1:8080/file
}

@test "Python http.server: a session of curl is the same" {
    need_program curl curl
    same "Python http.server" start_http fetch
}

@test "Python http.server: each reply arrives whole" {
    early_files "Python http.server" start_http
    leaves_nothing 8080 "${early_download[@]}"
}

@test "Python ForkingTCPServer: each reply arrives whole" {
    model_is_whole "Python ForkingTCPServer" forking
}

@test "Python ThreadingTCPServer: each reply arrives whole" {
    model_is_whole "Python ThreadingTCPServer" threading
}

@test "Python asyncio streams: each reply arrives whole" {
    model_is_whole "Python asyncio streams" streams
}

@test "Python multiprocessing, connections handed to a worker: each reply arrives whole" {
    model_is_whole "Python multiprocessing, handed over" handing
}

@test "Python multiprocessing, connections pickled for a spawned worker: each reply arrives whole" {
    model_is_whole "Python multiprocessing, pickled" pickling
}

@test "Python multiprocessing, children accept: each reply arrives whole" {
    model_is_whole "Python multiprocessing, prefork" pool
}

@test "Python ssl: each reply arrives whole" {
    need_program openssl openssl
    client=("$python" "$top/tests/programs/tls-peer.py")
    early "Python ssl" "3 MB, more input behind" start_tls 8080 get[@] get_early[@]
    early "Python ssl" "2 MB refused" start_tls 8080 put[@] put_early[@]
}

@test "Python ssl: a close_notify that comes after the server's close meets no RST" {
    need_program openssl openssl
    client=("$python" "$top/tests/programs/tls-peer.py")
    local phases i
    for phases in plain shim; do
        phase "$phases"
        start_tls
        for ((i = 0; i < TRIES; i++)); do
            ask 8080 any text='get\n' read notify
            [ "$(value bytes)" = 3000000 ]
            [ "$(value end)" = EOF ]
        done
        kernel
        if [ "$phase" = plain ]; then
            without="RST after $(value rsts) of $TRIES"
            [ "$(value rsts)" -gt 0 ] || complain "the control: without the shim no RST was sent"
        fi
    done
    no_resets
    row "Python ssl" "late close_notify" "$without" "$TRIES of $TRIES whole"
}

@test "Python asyncio: SIGINT ends it as soon as ever, or within LINGERCLOSE_EXIT" {
    ends_in_time python3 streams INT
}

# ---- clients: they have the shim, their server has not ----

start_http_without() {
    # shellcheck disable=SC2034 # shim_environment looks
    local phase=plain
    start_http
}

client_session() {
    under "$python" "$top/tests/programs/client.py" "$kind" 8080
}

@test "Python urllib: a session is the same" {
    kind=urllib
    same "Python urllib" start_http_without client_session
}

@test "Python requests: a session is the same" {
    "$python" -c 'import requests' 2>/dev/null || skip "requests is not installed (Debian package python3-requests)"
    kind=requests
    same "Python requests" start_http_without client_session
}
