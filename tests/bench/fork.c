/* fork CONNECTIONS TIMES: what fork() costs a process that holds that many accepted connections.
 * One line: the medians, in microseconds, of fork() in the parent, and of fork() until the child,
 * which does nothing, has been waited for. */
#include "../serve.h"
#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static long now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;

    return (x > y) - (x < y);
}

static double median_us(long *ns, int n)
{
    qsort(ns, (size_t)n, sizeof *ns, ascending);
    return (double)ns[n / 2] / 1000;
}

/* The peers live in another process, which does not fork. */
static void connect_from_elsewhere(int listener, int connections)
{
    struct sockaddr_in here;
    socklen_t len = sizeof here;
    pid_t pid = fork();

    if (pid < 0 || getsockname(listener, (struct sockaddr *)&here, &len) < 0)
        die("fork");
    if (pid)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (connections-- > 0) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&here, len) < 0)
            die("connect");
    }
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    int connections = argc > 1 ? atoi(argv[1]) : 0, times = argc > 2 ? atoi(argv[2]) : 100;
    long *forks = calloc((size_t)times, sizeof *forks), *lives = calloc((size_t)times, sizeof *lives);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    raise_file_limit();
    if (!forks || !lives || listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof any) < 0 ||
        listen(listener, 4096) < 0)
        die("listen");
    connect_from_elsewhere(listener, connections);
    for (int i = 0; i < connections; i++)
        accept_one(listener, 0);
    for (int i = 0; i < times; i++) {
        long begun = now_ns();
        pid_t pid = fork();

        if (!pid)
            _exit(0);
        forks[i] = now_ns() - begun;
        if (pid < 0 || waitpid(pid, NULL, 0) < 0)
            die("fork");
        lives[i] = now_ns() - begun;
    }
    printf("%.1f %.1f\n", median_us(forks, times), median_us(lives, times));
    return 0;
}
