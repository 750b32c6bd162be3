/* closes CASE [--bytes N]: children that do nothing but close what they have and end, while the parent
 * goes on with the connection, and threads that close at the same time.
 *
 * It prints "port N" and serves one connection after the other. */
#include "serve.h"
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static size_t bytes = 20000;

static void answer_after(int conn, long pid)
{
    if (pid < 0 || waitpid((pid_t)pid, NULL, __WALL) < 0)
        die("closes");
    answer(conn, bytes);
    close(conn);
}

static void fork_close(int conn)
{
    pid_t pid = fork();

    if (!pid) {
        close(conn);
        _exit(0);
    }
    answer_after(conn, pid);
}

static void vfork_close(int conn)
{
    pid_t pid = vfork();

    if (!pid) {
        close(conn);
        _exit(0);
    }
    answer_after(conn, pid);
}

static void vfork_dup2(int conn)
{
    pid_t pid = vfork();

    if (!pid) {
        dup2(conn, 60);
        dup2(2, conn);
        close(60);
        _exit(0);
    }
    answer_after(conn, pid);
}

static char stack[1 << 16] __attribute__((aligned(16)));

static int clone_close(void *conn)
{
    close(*(int *)conn);
    return 0;
}

static void clone_vm(int conn)
{
    int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;

    answer_after(conn, clone(clone_close, stack + sizeof stack, flags, &conn));
}

static int clone_answer(void *p)
{
    const int *numbers = p;
    char byte;

    if (read(numbers[1], &byte, 1) != 1)
        _exit(1);
    answer(numbers[0], bytes);
    close(numbers[0]);
    _exit(0);
}

/* The child runs beside us, in our memory with a table of its own, and answers when we have let go and gone on. */
static void clone_vm_runs(int conn)
{
    int gate[2];

    if (pipe(gate))
        die("pipe");
    int numbers[2] = {conn, gate[0]};
    pid_t pid = clone(clone_answer, stack + sizeof stack, CLONE_VM | SIGCHLD, numbers);

    close(conn);
    if (pid < 0 || write(gate[1], "", 1) != 1)
        die("clone");
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(gate[0]);
    close(gate[1]);
}

static int clone_end(void *unused)
{
    (void)unused;
    _exit(0);
}

static void clone_vm_files(int conn)
{
    answer_after(conn, clone(clone_end, stack + sizeof stack, CLONE_VM | CLONE_FILES | SIGCHLD, NULL));
}

/* A fork that nobody can notice: no call of libc at all. */
static void asm_clone(int conn)
{
#ifdef __x86_64__
    long pid;
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;

    __asm__ volatile("syscall"
                     : "=a"(pid)
                     : "0"(SYS_clone), "D"(SIGCHLD), "S"(0), "d"(0), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    if (!pid) {
        int other = dup(conn);

        close(conn);
        close(other);
        _exit(0);
    }
    answer_after(conn, pid);
#else
    fork_close(conn);
#endif
}

static atomic_int ready;

static void *close_when_all_are_ready(void *fd)
{
    atomic_fetch_sub(&ready, 1);
    while (atomic_load(&ready))
        ;
    close((int)(long)fd);
    return NULL;
}

static void two_threads(int conn)
{
    long other = dup(conn);
    pthread_t thread;

    answer(conn, bytes);
    atomic_store(&ready, 2);
    if (other < 0 || pthread_create(&thread, NULL, close_when_all_are_ready, (void *)other))
        die("pthread_create");
    close_when_all_are_ready((void *)(long)conn);
    pthread_join(thread, NULL);
}

static void *fork_for_ever(void *unused)
{
    for (;;) {
        pid_t pid = fork();

        if (!pid) {
            for (int fd = 3; fd < 64; fd++)
                close(fd);
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) < 0)
            die("fork");
    }
    return unused;
}

static void fork_in_another_thread(int conn)
{
    static bool started;
    pthread_t thread;

    if (!started && pthread_create(&thread, NULL, fork_for_ever, NULL))
        die("pthread_create");
    started = true;
    answer(conn, bytes);
    close(conn);
}

/* A hundred thousand other descriptors are open. */
static void crowd(int conn)
{
    static int there;

    if (!there)
        for (int limit = raise_file_limit(); there < 100000 && there < limit - 100; there++)
            if (dup(2) < 0)
                die("dup");
    fork_close(conn);
}

static const struct {
    const char *name;
    void (*serve)(int conn);
} cases[] = {
    {"fork-close", fork_close}, {"vfork-close", vfork_close},     {"vfork-dup2", vfork_dup2},
    {"clone-vm", clone_vm},     {"clone-vm-runs", clone_vm_runs}, {"clone-vm-files", clone_vm_files},
    {"asm-clone", asm_clone},   {"two-threads", two_threads},     {"fork-in-another-thread", fork_in_another_thread},
    {"crowd", crowd},
};

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"bytes", required_argument, NULL, 'b'}, {"gate", no_argument, NULL, 'g'}, {NULL, 0, NULL, 0}};
    const char *name = argc > 1 ? argv[1] : "";

    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;)
        if (o == 'b')
            bytes = (size_t)atol(optarg);
        else
            return 2;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(name, cases[i].name))
            for (int listener = listen_and_tell();;)
                cases[i].serve(accept_one(listener, 0));
    fprintf(stderr, "closes: no case called \"%s\"\n", name);
    return 2;
}
