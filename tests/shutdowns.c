/* shutdowns CASE [rd]: shutdown(SHUT_RDWR), or SHUT_RD, of a connection with input unread and the
 * reply written. Prints "port N", then what the program can see of it, and returns from main.
 *   after      what recv, send, poll and a second shutdown say after it
 *   recv       another thread is blocked in recv, and none of the input is there
 *   poll       ... in poll
 *   epoll      ... in epoll_wait
 *   nonblock   the connection is O_NONBLOCK
 *   child      a child has the connection too, and waits in recv
 *   held       a child has the connection too, and does nothing with it
 *   many       fifty more connections, whose other ends are silent, and another thread
 *   copy       this process has a second number for it
 *   errors     of things that are no live connection
 *   half       SHUT_WR: the peer's answer to our FIN is still read
 *   thread     there is another thread, which does nothing
 */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/wait.h>

enum { REPLY = 600000 };

static int connection, how = SHUT_RDWR;
static long began;

static void say(const char *what, long ret)
{
    printf("%s=%ld %s\n", what, ret, ret < 0 ? strerrorname_np(errno) : "fine");
}

/* Everything that waited must be through at once, and within the second that bats allows. */
static void say_when(const char *what, long ms) { printf("%s_ms=%ld\n", what, ms); }

static void shut(void)
{
    began = now_ms();
    errno = 77;
    int ret = shutdown(connection, how), code = errno;
    printf("shutdown=%d errno=%s\n", ret, code == 77 ? "kept" : strerrorname_np(code));
    say_when("shutdown", now_ms() - began);
}

static void look(void)
{
    char byte;
    struct pollfd p = {connection, POLLIN | POLLOUT | POLLRDHUP, 0};
    int code;
    socklen_t size = sizeof code;
    say("recv", recv(connection, &byte, 1, 0));
    say("poll", poll(&p, 1, 0));
    printf("revents=%#x\n", p.revents);
    say("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &size));
    printf("error=%d\n", code);
    if (how == SHUT_RDWR) {
        say("send", send(connection, "x", 1, MSG_NOSIGNAL));
        say("again", shutdown(connection, SHUT_RDWR));
        say("write again", shutdown(connection, SHUT_WR));
    }
}

/* ---- another thread ---- */

static _Atomic pid_t waiter;
static void (*call)(void);

static void in_recv(void)
{
    char byte;
    say("reader", recv(connection, &byte, 1, 0));
}

static void in_poll(void)
{
    struct pollfd p = {connection, POLLIN, 0};
    say("poller", poll(&p, 1, -1));
    printf("revents=%#x\n", p.revents);
}

static void in_epoll(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    int set = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ctl(set, EPOLL_CTL_ADD, connection, &e) < 0)
        err(1, "epoll_ctl");
    say("epoll", epoll_wait(set, &e, 1, -1));
    printf("events=%#x\n", e.events);
}

static void in_pause(void) { pause(); }

static void *thread_main(void *arg)
{
    waiter = gettid();
    call();
    say_when("woken", now_ms() - began);
    return arg;
}

static pthread_t start(void (*where)(void))
{
    pthread_t thread;
    call = where;
    if (pthread_create(&thread, NULL, thread_main, NULL))
        errx(1, "pthread_create");
    while (!waiter)
        sched_yield();
    if (!await_sleep(waiter))
        errx(1, "the thread does not wait");
    return thread;
}

static void wakes(void (*where)(void))
{
    pthread_t thread = start(where);
    shut();
    pthread_join(thread, NULL);
}

/* ---- somebody else has it ---- */

static void child(void)
{
    char byte;
    pid_t pid = fork();
    if (!pid) {
        say("child's recv", recv(connection, &byte, 1, 0));
        fflush(stdout);
        _exit(0);
    }
    shut();
    waitpid(pid, NULL, 0);
}

/* The child keeps it until this process has ended. */
static void held(void)
{
    int ends[2];
    if (pipe(ends) < 0)
        err(1, "pipe");
    if (!fork()) {
        close(ends[1]);
        _exit(read(ends[0], &(char){0}, 1) != 0);
    }
    shut();
}

static void many(void)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int fds[50], listening = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (void *)&address, length) < 0 || listen(listening, 50) < 0 ||
        getsockname(listening, (void *)&address, &length) < 0)
        err(1, "listen");
    for (int i = 0; i < 50; i++) {
        dial(AF_INET, 0, ntohs(((struct sockaddr_in *)&address)->sin_port));
        fds[i] = accept(listening, NULL, NULL);
    }
    start(in_pause);
    long first = now_ms();
    for (int i = 0; i < 50; i++)
        shutdown(fds[i], SHUT_RDWR);
    say_when("many", now_ms() - first);
    _exit(0);
}

static void errors(void)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int file = open("/dev/null", O_RDWR), unconnected = socket(AF_INET, SOCK_STREAM, 0);
    int listening = socket(AF_INET, SOCK_STREAM, 0), pair[2];
    if (bind(listening, (void *)&address, length) < 0 || listen(listening, 1) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        err(1, "sockets");
    say("bad number", shutdown(-1, how));
    say("closed number", shutdown(999, how));
    say("file", shutdown(file, how));
    say("unconnected", shutdown(unconnected, how));
    say("listening", shutdown(listening, how));
    say("unix", shutdown(pair[0], how));
    say("bad how", shutdown(connection, 7));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char answer_to_fin[100];

    connection = answer(AF_INET, 0, 0);
    if (argc > 2)
        how = SHUT_RD;
    if (strcmp(what, "recv") && strcmp(what, "poll") && strcmp(what, "epoll"))
        await_input(connection);
    put(connection, REPLY);
    if (!strcmp(what, "after")) {
        shut();
        look();
    } else if (!strcmp(what, "recv")) {
        wakes(in_recv);
    } else if (!strcmp(what, "poll")) {
        wakes(in_poll);
    } else if (!strcmp(what, "epoll")) {
        wakes(in_epoll);
    } else if (!strcmp(what, "nonblock")) {
        fcntl(connection, F_SETFL, O_NONBLOCK);
        shut();
    } else if (!strcmp(what, "child")) {
        recv(connection, answer_to_fin, sizeof answer_to_fin, 0);
        child();
    } else if (!strcmp(what, "copy")) {
        fcntl(connection, F_DUPFD_CLOEXEC, 50);
        shut();
    } else if (!strcmp(what, "held")) {
        held();
    } else if (!strcmp(what, "many")) {
        many();
    } else if (!strcmp(what, "errors")) {
        errors();
    } else if (!strcmp(what, "half")) {
        how = SHUT_WR;
        recv(connection, answer_to_fin, sizeof answer_to_fin, MSG_WAITALL);
        shut();
        say("recv", recv(connection, answer_to_fin, sizeof answer_to_fin, MSG_WAITALL));
    } else if (!strcmp(what, "thread")) {
        start(in_pause);
        shut();
    } else {
        errx(2, "no case is called %s", what);
    }
    return 0;
}
