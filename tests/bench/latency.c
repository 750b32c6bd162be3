/* latency PORT CLIENTS SECONDS REQUEST: so many clients at once, each again and again: a connection, the request (\r and \n
 * are what they are in C), the reply to its end. One line: connections a second that ended with EOF, the median and the 99th of
 * a hundred of their times from connect to EOF in ms, and how many ended otherwise. */
#include "../connection.h"
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>

enum { MOST = 1 << 21 };

struct client {
    int fd;
    bool asked;
    long began, got;
};

static char request[1024];
static size_t length;
static int epoll, port, failed, done;
static float *ms;

static long now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void start(struct client *c)
{
    struct sockaddr_storage address;
    socklen_t size = loopback(&address, AF_INET, port);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .began = now_us()};
    if (c->fd < 0 || (connect(c->fd, (void *)&address, size) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
        err(1, "connect");
}

static void end(struct client *c, bool well)
{
    if (!well || !c->got)
        failed++;
    else if (done < MOST)
        ms[done++] = (float)(now_us() - c->began) / 1000;
    close(c->fd);
    start(c);
}

static void go_on(struct client *c, unsigned events)
{
    static char block[65536];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    ssize_t n;
    if (!c->asked && events & EPOLLOUT) {
        c->asked = true;
        if (send(c->fd, request, length, MSG_NOSIGNAL) != (ssize_t)length) {
            end(c, false);
            return;
        }
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
    }
    if (!(events & ~(unsigned)EPOLLOUT))
        return;
    while ((n = recv(c->fd, block, sizeof block, 0)) > 0)
        c->got += n;
    if (n == 0 || errno != EAGAIN)
        end(c, n == 0);
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 5 || strlen(argv[4]) >= sizeof request)
        errx(2, "usage: latency PORT CLIENTS SECONDS REQUEST");
    int clients = atoi(argv[2]);
    struct client *all = calloc((size_t)clients, sizeof *all);
    struct epoll_event events[256];
    for (const char *s = argv[4]; *s; s++)
        request[length++] = *s != '\\' || !s[1] ? *s : *++s == 'r' ? '\r' : *s == 'n' ? '\n' : *s;
    port = atoi(argv[1]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    ms = calloc(MOST, sizeof *ms);
    if (epoll < 0 || !all || !ms)
        err(1, "epoll");
    long began = now_us(), until = began + (long)(atof(argv[3]) * 1e6);
    for (int i = 0; i < clients; i++)
        start(&all[i]);
    while (now_us() < until) {
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++)
            go_on(events[i].data.ptr, events[i].events);
    }
    double seconds = (double)(now_us() - began) / 1e6;
    qsort(ms, (size_t)done, sizeof *ms, ascending);
    printf("%.0f %.2f %.2f %d\n", done / seconds, done ? ms[done / 2] : 0, done ? ms[done * 99L / 100] : 0, failed);
}
