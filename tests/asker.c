/* asker PORT N: sends N requests, each a line, one after the other; the next when a reply of 40 bytes is there.
 * Prints how many packets brought all of them, as the kernel counted here, and what a reply took in ms: median, most. */
#include "connection.h"

enum { LENGTH = 40, MOST = 1000 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double now_precise(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    static double took[MOST];
    int n = argc == 3 ? atoi(argv[2]) : 0;
    if (n < 1 || n > MOST)
        errx(2, "usage: asker PORT N, N up to %d", MOST);
    int fd = dial(AF_INET, 0, atoi(argv[1]));
    for (int i = 0; i < n; i++) {
        char b[LENGTH];
        double began = now_precise();
        if (send(fd, "q\n", 2, MSG_NOSIGNAL) != 2)
            err(1, "send");
        for (ssize_t got = 0, more; got < LENGTH; got += more)
            if ((more = read(fd, b, sizeof b - (size_t)got)) <= 0)
                err(1, "a reply of %zd bytes", got);
        took[i] = now_precise() - began;
    }
    struct tcp_info_with_segments {
        struct tcp_info info;
        char more[256];
    } t;
    socklen_t length = sizeof t;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &t, &length))
        err(1, "TCP_INFO");
    /* struct tcp_info of linux/tcp.h goes on where that of netinet/tcp.h ends: data_segs_in is a __u32 at 152. */
    unsigned packets;
    memcpy(&packets, (char *)&t + 152, sizeof packets);
    qsort(took, (size_t)n, sizeof *took, ascending);
    printf("replies=%d packets=%u median_ms=%.0f most_ms=%.0f\n", n, packets, took[n / 2], took[n - 1]);
    return 0;
}
