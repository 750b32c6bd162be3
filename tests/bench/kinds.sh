#!/bin/sh
# What one close() costs, by the kind of descriptor: processor time without the shim, by the same lingering written into the
# program by hand, and with the shim; by turns in one run, each 64 at a time. And its system calls, by strace.
#
#   ROUNDS=31 sh tests/bench/kinds.sh
set -eu
# shellcheck source=tests/bench/figures.sh
. "$(dirname "$0")/figures.sh"
rounds=${ROUNDS:-31}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$bin/netns" "$bin/bench/kinds" compare "$rounds" "$lib" >"$work/ns"
if command -v strace >/dev/null; then
    sh "$top/tests/bench/syscalls.sh" >"$work/calls"
else
    : >"$work/calls"
fi

# column KIND EXPRESSION [FORMAT]
column() {
    awk -v kind="$1" "\$1 == kind { print $2 }" "$work/ns" | spread "${3:-%.0f}"
}

# calls KIND WHO
calls() {
    awk -v title="$1 $2:" 'index($0, title) == 1 { sub(title, ""); print NF }' "$work/calls"
}

echo "kind,calls plain,calls by hand,calls shim,plain ns,q1,q3,by hand ns,q1,q3,shim ns,q1,q3,shim/plain,q1,q3,shim/by hand,q1,q3" >"$out/kinds.csv"
echo "processor time of one close, ns; medians of $rounds rounds of 64 (quartiles); in brackets system calls:"
printf '%-15s %-26s %-26s %-26s %s\n' '' without 'by hand' shim ratio
# shellcheck disable=SC2016 # awk's own $1
for kind in file pipe udp unix tcp-finished tcp-waiting tcp-event-loop tcp-shared; do
    plain=$(column $kind '$3') shim=$(column $kind '$5') hand='' to_hand=''
    to_plain=$(column $kind '$5 / $3' %.2f)
    ratio="$(echo "$to_plain" | brackets)"
    case $kind in
    tcp-finished | tcp-waiting)
        hand=$(column $kind '$4')
        to_hand=$(column $kind '$5 / $4' %.2f)
        ratio="$(echo "$to_hand" | brackets) of by hand"
        ;;
    esac
    # cell WORDS WHO
    cell() {
        [ -n "$1" ] || return 0
        printf '%s [%s]' "$(echo "$1" | brackets)" "$(calls $kind "$2")"
    }
    printf '%-15s %-26s %-26s %-26s %s\n' $kind "$(cell "$plain" plain)" "$(cell "$hand" 'by hand')" "$(cell "$shim" shim)" "$ratio"
    echo "$kind,$(calls $kind plain),$(calls $kind 'by hand'),$(calls $kind shim),$(echo "$plain,${hand:-,,},$shim,$to_plain,${to_hand:-,,}" | tr ' ' ,)" >>"$out/kinds.csv"
done

plot kinds <<'END'
set title 'What one close() costs (medians, quartiles)'
set ylabel 'processor time, us'
set logscale y
set style data histogram
set style histogram errorbars gap 1.5 lw 1
set style fill solid 0.9
set xtics rotate by -25
plot csv using ($5/1e3):($6/1e3):($7/1e3):xtic(1) title 'plain' lc rgb plain, \
     '' using ($8/1e3):($9/1e3):($10/1e3) title 'lingering by hand' lc rgb hand, \
     '' using ($11/1e3):($12/1e3):($13/1e3) title 'with the shim' lc rgb shim
END
