#!/usr/bin/env bats
# sshd: a monitor and a child under seccomp before the login, another child after it; all hold the connection, and the
# log-in shell's environment is its own. ssh and scp as clients.

load helper
needs=(/usr/sbin/sshd openssh-server)

# A key for the host and one for the user, who is root; /run is the place's own.
prepare_sshd() {
    [ -e "$work/key" ] || {
        ssh-keygen -q -t ed25519 -N '' -f "$work/host"
        ssh-keygen -q -t ed25519 -N '' -f "$work/key"
        cp "$work/key.pub" "$work/authorized"
        head -c 3000000 /dev/zero >"$work/file"
    }
    inside mount -t tmpfs none /run
    inside mkdir -m 755 /run/sshd
    # What root's own shell does at a log-in may take its time, and may wait for others.
    [ ! -e ~/.bashrc ] || inside mount --bind /dev/null ~/.bashrc
    cat >"$work/sshd_config" <<EOF
Port 2222
ListenAddress 127.0.0.1
HostKey $work/host
AuthorizedKeysFile $work/authorized
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
MaxStartups 1000
Subsystem sftp /usr/lib/openssh/sftp-server
EOF
    cat >"$work/ssh_config" <<EOF
Host test
    HostName 127.0.0.1
    Port 2222
    User root
    IdentityFile $work/key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
EOF
}

start_sshd() {
    prepare_sshd
    daemon 2222 /usr/sbin/sshd -D -e -f "$work/sshd_config"
}

# sshd without the shim: for the clients' sake.
start_sshd_plainly() {
    prepare_sshd
    inside /usr/sbin/sshd -D -e -f "$work/sshd_config" >>"$work/daemon.log" 2>&1 </dev/null 3>&- &
    until listens 2222; do sleep 0.05; done
}

# session WITH: every command of it by `inside` or `under`
session() {
    local with=$1 options=(-F "$work/ssh_config")
    head -c 1000000 /dev/zero | "$with" ssh "${options[@]}" test 'cksum; exit 7' || echo "exit $?"
    "$with" scp "${options[@]}" "$work/file" "test:$work/put" && cksum <"$work/put"
    "$with" sftp -q "${options[@]}" -b - test <<<"get $work/file $work/got" >/dev/null && cksum <"$work/got"
    "$with" ssh "${options[@]}" -o PubkeyAuthentication=no test true 2>&1 || echo "exit $?"
    # A forwarding to sshd itself, whose first line tells that it works; ssh ends after its command and the last forwarding.
    "$with" ssh "${options[@]}" -f -L 9000:127.0.0.1:2222 test sleep 0.5 3>&-
    inside timeout 5 "$bin/peer" 9000 any text='bye\r\n' read | grep -o '^bytes=.* end=[A-Z]*'
}

by_clients_outside() { session inside; }
by_clients_under() { session under; }
log_in() { inside ssh -F "$work/ssh_config" test true; }

quiet_banner=(text='no banner\r\n' read)
early_banner=(text='no banner\r\n' send=65536 read)

@test "sshd: logins, commands, transfers, a refused key and a forwarding are the same" {
    same sshd start_sshd by_clients_outside
}

@test "ssh, scp and sftp under the shim do the same" {
    same "ssh, scp, sftp" start_sshd_plainly by_clients_under
}

@test "sshd: a bad banner with 64 KB behind it gets its answer" {
    early sshd "bad banner, 64 KB behind" start_sshd 2222 quiet_banner[@] early_banner[@]
}

@test "sshd: eleven short logins leave nothing behind" {
    tidy sshd start_sshd log_in
}
