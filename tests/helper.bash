# shellcheck shell=bash disable=SC2154,SC2015 # bats sets output and status; complain is meant for both
# Shared by every tests/*.bats: `load helper`.
#
#   plain SERVER [ARG...] -- CLIENT [ARG...]      one exchange without the shim: the control
#   shimmed SERVER [ARG...] -- CLIENT [ARG...]    the same with the shim in the program under test
#                                                 (or with the LD_PRELOAD that $preload says)
#
# Both run build/tests/exchange in a network namespace of its own and leave its lines in $output:
#   server: ...            every line that the server printed after "port N"
#   client: bytes=N end=EOF|RESET|... ms=N
#   server: exit=N         (and client: exit=N)
#   kernel: rsts=N abort_on_close=N abort_on_data=N
# "port" among the client's arguments is replaced by the server's port.

top=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
# TEST_BUILD: the same tests of what was built for another architecture; TEST_LIB: the preload then, which
# has $LIB in it where both have a part (tests/70-i386.bats); TEST_DEBUG_LIB: and the debug build (tests/check-coverage)
build=${TEST_BUILD:-$top/build}
bin=$build/tests
lib=${TEST_LIB:-$build/liblingerclose.so}
debug_lib=${TEST_DEBUG_LIB:-$build/debug/liblingerclose.so}
export top bin lib debug_lib

# No test may depend on how the suite itself was started.
unset LD_PRELOAD "${!LINGERCLOSE@}"
# But for the mode that tests/check-modes asks for; a test that is about one mode sets it itself.
[ -z "${MODE-}" ] || export LINGERCLOSE_MODE=$MODE

# Words of a command that plain and shimmed put before exchange, in its namespace.
within=()

# Runs a command in a fresh network namespace with lo up and 8 MB socket buffers.
in_netns() {
    "$bin/netns" "$@"
}

need_netns() {
    "$bin/netns" true 2>/dev/null || skip "no network namespace of its own can be made here"
}

# In a chroot, for one, there is none.
need_mounts() {
    unshare -m true 2>/dev/null || skip "no mount namespace of its own can be made here"
}

need_command() {
    command -v "$1" >/dev/null || skip "$1 is not installed"
}

need_mptcp() {
    [ "$(in_netns cat /proc/sys/net/mptcp/enabled 2>/dev/null)" = 1 ] || skip "this kernel has no MPTCP"
}

# Runs a command in its own namespace, then prints the kernel's counters there.
counted() {
    # shellcheck disable=SC2016 # the inner shell's
    in_netns sh -c '"$@"; code=$?; "$0"; exit $code' "$bin/counters" "$@"
}

plain() {
    need_netns
    echo "--- plain: $*"
    PATH=$bin:$PATH run env -u SHIM netns "${within[@]}" exchange "$@" 3>&-
    echo "$output"
    [ "$status" -eq 0 ]
}

shimmed() {
    need_netns
    echo "--- shim: $*"
    PATH=$bin:$PATH run env SHIM="${preload:-$lib}" netns "${within[@]}" exchange "$@" 3>&-
    echo "$output"
    [ "$status" -eq 0 ]
}

# corner CASE [VARIABLE=VALUE...]: build/tests/corners; with LD_PRELOAD among these, under the shim
corner() {
    need_netns
    echo "--- corner: $*"
    run in_netns env "${@:2}" "$bin/corners" "$1"
    echo "$output"
    [ "$status" != 77 ] || skip "it cannot be had on this architecture"
    [ "$status" -eq 0 ]
}

# The value of the first NAME=VALUE in $output; what a line of the log says comes last.
value() {
    local word
    for word in $(grep -v '^time=' <<<"$output") $output; do
        case $word in "$1"=*)
            echo "${word#*=}"
            return
            ;;
        esac
    done
    echo "nothing printed $1=" >&2
    return 1
}

# No RST was sent, but for one that harms nobody: a peer that closes in the very moment when its
# delayed acknowledgement of our FIN is due (40 ms) may send that once more afterwards; our TIME_WAIT
# answers, and the peer, gone by now, sends a RST. Lingering written by hand has that too; all data
# was read long before. Nothing aborted then, and no connection was reset in the middle (EstabResets).
no_resets() {
    [ "$(value rsts)" = 0 ] || [ "$(value estab_resets)" = 0 ] || complain "a RST was sent"
    no_aborts
}

no_aborts() {
    [ "$(value abort_on_close)" = 0 ] || complain "the kernel aborted on close"
    [ "$(value abort_on_data)" = 0 ] || complain "the kernel aborted on data"
}

# The peer read all N bytes and then EOF, and could send.
complete() {
    [ "$(value bytes)" = "$1" ] || complain "the peer read $(value bytes) bytes of $1"
    [ "$(value end)" = EOF ] || complain "the peer's reading ended with $(value end)"
    [ "$(value send_error)" = none ] || complain "the peer could not send: $(value send_error)"
}

# And the kernel sent no RST.
whole() {
    complete "$1"
    no_resets
}

# The peer lost data: fewer than N bytes, then a reset, and the kernel counted it.
cut() {
    [ "$(value bytes)" -lt "$1" ] || complain "the peer read all of $1 bytes"
    [ "$(value end)" = RESET ] || complain "the peer's reading ended with $(value end)"
    [ "$(value rsts)" -gt 0 ] || complain "no RST was sent"
}

# between LOW VALUE HIGH
between() {
    [ "$1" -le "$2" ] && [ "$2" -le "$3" ] || complain "$2 is not within $1..$3"
}

# never PATTERN...: grep finds nothing in its input (a bare ! would not fail a bats test)
never() {
    if grep "$@"; then
        complain "found what must not be there"
    fi
}

complain() {
    echo "$*"
    return 1
}
