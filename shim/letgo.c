/*
 * One descriptor on its way out, in four steps around the one real call that its hook makes:
 *
 *   look    does anyone else still hold this connection? Then the real call, and nothing else.
 *   park    a second name for it: it outlives the descriptor
 *   close   the real call: its result and errno are the caller's, and the number is free at once
 *   linger  FIN, drain, bounded; then the parked name goes
 *
 * The real call stays atomic that way (dup2 must not close its target early: another thread could take the number), and
 * a caller never waits for less than it asked. With no descriptor left (EMFILE) it lingers in place, before the call.
 */
#include "lingerclose.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic unsigned lingering;

static void look(struct letgo *l)
{
    l->survivor = holders_sibling(l->fd);
    if (l->survivor >= 0) {
        /* An epoll set knows a file by the number that it was added under; once that is gone nobody can take it out. */
        if (set_has(EPOLL_ELSEWHERE, l->fd) || atomic_load(&descriptor(l->fd)->epoll))
            set_put(EPOLL_ELSEWHERE, l->survivor);
        l->why = WHY_HELD;
        l->what = holders_shared(l->fd) ? LETGO_STAYS : LETGO_PLAIN;
        return;
    }
    l->what = LETGO_PLAIN;
    l->why = verdict_rules(l->fd, l->role);
    if (verdict_lingers(l->why) && !holders_alone(l->fd))
        l->why = WHY_HELD;
    if (verdict_lingers(l->why) && set_has(EPOLL_ELSEWHERE, l->fd))
        l->why = WHY_EPOLL;
    if (l->why == WHY_PENDING && !verdict_pending(l->fd))
        l->why = WHY_IDLE;
    if (!verdict_lingers(l->why))
        return;
    linger_prepare(&l->lingering, l->fd, l->role);
    if (config.steps & STEP_DRAIN)
        l->end = linger_discard(&l->lingering);
    if (l->end == END_EOF && l->lingering.discarded == 0)
        l->why = WHY_FINISHED; /* the peer's FIN is here and nothing is unread: the real close sends a clean FIN */
    if (l->end == END_NONE)
        l->what = LETGO_LINGERS;
}

static enum end linger(struct letgo *l)
{
    return l->why == WHY_MAX ? linger_now(&l->lingering) : linger_sync(&l->lingering);
}

static void park(struct letgo *l)
{
    descriptor_unepoll(l->fd);
    if (atomic_fetch_add(&lingering, 1) >= config.max)
        l->why = WHY_MAX;
    l->parked = descriptor_park(l->fd);
    if (l->parked >= 0)
        l->lingering.fd = l->parked;
    else
        l->end = linger(l);
}

/* false: the number is ours, and the program has no such descriptor. */
bool letgo_begin(struct letgo *l, int fd, const char *how, bool freed)
{
    l->what = LETGO_NOTHING;
    if (!config.on)
        return true;
    if ((set_has(PARKED, fd) || (freed && set_has(OURS, fd))) && getpid() == owner)
        return false;
    int saved = errno;
    if (!verdict_live(fd) || getpid() != owner) {
        errno = saved;
        return true;
    }
    /* As the real call would, before anything has changed; after that no cancellation may lose the parked name. */
    pthread_testcancel();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &l->cancel);
    l->fd = fd;
    l->how = how;
    l->freed = freed;
    l->role = set_has(CONNECTED, fd) ? ROLE_CONNECTED : ROLE_ACCEPTED;
    l->parked = -1;
    l->end = END_NONE;
    l->lingering = (struct lingering){.fd = -1};
    report_addresses(l);
    look(l);
    if (l->what == LETGO_LINGERS)
        park(l);
    if (l->what == LETGO_STAYS)
        l->slot = holders_settling(fd);
    if (freed)
        descriptor_forget(fd);
    errno = saved;
    return true;
}

/* dup2 failed after all: its target is as it was. */
static void undo(struct letgo *l)
{
    if (l->parked >= 0)
        descriptor_unpark(l->parked);
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
    else if (l->parked >= 0) {
        l->end = linger(l);
        descriptor_unpark(l->parked);
    }
    if (l->what == LETGO_LINGERS)
        atomic_fetch_sub(&lingering, 1);
    report_letgo(l);
    pthread_setcancelstate(l->cancel, NULL);
    errno = saved;
    return result;
}
