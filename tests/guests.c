/* guests PORT N BYTES read|silent|drip: N connections at once, input sent on each. When the server
 * says that it exits: read to the end and close; or do nothing until it has ended, then read; or
 * send a byte on each every 20 ms until then. Prints how many were whole, and how long the
 * server took to end. */
#include "connection.h"
#include <stdbool.h>
#include <sys/resource.h>

static bool ended(long ms) { return poll(&(struct pollfd){0, POLLIN, 0}, 1, ms) != 0; }

int main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: guests PORT N BYTES read|silent|drip");
    int n = atoi(argv[2]), whole = 0, reset = 0, *fds = calloc(n, sizeof *fds);
    long bytes = atol(argv[3]);
    bool reads = !strcmp(argv[4], "read"), drips = !strcmp(argv[4], "drip");
    static char block[65536];

    setrlimit(RLIMIT_NOFILE, &(struct rlimit){n + 100, n + 100});
    for (int i = 0; i < n; i++) {
        fds[i] = dial(AF_INET, 0, atoi(argv[1]));
        send(fds[i], "junk", 4, MSG_NOSIGNAL);
    }
    await_line();
    long start = now_ms(), end = start;
    while (!reads && !ended(drips ? 20 : -1))
        for (int i = 0; i < n; i++)
            send(fds[i], "!", 1, MSG_NOSIGNAL);
    end = now_ms();
    for (int i = 0; i < n; i++) {
        long got = 0;
        ssize_t r;
        while ((r = recv(fds[i], block, sizeof block, 0)) > 0)
            got += r;
        whole += r == 0 && got == bytes;
        reset += r < 0;
        close(fds[i]);
    }
    if (reads) {
        ended(-1);
        end = now_ms();
    }
    printf("whole=%d reset=%d exit_ms=%ld\n", whole, reset, end - start);
}
