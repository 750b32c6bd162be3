#!/usr/bin/env bats
# Event loops: close never waits for a peer, and the peers read all the same. The server is
# epoll-server, its peers are visitors; both say in their first lines what they do.
#
# How long a close takes: the peers, the shim's thread and whatever else runs share the processors with
# the event loop, and that is no waiting of close's. So the loop has the processor to itself where it may
# (SCHED_FIFO); elsewhere p99 is of CPU time, over that of a plain close. The longest close is without
# those in which the kernel took the processor away all the same (ru_nivcsw) and close did not give it
# away by itself as well (ru_nvcsw). Noise only adds to all of these, so the best of five runs counts. All
# figures are printed.

load helper

setup() {
    export LINGERCLOSE_MODE=auto LINGERCLOSE_IDLE=1s LINGERCLOSE_DRAIN=2s
}

# plainly, shim SERVER-WORD... -- VISITORS-WORD...: without and with the shim
visited() {
    local server=("${above[@]}" epoll-server)
    while [ "$1" != -- ]; do
        server+=("$1")
        shift
    done
    shift
    "$how" "${server[@]}" -- visitors port "$@"
}

plainly() {
    how=plain visited "$@"
}

shim() {
    how=shimmed visited "$@"
}

# The last value of that name.
last() {
    value "$1" >/dev/null || return
    grep -o "\b$1=[^ ]*" <<<"$output" | sed -n '$s/.*=//p'
}

# N visitors got all of their reply and EOF.
all_complete() {
    [ "$(value complete)" = "$1" ] || complain "$(value complete) of $1 visitors got all"
    [ "$(value closes)" = "$(value accepted)" ] || complain "not one close per connection"
    [ "$(value bad)" = 0 ] && [ "$(value phantoms)" = 0 ]
}

# at_most LIMIT VALUE, which may have a fraction
at_most() {
    awk "BEGIN { exit !($2 <= $1) }" || complain "$2 is more than $1"
}

@test "an event loop with 300 silent, 100 dripping and 5,000 other peers: none is reset, none short, no close waits" {
    crowd=(silent=300 drip=100 normal=5000 bytes=20000 bound=60000 go)
    export EXCHANGE_BOUND=100
    above=() p99=cpu_p99_us
    if chrt -f 1 true 2>/dev/null; then
        above=(chrt -f 1) p99=p99_us
    fi
    for i in 1 2 3 4 5; do
        plainly reply=20000 -- "${crowd[@]}" term
        [ "$(value complete)" -lt 500 ]
        [ "$(value rsts)" -ge 5000 ]
        # On a machine so busy that a plain close takes long, it is what the shim adds.
        bound=50
        at_most 30 "$(value $p99)" || bound="(50 + $(value $p99))"
        shim reply=20000 -- "${crowd[@]}" given-up fds=1 term
        all_complete 5400
        if at_most 1000 "$(value longest_us)" && at_most "$bound" "$(value $p99)"; then
            break
        fi
        [ "$i" -lt 5 ]
    done
    # The dripping ones are given up after DRAIN, and only they are reset (what may be sent besides: no_resets() in helper.bash).
    value given_up_ms
    [ "$(value estab_resets)" = 100 ]
    no_aborts
    # The descriptors come back, all but the thread's own.
    value fds_ms
    between "$(value base)" "$(value fds)" "$(($(value base) + 1))"
}

@test "the first close of a program that has threads does not wait either" {
    plainly threaded -- silent=10 go term
    at_most 1000 "$(value longest_us)"
    for i in 1 2 3; do
        shim threaded -- silent=10 go term
        all_complete 10
        at_most 1000 "$(value longest_us)"
    done
}

@test "a close that waits for its peer shows in these figures" {
    LINGERCLOSE_MODE=sync shim -- silent=1 normal=20 go term
    all_complete 21
    [ "$(value waits)" -ge 1 ]
    at_most "$(value longest_us)" 900000
}

@test "auto: close returns at once on O_NONBLOCK connections, and waits on blocking ones" {
    export LINGERCLOSE_IDLE=400ms
    client=(peer port send=100 await=line send=100 say=sent read)
    plain server await write=1000 nonblock close await=line -- "${client[@]}"
    [ "$(value rsts)" -gt 0 ]
    shimmed server await write=1000 nonblock close await=line -- "${client[@]}"
    whole 1000
    between 0 "$(value close_ms)" 50
    shimmed server await write=1000 close -- peer port send=100 read silent
    whole 1000
    between 380 "$(value close_ms)" 700
}

@test "auto: dup2 over a connection that another thread reads does not wait, and that thread gets nothing more" {
    local peer=(peer port await=fin pause=300 send=1 pause=300 send=1 read)
    plain wakes -- "${peer[@]}"
    [ "$(value reader)" = EINTR ]
    [ "$(value rsts)" -gt 0 ]
    shimmed wakes -- "${peer[@]}"
    [ "$(value reader)" = EINTR ]
    between 0 "$(value dup2_ms)" 200
    whole 1000
}

@test "sync waits on O_NONBLOCK connections too, background on no connection" {
    export LINGERCLOSE_IDLE=400ms
    LINGERCLOSE_MODE=sync shimmed server await write=1000 nonblock close -- \
        peer port send=100 read silent
    whole 1000
    between 380 "$(value close_ms)" 700
    LINGERCLOSE_MODE=background shimmed server await write=1000 close await=line -- \
        peer port send=100 await=line send=100 say=sent read
    whole 1000
    between 0 "$(value close_ms)" 50
}

@test "a slow reader gets all of 1 MB that was outstanding when the event loop closed" {
    plain server await write=1000000 nonblock close await=line -- \
        peer port send=100 slow=20000:2 say=done
    cut 1000000
    LINGERCLOSE_IDLE=50ms shimmed server await write=1000000 nonblock close await=line -- \
        peer port send=100 slow=20000:2 say=done
    whole 1000000
}

# lingered FROM TO PEER-WORD...: what the log says of one connection that was handed over, in ms
lingered() {
    local from=$1 to=$2 log=$BATS_TEST_TMPDIR/log
    rm -f "$log"
    LINGERCLOSE_LOG=$log shimmed server await write=$wrote nonblock close -- "${@:3}"
    between 0 "$(value close_ms)" 50
    output=$(tee /dev/stderr <"$log")
    between "$from" "$(value ms)" "$to"
}

@test "every bound holds in the background: a silent peer, one that drips, one that never reads, one that floods" {
    export LINGERCLOSE_LINGER=10s LINGERCLOSE_DRAIN=10s LINGERCLOSE_IDLE=10s LINGERCLOSE_EXIT=10s wrote=1000
    LINGERCLOSE_IDLE=400ms lingered 380 700 peer port send=1 read silent
    [ "$(value end)" = idle ]
    LINGERCLOSE_IDLE=200ms LINGERCLOSE_DRAIN=700ms lingered 680 1000 peer port send=1 await=line read drip=100
    [ "$(value end)" = drain ]
    LINGERCLOSE_DRAIN=300ms lingered 280 600 peer port send=1 await=line read flood
    [ "$(value end)" = drain ]
    LINGERCLOSE_DRAIN_BYTES=1M lingered 0 300 peer port send=1 await=line read flood
    [ "$(value end)" = bytes ]
    wrote=1000000
    LINGERCLOSE_IDLE=100ms LINGERCLOSE_LINGER=400ms lingered 380 700 peer port send=1 silent
    [ "$(value end)" = linger ]
    # Each was bound by what it should be bound by: with the long bounds it is the peer's own end.
    lingered 180 1000 peer port send=1 await=line pause=200 read
    [ "$(value end)" = eof ]
}

@test "the process ends at once when nothing lingers" {
    plainly -- normal=100 go fds term
    at_most 100 "$(value exit_ms)"
    shim -- normal=100 silent=1 go fds=1 term
    all_complete 101
    value fds_ms
    at_most 100 "$(value exit_ms)"
}

@test "the process ends within LINGERCLOSE_EXIT while connections linger" {
    export LINGERCLOSE_IDLE=10s LINGERCLOSE_DRAIN=10s LINGERCLOSE_EXIT=500ms
    shim -- silent=50 normal=100 go term
    all_complete 150
    between 400 "$(value exit_ms)" 900
    # Without that bound it is IDLE; with no silent peer it is nothing.
    LINGERCLOSE_EXIT=5s LINGERCLOSE_IDLE=1s shim -- silent=50 normal=100 go term
    between 800 "$(value exit_ms)" 1500
    LINGERCLOSE_EXIT=0 shim -- silent=50 normal=100 go term
    between 0 "$(value exit_ms)" 100
    shim -- normal=100 go term
    between 0 "$(value exit_ms)" 200
}

@test "the thread is called lingerclose, blocks all signals, and is there only while something lingers" {
    plainly -- silent=1 go threads term
    [ "$(value threads)" = 1 ]
    shim -- silent=1 go threads count fds=1 alone threads term
    [ "$(value thread)" = lingerclose ]
    # Without SIGKILL and SIGSTOP, which nobody can block, and the two that glibc keeps for itself.
    [ $((0x$(value blocked) | 0x180000000)) = $((0xfffffffffffbfeff)) ]
    [ "$(value threads)" = 2 ]
    [ "$(value extra)" -ge 1 ]
    at_most 3000 "$(value alone_ms)"
    [ "$(last threads)" = 1 ]
}

@test "the thread's own descriptors go with it" {
    shim -- silent=1 go count fds=1 alone count term
    [ "$(value extra)" -ge 2 ]
    [ "$(last extra)" = 0 ]
}

@test "there is no thread and no descriptor before something lingers" {
    # Blocking connections linger where they are closed, and need none; the control are the others.
    shim -- silent=1 normal=20 go threads term
    [ "$(value threads)" = 2 ]
    shim blocking -- silent=1 normal=20 go threads fds term
    all_complete 21
    [ "$(value threads)" = 1 ]
    value fds_ms
}

@test "unshare(CLONE_NEWUSER) and setns, refused to processes with threads, work late" {
    [ "$(id -u)" = 0 ] || skip "setns needs root"
    export LINGERCLOSE_IDLE=300ms
    client=(peer port send=100 await=line pause=50 say=now fin read)
    for how in unshare setns; do
        plain late $how -- "${client[@]}"
        [ "$(value late)" = 0 ] || skip "$how does not work here at all: $(value late)"
        shimmed late $how -- "${client[@]}"
        [ "$(value late)" = 0 ]
        at_most 2000 "$(value after_ms)"
        whole 1000
    done
    shimmed late thread -- "${client[@]}"
    [ "$(value late)" = EINVAL ]
}

@test "where no thread can be had close does what it can, at once, and never fails" {
    export LINGERCLOSE_MODE=auto LINGERCLOSE_IDLE=2s
    kinds=(EAGAIN EPERM ENOSYS)
    # As another user, who must be able to get at the programs: not so in a checkout below a private directory.
    if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --clear-groups test -x "$bin/epoll-server"; then
        kinds+=(nproc)
    fi
    for kind in "${kinds[@]}"; do
        plain refuse "$kind" epoll-server -- visitors port silent=20 normal=100 go threads term
        [ "$(value rsts)" -ge 100 ]
        # A program that asks for one gets none.
        run "$bin/refuse" "$kind" "$bin/late" thread
        [[ $output = *pthread_create* ]]
        for i in 1 2 3 4 5; do
            shimmed refuse "$kind" epoll-server -- visitors port silent=20 normal=100 go threads fds=1 term
            all_complete 120
            [ "$(value threads)" = 1 ]
            if at_most 1000 "$(value longest_us)"; then
                break
            fi
            [ "$i" -lt 5 ]
        done
        [ "$(value fds_ms)" -lt 500 ]
        no_resets
    done
}

@test "LINGERCLOSE_MAX bounds the descriptors that linger; past it nothing is reset that had come" {
    export LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log
    # The control is the default.
    shim -- silent=60 go count term
    between 60 "$(value extra)" 63
    rm "$LINGERCLOSE_LOG"
    LINGERCLOSE_MAX=10 shim -- silent=60 go count term
    all_complete 60
    between 10 "$(value extra)" 13
    [ "$(grep -c 'why=max end=now' "$LINGERCLOSE_LOG")" = 50 ]
    no_resets
}

@test "accept finds a descriptor although 200 silent peers linger and the limit is 64" {
    # The control holds on to every connection that it has closed.
    plainly nofile=64 keep -- silent=100 bound=500 go term
    [ "$(value emfile)" -gt 0 ]
    shim nofile=64 -- silent=200 normal=500 go count fds=1 term
    all_complete 700
    [ "$(value emfile)" = 0 ]
    # The epoll set, and half of what the program's highest number leaves: it accepts as many at once as have come.
    between 2 "$(value extra)" 32
    value fds_ms
    no_resets
}

@test "a program that needs 40 of 64 descriptors at once gets them, whatever lingers" {
    forties=(silent=40 go silent=40 go silent=40 go silent=40 go)
    plainly nofile=64 hold=40 -- "${forties[@]}" term
    [ "$(value accepted)" = 160 ]
    [ "$(value emfile)" = 0 ]
    [ "$(value rsts)" = 160 ]
    shim nofile=64 hold=40 -- "${forties[@]}" fds=1 term
    [ "$(grep -c complete=40 <<<"$output")" = 4 ]
    [ "$(value closes)" = 160 ]
    [ "$(value emfile)" = 0 ]
    value fds_ms
    no_resets
}

@test "the thread of a realtime program is none: what it does may not hold up the loop" {
    need_command python3
    chrt -f 1 true 2>/dev/null || skip "SCHED_FIFO may not be had here"
    cat >"$BATS_TEST_TMPDIR/fifo.py" <<'END'
import os, socket, time
listening = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listening.getsockname())
if not os.fork():
    client.recv(1)
    os._exit(0)
client.close()
server, _ = listening.accept()
server.setblocking(False)
server.close()
def threads(): # the new one names itself first
    return {open("/proc/self/task/%s/comm" % t).read().strip(): os.sched_getscheduler(int(t)) for t in os.listdir("/proc/self/task")}
until = time.monotonic() + 5
while threads().get("lingerclose") != os.SCHED_OTHER and time.monotonic() < until:
    time.sleep(0.001)
for name, policy in threads().items():
    print("%s=%s" % (name, {os.SCHED_OTHER: "other", os.SCHED_FIFO: "fifo"}[policy]))
END
    run in_netns chrt -f 1 env LD_PRELOAD="$lib" python3 "$BATS_TEST_TMPDIR/fifo.py"
    echo "$output"
    [ "$(value python3)" = fifo ]
    [ "$(value lingerclose)" = other ]
}
