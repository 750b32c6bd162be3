#!/usr/bin/env bats
# vsftpd: three processes for a connection, which end by _exit and hold copies of each other's; it forks by
# syscall(SYS_clone), and can put a seccomp filter over the one that serves.

load helper
needs=(vsftpd vsftpd)

# With an /etc of the place's own there are a user and a password.
start_vsftpd() {
    local dir
    own_etc
    echo "tester:x:4321:65534::$work/home:/bin/sh" >>"$work/etc/passwd"
    echo "tester:$(openssl passwd -6 right):19000::::::" >>"$work/etc/shadow"
    printf '%s\n' 'auth required pam_unix.so nodelay' 'account required pam_unix.so' >"$work/etc/pam.d/vsftpd"
    mkdir -p "$work"/empty
    for dir in "$work/ftp" "$work/home"; do
        mkdir -p "$dir/incoming"
        head -c 3000000 /dev/zero >"$dir/file"
        chmod 777 "$dir/incoming"
    done
    mkdir -p "$work/ftp/many"
    (cd "$work/ftp/many" && seq 5000 | xargs touch)
    chmod 555 "$work/ftp" "$work/home"
    cat >"$work/vsftpd.conf" <<EOF
listen=YES
listen_port=2121
background=NO
anonymous_enable=YES
anon_root=$work/ftp
local_enable=YES
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
secure_chroot_dir=$work/empty
pam_service_name=vsftpd
max_login_fails=1
delay_failed_login=0
xferlog_enable=NO
$1
EOF
    daemon 2121 vsftpd "$work/vsftpd.conf"
}

start_sandboxed() { start_vsftpd seccomp_sandbox=YES; }

use_ftp() { inside python3 "$BATS_TEST_DIRNAME/ftp-client" 2121 session; }
log_in() { inside python3 "$BATS_TEST_DIRNAME/ftp-client" 2121 login; }

# A listing on the control connection. The client reads once vsftpd has sent its FIN, behind the answers.
goodbye='USER anonymous\r\nPASS a@b\r\nSTAT many\r\nQUIT\r\n'
quiet_quit=(text="$goodbye" read)
early_quit=(rcvbuf=65536 text="$goodbye" send=32000 await=fin slow=32768:1)
# 2,000 answers before it.
printf -v features '%.0sFEAT\r\n' {1..2000}
failure="${features}USER tester\r\nPASS wrong\r\n"
quiet_failure=(text="$failure" read)
early_failure=(rcvbuf=65536 text="$failure" send=32000 await=fin slow=32768:1)

# The client of the data connection.
early_data() {
    ask() {
        run inside timeout 60 python3 "$BATS_TEST_DIRNAME/ftp-client" "$1" early "$3"
        echo "$phase: ftp-client $*: $output"
        [ "$status" -eq 0 ]
    }
    quiet_data=(0)
    loud_data=(65536)
    early "$1" "3 MB, 64 KB on the data connection" "$2" 2121 quiet_data[@] loud_data[@]
}

@test "vsftpd: sessions of an anonymous and a local user are the same" {
    same "vsftpd" start_vsftpd use_ftp
}

@test "vsftpd: a file of 3 MB arrives whole, whatever comes on its data connection" {
    early_data "vsftpd" start_vsftpd
}

@test "vsftpd: a long answer and one to QUIT, with 32 KB behind them, arrive whole" {
    early "vsftpd" "long answer and QUIT, 32 KB behind" start_vsftpd 2121 quiet_quit[@] early_quit[@]
}

@test "vsftpd: 2,000 answers and one to a wrong password, with 32 KB behind them, arrive whole" {
    early "vsftpd" "2,000 answers, wrong password, 32 KB behind" start_vsftpd 2121 quiet_failure[@] early_failure[@]
}

@test "vsftpd: nothing is left behind" {
    tidy "vsftpd" start_vsftpd use_ftp
}

# Debian 12's kills itself with its own filter at each listing and transfer (newfstatat), shim or no shim. Under the
# filter the shim makes the real calls only.
@test "vsftpd, seccomp_sandbox=YES: logins are the same" {
    same "vsftpd, seccomp_sandbox=YES" start_sandboxed log_in
}

@test "vsftpd, seccomp_sandbox=YES: nothing is left behind" {
    tidy "vsftpd, seccomp_sandbox=YES" start_sandboxed log_in
}
