/*
 * "Register, leave, then look" (shim/holders.c), for the model checker spin: one connection, a
 * family of processes that fork, dup, pass it to each other and close, in every order.
 *
 * What the kernel does: a record lock belongs to a process; fork does not copy it; any close of the
 * connection by a process drops that process's lock, whatever other descriptors of it are left.
 *
 * Each statement is one system call or one access to the family's memory; atomic{} joins such a
 * step with what no other process can see. From the first step of the close of its last descriptor
 * a process is closing, and uses the connection no more. Never may
 *   - the last reference go without anybody having lingered,
 *   - somebody linger (shut down and drain) while another still uses the connection.
 *
 * tests/35-model.bats runs it as it is, and with each rule switched off (-D), which must fail:
 *   LOOK_FIRST     look before leaving
 *   ONE_COUNTER    any promise counts for every connection
 *   SLOTS_AFTER    the promises are read only after the look at the locks
 *   NO_SECOND      nobody looks whether there was a new promise meanwhile
 *   NO_REREGISTER  no new lock after one of several dups was closed
 *   NO_REGISTER    no lock before fork
 *   NO_SETTLE      the close of a dup is not announced
 *   NO_INFLIGHT    passing is not announced
 *   NO_RECEIPT     no lock on receipt
 *   HAD_NOTHING    a promise says that its maker has no connection
 * and with another thread that forks (THREAD):
 *   RELOCK         it locks again what this one is about to close, after this one has left
 *   OWN_AT_ONCE    our own child counts as a holder before the fork has happened
 * and with a thread of SIBLING that forks (RECEIVER):
 *   NO_ANY         what comes by passing while a fork is promised is not added to the promise
 */
#ifndef PROCESSES
#define PROCESSES 4
#endif
#ifndef PASSES
#define PASSES 1
#endif
#ifdef RECEIVER /* fewer states: no dups, only the first process and the receiver's thread fork, no momentary locks */
#define FEWER true
#else
#define FEWER false
#endif
#define SIBLING 1 /* forked before the connection came; the one that others pass it to */

byte refs[PROCESSES];    /* descriptors of the connection */
bool lock[PROCESSES];    /* the kernel's: F_GETLK by another process finds it */
bool shared[PROCESSES]; /* may another process have it? */
bool closing[PROCESSES];
bool useless[PROCESSES]; /* came by a fork while another thread of the parent was closing it */
bool exact[PROCESSES];   /* it came by fork alone, so whoever promises another fork had it before, or cannot have it */
bool lingered;
byte messages; /* connections in the socket to SIBLING */

/* The family's memory. A promise moves the generation; what a process that looks can tell of it is
   only whether it has moved since it looked. */
bool newborn_child[PROCESSES], newborn_parent[PROCESSES]; /* of the fork that made this process */
byte maker[PROCESSES];
bool had[PROCESSES];     /* the maker, before the fork; until it has looked: it may have had it */
bool any[PROCESSES];     /* and it has received something since */
bool earlier[PROCESSES]; /* by its number, that fork was over when its maker received the connection */
bool during[PROCESSES];  /* by its number, it was not */
bool settling[PROCESSES];
byte inflight;
bool moved[PROCESSES];

byte next_child = SIBLING + 1;
byte passes = PASSES;
hidden byte i, references, used_by_other, locked_by_other, somebody, unsettled; /* within an atomic only */

inline promised()
{
    i = 0;
    do
    :: i < PROCESSES -> moved[i] = closing[i]; i++
    :: else -> i = 0; break
    od
}

/* Is there a reference, a use, a lock of anybody but p? */
inline count(p)
{
    i = 0;
    references = messages;
    used_by_other = messages > 0;
    locked_by_other = false;
    do
    :: i < PROCESSES ->
        references = references + refs[i];
        used_by_other = used_by_other || (i != p && refs[i] > 0 && !closing[i] && !useless[i]);
        locked_by_other = locked_by_other || (i != p && lock[i]);
        i++
    :: else -> i = 0; break
    od
}


inline kernel_close(p)
{
    refs[p]--;
    lock[p] = false;
    count(p);
    assert(references > 0 || lingered)
}

/* What the promise of a fork says. SIBLING's is older than the connection and says nothing about it.
   Our own child has what we have, once it is there; of others nobody knows before they have locked. */
#ifdef ONE_COUNTER
#define somebody_in(c, p) (newborn_child[c] && c != p)
#define unsettled_in(c, p) (newborn_parent[c] && maker[c] != p)
#else
#ifdef OWN_AT_ONCE
#define somebody_in(c, p) (c != SIBLING && maker[c] == p && newborn_child[c])
#define unsettled_in(c, p) (c != SIBLING && maker[c] != p && (newborn_parent[c] || (newborn_child[c] && c != p)))
#else
#define somebody_in(c, p) (c != SIBLING && maker[c] == p && newborn_child[c] && !newborn_parent[c] && !during[c] && !earlier[c] && !any[c])
#define unsettled_in(c, p) (c != SIBLING && can_have(c, p) && \
                            (newborn_parent[c] || (newborn_child[c] && c != p && (maker[c] != p || during[c] || any[c]))))
#endif
#endif
#define can_have(c, p) (any[c] || (maker[c] == p -> !earlier[c] : !exact[p] || had[c]))

inline ask(p)
{
    i = 0;
    somebody = inflight > 0;
    unsettled = false;
    do
    :: i < PROCESSES ->
        somebody = somebody || (i > 0 && somebody_in(i, p));
        unsettled = unsettled || (i > 0 && unsettled_in(i, p)) || settling[i];
        i++
    :: else -> i = 0; break
    od
}

/* The promise is over: nobody asks what it said (fewer states). */
inline settled(c)
{
    if
    :: !newborn_child[c] && !newborn_parent[c] ->
        had[c] = false; any[c] = false; earlier[c] = false; during[c] = false; maker[c] = 0
    :: else
    fi
}

/* p receives the connection, perhaps while another thread of it forks. (A child forked before p has noted that cannot know
   either: it closes plainly, as if it had nothing.) */
inline received(p)
{
    i = 0;
    do
    :: i < PROCESSES ->
        earlier[i] = earlier[i] || (i > SIBLING && maker[i] == p && newborn_child[i] && !newborn_parent[i]);
        during[i] = during[i] || (i > SIBLING && maker[i] == p && newborn_parent[i]);
        i++
    :: else -> i = 0; break
    od
}

inline received_any(p)
{
    i = 0;
    do
    :: i < PROCESSES -> any[i] = any[i] || (i > SIBLING && maker[i] == p && newborn_child[i]); i++
    :: else -> i = 0; break
    od
}

/* Promise, lock, fork; then the parent has locked what other threads opened meanwhile. A thread that
   closes says so and then unlocks; one that locks reads that afterwards again: its lock may be there
   for a moment, and is nobody's word, since there is a promise. */
inline fork(p)
{
    atomic {
        if
        :: next_child < PROCESSES -> child = next_child; next_child++
        :: else -> goto end
        fi;
        maker[child] = p;
        newborn_child[child] = true;
        newborn_parent[child] = true;
        had[child] = true;
        promised();
        shared[p] = true
    };
#ifndef NO_REGISTER
    if
#ifdef RELOCK
    :: refs[p] > 0 -> lock[p] = refs[p] > 0
#else
    :: d_step { FEWER && refs[p] > 0 && !closing[p] -> lock[p] = true }
    :: !FEWER && refs[p] > 0 && !closing[p] ->
        lock[p] = refs[p] > 0;
        if
        :: closing[p] -> lock[p] = false
        :: else
        fi
#endif
    :: else
    fi;
#ifdef HAD_NOTHING
    had[child] = false;
#else
    had[child] = refs[p] > 0;
#endif
#endif
    atomic {
        refs[child] = refs[p];
        exact[child] = exact[p];
        useless[child] = closing[p] || useless[p];
        run process(child)
    };
    d_step { newborn_parent[child] = false; settled(child); child = 0 }
}

/* Another thread of a process. */
proctype forker(byte p)
{
    byte child;

end:
    do
    :: next_child < PROCESSES -> fork(p)
    od
}

proctype process(byte p)
{
    bool dupped, held;
    byte child;

    /* After fork, in the child: lock, and only then take the promise back. */
    if
    :: p > SIBLING -> shared[p] = true; lock[p] = refs[p] > 0
    :: else
    fi;
    d_step { newborn_child[p] = false; settled(p) };

end:
    do
    /* dup */
    :: d_step { !FEWER && refs[p] == 1 && !dupped -> refs[p] = 2; dupped = true }

    /* fork */
    :: next_child < PROCESSES && refs[p] > 0 && !(FEWER && p > 0) -> fork(p)

    /* sendmsg with SCM_RIGHTS: lock, promise, send */
    :: atomic { refs[p] > 0 && !useless[p] && p != SIBLING && passes > 0 -> passes--; shared[p] = true; exact[p] = false; lock[p] = true };
#ifndef NO_INFLIGHT
        d_step { inflight++; promised() };
#endif
        messages++

    /* recvmsg */
    :: d_step { p == SIBLING && messages > 0 -> messages--; refs[p]++; shared[p] = true; exact[p] = false; received(p) };
#ifndef NO_RECEIPT
        lock[p] = true;
#endif
#ifndef NO_ANY
        atomic { received_any(p); promised() };
#endif
#ifndef NO_INFLIGHT
        inflight--
#endif

    /* close of one of two */
    :: refs[p] > 1 ->
#ifndef NO_SETTLE
        d_step { settling[p] = true; promised() };
#endif
        d_step { kernel_close(p) };
#ifndef NO_REREGISTER
        lock[p] = shared[p];
#endif
        settling[p] = false

    /* close of the last */
    :: atomic { refs[p] == 1 -> closing[p] = true };
        if
        :: !shared[p] -> goto decided
        :: else
        fi;
#ifndef LOOK_FIRST
        lock[p] = false;
#endif
again:
        moved[p] = false;
#ifndef SLOTS_AFTER
        atomic {
            ask(p);
            if
            :: somebody -> held = true; goto decided
            :: !somebody && unsettled -> goto again
            :: else
            fi
        };
#endif
        atomic {
            count(p);
            held = locked_by_other
        };
#ifdef SLOTS_AFTER
        d_step { ask(p); held = held || somebody || unsettled };
#else
#ifndef NO_SECOND
        if
        :: moved[p] -> goto again
        :: else
        fi;
#endif
#endif
decided:
        atomic {
            count(p);
            assert(held || !used_by_other);
            lingered = lingered || !held;
            held = false
        };
        d_step {
            kernel_close(p);
            closing[p] = false;
            moved[p] = false;
            dupped = false;
            shared[p] = false
        }
    od
}

init {
    atomic {
        refs[0] = 1;
        exact[0] = true;
        newborn_child[SIBLING] = true;
        run process(0);
#ifdef THREAD
        run forker(0);
#endif
#ifdef RECEIVER
        run forker(SIBLING);
#endif
        run process(SIBLING)
    }
}
