#!/usr/bin/env bats
# busybox httpd: a child per connection, which ends by _exit with the connection open.

load helper

start_httpd() {
    mkdir -p "$work/www"
    head -c 3000000 /dev/zero >"$work/www/file"
    daemon 8080 busybox httpd -f -p 8080 -h "$work/www"
}

download='GET /file HTTP/1.0\r\n\r\n'
quiet_download=(text="$download" read)
early_download=(rcvbuf=65536 text="$download" await=reply send=65536 slow=16384:1)
quiet_upload=(text='POST /none HTTP/1.0\r\nContent-Length: 0\r\n\r\n' read)
early_upload=(sndbuf=65536 text='POST /none HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n' send=2000000 read)

fetch_files() {
    inside curl -s http://127.0.0.1:8080/file | cksum
    inside curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/none
}

@test "busybox httpd: a session of curl is the same" {
    need_program busybox busybox
    need_program curl curl
    same "busybox httpd" start_httpd fetch_files
}

@test "busybox httpd: 3 MB with 64 KB pipelined behind the request arrive whole" {
    need_program busybox busybox
    early "busybox httpd" "3 MB, more requests behind" start_httpd 8080 quiet_download[@] early_download[@]
}

@test "busybox httpd: a POST of 2 MB gets its answer" {
    need_program busybox busybox
    early "busybox httpd" "2 MB POST refused" start_httpd 8080 quiet_upload[@] early_upload[@]
}
