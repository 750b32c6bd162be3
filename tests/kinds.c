/* kinds KIND [N]: opens N (1) descriptors of a kind that is none of the shim's business, closes
 * them between two marks that strace shows, and prints the results of the first. KIND is one of
 * the names at the end of this file. */
#include "connection.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/un.h>

static int other = -1; /* the other end, where there is one */

static int tcp(void) { return socket(AF_INET, SOCK_STREAM, 0); }

static int bound(void)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int fd = tcp();
    if (bind(fd, (void *)&address, length) < 0)
        err(1, "bind");
    return fd;
}

static int listening(void)
{
    int fd = bound();
    if (listen(fd, 1) < 0)
        err(1, "listen");
    return fd;
}

/* Nobody takes connections from this listener, and its queue is full: SYNs go unanswered. */
static int connecting(void)
{
    static struct sockaddr_storage address;
    static socklen_t length = sizeof address;
    int fd, i;
    if (other < 0) {
        other = bound();
        if (listen(other, 0) < 0 || getsockname(other, (void *)&address, &length) < 0)
            err(1, "listen");
        for (i = 0; i < 4; i++) {
            fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            connect(fd, (void *)&address, length);
        }
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (void *)&address, length) == 0 || errno != EINPROGRESS)
        errx(1, "the connection came about");
    return fd;
}

static int refused(void)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 1);
    int fd = tcp();
    if (connect(fd, (void *)&address, length) == 0 || errno != ECONNREFUSED)
        errx(1, "not refused");
    return fd;
}

static int udp(void)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 9);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(fd, (void *)&address, length) < 0)
        err(1, "connect");
    return fd;
}

/* The other end wrote what is left unread here: its next read says so. */
static int unix_stream(void)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || write(pair[1], "unread", 6) != 6)
        err(1, "socketpair");
    if (other < 0)
        other = pair[1];
    return pair[0];
}

static int unix_listening(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (void *)&address, sizeof address.sun_family) < 0 || listen(fd, 1) < 0)
        err(1, "listen");
    return fd;
}

static int file(void) { return open("/tmp", O_TMPFILE | O_RDWR, 0600); }

static int null(void) { return open("/dev/null", O_RDWR); }

static int pipe_end(void)
{
    int ends[2];
    if (pipe(ends) < 0)
        err(1, "pipe");
    if (other < 0)
        other = ends[0];
    return ends[1];
}

static int epoll(void) { return epoll_create1(0); }

static int event(void) { return eventfd(0, 0); }

static int not_open(void) { return 3000; }

static int negative(void) { return -1; }

static const struct {
    const char *name;
    int (*open)(void);
} kinds[] = {{"tcp", tcp},         {"bound", bound},       {"listening", listening}, {"connecting", connecting},
             {"refused", refused}, {"udp", udp},           {"unix", unix_stream},    {"unix-listening", unix_listening},
             {"file", file},       {"null", null},         {"pipe", pipe_end},       {"epoll", epoll},
             {"eventfd", event},   {"not-open", not_open}, {"negative", negative}};

int main(int argc, char **argv)
{
    static int fds[1000];
    int n = argc > 2 ? atoi(argv[2]) : 1, (*open_one)(void) = NULL;
    char block[16];

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (argc > 1 && !strcmp(argv[1], kinds[i].name))
            open_one = kinds[i].open;
    if (!open_one || n < 1 || n > 1000)
        errx(2, "usage: kinds KIND [N]");
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){2500, 2500});
    for (int i = 0; i < n; i++)
        fds[i] = open_one();

    int ret[1000], code[1000];
    (void)!write(-1, "mark", 4);
    for (int i = 0; i < n; i++) {
        errno = 77;
        ret[i] = close(fds[i]);
        code[i] = errno;
    }
    (void)!write(-1, "mark", 4);

    printf("ret=%d errno=%d again=", ret[0], code[0]);
    printf("%d,%s", close(fds[0]), strerrorname_np(errno));
    if (other >= 0) {
        int r = recv(other, block, sizeof block, MSG_DONTWAIT);
        if (r < 0 && errno == ENOTSOCK)
            r = read(other, block, sizeof block);
        printf(" other=%d,%s", r, r < 0 ? strerrorname_np(errno) : "");
    }
    putchar('\n');
    for (int i = 1; i < n; i++)
        if (ret[i] != ret[0] || code[i] != code[0])
            errx(1, "close %d: ret=%d errno=%d", i, ret[i], code[i]);
}
