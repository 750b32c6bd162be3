#!/bin/sh
# A connection for each request, of nginx, redis, a server that forks for each and one with a thread for each: requests a
# second and their latency without the shim, with it, and with what people put in front of a daemon otherwise, HAProxy or
# socat; by turns in one run and one network namespace. And does that help the early reply? A client asks for 3 MB and sends 64
# KB more when the reply begins: how often it had the whole, and how much of it.
#
#   ROUNDS=5 SECONDS_EACH=1 CLIENTS=16 sh tests/bench/latency.sh [nginx] [redis] [fork] [thread]
set -u
# shellcheck source=tests/bench/figures.sh
. "$(dirname "$0")/figures.sh"
PATH=$PATH:/usr/sbin:/sbin
if [ -z "${INSIDE:-}" ]; then
    INSIDE=1 exec "$bin/netns" sh "$0" "$@"
fi
rounds=${ROUNDS:-5}
each=${SECONDS_EACH:-1}
clients=${CLIENTS:-16}
tries=${TRIES:-10}
big=3000000
work=$(mktemp -d) || exit 1
pids=
stop() {
    # shellcheck disable=SC2086 # words
    kill $pids 2>/dev/null
    wait
    pids=
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range
chmod 755 "$work"
mkdir "$work/www"
echo hello >"$work/www/small"
head -c $big /dev/zero >"$work/www/big"

# await PORT NAME: until somebody listens there
await() {
    n=0
    until ss -Hltn "sport = :$1" | grep -q .; do
        n=$((n + 1))
        if [ $n -gt 200 ]; then
            echo "$2 does not listen on port $1:" >&2
            cat "$work/log" >&2
            exit 1
        fi
        sleep 0.05
    done
}

# run LIBRARY COMMAND...
run() {
    preload=$1
    shift
    env ${preload:+LD_PRELOAD="$preload"} "$@" >"$work/log" 2>&1 </dev/null &
    pids="$pids $!"
}

# start NAME LIBRARY BYTES: of the models' reply; $port is where it listens
start() {
    port=8001
    case $1 in
    nginx)
        mkdir -p "$work/nginx"
        cat >"$work/nginx/conf" <<EOF_CONF
daemon off; pid $work/nginx/pid; error_log stderr; events { }
http {
    access_log off;
    client_body_temp_path $work/nginx/1; proxy_temp_path $work/nginx/2; fastcgi_temp_path $work/nginx/3;
    uwsgi_temp_path $work/nginx/4; scgi_temp_path $work/nginx/5;
    server { listen 8001; root $work/www; }
}
EOF_CONF
        run "$2" nginx -p "$work" -c "$work/nginx/conf"
        ;;
    redis) run "$2" redis-server --port 8001 --save '' --dir "$work" --protected-mode no ;;
    *)
        : >"$work/log"
        run "$2" "$bin/models" "$1" --bytes "$3"
        until port=$(sed -n 's/^port //p' "$work/log") && [ -n "$port" ]; do sleep 0.02; done
        ;;
    esac
    await "$port" "$1"
    if [ "$1" = redis ]; then
        redis-cli -p 8001 set small hello >/dev/null
        redis-cli -p 8001 -x set big <"$work/www/big" >/dev/null
    fi
}

# front WAY: what stands before it, if anything
front() {
    case $1 in
    haproxy)
        cat >"$work/haproxy" <<EOF_CONF
defaults
    mode tcp
    timeout client 10s
    timeout server 10s
    timeout connect 5s
listen front
    bind 127.0.0.1:8002
    server daemon 127.0.0.1:$port
EOF_CONF
        run '' haproxy -f "$work/haproxy"
        ;;
    socat) run '' socat TCP-LISTEN:8002,fork,reuseaddr,backlog=1024 "TCP:127.0.0.1:$port" ;;
    *) return ;;
    esac
    port=8002
    await 8002 "$1"
}

# request NAME small|big: as peer.c and latency.c take it
request() {
    case $1 in
    nginx) printf '%s' "GET /$2 HTTP/1.0" '\r\n\r\n' ;;
    redis) printf '%s' "GET $2" '\r\nQUIT\r\n' ;;
    *) printf '%s' 'GET /0123456789\n' ;;
    esac
}

library() { [ "$1" != shim ] || echo "$lib"; }

# once NAME WAY ROUND
once() {
    start "$1" "$(library "$2")" 600
    front "$2"
    "$bin/bench/latency" "$port" "$clients" "$each" "$(request "$1" small)" >"$work/once" || exit 1
    echo "$1,$2,$3,$(tr ' ' , <"$work/once")" >>"$out/latency-rounds.csv"
    stop
}

# deliver NAME WAY: "whole bytes": how often the whole came, and the median of the bytes
deliver() {
    start "$1" "$(library "$2")" $big
    front "$2"
    n=0
    : >"$work/delivered"
    while [ $n -lt "$tries" ]; do
        "$bin/peer" "$port" any text="$(request "$1" big)" await=reply send=65536 read >>"$work/delivered" 2>&1
        n=$((n + 1))
    done
    stop
    awk -v big=$big '{
        for (i = 1; i <= NF; i++) { split($i, w, "="); v[w[1]] = w[2] }
        if (v["bytes"] >= big && v["end"] == "EOF") whole++
        print v["bytes"] | "sort -n"
    } END { close("sort -n"); print "whole " whole + 0 }' "$work/delivered" |
        awk '$1 == "whole" { whole = $2; next } { v[NR] = $1; n = NR } END { print whole, v[int((n + 1) / 2)] }'
}

# figure NAME WAY COLUMN FORMAT
figure() {
    awk -F , -v name="$1" -v way="$2" -v c="$3" '$1 == name && $2 == way { print $c }' "$out/latency-rounds.csv" | spread "$4"
}

[ $# -gt 0 ] || set -- nginx redis fork thread
ways='plain shim'
for way in haproxy socat; do
    if command -v $way >/dev/null; then ways="$ways $way"; else echo "$way is not installed"; fi
done
echo 'program,way,round,requests a second,p50 ms,p99 ms,failed' >"$out/latency-rounds.csv"
echo 'program,plain a second,p50,p99,shim a second,p50,p99,haproxy a second,p50,p99,socat a second,p50,p99' >"$out/latency.csv"
echo 'program,way,whole,tries,bytes' >"$out/delivered.csv"
echo "a connection for each request, $clients clients; medians of $rounds rounds of $each s (quartiles); an early reply of 3 MB:"
printf '%-8s %-8s %-24s %-20s %-20s %s\n' '' '' 'requests a second' 'p50 ms' 'p99 ms' 'early reply: whole, bytes'
for name in "$@"; do
    case $name in
    nginx | redis)
        command -v "$name" >/dev/null || command -v "$name-server" >/dev/null || {
            echo "$name is not installed"
            continue
        }
        ;;
    esac
    round=0
    while [ $round -lt "$rounds" ]; do
        for way in $ways; do once "$name" "$way" $round; done
        ways="${ways#* } ${ways%% *}" # the next round begins with another
        round=$((round + 1))
    done
    row=$name
    for way in plain shim haproxy socat; do
        case " $ways " in *" $way "*) ;; *)
            row=$row,,,
            continue
            ;;
        esac
        for column in 4 5 6; do row=$row,$(figure "$name" "$way" $column %.2f | cut -d ' ' -f 1); done
        delivered=$(deliver "$name" "$way")
        printf '%-8s %-8s %-24s %-20s %-20s %s of %s, %s\n' "$name" "$way" "$(figure "$name" "$way" 4 %.0f | brackets)" \
            "$(figure "$name" "$way" 5 %.2f | brackets)" "$(figure "$name" "$way" 6 %.2f | brackets)" \
            "${delivered% *}" "$tries" "${delivered#* }"
        echo "$name,$way,${delivered% *},$tries,${delivered#* }" >>"$out/delivered.csv"
    done
    echo "$row" >>"$out/latency.csv"
done

plot latency <<'END'
set title 'A connection for each request: median, and 99th of a hundred'
set ylabel 'ms'
set logscale y
set style data histogram
set style histogram errorbars gap 1.5 lw 1
set style fill solid 0.9
plot csv using 3:3:4:xtic(1) title 'plain' lc rgb plain, '' using 6:6:7 title 'with the shim' lc rgb shim, \
     '' using 9:9:10 title 'HAProxy in front' lc rgb hand, '' using 12:12:13 title 'socat in front' lc rgb other
END
