/*
 * The hooks of what gives a connection to others or lets go of it (so that nobody gets one that is corked and does not
 * know of it), of syscall(2) and of sandboxes. vfork needs none: its child has our memory, and execs or ends. (If it has
 * closed a number that another thread writes to meanwhile, the kernel's 200 ms are what that reply waits.)
 */
#include "nagle.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- descriptors ---- */

static int copied(int from, int to)
{
    own_copy(from, to);
    return to;
}

EXPORT int dup(int fd) { return copied(fd, NEXT(dup)(fd)); }
EXPORT int close(int fd) { return push_one(fd), NEXT(close)(fd); }
EXPORT int dup2(int from, int to) { return push_one(to), copied(from, NEXT(dup2)(from, to)); }
EXPORT int dup3(int from, int to, int flags) { return push_one(to), copied(from, NEXT(dup3)(from, to, flags)); }

static int control(int (*real)(int, int, ...), int fd, int command, void *argument)
{
    int result = real(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}

/* Every argument of fcntl(2) is an int or a pointer: both come as one word. */
MAY_READ_MORE EXPORT int fcntl(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    void *argument = va_arg(ap, void *);
    va_end(ap);
    return control(NEXT(fcntl), fd, command, argument);
}

MAY_READ_MORE EXPORT int fcntl64(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    void *argument = va_arg(ap, void *);
    va_end(ap);
    return control(NEXT(fcntl64), fd, command, argument);
}

EXPORT int close_range(unsigned a, unsigned z, int flags) { return waits(), NEXT(close_range)(a, z, flags); }
EXPORT void closefrom(int first) { waits(), NEXT(closefrom)(first); }

EXPORT int fclose(FILE *f)
{
    waits();
    stream_goes = true;
    int result = NEXT(fclose)(f);
    stream_goes = false;
    return result;
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *f)
{
    waits();
    stream_goes = true;
    FILE *result = NEXT(freopen)(path, mode, f);
    stream_goes = false;
    return result;
}

EXPORT FILE *freopen64(const char *path, const char *mode, FILE *f)
{
    waits();
    stream_goes = true;
    FILE *result = NEXT(freopen64)(path, mode, f);
    stream_goes = false;
    return result;
}

/* ---- processes ---- */

EXPORT pid_t fork(void) { return waits(), NEXT(fork)(); }
EXPORT pid_t _Fork(void) { return waits(), NEXT(_Fork)(); }
EXPORT int daemon(int a, int b) { return waits(), NEXT(daemon)(a, b); }
EXPORT int system(const char *s) { return waits(), NEXT(system)(s); }
EXPORT FILE *popen(const char *s, const char *m) { return waits(), NEXT(popen)(s, m); }

EXPORT int posix_spawn(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return waits(), NEXT(posix_spawn)(child, path, actions, attributes, argv, envp);
}

EXPORT int posix_spawnp(pid_t *child, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return waits(), NEXT(posix_spawnp)(child, file, actions, attributes, argv, envp);
}

EXPORT int execve(const char *p, char *const a[], char *const e[]) { return waits(), NEXT(execve)(p, a, e); }
EXPORT int execv(const char *p, char *const a[]) { return waits(), NEXT(execv)(p, a); }
EXPORT int execvp(const char *f, char *const a[]) { return waits(), NEXT(execvp)(f, a); }
EXPORT int execvpe(const char *f, char *const a[], char *const e[]) { return waits(), NEXT(execvpe)(f, a, e); }
EXPORT int fexecve(int fd, char *const a[], char *const e[]) { return waits(), NEXT(fexecve)(fd, a, e); }
EXPORT int execveat(int d, const char *p, char *const a[], char *const e[], int flags)
{
    return waits(), NEXT(execveat)(d, p, a, e, flags);
}

EXPORT void _exit(int status)
{
    waits();
    NEXT(_exit)(status);
    __builtin_unreachable();
}

EXPORT void _Exit(int status) { _exit(status); }

/* ---- system calls by number ---- */

/* What writes is known by its number; all else is taken for a wait. */
MAY_READ_MORE EXPORT long syscall(long number, ...)
{
    long a[6];
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    switch (number) {
    case SYS_socket:
        return socket((int)a[0], (int)a[1], (int)a[2]);
    case SYS_setsockopt:
        return setsockopt((int)a[0], (int)a[1], (int)a[2], (const void *)a[3], (socklen_t)a[4]);
    case SYS_prctl:
        return prctl((int)a[0], a[1], a[2], a[3], a[4]);
    case SYS_sendmsg:
    case SYS_sendmmsg:
        passes((int)a[0]);
        hold((int)a[0]);
        break;
    case SYS_dup:
        return dup((int)a[0]);
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendfile:
#ifdef SYS_sendfile64
    case SYS_sendfile64:
#endif
        hold((int)a[0]);
        break;
    case SYS_close:
        push_one((int)a[0]);
        break;
    case SYS_seccomp:
        if (a[0] == SECCOMP_SET_MODE_STRICT || (a[0] == SECCOMP_SET_MODE_FILTER && a[2])) /* else a probe */
            sandboxed();
        break;
    default:
        waits();
    }
    return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

MAY_READ_MORE EXPORT int prctl(int option, ...)
{
    unsigned long a[4];
    va_list ap;
    va_start(ap, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(ap, unsigned long);
    va_end(ap);
    if (option == PR_SET_SECCOMP && (a[0] == SECCOMP_MODE_STRICT || a[1])) /* else a probe */
        sandboxed();
    return NEXT(prctl)(option, a[0], a[1], a[2], a[3]);
}

/* The other names under which glibc exports them. */
EXPORT int __close(int) __attribute__((alias("close")));
EXPORT int __dup2(int, int) __attribute__((alias("dup2")));
EXPORT int __fcntl(int, int, ...) __attribute__((alias("fcntl")));
EXPORT pid_t __fork(void) __attribute__((alias("fork")));
EXPORT int _IO_fclose(FILE *) __attribute__((alias("fclose")));
EXPORT FILE *_IO_popen(const char *, const char *) __attribute__((alias("popen")));
