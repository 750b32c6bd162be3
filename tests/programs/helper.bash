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
#   early NAME CASE START PORT QUIET EARLY      the test of one early reply, see below
#   same NAME START SESSION                     the test of one normal session, see below
#
# $work is a directory of the test's own that any user may enter; daemon.log and shim.log are there.

load ../helper

TRIES=${TRIES:-10}
PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin # Debian's own programs, and daemons
rows=$top/build/programs/rows
holder='' place=''
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

# Is PORT listened on in the place?
listens() {
    inside cat /proc/net/tcp /proc/net/tcp6 | grep -Eq "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F]+:0000 0A"
}

daemon() {
    local port=$1 tries=0
    shift
    under "$@" >>"$work/daemon.log" 2>&1 </dev/null 3>&- &
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
    echo "$phase: ${client[0]##*/} $*: $output"
    [ "$status" -eq 0 ]
}

# The kernel's counters of the place, in $output.
kernel() {
    output=$(inside "$bin/counters")
    echo "$phase: $output"
}

median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# The ways in which the log says that connections went, most frequent first.
ways_out() {
    grep -o 'how=[^ ]*' "$work/shim.log" | sort | uniq -c | sort -rn | sed 's/.*how=//' | paste -sd ' ' | sed 's/ /, /g'
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
# QUIET, the reply has so many bytes, and ends with EOF. With it, EARLY, TRIES times: without the shim
# replies are cut or the peer is reset; with it each is whole, and the kernel sends no RST.
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
        ask "$port" any "${early[@]}"
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
        ask "$port" any "${early[@]}"
        [ "$(value bytes)" = "$whole" ] || complain "try $i: the peer read $(value bytes) bytes of $whole"
        [ "$(value end)" = EOF ] || complain "try $i: the peer's reading ended with $(value end)"
        [ "$(value send_error)" = none ] || complain "try $i: the peer could not send: $(value send_error)"
    done
    kernel
    no_resets
    row "$program" "$case" "$without" "$TRIES of $TRIES whole"
}

# same PROGRAM START SESSION
#
# The normal session: SESSION, a function, prints what a user sees (no times, no ports). It prints the
# same without and with the shim, with the same exit status, and takes no noticeably longer (the best
# of three: a slow machine is no delay of ours).
same() {
    local program=$1 start=$2 session=$3 i t best said
    for i in plain shim; do
        phase "$i"
        "$start"
        best=999999
        for _ in 1 2 3; do
            t=$(date +%s%3N)
            "$session" >"$work/said.$i" 2>&1 3>&- && echo "exit 0" >>"$work/said.$i" || echo "exit $?" >>"$work/said.$i"
            t=$(($(date +%s%3N) - t))
            [ "$t" -ge "$best" ] || best=$t
        done
        printf -v "ms_$i" %s "$best"
        echo "$program, $i, $best ms:"
        head -c 2000 "$work/said.$i"
    done
    grep -q 'exit 0' "$work/said.plain" || complain "the session fails without the shim too"
    diff "$work/said.plain" "$work/said.shim" || complain "the session is not the same"
    # shellcheck disable=SC2154
    [ "$ms_shim" -le $((ms_plain * 3 / 2 + 200)) ] || complain "$ms_shim ms with the shim, $ms_plain without"
}
