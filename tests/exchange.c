/* exchange SERVER [ARG...] -- CLIENT [ARG...]
 *
 * Starts the server, reads its first line "port N", and starts the client with
 * every argument "port" replaced by N. Each then gets the other's further lines
 * on its standard input, so that either can wait for what the other did; they
 * are printed here too, with "server: " or "client: " before them. Ends when
 * both have ended, with the kernel's counters.
 *
 * SHIM           LD_PRELOAD of the server ("SHIM_ON=client": of the client)
 * EXCHANGE_BOUND seconds after which both are killed and the exchange has failed
 */
#include "counters.h"
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct side {
    const char *name;
    pid_t pid;
    int in, out;
    size_t used;
    char line[4096];
};

static struct side server = {.name = "server"}, client = {.name = "client"};

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void start(struct side *side, char **argv, const char *preload)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        err(1, "pipe");
    side->pid = fork();
    if (side->pid < 0)
        err(1, "fork");
    if (!side->pid) {
        signal(SIGPIPE, SIG_DFL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        if (preload)
            setenv("LD_PRELOAD", preload, 1);
        execvp(*argv, argv);
        err(127, "%s", *argv);
    }
    close(in[0]);
    close(out[1]);
    side->in = in[1];
    side->out = out[0];
}

/* Takes what has come from one side, whole lines at a time; false at its end. */
static bool take(struct side *side, struct side *other, char *first_line)
{
    ssize_t n = read(side->out, side->line + side->used, sizeof side->line - 1 - side->used);
    if (n <= 0)
        return false;
    side->used += n;
    side->line[side->used] = 0;

    char *start = side->line, *end;
    while ((end = strchr(start, '\n'))) {
        if (first_line && !*first_line) {
            memcpy(first_line, start, end - start);
        } else {
            printf("%s: %.*s\n", side->name, (int)(end - start), start);
            /* The other side may have ended, or may not care to read. */
            if (other->in > 0 && write(other->in, start, end + 1 - start) < 0 && errno != EPIPE)
                warn("%s", other->name);
        }
        start = end + 1;
    }
    side->used -= start - side->line;
    memmove(side->line, start, side->used);
    return side->used < sizeof side->line - 1;
}

static void end_of(struct side *side, struct side *other)
{
    int status;
    close(side->out);
    side->out = -1;
    if (other->in > 0)
        close(other->in);
    other->in = -1;
    if (waitpid(side->pid, &status, 0) < 0)
        err(1, "waitpid");
    side->pid = 0;
    if (WIFSIGNALED(status))
        printf("%s: signal=%d\n", side->name, WTERMSIG(status));
    else
        printf("%s: exit=%d\n", side->name, WEXITSTATUS(status));
}

static void give_up(const char *why)
{
    printf("exchange: %s\n", why);
    if (server.pid)
        kill(server.pid, SIGKILL);
    if (client.pid)
        kill(client.pid, SIGKILL);
    print_counters("kernel: ");
    exit(1);
}

int main(int argc, char **argv)
{
    const char *shim = getenv("SHIM"), *bound = getenv("EXCHANGE_BOUND"), *on = getenv("SHIM_ON");
    bool on_client = on && !strcmp(on, "client");
    long deadline = now_ms() + (bound ? atol(bound) : 20) * 1000;
    static char first[sizeof server.line];
    int split = 1;

    while (split < argc && strcmp(argv[split], "--"))
        split++;
    if (split < 2 || split + 1 >= argc)
        errx(2, "usage: exchange server [args] -- client [args]");
    argv[split] = NULL;
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);

    start(&server, argv + 1, on_client ? NULL : shim);
    while (!*first) {
        struct pollfd p = {server.out, POLLIN, 0};
        if (poll(&p, 1, deadline - now_ms()) <= 0 || !take(&server, &client, first))
            give_up("no \"port N\" line from the server");
    }
    if (strncmp(first, "port ", 5))
        give_up("the server's first line is not \"port N\"");
    for (char **arg = argv + split + 1; *arg; arg++)
        if (!strcmp(*arg, "port"))
            *arg = first + 5;
    start(&client, argv + split + 1, on_client ? shim : NULL);

    while (server.pid || client.pid) {
        struct pollfd p[2] = {{server.out, POLLIN, 0}, {client.out, POLLIN, 0}};
        long left = deadline - now_ms();
        if (left <= 0 || poll(p, 2, left) <= 0)
            give_up("time is up");
        if (p[0].revents && !take(&server, &client, first))
            end_of(&server, &client);
        if (p[1].revents && !take(&client, &server, NULL))
            end_of(&client, &server);
    }
    print_counters("kernel: ");
}
