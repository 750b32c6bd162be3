#!/usr/bin/env bats
# node: libuv closes with syscall(SYS_close).

load helper
load web
needs=(node nodejs)

start_node() {
    head -c 3000000 /dev/zero >"$work/file"
    daemon 8082 node "$top/tests/programs/server.mjs" "$work/file"
}

start_cluster() {
    head -c 3000000 /dev/zero >"$work/file"
    daemon 8082 node "$top/tests/programs/server.mjs" "$work/file" 2
}

get='GET /file HTTP/1.0\r\n\r\n'

session() {
    local at=http://127.0.0.1:8080
    for way in --http1.0 --http1.1; do
        inside curl -s $way $at/file | cksum
        inside curl -s $way --data-binary "@$work/file" $at/echo | cksum
        inside curl -s $way -o /dev/null -w '%{http_code} %{size_download}\n' $at/none $at/none
    done
    inside curl -s $at/bye
    echo "destroyed: $?"
    inside "$bin/peer" 8081 any read | sed 's, sent.*,,'
    inside "$bin/peer" 8082 any fin read | sed 's, sent.*,,'
}

@test "node: a session of curl is the same" {
    need_program curl curl
    same node start_node session
    ends TERM node
    [ "$ms" -lt 1000 ]
}

@test "node, http: a POST of 2 MB gets its 404" {
    quiet=(text='POST /none HTTP/1.0\r\nContent-Length: 0\r\n\r\n' read)
    upload=(sndbuf=65536 text='POST /none HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n' send=2000000 read)
    early "node, http" "2 MB POST refused" start_node 8080 quiet[@] upload[@]
}

@test "node, http: 3 MB arrive whole, with more requests behind" {
    quiet=(text="$get" read)
    late=(rcvbuf=65536 text="$get" await=fin send=65536 slow=65536:1)
    early "node, http" "3 MB, more requests behind" start_node 8080 quiet[@] late[@]
}

@test "node, net: 3 MB and destroy() with 64 KB unread arrive whole" {
    quiet=(read)
    late=(rcvbuf=65536 send=65536 slow=65536:1)
    early "node, net" "3 MB, destroy() with input unread" start_node 8081 quiet[@] late[@]
}

@test "node, net: end() lingers by itself, and takes no longer" {
    late=(rcvbuf=65536 send=65536 slow=65536:1)
    lingers "node, net" "3 MB, end() with input to come" start_node 8082 late[@]
}

@test "node, cluster: what the parent accepts and passes on arrives whole" {
    quiet=(text="$get" read)
    late=(rcvbuf=65536 text="$get" await=fin send=65536 slow=65536:1)
    early "node, cluster" "3 MB, more requests behind" start_cluster 8080 quiet[@] late[@]
    quiet=(text='POST /none HTTP/1.0\r\nContent-Length: 0\r\n\r\n' read)
    upload=(sndbuf=65536 text='POST /none HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n' send=2000000 read)
    early "node, cluster" "2 MB POST refused" start_cluster 8080 quiet[@] upload[@]
    same "node, cluster" start_cluster session
}

@test "node, cluster: many early replies leave nothing behind" {
    quiet=(text="$get" read)
    late=(rcvbuf=65536 text="$get" await=fin send=65536 slow=65536:1)
    leaves_nothing start_cluster 8080 quiet[@] late[@]
}
