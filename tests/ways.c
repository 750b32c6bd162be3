/* ways MODEL WAY unread|late: a server of one connection, let go of in one way (ways.h) in one
 * process model. In each, whoever got the connection from somebody waits until that one has closed
 * it, so that the way is the last holder's. Prints "port N" and, with the reply written, "letting
 * go"; its exit status is the handler's.
 *   unread   it waits for input and leaves it unread
 *   late     it does not: input is to come when it has let go
 * `ways` alone lists the models, then the ways.
 */
#include "ways.h"
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>

enum { GATE = 3, TELL, HIGH = 60 };

extern char **environ;
static const struct way *way;
static bool unread;
static int tell = 1;
static int copies[3], numbers; /* the connection's numbers in this process, the first one last */

static int gate_make(int *ours)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        err(1, "pipe");
    *ours = fcntl(ends[1], F_DUPFD_CLOEXEC, HIGH);
    close(ends[1]);
    return ends[0];
}

static void gate_wait(int gate)
{
    if (read(gate, &(char){0}, 1) < 0)
        err(1, "gate");
    close(gate);
}

/* What the parent still has to do; it ends as its child did. */
static _Noreturn void leave_to(pid_t child, int connection, int gate)
{
    int status = 0;
    close(connection);
    close(gate);
    if (child < 0 || waitpid(child, &status, 0) < 0)
        err(1, "child");
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void take(int connection)
{
    copies[0] = connection;
    numbers = 1;
}

static void serve(void)
{
    int last = copies[numbers - 1];
    if (unread)
        await_input(last);
    put(last, REPLY - TAIL);
    if (!way->stream)
        put_tail(last);
    dprintf(tell, "letting go\n");
    if (way->shut)
        way->shut(last);
    for (int i = 0; i < numbers; i++) {
        if (way->close)
            way->close(copies[i]);
        if (way->stream) {
            FILE *stream = stream_on(copies[i]);
            if (i == numbers - 1)
                print_tail(stream);
            way->stream(stream);
        }
    }
}

static void iterative(void) { take(answer(AF_INET, 0, 0)); }

static void forks(void)
{
    int ours, connection = answer(AF_INET, 0, 0), gate = gate_make(&ours);
    pid_t child = fork();
    if (child)
        leave_to(child, connection, ours);
    close(ours);
    gate_wait(gate);
    take(connection);
}

/* Two workers accept from one listener; the other one is ended with the first. */
static void prefork(void)
{
    int fd = listener(AF_INET, 0, 0), status;
    pid_t workers[2];
    for (int i = 0; i < 2; i++) {
        workers[i] = fork();
        if (workers[i] == 0) {
            take(accept4(fd, NULL, NULL, SOCK_CLOEXEC));
            close(fd);
            return;
        }
    }
    pid_t first = wait(&status);
    kill(workers[first == workers[0]], SIGKILL);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* ---- the handler is another program, the connection its 0, 1 and 2, as inetd does it ---- */

static char *handler[] = {"/proc/self/exe", "handler", NULL, NULL, NULL};

static void become_handler(int connection, int gate)
{
    dup2(gate, GATE);
    dup2(1, TELL);
    for (int fd = 0; fd < 3; fd++)
        dup2(connection, fd);
    execv(*handler, handler);
    _exit(127);
}

/* Out of the way of 0 to 4. */
static int high_connection(void)
{
    int low = answer(AF_INET, 0, 0), high = fcntl(low, F_DUPFD_CLOEXEC, HIGH);
    close(low);
    return high;
}

static int high_gate(int *ours)
{
    int low = gate_make(ours), high = fcntl(low, F_DUPFD_CLOEXEC, HIGH);
    close(low);
    return high;
}

static void fork_exec(void)
{
    int ours, connection = high_connection(), gate = high_gate(&ours);
    pid_t child = fork();
    if (!child)
        become_handler(connection, gate);
    leave_to(child, connection, ours);
}

/* The parent waits until exec has closed a close-on-exec pipe, as subprocess.Popen does: it lets go
 * at the moment when the handler has its descriptors, and before it has run. */
static void popen_exec(void)
{
    int ours, connection = high_connection(), gate = high_gate(&ours), done[2];
    if (pipe2(done, O_CLOEXEC) < 0)
        err(1, "pipe");
    int last = fcntl(done[1], F_DUPFD_CLOEXEC, HIGH);
    close(done[1]);
    pid_t child = fork();
    if (!child)
        become_handler(connection, gate);
    close(last);
    if (read(done[0], &(char){0}, 1) < 0)
        err(1, "pipe");
    leave_to(child, connection, ours);
}

static void vfork_exec(void)
{
    int ours, connection = high_connection(), gate = high_gate(&ours);
    pid_t child = vfork();
    if (!child)
        become_handler(connection, gate);
    leave_to(child, connection, ours);
}

static void spawn(void)
{
    int ours, connection = high_connection(), gate = high_gate(&ours);
    posix_spawn_file_actions_t actions;
    pid_t child;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, gate, GATE);
    posix_spawn_file_actions_adddup2(&actions, 1, TELL);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_adddup2(&actions, connection, fd);
    if (posix_spawn(&child, *handler, &actions, NULL, handler, environ))
        errx(1, "posix_spawn");
    leave_to(child, connection, ours);
}

static void handle(void)
{
    gate_wait(GATE);
    tell = TELL;
    for (int fd = 2; fd >= 0; fd--)
        copies[numbers++] = fd;
}

/* ---- threads ---- */

static void *thread_main(void *arg)
{
    serve();
    if (way->end)
        way->end();
    return arg;
}

/* Where the way is the thread's end, main is gone before: the last thread ends the process. */
static int threaded(void)
{
    pthread_t thread;
    iterative();
    if (pthread_create(&thread, NULL, thread_main, NULL))
        errx(1, "pthread_create");
    if (way->end == end_thread)
        pthread_exit(NULL);
    pthread_join(thread, NULL);
    return STATUS;
}

static const struct {
    const char *name;
    void (*start)(void); /* returns in the process that has the connection */
} models[] = {
    {"iterative", iterative},   {"thread", NULL},           {"fork", forks},
    {"prefork", prefork},       {"fork-exec", fork_exec},   {"posix_spawn", spawn},
    {"vfork-exec", vfork_exec}, {"popen-exec", popen_exec},
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

int main(int argc, char **argv)
{
    if (argc != 4) {
        for (size_t i = 0; i < COUNT(models); i++)
            printf("%s%c", models[i].name, i + 1 < COUNT(models) ? ' ' : '\n');
        for (size_t i = 0; i < COUNT(ways); i++)
            printf("%s%c", ways[i].name, i + 1 < COUNT(ways) ? ' ' : '\n');
        return 0;
    }
    for (size_t i = 0; i < COUNT(ways); i++)
        if (!strcmp(argv[2], ways[i].name))
            way = ways + i;
    if (!way)
        errx(2, "no way is called %s", argv[2]);
    unread = !strcmp(argv[3], "unread");
    handler[2] = argv[2];
    handler[3] = argv[3];

    size_t model = 0;
    while (model < COUNT(models) && strcmp(argv[1], models[model].name))
        model++;
    if (!strcmp(argv[1], "handler"))
        handle();
    else if (model == COUNT(models))
        errx(2, "no model is called %s", argv[1]);
    else if (!models[model].start)
        return threaded();
    else
        models[model].start();
    serve();
    if (way->end)
        way->end();
    return STATUS;
}
