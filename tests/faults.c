/* faults WAY: a server of one connection, for tests/check-faults. Its peer's input is left unread; with the reply written
 * it lets go in WAY, in the window that inject looks at, and prints what each call of its own gave. Then it waits until
 * it has no more descriptors than before, for as long as lingering may take, and prints how many there are too many.
 * `faults` alone lists the ways.
 */
#include "connection.h"
#include "mark.h"
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/wait.h>

enum { REPLY = 100000, TAIL = 100, PATIENCE = 3000 /* ms */ };

static int conn, other, ends[2];
static FILE *stream;
static char self[4096]; /* valgrind's /proc/self/exe is its own, but it reads the link as it should be */

/* In one write, since two processes print. errno is part of what a call gives: the C library's calls keep it on success. */
#define TELL(call)                                                                                                     \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        long result = (long)(call);                                                                                    \
        int code = errno;                                                                                              \
        window_closes();                                                                                               \
        dprintf(1, "%s: %ld, errno %d\n", #call, result, code);                                                        \
        window_opens();                                                                                                \
    } while (0)

static void by_close(void) { TELL(close(conn)); }
static void by_dup2(void) { TELL(dup2(other, conn)); }
static void by_dup3(void) { TELL(dup3(other, conn, O_CLOEXEC)); }
static void by_range(void) { TELL(close_range(conn, conn, 0)); }
static void by_fclose(void) { TELL(fclose(stream)); }

static void by_shutdown(void)
{
    TELL(shutdown(conn, SHUT_RDWR));
    TELL(close(conn));
}

static void by_exit(void) { exit(5); }
static void by_bare_exit(void) { _exit(5); }

/* The child is done when its end of the pipe is closed, which SIGKILL does too. */
static void over(bool child, int status)
{
    if (child)
        _exit(status);
    window_closes();
    while (wait(&status) < 0 && errno == EINTR)
        ;
    window_opens();
}

static void by_fork(void)
{
    errno = 77;
    pid_t pid = fork();
    if (pid < 0)
        TELL(pid);
    TELL(close(conn));
    if (pid >= 0)
        over(pid == 0, 0);
}

/* The parent has let go before the child closes. */
static void by_fork_last(void)
{
    errno = 77;
    pid_t pid = fork();
    if (pid < 0)
        TELL(pid);
    if (pid == 0) {
        window_closes();
        close(ends[1]);
        if (read(ends[0], &(char){0}, 1) < 0)
            err(1, "read");
        window_opens();
    }
    TELL(close(conn));
    if (pid > 0)
        close(ends[1]);
    if (pid >= 0)
        over(pid == 0, 0);
}

static void by_vfork(void)
{
    errno = 77;
    pid_t pid = vfork();
    if (pid == 0) {
        execl(self, self, "handler", NULL);
        _exit(127);
    }
    int code = errno;
    if (pid < 0)
        errno = code;
    TELL(pid < 0);
    TELL(close(conn));
    over(false, 0);
}

/* ---- SCM_RIGHTS: the receiver was forked before the connection came ---- */

static ssize_t pass(int to, int *fd, bool sends)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec byte = {&(char){0}, 1};
    struct msghdr m = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), fd, sizeof *fd);
    ssize_t n = sends ? sendmsg(to, &m, MSG_NOSIGNAL) : recvmsg(to, &m, 0);
    if (!sends && n > 0 && m.msg_controllen)
        memcpy(fd, CMSG_DATA(&control.header), sizeof *fd);
    return n;
}

static void receiver(void)
{
    int fd = -1;
    window_closes();
    close(ends[0]);
    if (write(ends[1], "", 1) != 1) /* before the window opens for others */
        err(1, "write");
    if (poll(&(struct pollfd){ends[1], POLLIN, 0}, 1, -1) < 0)
        err(1, "poll");
    window_opens();
    TELL(pass(ends[1], &fd, false));
    if (fd >= 0)
        TELL(close(fd));
    _exit(0);
}

static void by_passing(void)
{
    TELL(pass(ends[0], &conn, true));
    TELL(close(conn));
    window_closes();
    close(ends[0]);
    window_opens();
    over(false, 0);
}

static const struct way {
    const char *name;
    void (*go)(void);
} ways[] = {
    {"close", by_close},   {"dup2", by_dup2},           {"dup3", by_dup3},        {"close_range", by_range},
    {"fclose", by_fclose}, {"shutdown", by_shutdown},   {"exit", by_exit},        {"_exit", by_bare_exit},
    {"fork", by_fork},     {"fork-last", by_fork_last}, {"vfork+exec", by_vfork}, {"SCM_RIGHTS", by_passing},
};
enum { WAYS = sizeof ways / sizeof *ways };

static void begin(const struct way *w)
{
    if (w->go == by_passing) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
            err(1, "socketpair");
        if (fork() == 0)
            receiver();
        close(ends[1]);
        if (read(ends[0], &(char){0}, 1) != 1)
            err(1, "read");
    }
    if (w->go == by_fork_last && pipe2(ends, O_CLOEXEC))
        err(1, "pipe");
    other = open("/dev/null", O_RDWR | O_CLOEXEC);
    conn = answer(AF_INET, 0, 0);
    if (w->go == by_vfork)
        fcntl(conn, F_SETFD, 0);
    await_input(conn);
    put(conn, REPLY - TAIL);
    if (w->go == by_fclose && !(stream = fdopen(conn, "r+")))
        err(1, "fdopen");
    char tail[TAIL];
    pattern(tail, REPLY - TAIL, TAIL);
    if (stream ? fwrite(tail, TAIL, 1, stream) != 1 : send(conn, tail, TAIL, MSG_NOSIGNAL) != TAIL)
        err(1, "tail");
}

static void end(const struct way *w, int before)
{
    long until = now_ms() + PATIENCE;
    window_closes();
    close(other);
    if (w->go == by_dup2 || w->go == by_dup3)
        close(conn); /* another file by now */
    if (w->go == by_fork_last)
        close(ends[0]);
    while (open_descriptors() > before && now_ms() < until)
        poll(NULL, 0, 5);
    dprintf(1, "descriptors: %d too many\n", open_descriptors() - before);
}

int main(int argc, char **argv)
{
    int before = open_descriptors();
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        err(1, "/proc/self/exe");
    if (argc == 2 && !strcmp(argv[1], "handler")) {
        window_opens();
        return 5;
    }
    for (const struct way *w = ways; w < ways + WAYS; w++) {
        if (argc < 2)
            puts(w->name);
        else if (!strcmp(argv[1], w->name)) {
            begin(w);
            window_opens();
            w->go();
            end(w, before);
            return 0;
        }
    }
    if (argc > 1)
        errx(2, "'%s' is no way: faults alone lists them", argv[1]);
}
