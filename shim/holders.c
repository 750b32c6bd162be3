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
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Bytes far from anything: if a number should ever be a file's in the blink between our look and our lock, the program's
   own record locks are not there. GIVER says that its owner has spawned a child and may soon let go. The other two are
   marks, locks of the open file description itself, which all holders share and which nobody's close takes away: a
   program that shares no memory with the sender has got the connection; and it was passed more than once. */
enum { HOLDER = 0x6c696e67, GIVER, RECEIVED, PASSED_ON };

#define PROMPT INT64_C(100000000) /* ns */

static _Atomic uint32_t shares; /* the last event by which this process may have given away what it held */
static _Atomic bool refused;    /* no locks, or no memory to promise in, here */

/* What this thread's fork or vfork has promised. vfork's child has the parent's memory, so it finds it too. */
static __thread struct {
    struct slot *slot;
    uint32_t event;
    bool vfork;
} birth;

static void refuse(void)
{
    atomic_store(&refused, true);
    family_refuse();
}

static bool lock(int fd, short type, int byte)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return bare_syscall(SYS_fcntl, fd, F_SETLK, &l) == 0;
}

static void mark(int fd, int byte)
{
    struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (bare_syscall(SYS_fcntl, fd, F_OFD_SETLK, &l) && errno != EBADF)
        refuse();
}

static bool locked_by_other(int fd, int byte)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (bare_syscall(SYS_fcntl, fd, F_GETLK, &l) == 0)
        return l.l_type != F_UNLCK; /* l_pid is 0 across PID namespaces */
    if (errno != EBADF)             /* closed meanwhile */
        refuse();
    return true;
}

/* socket(7), SO_COOKIE: unique for the life of the system; 0: no socket */
static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) ? 0 : cookie;
}

/* vfork returns twice, to its caller; we see that it is over when the same thread comes here again. The child has become
   another program, has died before it could, or was never made. */
static void vfork_over(void)
{
    if (birth.vfork && owned()) {
        birth.vfork = false;
        holders_child_gone((struct birth){birth.slot, birth.event});
    }
}

/*
 * The birth of a connection is the last sharing before a hook saw it, not before the kernel made it: a child forked in
 * between by another thread has it, but nothing in that child can know of it.
 */
uint32_t holders_birth(void)
{
    vfork_over();
    return atomic_load(&shares);
}

/* A connection has come, and its entry is written. A child that is being spawned may inherit it, and it will look for our
   lock when it ends; those whose spawning began before have looked at our entries, or will see ours. */
void holders_came(int fd)
{
    if (family_spawning())
        holders_register(fd);
}

bool holders_shared(int fd)
{
    struct descriptor *d = descriptor(fd);
    return !d || !set_has(KNOWN, fd) || set_has(SHARED, fd) || atomic_load(&d->born) != atomic_load(&shares) ||
           family_taken();
}

/* What we know of the entry's connection must still be so: another thread may close it and open another meanwhile. */
static bool same_connection(int fd, struct descriptor *d)
{
    uint64_t cookie = cookie_of(fd), none = 0;
    if (cookie && atomic_compare_exchange_strong(&d->cookie, &none, cookie)) {
        if (cookie_of(fd) == cookie)
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
    if (lock(fd, F_RDLCK, HOLDER)) {
        if (set_has(CLOSING, fd)) /* since we looked: it may have left in between */
            lock(fd, F_UNLCK, HOLDER);
        return true;
    }
    if (errno != EBADF) /* closed meanwhile */
        refuse();
    return false;
}

/* But what another thread is closing has left, and must not be locked again: our child would look, find us, and close
   plainly, as we do because of the child. */
static void register_since(uint32_t event)
{
    for (int fd = -1; (fd = set_next(KNOWN, fd)) >= 0;)
        if (!set_has(CLOSING, fd) && atomic_load(&descriptor(fd)->born) >= event)
            holders_register(fd);
}

void holders_register_all(void) { register_since(0); }

/* ---- in this process ---- */

/* Another descriptor of this process on the same connection, or -1. Our own is marked first and the others are read
   then: of two threads that close two dups at once at least one finds none. (What has been forgotten since we read the
   set has lost DUPED first, CLOSING last.) The kernel's answer counts. */
int holders_sibling(int fd)
{
    uint64_t cookie = set_has(DUPED, fd) ? cookie_of(fd) : 0;
    set_put(CLOSING, fd);
    for (int other = -1; cookie && (other = set_next(DUPED, other)) >= 0;)
        if (other != fd && !set_has(CLOSING, other) && set_has(DUPED, other) && cookie_of(other) == cookie)
            return other;
    return -1;
}

/* What is so of the connection, by whichever of its descriptors it was done. */
static void put_on_all(enum set set, int fd)
{
    uint64_t cookie = set_has(DUPED, fd) ? cookie_of(fd) : 0;
    set_put(set, fd);
    for (int other = -1; cookie && (other = set_next(DUPED, other)) >= 0;)
        if (cookie_of(other) == cookie)
            set_put(set, other);
}

/* The program did SHUT_RD. */
void holders_deaf(int fd) { put_on_all(DEAF, fd); }

/* Closing one of several drops the lock of all: POSIX, "all locks ... on a file are removed when any descriptor is
   closed". Until it is taken again through a survivor, others must not take us for gone. */
void *holders_settling(int fd) { return debug_mutant("no-settle") ? NULL : family_take(SETTLING, 0, 0, cookie_of(fd)); }

void holders_settled(void *slot, int survivor)
{
    debug_window();
    if (!debug_mutant("no-reregister") && holders_shared(survivor)) /* since a moment ago, perhaps */
        holders_register(survivor);
    family_free(slot);
}

/* ---- leave, then look ---- */

static void doze(int64_t us)
{
    struct timespec t = {.tv_nsec = us * 1000};
    nanosleep(&t, NULL);
}

/* What we have passed to a program of another family: it locks the connection first and marks it then. Of one that was
   passed twice we don't know which message has come. */
static bool received(int fd, const struct question *q)
{
    return family_find(INFLIGHT, q->cookie, false) && locked_by_other(fd, RECEIVED) && !locked_by_other(fd, PASSED_ON);
}

/* Slots first, the lock then, and again whether there is a new promise: a child that locks and frees its slot between our
   two readings, or a process that drops its lock for a moment, is missed by any one of them alone. */
static bool held(int fd, struct question *q)
{
    for (int tries = 0; tries < (q->hurry ? 100 : 700); tries++) {
        uint32_t generation = family_generation();
        enum slots_say says = debug_mutant("slots-after") ? NOBODY : family_ask(q);
        if (says == SOMEBODY && !q->received && (q->received = received(fd, q)))
            says = family_ask(q);
        if (says == SOMEBODY)
            return true;
        debug_window();
        if (says == NOBODY && locked_by_other(fd, HOLDER))
            return true;
        debug_window();
        if (debug_mutant("slots-after"))
            return family_ask(q) != NOBODY;
        if (says == NOBODY && family_generation() == generation)
            return q->received && locked_by_other(fd, PASSED_ON); /* since we asked, and then it let go */
        doze(tries < 100 ? 20 : tries < 200 ? 200 : 2000);        /* about a second in all */
    }
    return true; /* doubt: stopped, or killed at the wrong moment */
}

static _Atomic int64_t waited; /* for givers, in all */

/* posix_spawn's child could not lock before its parent let go, so the parent closed plainly; if we, the child, are
   faster than that close, both would. Givers let go at once, and what we inherited by chance must not hold us up: we do not
   wait for a giver more than a tenth of a second in all. */
static bool giver_stays(int fd)
{
    for (int us = 50; us < 30000 && !atomic_load(&refused); us += us / 2) {
        if (!locked_by_other(fd, GIVER))
            return false;
        if (atomic_fetch_add(&waited, us * INT64_C(1000)) > PROMPT)
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
 * shared needs no look. Twice, where a program after exec, which shares no memory with us, may be shuffling its
 * descriptors: each dup2 and close of an inetd's handler drops its lock for a microsecond or two.
 */
bool holders_alone(int fd)
{
    struct descriptor *d = descriptor(fd);
    vfork_over();
    if (!holders_shared(fd))
        return true;
    if (!d || !set_has(KNOWN, fd) || atomic_load(&refused) || family_refused(atomic_load(&d->born)))
        return false;
    struct question q = {.cookie = cookie_of(fd), .born = atomic_load(&d->born)};
    q.cloexec = bare_syscall(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC;
    q.hurry = config.mode != MODE_SYNC && bare_syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK;
    if (!sure(fd, q.cookie))
        return false;
    bool before = debug_mutant("look-first") && held(fd, &q);
    debug_window();
    lock(fd, F_UNLCK, HOLDER);
    lock(fd, F_UNLCK, GIVER);
    debug_window();
    if (debug_mutant("look-first"))
        return !before;
    if (held(fd, &q) && (q.hurry || giver_stays(fd) || held(fd, &q)))
        return false;
    doze(20);
    return !held(fd, &q);
}

/* ---- sharing ---- */

/* Before anything that gives away: an event, a promise, and our locks on all that we hold. */
static struct slot *share(enum promise kind, uint32_t pending, uint32_t *event)
{
    if (!family_init())
        refuse();
    vfork_over();
    *event = family_event();
    struct slot *slot = family_take(kind, *event, pending, 0);
    uint32_t before = atomic_load(&shares);
    while (before < *event && !atomic_compare_exchange_weak(&shares, &before, *event))
        ;
    if (!debug_mutant("no-register"))
        holders_register_all();
    return slot;
}

/* After it: what other threads opened meanwhile was born at the event, and may have been given away as well. */
static void shared(uint32_t event)
{
    uint32_t later = family_event(), before = atomic_load(&shares);
    while (before < later && !atomic_compare_exchange_weak(&shares, &before, later))
        ;
    register_since(event);
}

void holders_before_fork(void)
{
    int saved = errno;
    birth.slot = NULL;
    birth.event = 0;
    if (owned()) {
        descriptor_fork_begins();
        birth.slot = share(NEWBORN, CHILD | PARENT, &birth.event);
    }
    errno = saved;
}

static void child_settles(void)
{
    owner_begin();
    atomic_store(&waited, 0);
    family_me = birth.event;
    atomic_store(&shares, family_event());
    debug_window();
    for (int fd = -1; (fd = set_next(CLOSING, fd)) >= 0;)
        set_drop(CLOSING, fd); /* the thread that was closing it is the parent's */
    holders_register_all();
    debug_window();
    family_done(birth.slot, birth.event, CHILD);
}

/* result: as fork's. In a process that is not ours by memory, nothing was promised and nothing is done. */
bool holders_after_fork(pid_t result)
{
    int saved = errno;
    if (birth.event == 0)
        return false;
    if (result == 0)
        child_settles();
    else {
        descriptor_fork_over();
        shared(birth.event);
        if (result < 0)
            family_done(birth.slot, birth.event, CHILD);
        family_done(birth.slot, birth.event, PARENT);
    }
    errno = saved;
    return true;
}

/* pthread_atfork's handlers are not told. */
void holders_fork_failed(void)
{
    if (birth.event)
        family_done(birth.slot, birth.event, CHILD);
}

/* vfork's parent sleeps until the child is gone or another program; the child settles for both. */
void holders_before_vfork(void)
{
    int saved = errno;
    if (owned()) {
        owner_shares_memory();
        birth.slot = share(NEWBORN, CHILD | PARENT, &birth.event);
        birth.vfork = true;
    }
    errno = saved;
}

/* Of what this process has open: the connections that stay open across exec. */
struct kept {
    uint64_t cookies[64];
    int count;
};

/* poll tells which of 256 numbers are open in one call (POLLNVAL); beyond 1024 the first 256 of which none
   is end the search. */
static void each_open(void (*found)(int fd, struct kept *), struct kept *k)
{
    struct pollfd p[256];
    struct rlimit limit = {.rlim_cur = 256};
    getrlimit(RLIMIT_NOFILE, &limit);
    int chunk = limit.rlim_cur < 256 ? (int)limit.rlim_cur : 256; /* poll(2): more is EINVAL */
    for (int base = 0, open = 1; open || base < 1024; base += chunk) {
        for (int i = 0; i < chunk; i++)
            p[i] = (struct pollfd){.fd = base + i};
        if (poll(p, (nfds_t)chunk, 0) < 0)
            return;
        open = 0;
        for (int i = 0; i < chunk; i++)
            if (!(p[i].revents & POLLNVAL)) {
                open++;
                if (verdict_socket(base + i))
                    found(base + i, k);
            }
    }
}

/* ---- exec ---- */

static bool closes_at_exec(int fd) { return bare_syscall(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC; }

static void keep(int fd, struct kept *k)
{
    if (!closes_at_exec(fd) && k->count < 64)
        k->cookies[k->count++] = cookie_of(fd);
}

/* exec closes this copy of a connection that has others, and the lock goes with it. */
static void promise(int fd, struct kept *k)
{
    uint64_t cookie = k->count && closes_at_exec(fd) ? cookie_of(fd) : 0;
    for (int i = 0; cookie && i < k->count; i++)
        if (k->cookies[i] == cookie) {
            struct slot *slot = family_take(EXECING, 0, 0, cookie);
            if (slot)
                atomic_store(&slot->child, getpid());
            return;
        }
}

static void lock_only(int fd, struct kept *unused)
{
    (void)unused;
    lock(fd, F_RDLCK, HOLDER);
}

/* Before exec. vfork's child has its own table of descriptors, and so its own locks, in the parent's memory: it takes them
   here, which settles its birth. */
void holders_before_exec(void)
{
    struct kept kept = {.count = 0};
    int saved = errno;
    if (owned()) {
        for (int fd = -1; (fd = set_next(DUPED, fd)) >= 0;)
            keep(fd, &kept);
        for (int fd = -1; (fd = set_next(DUPED, fd)) >= 0;)
            promise(fd, &kept);
    } else if (birth.slot) {
        each_open(lock_only, &kept);
        each_open(keep, &kept);
        each_open(promise, &kept);
        holders_child_gone((struct birth){birth.slot, birth.event});
    }
    errno = saved;
}

void holders_exec_failed(void)
{
    int saved = errno;
    family_free_execing(getpid());
    errno = saved;
}

/* In vfork's child, before _exit. */
void holders_exit_vfork(void)
{
    if (birth.slot && !owned())
        holders_child_gone((struct birth){birth.slot, birth.event});
}

/* Whoever gets what we hold may wait a little for us to let go. */
void holders_give(void)
{
    for (int fd = -1; (fd = set_next(KNOWN, fd)) >= 0;)
        if (holders_register(fd))
            lock(fd, F_RDLCK, GIVER);
}

/* clone's child in our memory may run beside us, and we may fork meanwhile: it keeps the promise itself. */
struct birth holders_birth_of_child(void) { return (struct birth){birth.slot, birth.event}; }
void holders_child_runs(struct birth b) { family_done(b.slot, b.event, PARENT); }

void holders_child_gone(struct birth b)
{
    family_done(b.slot, b.event, PARENT);
    family_done(b.slot, b.event, CHILD);
}

/* posix_spawn, system, popen: their children run no code of ours before exec. giver: we may let go soon after. */
void *holders_before_spawn(bool giver, bool cloexec_too)
{
    uint32_t event;
    int saved = errno;
    if (!owned())
        return NULL;
    struct slot *slot = share(SPAWNED, (cloexec_too ? CLOEXEC_TOO : 0) | PARENT, &event);
    if (giver)
        holders_give();
    errno = saved;
    return slot;
}

/* child: 0: there is none (any more); -1: popen's, which `tag` will end */
void holders_after_spawn(void *slot, pid_t child, uint64_t tag)
{
    struct slot *s = slot;
    int saved = errno;
    if (!s)
        return;
    shared((uint32_t)(atomic_load(&s->state) >> 32));
    atomic_store(&s->tag, tag);
    if (child > 0)
        atomic_store(&s->child, child);
    if (child >= 0)
        atomic_fetch_and(&s->pending, ~(uint32_t)PARENT);
    if (child == 0)
        family_free(s);
    errno = saved;
}

void *holders_spawned(uint64_t tag) { return owned() ? family_find(SPAWNED, tag, true) : NULL; }

/* ---- SCM_RIGHTS ---- */

/* Before sendmsg: until a receiver of our family has locked it, it is somebody's. */
void holders_pass(int fd)
{
    if (!set_has(KNOWN, fd) || !owned())
        return;
    if (holders_shared(fd))
        mark(fd, PASSED_ON);
    put_on_all(SHARED, fd);
    if (!family_init())
        refuse();
    if (holders_register(fd))
        family_take(INFLIGHT, 0, 0, atomic_load(&descriptor(fd)->cookie));
}

void holders_not_passed(int fd)
{
    if (set_has(SHARED, fd) && owned())
        family_free(family_find(INFLIGHT, atomic_load(&descriptor(fd)->cookie), true));
}

static void found_held_elsewhere(int fd)
{
    descriptor_note(fd, ROLE_ACCEPTED, atomic_load(&shares));
    verdict_linger_set(); /* by somebody else, perhaps */
    set_put(SHARED, fd);
    set_put(DUPED, fd);
    holders_register(fd);
}

static uint64_t known_cookie(int fd)
{
    struct descriptor *d = descriptor(fd);
    uint64_t none = 0;
    if (atomic_load(&d->cookie) == 0)
        atomic_compare_exchange_strong(&d->cookie, &none, cookie_of(fd));
    return atomic_load(&d->cookie);
}

/* After recvmsg (a peeked message is still in flight). Our own copies of it are dups now. */
void holders_receive(int fd, bool peeked)
{
    if (!descriptor(fd) || !owned() || !verdict_socket(fd))
        return;
    found_held_elsewhere(fd);
    uint64_t cookie = atomic_load(&descriptor(fd)->cookie);
    for (int other = -1; (other = set_next(KNOWN, other)) >= 0;)
        if (known_cookie(other) == cookie)
            set_put(DUPED, other);
    struct slot *slot = family_find(INFLIGHT, cookie, false);
    if (!peeked && !slot)
        mark(fd, RECEIVED);
    if (!peeked)
        family_free(slot);
}

/* Closed, and not by way of lingering. What was passed, and nobody of the family can have but by receiving it: nobody will
   ask for the promise any more. */
void holders_gone(int fd)
{
    struct descriptor *d = descriptor(fd);
    struct slot *slot;
    if (d && set_has(SHARED, fd) && atomic_load(&d->born) == atomic_load(&shares))
        while ((slot = family_find(INFLIGHT, atomic_load(&d->cookie), true)))
            family_free(slot);
}

/* pidfd_getfd: taken from a process that was not asked. From now on no process of the family trusts its own memory of
   having shared nothing. One that is not of the family cannot know. */
void holders_take(int fd)
{
    int saved = errno;
    holders_receive(fd, true);
    family_mark_taken();
    errno = saved;
}

/* Soon we may neither lock nor look. Locks stay until we close; but closing one of several descriptors drops them, and
   nobody could take them again: those are somebody's for good. */
void holders_sandboxed(void)
{
    for (int fd = -1; (fd = set_next(SHARED, fd)) >= 0;)
        mark(fd, PASSED_ON); /* we will not see it passed */
    for (int fd = -1; (fd = set_next(DUPED, fd)) >= 0;)
        if (family_init() && holders_register(fd))
            family_take(INFLIGHT, 0, 0, atomic_load(&descriptor(fd)->cookie));
}

static void inherited(int fd, struct kept *unused)
{
    (void)unused;
    found_held_elsewhere(fd);
}

/* The constructor's look at what exec or our parent left us: it may be held elsewhere, and by several numbers. */
void holders_init(void)
{
    owner_begin();
    each_open(inherited, NULL);
}
