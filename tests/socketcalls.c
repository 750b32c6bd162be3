/* socketcalls [passed|abort]: a server that makes its calls by socketcall(2), which i386 had for all of them: sockets got
 * numbers of their own with Linux 4.3. Prints "port N", then the results.
 *   passed   a worker gets the connection by SCM_RIGHTS and answers; the sender has closed it by then
 *   abort    SO_LINGER {1, 0} before the close
 */
#include "connection.h"
#include <linux/net.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifdef SYS_socketcall
#define CALL(number, ...) (int)syscall(SYS_socketcall, number, (unsigned long[]){__VA_ARGS__})
#define P(pointer) (unsigned long)(pointer)

enum { REPLY = 600000 };

static char byte, control[CMSG_SPACE(sizeof(int))];
static struct iovec piece = {&byte, 1};
static struct msghdr message = {
    .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};

static void pass(int to, int fd)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (CALL(SYS_SENDMSG, to, P(&message), 0) != 1)
        err(1, "sendmsg");
}

static int receive(int from)
{
    int fd;
    if (CALL(SYS_RECVMSG, from, P(&message), 0) != 1)
        err(1, "recvmsg");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static void let_go(int fd)
{
    errno = 77;
    int result = close(fd);
    printf("close=%d errno=%d\n", result, errno);
}

static void answer_it(int fd)
{
    await_input(fd);
    put(fd, REPLY);
    let_go(fd);
}

static int passed(int listener)
{
    int pair[2], gate[2];
    if (CALL(SYS_SOCKETPAIR, AF_UNIX, SOCK_STREAM, 0, P(pair)) < 0 || pipe(gate) < 0)
        err(1, "socketpair");
    pid_t worker = fork();
    if (!worker) {
        close(listener);
        close(gate[1]);
        int fd = receive(pair[1]);
        if (read(gate[0], &byte, 1) < 0)
            err(1, "gate");
        answer_it(fd);
        return 0;
    }
    int fd = CALL(SYS_ACCEPT4, listener, 0, 0, SOCK_CLOEXEC);
    pass(pair[0], fd);
    let_go(fd);
    close(gate[1]);
    return waitpid(worker, NULL, 0) != worker;
}

int main(int argc, char **argv)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int listener = CALL(SYS_SOCKET, AF_INET, SOCK_STREAM, 0);
    if (CALL(SYS_BIND, listener, P(&address), length) < 0 || CALL(SYS_LISTEN, listener, 5) < 0 ||
        CALL(SYS_GETSOCKNAME, listener, P(&address), P(&length)) < 0)
        err(1, "listen");
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("port %d\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
    if (argc > 1 && !strcmp(argv[1], "passed"))
        return passed(listener);
    int fd = CALL(SYS_ACCEPT, listener, 0, 0);
    struct linger at_once = {1, 0};
    if (argc > 1 && CALL(SYS_SETSOCKOPT, fd, SOL_SOCKET, SO_LINGER, P(&at_once), sizeof at_once) < 0)
        err(1, "setsockopt");
    answer_it(fd);
    return 0;
}
#else
int main(void) { errx(77, "this architecture has no socketcall(2)"); }
#endif
