/*
 * The hooks of ranges, of the process's end, of shutdown and of sandboxes.
 */
#include "lingerclose.h"

#include <errno.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <unistd.h>

/* The range without our own numbers in it: the program must not end what lingers. The last piece is the program's own
   call, so its end and its result are as they would be. */
static int close_pieces(unsigned first, unsigned last, int flags, int (*real)(unsigned, unsigned, int))
{
    for (int ours = (int)first - 1;;) {
        int parked = set_next(PARKED, ours), other = set_next(OURS, ours);
        ours = parked < 0 || (other >= 0 && other < parked) ? other : parked;
        if (ours < 0 || (unsigned)ours > last)
            return first <= last ? real(first, last, flags) : 0;
        if ((unsigned)ours > first && real(first, (unsigned)ours - 1, flags) < 0)
            return -1;
        first = (unsigned)ours + 1;
    }
}

static bool ours(void) { return config.on && owned(); }

static int left_table(int result, bool unshared)
{
    int saved = errno;
    if (result == 0 && unshared && ours())
        parking_leave_table();
    errno = saved;
    return result;
}

/* Connections in the range go first. But an older kernel has no such call, and a container's filter may refuse it; then
   nothing may have been closed. An empty range tells. */
static bool connections_in(unsigned first, unsigned last)
{
    int fd = set_next(KNOWN, (int)first - 1), saved = errno;
    bool any = fd >= 0 && (unsigned)fd <= last && next.close_range(~0U, ~0U, 0) == 0;
    errno = saved;
    return any;
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
    next_bind();
    /* UNSHARE: with other threads, the connections stay in their table. */
    bool unshares = flags & CLOSE_RANGE_UNSHARE && !__libc_single_threaded;
    if (!ours() || first > last || first > INT_MAX || unshares || flags & ~CLOSE_RANGE_UNSHARE)
        return left_table(next.close_range(first, last, flags), unshares);
    if (connections_in(first, last))
        leave_range(first, last, "close_range");
    return close_pieces(first, last, flags, next.close_range);
}

/* closefrom(3) has a way of its own where close_range(2) is refused; a piece of it ends below a number of ours. */
static int close_from(unsigned first, unsigned last, int flags)
{
    if (last == ~0U)
        next.closefrom((int)first);
    else if (next.close_range(first, last, flags) < 0)
        for (unsigned fd = first; fd <= last; fd++)
            bare_close((int)fd);
    return 0;
}

EXPORT void closefrom(int first)
{
    next_bind();
    if (!ours()) {
        next.closefrom(first);
        return;
    }
    unsigned from = first < 0 ? 0 : (unsigned)first;
    leave_range(from, ~0U, "closefrom");
    close_pieces(from, ~0U, 0, close_from);
}

/* ---- the process's end ---- */

/* exit(3) and return from main: registered with on_exit by our constructor, before anything else was, so it runs after
   every handler and destructor of the program; only stdio's flush is still to come. */
void ends_by_exit(int status, void *unused)
{
    (void)status, (void)unused;
    if (ours()) {
        stdio_flush();
        leave_process("exit");
        stats_end();
    }
}

void ends_by_quick_exit(void)
{
    if (ours()) {
        leave_process("quick_exit");
        stats_end();
    }
}

EXPORT void _exit(int status)
{
    if (config.on) {
        holders_exit_vfork();
        leave_process("_exit");
        stats_end();
    }
    next._exit(status);
    __builtin_unreachable();
}

EXPORT void _Exit(int status) { _exit(status); }

/* ---- shutdown ---- */

EXPORT int shutdown(int fd, int how)
{
    bool half = leave_shutdown(fd, how);
    int saved = errno;
    int result = next.shutdown(fd, how);
    if (result == 0 || !half || errno != ENOTCONN)
        return result;
    errno = saved;
    return 0;
}

/* ---- sandboxes ---- */

/*
 * A filter that the program installs may kill it for a system call that it would not make itself: from now on, in this
 * process and those that it forks, there are only the real calls. (A filter that was there before us is a container's,
 * and allows what a program may want.) Our locks stay: the kernel drops them when the connections go.
 */
void sandboxed(void)
{
    if (!ours())
        return;
    int saved = errno;
    background_stop();
    holders_sandboxed();
    errno = saved;
    config.on = false;
}

/* What fails in a process with threads (unshare(2), setns(2)) must not fail because of ours: it ends before. */
EXPORT int unshare(int flags)
{
    next_bind();
    if (flags & (CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) && ours())
        background_stop();
    return left_table(next.unshare(flags), flags & CLONE_FILES && !__libc_single_threaded);
}

EXPORT int setns(int fd, int type)
{
    next_bind();
    if (ours())
        background_stop();
    return next.setns(fd, type);
}

MAY_READ_MORE EXPORT int prctl(int option, ...)
{
    unsigned long a[4];
    va_list ap;
    va_start(ap, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(ap, unsigned long);
    va_end(ap);
    next_bind();
    if (option == PR_SET_SECCOMP && (a[0] == SECCOMP_MODE_STRICT || a[1])) /* else a probe */
        sandboxed();
    return next.prctl(option, a[0], a[1], a[2], a[3]);
}

#if __TIMESIZE == 32 /* glibc's name for it with _TIME_BITS=64 */
EXPORT int __prctl_time64(int, ...) __attribute__((alias("prctl")));
#endif
