/* The program under test: one connection, closed in a chosen way.
 *
 * server [word...]     the words are done in their order, after the connection is there
 *   4 | 6 | mptcp      address family (default 4); first word
 *   to PORT | on PORT | fd N   connect, listen there, or use an inherited connection; next words
 *   nonblock           O_NONBLOCK on the connection
 *   await              wait until input is there
 *   await=fin          wait until the peer has finished
 *   await=line         wait for a line on standard input
 *   read=N             read N bytes
 *   write=N            write N bytes of the pattern
 *   zerocopy=N         send N bytes with MSG_ZEROCOPY; news of their delivery stays in the error queue
 *   urgent             send one urgent byte
 *   linger=N           SO_LINGER {1, N}
 *   cork               TCP_CORK
 *   rcvbuf=N           a fixed buffer
 *   recverr            IP_RECVERR: ICMP errors are the socket's
 *   shut=wr | rd | rdwr
 *   say=TEXT           print a line
 *   fill               use up all descriptors
 *   stderr=PATH        put this file in the place of descriptor 2
 *   errno=N            set errno, to see whether close keeps it
 *   storm              from now on a SIGALRM every millisecond
 *   sockets=N          open N more TCP sockets
 *   decoy              a unix socket, in the current directory, with the peer's port for the first two bytes of its name
 *   exec[=PROGRAM]     become true(1), or another
 *   close              close, and print: close_ms= ret= errno= cpu_ms=
 */
#include "connection.h"
#include "mark.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/un.h>

static void await(int fd, const char *what)
{
    if (!what)
        await_input(fd);
    else if (!strcmp(what, "line"))
        await_line();
    else if (poll(&(struct pollfd){fd, POLLRDHUP, 0}, 1, -1) < 0)
        err(1, "poll");
}

static void get(int fd, size_t n)
{
    char block[4096];
    while (n) {
        ssize_t r = recv(fd, block, n < sizeof block ? n : sizeof block, 0);
        if (r <= 0)
            err(1, "recv");
        n -= r;
    }
}

static void option(int fd, int level, int name, const void *value, socklen_t size)
{
    if (setsockopt(fd, level, name, value, size) < 0)
        err(1, "setsockopt");
}

static void zerocopy(int fd, size_t n)
{
    static char block[65536];
    pattern(block, 0, n);
    option(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){1}, sizeof(int));
    if (send(fd, block, n, MSG_ZEROCOPY) != (ssize_t)n)
        err(1, "MSG_ZEROCOPY");
}

static void nothing(int sig) { (void)sig; }

static void storm(void)
{
    struct itimerval every = {{0, 1000}, {0, 1000}};
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

static void fill(void)
{
    struct rlimit limit = {64, 64};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        err(1, "setrlimit");
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
    if (errno != EMFILE)
        err(1, "/dev/null");
}

static void decoy(int fd)
{
    struct sockaddr_in peer;
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "xxdecoy"};
    if (getpeername(fd, (void *)&peer, &(socklen_t){sizeof peer}))
        err(1, "getpeername");
    memcpy(name.sun_path, &peer.sin_port, sizeof peer.sin_port);
    if (bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, sizeof name))
        err(1, "decoy");
}

static void do_close(int fd, int set_errno)
{
    long start = now_ms();
    clock_t cpu = clock();
    window_opens();
    errno = set_errno;
    int ret = close(fd), code = errno;
    window_closes();
    cpu = clock() - cpu;
    printf("close_ms=%ld ret=%d errno=%d cpu_ms=%ld\n", now_ms() - start, ret, code,
           (long)(cpu / (CLOCKS_PER_SEC / 1000)));
}

int main(int argc, char **argv)
{
    int i = 1, fd, family = AF_INET, protocol = 0, set_errno = 0, one = 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (i < argc && !strcmp(argv[i], "4"))
        i++;
    else if (i < argc && !strcmp(argv[i], "6"))
        family = AF_INET6, i++;
    else if (i < argc && !strcmp(argv[i], "mptcp"))
        protocol = IPPROTO_MPTCP, i++;
    if (i + 1 < argc && !strcmp(argv[i], "to"))
        fd = dial(family, protocol, atoi(argv[i + 1])), i += 2;
    else if (i + 1 < argc && !strcmp(argv[i], "on"))
        fd = answer(family, protocol, atoi(argv[i + 1])), i += 2;
    else if (i + 1 < argc && !strcmp(argv[i], "fd"))
        fd = atoi(argv[i + 1]), i += 2;
    else
        fd = answer(family, protocol, 0);

    for (; i < argc; i++) {
        char *word = argv[i], *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        long n = value ? atol(value) : 0;

        if (!strcmp(word, "nonblock"))
            fcntl(fd, F_SETFL, O_NONBLOCK);
        else if (!strcmp(word, "await"))
            await(fd, value);
        else if (!strcmp(word, "read"))
            get(fd, n);
        else if (!strcmp(word, "write"))
            put(fd, n);
        else if (!strcmp(word, "zerocopy"))
            zerocopy(fd, n);
        else if (!strcmp(word, "urgent"))
            send(fd, "!", 1, MSG_OOB);
        else if (!strcmp(word, "linger"))
            option(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, n}, sizeof(struct linger));
        else if (!strcmp(word, "cork"))
            option(fd, IPPROTO_TCP, TCP_CORK, &one, sizeof one);
        else if (!strcmp(word, "rcvbuf"))
            option(fd, SOL_SOCKET, SO_RCVBUF, &(int){n}, sizeof(int));
        else if (!strcmp(word, "recverr"))
            option(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof one);
        else if (!strcmp(word, "shut"))
            shutdown(fd, !strcmp(value, "wr") ? SHUT_WR : !strcmp(value, "rd") ? SHUT_RD : SHUT_RDWR);
        else if (!strcmp(word, "say"))
            puts(value);
        else if (!strcmp(word, "fill"))
            fill();
        else if (!strcmp(word, "stderr"))
            dup2(open(value, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), 2);
        else if (!strcmp(word, "errno"))
            set_errno = n;
        else if (!strcmp(word, "storm"))
            storm();
        else if (!strcmp(word, "decoy"))
            decoy(fd);
        else if (!strcmp(word, "sockets"))
            while (n-- && socket(AF_INET, SOCK_STREAM, 0) >= 0)
                ;
        else if (!strcmp(word, "exec"))
            execlp(value ? value : "true", "true", NULL);
        else if (!strcmp(word, "close"))
            do_close(fd, set_errno);
        else
            errx(2, "what is %s?", word);
    }
}
