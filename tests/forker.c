/* forker FIRST HOW: a server on O_NONBLOCK connections that answers and closes FIRST of them, and then, while those
 * linger, becomes more than one process:
 *
 *   child        a child does nothing but keep what it inherited, until a line comes
 *   keep         likewise, and it did inherit a copy of the last connection: the control
 *   prefork=N    N children and their parent serve on
 *   daemon       the rest is served by its child's child: daemon(3)
 *   exec         it executes itself anew, and serves on
 *   threads=N    N threads serve on, and the first one forks a child every 2 ms
 *
 * Each new process first counts the descriptors that it should not have: "extra=N", once for each that has any, in any
 * case once. "pid=N base=N" comes from the process that goes on, and "children=N" from the last kind. */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { REQUEST = 16, REPLY = 1000 };

static int listening, base;
static char answer_of_all[REPLY]; /* put() has one block for all threads */
static _Atomic bool over;

static bool get_request(int fd)
{
    char request[REQUEST];
    for (ssize_t got = 0, n; got < REQUEST; got += n) {
        await_input(fd);
        n = recv(fd, request, REQUEST - got, 0);
        if (n <= 0)
            return false;
    }
    return true;
}

static int serve_one(bool keep)
{
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), copy = -1;
    if (fd < 0)
        return -1;
    if (get_request(fd))
        send(fd, answer_of_all, REPLY, MSG_NOSIGNAL);
    if (keep && shutdown(copy = fcntl(fd, F_DUPFD, 100), SHUT_WR))
        err(1, "shutdown");
    close(fd);
    return copy;
}

static void serve_on(void)
{
    for (;;)
        serve_one(false);
}

static void tell_extra(bool always)
{
    int extra = open_descriptors() - base;
    if (always || extra)
        printf("extra=%d\n", extra);
}

static void tell_pid(void) { printf("pid=%d base=%d\n", getpid(), base); }

/* Nobody else ends the children of a server that is ended by a signal. */
static pid_t fork_child(void)
{
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (!pid)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static void child(void)
{
    pid_t pid = fork_child();
    if (!pid) {
        tell_extra(true);
        puts("ready");
        pause();
    }
    tell_pid();
    serve_on();
}

static void prefork(int n)
{
    while (n--)
        if (!fork_child()) {
            tell_extra(!n);
            serve_on();
        }
    tell_pid();
    serve_on();
}

static void *serve_in_thread(void *arg)
{
    while (!over)
        serve_one(false);
    return arg;
}

static void finish(int sig)
{
    (void)sig;
    over = true;
    shutdown(listening, SHUT_RD); /* wakes those in accept */
}

/* What the program has open at the moment of a fork is its child's too: a connection for each thread at most. */
static void threads(int n)
{
    pthread_t thread[n];
    int children = 0;
    signal(SIGTERM, finish);
    await_input(listening);
    tell_pid();
    for (int i = 0; i < n; i++)
        if (pthread_create(thread + i, NULL, serve_in_thread, NULL))
            errx(1, "pthread_create");
    while (!over) {
        pid_t pid = fork_child();
        if (!pid)
            _exit(open_descriptors() - base > n);
        int status;
        waitpid(pid, &status, 0);
        if (status)
            puts("extra=1");
        children++;
        poll(NULL, 0, 2);
    }
    for (int i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
    printf("extra=0\nchildren=%d\n", children);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(2, "usage: forker FIRST HOW");
    char *how = argv[2], *value = strchr(how, '=');
    pattern(answer_of_all, 0, REPLY);
    if (*how == '+') { /* executed anew */
        listening = atoi(how + 1);
        base = atoi(value + 1);
        setvbuf(stdout, NULL, _IOLBF, 0);
        tell_extra(true);
        tell_pid();
        serve_on();
    }
    listening = listener(AF_INET, 0, 0);
    base = open_descriptors();
    for (int i = 0, n = atoi(argv[1]); i < n; i++)
        serve_one(!strcmp(how, "keep") && i == n - 1);
    if (!strcmp(how, "child") || !strcmp(how, "keep"))
        child();
    else if (!strncmp(how, "prefork=", 8))
        prefork(atoi(value + 1));
    else if (!strncmp(how, "threads=", 8))
        threads(atoi(value + 1));
    else if (!strcmp(how, "daemon")) {
        if (daemon(1, 1))
            err(1, "daemon");
        alarm(30); /* whatever becomes of those who would end it */
        tell_extra(true);
        tell_pid();
        serve_on();
    } else if (!strcmp(how, "exec")) {
        char again[64];
        fcntl(listening, F_SETFD, 0);
        snprintf(again, sizeof again, "+%d=%d", listening, base);
        execl("/proc/self/exe", argv[0], "0", again, NULL);
        err(1, "exec");
    }
}
