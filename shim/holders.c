/*
 * Who else holds this connection? "Register, leave, then look": README.md in this folder tells the whole story, and
 * which experiment each rule comes from.
 *
 * Linux tells nobody how many references a socket has. But a POSIX record lock can be put on a socket (fcntl(2)): it
 * belongs to the process, is not inherited by fork, survives exec, and the kernel drops it when the process closes the
 * socket or dies. So every process that holds a connection which others may hold keeps a read lock on it, and F_GETLK
 * says whether another one does.
 */
#include "family.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROMPT INT64_C(100000000) /* ns */

_Atomic uint32_t holders_shares;
_Atomic bool holders_gave;
static _Atomic bool refused; /* no locks, or no memory to promise in, here */

void holders_refuse(void)
{
    atomic_store(&refused, true);
    family_refuse();
}

bool holders_lock(int fd, short type, int byte)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return bare_syscall(SYS_fcntl, fd, F_SETLK, &l) == 0;
}

#ifndef SYS_fcntl64 /* 64 bit: one call has all commands. On 32 bit fcntl refuses those of F_OFD_ (fs/fcntl.c). */
#define SYS_fcntl64 SYS_fcntl
#endif

void holders_mark(int fd, int byte)
{
    struct flock64 l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (bare_syscall(SYS_fcntl64, fd, F_OFD_SETLK, &l) && errno != EBADF)
        holders_refuse();
}

static bool locked_by_other(int fd, int byte)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (bare_syscall(SYS_fcntl, fd, F_GETLK, &l) == 0)
        return l.l_type != F_UNLCK; /* l_pid is 0 across PID namespaces */
    if (errno != EBADF)             /* closed meanwhile */
        holders_refuse();
    return true;
}

/* socket(7), SO_COOKIE: unique for the life of the system; 0: no socket */
uint64_t holders_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) ? 0 : cookie;
}

/*
 * A connection has come, and is in the table. Its birth is the last sharing before that, not before the kernel made it: a
 * child forked in between by another thread has it, but nothing in that child can know of it. So the birth is read last: a
 * child that was forked before the entry was there must not be taken for one that will settle, or both sides close plainly
 * (1 connection in 30,000, with a thread that forks all the time).
 *
 * A child that is being spawned may inherit it, and will look for our lock when it ends; those whose spawning began before
 * have looked at our entries, or will see ours.
 */
void holders_came(int fd)
{
    struct descriptor *d = descriptor(fd);
    holders_vfork_over();
    if (d)
        atomic_store(&d->born, atomic_load(&holders_shares));
    if (family_spawning())
        holders_register(fd);
}

bool holders_shared_before(void) { return atomic_load(&holders_shares); }

bool holders_shared(int fd)
{
    struct descriptor *d = descriptor(fd);
    return !d || !set_has(KNOWN, fd) || set_has(SHARED, fd) || atomic_load(&d->born) != atomic_load(&holders_shares) ||
           family_taken();
}

/* What we know of the entry's connection must still be so: another thread may close it and open another meanwhile. */
static bool same_connection(int fd, struct descriptor *d)
{
    uint64_t cookie = holders_cookie(fd), none = 0;
    if (cookie && atomic_compare_exchange_strong(&d->cookie, &none, cookie)) {
        if (holders_cookie(fd) == cookie)
            return true;
        atomic_compare_exchange_strong(&d->cookie, &cookie, 0);
        return false;
    }
    return cookie && none == cookie;
}

/* Takes our lock, anew each time: any close inside libc of another descriptor of this connection has dropped it. */
bool holders_register(int fd)
{
    struct descriptor *d = descriptor(fd);
    if (!d || !same_connection(fd, d))
        return false;
    if (holders_lock(fd, F_RDLCK, HOLDER)) {
        if (set_has(CLOSING, fd)) /* since we looked: it may have left in between */
            holders_lock(fd, F_UNLCK, HOLDER);
        return true;
    }
    if (errno != EBADF) /* closed meanwhile */
        holders_refuse();
    return false;
}

/* But what another thread is closing has left, and must not be locked again: our child would look, find us, and close
   plainly, as we do because of the child. */
void holders_register_since(uint32_t event)
{
    for (int fd = -1; (fd = set_next(KNOWN, fd)) >= 0;)
        if (!set_has(CLOSING, fd) && atomic_load(&descriptor(fd)->born) >= event)
            holders_register(fd);
}

/* What a child that is made now can have: for family_had(). */
uint64_t holders_register_all(void)
{
    uint64_t had = 0;
    for (int fd = -1; (fd = set_next(KNOWN, fd)) >= 0;) {
        debug_window();
        bool ours = !set_has(CLOSING, fd) && holders_register(fd);
        had |= family_bit(ours ? atomic_load(&descriptor(fd)->cookie) : holders_cookie(fd));
    }
    return had;
}

/* ---- in this process ---- */

/* Another descriptor of this process on the same connection, or -1. Our own is marked first and the others are read
   then: of two threads that close two dups at once at least one finds none. (What has been forgotten since we read the
   set has lost DUPED first, CLOSING last.) The kernel's answer counts. */
int holders_sibling(int fd)
{
    uint64_t cookie = set_has(DUPED, fd) ? holders_cookie(fd) : 0;
    set_put(CLOSING, fd);
    for (int other = -1; cookie && (other = set_next(DUPED, other)) >= 0;)
        if (other != fd && !set_has(CLOSING, other) && set_has(DUPED, other) && holders_cookie(other) == cookie)
            return other;
    return -1;
}

/* What is so of the connection, by whichever of its descriptors it was done. */
void holders_put_on_all(enum set set, int fd)
{
    uint64_t cookie = set_has(DUPED, fd) ? holders_cookie(fd) : 0;
    set_put(set, fd);
    for (int other = -1; cookie && (other = set_next(DUPED, other)) >= 0;)
        if (holders_cookie(other) == cookie)
            set_put(set, other);
}

/* The program did SHUT_RD. */
void holders_deaf(int fd) { holders_put_on_all(DEAF, fd); }

/* Closing one of several drops the lock of all: POSIX, "all locks ... on a file are removed when any descriptor is
   closed". Until it is taken again through a survivor, others must not take us for gone. */
void *holders_settling(int fd)
{
    return debug_mutant("no-settle") ? NULL : family_take(SETTLING, 0, 0, holders_cookie(fd));
}

void holders_settled(void *slot, int survivor)
{
    debug_window();
    if (!debug_mutant("no-reregister") && holders_shared(survivor)) /* since a moment ago, perhaps */
        holders_register(survivor);
    family_free(slot);
}

/* ---- leave, then look ---- */

/* What we have passed to a program of another family: it locks the connection first and marks it then. Of one that was
   passed twice we don't know which message has come. */
static bool received(int fd, const struct question *q)
{
    return family_find(INFLIGHT, q->cookie, false) && locked_by_other(fd, RECEIVED) && !locked_by_other(fd, PASSED_ON);
}

/* An event loop asks: doubt is better than a wait. */
static bool hurry(int fd) { return config.mode != MODE_SYNC && bare_syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK; }

/* Slots first, the lock then, and again whether there is a new promise: a child that locks and frees its slot between our
   two readings, or a process that drops its lock for a moment, is missed by any one of them alone. Nor is a lock that we see
   while a promise is made anybody's word: a thread that forks may lock, for a moment, what another has just left. */
static bool held(int fd, struct question *q)
{
    for (int tries = 0; tries < 700 && !(tries >= 100 && hurry(fd)); tries++) {
        uint32_t generation = family_generation();
        enum slots_say says = debug_mutant("slots-after") ? NOBODY : family_ask(q);
        if (says == SOMEBODY && !q->received && (q->received = received(fd, q)))
            says = family_ask(q);
        if (says == SOMEBODY)
            return true;
        debug_window();
        bool locked = says == NOBODY && locked_by_other(fd, HOLDER);
        debug_window();
        if (debug_mutant("slots-after"))
            return locked || family_ask(q) != NOBODY;
        if (says == NOBODY && family_generation() == generation)
            return locked || (q->received && locked_by_other(fd, PASSED_ON)); /* since we asked, and then it let go */
        if (says == UNSETTLED || tries >= 100)
            doze(tries < 100 ? 20 : tries < 200 ? 200 : 2000); /* about a second in all */
    }
    return true; /* doubt: stopped, or killed at the wrong moment */
}

_Atomic int64_t holders_waited;

/* posix_spawn's child could not lock before its parent let go, so the parent closed plainly; if we, the child, are
   faster than that close, both would. Givers let go at once, and what we inherited by chance must not hold us up: we do not
   wait for a giver more than a tenth of a second in all. */
static bool giver_stays(int fd)
{
    for (int us = 50; us < 30000 && !atomic_load(&refused); us += us / 2) {
        if (!locked_by_other(fd, GIVER))
            return false;
        if (atomic_fetch_add(&holders_waited, us * INT64_C(1000)) > PROMPT)
            break;
        doze(us);
    }
    return true;
}

/* Is the entry about this connection? Without a cookie it was never locked: it came and goes between two sharings (and
   what came from elsewhere without our lock is in doubt). */
static bool sure(int fd, uint64_t cookie)
{
    uint64_t known = atomic_load(&descriptor(fd)->cookie);
    return cookie && (known == cookie || (known == 0 && !set_has(SHARED, fd)));
}

/*
 * Are we the last? Gives our lock up and only then looks: of any set of processes that close at the same moment, at
 * least one finds itself alone. (Looking first loses that race, and with it the connection.) A connection that was never
 * shared needs no look. Twice, where a program that shares no memory with us may be shuffling its descriptors: each dup2 and
 * close of an inetd's handler drops its lock for a microsecond or two.
 */
bool holders_alone(int fd)
{
    struct descriptor *d = descriptor(fd);
    holders_vfork_over();
    if (!holders_shared(fd))
        return true;
    if (!d || !set_has(KNOWN, fd) || atomic_load(&refused) || family_refused(atomic_load(&d->born)))
        return false;
    struct question q = {.fd = fd, .cookie = holders_cookie(fd), .born = atomic_load(&d->born)};
    q.exact = q.born && !set_has(SHARED, fd);
    if (!sure(fd, q.cookie))
        return false;
    bool before = debug_mutant("look-first") && held(fd, &q);
    debug_window();
    holders_lock(fd, F_UNLCK, HOLDER);
    if (atomic_load(&holders_gave))
        holders_lock(fd, F_UNLCK, GIVER);
    debug_window();
    if (debug_mutant("look-first"))
        return !before;
    bool alone = !held(fd, &q);
    if (!set_has(SHARED, fd) && !family_taken() && !family_strangers(q.born))
        return alone;
    if (!alone && (hurry(fd) || giver_stays(fd) || held(fd, &q)))
        return false;
    doze(20);
    return !held(fd, &q);
}
