#!/usr/bin/env bats
# The laws of the hooks: what the program can observe of close stays as it was.

load helper

# Where descriptors are counted right after the close, nothing may linger behind it.
now() {
    LINGERCLOSE_MODE=sync shimmed "$@"
}

@test "1,000 threads closing at once: every peer reads all, no descriptor is left over" {
    plain threads 1000 -- crowd port 1000 20000
    [ "$(value reset)" -gt 900 ]
    [ "$(value good)" = 1000 ]
    now threads 1000 -- crowd port 1000 20000
    [ "$(value whole)" = 1000 ]
    [ "$(value reset)" = 0 ]
    [ "$(value good)" = 1000 ]
    [ "$(value more)" = 0 ]
    no_aborts
}

@test "two threads closing the same number at once: one succeeds, the other gets EBADF" {
    plain threads 200 twice -- crowd port 200 20000
    [ "$(value good)" = 200 ]
    [ "$(value bad)" = 200 ]
    now threads 200 twice -- crowd port 200 20000
    [ "$(value good)" = 200 ]
    [ "$(value bad)" = 200 ]
    [ "$(value more)" = 0 ]
    [ "$(value whole)" = 200 ]
    no_aborts
}

@test "close in a signal handler lingers, whatever the signal interrupted" {
    plain insignal -- peer port send=100 await=fin read
    cut 1000000
    shimmed insignal -- peer port send=100 await=fin read
    whole 1000000
    [ "$(value ret)" = 0 ]
    [ "$(value errno)" = 77 ]
}

@test "EINTR storms: signals every millisecond lose no byte of the reply" {
    plain server await write=1000000 storm close -- peer port send=100 slow=20000:4
    cut 1000000
    shimmed server await write=1000000 storm errno=77 close -- peer port send=100 slow=20000:4
    whole 1000000
    [ "$(value ret)" = 0 ]
    [ "$(value errno)" = 77 ]
}

@test "deferred cancellation before close is as without the shim, and leaks no descriptor" {
    plain cancel before -- peer port send=1 read
    expected=$(grep '^server: end=' <<<"$output")
    now cancel before -- peer port send=1 read
    [ "$(grep '^server: end=' <<<"$output")" = "$expected" ]
    [ "$(value end)" = cancelled ]
}

@test "deferred cancellation in the middle of lingering leaks no descriptor and loses no byte" {
    plain cancel amid -- peer port send=1 await=fin say=now read
    [ "$(value rsts)" = 1 ]
    [ "$(value more)" = 0 ]
    now cancel amid -- peer port send=1 await=fin say=now pause=50 read
    grep "^server: end=cancelled more=0 number=free" <<<"$output"
    grep "^client: bytes=1000 end=EOF" <<<"$output"
    no_resets
}

@test "close before our constructor is the bare system call" {
    need_netns
    local preload
    expected="early: file=0,77 bad=-1,9 fclose=0 connection=0 more=0"
    run in_netns env LD_PRELOAD="$bin/early.so" "$bin/counters"
    echo "$output"
    [ "${lines[0]}" = "$expected" ]
    [ "$(value rsts)" = 1 ]
    # Behind the shim in the list it comes first, before the shim's constructor.
    preload=$lib:$bin/early.so
    run in_netns env LD_DEBUG=files LD_PRELOAD="$preload" "$bin/counters"
    order=$(grep -o 'calling init: .*/\(early\|liblingerclose\).so' <<<"$output" | sed 's/.*\///' | tr '\n' ' ')
    echo "order: $order"
    [ "$order" = "early.so liblingerclose.so " ]
    run in_netns env LD_PRELOAD="$preload" "$bin/counters"
    echo "$output"
    [ "$status" = 0 ]
    [ "${lines[0]}" = "$expected" ]
    # In front of it, it comes second, and its connection is closed gently.
    run in_netns env LINGERCLOSE_IDLE=50ms LD_PRELOAD="$bin/early.so:$lib" "$bin/counters"
    echo "$output"
    [ "${lines[0]}" = "$expected" ]
    [ "$(value rsts)" = 0 ]
}

@test "before our constructor every other call is the bare system call as well" {
    need_netns
    run in_netns env LD_PRELOAD="$bin/bare.so" "$bin/counters"
    echo "$output"
    without=$(grep -v ^kernel <<<"$output")
    [ "$(grep -c ', errno [0-9]*$' <<<"$without")" -gt 20 ]
    grep -qx "vfork's child ended with 3" <<<"$without"
    run in_netns env LD_PRELOAD="$lib:$bin/bare.so" "$bin/counters"
    echo "$output"
    [ "$(grep -v ^kernel <<<"$output")" = "$without" ]
}

@test "close after our destructor lingers as before" {
    preload=$bin/late.so shimmed server await write=1000000 -- peer port send=100 await=fin read
    cut 1000000
    preload=$lib:$bin/late.so shimmed server await write=1000000 -- peer port send=100 await=fin read
    grep "^server: late: closed=[1-9]" <<<"$output"
    whole 1000000
}

@test "another preload's close is called, whichever of the two comes first" {
    local server=(server await write=1000000 close) peer=(peer port send=100 await=fin read)
    preload=$bin/counting.so shimmed "${server[@]}" -- "${peer[@]}"
    grep "^server: counting: some" <<<"$output"
    cut 1000000
    preload=$lib:$bin/counting.so shimmed "${server[@]}" -- "${peer[@]}"
    grep "^server: counting: some" <<<"$output"
    whole 1000000
    # In front of us it calls the kernel directly: nothing for us to see, nothing to break.
    preload=$bin/counting.so:$lib shimmed "${server[@]}" -- "${peer[@]}"
    grep "^server: counting: some" <<<"$output"
    [ "$(value ret)" = 0 ]
}

@test "with no descriptor left the connection lingers in place" {
    plain server await write=1000000 fill errno=77 close -- peer port send=100 await=fin read
    cut 1000000
    shimmed server await write=1000000 fill errno=77 close -- peer port send=100 await=fin read
    whole 1000000
    [ "$(value ret)" = 0 ]
    [ "$(value errno)" = 77 ]
}

@test "a program that may have little address space lingers all the same" {
    need_command prlimit
    plain prlimit --as=150000000 server await write=1000000 close -- peer port send=100 await=fin read
    cut 1000000
    shimmed prlimit --as=150000000 server await write=1000000 close -- peer port send=100 await=fin read
    whole 1000000
}

@test "an event loop that may have little address space lingers all the same" {
    need_command prlimit
    plain prlimit --as=150000000 server await write=1000000 nonblock close await=line -- \
        peer port send=100 await=fin send=1000 read say=done
    [ "$(value bytes)" -lt 1000000 ]
    LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log shimmed prlimit --as=150000000 server await write=1000000 nonblock close await=line -- \
        peer port send=100 await=fin send=1000 read say=done
    whole 1000000
    no_resets
    grep -q 'decided=linger why=always end=eof bytes=1100 ' "$BATS_TEST_TMPDIR/log"
}

@test "another thread in epoll_wait sees no event for the number after the close" {
    plain phantom dup -- peer port await=fin send=100 say=sent read
    [ "$(value events)" = some ]
    plain phantom -- peer port await=fin send=100 say=sent read
    [ "$(value events)" = none ]
    shimmed phantom -- peer port await=fin send=100 say=sent pause=100 read
    [ "$(value events)" = none ]
    whole 1000
}

@test "a connection with O_ASYNC raises no SIGIO after the close" {
    plain phantom dup async -- peer port await=fin send=100 say=sent read
    [ "$(value signals)" = some ]
    plain phantom async -- peer port await=fin send=100 say=sent read
    [ "$(value signals)" = none ]
    shimmed phantom async -- peer port await=fin send=100 say=sent pause=100 read
    [ "$(value signals)" = none ]
    whole 1000
}

@test "a program that closes every number it does not know gets EBADF for ours, and we linger on" {
    plain prowl -- peer port send=100 await=fin say=now await=line read
    cut 1000000
    expected=$(grep '^server: closed=' <<<"$output")
    [ "$expected" = "server: closed=0 wrong=0 same=1" ]
    LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/log shimmed prowl -- \
        peer port send=100 await=fin say=now await=line read
    [ "$(grep '^server: closed=' <<<"$output")" = "$expected" ]
    whole 1000000
    [ "$(wc -l <"$BATS_TEST_TMPDIR/log")" = 1 ]
}

@test "a child that execs while a connection lingers finds no descriptor of ours" {
    plain childexec -- peer port send=100 await=line await=fin say=now await=line await=line read
    grep "^server: before=1" <<<"$output"
    grep "^server: amid=0" <<<"$output"
    cut 1000000
    shimmed childexec -- peer port send=100 await=line await=fin say=now await=line await=line read
    grep "^server: before=1" <<<"$output"
    grep "^server: amid=0" <<<"$output"
    whole 1000000
}

@test "a shell without descriptors to give (ulimit -n 0) sees its vforked command fail as without the shim" {
    need_command dash
    run timeout 10 dash -c 'ulimit -S -n 0; /bin/true; echo $?'
    [ "${lines[-1]}" = 127 ]
    run timeout 10 env LD_PRELOAD="$lib" dash -c 'ulimit -S -n 0; /bin/true; echo $?'
    [ "${lines[-1]}" = 127 ]
}

@test "a thread that is cancelled while its vforked child is on the way to exec is not cancelled in the child" {
    corner vfork
    [ "$output" = "cleanup=none status=0" ]
    corner vfork LD_PRELOAD="$lib"
    [ "$output" = "cleanup=none status=0" ]
}

@test "a control message that claims to be longer than its buffer is the kernel's to refuse" {
    corner cmsg
    [ "$output" = "ret=-1 error=EINVAL" ]
    corner cmsg LD_PRELOAD="$lib"
    [ "$output" = "ret=-1 error=EINVAL" ]
}
