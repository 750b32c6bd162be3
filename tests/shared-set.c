/* shared-set del | child | parent | child-only: an epoll set with one O_NONBLOCK connection, inherited over fork.
 *
 *   child       the child closes its copy of the connection first: the parent's loop must go on getting its events
 *   del         it also takes it out of the set, which is the parent's too: the control
 *   parent      the parent closes first, the child goes on, and closes last
 *   child-only  the connection is the child's alone, accepted and put into the set after the fork
 *
 * The two wait for each other, and for a line of the peer each time. Prints for the one who goes on: "got=1" if the
 * event came for what the peer had sent; for both, after the last close: "old=N", whether an event came after that. */
#include "connection.h"
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/wait.h>

static int set, turn[2], back[2];

static void add(int fd)
{
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN | EPOLLRDHUP, {.u32 = 1}}))
        err(1, "epoll_ctl");
}

static bool event(int ms)
{
    struct epoll_event e;
    return epoll_wait(set, &e, 1, ms) == 1;
}

static void pass(int pipe[2]) { (void)!write(pipe[1], "x", 1); }

static void await_turn(int pipe[2])
{
    char c;
    if (read(pipe[0], &c, 1) != 1)
        errx(1, "the other one is gone");
}

/* Reads what has come, answers, and closes. */
static void finish(int connection)
{
    char block[100];
    await_line();
    printf("got=%d\n", event(300));
    if (read(connection, block, sizeof block) <= 0)
        err(1, "read");
    puts("go on");
    await_line(); /* more is unread now */
    put(connection, 1000);
    if (close(connection))
        err(1, "close");
    puts("closed");
}

static void child(const char *who, int connection, int listening)
{
    if (!strcmp(who, "child-only")) {
        connection = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        add(connection);
    }
    if (!strcmp(who, "del"))
        epoll_ctl(set, EPOLL_CTL_DEL, connection, NULL);
    if (!strcmp(who, "parent")) {
        await_turn(turn);
        finish(connection);
    } else if (!strcmp(who, "child-only")) {
        finish(connection);
    } else {
        close(connection);
    }
    pass(back);
    await_turn(turn);
    printf("child old=%d\n", event(0));
    pass(back);
    await_turn(turn);
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *who = argc > 1 ? argv[1] : "";
    int listening = listener(AF_INET, 0, 0), connection = -1;

    set = epoll_create1(EPOLL_CLOEXEC);
    if (pipe(turn) || pipe(back))
        err(1, "pipe");
    if (strcmp(who, "child-only")) {
        connection = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        add(connection);
    }
    pid_t pid = fork();
    if (!pid)
        child(who, connection, listening);
    if (!strcmp(who, "parent")) {
        close(connection);
        pass(turn);
    }
    await_turn(back);
    if (!strcmp(who, "child") || !strcmp(who, "del"))
        finish(connection);
    await_line(); /* the peer has sent once more */
    printf("parent old=%d\n", event(0));
    pass(turn);
    await_turn(back);
    await_line(); /* the peer has finished */
    printf("parent old=%d\n", event(0));
    pass(turn);
    waitpid(pid, NULL, 0);
}
