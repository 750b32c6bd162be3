#!/usr/bin/env bats
# lingerclose --report: a log summed up, by every awk that may be there.

load helper

setup() {
    launcher=$top/scripts/lingerclose
    log=$BATS_TEST_TMPDIR/log
}

# each AWK COMMAND...: what it prints must be the same with each
each_awk() {
    local awk first=
    for awk in mawk gawk "busybox awk"; do
        command -v "${awk%% *}" >/dev/null || continue
        case $awk in *\ *)
            printf '#!/bin/sh\nexec busybox awk "$@"\n' >"$BATS_TEST_TMPDIR/awk"
            chmod +x "$BATS_TEST_TMPDIR/awk"
            awk=$BATS_TEST_TMPDIR/awk
            ;;
        esac
        AWK=$awk run "$@"
        [ "$status" = 0 ] || complain "$awk: exit status $status: $output"
        [ -z "$first" ] || [ "$output" = "$first" ] || complain "$awk prints: $output"
        first=$output
    done
    echo "$output"
    [ -n "$first" ]
}

# line MS END [PORT [PEER [PROGRAM]]]
line() {
    echo "time=2026-11-24T06:00:0$((i++ % 10)).000Z pid=7 program=${5-nginx} fd=9 local=127.0.0.1:${3-80} remote=${4-10.0.0.1}:40${1} how=close decided=linger why=always end=$2 bytes=10 ms=$1"
}

# cell COLUMN ROW...: the row begins with these words
cell() {
    local column=$1
    shift
    awk -v row="$*" -v column="$column" '
        { $1 = $1 }
        index($0 " ", row " ") == 1 { print $(NF - 4 + column); n++ }
        END { exit n != 1 }' <<<"$output" || complain "not one row $*"
}

@test "--report tells count, bytes and quantiles by program, port and outcome" {
    i=0
    # 1..200 ms in a shuffled order; nearest rank, so the quantiles are 100, 190 and 198
    {
        for ms in $(seq 1 200 | sort -R); do line "$ms" eof; done
        line 30000 drain 80 '[2001:db8::1]'
        line 0 eof 443
        line 7 idle 80 10.0.0.2 sshd
        line 0 none | sed 's/decided=linger why=always/decided=close why=held/; s/bytes=10/bytes=0/'
    } >"$log"
    each_awk "$launcher" --report "$log"
    [ "${lines[0]}" = "204 connections, from 2026-11-24T06:00:00.000Z to 2026-11-24T06:00:09.000Z" ]
    # columns: count, bytes, p50, p95, p99
    [ "$(cell 0 nginx 80 linger eof)" = 200 ]
    [ "$(cell 1 nginx 80 linger eof)" = 2000 ]
    [ "$(cell 2 nginx 80 linger eof)" = 100 ]
    [ "$(cell 3 nginx 80 linger eof)" = 190 ]
    [ "$(cell 4 nginx 80 linger eof)" = 198 ]
    [ "$(cell 2 nginx 80 linger drain)" = 30000 ]
    [ "$(cell 4 nginx 443 linger eof)" = 0 ]
    [ "$(cell 0 nginx 80 close held)" = 1 ]
    [ "$(cell 2 nginx 80 close held)" = - ]
    [ "$(cell 0 all linger)" = 203 ]
    [ "$(cell 3 sshd 80 linger idle)" = 7 ]
    # the only one that ran into a bound
    grep -qE '^ +1  \[2001:db8::1\] +linger=0 drain=1 bytes=0 exit=0$' <<<"$output"
}

@test "the peers that ran into a bound most often come first, ten of them" {
    i=0
    for n in $(seq 1 12); do
        for k in $(seq 1 "$n"); do line 5 linger 80 "10.0.0.$n"; done
        line 5 eof 80 "10.9.9.9"
    done >"$log"
    line 5 exit 80 10.0.0.12 >>"$log"
    each_awk "$launcher" --report "$log"
    [ "$(grep -cE '^ +[0-9]+  10\.0\.0\.[0-9]+ ' <<<"$output")" = 10 ]
    [ "$(awk '/^Peers/ { getline; print }' <<<"$output" | tr -s ' ')" = " 13 10.0.0.12 linger=12 drain=0 bytes=0 exit=1" ]
    never -E '10\.0\.0\.[12] |10\.9\.9\.9' <<<"$output"
}

@test "lines of syslog are taken as well, lost lines are told, and other lines are left out" {
    i=0
    {
        line 5 eof
        echo "Nov 24 06:00:01 host lingerclose[7]: $(line 6 eof) dropped=3"
        echo "$(line 6 eof) dropped=4"
        line 5 eof | head -c 100 # cut off
    } >"$log"
    each_awk "$launcher" --report "$log"
    [ "${lines[0]}" = "3 connections, from 2026-11-24T06:00:00.000Z to 2026-11-24T06:00:01.000Z" ]
    [ "${lines[1]}" = "7 lines more could not be written (dropped=)" ]
    [ "${lines[2]}" = "1 lines are not of this log and are left out" ]
    run sh -c '"$0" --report - <"$1"' "$launcher" "$log"
    [ "${lines[0]}" = "3 connections, from 2026-11-24T06:00:00.000Z to 2026-11-24T06:00:01.000Z" ]
    : >"$log"
    each_awk "$launcher" --report "$log"
    [ "$output" = "0 connections" ]
}

@test "a log that the shim has written is summed up: as many connections as there were" {
    need_netns
    LINGERCLOSE_LOG=$log shimmed threads 50 -- crowd port 50 20000
    [ "$(value whole)" = 50 ]
    each_awk "$launcher" --report "$log"
    [[ ${lines[0]} == "50 connections, from "* ]]
    port=$(sed -n 's/.* local=127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$log" | sort -u)
    [ "$(cell 0 threads "$port" linger eof)" = 50 ]
    [ "$(cell 1 all linger)" = "$(awk '{ sub(/.* bytes=/, ""); n += $1 } END { print n }' "$log")" ]
    never "left out" <<<"$output"
}

@test "--plot draws the waits: every connection is in a bar, and the bars are as high as their numbers" {
    need_command python3
    i=0
    { for ms in 0 1 2 3 3 900 1500; do line $ms eof; done
      line 2000 idle; line 2000 idle; line 30000 drain; line 40000 linger; line 3 error; } >"$log"
    for awk in mawk gawk; do
        command -v $awk >/dev/null || continue
        AWK=$awk "$launcher" --report "$log" --plot "$BATS_TEST_TMPDIR/$awk.svg"
        python3 - "$BATS_TEST_TMPDIR/$awk.svg" <<'PY'
import re
import sys
import xml.etree.ElementTree as tree
ns = "{http://www.w3.org/2000/svg}"
bars = [(float(r.get("height")), r.find(ns + "title").text) for r in tree.parse(sys.argv[1]).iter(ns + "rect")
        if r.find(ns + "title") is not None]
said = {}
for height, title in bars:
    bound, how, n = re.fullmatch(r"up to (\d+) ms, (.*): (\d+)", title).groups()
    said[int(bound), how] = int(n)
    assert abs(height / int(n) - 80) < 0.01, (height, title)  # the highest, of 3, is 240 high
print(said)
assert said == {(1, "peer's EOF"): 2, (2, "peer's EOF"): 1, (4, "peer's EOF"): 2, (4, "error or no wait"): 1,
                (1024, "peer's EOF"): 1, (2048, "peer's EOF"): 1, (2048, "silence"): 2, (32768, "a bound"): 1,
                (65536, "a bound"): 1}, said
PY
    done
    if [ -e "$BATS_TEST_TMPDIR/gawk.svg" ]; then cmp "$BATS_TEST_TMPDIR/mawk.svg" "$BATS_TEST_TMPDIR/gawk.svg"; fi
}

@test "bad words of --report are refused with what is accepted" {
    refuses() {
        run "$launcher" --report "${@:2}"
        echo "$output"
        [ "$status" = 125 ]
        [ "$output" = "lingerclose: $1" ]
    }
    : >"$log"
    refuses "--report needs the file of a log, or - for standard input"
    refuses "--report \"$log.not\" is not a file that can be read" "$log.not"
    refuses "--report sums up one log, not \"$log\" and \"b\"" "$log" b
    refuses "--report has no option --csv; accepted: --plot OUT.svg" --csv "$log"
    refuses "--plot needs the name of the SVG file to write" "$log" --plot
    refuses "--plot \"x.png\" is not an SVG file's name; accepted: one that ends in .svg" "$log" --plot x.png
}
