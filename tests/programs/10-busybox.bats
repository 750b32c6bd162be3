#!/usr/bin/env bats
# busybox httpd: a child per connection, which ends by _exit with the connection open.
# busybox nc -ll -e: a vfork child per connection, whose descriptors 0 and 1 the handler gets.

load helper
needs=(busybox busybox)

start_httpd() {
    mkdir -p "$work/www"
    head -c 3000000 /dev/zero >"$work/www/file"
    daemon 8080 busybox httpd -f -p 8080 -h "$work/www"
}

@test "busybox httpd: a session of curl is the same" {
    need_program curl curl
    same "busybox httpd" start_httpd fetch_files
}

@test "busybox httpd: 3 MB with 64 KB pipelined behind the request arrive whole" {
    early "busybox httpd" "3 MB, more requests behind" start_httpd 8080 quiet_download[@] early_download[@]
}

@test "busybox httpd: a POST of 2 MB gets its answer" {
    early "busybox httpd" "2 MB POST refused" start_httpd 8080 quiet_upload[@] early_upload[@]
}

start_nc() {
    make_handler
    daemon 8080 busybox nc -ll -p 8080 -e "$work/handler"
}

@test "busybox nc -ll -e: a session with its handler is the same" {
    need_program curl curl
    same "busybox nc -ll -e" start_nc fetch_files
}

@test "busybox nc -ll -e: 3 MB with 64 KB behind the request arrive whole, and a POST of 2 MB gets its answer" {
    early_files "busybox nc -ll -e sh" start_nc
}
