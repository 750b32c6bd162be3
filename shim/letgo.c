/*
 * One descriptor on its way out, in four steps around the one real call that its hook makes:
 *
 *   look    does anyone else still hold this connection? Then the real call, and nothing else.
 *   park    a second name for it: it outlives the descriptor
 *   close   the real call: its result and errno are the caller's, and the number is free at once
 *   linger  FIN, drain, bounded, here or in the background; then the parked name goes
 *
 * The real call stays atomic that way: dup2 must not close its target early, since another thread could take the number.
 * With no descriptor left (EMFILE) a blocking socket lingers in place, before the call.
 */
#include "lingerclose.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic unsigned lingering;

/* Is it worth a hook's trouble? A live connection, in the process whose memory this is. */
bool letgo_wanted(int fd)
{
    int saved = errno;
    bool wanted = config.on && verdict_live(fd) && getpid() == owner;
    errno = saved;
    return wanted;
}

/* The first drain costs nothing and often is all: the peer's FIN may be here already. */
static enum end first_drain(struct lingering *l)
{
    enum end end = config.steps & STEP_DRAIN ? linger_discard(l, true) : END_NONE;
    if (end != END_EOF)
        return end;
    if (verdict_finished(l->fd)) {
        if (l->discarded == 0)
            l->why = WHY_FINISHED; /* nothing is unread: the real close sends a clean FIN */
        return END_EOF;
    }
    l->deaf = true;
    return verdict_sending(l->fd) ? END_NONE : END_NOW;
}

static void look(struct letgo *l)
{
    unsigned role = set_has(CONNECTED, l->fd) ? ROLE_CONNECTED : ROLE_ACCEPTED;
    l->what = LETGO_PLAIN;
    l->survivor = holders_sibling(l->fd);
    if (l->survivor >= 0) {
        /* An epoll set knows a file by the number that it was added under; once that is gone nobody can take it out. */
        if (set_has(EPOLL_ELSEWHERE, l->fd) || atomic_load(&descriptor(l->fd)->epoll))
            set_put(EPOLL_ELSEWHERE, l->survivor);
        l->why = WHY_HELD;
        if (holders_shared(l->fd))
            l->what = LETGO_STAYS;
        return;
    }
    l->why = verdict_rules(l->fd, role);
    if (verdict_lingers(l->why) && !holders_alone(l->fd))
        l->why = WHY_HELD;
    if (verdict_lingers(l->why) && set_has(EPOLL_ELSEWHERE, l->fd))
        l->why = WHY_EPOLL;
    if (l->why == WHY_PENDING && !verdict_pending(l->fd))
        l->why = WHY_IDLE;
    if (!verdict_lingers(l->why))
        return;
    linger_prepare(&l->in_place, l->fd, role);
    l->in_place.why = l->why;
    l->end = first_drain(&l->in_place);
    l->why = l->in_place.why;
    if (l->end == END_NONE)
        l->what = LETGO_LINGERS;
}

static void move(struct lingering *to, const struct lingering *from, int fd)
{
    linger_prepare(to, fd, from->role);
    to->number = from->number;
    to->deaf = from->deaf;
    to->why = from->why;
    to->began = from->began;
    to->quiet_since = from->quiet_since;
    to->discarded = from->discarded;
}

static void park(struct letgo *l)
{
    unsigned most = descriptor_spare();
    l->flags = (int)bare_syscall(SYS_fcntl, l->fd, F_GETFL);
    descriptor_unepoll(l->fd, l->flags);
    if (atomic_fetch_add(&lingering, 1) >= (config.max < most ? config.max : most))
        l->why = WHY_MAX;
    l->in_place.why = (uint8_t)l->why;
    int parked = descriptor_out_of_the_way(l->fd, PARKED);
    l->lingering = lingering_at(parked);
    if (l->lingering) {
        report_moved(l->fd, parked);
        move(l->lingering, &l->in_place, parked);
        return;
    }
    descriptor_unpark(parked);
    struct lingering *here = &l->in_place;
    if (l->why == WHY_MAX || (l->flags & O_NONBLOCK && config.mode != MODE_SYNC) || config.mode == MODE_BACKGROUND)
        l->end = linger_now(here);
    else
        l->end = linger_sync(&here);
    l->what = LETGO_PLAIN;
    atomic_fetch_sub(&lingering, 1);
}

/* false: the number is ours, and the program has no such descriptor. */
bool letgo_begin(struct letgo *l, int fd, const char *how, bool freed)
{
    l->what = LETGO_NOTHING;
    if (!config.on)
        return true;
    if (freed && (set_has(PARKED, fd) || set_has(OURS, fd)) && getpid() == owner)
        return false;
    if (!letgo_wanted(fd))
        return true;
    int saved = errno;
    /* As the real call would, before anything has changed; after that no cancellation may lose the parked name. */
    pthread_testcancel();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &l->cancel);
    l->fd = fd;
    l->freed = freed;
    l->lingering = NULL;
    l->together = NULL;
    l->end = END_NONE;
    l->in_place = (struct lingering){.fd = fd, .number = fd};
    report_connection(fd, how);
    look(l);
    if (l->what == LETGO_LINGERS)
        park(l);
    if (l->what == LETGO_STAYS)
        l->slot = holders_settling(fd);
    l->in_place.why = (uint8_t)l->why;
    if (l->what != LETGO_LINGERS)
        report_letgo(&l->in_place, l->end);
    if (freed)
        descriptor_forget(fd);
    errno = saved;
    return true;
}

/* It is over, and claimed: the last name goes. */
void letgo_finish(struct lingering *l, enum end end)
{
    int parked = l->fd;
    report_letgo(l, end);
    atomic_store(&l->claim, CLAIM_NONE);
    if (set_has(PARKED, parked)) {
        atomic_fetch_sub(&lingering, 1);
        descriptor_unpark(parked);
    }
}

/* In auto, an event loop does not wait; nor does a program that holds the other end itself, since it might be the only
   one to close that. */
static bool waits_here(const struct letgo *l)
{
    if (config.mode == MODE_AUTO)
        return !(l->flags & O_NONBLOCK) && !verdict_both_ends(l->lingering->fd);
    return config.mode == MODE_SYNC;
}

static void join(struct crowd *c, struct lingering *l)
{
    linger_begin(l);
    if (c->epfd < 0)
        crowd_open(c, letgo_finish);
    if (!crowd_add(c, l))
        letgo_finish(l, linger_now(l));
}

static void linger(struct letgo *l)
{
    if (l->lingering->why == WHY_MAX) {
        letgo_finish(l->lingering, linger_now(l->lingering));
    } else if (waits_here(l) && l->together) {
        join(l->together, l->lingering);
    } else if (waits_here(l)) {
        enum end end = linger_sync(&l->lingering);
        letgo_finish(l->lingering, end);
    } else {
        linger_begin(l->lingering);
        if (!background_take(l->lingering))
            letgo_finish(l->lingering, linger_now(l->lingering));
    }
}

/* dup2 failed after all: its target is as it was. */
static void undo(struct letgo *l)
{
    if (l->lingering) {
        atomic_store(&l->lingering->claim, CLAIM_NONE);
        descriptor_unpark(l->lingering->fd);
        atomic_fetch_sub(&lingering, 1);
    }
    set_drop(CLOSING, l->fd);
    if (holders_shared(l->fd))
        holders_register(l->fd);
}

int letgo_end(struct letgo *l, int result)
{
    if (l->what == LETGO_NOTHING)
        return result;
    int saved = errno;
    if (l->what == LETGO_STAYS)
        holders_settled(l->slot, l->survivor);
    if (result < 0 && !l->freed)
        undo(l);
    else if (l->what == LETGO_LINGERS)
        linger(l);
    pthread_setcancelstate(l->cancel, NULL);
    errno = saved;
    return result;
}

/* dup2 onto a number of ours: the program gets it. */
void letgo_give_up(int fd)
{
    if (!config.on || getpid() != owner)
        return;
    if (set_has(PARKED, fd))
        descriptor_give_up(fd);
    else if (set_has(OURS, fd))
        background_give_up(fd);
}

/* In a forked child: what lingers is the parent's, and our copies would keep it alive. */
void letgo_forked(void)
{
    int saved = errno;
    background_forked();
    for (int fd = -1; (fd = set_next(PARKED, fd)) >= 0;) {
        lingering_at(fd)->era = 0;
        atomic_store(&lingering_at(fd)->claim, CLAIM_NONE);
        descriptor_unpark(fd);
    }
    atomic_store(&lingering, 0);
    errno = saved;
}
