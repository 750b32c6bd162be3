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
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SOON INT64_C(10000000) /* ns */

static _Atomic unsigned lingering;

/* Is it worth a hook's trouble? A live connection, in the process whose memory this is. What no hook has seen come could
   not linger anyway (holders_alone), so the kernel need not be asked: a file's close costs nothing. */
int letgo_wanted(int fd)
{
    int saved = errno;
    int live = config.on && set_has(KNOWN, fd) ? verdict_live(fd) : 0;
    if (live && !owned())
        live = 0;
    errno = saved;
    return live;
}

/* The peer's FIN may be here already, or the socket be deaf: then the first drain shows whether there is anything to wait
   for. Otherwise FIN comes first (linger.c). A deaf socket whose FIN is out can't be helped any more. */
static enum end first_drain(struct lingering *l, int live)
{
    bool finished = live & (PEER_FINISHED | MAYBE_FINISHED);
    enum end end;
    l->deaf = !finished && set_has(DEAF, l->fd);
    if (!(config.steps & STEP_DRAIN) || !(finished || l->deaf))
        return END_NONE;
    end = linger_discard(l, true);
    if (end == END_EOF && l->discarded == 0)
        l->why = WHY_FINISHED; /* nothing is unread: the real close sends a clean FIN */
    return end == END_NONE && l->deaf && live & WE_FINISHED ? END_NOW : end;
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
        l->what = LETGO_STAYS;
        return;
    }
    l->why = verdict_rules(l->fd, role, &l->in_place.own);
    if (verdict_lingers(l->why) && !holders_alone(l->fd))
        l->why = WHY_HELD;
    if (verdict_lingers(l->why) && set_has(EPOLL_ELSEWHERE, l->fd))
        l->why = WHY_EPOLL;
    if (l->why == WHY_PENDING && !verdict_pending(l->fd))
        l->why = WHY_IDLE;
    if (!verdict_lingers(l->why))
        return;
    bool own = l->in_place.own;
    linger_prepare(&l->in_place, l->fd, role);
    l->in_place.own = own;
    l->in_place.why = (uint8_t)l->why;
    l->end = l->freed ? first_drain(&l->in_place, l->live)
                      : END_NONE; /* a call that can fail must find its target as it was */
    l->why = l->in_place.why;
    if (l->end == END_NONE)
        l->what = LETGO_LINGERS;
}

/* In a program with threads dup2 over a connection is how one thread wakes another that reads it: a signal follows, and
   what comes until then the other one would get (a JVM's Socket.close). */
static bool hurries(const struct letgo *l)
{
    bool wakes = !l->freed && !__libc_single_threaded;
    return config.mode == MODE_BACKGROUND || (config.mode == MODE_AUTO && (wakes || l->flags & O_NONBLOCK));
}

/* No descriptor is left to park it under. */
static void linger_in_place(struct letgo *l)
{
    struct lingering *here = &l->in_place;
    l->end = hurries(l) || l->why == WHY_MAX ? linger_now(here) : linger_sync(&here, INT64_MAX);
    l->what = LETGO_PLAIN;
    atomic_fetch_sub(&lingering, 1);
}

static void park(struct letgo *l)
{
    if (l->freed)
        linger_begin(&l->in_place);
    unsigned most = parking_spare();
    l->flags = (int)bare_syscall(SYS_fcntl, l->fd, F_GETFL);
    descriptor_unepoll(l->fd, l->flags);
    if (atomic_fetch_add(&lingering, 1) >= (config.max < most ? config.max : most))
        l->why = WHY_MAX;
    l->in_place.why = (uint8_t)l->why;
    bool nearby = __libc_single_threaded && !hurries(l) && !l->together; /* what waits with others stays where it is */
    int parked = nearby ? parking_nearby(l->fd) : parking_out_of_the_way(l->fd, PARKED);
    l->lingering = lingering_at(parked);
    if (l->lingering) {
        report_moved(l->fd, parked);
        linger_move(l->lingering, &l->in_place, parked);
        return;
    }
    if (parked >= 0)
        parking_end(parked);
    linger_in_place(l);
}

static bool begin(struct letgo *l, int fd, const char *how, bool freed, struct crowd *together)
{
    l->what = LETGO_NOTHING;
    if (!config.on)
        return true;
    if (freed && (set_has(PARKED, fd) || set_has(OURS, fd)) && owned())
        return false;
    int live = letgo_wanted(fd), saved = errno;
    /* dup2 onto a number beyond a lowered limit will be refused. Who left the connection for it would seem gone meanwhile. */
    if (!live || (!freed && fd >= parking_limit(true))) {
        if (freed && set_has(SHARED, fd) && owned())
            holders_gone(fd);
        errno = saved;
        return true;
    }
    /* From here on no cancellation may lose the parked name. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &l->cancel);
    l->fd = fd;
    l->live = live;
    l->freed = freed;
    l->lingering = NULL;
    l->together = together;
    l->end = END_NONE;
    l->in_place = (struct lingering){.fd = fd, .number = fd};
    report_connection(fd, how);
    look(l);
    if (l->what == LETGO_LINGERS) {
        park(l);
        debug_window();
    }
    if (l->what == LETGO_STAYS)
        l->slot = holders_settling(fd);
    l->in_place.why = (uint8_t)l->why;
    if (l->what != LETGO_LINGERS)
        report_letgo(&l->in_place, l->end);
    if (freed && l->what != LETGO_STAYS)
        holders_gone(fd);
    if (freed) {
        descriptor_moves();
        descriptor_forget(fd);
    }
    if (!debug_mutant("errno-of-ours"))
        errno = saved;
    return true;
}

/* false: the number is ours, and the program has no such descriptor. */
bool letgo_begin(struct letgo *l, int fd, const char *how, bool freed) { return begin(l, fd, how, freed, NULL); }

/* With others that are let go of together, before anybody waits. */
bool letgo_begin_with(struct letgo *l, int fd, const char *how, struct crowd *together)
{
    return begin(l, fd, how, true, together);
}

/* It is over, and claimed: the last name goes. */
void letgo_finish(struct lingering *l, enum end end)
{
    int parked = l->fd;
    if (end == END_ERROR && debug_mutant("kept-on-error"))
        return;
    report_letgo(l, end);
    atomic_store(&l->claim, CLAIM_NONE);
    if (set_has(PARKED, parked)) {
        atomic_fetch_sub(&lingering, 1);
        parking_end(parked);
    }
}

static void finish_now(struct lingering *l) { letgo_finish(l, linger_now(l)); }

static void join(struct crowd *c, struct lingering *l)
{
    linger_begin(l);
    if (c->epfd < 0)
        crowd_open(c, letgo_finish);
    if (!crowd_add(c, l))
        finish_now(l);
}

static void hand_over(struct lingering *l)
{
    linger_begin(l);
    if (!background_take(l))
        finish_now(l);
}

/* In auto, a program that holds the other end itself does not wait either: it might be the only one to close that. Most
   peers answer before it is worth asking. */
static void linger_here(struct lingering *l)
{
    bool asks = config.mode == MODE_AUTO;
    linger_release(l);
    enum end end = linger_sync(&l, asks ? l->began + SOON : INT64_MAX);
    if (!l)
        return;
    if (end)
        letgo_finish(l, end);
    else if (verdict_both_ends(l->fd)) {
        if ((l = parking_away(l)))
            hand_over(l);
    } else {
        end = linger_sync(&l, INT64_MAX);
        if (l)
            letgo_finish(l, end);
    }
}

/* Claimed since it was parked; unless a signal's handler has forked, and this is the child: what lingers is the parent's. */
static void linger(struct letgo *l)
{
    if (atomic_load(&l->lingering->claim) != CLAIM_TAKEN)
        return;
    if (l->why == WHY_MAX)
        finish_now(l->lingering);
    else if (hurries(l))
        hand_over(l->lingering);
    else if (l->together)
        join(l->together, l->lingering);
    else
        linger_here(l->lingering);
}

/* dup2 failed after all: its target is as it was. */
static void undo(struct letgo *l)
{
    if (l->lingering) {
        atomic_store(&l->lingering->claim, CLAIM_NONE);
        parking_end(l->lingering->fd);
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
    if (l->freed)
        descriptor_moved();
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

/* dup2 onto a number of ours: the program gets it, unless it is beyond a lowered limit. false: not now. */
bool letgo_give_up(int fd)
{
    int saved = errno;
    bool given = true;
    if (!config.on || !owned())
        return true;
    bool parked = set_has(PARKED, fd) || set_has(PARKING, fd);
    if ((parked || set_has(OURS, fd)) && fd >= parking_limit(true))
        given = true; /* the call will fail */
    else if (parked)
        given = parking_give_up(fd);
    else if (set_has(OURS, fd))
        given = background_give_up(fd) || report_give_up(fd) || !set_has(OURS, fd);
    errno = saved;
    return given;
}

/* In a forked child: what lingers is the parent's. */
void letgo_forked(void)
{
    int saved = errno;
    background_forked();
    crowd_forked();
    parking_end_all();
    atomic_store(&lingering, 0);
    stats_forked();
    errno = saved;
}
