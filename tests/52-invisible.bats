#!/usr/bin/env bats
# What lingers in the background has numbers in the program's table. The program must not hit them by
# what programs do to numbers that they do not know, and must get a number that it asks for by name.
# In every case the lingering goes on and ends well, and nothing is left over.

load helper

setup() {
    export LINGERCLOSE_MODE=auto LINGERCLOSE_IDLE=2s
}

client=(peer port send=100 await=line await=fin say=go await=line send=100000 read)

# intrudes HOW: the program closes or takes what it can find while its connection lingers. It finds
# what it finds without us: nothing. The control has a copy of the connection there.
intrudes() {
    plain intruder "$1" keep -- peer port send=100 await=line say=go await=line read
    [ "$(value hit)" = "${expected:-1}" ] || complain "the control did not find its copy"
    plain intruder "$1" -- "${client[@]}"
    [ "$(value send_error)" = RESET ] && [ "$(value rsts)" = 1 ]
    result=$(grep '^server: same=' <<<"$output")
    [ "$result" = "server: same=1 hit=0 wrong=0" ]
    shimmed intruder "$1" -- "${client[@]}"
    whole 100000
    [ "$(value same)" = 1 ] || complain "the next open() got another number than without the shim"
    [ "$(value wrong)" = 0 ]
    [ "$(value left)" = 0 ] || complain "$(value left) sockets are left over"
}

# closes HOW: ... and no close succeeds.
closes() {
    intrudes "$1"
    [ "$(grep '^server: same=' <<<"$output")" = "$result" ]
}

@test "a loop that closes every number" {
    closes loop
}

@test "a loop of syscall(SYS_close)" {
    closes raw
}

@test "a walk through /proc/self/fd that closes what it finds" {
    closes walk
}

@test "closefrom" {
    expected=0 closes closefrom
}

@test "close_range" {
    expected=0 closes close_range
}

@test "syscall(SYS_close_range)" {
    expected=0 closes raw-range
}

@test "a forked child that closes every number" {
    expected=0 closes fork
}

@test "a vforked child that closes every number" {
    expected=0 closes vfork
}

@test "dup2 onto our numbers: the program gets them" {
    intrudes dup2
    [ "$(value hit)" -ge 1 ]
}

@test "dup3 onto our numbers: the program gets them" {
    intrudes dup3
    [ "$(value hit)" -ge 1 ]
}

@test "syscall(SYS_dup2) onto our numbers: the program gets them" {
    intrudes raw-dup2
    [ "$(value hit)" -ge 1 ]
}

@test "fcntl(F_DUPFD) from our numbers on gives free ones" {
    intrudes fcntl
    [ "$(value hit)" -ge 1 ]
}

# The shim's thread has a table of its own from then on: what it closes there is not closed in ours.
@test "unshare(CLONE_FILES) and close_range(CLOSE_RANGE_UNSHARE) while a connection lingers" {
    plain intruder unshare keep -- peer port send=100 await=line say=go await=line read
    [ "$(value left)" = 1 ]
    for how in unshare unshare-range; do
        plain intruder $how -- "${client[@]}"
        result=$(grep '^server: same=' <<<"$output")
        shimmed intruder $how -- "${client[@]}"
        whole 100000
        [ "$(grep '^server: same=' <<<"$output")" = "$result" ]
        [ "$(value left)" = 0 ]
    done
}

@test "an event loop whose numbers are taken by dup2 all the time loses no connection" {
    export LINGERCLOSE_IDLE=300ms
    plain epoll-server -- visitors port silent=10 normal=10 go term
    [ "$(value rsts)" = 20 ]
    # A number that a connection left and came back to was not taken by the thread's epoll set once in a few runs.
    for _ in 1 2 3 4 5; do
        shimmed epoll-server take -- visitors port silent=100 normal=2000 go fds=1 term
        [ "$(value complete)" = 2100 ]
        [ "$(value closes)" = 2100 ]
        [ "$(value taken)" -ge 2000 ]
        value fds_ms
        no_resets
    done
}

@test "a close that waits goes on to its end though another thread takes its connection's number again and again" {
    export LINGERCLOSE_MODE=sync
    corner moved
    [ "$(value taken)" = 0 ]
    [ "$(value refused)" = 1 ]
    corner moved LD_PRELOAD="$lib"
    [ "$(value ret)" = 0 ]
    [ "$(value taken)" -gt 0 ]
    [ "$(value refused)" = 0 ]
    [ "$(value end)" = EOF ]
    between 250 "$(value close_ms)" 1500
}

@test "the number of a connection that waits in close_range with others is busy: dup2 fails, and it lingers to its end" {
    export LINGERCLOSE_MODE=sync
    corner busy
    [ "$(value refused)" = 1 ]
    [ "$(value busy)" = 0 ]
    # Taken just when it begins to linger: it hung in about one of twelve.
    for _ in {1..25}; do
        corner busy LD_PRELOAD="$lib"
        [ "$(value ret)" = 0 ]
        [ "$(value busy)" = 1 ]
        [ "$(value refused)" = 0 ]
        [ "$(value end)" = EOF ]
    done
}

@test "what lingers leaves its descriptors to the program when that has no other left" {
    corner room
    local without
    without=$(value sockets)
    [ "$(value errno)" = EMFILE ]
    corner room LD_PRELOAD="$lib"
    [ "$(value errno)" = EMFILE ]
    # But for the epoll set.
    between $((without - 1)) "$(value sockets)" "$without"
}

@test "a program that takes the number of the thread's epoll set makes nobody spin" {
    corner taken
    [ "$(value taken)" = 0 ]
    between 0 "$(value cpu_ms)" 300
    corner taken LD_PRELOAD="$lib" LINGERCLOSE_IDLE=400ms
    [ "$(value taken)" = 1 ]
    between 0 "$(value cpu_ms)" 300
}

@test "a connection that an unnoticed child holds on to makes nobody spin when its lingering is over" {
    corner late
    between 0 "$(value cpu_ms)" 300
    corner late LD_PRELOAD="$lib" LINGERCLOSE_IDLE=400ms
    between 0 "$(value cpu_ms)" 300
}

@test "a signal's handler that does dup2 onto low numbers, while close waits for a peer that floods" {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_DRAIN=100ms EXCHANGE_BOUND=10
    plain meanwhile dup2 -- peer port flood=end
    for _ in {1..20}; do
        shimmed meanwhile dup2 -- peer port flood=end
        grep "^server: ret=0 signals=some" <<<"$output"
    done
}

@test "low numbers are the program's while close_range waits" {
    export LINGERCLOSE_MODE=sync LINGERCLOSE_IDLE=300ms
    plain meanwhile dup2-range -- peer port send=10 silent
    shimmed meanwhile dup2-range -- peer port send=10 silent
    grep "^server: ret=0 signals=some busy=0" <<<"$output"
}

# a python program, without the shim and with it: what it prints is $expected in both
both() {
    need_command python3
    local program=$1
    shift
    run python3 -c "$program" "$@"
    [ "$output" = "$expected" ] || complain "without: $output"
    run env LINGERCLOSE_LOG="$BATS_TEST_TMPDIR/log" LD_PRELOAD="$lib" python3 -c "$program" "$@"
    [ "$output" = "$expected" ] || complain "with: $output"
}

@test "dup2 onto the log's number: the program gets it, and the log goes on under another" {
    expected="b''"
    both '
import os, socket, sys
number = next((fd for fd in range(100, 20000) if os.path.exists("/proc/self/fd/%d" % fd) and
               os.readlink("/proc/self/fd/%d" % fd) == sys.argv[1]), 100)
reader, writer = os.pipe()
os.dup2(writer, number)
os.close(writer)
os.close(number)
print(os.read(reader, 1))
with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
    listener.accept()[0].close()
' "$BATS_TEST_TMPDIR/log"
    [ "$(grep -c 'how=close' "$BATS_TEST_TMPDIR/log")" -ge 1 ]
}

# What shutdown waits with is to be seen in /proc/self/fd; without the shim it does not wait.
@test "a child that is forked while another thread waits in shutdown has every number for itself" {
    expected="all"
    both '
import itertools, os, socket, sys, threading, time
with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
    connection = listener.accept()[0]
    sets = lambda: [fd for fd in itertools.chain(range(64), range(9990, 10010))
                    if os.path.exists("/proc/self/fd/%d" % fd)
                    and os.readlink("/proc/self/fd/%d" % fd) == "anon_inode:[eventpoll]"]
    thread = threading.Thread(target=connection.shutdown, args=(socket.SHUT_RDWR,))
    until = time.monotonic() + 5
    free = [fd for fd in range(64) if not os.path.exists("/proc/self/fd/%d" % fd)]
    thread.start()
    while thread.is_alive() and not sets() and time.monotonic() < until:
        pass
    free += [fd for fd in sets() if fd not in free]
    child = os.fork()
    if child == 0:
        mine = 0
        for fd in free:
            try:
                os.dup2(1, fd)
                os.close(fd)
                mine += 1
            except OSError:
                pass
        os._exit(mine)
    mine = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("all" if mine == len(free) else "%d of %d" % (mine, len(free)))
    thread.join()
'
}

@test "dup2 onto the log's number, which a lowered limit forbids by now, fails and leaves the log alone" {
    expected="EBADF EBADF"
    both '
import errno, os, resource, sys
number = next((fd for fd in range(100, 20000) if os.path.exists("/proc/self/fd/%d" % fd) and
               os.readlink("/proc/self/fd/%d" % fd) == sys.argv[1]), 9999)
resource.setrlimit(resource.RLIMIT_NOFILE, (150, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
def error_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]
print(error_of(os.dup2, 1, number), error_of(os.close, number))
' "$BATS_TEST_TMPDIR/log"
}
