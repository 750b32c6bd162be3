#!/usr/bin/env bats
# Where the kernel gives us no locks, nobody can tell whether a connection that was held across a fork
# is ours alone: it is closed plainly. What was never shared needs no lock.

load helper
load load

setup() {
    "$bin/nolock" F_SETLK EPERM true || skip "no seccomp filter can be installed here"
    refused F_SETLK EPERM
}

refused() {
    export LAUNCH="$bin/nolock $1 $2"
}

# Without junk a plain close resets nothing. A process that takes itself for the last one and drains
# or shuts down leaves a short reply; one that goes on to use the connection after that is hurt.
unharmed() {
    loaded_shimmed --junk 0 "${n:-50}" 10 20000 -- "$@"
    all_complete "${n:-50}"
}

every_session_unharmed() {
    unharmed "$bin/models" fork --gate
    unharmed "$bin/models" double-fork --gate
    unharmed "$bin/models" fork-exec --gate
    unharmed "$bin/models" vfork-exec --gate
    unharmed "$bin/models" posix-spawn --gate
    unharmed "$bin/models" sh-handler --gate
    unharmed "$bin/models" scm --gate
    unharmed "$bin/models" scm-keep
    unharmed "$bin/models" privsep
    unharmed "$bin/models" shuffle
    unharmed "$bin/closes" fork-close
    unharmed "$bin/closes" vfork-close
    unharmed "$bin/dups" dup --child
}

@test "the filter does what it says: locks are refused, other fcntl() are not" {
    need_command python3
    run "$bin/nolock" F_SETLK EACCES python3 -c '
import fcntl, os
fd = os.open("/dev/null", os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_GETFL)
try: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except PermissionError: print("refused")'
    [ "$output" = refused ]
}

@test "locks refused: a connection that was held across a fork is closed plainly" {
    loaded_plain 50 10 20000 -- "$bin/models" fork
    none_complete 50
    loaded_shimmed 50 10 20000 -- "$bin/models" fork
    none_complete 50
}

@test "locks refused with EPERM: no session is hurt" {
    every_session_unharmed
}

@test "locks refused with EACCES, as a lock that another holds: no session is hurt" {
    refused F_SETLK EACCES
    every_session_unharmed
}

@test "locks refused with ENOLCK: no session is hurt" {
    refused F_SETLK ENOLCK
    every_session_unharmed
}

@test "looks refused: no session is hurt" {
    refused F_GETLK EINVAL
    n=10 every_session_unharmed
}

@test "locks refused: connections that were never shared linger as ever" {
    loaded_plain 50 10 20000 -- "$bin/models" thread
    none_complete 50
    loaded_shimmed 200 20 20000 -- "$bin/models" iterative
    all_complete 200
    loaded_shimmed 200 20 20000 -- "$bin/models" thread
    all_complete 200
    loaded_shimmed 200 20 20000 -- "$bin/models" prefork
    all_complete 200
    loaded_shimmed 50 5 20000 -- "$bin/dups" several
    all_complete 50
}
