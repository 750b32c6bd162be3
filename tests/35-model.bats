#!/usr/bin/env bats
# The protocol of the holders, checked in every order of its steps: tests/model/holders.pml.

load helper

setup() {
    need_command spin
    need_command gcc
    cd "$BATS_TEST_TMPDIR" || return
}

# explore -D...: every state of the model so defined; spin prints how many errors it found.
explore() {
    spin "$@" -a "$top/tests/model/holders.pml" && gcc -w "$optimise" -DSAFETY -DCOLLAPSE -o pan pan.c || return
    run ./pan -m100000
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output != *"max search depth too small"* ]]
}

sound() {
    optimise=-O2 explore "$@"
    [[ $output == *"errors: 0"* && $output != *"not completed"* ]]
}

# without RULE ASSERTION: with the rule switched off the assertion fails. It would not if the model
# could not reach the states that the rule is for.
without() {
    optimise=-O0 explore "-DPROCESSES=${PROCESSES:-3}" "-D$1" ${3+"$3"}
    [[ $output == *"assertion violated"*"$2"* ]]
}

lost='((references>0)||lingered)'
hurt='(held|| !(used_by_other))'

@test "three processes and a second thread: nothing is lost and nobody is hurt" {
    sound -DPROCESSES=3 -DTHREAD
}

@test "four processes that fork and dup: nothing is lost and nobody is hurt" {
    sound -DPROCESSES=4 -DPASSES=0
}

@test "a process receives the connection while another thread of it forks: nothing is lost and nobody is hurt" {
    sound -DPROCESSES=4 -DRECEIVER
}

@test "looking before leaving loses a connection" {
    without LOOK_FIRST "$lost"
}

@test "one counter for all forks loses a connection" {
    without ONE_COUNTER "$lost"
}

@test "reading the promises only after the locks hurts a session" {
    without SLOTS_AFTER "$hurt"
}

@test "not noticing a new promise between the two readings hurts a session" {
    without NO_SECOND "$hurt"
}

@test "no new lock after one of several dups was closed hurts a session" {
    without NO_REREGISTER "$hurt"
}

@test "no lock before fork hurts a session" {
    without NO_REGISTER "$hurt"
}

@test "not announcing the close of a dup hurts a session" {
    without NO_SETTLE "$hurt"
}

@test "not announcing a connection that is being passed hurts a session" {
    without NO_INFLIGHT "$hurt"
}

@test "no lock on receipt hurts a session" {
    without NO_RECEIPT "$hurt"
}

@test "another thread's fork that locks again what has left loses a connection" {
    without RELOCK "$lost" -DTHREAD
}

@test "a child that counts before it is forked loses a connection" {
    without OWN_AT_ONCE "$lost" -DTHREAD
}

@test "a promise that tells nothing of what its maker had hurts a session" {
    PROCESSES=4 without HAD_NOTHING "$hurt" -DPASSES=0
}

@test "a connection received while a fork is promised, and not added to the promise, hurts a session" {
    PROCESSES=4 without NO_ANY "$hurt" -DRECEIVER
}
