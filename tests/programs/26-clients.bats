#!/usr/bin/env bats
# Clients under the shim: what they fetch, how they end and how long they take stays as it is.

load helper
load web

# Before servers without the shim.
start_servers() {
    head -c 30000000 /dev/zero >"$work/large"
    head -c 3000000 /dev/zero >"$work/file"
    echo hello >"$work/small"
    chmod 644 "$work"/*
    cat >"$work/nginx.conf" <<EOF
user nobody nogroup;
error_log $work/daemon.log;
pid $work/nginx.pid;
events { }
http {
    access_log off;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    server {
        listen 8080;
        root $work;
        location /slow { limit_rate 100k; alias $work/file; }
    }
}
EOF
    inside nginx -p "$work" -c "$work/nginx.conf"
    inside redis-server --port 6379 --save '' --dir "$work" --daemonize yes >/dev/null
    until listens 6379; do sleep 0.02; done
    inside redis-cli -x set big <"$work/file" >/dev/null
}

at=http://127.0.0.1:8080

# shellcheck disable=SC2317 # called by name
@test "curl: downloads, ranges, uploads, keep-alive and breaking off are the same" {
    need_program nginx nginx
    need_program curl curl
    session() {
        under curl -s "$at"/file | cksum
        under curl -s -o /dev/null -o /dev/null -o /dev/null "$at"/small "$at"/small "$at"/small -w '%{http_code} %{num_connects}\n'
        under curl -s -r 1000-1999 "$at"/large | cksum
        under curl -s "$at"/large | head -c 100000 | cksum
        echo "${PIPESTATUS[*]}"
        under curl -s --max-filesize 1000 "$at"/large | cksum
        echo "${PIPESTATUS[*]}"
        under curl -s -m 0.3 -o /dev/null "$at"/slow
        echo $?
        under curl -s -o /dev/null --data-binary "@$work/file" -w '%{http_code}\n' "$at"/small
        under curl -s "$at"/none -f
        echo $?
        under curl -s http://127.0.0.1:1/
        echo $?
        under curl -s -Z --parallel-max 5 "$at/small?[1-20]" 2>/dev/null | cksum
        true
    }
    same curl start_servers session
}

@test "wget: downloads, several files of a connection and breaking off are the same" {
    need_program nginx nginx
    need_program wget wget
    session() {
        under wget -q -O - "$at"/file | cksum
        under wget -nv -O - "$at"/small "$at"/small "$at"/none 2>&1 | sed "s/^[0-9: -]*//; /FINISHED\|clock\|Downloaded/d"
        echo "${PIPESTATUS[*]}"
        under wget -q -O - "$at"/large | head -c 100000 | cksum
        echo "${PIPESTATUS[*]}"
        under timeout -s INT 0.3 wget -q -O /dev/null "$at"/slow
        echo $?
        under wget -q -T 1 -t 1 http://127.0.0.1:1/
        echo $?
        true
    }
    same wget start_servers session
}

@test "redis-cli: its sessions are the same" {
    need_program redis-server redis-server
    need_program redis-cli redis-tools
    session() {
        under redis-cli get big | cksum
        under redis-cli get big | head -c 1000 | cksum
        echo "${PIPESTATUS[*]}"
        printf 'set a 1\nget a\nquit\n' | under redis-cli
        under redis-cli -r 3 incr n | tail -1 | grep -c .
        under timeout 0.3 redis-cli subscribe news
        echo $?
        seq 2000 | sed 's/.*/set key& &/' | under redis-cli --pipe | tail -1
        under redis-cli -p 1 ping
        echo $?
        under redis-benchmark -q -n 500 -t get -k 0 | grep -c 'requests per second'
    }
    same redis-cli start_servers session
}
