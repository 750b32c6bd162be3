#!/usr/bin/env bats
# Every way of letting go in every process model: the matrix of the two lists that `ways` prints. In
# each cell the handler writes 600,000 bytes and lets go with input unread, and once more before its
# input comes. In fork, exec and spawn the way is that of the last holder; in those that exec the
# connection has three numbers.

load helper
load ways

setup() {
    read -r -a models < <("$bin/ways")
}

# cells WAY CASE STATUS PEER-WORDS...: without the shim in one process, and with it in every model:
# all at once, each in a namespace of its own.
cells() {
    local way=$1 when=$2 code=$3 model cell=$BATS_TEST_TMPDIR/$1-$2 running=()
    shift 3
    plain ways iterative "$way" "$when" -- peer port "$@"
    cut 600000
    for model in "${models[@]}"; do
        PATH=$bin:$PATH SHIM=$lib netns exchange ways "$model" "$way" "$when" -- peer port "$@" \
            >"$cell-$model" 2>&1 3>&- &
        running+=($!)
    done
    wait "${running[@]}" # and not for the clock of bats' own time-out
    for model in "${models[@]}"; do
        output=$(<"$cell-$model")
        echo "--- shim: ways $model $way $when -- peer port $*"
        echo "$output"
        # Quickly where all is well: bash is slow under bats.
        [[ $output == *" bytes=600000 end=EOF "*" rsts=0 "* ]] || "${judge-whole}" 600000
        [[ $output == *"server: exit=$code"* ]] || complain "the server was to end with $code"
    done
}

# way NAME [STATUS]
way() {
    cells "$1" unread "${2-5}" send=100 await=fin read
    cells "$1" late "${2-5}" await=fin send=100 read
}

# A socket after SHUT_RD answers what comes after its FIN with RST, whatever anybody does. So there
# the shim drains first, for as long as the peer is not silent, and sends FIN last. The late input
# comes well within that time.
deaf() {
    LINGERCLOSE_IDLE=100ms cells "$1" unread 5 send=100 slow=20000:1
    LINGERCLOSE_IDLE=300ms cells "$1" late 5 await=line pause=30 send=100 slow=20000:1
}

@test "the matrix has a row for every way" {
    local name rows missing=0
    rows=$(sed -n 's/^ *\(way\|deaf\|shuts\) \([A-Za-z0-9_-]*\).*/\2/p' "$BATS_TEST_FILENAME" | sort -u)
    for name in $("$bin/ways" | sed 1d); do
        grep -qx "$name" <<<"$rows" || {
            echo "no test for $name"
            missing=1
        }
    done
    [ "$missing" = 0 ]
    [ "${#models[@]}" = 8 ]
}

@test "close: every model ends in FIN" {
    way close
}

@test "__close, an alias that programs use: every model ends in FIN" {
    way __close
}

@test "the second of two numbers that F_DUPFD made: every model ends in FIN" {
    way F_DUPFD
}

@test "dup2 over the connection: every model ends in FIN" {
    way dup2
}

@test "__dup2, its alias: every model ends in FIN" {
    way __dup2
}

@test "dup3 over the connection: every model ends in FIN" {
    way dup3
}

@test "close_range: every model ends in FIN" {
    way close_range
}

@test "closefrom: every model ends in FIN" {
    way closefrom
}

@test "syscall(SYS_close), as libuv closes: every model ends in FIN" {
    way syscall-close
}

@test "syscall(SYS_close_range), as libbsd closes: every model ends in FIN" {
    way syscall-close_range
}

@test "syscall(SYS_dup3) over the connection: every model ends in FIN" {
    way syscall-dup3
}

@test "fclose with the end of the reply in its buffer: every model ends in FIN" {
    way fclose
}

@test "freopen with the end of the reply in its buffer: every model ends in FIN" {
    way freopen
}

@test "freopen64, its name where off_t is asked to have 64 bits: every model ends in FIN" {
    way freopen64
}

@test "fcloseall, which leaves the descriptor to the end of the process: every model ends in FIN" {
    way fcloseall
}

@test "return from main with the connection open: every model ends in FIN" {
    way return
}

@test "exit with the connection open: every model ends in FIN" {
    way exit
}

@test "_exit with the connection open: every model ends in FIN" {
    way _exit
}

@test "_Exit with the connection open: every model ends in FIN" {
    way _Exit
}

@test "quick_exit with the connection open: every model ends in FIN" {
    way quick_exit
}

@test "syscall(SYS_exit_group) with the connection open: every model ends in FIN" {
    way exit_group
}

@test "errx, where libc itself exits with the connection open: every model ends in FIN" {
    way errx
}

@test "pthread_exit of the last thread with the connection open: every model ends in FIN" {
    way pthread_exit 0
}

@test "shutdown(SHUT_WR), then close: every model ends in FIN" {
    way shut-wr-close
}

@test "shutdown(SHUT_WR), then exit: every model ends in FIN" {
    way shut-wr-exit
}

@test "shutdown(SHUT_RD), then close: every model ends in FIN" {
    deaf shut-rd-close
}

@test "shutdown(SHUT_RD), then exit: every model ends in FIN" {
    deaf shut-rd-exit
}

# A program with threads waits a moment at most in shutdown(SHUT_RDWR). Input that comes later is no harm to the reply
# (55-headers-only.bats); the peer's own FIN behind it may be answered with RST, when it has closed.
shuts() {
    judge=complete way "$1"
}

@test "shutdown(SHUT_RDWR), then close: every model ends in FIN" {
    shuts shut-rdwr-close
}

@test "shutdown(SHUT_RDWR), then exit: every model ends in FIN" {
    shuts shut-rdwr-exit
}

@test "shutdown(SHUT_RDWR), then _exit: every model ends in FIN" {
    shuts shut-rdwr-_exit
}

@test "syscall(SYS_shutdown, SHUT_RDWR), then close: every model ends in FIN" {
    shuts syscall-shut-rdwr
}

@test "the log names the way" {
    local pair way how
    # The control: without the log there is none.
    shimmed ways iterative close unread -- peer port send=100 await=fin read
    whole 600000
    for pair in close:close __close:close dup2:dup2 dup3:dup3 close_range:close_range closefrom:closefrom \
        syscall-close:syscall fclose:fclose freopen:freopen return:exit exit:exit _exit:_exit _Exit:_exit \
        quick_exit:quick_exit; do
        way=${pair%:*} how=${pair#*:}
        LINGERCLOSE_LOG=$BATS_TEST_TMPDIR/$way shimmed ways iterative "$way" unread -- \
            peer port send=100 await=fin read
        whole 600000
        cat "$BATS_TEST_TMPDIR/$way"
        [ "$(wc -l <"$BATS_TEST_TMPDIR/$way")" = 1 ]
        grep " how=$how decided=linger why=always end=eof " "$BATS_TEST_TMPDIR/$way"
    done
}
