#!/usr/bin/env bats
# Perl with IO::Socket::INET: a forked child's exit, a close, and as inetd does it.

load helper
load models
needs=(perl perl)

start_model() {
    daemon 8080 perl "$top/tests/programs/server.pl" "$model" 8080
}

@test "Perl, fork: each reply arrives whole" {
    model_is_whole "Perl, fork" fork
}

@test "Perl, one after the other: each reply arrives whole" {
    model_is_whole "Perl, one after the other" loop
}

@test "Perl, fork and exec with the connection as 0 and 1: each reply arrives whole" {
    model_is_whole "Perl, fork and exec" exec
}
