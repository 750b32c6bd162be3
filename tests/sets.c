/* sets [word...]: one O_NONBLOCK connection in epoll sets, as the words say. It is closed with input unread, and its
 * number goes to a newcomer, which is put into the same sets. Three lines tell whether events came for the closed
 * connection: at once, and each time that the peer has said something (it sent, it finished); the last also whether the
 * newcomer's came.
 *
 *   three        the connection is in three sets
 *   nested       in a set that is in a set that is in the one waited for
 *   edge | oneshot | exclusive
 *   raw          by syscall(SYS_epoll_ctl) and syscall(SYS_close)
 *   copied=dup | dup2 | dup3 | fcntl   the set has two numbers; the one by which the connection was added is closed
 *   replaced     ... and another set takes that number
 *   beforehand   the set had got its second number before the connection was added by the first
 *   renamed      the connection has two numbers, and the one by which it was added is closed before
 *   waited       another thread is in epoll_wait meanwhile
 *   keep         a copy of the connection stays open, so that events do come: the control */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

enum { OLD = 1, NEW, MARK, STOP, SET };

static int sets[3], nsets = 1, innermost, mark;
static bool raw, waited;
/* A connection that has sent its FIN counts as writable for good, so a set that still has it cannot miss that. */
static uint32_t how = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
static atomic_int old, new, marks;

static void control(int set, int op, int fd, uint32_t events, int what)
{
    struct epoll_event event = {events, {.u32 = what}};
    if (raw ? syscall(SYS_epoll_ctl, set, op, fd, &event) : epoll_ctl(set, op, fd, &event))
        err(1, "epoll_ctl");
}

static void add(int fd, uint32_t events, int what)
{
    for (int i = innermost; i < nsets; i++)
        control(sets[i], EPOLL_CTL_ADD, fd, events, what);
}

static bool look(int set, int timeout)
{
    struct epoll_event events[8];
    int n = epoll_wait(set, events, 8, timeout);
    bool stop = false;
    for (int i = 0; i < n; i++) {
        int what = events[i].data.u32;
        old += what == OLD;
        new += what == NEW;
        marks += what == MARK;
        stop |= what == STOP;
        if (what >= SET)
            look(sets[what - SET], 0);
    }
    return !stop;
}

static void *wait_there(void *arg)
{
    while (look(sets[0], -1))
        ;
    return arg;
}

static void give(int event)
{
    if (write(event, &(uint64_t){1}, 8) != 8)
        err(1, "eventfd");
}

/* Whatever was ready before the mark has come when the mark has. */
static void take_events(void)
{
    marks = 0;
    give(mark);
    while (!marks)
        for (int i = 0; i < nsets && !waited; i++)
            look(sets[i], 0);
}

static int copy(const char *by, int set)
{
    return !strcmp(by, "dup2")    ? dup2(set, 60)
           : !strcmp(by, "dup3")  ? dup3(set, 60, O_CLOEXEC)
           : !strcmp(by, "fcntl") ? fcntl(set, F_DUPFD_CLOEXEC, 60)
                                  : dup(set);
}

/* Writes until it is not writable any more: only the FIN can make it so, as the peer does not read. */
static size_t fill(int fd)
{
    static char block[4096];
    size_t wrote = 0;
    ssize_t n;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
    do {
        pattern(block, wrote, sizeof block);
        n = send(fd, block, sizeof block, MSG_NOSIGNAL);
        wrote += n > 0 ? n : 0;
    } while (n > 0);
    return wrote;
}

int main(int argc, char **argv)
{
    bool keep = false, renamed = false, replaced = false, beforehand = false;
    const char *copied = NULL;

    (void)argc;
    for (char **word = argv + 1; *word; word++) {
        if (!strcmp(*word, "three") || !strcmp(*word, "nested"))
            nsets = 3, innermost = **word == 'n' ? 2 : 0;
        else if (!strcmp(*word, "edge"))
            how |= EPOLLET;
        else if (!strcmp(*word, "oneshot"))
            how |= EPOLLONESHOT;
        else if (!strcmp(*word, "exclusive"))
            how = EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE;
        else if (!strcmp(*word, "raw"))
            raw = true;
        else if (!strncmp(*word, "copied=", 7))
            copied = *word + 7;
        else if (!strcmp(*word, "replaced"))
            replaced = true;
        else if (!strcmp(*word, "beforehand"))
            beforehand = true;
        else if (!strcmp(*word, "renamed"))
            renamed = true;
        else if (!strcmp(*word, "waited"))
            waited = true;
        else if (!strcmp(*word, "keep"))
            keep = true;
        else
            errx(2, "what is %s?", *word);
    }

    pthread_t thread;
    int connection = answer(AF_INET, 0, 0), stop = eventfd(0, EFD_CLOEXEC), second = -1;
    mark = eventfd(0, EFD_CLOEXEC);
    fcntl(connection, F_SETFL, O_NONBLOCK);
    await_input(connection);
    size_t wrote = how & EPOLLONESHOT ? fill(connection) : 1000;
    if (wrote == 1000)
        put(connection, wrote);
    for (int i = 0; i < nsets; i++) {
        sets[i] = epoll_create1(EPOLL_CLOEXEC);
        if (innermost && i)
            control(sets[i - 1], EPOLL_CTL_ADD, sets[i], EPOLLIN, SET + i);
    }
    if (copied && beforehand)
        second = copy(copied, sets[0]);
    add(connection, how, OLD);
    if (copied && !beforehand)
        second = copy(copied, sets[0]);
    add(mark, EPOLLIN | EPOLLET, MARK);
    control(sets[0], EPOLL_CTL_ADD, stop, EPOLLIN, STOP);
    if (copied) {
        int first = sets[0];
        sets[0] = second;
        close(first);
        if (replaced && epoll_create1(EPOLL_CLOEXEC) != first)
            errx(1, "the set's number went elsewhere");
    }
    if (renamed) {
        int first = connection;
        connection = dup(connection);
        close(first);
    }
    if (waited && pthread_create(&thread, NULL, wait_there, NULL))
        errx(1, "pthread_create");
    /* Events of before are none of close's. The one shot is spent by them: load it again. */
    take_events();
    if (how & EPOLLONESHOT)
        control(sets[0], EPOLL_CTL_MOD, connection, EPOLLOUT | EPOLLONESHOT, OLD);
    if (keep && shutdown(dup(connection), SHUT_WR))
        err(1, "shutdown");
    if (raw ? syscall(SYS_close, connection) : close(connection))
        err(1, "close");
    if (renamed || waited)
        take_events(); /* they came before: for its other number, or the thread has not counted them yet */
    old = 0;

    int newcomer = eventfd(0, EFD_CLOEXEC);
    if (newcomer != connection && !renamed)
        errx(1, "the connection's number went elsewhere");
    add(newcomer, EPOLLIN | EPOLLET, NEW);
    take_events();
    printf("at_once=%d\n", old > 0);
    await_line();
    take_events();
    printf("sent=%d\n", old > 0);
    await_line();
    give(newcomer);
    take_events();
    printf("finished=%d newcomer=%d wrote=%zu\n", old > 0, new > 0, wrote);
    if (waited) {
        give(stop);
        pthread_join(thread, NULL);
    }
    /* The exit of a process is another test. */
    await_line();
}
