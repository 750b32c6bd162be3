/*
 * The hooks of everything that may give another process what we hold: fork and its kin, exec after vfork, spawning,
 * descriptor passing. fork itself goes through pthread_atfork (hooks.c), which libc's own users of fork run as well;
 * the hook only sees to a fork that failed.
 */
#include "lingerclose.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void after_fork(pid_t result)
{
    if (config.on && holders_after_fork(result) && result == 0)
        letgo_forked();
}

EXPORT pid_t fork(void)
{
    next_bind();
    pid_t child = next.fork();
    if (child < 0 && config.on)
        holders_fork_failed();
    return child;
}

/* runs no handlers: fork(2), signal-safety(7) */
EXPORT pid_t _Fork(void)
{
    next_bind();
    if (!config.on)
        return next._Fork();
    holders_before_fork();
    pid_t child = next._Fork();
    after_fork(child);
    return child;
}

/* bare.S calls this and then jumps to the real one: it returns twice, so it can't be called from C. */
HIDDEN void before_vfork(void)
{
    if (config.on)
        holders_before_vfork();
}

/* What clone's child begins with, at the top of its own stack. */
struct start {
    int (*function)(void *);
    void *argument;
    struct birth birth;
};

static int start_forked(void *p)
{
    struct start *s = p;
    after_fork(0);
    return s->function(s->argument);
}

static int start_sharing(void *p)
{
    struct start *s = p;
    int status = s->function(s->argument);
    holders_child_gone(s->birth);
    return status;
}

/* Without CLONE_VM it is a fork. With it and without CLONE_FILES it is a vfork: the same memory, its own descriptors. */
MAY_READ_MORE EXPORT int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    va_list ap;
    va_start(ap, argument);
    pid_t *parent = va_arg(ap, pid_t *);
    void *tls = va_arg(ap, void *);
    pid_t *child = va_arg(ap, pid_t *);
    va_end(ap);
    next_bind();
    if (config.on && flags & CLONE_VM && !(flags & CLONE_THREAD))
        owner_shares_memory();
    if (config.on && flags & CLONE_FILES && !(flags & CLONE_VM)) {
        void *slot = holders_before_spawn(false, true);
        pid_t pid = next.clone(function, stack, flags, argument, parent, tls, child);
        holders_after_spawn(slot, pid < 0 ? 0 : pid, 0);
        return pid;
    }
    if (!config.on || flags & CLONE_FILES || !stack || !function)
        return next.clone(function, stack, flags, argument, parent, tls, child);
    struct start *s = (struct start *)((uintptr_t)stack & ~(uintptr_t)15) - 1;
    bool fork = !(flags & CLONE_VM);
    *s = (struct start){function, argument, {NULL, 0}};
    if (fork)
        holders_before_fork();
    else
        holders_before_vfork();
    struct birth birth = s->birth = holders_birth_of_child();
    int result = next.clone(fork ? start_forked : start_sharing, s, flags, s, parent, tls, child);
    if (fork)
        after_fork(result);
    else if (result < 0)
        holders_child_gone(birth);
    else
        holders_child_runs(birth, flags & CLONE_VFORK);
    return result;
}

/* ---- exec ---- */

static void before_exec(void)
{
    next_bind();
    if (config.on)
        holders_before_exec();
    if (config.on && owned())
        background_exec();
}

/* exec returns only if it has failed. */
static int failed(int result)
{
    if (config.on)
        holders_exec_failed();
    if (config.on && owned())
        background_exec_failed();
    return result;
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    before_exec();
    return failed(next.execve(path, argv, envp));
}

EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
    before_exec();
    return failed(next.execveat(dir, path, argv, envp, flags));
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    before_exec();
    return failed(next.fexecve(fd, argv, envp));
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    before_exec();
    return failed(next.execvpe(file, argv, envp));
}

EXPORT int execv(const char *path, char *const argv[])
{
    before_exec();
    return failed(next.execv(path, argv));
}

EXPORT int execvp(const char *file, char *const argv[])
{
    before_exec();
    return failed(next.execvp(file, argv));
}

/* ---- spawning ---- */

EXPORT int posix_spawn(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    pid_t pid = 0;
    next_bind();
    void *slot = config.on ? holders_before_spawn(actions, actions) : NULL;
    int error = next.posix_spawn(&pid, path, actions, attributes, argv, envp);
    holders_after_spawn(slot, error ? 0 : pid, 0);
    if (!error && child)
        *child = pid;
    return error;
}

EXPORT int posix_spawnp(pid_t *child, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    pid_t pid = 0;
    next_bind();
    void *slot = config.on ? holders_before_spawn(actions, actions) : NULL;
    int error = next.posix_spawnp(&pid, file, actions, attributes, argv, envp);
    holders_after_spawn(slot, error ? 0 : pid, 0);
    if (!error && child)
        *child = pid;
    return error;
}

EXPORT int system(const char *command)
{
    next_bind();
    void *slot = config.on ? holders_before_spawn(false, false) : NULL;
    int status = next.system(command);
    holders_after_spawn(slot, 0, 0);
    return status;
}

EXPORT FILE *popen(const char *command, const char *type)
{
    next_bind();
    void *slot = config.on ? holders_before_spawn(false, false) : NULL;
    FILE *stream = next.popen(command, type);
    holders_after_spawn(slot, stream ? -1 : 0, (uint64_t)(uintptr_t)stream);
    return stream;
}

EXPORT int pclose(FILE *stream)
{
    next_bind();
    void *slot = config.on ? holders_spawned((uint64_t)(uintptr_t)stream) : NULL;
    int status = next.pclose(stream);
    holders_after_spawn(slot, 0, 0);
    return status;
}

/* Inside libc: a fork whose parent exits at once, which the child may wait for; then dup2 over 0, 1 and 2, which drops our
   lock on what was there once more. */
EXPORT int daemon(int nochdir, int noclose)
{
    int saved = errno;
    next_bind();
    if (config.on && owned())
        holders_give();
    errno = saved;
    int result = next.daemon(nochdir, noclose);
    saved = errno;
    if (config.on && holders_shared_before())
        holders_register_all();
    errno = saved;
    return result;
}

/* ---- descriptor passing: unix(7), SCM_RIGHTS; pidfd_getfd(2) ---- */

EXPORT int pidfd_getfd(int pidfd, int fd, unsigned int flags)
{
    int taken = next.pidfd_getfd(pidfd, fd, flags);
    if (taken >= 0 && config.on)
        holders_take(taken);
    return taken;
}

static void each_right(const struct msghdr *m, void (*f)(int fd))
{
    struct msghdr header = *m;
    if (!m->msg_control)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t room =
            (size_t)((char *)m->msg_control + m->msg_controllen - (char *)c); /* the length is the program's word */
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len && at + sizeof(int) <= room; at += sizeof(int)) {
            int fd;
            memcpy(&fd, (char *)c + at, sizeof fd);
            f(fd);
        }
    }
}

static void passes(const struct msghdr *m, void (*f)(int fd))
{
    int saved = errno;
    if (config.on && m)
        each_right(m, f);
    errno = saved;
}

static void received(int fd) { holders_receive(fd, false); }
static void peeked(int fd) { holders_receive(fd, true); }

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    passes(m, holders_pass);
    ssize_t n = next.sendmsg(fd, m, flags);
    if (n < 0)
        passes(m, holders_not_passed);
    return n;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    ssize_t n = next.recvmsg(fd, m, flags);
    if (n >= 0)
        passes(m, flags & MSG_PEEK ? peeked : received);
    return n;
}

EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned int count, int flags)
{
    for (unsigned i = 0; i < count; i++)
        passes(&m[i].msg_hdr, holders_pass);
    int sent = next.sendmmsg(fd, m, count, flags);
    for (unsigned i = sent < 0 ? 0 : (unsigned)sent; i < count; i++)
        passes(&m[i].msg_hdr, holders_not_passed);
    return sent;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *m, unsigned int count, int flags, struct timespec *timeout)
{
    int got = next.recvmmsg(fd, m, count, flags, timeout);
    for (int i = 0; i < got; i++)
        passes(&m[i].msg_hdr, flags & MSG_PEEK ? peeked : received);
    return got;
}

#if __TIMESIZE == 32 /* the same with _TIME_BITS=64, where glibc's own differ: in what control messages tell of time */
EXPORT ssize_t __recvmsg64(int fd, struct msghdr *m, int flags)
{
    ssize_t n = next.recvmsg64(fd, m, flags);
    if (n >= 0)
        passes(m, flags & MSG_PEEK ? peeked : received);
    return n;
}

EXPORT int __recvmmsg64(int fd, struct mmsghdr *m, unsigned int count, int flags, void *timeout)
{
    int got = next.recvmmsg64(fd, m, count, flags, timeout);
    for (int i = 0; i < got; i++)
        passes(&m[i].msg_hdr, flags & MSG_PEEK ? peeked : received);
    return got;
}

EXPORT ssize_t __sendmsg64(int, const struct msghdr *, int) __attribute__((alias("sendmsg")));
EXPORT int __sendmmsg64(int, struct mmsghdr *, unsigned int, int) __attribute__((alias("sendmmsg")));
#endif

/* The other names under which glibc exports them; __vfork is in bare.S. */
EXPORT pid_t __fork(void) __attribute__((alias("fork")));
EXPORT int __clone(int (*)(void *), void *, int, void *, ...) __attribute__((alias("clone")));
EXPORT FILE *_IO_popen(const char *, const char *) __attribute__((alias("popen")));
