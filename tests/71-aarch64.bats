#!/usr/bin/env bats
# The shim for aarch64: its programs under qemu-user, with this machine's kernel and a peer of its own architecture.
#
# qemu-user is registered for aarch64 (Documentation/admin-guide/binfmt-misc.rst) in a user namespace of the test's own,
# so that exec works and the machine knows nothing of it. Two things are qemu's, not the shim's: its vfork is a fork, and
# it does not pass SO_COOKIE on, without which connections that were shared are closed plainly; build/aarch64/tests/cookie.so
# answers that in its stead.

load helper

setup_file() {
    load helper
    command -v aarch64-linux-gnu-gcc >/dev/null || return 0
    make -s -C "$top" test-programs aarch64 >&2 3>&-
}

setup() {
    command -v aarch64-linux-gnu-gcc >/dev/null || skip "no compiler for aarch64: gcc-aarch64-linux-gnu"
    qemu=$(command -v qemu-aarch64-static) || skip "no qemu-aarch64-static: qemu-user-static"
    [ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ] || skip "no libc for aarch64: libc6-arm64-cross"
    arm=$top/build/aarch64
    emulated true 2>/dev/null || skip "no namespace with a binfmt_misc of its own can be made here"
    lib=$arm/liblingerclose.so:$arm/tests/cookie.so
}

# Runs a command where the kernel has qemu run what is for aarch64. F: it opens qemu now, for whatever root comes later.
emulated() {
    # shellcheck disable=SC2016 # the inner shell's
    QEMU_LD_PREFIX=/usr/aarch64-linux-gnu QEMU=$qemu unshare --user --map-root-user --mount sh -ec '
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        magic="\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
        mask="\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
        printf ":aarch64:M::%s:%s:%s:F" "$magic" "$mask" "$QEMU" >/proc/sys/fs/binfmt_misc/register
        exec "$@"' sh "$@"
}

# As plain and shimmed of helper.bash.
plain() {
    echo "--- plain: $*"
    PATH=$bin:$PATH run emulated env -u SHIM netns exchange "$@" 3>&-
    echo "$output"
    [ "$status" -eq 0 ]
}

shimmed() {
    echo "--- shim: $*"
    PATH=$bin:$PATH SHIM=$lib run emulated netns exchange "$@" 3>&-
    echo "$output"
    [ "$status" -eq 0 ]
}

# gently MODEL WAY: with input unread, and with input that comes late
gently() {
    plain "$arm/tests/ways" "$1" "$2" unread -- peer port send=100 await=fin read
    cut 600000
    shimmed "$arm/tests/ways" "$1" "$2" unread -- peer port send=100 await=fin read
    whole 600000
    shimmed "$arm/tests/ways" "$1" "$2" late -- peer port await=fin send=100 read
    whole 600000
    grep -q '^server: exit=5' <<<"$output"
}

@test "aarch64: the exported names are those of the map" {
    readelf -h "$arm/liblingerclose.so" | grep -q 'Machine:.*AArch64'
    map=$(tr '\n' ' ' <"$top/shim/lingerclose.map" | sed 's/.*global://; s/local:.*//' | tr -s ' ;' '\n' | grep . | sort)
    diff <(echo "$map") <(nm -D --defined-only "$arm/liblingerclose.so" | awk '{ print $3 }' | sort)
    readelf -d "$arm/liblingerclose.so" | never TEXTREL
}

@test "aarch64: a reply arrives whole, with input unread and with late input" {
    lib=$arm/liblingerclose.so # here without the help of cookie.so
    for words in "await write=1000000 close -- peer port send=100 await=fin read" \
        "write=1000000 close -- peer port await=fin send=100 read"; do
        # shellcheck disable=SC2086 # a list of words
        plain "$arm/tests/server" $words
        cut 1000000
        # shellcheck disable=SC2086
        shimmed "$arm/tests/server" $words
        whole 1000000
        grep '^server: close_ms=.* ret=0 errno=0' <<<"$output"
    done
}

@test "aarch64: a connection that the program opened itself, in the background" {
    export SHIM_ON=client
    plain peer listen send=100 await=fin read -- "$arm/tests/server" to port await nonblock write=1000000 close
    cut 1000000
    shimmed peer listen send=100 await=fin read -- "$arm/tests/server" to port await nonblock write=1000000 close
    whole 1000000
}

# Not vfork-exec: here the parent of a vfork does not wait until the child has executed the handler.
@test "aarch64: every process model ends in FIN" {
    for model in iterative thread fork prefork fork-exec posix_spawn popen-exec; do
        gently $model close
    done
}

@test "aarch64: vfork returns twice, and the child's end leaves the parent's connection alone" {
    for how in _exit exit_group; do
        plain "$arm/tests/exits" vchild $how -- peer port send=100 await=fin read
        cut 600000
        shimmed "$arm/tests/exits" vchild $how -- peer port send=100 await=fin read
        whole 600000
        grep 'child=7' <<<"$output"
    done
}

@test "aarch64: the process's end with the connection open ends in FIN" {
    for way in return exit _exit quick_exit exit_group; do
        gently iterative $way
    done
}

@test "aarch64: fclose, dup2, close_range, and calls by number end in FIN" {
    for way in fclose dup2 close_range closefrom syscall-close syscall-dup3 shut-rdwr-close syscall-shut-rdwr; do
        gently iterative $way
    done
}

@test "aarch64: calls by number pass as they are, with six arguments, result and errno intact" {
    run emulated "$arm/tests/syscalls" 3>&-
    [ "$status" = 0 ]
    plainly=$output
    grep '^mmap: page 3' <<<"$output"
    run emulated env LD_PRELOAD="$lib" "$arm/tests/syscalls" 3>&-
    [ "$status" = 0 ]
    diff <(echo "$plainly") <(echo "$output")
}

@test "aarch64: where no cookie can be had, a connection that was shared is closed plainly" {
    gently fork close
    lib=$arm/liblingerclose.so
    shimmed "$arm/tests/ways" fork close unread -- peer port send=100 await=fin read
    [ "$(value rsts)" -gt 0 ]
    shimmed "$arm/tests/ways" iterative close unread -- peer port send=100 await=fin read
    whole 600000
}
