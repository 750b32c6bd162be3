#!/usr/bin/env bats
# Each rule of the holders' protocol, switched off in the debug build, loses or hurts connections; with
# all of them, under the same random delays, nothing happens.

load helper
load load

setup() {
    export SHIM=$debug_lib LINGERCLOSE_DELAY=300
}

# needed RULE SERVER [ARG...]
needed() {
    local mutant=$1
    shift
    loaded_shimmed "${race:-500}" 20 20000 -- "$@"
    all_complete "${race:-500}"
    export LINGERCLOSE_MUTANT=$mutant
    loaded_shimmed "${race:-500}" 20 20000 -- "$@"
    echo "mutant $mutant: $(value short) short, $(value reset) reset"
    [ "$(value complete)" -lt "${race:-500}" ]
}

@test "looking before leaving: two that close at once both find the other" {
    race=1000 needed look-first "$bin/models" scm
}

@test "one counter for all forks: a sibling's birth passes for a holder" {
    needed one-counter "$bin/models" fork
}

@test "promises read only after the locks: a child that settles in between is missed" {
    needed slots-after "$bin/models" double-fork
}

@test "nothing noted of what a parent had when it forked: the grandchild that it is making is missed" {
    needed had-nothing "$bin/models" double-fork
}

@test "a promise that is not told of a dup by another thread: the child that is being made is missed" {
    race=300 needed no-notes "$bin/models" renumber
}

@test "a child that trusts its memory of numbers which another thread moved during fork: it does not find its connection" {
    race=300 needed no-moved "$bin/models" renumber
}

@test "the same with numbers that were another socket's" {
    race=300 needed no-moved "$bin/models" replace
}

@test "no new lock after one of several dups was closed: others find nobody" {
    race=100 needed no-reregister "$bin/dups" dup --child
}

@test "no lock before a fork: the child finds nobody" {
    race=100 needed no-register "$bin/closes" fork-close
}

@test "a dup's close unannounced: others look while its process has no lock" {
    race=200 needed no-settle "$bin/models" shuffle
}
