#!/usr/bin/env bats
# The Debian package: built, looked at by lintian, installed into a copy of this machine's root, used there, removed.

load helper
load root

setup_file() {
    load helper
    command -v dpkg-deb >/dev/null || return 0
    sh "$top/scripts/deb" >&2 3>&- || return
    if [ "$(dpkg --print-architecture)" != i386 ] && command -v i686-linux-gnu-gcc >/dev/null; then
        sh "$top/scripts/deb" i386 >&2 3>&-
    fi
}

setup() {
    command -v dpkg-deb >/dev/null || skip "no Debian: dpkg-deb is not installed"
    arch=$(dpkg --print-architecture)
    triplet=$(gcc -print-multiarch)
    version=$(make -s -C "$top" print-VERSION)
    deb=$top/build/lingerclose_${version}_$arch.deb
    deb32=$top/build/lingerclose_${version}_i386.deb
}

@test "the package says what it is, and nothing in it is but root's" {
    [ "$(dpkg-deb -f "$deb" Package Architecture Multi-Arch Version | sort | tr '\n' ' ')" = \
        "Architecture: $arch Multi-Arch: same Package: lingerclose Version: $version " ]
    dpkg-deb -c "$deb" | never -v ' root/root '
    # What libc it needs: the newest symbols that the library refers to.
    newest=$(readelf -W --version-info "$lib" | grep -o 'GLIBC_[0-9.]*' | sort -V | tail -n 1)
    dpkg --compare-versions "$(dpkg-deb -f "$deb" Depends | sed 's/libc6 (>= \(.*\))/\1/')" ge "${newest#GLIBC_}"
    dpkg-deb -c "$deb" | grep " ./usr/lib/$triplet/lingerclose/liblingerclose.so$"
}

@test "lintian has nothing to say of the package" {
    need_command lintian
    run lintian --allow-root --fail-on error,warning "$deb"
    echo "$output"
    [ "$status" = 0 ]
    # The control: a package without its copyright.
    dpkg-deb -R "$deb" "$BATS_TEST_TMPDIR/bad"
    rm "$BATS_TEST_TMPDIR/bad/usr/share/doc/lingerclose/copyright"
    dpkg-deb --root-owner-group -b "$BATS_TEST_TMPDIR/bad" "$BATS_TEST_TMPDIR/bad.deb" >/dev/null
    run lintian --allow-root --fail-on error,warning "$BATS_TEST_TMPDIR/bad.deb"
    [ "$status" = 2 ]
}

@test "the same sources give the same package, to the byte" {
    sum=$(sha256sum <"$deb")
    # The control: another day's package is another one.
    SOURCE_DATE_EPOCH=86400 sh "$top/scripts/deb" >&2
    [ "$(sha256sum <"$deb")" != "$sum" ]
    sh "$top/scripts/deb" >&2
    [ "$(sha256sum <"$deb")" = "$sum" ]
}

@test "the conffile sets nothing, and names every variable with the default that the launcher's --help tells" {
    conf=$BATS_TEST_TMPDIR/conf
    dpkg-deb --fsys-tarfile "$deb" | tar -xO ./etc/lingerclose.conf >"$conf"
    cat "$conf"
    never -v '^\(#\|$\)' "$conf"
    for name in $(sh "$top/scripts/lingerclose" --help | grep -o 'LINGERCLOSE_[A-Z_]*'); do
        [ "$(grep -c "^#$name=" "$conf")" = 1 ] || complain "$name is not there"
    done
    # With every comment's mark taken away the launcher accepts each value.
    sed -n 's/^#LINGERCLOSE_\([A-Z_]*=.\)/\1/p' "$conf" | tr 'A-Z_' 'a-z-' | sed 's/^/--/' >"$BATS_TEST_TMPDIR/options"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/options")" -ge 10 ]
    xargs -a "$BATS_TEST_TMPDIR/options" -d '\n' sh "$top/scripts/lingerclose" --print
}

@test "installed, lingerclose COMMAND does a gentle exchange; purged, nothing is left" {
    need_overlay
    need_netns
    rooted '
        chroot "$root" dpkg --no-triggers -i "$1" >&2
        chroot "$root" sh -c "lingerclose --version; lingerclose --print" >&2
        chroot "$root" dpkg -V lingerclose
        [ "$(stat -c %a "$root/run/lingerclose")" = 1777 ] || ! command -v systemd-tmpfiles
        PATH=$2:$PATH
        export PATH
        echo plain
        chroot "$root" netns exchange server await write=1000000 close -- peer port send=100 await=fin read
        echo installed
        chroot "$root" netns exchange lingerclose server await write=1000000 close -- peer port send=100 await=fin read
        chroot "$root" dpkg --no-triggers -r lingerclose >&2
        [ -e "$root/etc/lingerclose.conf" ]
        chroot "$root" dpkg --no-triggers -P lingerclose >&2
        cd "$upper"
        find . ! -type d ! -path "./var/lib/dpkg/*" ! -path "./var/log/*" ! -path "./var/cache/*" | sed "s/^/left /"
        find . -name "*lingerclose*" ! -path "./var/lib/dpkg/*" ! -path ".$3*" ! -type c | sed "s/^/left /"
        ' "$deb" "$bin" "$top" >"$BATS_TEST_TMPDIR/output" 2>"$BATS_TEST_TMPDIR/errors" || {
        cat "$BATS_TEST_TMPDIR/output" "$BATS_TEST_TMPDIR/errors"
        false
    }
    cat "$BATS_TEST_TMPDIR/errors"
    output=$(sed '/^installed$/,$d' "$BATS_TEST_TMPDIR/output")
    cut 1000000
    output=$(sed '1,/^installed$/d' "$BATS_TEST_TMPDIR/output")
    echo "$output"
    whole 1000000
    never '^left' <<<"$output"
}

@test "while /etc/ld.so.preload names the library, the package is not removed" {
    need_overlay
    rooted '
        chroot "$root" dpkg --no-triggers -i "$1" >&2
        # The control: without that line it goes.
        chroot "$root" dpkg --no-triggers -r lingerclose >&2
        chroot "$root" dpkg --no-triggers -i "$1" >&2
        echo "/usr/\$LIB/lingerclose/liblingerclose.so" >"$root/etc/ld.so.preload"
        ! chroot "$root" dpkg --no-triggers -r lingerclose
        [ -e "$root/usr/bin/lingerclose" ]
        rm "$root/etc/ld.so.preload"
        chroot "$root" dpkg --no-triggers -r lingerclose' "$deb" >"$BATS_TEST_TMPDIR/output" 2>&1
    cat "$BATS_TEST_TMPDIR/output"
    grep 'take that line out, then remove the package' "$BATS_TEST_TMPDIR/output"
}

@test "64- and 32-bit packages are installed together, and one goes without the other" {
    need_overlay
    [ -e "$deb32" ] || skip "no package for i386: gcc-i686-linux-gnu"
    rooted '
        chroot "$root" dpkg --add-architecture i386
        # libc6:i386 is not here, and need not be for this.
        chroot "$root" dpkg --no-triggers --force-depends -i "$1" "$2" >&2
        [ -e "$root/usr/lib/$3/lingerclose/liblingerclose.so" ]
        [ -e "$root/usr/lib/i386-linux-gnu/lingerclose/liblingerclose.so" ]
        chroot "$root" dpkg --no-triggers -r lingerclose:i386 >&2
        [ ! -e "$root/usr/lib/i386-linux-gnu/lingerclose" ]
        [ -d "$root/run/lingerclose" ] || ! command -v systemd-tmpfiles
        chroot "$root" lingerclose --print' "$deb" "$deb32" "$triplet" >"$BATS_TEST_TMPDIR/output" 2>"$BATS_TEST_TMPDIR/errors" || {
        cat "$BATS_TEST_TMPDIR/output" "$BATS_TEST_TMPDIR/errors"
        false
    }
    grep -F "LD_PRELOAD='/usr/\$LIB/lingerclose/liblingerclose.so'" "$BATS_TEST_TMPDIR/output"
}

@test "the launcher of the package refuses where its library is missing" {
    need_overlay
    run rooted '
        chroot "$root" dpkg --no-triggers -i "$1" >/dev/null
        chroot "$root" lingerclose true
        rm "$root"/usr/lib/*/lingerclose/liblingerclose.so
        chroot "$root" lingerclose true || exit' "$deb"
    echo "$output"
    [ "$status" = 125 ]
    [[ $output == *"it is not there; install lingerclose again"* ]]
}

@test "under the one launcher a 64-bit shell and what it executes each get the library of their own architecture" {
    [ -e "$deb32" ] || skip "no package for i386: gcc-i686-linux-gnu"
    why=$(no_base | head -n 1)
    [ -z "$why" ] || skip "$why"
    [ "$arch" = amd64 ] || skip "this machine is no amd64"
    need_netns
    make -s -C "$top" i386 >&2 3>&-
    make_base bookworm >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- || { tail "$BATS_TEST_TMPDIR/log"; false; }
    lower=$base rooted '
        chroot "$root" dpkg --no-triggers -i "$1" "$2" >&2
        cp "$3/build/i386/tests/ways" "$root/usr/local/bin/ways32"
        cp "$3/build/tests/ways" "$root/usr/local/bin/ways64"
        PATH=$3/build/tests:$PATH
        export PATH
        for bits in 32 64; do
            echo "plain $bits"
            chroot "$root" netns exchange ways$bits fork-exec close unread -- peer port send=100 await=fin read
            echo "launched $bits"
            chroot "$root" netns exchange lingerclose sh -c "exec ways$bits fork-exec close unread" -- \
                peer port send=100 await=fin read
        done
        chroot "$root" lingerclose sh -c "cat /proc/self/maps" | grep -o "/usr/lib/.*/lingerclose/.*" | sort -u
        ' "$deb" "$deb32" "$top" >"$BATS_TEST_TMPDIR/output" 2>"$BATS_TEST_TMPDIR/errors" || {
        cat "$BATS_TEST_TMPDIR/output" "$BATS_TEST_TMPDIR/errors"
        false
    }
    cat "$BATS_TEST_TMPDIR/output" "$BATS_TEST_TMPDIR/errors"
    never 'cannot be preloaded' "$BATS_TEST_TMPDIR/errors"
    for bits in 32 64; do
        output=$(sed "0,/^plain $bits\$/d; /^launched $bits\$/,\$d" "$BATS_TEST_TMPDIR/output") && cut 600000
        output=$(sed "0,/^launched $bits\$/d; /^plain/,\$d" "$BATS_TEST_TMPDIR/output") && whole 600000
    done
}
