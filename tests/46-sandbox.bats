#!/usr/bin/env bats
# After a program has put itself into a sandbox there are only the real calls: one that it would not
# make itself may be its death.

load helper
load ways

unread=(peer port send=100 await=fin read)

# lives HOW CASE: it says that it is alive, ends as without the shim, and its close is the real call.
lives() {
    plain sandbox "$@" -- "${unread[@]}"
    cut 600000
    grep '^server: alive' <<<"$output"
    same_server
    shimmed sandbox "$@" -- "${unread[@]}"
    cut 600000
    same_server
}

@test "the filter of these tests kills for what lingering needs" {
    # The control of all that follows: the same without a sandbox lingers, by these calls.
    need_command strace
    need_netns
    PATH=$bin:$PATH run netns exchange strace -f -E "LD_PRELOAD=$lib" -o "$BATS_TEST_TMPDIR/strace" \
        ways iterative close unread -- "${unread[@]}" 3>&-
    echo "$output"
    whole 600000
    sed -n '/write(1, "letting go/,$p' "$BATS_TEST_TMPDIR/strace" >"$BATS_TEST_TMPDIR/letting-go"
    grep -q recvfrom "$BATS_TEST_TMPDIR/letting-go"
    grep -q getsockopt "$BATS_TEST_TMPDIR/letting-go"
}

@test "a program that sandboxes itself by prctl lives" {
    lives prctl close
    lives prctl shutdown
    lives prctl exit
}

@test "a program that sandboxes itself by syscall(SYS_seccomp) lives" {
    lives seccomp close
    lives seccomp exit
    lives tsync close
}

@test "a program in strict mode lives" {
    lives strict exit
}

@test "a sandboxed program that is counted ends by quick_exit as it would" {
    mkdir "$BATS_TEST_TMPDIR/stats"
    export LINGERCLOSE_STATS=$BATS_TEST_TMPDIR/stats
    lives prctl quick_exit
    lives seccomp quick_exit
    [ -n "$(ls "$LINGERCLOSE_STATS")" ]
}

@test "a sandboxed program's children live" {
    lives prctl child
    lives seccomp child
}

@test "a child that goes into a sandbox closes plainly, its parent's session goes on" {
    lives prctl shared
    # Its parent is outside, and lingers.
    plain sandbox prctl parent -- "${unread[@]}"
    cut 600000
    same_server
    shimmed sandbox prctl parent -- "${unread[@]}"
    whole 600000
    same_server
}

@test "a session goes on in a sandbox where one of its two numbers was closed, though its parent lets go" {
    lives prctl copies
    lives seccomp copies
}

@test "a program that sandboxes itself while a connection lingers for it lives" {
    local how
    for how in prctl seccomp tsync; do
        plain sandbox "$how" background -- "${unread[@]}"
        same_server
        shimmed sandbox "$how" background -- "${unread[@]}"
        same_server
    done
}

@test "a filter that was there before the program, as a container's, does not switch the shim off" {
    local way
    for way in close fclose return _exit; do
        plain sandbox wrap ways iterative "$way" unread -- "${unread[@]}"
        cut 600000
        shimmed sandbox wrap ways iterative "$way" unread -- "${unread[@]}"
        whole 600000
    done
    lives wrap sandbox prctl close
}

# What systemd.exec(5) leaves to a hardened service: SystemCallFilter=@system-service, then ~@privileged @resources.
granted() {
    systemd-analyze syscall-filter 2>/dev/null | awk '
        function calls(set, to, n, word, i) {
            n = split(has[set], word, " ")
            for (i = 1; i <= n; i++)
                if (word[i] ~ /^@/) calls(word[i], to)
                else to[word[i]] = 1
        }
        /^@/ { set = $1 }
        /^    [@a-z]/ { has[set] = has[set] " " $1 }
        END {
            calls("@system-service", yes)
            calls("@privileged", no)
            calls("@resources", no)
            for (call in yes) if (!(call in no)) print call
        }' | sort
}

# What of the calls that strace has noted is not granted.
refused() {
    sed -n 's/^[0-9]* *\([a-z_0-9]*\)(.*/\1/p' "$BATS_TEST_TMPDIR/calls" | sort -u |
        comm -23 - "$BATS_TEST_TMPDIR/granted"
}

@test "the shim makes no system call for which a hardened systemd service is killed" {
    local case
    need_command systemd-analyze
    need_command strace
    granted >"$BATS_TEST_TMPDIR/granted"
    # The control: nice(1) sets its priority.
    strace -f -qq -o "$BATS_TEST_TMPDIR/calls" nice -n 1 true 3>&-
    [ "$(refused)" = setpriority ]
    for case in "server await write=600000 nonblock close exec=/nowhere" "server await write=600000 shut=rdwr close" \
        "ways thread close unread" "ways fork _exit unread" "ways vfork-exec close unread" \
        "ways posix_spawn exit unread" "ways popen-exec fclose unread" "ways prefork close_range unread"; do
        # shellcheck disable=SC2086 # a list of words
        plain strace -f -qq -o "$BATS_TEST_TMPDIR/calls" -E "LD_PRELOAD=$lib" $case -- "${unread[@]}"
        complete 600000
        grep -q SHUT_WR "$BATS_TEST_TMPDIR/calls"
        [ "$(refused)" = "" ] || complain "$case: $(refused)"
    done
}
