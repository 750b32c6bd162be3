#!/usr/bin/env bats
# What a hostile local user can do: one who has taken a process of the family that forked from the program.

load helper

@test "a child that writes rubbish over the shared memory neither crashes its parent nor holds it up" {
    local fill
    # A parent that takes an index from that memory dies of it.
    preload=$debug_lib LINGERCLOSE_MUTANT=trusts-shared shimmed rubbish ones -- peer port send=100 read
    [ "$(value overwritten)" -gt 0 ]
    never alive <<<"$output"
    for fill in ones 1 2 3 4 5; do
        start=${EPOCHREALTIME/./}
        shimmed rubbish $fill -- peer port send=100 read
        [ "$(value overwritten)" -gt 0 ]
        grep -q alive <<<"$output"
        between 0 $(((${EPOCHREALTIME/./} - start) / 1000)) 10000
    done
}
