/* load PORT TOTAL CONCURRENCY BYTES: the peer of the servers in this directory, many times over.
 *
 * Each connection sends a request with junk behind it, reads to the end, and is counted by how
 * that ended. When the server's side of all of them is gone too, one line tells:
 *   complete=N short=N reset=N other=N left=N received=N ms=N rsts=N abort_on_close=N abort_on_data=N
 * complete  BYTES, then EOF
 * short     EOF before that
 * reset     ECONNRESET or EPIPE, wherever
 * other     other bytes or too many, another error, or time was up
 * left      connections of PORT that would not go away: somebody keeps a descriptor
 * received  bytes of the pattern, on all of them
 * and the kernel's counters of this network namespace. */
#include "counters.h"
#include "pattern.h"
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 16, JUNK_MAX = 1 << 20 };

static struct {
    int port, total, concurrency;
    long bytes, junk, late, seconds;
} want = {.junk = 4096, .seconds = 60};

static struct {
    int complete, shorter, reset, other;
    long received;
} count;

struct conn {
    int fd;
    long sent, got;
    bool sent_late;
};

static char outgoing[REQUEST_BYTES + JUNK_MAX] = "GET /0123456789\n";
static char *expected;
static int epoll;

static long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void start(struct conn *c)
{
    struct sockaddr_in server = {
        .sin_family = AF_INET, .sin_port = htons((unsigned short)want.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};

    *c = (struct conn){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (c->fd < 0)
        die("socket");
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        die("connect");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        die("epoll_ctl");
}

static void end(struct conn *c, int *counter)
{
    ++*counter;
    close(c->fd);
    c->fd = -1;
}

static void end_by_error(struct conn *c)
{
    end(c, errno == ECONNRESET || errno == EPIPE ? &count.reset : &count.other);
}

/* Late junk comes twice: with the reply's first bytes, when the server may be about to close, and
 * after its EOF, when it surely has: only one that lingers takes the second without a RST. */
static void send_late(struct conn *c) { (void)!send(c->fd, outgoing, (size_t)want.late, MSG_NOSIGNAL); }

static void sendable(struct conn *c)
{
    long all = REQUEST_BYTES + want.junk;

    while (c->sent < all) {
        ssize_t n = send(c->fd, outgoing + c->sent, (size_t)(all - c->sent), MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINPROGRESS))
            return;
        if (n < 0) {
            /* What the server sent before it reset the connection is lost to us, as it is to most
			 * clients; the reading side will tell. */
            c->sent = all;
            break;
        }
        c->sent += n;
    }
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

static void readable(struct conn *c)
{
    static char buffer[1 << 16];

    for (;;) {
        ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            end_by_error(c);
            return;
        }
        if (n == 0) {
            if (want.late)
                send_late(c);
            end(c, c->got == want.bytes ? &count.complete : &count.shorter);
            return;
        }
        if (c->got + n > want.bytes || memcmp(buffer, expected + c->got, (size_t)n)) {
            end(c, &count.other);
            return;
        }
        c->got += n;
        count.received += n;
        if (want.late && !c->sent_late) {
            c->sent_late = true;
            send_late(c);
        }
    }
}

static int finished(void) { return count.complete + count.shorter + count.reset + count.other; }

static void run(void)
{
    struct conn *conns = calloc((size_t)want.concurrency, sizeof *conns);
    long deadline = now_ms() + want.seconds * 1000;
    int started = 0;

    if (!conns)
        die("calloc");
    for (int i = 0; i < want.concurrency && started < want.total; i++, started++)
        start(&conns[i]);
    while (finished() < want.total && now_ms() < deadline) {
        struct epoll_event evs[64];
        int n = epoll_wait(epoll, evs, 64, 100);

        for (int i = 0; i < n; i++) {
            struct conn *c = evs[i].data.ptr;

            if (evs[i].events & EPOLLOUT)
                sendable(c);
            if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                readable(c);
            if (c->fd < 0 && started < want.total) {
                started++;
                start(c);
            }
        }
    }
    count.other += want.total - finished();
    for (int i = 0; i < want.concurrency; i++)
        if (conns[i].fd > 0)
            close(conns[i].fd);
    free(conns);
}

/* Connections of the port that are neither listening (0A) nor in TIME_WAIT (06). */
static int still_there(void)
{
    FILE *f = fopen("/proc/net/tcp", "r");
    char line[512];
    unsigned local, state;
    int there = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, " %*d: %*x:%x %*x:%*x %x", &local, &state) == 2)
            there += (int)local == want.port && state != 0x0a && state != 0x06;
    if (f)
        fclose(f);
    return there;
}

static int wait_until_gone(void)
{
    long deadline = now_ms() + 3000;
    int there;

    while ((there = still_there()) > 0 && now_ms() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return there;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"junk", required_argument, NULL, 'j'},
                                            {"late", required_argument, NULL, 'l'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    struct rlimit files;

    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (o) {
        case 'j':
            want.junk = atol(optarg);
            break;
        case 'l':
            want.late = atol(optarg);
            break;
        case 's':
            want.seconds = atol(optarg);
            break;
        default:
            return 2;
        }
    if (argc - optind != 4 || want.junk < 0 || want.junk > JUNK_MAX || want.late < 0 || want.late > JUNK_MAX) {
        fprintf(stderr, "usage: load [--junk BYTES] [--late BYTES] [--seconds N] "
                        "PORT TOTAL CONCURRENCY BYTES\n");
        return 2;
    }
    want.port = atoi(argv[optind]);
    want.total = atoi(argv[optind + 1]);
    want.concurrency = atoi(argv[optind + 2]);
    want.bytes = atol(argv[optind + 3]);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    expected = malloc((size_t)want.bytes + 1);
    if (!expected)
        die("malloc");
    pattern(expected, 0, (size_t)want.bytes);
    epoll = epoll_create1(EPOLL_CLOEXEC);

    long begun = now_ms();

    run();

    long ms = now_ms() - begun;
    int left = wait_until_gone();

    printf("complete=%d short=%d reset=%d other=%d left=%d received=%ld ms=%ld ", count.complete, count.shorter,
           count.reset, count.other, left, count.received, ms);
    print_counters("");
    return 0;
}
