/* handoff COMMAND...: what inetd does. Accepts a connection and becomes the command, which has the
 * connection as descriptor 3. */
#include "connection.h"
#include <fcntl.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        errx(2, "usage: handoff command [args]");
    int fd = answer(AF_INET, 0, 0);
    if (fd == 3 ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, 3) < 0)
        err(1, "dup2");
    execvp(argv[1], argv + 1);
    err(127, "%s", argv[1]);
}
