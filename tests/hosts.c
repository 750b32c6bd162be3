/* hosts N [BYTES]: accepts N connections, writes a reply of BYTES on each when its input is there,
 * prints "exiting" and exits with all of them open and all of the input unread. */
#include "connection.h"
#include <sys/resource.h>

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 1, bytes = argc > 2 ? atoi(argv[2]) : 1000;
    int *fds = calloc(n, sizeof *fds);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){n + 100, n + 100});
    int fd = listener(AF_INET, 0, 0);
    for (int i = 0; i < n; i++)
        if ((fds[i] = accept(fd, NULL, NULL)) < 0)
            err(1, "accept");
    for (int i = 0; i < n; i++) {
        await_input(fds[i]);
        put(fds[i], bytes);
    }
    puts("exiting");
    exit(5);
}
