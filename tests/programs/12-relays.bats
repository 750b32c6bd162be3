#!/usr/bin/env bats
# socat and ncat: between a connection and a program, between two connections (the client's, and the relay's
# own to busybox nc), and as clients. socat EXEC and ncat relay to their program; socat SYSTEM,nofork hands it the connection.

load helper

start_socat_exec() {
    make_handler
    daemon 8080 socat TCP-LISTEN:8080,fork,reuseaddr EXEC:"$work/handler"
}

start_socat_nofork() {
    make_handler
    daemon 8080 socat TCP-LISTEN:8080,fork,reuseaddr SYSTEM:"$work/handler",nofork
}

start_ncat_exec() {
    make_handler
    daemon 8080 ncat --listen --keep-open 8080 --exec "$work/handler"
}

start_ncat_sh_exec() {
    make_handler
    daemon 8080 ncat --listen --keep-open 8080 --sh-exec "$work/handler"
}

start_behind() {
    make_handler
    daemon 8081 busybox nc -ll -p 8081 -e "$work/handler"
}

start_socat_relay() {
    start_behind
    daemon 8080 socat TCP-LISTEN:8080,fork,reuseaddr TCP:127.0.0.1:8081
}

# A relay that cannot write any more ends at once, and what it has read but not yet written is lost, shim or no shim. So
# here the client sends once the reply is there, or once the relay has sent FIN and the reply is queued in the kernel.
late_download=(rcvbuf=65536 text="$download" await=fin send=65536 slow=32768:1)
late_upload=(sndbuf=65536 text='POST /none HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n' await=reply send=2000000 read)

late_files() {
    early "$1" "3 MB, more after FIN" "$2" 8080 quiet_download[@] late_download[@]
    early "$1" "2 MB POST refused" "$2" 8080 quiet_upload[@] late_upload[@]
}

@test "socat EXEC: a session is the same" {
    need_program socat socat
    need_program curl curl
    same "socat EXEC" start_socat_exec fetch_files
}

@test "socat EXEC: 3 MB with 64 KB after the server's FIN arrive whole, and a POST of 2 MB gets its answer" {
    need_program socat socat
    late_files "socat EXEC" start_socat_exec
}

@test "socat EXEC: nothing is left behind" {
    need_program socat socat
    tidy "socat EXEC" start_socat_exec fetch_files
}

@test "socat SYSTEM,nofork: a session is the same" {
    need_program socat socat
    need_program curl curl
    same "socat SYSTEM,nofork" start_socat_nofork fetch_files
}

@test "socat SYSTEM,nofork: 3 MB with 64 KB after the server's FIN arrive whole, and a POST of 2 MB gets its answer" {
    need_program socat socat
    late_files "socat SYSTEM,nofork" start_socat_nofork
}

@test "socat SYSTEM,nofork: nothing is left behind" {
    need_program socat socat
    tidy "socat SYSTEM,nofork" start_socat_nofork fetch_files
}

@test "ncat --exec: a session is the same" {
    need_program ncat ncat
    need_program curl curl
    same "ncat --exec" start_ncat_exec fetch_files
}

@test "ncat --exec: 3 MB with 64 KB after the server's FIN arrive whole, and a POST of 2 MB gets its answer" {
    need_program ncat ncat
    late_files "ncat --exec" start_ncat_exec
}

@test "ncat --exec: nothing is left behind" {
    need_program ncat ncat
    tidy "ncat --exec" start_ncat_exec fetch_files
}

@test "ncat --sh-exec: 3 MB with 64 KB after the server's FIN arrive whole, and a POST of 2 MB gets its answer" {
    need_program ncat ncat
    late_files "ncat --sh-exec" start_ncat_sh_exec
}

@test "socat TCP to TCP: a session is the same" {
    need_program socat socat
    need_program curl curl
    same "socat TCP to TCP" start_socat_relay fetch_files
}

@test "socat TCP to TCP: 3 MB with 64 KB after the server's FIN arrive whole, and a POST of 2 MB gets its answer" {
    need_program socat socat
    late_files "socat TCP to TCP" start_socat_relay
}

@test "socat TCP to TCP: nothing is left behind" {
    need_program socat socat
    tidy "socat TCP to TCP" start_socat_relay fetch_files
}

ask_by_clients() {
    printf '%b' "$download" | under socat -t 5 - TCP:127.0.0.1:8081 | cksum
    printf '%b' "$download" | under ncat 127.0.0.1 8081 | cksum
}

@test "socat and ncat as clients: a session is the same" {
    need_program socat socat
    need_program ncat ncat
    same "socat and ncat" start_behind ask_by_clients
}
