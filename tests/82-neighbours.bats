#!/usr/bin/env bats
# Other libraries preloaded before us and after us: the reply arrives whole, and the neighbour still does its work. The
# control is the neighbour alone: it does its work, and the reply is cut.

load helper

setup() {
    client=(peer port send=100 await=fin read)
}

# library PATTERN PACKAGE: its path is left in $neighbour
library() {
    local found
    for found in /usr/lib/"$(uname -m)"-linux-gnu/$1 /usr/lib/$1 /usr/lib64/$1; do
        if [ -e "$found" ]; then
            neighbour=$found
            return
        fi
    done
    skip "there is no $1 (package $2)"
}

# beside SIGN [VARIABLE=VALUE...]: alone, before us and after us; SIGN is what the neighbour's work looks like
beside() {
    local sign=$1
    shift
    [ $# = 0 ] || export "${@?}"
    plain neighbour -- "${client[@]}"
    cut 600000
    never -E "$sign" <<<"$output"
    preload=$neighbour shimmed neighbour -- "${client[@]}"
    cut 600000
    grep -E "$sign" <<<"$output"
    for preload in "$neighbour:$lib" "$lib:$neighbour"; do
        shimmed neighbour -- "${client[@]}"
        whole 600000
        grep -E "$sign" <<<"$output"
        grep 'close=0' <<<"$output"
        grep 'server: exit=0' <<<"$output"
    done
}

@test "libfaketime" {
    library faketime/libfaketime.so.1 libfaketime
    beside 'year=2001' FAKETIME='@2001-02-03 00:00:00'
}

@test "libfaketime with a clock that stands still: the bounds are kept all the same" {
    library faketime/libfaketime.so.1 libfaketime
    client=(peer port send=100 silent)
    export FAKETIME='2001-02-03 00:00:00' LINGERCLOSE_IDLE=200ms LINGERCLOSE_DRAIN=500ms
    preload=$neighbour shimmed neighbour -- "${client[@]}"
    grep 'year=2001' <<<"$output"
    for preload in "$neighbour:$lib" "$lib:$neighbour"; do
        for LINGERCLOSE_MODE in sync background; do
            export LINGERCLOSE_MODE
            shimmed neighbour -- "${client[@]}"
            grep 'year=2001' <<<"$output"
            between 150 "$(value ms)" 5000
        done
    done
}

@test "libeatmydata" {
    library libeatmydata.so libeatmydata1
    beside 'fsync=0'
}

@test "jemalloc" {
    library libjemalloc.so.2 libjemalloc2
    beside 'malloc=libjemalloc'
}

@test "tcmalloc" {
    library libtcmalloc_minimal.so.4 libtcmalloc-minimal4
    beside 'malloc=libtcmalloc'
}

# An instrumented program brings libasan with it, which stands behind us then, or before us if it is preloaded first, as it
# wants to be; clang's is a part of the program.
@test "a program with AddressSanitizer is closed gently, and its faults are found" {
    local asan=$BATS_TEST_TMPDIR/asan runtime order
    gcc -D_GNU_SOURCE -g -fsanitize=address -o "$asan" "$top/tests/neighbour.c" 2>/dev/null ||
        skip "programs cannot be built with AddressSanitizer here"
    runtime=$(gcc -print-file-name=libasan.so)
    gcc -D_GNU_SOURCE -g -fsanitize=address -static-libasan -o "$asan-static" "$top/tests/neighbour.c"
    export ASAN_OPTIONS=detect_leaks=0
    plain "$asan" -- "${client[@]}"
    cut 600000
    for order in "$runtime:$lib=$asan" "$lib=$asan" "$lib=$asan-static"; do
        [ "${order%%=*}" != "$lib" ] || export ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0
        preload=${order%%=*} shimmed "${order#*=}" -- "${client[@]}"
        whole 600000
        grep 'close=0' <<<"$output"
        grep 'server: exit=0' <<<"$output"
        preload=${order%%=*} shimmed "${order#*=}" overflow -- "${client[@]}"
        whole 600000
        grep 'AddressSanitizer: heap-buffer-overflow' <<<"$output"
    done
}

# It makes TCP of AF_UNIX sockets, for both ends. What the kernel does to those at a close is no business of ours unless
# LINGERCLOSE_FAMILIES says so: nothing may be different.
@test "socket_wrapper's connections are as they are without us" {
    library libsocket_wrapper.so libsocket-wrapper
    export SOCKET_WRAPPER_DIR=$BATS_TEST_TMPDIR SOCKET_WRAPPER_DEFAULT_IFACE=1
    client=(env "LD_PRELOAD=$neighbour" peer port send=100 read)
    preload=$neighbour shimmed neighbour -- "${client[@]}"
    local alone
    alone=$(grep -E 'server: |bytes=' <<<"$output" | sed 's/ms=.*//' | sort)
    echo "$alone"
    for preload in "$neighbour:$lib" "$lib:$neighbour"; do
        shimmed neighbour -- "${client[@]}"
        [ "$(grep -E 'server: |bytes=' <<<"$output" | sed 's/ms=.*//' | sort)" = "$alone" ]
    done
}
