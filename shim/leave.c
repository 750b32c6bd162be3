/*
 * Other ways out than one descriptor's close: a range of them, the process's end, shutdown(2).
 *
 * Several connections linger together, under one bound, in a crowd that lives on this thread's stack.
 */
#include "lingerclose.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#define A_MOMENT INT64_C(100000000) /* ns */

/*
 * close_range and closefrom: each connection in the range takes the four steps, one after the other but for the waiting,
 * which is together. All of the range is to be closed anyway, so closing these early changes nothing.
 */
void leave_range(unsigned first, unsigned last, const char *how)
{
    struct crowd crowd = {.epfd = -1};
    int saved = errno;
    int state;
    if (!config.on || !owned())
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    for (int fd = (int)first - 1; (fd = set_next(KNOWN, fd)) >= 0 && (unsigned)fd <= last;) {
        struct letgo l;
        if (!letgo_begin_with(&l, fd, how, &crowd) || l.what == LETGO_NOTHING)
            continue;
        letgo_end(&l, bare_close(fd));
    }
    if (crowd.epfd >= 0) {
        (void)crowd_run(&crowd, INT64_MAX);
        bare_close(crowd.epfd);
    }
    pthread_setcancelstate(state, NULL);
    errno = saved;
}

static unsigned role_of(int fd) { return set_has(CONNECTED, fd) ? ROLE_CONNECTED : ROLE_ACCEPTED; }

/* Another thread that writes to a connection whose FIN we have sent must not kill the process: it is dying of its own will,
   with its own exit status. */
static void gather(struct crowd *c)
{
    struct sigaction pipe;
    if (!sigaction(SIGPIPE, NULL, &pipe) && pipe.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
    (void)crowd_open(c, letgo_finish); /* EMFILE: crowd_add refuses each, and it is cut short */
}

/* The connection stays under its number, which the kernel closes with the process. */
static void linger_at_exit(struct crowd *c, int fd, int live, enum why why, bool own)
{
    struct lingering *l = lingering_at(fd);
    linger_prepare(l, fd, role_of(fd));
    l->why = (uint8_t)why;
    l->own = own;
    l->deaf = set_has(DEAF, fd) && live == LIVE;
    descriptor_unepoll(fd, 0);
    if (c->epfd < 0)
        gather(c);
    linger_begin(l);
    if (!crowd_add(c, l))
        letgo_finish(l, linger_now(l));
}

static void look_at_exit(struct crowd *c, int fd, const char *how)
{
    int live = verdict_live(fd);
    if (!live)
        return;
    report_connection(fd, how);
    bool own = false;
    enum why why = holders_sibling(fd) >= 0 ? WHY_HELD : verdict_rules(fd, role_of(fd), &own);
    if (verdict_lingers(why) && !holders_alone(fd))
        why = WHY_HELD;
    if (why == WHY_PENDING && !verdict_pending(fd))
        why = WHY_IDLE;
    struct lingering none = {.fd = fd, .number = fd, .why = (uint8_t)why};
    if (verdict_lingers(why))
        linger_at_exit(c, fd, live, why, own);
    else
        report_letgo(&none, END_NONE);
    holders_gone(fd);
}

/*
 * The process ends, and the kernel would close all it has. What lingers in the background shares the bound.
 */
void leave_process(const char *how)
{
    static _Atomic bool leaving;
    static struct crowd crowd = {.epfd = -1}; /* too large for a signal's stack; only one comes past `leaving` */
    int64_t until = now() + config.exit;
    int saved = errno;
    if (!config.on || !owned() || atomic_exchange(&leaving, true))
        return;
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    if (config.exit)
        for (int fd = -1; (fd = set_next(KNOWN, fd)) >= 0;)
            look_at_exit(&crowd, fd, how);
    if (crowd.epfd >= 0) {
        if (crowd_run(&crowd, until))
            crowd_end(&crowd, KNOWN, END_EXIT);
        bare_close(crowd.epfd);
    }
    background_wait(until);
    pthread_setcancelstate(state, NULL);
    errno = saved;
}

/* In nobody else's hands? Ends registered again if not: nothing is closed here. */
static bool ours_alone(int fd)
{
    bool alone = holders_alone(fd);
    if (holders_shared(fd))
        holders_register(fd);
    return alone;
}

/* How long shutdown may drain: a program that has one thread, and a blocking socket that nobody else has, waits by its own
   choice. Else the call may be how another is woken from recv, and only the real call wakes it, unless the peer finishes,
   as most do at once: a moment. An event loop does not wait at all. */
static bool drain_for_shutdown(struct lingering *here, bool alone)
{
    static _Atomic int64_t moment = A_MOMENT;
    long flags = bare_syscall(SYS_fcntl, here->fd, F_GETFL);
    if (flags < 0 || flags & O_NONBLOCK)
        return linger_shutdown(here, 0, true);
    if (alone && __libc_single_threaded)
        return linger_shutdown(here, INT64_MAX, false);
    int64_t most = atomic_load(&moment);
    bool over = linger_shutdown(here, here->began + most, true);
    /* A server that ends many silent sessions waits for two moments in all. */
    atomic_store(&moment, over ? A_MOMENT : most > A_MOMENT / 100 ? most / 2 : most);
    return over;
}

/*
 * shutdown(SHUT_RDWR) makes the socket deaf and sends FIN in one: the peer's next byte is answered with RST, before any
 * close (linger.c tells why). So FIN goes first, then the wait for the peer's, and only then what was asked. SHUT_RD alone
 * is harmless until the close, which has to know of it.
 *
 * true: FIN is out, so where the connection has come to its end meanwhile, the kernel's ENOTCONN is not the program's: its
 * own call would have come first.
 */
bool leave_shutdown(int fd, int how)
{
    struct lingering here = {.finishing = false};
    int saved = errno, state;
    bool own;
    if ((how != SHUT_RD && how != SHUT_RDWR) || !letgo_wanted(fd))
        return false;
    holders_deaf(fd);
    if (how == SHUT_RDWR && config.shutdown && verdict_lingers(verdict_rules(fd, role_of(fd), &own))) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
        linger_prepare(&here, fd, role_of(fd));
        if (!drain_for_shutdown(&here, ours_alone(fd)))
            linger_headers_only(fd);
        pthread_setcancelstate(state, NULL);
    }
    errno = saved;
    return here.finishing;
}
