#!/usr/bin/env bats
# lighttpd: one event loop, with a lingering of its own that ends after 5 s.

load helper
load web
needs=(lighttpd lighttpd)

start_lighttpd() {
    mkdir -p "$work/www"
    head -c 3000000 /dev/zero >"$work/www/file"
    echo hello >"$work/www/small"
    cat >"$work/lighttpd.conf" <<EOF
server.port = 8080
server.bind = "127.0.0.1"
server.document-root = "$work/www"
server.errorlog = "$work/daemon.log"
server.username = "nobody"
server.groupname = "nogroup"
server.upload-dirs = ( "$work/www" )
server.max-request-size = 1000
static-file.etags = "disable"
mimetype.assign = ( "" => "application/octet-stream" )
EOF
    : >"$work/daemon.log"
    chmod 666 "$work/daemon.log"
    daemon 8080 lighttpd -D -f "$work/lighttpd.conf"
}

get='GET /file HTTP/1.0\r\n\r\n'
quiet=(text="$get" read)
late=(rcvbuf=65536 text="$get" await=fin send=65536 slow=65536:1)
sleepy=(rcvbuf=65536 text="$get" await=fin pause=7000 send=65536 slow=65536:1)
upload=(sndbuf=65536 text='POST /small HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n' send=2000000 read)

session() {
    local at=http://127.0.0.1:8080
    for way in --http1.0 --http1.1; do
        inside curl -s $way $at/file $at/small $at/small | cksum
        inside curl -s $way -r 1000-1999 $at/file | cksum
        inside curl -s $way -o /dev/null -w '%{http_code} %{size_download}\n' $at/none
        inside curl -s $way --data-binary "@$work/www/file" -o /dev/null -w '%{http_code}\n' $at/small
    done
}

@test "lighttpd: the same session, and its own lingering takes no longer" {
    need_program curl curl
    same lighttpd start_lighttpd session
    lingers lighttpd "3 MB, more requests behind" start_lighttpd 8080 late[@]
    lingers lighttpd "2 MB POST refused" start_lighttpd 8080 upload[@]
    ends TERM lighttpd
    [ "$ms" -lt 1000 ]
}

@test "lighttpd: 3 MB arrive whole where its own lingering ends too early" {
    AT_ONCE=1 early lighttpd "3 MB to a client that pauses and sends on" start_lighttpd 8080 quiet[@] sleepy[@]
}
