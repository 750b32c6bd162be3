/* A program under test and its one connection: the first line "port N", then accept. */
#ifndef TESTS_CONNECTION_H
#define TESTS_CONNECTION_H

#include "pattern.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ADDRESS: instead of 127.0.0.1, where the other end is behind a device of the test's own. */
static inline socklen_t loopback(struct sockaddr_storage *address, int family, int port)
{
    const char *host = getenv("ADDRESS");
    struct sockaddr_in *four = (void *)address;
    struct sockaddr_in6 *six = (void *)address;

    memset(address, 0, sizeof *address);
    address->ss_family = family;
    if (family == AF_INET6) {
        six->sin6_addr = in6addr_loopback;
        six->sin6_port = htons(port);
        return sizeof *six;
    }
    four->sin_addr.s_addr = host ? inet_addr(host) : htonl(INADDR_LOOPBACK);
    four->sin_port = htons(port);
    return sizeof *four;
}

static inline int dial(int family, int protocol, int port)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, family, port);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol);

    if (fd < 0 || connect(fd, (void *)&address, length) < 0)
        err(1, "connect");
    return fd;
}

/* A listening socket on port (0: a free one, whose number is the first line). */
static inline int listener(int family, int protocol, int port)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, family, port);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol);

    if (fd < 0 || bind(fd, (void *)&address, length) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (void *)&address, &length) < 0)
        err(1, "listen");
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("port %d\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
    return fd;
}

/* The listener is closed afterwards, so that the connection has its number or the next. */
static inline int answer(int family, int protocol, int port)
{
    int fd = listener(family, protocol, port);
    int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (c < 0)
        err(1, "accept");
    close(fd);
    return c;
}

static inline void put(int fd, size_t n)
{
    static char block[65536];
    for (size_t done = 0, part; done < n; done += part) {
        part = n - done < sizeof block ? n - done : sizeof block;
        pattern(block, done, part);
        for (size_t sent = 0; sent < part;) {
            ssize_t r = send(fd, block + sent, part - sent, MSG_NOSIGNAL);
            if (r < 0)
                err(1, "send");
            sent += r;
        }
    }
}

static inline void await_input(int fd)
{
    if (poll(&(struct pollfd){fd, POLLIN, 0}, 1, -1) < 0)
        err(1, "poll");
}

/* Until a thread of ours sleeps: the third field of its stat, proc(5). false: it is gone. */
static inline bool await_sleep(int thread)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    while (state != 'S') {
        FILE *file = fopen(path, "re");
        if (!file || fscanf(file, "%*d %*s %c", &state) != 1)
            state = 0;
        if (file)
            fclose(file);
        if (!state)
            return false;
    }
    return true;
}

/* Until the other side has printed a line. */
static inline void await_line(void)
{
    char c = 0;
    while (read(0, &c, 1) == 1 && c != '\n')
        ;
}

/* The descriptors that this process has open, without the one that counts them. */
static inline int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = -1;
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n - 2;
}

#endif
