/* bynumber [two|cancelled]: a server that makes every call by its number, as language runtimes do. Prints
 * "port N", then the results. two: half of the reply is sent by a second number, after the first
 * one was closed. cancelled: it is closed by a thread that has been cancelled, which a call by
 * number does not notice. */
#include "connection.h"
#include <pthread.h>
#include <sys/syscall.h>

enum { REPLY = 600000 };

static void send_it(int fd, size_t from, size_t to)
{
    static char block[REPLY];
    pattern(block, from, to - from);
    if (syscall(SYS_sendto, fd, block, to - from, MSG_NOSIGNAL, NULL, 0) < 0)
        err(1, "sendto");
}

static int connection;

static void *close_it(void *arg)
{
    int state;
    pthread_cancel(pthread_self());
    long shut = syscall(SYS_shutdown, connection, SHUT_WR), ret = syscall(SYS_close, connection);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    printf("shutdown=%ld close=%ld in a cancelled thread\n", shut, ret);
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (syscall(SYS_bind, fd, &address, length) < 0 || syscall(SYS_listen, fd, 5) < 0 ||
        syscall(SYS_getsockname, fd, &address, &length) < 0)
        err(1, "listen");
    printf("port %d\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
    fflush(stdout);
    connection = (int)syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        err(1, "accept4");
    syscall(SYS_ppoll, &(struct pollfd){connection, POLLIN, 0}, 1L, NULL, NULL, 0);
    if (argc > 1 && !strcmp(argv[1], "two")) {
        int copy = (int)syscall(SYS_dup, connection);
        send_it(connection, 0, REPLY / 2);
        printf("close=%ld\n", syscall(SYS_close, connection));
        send_it(copy, REPLY / 2, REPLY);
        connection = copy;
    } else {
        send_it(connection, 0, REPLY);
    }
    if (argc > 1 && !strcmp(argv[1], "cancelled")) {
        if (pthread_create(&thread, NULL, close_it, NULL))
            errx(1, "pthread_create");
        pthread_join(thread, NULL);
    }
    errno = 77;
    long ret = syscall(SYS_close, connection);
    printf("ret=%ld errno=%d\n", ret, errno);
    ret = syscall(SYS_close, connection);
    printf("again=%ld errno=%d\n", ret, errno);
    fflush(stdout);
    return (int)syscall(SYS_exit_group, 0);
}
