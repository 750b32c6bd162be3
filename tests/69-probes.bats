#!/usr/bin/env bats
# Static probes (USDT): in the library where it was built with sys/sdt.h, and heard by tracers.

load helper

setup() {
    echo '#include <sys/sdt.h>' | ${CC:-gcc} -E - >/dev/null 2>&1 || skip "sys/sdt.h was not there to build with"
}

teardown() {
    [ -z "${tracer-}" ] || kill -KILL "$tracer" 2>/dev/null || true
}

# notes FILE: each probe as "NAME NUMBER-OF-ARGUMENTS"
notes() {
    readelf -n "$1" | awk '
        /Provider:/ { provider = $2 }
        /Name:/ { name = $2 }
        /Arguments:/ { if (provider == "lingerclose") print name, NF - 1 }' | sort -u
}

@test "the library has the three probes, with their arguments" {
    [ "$(notes "$lib")" = "close_seen 1
linger_begin 2
linger_end 4" ]
    # The control: another library has none of them.
    [ "$(notes "$bin/early.so")" = "" ]
}

@test "the library is built without sys/sdt.h as well, and has no probe then" {
    cp "$top"/shim/*.[ch] "$BATS_TEST_TMPDIR/"
    sed 's/__has_include(<sys\/sdt.h>)/0/' "$top/shim/probes.h" >"$BATS_TEST_TMPDIR/probes.h"
    for dir in "$top/shim" "$BATS_TEST_TMPDIR"; do
        ${CC:-gcc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -fPIC -c -o "$BATS_TEST_TMPDIR/report.o" "$dir/report.c"
        notes "$BATS_TEST_TMPDIR/report.o" | wc -l
    done | tr '\n' ' ' >"$BATS_TEST_TMPDIR/counts"
    [ "$(cat "$BATS_TEST_TMPDIR/counts")" = "3 0 " ]
}

@test "a probe costs nothing while nobody listens: its place is a nop" {
    places=$(readelf -n "$lib" | sed -n 's/.*Location: 0x0*\([0-9a-f]*\),.*/\1/p')
    [ "$(wc -w <<<"$places")" -ge 3 ]
    for place in $places; do
        objdump -d --start-address="0x$place" --stop-address="$(printf '0x%x' $((0x$place + 1)))" "$lib" | tail -n 1 |
            grep -qE '\bnop\b' || complain "no nop at $place"
    done
}

# listen PROGRAM: bpftrace runs it in the background, as $tracer, and writes to $heard
listen() {
    need_netns
    command -v bpftrace >/dev/null || skip "bpftrace is not installed"
    [ "$(id -u)" = 0 ] || skip "only root may trace"
    heard=$BATS_TEST_TMPDIR/heard
    bpftrace -e 'BEGIN { exit(); }' >"$heard.try" 2>&1 || skip "this kernel lets no bpftrace run: $(tail -n 1 "$heard.try")"
    # BEGIN's word is printed once every probe is in place.
    bpftrace -B none -e "$1 BEGIN { printf(\"ready\\n\"); }" >"$heard" 2>"$heard.err" 3>&- &
    tracer=$!
    until grep -qs ready "$heard"; do
        kill -0 "$tracer" || complain "bpftrace ended: $(cat "$heard.err")"
        sleep 0.1
    done
}

# heard: ends the tracer and shows what it heard
heard() {
    # A signal in the wrong moment is lost on it (bpftrace 0.17): again, until it ends.
    while jobs -r | grep -q .; do
        kill -INT "$tracer" || break
        sleep 0.2
    done 2>/dev/null
    cat "$heard"
}

@test "bpftrace hears every probe, and nothing of a program without the shim" {
    # shellcheck disable=SC2016 # bpftrace's own
    listen 'usdt:'"$lib"':lingerclose:close_seen { printf("seen fd=%d\n", arg0); }
        usdt:'"$lib"':lingerclose:linger_begin { printf("begin %s\n", str(arg1)); }
        usdt:'"$lib"':lingerclose:linger_end { printf("end %s bytes=%d ns=%d\n", str(arg1), arg2, arg3); }'
    export LINGERCLOSE_MODE=sync
    plain server await write=9 close -- peer port send=7 await=fin read
    shimmed server await write=9 close -- peer port send=7 await=fin read
    heard
    [ "$(grep -cE '^seen fd=[0-9]+$' "$heard")" = 1 ]
    [ "$(grep -c '^begin always$' "$heard")" = 1 ]
    [ "$(grep -cE '^end eof bytes=7 ns=[1-9][0-9]+$' "$heard")" = 1 ]
}

@test "the README's line for bpftrace makes a histogram of the waits by how they ended" {
    line=$(sed -n "s/^    bpftrace -e '\(.*\)'\$/\1/p" "$top/README.md")
    [ -n "$line" ]
    listen "${line//\/usr\/local\/lib\/liblingerclose.so/$lib}"
    shimmed server await write=9 close -- peer port send=7 await=fin read
    heard
    grep -qx '@ms\[eof\]: ' "$heard"
}
