/* corners CASE: one process with both ends of a connection, in a place where few programs ever are. Prints what it
 * found there as name=value; exits with 77 where the case cannot be had.
 *   taken    one end lingers, and the number of whatever epoll set there is becomes /dev/null: CPU time of 2 s
 *   late     a fork that nobody can notice, the lingering ends, and then the peer speaks: the same
 *   emfile   a fork that nobody can notice has no descriptor left; then the peer sends ten times
 *   moved    a blocking close, while another thread puts /dev/null over every number from 32 on and the peer, which is
 *            that thread's, sends; it finishes after 300 ms
 *   busy     the same with close_range
 *   room     ten connections linger: how many sockets can be had?
 *   handler  a signal handler forks while close waits: does the child come back (with 6)?
 *   shutter  likewise while shutdown(SHUT_RDWR) waits: has the child the 20 files that it opened in the handler, on low
 *            numbers and on high ones, and how long was it busy?
 *   amid     likewise at any moment of close, 200 times, and sockets of the child's get our numbers in the handler: how many
 *            have lost what was in them when the child comes back?
 *   vfork    a thread is cancelled while its vforked child is on the way to exec: where does the cleanup run?
 *   cmsg     sendmsg with a header that claims to be longer than the buffer that it is in */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int peer, fd;
static pid_t owner;

static void wait_ms(int ms) { poll(NULL, 0, ms); }

/* How many of our descriptors are of this kind; the last one is put into *last. */
static int count(const char *kind, int *last)
{
    char path[64], link[64];
    int n = 0;
    for (int i = 0; i < 20000; i++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        ssize_t length = readlink(path, link, sizeof link - 1);
        link[length < 0 ? 0 : length] = 0;
        if (strstr(link, kind) && ++n)
            *last = i;
    }
    return n;
}

static void connect_to_ourselves(int flags)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int any = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(any, (void *)&address, length) < 0 || listen(any, 1) < 0 || getsockname(any, (void *)&address, &length))
        err(1, "listen");
    peer = dial(AF_INET, 0, ntohs(((struct sockaddr_in *)&address)->sin_port));
    fd = accept4(any, NULL, NULL, flags);
    close(any);
}

/* What lingers for us then has an epoll set (returned; -1: none), and 100 ms to fall asleep. */
static int close_one_end(void)
{
    int set = -1;
    connect_to_ourselves(SOCK_NONBLOCK);
    close(fd);
    for (int i = 0; i < 10 && !count("eventpoll", &set); i++)
        wait_ms(10);
    wait_ms(100);
    return set;
}

static long cpu_ms(void) { return clock() / (CLOCKS_PER_SEC / 1000); }

static void measure(void)
{
    long before = cpu_ms();
    wait_ms(2000);
    printf("cpu_ms=%ld\n", cpu_ms() - before);
}

static void taken(void)
{
    int set = close_one_end();
    printf("taken=%d\n", set >= 0 && dup2(open("/dev/null", O_RDWR), set) == set);
    measure();
}

static pid_t unnoticed_fork(void)
{
#ifdef __x86_64__
    long pid;
    __asm__ volatile("syscall" : "=a"(pid) : "0"(SYS_fork) : "rcx", "r11", "memory");
    return (pid_t)pid;
#else
    exit(77);
#endif
}

static void late(void)
{
    close_one_end();
    pid_t pid = unnoticed_fork();
    for (; !pid; pause())
        alarm(30);
    for (int i = 0; i < 500 && count("socket:", &fd) > 1; i++)
        wait_ms(10);
    send(peer, "late", 4, MSG_NOSIGNAL);
    measure();
    kill(pid, SIGKILL);
}

static void emfile(void)
{
    int queued = 1, sent = 0;
    close_one_end();
    if (!unnoticed_fork()) {
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64});
        while (open("/dev/null", O_RDONLY) >= 0)
            ;
        _exit(socket(AF_INET, SOCK_STREAM, 0) >= 0);
    }
    wait(NULL);
    for (int i = 0; i < 10; i++, wait_ms(10))
        sent += send(peer, "0123456789", 10, MSG_NOSIGNAL) == 10;
    for (int i = 0; i < 100 && !ioctl(peer, TIOCOUTQ, &queued) && queued; i++)
        wait_ms(10);
    printf("sent=%d queued=%d\n", sent, queued);
}

static long taken_numbers, refused, busy;

static void *takes(void *unused)
{
    static const char block[4096];
    int null = open("/dev/null", O_RDWR);
    for (long until = now_ms() + 300; now_ms() < until;) {
        refused += send(peer, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN;
        for (int n = 32; n < 64; n++)
            if (fcntl(n, F_GETFD) >= 0) {
                if (dup2(null, n) == n)
                    taken_numbers += !close(n);
                else
                    busy += errno == EBUSY && dup3(null, n, O_CLOEXEC) < 0;
            }
    }
    shutdown(peer, SHUT_WR);
    return unused;
}

static void move_all(bool range)
{
    pthread_t thread;
    char byte;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64});
    connect_to_ourselves(0);
    if (pthread_create(&thread, NULL, takes, NULL))
        errx(1, "pthread_create");
    await_input(fd);
    long start = now_ms();
    int ret = range ? close_range(fd, fd, 0) : close(fd);
    printf("close_ms=%ld ret=%d", now_ms() - start, ret);
    pthread_join(thread, NULL);
    long n = recv(peer, &byte, 1, 0);
    printf(" taken=%ld busy=%d refused=%d end=%s\n", taken_numbers, busy > 0, refused > 0,
           n ? strerrorname_np(errno) : "EOF");
}

static void moved(void) { move_all(false); }
static void range_moved(void) { move_all(true); }

static void room(void)
{
    int n = 0;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){128, 128});
    for (int i = 0; i < 10; i++) {
        connect_to_ourselves(SOCK_NONBLOCK);
        close(fd);
    }
    while (socket(AF_INET, SOCK_STREAM, 0) >= 0)
        n++;
    printf("sockets=%d errno=%s\n", n, strerrorname_np(errno));
}

static volatile sig_atomic_t forked;

static void fork_here(int sig)
{
    (void)sig;
    forked = fork();
}

static void handler(void)
{
    int status = 0;
    connect_to_ourselves(0);
    signal(SIGALRM, fork_here);
    ualarm(200000, 0);
    close(fd);
    int amid = forked;
    for (; !forked; wait_ms(1))
        if (getpid() != owner)
            _exit(6);
    for (int i = 0; i < 500 && !waitpid(forked, &status, WNOHANG); i++)
        wait_ms(10);
    if (!status)
        kill(forked, SIGKILL);
    printf("amid=%d child=%d\n", amid != 0, WEXITSTATUS(status));
}

static int files[20];

static void fork_and_open(int sig)
{
    (void)sig;
    struct rlimit limit;
    if ((forked = fork()) || getrlimit(RLIMIT_NOFILE, &limit))
        return;
    for (int i = 0; i < 10; i++) {
        files[i] = open("/dev/null", O_RDONLY);
        files[i + 10] = fcntl(files[i], F_DUPFD, (int)limit.rlim_cur / 2);
    }
}

static void shutter(void)
{
    int result = 0, open_files = 0;
    connect_to_ourselves(0);
    signal(SIGALRM, fork_and_open);
    ualarm(200000, 0);
    shutdown(fd, SHUT_RDWR);
    while (!forked && getpid() == owner)
        wait_ms(1);
    if (getpid() != owner) {
        for (int i = 0; i < 20; i++)
            open_files += fcntl(files[i], F_GETFD) >= 0;
        _exit(cpu_ms() < 300 ? open_files : 100);
    }
    waitpid(forked, &result, 0);
    printf("files=%d\n", WEXITSTATUS(result));
}

static int sockets[8];

static void fork_and_take(int sig)
{
    int pair[2];
    (void)sig;
    if ((forked = fork()) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || write(pair[1], "12345678", 8) != 8)
        return;
    for (int i = 0; i < 8; i++)
        sockets[i] = fcntl(pair[0], F_DUPFD, 48);
}

static void amid(void)
{
    int spoiled = 0, during = 0, result;
    char bytes[8];
    signal(SIGALRM, fork_and_take);
    for (int i = 0; i < 200; i++) {
        forked = 0;
        connect_to_ourselves(0);
        ualarm(100 + (useconds_t)i, 0);
        close(fd);
        during += forked != 0;
        while (!forked && getpid() == owner)
            wait_ms(1);
        if (getpid() != owner)
            _exit(recv(sockets[0], bytes, sizeof bytes, MSG_DONTWAIT) != sizeof bytes);
        waitpid(forked, &result, 0);
        spoiled += result != 0;
        close(peer);
    }
    printf("spoiled=%d during=%s\n", spoiled, during ? "some" : "none");
}

static int here[2], go[2], status = -1;
static const char *volatile cleanup = "none";

static void clean(void *unused)
{
    (void)unused;
    cleanup = syscall(SYS_getpid) == owner ? "parent" : "child";
}

/* syscall() is no cancellation point. */
static void *vforks(void *unused)
{
    char byte = 0, *argv[] = {"true", NULL};
    pthread_cleanup_push(clean, NULL);
    pid_t pid = vfork();
    if (!pid) {
        syscall(SYS_write, here[1], &byte, 1);
        syscall(SYS_read, go[0], &byte, 1);
        execv("/bin/true", argv);
        _exit(1);
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    waitpid(pid, &status, 0);
    pthread_cleanup_pop(0);
    return unused;
}

static void vforked(void)
{
    pthread_t thread;
    char byte = 0;
    if (pipe(here) || pipe(go) || pthread_create(&thread, NULL, vforks, NULL) || read(here[0], &byte, 1) != 1)
        err(1, "vfork");
    pthread_cancel(thread);
    (void)!write(go[1], &byte, 1);
    pthread_join(thread, NULL);
    printf("cleanup=%s status=%d\n", cleanup, status);
}

static void cmsg(void)
{
    struct cmsghdr header[4] = {{.cmsg_len = 1 << 26, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec text = {"x", 1};
    struct msghdr m = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = header, .msg_controllen = sizeof header};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        err(1, "socketpair");
    long ret = sendmsg(pair[0], &m, 0);
    printf("ret=%ld error=%s\n", ret, strerrorname_np(errno));
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"taken",   "late",    "emfile", "moved", "busy", "room",
                                        "handler", "shutter", "amid",   "vfork", "cmsg"};
    static void (*const cases[])(void) = {taken,   late,    emfile, moved,   range_moved, room,
                                          handler, shutter, amid,   vforked, cmsg};
    owner = getpid();
    for (int i = 0; argc > 1 && i < (int)(sizeof names / sizeof *names); i++)
        if (!strcmp(argv[1], names[i]))
            return cases[i](), 0;
    errx(2, "no case is called so");
}
