#!/bin/sh
# What it costs that connections linger, all at once and with silent peers, against a server that keeps
# as many connections open.
#
#   CONNECTIONS=20000 sh tests/bench/lingering.sh
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/tests
lib=${SHIM:-$top/build/liblingerclose.so}
connections=${CONNECTIONS:-20000}

# Time for all of them to come in: IDLE counts for each from its own close.
export LINGERCLOSE_MAX=$((connections * 2)) LINGERCLOSE_IDLE=120s LINGERCLOSE_DRAIN=120s

without=$("$bin/netns" "$bin/bench/lingering" measure "$connections")
with=$("$bin/netns" "$bin/bench/lingering" measure "$connections" "$lib")

# value NAME LINE
value() {
    for word in $2; do
        case $word in "$1"=*) echo "${word#*=}" ;; esac
    done
}


echo "$(value at_once "$with") connections lingering at once in $(value servers "$with") process(es), $(value still "$with") after the idle seconds:"
echo "  memory of the process, per connection:  $(value anonymous "$with") bytes ($(value anonymous "$without") where they are kept open)"
echo "  CPU time from accept to close's return: $(value up_us "$with") us ($(value up_us "$without"), without the close)"
echo "  CPU time for the end, per connection:   $(value down_us "$with") us ($(value down_us "$without"))"
echo "  processor while they linger:            $(value idle "$with") %"
echo "  descriptors left in the end:            $(value left "$with")"
