/*
 * syscall(2): libuv closes with it, vsftpd forks with it. The numbers that matter become the calls that they are; every
 * other passes with all six arguments, errno and result intact, also those that we do not know.
 */
#include "lingerclose.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From here on, `sys` is the way to the kernel. */
static long sys(long number, const long a[6]) { return next.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]); }

static long forks(long number, const long a[6], uint64_t flags)
{
    if (config.on && flags & CLONE_VM && !(flags & CLONE_THREAD))
        owner_shares_memory();
    if (config.on && flags & CLONE_FILES && !(flags & CLONE_VM)) {
        void *slot = holders_before_spawn(false, true);
        long child = sys(number, a);
        if (child)
            holders_after_spawn(slot, child < 0 ? 0 : (pid_t)child, 0);
        return child;
    }
    if (flags & (CLONE_VM | CLONE_FILES) || !config.on)
        return sys(number, a);
    holders_before_fork();
    long child = sys(number, a);
    after_fork((pid_t)child);
    return child;
}

static long closes(const long a[6])
{
    struct letgo l;
    if (!letgo_begin(&l, (int)a[0], "syscall", true)) {
        errno = EBADF;
        return -1;
    }
    return letgo_end(&l, (int)sys(SYS_close, a));
}

#ifdef SYS_socketcall
/* socketcall(2): the call's own number is the first argument, and where its arguments are is the second. */
static const struct {
    int number, arguments;
} socketcalls[] = {
    [SYS_SOCKET] = {SYS_socket, 3},     [SYS_CONNECT] = {SYS_connect, 3},       [SYS_ACCEPT] = {SYS_accept4, 3},
    [SYS_LISTEN] = {SYS_listen, 2},     [SYS_SHUTDOWN] = {SYS_shutdown, 2},     [SYS_SENDMSG] = {SYS_sendmsg, 3},
    [SYS_RECVMSG] = {SYS_recvmsg, 3},   [SYS_SETSOCKOPT] = {SYS_setsockopt, 5}, [SYS_ACCEPT4] = {SYS_accept4, 4},
    [SYS_RECVMMSG] = {SYS_recvmmsg, 5}, [SYS_SENDMMSG] = {SYS_sendmmsg, 4},
};

static bool socketcall_known(const long a[6])
{
    return a[0] > 0 && a[0] < (long)(sizeof socketcalls / sizeof *socketcalls) && socketcalls[a[0]].number && a[1];
}
#endif

static long known(long number, const long a[6], int state)
{
    switch (number) {
    case SYS_close:
        return closes(a);
    case SYS_socket:
        return socket((int)a[0], (int)a[1], (int)a[2]);
    case SYS_accept4:
        return accept4((int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2], (int)a[3]);
#ifdef SYS_accept
    case SYS_accept:
        return accept((int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
#endif
    case SYS_connect:
        return connect((int)a[0], (const struct sockaddr *)a[1], (socklen_t)a[2]);
    case SYS_listen:
        return listen((int)a[0], (int)a[1]);
    case SYS_setsockopt:
        return setsockopt((int)a[0], (int)a[1], (int)a[2], (const void *)a[3], (socklen_t)a[4]);
    case SYS_dup:
        return dup((int)a[0]);
#ifdef SYS_dup2
    case SYS_dup2:
        return dup2((int)a[0], (int)a[1]);
#endif
    case SYS_dup3:
        return dup3((int)a[0], (int)a[1], (int)a[2]);
    case SYS_fcntl:
#ifdef SYS_fcntl64
    case SYS_fcntl64:
#endif
        if (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC) /* fcntl(2) and fcntl(3) differ in the rest, on 32 bit */
            return fcntl((int)a[0], (int)a[1], a[2]);
        break;
    case SYS_epoll_create1:
        return epoll_create1((int)a[0]);
    case SYS_epoll_ctl:
        return epoll_ctl((int)a[0], (int)a[1], (int)a[2], (struct epoll_event *)a[3]);
    case SYS_sendmsg:
        return sendmsg((int)a[0], (const struct msghdr *)a[1], (int)a[2]);
    case SYS_sendmmsg:
        return sendmmsg((int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3]);
    case SYS_recvmmsg:
        return recvmmsg((int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3], (struct timespec *)a[4]);
    case SYS_unshare:
        return unshare((int)a[0]);
    case SYS_setns:
        return setns((int)a[0], (int)a[1]);
    case SYS_recvmsg:
        return recvmsg((int)a[0], (struct msghdr *)a[1], (int)a[2]);
    case SYS_execve:
        return execve((const char *)a[0], (char *const *)a[1], (char *const *)a[2]);
    case SYS_execveat:
        return execveat((int)a[0], (const char *)a[1], (char *const *)a[2], (char *const *)a[3], (int)a[4]);
#ifdef SYS_fork
    case SYS_fork:
        return forks(number, a, 0);
#endif
    case SYS_clone:
        return forks(number, a, (uint64_t)a[0]);
    case SYS_clone3:
        return forks(number, a, a[0] ? ((const struct clone_args *)a[0])->flags : 0);
    case SYS_pidfd_getfd:
        return pidfd_getfd((int)a[0], (int)a[1], (unsigned)a[2]);
    case SYS_close_range:
        return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
    case SYS_shutdown:
        return shutdown((int)a[0], (int)a[1]);
    case SYS_exit_group:
        _exit((int)a[0]);
    case SYS_prctl:
        return prctl((int)a[0], a[1], a[2], a[3], a[4]);
#ifdef SYS_recvmmsg_time64
    case SYS_recvmmsg_time64:
        return __recvmmsg64((int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3], (void *)a[4]);
#endif
#ifdef SYS_socketcall
    case SYS_socketcall:
        if (socketcall_known(a)) {
            long b[6] = {0};
            memcpy(b, (const long *)a[1], (size_t)socketcalls[a[0]].arguments * sizeof *b);
            return known(socketcalls[a[0]].number, b, state);
        }
        break;
#endif
    case SYS_seccomp:
        if (a[0] == SECCOMP_SET_MODE_STRICT || (a[0] == SECCOMP_SET_MODE_FILTER && a[2])) /* else a probe */
            sandboxed();
        break;
    }
    pthread_setcancelstate(state, NULL); /* none of ours: as it would be without us */
    return sys(number, a);
}

/* syscall(2) is no cancellation point, whatever stands behind the number. */
MAY_READ_MORE EXPORT long syscall(long number, ...)
{
    long a[6];
    int state;
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    next_bind();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    long result = known(number, a, state);
    pthread_setcancelstate(state, NULL);
    return result;
}
