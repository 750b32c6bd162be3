#!/usr/bin/env bats
# haproxy: two connections for each of a client, one accepted, one opened, and SO_LINGER {1, 0} where it wants an abort.

load helper
load web
needs=(haproxy haproxy)

# start_haproxy [WORD of the server lines]: before a backend that has 3 MB and refuses uploads, busybox httpd.
start_haproxy() {
    mkdir -p "$work/www"
    head -c 3000000 /dev/zero >"$work/www/file"
    echo hello >"$work/www/small"
    cat >"$work/haproxy.cfg" <<EOF
global
    maxconn 200
defaults
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend http
    mode http
    bind 127.0.0.1:8080
    http-request deny deny_status 403 if { path /denied }
    default_backend files
frontend raw
    mode tcp
    bind 127.0.0.1:8081
    default_backend bytes
frontend aborts
    mode http
    option nolinger
    bind 127.0.0.1:8082
    default_backend files
backend files
    mode http
    server one 127.0.0.1:8090 ${1-}
backend bytes
    mode tcp
    server one 127.0.0.1:8090 ${1-}
EOF
    daemon 8090 busybox httpd -f -p 8090 -h "$work/www"
    daemon 8080 haproxy -f "$work/haproxy.cfg"
}

# haproxy ends what it has opened with a RST, where the backend's FIN has not come yet; that is its own wish (and the kernel
# counts it as abort_on_data: tcp_close).
no_resets() {
    local wanted
    wanted=$(grep -c 'program=haproxy.*remote=127.0.0.1:8090.*why=abort' "$work/shim.log") || :
    [ "$(value rsts)" -le "$wanted" ] || [ "$(value estab_resets)" -le "$wanted" ] || complain "a RST was sent"
    [ "$(value abort_on_close)" = 0 ] || complain "the kernel aborted on close"
    [ "$(value abort_on_data)" -le "$wanted" ] || complain "the kernel aborted on data"
}

late=(rcvbuf=65536 text="$download" await=fin send=65536 slow=65536:1)
quiet_denied=(text='POST /denied HTTP/1.0\r\nContent-Length: 0\r\n\r\n' read)
upload_denied=(sndbuf=65536 text='POST /denied HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n' send=2000000 read)

session() {
    for port in 8080 8081; do
        local at=http://127.0.0.1:$port
        for way in --http1.0 --http1.1; do
            inside curl -s $way $at/file $at/small $at/small | cksum
            inside curl -s $way -o /dev/null -w '%{http_code} %{size_download}\n' $at/none $at/denied
        done
    done
}

@test "haproxy: the same session through its HTTP and its TCP mode" {
    need_program curl curl
    same haproxy start_haproxy session
    ends TERM haproxy
    [ "$ms" -lt 1000 ]
}

@test "haproxy, HTTP: 3 MB of the backend arrive whole, with more requests behind" {
    early "haproxy, HTTP" "3 MB of a backend, more requests behind" start_haproxy 8080 quiet_download[@] late[@]
}

@test "haproxy, TCP: 3 MB of the backend arrive whole, with 64 KB behind the request" {
    early "haproxy, TCP" "3 MB of a backend, 64 KB behind the request" start_haproxy 8081 quiet_download[@] late[@]
}

@test "haproxy, HTTP: a POST of 2 MB that it denies gets its answer" {
    early "haproxy, HTTP" "2 MB POST denied" start_haproxy 8080 quiet_denied[@] upload_denied[@]
}

@test "haproxy: option nolinger still resets" {
    local i
    for i in plain shim; do
        phase $i
        start_haproxy
        ask 8082 any rcvbuf=65536 text="$download" await=reply pause=100 slow=16384:1
        [ "$(value end)" = RESET ]
        kernel
        [ "$(value rsts)" -gt 0 ]
    done
    grep why=abort "$work/shim.log"
}

@test "haproxy: its health checks of TCP still end with the reset that it wants" {
    local i
    for i in plain shim; do
        phase $i
        start_haproxy 'check inter 100ms'
        # shellcheck disable=SC2016 # the inner shell's
        inside timeout 20 sh -c 'until "$0" | grep -q "rsts=[3-9]"; do sleep 0.05; done' "$bin/counters"
    done
    grep 'program=haproxy.*why=abort' "$work/shim.log"
}

@test "haproxy: a soft stop lets connections linger, and leaves nothing" {
    local i
    for i in plain shim; do
        phase $i
        start_haproxy
        at_once 5 8080 any rcvbuf=65536 text="$download" await=fin pause=500 send=65536 slow=65536:1
        until [ "$(inside cat /proc/net/tcp | grep -c ':1F90 .* 0[45] ')" = 5 ]; do sleep 0.02; done
        ends USR1 haproxy
        [ "$ms" -lt 6000 ]
        wait "${at_once[@]}"
        cat "$work"/peer.*
        if [ $i = plain ]; then
            grep -q RESET "$work"/peer.*
        else
            cat "$work"/peer.* | never -v 'bytes=3000[0-9]* end=EOF.*send_error=none'
        fi
    done
    kernel
    no_resets
}

@test "haproxy: many early replies leave nothing behind" {
    leaves_nothing start_haproxy 8081 quiet_download[@] late[@]
}
