/* corked WAY [own]: one byte is written to a connection, then the program gives it away or lets it go by WAY.
 *
 * Prints "before=1" where the connection is corked after the write, and "after=1" where it still is for whoever has it
 * then: a copy of the descriptor, a child, or the program that was executed ("corked state FD").
 *   own   the program corks it itself */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/syscall.h>

extern char **environ;
enum { HIGH = 100 };

static int state(int fd)
{
    int on = -1;
    socklen_t length = sizeof on;
    if (getsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, &length))
        err(1, "TCP_CORK");
    return on;
}

static void put_byte(int fd)
{
    if (write(fd, "x", 1) != 1)
        err(1, "write");
    printf("before=%d\n", state(fd));
}

static char self[4096], number[16];

/* The shim would take a call of wait(2) or pthread_join(3) for a moment to push; these are none of its. */
static volatile sig_atomic_t ended;
static void child_ended(int signal) { ended = signal; }

static void spin_until_ended(void)
{
    while (!ended)
        sched_yield();
}

static void *leaves(void *fd)
{
    put_byte(*(int *)fd);
    pthread_exit(NULL);
}

/* The byte is the child's, which then ends; the connection is the parent's too. */
static bool by_end(const char *how, int fd)
{
    pthread_t thread;
    if (!strcmp(how, "pthread_exit")) {
        if (pthread_create(&thread, NULL, leaves, &fd))
            errx(1, "pthread_create");
        while (pthread_tryjoin_np(thread, NULL))
            sched_yield();
        return true;
    }
    if (!strstr(how, "exit"))
        return false;
    if (!fork()) {
        put_byte(fd);
        if (!strcmp(how, "exit"))
            exit(0);
        if (!strcmp(how, "quick_exit"))
            quick_exit(0);
        if (!strcmp(how, "_exit"))
            _exit(0);
        if (!strcmp(how, "syscall-exit_group"))
            syscall(SYS_exit_group, 0L);
        errx(2, "no way %s", how);
    }
    spin_until_ended();
    return true;
}

/* Another process that has it: the program "corked state". */
static bool by_program(const char *how, int fd)
{
    char *argv[] = {self, "state", number, NULL}, command[5000];
    snprintf(command, sizeof command, "%s state %s", self, number);
    if (!strcmp(how, "execl"))
        execl(self, self, "state", number, NULL);
    else if (!strcmp(how, "execlp"))
        execlp(self, self, "state", number, NULL);
    else if (!strcmp(how, "execle"))
        execle(self, self, "state", number, NULL, environ);
    else if (!strcmp(how, "execv"))
        execv(self, argv);
    else if (!strcmp(how, "execve"))
        execve(self, argv, environ);
    else if (!strcmp(how, "execvp"))
        execvp(self, argv);
    else if (!strcmp(how, "execvpe"))
        execvpe(self, argv, environ);
    else if (!strcmp(how, "fexecve"))
        fexecve(open(self, O_RDONLY | O_CLOEXEC), argv, environ);
    else if (!strcmp(how, "execveat"))
        execveat(AT_FDCWD, self, argv, environ, 0);
    else if (!strcmp(how, "syscall-execve"))
        syscall(SYS_execve, self, argv, environ);
    else if (!strcmp(how, "fork")) {
        if (!fork()) {
            printf("after=%d\n", state(fd));
            exit(0);
        }
    } else if (!strcmp(how, "_Fork")) {
        if (!_Fork()) {
            dprintf(1, "after=%d\n", state(fd));
            syscall(SYS_exit_group, 0L);
        }
    } else if (!strcmp(how, "vfork")) {
        if (!vfork()) {
            execv(self, argv);
            _exit(1);
        }
    } else if (!strcmp(how, "posix_spawn"))
        posix_spawn(NULL, self, NULL, NULL, argv, environ);
    else if (!strcmp(how, "posix_spawnp"))
        posix_spawnp(NULL, self, NULL, NULL, argv, environ);
    else if (!strcmp(how, "system")) {
        return !system(command); /* which blocks SIGCHLD */
    } else if (!strcmp(how, "popen"))
        popen(command, "w");
    else
        return false;
    spin_until_ended();
    return true;
}

/* A child that was there before receives it. */
static bool by_message(const char *how, int fd)
{
    int pair[2], passed = fd;
    char b = 'x';
    struct iovec v = {&b, 1};
    union {
        char room[CMSG_SPACE(sizeof passed)];
        struct cmsghdr header;
    } control = {.header = {CMSG_LEN(sizeof passed), SOL_SOCKET, SCM_RIGHTS}};
    struct mmsghdr m = {
        .msg_hdr = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control}};
    if (strcmp(how, "sendmsg") && strcmp(how, "sendmmsg") && strcmp(how, "syscall-sendmsg"))
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        err(1, "socketpair");
    if (!fork()) {
        if (recvmsg(pair[1], &m.msg_hdr, 0) != 1)
            err(1, "recvmsg");
        memcpy(&passed, CMSG_DATA(&control.header), sizeof passed);
        printf("after=%d\n", state(passed));
        exit(0);
    }
    put_byte(fd);
    memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
    if (!strcmp(how, "sendmsg")           ? sendmsg(pair[0], &m.msg_hdr, 0) != 1
        : !strcmp(how, "syscall-sendmsg") ? syscall(SYS_sendmsg, (long)pair[0], &m.msg_hdr, 0L) != 1
                                          : sendmmsg(pair[0], &m, 1, 0) != 1)
        err(1, "%s", how);
    spin_until_ended();
    return true;
}

/* The other number of the connection stays. */
static bool by_number(const char *how, int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (!strcmp(how, "close"))
        close(fd);
    else if (!strcmp(how, "syscall-close"))
        syscall(SYS_close, (long)fd);
    else if (!strcmp(how, "dup2"))
        dup2(null, fd);
    else if (!strcmp(how, "dup3"))
        dup3(null, fd, O_CLOEXEC);
    else if (!strcmp(how, "close_range"))
        close_range((unsigned)fd, (unsigned)fd, 0);
    else if (!strcmp(how, "closefrom"))
        closefrom(fd);
    else if (!strcmp(how, "fclose"))
        fclose(fdopen(fd, "r+"));
    else if (!strcmp(how, "freopen"))
        freopen("/dev/null", "r+", fdopen(fd, "r+"));
    else if (!strcmp(how, "setsockopt"))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && !strcmp(argv[1], "state")) {
        printf("after=%d\n", state(atoi(argv[2])));
        return 0;
    }
    if (argc < 2 || !realpath("/proc/self/exe", self))
        errx(2, "usage: corked WAY [own]");

    signal(SIGCHLD, child_ended);
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listening, (void *)&address, length) || listen(listening, 1) ||
        getsockname(listening, (void *)&address, &length))
        err(1, "listen");
    int other = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(other, (void *)&address, length) || accept(listening, NULL, NULL) < 0)
        err(1, "connect");
    int fd = fcntl(other, F_DUPFD, HIGH);
    snprintf(number, sizeof number, "%d", fd);
    if (argc > 2 && setsockopt(fd, IPPROTO_TCP, TCP_CORK, &(int){1}, sizeof(int)))
        err(1, "TCP_CORK");

    if (by_end(argv[1], fd)) {
        printf("after=%d\n", state(other));
        return 0;
    }
    if (by_message(argv[1], fd))
        return 0;
    put_byte(fd);
    if (by_program(argv[1], fd))
        return 0;
    if (!by_number(argv[1], fd))
        errx(2, "no way %s", argv[1]);
    printf("after=%d\n", state(other));
    return 0;
}
