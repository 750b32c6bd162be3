/*
 * The hooks of single descriptors: how connections come and how they go. They decide nothing. The constructor is here.
 */
#include "lingerclose.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static void before_fork(void)
{
    if (config.on)
        holders_before_fork();
}

static void after_fork_in_parent(void) { after_fork(1); }
static void after_fork_in_child(void) { after_fork(0); }

__attribute__((constructor)) static void start(void)
{
    int saved = errno;
    next_bind();
    next_bind_clock();
    debug_init();
    config_read();
    if (config.on) {
        descriptors_init();
        holders_init();
        report_init();
        /* Registered first, so the last before the fork and the first after it: see pthread_atfork(3). */
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        /* Registered first, so the last to run. */
        on_exit(ends_by_exit, NULL);
        (void)at_quick_exit(ends_by_quick_exit); /* 32 handlers are promised, and we come first */
    }
    errno = saved;
}

static int not_yours(void)
{
    errno = EBADF;
    return -1;
}

static void came(int fd, unsigned role)
{
    if (fd < 0 || !config.on || !owned())
        return;
    int saved = errno;
    descriptor_note(fd, role, UNBORN);
    holders_came(fd);
    parking_make_room(fd);
    errno = saved;
}

EXPORT int close(int fd)
{
    struct letgo l;
    if (config.on)
        pthread_testcancel(); /* where the real call would, before anything has changed */
    if (!letgo_begin(&l, fd, "close", true))
        return not_yours();
    return letgo_end(&l, next.close(fd));
}

/* EMFILE because of what we have parked: that goes first, and errno is as it was before. */
static bool ours_in_the_way(int fd, int saved)
{
    bool yields = fd < 0 && errno == EMFILE && config.on && owned() && background_yield();
    if (yields)
        errno = saved;
    return yields;
}

EXPORT int socket(int family, int type, int protocol)
{
    int fd, saved = errno;
    do
        fd = next.socket(family, type, protocol);
    while (ours_in_the_way(fd, saved));
    if ((family == AF_INET || family == AF_INET6 || family == AF_UNIX) && (type & 15) == SOCK_STREAM)
        came(fd, ROLE_CONNECTED);
    return fd;
}

EXPORT int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    int connection, saved = errno;
    do
        connection = next.accept(fd, addr, len);
    while (ours_in_the_way(connection, saved));
    came(connection, ROLE_ACCEPTED);
    return connection;
}

EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    int connection, saved = errno;
    do
        connection = next.accept4(fd, addr, len, flags);
    while (ours_in_the_way(connection, saved));
    came(connection, ROLE_ACCEPTED);
    return connection;
}

EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    if (config.on && owned())
        holders_connects(fd);
    return next.connect(fd, addr, len);
}

EXPORT int listen(int fd, int backlog)
{
    int result = next.listen(fd, backlog);
    if (result == 0 && config.on && owned())
        holders_listens(fd);
    return result;
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    if (level == SOL_SOCKET && name == SO_LINGER)
        verdict_linger_set();
    return next.setsockopt(fd, level, name, value, length);
}

/* ---- copies ---- */

/* Before the call: is there a table to keep? Not in vfork's child, whose memory is its parent's. */
static bool copies(void)
{
    bool noted = config.on && owned();
    if (noted)
        descriptor_moves();
    return noted;
}

static int copied(bool noted, int from, int to)
{
    int saved = errno;
    if (noted && to >= 0)
        descriptor_duped(from, to);
    if (noted)
        descriptor_moved();
    errno = saved;
    return to;
}

EXPORT int dup(int fd)
{
    bool noted = copies();
    return copied(noted, fd, next.dup(fd));
}

/* Does the kernel accept the source? If not, the target stays as it is, and is none of our business. */
static bool replaces(int from, int to)
{
    int saved = errno;
    bool accepted = config.on && from != to && next.fcntl(from, F_GETFD) >= 0;
    errno = saved;
    return accepted;
}

/* dup(2) knows this error, "during a race condition with open(2) and dup()"; it passes. */
static int busy(void)
{
    errno = EBUSY;
    return -1;
}

EXPORT int dup2(int from, int to)
{
    struct letgo l;
    if (!replaces(from, to))
        return next.dup2(from, to);
    if (!letgo_give_up(to))
        return busy();
    letgo_begin(&l, to, "dup2", false);
    bool noted = copies();
    return letgo_end(&l, copied(noted, from, next.dup2(from, to)));
}

EXPORT int dup3(int from, int to, int flags)
{
    struct letgo l;
    if (flags & ~O_CLOEXEC || !replaces(from, to))
        return next.dup3(from, to, flags);
    if (!letgo_give_up(to))
        return busy();
    letgo_begin(&l, to, "dup3", false);
    bool noted = copies();
    return letgo_end(&l, copied(noted, from, next.dup3(from, to, flags)));
}

static int control(int (*real)(int, int, ...), int fd, int command, void *argument)
{
    if (command != F_DUPFD && command != F_DUPFD_CLOEXEC)
        return real(fd, command, argument);
    bool noted = copies();
    return copied(noted, fd, real(fd, command, argument));
}

/* Every argument of fcntl(2) is an int or a pointer: both come as one word. */
EXPORT int fcntl(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    void *argument = va_arg(ap, void *);
    va_end(ap);
    return control(next.fcntl, fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    void *argument = va_arg(ap, void *);
    va_end(ap);
    return control(next.fcntl64, fd, command, argument);
}

static int made(int epfd)
{
    if (epfd >= 0 && config.on && owned())
        set_put(EPOLLS, epfd);
    return epfd;
}

EXPORT int epoll_create(int size) { return made(next.epoll_create(size)); }
EXPORT int epoll_create1(int flags) { return made(next.epoll_create1(flags)); }

EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    int result = next.epoll_ctl(epfd, op, fd, event);
    if (result == 0 && op == EPOLL_CTL_ADD && config.on && owned())
        descriptor_epoll(epfd, fd);
    return result;
}

/* The other names under which glibc exports them. */
EXPORT int __close(int) __attribute__((alias("close")));
EXPORT int __connect(int, const struct sockaddr *, socklen_t) __attribute__((alias("connect")));
EXPORT int __dup2(int, int) __attribute__((alias("dup2")));
EXPORT int __fcntl(int, int, ...) __attribute__((alias("fcntl")));
#if __TIMESIZE == 32 /* with _TIME_BITS=64 */
EXPORT int __fcntl_time64(int, int, ...) __attribute__((alias("fcntl64")));
EXPORT int __setsockopt64(int, int, int, const void *, socklen_t) __attribute__((alias("setsockopt")));
#endif
