#!/usr/bin/env bats
# The shim for 32-bit programs: what only they have, and the suites of the ways out, of the process models and of
# what the peer reads, with 32-bit programs and this very kernel.

load helper

# Children of 32-bit programs are mostly 64-bit ones: ld.so puts for $LIB what each needs (ld.so(8), "Dynamic string
# tokens"): lib32 by the 64-bit system's own 32-bit libc, lib/i386-linux-gnu by Debian's foreign one.
setup_file() {
    load helper
    find_compiler || return 0
    make -s -C "$top" all i386 >&2 3>&- || return
    for libdir in lib32 lib/i386-linux-gnu; do
        mkdir -p "$BATS_FILE_TMPDIR/$libdir"
        ln -s "$top/build/i386/liblingerclose.so" "$BATS_FILE_TMPDIR/$libdir"
    done
    for libdir in lib lib64 "lib/$(gcc -print-multiarch)"; do
        mkdir -p "$BATS_FILE_TMPDIR/$libdir"
        ln -s "$top/build/liblingerclose.so" "$BATS_FILE_TMPDIR/$libdir"
    done
}

setup() {
    find_compiler || skip "no compiler for i386: gcc-i686-linux-gnu or gcc-multilib"
    "$top/build/i386/tests/ways" >/dev/null 2>&1 || skip "this system runs no 32-bit programs: libc6-i386 or libc6:i386"
    bin=$top/build/i386/tests
    lib=$top/build/i386/liblingerclose.so
}

# The compiler is in ${cc[@]}.
find_compiler() {
    cc=(i686-linux-gnu-gcc)
    command -v "${cc[0]}" >/dev/null || cc=(gcc -m32)
    echo '#include <stdlib.h>' | "${cc[@]}" -E -x c - >/dev/null 2>&1
}

# the_suite NAME: that file's tests, with 32-bit programs; the races are shorter ones
the_suite() {
    run env race=200 TEST_BUILD="$top/build/i386" TEST_LIB="$BATS_FILE_TMPDIR/\$LIB/liblingerclose.so" \
        PATH="${PATH//"$BATS_LIBEXEC:"/}" sh "$top/scripts/run-tests" "$top/tests/$1.bats" 3>&-
    echo "$output"
    [ "$status" = 0 ]
    [[ ${lines[-1]} == [1-9]*" passed, 0 failed"* ]]
}

# with_time64 PROGRAM: compiled with 64-bit time_t, it is in $time64; calls of glibc get other names
with_time64() {
    time64=$BATS_TEST_TMPDIR/$1
    "${cc[@]}" -std=c11 -D_GNU_SOURCE -O2 -pthread -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 \
        -o "$time64" "$top/tests/$1.c"
}

@test "i386: the exported names are those of the map and those of 64-bit time" {
    map=$(tr '\n' ' ' <"$top/build/i386/lingerclose.map" | sed 's/.*global://; s/local:.*//' | tr -s ' ;' '\n' | grep . | sort)
    diff <(echo "$map") <(nm -D --defined-only "$lib" | awk '{ print $3 }' | sort)
    grep -qx __recvmsg64 <<<"$map"
    # Whatever glibc exports of a hooked call for 64-bit time has a hook.
    libc=$(ldd "$bin/ways" | awk '/libc\.so\.6/ { print $3 }')
    for name in $map; do
        for other in "__${name#__}64" "__${name#__}_time64"; do
            ! nm -D --defined-only "$libc" | grep -q " $other@" || grep -x "$other" <<<"$map" ||
                complain "glibc has $other as well"
        done
    done
}

@test "i386: nothing is needed but libc and libdl, no libatomic, and there are no text relocations" {
    needed=$(readelf -d "$lib" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    grep -qx 'libc\.so\.6' <<<"$needed"
    never -vx 'libc\.so\.6\|libdl\.so\.2\|ld-linux\.so\.2' <<<"$needed"
    nm -D --undefined-only "$lib" | never __atomic
    readelf -d "$lib" | never TEXTREL
}

@test "i386: what the peer of a closed connection reads" {
    the_suite 10-close
}

@test "i386: every way in which processes share a connection, with 64-bit children where there are some" {
    the_suite 30-models
}

@test "i386: every way out in every process model" {
    the_suite 40-ways
}

@test "i386: calls by number pass as they are, wide arguments too" {
    the_suite 48-syscall
}

@test "socketcall(2): a connection that comes by it is closed gently" {
    plain socketcalls -- peer port send=100 await=fin read
    cut 600000
    shimmed socketcalls -- peer port send=100 await=fin read
    whole 600000
    grep '^server: close=0 errno=77' <<<"$output"
}

@test "socketcall(2): a connection that is passed by it is left to the receiver" {
    plain socketcalls passed -- peer port send=100 await=fin read
    cut 600000
    shimmed socketcalls passed -- peer port send=100 await=fin read
    whole 600000
}

@test "socketcall(2): an abort that the program asked for by it stays one" {
    # The control is the same without the abort: there the shim lingers.
    shimmed socketcalls -- peer port send=100 await=fin read
    whole 600000
    shimmed socketcalls abort -- peer port send=100 await=fin read
    cut 600000
}

@test "64-bit time: connections passed to a worker, closed by the sender at once" {
    load load
    with_time64 models
    nm -D "$time64" | grep -q __recvmsg64
    loaded_plain 20 5 20000 -- "$time64" scm
    none_complete 20
    loaded_shimmed 200 20 20000 -- "$time64" scm
    all_complete 200
}

@test "64-bit time: of two numbers that fcntl made the second one lingers" {
    with_time64 ways
    nm -D "$time64" | grep -q __fcntl_time64
    plain "$time64" iterative F_DUPFD unread -- peer port send=100 await=fin read
    cut 600000
    shimmed "$time64" iterative F_DUPFD unread -- peer port send=100 await=fin read
    whole 600000
}

@test "64-bit time: an abort that the program asked for stays one" {
    with_time64 server
    nm -D "$time64" | grep -q __setsockopt64
    shimmed "$time64" await write=1000000 close -- peer port send=100 await=fin read
    whole 1000000
    shimmed "$time64" await write=1000000 linger=0 close -- peer port send=100 await=fin read
    cut 1000000
}

@test "i386: the log goes on beyond 2 GB" {
    log=$BATS_TEST_TMPDIR/log
    truncate -s 2G "$log"
    # The control: a 32-bit program that knows nothing of large files cannot open it.
    printf '#include <fcntl.h>\nint main(int n, char **v) { return open(v[n - 1], O_WRONLY) < 0; }\n' |
        "${cc[@]}" -o "$BATS_TEST_TMPDIR/opens" -x c -
    run "$BATS_TEST_TMPDIR/opens" "$log"
    [ "$status" = 1 ]
    LINGERCLOSE_LOG=$log shimmed server await write=1000 close -- peer port send=100 await=fin read
    whole 1000
    tail -c 300 "$log" | grep -a ' decided=linger '
}
