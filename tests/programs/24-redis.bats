#!/usr/bin/env bats
# redis: an event loop that closes after its last reply, whatever is still unread, and that forks to save.

load helper
load web
needs=(redis-server redis-server)

start_redis() {
    rm -f "$work/dump.rdb"
    daemon 6379 redis-server --port 6379 --save '' --dir "$work" --protected-mode no
    head -c 3000000 /dev/zero | inside redis-cli -x set big >/dev/null
}

session() {
    inside redis-cli set key value
    inside redis-cli get key
    inside redis-cli get big | cksum
    inside redis-cli nosuch
    seq 2000 | sed 's/.*/set key& &/' | inside redis-cli --pipe | tail -1
    printf 'multi\nincr n\nincr n\nexec\nquit\n' | inside redis-cli
    inside timeout 10 redis-cli bgsave
    until inside redis-cli info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.05; done
    inside redis-cli info persistence | grep rdb_last_bgsave_status
    inside redis-cli client kill type normal skipme no
    inside redis-cli dbsize
}

@test "redis: a session of redis-cli is the same" {
    need_program redis-cli redis-tools
    same redis start_redis session
    ends TERM redis-server
    [ "$ms" -lt 1000 ]
}

@test "redis: QUIT with 64 KB behind gets its answer" {
    quiet=(text='QUIT\r\n' read)
    junk=(text='QUIT\r\n' send=65536 pause=5 send=65536 read)
    early redis "QUIT, 64 KB behind" start_redis 6379 quiet[@] junk[@]
}

@test "redis: a protocol error with 64 KB behind gets its answer" {
    quiet=(text='*1\r\n$-7\r\n' read)
    junk=(text='*1\r\n$-7\r\n' send=65536 pause=5 send=65536 read)
    early redis "protocol error, 64 KB behind" start_redis 6379 quiet[@] junk[@]
}

@test "redis: a value of 3 MB arrives whole, with QUIT and more commands behind" {
    quiet=(text='GET big\r\nQUIT\r\n' read)
    late=(rcvbuf=65536 text='GET big\r\nQUIT\r\n' await=reply send=65536 slow=65536:1)
    early redis "value of 3 MB, more commands behind" start_redis 6379 quiet[@] late[@]
}

@test "redis: clients leave while a child saves, and the child still ends when it has saved" {
    # The child has every connection, and ends by _exit. Until then no FIN can go out, with the shim or without.
    need_program redis-cli redis-tools
    local i how
    local -A took
    for i in plain shim; do
        phase $i
        start_redis
        seq 500 | sed 's/.*/set key& &/' | inside redis-cli --pipe >/dev/null
        inside redis-cli config set rdb-key-save-delay 3000 # us
        at_once 5 6379 any pause=700 text='QUIT\r\n' send=65536 read
        until inside redis-cli info clients | grep -q connected_clients:6; do sleep 0.02; done
        took[$i]=$(date +%s%3N)
        inside redis-cli bgsave
        for _ in 1 2 3; do [ "$(inside redis-cli get key7)" = 7 ]; done
        until inside redis-cli info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.02; done
        took[$i]=$(($(date +%s%3N) - took[$i]))
        echo "$i: ${took[$i]} ms"
        inside redis-cli info persistence | grep rdb_last_bgsave_status:ok
        wait "${at_once[@]}"
        cat "$work"/peer.*
        [ $i = plain ] && how=RESET || how=EOF
        [ "$(grep -c "bytes=5 end=$how.* ms=[12]...$" <(cat "$work"/peer.*))" = 5 ]
    done
    [ "${took[plain]}" -gt 1500 ]
    [ "${took[shim]}" -lt $((took[plain] + 500)) ]
    kernel
    no_resets
}

@test "redis: many early replies leave nothing behind" {
    quiet=(text='GET big\r\nQUIT\r\n' read)
    late=(rcvbuf=65536 text='GET big\r\nQUIT\r\n' await=reply send=65536 slow=65536:1)
    leaves_nothing start_redis 6379 quiet[@] late[@]
}
