/* bothends [word...]: a program that holds both ends of a TCP connection in its only thread, as test suites and
 * self-pipes do. Both send; one end is closed with input unread; then the other is read to the end and closed.
 * Prints how long each close took, what the other end read, and how that ended.
 *
 *   6            IPv6
 *   dual         the listener is IPv6's, the connection comes by IPv4, as to most servers that listen on all addresses
 *   nonblock     both ends are O_NONBLOCK
 *   connected    the end that connected is closed first, not the accepted one
 *   thread       another thread reads the other end: there waiting has a point
 *   child        a child holds the other end too: it is not only ours
 *   many=N       N such connections, one after another, the other ends left open (1) */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

enum { BYTES = 10000 };

static int other;
static size_t got;
static const char *end = "NONE";

static void *read_to_the_end(void *arg)
{
    char block[4096];
    ssize_t n;
    got = 0;
    while (await_input(other), (n = recv(other, block, sizeof block, 0)) > 0)
        got += n;
    end = n == 0 ? "EOF" : strerrorname_np(errno);
    return arg;
}

static long timed_close(int fd)
{
    long start = now_ms();
    if (close(fd))
        err(1, "close");
    return now_ms() - start;
}

int main(int argc, char **argv)
{
    int family = AF_INET, n = 1;
    bool dual = false, nonblock = false, connected = false, threaded = false, shared = false;
    pthread_t thread;
    pid_t pid = 0;

    (void)argc;
    for (char **word = argv + 1; *word; word++) {
        if (!strcmp(*word, "6"))
            family = AF_INET6;
        else if (!strcmp(*word, "dual"))
            dual = true;
        else if (!strcmp(*word, "nonblock"))
            nonblock = true;
        else if (!strcmp(*word, "connected"))
            connected = true;
        else if (!strcmp(*word, "thread"))
            threaded = true;
        else if (!strcmp(*word, "child"))
            shared = true;
        else if (!strncmp(*word, "many=", 5))
            n = atoi(*word + 5);
        else
            errx(2, "what is %s?", *word);
    }
    struct sockaddr_storage here;
    socklen_t length = loopback(&here, dual ? AF_INET6 : family, 0);
    if (dual)
        ((struct sockaddr_in6 *)&here)->sin6_addr = in6addr_any;
    int listening = socket(here.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listening, (void *)&here, length) || listen(listening, n) ||
        getsockname(listening, (void *)&here, &length))
        err(1, "listen");
    long longest = 0;
    for (int i = 0; i < n; i++) {
        int one = dial(family, 0, ntohs(((struct sockaddr_in *)&here)->sin_port));
        int two = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        int first = connected ? one : two;
        other = connected ? two : one;
        put(first, BYTES);
        put(other, BYTES);
        await_input(first);
        if (nonblock) {
            fcntl(first, F_SETFL, O_NONBLOCK);
            fcntl(other, F_SETFL, O_NONBLOCK);
        }
        if (shared && !(pid = fork())) {
            close(first);
            pause();
        }
        if (threaded && pthread_create(&thread, NULL, read_to_the_end, NULL))
            errx(1, "pthread_create");
        long ms = timed_close(first);
        longest = ms > longest ? ms : longest;
        if (threaded)
            pthread_join(thread, NULL);
        else if (i == n - 1)
            read_to_the_end(NULL);
    }
    printf("first_ms=%ld bytes=%zu end=%s", longest, got, end);
    printf(" second_ms=%ld\n", timed_close(other));
    if (pid)
        kill(pid, SIGKILL);
}
