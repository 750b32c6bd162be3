/*
 * The lingering of one connection: FIN, then read and discard until the peer's own FIN or a bound (RFC 9112 section 9.6;
 * nginx's ngx_http_lingering_close_handler, Apache's ap_lingering_close). Knows nothing of hooks.
 *
 * Every bound is absolute and counts from one reading of the clock, so that a peer that drips a byte just before each
 * idle bound cannot extend the whole. The description's O_NONBLOCK and timeouts belong to the program, and to whoever
 * shares it: MSG_DONTWAIT and poll do without them.
 */
#include "lingerclose.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define BLIND (20 * MS)
#define GULP (16 << 20) /* one recv's share: what a flooding peer can make us take before we look at the clock again */

int64_t now(void)
{
    struct timespec t;
    next.clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

/* So that another thread can go on. Not sched_yield(2): that lets only equals run, and ours may be less than the program's
   (background.c). */
void doze(int64_t us)
{
    struct timespec t = {.tv_nsec = us * 1000};
    bare_syscall(SYS_nanosleep, &t, NULL);
}

/* The crowd's own fields stay: a stale link may still be in its wheel (parking.c, moving). */
void linger_prepare(struct lingering *l, int fd, unsigned role)
{
    l->fd = l->number = fd;
    l->crowd = 0;
    l->role = (uint8_t)role;
    l->deaf = l->own = l->finishing = false;
    l->discarded = 0;
    l->quiet_since = l->began = now();
    atomic_store(&l->claim, CLAIM_FREE);
}

/* It goes on under another number; the bounds stay where they were. */
void linger_move(struct lingering *to, const struct lingering *from, int fd)
{
    to->fd = fd;
    to->number = from->number;
    to->crowd = 0;
    to->role = from->role;
    to->why = from->why;
    to->deaf = from->deaf;
    to->own = from->own;
    to->finishing = from->finishing;
    to->began = from->began;
    to->quiet_since = from->quiet_since;
    to->discarded = from->discarded;
    atomic_store(&to->claim, CLAIM_TAKEN); /* last: an old event for this number may come at any moment */
}

/* Apart, so that no other close touches a page of the stack for it. */
__attribute__((noinline)) static ssize_t discard_by_copying(int fd, size_t most, int flags)
{
    char buffer[4096];
    return recv(fd, buffer, most > sizeof buffer ? sizeof buffer : most, flags);
}

/* MSG_TRUNC with no buffer discards in the kernel (tcp(7)), many times faster than a small buffer. What refuses it (a
   TLS upper layer, AF_UNIX) gets a buffer. With nothing left to discard: is there more all the same, or the end? */
static ssize_t discard(int fd, uint64_t left)
{
    size_t most = left < GULP ? (size_t)left : GULP;
    int flags = MSG_DONTWAIT | (left ? 0 : MSG_PEEK);
    ssize_t n = recv(fd, NULL, most ? most : 1, flags | MSG_TRUNC);
    return n < 0 && errno == EFAULT ? discard_by_copying(fd, most ? most : 1, flags) : n;
}

/* An ICMP message that the program wants to hear of (ip(7), IP_RECVERR) fails one call, and the connection goes on
   (tcp_v4_err(); RFC 1122 section 4.2.3.9). */
static bool soft_error(int fd) { return errno != EAGAIN && errno != EINTR && verdict_live(fd); }

/* Discards what is there, or, where others wait for their turn, a share of it (END_MORE). END_NONE: there is no more for
   now. */
enum end linger_discard(struct lingering *l, bool all)
{
    uint64_t most = config.drain_bytes[l->role];
    for (int gulps = 0; all || gulps < 4; gulps++) {
        uint64_t left = most - l->discarded;
        ssize_t n = discard(l->fd, left);
        if (n < 0 && soft_error(l->fd))
            n = discard(l->fd, left);
        if (n == 0)
            return l->deaf ? END_NONE : END_EOF;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? END_NONE : END_ERROR;
        if (left == 0)
            return END_BYTES;
        l->discarded += (uint64_t)n;
        l->quiet_since = now();
        if (l->quiet_since - l->began >= config.drain)
            return END_DRAIN;
    }
    return END_MORE;
}

/* AF_UNIX has no wire: what is sent is in the peer's queue. */
static bool delivered(int fd)
{
    int domain = 0;
    socklen_t length = sizeof domain;
    return config.families & FAMILY_UNIX && !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) &&
           domain == AF_UNIX;
}

static bool acknowledged(int fd)
{
    int outstanding = 0; /* counts the FIN too: tcp_ioctl() gives write_seq - snd_una */
    return delivered(fd) || ioctl(fd, SIOCOUTQ, &outstanding) || outstanding == 0;
}

/* When the peer last acknowledged something (the kernel counts ms); long ago where it does not tell. */
static int64_t last_acknowledgement(int fd, int64_t t)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) ? 0 : t - info.tcpi_last_ack_recv * MS;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/*
 * With nothing to read: is a bound reached at time t? If not, *next is when to ask again if nothing comes before.
 * poll cannot tell when our data is acknowledged; but once the connection has been quiet for IDLE the kernel tells how
 * long ago that was, so the silence after it is measured exactly without a wake-up for it.
 */
enum end linger_bound(struct lingering *l, int64_t t, int64_t *next)
{
    int64_t drain_end = l->began + config.drain, linger_end = l->began + config.linger;
    if (t >= drain_end)
        return END_DRAIN;
    int64_t quiet_end = l->quiet_since + config.idle;
    if (t < quiet_end && t < linger_end) {
        *next = least(quiet_end, least(linger_end, drain_end));
        return END_NONE;
    }
    if (config.steps & STEP_LINGER && !acknowledged(l->fd)) {
        int64_t pause = config.idle > 10 * MS ? config.idle : 10 * MS;
        *next = least(t + pause, least(linger_end, drain_end));
        return t >= linger_end ? END_LINGER : END_NONE;
    }
    if (config.steps & STEP_LINGER) {
        int64_t last = last_acknowledgement(l->fd, t);
        if (last > l->quiet_since)
            l->quiet_since = last;
    }
    *next = least(l->quiet_since + config.idle, drain_end);
    return t >= *next ? END_IDLE : END_NONE;
}

/*
 * What is done once, when it begins; a second time does nothing. The sooner FIN goes out the better: the peer's answer is
 * what everything then waits for.
 *
 * A program that did SHUT_RD has made its socket deaf: recv gives 0 without the peer's FIN, poll is always ready, and once
 * our FIN is out the kernel answers the next byte with RST (tcp_rcv_state_process(), RCV_SHUTDOWN in FIN_WAIT). Before
 * it, what comes is still queued: so there the drain comes first and FIN at the end.
 */
void linger_begin(struct lingering *l)
{
    static const struct linger none = {0};
    if (l->finishing)
        return;
    l->finishing = true;
    if (config.steps & STEP_SHUTDOWN && !l->deaf)
        next.shutdown(l->fd, SHUT_WR); /* pushes corked data as well: tcp_send_fin() */
    /* The program's own SO_LINGER would have the last close wait again, or (abort = linger) send RST after all. */
    if (config.steps & STEP_DRAIN && l->own)
        next.setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    report_begins(l);
}

/* The seed's solutions without a drain, where nothing may wait in the kernel: #1 lets our data be acknowledged first
   (with unread input it does not help, there as here), #2 waits for nothing. */
static enum end sent(const struct lingering *l, int64_t t, int64_t *next)
{
    int unread = 0;
    if (!(config.steps & STEP_LINGER) || ioctl(l->fd, FIONREAD, &unread) || unread || acknowledged(l->fd))
        return END_NOW;
    *next = l->began + config.linger;
    return t >= *next ? END_LINGER : END_NONE;
}

/* Where poll would be ready at once for ever, we look from time to time. */
static bool blind(const struct lingering *l) { return l->deaf || !(config.steps & STEP_DRAIN); }

/* Takes what is there, and tells whether it is over or when (*next) to come again if nothing happens before. */
enum end linger_step(struct lingering *l, bool all, int64_t *next)
{
    bool drains = config.steps & STEP_DRAIN;
    enum end end = drains ? linger_discard(l, all) : END_NONE;
    int64_t t = now();
    *next = t;
    if (end)
        return end;
    end = drains ? linger_bound(l, t, next) : sent(l, t, next);
    if (blind(l) && *next > t + BLIND)
        *next = t + BLIND;
    return end;
}

/* poll cannot leave POLLERR out, and what is in the error queue (MSG_ZEROCOPY, SO_TIMESTAMPING) only the program reads. */
static void wait_until(const struct lingering *l, int64_t next)
{
    struct pollfd p = {.fd = blind(l) ? -1 : l->fd, .events = POLLIN | POLLRDHUP};
    int64_t wait = -least(now() - next, 0); /* the moment may be over; to poll, less than 0 is for ever */
    int ms = (int)((wait + MS - 1) / MS);
    if (poll(&p, 1, ms) == 1 && p.revents == POLLERR)
        poll(NULL, 0, ms < BLIND / MS ? ms : BLIND / MS);
}

/* The seed's solution #1, and #1 + #2: it is close(2) that waits until our data is acknowledged, for whole seconds. What
   the bound has beyond those is waited for before. */
static enum end close_waits(struct lingering *l)
{
    struct linger on = {.l_onoff = config.linger >= SECOND, .l_linger = (int)(config.linger / SECOND)};
    int64_t part = l->began + config.linger % SECOND, when;
    enum end end = END_NOW;
    while (config.steps & STEP_LINGER && now() < part && !(end = sent(l, now(), &when)))
        poll(NULL, 0, BLIND / MS);
    if (config.steps & STEP_LINGER && on.l_onoff)
        next.setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &on, sizeof on);
    return end ? end : END_LINGER;
}

/* On the calling thread, until it is over and claimed for good, or (END_NONE) until this moment. */
enum end linger_sync(struct lingering **lp, int64_t until)
{
    linger_begin(*lp);
    for (bool fresh = true;; fresh = false) {
        int64_t next;
        struct lingering *l = *lp = linger_claim(*lp);
        if (!l)
            return END_NOW;
        if (!(config.steps & STEP_DRAIN))
            return close_waits(l);
        /* The peer answers our FIN later: poll, which tells of what is there already as well, and only then recv. */
        enum end end = fresh && !l->deaf ? linger_bound(l, now(), &next) : END_MORE;
        if (end)
            end = linger_step(l, true, &next);
        if (end)
            return end;
        atomic_store(&l->claim, CLAIM_FREE);
        if (now() >= until)
            return END_NONE;
        wait_until(l, next < until ? next : until);
    }
}

/* Not where it is CLAIM_NONE by now: a signal's handler has forked, and this is the child. */
void linger_release(struct lingering *l)
{
    int taken = CLAIM_TAKEN;
    atomic_compare_exchange_strong(&l->claim, &taken, CLAIM_FREE);
}

/* It may be under another number by now: see parking_give_up(). */
struct lingering *linger_claim(struct lingering *l)
{
    for (;;) {
        int free = CLAIM_FREE;
        if (atomic_compare_exchange_strong(&l->claim, &free, CLAIM_TAKEN))
            return l;
        if (free == CLAIM_NONE && !(l = lingering_at(l->moved)))
            return NULL; /* a signal handler has forked, and this is the child */
    }
}

/*
 * For where nobody will drain any more. Data that comes for a closed or deaf socket is answered with RST, which throws away
 * what we have not delivered yet (tcp_rcv_state_process(), TCPAbortOnData). A filter of the socket's own (socket(7),
 * SO_ATTACH_FILTER) makes the kernel cut each segment down to its TCP header (sk_filter_trim_cap() never cuts that): the
 * peer's acknowledgements count, its data never came, and it sends it again, in vain, until our FIN is acknowledged. So
 * this is no drain: a peer that must send all before it reads gets its RST after all, and for that the kernel keeps the
 * bound from now on (tcp(7), TCP_USER_TIMEOUT).
 */
void linger_headers_only(int fd)
{
    static struct sock_filter header = BPF_STMT(BPF_RET | BPF_K, 1);
    const struct sock_fprog program = {.len = 1, .filter = &header};
    unsigned ms = (unsigned)(config.linger / MS) + 1; /* 0 would be the system's own bound, many minutes */
    if (!(config.steps & STEP_DRAIN) || debug_mutant("no-headers-only"))
        return;
    next.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    next.setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

/* Too many linger already, or the time is up: what can be done without waiting. */
enum end linger_now(struct lingering *l)
{
    linger_begin(l);
    linger_headers_only(l->fd);
    enum end end = config.steps & STEP_DRAIN ? linger_discard(l, false) : END_NONE;
    return end == END_NONE || end == END_MORE ? END_NOW : end;
}

const char *linger_end_name(enum end end)
{
    static const char *const names[] = {
        [END_NONE] = "none",   [END_NOW] = "now",       [END_EOF] = "eof",
        [END_IDLE] = "idle",   [END_LINGER] = "linger", [END_DRAIN] = "drain",
        [END_BYTES] = "bytes", [END_ERROR] = "error",   [END_EXIT] = "exit",
    };
    return names[end];
}
