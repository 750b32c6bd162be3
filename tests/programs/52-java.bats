#!/usr/bin/env bats
# Java: Socket, with and without another thread in read, SocketChannel, a selector, the JDK's HTTP server.

load helper
load models
needs=(javac openjdk-17-jdk-headless)

setup_file() {
    mkdir -p "$top/build/programs"
    ! command -v javac >/dev/null || javac -d "$top/build/programs" "$top/tests/programs/Servers.java"
}

start_model() {
    daemon 8080 java -XX:TieredStopAtLevel=1 -Xshare:auto -cp "$top/build/programs" Servers "$model" 8080
}

@test "Java Socket: each reply arrives whole" {
    model_is_whole "Java Socket" socket
}

@test "Java Socket, closed while another thread is in read: each reply arrives whole" {
    model_is_whole "Java Socket, a thread in read" reader
}

@test "Java Socket, a process for each request: each reply arrives whole" {
    model_is_whole "Java Socket, a process for each request" process
}

@test "Java SocketChannel: each reply arrives whole" {
    model_is_whole "Java SocketChannel" channel
}

@test "Java Selector: each reply arrives whole" {
    model_is_whole "Java Selector" selector
}

@test "Java HttpServer: each reply arrives whole" {
    model=http
    early_files "Java HttpServer" start_model
    leaves_nothing 8080 "${early_download[@]}"
}

@test "Java: SIGTERM ends it as soon as ever, or within LINGERCLOSE_EXIT" {
    ends_in_time java socket TERM
}
