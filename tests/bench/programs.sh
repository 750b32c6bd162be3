#!/bin/sh
# Throughput of servers with a connection for each request, without the shim and with it, by turns in one run and in one
# network namespace: nginx, lighttpd, haproxy and node by wrk, redis by redis-benchmark.
#
#   ROUNDS=21 SECONDS_EACH=1 sh tests/bench/programs.sh [nginx] [lighttpd] [haproxy] [node] [redis]
#
# Each round starts both servers of a program anew, on two ports (of two processes without the shim one may be quicker than
# the other all the time), and asks the one and then the other; every second round begins with the other. The ratio is the
# median of the rounds', with its quartiles. The second line of a program is what its processes cost, in us of processor
# time a request. ABOVE='chrt -f 1' runs servers and clients above everything else, for a machine with other work, which meets
# the one or the other. But where they keep all processors busy (node does), that leaves the thread that lingers none, and
# closes past LINGERCLOSE_MAX cost more.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
PATH=$PATH:/usr/sbin:/sbin
if [ -z "${INSIDE:-}" ]; then
    INSIDE=1 exec "$top/build/tests/netns" sh "$0" "$@"
fi
lib=${SHIM:-$top/build/liblingerclose.so}
rounds=${ROUNDS:-21}
each=${SECONDS_EACH:-1}
above=${ABOVE:-}
clients=${CLIENTS:-32}
out=${OUT:-$top/build/bench}
mkdir -p "$out" || exit 1
work=$(mktemp -d) || exit 1
pids=
trap 'kill $pids 2>/dev/null; wait; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range
chmod 755 "$work"
mkdir "$work/www"
echo hello >"$work/www/small"

# serve PORT LIBRARY COMMAND...
serve() {
    port=$1 preload=$2
    shift 2
    # shellcheck disable=SC2086 # words
    env ${preload:+LD_PRELOAD="$preload"} $above "$@" >"$work/log" 2>&1 </dev/null &
    pids="$pids $!"
    tries=0
    until ss -Hltn "sport = :$port" | grep -q .; do
        tries=$((tries + 1))
        if [ $tries -gt 200 ]; then
            echo "$1 does not listen on port $port:" >&2
            cat "$work/log" >&2
            exit 1
        fi
        sleep 0.05
    done
}

# start_NAME PORT LIBRARY
start_nginx() {
    mkdir -p "$work/nginx.$1"
    cat >"$work/nginx.$1/conf" <<EOF
daemon off;
pid $work/nginx.$1/pid;
error_log stderr;
events { }
http {
    access_log off;
    client_body_temp_path $work/nginx.$1/1;
    proxy_temp_path $work/nginx.$1/2;
    fastcgi_temp_path $work/nginx.$1/3;
    uwsgi_temp_path $work/nginx.$1/4;
    scgi_temp_path $work/nginx.$1/5;
    server { listen $1; root $work/www; }
}
EOF
    serve "$1" "$2" nginx -p "$work" -c "$work/nginx.$1/conf"
}

start_lighttpd() {
    printf 'server.port = %s\nserver.document-root = "%s"\n' "$1" "$work/www" >"$work/lighttpd.$1"
    serve "$1" "$2" lighttpd -D -f "$work/lighttpd.$1"
}

start_haproxy() {
    cat >"$work/haproxy.$1" <<EOF
defaults
    mode http
    timeout client 10s
frontend one
    bind 127.0.0.1:$1
    http-request return status 200 content-type text/plain string hello
EOF
    serve "$1" "$2" haproxy -f "$work/haproxy.$1"
}

start_node() {
    echo "require('http').createServer((q, r) => r.end('hello')).listen($1, '127.0.0.1')" >"$work/server.cjs"
    serve "$1" "$2" node "$work/server.cjs"
}

start_redis() {
    serve "$1" "$2" redis-server --port "$1" --save '' --dir "$work"
}

# cpu PID: its processor time and its children's, in clock ticks (proc(5), utime and stime; no name has a space)
cpu() {
    # shellcheck disable=SC2046 # words
    cat "/proc/$1/stat" $(pgrep -P "$1" | sed 's|.*|/proc/&/stat|') | awk '{ n += $14 + $15 } END { print n }'
}

# ask NAME PORT PID: requests a second, and us of processor time for one
ask() {
    before=$(cpu "$3")
    seconds=$(date +%s.%N)
    done=$(requests "$1" "$2") || exit 1
    echo "$done $seconds $(date +%s.%N) $(($(cpu "$3") - before))" |
        awk -v hz="$(getconf CLK_TCK)" '{ print $1 / ($3 - $2), $4 / hz * 1e6 / $1 }'
}

# requests NAME PORT: how many were answered
# shellcheck disable=SC2086 # words
requests() {
    if [ "$1" = redis ]; then
        $above redis-benchmark -p "$2" -k 0 -c "$clients" -n $((each * 7000)) -t get -q >/dev/null 2>&1
        echo $((each * 7000))
        return
    fi
    $above wrk -t 1 -c "$clients" -d "${each}s" -H 'Connection: close' "http://127.0.0.1:$2/small" >"$work/wrk"
    if grep -E 'Non-2xx|connect [1-9]|timeout [1-9]' "$work/wrk" >&2; then
        exit 1
    fi
    sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' "$work/wrk"
}

# quartiles FORMAT: of the numbers on standard input
quartiles() {
    sort -n | awk -v f="$1" '{ v[NR] = $1 } END {
        printf f " (" f " to " f ")", v[int((NR + 1) / 2)], v[int((NR + 3) / 4)], v[int((3 * NR + 1) / 4)] }'
}

# columns A B FORMAT TITLE
columns() {
    printf '%-9s %-28s %-28s %s\n' "$4" "$(cut -d ' ' -f "$1" "$work/rounds" | quartiles "$3")" \
        "$(cut -d ' ' -f "$2" "$work/rounds" | quartiles "$3")" \
        "$(awk -v a="$1" -v b="$2" '{ print $b / $a }' "$work/rounds" | quartiles %.3f)"
}

measure() {
    i=0
    : >"$work/rounds"
    while [ $i -lt "$rounds" ]; do
        "start_$1" 8001 ''
        plain=$!
        "start_$1" 8002 "$lib"
        shim=$!
        if [ "$1" = node ]; then # its compiler has seen the code by then
            ask node 8001 $plain >/dev/null
            ask node 8002 $shim >/dev/null
        fi
        if [ $((i % 2)) = 0 ]; then
            without=$(ask "$1" 8001 $plain) with=$(ask "$1" 8002 $shim)
        else
            with=$(ask "$1" 8002 $shim) without=$(ask "$1" 8001 $plain)
        fi
        echo "$without $with" >>"$work/rounds"
        # Words are meant to be split.
        # shellcheck disable=SC2086
        kill $pids
        wait
        pids=
        i=$((i + 1))
    done
    sed "s/^/$1 /; s/ /,/g" "$work/rounds" >>"$out/throughput.csv"
    columns 1 3 %.0f "$1"
    columns 2 4 %.1f ''
}

[ $# -gt 0 ] || set -- nginx lighttpd haproxy node redis
echo "requests a second, a connection for each; medians of $rounds rounds of $each s (quartiles):"
printf '%-9s %-28s %-28s %s\n' '' without with ratio
echo 'program,requests a second without,us without,requests a second with,us with' >"$out/throughput.csv"
for name in "$@"; do
    if command -v "$name" >/dev/null || command -v "$name-server" >/dev/null; then
        measure "$name"
    else
        echo "$name is not installed"
    fi
done
