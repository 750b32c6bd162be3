/*
 * The code sequence of every server that writes its reply and closes: accept, write, close. It
 * knows nothing of lingerclose. `demo-sender unread` waits until input has come, and leaves it.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char reply[1000000];

static void check(int failed, const char *what)
{
    if (failed) {
        perror(what);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(listener, (struct sockaddr *)&address, size) < 0, "bind");
    check(listen(listener, 1) < 0, "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &size) < 0, "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    int connection = accept(listener, NULL, NULL);
    check(connection < 0, "accept");
    if (argc > 1 && argv[1][0] == 'u')
        poll(&(struct pollfd){.fd = connection, .events = POLLIN}, 1, -1);
    for (size_t done = 0; done < sizeof reply;) {
        ssize_t n = write(connection, reply + done, sizeof reply - done);
        check(n < 0, "write");
        done += (size_t)n;
    }
    puts("closing");
    fflush(stdout);
    close(connection);

    /* Live on until stdin ends: what the peer sees is the work of close() and not of exit(). */
    while (getchar() != EOF)
        ;
    return 0;
}
