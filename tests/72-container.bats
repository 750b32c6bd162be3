#!/usr/bin/env bats
# README's Dockerfile, Compose file and Kubernetes pod, without an engine: every image is a minimal Debian by debootstrap,
# and what RUN, COPY, ENTRYPOINT and the copiers' commands say is done in it.

load helper
load root

# snippet NAME: that block of README, without its fences
snippet() {
    sed -n "/^<!-- try: $1 -->/,/^<!-- .try: $1 -->/p" "$top/README.md" | sed '/^<!--/d; /^```/d'
}

missing() {
    no_base
    python3 -c 'import yaml' 2>/dev/null || echo "python3-yaml is not installed"
}

setup_file() {
    load helper
    load root
    [ -z "$(missing)" ] || return 0
    codename=$(snippet dockerfile | sed -n 's/^FROM debian:\([a-z]*\)-slim.*/\1/p' | sort -u)
    { make_base "$codename" && snippet dockerfile | unshare --mount --propagation private \
        "$top/tests/dockerfile" "$base" "$BATS_FILE_TMPDIR" "$top" >"$BATS_FILE_TMPDIR/words"; } \
        >"$BATS_FILE_TMPDIR/log" 2>&1 3>&- || {
        tail -n 30 "$BATS_FILE_TMPDIR/log" >&2
        return 1
    }
    echo "$base" >"$BATS_FILE_TMPDIR/base"
}

setup() {
    why=$(missing | head -n 1)
    [ -z "$why" ] || skip "$why"
    base=$(<"$BATS_FILE_TMPDIR/base")
    need_netns
}

# in_image STAGE SCRIPT [ARG...]: sh -euc SCRIPT with $root, where the image is, made of the base and that stage's changes
# ("-": the base alone), with your-server in it
in_image() {
    mkdir -p "$BATS_TEST_TMPDIR/image"
    run unshare --mount --propagation private sh -euc '
        mount -t tmpfs tmpfs "$1"
        mkdir "$1/upper" "$1/work" "$1/root"
        lower=$3
        [ "$2" = - ] || lower=$2/upper:$3
        mount -t overlay overlay -o "lowerdir=$lower,upperdir=$1/upper,workdir=$1/work" "$1/root"
        root=$1/root
        cp "$4/server" "$root/usr/local/bin/your-server"
        PATH=$4:$PATH
        export PATH
        script=$5
        shift 5
        eval "$script"' sh "$BATS_TEST_TMPDIR/image" "$1" "$base" "$bin" "${@:2}" 3>&-
    echo "$output"
    [ "$status" = 0 ]
}

@test "Dockerfile: without its last lines the reply is cut, with them it arrives whole" {
    in_image - 'netns exchange chroot "$root" your-server await write=1000000 close -- peer port send=100 await=fin read'
    cut 1000000
    mapfile -t words <"$BATS_FILE_TMPDIR/words"
    [ "${words[-1]}" = your-server ]
    # In a file, since exchange would take the launcher's "--" for its own.
    in_image "$BATS_FILE_TMPDIR/last" 'for word; do printf " \"%s\"" "$word"; done |
            sed "s|.*|exec chroot \"$root\" & \"\$@\"|" >"$root/container"
        netns exchange sh "$root/container" await write=1000000 close -- peer port send=100 await=fin read' "${words[@]}"
    whole 1000000
}

@test "Dockerfile: the command is the container's own process, and its status the container's" {
    mapfile -t words <"$BATS_FILE_TMPDIR/words"
    unset 'words[-1]'
    in_image "$BATS_FILE_TMPDIR/last" 'chroot "$root" "$@" sh -c "exit 7" || [ $? = 7 ]
        [ "$(exec chroot "$root" "$@" sh -c "echo \$PPID")" = $$ ]' "${words[@]}"
}

@test "Dockerfile: the library needs no newer libc than README says" {
    says=$(sed -n 's/.*(of glibc \([0-9.]*\) or later.*/\1/p' "$top/README.md")
    newest=$(readelf -W --version-info "$BATS_FILE_TMPDIR/last/upper/usr/local/lib/liblingerclose.so" |
        grep -o 'GLIBC_[0-9.]*' | sort -V | tail -n 1)
    [ "GLIBC_$says" = "$newest" ]
}

# by_volume compose|kubernetes: the copier in the first stage's image, then your-server in an image that has nothing of it
by_volume() {
    snippet "$1" >"$BATS_TEST_TMPDIR/yaml"
    variables=$("$top/tests/volumes" "$1" <"$BATS_TEST_TMPDIR/yaml")
    echo "$variables"
    eval "$variables"
    volume=$BATS_TEST_TMPDIR/volume
    mkdir -p "$volume"
    in_image "$BATS_FILE_TMPDIR/$target" 'mkdir -p "$root$1"
        mount --bind "$2" "$root$1"
        eval "chroot \"\$root\" $3"' "$at" "$volume" "$copier"
    exchange='mkdir -p "$root$1"
        mount --bind "$2" "$root$1"
        mount -o remount,bind,ro "$root$1"
        eval "netns exchange chroot \"\$root\" env $3 /usr/local/bin/your-server await write=1000000 close -- \
            peer port send=100 await=fin read"'
    in_image - "$exchange" "$at" "$volume" -i
    cut 1000000
    in_image - "$exchange" "$at" "$volume" "$environment"
    whole 1000000
}

@test "Compose: the library comes in a volume into an image that stays as it is" {
    by_volume compose
}

@test "Kubernetes: the library comes by an init container into an image that stays as it is" {
    by_volume kubernetes
}

@test "the parser of these tests refuses a pod whose server does not mount the volume" {
    snippet kubernetes | "$top/tests/volumes" kubernetes
    run "$top/tests/volumes" kubernetes < <(snippet kubernetes | sed 's/mountPath: .lingerclose, readOnly/mountPath: \/other, readOnly/')
    [ "$status" != 0 ]
}
