/*
 * The lingering that shutdown(2) does, on the program's own descriptor; what the program asked for comes after it, and then
 * it may still read what was unread.
 */
#include "lingerclose.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define MS INT64_C(1000000)
#define BLIND (20 * MS)

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Edge-triggered, so that it wakes at each arrival: poll would be ready at once, for ever, because of what is unread. */
static int arrivals(int fd)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
    int low = (int)bare_syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
    int set = low < 0 ? -1 : parking_out_of_the_way(low, OURS);
    if (low >= 0)
        bare_close(low);
    if (set < 0 || !bare_syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, fd, &e))
        return set;
    parking_end(set);
    return -1;
}

/* Waits for an arrival (without a set, for a moment). true: it is the peer's FIN, or RST. An error alone is neither: the
   program has not read its error queue, or wants to hear of ICMP messages. */
static bool peer_finishes(int set, int fd, int64_t wait)
{
    struct epoll_event e = {0};
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    int moment = (int)((least(wait, BLIND) + MS - 1) / MS);
    if (set >= 0)
        return bare_syscall(SYS_epoll_pwait, set, &e, 1, (int)((wait + MS - 1) / MS), NULL, 8) > 0 &&
               e.events & (EPOLLRDHUP | EPOLLHUP);
    if (poll(&p, 1, moment) > 0 && p.revents == POLLERR)
        poll(NULL, 0, moment); /* it would be ready at once, for ever */
    return p.revents & (POLLRDHUP | POLLHUP);
}

/* Input stays where it is, unless it is so much that the peer might wait for us to take it: half of the buffer is the
   window (tcp(7), SO_RCVBUF), and a quarter of that is much. keep: another process or thread may be reading, and must meet no
   hole. */
static enum end relieve(struct lingering *l, int *unread, bool keep)
{
    int before = *unread, buffer = 0;
    socklen_t length = sizeof buffer;
    if (ioctl(l->fd, FIONREAD, unread) || getsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &buffer, &length))
        return END_ERROR;
    if (*unread != before)
        l->quiet_since = now();
    if (keep || *unread <= buffer / 8)
        return END_NONE;
    *unread = 0;
    return linger_discard(l, false);
}

/* A signal's handler may have forked: in the child the set is gone (parking_end_all()), and the wait is the parent's. */
static bool lost(int set) { return set >= 0 && !set_has(OURS, set); }

/* true: the peer has finished as well, or this is such a child. */
bool linger_shutdown(struct lingering *l, int64_t until, bool keep)
{
    enum end end = END_NONE;
    int64_t when = 0, t;
    int unread = 0;
    l->finishing = !next.shutdown(l->fd, SHUT_WR);
    int set = until > l->began ? arrivals(l->fd) : -1;
    while ((end == END_NONE || end == END_MORE) && !lost(set) && (t = now()) < until) {
        end = relieve(l, &unread, keep);
        if (end == END_NONE)
            end = linger_bound(l, t, &when);
        if (end == END_NONE && peer_finishes(set, l->fd, least(when, until) - t))
            end = END_EOF;
    }
    if (lost(set))
        return true;
    if (set >= 0)
        parking_end(set);
    return end == END_EOF;
}
