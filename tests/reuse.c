/* A connection's number, given to an ordinary file afterwards: the second close is traced. */
#include "connection.h"
#include <fcntl.h>

int main(void)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (void *)&address, length) < 0 || listen(fd, 1) < 0 || getsockname(fd, (void *)&address, &length) < 0)
        err(1, "listen");
    int peer = dial(AF_INET, 0, ntohs(((struct sockaddr_in *)&address)->sin_port));
    int ours = accept(fd, NULL, NULL);
    shutdown(peer, SHUT_WR);
    await_input(ours);
    close(ours);

    int file = open("/dev/null", O_RDONLY);
    (void)!write(-1, "mark", 4);
    int ret = close(file);
    (void)!write(-1, "mark", 4);
    printf("same=%d ret=%d\n", file == ours, ret);
}
