# shellcheck shell=bash disable=SC2154
# For the tests that install things: `load root`, after `load helper`.
#
#   rooted SCRIPT [ARG...]   runs sh -euc SCRIPT with $root, where a copy of this machine's root is (an overlay), and
#                            $upper, where all is that has changed there. Both are gone afterwards, and the machine's
#                            own files are as they were.

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
        mount -t overlay overlay -o "lowerdir=/,upperdir=$upper,workdir=$1/work" "$root"
        for directory in /proc /sys /dev "$2"; do
            [ -d "$root$directory" ] || mkdir -p "$root$directory"
            mount --rbind "$directory" "$root$directory"
        done
        script=$3
        shift 3
        eval "$script"' sh "$BATS_TEST_TMPDIR/rooted" "$top" "$@" 3>&-
}
