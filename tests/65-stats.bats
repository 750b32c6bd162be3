#!/usr/bin/env bats
# LINGERCLOSE_STATS: each process counts in a page of its own, and what it has counted outlives it.

load helper
load stats

setup() {
    need_netns
    make_directory
}

# pages [ENV=VALUE...] WORD...: the program, with the shim, in a namespace of its own
pages() {
    run in_netns env LD_PRELOAD="$lib" "$bin/pages" "$@" 3>&-
    echo "pages $*: $status $output"
}

@test "counters are kept only where LINGERCLOSE_STATS asks for them" {
    unset LINGERCLOSE_STATS
    pages close
    [ "$status" = 0 ]
    [ "$(files)" = "" ]
    LINGERCLOSE_STATS=off pages close
    [ "$(files)" = "" ]
    run in_netns env LD_PRELOAD="$lib" grep -c "$pages" /proc/self/maps
    [ "$output" = 0 ]
    export LINGERCLOSE_STATS=$pages
    LINGERCLOSE=off pages close
    [ "$(files)" = "" ]
    pages close
    [ "$(files)" = "ended.$(id -u).pages " ]
    counts 'closes_total(decided="linger")=1'
}

@test "a process has a page while it runs, of mode 0644, and no descriptor for it" {
    run in_netns env LD_PRELOAD="$lib" sh -c 'ls "$LINGERCLOSE_STATS"; stat -c %a "$LINGERCLOSE_STATS"/$$
        echo pid=$$; grep -c "$LINGERCLOSE_STATS/$$" /proc/$$/maps; ls -l /proc/$$/fd | grep -c "$LINGERCLOSE_STATS"'
    echo "$output"
    grep -qx "$(value pid)" <<<"$output"
    grep -qx 644 <<<"$output"
    # the map has it, no descriptor has
    [ "$(tail -n 2 <<<"$output" | tr '\n' ' ')" = "1 0 " ]
    # It closed nothing: nothing is left of it.
    [ "$(files)" = "" ]
}

# outcome METRIC... -- what shimmed takes: that one exchange counts as one of each METRIC
outcome() {
    local want=()
    while [ "$1" != -- ]; do
        want+=("$1=1")
        shift
    done
    shift
    forget
    shimmed "$@"
    counts "${want[@]}"
}

@test "each way in which lingering ends has its counter" {
    export LINGERCLOSE_MODE=sync
    lingers='closes_total(decided="linger")'
    outcome "$lingers" 'lingered_total(end="eof")' wait_seconds_count resets_avoided_total -- \
        server await write=9 close -- peer port send=7 await=fin read
    counts discarded_bytes_total=7 lingering=0 processes=0
    LINGERCLOSE_IDLE=50ms outcome "$lingers" 'lingered_total(end="idle")' -- server write=9 close -- peer port read silent
    counts resets_avoided_total=0 discarded_bytes_total=0
    LINGERCLOSE_LINGER=50ms outcome "$lingers" 'lingered_total(end="linger")' -- server write=1000000 close -- peer port silent
    LINGERCLOSE_DRAIN=50ms outcome "$lingers" 'lingered_total(end="drain")' -- server write=9 close -- peer port read drip=10
    # Its close ended in a reset after all.
    counts resets_avoided_total=0
    LINGERCLOSE_DRAIN_BYTES=5 outcome "$lingers" 'lingered_total(end="bytes")' -- \
        server await write=9 close -- peer port send=100 silent
    counts discarded_bytes_total=5 resets_avoided_total=0
    outcome "$lingers" 'lingered_total(end="error")' -- server write=9 close -- peer port await=fin reset
    LINGERCLOSE_STEPS=shutdown outcome "$lingers" 'lingered_total(end="now")' -- server write=9 close -- peer port read
    LINGERCLOSE_EXIT=100ms LINGERCLOSE_IDLE=5s outcome "$lingers" 'lingered_total(end="exit")' -- \
        server write=9 -- peer port silent
    LINGERCLOSE_MODE=background LINGERCLOSE_EXIT=100ms LINGERCLOSE_IDLE=5s outcome "$lingers" 'lingered_total(end="exit")' -- \
        server write=9 close -- peer port silent
}

@test "each reason for a plain close has its counter" {
    outcome 'closes_total(decided="abort")' -- server linger=0 close -- peer port read
    counts 'closes_total(decided="linger")=0' wait_seconds_count=0
    LINGERCLOSE_ROLES=connected outcome 'closes_total(decided="role")' -- server write=9 close -- peer port read
    LINGERCLOSE_PORTS=1 outcome 'closes_total(decided="port")' -- server write=9 close -- peer port read
    LINGERCLOSE_WHEN=pending outcome 'closes_total(decided="idle")' -- server write=9 await=line close -- \
        peer port pause=20 say=hello read
    outcome 'closes_total(decided="finished")' -- server await=fin write=9 close -- peer port fin read
    # fork per connection: the parent leaves it to the child, which lingers
    outcome 'closes_total(decided="held")' 'closes_total(decided="linger")' -- ways fork close unread -- \
        peer port send=100 await=fin read
}

@test "the waits are in the buckets of a histogram" {
    LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=200ms shimmed server write=9 close -- peer port read silent
    counts 'wait_seconds_bucket(le="0.128")=0' 'wait_seconds_bucket(le="1.024")=1' 'wait_seconds_bucket(le="+Inf")=1'
    awk -v s="$(metric wait_seconds_sum)" 'BEGIN { exit !(s >= 0.199 && s < 1.024) }'
}

@test "threads that close at once are all counted" {
    shimmed threads 300 -- crowd port 300 20000
    [ "$(value whole)" = 300 ]
    counts 'closes_total(decided="linger")=300' 'lingered_total(end="eof")=300' wait_seconds_count=300 lingering=0
}

@test "a forked child counts in a page of its own, and its parent's page does not change" {
    mkfifo "$BATS_TEST_TMPDIR/go"
    exec 5<>"$BATS_TEST_TMPDIR/go"
    "$bin/netns" env LD_PRELOAD="$lib" "$bin/pages" close close fork say close say <&5 >"$BATS_TEST_TMPDIR/said" 3>&- &
    parent=$!
    until grep -q child "$BATS_TEST_TMPDIR/said"; do sleep 0.01; done
    child=$(sed -n 's/^child //p' "$BATS_TEST_TMPDIR/said")
    # It has counted nothing yet, so it has made none: a fork costs nothing.
    [ "$(ls "$pages")" = "$parent" ]
    echo >&5
    until [ "$(grep -c child "$BATS_TEST_TMPDIR/said")" = 2 ]; do sleep 0.01; done
    "$reader" | tee "$BATS_TEST_TMPDIR/table"
    [ "$(awk -v p="$parent" '$1 == p { print $3 }' "$BATS_TEST_TMPDIR/table")" = 2 ]
    [ "$(awk -v p="$child" '$1 == p { print $3 }' "$BATS_TEST_TMPDIR/table")" = 1 ]
    echo >&5
    wait "$parent"
    exec 5>&-
    [ "$(files)" = "ended.$(id -u).pages " ]
    counts 'closes_total(decided="linger")=3'
}

@test "however a process ends, what it has counted stays in the sums" {
    for end in exit=3 _exit=3; do
        forget
        pages close fork close "$end"
        [ "$(files)" = "ended.$(id -u).pages " ]
        counts 'closes_total(decided="linger")=2' processes=0
    done
    forget
    pages close fork close kill
    [ "$status" = 99 ]
    # The killed child's page is left, and summed by the reader.
    [ "$(files)" = "PID ended.$(id -u).pages " ]
    counts 'closes_total(decided="linger")=2' processes=0
}

@test "a program that becomes another by exec adds to the sums what it had counted" {
    pages close close exec close exit=3
    [ "$status" = 3 ]
    counts 'closes_total(decided="linger")=3'
    [ "$(files)" = "ended.$(id -u).pages " ]
}

@test "a process whose number was another's takes over that one's page, and adds it to the sums" {
    unshare -rpfn --mount-proc true 2>/dev/null || skip "no process namespace of its own can be made here"
    # shellcheck disable=SC2016
    run unshare -rpfn --mount-proc sh -c 'ip link set lo up; echo 4000 >/proc/sys/kernel/ns_last_pid || exit 77
        LD_PRELOAD=$0 $1 close close kill
        ls $LINGERCLOSE_STATS
        echo 4000 >/proc/sys/kernel/ns_last_pid
        LD_PRELOAD=$0 $1 close say </dev/null
        ls $LINGERCLOSE_STATS' "$lib" "$bin/pages"
    echo "$output"
    [ "$status" != 77 ] || skip "process numbers cannot be chosen here"
    [[ $output == *$'\n4001\nfirst 4001\n'* ]] || complain "the number was not used again"
    [ "$(files)" = "ended.0.pages " ]
    counts 'closes_total(decided="linger")=3'
}

@test "a child that has changed its root directory or its user counts in its parent's page" {
    [ "$(id -u)" = 0 ] || skip "only root can"
    mkdir -p "$BATS_TEST_TMPDIR/empty"
    for change in chroot="$BATS_TEST_TMPDIR/empty" user=65534; do
        forget
        pages close fork "$change" close _exit=3
        [ "$status" = 3 ]
        [ "$(files)" = "ended.0.pages " ]
        counts 'closes_total(decided="linger")=2'
    done
}

@test "a user who may write to the directory has a page of his own beside another's of that number" {
    [ "$(id -u)" = 0 ] || skip "only root can become another user"
    pages=$(mktemp -d) readable=$(mktemp -d)
    chmod 1777 "$pages"
    LINGERCLOSE_STATS=$pages
    # A checkout in root's home is none of that user's.
    chmod 755 "$readable"
    cp "$lib" "$readable"
    lib=$readable/liblingerclose.so
    pages close user=65534 exec close kill
    "$reader"
    [ "$(files)" = "PID PID.65534 " ]
    counts 'closes_total(decided="linger")=2' processes=0
    rm -r "$pages" "$readable"
}

# Somebody was quicker: what is at the place of the page (the shell's number becomes the program's by exec)
in_the_way() {
    # shellcheck disable=SC2016
    run in_netns sh -c "victim=$BATS_TEST_TMPDIR/victim; page=\$LINGERCLOSE_STATS/\$\$; $1"'
        LD_PRELOAD=$0 exec "$@"' "$lib" "$bin/pages" close exit=3
    echo "$1: $status $output"
    [ "$status" = 3 ]
}

@test "what somebody has put in the page's place is neither followed nor written to" {
    for way in 'ln -s "$victim" "$page"' 'ln "$victim" "$page"' 'mkfifo "$page"' 'head -c 2000 /dev/urandom >"$page"' ':>"$page"'; do
        forget
        echo precious >"$BATS_TEST_TMPDIR/victim"
        in_the_way "$way"
        [ "$output" = "" ]
        [ "$(cat "$BATS_TEST_TMPDIR/victim")" = precious ]
        counts 'closes_total(decided="linger")=1'
    done
    # A sum may be faked as well: it is not added to.
    forget
    echo precious >"$BATS_TEST_TMPDIR/victim"
    ln -s "$BATS_TEST_TMPDIR/victim" "$pages/ended.$(id -u).pages"
    in_the_way :
    [ "$(cat "$BATS_TEST_TMPDIR/victim")" = precious ]
    [ "$(files)" = "PID ended.$(id -u).pages " ]
    # A directory cannot be removed: then the other name serves.
    forget
    in_the_way 'mkdir "$page"'
    counts 'closes_total(decided="linger")=1'
}

@test "a directory that is not there, or is no directory, is not made: one warning, and the program runs" {
    for path in "$BATS_TEST_TMPDIR/not/there" /dev/null; do
        LINGERCLOSE_STATS=$path pages close exit=3
        [ "$status" = 3 ]
        [ "$output" = "lingerclose: LINGERCLOSE_STATS=\"$path\" is not a directory in which this process can make a file; accepted: off, or the path of a directory, which starts with / (default off holds)" ]
    done
    [ ! -e "$BATS_TEST_TMPDIR/not" ]
    LINGERCLOSE_STATS=here pages close exit=3
    [ "$status" = 3 ]
    [ "$output" = 'lingerclose: LINGERCLOSE_STATS="here" is not a directory'"'s path; accepted: off, or the path of a directory, which starts with / (default off holds)" ]
}

@test "a process that may not write files, or has no descriptor left, runs on without a page" {
    run in_netns sh -c 'ulimit -f 0; LD_PRELOAD=$0 exec "$@"' "$lib" "$bin/pages" close exit=3
    echo "$output"
    [ "$status" = 3 ]
    [ "$(files)" = "" ]
    shimmed server await fill write=9 close -- peer port send=7 await=fin read
    whole 9
}

@test "the child of a child counts as well, and a page costs no mapping more in each generation" {
    pages close fork close fork close fork close
    [ "$status" = 0 ]
    counts 'closes_total(decided="linger")=4'
    run in_netns env LD_PRELOAD="$lib" "$bin/pages" close fork close fork close maps
    echo "$output"
    [ "$output" = "maps=1" ]
}
