#!/usr/bin/env bats
# lingerclose --check COMMAND|PID: 0 reached, 1 not reached, 2 cannot tell. Where this machine can run the program, what is
# said is held against what happens: show is a program that prints its own memory map.

bats_require_minimum_version 1.5.0
load helper
load etc

setup() {
    launcher=$top/scripts/lingerclose
    there=$BATS_TEST_TMPDIR
    show=$there/show
    printf '%s\n' '#include <stdio.h>' 'int main(void)' '{' '    FILE *f = fopen("/proc/self/maps", "r");' '    int c;' \
        '    while (f && (c = getc(f)) != EOF)' '        putchar(c);' '    return 0;' '}' >"$show.c"
    gcc -o "$show" "$show.c"
}

# checked STATUS PATTERN COMMAND...: the exit status, and a line that fits; no control character gets out
checked() {
    local code=$1 pattern=$2
    shift 2
    run "$launcher" --check "$@"
    echo "$output"
    [ "$status" -eq "$code" ] || complain "exit status $status"
    grep -qE -- "$pattern" <<<"$output" || complain "nothing says: $pattern"
    never '[[:cntrl:]]' <<<"$output"
}

# preloaded COMMAND...: under the launcher it has the library
preloaded() {
    run "$launcher" "$@"
    grep -q liblingerclose.so <<<"$output"
}

@test "a dynamically linked program of this machine's glibc is reached" {
    preloaded "$show"
    checked 0 '^reached: ' "$show"
    PATH=$there:$PATH checked 0 "^program: $show\$" show
    never 'not reached|remedy' <<<"$output"
}

@test "a static program is not reached" {
    gcc -static -o "$show" "$show.c" || skip "there is no static libc here"
    run "$launcher" "$show"
    [ "$status" -eq 0 ]
    never liblingerclose <<<"$output"
    checked 1 '^not reached: it is statically linked.*; remedy: ' "$show"
    gcc -static-pie -o "$show" "$show.c"
    checked 1 '^not reached: it is statically linked.*; remedy: ' "$show"
}

@test "a program of musl is not reached, and does not even start" {
    need_command musl-gcc
    musl-gcc -o "$show" "$show.c"
    "$show" >"$there/maps"
    run -127 "$launcher" "$show"
    checked 1 '^not reached: it is for another libc, musl .*; remedy: ' "$show"
}

@test "a Go program is not reached, though ld.so loads the library into one that is dynamically linked" {
    need_command fzf
    readelf -lW "$(command -v fzf)" | grep -q 'interpreter: /lib64/ld-linux'
    checked 1 '^not reached: it is a Go program.*system calls of its own.*; remedy: ' fzf
}

@test "a program of another machine, word size or byte order is not reached" {
    # e_machine is at 18 (elf(5)): 183 is EM_AARCH64
    cp "$show" "$there/other"
    printf '\xb7\0' | dd of="$there/other" bs=1 seek=18 conv=notrunc status=none
    checked 1 '^not reached: it is for another machine \(aarch64, 64 bits\) than the library \(.*, 64 bits\); remedy: ' \
        "$there/other"
    # EI_DATA is at 5: 2 is ELFDATA2MSB
    printf '\2' | dd of="$there/other" bs=1 seek=5 conv=notrunc status=none
    checked 1 '^not reached: it is for another machine .*the other byte order.*; remedy: ' "$there/other"
    gcc -m32 -o "$show" "$show.c" 2>/dev/null || i686-linux-gnu-gcc -o "$show" "$show.c" || skip "no 32-bit compiler is here"
    checked 1 '^not reached: it is for another machine \(i386, 32 bits\)' "$show"
}

@test "with $LIB in the library's path each program is held against the library of its own architecture" {
    check=$top/build/lingerclose-check
    mkdir -p "$there/lib/one" "$there/lib/two" "$there/lib64"
    cp "$show" "$there/other"
    printf '\xb7\0' | dd of="$there/other" bs=1 seek=18 conv=notrunc status=none
    run "$check" "$there/\$LIB/liblingerclose.so" "$show"
    echo "$output"
    [ "$status" -eq 2 ]
    [[ $output == *'cannot tell: the library '*'$LIB/liblingerclose.so cannot be read'* ]]
    cp "$there/other" "$there/lib/one/liblingerclose.so"
    run "$check" "$there/\$LIB/liblingerclose.so" "$show"
    [ "$status" -eq 1 ]
    for place in lib/two lib64; do
        cp "$lib" "$there/$place/"
        for program in "$show" "$there/other"; do
            run "$check" "$there/\$LIB/liblingerclose.so" "$program"
            echo "$output"
            never 'for another machine' <<<"$output"
        done
        run "$check" "$there/\$LIB/liblingerclose.so" "$show"
        [ "$status" -eq 0 ]
        rm "$there/$place/liblingerclose.so"
    done
}

@test "a program with another glibc than the machine's: cannot tell" {
    gcc -Wl,--dynamic-linker="$there/ld-linux-x86-64.so.2" -o "$show" "$show.c"
    checked 2 '^cannot tell: it brings a glibc of its own.*; remedy: ' "$show"
    gcc -Wl,--dynamic-linker=/system/bin/linker64 -o "$show" "$show.c"
    checked 1 '^not reached: it is for another libc than glibc' "$show"
}

@test "a setuid or setgid program is not reached, but where its owner starts it" {
    [ "$(id -u)" = 0 ] || skip "only root can give files to others"
    chmod 755 "$there"
    chown 1000:0 "$show"
    chmod 4755 "$show"
    run "$launcher" "$show"
    [ -n "$output" ]
    never liblingerclose <<<"$output"
    checked 1 '^not reached: it is setuid, so ld.so ignores LD_PRELOAD; remedy: .*/etc/ld.so.preload' "$show"
    chown 0:1000 "$show"
    chmod 2755 "$show"
    checked 1 '^not reached: it is setgid' "$show"
    chown 0:0 "$show"
    chmod 4755 "$show"
    preloaded "$show"
    checked 0 '^note: it is setuid: reached where its owner starts it' "$show"
}

@test "a program with file capabilities is not reached, but where root starts it" {
    need_command setcap
    need_command setpriv
    private_etc
    install -m 755 "$lib" "$etc/lib.so"
    install -m 755 "$top/build/lingerclose-check" "$show" "$etc/"
    as_user=(with_etc setpriv --reuid 1000 --clear-groups env LD_PRELOAD=/etc/lib.so)
    run "${as_user[@]}" /etc/show
    grep -q /etc/lib.so <<<"$output"
    setcap cap_net_raw+p "$etc/show" || skip "no file capabilities can be set here"
    run "${as_user[@]}" /etc/show
    [ -n "$output" ]
    never /etc/lib.so <<<"$output"
    run "${as_user[@]}" /etc/lingerclose-check /etc/lib.so /etc/show
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output == *'not reached: it has file capabilities, so ld.so ignores LD_PRELOAD; remedy: '* ]]
    preloaded "$etc/show"
    checked 0 '^note: it has file capabilities: reached where root starts it' "$etc/show"
}

@test "what /etc/ld.so.preload names is loaded into a setuid program too, and past every parent" {
    private_etc
    cp "$lib" "$etc/liblingerclose.so"
    chmod 755 "$etc/liblingerclose.so"
    chown 1000 "$show"
    chmod 4755 "$show"
    echo "/lib/other.so:/etc/liblingerclose.so # ours" >"$etc/ld.so.preload"
    run with_etc "$show"
    [[ $output == */etc/liblingerclose.so* ]]
    run with_etc "$top/build/lingerclose-check" /etc/liblingerclose.so "$show"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *'note: /etc/ld.so.preload names the library'* ]]
    cp "$bin/server" "$there/inetd"
    run with_etc "$top/build/lingerclose-check" /etc/liblingerclose.so "$there/inetd"
    [ "$status" -eq 0 ]
    echo "# /etc/liblingerclose.so" >"$etc/ld.so.preload"
    run with_etc "$top/build/lingerclose-check" /etc/liblingerclose.so "$there/inetd"
    [ "$status" -eq 1 ]
}

# script LINE: $there/script with this first line
script() {
    printf '%s\n' "$1" 'exit 0' >"$there/script"
    chmod 755 "$there/script"
}

@test "of a script the interpreter counts, through env and through another script too" {
    for line in '#!/bin/sh' '#! /bin/sh -eu' '#!/usr/bin/env bash' '#!/usr/bin/env -S NAME=value bash -u'; do
        script "$line"
        preloaded "$there/script" || [ "$status" -eq 0 ]
        checked 0 '^program: /.*sh' "$there/script"
    done
    if gcc -static -o "$show" "$show.c"; then
        for line in "#!$show" "#!$show -x" "#!/usr/bin/env $show"; do
            script "$line"
            checked 1 '^not reached: it is statically linked' "$there/script"
        done
        cp "$there/script" "$there/inner"
        script "#!$there/inner"
        checked 1 '^not reached: it is statically linked' "$there/script"
    fi
    script '#!/usr/bin/env -iS bash'
    script '#!/usr/bin/env -S -i bash'
    checked 1 '^not reached: its env -i clears the environment; remedy: ' "$there/script"
    script '#!/no/such/interpreter'
    checked 2 "^cannot tell: the script's interpreter /no/such/interpreter is not there" "$there/script"
    script '#!'
    checked 2 "^cannot tell: the script's first line names no interpreter" "$there/script"
    script 'echo without a first line'
    checked 0 '^note: it has no #! line' "$there/script"
    script "#!$there/script"
    checked 2 '^cannot tell: ' "$there/script"
}

@test "programs that are known to clean the environment of what they start are named, with the remedy" {
    while read -r name words; do
        cp "$show" "$there/$name"
        checked 1 "^not reached: .*$name .*; remedy: .*$words" "$there/$name"
    done <<-EOF
		inetd inetd.conf
		postfix import_environment
		dovecot import_environment = .import_environment LD_PRELOAD=$lib\$
		cron crontab
		sudo sudo lingerclose COMMAND
		doas doas lingerclose COMMAND
		systemctl lingerclose --unit
		service lingerclose --unit
		docker container
	EOF
    mkdir "$there/postfix.d"
    cp "$show" "$there/postfix.d/master"
    checked 1 'master starts gets an environment' "$there/postfix.d/master"
    cp "$show" "$there/master"
    checked 0 '^reached' "$there/master"
    ln -s "$there/inetd" "$there/superserver"
    checked 1 'what inetd starts' "$there/superserver"
    cp "$show" "$there/sshd"
    checked 0 '^note: a session that sshd starts' "$there/sshd"
}

@test "inetd: what it starts has no LD_PRELOAD, and has the library where inetd.conf names lingerclose, as the remedy says" {
    [ -x /usr/sbin/inetd ] || skip "openbsd-inetd is not installed"
    need_netns
    printf '%s\n' "7001 stream tcp nowait root $show show" "7002 stream tcp nowait root $launcher lingerclose $show" \
        >"$there/inetd.conf"
    run in_netns env LD_PRELOAD="$lib" bash -c '
        /usr/sbin/inetd -i "$0" >/dev/null 2>&1 3>&- & pid=$!
        trap "kill $pid" EXIT
        ask() {
            until exec 4<>/dev/tcp/127.0.0.1/$1; do :; done 2>/dev/null
            echo "port $1: $(grep -c liblingerclose.so <&4)"
        }
        ask 7001
        ask 7002' "$there/inetd.conf"
    echo "$output"
    [ "${lines[0]}" = "port 7001: 0" ]
    [ "${lines[1]%: 0}" = "${lines[1]}" ]
    checked 1 '^not reached: what inetd starts gets an environment without LD_PRELOAD; remedy: in inetd.conf name lingerclose' \
        /usr/sbin/inetd
}

@test "LINGERCLOSE=off and LINGERCLOSE_PROGRAMS that leave the program out are obstacles too" {
    run "$launcher" --off --check "$show"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output == *'not reached: LINGERCLOSE=off'* ]]
    for programs in nginx '!show'; do
        run "$launcher" --programs "$programs" --check "$show"
        [ "$status" -eq 1 ]
        [[ $output == *'not reached: LINGERCLOSE_PROGRAMS leaves show out'* ]]
    done
    run "$launcher" --programs show --drain 5s --check "$show"
    [ "$status" -eq 0 ]
    [[ $output == *'setting: LINGERCLOSE_DRAIN=5s (the environment)'* ]]
    # Of a script the shim sees the interpreter's name.
    script '#!/usr/bin/env bash'
    run "$launcher" --programs bash --check "$there/script"
    [ "$status" -eq 0 ]
}

@test "what is no program, is not there or is no process id: cannot tell, in one sentence" {
    checked 2 '^cannot tell: there is no program no-such-command in the directories of PATH; remedy: ' no-such-command
    checked 2 '^cannot tell: there is no program /no/such; remedy: ' /no/such
    checked 2 '^cannot tell: there is no program ' "$there"
    printf '\0\0\0\0' >"$there/data"
    chmod 755 "$there/data"
    checked 2 'is neither an ELF program nor a script' "$there/data"
    : >"$there/data"
    checked 2 'is neither an ELF program nor a script' "$there/data"
    printf '\177ELF' >"$there/data"
    checked 2 'is neither an ELF program nor a script' "$there/data"
    gcc -c -o "$there/data" "$show.c"
    chmod 755 "$there/data"
    checked 2 'it is an ELF file, but no program' "$there/data"
    cp "$show" "$there/"$'evil\nreached: '
    checked 0 'evil[?]reached' "$there/"$'evil\nreached: '
    for number in 0 4194305 99999999999999999999; do
        checked 2 "^cannot tell: $number is no process id" $number
    done
    checked 2 '^cannot tell: there is no process 4194303' 4194303
    run "$launcher" --check
    [ "$status" -eq 2 ]
    [[ $output == 'usage: '* ]]
    run "$launcher" --check=sh
    [ "$status" -eq 125 ]
    [ "$output" = "lingerclose: --check takes no value" ]
}

@test "no ELF file makes the check crash, however it is cut or bent" {
    for size in 20 52 63 64 100 200 700; do
        head -c $size "$show" >"$there/bent"
        chmod 755 "$there/bent"
        run "$launcher" --check "$there/bent"
        [ "$status" -le 2 ] || complain "$size bytes: $output"
    done
    for at in 32 33 36 40 54 55 56 57 64 72 80 96 120 128 136 144 152; do
        cp "$show" "$there/bent"
        printf '\xff\xff\xff\xff\xff\xff\xff' | dd of="$there/bent" bs=1 seek=$at conv=notrunc status=none
        run "$launcher" --check "$there/bent"
        [ "$status" -le 2 ] || complain "at $at: $output"
    done
}

# running [NAME=VALUE...] COMMAND...: in the background, once it runs that program; its process id is $pid
running() {
    env "$@" >/dev/null 2>&1 3>&- &
    pid=$!
    until [[ $(readlink /proc/$pid/exe) != */env && $(readlink /proc/$pid/exe) != */bash ]]; do :; done
}

teardown() {
    [ -z "${pid-}" ] || kill "$pid"
}

@test "of a process: not loaded, and why" {
    running sleep 1000
    checked 1 '^not reached: it was started without the library' $pid
    kill $pid
    if gcc -static -o "$show" -x c - <<<'#include <unistd.h>
int main(void) { return pause(); }'; then
        running LD_PRELOAD="$lib" "$show"
        checked 1 '^not reached: it is statically linked' $pid
        kill $pid
    fi
    running LD_PRELOAD="$there/liblingerclose.so" sleep 1000
    checked 1 '^not reached: LD_PRELOAD names the library in its environment, but ld.so could not load it; remedy: ' $pid
}

@test "of a process: a parent that is known to clean the environment is named" {
    cp /bin/bash "$there/inetd"
    mkfifo "$there/pid"
    "$there/inetd" -c 'env -i sleep 1000 & echo $! >"$0"; wait' "$there/pid" >/dev/null 2>&1 3>&- &
    read -r pid <"$there/pid"
    until [[ $(readlink "/proc/$pid/exe") == */sleep ]]; do :; done
    checked 1 '^not reached: inetd, which started it or its parents, gives them an environment without LD_PRELOAD; remedy: in inetd.conf' \
        "$pid"
    kill "$pid"
    LD_PRELOAD=$lib bash -c 'env -i sleep 1000 & echo $! >"$0"; wait' "$there/pid" >/dev/null 2>&1 3>&- &
    read -r pid <"$there/pid"
    until [[ $(readlink "/proc/$pid/exe") == */sleep ]]; do :; done
    checked 1 '^not reached: /.*/bash \(process [0-9]*\), which has the library, started it' "$pid"
}

@test "of a process: a setuid program is not loaded, though LD_PRELOAD names the library" {
    [ "$(id -u)" = 0 ] || skip "only root can give files to others"
    chmod 755 "$there"
    cp "$(command -v sleep)" "$there/sleep"
    chown 1000 "$there/sleep"
    chmod 4755 "$there/sleep"
    running LD_PRELOAD="$lib" "$there/sleep" 1000
    checked 1 '^not reached: it was started setuid, setgid or with file capabilities, so ld.so ignored LD_PRELOAD' $pid
}

@test "of a process: loaded, its settings from its environment and the file, and its threads" {
    private_etc
    conf '' LINGERCLOSE_IDLE=300ms LINGERCLOSE_MODE=fast
    # A process sees the file that is where it runs, so it runs there; and the check in the same place.
    run with_etc bash -c '
        LD_PRELOAD=$lib LINGERCLOSE_DRAIN=3s sleep 1000 2>&1 3>&- & pid=$!
        until [[ $(readlink /proc/$pid/exe) == */sleep ]]; do :; done
        LINGERCLOSE_DRAIN=9s "$0" --check $pid
        code=$?
        echo "pid=$pid"
        kill $pid
        exit $code' "$launcher"
    started=$(value pid)
    echo "$output"
    [ "$status" -eq 0 ]
    grep -qx "program: $(readlink -f "$(command -v sleep)"), process $started" <<<"$output"
    grep -qx "loaded: $lib" <<<"$output"
    grep -qx 'threads: 1' <<<"$output"
    grep -qx 'setting: LINGERCLOSE_DRAIN=3s (the environment)' <<<"$output"
    grep -qx 'setting: LINGERCLOSE_IDLE=300ms (/etc/lingerclose.conf:2)' <<<"$output"
    grep -q '^warning: /etc/lingerclose.conf:3: LINGERCLOSE_MODE="fast" is not' <<<"$output"
    grep -q '^reached: ' <<<"$output"
    running LD_PRELOAD="$lib" LINGERCLOSE=off sleep 1000
    checked 1 '^not reached: LINGERCLOSE=off' $pid
}

@test "of a process in a mount namespace of its own: the file that it sees there" {
    private_etc
    conf LINGERCLOSE_IDLE=300ms
    mkfifo "$there/pid"
    with_etc bash -c 'echo $$ >"$0"; LD_PRELOAD=$lib exec sleep 1000' "$there/pid" >/dev/null 2>&1 3>&- &
    read -r pid <"$there/pid"
    until [[ $(readlink "/proc/$pid/exe") == */sleep ]]; do :; done
    checked 0 '^setting: LINGERCLOSE_IDLE=300ms \(/etc/lingerclose.conf:1\)$' "$pid"
}

# $there/titled: a program that writes over its environment, as setproctitle() does in nginx, sshd or postgres
titled() {
    printf '%s\n' '#include <string.h>' '#include <unistd.h>' 'extern char **environ;' 'int main(void)' '{' \
        '    for (char **e = environ; *e; e++)' '        memset(*e, 0, strlen(*e));' '    return pause();' '}' >"$there/titled.c"
    gcc -o "$there/titled" "$there/titled.c"
}

@test "of a process that has written over its environment the settings come from the library's memory in it" {
    titled
    running LD_PRELOAD="$lib" "$there/titled"
    until [ -z "$(tr -d '\0' <"/proc/$pid/environ")" ]; do :; done
    checked 0 '^setting: the defaults, all of them$' "$pid"
    grep -q '^note: it has written over its environment' <<<"$output"
    kill "$pid"
    settings='LINGERCLOSE_MODE=sync
LINGERCLOSE_STEPS=shutdown,drain
LINGERCLOSE_LINGER=250ms
LINGERCLOSE_DRAIN=5s
LINGERCLOSE_IDLE=1500ms
LINGERCLOSE_DRAIN_BYTES=5120
LINGERCLOSE_ROLES=connected
LINGERCLOSE_WHEN=pending
LINGERCLOSE_ABORT=linger
LINGERCLOSE_MAX=7
LINGERCLOSE_EXIT=0s
LINGERCLOSE_SHUTDOWN=off
LINGERCLOSE_FAMILIES=tcp,unix
LINGERCLOSE_NODELAY=on
LINGERCLOSE_CORK=on
LINGERCLOSE_PORTS=25,8000-8999'
    mapfile -t words <<<"$settings"
    # A stripped library has it too.
    strip -o "$there/liblingerclose.so" "$lib"
    for library in "$lib" "$there/liblingerclose.so"; do
        running LD_PRELOAD="$library" LINGERCLOSE_LOG=/dev/null "${words[@]}" "$there/titled"
        until [ -z "$(tr -d '\0' <"/proc/$pid/environ")" ]; do :; done
        checked 0 '^setting: ' "$pid"
        sed -n 's/^setting: \(.*\) (its memory)$/\1/p' <<<"$output" |
            diff <(printf '%s\n' "$settings" 'LINGERCLOSE_LOG=a place that has been written over') -
        kill "$pid"
    done
    for off in LINGERCLOSE=off 'LINGERCLOSE_PROGRAMS=!titled'; do
        running LD_PRELOAD="$lib" "$off" "$there/titled"
        until [ -z "$(tr -d '\0' <"/proc/$pid/environ")" ]; do :; done
        checked 1 '^not reached: the shim is switched off there' "$pid"
        kill "$pid"
    done
    # A library of another version: what it has cannot be read.
    objcopy --rename-section .lingerclose=.another "$lib" "$there/liblingerclose.so"
    running LD_PRELOAD="$there/liblingerclose.so" "$there/titled"
    until [ -z "$(tr -d '\0' <"/proc/$pid/environ")" ]; do :; done
    checked 2 '^cannot tell: its memory cannot be read' "$pid"
}

@test "what is in a program's memory is its own word: bits that mean nothing harm nobody who asks" {
    titled
    running LD_PRELOAD="$lib" "$there/titled"
    until [ -z "$(tr -d '\0' <"/proc/$pid/environ")" ]; do :; done
    checked 0 '^setting: the defaults, all of them$' "$pid"
    local base at size
    base=$(awk '/liblingerclose.so/ { sub(/-.*/, ""); print; exit }' "/proc/$pid/maps")
    read -r at size <<<"$(readelf -SW "$lib" | sed -n 's/.* \.lingerclose  *PROGBITS  *\([0-9a-f]*\) [0-9a-f]* \([0-9a-f]*\) .*/\1 \2/p')"
    tr '\0' '\377' </dev/zero | dd of="/proc/$pid/mem" bs=1 count=$((16#$size)) seek=$((16#$base + 16#$at)) conv=notrunc
    checked 0 '^setting: LINGERCLOSE_FAMILIES=tcp,unix \(its memory\)$' "$pid"
}

@test "the check reads every setting that the shim has from its memory" {
    grep -oh '"LINGERCLOSE_[A-Z_]*"' "$top/shim/config.c" | sort -u | grep -v PROGRAMS |
        diff - <(grep -oh '"LINGERCLOSE_[A-Z_]*"' "$top/scripts/check-memory.c" | sort -u)
}

@test "of a process: a library that has been replaced since it was loaded is said to be" {
    cp "$lib" "$there/liblingerclose.so"
    running LD_PRELOAD="$there/liblingerclose.so" sleep 1000
    checked 0 '^loaded: ' $pid
    never 'has been replaced' <<<"$output"
    rm "$there/liblingerclose.so"
    checked 0 '^note: the library has been replaced since' $pid
}

@test "of a process: what lingers now is counted, and the shim's thread" {
    need_netns
    PATH=$bin:$PATH run in_netns bash -c '
        coproc S { exec env LD_PRELOAD="$lib" LINGERCLOSE_MODE=background LINGERCLOSE_IDLE=1000s LINGERCLOSE_DRAIN=1000s \
            LINGERCLOSE_EXIT=0 server write=9 await=line close await=line; }
        read -r _ port <&${S[0]}
        exec 5> >(peer "$port" say=here read silent >/dev/null)
        peer=$!
        "$top/scripts/lingerclose" --check $S_PID
        echo >&${S[1]}
        read -r line <&${S[0]}
        echo "$line"
        "$top/scripts/lingerclose" --check $S_PID
        echo >&${S[1]}
        kill $peer'
    echo "$output"
    [ "$(grep -c '^lingering now: 0 (counted: ' <<<"$output")" = 1 ]
    grep -q '^lingering now: 1: FIN_WAIT[12] 1 (counted: TCP sockets at descriptors from [0-9]* up' <<<"$output"
    [ "$(grep '^threads' <<<"$output")" = 'threads: 1
threads: 2, one of them the shim'"'"'s, for what lingers in the background' ]
}

@test "a process that somebody else owns may not be looked into: cannot tell" {
    need_command setpriv
    private_etc
    install -m 755 "$top/build/lingerclose-check" "$lib" "$etc/"
    run with_etc setpriv --reuid 1000 --clear-groups /etc/lingerclose-check /etc/liblingerclose.so $$
    echo "$output"
    [ "$status" -eq 2 ]
    [[ $output == *"process $$ is somebody else's, and may not be looked into; remedy: be root"* ]]
}

@test "the check needs libc alone, and nothing else of the machine" {
    [ "$(readelf -d "$top/build/lingerclose-check" | grep -c NEEDED)" = 1 ]
    readelf -d "$top/build/lingerclose-check" | grep -q 'NEEDED.*libc\.so\.6'
    run env -i PATH=/nowhere "$top/build/lingerclose-check" "$lib" "$show"
    [ "$status" -eq 0 ]
}

@test "of a process: what is asked against Nagle, and whether its library is loaded" {
    nagle=$build/liblingerclose-nagle.so
    running LD_PRELOAD="$nagle:$lib" LINGERCLOSE_CORK=on sleep 60
    checked 0 '^loaded: .*/liblingerclose-nagle.so$' "$pid"
    never 'not loaded' <<<"$output"
    kill "$pid"
    for setting in LINGERCLOSE_NODELAY LINGERCLOSE_CORK; do
        running LD_PRELOAD="$lib" "$setting=on" sleep 60
        checked 0 "^note: $setting is on, but liblingerclose-nagle.so is not loaded" "$pid"
        kill "$pid"
    done
    running LD_PRELOAD="$lib" sleep 60
    checked 0 '^loaded: .*/liblingerclose.so$' "$pid"
    never nagle <<<"$output"
}
