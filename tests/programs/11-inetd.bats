#!/usr/bin/env bats
# Super-servers: a child for each connection, which becomes the handler with the connection as its
# descriptors 0, 1 and 2 (tcpserver: 0 and 1). The handler is a sh script, with children of its own.

load helper

# openbsd-inetd [OPTION...] -- SERVER [ARG...]: server as in inetd.conf, of port 8080
openbsd_inetd() {
    local options=(-i)
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    echo "8080 stream tcp nowait.1000 root $1 $*" >"$work/inetd.conf"
    daemon 8080 inetd "${options[@]}" "$work/inetd.conf"
}

start_inetd() {
    make_handler
    openbsd_inetd -- "$work/handler"
}

start_inetd_keeping() {
    make_handler
    openbsd_inetd -E -- "$work/handler"
}

# inetd itself without the shim; the handler by the launcher.
start_inetd_launching() {
    local launcher=("$top/scripts/lingerclose" --log "$work/shim.log")
    make_handler
    [ "$phase" = shim ] || launcher=()
    under() { inside "$@"; }
    openbsd_inetd -- "${launcher[@]}" "$work/handler"
}

# The place's own /etc has an ld.so.preload.
start_inetd_preloaded() {
    make_handler
    if [ "$phase" = shim ]; then
        own_etc
        echo "$lib" >"$work/etc/ld.so.preload"
        export LINGERCLOSE_LOG=$work/shim.log
    fi
    under() { inside "$@"; }
    openbsd_inetd -- "$work/handler"
}

start_xinetd() {
    make_handler
    cat >"$work/xinetd.conf" <<EOF
defaults
{
    log_type = FILE $work/xinetd.log
    cps = 1000 1
}
service test
{
    type = UNLISTED
    port = 8080
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    server = $work/handler
}
EOF
    daemon 8080 "$xinetd" -dontfork -f "$work/xinetd.conf"
}

start_tcpserver() {
    make_handler
    daemon 8080 tcpserver -H -R -l 0 0 8080 "$work/handler"
}

need_xinetd() {
    need_root
    xinetd=$(unpacked xinetd usr/sbin/xinetd) || skip "xinetd could not be downloaded (Debian package xinetd)"
    case $(ldd "$xinetd") in *'not found'*) skip "libraries of xinetd are not installed (Debian package libnsl2)" ;; esac
}

@test "openbsd-inetd: a session with its handler is the same, though the handler is without the shim" {
    need_program inetd openbsd-inetd
    need_program curl curl
    same openbsd-inetd start_inetd fetch_files
}

@test "openbsd-inetd: nothing is left behind" {
    need_program inetd openbsd-inetd
    tidy openbsd-inetd start_inetd fetch_files
}

@test "openbsd-inetd -E keeps LD_PRELOAD: 3 MB with 64 KB behind the request arrive whole, and a POST of 2 MB gets its answer" {
    need_program inetd openbsd-inetd
    early_files "openbsd-inetd -E, sh" start_inetd_keeping
}

@test "lingerclose in inetd.conf: 3 MB with 64 KB behind the request arrive whole, and a POST of 2 MB gets its answer" {
    need_program inetd openbsd-inetd
    early_files "lingerclose sh in inetd.conf" start_inetd_launching
}

@test "openbsd-inetd with /etc/ld.so.preload: 3 MB with 64 KB behind the request arrive whole, and a POST of 2 MB gets its answer" {
    need_program inetd openbsd-inetd
    early_files "openbsd-inetd, sh, ld.so.preload" start_inetd_preloaded
}

@test "xinetd: a session with its handler is the same" {
    need_xinetd
    need_program curl curl
    same xinetd start_xinetd fetch_files
}

@test "xinetd: 3 MB with 64 KB behind the request arrive whole, and a POST of 2 MB gets its answer" {
    need_xinetd
    early_files "xinetd, sh" start_xinetd
}

@test "xinetd: nothing is left behind" {
    need_xinetd
    tidy xinetd start_xinetd fetch_files
}

@test "tcpserver: a session with its handler is the same" {
    need_program tcpserver ucspi-tcp
    need_program curl curl
    same tcpserver start_tcpserver fetch_files
}

@test "tcpserver: 3 MB with 64 KB behind the request arrive whole, and a POST of 2 MB gets its answer" {
    need_program tcpserver ucspi-tcp
    early_files "tcpserver, sh" start_tcpserver
}

@test "tcpserver: nothing is left behind" {
    need_program tcpserver ucspi-tcp
    tidy tcpserver start_tcpserver fetch_files
}
