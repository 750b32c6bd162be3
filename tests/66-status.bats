#!/usr/bin/env bats
# lingerclose --status: who has the shim, and what it did.

load helper
load stats

setup() {
    need_netns
    make_directory
    launcher=$top/scripts/lingerclose
}

# start WORD...: pages with these words and then "say", which runs until `stop`; $pid is its process
start() {
    mkfifo "$BATS_TEST_TMPDIR/go"
    exec 5<>"$BATS_TEST_TMPDIR/go"
    "$bin/netns" env LD_PRELOAD="$lib" "$bin/pages" "$@" say <&5 >"$BATS_TEST_TMPDIR/said" 3>&- &
    pid=$!
    until grep -q . "$BATS_TEST_TMPDIR/said"; do sleep 0.01; done
}

stop() {
    echo >&5
    wait "$pid"
    pid=
    exec 5>&-
}

teardown() {
    [ -z "${pid-}" ] || kill "$pid"
}

# cell ROW COLUMN: of the table in $output; ROW is what stands under PID
cell() {
    awk -v row="$1" -v column="$2" '
        $1 == "PID" { for (i = 1; i <= NF; i++) if ($i == column) at = i }
        $1 == row { print $at; n++ }
        END { exit n != 1 }' <<<"$output" || complain "not one row $1"
}

@test "--status has a row for each process that counts, one for those that ended, and one for all" {
    in_netns env LD_PRELOAD="$lib" "$bin/pages" close close
    start close close close
    run "$launcher" --status
    echo "$output"
    [ "$status" = 0 ]
    [ "$(cell "$pid" PROGRAM)" = pages ]
    [ "$(cell "$pid" CLOSES)" = 3 ]
    [ "$(cell "$pid" LINGERED)" = 3 ]
    [ "$(cell "$pid" EOF)" = 3 ]
    [ "$(cell "$pid" AVOIDED)" = 3 ]
    [ "$(cell "$pid" DISCARDED)" = 15 ]
    [ "$(cell "$pid" NOW)" = 0 ]
    [ "$(cell ended CLOSES)" = 2 ]
    awk '$1 == "all" && $2 == 5 { n++ } END { exit n != 1 }' <<<"$output"
    # Each line fits under the head.
    awk 'NR == 1 { w = length } / has the shim/ { next } length != w { exit 1 }' <<<"$output"
    was=$pid
    stop
    run "$launcher" --status
    never "^ *$was " <<<"$output"
    [ "$(cell ended CLOSES)" = 5 ]
}

@test "--status PID tells all about one process, and how it is configured" {
    LINGERCLOSE_DRAIN=7s LINGERCLOSE_MODE=sync start close close
    run "$launcher" --status "$pid"
    echo "$output"
    [ "$status" = 0 ]
    [[ ${lines[0]} == "process $pid, pages: runs; counts since "*", lingerclose $(sed -n 's/^VERSION *= *//p' "$top/Makefile")" ]]
    [[ ${lines[1]} == "mode=sync steps=linger,shutdown,drain linger=30s drain=7s idle=2s exit=5s "* ]]
    grep -qE '^ +lingered +2$' <<<"$output"
    grep -qE "^ +ended by the peer's EOF +2\$" <<<"$output"
    grep -qE '^ +bytes discarded +10$' <<<"$output"
    grep -qE '^ +up to +[0-9]+ ms +[12]  #+$' <<<"$output"
    stop
}

@test "--status PID of a process without counters says so, and which of the reasons it is" {
    run "$launcher" --status $$
    echo "$output"
    [ "$status" = 1 ]
    [ "$output" = "lingerclose: process $$ has no page of counters in $pages, and has not loaded the shim as far as can be seen" ]
    LINGERCLOSE_STATS=off start
    run "$launcher" --status "$pid"
    echo "$output"
    [ "$status" = 1 ]
    [[ $output == "lingerclose: process $pid (pages) has the shim, but keeps no counters in $pages: "* ]]
    run "$launcher" --status
    grep -qE "^ +$pid pages +has the shim, keeps no counters here\$" <<<"$output"
    stop
}

@test "a forked child that has closed nothing yet is told from a process that keeps no counters" {
    start fork
    until grep -q "^child" "$BATS_TEST_TMPDIR/said"; do sleep 0.01; done
    child=$(sed -n 's/^child //p' "$BATS_TEST_TMPDIR/said")
    run "$launcher" --status
    echo "$output"
    [ "$(cell "$pid" CLOSES)" = 0 ]
    grep -qE "^ +$child pages +has the shim, has counted nothing of its own\$" <<<"$output"
    run "$launcher" --status "$child"
    [ "$status" = 1 ]
    [ "$output" = "lingerclose: process $child (pages) has counted nothing of its own, as a forked child does before its first close" ]
    stop
}

@test "what lingers now is counted while it does" {
    mkfifo "$BATS_TEST_TMPDIR/out"
    (PATH=$bin:$PATH SHIM=$lib LINGERCLOSE_MODE=background LINGERCLOSE_IDLE=20s LINGERCLOSE_EXIT=0 exec netns exchange \
        server write=9 close say=closed await=line -- peer port read silent >"$BATS_TEST_TMPDIR/out" 2>&1 3>&-) &
    exchange=$!
    exec 6<"$BATS_TEST_TMPDIR/out"
    until read -r line <&6 && [[ $line == "server: closed" ]]; do :; done
    now=$(metric lingering) processes=$(metric processes)
    kill "$exchange"
    exec 6<&-
    echo "lingering=$now processes=$processes"
    [ "$now" = 1 ]
    [ "$processes" = 1 ]
}

@test "--prometheus prints what a strict reader of the text format takes" {
    # The control: that reader does not take everything.
    for bad in 'x 1' $'# TYPE x gauge\nx 1' $'# HELP x y\n# TYPE x counter\nx 1' $'# HELP x y\n# TYPE x gauge\nx{a="b} 1' \
        $'# HELP x y\n# TYPE x gauge\nx 1\nx 1' \
        $'# HELP x y\n# TYPE x histogram\nx_bucket{p="a",le="+Inf"} 2\nx_sum{p="a"} 1\nx_count{p="a"} 1'; do
        run awk -f "$top/tests/prometheus.awk" <<<"$bad"
        [ "$status" = 1 ] || complain "taken: $bad"
    done
    # Programs of any name; the reader replaces what does not print.
    cp "$bin/pages" "$BATS_TEST_TMPDIR/a\"b\\c"$'\n'"d"
    in_netns env LD_PRELOAD="$lib" "$BATS_TEST_TMPDIR/a\"b\\c"$'\n'"d" close
    start close close
    for server in "await write=9 close -- peer port send=7 await=fin read" "linger=0 close -- peer port read"; do
        # shellcheck disable=SC2086
        shimmed server $server
    done
    run "$launcher" --status --prometheus
    echo "$output"
    [ "$status" = 0 ]
    grep -qxF 'lingerclose_closes_total{program="a\"b\\c?d",decided="linger"} 1' <<<"$output"
    grep -qxF 'lingerclose_processes{program="pages"} 1' <<<"$output"
    grep -qxF 'lingerclose_closes_total{program="server",decided="abort"} 1' <<<"$output"
    for awk in mawk gawk awk; do
        command -v $awk >/dev/null || continue
        $awk -f "$top/tests/prometheus.awk" <<<"$output"
    done
    if command -v promtool >/dev/null; then promtool check metrics <<<"$output"; fi
    stop
}

@test "Prometheus's counters never fall when a process ends or its number is used again" {
    start close close
    before=$(metric closes_total 'decided="linger"')
    stop
    [ "$(metric closes_total 'decided="linger"')" = "$before" ]
    in_netns env LD_PRELOAD="$lib" "$bin/pages" close kill || true
    [ "$(metric closes_total 'decided="linger"')" = 3 ]
}

@test "what is no page of counters is left out with a sentence, and nothing is followed or waited for" {
    in_netns env LD_PRELOAD="$lib" "$bin/pages" close
    mkfifo "$pages/1"
    ln -s /etc/passwd "$pages/2"
    head -c 5000 /dev/urandom >"$pages/3"
    : >"$pages/4" # just being made
    head -c 5000 /dev/zero >"$pages/ended.0.x"
    echo >"$pages/README"
    run timeout 10 "$reader"
    echo "$output"
    [ "$status" = 0 ]
    for name in 1 2 3 ended.0.x; do
        [ "$(grep -c "^lingerclose: $pages/$name is left out: " <<<"$output")" = 1 ]
    done
    [ "$(grep -c 'is left out' <<<"$output")" = 4 ]
    [ "$(cell ended CLOSES)" = 1 ]
}

@test "no escape sequence that somebody has put into a page, or named a file or a process by, reaches the terminal" {
    escape=$'\e[31m'
    start close
    head -c 5000 /dev/zero >"$pages/1$escape"
    printf %s "$escape" | dd of="$pages/$pid" bs=1 seek=36 conv=notrunc status=none # stats.h, version
    cp "$bin/pages" "$BATS_TEST_TMPDIR/$escape"
    LD_PRELOAD=$lib LINGERCLOSE_STATS='' "$BATS_TEST_TMPDIR/$escape" say <&5 >"$BATS_TEST_TMPDIR/other" 3>&- &
    other=$!
    until grep -q . "$BATS_TEST_TMPDIR/other"; do sleep 0.01; done
    grep -qF "$escape" "/proc/$other/comm" # the control
    run "$reader"
    echo "$output"
    [ "$status" = 0 ]
    never $'\e' <<<"$output"
    grep -F '/1?[31m is left out' <<<"$output"
    grep -F " $other ?[31m " <<<"$output"
    run "$reader" "$pid"
    echo "$output"
    never $'\e' <<<"$output"
    grep -F 'lingerclose ?[31m' <<<"$output"
    kill "$other"
    wait "$other" || : # it reads the same line as the first
    stop
}

@test "a page that somebody else has made for a process is not believed to be that one's" {
    [ "$(id -u)" = 0 ] || skip "only root can become another user"
    start close
    cp "$pages/$pid" "$pages/x"
    chown 65534 "$pages/x"
    mv "$pages/x" "$pages/$pid"
    run "$reader"
    echo "$output"
    [ "$(cell ended CLOSES)" = 1 ]
    never -E "^ +$pid pages +[0-9]" <<<"$output"
    # The control: as it was, it is.
    stop
}

@test "--watch shows the table again and again, until nobody looks any more" {
    start close
    # The control: without it there is one.
    run sh -c '"$0" --status | grep "^ *PID "' "$launcher"
    [ "${#lines[@]}" = 1 ]
    run timeout 60 sh -c '"$0" --status --watch | grep -m 3 "^ *PID "' "$launcher"
    echo "$output"
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 3 ]
    # It is no terminal: nothing is erased.
    never $'\e' <<<"$output"
    run timeout 60 sh -c '"$0" --status "$1" --watch | grep -m 2 "^process $1"' "$launcher" "$pid"
    [ "${#lines[@]}" = 2 ]
    stop
}

@test "bad words of --status are refused with what is accepted" {
    run "$launcher" --status nginx
    [ "$status" = 125 ]
    [ "$output" = 'lingerclose: --status "nginx" is not a process; accepted: a process id, --prometheus, --watch' ]
    run "$launcher" --status --prometheus --watch
    [ "$status" = 125 ]
    [ "$output" = "lingerclose: --prometheus is one snapshot of all programs: neither --watch nor a process id goes with it" ]
    LINGERCLOSE_STATS=$BATS_TEST_TMPDIR/not/there run "$launcher" --status
    [ "$status" = 125 ]
    [ "$output" = "lingerclose: $BATS_TEST_TMPDIR/not/there, where the counters are to be (LINGERCLOSE_STATS): No such file or directory" ]
    run "$launcher" --stats "$pages" --status
    [ "$status" = 0 ]
    run "$launcher" --stats here --status
    [ "$status" = 125 ]
    [ "$output" = 'lingerclose: --stats "here" is not a directory'"'s path; accepted: off, or a path that starts with /" ]
}

@test "the installed launcher finds the installed reader, and says what is missing" {
    make -s -C "$top" install PREFIX="$BATS_TEST_TMPDIR/prefix" DESTDIR=
    run "$BATS_TEST_TMPDIR/prefix/bin/lingerclose" --status
    echo "$output"
    [ "$status" = 0 ]
    [[ ${lines[0]} == *PID*PROGRAM* ]]
    rm "$BATS_TEST_TMPDIR/prefix/lib/lingerclose/lingerclose-status"
    run "$BATS_TEST_TMPDIR/prefix/bin/lingerclose" --status
    [ "$status" = 125 ]
    [ "$output" = "lingerclose: cannot run $BATS_TEST_TMPDIR/prefix/lib/lingerclose/lingerclose-status: it is not there; install lingerclose again" ]
}
