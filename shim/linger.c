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
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define GULP (16 << 20) /* one recv's share: what a flooding peer can make us take before we look at the clock again */

int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

void linger_prepare(struct lingering *l, int fd, unsigned role)
{
    *l = (struct lingering){.fd = fd, .role = role, .began = now()};
    l->quiet_since = l->began;
}

/* MSG_TRUNC with no buffer discards in the kernel (tcp(7)): 6 times the speed of a buffer of 512 bytes. What refuses it
   (a TLS upper layer) gets a buffer. */
static ssize_t discard(int fd, size_t most)
{
    char buffer[4096];
    ssize_t n;
    do
        n = recv(fd, NULL, most, MSG_TRUNC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EFAULT)
        n = recv(fd, buffer, most < sizeof buffer ? most : sizeof buffer, MSG_DONTWAIT);
    return n;
}

/* Discards what is there. END_NONE: for now there is no more. */
enum end linger_discard(struct lingering *l)
{
    uint64_t most = config.drain_bytes[l->role];
    for (;;) {
        uint64_t left = most - l->discarded;
        ssize_t n = discard(l->fd, left < GULP ? left + 1 : GULP);
        if (n == 0)
            return END_EOF;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? END_NONE : END_ERROR;
        l->discarded += (uint64_t)n;
        l->quiet_since = now();
        if (l->discarded > most)
            return END_BYTES;
        if (l->quiet_since - l->began >= config.drain)
            return END_DRAIN;
    }
}

static bool acknowledged(int fd)
{
    int outstanding = 0; /* counts the FIN too: tcp_ioctl() gives write_seq - snd_una */
    return ioctl(fd, SIOCOUTQ, &outstanding) || outstanding == 0;
}

/* How long ago the peer last acknowledged something, in ns (the kernel counts ms). */
static int64_t since_acknowledged(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length))
        return 0;
    return info.tcpi_last_ack_recv * MS;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/*
 * With nothing to read: is a bound reached at time t? If not, *next is when to ask again if nothing comes before.
 * poll cannot tell when our data is acknowledged; but once the connection has been quiet for IDLE the kernel tells how
 * long ago that was, so the silence after it is measured exactly without a wake-up for it.
 */
static enum end bound_reached(struct lingering *l, int64_t t, int64_t *next)
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
        int64_t last = t - since_acknowledged(l->fd);
        if (last > l->quiet_since)
            l->quiet_since = last;
    }
    *next = least(l->quiet_since + config.idle, drain_end);
    return t >= *next ? END_IDLE : END_NONE;
}

/* The seed's solution #1, and #1 + #2: close(2) itself waits, in whole seconds, until our data is acknowledged. */
static enum end without_drain(int fd)
{
    struct linger l = {.l_onoff = 1, .l_linger = (int)((config.linger + SECOND - 1) / SECOND)};
    if (config.steps & STEP_LINGER)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    return END_NOW;
}

static enum end finish_sending(struct lingering *l)
{
    static const struct linger none = {0};
    if (config.steps & STEP_SHUTDOWN)
        shutdown(l->fd, SHUT_WR); /* pushes corked data as well: tcp_send_fin() */
    if (!(config.steps & STEP_DRAIN))
        return without_drain(l->fd);
    /* The program's own SO_LINGER would have the last close wait again, or (abort = linger) send RST after all. */
    setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    return END_NONE;
}

/* On the calling thread, until it is over. */
enum end linger_sync(struct lingering *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN | POLLRDHUP};
    enum end end = finish_sending(l);
    int64_t next = 0;
    while (!end) {
        if (!(end = linger_discard(l)) && !(end = bound_reached(l, now(), &next))) {
            int64_t wait = next - now();
            poll(&p, 1, wait > 0 ? (int)((wait + MS - 1) / MS) : 0);
        }
    }
    return end;
}

/* Too many linger already: what can be done without waiting. */
enum end linger_now(struct lingering *l)
{
    enum end end = finish_sending(l);
    if (!end && !(end = linger_discard(l)))
        end = END_NOW;
    return end;
}

const char *linger_end_name(enum end end)
{
    static const char *const names[] = {
        [END_NONE] = "none",     [END_NOW] = "now",     [END_EOF] = "eof",     [END_IDLE] = "idle",
        [END_LINGER] = "linger", [END_DRAIN] = "drain", [END_BYTES] = "bytes", [END_ERROR] = "error",
    };
    return names[end];
}
