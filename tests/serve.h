/* What every server of these tests shares: a listener that tells its port, a request of known
 * length with junk behind it that nobody reads, a reply of a chosen length, and a gate. */
#ifndef SERVE_H
#define SERVE_H

#include "pattern.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_BYTES = 16, GATE_FD = 3 };

__attribute__((noreturn)) static inline void die(const char *what)
{
    perror(what);
    _exit(1);
}

/* As many descriptors as the kernel allows, or as many as we may have. */
static inline int raise_file_limit(void)
{
    struct rlimit files = {1 << 20, 1 << 20};

    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return (int)files.rlim_cur;
}

static inline int listen_and_tell(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&here, len) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&here, &len) < 0)
        die("listen");
    printf("port %d\n", ntohs(here.sin_port));
    fflush(stdout);
    return fd;
}

static inline int accept_one(int listener, int flags)
{
    int conn;

    do
        conn = accept4(listener, NULL, NULL, flags);
    while (conn < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (conn < 0)
        die("accept4");
    return conn;
}

/* Reads the request and not one byte of the junk behind it. False: somebody else ate the request,
 * or the connection is gone. */
static inline bool read_request(int fd)
{
    char request[REQUEST_BYTES];
    size_t got = 0;

    while (got < sizeof request) {
        ssize_t n = read(fd, request + got, sizeof request - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

static char page[1 << 16]; /* the pattern repeats itself after as many bytes */

/* Before there are threads: one that found it half done sent zeros, once in thirty runs. */
__attribute__((constructor)) static void draw(void) { pattern(page, 0, sizeof page); }

/* Stops early where somebody else has shut the connection down: the peer then counts a short reply. */
static inline void reply(int fd, size_t from, size_t to)
{
    while (from < to) {
        size_t at = from % sizeof page, n = sizeof page - at;
        ssize_t sent = send(fd, page + at, n < to - from ? n : to - from, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return;
        from += (size_t)sent;
    }
}

static inline void answer(int fd, size_t bytes)
{
    if (read_request(fd))
        reply(fd, 0, bytes);
}

/* The gate makes an order certain where it would be a race: the one who goes on using the
 * connection waits at it until the one who gives it away has closed it. Both ends have high numbers,
 * out of the way of dup2 to 0..3. */
struct gate {
    int wait, open;
};

static inline struct gate gate_make(bool wanted)
{
    struct gate gate = {-1, -1};
    int ends[2];

    if (!wanted)
        return gate;
    if (pipe(ends) < 0)
        die("pipe");
    gate.wait = fcntl(ends[0], F_DUPFD_CLOEXEC, 100);
    gate.open = fcntl(ends[1], F_DUPFD_CLOEXEC, 100);
    close(ends[0]);
    close(ends[1]);
    return gate;
}

static inline void gate_open(struct gate gate)
{
    if (gate.open >= 0)
        close(gate.open);
    if (gate.wait >= 0)
        close(gate.wait);
}

static inline void gate_wait(struct gate gate)
{
    char byte;

    if (gate.open >= 0)
        close(gate.open);
    if (gate.wait < 0)
        return;
    while (read(gate.wait, &byte, 1) < 0 && errno == EINTR)
        ;
    close(gate.wait);
}

#endif
