/* visitors PORT [word...]: the peers of epoll-server. Each sends a request with junk behind it and reads to the end;
 * then a normal one closes, a silent one does nothing, and a dripping one goes on sending bytes.
 *
 *   normal=N silent=N drip=N     how many of each (0); "drip" sends a byte every 50 ms
 *   at=N         normal ones at once (20)
 *   bytes=N      of each reply (1000)
 *   junk=N       of each request (4096)
 *   bound=MS     no word waits longer (15000)
 *   go           they come in, until each has read to its end; prints how that was: complete (BYTES, then EOF), short,
 *                reset, other. After more words others can come in.
 * What the server looks like from outside, by its line "pid=N base=N" on our standard input:
 *   count        prints how many descriptors it has more than at first: extra=N
 *   fds[=N]      waits until it has no more than at first (or than N more); prints fds_ms, or extra
 *   threads      prints its threads but the first, each when it sleeps: name, blocked signals; and their number
 *   alone        waits until it has one thread; prints alone_ms
 *   given-up     waits until the server has let go of all dripping ones: they are told by a RST
 *   leave        silent and dripping ones close
 *   term         ends the server by SIGTERM; prints exit_ms
 */
#include "connection.h"
#include "outside.h"
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

enum { REQUEST = 16, DRIP_MS = 50, MOST = 1 << 16 };
enum kind { SILENT, DRIPPING, NORMAL, KINDS };

struct visitor {
    int fd;
    enum kind kind;
    long sent, got;
    bool ended, refused;
};

static long want[KINDS], at = 20, bytes = 1000, junk = 4096;
static int port, set, timer;
static char outgoing[REQUEST + (1 << 20)];
static struct visitor visitors[MOST];
static long total, started, ended, running, dripping, refused;
static struct {
    long complete, shorter, reset, other;
} count;

static void start(struct visitor *v)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, port);
    struct epoll_event event = {EPOLLIN | EPOLLOUT, {.ptr = v}};

    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (v->fd < 0 || (connect(v->fd, (void *)&address, length) < 0 && errno != EINPROGRESS))
        err(1, "connect");
    if (epoll_ctl(set, EPOLL_CTL_ADD, v->fd, &event) < 0)
        err(1, "epoll_ctl");
    running += v->kind == NORMAL;
}

static void end(struct visitor *v, long *how)
{
    ++*how;
    v->ended = true;
    ended++;
    running -= v->kind == NORMAL;
    if (v->kind == NORMAL || how != &count.complete) {
        close(v->fd);
        v->fd = -1;
    } else if (epoll_ctl(set, EPOLL_CTL_DEL, v->fd, NULL) < 0) {
        err(1, "epoll_ctl");
    }
}

static void writable(struct visitor *v)
{
    ssize_t n = send(v->fd, outgoing, REQUEST + junk - v->sent, MSG_NOSIGNAL);
    if (n > 0)
        v->sent += n;
    if ((n > 0 && v->sent < REQUEST + junk) || (n < 0 && errno == EAGAIN))
        return;
    /* Refused or sent: the reading tells how it ended. */
    struct epoll_event event = {EPOLLIN, {.ptr = v}};
    epoll_ctl(set, EPOLL_CTL_MOD, v->fd, &event);
}

static void readable(struct visitor *v)
{
    static char block[1 << 16];
    ssize_t n;
    while ((n = recv(v->fd, block, sizeof block, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (v->got + i >= bytes || block[i] != pattern_at(v->got + i)) {
                end(v, &count.other);
                return;
            }
        v->got += n;
    }
    if (n == 0)
        end(v, v->got == bytes ? &count.complete : &count.shorter);
    else if (errno == ECONNRESET || errno == EPIPE)
        end(v, &count.reset);
    else if (errno != EAGAIN)
        end(v, &count.other);
}

static void drip(void)
{
    unsigned long long times;
    (void)!read(timer, &times, sizeof times);
    for (struct visitor *v = visitors; v < visitors + started; v++)
        if (v->kind == DRIPPING && v->fd >= 0 && v->ended && !v->refused &&
            send(v->fd, ".", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN) {
            v->refused = true;
            refused++;
        }
}

/* One turn of the loop; the dripping goes on whatever else is waited for. */
static void turn(void)
{
    struct epoll_event events[64];
    int n = epoll_wait(set, events, 64, DRIP_MS);
    for (int i = 0; i < n; i++) {
        struct visitor *v = events[i].data.ptr;
        if (!v) {
            drip();
            continue;
        }
        if (events[i].events & EPOLLOUT)
            writable(v);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            readable(v);
    }
}

/* The lasting ones come in between the others. */
static void go(void)
{
    long n = want[SILENT] + want[DRIPPING] + want[NORMAL], lasting = n - want[NORMAL], made = 0, begun = now_ms();
    if (total + n > MOST)
        errx(2, "at most %d", MOST);
    for (long i = 0; i < n; i++) {
        bool last = (i + 1) * lasting / n > made;
        visitors[total + i].kind = !last                                                ? NORMAL
                                   : made++ * want[DRIPPING] % lasting < want[DRIPPING] ? DRIPPING
                                                                                        : SILENT;
        visitors[total + i].fd = -1;
    }
    total += n;
    dripping += want[DRIPPING];
    memset(&count, 0, sizeof count);
    memset(want, 0, sizeof want);
    while (ended < total && now_ms() - begun < bound) {
        while (started < total && (running < at || visitors[started].kind != NORMAL))
            start(visitors + started++);
        turn();
    }
    count.other += total - ended;
    printf("complete=%ld short=%ld reset=%ld other=%ld ms=%ld\n", count.complete, count.shorter, count.reset,
           count.other, now_ms() - begun);
}

static void until(int (*left)(void), const char *name, const char *otherwise)
{
    long begun = now_ms();
    int n;
    while ((n = left()) > 0 && now_ms() - begun < bound)
        turn();
    if (n)
        printf("%s=%d\n", otherwise, n);
    else
        printf("%s=%ld\n", name, now_ms() - begun);
}

static int spare;

static int too_many(void)
{
    int extra = descriptors_of_server();
    return extra > spare ? extra : 0;
}

static int others(void) { return threads_of_server(false) - 1; }

static int not_refused(void) { return (int)(dripping - refused); }

static void leave(void)
{
    for (struct visitor *v = visitors; v < visitors + started; v++)
        if (v->fd >= 0) {
            close(v->fd);
            v->fd = -1;
        }
}

static void term(void)
{
    int process = syscall(SYS_pidfd_open, the_server(), 0);
    long begun = now_ms();
    if (process < 0 || kill(pid, SIGTERM) < 0)
        err(1, "the server");
    poll(&(struct pollfd){process, POLLIN, 0}, 1, bound);
    printf("exit_ms=%ld\n", now_ms() - begun);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct timespec every = {0, DRIP_MS * 1000000};

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 3)
        errx(2, "usage: visitors PORT WORD...");
    port = atoi(argv[1]);
    getrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){files.rlim_max, files.rlim_max});
    set = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    timerfd_settime(timer, 0, &(struct itimerspec){every, every}, NULL);
    epoll_ctl(set, EPOLL_CTL_ADD, timer, &(struct epoll_event){EPOLLIN, {.ptr = NULL}});
    for (char **word = argv + 2; *word; word++) {
        char *value = strchr(*word, '=');
        long n = value ? atol(value + 1) : 0;
        if (!strncmp(*word, "normal=", 7))
            want[NORMAL] = n;
        else if (!strncmp(*word, "silent=", 7))
            want[SILENT] = n;
        else if (!strncmp(*word, "drip=", 5))
            want[DRIPPING] = n;
        else if (!strncmp(*word, "at=", 3))
            at = n;
        else if (!strncmp(*word, "bytes=", 6))
            bytes = n;
        else if (!strncmp(*word, "junk=", 5))
            junk = n;
        else if (!strncmp(*word, "bound=", 6))
            bound = n;
        else if (!strcmp(*word, "go"))
            go();
        else if (!strcmp(*word, "count"))
            until_server_sleeps(), printf("extra=%d\n", descriptors_of_server());
        else if (!strcmp(*word, "fds") || !strncmp(*word, "fds=", 4))
            spare = (int)n, until(too_many, "fds_ms", "extra");
        else if (!strcmp(*word, "threads"))
            until_server_sleeps(), printf("threads=%d\n", threads_of_server(true));
        else if (!strcmp(*word, "alone"))
            until_server_sleeps(), until(others, "alone_ms", "others");
        else if (!strcmp(*word, "given-up"))
            until(not_refused, "given_up_ms", "not_given_up");
        else if (!strcmp(*word, "leave"))
            leave();
        else if (!strcmp(*word, "term"))
            term();
        else
            errx(2, "what is %s?", *word);
    }
}
