# shellcheck shell=bash
# A private /etc: a copy in $etc, seen there only by what with_etc runs, in a mount namespace of its own.

etc=$BATS_TEST_TMPDIR/etc

private_etc() {
    [ "$(id -u)" = 0 ] || skip "only root can put another /etc in place"
    need_mounts
    cp -a /etc "$etc"
    rm -f "$etc/lingerclose.conf" "$etc/ld.so.preload"
}

# conf LINE...: the private /etc/lingerclose.conf
conf() {
    printf '%s\n' "$@" >"$etc/lingerclose.conf"
    chmod 644 "$etc/lingerclose.conf"
}

with_etc() {
    # shellcheck disable=SC2016 # the inner shell's
    unshare -m --propagation private sh -c 'mount --bind "$0" /etc && exec "$@"' "$etc" "$@"
}
