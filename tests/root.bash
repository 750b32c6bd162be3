# shellcheck shell=bash disable=SC2154
# For the tests that install things: `load root`, after `load helper`.
#
#   rooted SCRIPT [ARG...]   runs sh -euc SCRIPT with $root, where a copy of this machine's root (or of $lower) is, an
#                            overlay, and $upper, where all is that has changed there. Both are gone afterwards, and the
#                            machine's own files are as they were.

need_overlay() {
    [ "$(id -u)" = 0 ] || skip "not root"
    rooted 'chroot "$root" true' 2>/dev/null || skip "no overlay of / can be mounted here"
}

rooted() {
    mkdir -p "$BATS_TEST_TMPDIR/rooted"
    # shellcheck disable=SC2016 # the inner shell's
    unshare --mount --propagation private sh -euc '
        mount -t tmpfs tmpfs "$1"
        upper=$1/upper root=$1/root
        mkdir "$upper" "$1/work" "$root"
        mount -t overlay overlay -o "lowerdir=$3,upperdir=$upper,workdir=$1/work" "$root"
        for directory in /proc /sys /dev "$2"; do
            [ -d "$root$directory" ] || mkdir -p "$root$directory"
            mount --rbind "$directory" "$root$directory"
        done
        script=$4
        shift 4
        eval "$script"' sh "$BATS_TEST_TMPDIR/rooted" "$top" "${lower:-/}" "$@" 3>&-
}

# Why no minimal Debian can be had here; nothing if it can.
no_base() {
    [ "$(id -u)" = 0 ] || echo "not root"
    command -v debootstrap >/dev/null || echo "debootstrap is not installed"
}

# make_base CODENAME: a minimal Debian in $base, made once by debootstrap from the machine's own mirror, as scripts/newcomer
# does. On amd64 with libc6:i386, as a system has it that runs programs of both.
make_base() {
    base=$top/build/debian-$1
    [ ! -e "$base" ] || return 0
    local mirror
    mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$1 main //p" | head -n 1)
    rm -rf "$base.new"
    debootstrap --variant=minbase "$1" "$base.new" ${mirror:+"$mirror"} || return
    cp /etc/resolv.conf "$base.new/etc/"
    apt-config dump | grep -E '^Acquire::(http|https)::' >"$base.new/etc/apt/apt.conf.d/99network" || true
    if [ "$(dpkg --print-architecture)" = amd64 ]; then
        chroot "$base.new" sh -ec 'dpkg --add-architecture i386
            apt-get update
            apt-get install -y --no-install-recommends libc6:i386' || return
    fi
    mv "$base.new" "$base"
}
