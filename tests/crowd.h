/* Many clients at once in one process, for crowd.c and guests.c. */
#ifndef TESTS_CROWD_H
#define TESTS_CROWD_H

#include "connection.h"
#include <sys/resource.h>

/* n connections to a port, junk sent on each */
static inline int *dial_many(int n, int port)
{
    int *fds = calloc(n, sizeof *fds);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){n + 100, n + 100});
    for (int i = 0; i < n; i++) {
        fds[i] = dial(AF_INET, 0, port);
        send(fds[i], "junk", 4, MSG_NOSIGNAL);
    }
    return fds;
}

struct ends {
    int whole, reset;
};

/* Each is read to its end and closed; whole: so many bytes and then EOF. */
static inline struct ends read_many(const int *fds, int n, long bytes)
{
    static char block[65536];
    struct ends ends = {0, 0};
    for (int i = 0; i < n; i++) {
        long got = 0;
        ssize_t r;
        while ((r = recv(fds[i], block, sizeof block, 0)) > 0)
            got += r;
        ends.whole += r == 0 && got == bytes;
        ends.reset += r < 0;
        close(fds[i]);
    }
    return ends;
}

#endif
