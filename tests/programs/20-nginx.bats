#!/usr/bin/env bats
# nginx: event loops that close non-blocking sockets. It has a lingering close of its own, for input that it knows of; what
# comes after its close resets the reply.

load helper
load web
needs=(nginx nginx)

# start_nginx [LINE of the server block]
start_nginx() {
    mkdir -p "$work/www"
    chmod 777 "$work/www"
    head -c 3000000 /dev/zero >"$work/www/file"
    truncate -s 30M "$work/www/large"
    echo hello >"$work/www/small"
    cat >"$work/nginx.conf" <<EOF
daemon off;
user nobody nogroup;
worker_processes 2;
error_log $work/daemon.log;
pid $work/nginx.pid;
events { }
http {
    access_log off;
    client_body_temp_path $work/www/body;
    proxy_temp_path $work/www/proxy;
    fastcgi_temp_path $work/www/fastcgi;
    uwsgi_temp_path $work/www/uwsgi;
    scgi_temp_path $work/www/scgi;
    client_max_body_size 1m;
    server {
        listen 8080;
        root $work/www;
        location /proxy/ { proxy_pass http://127.0.0.1:8081/; }
        location /bye { return 444; }
        ${1-}
    }
    server { listen 8081; root $work/www; }
}
EOF
    daemon 8080 nginx -p "$work" -c "$work/nginx.conf"
}


get='GET /file HTTP/1.0\r\n\r\n'
get_proxy='GET /proxy/file HTTP/1.0\r\n\r\n'
post='POST /small HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n'

session() {
    local at=http://127.0.0.1:8080
    for way in --http1.0 --http1.1; do
        inside curl -s $way $at/file $at/proxy/file $at/small | cksum
        inside curl -s $way -r 1000-1999 $at/file | cksum
        inside curl -s $way -I $at/small | grep -i length
        inside curl -s $way -o /dev/null -w '%{http_code} %{size_download}\n' $at/none
        inside curl -s $way --data-binary "@$work/www/file" -o /dev/null -w '%{http_code}\n' $at/small
    done
    inside curl -s $at/bye
    echo "444: $?"
}

@test "nginx: a session of curl is the same" {
    need_program curl curl
    same nginx start_nginx session
}

@test "nginx: 3 MB arrive whole, however late the client sends on" {
    quiet=(text="$get" read)
    late=(rcvbuf=65536 text="$get" await=reply pause=TRY send=65536 slow=16384:1)
    TRIES=30 early nginx "3 MB, more requests behind" start_nginx 8080 quiet[@] late[@]
}

@test "nginx: 3 MB from a backend arrive whole, though the client sends after nginx has closed" {
    quiet=(text="$get_proxy" read)
    late=(rcvbuf=65536 text="$get_proxy" await=fin send=65536 slow=16384:1)
    early nginx "3 MB of a backend, more requests behind" start_nginx 8080 quiet[@] late[@]
}

@test "nginx: its own lingering close of a refused POST stays and takes no longer" {
    upload=(sndbuf=65536 text="$post" send=2000000 read)
    lingers nginx "2 MB POST refused" start_nginx 8080 upload[@]
}

@test "nginx: reset_timedout_connection still resets" {
    local i
    for i in plain shim; do
        phase $i
        start_nginx 'send_timeout 1s; reset_timedout_connection on;'
        ask 8080 any rcvbuf=65536 text='GET /large HTTP/1.0\r\n\r\n' await=reply pause=2500 read
        [ "$(value end)" = RESET ]
        kernel
        [ "$(value rsts)" -gt 0 ]
    done
    grep why=abort "$work/shim.log"
}

# Five clients that have the reply to come, and send on half a second after nginx has closed.
five() {
    at_once 5 8080 any rcvbuf=65536 text="$get" await=fin pause=500 send=65536 slow=65536:1
    until [ "$(inside cat /proc/net/tcp | grep -c ':1F90 .* 0[45] ')" = 5 ]; do sleep 0.02; done
}

five_whole() {
    wait "${at_once[@]}"
    cat "$work"/peer.*
    [ "$(grep -c "bytes=$1 end=EOF .*send_error=none" <(cat "$work"/peer.*))" = 5 ] || complain "not all were whole"
    kernel
    no_resets
}

@test "nginx: connections go on lingering while it reloads, quits and terminates" {
    local signal whole
    for signal in HUP QUIT TERM; do
        phase shim
        start_nginx
        ask 8080 any text="$get" read
        whole=$(value bytes)
        five
        if [ $signal = HUP ]; then
            inside kill -HUP "$(cat "$work/nginx.pid")"
            ask 8080 any text="$get" read
            [ "$(value bytes)" = "$whole" ]
        else
            ends $signal nginx
            [ "$ms" -lt 6000 ] # LINGERCLOSE_EXIT, and a little
        fi
        five_whole "$whole"
    done
    phase plain
    start_nginx
    five
    inside kill -HUP "$(cat "$work/nginx.pid")"
    wait "${at_once[@]}"
    grep RESET "$work"/peer.* # the control
}

@test "nginx: with nothing lingering it reloads and ends as fast as without" {
    local i
    for i in plain shim; do
        phase $i
        start_nginx
        ask 8080 any text="$get" read
        ends TERM nginx
        [ "$ms" -lt 1000 ]
    done
}

@test "nginx: many early replies leave nothing behind" {
    quiet=(text="$get_proxy" read)
    late=(rcvbuf=65536 text="$get_proxy" await=fin send=65536 slow=65536:1)
    leaves_nothing start_nginx 8080 quiet[@] late[@]
}
