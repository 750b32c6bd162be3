/* forks CASE [--gate] [--bytes N]: the ways to a new process, or a second holder, that are none of
 * fork, vfork, posix_spawn and sendmsg.
 *
 * It prints "port N" and serves one connection after the other: the child answers, the parent
 * closes at once (with --gate: before that). */
#include "serve.h"
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static size_t bytes = 20000;
static bool gated;

static _Noreturn void child_answers(int conn, struct gate gate)
{
    gate_wait(gate);
    answer(conn, bytes);
    close(conn);
    _exit(0);
}

static void parent_closes(int conn, struct gate gate, long pid)
{
    if (pid < 0)
        die("forks");
    close(conn);
    gate_open(gate);
}

static void raw_clone(int conn)
{
    struct gate gate = gate_make(gated);
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    if (!pid)
        child_answers(conn, gate);
    parent_closes(conn, gate, pid);
}

static void raw_fork(int conn)
{
#ifdef SYS_fork
    struct gate gate = gate_make(gated);
    long pid = syscall(SYS_fork);

    if (!pid)
        child_answers(conn, gate);
    parent_closes(conn, gate, pid);
#else
    raw_clone(conn);
#endif
}

static void underscore_fork(int conn)
{
    struct gate gate = gate_make(gated);
    pid_t pid = _Fork();

    if (!pid)
        child_answers(conn, gate);
    parent_closes(conn, gate, pid);
}

struct job {
    int conn;
    struct gate gate;
};

static int cloned(void *arg)
{
    struct job *job = arg;

    child_answers(job->conn, job->gate);
}

static char stack[1 << 16] __attribute__((aligned(16)));

static void clone_call(int conn)
{
    struct job job = {conn, gate_make(gated)};

    parent_closes(conn, job.gate, clone(cloned, stack + sizeof stack, SIGCHLD, &job));
}

/* The child shares our descriptors until it executes another program, which says so and waits at the line. */
static int line[2];
static char go, number[2][12];

static int executes(void *unused)
{
    (void)unused;
    execl("/proc/self/exe", "forks", "executed", number[0], number[1], NULL);
    die("execl");
}

static _Noreturn void executed(int conn, int end)
{
    if (write(end, &go, 1) != 1 || read(end, &go, 1) != 1)
        die("line");
    child_answers(conn, gate_make(false));
}

static void shares_files(int conn, bool raw)
{
    int flags = CLONE_FILES | SIGCHLD;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) < 0)
        die("socketpair");
    snprintf(number[0], sizeof number[0], "%d", conn);
    snprintf(number[1], sizeof number[1], "%d", line[1]);
    long pid = raw ? syscall(SYS_clone, flags, 0, 0, 0, 0) : clone(executes, stack + sizeof stack, flags, NULL);
    if (!pid)
        executes(NULL);
    if (read(line[0], &go, 1) != 1)
        die("line");
    parent_closes(conn, gate_make(false), pid);
    if (write(line[0], &go, 1) != 1)
        die("line");
    close(line[0]);
    close(line[1]);
}

static void clone_files(int conn) { shares_files(conn, false); }

static void raw_clone_files(int conn) { shares_files(conn, true); }

/* daemon() forks inside libc, and the parent there ends without a close that anybody sees: so the
   child waits until it is dead (a pidfd is readable when the kernel has closed what it had), or not. */
static void become_daemon(int conn, bool wait)
{
    struct gate gate = gate_make(gated);
    pid_t pid = fork();

    if (!pid) {
        struct pollfd parent = {.fd = (int)syscall(SYS_pidfd_open, getpid(), 0), .events = POLLIN};

        gate_wait(gate);
        if (!read_request(conn))
            _exit(1);
        reply(conn, 0, bytes / 2);
        if (daemon(1, 1) < 0)
            die("daemon");
        while (wait && poll(&parent, 1, -1) < 0)
            ;
        reply(conn, bytes / 2, bytes);
        close(conn);
        _exit(0);
    }
    parent_closes(conn, gate, pid);
}

static void daemon_after_parent(int conn) { become_daemon(conn, true); }

static void daemon_against_parent(int conn) { become_daemon(conn, false); }

/* Another process of ours, which never was a holder, takes the connection out of this one. */
static int taker = -1;

static void take(int from, pid_t owner)
{
    int pidfd = (int)syscall(SYS_pidfd_open, owner, 0), number;

    while (read(from, &number, sizeof number) == sizeof number) {
        int conn = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);

        if (conn < 0 || write(from, &number, 1) != 1)
            die("pidfd_getfd");
        answer(conn, bytes);
        close(conn);
    }
    _exit(0);
}

static void start_taker(void)
{
    int pair[2];
    pid_t owner = getpid();

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    if (!fork()) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        take(pair[1], owner);
    }
    close(pair[1]);
    taker = pair[0];
}

static void taken(int conn)
{
    char done;

    if (write(taker, &conn, sizeof conn) != sizeof conn || read(taker, &done, 1) != 1)
        die("taker");
    close(conn);
}

static const struct {
    const char *name;
    void (*serve)(int conn);
} cases[] = {
    {"raw-clone", raw_clone}, {"raw-fork", raw_fork},          {"underscore-fork", underscore_fork},
    {"clone", clone_call},    {"daemon", daemon_after_parent}, {"daemon-race", daemon_against_parent},
    {"taken", taken},         {"clone-files", clone_files},    {"raw-clone-files", raw_clone_files},
};

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"bytes", required_argument, NULL, 'b'}, {"gate", no_argument, NULL, 'g'}, {NULL, 0, NULL, 0}};
    const char *name = argc > 1 ? argv[1] : "";

    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;)
        if (o == 'b')
            bytes = (size_t)atol(optarg);
        else if (o == 'g')
            gated = true;
        else
            return 2;
    if (argc > 3 && !strcmp(name, "executed"))
        executed(atoi(argv[2]), atoi(argv[3]));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    start_taker();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(name, cases[i].name))
            for (int listener = listen_and_tell();;)
                cases[i].serve(accept_one(listener, 0));
    fprintf(stderr, "forks: no case called \"%s\"\n", name);
    return 2;
}
