# For the tests by load: `load load`, after `load helper`.
#
#   loaded_plain [LOAD-OPTION...] TOTAL CONCURRENCY BYTES -- SERVER [ARG...]     without the shim
#   loaded_shimmed ...                                                           with it
#
# Both leave the one line of tests/load.c in $output.

loaded_plain() {
    need_netns
    echo "--- plain: $*"
    run env -u SHIM "$bin/netns" "$top/tests/loaded" "$@" 3>&-
    echo "$output"
    [ "$status" -eq 0 ]
}

loaded_shimmed() {
    need_netns
    echo "--- shim: $*"
    run env SHIM="${SHIM-$lib}" "$bin/netns" "$top/tests/loaded" "$@" 3>&-
    echo "$output"
    [ "$status" -eq 0 ]
}

# Each of N connections was answered completely, ended with EOF, and is gone; no RST was sent.
all_complete() {
    [ "$(value complete)" = "$1" ] || complain "$(value complete) of $1 connections are complete"
    no_resets
    [ "$(value left)" = 0 ] || complain "$(value left) connections are still open"
}

# None of N connections got its reply and EOF: a RST ended each.
none_complete() {
    [ "$(value complete)" = 0 ] || complain "$(value complete) of $1 connections are complete"
    [ "$(value rsts)" -ge "$1" ] || complain "$(value rsts) RSTs were sent for $1 connections"
}
