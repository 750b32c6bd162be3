/* What it costs that connections linger: memory and CPU time, for N of them at once with silent peers.
 *
 * lingering measure N [SHIM]   starts a server and is its N peers; prints name=value pairs of the server. Where N are more
 *   than half of the descriptors that a process may have, there are several servers, each with its part of the peers,
 *   and the figures are of all together:
 *     at_once      descriptors that they have more than before, when the last connection has been answered
 *     up_us        CPU time per connection, from accept to the return of close
 *     next_us      what the last closes took, each of a connection more: median, of the slowest server
 *     anonymous    bytes of memory per connection
 *     idle         percent of one processor while nothing happens
 *     still        at_once, after that
 *     down_us      CPU time per connection from then until all are gone
 *     left         at_once, after that
 *   Without SHIM the servers keep their connections open instead, and close them in the end: what so many cost anyway.
 * lingering serve N keep|close the server */
#include "../connection.h"
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { REQUEST = 100, REPLY = 1000, IDLE_MS = 4000 };

enum { SPARE = 200, LAST = 32 };

struct result {
    double up, next, anonymous, idle, down;
    int at_once, still, left;
};

/* Twice as many as there are connections, since no more than half of them may linger. */
static long raise_limit(long n)
{
    struct rlimit files = {2 * n + 2 * SPARE, 2 * n + 2 * SPARE};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return (long)files.rlim_cur;
}

static double cpu_us(pid_t pid)
{
    char path[64];
    unsigned long long ns;
    double us = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        char name[400];
        snprintf(name, sizeof name, "%s/%s/schedstat", path, d->d_name);
        FILE *file = *d->d_name == '.' ? NULL : fopen(name, "re");
        if (file && fscanf(file, "%llu", &ns) == 1)
            us += ns / 1e3;
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
    return us;
}

static long kilobytes(const char *path, const char *name)
{
    char line[256];
    long kb = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            kb += atol(line + strlen(name));
    if (file)
        fclose(file);
    return kb;
}

static int descriptors(pid_t pid)
{
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int)(t.tv_sec % 1000) * 1000000 + (int)(t.tv_nsec / 1000);
}

/* Like an event loop, all on O_NONBLOCK sockets; it reads the request, leaves the junk and answers. */
static void serve(int n, bool keep)
{
    char block[4096];
    raise_limit(n);
    int *fds = calloc(n, sizeof *fds), fd = listener(AF_INET, 0, 0), took[LAST], closed = 0;
    memset(fds, 0xff, n * sizeof *fds);
    await_line();
    for (int i = 0; i < n; i++) {
        int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (c < 0)
            err(1, "accept");
        await_input(c);
        if (recv(c, block, REQUEST, 0) != REQUEST || send(c, block, REPLY, 0) != REPLY)
            err(1, "connection %d", i);
        int start = now_us();
        if (keep)
            fds[i] = c;
        else
            close(c);
        took[closed++ % LAST] = now_us() - start;
    }
    closed = closed < LAST ? closed : LAST;
    qsort(took, closed, sizeof *took, ascending);
    printf("all %d\n", took[closed / 2]);
    await_line();
    for (int i = 0; i < n && keep; i++) /* read them first: no reset is to be counted */
        while (recv(fds[i], block, sizeof block, 0) > 0)
            ;
    for (int i = 0; i < n && keep; i++)
        close(fds[i]);
    puts("end");
    await_line();
}

static void tell(int to) { (void)!write(to, "\n", 1); }

static int expect(FILE *from, const char *what)
{
    char line[64];
    if (!fgets(line, sizeof line, from) || strncmp(line, what, strlen(what)))
        errx(1, "the server did not say %s", what);
    return atoi(line + strlen(what));
}

/* One server and its peers; `all` is passed when every other pair has come as far. */
static struct result measure_one(int n, const char *shim, int ready, int all)
{
    struct result r = {0};
    int to[2], out[2], port;
    char count[16], path[64], junk[REQUEST + 1000] = "";
    if (pipe2(to, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        err(1, "pipe");
    snprintf(count, sizeof count, "%d", n);
    pid_t pid = fork();
    if (!pid) {
        dup2(to[0], 0);
        dup2(out[1], 1);
        if (shim)
            setenv("LD_PRELOAD", shim, 1);
        execl("/proc/self/exe", "lingering", "serve", count, shim ? "close" : "keep", NULL);
        err(127, "exec");
    }
    close(out[1]);
    FILE *from = fdopen(out[0], "r");
    if (fscanf(from, "port %d", &port) != 1 || fgetc(from) != '\n')
        errx(1, "no port");
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    int base = descriptors(pid), *fds = calloc(n, sizeof *fds);
    long memory = kilobytes(path, "Anonymous:");
    double cpu = cpu_us(pid);
    tell(to[1]);
    for (int i = 0; i < n; i++) {
        fds[i] = dial(AF_INET, 0, port);
        if (send(fds[i], junk, sizeof junk, 0) != sizeof junk)
            err(1, "send");
    }
    r.next = expect(from, "all");
    r.at_once = descriptors(pid) - base;
    r.up = cpu_us(pid) - cpu;
    r.anonymous = (kilobytes(path, "Anonymous:") - memory) * 1024.0;
    tell(ready);
    (void)!read(all, &(char){0}, 1);
    cpu = cpu_us(pid);
    long start = now_ms();
    poll(NULL, 0, IDLE_MS);
    r.idle = (cpu_us(pid) - cpu) / 10 / (now_ms() - start);
    r.still = descriptors(pid) - base;
    cpu = cpu_us(pid);
    for (int i = 0; i < n; i++)
        close(fds[i]);
    tell(to[1]);
    expect(from, "end");
    for (start = now_ms(); descriptors(pid) > base + 1 && now_ms() < start + 20000;)
        poll(NULL, 0, 10);
    r.down = cpu_us(pid) - cpu;
    r.left = descriptors(pid) - base;
    tell(to[1]);
    close(to[1]);
    waitpid(pid, NULL, 0);
    return r;
}

static void measure(int n, const char *shim)
{
    int most = (int)raise_limit(n) / 2 - SPARE, pairs = (n + most - 1) / most;
    int ready[2], all[2], results[2];
    struct result r, sum = {0};
    if (pipe2(ready, O_CLOEXEC) || pipe2(all, O_CLOEXEC) || pipe2(results, O_CLOEXEC))
        err(1, "pipe");
    for (int i = 0; i < pairs; i++)
        if (!fork()) {
            r = measure_one(n / pairs + (i < n % pairs), shim, ready[1], all[0]);
            (void)!write(results[1], &r, sizeof r);
            _exit(0);
        }
    close(ready[1]);
    for (int i = 0; i < pairs; i++)
        if (read(ready[0], &(char){0}, 1) != 1)
            errx(1, "a server or its peers did not come so far");
    for (int i = 0; i < pairs; i++)
        tell(all[1]);
    close(results[1]);
    for (int i = 0; i < pairs; i++) {
        if (read(results[0], &r, sizeof r) != sizeof r)
            errx(1, "a server or its peers did not end well");
        sum.at_once += r.at_once;
        sum.up += r.up;
        sum.next = r.next > sum.next ? r.next : sum.next;
        sum.anonymous += r.anonymous;
        sum.idle += r.idle;
        sum.still += r.still;
        sum.down += r.down;
        sum.left += r.left;
    }
    printf("servers=%d at_once=%d up_us=%.2f next_us=%.0f anonymous=%.1f idle=%.3f still=%d down_us=%.2f left=%d\n",
           pairs, sum.at_once, sum.up / n, sum.next, sum.anonymous / n, sum.idle, sum.still, sum.down / n, sum.left);
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "serve"))
        serve(atoi(argv[2]), !strcmp(argv[3], "keep"));
    else if (argc >= 3 && !strcmp(argv[1], "measure"))
        measure(atoi(argv[2]), argc > 3 ? argv[3] : NULL);
    else
        errx(2, "usage: lingering measure N [SHIM] | serve N keep|close");
}
