/* A preload whose constructor makes the calls that the shim hooks and that have a bare system call, and prints what each
 * gave. Listed behind the shim in LD_PRELOAD it is initialised before it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TELL(call)                                                                                                     \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        long result = (long)(call);                                                                                    \
        dprintf(1, "%s: %ld, errno %d\n", #call, result, errno);                                                       \
    } while (0)

static void connections(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = socket(AF_INET, SOCK_STREAM, 0);
    int two = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    TELL(socket(-1, SOCK_STREAM, 0));
    TELL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes));
    if (bind(listener, (void *)&a, length) || listen(listener, 5) || getsockname(listener, (void *)&a, &length))
        perror("bare");
    TELL(connect(one, (void *)&a, sizeof a));
    TELL(connect(two, (void *)&a, sizeof a));
    TELL(accept(listener, NULL, NULL));
    TELL(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    TELL(accept(one, NULL, NULL));
    TELL(shutdown(one, SHUT_WR));
    TELL(shutdown(listener + 100, SHUT_WR));
}

static void copies(void)
{
    TELL(dup(1));
    TELL(dup(99));
    TELL(dup2(1, 40));
    TELL(dup2(40, 40));
    TELL(dup2(99, 99));
    TELL(dup2(99, 40));
    TELL(dup3(1, 41, O_CLOEXEC));
    TELL(dup3(1, 1, 0));
    TELL(fcntl(1, F_DUPFD, 42));
    TELL(fcntl(42, F_GETFD));
}

static void sets(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    int ends[2];
    if (pipe(ends))
        perror("bare");
    TELL(epoll_create(1));
    TELL(epoll_create(0));
    int set = epoll_create1(EPOLL_CLOEXEC);
    TELL(set);
    TELL(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &e));
    TELL(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &e));
}

static void messages(void)
{
    char byte = 'x';
    struct iovec piece = {&byte, 1};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
        perror("bare");
    TELL(sendmsg(pair[0], &m.msg_hdr, 0));
    TELL(sendmmsg(pair[0], &m, 1, 0));
    TELL(recvmsg(pair[1], &m.msg_hdr, 0));
    TELL(recvmmsg(pair[1], &m, 1, 0, NULL));
    TELL(recvmsg(pair[1], &m.msg_hdr, MSG_DONTWAIT));
}

__attribute__((constructor)) static void calls(void)
{
    int status = 0;
    connections();
    copies();
    sets();
    messages();
    pid_t child = vfork();
    if (!child)
        _exit(3);
    TELL(waitpid(child, &status, 0) == child);
    dprintf(1, "vfork's child ended with %d\n", WEXITSTATUS(status));
}
