/*
 * The definitions behind ours: libc's, or another preload's (dlsym(3), RTLD_NEXT), so that other preloads keep working.
 *
 * Our hooks may be called before our constructor: libselinux's calls fclose, and one process may have many preloads.
 * Asking dlsym on the way of a close is out of the question (it takes locks and may allocate), so everything that is a
 * system call starts out as that bare system call. What is more than a system call is bound on its first use.
 */
#include "lingerclose.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/lib-names.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* bare.S comes here with what the kernel returned. */
HIDDEN long bare_error(long result)
{
    errno = (int)-result;
    return -1;
}

/* The number is given back by the kernel whatever this returns: close(2), "Dealing with error returns". */
int bare_close(int fd) { return (int)bare_syscall(SYS_close, fd); }

static int bare_socket(int family, int type, int protocol)
{
    return (int)bare_syscall(SYS_socket, family, type, protocol);
}

static int bare_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return (int)bare_syscall(SYS_accept4, fd, addr, len, flags);
}

static int bare_accept(int fd, struct sockaddr *addr, socklen_t *len) { return bare_accept4(fd, addr, len, 0); }

static int bare_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    return (int)bare_syscall(SYS_connect, fd, addr, len);
}

static int bare_listen(int fd, int backlog) { return (int)bare_syscall(SYS_listen, fd, backlog); }

static int bare_shutdown(int fd, int how) { return (int)bare_syscall(SYS_shutdown, fd, how); }

static int bare_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    return (int)bare_syscall(SYS_setsockopt, fd, level, name, value, length);
}

static int bare_dup(int fd) { return (int)bare_syscall(SYS_dup, fd); }

static int bare_dup3(int from, int to, int flags) { return (int)bare_syscall(SYS_dup3, from, to, flags); }

static int bare_dup2(int from, int to)
{
    if (from == to) /* dup3(2) refuses what dup2(2) allows; aarch64 has only dup3 */
        return bare_syscall(SYS_fcntl, from, F_GETFD) < 0 ? -1 : to;
    return bare_dup3(from, to, 0);
}

static int bare_fcntl(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    long argument = va_arg(ap, long);
    va_end(ap);
#ifdef SYS_fcntl64 /* has the commands of both */
    return (int)bare_syscall(SYS_fcntl64, fd, command, argument);
#else
    return (int)bare_syscall(SYS_fcntl, fd, command, argument);
#endif
}

static int bare_epoll_create1(int flags) { return (int)bare_syscall(SYS_epoll_create1, flags); }

static int bare_epoll_create(int size) { return size > 0 ? bare_epoll_create1(0) : (int)bare_error(-EINVAL); }

static int bare_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    return (int)bare_syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

static ssize_t bare_sendmsg(int fd, const struct msghdr *m, int flags)
{
    return bare_syscall(SYS_sendmsg, fd, m, flags);
}

static ssize_t bare_recvmsg(int fd, struct msghdr *m, int flags) { return bare_syscall(SYS_recvmsg, fd, m, flags); }

static int bare_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    return (int)bare_syscall(SYS_sendmmsg, fd, m, n, flags);
}

static int bare_recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t)
{
    return (int)bare_syscall(SYS_recvmmsg, fd, m, n, flags, t);
}

#if __TIMESIZE == 32
static int bare_recvmmsg64(int fd, struct mmsghdr *m, unsigned n, int flags, void *t)
{
    return (int)bare_syscall(SYS_recvmmsg_time64, fd, m, n, flags, t);
}
#endif

static int bare_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
    return (int)bare_syscall(SYS_execveat, dir, path, argv, envp, flags);
}

static int bare_pidfd_getfd(int pidfd, int fd, unsigned flags)
{
    return (int)bare_syscall(SYS_pidfd_getfd, pidfd, fd, flags);
}

static int bare_clock_gettime(clockid_t clock, struct timespec *t)
{
    return (int)bare_syscall(SYS_clock_gettime, clock, t);
}

static void bare_exit(int status)
{
    for (;;)
        bare_syscall(SYS_exit_group, status);
}

/* vfork before the constructor: a plain fork is a correct vfork (vfork(2), "Standard description"). */
static pid_t bare_fork(void) { return (pid_t)bare_syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }

struct next next = {
    .close = bare_close,
    .socket = bare_socket,
    .accept = bare_accept,
    .accept4 = bare_accept4,
    .connect = bare_connect,
    .listen = bare_listen,
    .shutdown = bare_shutdown,
    .setsockopt = bare_setsockopt,
    .dup = bare_dup,
    .dup2 = bare_dup2,
    .dup3 = bare_dup3,
    .fcntl = bare_fcntl,
    .fcntl64 = bare_fcntl,
    .epoll_create = bare_epoll_create,
    .epoll_create1 = bare_epoll_create1,
    .epoll_ctl = bare_epoll_ctl,
    .sendmsg = bare_sendmsg,
    .recvmsg = bare_recvmsg,
    .sendmmsg = bare_sendmmsg,
    .recvmmsg = bare_recvmmsg,
#if __TIMESIZE == 32
    .recvmsg64 = bare_recvmsg,
    .recvmmsg64 = bare_recvmmsg64,
#endif
    .syscall = bare_syscall,
    .execveat = bare_execveat,
    .pidfd_getfd = bare_pidfd_getfd,
    ._exit = bare_exit,
    .clock_gettime = bare_clock_gettime,
};
pid_t (*next_vfork)(void) = bare_fork;

static void find(const char *name, void *slot)
{
    void *definition = dlsym(RTLD_NEXT, name);
    if (definition)
        *(void **)slot = definition; /* POSIX dlsym: the one place where a void * becomes a function */
}

/* Idempotent, and called by two threads at once it stores the same pointers twice. */
void next_bind(void)
{
    static _Atomic bool bound;
    if (atomic_load(&bound))
        return;
    find("close", &next.close);
    find("socket", &next.socket);
    find("accept", &next.accept);
    find("accept4", &next.accept4);
    find("connect", &next.connect);
    find("listen", &next.listen);
    find("dup", &next.dup);
    find("dup2", &next.dup2);
    find("dup3", &next.dup3);
    find("fcntl", &next.fcntl);
    find("fcntl64", &next.fcntl64);
    find("epoll_create", &next.epoll_create);
    find("epoll_create1", &next.epoll_create1);
    find("epoll_ctl", &next.epoll_ctl);
    find("sendmsg", &next.sendmsg);
    find("recvmsg", &next.recvmsg);
    find("sendmmsg", &next.sendmmsg);
    find("recvmmsg", &next.recvmmsg);
#if __TIMESIZE == 32
    find("__recvmsg64", &next.recvmsg64);
    find("__recvmmsg64", &next.recvmmsg64);
#endif
    find("syscall", &next.syscall);
    find("execve", &next.execve);
    find("execveat", &next.execveat);
    find("pidfd_getfd", &next.pidfd_getfd); /* glibc 2.36 */
    find("_exit", &next._exit);
    find("fork", &next.fork);
    find("_Fork", &next._Fork);
    find("vfork", &next_vfork);
    find("clone", &next.clone);
    find("execv", &next.execv);
    find("execvp", &next.execvp);
    find("execvpe", &next.execvpe);
    find("fexecve", &next.fexecve);
    find("posix_spawn", &next.posix_spawn);
    find("posix_spawnp", &next.posix_spawnp);
    find("system", &next.system);
    find("popen", &next.popen);
    find("pclose", &next.pclose);
    find("daemon", &next.daemon);
    find("shutdown", &next.shutdown);
    find("setsockopt", &next.setsockopt);
    find("fclose", &next.fclose);
    find("freopen", &next.freopen);
    find("freopen64", &next.freopen64);
    find("close_range", &next.close_range);
    find("closefrom", &next.closefrom);
    find("prctl", &next.prctl);
    find("unshare", &next.unshare);
    find("setns", &next.setns);
    atomic_store(&bound, true);
}

/* The bounds are in real time: the clock of libfaketime may stand still, and no bound would ever come. The constructor's
   alone, since dlopen allocates, and jemalloc comes to next_bind() by syscall(2) while it holds its own lock. */
void next_bind_clock(void)
{
    void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
    void *definition = libc ? dlsym(libc, "clock_gettime") : NULL;
    if (definition)
        *(void **)&next.clock_gettime = definition;
}
