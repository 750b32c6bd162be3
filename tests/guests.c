/* guests PORT N BYTES read|silent|drip: N connections at once, input sent on each. When the server
 * says that it exits: read to the end and close; or do nothing until it has ended, then read; or
 * send a byte on each every 20 ms until then. Prints how many were whole, and how long the
 * server took to end. */
#include "crowd.h"

static bool ended(long ms) { return poll(&(struct pollfd){0, POLLIN, 0}, 1, ms) != 0; }

int main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: guests PORT N BYTES read|silent|drip");
    int n = atoi(argv[2]), *fds = dial_many(n, atoi(argv[1]));
    bool reads = !strcmp(argv[4], "read"), drips = !strcmp(argv[4], "drip");

    await_line();
    long start = now_ms(), end = start;
    while (!reads && !ended(drips ? 20 : -1))
        for (int i = 0; i < n; i++)
            send(fds[i], "!", 1, MSG_NOSIGNAL);
    end = now_ms();
    struct ends ends = read_many(fds, n, atol(argv[3]));
    if (reads) {
        ended(-1);
        end = now_ms();
    }
    printf("whole=%d reset=%d exit_ms=%ld\n", ends.whole, ends.reset, end - start);
}
