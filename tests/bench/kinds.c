/* What close() costs, by the kind of descriptor.
 *
 * kinds compare ROUNDS SHIM [KIND...]   three servers: close(), the same lingering written by hand, close() with the shim.
 *     Each round each of them, by turns, closes BATCH descriptors of a kind. A line: kind, round, and ns of processor
 *     time a close for the three (0: not compared).
 * kinds open EXTRA ROUNDS SHIM          the same of a file and of two connections, with so many more descriptors open
 * kinds calls KIND plain|hand COMMAND... lets COMMAND... (strace, say) run the one server, which marks each close by
 *     write(-1, "mark"); the peer takes its time, so that each close does the same
 * kinds serve plain|hand EXTRA          the server
 */
#include "lingers.h"
#include "settle.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { BATCH = 64, TIMES = 4, LATE_MS = 200, SETTLE_MS = 15 };

static const char *const kinds[] = {"file",        "pipe",           "udp",       "unix", "tcp-finished",
                                    "tcp-waiting", "tcp-event-loop", "tcp-shared"};
enum kind { A_FILE, A_PIPE, UDP, UNIX, FINISHED, WAITING, EVENT_LOOP, SHARED, KINDS };

static enum kind kind_of(const char *name)
{
    for (int k = 0; k < KINDS; k++)
        if (!strcmp(name, kinds[k]))
            return k;
    errx(2,
         "\"%s\" is no kind of descriptor; accepted: file, pipe, udp, unix, tcp-finished, tcp-waiting, "
         "tcp-event-loop, tcp-shared",
         name);
}

static bool is_tcp(enum kind kind) { return kind >= FINISHED; }

/* ---- the server ---- */

static long cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One to be closed; *other is what keeps a pipe or a socket pair whole meanwhile. */
static int make(enum kind kind, int listening, int *other)
{
    int ends[2] = {-1, -1};
    char request;
    *other = -1;
    if (kind == A_FILE)
        return open("/dev/null", O_RDONLY);
    if (kind == UDP)
        return socket(AF_INET, SOCK_DGRAM, 0);
    if (kind == A_PIPE ? pipe(ends) : kind == UNIX ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : 0)
        err(1, "%s", kinds[kind]);
    if (!is_tcp(kind)) {
        *other = ends[1];
        return ends[0];
    }
    int fd = accept4(listening, NULL, NULL, kind == EVENT_LOOP ? SOCK_NONBLOCK : 0);
    await_input(fd);
    if (recv(fd, &request, 1, 0) != 1 || send(fd, "reply", 5, 0) != 5)
        err(1, "request");
    if (kind == FINISHED && poll(&(struct pollfd){fd, POLLRDHUP, 0}, 1, -1) < 0)
        err(1, "poll");
    return fd;
}

static void close_all(const int *fds, int n, bool by_hand, bool marked)
{
    for (int i = 0; i < n; i++) {
        if (marked)
            (void)!write(-1, "mark", 4);
        if (by_hand)
            close_by_hand(fds[i]);
        else
            close(fds[i]);
        if (marked)
            (void)!write(-1, "mark", 4);
    }
}

static void serve(bool by_hand, int extra)
{
    int listening = listener(AF_INET, 0, 0), fds[BATCH], others[BATCH], k, n;
    for (int i = 0; i < extra; i++)
        if (fcntl(1, F_DUPFD, 3) < 0)
            err(1, "%d descriptors more", extra);
    while (scanf("%d %d", &k, &n) == 2) {
        pid_t child = 0;
        for (int i = 0; i < n; i++)
            fds[i] = make(k, listening, others + i);
        if (k == SHARED && !(child = fork()))
            for (;;)
                pause();
        if (child)
            poll(NULL, 0, SETTLE_MS); /* it has taken its locks by then */
        puts("ready");
        long before = cpu_ns();
        close_all(fds, n, by_hand && is_tcp(k), n < BATCH);
        if (child && (kill(child, SIGKILL) || waitpid(child, NULL, 0) != child))
            err(1, "the child");
        if (k == EVENT_LOOP)
            poll(NULL, 0, SETTLE_MS); /* the background thread naps, and looks then */
        printf("%.1f\n", (double)(cpu_ns() - before) / n);
        for (int i = 0; i < n; i++)
            if (others[i] >= 0)
                close(others[i]);
    }
}

/* ---- the client of them all ---- */

struct server {
    FILE *from, *to;
    int port;
};

static struct server start(char *const *command, const char *shim)
{
    struct server s;
    int out[2], in[2];
    if (pipe2(out, O_CLOEXEC) || pipe2(in, O_CLOEXEC))
        err(1, "pipe");
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (!pid) {
        settle_on(0);
        dup2(in[0], 0);
        dup2(out[1], 1);
        if (shim)
            setenv("LD_PRELOAD", shim, 1);
        execvp(command[0], command);
        err(127, "%s", command[0]);
    }
    close(out[1]);
    close(in[0]);
    s.from = fdopen(out[0], "r");
    s.to = fdopen(in[1], "w");
    if (!s.from || !s.to || fscanf(s.from, "port %d", &s.port) != 1 || getc(s.from) != '\n')
        errx(1, "no port from a server");
    return s;
}

static double ask(const struct server *s, enum kind kind, int n)
{
    int fds[BATCH];
    char block[64];
    double ns;
    fprintf(s->to, "%d %d\n", kind, n);
    fflush(s->to);
    for (int i = 0; i < n && is_tcp(kind); i++) {
        fds[i] = dial(AF_INET, 0, s->port);
        if (send(fds[i], "?", 1, 0) != 1 || (kind == FINISHED && shutdown(fds[i], SHUT_WR)))
            err(1, "send");
    }
    if (!fgets(block, sizeof block, s->from) || strcmp(block, "ready\n"))
        errx(1, "a server is not ready");
    for (int i = 0; i < n && is_tcp(kind); i++) {
        while (recv(fds[i], block, sizeof block, 0) > 0)
            ;
        if (n < BATCH)
            poll(NULL, 0, LATE_MS);
        close(fds[i]);
    }
    if (fscanf(s->from, "%lf", &ns) != 1 || getc(s->from) != '\n')
        errx(1, "no result of %s", kinds[kind]);
    return ns;
}

static void compare(int rounds, const char *shim, char *extra, const bool *wanted)
{
    char self[] = "/proc/self/exe", serve[] = "serve", plain[] = "plain", hand[] = "hand";
    char *const by_close[] = {self, serve, plain, extra, NULL}, *const by_hand[] = {self, serve, hand, extra, NULL};
    struct server s[] = {start(by_close, NULL), start(by_hand, NULL), start(by_close, shim)};
    settle_on(1);
    for (int round = -1; round < rounds; round++) /* the first one warms up */
        for (int k = 0; k < KINDS; k++) {
            double ns[3] = {0};
            for (int j = 0; j < 3 && wanted[k]; j++) {
                int who = (j + round + 3) % 3;
                if (who != 1 || k == FINISHED || k == WAITING)
                    ns[who] = ask(&s[who], k, BATCH);
            }
            if (wanted[k] && round >= 0)
                printf("%s %d %.1f %.1f %.1f\n", kinds[k], round, ns[0], ns[1], ns[2]);
        }
    for (int i = 0; i < 3; i++)
        fclose(s[i].to);
    while (wait(NULL) > 0)
        ;
}

int main(int argc, char **argv)
{
    bool wanted[KINDS] = {0};
    char none[] = "0", self[] = "/proc/self/exe", word[] = "serve";
    if (argc == 4 && !strcmp(argv[1], "serve")) {
        serve(!strcmp(argv[2], "hand"), atoi(argv[3]));
    } else if (argc >= 4 && !strcmp(argv[1], "compare")) {
        for (int k = 0; k < KINDS; k++)
            wanted[k] = argc == 4;
        for (int i = 4; i < argc; i++)
            wanted[kind_of(argv[i])] = true;
        compare(atoi(argv[2]), argv[3], none, wanted);
    } else if (argc == 5 && !strcmp(argv[1], "open")) {
        struct rlimit files = {1 << 20, 1 << 20};
        if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) == 0)
            files.rlim_cur = files.rlim_max, setrlimit(RLIMIT_NOFILE, &files);
        wanted[A_FILE] = wanted[FINISHED] = wanted[WAITING] = true;
        compare(atoi(argv[3]), argv[4], argv[2], wanted);
    } else if (argc >= 5 && !strcmp(argv[1], "calls")) {
        char *command[64] = {0};
        enum kind kind = kind_of(argv[2]);
        for (int i = 4; i < argc && i < 60; i++)
            command[i - 4] = argv[i];
        char *const last[] = {realpath(self, NULL), word, argv[3], none};
        memcpy(command + (argc < 60 ? argc : 60) - 4, last, sizeof last);
        struct server s = start(command, NULL);
        for (int i = 0; i < TIMES; i++)
            ask(&s, kind, 1);
        fclose(s.to);
        wait(NULL);
    } else {
        errx(2,
             "usage: kinds compare ROUNDS SHIM [KIND...] | open EXTRA ROUNDS SHIM | calls KIND plain|hand COMMAND... | "
             "serve plain|hand EXTRA");
    }
}
