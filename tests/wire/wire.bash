# shellcheck shell=bash disable=SC2154
# For tests/8?-*.bats: exchanges (helper.bash) over a TUN device, with captures that are kept where a test fails.
#
#   wire plain|shimmed SERVER [ARG...] <<SCRIPT    build/tests/server against wire/peer.py, which plays the script
#   link plain|shimmed LINK-WORD... -- SERVER [ARG...] -- CLIENT [ARG...]
#                                                  a client in another namespace, behind wire/link.py
#   lingers END BYTES MS SERVER-WORD... <<SCRIPT   wire, in both modes: it ends so, after MS, with BYTES discarded

wire=$top/tests/wire
# The device comes with the peer; the server binds before. Where it may (SCHED_FIFO) all of it has the processor when it
# wants it: the times are those of the wire, not of a busy machine.
within=(sh -c 'ip address add 10.9.8.1 dev lo && exec "$@"' sh)
! chrt -f 1 true 2>/dev/null || within+=(chrt -f 1)

need_tun() {
    need_netns
    need_command ip
    need_command python3
    in_netns ip tuntap add dev wire0 mode tun 2>/dev/null ||
        skip "no TUN device can be made here: /dev/net/tun, as root"
}

on_wire() {
    local how=$1
    shift
    captures=$((captures + 1))
    export CAPTURE=$capture.$captures.pcap
    ADDRESS=10.9.8.1 "$how" "$@"
    grep -qx 'client: exit=0' <<<"$output" || complain 'the peer met something else: its line "wire: line N, ..." says what'
}

wire() {
    local how=$1 script=$BATS_TEST_TMPDIR/script
    shift
    cat >"$script"
    on_wire "$how" "$@" -- "$python" "$wire/peer.py" port "$script"
}

link() {
    local how=$1 words=()
    shift
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    local server=()
    shift
    while [ "$1" != -- ]; do
        server+=("$1")
        shift
    done
    on_wire "$how" "${server[@]}" -- "$python" "$wire/link.py" "${words[@]}" "$@"
}

# Where pyenv finds it each time that takes long.
setup_file() {
    python=$(python3 -c 'import sys; print(sys.executable)') || python=python3 # need_tun says that it is not there
    export python
}

setup() {
    local name=${BATS_TEST_DESCRIPTION//[^[:alnum:]]/-}
    captures=0 capture=$build/captures/${name:0:100}
    rm -f "$capture".*.pcap
    need_tun
    mkdir -p "${capture%/*}"
    export LINGERCLOSE_LINGER=10s LINGERCLOSE_DRAIN=10s LINGERCLOSE_IDLE=10s LINGERCLOSE_EXIT=20s LINGERCLOSE_LOG=stderr
}

# A test that has failed leaves its captures, and names the last one.
teardown() {
    if [ -n "${BATS_TEST_COMPLETED-}" ]; then
        rm -f "$capture".*.pcap
    else
        echo "its packets: ${CAPTURE-none}"
    fi
}

lingers() {
    local end=$1 bytes=$2 ms=$3 script mode
    shift 3
    script=$(cat)
    for mode in sync background; do
        LINGERCLOSE_MODE=$mode wire shimmed server "$@" <<<"$script"
        [ "$(value end)" = "$end" ] || complain "it ended by $(value end), not by $end"
        [ "$(value bytes)" = "$bytes" ] || complain "$(value bytes) bytes were discarded, not $bytes"
        [ "$(value ret)" = 0 ]
        case $mode in
        sync) between $((ms - 20)) "$(value close_ms)" $((ms + 300)) ;;
        background) between 0 "$(value close_ms)" 100 ;;
        esac
    done
}

# The control: 1,000 bytes, close, and ten bytes from the peer.
late_input_resets() {
    wire plain server write=1000 close <<'END'
            > P. 1:1001(1000) ack 1
            > F. 1001:1001(0) ack 1
          0 ! end
        100 < P. 1:11(10) ack 1
            > R 1:1(0)
        200
END
}
