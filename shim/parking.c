/*
 * Our own descriptors: where they are, out of the way of the numbers that programs get, and what becomes of them when the
 * program wants their numbers, forks, or gets a table of its own.
 */
#include "lingerclose.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

#define NEAR 48
#define PARK_BELOW (1 << 15) /* no higher: the kernel's own table grows to the highest number, and fork copies it */

static _Atomic int forking; /* threads that are in fork */

/* How many descriptors the process may have. RLIMIT_NOFILE may change at any time, so it is asked again now and then;
   where it has fallen in between, parking fails and asks at once. */
int parking_limit(bool again)
{
    static _Atomic unsigned asked;
    static _Atomic int last;
    struct rlimit limit;
    if (again || atomic_fetch_add(&asked, 1) % 64 == 0)
        atomic_store(&last, !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < MOST_DESCRIPTORS ? (int)limit.rlim_cur
                                                                                                   : MOST_DESCRIPTORS);
    return atomic_load(&last);
}

/* Where the numbers begin that programs do not get. */
static int out_of_the_way(bool again)
{
    int limit = parking_limit(again), most = descriptors_end() < PARK_BELOW ? descriptors_end() : PARK_BELOW;
    return (limit < most ? limit : most) / 2;
}

/* Most often we know which number it will be, and say so before: a child that another thread forks in between has it. */
static int next_free(int fd, int least)
{
    int likely = descriptor_unmarked(least);
    while (!set_take(PARKING, likely))
        likely = descriptor_unmarked(likely + 1);
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
void parking_make_room(int fd)
{
    static _Atomic bool made;
    if (!__libc_single_threaded || atomic_exchange(&made, true))
        return;
    int high = (int)bare_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, out_of_the_way(false));
    if (high >= 0)
        bare_close(high);
}

static int marked_as(enum set set, int fd)
{
    set_put(set, fd);
    set_drop(PARKING, fd);
    return fd < 0 ? -1 : fd;
}

/* A second name for fd, out of the way of the numbers that programs get; -1 with none left (EMFILE). */
int parking_out_of_the_way(int fd, enum set set)
{
    int other = -1;
    for (int again = 0; other < 0 && again <= 1; again++)
        other = next_free(fd, out_of_the_way(again));
    if (other < 0)
        other = next_free(fd, 0);
    return marked_as(set, other);
}

/* Likewise while the program's only thread waits, and gets no numbers: one for which the kernel's table is large enough as it
   is (BITS_PER_LONG, dup_fd()). That of a forked child would grow by some 100 KB. */
int parking_nearby(int fd)
{
    int other = next_free(fd, NEAR);
    return other < 0 ? parking_out_of_the_way(fd, PARKED) : marked_as(PARKED, other);
}

/* How many may linger, so that half of what the limit leaves to the program stays free. The kernel gives the lowest free
   number, so the highest that the program was given tells how many it needs. */
unsigned parking_spare(void)
{
    int limit = parking_limit(false);
    int used = descriptor_peak() + 1;
    return limit > used ? (unsigned)(limit - used) / 2 : 0;
}

/* Ours no more, once it is closed: in between, nobody's. */
void parking_end(int parked)
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
void parking_fork_begins(void) { atomic_fetch_add(&forking, 1); }

void parking_fork_over(void)
{
    if (atomic_fetch_sub(&forking, 1) == 1)
        for (int fd = -1; (fd = set_next(PARKING, fd)) >= 0;)
            set_drop(PARKING, fd);
}

/* This thread has a table of its own now (unshare(2), CLONE_FILES): what is ours is in the other one as well. */
void parking_leave_table(void)
{
    for (int fd = -1; (fd = set_next(PARKED, fd)) >= 0;)
        bare_close(fd);
    for (int fd = -1; (fd = set_next(OURS, fd)) >= 0;)
        bare_close(fd);
}

/* In a forked child: our copies of what lingers in the parent would keep it alive, and what other threads wait with
   (shutdown.c) would be in the way. The log stays. */
void parking_end_all(void)
{
    atomic_store(&forking, 0);
    for (int fd = -1; (fd = set_next(OURS, fd)) >= 0;)
        if (!report_has(fd))
            parking_end(fd);
    for (int fd = -1; (fd = set_next(PARKED, fd)) >= 0;) {
        struct lingering *l = lingering_at(fd);
        l->era = 0;
        l->moved = -1; /* nowhere: linger_claim() */
        atomic_store(&l->claim, CLAIM_NONE);
        parking_end(fd);
    }
    for (int fd = -1; (fd = set_next(PARKING, fd)) >= 0;) {
        if (!set_has(KNOWN, fd) && !set_has(LISTENS, fd) && verdict_socket(fd))
            bare_close(fd);
        set_drop(PARKING, fd);
    }
}

/* Claimed by the caller, before and after; it goes on under another number, and its old entry says where. NULL: there is none. */
static struct lingering *elsewhere(struct lingering *l)
{
    int other = parking_out_of_the_way(l->fd, PARKED);
    struct lingering *m = lingering_at(other);
    if (m) {
        linger_move(m, l, other);
        set_drop(PARKED, l->fd);
        l->moved = other;
        atomic_store(&l->claim, CLAIM_NONE);
    } else if (other >= 0)
        parking_end(other);
    return m;
}

/* What was parked nearby goes on in the background: the program will get numbers meanwhile. The caller has
   claimed what is returned. NULL: this is a child by now. */
struct lingering *parking_away(struct lingering *l)
{
    if (!(l = linger_claim(l)))
        return NULL;
    int near = l->fd;
    struct lingering *m = NULL;
    if (near < out_of_the_way(false)) {
        set_put(PARKING, near);
        m = elsewhere(l);
        if (!m)
            set_drop(PARKING, near);
    }
    if (!m)
        return l;
    report_moved(near, m->fd);
    parking_end(near);
    return m;
}

/* The program wants a number that one of our lingering connections has: it goes on under another. Whoever runs it finds
   that its claim is gone, and where it went. false: there is no other number, or it waits with others on some thread's
   stack (close_range, exit); dup2(2) knows EBUSY for that. */
bool parking_give_up(int fd)
{
    struct lingering *l = lingering_at(fd), *m = NULL;
    int free = CLAIM_FREE, tries = 0;
    while (!atomic_compare_exchange_strong(&l->claim, &free, CLAIM_TAKEN)) {
        bool parked = set_has(PARKED, fd);
        if (!parked && !set_has(PARKING, fd))
            return true; /* it is over */
        if (__libc_single_threaded)
            return false; /* this is a signal's handler, and would wait for what it interrupts */
        if (tries++ > 1000)
            return !parked; /* a mark alone may stay until another thread's fork is over */
        free = CLAIM_FREE;
        doze(20);
    }
    if (!l->crowd || background_has(l))
        m = elsewhere(l);
    if (!m) {
        atomic_store(&l->claim, CLAIM_FREE);
        return false;
    }
    report_moved(fd, m->fd);
    if (l->crowd)
        background_moved(fd, m);
    else
        linger_release(m);
    return true;
}
