#!/bin/sh
# The system calls of one close, in their order, by strace: for each kind of descriptor plain, by the same lingering written
# by hand (where there is any), and with the shim. tests/bench/syscalls has what is expected; tests/57-system-calls.bats
# compares. After a change that is meant to be:
#
#   sh tests/bench/syscalls.sh >tests/bench/syscalls && git diff tests/bench/syscalls
#
# What hangs on the moment is left out: tcp-waiting is in sync mode (in auto, a wait of 10 ms is worth a question to the
# kernel: is the other end in this very program?), and of an event loop it is what the program's thread does; [epoll_ctl]
# is needed where the shim's own thread is asleep, and not where it naps with others.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/tests
lib=${SHIM:-$top/build/liblingerclose.so}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in $(env | sed -n 's/^\(LINGERCLOSE[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done

# one KIND plain|hand LABEL [LIBRARY]: all closes of a server must have done the same, but for its first, which may have a
# thread to make
one() {
    mode=auto
    [ "$1" != tcp-waiting ] || mode=sync
    "$bin/netns" "$bin/bench/kinds" calls "$1" "$2" strace -E LINGERCLOSE_MODE=$mode -o "$work/trace" ${4:+-E LD_PRELOAD="$4"}
    awk -v title="$1 $3" '
        /^write\(-1, "mark"/ {
            on = !on
            if (!on) {
                if (title == "tcp-event-loop shim")
                    sub(/( epoll_ctl)?$/, " [epoll_ctl]", calls)
                if (++closes > 2 && calls != second) {
                    print title ": one close did" calls ", another" second >"/dev/stderr"
                    failed = 1
                }
                second = calls
            }
            calls = ""
            next
        }
        on && /^[a-z]/ { calls = calls " " substr($0, 1, index($0, "(") - 1) }
        END {
            if (closes < 3)
                print title ": strace saw too few closes" >"/dev/stderr"
            print title ":" second
            exit failed || closes < 3
        }' "$work/trace"
}

[ $# -gt 0 ] || set -- file pipe udp unix tcp-finished tcp-waiting tcp-event-loop tcp-shared
for kind in "$@"; do
    one "$kind" plain plain
    case $kind in tcp-finished | tcp-waiting) one "$kind" hand 'by hand' ;; esac
    one "$kind" plain shim "$lib"
done
