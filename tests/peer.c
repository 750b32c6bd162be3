/* The other end: connects to (or is called by) the program under test, does its
 * words in their order, then prints: bytes=N end=HOW sent=N ms=N
 *
 * peer [4 | 6 | mptcp] PORT|listen [word...]
 *   send=N        send N bytes; an error is kept and printed as send_error=NAME
 *   text=STRING   send this; \r, \n and \0 are what they are in C
 *   any           the reply need not be the pattern
 *   urgent        send one urgent byte
 *   fin           shutdown(SHUT_WR)
 *   await=fin     wait until the other end is past sending its FIN (it may still be queued)
 *   await=line    wait for a line on standard input: something the other end printed
 *   await=reply   wait until there is something to read
 *   rcvbuf=N sndbuf=N   a fixed buffer
 *   pause=MS      do nothing for so long
 *   say=TEXT      print a line
 *   read          read to the end
 *   slow=N:MS     read to the end, N bytes every MS milliseconds
 *   silent        wait until the other end's program has ended
 *   drip=MS       until a line or the end of standard input: a byte every MS milliseconds
 *   flood         until then: as much as goes
 *   flood=end     until the end of standard input: the other end's program has ended
 *   reset         close with a RST
 *   close
 * HOW is EOF, RESET, CORRUPT (not the pattern), NONE (never read to an end) or an errno.
 */
#include "connection.h"
#include <stdbool.h>

static bool any;
static int fd = -1, family = AF_INET, protocol;
static size_t bytes, sent;
static const char *end = "NONE", *send_error = "none";

static void pause_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

static const char *name_of(int code)
{
    return code == ECONNRESET ? "RESET" : code == EPIPE ? "EPIPE" : strerrorname_np(code);
}

/* What was sent, or 0. */
static size_t give(const char *data, size_t n, int flags)
{
    ssize_t r = send(fd, data, n, flags | MSG_NOSIGNAL);
    if (r < 0) {
        if (errno != EAGAIN)
            send_error = name_of(errno);
        return 0;
    }
    sent += r;
    return r;
}

static void junk(size_t n, int flags)
{
    static const char block[65536];
    for (size_t r = 1; n && r; n -= r)
        r = give(block, n < sizeof block ? n : sizeof block, flags);
}

static void text(char *s)
{
    char *to = s;
    for (char *from = s; *from; from++) {
        bool escaped = *from == '\\' && from[1] && strchr("rn0", from[1]);
        *to++ = !escaped ? *from : *++from == 'r' ? '\r' : *from == 'n' ? '\n' : 0;
    }
    for (size_t n = to - s, r = 1; n && r; n -= r, s += r)
        r = give(s, n, 0);
}

static void get(size_t chunk, long ms)
{
    static char block[65536];
    for (;;) {
        ssize_t r = recv(fd, block, chunk, 0);
        if (r <= 0) {
            end = r ? name_of(errno) : "EOF";
            return;
        }
        for (ssize_t i = 0; i < r && !any; i++)
            if (block[i] != pattern_at(bytes + i)) {
                end = "CORRUPT";
                return;
            }
        bytes += r;
        if (ms)
            pause_ms(ms);
    }
}

/* The TCP state of the other end, which lives in this namespace too. */
static int state_there(void)
{
    struct sockaddr_storage here, there;
    socklen_t length = sizeof here;
    getsockname(fd, (void *)&here, &length);
    length = sizeof there;
    getpeername(fd, (void *)&there, &length);
    unsigned us = ntohs(((struct sockaddr_in *)&here)->sin_port);
    unsigned them = ntohs(((struct sockaddr_in *)&there)->sin_port);

    FILE *table = fopen(family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6", "r");
    char line[512];
    unsigned local, remote, state;
    int found = 0;
    while (table && fgets(line, sizeof line, table))
        if (sscanf(line, "%*d: %*[0-9A-F]:%x %*[0-9A-F]:%x %x", &local, &remote, &state) == 3 && local == them &&
            remote == us)
            found = state;
    if (table)
        fclose(table);
    return found;
}

static void await(const char *what)
{
    if (!strcmp(what, "fin")) {
        int state;
        while ((state = state_there()) == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT)
            pause_ms(1);
        return;
    }
    if (!strcmp(what, "reply"))
        await_input(fd);
    else
        await_line();
}

static bool told(long ms) { return poll(&(struct pollfd){0, POLLIN, 0}, 1, ms) != 0; }

static bool left_alone(void) { return told(0) && read(0, (char[4096]){0}, 4096) <= 0; }

int main(int argc, char **argv)
{
    int i = 1;
    long start = now_ms();

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (i < argc && !strcmp(argv[i], "4"))
        i++;
    else if (i < argc && !strcmp(argv[i], "6"))
        family = AF_INET6, i++;
    else if (i < argc && !strcmp(argv[i], "mptcp"))
        protocol = IPPROTO_MPTCP, i++;
    if (i >= argc)
        errx(2, "usage: peer [4|6|mptcp] port|listen [word...]");
    fd = strcmp(argv[i], "listen") ? dial(family, protocol, atoi(argv[i])) : answer(family, protocol, 0);
    i++;

    for (; i < argc; i++) {
        char *word = argv[i], *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        long n = value ? atol(value) : 0;

        if (!strcmp(word, "send")) {
            junk(n, 0);
        } else if (!strcmp(word, "text")) {
            text(value);
        } else if (!strcmp(word, "any")) {
            any = true;
        } else if (!strcmp(word, "urgent")) {
            junk(1, MSG_OOB);
        } else if (!strcmp(word, "fin")) {
            shutdown(fd, SHUT_WR);
        } else if (!strcmp(word, "await")) {
            await(value);
        } else if (!strcmp(word, "rcvbuf")) {
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){n}, sizeof(int));
        } else if (!strcmp(word, "sndbuf")) {
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){n}, sizeof(int));
        } else if (!strcmp(word, "pause")) {
            pause_ms(n);
        } else if (!strcmp(word, "say")) {
            puts(value);
        } else if (!strcmp(word, "read")) {
            get(65536, 0);
        } else if (!strcmp(word, "slow")) {
            get(n, atol(strchr(value, ':') + 1));
        } else if (!strcmp(word, "silent")) {
            while (read(0, &(char){0}, 1) > 0)
                ;
        } else if (!strcmp(word, "drip")) {
            while (!told(n) && !strcmp(send_error, "none"))
                junk(1, 0);
        } else if (!strcmp(word, "flood")) {
            while (!(value ? left_alone() : told(0)) && !strcmp(send_error, "none"))
                junk(65536, MSG_DONTWAIT);
        } else if (!strcmp(word, "reset")) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
            close(fd);
            fd = -1;
        } else if (!strcmp(word, "close")) {
            close(fd);
            fd = -1;
        } else {
            errx(2, "what is %s?", word);
        }
    }
    printf("bytes=%zu end=%s sent=%zu send_error=%s ms=%ld\n", bytes, end, sent, send_error, now_ms() - start);
}
