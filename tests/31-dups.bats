#!/usr/bin/env bats
# One connection on several descriptors and in processes that nobody announced.

load helper
load load

# dups CASE [OPTION...]: in a process of its own, and with a child that holds the connection too.
dups() {
    loaded_plain 20 5 20000 -- "$bin/dups" "$@"
    none_complete 20
    loaded_shimmed 50 5 20000 -- "$bin/dups" "$@"
    all_complete 50
    loaded_shimmed 50 5 20000 -- "$bin/dups" "$@" --child
    all_complete 50
}

# The control, and $race (200) connections at $at_a_time (5).
served() {
    loaded_plain 20 5 20000 -- "$@"
    none_complete 20
    loaded_shimmed "${race:-200}" "${at_a_time:-5}" 20000 -- "$@"
    all_complete "${race:-200}"
}

forks() {
    served "$bin/forks" "$@"
}

closes() {
    served "$bin/closes" "$@"
}

@test "dup2 and dup3 over the only descriptor are closes" {
    dups nothing
    dups nothing --end dup2
    dups nothing --end dup3
}

@test "the copy made by dup, dup2, dup3, F_DUPFD or F_DUPFD_CLOEXEC outlives the first descriptor" {
    dups dup
    dups dup2
    dups dup3
    dups dupfd
    dups dupfd-cloexec
}

@test "the first descriptor outlives its copy" {
    dups dup-second
}

@test "a copy that is the last one is let go of by dup2 or dup3 over it" {
    dups dup --end dup2
    dups dup --end dup3
}

@test "dup2 and dup3 over one of two descriptors leave the other alone" {
    dups dup2-over-second
    dups dup3-over-second
}

@test "dup2 over a copy of the same connection loses nothing" {
    dups dup2-over-a-dup-of-itself
}

@test "many copies, some closed and some put over: the last one is as good as the first" {
    dups several
}

@test "dup2 of a descriptor to itself changes nothing" {
    dups dup2-to-itself
}

@test "dup3 of a descriptor to itself is EINVAL and changes nothing" {
    dups dup3-to-itself
}

@test "dup2 and dup3 from a bad source leave their target alone" {
    dups bad-source
}

@test "dup3 with bad flags leaves its target alone" {
    dups bad-flags
}

@test "dup2 and dup3 onto a connection beyond a lowered limit leave it alone" {
    dups beyond-the-limit
}

@test "dup2 and F_DUPFD to a bad number leave their source alone" {
    dups bad-target
}

@test "copies made by syscall() are copies" {
    dups raw-dup
    dups raw-dup3
    dups raw-dupfd
}

@test "a copy taken by pidfd_getfd from the process itself is a copy" {
    dups getfd
    dups getfd-wrapped
}

@test "a process that passes a connection to itself keeps it" {
    dups passed-to-itself
}

@test "a connection passed by sendmmsg, by number, or at the second attempt, is passed" {
    local how
    for how in mmsg SYS_mmsg retry; do
        dups passed-to-itself --message "$how"
    done
}

@test "closing what a peek at a message brought does not end the session that is still in the message" {
    dups passed-to-itself --message peek
}

@test "a process that passes a copy of a connection has passed the connection" {
    dups copy-passed
}

@test "the highest descriptor that the kernel allows is one like any other" {
    dups highest
}

@test "fclose of a stream on a copy, where libc closes unseen, does not hurt" {
    dups hidden-close
}

@test "two threads that close the last two descriptors at once: one of them lingers" {
    race=3000 at_a_time=20 closes two-threads
}

@test "a hundred thousand other descriptors do not matter" {
    race=20 closes crowd
}

@test "a thread that forks all the time does not disturb one that closes" {
    race=1000 at_a_time=20 closes fork-in-another-thread
}

@test "a fork by syscall() is a fork" {
    forks raw-fork
    forks raw-fork --gate
    forks raw-clone
    forks raw-clone --gate
}

@test "_Fork is a fork" {
    forks underscore-fork
    forks underscore-fork --gate
}

@test "clone without CLONE_VM is a fork" {
    forks clone
    forks clone --gate
}

@test "a child that shares our memory and our descriptors, and ends, leaves our session alone" {
    closes clone-vm-files
}

@test "a child that shares our descriptors until it executes another program has our session there" {
    race=50 forks clone-files
    race=50 forks raw-clone-files
}

@test "daemon() in the middle of a reply: the child goes on with it" {
    forks daemon
    forks daemon --gate
}

@test "daemon() whose parent, which ends inside libc, is the last to let go" {
    forks daemon-race
}

@test "a child that only closes leaves its parent's session alone" {
    closes fork-close
}

@test "a vforked child that closes and ends leaves its parent's session alone" {
    closes vfork-close
    closes vfork-dup2
}

@test "a child that shares our memory by clone and answers after we have closed keeps its session" {
    loaded_plain 20 2 20000 -- "$bin/closes" clone-vm-runs
    none_complete 20
    loaded_shimmed 200 2 20000 -- "$bin/closes" clone-vm-runs
    [ "$(value short)" = 0 ] || complain "$(value short) of 200 sessions were cut short"
}

@test "a child that shares our memory by clone and closes leaves our session alone" {
    closes clone-vm
}

@test "a fork that no hook can see makes the real calls only" {
    closes asm-clone
}

@test "a connection taken by another process with pidfd_getfd is not shut down under its hands" {
    loaded_shimmed --junk 0 200 5 20000 -- "$bin/forks" taken
    all_complete 200
}

@test "a connection that comes while system() is about to make its child is not ended by that child" {
    # The control: without the shim between, but with what stands behind it.
    preload=$bin/amid.so shimmed amid -- peer port send=100 await=fin read
    cut 600000
    preload=$lib:$bin/amid.so shimmed amid -- peer port send=100 await=fin read
    whole 600000
}
