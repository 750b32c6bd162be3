/* intruder HOW: a program that reaches for numbers which are not its own, while a connection of its lingers in the
 * background (auto: O_NONBLOCK). Prints what it achieved, then waits until no socket is left.
 *
 *   loop raw walk      close() of every number; by syscall(2); of what /proc/self/fd lists
 *   closefrom close_range raw-range
 *   dup2 dup3 raw-dup2 /dev/null onto every number that it does not know, and that it has according to /proc/self/fd
 *   fcntl              F_DUPFD from such a number on
 *   fork vfork         a child closes every number
 *   unshare unshare-range   unshare(CLONE_FILES), close_range(CLOSE_RANGE_UNSHARE): from then on the table is this thread's
 *                      alone
 * With a second word, "keep", it has a copy of the connection that it does not know of: the control.
 *
 * Prints same=1 if the next open() got the connection's number, hit=N (numbers that were closed, or that became
 * /dev/null), wrong=N (the call ended in another way than without us), and in the end left=N, sockets that are left. */
#include "connection.h"
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_dup2 /* aarch64 */
#define SYS_dup2 SYS_dup3
#endif

enum { LIMIT = 256 };

static bool known[LIMIT];
static int null, done, wrong, numbers[LIMIT], nnumbers;

/* The numbers in /proc/self/fd, without that of the list itself. */
static void list(void)
{
    DIR *dir = opendir("/proc/self/fd");
    nnumbers = 0;
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (*d->d_name != '.' && atoi(d->d_name) != dirfd(dir))
            numbers[nnumbers++] = atoi(d->d_name);
    closedir(dir);
}

static void closed(int fd, long result)
{
    if (known[fd])
        return;
    done += result == 0;
    wrong += result < 0 && errno != EBADF;
}

static void close_all(bool raw)
{
    for (int fd = 3; fd < LIMIT; fd++)
        closed(fd, raw ? syscall(SYS_close, fd) : close(fd));
}

static void walk(void)
{
    list();
    for (int i = 0; i < nnumbers; i++)
        if (numbers[i] > 2)
            closed(numbers[i], close(numbers[i]));
}

static bool is_null(int fd)
{
    struct stat a, b;
    return !fstat(fd, &a) && !fstat(null, &b) && a.st_rdev == b.st_rdev;
}

static void take(const char *how)
{
    list();
    for (int i = 0; i < nnumbers; i++) {
        int fd = numbers[i], got;
        if (known[fd])
            continue;
        got = !strcmp(how, "dup2")    ? dup2(null, fd)
              : !strcmp(how, "dup3")  ? dup3(null, fd, O_CLOEXEC)
              : !strcmp(how, "fcntl") ? fcntl(null, F_DUPFD, fd)
                                      : syscall(SYS_dup2, null, fd);
        bool mine = got >= 0 && is_null(got);
        done += mine;
        wrong += !mine || (strcmp(how, "fcntl") && got != fd) || close(got);
    }
}

static void child(bool by_vfork)
{
    pid_t pid = by_vfork ? vfork() : fork();
    if (!pid) {
        for (int fd = 3; fd < LIMIT; fd++)
            close(fd);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void intrude(const char *how)
{
    if (!strcmp(how, "loop") || !strcmp(how, "raw"))
        close_all(*how == 'r');
    else if (!strcmp(how, "walk"))
        walk();
    else if (!strcmp(how, "closefrom"))
        closefrom(3);
    else if (!strcmp(how, "close_range"))
        wrong += close_range(3, ~0U, 0) != 0;
    else if (!strcmp(how, "raw-range"))
        wrong += syscall(SYS_close_range, 3, ~0U, 0) != 0;
    else if (!strcmp(how, "unshare"))
        wrong += unshare(CLONE_FILES) != 0;
    else if (!strcmp(how, "unshare-range"))
        wrong += close_range(LIMIT, LIMIT + 1, CLOSE_RANGE_UNSHARE) != 0;
    else if (!strcmp(how, "fork") || !strcmp(how, "vfork"))
        child(*how == 'v');
    else
        take(how);
}

static int sockets(void)
{
    struct stat s;
    int n = 0;
    for (int fd = 3; fd < LIMIT; fd++)
        n += !fstat(fd, &s) && S_ISSOCK(s.st_mode);
    return n;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){LIMIT, LIMIT});
    for (int fd = 3; fd < LIMIT; fd++)
        close(fd);
    int connection = answer(AF_INET, 0, 0);
    null = open("/dev/null", O_RDONLY);
    fcntl(connection, F_SETFL, O_NONBLOCK);
    await_input(connection);
    put(connection, 100000);
    list();
    for (int i = 0; i < nnumbers; i++)
        known[numbers[i]] = true;
    int copy = argc > 2 ? fcntl(connection, F_DUPFD, 100) : -1;
    close(connection);
    puts("closed");
    await_line(); /* the peer has seen our FIN, if any */
    int next = open("/dev/null", O_RDONLY);
    intrude(how);
    puts("intruded");
    printf("same=%d hit=%d wrong=%d\n", next == connection, done, wrong);
    if (strncmp(how, "unshare", 7))
        close(copy);
    long deadline = now_ms() + 1500;
    int left;
    while ((left = sockets()) > 0 && now_ms() < deadline)
        poll(NULL, 0, 5);
    printf("left=%d\n", left);
}
