/* phantom [dup] [async]: another thread waits in epoll_wait on a set that has the connection, and
 * with "async" the connection raises SIGIO; then it is closed, and its peer sends afterwards.
 * Prints how many events came for the number after the call of close: the kernel sends none.
 * With "dup" the program itself keeps the connection open, and they come: the control. */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int set, stop;
static atomic_int events, signals;

static void *wait_for_events(void *arg)
{
    struct epoll_event event;
    while (epoll_wait(set, &event, 1, -1) == 1 && event.data.fd != stop)
        events++;
    return arg;
}

static void count(int sig)
{
    (void)sig;
    signals++;
}

static void add(int fd, unsigned what)
{
    struct epoll_event event = {.events = what, .data.fd = fd};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll_ctl");
}

int main(int argc, char **argv)
{
    bool kept = argc > 1 && !strcmp(argv[1], "dup");
    bool async = !strcmp(argv[argc - 1], "async");
    pthread_t thread;
    int connection = answer(AF_INET, 0, 0), copy = -1;

    set = epoll_create1(EPOLL_CLOEXEC);
    stop = eventfd(0, EFD_CLOEXEC);
    add(stop, EPOLLIN);
    add(connection, EPOLLIN | EPOLLRDHUP | EPOLLET);
    signal(SIGIO, count);
    if (async && (fcntl(connection, F_SETOWN, getpid()) < 0 || fcntl(connection, F_SETFL, O_ASYNC) < 0))
        err(1, "O_ASYNC");
    if (pthread_create(&thread, NULL, wait_for_events, NULL))
        errx(1, "pthread_create");
    put(connection, 1000);
    if (kept)
        copy = dup(connection);
    /* What the program's own sending brought is none of close's. */
    int before = signals;
    close(connection);
    if (kept)
        shutdown(copy, SHUT_WR);
    /* The peer's late input came before this line of its. */
    await_line();
    if (write(stop, &(uint64_t){1}, sizeof(uint64_t)) < 0)
        err(1, "eventfd");
    pthread_join(thread, NULL);
    printf("events=%s signals=%s\n", events ? "some" : "none", signals > before ? "some" : "none");
}
