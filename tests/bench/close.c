/* What lingering costs: CPU time of a server, per connection.
 *
 * close compare N SHIM       starts three servers and is the client of each in turn, connection by
 *                            connection, so that whatever else the machine does hits all alike;
 *                            prints microseconds a connection: plain HAND SHIM
 * close serve plain|hand N   one of the servers: accepts N connections, one after another, reads a
 *                            request, writes a reply, then close(), or lingers by hand
 */
#include "lingers.h"
#include "settle.h"
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { REQUEST = 100, REPLY = 1000 };

static double cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static void serve(bool by_hand, int n)
{
    char block[4096];
    int fd = listener(AF_INET, 0, 0);
    double before = cpu_us();

    for (int i = 0; i < n; i++) {
        int c = accept(fd, NULL, NULL);
        if (c < 0 || recv(c, block, REQUEST, MSG_WAITALL) != REQUEST || send(c, block, REPLY, 0) != REPLY)
            err(1, "connection %d", i);
        if (by_hand)
            close_by_hand(c);
        else
            close(c);
    }
    printf("us=%.2f\n", (cpu_us() - before) / n);
}

static FILE *start(const char *how, const char *n, const char *shim, int *port)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        err(1, "pipe");
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (!pid) {
        settle_on(0);
        dup2(ends[1], 1);
        if (shim)
            setenv("LD_PRELOAD", shim, 1);
        execl("/proc/self/exe", "close", "serve", how, n, NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    if (!from || fscanf(from, "port %d", port) != 1)
        errx(1, "no port from the server that closes %s", how);
    return from;
}

static void call(int port)
{
    char block[4096];
    int fd = dial(AF_INET, 0, port);
    ssize_t r;
    if (send(fd, block, REQUEST, 0) != REQUEST)
        err(1, "send");
    while ((r = recv(fd, block, sizeof block, 0)) > 0)
        ;
    if (r < 0)
        err(1, "recv");
    close(fd);
}

static void compare(const char *n, const char *shim)
{
    int ports[3], turns = atoi(n);
    double us[3];
    FILE *from[] = {start("plain", n, NULL, ports), start("hand", n, NULL, ports + 1),
                    start("plain", n, shim, ports + 2)};

    settle_on(1);
    for (int i = 0; i < turns; i++)
        for (int j = 0; j < 3; j++)
            call(ports[(i + j) % 3]);
    for (int i = 0; i < 3; i++)
        if (fscanf(from[i], " us=%lf", us + i) != 1)
            errx(1, "no result from server %d", i);
    printf("%.2f %.2f %.2f\n", us[0], us[1], us[2]);
    while (wait(NULL) > 0)
        ;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "serve"))
        serve(!strcmp(argv[2], "hand"), atoi(argv[3]));
    else if (argc == 4 && !strcmp(argv[1], "compare"))
        compare(argv[2], argv[3]);
    else
        errx(2, "usage: close compare N SHIM | serve plain|hand N");
}
