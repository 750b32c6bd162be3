#!/usr/bin/env bats
# The end of a process: all of its connections linger together, under one bound, and nothing else
# about its end changes.

load helper
load ways

unread=(peer port send=100 await=fin read)
late=(peer port await=fin send=100 read)

# gentle CASE [HOW] -- PEER...: the reply of 600,000 bytes arrives, the server ends as without the shim.
gentle() {
    plain exits "$@"
    cut 600000
    same_server
    shimmed exits "$@"
    whole 600000
    same_server
}

@test "exit keeps the order of handlers and destructors, and their last words arrive" {
    gentle order exit -- "${unread[@]}"
    gentle order return -- "${unread[@]}"
    [ "$(said server)" = "server: registered last sent=1000
server: registered first sent=1000
server: destructor sent=1000
server: exit=5" ]
}

@test "quick_exit keeps the order of its handlers, and their last words arrive" {
    gentle order quick_exit -- "${unread[@]}"
    [ "$(said server)" = "server: quick, registered last sent=1000
server: quick, registered second sent=1000
server: quick, registered first sent=1000
server: exit=5" ]
}

@test "a handler of exit that ends the process itself decides the exit status" {
    gentle again _exit -- "${unread[@]}"
    gentle again exit -- "${unread[@]}"
    exits_with 6
}

@test "the process may end in a signal handler" {
    gentle signal exit -- "${unread[@]}"
    gentle signal _exit -- "${unread[@]}"
    gentle signal exit_group -- "${unread[@]}"
}

@test "the process may end in a signal handler whose own stack is small" {
    gentle altstack exit -- "${unread[@]}"
    gentle altstack _exit -- "${unread[@]}"
}

@test "a process that has no descriptor left at its end resets nobody who has something to read" {
    gentle full exit -- "${unread[@]}"
    gentle full _exit -- "${unread[@]}"
}

@test "the process ends while other threads are blocked in recv, accept, pause and getchar" {
    gentle blocked return -- "${late[@]}"
    gentle blocked exit -- "${late[@]}"
    gentle blocked _exit -- "${late[@]}"
}

@test "a thread that waits in the connection's own stream does not hold up the end" {
    plain exits locked exit -- "${late[@]}"
    cut 600000
    same_server
    shimmed exits locked exit -- "${late[@]}"
    same_server
}

@test "what another thread is closing lingers on until the process's bound" {
    local words=(peer port send=100 await=fin say=now slow=20000:1)
    plain exits amid exit -- "${words[@]}"
    cut 600000
    shimmed exits amid exit -- "${words[@]}"
    whole 600000
    shimmed exits amid _exit -- "${words[@]}"
    whole 600000
    exits_with 5
}

@test "a child that ends with its parent's connection open touches nothing" {
    local how
    for how in return exit _exit _Exit quick_exit exit_group; do
        plain exits child "$how" -- "${unread[@]}"
        cut 600000
        LINGERCLOSE_IDLE=5s shimmed exits child "$how" -- "${unread[@]}"
        whole 600000
        [ "$(value child)" = 7 ]
        between 0 "$(value child_ms)" 500
    done
}

@test "a vforked child's end does the real call only" {
    local how
    for how in _exit _Exit exit_group; do
        plain exits vchild "$how" -- "${unread[@]}"
        cut 600000
        LINGERCLOSE_IDLE=5s shimmed exits vchild "$how" -- "${unread[@]}"
        whole 600000
        [ "$(value child)" = 7 ]
        between 0 "$(value child_ms)" 500
    done
}

@test "a parent that ends first leaves the connection to its child" {
    gentle two exit -- "${unread[@]}"
    gentle two _exit -- "${unread[@]}"
}

@test "LINGERCLOSE_EXIT bounds the end of a process whose peer says nothing" {
    local words=(exits plain exit -- peer port send=100 silent read)
    export LINGERCLOSE_IDLE=10s
    plain "${words[@]}"
    between 0 "$(value ms)" 200
    [ "$(value rsts)" = 1 ]
    LINGERCLOSE_EXIT=400ms shimmed "${words[@]}"
    between 390 "$(value ms)" 1000
    no_resets
    exits_with 5
}

@test "LINGERCLOSE_IDLE ends it before that bound" {
    local words=(exits plain exit -- peer port send=100 silent read)
    plain "${words[@]}"
    [ "$(value rsts)" = 1 ]
    LINGERCLOSE_IDLE=2s shimmed exits plain exit -- peer port send=100 await=fin read
    between 0 "$(value ms)" 1000
    LINGERCLOSE_IDLE=300ms shimmed server await write=1000 -- peer port send=100 silent read
    between 290 "$(value ms)" 900
    no_resets
}

@test "LINGERCLOSE_EXIT=0 leaves the end of a process as it was, and close as gentle" {
    export LINGERCLOSE_EXIT=0
    plain exits plain exit -- "${unread[@]}"
    cut 600000
    shimmed exits plain exit -- "${unread[@]}"
    cut 600000
    shimmed exits plain _exit -- "${unread[@]}"
    cut 600000
    shimmed ways iterative close unread -- "${unread[@]}"
    whole 600000
}

@test "10,000 connections at the end of a process linger together: readers get all" {
    [ "$(ulimit -n -H)" -ge 10200 ] || [ "$(id -u)" = 0 ] || skip "10,200 descriptors are not to be had"
    plain hosts 10000 -- guests port 10000 1000 read
    [ "$(value reset)" = 10000 ]
    shimmed hosts 10000 -- guests port 10000 1000 read
    [ "$(value whole)" = 10000 ]
    between 0 "$(value exit_ms)" 5000
    exits_with 5
    # Not OutRsts: a peer's delayed acknowledgement may pass its own FIN, and the answer to it then
    # finds no socket there any more.
    [ "$(value abort_on_close)" = 0 ]
    [ "$(value abort_on_data)" = 0 ]
}

@test "10,000 connections at the end of a process linger together: silence ends at the one bound" {
    [ "$(ulimit -n -H)" -ge 10200 ] || [ "$(id -u)" = 0 ] || skip "10,200 descriptors are not to be had"
    export LINGERCLOSE_EXIT=1s LINGERCLOSE_IDLE=20s
    plain hosts 10000 -- guests port 10000 1000 silent
    [ "$(value reset)" = 10000 ]
    between 0 "$(value exit_ms)" 900
    shimmed hosts 10000 -- guests port 10000 1000 silent
    [ "$(value whole)" = 10000 ]
    between 900 "$(value exit_ms)" 3000
    no_resets
}

@test "a bound that is over before all of 2,000 connections have had their turn: unread input resets none of them" {
    export LINGERCLOSE_EXIT=1ms
    plain hosts 2000 -- guests port 2000 1000 silent
    [ "$(value reset)" = 2000 ]
    shimmed hosts 2000 -- guests port 2000 1000 silent
    [ "$(value whole)" = 2000 ]
    no_aborts
}

@test "peers that drip cannot put off the end of a process" {
    export LINGERCLOSE_EXIT=500ms LINGERCLOSE_IDLE=200ms
    plain hosts 10 -- guests port 10 1000 drip
    between 0 "$(value exit_ms)" 400
    shimmed hosts 10 -- guests port 10 1000 drip
    between 490 "$(value exit_ms)" 1200
}

@test "a C++ object with static storage closes its connection after main, gently" {
    need_command g++
    g++ -O1 -o "$BATS_TEST_TMPDIR/statics" "$BATS_TEST_DIRNAME/statics.cc"
    plain handoff "$BATS_TEST_TMPDIR/statics" -- "${unread[@]}"
    cut 600000
    same_server
    shimmed handoff "$BATS_TEST_TMPDIR/statics" -- "${unread[@]}"
    whole 600000
    same_server
}

@test "a plugin that was opened with dlopen closes gently" {
    local function
    for function in plugin_close plugin_fclose; do
        plain plugins "$bin/plugin.so" "$function" -- "${unread[@]}"
        cut 600000
        shimmed plugins "$bin/plugin.so" "$function" -- "${unread[@]}"
        whole 600000
        [ "$(value ret)" = 0 ]
    done
}

@test "a plugin that was linked with -Bsymbolic closes gently" {
    need_command gcc
    gcc -shared -fPIC -Wl,-Bsymbolic -o "$BATS_TEST_TMPDIR/plugin.so" "$BATS_TEST_DIRNAME/plugin.preload.c"
    plain plugins "$BATS_TEST_TMPDIR/plugin.so" plugin_close -- "${unread[@]}"
    cut 600000
    shimmed plugins "$BATS_TEST_TMPDIR/plugin.so" plugin_close -- "${unread[@]}"
    whole 600000
}

@test "a plugin that was opened with RTLD_DEEPBIND is not reached: it finds libc first" {
    plain plugins "$bin/plugin.so" plugin_close deep -- "${unread[@]}"
    cut 600000
    same_server
    shimmed plugins "$bin/plugin.so" plugin_close deep -- "${unread[@]}"
    cut 600000
    same_server
}

# built FLAG...: `ways`, linked with these, with the shim and without.
built() {
    local way
    need_command gcc
    gcc -D_GNU_SOURCE -O2 -pthread "$@" -o "$BATS_TEST_TMPDIR/ways" "$BATS_TEST_DIRNAME/ways.c"
    for way in close fclose return _exit; do
        plain "$BATS_TEST_TMPDIR/ways" iterative "$way" unread -- "${unread[@]}"
        cut 600000
        shimmed "$BATS_TEST_TMPDIR/ways" iterative "$way" unread -- "${unread[@]}"
        whole 600000
    done
}

@test "programs built with -fno-plt are reached" {
    built -fno-plt -Wl,-z,now
}

@test "programs linked with -Bsymbolic are reached" {
    built -fPIE -pie -Wl,-Bsymbolic
}

@test "a static program is not reached, as LIMITATIONS says" {
    need_command gcc
    echo 'int main(void) { return 0; }' >"$BATS_TEST_TMPDIR/empty.c"
    gcc -static -o "$BATS_TEST_TMPDIR/empty" "$BATS_TEST_TMPDIR/empty.c" || skip "there is no static libc"
    gcc -D_GNU_SOURCE -O2 -pthread -static -o "$BATS_TEST_TMPDIR/ways" "$BATS_TEST_DIRNAME/ways.c"
    shimmed "$BATS_TEST_TMPDIR/ways" iterative close unread -- "${unread[@]}"
    cut 600000
}

@test "death by a signal is not covered, as LIMITATIONS says" {
    plain exits plain kill -- "${unread[@]}"
    cut 600000
    same_server
    shimmed exits plain kill -- "${unread[@]}"
    cut 600000
    [ "$(value signal)" = 9 ]
    same_server
}

@test "a child that inherits connections by chance does not wait for its parent to close them" {
    run in_netns "$bin/inherits" 40
    echo "without: $output"
    [ "$(value status)" = 0 ]
    between 0 "$(value child_ms)" 500
    run in_netns env LD_PRELOAD="$lib" "$bin/inherits" 40
    echo "with: $output"
    [ "$(value status)" = 0 ]
    between 0 "$(value child_ms)" 500
}

@test "a thread that goes on writing does not kill a process that ends, in any of two hundred ends" {
    run in_netns "$bin/writes" 200
    [ "$output" = "killed=0 otherwise=0" ]
    run in_netns env LINGERCLOSE_MODE=sync LD_PRELOAD="$lib" "$bin/writes" 200
    [ "$output" = "killed=0 otherwise=0" ]
}
