#!/usr/bin/env bats
# Apache: lingers by itself, the worker that reads blocking (prefork) or the listener thread for all (event). It must keep
# doing so, at the same pace.

load helper
load web

# start_apache MPM CGI-MODULE [SERVERS]
start_apache() {
    local modules=/usr/lib/apache2/modules
    rm -rf "$work/logs" # the pid file and the socket of the phase before, if it was killed
    mkdir -p "$work/www" "$work/cgi" "$work/logs"
    chmod 777 "$work/logs"
    head -c 3000000 /dev/zero >"$work/www/file"
    echo hello >"$work/www/small"
    printf '#!/bin/sh\n(sleep 1; :) >/dev/null 2>&1 </dev/null &\nprintf "Content-Type: text/plain\\n\\nhello\\n"\n' \
        >"$work/cgi/hello"
    chmod 755 "$work/cgi/hello"
    cat >"$work/apache.conf" <<EOF
ServerRoot $work
ServerName localhost
Listen 8080
PidFile $work/logs/pid
ErrorLog $work/daemon.log
DefaultRuntimeDir $work/logs
Mutex posixsem
User nobody
Group nogroup
LoadModule mpm_$1_module $modules/mod_mpm_$1.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule alias_module $modules/mod_alias.so
LoadModule $2_module $modules/mod_$2.so
LoadModule reqtimeout_module $modules/mod_reqtimeout.so
StartServers ${3-2}
KeepAlive On
DocumentRoot $work/www
ScriptAlias /cgi/ $work/cgi/
LimitRequestBody 1000000
FileETag None
EOF
    [ "$2" != cgid ] || echo "ScriptSock $work/logs/cgid" >>"$work/apache.conf"
    daemon 8080 apache2 -DFOREGROUND -f "$work/apache.conf"
}

prefork() { start_apache prefork cgi; }
prefork10() { start_apache prefork cgi 10; }
event() { start_apache event cgid; }

get='GET /file HTTP/1.0\r\n\r\n'
quiet=(text="$get" read)
sleepy=(rcvbuf=65536 text="$get" await=fin pause=2500 send=65536 slow=65536:1)
late=(rcvbuf=65536 text="$get" await=fin send=65536 slow=65536:1)
upload=(sndbuf=65536 text='POST /small HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n' send=2000000 read)

session() {
    local at=http://127.0.0.1:8080
    for way in --http1.0 --http1.1; do
        inside curl -s $way $at/file $at/small $at/cgi/hello $at/cgi/hello | cksum
        inside curl -s $way -r 1000-1999 $at/file | cksum
        inside curl -s $way -I $at/small | grep -i length
        inside curl -s $way -o /dev/null -w '%{http_code} %{size_download}\n' $at/none
        inside curl -s $way --data-binary "@$work/www/file" -o /dev/null -w '%{http_code}\n' $at/small
    done
}

check() {
    need_program apache2 apache2
    need_program curl curl
    same "Apache, $1" "$1" session
    lingers "Apache, $1" "3 MB, more requests behind" "$1" 8080 late[@]
    lingers "Apache, $1" "2 MB POST refused" "$1" 8080 upload[@]
    ends TERM apache2
    [ "$ms" -lt 4000 ]
}

@test "Apache with prefork: the same sessions, and its own lingering takes no longer" {
    check prefork
}

@test "Apache with event: the same sessions, and its own lingering takes no longer" {
    check event
}

@test "Apache with prefork: 3 MB arrive whole where its own lingering, 2 s of silence, ends too early" {
    need_program apache2 apache2
    AT_ONCE=1 early "Apache, prefork" "3 MB to a client that pauses and sends on" prefork10 8080 quiet[@] sleepy[@]
}
