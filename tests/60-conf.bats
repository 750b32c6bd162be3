#!/usr/bin/env bats
# /etc/lingerclose.conf: the same names, where the environment does not set them.

load helper
load etc

setup() {
    private_etc
    file=/etc/lingerclose.conf
    good="a regular file of root's that nobody else may write (it is ignored)"
}

# closing [NAME=VALUE...]: a close of a connection whose peer stays silent, for $output's close_ms
closing() {
    need_netns
    PATH=$bin:$PATH run with_etc env "$@" SHIM="$lib" netns exchange server write=9 close -- peer port read silent 3>&-
    echo "$output"
    [ "$status" -eq 0 ]
}

# says WARNING: a command under the shim gives this one warning and then runs; "" is none
says() {
    run with_etc timeout 20 env LD_PRELOAD="$lib" echo hello
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$output" = "${1:+lingerclose: $1
}hello" ]
}

@test "what the file sets holds where the environment does not set it, and nothing without the file" {
    closing LINGERCLOSE_MODE=sync
    between 1980 "$(value close_ms)" 2400
    conf '# an idle peer is given up soon' '' ' LINGERCLOSE_MODE=sync' 'LINGERCLOSE_IDLE=300ms  '
    closing
    between 280 "$(value close_ms)" 700
    closing LINGERCLOSE_IDLE=900ms
    between 880 "$(value close_ms)" 1300
}

@test "a variable that the environment sets to nothing stands for the default, whatever the file says" {
    conf LINGERCLOSE_DRAIN=soon
    says "$file:1: LINGERCLOSE_DRAIN=\"soon\" is not a duration; accepted: a number with ms, s or m (default 30s holds)"
    run with_etc env LINGERCLOSE_DRAIN= LD_PRELOAD="$lib" echo hello
    [ "$output" = hello ]
}

@test "LINGERCLOSE=off in the file switches the shim off, and the environment on again" {
    need_netns
    exchange=(netns exchange server await write=1000000 close -- peer port send=100 await=fin read)
    conf LINGERCLOSE=off
    for state in off on; do
        if [ $state = on ]; then export LINGERCLOSE=on; fi
        PATH=$bin:$PATH run with_etc env SHIM="$lib" "${exchange[@]}" 3>&-
        echo "$output"
        if [ $state = on ]; then whole 1000000; else cut 1000000; fi
    done
}

@test "a bad value in the file is one warning that names the line too, and the default holds" {
    conf '' LINGERCLOSE_MODE=fast
    says "$file:2: LINGERCLOSE_MODE=\"fast\" is not a known word; accepted: auto, sync or background (default auto holds)"
    # The environment's comes without a line.
    run with_etc env LINGERCLOSE_MODE=slow LD_PRELOAD="$lib" true
    [[ $output == 'lingerclose: LINGERCLOSE_MODE="slow" is not'* ]]
}

@test "a bad line and an unknown name are one warning each, and the rest of the file counts" {
    line="a setting; accepted: NAME=value with a name of liblingerclose(7), and lines that start with # (the line is ignored)"
    for bad in 'drain 5s' 'export LINGERCLOSE_DRAIN=5s' 'LINGERCLOSE_DRAIN = 5s' 'LINGERCLOSE_DRAIN' '=5s' 'PATH=/bin' \
        'LINGERCLOSE_drain=5s' '; a comment elsewhere'; do
        conf "$bad" LINGERCLOSE_DRAIN=6s
        says "$file:1: \"$bad\" is not $line"
    done
    conf LINGERCLOSE_DRAIN=6s LINGERCLOSE_DRIAN=5s
    says "$file:2: \"LINGERCLOSE_DRIAN\" is not a setting; accepted: the names that liblingerclose(7) lists (the line is ignored)"
    printf 'LINGERCLOSE_DRAIN=5s\0LINGERCLOSE_IDLE=1s\n' >"$etc/lingerclose.conf"
    says "$file:1: \"LINGERCLOSE_DRAIN=5s\" is not $line"
    conf nonsense LINGERCLOSE_DRAIN=soon
    run with_etc env LD_PRELOAD="$lib" true
    [ "${#lines[@]}" = 2 ]
}

@test "comments, empty lines, blanks around a line, an empty value, the last of two and a missing newline are no mistakes" {
    conf '# a comment' '   # another' '' $'\t' $'LINGERCLOSE_DRAIN=5s\r' 'LINGERCLOSE_IDLE=' \
        LINGERCLOSE_MODE=wrong LINGERCLOSE_MODE=sync
    printf 'LINGERCLOSE_EXIT=1s' >>"$etc/lingerclose.conf"
    says ''
    : >"$etc/lingerclose.conf"
    says ''
}

@test "every variable that the shim knows may stand in the file" {
    conf LINGERCLOSE_MODE=wrong
    run with_etc env LD_PRELOAD="$lib" true
    [ "${#lines[@]}" = 1 ]
    : >"$etc/lingerclose.conf"
    grep -oh '"LINGERCLOSE[A-Z_]*"' "$top/shim/config.c" | tr -d '"' | sort -u | sed 's/$/=/' >"$etc/lingerclose.conf"
    [ "$(wc -l <"$etc/lingerclose.conf")" -gt 10 ]
    says ''
}

@test "a file that another than root owns, or may write, is ignored with one warning" {
    conf LINGERCLOSE_DRAIN=soon
    says "$file:1: LINGERCLOSE_DRAIN=\"soon\" is not a duration; accepted: a number with ms, s or m (default 30s holds)"
    for mode in 664 646 666; do
        chmod $mode "$etc/lingerclose.conf"
        says "$file: its mode is 0$mode; accepted: $good"
    done
    chmod 644 "$etc/lingerclose.conf"
    chown 1000 "$etc/lingerclose.conf"
    says "$file: its owner is 1000; accepted: $good"
}

@test "a directory, a FIFO and a file that is too long are ignored with one warning, and nothing waits" {
    mkdir "$etc/lingerclose.conf"
    says "$file: it is no regular file; accepted: $good"
    rmdir "$etc/lingerclose.conf"
    mkfifo -m 644 "$etc/lingerclose.conf"
    says "$file: it is no regular file; accepted: $good"
    rm "$etc/lingerclose.conf"
    conf "$(head -c 16383 /dev/zero | tr '\0' '#')"
    says ''
    conf "$(head -c 16384 /dev/zero | tr '\0' '#')"
    says "$file: it is longer than 16 KB; accepted: $good"
}

@test "a file that the program may not read is ignored with one warning" {
    need_command setpriv
    conf LINGERCLOSE_DRAIN=soon
    chmod 600 "$etc/lingerclose.conf"
    cp "$lib" "$etc/lib.so"
    chmod 755 "$BATS_TEST_TMPDIR" "$etc/lib.so"
    run with_etc setpriv --reuid 1000 --clear-groups env LD_PRELOAD=/etc/lib.so true
    echo "$output"
    [ "$output" = "lingerclose: $file: it cannot be read: Permission denied; accepted: $good" ]
}

@test "in a user namespace that does not know root the file is still read" {
    need_command setpriv
    conf LINGERCLOSE_DRAIN=soon
    cp "$lib" "$etc/lib.so"
    chmod 755 "$etc/lib.so"
    with_etc setpriv --reuid 1000 --clear-groups unshare -U true || skip "no user namespace can be made here"
    run with_etc setpriv --reuid 1000 --clear-groups unshare -U sh -c 'stat -c %u /etc/lingerclose.conf; LD_PRELOAD=/etc/lib.so /bin/true'
    echo "$output"
    [ "${lines[0]}" != 0 ]
    [[ ${lines[1]} == "lingerclose: $file:1: LINGERCLOSE_DRAIN=\"soon\" is not"* ]]
}

@test "a setuid program under /etc/ld.so.preload is tuned by root's file, not by its caller" {
    cp "$bin/closes" "$etc/setuid"
    cp "$lib" "$etc/lib.so"
    echo /etc/lib.so >"$etc/ld.so.preload"
    conf LINGERCLOSE_DRAIN=soon
    chmod 755 "$etc/lib.so" "$etc/setuid"
    # The control: a program without the bit listens to its caller.
    run with_etc env -i LINGERCLOSE_IDLE=late /etc/setuid
    [[ $output == *'LINGERCLOSE_IDLE="late"'* ]]
    [[ $output == *'LINGERCLOSE_DRAIN="soon"'* ]]
    chown 1000 "$etc/setuid"
    chmod 4755 "$etc/setuid"
    run with_etc env -i /bin/sh -c 'LINGERCLOSE=off; export LINGERCLOSE; LINGERCLOSE_IDLE=late exec /etc/setuid'
    echo "$output"
    [[ $output != *late* ]]
    [[ $output == *"$file:1: LINGERCLOSE_DRAIN=\"soon\""* ]]
}

@test "the file is closed again before the program starts" {
    conf LINGERCLOSE_DRAIN=5s
    # shellcheck disable=SC2012
    [ "$(LD_PRELOAD=$lib with_etc ls /proc/self/fd | wc -l)" = "$(with_etc ls /proc/self/fd | wc -l)" ]
}
