/* epoll-server [word...]: a single-threaded event loop on O_NONBLOCK sockets. It reads a request of
 * 16 bytes, leaves the junk behind it unread, answers and closes at once, as an early reply does.
 *
 *   reply=N      bytes of each reply (1000)
 *   edge | oneshot | exclusive | all   how connections are registered; without: level-triggered
 *                (all: one after the other)
 *   sets=N       each connection is in N sets; they sit in the one that is waited for
 *   nested       each connection is only in those, not in the one that is waited for
 *   raw          epoll_ctl and close by syscall(2)
 *   blocking     the connections are left blocking
 *   hold=N       closes only when N connections are answered, and then all of them
 *   nofile=N     RLIMIT_NOFILE
 *   threaded     the program has another thread, which does nothing
 *   take         after each close, the highest number in use becomes /dev/null by dup2, and is closed
 *   keep         keeps a copy of each closed connection: what parking without care would do
 *   forks=N      N times a second, when no connection is open, a child that counts its descriptors
 *
 * Prints "port N", with the first connection "pid=N base=N" (its descriptors before that), and at SIGTERM, before it
 * returns from main:
 *   accepted closes bad   connections, and closes of them that succeeded and that failed
 *   phantoms              events for connections that it had closed before
 *   emfile                accepts that found no descriptor left
 *   fds                   open descriptors
 *   p50_us p99_us cpu_p99_us   of all closes: by the clock, and in CPU time
 *   longest_us worst_us   the longest close, without and with those in which the kernel took the processor from it
 *   waits                 closes in which it gave the processor away by itself
 *   taken                 numbers that became /dev/null
 *   forks strange         children, and those that found more descriptors than they should
 */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

enum { REQUEST = 16, MOST = 1 << 17, SETS = 8, BATCH = 64 };

static long reply = 1000, hold = 1, nsets = 1, forks, raw, blocking, nested, threaded, take, keep, rotate;
static bool fork_due;
/* A connection that has sent its FIN counts as writable for good: a set that still had it could not miss that. */
static uint32_t how, interest = EPOLLIN | EPOLLOUT;
static int sets[SETS], listening, signals, timer, base, own, held[MOST], nheld;
static struct {
    bool open;
    uint32_t generation, how;
    int got;
} connections[MOST];
static uint32_t took[1 << 20], cpu[1 << 20]; /* ns */
static struct {
    long accepted, closes, bad, phantoms, emfile, open, waits, longest, taken, forks, strange;
} count;

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void control(int set, int op, int fd, uint32_t events)
{
    struct epoll_event event = {events, {.u64 = (uint64_t)connections[fd].generation << 32 | (unsigned)fd}};
    long result = raw ? syscall(SYS_epoll_ctl, set, op, fd, &event) : epoll_ctl(set, op, fd, &event);
    if (result < 0)
        err(1, "epoll_ctl");
}

static void control_all(int op, int fd, uint32_t events)
{
    for (int i = nested; i < nsets; i++)
        control(sets[i], op, fd, events);
}

static void timed_close(int fd)
{
    struct rusage before, after;
    connections[fd].open = false;
    connections[fd].generation++;
    getrusage(RUSAGE_THREAD, &before);
    int64_t start = now_ns(CLOCK_MONOTONIC), work = now_ns(CLOCK_THREAD_CPUTIME_ID);
    long result = raw ? syscall(SYS_close, fd) : close(fd);
    work = now_ns(CLOCK_THREAD_CPUTIME_ID) - work;
    int64_t ns = now_ns(CLOCK_MONOTONIC) - start;
    getrusage(RUSAGE_THREAD, &after);
    bool waited = after.ru_nvcsw != before.ru_nvcsw, robbed = after.ru_nivcsw != before.ru_nivcsw;
    took[count.closes % (1 << 20)] = ns < UINT32_MAX ? ns : UINT32_MAX;
    cpu[count.closes % (1 << 20)] = work;
    if ((waited || !robbed) && ns > count.longest)
        count.longest = ns;
    count.waits += waited;
    count.closes += result == 0;
    count.bad += result != 0;
    count.open--;
}

static int highest_in_use(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int highest = 0;
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (atoi(d->d_name) > highest)
            highest = atoi(d->d_name);
    closedir(dir);
    return highest;
}

/* What is higher than all that the program ever had. */
static void take_highest(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), highest = highest_in_use();
    if (highest > own && highest > null + 1 && !connections[highest].open && dup2(null, highest) == highest &&
        !close(highest))
        count.taken++;
    close(null);
}

static void answered(int fd)
{
    put(fd, reply);
    held[nheld++] = fd;
    if (hold > 1)
        control_all(EPOLL_CTL_DEL, fd, 0);
    if (nheld < hold)
        return;
    while (nheld) {
        int c = held[--nheld];
        if (keep)
            shutdown(fcntl(c, F_DUPFD_CLOEXEC, 0), SHUT_WR);
        timed_close(c);
        if (take)
            take_highest();
    }
}

static void accept_all(void)
{
    static const uint32_t ways[] = {0, EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE};
    for (;;) {
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK));
        if (fd < 0) {
            count.emfile += errno == EMFILE;
            return;
        }
        connections[fd].open = true;
        connections[fd].got = 0;
        if (rotate)
            how = ways[count.accepted % 4];
        connections[fd].how = how;
        if (!count.accepted++)
            printf("pid=%d base=%d\n", getpid(), base);
        count.open++;
        /* EPOLLEXCLUSIVE goes with no other than EPOLLIN and EPOLLOUT: epoll_ctl(2) */
        control_all(EPOLL_CTL_ADD, fd, interest | how | (how & EPOLLEXCLUSIVE ? 0 : EPOLLRDHUP));
    }
}

static void readable(int fd)
{
    char request[REQUEST];
    ssize_t n = recv(fd, request, REQUEST - connections[fd].got, MSG_DONTWAIT);
    if (n > 0)
        connections[fd].got += n;
    if (n == 0 || (n < 0 && errno != EAGAIN))
        timed_close(fd);
    else if (connections[fd].got == REQUEST)
        answered(fd);
    else if (connections[fd].how & EPOLLONESHOT)
        control_all(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT);
}

static void fork_one(void)
{
    fork_due = false;
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (!pid)
        _exit(open_descriptors() != base);
    count.forks++;
    for (int status; waitpid(-1, &status, WNOHANG) > 0;)
        count.strange += status != 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void tell(void)
{
    for (int status; waitpid(-1, &status, 0) > 0;)
        count.strange += status != 0;
    long n = count.closes;
    qsort(took, n, sizeof *took, by_value);
    qsort(cpu, n, sizeof *cpu, by_value);
    printf("accepted=%ld closes=%ld bad=%ld phantoms=%ld emfile=%ld fds=%d p50_us=%.1f p99_us=%.1f cpu_p99_us=%.1f "
           "longest_us=%.1f worst_us=%.1f waits=%ld taken=%ld forks=%ld "
           "strange=%ld\n",
           count.accepted, n, count.bad, count.phantoms, count.emfile, open_descriptors(), n ? took[n / 2] / 1e3 : 0,
           n ? took[n * 99 / 100] / 1e3 : 0, n ? cpu[n * 99 / 100] / 1e3 : 0, count.longest / 1e3,
           n ? took[n - 1] / 1e3 : 0, count.waits, count.taken, count.forks, count.strange);
}

/* false: SIGTERM. An event that was taken out of a set before its connection was closed is no phantom; so the other sets
 * are asked last, and each by itself. */
static bool serve(int set, int timeout)
{
    struct epoll_event events[BATCH];
    int n = epoll_wait(set, events, BATCH, timeout), also[SETS], nalso = 0;
    for (int i = 0; i < n; i++) {
        int fd = (uint32_t)events[i].data.u64;
        if (fd == signals)
            return false;
        if (fd == listening) {
            if (!fork_due)
                accept_all();
        } else if (fd == timer) {
            uint64_t times;
            fork_due = read(timer, &times, sizeof times) > 0;
        } else if (!connections[fd].open || connections[fd].generation != events[i].data.u64 >> 32) {
            bool inner = false;
            for (int j = 1; j < nsets; j++)
                inner |= sets[j] == fd;
            if (inner)
                also[nalso++] = fd;
            else
                count.phantoms++;
        } else {
            readable(fd);
        }
    }
    for (int i = 0; i < nalso; i++)
        serve(also[i], 0);
    if (fork_due && !count.open)
        fork_one();
    return true;
}

static void read_words(char **words)
{
    static long nofile, edge, oneshot, exclusive;
    static const struct {
        const char *name;
        long *value;
    } known[] = {{"reply", &reply},   {"sets", &nsets},          {"nested", &nested},  {"raw", &raw},
                 {"hold", &hold},     {"threaded", &threaded},   {"take", &take},      {"keep", &keep},
                 {"forks", &forks},   {"blocking", &blocking},   {"edge", &edge},      {"all", &rotate},
                 {"nofile", &nofile}, {"exclusive", &exclusive}, {"oneshot", &oneshot}};
    for (; *words; words++) {
        size_t i = 0, length = strcspn(*words, "=");
        while (i < sizeof known / sizeof *known && strncmp(*words, known[i].name, length + !(*words)[length]))
            i++;
        if (i == sizeof known / sizeof *known || strlen(known[i].name) != length)
            errx(2, "what is %s?", *words);
        *known[i].value = (*words)[length] ? atol(*words + length + 1) : 1;
    }
    if (nsets < 1 || nsets >= SETS)
        errx(2, "sets=1 to %d", SETS - 1);
    if (nofile)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){nofile, nofile});
    how = (edge ? EPOLLET : 0) | (oneshot ? EPOLLONESHOT : 0) | (exclusive ? EPOLLEXCLUSIVE : 0);
}

static void *do_nothing(void *arg)
{
    for (;;)
        pause();
    return arg;
}

int main(int argc, char **argv)
{
    sigset_t term;
    struct rlimit files;
    pthread_t thread;

    (void)argc;
    getrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){files.rlim_max, files.rlim_max});
    read_words(argv + 1);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    signals = signalfd(-1, &term, SFD_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (forks) {
        struct timespec every = {0, 1000000000 / forks};
        timerfd_settime(timer, 0, &(struct itimerspec){every, every}, NULL);
    }
    for (int i = 0; i < nsets; i++) {
        sets[i] = epoll_create1(EPOLL_CLOEXEC);
        if (i)
            control(sets[0], EPOLL_CTL_ADD, sets[i], EPOLLIN);
    }
    listening = listener(AF_INET, 0, 0);
    fcntl(listening, F_SETFL, O_NONBLOCK);
    control(sets[0], EPOLL_CTL_ADD, signals, EPOLLIN);
    control(sets[0], EPOLL_CTL_ADD, timer, EPOLLIN);
    control(sets[0], EPOLL_CTL_ADD, listening, EPOLLIN);
    if (threaded && pthread_create(&thread, NULL, do_nothing, NULL))
        errx(1, "pthread_create");
    base = open_descriptors();
    own = highest_in_use();
    while (serve(sets[0], -1))
        ;
    tell();
}
