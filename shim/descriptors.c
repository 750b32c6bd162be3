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

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define FEW (1 << 12)

/* Of 64 numbers: their word in each set, since most calls look at several, and their entries: a forked child that closes
   one connection has one page of this copied. Those of the first, which most programs never leave, are beside our variables,
   on a page that it has copied anyway. */
static struct numbers {
    _Atomic uint64_t sets[16];
    struct descriptor entries[64];
} few, *table;
_Static_assert(SETS <= 16, "");
static struct lingering *lingering; /* of the connections that linger, by their parked numbers */
static int size;
static _Atomic int tops[SETS];       /* none of the set is at or above it */
static _Atomic uint32_t notes;       /* how many have come */
static _Atomic uint32_t begun, over; /* dups and closes: how many were about to be, and how many are in the table */
static _Atomic int peak;             /* the highest number that the program was given, as far as we saw */

void descriptors_init(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    size_t most = limit.rlim_max < MOST_DESCRIPTORS ? ((size_t)limit.rlim_max | 63) + 1 : MOST_DESCRIPTORS;
    if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY && most > FEW)
        most = FEW; /* address space is what such a program is short of */
    char *p = mmap(NULL, most / 64 * sizeof *table + most * sizeof *lingering, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) /* RLIMIT_AS: nothing is known then, and every doubt is a plain close */
        return;
    table = (struct numbers *)p;
    lingering = (struct lingering *)(p + most / 64 * sizeof *table);
    size = (int)most;
}

static struct numbers *numbers_of(int fd) { return fd < 64 ? &few : &table[fd / 64]; }

struct descriptor *descriptor(int fd) { return fd >= 0 && fd < size ? &numbers_of(fd)->entries[fd % 64] : NULL; }

/* The first number beyond the table: RLIMIT_NOFILE's hard limit at the start, which root may raise. */
int descriptors_end(void) { return size; }

struct lingering *lingering_at(int fd) { return fd >= 0 && fd < size ? &lingering[fd] : NULL; }

static _Atomic uint64_t *word_of(enum set set, int fd) { return &numbers_of(fd)->sets[set]; }

bool set_has(enum set set, int fd) { return fd >= 0 && fd < size && atomic_load(word_of(set, fd)) >> (fd % 64) & 1; }

void set_put(enum set set, int fd)
{
    if (fd < 0 || fd >= size)
        return;
    int top = atomic_load(&tops[set]);
    while (top <= fd && !atomic_compare_exchange_weak(&tops[set], &top, fd + 1))
        ;
    atomic_fetch_or(word_of(set, fd), UINT64_C(1) << (fd % 64));
}

/* true: it was not in the set. Beyond the table there is nothing to take, and nothing in the way. */
bool set_take(enum set set, int fd)
{
    bool had = set_has(set, fd);
    if (!had && fd < size)
        had = atomic_fetch_or(word_of(set, fd), UINT64_C(1) << (fd % 64)) >> (fd % 64) & 1;
    if (!had)
        set_put(set, fd);
    return !had;
}

void set_drop(enum set set, int fd)
{
    if (set_has(set, fd)) /* most sets have few members: do not dirty a page to clear a clear bit */
        atomic_fetch_and(word_of(set, fd), ~(UINT64_C(1) << (fd % 64)));
}

bool set_take_out(enum set set, int fd)
{
    uint64_t bit = UINT64_C(1) << (fd % 64);
    return set_has(set, fd) && atomic_fetch_and(word_of(set, fd), ~bit) & bit;
}

int set_next(enum set set, int fd)
{
    int end = atomic_load(&tops[set]);
    for (fd = fd < 0 ? 0 : fd + 1; fd < end; fd = (fd | 63) + 1) {
        uint64_t word = atomic_load(word_of(set, fd)) >> (fd % 64);
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
    atomic_fetch_add(&notes, 1);
}

uint32_t descriptor_notes(void) { return atomic_load(&notes); }

void descriptor_forget(int fd)
{
    struct descriptor *d = descriptor(fd);
    if (!d)
        return;
    _Atomic uint64_t *sets = numbers_of(fd)->sets;
    uint64_t bit = UINT64_C(1) << (fd % 64);
    for (int i = 0; i < SETS; i++)
        if (i != PARKING && atomic_load(&sets[i]) & bit)
            atomic_fetch_and(&sets[i], ~bit);
    if (atomic_load(&d->epoll)) /* do not dirty a page for nothing */
        atomic_store(&d->epoll, EPOLL_NONE);
}

void descriptor_moves(void) { atomic_fetch_add(&begun, 1); }

void descriptor_moved(void) { atomic_fetch_add(&over, 1); }

struct moves descriptor_moves_now(void) { return (struct moves){atomic_load(&over), atomic_load(&begun)}; }

/* In a forked child: does the table tell of the descriptors? */
bool descriptors_stood_still(struct moves before)
{
    return before.over == before.begun && before.begun == atomic_load(&begun);
}

/* What other threads were about to do nobody will finish here. */
void descriptors_forked(void) { atomic_store(&over, atomic_load(&begun)); }

/* `to` has the connection of which the entry of `from` tells. The cookie comes last: an entry that has one is complete. */
static void copy_entry(int from, int to)
{
    struct descriptor *d = descriptor(from);
    descriptor_note(to, set_has(CONNECTED, from) ? ROLE_CONNECTED : ROLE_ACCEPTED, atomic_load(&d->born));
    if (set_has(SHARED, from))
        set_put(SHARED, to);
    if (set_has(DEAF, from))
        set_put(DEAF, to);
    set_put(DUPED, to);
    set_put(DUPED, from);
    atomic_store(&descriptor(to)->cookie, atomic_load(&d->cookie));
}

/* A set with two numbers may have lost the one that we noted. */
static _Atomic bool epolls_copied;

/* `to` is another name of `from` now. A source that no hook has seen come may be a connection all the same. */
void descriptor_duped(int from, int to)
{
    struct descriptor *d = descriptor(from);
    bool known = set_has(KNOWN, from);
    if (set_has(EPOLLS, from)) {
        set_put(EPOLLS, to);
        atomic_store(&epolls_copied, true);
    }
    if (d && set_has(LISTENS, from) && from != to) {
        descriptor_forget(to);
        set_put(LISTENS, to);
        return;
    }
    if (!d || !descriptor(to) || from == to || !(known || set_has(KNOWN, to) || verdict_socket(from)))
        return;
    descriptor_forget(to);
    if (!verdict_socket(from))
        return;
    if (!known) {
        descriptor_note(from, ROLE_ACCEPTED, 0);
        set_put(SHARED, from);
    }
    copy_entry(from, to);
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

int descriptor_peak(void) { return atomic_load(&peak); }

/* The first number from fd on that is neither ours nor the program's, as far as we know. */
int descriptor_unmarked(int fd)
{
    for (; fd < size; fd = (fd | 63) + 1) {
        _Atomic uint64_t *sets = numbers_of(fd)->sets;
        uint64_t marked = atomic_load(&sets[PARKED]) | atomic_load(&sets[OURS]) | atomic_load(&sets[KNOWN]) |
                          atomic_load(&sets[PARKING]);
        uint64_t free = ~marked >> (fd % 64);
        if (free)
            return fd + __builtin_ctzll(free);
    }
    return fd;
}
