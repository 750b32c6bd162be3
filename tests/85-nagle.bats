#!/usr/bin/env bats
# liblingerclose-nagle.so: packets for each reply, and ms, of a program that writes its replies in small pieces
# (tests/pieces.c), as the peer's kernel counts them; and that nobody gets a connection corked.

load helper

setup() {
    nagle=$build/liblingerclose-nagle.so
    preload=$nagle:$lib
    unset LINGERCLOSE_NODELAY LINGERCLOSE_CORK
}

# Every call before which what is held goes; the last ones end after 100 ms whatever comes.
waits=(read readv recv recvfrom recvmsg recvmmsg fgets fgets_unlocked fgetc getc_unlocked fread getline
    poll ppoll select pselect epoll_wait epoll_pwait epoll_pwait2
    accept accept4 nanosleep usleep sleep thrd_sleep clock_nanosleep syscall
    signal-pause signal-sigsuspend signal-sigwait signal-sigwaitinfo signal-sigtimedwait
    wait waitpid wait3 wait4 waitid thread-join
    thread-cond_wait thread-cond_timedwait thread-cond_clockwait thread-cnd_wait thread-cnd_timedwait thread-sem_wait thread-sem_timedwait thread-sem_clockwait)

# Each reply came in one packet, and none waited for an acknowledgement (40 ms) or a bound. On a busy machine, where an
# acknowledgement comes late, the kernel may send one of ten once more (tail loss probe, RFC 8985).
one_packet_each() {
    between "$(value replies)" "$(value packets)" $(($(value replies) + $(value replies) / 10 + 1))
    between 0 "$(value median_ms)" 34
}

@test "a reply in small pieces waits for the peer's delayed acknowledgement; with nodelay and cork it does not" {
    plain pieces write read -- asker port 50
    between 35 "$(value median_ms)" 250
    [ "$(value packets)" -gt 50 ]
    # The object alone does nothing.
    shimmed pieces write read -- asker port 10
    between 35 "$(value median_ms)" 250
    LINGERCLOSE_NODELAY=on shimmed pieces write read -- asker port 50
    between 0 "$(value median_ms)" 34
    [ "$(value packets)" -gt 500 ]
    LINGERCLOSE_CORK=on shimmed pieces write read -- asker port 50
    one_packet_each
    LINGERCLOSE_CORK=on LINGERCLOSE_NODELAY=on shimmed pieces write read -- asker port 50
    one_packet_each
}

@test "cork: pieces by every call that writes are held" {
    for writer in write writev send sendto sendmsg sendmmsg fflush syscall copying; do
        plain pieces $writer read -- asker port 10
        between 35 "$(value median_ms)" 250
        LINGERCLOSE_CORK=on shimmed pieces $writer read -- asker port 10
        one_packet_each
    done
    # What sendfile adds is a fragment each, of which a packet has 17 at most (MAX_SKB_FRAGS): a full one goes at once.
    plain pieces sendfile read -- asker port 10
    [ "$(value packets)" -gt 40 ]
    LINGERCLOSE_CORK=on shimmed pieces sendfile read -- asker port 10
    between 10 "$(value packets)" 33
}

@test "cork: before every call that waits, what is held goes" {
    for how in "${waits[@]}"; do
        # The control: nothing is sent when the program itself has corked, until the kernel's bound (200 ms), or none ends.
        plain pieces write "$how" cork -- asker port 1
        between 180 "$(value median_ms)" 1500
        LINGERCLOSE_CORK=on shimmed pieces write "$how" -- asker port 2
        [ "$(value packets)" -le 3 ] || complain "$how: $(value packets) packets for 2 replies"
    done
}

@test "cork: what is sent before a wait does not wait for an acknowledgement that the peer delays" {
    # By hand, without TCP_NODELAY: the child's half of a reply is held back by Nagle.
    plain pieces write read shared -- asker port 20
    between 35 "$(value median_ms)" 250
    LINGERCLOSE_CORK=on shimmed pieces write read shared -- asker port 20
    between 0 "$(value median_ms)" 34
    [ "$(value packets)" -le 44 ]
}

@test "cork: in a program with threads, each writing while others wait, no reply is left held" {
    crowd=(sh -c 'for n in 1 2 3 4 5 6 7 8; do asker $0 "$1" & done; wait' port)
    plain pieces write read cork crowd -- "${crowd[@]}" 1
    [ "$(grep -c 'client: replies=1 ' <<<"$output")" = 8 ]
    between 180 "$(value median_ms)" 1500
    # A reply that was left held would come after 200 ms, and a thread that waits sends only a part of another's too early.
    # On a busy machine one may take as long: the best of three.
    for try in 1 2 3; do
        LINGERCLOSE_CORK=on shimmed pieces write read crowd -- "${crowd[@]}" 300
        [ "$(grep -c 'client: replies=300 ' <<<"$output")" = 8 ]
        longest=$(sed -n 's/.*most_ms=//p' <<<"$output" | sort -n | tail -n 1)
        [ "$longest" -ge 180 ] || break
    done
    between 0 "$longest" 180
    between 300 "$(sed -n 's/.*packets=\([0-9]*\).*/\1/p' <<<"$output" | sort -n | tail -n 1)" 1200
}

@test "a program that sets TCP_NODELAY or TCP_CORK itself keeps its way" {
    export LINGERCLOSE_CORK=on
    shimmed pieces write read nodelay -- asker port 20
    between 0 "$(value median_ms)" 34
    [ "$(value packets)" -gt 100 ]
    shimmed pieces write read cork -- asker port 5
    between 180 "$(value median_ms)" 250
    shimmed pieces write read neither -- asker port 10
    between 35 "$(value median_ms)" 250
    LINGERCLOSE_NODELAY=on shimmed pieces write read neither -- asker port 10
    between 35 "$(value median_ms)" 250
    LINGERCLOSE_NODELAY=on LINGERCLOSE_CORK=off shimmed pieces write read neither -- asker port 10
    between 35 "$(value median_ms)" 250
    # Control: the same program without an option is helped.
    shimmed pieces write read -- asker port 10
    one_packet_each
}

# A byte by a copy of a connection, then a wait: is the connection still corked by the program?
by_copy='import os, select, socket, sys
def corked(s): return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK)
listening = socket.create_server(("127.0.0.1", 0))
if sys.argv[1] == "listener": listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
client = socket.create_connection(listening.getsockname())
s = listening.accept()[0]
if sys.argv[1] == "dup": s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1); copy = os.dup(s.fileno())
elif sys.argv[1] == "makes": s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1); d = s.dup(); copy = d.fileno()
else: copy = s.fileno()
os.write(copy, b"x")
select.select([s], [], [], 0)
print("corked=%d" % corked(s))'

@test "cork: a copy of a connection that the program has corked is its own way as well, and so is what its corked socket accepts" {
    need_command python3
    need_netns
    for way in dup makes listener; do
        run in_netns env LD_PRELOAD="$preload" LINGERCLOSE_CORK=on python3 -c "$by_copy" $way
        [ "$output" = corked=1 ] || complain "$way: $output"
    done
    # Control: another one is uncorked.
    run in_netns env LD_PRELOAD="$preload" LINGERCLOSE_CORK=on python3 -c "$by_copy" none
    [ "$output" = corked=0 ]
}

@test "cork: whoever gets the connection, or keeps it, gets it uncorked" {
    need_netns
    for way in fork _Fork vfork execl execlp execle execv execve execvp execvpe fexecve execveat syscall-execve \
        posix_spawn posix_spawnp system popen sendmsg sendmmsg syscall-sendmsg exit quick_exit _exit syscall-exit_group pthread_exit \
        close syscall-close dup2 dup3 close_range closefrom fclose freopen setsockopt; do
        # The control: the way alone takes no cork off.
        run in_netns timeout 20 "$bin/corked" $way own
        [ "$output" = $'before=1\nafter=1' ] || complain "$way, by the program: $output"
        for libraries in "$preload" "$nagle"; do
            run in_netns timeout 20 env LD_PRELOAD="$libraries" LINGERCLOSE_CORK=on "$bin/corked" $way
            [ "$output" = $'before=1\nafter=0' ] || complain "$way, by $libraries: $output"
        done
    done
}

# How a program finds what it is started with, and what it makes: on=N for TCP_NODELAY
options='import os, socket, sys
def on(s): return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
made = socket.socket()
listening = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listening.getsockname())
accepted = listening.accept()[0]
six = socket.socket(socket.AF_INET6)
print("made=%d accepted=%d client=%d six=%d" % (on(made) > 0, on(accepted) > 0, on(client) > 0, on(six) > 0))
if len(sys.argv) > 1:
    given = socket.socket(fileno=int(sys.argv[1]))
    print("given=%d" % (on(given) > 0))'

@test "nodelay: every socket that the program makes, opens, accepts or is given" {
    need_command python3
    need_netns
    run in_netns env LD_PRELOAD="$preload" python3 -c "$options"
    [ "$output" = "made=0 accepted=0 client=0 six=0" ]
    run in_netns env LD_PRELOAD="$preload" LINGERCLOSE_NODELAY=on python3 -c "$options"
    [ "$output" = "made=1 accepted=1 client=1 six=1" ]
    for state in off on; do
        run in_netns python3 -c 'import os, socket, sys
s = socket.create_server(("127.0.0.1", 0))
os.set_inheritable(s.fileno(), True)
os.environ.update(LD_PRELOAD=sys.argv[1], LINGERCLOSE_NODELAY=sys.argv[2])
os.execvp("python3", ["python3", "-c", sys.argv[3], str(s.fileno())])' "$preload" $state "$options"
        echo "$output"
        if [ $state = on ]; then [ "${lines[1]}" = given=1 ]; else [ "${lines[1]}" = given=0 ]; fi
    done
}

@test "LINGERCLOSE=off, LINGERCLOSE_PROGRAMS and a bad value leave it off; a bad value is one warning of the two libraries" {
    export LINGERCLOSE_CORK=on
    LINGERCLOSE=off shimmed pieces write read -- asker port 5
    between 35 "$(value median_ms)" 250
    LINGERCLOSE_PROGRAMS=nginx shimmed pieces write read -- asker port 5
    between 35 "$(value median_ms)" 250
    LINGERCLOSE_PROGRAMS=pieces shimmed pieces write read -- asker port 5
    one_packet_each
    run env LD_PRELOAD="$preload" LINGERCLOSE_CORK=yes echo hello
    [ "$output" = 'lingerclose: LINGERCLOSE_CORK="yes" is not a known word; accepted: on or off (default off holds)
hello' ]
    LINGERCLOSE_CORK=yes shimmed pieces write read -- asker port 5
    between 35 "$(value median_ms)" 250
}

@test "after a program has entered a sandbox that kills for what it would not do itself, it goes on" {
    need_command python3
    need_command gcc
    cat >"$BATS_TEST_TMPDIR/strict.c" <<-'END'
		#include "connection.h"
		#include <linux/seccomp.h>
		#include <sys/prctl.h>
		#include <sys/syscall.h>
		int main(int argc, char **argv)
		{
		    int fd = answer(AF_INET, 0, 0);
		    (void)argc;
		    int kill = argv[1] && argv[1][0] == 'k';
		    if (kill && setsockopt(fd, IPPROTO_TCP, TCP_CORK, &(int){0}, sizeof(int)))
		        err(1, "setsockopt");
		    if (argv[1] && argv[1][0] == 'n')
		        syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0L, 0L, 0L);
		    else
		        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		    for (char b; read(fd, &b, 1) == 1;)
		        if (kill ? setsockopt(fd, IPPROTO_TCP, TCP_CORK, &(int){0}, sizeof(int)) : 0)
		            break;
		        else if (b == '\n')
		            for (int i = 0; i < 40; i++)
		                write(fd, "x", 1);
		    syscall(SYS_exit, 0);
		}
	END
    gcc -D_GNU_SOURCE -I "$top/tests" -o "$BATS_TEST_TMPDIR/strict" "$BATS_TEST_TMPDIR/strict.c" 2>&1 | grep error || true
    export LINGERCLOSE_CORK=on
    # The control: a setsockopt of its own kills it.
    PATH=$bin:$PATH run in_netns exchange "$BATS_TEST_TMPDIR/strict" kill -- asker port 2 3>&-
    echo "$output"
    [[ $output == *'server: signal=9'* || $output == *'server: exit=137'* ]]
    LINGERCLOSE=off preload=$nagle shimmed "$BATS_TEST_TMPDIR/strict" -- asker port 2
    preload=$nagle shimmed "$BATS_TEST_TMPDIR/strict" -- asker port 2
    [[ $output == *'server: exit=0'* ]]
    [ "$(value replies)" = 2 ]
    preload=$nagle shimmed "$BATS_TEST_TMPDIR/strict" number -- asker port 2
    [[ $output == *'server: exit=0'* ]]
}

@test "the launcher loads it where it is asked for: by an option, the environment or the file, and not else" {
    launcher=$top/scripts/lingerclose
    run "$launcher" printenv LD_PRELOAD
    [ "$output" = "$lib" ]
    for option in --nodelay --cork --cork=on; do
        run "$launcher" $option printenv LD_PRELOAD
        [ "$output" = "$preload" ]
    done
    run env LINGERCLOSE_NODELAY=on "$launcher" printenv LD_PRELOAD
    [ "$output" = "$preload" ]
    run "$launcher" --cork=off --nodelay=off printenv LD_PRELOAD
    [ "$output" = "$lib" ]
    # A launcher around another names each once, and what was there stays.
    run "$launcher" "$launcher" --cork printenv LD_PRELOAD
    [ "$output" = "$preload" ]
    run "$launcher" --cork "$launcher" --cork=off printenv LD_PRELOAD
    [ "$output" = "$lib" ]
    run env LD_PRELOAD=libc.so.6 "$launcher" --cork "$launcher" printenv LD_PRELOAD
    [ "$output" = "$preload:libc.so.6" ]
    run "$launcher" --cork --unit a.service
    grep -qxF "Environment=\"LD_PRELOAD=$preload\"" <<<"$output"
    # The command in its comment makes it again.
    unit=$output
    command=$(sed -n 's/^# .*\(lingerclose --unit a.service [^>]*\)>.*/\1/p' <<<"$unit")
    [[ $command == *--cork=on* ]]
    PATH=$top/scripts:$PATH run sh -c "$command"
    [ "$output" = "$unit" ]
    cp -R "$top/scripts" "$BATS_TEST_TMPDIR/scripts"
    mkdir "$BATS_TEST_TMPDIR/build"
    cp "$lib" "$BATS_TEST_TMPDIR/build/"
    run "$BATS_TEST_TMPDIR/scripts/lingerclose" true
    [ "$status" = 0 ]
    run "$BATS_TEST_TMPDIR/scripts/lingerclose" --cork true
    [ "$status" = 125 ]
    [ "$output" = "lingerclose: cannot preload $BATS_TEST_TMPDIR/build/liblingerclose-nagle.so: it is not there; run make first" ]
}

@test "the file's word is enough for the launcher" {
    load etc
    private_etc
    launcher=$top/scripts/lingerclose
    for line in LINGERCLOSE_CORK=off '# LINGERCLOSE_CORK=on'; do
        conf "$line"
        run with_etc "$launcher" printenv LD_PRELOAD
        [ "$output" = "$lib" ]
    done
    for line in LINGERCLOSE_CORK=on ' LINGERCLOSE_NODELAY=on '; do
        conf "$line"
        run with_etc "$launcher" printenv LD_PRELOAD
        [ "$output" = "$preload" ]
    done
}

@test "liblingerclose-nagle.so exports the names of its map, needs libc alone, and has no heap, stdio, locks or environment" {
    exported=$(nm -D --defined-only "$nagle" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
    map=$(tr '\n' ' ' <"$top/shim/nagle/nagle.map" | sed 's/.*global://; s/local:.*//' | tr -s ' ;' '\n' | grep . | sort)
    diff <(echo "$map") <(echo "$exported")
    readelf -d "$nagle" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | never -vx 'libc\.so\.6\|ld-linux-.*'
    # fileno(3) and stdin are asked for numbers only. The control: a test program has what is looked for.
    forbidden='[a-z]*alloc|free|mmap|v?[fsd]?n?printf|f?puts|f?putc|fwrite|fopen|perror|stderr|getenv|pthread_(mutex|cond).*'
    nm -D --undefined-only "$bin/pieces" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep -qxE "$forbidden"
    nm -D --undefined-only "$nagle" | awk '{ sub(/@.*/, "", $2); print $2 }' | never -xE "$forbidden"
    # Whatever glibc exports beside a name that is hooked, with the same meaning, is hooked as well.
    libc=$(ldd "$bin/server" | awk '/libc\.so\.6/ { print $3 }')
    names=$(nm -D --defined-only "$libc" | awk '!/GLIBC_PRIVATE/ { sub(/@.*/, "", $3); print $3 }' | sort -u)
    for name in $map; do
        for other in "__$name" "__${name}_chk"; do
            ! grep -qx "$other" <<<"$names" || grep -qx "$other" <<<"$map" || complain "$other has no hook"
        done
    done
}
