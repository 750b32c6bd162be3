# shellcheck shell=bash disable=SC2154 # bats sets output and status
# For the tests of the ways out: `load ways`, after `load helper`.

# The lines of one side of the last exchange, without those that time or luck decides.
said() {
    grep "^$1: " <<<"$output" || true
}

# The server's exit status; `value exit` may be the client's.
exits_with() {
    said server | grep -qx "server: exit=$1" || complain "the server did not end with $1"
}

# as_plain COMMAND [ARG...]: prints and exits the same with the shim as without, and leaves it in $output.
as_plain() {
    local plainly status_plainly
    run "$@" 3>&-
    plainly=$output status_plainly=$status
    echo "--- plain: $* gave $status_plainly:"
    echo "$plainly"
    run env LD_PRELOAD="$lib" "$@" 3>&-
    echo "--- shim: gave $status:"
    echo "$output"
    [ "$status" = "$status_plainly" ] || complain "the exit status differs"
    [ "$output" = "$plainly" ] || complain "the output differs"
}

# same_server: what the server of the last plain exchange said is what it says now. Call it once
# after `plain` and once after `shimmed`.
same_server() {
    if [ -z "${server_plainly+set}" ]; then
        server_plainly=$(said server)
        return
    fi
    [ "$(said server)" = "$server_plainly" ] || complain "the server said something else without the shim"
    unset server_plainly
}

# arrives BYTES PROGRAM CASE: with a slow peer whose input is unread, that many and EOF, and the program saw the same as
# without the shim.
arrives() {
    plain "$2" "$3" -- peer port send=100 await=fin slow=20000:1
    cut "$1"
    same_server
    shimmed "$2" "$3" -- peer port send=100 await=fin slow=20000:1
    whole "$1"
    same_server
}
