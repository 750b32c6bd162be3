# shellcheck shell=bash disable=SC2154,SC2034 # bats sets output and status; the suites use the rest
# Shared by tests/programs/*.bats: `load helper`.
#
# Unmodified programs of Debian, without and with the shim. A phase is one of the two, in a place of
# its own: network, process and mount namespaces, so that the kernel's counters begin at 0, every port
# is free, and all that was started there ends with it.
#
#   phase plain|shim        the place; what runs there until the next phase has the shim or not
#   inside COMMAND...       runs a command there, without the shim
#   under COMMAND...        runs a command there, with the shim in the phase `shim`
#   daemon PORT COMMAND...  starts one so, and waits until somebody listens on PORT
#   ask PORT WORD...        one client, build/tests/peer; its line is in $output
#   at_once N PORT WORD... N clients at once in the background, see below
#   needs=(COMMAND PACKAGE) of a suite: what each of its tests needs
#   early NAME CASE START PORT QUIET EARLY      the test of one early reply, see below
#   early_files NAME START  both early replies of what make_handler makes, or of a server of HTTP with 3 MB in /file
#   same NAME START SESSION                     the test of one normal session, see below
#   tidy NAME START SESSION [SIGNAL]            the test that nothing is left behind, see below
#   make_handler            a script that answers one request; the words of a peer for it and a session: see below
#
# $work is a directory of the test's own that any user may enter; daemon.log and shim.log are there.

load ../helper

TRIES=${TRIES:-10}
PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin # Debian's own programs, and daemons
rows=$top/build/programs/rows
holder='' place='' daemon=''
client=("$bin/peer") # what `ask` runs; another one understands the same words

need_root() {
    [ "$(id -u)" = 0 ] || skip "only root can make the namespaces that this needs"
}

# need_program COMMAND PACKAGE
need_program() {
    need_root
    command -v "$1" >/dev/null || [ -x "$1" ] || skip "$1 is not installed (Debian package $2)"
}

setup() {
    work=$BATS_TEST_TMPDIR/work
    mkdir -p "$work" "$rows"
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" "$work" 2>/dev/null || :
    [ -z "${needs-}" ] || need_program "${needs[@]}"
}

teardown() {
    leave
}

# Ends the place and everything in it.
leave() {
    [ -z "$holder" ] || kill -KILL "$holder" 2>/dev/null || :
    wait "$holder" 2>/dev/null || :
    holder='' place=''
}

phase() {
    local fifo=$work/fifo
    leave
    phase=$1
    rm -f "$fifo" "$work"/{daemon,shim}.log
    mkfifo "$fifo"
    : >"$work/shim.log"
    chmod 666 "$work/shim.log"
    unshare --net --pid --mount --fork --kill-child --mount-proc "$bin/netns" \
        sh -c 'echo >"$0"; exec sleep infinity' "$fifo" >/dev/null 2>&1 3>&- &
    holder=$!
    read -r <"$fifo"
    place=$(cat "/proc/$holder/task/$holder/children")
    place=${place%% *}
}

inside() {
    nsenter --target "$place" --net --pid --mount -- "$@" 3>&-
}

# The environment that a program under test gets; it may be changed between phases.
shim_environment() {
    [ "$phase" = plain ] || echo "LD_PRELOAD=$lib LINGERCLOSE_LOG=$work/shim.log"
}

under() {
    # shellcheck disable=SC2046 # a list of assignments
    inside env $(shim_environment) "$@"
}

# A copy of /etc in its place there, for a test to change: $work/etc.
own_etc() {
    rm -rf "${work:?}/etc"
    cp -a /etc "$work/etc"
    inside mount --bind "$work/etc" /etc
}

# Is PORT listened on in the place?
listens() {
    inside cat /proc/net/tcp /proc/net/tcp6 | grep -Eq "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F]+:0000 0A"
}

# $daemon is a process out here that waits for it.
daemon() {
    local port=$1 tries=0
    shift
    # In a session of its own: Apache signals its process group. A shell that runs us in the background has SIGINT ignored.
    # shellcheck disable=SC2046
    inside setsid env --default-signal=INT,QUIT $(shim_environment) "$@" >>"$work/daemon.log" 2>&1 </dev/null 3>&- &
    daemon=$!
    until listens "$port"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ]; then
            cat "$work/daemon.log"
            complain "nobody listens on port $port: $*"
            return
        fi
        sleep 0.05
    done
}

ask() {
    run inside timeout 60 "${client[@]}" "$@" </dev/null
    local words="$*"
    words=${words:0:200}
    echo "$phase: ${client[0]##*/} ${words//[$'\r\n']/ }: $output"
    [ "$status" -eq 0 ]
}

# try I PORT WORD...: the I-th of several tries. With AT_ONCE set they are made all at once, when the first is asked for.
try() {
    local i=$1 j
    shift
    if [ -z "${AT_ONCE-}" ]; then
        ask "$@"
        return
    fi
    if [ "$i" = 0 ]; then
        at_once "$TRIES" "$@"
        wait "${at_once[@]}" || :
    fi
    output=$(cat "$work/peer.$i")
    echo "$phase: peer $*: $output"
    [ "$(value bytes)" ]
}

# at_once N PORT WORD...: N clients in the background; their lines are in $work/peer.0, ..., their pids in at_once.
at_once() {
    local n=$1 i
    shift
    at_once=()
    for ((i = 0; i < n; i++)); do
        inside timeout 60 "$bin/peer" "$@" >"$work/peer.$i" 2>&1 </dev/null &
        at_once[i]=$!
    done
}

# The kernel's counters of the place, in $output.
kernel() {
    output=$(inside "$bin/counters")
    echo "$phase: $output"
}

# $work/handler, for servers that start one for each connection, with it on descriptors 0 and 1: HTTP as a
# beginner writes it. A file of 3 MB, or 405 with the body unread; it ends with the connection open.
make_handler() {
    head -c 3000000 /dev/zero >"$work/file"
    cat >"$work/handler" <<EOF
#!/bin/sh
read -r method path version
while read -r header && [ \${#header} -gt 1 ]; do :; done
case \$method:\$path in
GET:/file)
    printf 'HTTP/1.0 200 OK\r\n\r\n'
    cat $work/file
    ;;
*) printf 'HTTP/1.0 405 Method Not Allowed\r\n\r\nnot here' ;;
esac
EOF
    chmod 755 "$work/handler"
}

# The words of a peer for that, and for servers of HTTP: see early. And a session with one.
download='GET /file HTTP/1.0\r\n\r\n'
quiet_download=(text="$download" read)
early_download=(rcvbuf=65536 text="$download" await=reply send=65536 slow=32768:1)
quiet_upload=(text='POST /none HTTP/1.0\r\nContent-Length: 0\r\n\r\n' read)
early_upload=(sndbuf=65536 text='POST /none HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n' send=2000000 read)

fetch_files() {
    inside curl -s http://127.0.0.1:8080/file | cksum
    inside curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/none
}

median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# The ways in which the log says that connections went, most frequent first.
ways_out() {
    grep -o 'how=[^ ]*' "$work/shim.log" | sort | uniq -c | sort -rn | sed 's/.*how=//' | paste -sd ' ' | sed 's/ /, /g'
}

# Why connections lingered or not, and how that ended, most frequent first; for whoever reads a test's output.
reasons() {
    grep -Eo 'decided=.* end=[^ ]*' "$work/shim.log" | sort | uniq -c | sort -rn
}

# row PROGRAM CASE WITHOUT WITH: of the README's table, which `sh tests/programs/table` prints
row() {
    printf '| %s | %s | %s | %s | %s |\n' "$1" "$2" "$(ways_out)" "$3" "$4" \
        >"$rows/$(tr -c 'a-zA-Z0-9\n' - <<<"$1 $2")"
}

thousands() {
    sed -E ':a; s/([0-9])([0-9]{3})($|,)/\1,\2\3/; ta' <<<"$1"
}

# early PROGRAM CASE START PORT QUIET EARLY
#
# START starts the program; QUIET and EARLY are names of arrays of peer's words. Without the fault,
# QUIET, the reply has so many bytes, and ends with EOF. With it, EARLY, TRIES times (TRY in a word is
# the number of the try): without the shim replies are cut or the peer is reset; with it each is whole,
# and the kernel sends no RST.
early() {
    local program=$1 case=$2 start=$3 port=$4 quiet=("${!5}") early=("${!6}") i whole bad got
    phase plain
    "$start"
    ask "$port" any "${quiet[@]}"
    whole=$(value bytes)
    [ "$whole" -gt 0 ] && [ "$(value end)" = EOF ]
    bad=0 got=$work/got
    : >"$got"
    for ((i = 0; i < TRIES; i++)); do
        try "$i" "$port" any "${early[@]//TRY/$i}"
        value bytes >>"$got"
        [ "$(value bytes)" = "$whole" ] && [ "$(value end)" = EOF ] && [ "$(value send_error)" = none ] ||
            bad=$((bad + 1))
    done
    kernel
    [ "$bad" -gt 0 ] || complain "the control: without the shim each of $TRIES replies was whole"
    [ "$(value rsts)" -gt 0 ] || complain "the control: without the shim no RST was sent"
    without="$bad of $TRIES reset, $(thousands "$(median <"$got")") of $(thousands "$whole") bytes"

    phase shim
    "$start"
    ask "$port" any "${quiet[@]}"
    [ "$(value bytes)" = "$whole" ] && [ "$(value end)" = EOF ]
    for ((i = 0; i < TRIES; i++)); do
        try "$i" "$port" any "${early[@]//TRY/$i}"
        [ "$(value bytes)" = "$whole" ] || complain "try $i: the peer read $(value bytes) bytes of $whole"
        [ "$(value end)" = EOF ] || complain "try $i: the peer's reading ended with $(value end)"
        [ "$(value send_error)" = none ] || complain "try $i: the peer could not send: $(value send_error)"
    done
    reasons
    kernel
    no_resets
    row "$program" "$case" "$without" "$TRIES of $TRIES whole"
}

early_files() {
    early "$1" "3 MB, more requests behind" "$2" 8080 quiet_download[@] early_download[@]
    early "$1" "2 MB POST refused" "$2" 8080 quiet_upload[@] early_upload[@]
}

# same PROGRAM START SESSION
#
# The normal session: SESSION, a function, prints what a user sees (no times, no ports). It prints the
# same without and with the shim, with the same exit status, and takes no noticeably longer (the best
# of three, or of ten where those are slow: a slow machine is no delay of ours).
same() {
    local program=$1 start=$2 session=$3 i t try best most=999999
    for i in plain shim; do
        phase "$i"
        "$start"
        best=999999
        for ((try = 0; try < 3 || (try < 10 && best > most); try++)); do
            t=$(date +%s%3N)
            "$session" >"$work/said.$i" 2>&1 3>&- && echo "exit 0" >>"$work/said.$i" || echo "exit $?" >>"$work/said.$i"
            t=$(($(date +%s%3N) - t))
            [ "$t" -ge "$best" ] || best=$t
        done
        [ $i = shim ] || most=$((best * 3 / 2 + 200))
        echo "$program, $i, $best ms:"
        head -c 2000 "$work/said.$i"
    done
    grep -q 'exit 0' "$work/said.plain" || complain "the session fails without the shim too"
    diff "$work/said.plain" "$work/said.shim" || complain "the session is not the same"
    [ "$best" -le "$most" ] || complain "$best ms with the shim, more than $most"
}

# What lives in the place: processes and the open descriptors of all of them, and what is dead but not yet noticed.
census() {
    # shellcheck disable=SC2016 # the inner shell's
    inside sh -c 'cd /proc; n=0 z=0 f=0
        for p in [0-9]*; do
            [ "$p" != $$ ] && read -r line <"$p/stat" || continue
            case ${line##*) } in Z*) z=$((z + 1)) && continue ;; esac
            set -- "$p"/fd/*
            n=$((n + 1)) f=$((f + $#))
        done
        echo "processes=$n descriptors=$f zombies=$z"' 2>/dev/null
}

# The census once nobody comes or goes any more; of a place where that is WANTED, if given, within 8 s.
steady_census() {
    local before='' i
    for ((i = 0; i < 40; i++)); do
        output=$(census)
        [ "${output% *}" != "${1:-$before}" ] || break
        before=${output% *}
        sleep 0.2
    done
}

# Ends the daemon as its administrator would, and leaves in $stop_ms how long that took.
stop() {
    local t pid=$daemon
    # Out here are the shell that called `under`, and nsenter, which waits for its child in there.
    while [[ $(<"/proc/$pid/comm") =~ ^(bash|nsenter)$ ]]; do
        read -r pid _ <"/proc/$pid/task/$pid/children" || : # no newline at its end
    done
    t=$(date +%s%3N)
    kill -"${1:-TERM}" "$pid"
    wait "$daemon" 2>/dev/null || :
    stop_ms=$(($(date +%s%3N) - t))
    [ ! -e "/proc/$pid" ] || complain "it has not ended"
}

# tidy NAME START SESSION [SIGNAL]
#
# Ten sessions more leave no more processes and descriptors behind than the first does, and SIGTERM (or SIGNAL) ends the
# program as soon as without the shim. (Zombies are shown only: the place's first process reaps none, socat and ncat late.)
tidy() {
    local i j first
    for i in plain shim; do
        phase "$i"
        "$2"
        "$3" >/dev/null 2>&1 3>&-
        steady_census
        first=$output
        for ((j = 0; j < 10; j++)); do "$3" >/dev/null 2>&1 3>&-; done
        steady_census "${first% *}"
        echo "$1, $i: $first after one session; $output after eleven"
        [ "${output% *}" = "${first% *}" ] || complain "something is left behind"
        stop "${4:-TERM}"
        echo "$1, $i: ended in $stop_ms ms"
        printf -v "stop_$i" %s "$stop_ms"
    done
    # shellcheck disable=SC2154
    [ "$stop_shim" -le $((stop_plain + 300)) ] || complain "it took $stop_shim ms to end, and $stop_plain without the shim"
}

# unpacked PACKAGE PATH: the path of that file of a Debian package, which may conflict with what is installed
unpacked() {
    local dir=$top/build/programs/unpacked/$1
    if [ ! -e "$dir/$2" ]; then
        mkdir -p "$dir"
        (cd "$dir" && apt-get -o APT::Sandbox::User=root download "$1" && dpkg -x "$1"_*.deb .) >/dev/null 2>&1 || return
    fi
    echo "$dir/$2"
}
