#!/usr/bin/env bats
# Streams: flushed first, then let go of as gently as a descriptor.

load helper
load ways

# gentle CASE: all of the reply arrives.
gentle() {
    arrives 1000000 streams "$1"
}

@test "1 MB that was printed just before return 0 arrives: it is flushed before any FIN" {
    gentle print
}

@test "fclose flushes, returns 0 and keeps errno" {
    gentle fclose
    [ "$(value ret)" = 0 ]
    [ "$(value errno)" = kept ]
}

@test "of two streams on two numbers the first fclose leaves the connection to the second" {
    gentle pair
}

@test "fclose waits for its flush as long as the peer makes it, and then lingers" {
    plain streams slow -- peer port send=100 await=line slow=20000:1
    [ "$(value end)" = RESET ]
    same_server
    shimmed streams slow -- peer port send=100 await=line slow=20000:1
    whole 1000000
    same_server
}

@test "a flush that fails with EAGAIN fails as without the shim, and what was sent arrives" {
    local sent
    plain streams again -- peer port send=100 await=line read
    cut 1000000
    [ "$(value ret)" = -1 ]
    same_server
    shimmed streams again -- peer port send=100 await=line read
    same_server
    sent=$(value bytes)
    [ "$sent" -gt 0 ]
    whole "$sent"
}

@test "fclose after the peer's reset fails as without the shim" {
    plain streams broken -- peer port send=100 await=line reset
    [ "$(value ret)" = -1 ]
    same_server
    shimmed streams broken -- peer port send=100 await=line reset
    same_server
}

@test "fclose of a stream whose number was closed before gives EBADF" {
    gentle closed
    [ "$(value errno)" = EBADF ]
}

@test "freopen to another file flushes, gives the file the number, and lets go gently" {
    gentle freopen
    [ "$(value same)" = 1 ]
    [ "$(value number)" = 1 ]
}

@test "freopen to a file that is not there ends the stream, gently" {
    gentle missing
    [ "$(value errno)" = ENOENT ]
    [ "$(value open)" = 0 ]
}

@test "freopen(NULL) of a connection, which the kernel refuses, ends the stream gently" {
    gentle null
    [ "$(value errno)" = ENXIO ]
}

@test "popen, pclose, and fclose of a popen stream are as without the shim" {
    gentle popen
    [ "$(value status)" = 3 ]
    [ "$(value children)" = none ]
}

@test "streams without a descriptor pass through: open_memstream, fmemopen, fopencookie" {
    as_plain "$bin/memory"
    grep '^open_memstream: ret=0' <<<"$output"
    grep '^cookie: closed after 17 bytes' <<<"$output"
}
