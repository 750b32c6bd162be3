/*
 * The thread that lingers for a program that must not wait: an event loop's close returns at once.
 *
 * It is made on first need and ends shortly after the last connection, so that daemons may fork, drop privileges or
 * unshare with one thread before and after. It has a small stack, blocks all signals and takes no lock of ours. The
 * hand-over is crowd_add: one epoll_ctl. Making the thread is the exception: pthread_create allocates. (A bare clone
 * would not; but glibc's setuid must reach every thread, or ours would keep root's credentials.)
 *
 * A forked child has none: it closes the parked numbers it inherited (parking.c) and starts its own.
 */
#include "lingerclose.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOITER 500    /* ms that the thread stays without work */
#define PAUSE 1000000 /* ns: waking a thread costs the closing one more than all the rest of a hand-over */

enum { CLOSED, OPENING, OPEN };
static _Atomic int set_state;   /* of the crowd's epoll set */
static _Atomic bool running;    /* a thread runs the crowd, or is being made */
static _Atomic pid_t thread_id; /* of the last one; 0: it has not begun */
static _Atomic int closing;     /* threads that are at close_set() */
static _Atomic int takers;      /* threads that are handing over */
static struct crowd crowd = {.pause = PAUSE};

static bool open_set(void)
{
    int closed = CLOSED;
    while (!atomic_compare_exchange_weak(&set_state, &closed, OPENING)) {
        if (closed == OPEN)
            return true;
        if (closed == OPENING && !atomic_load(&closing))
            return false; /* another thread is at it, or this one under a signal */
        doze(20);
        closed = CLOSED;
    }
    bool open = crowd_open(&crowd, letgo_finish);
    int high = open ? parking_out_of_the_way(crowd.epfd, OURS) : -1;
    if (high >= 0) {
        bare_close(crowd.epfd);
        crowd.epfd = high;
    }
    if (open && high < 0)
        set_put(OURS, crowd.epfd);
    atomic_store(&set_state, open ? OPEN : CLOSED);
    return open;
}

/* The set goes with the thread, unless somebody is about to use it. */
static void close_set(void)
{
    int open = OPEN;
    atomic_fetch_add(&closing, 1);
    if (atomic_compare_exchange_strong(&set_state, &open, OPENING)) {
        bool unused = !atomic_load(&takers) && !atomic_load(&crowd.members);
        if (unused) {
            crowd_forget(&crowd);
            parking_end(crowd.epfd);
        }
        atomic_store(&set_state, unused ? CLOSED : OPEN);
    }
    atomic_fetch_sub(&closing, 1);
}

/* No thread is there to close it. No handler of a signal may find this half done: it would wait for us. */
static void close_unused_set(void)
{
    sigset_t all, before;
    if (atomic_load(&running))
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    close_set();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Gives the crowd up if nobody has come meanwhile. */
static bool may_end(void)
{
    if (!atomic_load(&crowd.stop))
        close_set();
    bool no = false;
    atomic_store(&running, false);
    return atomic_load(&crowd.stop) || !atomic_load(&crowd.members) ||
           !atomic_compare_exchange_strong(&running, &no, true);
}

static bool more_work(void)
{
    struct pollfd p = {.fd = crowd.epfd, .events = POLLIN};
    return poll(&p, 1, LOITER) > 0 && p.revents & POLLIN;
}

/* Among equals of SCHED_FIFO and SCHED_RR (sched(7)) a batch of ours would hold up the event loop that it is for. */
static void give_way(void)
{
    long policy = bare_syscall(SYS_sched_getscheduler, 0) & ~SCHED_RESET_ON_FORK;
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        bare_syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &(struct sched_param){0});
}

static void *run(void *unused)
{
    bare_syscall(SYS_prctl, PR_SET_NAME, "lingerclose", 0, 0, 0);
    give_way();
    atomic_store(&thread_id, (pid_t)bare_syscall(SYS_gettid));
    do {
        do
            (void)crowd_run(&crowd, INT64_MAX);
        while (!atomic_load(&crowd.stop) && more_work());
    } while (!may_end());
    return unused;
}

static bool start_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_attr_init(&attributes))
        return false;
    atomic_store(&thread_id, 0);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + (256 << 10));
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&thread, &attributes, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return !error;
}

/* false: it could not be taken, and is as it was. */
bool background_take(struct lingering *l)
{
    bool no = false;
    atomic_fetch_add(&takers, 1);
    bool taken = open_set() && crowd_add(&crowd, l);
    atomic_fetch_sub(&takers, 1);
    if (!taken) {
        close_unused_set();
        return false;
    }
    if (!atomic_compare_exchange_strong(&running, &no, true) || start_thread())
        return true;
    atomic_store(&running, false); /* RLIMIT_NPROC, a sandbox: nobody waits, then */
    crowd_end(&crowd, PARKED, END_NOW);
    close_unused_set();
    return true;
}

/* EMFILE met the program, and some of what it lacks is ours: true if a descriptor is free now. */
bool background_yield(void)
{
    int saved = errno;
    bool freed = false;
    for (int fd = -1; !freed && atomic_load(&set_state) == OPEN && (fd = set_next(PARKED, fd)) >= 0;) {
        struct lingering *l = lingering_at(fd);
        int free = CLAIM_FREE;
        if (l && l->crowd == crowd.era && atomic_compare_exchange_strong(&l->claim, &free, CLAIM_TAKEN)) {
            letgo_finish(l, linger_now(l));
            crowd_left(&crowd);
            freed = true;
        }
    }
    errno = saved;
    return freed;
}

bool background_has(const struct lingering *l) { return atomic_load(&set_state) == OPEN && l->crowd == crowd.era; }

/* What lingered under a number that the program wants (dup2) goes on under another. The epoll set keeps a file under the
   number that it was added by, and would not take it under that number again (EEXIST): it may move back. */
void background_moved(int from, struct lingering *l)
{
    bare_syscall(SYS_epoll_ctl, crowd.epfd, EPOLL_CTL_DEL, from, NULL);
    if (!crowd_add(&crowd, l))
        letgo_finish(l, linger_now(l));
    crowd_left(&crowd);
}

/* In the child: the set is the parent's, and so were its members. */
void background_forked(void)
{
    if (set_has(OURS, crowd.epfd)) {
        set_drop(OURS, crowd.epfd);
        bare_close(crowd.epfd);
    }
    atomic_store(&set_state, CLOSED);
    atomic_store(&running, false);
    atomic_store(&closing, 0);
    atomic_store(&takers, 0);
    atomic_store(&thread_id, 0);
}

/* The process ends: until nobody lingers any more, or the time is up. */
void background_wait(int64_t until)
{
    unsigned members;
    while (atomic_load(&running) && (members = atomic_load(&crowd.members))) {
        int64_t left = until - now();
        if (left <= 0)
            break;
        struct timespec t = {left / 1000000000, left % 1000000000};
        bare_syscall(SYS_futex, &crowd.members, FUTEX_WAIT_PRIVATE, members, &t, NULL, 0);
    }
    if (atomic_load(&set_state) == OPEN)
        crowd_end(&crowd, PARKED, END_EXIT);
}

/* The process becomes another program, and what lingers goes with it (close-on-exec); unless exec fails. */
void background_exec(void)
{
    int saved = errno;
    for (int fd = -1; atomic_load(&set_state) == OPEN && (fd = set_next(PARKED, fd)) >= 0;) {
        struct lingering *l = lingering_at(fd);
        int free = CLAIM_FREE;
        linger_headers_only(fd);
        if (l && atomic_compare_exchange_strong(&l->claim, &free, CLAIM_TAKEN)) { /* else it is being drained */
            linger_discard(l, false);
            atomic_store(&l->claim, CLAIM_FREE);
        }
    }
    errno = saved;
}

void background_exec_failed(void)
{
    int saved = errno, unused = 0;
    for (int fd = -1; atomic_load(&set_state) == OPEN && (fd = set_next(PARKED, fd)) >= 0;)
        next.setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
    errno = saved;
}

/* Is the thread still to be reckoned with? */
static bool alive(void)
{
    pid_t thread = atomic_load(&thread_id);
    return thread ? !bare_syscall(SYS_tgkill, getpid(), thread, 0) : atomic_load(&running);
}

/* Before something that our thread must not live to see, such as a sandbox for all threads. An eventfd that is ready from
   the start wakes it; what still lingers is cut short. */
void background_stop(void)
{
    struct lingering wake = {.fd = (int)bare_syscall(SYS_eventfd2, 1, EFD_CLOEXEC)};
    struct timespec ms = {.tv_nsec = 1000000};
    int saved = errno;
    if (atomic_load(&set_state) == OPEN) {
        atomic_store(&crowd.stop, true);
        crowd_add(&crowd, &wake);
        for (int i = 0; i < 1000 && alive(); i++)
            bare_syscall(SYS_nanosleep, &ms, NULL);
        crowd_end(&crowd, PARKED, END_NOW);
        crowd_forget(&crowd);
        parking_end(crowd.epfd);
        atomic_store(&set_state, CLOSED);
    }
    bare_close(wake.fd);
    errno = saved;
}

/* The program wants the number of our epoll set (dup2): the set goes on under another. false: it is not
   here, or there is none. */
bool background_give_up(int fd)
{
    int other;
    while (atomic_load(&closing)) /* it has the number still, and is about to close it */
        doze(20);
    if (atomic_load(&set_state) != OPEN || crowd.epfd != fd || (other = parking_out_of_the_way(fd, OURS)) < 0)
        return false;
    atomic_store(&crowd.epfd, other);
    set_drop(OURS, fd);
    return true;
}
