#!/bin/sh
# What a reply of a program that writes it in small pieces costs, without the shim, with lingerclose --nodelay and with
# lingerclose --cork, by turns in one run and one network namespace: packets, and ms until the peer has all of it.
#
#   ROUNDS=9 REPLIES=20 sh tests/bench/nagle.sh [sh] [perl] [python] [cgi] [java]
set -u
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
PATH=$PATH:/usr/sbin:/sbin
if [ -z "${INSIDE:-}" ]; then
    INSIDE=1 exec "$top/build/tests/netns" sh "$0" "$@"
fi
rounds=${ROUNDS:-9}
replies=${REPLIES:-20}
work=$(mktemp -d) || exit 1
pids=
trap 'kill $pids 2>/dev/null; wait; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

mkdir -p "$work/www/cgi-bin"
awk 'BEGIN { while (n++ < 100) print "a line of a file" }' >"$work/www/file"
cat >"$work/handler.sh" <<'END'
while read -r line; do
    for n in 1 2 3 4 5 6 7 8 9 10; do echo "$n: $line"; done
    echo end
done
END
cat >"$work/handler.pl" <<'END'
$| = 1;
while ($line = <STDIN>) {
    print "$_: $line" for 1 .. 10;
    print "end\n";
}
END
cat >"$work/www/cgi-bin/lines" <<'END'
#!/bin/sh
echo "Content-Type: text/plain"
echo
for n in 1 2 3 4 5 6 7 8 9 10; do echo "line $n"; done
echo end
END
chmod 755 "$work/www/cgi-bin/lines"
cat >"$work/Small.java" <<'END'
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
public class Small {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0])), 0);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, 0);
            exchange.getResponseBody().write("a line\nend\n".getBytes());
            exchange.close();
        });
        server.start();
    }
}
END

# serve PORT COMMAND...: under what $launch says
serve() {
    port=$1
    shift
    # shellcheck disable=SC2086 # words
    $launch "$@" >"$work/log" 2>&1 </dev/null &
    pids="$pids $!"
    tries=0
    until ss -Hltn "sport = :$port" | grep -q .; do
        tries=$((tries + 1))
        if [ $tries -gt 400 ]; then
            echo "$1 does not listen on port $port:" >&2
            cat "$work/log" >&2
            exit 1
        fi
        sleep 0.05
    done
}

# NAME PORT: the row's title, what must be there, how it is asked, and how it is started
row_sh() {
    title='sh by tcpserver, 11 echos' needs=tcpserver asks=lines path=''
    [ $# = 0 ] || serve "$1" tcpserver -HRl0 127.0.0.1 "$1" sh "$work/handler.sh"
}

row_perl() {
    title='perl by tcpserver, $| = 1' needs='tcpserver perl' asks=lines path=''
    [ $# = 0 ] || serve "$1" tcpserver -HRl0 127.0.0.1 "$1" perl "$work/handler.pl"
}

row_python() {
    title='python3 -m http.server, a file' needs=python3 asks=http path=/file
    [ $# = 0 ] || serve "$1" python3 -m http.server -p HTTP/1.1 -b 127.0.0.1 -d "$work/www" "$1"
}

row_cgi() {
    title='busybox httpd, CGI in sh' needs=busybox asks=close path=/cgi-bin/lines
    [ $# = 0 ] || serve "$1" busybox httpd -f -p "127.0.0.1:$1" -h "$work/www"
}

row_java() {
    title="Java's HttpServer" needs=java asks=http path=/
    [ $# = 0 ] || serve "$1" java "$work/Small.java" "$1"
}

# median COLUMN FILE
median() {
    cut -d ' ' -f "$1" "$2" | sort -n | awk '{ v[NR] = $1 } END { printf "%.1f", v[int((NR + 1) / 2)] }'
}

# ratio COLUMN: the median of the rounds' ratios, cork to plain
ratio() {
    paste -d ' ' "$work/plain" "$work/cork" |
        awk -v c="$1" '{ print $(c + 2) / $c }' | sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", v[int((NR + 1) / 2)] }'
}

measure() {
    "row_$1"
    for need in $needs; do
        if ! command -v "$need" >/dev/null; then
            echo "$title: $need is not installed"
            return
        fi
    done
    launch='' && "row_$1" 8001
    launch="sh $top/scripts/lingerclose --nodelay" && "row_$1" 8002
    launch="sh $top/scripts/lingerclose --cork" && "row_$1" 8003
    rm -f "$work/plain" "$work/nodelay" "$work/cork"
    round=0
    while [ $round -lt "$rounds" ]; do
        port=8000
        for way in plain nodelay cork; do
            port=$((port + 1))
            # shellcheck disable=SC2086 # none or one
            python3 "$top/tests/bench/nagle-asks.py" "$asks" $port "$replies" $path >>"$work/$way" || exit 1
        done
        round=$((round + 1))
    done
    printf '%-31s' "$title"
    for way in plain nodelay cork; do
        printf '%8s %6s' "$(median 1 "$work/$way")" "$(median 2 "$work/$way")"
    done
    printf '%8s %6s\n' "$(ratio 1)" "$(ratio 2)"
    # Words are meant to be split.
    # shellcheck disable=SC2086
    kill $pids
    wait
    pids=
}

[ $# -gt 0 ] || set -- sh perl python java cgi
echo "packets and ms for a reply; medians of $rounds rounds of $replies replies:"
printf '%-31s%15s%15s%15s%15s\n' '' without --nodelay --cork 'cork/without' \
    '' 'packets     ms' 'packets     ms' 'packets     ms' 'packets     ms'
for name in "$@"; do
    measure "$name"
done
