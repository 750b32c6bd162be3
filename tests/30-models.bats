#!/usr/bin/env bats
# Every way in which processes share a connection. The peer of each connection leaves junk unread at
# the server; whichever process lets go last has to linger, and no other may.

load helper
load load

# model NAME [OPTION...]: the control; one connection; a race of $race (1,000) at 20 at a time; late
# junk, which arrives while the handler closes and after that.
model() {
    loaded_plain 20 5 20000 -- "$bin/models" "$@"
    none_complete 20
    loaded_plain --junk 0 --late 3000 20 5 20000 -- "$bin/models" "$@"
    [ "$(value rsts)" -gt 0 ]

    loaded_shimmed 1 1 20000 -- "$bin/models" "$@"
    all_complete 1
    loaded_shimmed "${race:-1000}" 20 20000 -- "$bin/models" "$@"
    all_complete "${race:-1000}"
    loaded_shimmed --late 3000 100 20 20000 -- "$bin/models" "$@"
    all_complete 100
}

# session NAME [OPTION...]: the handler reads the request only after the other process has closed its
# own. Somebody who drains or shuts down what is not his alone leaves nothing to answer.
session() {
    loaded_plain 20 5 20000 -- "$bin/models" "$@" --gate
    none_complete 20
    loaded_shimmed 100 20 20000 -- "$bin/models" "$@" --gate
    all_complete 100
}

@test "an iterative server" {
    model iterative
}

@test "a thread for each connection" {
    model thread
}

@test "a forked child for each connection, closed by the parent at once" {
    model fork
    session fork
}

@test "a forked child that executes a handler with the connection on 0, 1 and 2" {
    model fork-exec
    session fork-exec
}

@test "a vforked child that executes a handler" {
    model vfork-exec
    session vfork-exec
}

@test "a handler started by posix_spawn with file actions" {
    model posix-spawn
    session posix-spawn
    race=200 model posix-spawn --cloexec
}

@test "a handler, by whichever of the calls that execute and spawn it is begun" {
    local how
    for how in execvp execvpe fexecve execveat SYS_execveat execle; do
        loaded_plain 5 5 20000 -- "$bin/models" fork-exec --exec "$how"
        none_complete 5
        loaded_shimmed 50 10 20000 -- "$bin/models" fork-exec --exec "$how"
        all_complete 50
    done
    loaded_plain 5 5 20000 -- "$bin/models" posix-spawn --exec posix_spawnp
    none_complete 5
    loaded_shimmed 50 10 20000 -- "$bin/models" posix-spawn --exec posix_spawnp
    all_complete 50
}

@test "a shell on 0, 1 and 2 whose children come and go before the reply" {
    race=100 model sh-handler
    session sh-handler
}

@test "system() while the connection is open" {
    race=300 model system
}

@test "system() in many threads while close-on-exec connections are open" {
    race=300 model system-threads --cloexec
}

@test "system() in many threads while connections are open that its children inherit" {
    race=300 model system-threads
}

@test "posix_spawn in many threads while connections are open that its children inherit" {
    race=300 model spawn-threads
}

@test "popen() while the connection is open" {
    race=300 model popen
}

@test "workers that accept from one listener" {
    model prefork
}

@test "workers and their parent accept from one listener" {
    model prefork-parent
}

@test "connections passed to a worker, closed by the sender at once" {
    model scm
    session scm
}

@test "connections passed to a worker, kept by the sender until the worker has closed" {
    model scm-keep
}

@test "connections passed to a program of its own, closed by the sender at once" {
    race=2500 model scm --foreign
    session scm --foreign
}

@test "connections passed to a program of its own, kept by the sender until it has closed" {
    race=2500 model scm-keep --foreign
}

@test "connections passed to another program, which may close before the sender does" {
    model scm-stranger
}

@test "a grandchild answers, its parent and grandparent close at once" {
    model double-fork
    session double-fork
}

@test "a monitor keeps the connection, one child ends with it open, the next one answers" {
    model privsep
}

@test "a forked child shuffles its descriptors while the parent closes" {
    model shuffle
}

@test "a child that changed its user and its root directory answers" {
    [ "$(id -u)" = 0 ] || skip "setuid and chroot need root"
    model setuid-chroot
    session setuid-chroot
}

@test "a child answers after its parent has died with the connection open" {
    model orphan
}
