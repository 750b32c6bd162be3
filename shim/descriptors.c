/*
 * What we know of each descriptor of this process: one table entry and some bits a descriptor.
 *
 * The table is one mapping as large as the process's limit (a million entries are 80 MB of address space); the kernel
 * gives it memory page by page where it is used, so there is nothing to allocate on the way of a close and nothing to
 * lock: every field is atomic, and each is only a hint that the kernel's answer must confirm. libc closes and opens
 * descriptors that no hook sees, so an entry may speak of a file that is long gone.
 *
 * An entry is cleared before the real close: afterwards the number may already be another thread's.
 */
#include "lingerclose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST (1 << 20) /* fs.nr_open's default: what lies above is not followed, and closed plainly */
#define FEW (1 << 12)
#define PARK_BELOW (1 << 15) /* no higher: the kernel's own table grows to the highest number, and fork copies it */

static struct descriptor *table;
static struct lingering *lingering; /* of the connections that linger, by their parked numbers */
static int size;
static _Atomic int forking;          /* threads that are in fork */
static _Atomic int peak;             /* the highest number that the program was given, as far as we saw */
static _Atomic uint64_t (*sets)[16]; /* of each 64 numbers, their word in each set: most calls look at several sets */
_Static_assert(SETS <= 16, "");
static _Atomic int top; /* no set has a member at or above it */

void descriptors_init(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    size_t most = limit.rlim_max < MOST ? ((size_t)limit.rlim_max | 63) + 1 : MOST;
    if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY && most > FEW)
        most = FEW; /* address space is what such a program is short of */
    char *p = mmap(NULL, most * (sizeof *table + sizeof *lingering) + most / 64 * sizeof *sets, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) /* RLIMIT_AS: nothing is known then, and every doubt is a plain close */
        return;
    table = (struct descriptor *)p;
    lingering = (struct lingering *)(p += most * sizeof *table);
    sets = (_Atomic uint64_t(*)[16])(p + most * sizeof *lingering);
    size = (int)most;
}

struct descriptor *descriptor(int fd) { return fd >= 0 && fd < size ? &table[fd] : NULL; }

struct lingering *lingering_at(int fd) { return fd >= 0 && fd < size ? &lingering[fd] : NULL; }

bool set_has(enum set set, int fd) { return fd >= 0 && fd < size && atomic_load(&sets[fd / 64][set]) >> (fd % 64) & 1; }

void set_put(enum set set, int fd)
{
    if (fd < 0 || fd >= size)
        return;
    int t = atomic_load(&top);
    while (t <= fd && !atomic_compare_exchange_weak(&top, &t, fd + 1))
        ;
    atomic_fetch_or(&sets[fd / 64][set], UINT64_C(1) << (fd % 64));
}

/* true: it was not in the set. Beyond the table there is nothing to take, and nothing in the way. */
static bool set_take(enum set set, int fd)
{
    bool had = set_has(set, fd);
    if (!had && fd < size)
        had = atomic_fetch_or(&sets[fd / 64][set], UINT64_C(1) << (fd % 64)) >> (fd % 64) & 1;
    if (!had)
        set_put(set, fd);
    return !had;
}

void set_drop(enum set set, int fd)
{
    if (set_has(set, fd)) /* most sets have few members: do not dirty a page to clear a clear bit */
        atomic_fetch_and(&sets[fd / 64][set], ~(UINT64_C(1) << (fd % 64)));
}

bool set_take_out(enum set set, int fd)
{
    uint64_t bit = UINT64_C(1) << (fd % 64);
    return set_has(set, fd) && atomic_fetch_and(&sets[fd / 64][set], ~bit) & bit;
}

int set_next(enum set set, int fd)
{
    int end = atomic_load(&top);
    for (fd = fd < 0 ? 0 : fd + 1; fd < end; fd = (fd | 63) + 1) {
        uint64_t word = atomic_load(&sets[fd / 64][set]) >> (fd % 64);
        if (word)
            return fd + __builtin_ctzll(word);
    }
    return -1;
}

/* A connection (or a socket that may become one) has come under this number. */
void descriptor_note(int fd, unsigned role, uint32_t born)
{
    struct descriptor *d = descriptor(fd);
    if (!d)
        return;
    int before = atomic_load(&peak);
    while (before < fd && !atomic_compare_exchange_weak(&peak, &before, fd))
        ;
    descriptor_forget(fd);
    atomic_store(&d->cookie, 0);
    atomic_store(&d->born, born);
    if (role == ROLE_CONNECTED)
        set_put(CONNECTED, fd);
    set_put(KNOWN, fd);
}

void descriptor_forget(int fd)
{
    struct descriptor *d = descriptor(fd);
    if (!d)
        return;
    for (int i = 0; i < SETS; i++)
        if (i != PARKING)
            set_drop(i, fd);
    if (atomic_load(&d->epoll)) /* do not dirty a page for nothing */
        atomic_store(&d->epoll, EPOLL_NONE);
}

/* A set with two numbers may have lost the one that we noted. */
static _Atomic bool epolls_copied;

/* `to` is another name of `from` now. A source that no hook has seen come may be a connection all the same. */
void descriptor_duped(int from, int to)
{
    struct descriptor *d = descriptor(from);
    bool known = set_has(KNOWN, from);
    if (set_has(EPOLLS, from) && owned()) {
        set_put(EPOLLS, to);
        atomic_store(&epolls_copied, true);
    }
    if (!d || !descriptor(to) || from == to || !(known || set_has(KNOWN, to) || verdict_socket(from)) || !owned())
        return;
    descriptor_forget(to);
    if (!verdict_socket(from))
        return;
    if (!known) {
        descriptor_note(from, ROLE_ACCEPTED, 0);
        set_put(SHARED, from);
    }
    descriptor_note(to, set_has(CONNECTED, from) ? ROLE_CONNECTED : ROLE_ACCEPTED, atomic_load(&d->born));
    atomic_store(&descriptor(to)->cookie, atomic_load(&d->cookie));
    if (set_has(SHARED, from))
        set_put(SHARED, to);
    if (set_has(DEAF, from))
        set_put(DEAF, to);
    set_put(DUPED, to);
    set_put(DUPED, from);
}

/* epoll_ctl(2) has added fd to epfd. */
void descriptor_epoll(int epfd, int fd)
{
    struct descriptor *d = descriptor(fd);
    set_put(EPOLLS, epfd);
    if (!d)
        return;
    int before = EPOLL_NONE;
    if (!atomic_compare_exchange_strong(&d->epoll, &before, epfd + 1) && before != epfd + 1)
        atomic_store(&d->epoll, EPOLL_MANY);
}

static void take_out(int epfd, int fd)
{
    struct epoll_event unused;
    bare_syscall(SYS_epoll_ctl, epfd, EPOLL_CTL_DEL, fd, &unused); /* not registered there: ENOENT, harmless */
}

/*
 * The trap of parking. A closed descriptor leaves its epoll sets by itself only when its open file description goes, and
 * a parked copy keeps that alive: the program would get events for a number that it has closed, and close somebody
 * else's connection. Likewise SIGIO. Only for a connection that is ours alone: a set inherited over fork is shared with
 * the parent, and what we took out of it would be gone from the parent's loop.
 */
void descriptor_unepoll(int fd, int flags)
{
    struct descriptor *d = descriptor(fd);
    int where = d ? atomic_load(&d->epoll) : EPOLL_MANY;
    if (where > 0 && !atomic_load(&epolls_copied))
        take_out(where - 1, fd);
    else if (where)
        for (int epfd = -1; (epfd = set_next(EPOLLS, epfd)) >= 0;)
            take_out(epfd, fd);
    if (flags & O_ASYNC)
        bare_syscall(SYS_fcntl, fd, F_SETFL, flags & ~O_ASYNC);
}

/* How many descriptors the process may have. RLIMIT_NOFILE may change at any time, so it is asked again now and then;
   where it has fallen in between, parking fails and asks at once. */
int descriptor_limit(bool again)
{
    static _Atomic unsigned asked;
    static _Atomic int last;
    struct rlimit limit;
    if (again || atomic_fetch_add(&asked, 1) % 64 == 0)
        atomic_store(&last, !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < MOST ? (int)limit.rlim_cur : MOST);
    return atomic_load(&last);
}

/* Where the numbers begin that programs do not get. */
static int out_of_the_way(bool again)
{
    int limit = descriptor_limit(again);
    return (limit < PARK_BELOW ? limit : PARK_BELOW) / 2;
}

/* The first number from fd on that is neither ours nor the program's, as far as we know. */
static int unmarked(int fd)
{
    for (; fd < size; fd = (fd | 63) + 1) {
        int i = fd / 64;
        uint64_t marked = atomic_load(&sets[i][PARKED]) | atomic_load(&sets[i][OURS]) | atomic_load(&sets[i][KNOWN]) |
                          atomic_load(&sets[i][PARKING]);
        uint64_t free = ~marked >> (fd % 64);
        if (free)
            return fd + __builtin_ctzll(free);
    }
    return fd;
}

/* Most often we know which number it will be, and say so before: a child that another thread forks in between has it. */
static int next_free(int fd, int least)
{
    int likely = unmarked(least);
    while (!set_take(PARKING, likely))
        likely = unmarked(likely + 1);
    int other = (int)bare_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, likely);
    if (other != likely)
        set_drop(PARKING, likely);
    if (other != likely && other >= 0)
        set_put(PARKING, other);
    if (other >= 0)
        descriptor_forget(other);
    return other;
}

/* The kernel's table of a process with threads grows only after a grace period of RCU, some ms: so it grows while there
   is one thread, when the first connection may come. */
void descriptor_make_room(int fd)
{
    static _Atomic bool made;
    if (!__libc_single_threaded || atomic_exchange(&made, true))
        return;
    int high = (int)bare_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, out_of_the_way(false));
    if (high >= 0)
        bare_close(high);
}

/* A second name for fd, out of the way of the numbers that programs get; -1 with none left (EMFILE). */
int descriptor_out_of_the_way(int fd, enum set set)
{
    int other = -1;
    for (int again = 0; other < 0 && again <= 1; again++)
        other = next_free(fd, out_of_the_way(again));
    if (other < 0)
        other = next_free(fd, 0);
    if (other >= 0) {
        set_put(set, other);
        set_drop(PARKING, other);
    }
    return other;
}

/* How many may linger, so that half of what the limit leaves to the program stays free. The kernel gives the lowest free
   number, so the highest that the program was given tells how many it needs. */
unsigned descriptor_spare(void)
{
    int limit = descriptor_limit(false);
    int used = atomic_load(&peak) + 1;
    return limit > used ? (unsigned)(limit - used) / 2 : 0;
}

/* Ours no more, once it is closed: in between, nobody's. */
void descriptor_unpark(int parked)
{
    set_put(PARKING, parked);
    set_drop(PARKED, parked);
    set_drop(OURS, parked);
    bare_close(parked);
    if (!atomic_load(&forking))
        set_drop(PARKING, parked);
}

/* fork copies the descriptors first and the memory later (copy_process()): what another thread closes in between, the
   child has, and would not find in its memory. So the marks stay until fork is over. */
void descriptor_fork_begins(void) { atomic_fetch_add(&forking, 1); }

void descriptor_fork_over(void)
{
    if (atomic_fetch_sub(&forking, 1) == 1)
        for (int fd = -1; (fd = set_next(PARKING, fd)) >= 0;)
            set_drop(PARKING, fd);
}

/* This thread has a table of its own now (unshare(2), CLONE_FILES): what is ours is in the other one as well. */
void descriptor_leave_table(void)
{
    for (int fd = -1; (fd = set_next(PARKED, fd)) >= 0;)
        bare_close(fd);
    for (int fd = -1; (fd = set_next(OURS, fd)) >= 0;)
        bare_close(fd);
}

/* In a forked child: our copies of what lingers in the parent would keep it alive. */
void descriptor_unpark_all(void)
{
    atomic_store(&forking, 0);
    for (int fd = -1; (fd = set_next(PARKED, fd)) >= 0;) {
        lingering[fd].era = 0;
        lingering[fd].moved = -1; /* nowhere: linger_claim() */
        atomic_store(&lingering[fd].claim, CLAIM_NONE);
        descriptor_unpark(fd);
    }
    for (int fd = -1; (fd = set_next(PARKING, fd)) >= 0;) {
        if (!set_has(KNOWN, fd) && verdict_socket(fd))
            bare_close(fd);
        set_drop(PARKING, fd);
    }
}

/* The program wants a number that one of our lingering connections has: it goes on under another. Whoever runs it finds
   that its claim is gone, and where it went. false: there is no other number, or it waits with others on some thread's
   stack (close_range, exit); dup2(2) knows EBUSY for that. */
bool descriptor_give_up(int fd)
{
    struct lingering *l = lingering_at(fd), *m = NULL;
    int free = CLAIM_FREE, other, tries = 0;
    while (!atomic_compare_exchange_weak(&l->claim, &free, CLAIM_TAKEN)) {
        /* It is over; a mark alone may also stay until another thread's fork is over. */
        if (!set_has(PARKED, fd) && (!set_has(PARKING, fd) || tries++ > 1000))
            return true;
        free = CLAIM_FREE;
        sched_yield();
    }
    if (l->crowd && !background_has(l))
        other = -1;
    else if ((other = descriptor_out_of_the_way(fd, PARKED)) >= 0)
        m = lingering_at(other);
    if (!m) {
        if (other >= 0)
            descriptor_unpark(other);
        atomic_store(&l->claim, CLAIM_FREE);
        return false;
    }
    linger_move(m, l, other);
    report_moved(fd, other);
    set_drop(PARKED, fd);
    l->moved = other;
    atomic_store(&l->claim, CLAIM_NONE);
    if (l->crowd)
        background_moved(fd, m);
    return true;
}
