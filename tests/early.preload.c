/* A preload whose constructor closes things: a file, a stream and a live connection with input
 * unread. Listed behind the shim in LD_PRELOAD it is initialised before it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

__attribute__((constructor)) static void close_things(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int before = descriptors();

    errno = 77;
    int file = close(open("/dev/null", O_RDONLY));
    int kept = errno;
    int bad = close(-1), code = errno;
    FILE *stream = fopen("/dev/null", "r");
    int fclosed = fclose(stream);

    int listener = socket(AF_INET, SOCK_STREAM, 0), peer = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (void *)&address, length) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (void *)&address, &length) < 0 || connect(peer, (void *)&address, length) < 0)
        perror("early");
    int ours = accept(listener, NULL, NULL);
    if (send(peer, "unread", 6, 0) != 6)
        perror("early");
    int connection = close(ours);
    close(peer);
    close(listener);
    dprintf(1, "early: file=%d,%d bad=%d,%d fclose=%d connection=%d more=%d\n", file, kept, bad, code, fclosed,
            connection, descriptors() - before);
}
