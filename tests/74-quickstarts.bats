#!/usr/bin/env bats
# README's quick starts with the Debian package, in a copy of this machine's root: inetd, and the whole system.

load helper
load root

setup_file() {
    load helper
    ! command -v dpkg-deb >/dev/null || sh "$top/scripts/deb" >&2 3>&-
}

setup() {
    command -v dpkg-deb >/dev/null || skip "no Debian: dpkg-deb is not installed"
    need_overlay
    need_netns
    deb=$top/build/lingerclose_$(make -s -C "$top" print-VERSION)_$(dpkg --print-architecture).deb
}

# lines NAME: the commands of that block of README
lines() {
    sed -n "/^<!-- try: $1 -->/,/^<!-- .try: $1 -->/p" "$top/README.md" | sed -n 's/^    //p'
}

# downloads CONF-LINE: the row that demo-peer.py prints of /file, from inetd with that line
downloads() {
    run rooted '
        chroot "$root" dpkg --no-triggers -i "$1" >&2
        mkdir -p "$root/var/www"
        head -c 3000000 /dev/zero >"$root/var/www/file"
        echo "$2" >"$root/etc/inetd.conf"
        PATH=$3:$PATH netns sh -euc "
            chroot \"\$1\" /usr/sbin/inetd -i /etc/inetd.conf >&2 &
            inetd=\$!
            # 0A: it listens
            until grep -q \":\$(printf %04X 8080) 00000000:0000 0A\" /proc/net/tcp; do sleep 0.01; done
            python3 \"\$2/tests/demo-peer.py\" download 8080 inetd
            kill \$inetd" sh "$root" "$4"' "$deb" "$1" "$bin" "$top"
    echo "$output"
    [ "$status" = 0 ]
}

@test "inetd: a handler's reply is cut, and with README's line it arrives whole" {
    [ -x /usr/sbin/inetd ] || skip "openbsd-inetd is not installed"
    need_command busybox
    line=$(lines inetd.conf)
    downloads "${line%%/usr/bin/lingerclose*}/bin/busybox busybox${line##*/bin/busybox}"
    grep 'Connection reset by peer' <<<"$output"
    downloads "$line"
    grep -E '^inetd +3,000,000 of 3,000,000  end of file +0 ' <<<"$output"
}

@test "the whole system: README's line reaches a program that nobody started with anything, and is undone" {
    printf '%s\n' "$(lines preload)" >"$BATS_TEST_TMPDIR/preload"
    printf '%s\n' "$(lines unload)" >"$BATS_TEST_TMPDIR/unload"
    [ -s "$BATS_TEST_TMPDIR/preload" ] && [ -s "$BATS_TEST_TMPDIR/unload" ]
    cp "$BATS_TEST_TMPDIR/preload" "$BATS_TEST_TMPDIR/unload" "$BATS_FILE_TMPDIR"
    rooted '
        PATH=$2:$PATH
        export PATH
        serve() {
            echo "$1"
            chroot "$root" netns exchange server await write=1000000 close -- peer port send=100 await=fin read
        }
        chroot "$root" dpkg --no-triggers -i "$1" >&2
        serve before
        chroot "$root" sh <"$3/preload"
        serve preloaded
        # Even what clears its environment:
        chroot "$root" env -i grep -c liblingerclose.so /proc/self/maps
        # and a program that cannot be reached goes on, with a word:
        mv "$root"/usr/lib/*/lingerclose "$root/away"
        chroot "$root" sh -c "echo goes on"
        mv "$root/away" "$root/usr/lib/$4/lingerclose"
        chroot "$root" sh <"$3/unload"
        serve undone' "$deb" "$bin" "$BATS_FILE_TMPDIR" "$(gcc -print-multiarch)" >"$BATS_TEST_TMPDIR/output" 2>&1 || {
        cat "$BATS_TEST_TMPDIR/output"
        false
    }
    cat "$BATS_TEST_TMPDIR/output"
    output=$(sed '/^preloaded$/,$d' "$BATS_TEST_TMPDIR/output") && cut 1000000
    output=$(sed '1,/^preloaded$/d; /^undone$/,$d' "$BATS_TEST_TMPDIR/output") && whole 1000000
    grep -x '[1-9]' <<<"$output"
    grep -x 'goes on' <<<"$output"
    grep 'cannot be preloaded' <<<"$output"
    output=$(sed '1,/^undone$/d' "$BATS_TEST_TMPDIR/output") && cut 1000000
    [ ! -e /etc/ld.so.preload ] || never liblingerclose /etc/ld.so.preload
}
