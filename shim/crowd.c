/*
 * Many lingering connections in one thread: the background's, or those of a process that exits.
 *
 * Edge-triggered epoll wakes us when input comes and at the very moment when our FIN is acknowledged (that is a change of
 * state, and the socket counts as writable by then). Deadlines sit in a wheel: each connection hangs in the spoke of its
 * next deadline, so a wake-up touches those whose time has come and no others. A deadline beyond the wheel's reach is
 * looked at again when the wheel has come round.
 *
 * Only the thread that runs a crowd touches the wheel and the links of its members. crowd_add may be called by any other,
 * in a signal handler too: it is one epoll_ctl, and the new member's first event is how the thread hears of it; or, while
 * the thread pauses, one bit.
 */
#include "lingerclose.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>

#define MS INT64_C(1000000)
#define TICK (32 * MS)
#define EVENTS 64
#define NAP (8 * MS)
#define ROOM 256 /* for those that come during a nap */

bool crowd_open(struct crowd *c, void (*done)(struct lingering *, enum end))
{
    static _Atomic uint16_t eras;
    memset(c->wheel, 0xff, sizeof c->wheel); /* -1 in each */
    do
        c->era = (uint16_t)(atomic_fetch_add(&eras, 1) + 1);
    while (c->era == 0);
    atomic_store(&c->members, 0);
    atomic_store(&c->stop, false);
    atomic_store(&c->napping, false);
    c->done = done;
    c->turned = now() / TICK;
    c->epfd = (int)bare_syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
    return c->epfd >= 0;
}

static void take_off(struct crowd *c, struct lingering *l)
{
    if (l->era != c->era)
        return;
    if (l->before >= 0)
        lingering_at(l->before)->after = l->after;
    else
        c->wheel[l->spoke] = l->after;
    if (l->after >= 0)
        lingering_at(l->after)->before = l->before;
    l->era = 0;
}

static void hang(struct crowd *c, int fd, int64_t deadline)
{
    struct lingering *l = lingering_at(fd);
    int64_t tick = (deadline + TICK - 1) / TICK;
    if (tick <= c->turned)
        tick = c->turned + 1;
    if (tick >= c->turned + SPOKES)
        tick = c->turned + SPOKES - 1;
    l->spoke = (uint16_t)(tick % SPOKES);
    l->before = -1;
    l->after = c->wheel[l->spoke];
    if (l->after >= 0)
        lingering_at(l->after)->before = fd;
    c->wheel[l->spoke] = fd;
    l->era = c->era;
}

/* Again, if the set has moved meanwhile: background_give_up(). What is watched already is as good. */
static bool watch(struct crowd *c, int fd)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    for (int epfd = -1; epfd != c->epfd;) {
        epfd = c->epfd;
        if (!bare_syscall(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, fd, &e) || errno == EEXIST)
            return true;
    }
    return false;
}

/* The caller's claim ends when it is a member: free before, its number could be given up in between, and the crowd would wait
   for it for ever. false: not taken, and still claimed. A number whose entry still hangs in another wheel (it was given up
   there, and that thread has not noticed yet) cannot be taken. */
bool crowd_add(struct crowd *c, struct lingering *l)
{
    int fd = l->fd;
    if (l->era && l->era != c->era)
        return false;
    atomic_fetch_add(&c->members, 1);
    l->crowd = c->era;
    linger_release(l);
    if (atomic_load(&c->napping) && l == lingering_at(fd)) {
        set_put(NEWCOMER, fd);
        if (atomic_load(&c->napping) || !set_take_out(NEWCOMER, fd))
            return true; /* sure to be seen, or seen */
    }
    if (watch(c, fd))
        return true;
    int free = CLAIM_FREE;
    if (!atomic_compare_exchange_strong(&l->claim, &free, CLAIM_TAKEN))
        return true; /* somebody else has ended it meanwhile, and counted */
    l->crowd = 0;
    crowd_left(c);
    return false;
}

/* One member fewer; the last one wakes whoever waits for that (background_wait). */
void crowd_left(struct crowd *c)
{
    if (atomic_fetch_sub(&c->members, 1) == 1)
        bare_syscall(SYS_futex, &c->members, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* true: there was something to discard, and the peer may be waiting to send more. A newcomer is not watched yet: most
   are over by now. */
static bool visit(struct crowd *c, int fd, bool newcomer)
{
    struct lingering *l = lingering_at(fd);
    int64_t next = 0;
    int free = CLAIM_FREE;
    if (!l)
        return false;
    take_off(c, l);
    if (l->crowd != c->era)
        return false;
    if (!atomic_compare_exchange_strong(&l->claim, &free, CLAIM_TAKEN)) {
        if (free == CLAIM_TAKEN) /* its number is being given up, most likely: then it comes under another */
            hang(c, fd, now());
        if (free == CLAIM_TAKEN && newcomer)
            set_put(NEWCOMER, fd);
        return false;
    }
    if (l->crowd != c->era) { /* an event of long ago; by now it is another connection's number, in another's hands */
        atomic_store(&l->claim, CLAIM_FREE);
        return false;
    }
    uint64_t before = l->discarded;
    enum end end = linger_step(l, false, &next);
    bool more = l->discarded > before;
    if ((!end || end == END_MORE) && newcomer && !watch(c, fd))
        end = linger_now(l);
    if (end && end != END_MORE) {
        c->done(l, end);
        crowd_left(c);
        return more;
    }
    hang(c, fd, next);
    atomic_store(&l->claim, CLAIM_FREE);
    return more;
}

static void meet_newcomers(struct crowd *c)
{
    int fd = -1;
    for (int last = -1; (fd = set_next(NEWCOMER, last)) >= 0; last = fd)
        if (set_take_out(NEWCOMER, fd))
            visit(c, fd, true);
}

static void turn(struct crowd *c)
{
    int64_t t = now() / TICK;
    if (t - c->turned > SPOKES)
        c->turned = t - SPOKES;
    while (c->turned < t) {
        int *spoke = &c->wheel[++c->turned % SPOKES], fd;
        while ((fd = *spoke) >= 0) {
            visit(c, fd, false); /* hangs it elsewhere, if at all */
            if (*spoke == fd)
                *spoke = -1;
        }
    }
}

/* How long until a spoke has somebody, in ms. */
static int rest(const struct crowd *c, int64_t until)
{
    int64_t t = now(), tick = c->turned + 1;
    while (tick < c->turned + SPOKES && c->wheel[tick % SPOKES] < 0)
        tick++;
    int64_t wake = tick * TICK < until ? tick * TICK : until;
    return wake > t ? (int)((wake - t + MS - 1) / MS) : 0;
}

/* Past the bound connections do not linger: then there is no time to lose. */
static bool has_room(const struct crowd *c)
{
    unsigned most = parking_spare();
    return (config.max < most ? config.max : most) >= atomic_load(&c->members) + ROOM;
}

/* What happens meanwhile wakes nobody: most connections come with nothing to read and end a moment later, and being woken
   for each event cost a server 40 us a connection. Their FIN is out already. Long, where nobody has sent anything. */
static void nap(struct crowd *c, bool more)
{
    struct timespec t = {.tv_nsec = more || !has_room(c) ? c->pause : NAP};
    atomic_store(&c->napping, true);
    bare_syscall(SYS_nanosleep, &t, NULL);
    atomic_store(&c->napping, false);
}

/* The crowd is over: entries that were ended by others may still hang in its wheel. */
void crowd_forget(struct crowd *c)
{
    for (int i = 0; i < SPOKES; i++)
        for (int fd = c->wheel[i]; fd >= 0; fd = lingering_at(fd)->after)
            lingering_at(fd)->era = 0;
}

/* What is still there is cut short: its FIN is out, and the kernel goes on sending what is left. */
void crowd_end(struct crowd *c, enum set in, enum end end)
{
    for (int fd = -1; (fd = set_next(in, fd)) >= 0;) {
        struct lingering *l = lingering_at(fd);
        int free = CLAIM_FREE;
        if (l && l->crowd == c->era && atomic_compare_exchange_strong(&l->claim, &free, CLAIM_TAKEN)) {
            enum end last = linger_now(l);
            c->done(l, end == END_NOW ? last : end);
            crowd_left(c);
        }
    }
}

static _Atomic unsigned forks;

void crowd_forked(void) { atomic_fetch_add(&forks, 1); }

/* Until nobody is left, the time is up or it is told to stop. Where epoll_pwait is refused (a filter), nobody's event would
   ever come. false: a signal's handler has forked, and this is the child: those that linger are its parent's. */
bool crowd_run(struct crowd *c, int64_t until)
{
    struct epoll_event events[EVENTS];
    unsigned before = atomic_load(&forks);
    do {
        bool more = false;
        int wait = atomic_load(&c->members) ? rest(c, until) : 0, epfd = c->epfd;
        long n = bare_syscall(SYS_epoll_pwait, epfd, events, EVENTS, wait, NULL, 8);
        if (before != atomic_load(&forks))
            break;
        if (n < 0 && errno != EINTR && epfd == c->epfd) {
            crowd_end(c, PARKED, END_NOW);
            crowd_end(c, KNOWN, END_NOW);
            return true;
        }
        for (long i = 0; i < n; i++)
            more |= visit(c, events[i].data.fd, false);
        turn(c);
        if (n > 0 && n < EVENTS && c->pause)
            nap(c, more);
        if (c->pause)
            meet_newcomers(c);
    } while (atomic_load(&c->members) && !atomic_load(&c->stop) && now() < until && before == atomic_load(&forks));
    return before == atomic_load(&forks);
}
