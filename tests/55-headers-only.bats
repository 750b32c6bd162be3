#!/usr/bin/env bats
# Where nobody waits for the peer any more, late input must not cost it the reply: the kernel cuts what
# comes down to its header, and goes on delivering (linger.c, linger_headers_only). The peer reads
# slowly and has sent something after our FIN.
#
# After that the peer's own FIN may be answered with RST, since what it sent before never came; it has
# read all by then.

load helper

reply=1000000
late=(peer port await=fin send=100 slow=20000:3)

# delivered SERVER-WORD...: cut without the shim, and without that one rule; complete with it
delivered() {
    plain server write=$reply "$@" -- "${late[@]}"
    cut $reply
    LINGERCLOSE_MUTANT=no-headers-only preload=$debug_lib shimmed server write=$reply "$@" -- "${late[@]}"
    cut $reply
    shimmed server write=$reply "$@" -- "${late[@]}"
    complete $reply
}

@test "more connections than LINGERCLOSE_MAX: what does not wait is delivered all the same" {
    LINGERCLOSE_MAX=0 delivered close
    LINGERCLOSE_MAX=0 delivered nonblock close
}

@test "the process ends before its peer has read: what it sent is delivered all the same" {
    late=(peer port await=fin pause=150 send=100 slow=20000:3)
    LINGERCLOSE_EXIT=30ms delivered
    LINGERCLOSE_EXIT=30ms delivered nonblock close
}

@test "exec while a connection lingers: what was sent is delivered all the same" {
    delivered nonblock close exec
}

@test "shutdown(SHUT_RDWR) of a non-blocking connection: late input does not cost the reply" {
    delivered nonblock shut=rdwr close
}

@test "shutdown(SHUT_RDWR) of a blocking connection whose peer takes long in a program with threads" {
    export LINGERCLOSE_IDLE=5s
    late=(peer port send=100 await=fin pause=200 send=100 slow=20000:3)
    plain shutdowns thread -- "${late[@]}"
    [ "$(value bytes)" -lt 600000 ]
    LINGERCLOSE_MUTANT=no-headers-only preload=$debug_lib shimmed shutdowns thread -- "${late[@]}"
    [ "$(value bytes)" -lt 600000 ]
    shimmed shutdowns thread -- "${late[@]}"
    complete 600000
}

@test "no thread can be had: what does not wait is delivered all the same" {
    plain refuse EPERM server write=$reply nonblock close -- "${late[@]}"
    cut $reply
    shimmed refuse EPERM server write=$reply nonblock close -- "${late[@]}"
    complete $reply
}

@test "a peer that must send all before it reads is told so within LINGERCLOSE_LINGER" {
    export LINGERCLOSE_MAX=0 LINGERCLOSE_LINGER=1s
    late=(peer port sndbuf=32768 await=fin send=2000000 read)
    plain server write=$reply close -- "${late[@]}"
    [ "$(value send_error)" = RESET ]
    shimmed server write=$reply close -- "${late[@]}"
    [ "$(value send_error)" = RESET ]
    between 1000 "$(value ms)" 8000
    # A reply that the peer's kernel has taken is safe, and the peer learns at once that its data is refused.
    shimmed server write=10000 close -- "${late[@]}"
    [ "$(value bytes)" = 10000 ] && [ "$(value end)" = EOF ]
    between 0 "$(value ms)" 800
}

@test "an exec that fails leaves what lingers to the thread" {
    # The peer sends so much that it could not finish if nobody took it.
    late=(peer port sndbuf=32768 await=line send=2000000 read)
    plain server write=1000 nonblock close exec=/nowhere -- "${late[@]}"
    [ "$(value send_error)" != none ]
    shimmed server write=1000 nonblock close exec=true -- "${late[@]}"
    [ "$(value send_error)" != none ]
    shimmed server write=1000 nonblock close exec=/nowhere -- "${late[@]}"
    whole 1000
    [ "$(value sent)" = 2000000 ]
}
