/* exits CASE [HOW]: how a program with one open connection ends. Prints "port N"; its exit status
 * is 5. HOW is one of return (the default), exit, _exit, _Exit, quick_exit, exit_group, kill.
 *   order       handlers and destructors print their names, and write the reply's last three pieces
 *   again       an atexit handler ends the process by HOW, with 6
 *   signal      HOW is called in a signal handler
 *   altstack    the same, and the handler has a small stack of its own with no page below it
 *   full        no descriptor is left
 *   blocked     other threads wait: in recv, in accept, in pause, in getchar
 *   locked      another thread waits in fgetc on the connection's own stream
 *   amid        another thread is closing the connection
 *   child       a child ends with the connection open, and then the reply comes
 *   vchild      the same with a vforked child
 *   two         a child has the connection too, and answers when the parent is dead
 *   plain       nothing else
 */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { REPLY = 600000, PIECE = 1000, STATUS = 5 };

static int connection;
static const char *how = "return";

static void end(int status)
{
    if (!strcmp(how, "_exit"))
        _exit(status);
    if (!strcmp(how, "_Exit"))
        _Exit(status);
    if (!strcmp(how, "quick_exit"))
        quick_exit(status);
    if (!strcmp(how, "exit_group"))
        syscall(SYS_exit_group, status);
    if (!strcmp(how, "kill"))
        raise(SIGKILL);
    if (strcmp(how, "return"))
        exit(status);
}

/* The nth piece of the reply's last three. */
static void piece(int n, const char *name)
{
    char block[PIECE];
    if (!connection)
        return;
    pattern(block, REPLY - (3 - n) * PIECE, PIECE);
    dprintf(1, "%s sent=%zd\n", name, send(connection, block, PIECE, MSG_NOSIGNAL));
}

static void first_handler(void) { piece(1, "registered first"); }
static void last_handler(void) { piece(0, "registered last"); }
static void quick_first(void) { piece(2, "quick, registered first"); }
static void quick_second(void) { piece(1, "quick, registered second"); }
static void quick_last(void) { piece(0, "quick, registered last"); }

static bool ordered;
__attribute__((destructor)) static void destructor(void)
{
    if (ordered)
        piece(2, "destructor");
}

static void order(void)
{
    ordered = true;
    atexit(first_handler);
    atexit(last_handler);
    at_quick_exit(quick_first);
    at_quick_exit(quick_second);
    at_quick_exit(quick_last);
    put(connection, REPLY - 3 * PIECE);
}

static void end_again(void)
{
    puts("handler");
    fflush(stdout);
    end(6);
}

static void handler(int sig)
{
    (void)sig;
    end(STATUS);
}

/* What the kernel's own frame takes there, and 6 kB. */
static void in_small_stack(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), frame = getauxval(AT_MINSIGSTKSZ);
    size_t size = (frame ? frame : 2048) + 6000, mapped = (size / page + 2) * page;
    char *low = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (low == MAP_FAILED || mprotect(low, page, PROT_NONE) ||
        sigaltstack(&(stack_t){.ss_sp = low + page, .ss_size = size}, NULL))
        err(1, "sigaltstack");
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_ONSTACK}, NULL);
    raise(SIGTERM);
}

static void fill(void)
{
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64});
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
}

/* ---- threads that wait ---- */

static _Atomic pid_t waiter;
static void (*call)(void); /* that it waits in */
static int listening;
static FILE *stream;
static char byte;

static void in_recv(void) { (void)!recv(connection, &byte, 1, 0); }
static void in_accept(void) { accept(listening, NULL, NULL); }
static void in_pause(void) { pause(); }
static void in_getchar(void) { getchar(); }
static void in_fgetc(void) { fgetc(stream); }
static void in_close(void) { close(connection); }

static void *thread_main(void *arg)
{
    waiter = gettid();
    call();
    return arg;
}

/* Returns when the thread sleeps in its one system call, or is through with it. */
static void start(void (*where)(void))
{
    pthread_t thread;
    call = where;
    waiter = 0;
    if (pthread_create(&thread, NULL, thread_main, NULL))
        errx(1, "pthread_create");
    while (!waiter)
        sched_yield();
    await_sleep(waiter);
}

static void blocked(void)
{
    listening = socket(AF_INET, SOCK_STREAM, 0);
    if (listen(listening, 1) < 0)
        err(1, "listen");
    start(in_accept);
    start(in_pause);
    start(in_getchar);
    start(in_recv);
}

/* ---- processes ---- */

static void tell(pid_t pid, long since)
{
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        err(1, "child");
    printf("child=%d child_ms=%ld\n", WEXITSTATUS(status), now_ms() - since);
}

static void child(void)
{
    long since = now_ms();
    pid_t pid = fork();
    if (!pid) {
        end(7);
        _exit(7);
    }
    tell(pid, since);
}

static void vforked_child(void)
{
    long since = now_ms();
    pid_t pid = vfork();
    if (!pid) {
        end(7);
        _exit(7);
    }
    tell(pid, since);
}

/* Both ends of a pipe are the parent's until it is dead. */
static void child_that_is_last(void)
{
    int alive[2];
    if (pipe(alive) < 0)
        err(1, "pipe");
    if (fork())
        return;
    close(alive[1]);
    if (read(alive[0], &byte, 1) < 0)
        err(1, "pipe");
    put(connection, REPLY);
}

static void run(const char *what)
{
    if (!strcmp(what, "order")) {
        order();
    } else if (!strcmp(what, "again")) {
        atexit(end_again);
        put(connection, REPLY);
        exit(STATUS);
    } else if (!strcmp(what, "signal")) {
        put(connection, REPLY);
        signal(SIGTERM, handler);
        raise(SIGTERM);
    } else if (!strcmp(what, "altstack")) {
        put(connection, REPLY);
        in_small_stack();
    } else if (!strcmp(what, "full")) {
        put(connection, REPLY);
        fill();
    } else if (!strcmp(what, "blocked")) {
        put(connection, REPLY);
        blocked();
    } else if (!strcmp(what, "locked")) {
        put(connection, REPLY);
        stream = fdopen(connection, "r+");
        start(in_fgetc);
    } else if (!strcmp(what, "amid")) {
        put(connection, REPLY);
        start(in_close);
        await_line(); /* the other side has seen our FIN under way */
    } else if (!strcmp(what, "child")) {
        child();
        put(connection, REPLY);
    } else if (!strcmp(what, "vchild")) {
        vforked_child();
        put(connection, REPLY);
    } else if (!strcmp(what, "two")) {
        child_that_is_last();
    } else if (!strcmp(what, "plain")) {
        put(connection, REPLY);
    } else {
        errx(2, "no case is called %s", what);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "plain";
    connection = answer(AF_INET, 0, 0);
    if (strcmp(what, "blocked") && strcmp(what, "locked"))
        await_input(connection);
    how = argc > 2 ? argv[2] : how;
    run(what);
    end(STATUS);
    return STATUS;
}
