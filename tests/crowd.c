/* crowd PORT N BYTES: N connections at once, junk sent on each, each read to its end. Prints how
 * many were whole, that is, BYTES bytes and then EOF. */
#include "connection.h"
#include <sys/resource.h>

int main(int argc, char **argv)
{
    if (argc != 4)
        errx(2, "usage: crowd PORT N BYTES");
    int n = atoi(argv[2]), whole = 0, reset = 0, *fds = calloc(n, sizeof *fds);
    long bytes = atol(argv[3]);
    static char block[65536];

    setrlimit(RLIMIT_NOFILE, &(struct rlimit){4096, 4096});
    for (int i = 0; i < n; i++) {
        fds[i] = dial(AF_INET, 0, atoi(argv[1]));
        send(fds[i], "junk", 4, MSG_NOSIGNAL);
    }
    for (int i = 0; i < n; i++) {
        long got = 0;
        ssize_t r;
        while ((r = recv(fds[i], block, sizeof block, 0)) > 0)
            got += r;
        whole += r == 0 && got == bytes;
        reset += r < 0;
        close(fds[i]);
    }
    printf("whole=%d reset=%d\n", whole, reset);
}
