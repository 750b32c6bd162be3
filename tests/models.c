/* models MODEL [option...]: one server for every way in which processes share a connection.
 *
 * It prints "port N" and serves. Each connection gets its reply from whoever handles it in that
 * model, and whoever lets go of it last leaves the peer's junk unread.
 *   --bytes N      length of the reply
 *   --end HOW      how a handler lets go: close, or exit with the connection open
 *   --gate         the handler reads the request only after the one who gave it the connection has
 *                  closed its own: what a wrong shutdown or drain there destroys shows at once
 *   --cloexec      connections are accepted with SOCK_CLOEXEC
 *   --workers N    processes of the prefork and scm models
 *   --foreign      the workers of the scm models are programs of their own
 * execs.h has the models that exec, passing.h those that pass descriptors. */
#include "execs.h"
#include "passing.h"
#include <getopt.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void *thread_main(void *arg)
{
    iterative((int)(long)arg);
    return NULL;
}

static void start_thread(void *(*main)(void *), int conn)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, main, (void *)(long)conn))
        die("pthread_create");
    pthread_detach(thread);
}

static void thread(int conn) { start_thread(thread_main, conn); }

static void fork_each(int conn)
{
    struct gate gate = gate_make(opt.gate);

    if (!forked())
        handle(conn, gate);
    close(conn);
    gate_open(gate);
}

/* Others' children live and die while the connection is open and half of the reply is sent. */
static void system_each(int conn)
{
    signal(SIGCHLD, SIG_DFL); /* system() must see its child end */
    if (read_request(conn)) {
        reply(conn, 0, opt.bytes / 2);
        if (system("/bin/true") < 0)
            die("system");
        reply(conn, opt.bytes / 2, opt.bytes);
    }
    let_go(conn);
}

static void popen_each(int conn)
{
    char line[16];

    if (read_request(conn)) {
        FILE *echo = popen("/bin/echo half", "r");

        if (!echo)
            die("popen");
        reply(conn, 0, opt.bytes / 2);
        if (fgets(line, sizeof line, echo))
            reply(conn, opt.bytes / 2, opt.bytes);
        pclose(echo);
    }
    let_go(conn);
}

static void *system_thread(void *arg)
{
    system_each((int)(long)arg);
    return NULL;
}

static void system_threads(int conn) { start_thread(system_thread, conn); }

/* What a JVM does for each Process: its child inherits what other threads have open, and is soon over. */
static void *spawn_thread(void *arg)
{
    char *argv[] = {"/bin/true", NULL};
    int conn = (int)(long)arg, status;
    pid_t child;

    if (read_request(conn)) {
        reply(conn, 0, opt.bytes / 2);
        if (posix_spawn(&child, argv[0], NULL, NULL, argv, environ) || waitpid(child, &status, 0) != child)
            die("posix_spawn");
        reply(conn, opt.bytes / 2, opt.bytes);
    }
    let_go(conn);
    return NULL;
}

static void spawn_threads(int conn)
{
    signal(SIGCHLD, SIG_DFL);
    start_thread(spawn_thread, conn);
}

/* As a program that makes itself a daemon: two forks, and neither parent waits for the reply. */
static void double_fork(int conn)
{
    struct gate gate = gate_make(opt.gate);

    if (!forked()) {
        setsid();
        if (!forked())
            handle(conn, gate);
        close(conn);
        _exit(0);
    }
    close(conn);
    gate_open(gate);
}

/* Privilege separation: a monitor keeps the connection, one child looks at what came and ends with
 * it open, another answers; the monitor may well be the last. */
static void privsep(int conn)
{
    if (!forked()) {
        char peeked;

        if (!forked()) {
            (void)!recv(conn, &peeked, 1, MSG_PEEK);
            _exit(0);
        }
        while (wait(NULL) > 0)
            ;
        struct gate gate = gate_make(false);
        if (!forked())
            handle(conn, gate);
        while (wait(NULL) > 0)
            ;
        close(conn);
        _exit(0);
    }
    close(conn);
}

/* The child shuffles its descriptors, as inetds and sshd do, while the parent closes. */
static void shuffle(int conn)
{
    struct gate started = gate_make(true);

    if (!forked()) {
        gate_open(started);
        for (int i = 0; i < 10; i++) {
            int other = dup(conn);

            close(conn);
            conn = other;
        }
        handle(conn, gate_make(false));
    }
    gate_wait(started);
    close(conn);
}

/* A child with many descriptors forks a handler, while another thread of it moves the connection between a low number and
 * a high one all the time, which are free otherwise (renumber) or another socket's (replace); then it lets go of it, and
 * the server does so next. */
static struct {
    void (*move)(int from, int to);
    int low, high, other;
    _Atomic bool moving, forked;
} renumbered;

static void to_a_free_number(int from, int to)
{
    if (fcntl(from, F_DUPFD, to) != to || close(from))
        die("moving the connection");
}

static void over_another_socket(int from, int to)
{
    if (dup2(from, to) != to || dup2(renumbered.other, from) != from)
        die("moving the connection");
}

static void *renumber_thread(void *arg)
{
    (void)arg;
    while (!renumbered.forked) {
        renumbered.move(renumbered.high, renumbered.low);
        renumbered.move(renumbered.low, renumbered.high);
        renumbered.moving = true;
    }
    close(renumbered.high);
    return NULL;
}

static bool is_connected(int fd)
{
    struct sockaddr_storage a;
    return getpeername(fd, (struct sockaddr *)&a, &(socklen_t){sizeof a}) == 0;
}

static int renumbered_connection(void)
{
    if (!is_connected(renumbered.high))
        return renumbered.low;
    close(renumbered.low);
    return renumbered.high;
}

static void renumber_by(void (*move)(int from, int to), int conn)
{
    struct gate left = gate_make(true), gate = gate_make(true);
    pthread_t thread;

    if (!forked()) {
        int other = renumbered.other = socket(AF_INET, SOCK_STREAM, 0);

        renumbered.low = fcntl(conn, F_DUPFD, 50);
        renumbered.high = fcntl(conn, F_DUPFD, 200);
        close(conn);
        for (int i = 0; i < 60; i++)
            fcntl(other, F_DUPFD, i < 30 ? 0 : 110);
        close(renumbered.low);
        renumbered.move = move;
        if (pthread_create(&thread, NULL, renumber_thread, NULL))
            die("pthread_create");
        while (!renumbered.moving)
            sched_yield();
        if (!forked())
            handle(renumbered_connection(), gate);
        renumbered.forked = true;
        pthread_join(thread, NULL);
        if (write(left.open, "", 1) != 1)
            die("write");
        _exit(0);
    }
    gate_wait(left);
    close(conn);
    gate_open(gate);
}

static void renumber(int conn) { renumber_by(to_a_free_number, conn); }
static void replace(int conn) { renumber_by(over_another_socket, conn); }

static void setuid_chroot(int conn)
{
    struct gate gate = gate_make(opt.gate);

    if (!forked()) {
        char empty[] = "/tmp/models.XXXXXX";

        if (!mkdtemp(empty) || chdir(empty) < 0 || rmdir(empty) < 0 || chroot(".") < 0 || setgroups(0, NULL) < 0 ||
            setgid(65534) < 0 || setuid(65534) < 0)
            die("chroot and setuid");
        handle(conn, gate);
    }
    close(conn);
    gate_open(gate);
}

/* A child that outlives its parent, and does not answer before the parent is dead: its pidfd
 * becomes readable only after the kernel has closed all that it had. */
static void orphan(int conn)
{
    if (!forked()) {
        struct pollfd parent = {.fd = (int)syscall(SYS_pidfd_open, getpid(), 0), .events = POLLIN};

        if (parent.fd < 0)
            die("pidfd_open");
        if (!forked()) {
            while (poll(&parent, 1, -1) < 0)
                ;
            handle(conn, gate_make(false));
        }
        _exit(0);
    }
    close(conn);
}

static _Noreturn void accept_loop(int listener, void (*serve)(int))
{
    for (;;)
        serve(accept_one(listener, opt.accept_flags));
}

static void start_workers(int listener)
{
    for (int i = 0; i < opt.workers; i++)
        if (!forked_worker())
            accept_loop(listener, iterative);
}

static _Noreturn void prefork(int listener)
{
    start_workers(listener);
    for (;;)
        pause();
}

/* The parent accepts too, after its children were made: none of them can have its connections. */
static _Noreturn void prefork_parent(int listener)
{
    start_workers(listener);
    accept_loop(listener, iterative);
}

static const struct {
    const char *name;
    void (*serve)(int conn);
} models[] = {
    {"iterative", iterative},
    {"thread", thread},
    {"fork", fork_each},
    {"fork-exec", fork_exec},
    {"vfork-exec", vfork_exec},
    {"posix-spawn", spawn},
    {"sh-handler", sh_handler},
    {"system", system_each},
    {"system-threads", system_threads},
    {"spawn-threads", spawn_threads},
    {"popen", popen_each},
    {"double-fork", double_fork},
    {"privsep", privsep},
    {"shuffle", shuffle},
    {"renumber", renumber},
    {"replace", replace},
    {"setuid-chroot", setuid_chroot},
    {"orphan", orphan},
};

static const struct {
    const char *name;
    void (*serve)(int listener);
} loops[] = {
    {"prefork", prefork},   {"prefork-parent", prefork_parent}, {"scm", scm},
    {"scm-keep", scm_keep}, {"scm-stranger", scm_stranger},
};

static void options(int argc, char **argv)
{
    static const struct option names[] = {
        {"bytes", required_argument, NULL, 'b'},   {"cloexec", no_argument, NULL, 'c'},
        {"end", required_argument, NULL, 'e'},     {"gate", no_argument, NULL, 'g'},
        {"exec", required_argument, NULL, 'x'},    {"foreign", no_argument, NULL, 'f'},
        {"workers", required_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};

    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;)
        switch (o) {
        case 'b':
            opt.bytes = (size_t)atol(optarg);
            break;
        case 'c':
            opt.accept_flags = SOCK_CLOEXEC;
            break;
        case 'e':
            opt.end_by_exit = !strcmp(optarg, "exit");
            break;
        case 'x':
            opt.exec = optarg;
            break;
        case 'f':
            opt.foreign = true;
            break;
        case 'g':
            opt.gate = true;
            break;
        case 'w':
            opt.workers = atoi(optarg);
            break;
        default:
            exit(2);
        }
}

int main(int argc, char **argv)
{
    const char *model = argc > 1 ? argv[1] : "";

    options(argc, argv);
    if (!strcmp(model, "handler"))
        handler_main();
    if (!strncmp(model, "worker", 6))
        passing_worker(0, !strcmp(model, "worker-tells"));
    if (!strcmp(model, "stranger"))
        stranger_main();
    handler_command();
    /* Nobody waits for the handlers, nor for those that their own parents leave behind. */
    signal(SIGCHLD, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (!strcmp(model, models[i].name))
            accept_loop(listen_and_tell(), models[i].serve);
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (!strcmp(model, loops[i].name))
            loops[i].serve(listen_and_tell());
    fprintf(stderr, "models: no model called \"%s\"\n", model);
    return 2;
}
