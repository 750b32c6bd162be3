# shellcheck shell=bash disable=SC2034,SC2154 # the words are used by name
# For the suites of the runtimes, whose servers are small programs of ours: `load models`, after
# `load helper`. A server is one of several models on port 8080: it answers the line "get" with 3 MB,
# any other with a sentence, and lets go.
#
#   model_is_whole NAME MODEL   both early replies, many clients at once, and nothing left behind;
#                               start_model, the suite's, starts $model
#   ends_in_time NAME MODEL SIGNAL   the signal ends the server, the process called NAME, as soon as without
#                               the shim; with a silent client there, within LINGERCLOSE_EXIT

get=(text='get\n' read)
get_early=(rcvbuf=65536 text='get\n' await=reply send=65536 slow=32768:1)
put=(text='put\n' read)
put_early=(sndbuf=65536 text='put\n' send=2000000 read)

model_is_whole() {
    model=$2
    early "$1" "3 MB, more input behind" start_model 8080 get[@] get_early[@]
    early "$1" "2 MB refused" start_model 8080 put[@] put_early[@]
    leaves_nothing 8080 "${get_early[@]}"
}

# leaves_nothing PORT WORD...: forty more clients, eight at a time, each get all that the first one
# gets, and afterwards there are the same processes, with as many descriptors, as before, no zombie
# and no thread of ours.
leaves_nothing() {
    local port=$1 before one
    shift
    ask "$port" any "$@"
    one="bytes=$(value bytes) end=EOF"
    becomes "" unsettled
    before=$(residents)
    run inside sh -c 'for i in 1 2 3 4 5; do for j in 1 2 3 4 5 6 7 8; do "$@" & done; wait; done' sh \
        timeout 60 "${client[@]}" "$port" any "$@"
    [ "$(grep -c "^$one .*send_error=none" <<<"$output")" = 40 ] || complain "not all are $one: $output"
    kernel
    no_resets
    becomes "$before" residents
}

# The processes of the place: name, state, how many descriptors, and whether our thread is there.
residents() {
    inside sh -c 'for p in /proc/[0-9]*; do
        read -r name <"$p/comm" || continue
        case $name in sh | sleep | sed | sort) continue ;; esac
        echo "$name" "$(sed -n "s/^State:.//p" "$p/status")" "$(ls "$p/fd" | wc -l)" \
            $(grep -hx lingerclose "$p"/task/*/comm)
    done 2>/dev/null | sed "s/R (running)/S (sleeping)/" | sort'
}

# What goes by itself in a moment: zombies, our thread.
unsettled() {
    residents | grep -E 'Z \(zombie|lingerclose'
}

# becomes TEXT COMMAND: within 5 s the command prints the text.
becomes() {
    local tries=0 now
    until now=$($2) || :; [ "$now" = "$1" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 50 ]; then
            diff <(echo "$1") <(echo "$now") || :
            complain "$2 did not become what it was"
            return
        fi
        sleep 0.1
    done
}

# Milliseconds from the signal to the end of the process.
ends_in() {
    local began
    began=$(date +%s%3N)
    # shellcheck disable=SC2016
    inside sh -c 'pid=$(pidof -s "$0") && kill -"$1" "$pid" && while [ -d "/proc/$pid" ]; do sleep 0.01; done' "$1" "$2"
    echo $(($(date +%s%3N) - began))
}

# The best of three, since a busy machine is no delay of ours.
quiet_end() {
    for _ in 1 2 3; do
        phase "$phase"
        start_model
        ask 8080 any "${get_early[@]}" >&2
        becomes "" unsettled
        ends_in "$1" "$2"
        leave
    done | sort -n | head -n 1
}

ends_in_time() {
    local i
    model=$2
    for i in plain shim; do
        phase=$i
        printf -v "quiet_$i" %s "$(quiet_end "$1" "$3")"
        phase "$i"
        start_model
        mkfifo "$work/silence.$i"
        inside "$bin/peer" 8080 any say=here silent read <"$work/silence.$i" >"$work/silent.$i" &
        exec {silence}>"$work/silence.$i"
        becomes here "cat $work/silent.$i"
        printf -v "silent_$i" %s "$(ends_in "$1" "$3")"
        exec {silence}>&-
    done
    # shellcheck disable=SC2154
    echo "$1, from $3 to its end: $quiet_plain ms without, $quiet_shim ms with; a silent client: $silent_plain, $silent_shim"
    [ "$quiet_shim" -le $((quiet_plain + 300)) ] || complain "it ends later"
    [ "$silent_plain" -le 2000 ] || complain "it waits for its clients without the shim too"
    [ "$silent_shim" -le 5500 ] || complain "it ends after LINGERCLOSE_EXIT"
}
