#!/usr/bin/env bats
# Java: Socket, with and without another thread in read, SocketChannel, a selector, the JDK's HTTP server.

load helper
load models

setup_file() {
    mkdir -p "$top/build/programs"
    ! command -v javac >/dev/null || javac -d "$top/build/programs" "$top/tests/programs/Servers.java"
}

start_model() {
    daemon 8080 java -XX:TieredStopAtLevel=1 -Xshare:auto -cp "$top/build/programs" Servers "$model" 8080
}

@test "Java Socket: each reply arrives whole" {
    need_program javac openjdk-17-jdk-headless
    model_is_whole "Java Socket" socket
}

@test "Java Socket, closed while another thread is in read: each reply arrives whole" {
    need_program javac openjdk-17-jdk-headless
    model_is_whole "Java Socket, a thread in read" reader
}

@test "Java Socket, a process for each request: each reply arrives whole" {
    need_program javac openjdk-17-jdk-headless
    model_is_whole "Java Socket, a process for each request" process
}

@test "Java SocketChannel: each reply arrives whole" {
    need_program javac openjdk-17-jdk-headless
    model_is_whole "Java SocketChannel" channel
}

@test "Java Selector: each reply arrives whole" {
    need_program javac openjdk-17-jdk-headless
    model_is_whole "Java Selector" selector
}

@test "Java HttpServer: each reply arrives whole" {
    need_program javac openjdk-17-jdk-headless
    model=http
    local get='GET /file HTTP/1.0\r\n\r\n' post='POST /none HTTP/1.0\r\nContent-Length: '
    local quiet=(text="$get" read)
    local early=(rcvbuf=65536 text="$get" await=reply send=65536 slow=32768:1)
    early "Java HttpServer" "3 MB, more requests behind" start_model 8080 quiet[@] early[@]
    quiet=(text="${post}0\r\n\r\n" read)
    early=(sndbuf=65536 text="${post}2000000\r\n\r\n" send=2000000 read)
    early "Java HttpServer" "2 MB POST refused" start_model 8080 quiet[@] early[@]
    leaves_nothing 8080 rcvbuf=65536 text="$get" await=reply send=65536 slow=32768:1
}

@test "Java: SIGTERM ends it as soon as ever, or within LINGERCLOSE_EXIT" {
    need_program javac openjdk-17-jdk-headless
    ends_in_time java socket TERM
}
