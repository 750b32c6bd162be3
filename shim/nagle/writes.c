/*
 * The hooks of what is written, of sockets' births and of their options. What stdio writes by itself, when a buffer is
 * full, reaches no hook; its flush does.
 */
#include "nagle.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio_ext.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

EXPORT ssize_t write(int fd, const void *b, size_t n) { return hold(fd), NEXT(write)(fd, b, n); }
EXPORT ssize_t writev(int fd, const struct iovec *v, int n) { return hold(fd), NEXT(writev)(fd, v, n); }
EXPORT ssize_t send(int fd, const void *b, size_t n, int flags) { return hold(fd), NEXT(send)(fd, b, n, flags); }

EXPORT ssize_t sendto(int fd, const void *b, size_t n, int flags, const struct sockaddr *to, socklen_t length)
{
    return hold(fd), NEXT(sendto)(fd, b, n, flags, to, length);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return passes(fd), hold(fd), NEXT(sendmsg)(fd, m, flags);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    return passes(fd), hold(fd), NEXT(sendmmsg)(fd, m, n, flags);
}

EXPORT ssize_t sendfile(int to, int from, off_t *at, size_t n) { return hold(to), NEXT(sendfile)(to, from, at, n); }
EXPORT ssize_t sendfile64(int to, int from, off64_t *at, size_t n)
{
    return hold(to), NEXT(sendfile64)(to, from, at, n);
}

__thread bool stream_goes;

static void flushes(FILE *f)
{
    if (f && !stream_goes && __fpending(f))
        hold(stream_fd(f));
}

EXPORT int fflush(FILE *f)
{
    flushes(f);
    return NEXT(fflush)(f);
}

EXPORT int fflush_unlocked(FILE *f)
{
    flushes(f);
    return NEXT(fflush_unlocked)(f);
}

EXPORT int socket(int family, int type, int protocol)
{
    int fd = NEXT(socket)(family, type, protocol);
    own_none(fd);
    if ((family == AF_INET || family == AF_INET6) && (type & 15) == SOCK_STREAM)
        nodelay(fd);
    return fd;
}

static int came(int listener, int fd)
{
    own_copy(listener, fd);
    return fd;
}

EXPORT int accept(int fd, struct sockaddr *a, socklen_t *n) { return waits(), came(fd, NEXT(accept)(fd, a, n)); }
EXPORT int accept4(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
    return waits(), came(fd, NEXT(accept4)(fd, a, n, flags));
}

EXPORT int connect(int fd, const struct sockaddr *a, socklen_t n) { return waits(), NEXT(connect)(fd, a, n); }

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    if (level == IPPROTO_TCP && (name == TCP_NODELAY || name == TCP_CORK)) {
        own_way(fd);
        push_one(fd);
    }
    return NEXT(setsockopt)(fd, level, name, value, n);
}

/* The other names under which glibc exports them. */
EXPORT ssize_t __write(int, const void *, size_t) __attribute__((alias("write")));
EXPORT ssize_t __send(int, const void *, size_t, int) __attribute__((alias("send")));
EXPORT int __connect(int, const struct sockaddr *, socklen_t) __attribute__((alias("connect")));
EXPORT int _IO_fflush(FILE *) __attribute__((alias("fflush")));
