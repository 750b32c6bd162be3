/*
 * family.c: the memory that a process shares with the processes it forks, and they with theirs. A record lock says "this
 * process holds the connection"; a slot is a promise for the moments when a holder cannot show its lock:
 *
 *   NEWBORN   a fork or vfork whose child has not taken its locks yet (CHILD), or whose parent is still at it, and has not
 *             yet locked what other threads opened meanwhile (PARENT)
 *   SPAWNED   a posix_spawn, system or popen child: it may hold what its parent held, without a lock, while it lives
 *   SETTLING  a process closes one of several descriptors of a connection, which drops its lock, and will take it again
 *   EXECING   a process becomes another program, and one of several descriptors of a connection is closed by that, which
 *             drops its lock; the program will take it again, but cannot tell us, since exec loses the memory
 *   INFLIGHT  a connection is being passed (SCM_RIGHTS), and its receiver has not locked it yet; one of another family
 *             marks the connection instead (holders.c)
 *
 * What a program that shares no memory with us may have is looked at twice (holders.c).
 */
#ifndef FAMILY_H
#define FAMILY_H

#include "lingerclose.h"

#include <stdatomic.h>

enum promise { FREE, FILLING, NEWBORN, SPAWNED, SETTLING, EXECING, INFLIGHT };
enum { CHILD = 1, PARENT = 2, CLOEXEC_TOO = 4 };

struct slot {
    _Atomic uint64_t state;   /* event << 32 | kind: connections that came after the event have nothing to do with it */
    _Atomic uint32_t maker;   /* which process of the family: its own birth event, 0 for the first */
    _Atomic uint32_t pending; /* NEWBORN: CHILD, PARENT or both; SPAWNED: PARENT, CLOEXEC_TOO */
    _Atomic int child;        /* SPAWNED, EXECING: the process; 0: not known (yet) */
    _Atomic uint64_t tag;     /* SETTLING, EXECING, INFLIGHT: the connection's cookie; SPAWNED: popen's stream */
    _Atomic uint64_t had;  /* NEWBORN, SPAWNED: what the maker had before, as family_bit() of each; until known, all */
    _Atomic bool any;      /* likewise: and it has received something since */
    _Atomic int64_t began; /* likewise */
    _Atomic int thread;    /* SPAWNED: the one that did it */
};

/* What is asked of one connection. */
struct question {
    uint64_t cookie;
    uint32_t born;
    int fd;
    bool exact;    /* it came by way of fork alone, so its birth means the same in every process */
    bool received; /* what was INFLIGHT has arrived */
};
enum slots_say { NOBODY, UNSETTLED, SOMEBODY };

extern uint32_t family_me HIDDEN; /* this process's birth event */

bool family_init(void) HIDDEN;
uint32_t family_event(void) HIDDEN;
uint32_t family_generation(void) HIDDEN;
struct slot *family_take(enum promise, uint32_t event, uint32_t pending, uint64_t tag) HIDDEN;
void family_free(struct slot *) HIDDEN;
void family_had(struct slot *, uint64_t bits) HIDDEN;
void family_receives(uint32_t born) HIDDEN;
void family_done(struct slot *, uint32_t event, uint32_t who) HIDDEN;
bool family_spawning(void) HIDDEN;
struct slot *family_find(enum promise, uint64_t tag, bool mine) HIDDEN;
enum slots_say family_ask(const struct question *) HIDDEN;
void family_raise(_Atomic uint32_t *, uint32_t event) HIDDEN;
uint64_t family_bit(uint64_t cookie) HIDDEN;
void family_stranger(void) HIDDEN;
bool family_strangers(uint32_t born) HIDDEN;
void family_mark_taken(void) HIDDEN;
bool family_taken(void) HIDDEN;
void family_free_execing(pid_t) HIDDEN;
void family_refuse(void) HIDDEN;
bool family_refused(uint32_t born) HIDDEN;

/* holders.c, sharing.c and passing.c for each other */

/* Bytes far from anything: if a number should ever be a file's in the blink between our look and our lock, the program's
   own record locks are not there. GIVER says that its owner has spawned a child and may soon let go. The other two are
   marks, locks of the open file description itself, which all holders share and which nobody's close takes away: a
   program that shares no memory with the sender has got the connection; and it was passed more than once. */
enum { HOLDER = 0x6c696e67, GIVER, RECEIVED, PASSED_ON };

/* Of what this process has open, for holders_each_open(): the connections that stay open across exec, */
struct kept {
    uint64_t cookies[64];
    int count;
    uint64_t known; /* or those that the memory tells of, as family_bit() of each */
};

extern _Atomic uint32_t holders_shares
    HIDDEN; /* the last event by which this process may have given away what it held */
extern _Atomic int64_t holders_waited HIDDEN; /* for givers, in all: ns */
extern _Atomic bool holders_gave HIDDEN;      /* there may be GIVER locks of ours */
void holders_refuse(void) HIDDEN;
bool holders_lock(int fd, short type, int byte) HIDDEN;
void holders_mark(int fd, int byte) HIDDEN;
uint64_t holders_cookie(int fd) HIDDEN;
void holders_put_on_all(enum set, int fd) HIDDEN;
uint64_t holders_came_from_elsewhere(int fd) HIDDEN;
void holders_register_since(uint32_t event) HIDDEN;
bool holders_closes_at_exec(int fd) HIDDEN;
void holders_vfork_over(void) HIDDEN;
void holders_each_open(void (*found)(int fd, struct kept *), struct kept *) HIDDEN;

#endif
