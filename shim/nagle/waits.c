/*
 * The hooks of what may wait: before each, what is held goes. Whether it will wait cannot be known, but a read from a
 * regular file does not.
 */
#include "nagle.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

/* ---- reading; _chk is what a program compiled with _FORTIFY_SOURCE calls ---- */

ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);

EXPORT ssize_t read(int fd, void *b, size_t n) { return reads(fd), NEXT(read)(fd, b, n); }
EXPORT ssize_t __read_chk(int fd, void *b, size_t n, size_t m) { return reads(fd), NEXT(__read_chk)(fd, b, n, m); }
EXPORT ssize_t readv(int fd, const struct iovec *v, int n) { return reads(fd), NEXT(readv)(fd, v, n); }
EXPORT ssize_t recv(int fd, void *b, size_t n, int flags) { return receives(flags), NEXT(recv)(fd, b, n, flags); }

EXPORT ssize_t __recv_chk(int fd, void *b, size_t n, size_t m, int flags)
{
    return receives(flags), NEXT(__recv_chk)(fd, b, n, m, flags);
}

EXPORT ssize_t recvfrom(int fd, void *b, size_t n, int flags, struct sockaddr *from, socklen_t *length)
{
    return receives(flags), NEXT(recvfrom)(fd, b, n, flags, from, length);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *b, size_t n, size_t m, int flags, struct sockaddr *from, socklen_t *length)
{
    return receives(flags), NEXT(__recvfrom_chk)(fd, b, n, m, flags, from, length);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags) { return receives(flags), NEXT(recvmsg)(fd, m, flags); }

EXPORT int recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t)
{
    return receives(flags), NEXT(recvmmsg)(fd, m, n, flags, t);
}

EXPORT ssize_t splice(int from, off64_t *at, int to, off64_t *there, size_t n, unsigned flags)
{
    return reads(from), NEXT(splice)(from, at, to, there, n, flags);
}

/* ---- events ---- */

EXPORT int poll(struct pollfd *p, nfds_t n, int ms) { return waits(), NEXT(poll)(p, n, ms); }
EXPORT int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t m) { return waits(), NEXT(__poll_chk)(p, n, ms, m); }

EXPORT int ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s)
{
    return waits(), NEXT(ppoll)(p, n, t, s);
}

EXPORT int __ppoll_chk(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s, size_t m)
{
    return waits(), NEXT(__ppoll_chk)(p, n, t, s, m);
}

EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *t)
{
    return waits(), NEXT(select)(n, r, w, x, t);
}

EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *t, const sigset_t *s)
{
    return waits(), NEXT(pselect)(n, r, w, x, t, s);
}

EXPORT int epoll_wait(int fd, struct epoll_event *e, int n, int ms) { return waits(), NEXT(epoll_wait)(fd, e, n, ms); }

EXPORT int epoll_pwait(int fd, struct epoll_event *e, int n, int ms, const sigset_t *s)
{
    return waits(), NEXT(epoll_pwait)(fd, e, n, ms, s);
}

EXPORT int epoll_pwait2(int fd, struct epoll_event *e, int n, const struct timespec *t, const sigset_t *s)
{
    return waits(), NEXT(epoll_pwait2)(fd, e, n, t, s);
}

/* ---- sleep and signals ---- */

EXPORT unsigned sleep(unsigned s) { return waits(), NEXT(sleep)(s); }
EXPORT int usleep(useconds_t us) { return waits(), NEXT(usleep)(us); }
EXPORT int nanosleep(const struct timespec *t, struct timespec *left) { return waits(), NEXT(nanosleep)(t, left); }
EXPORT int thrd_sleep(const struct timespec *t, struct timespec *left) { return waits(), NEXT(thrd_sleep)(t, left); }

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *t, struct timespec *left)
{
    return waits(), NEXT(clock_nanosleep)(clock, flags, t, left);
}

EXPORT int pause(void) { return waits(), NEXT(pause)(); }
EXPORT int sigsuspend(const sigset_t *s) { return waits(), NEXT(sigsuspend)(s); }
EXPORT int sigwait(const sigset_t *s, int *signal) { return waits(), NEXT(sigwait)(s, signal); }
EXPORT int sigwaitinfo(const sigset_t *s, siginfo_t *i) { return waits(), NEXT(sigwaitinfo)(s, i); }

EXPORT int sigtimedwait(const sigset_t *s, siginfo_t *i, const struct timespec *t)
{
    return waits(), NEXT(sigtimedwait)(s, i, t);
}

/* ---- children and threads ---- */

EXPORT pid_t wait(int *status) { return waits(), NEXT(wait)(status); }
EXPORT pid_t waitpid(pid_t pid, int *status, int options) { return waits(), NEXT(waitpid)(pid, status, options); }
EXPORT pid_t wait3(int *status, int options, struct rusage *u) { return waits(), NEXT(wait3)(status, options, u); }

EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *u)
{
    return waits(), NEXT(wait4)(pid, status, options, u);
}

EXPORT int waitid(idtype_t what, id_t id, siginfo_t *i, int options)
{
    return waits(), NEXT(waitid)(what, id, i, options);
}
EXPORT int pclose(FILE *f) { return waits(), NEXT(pclose)(f); }

EXPORT int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m) { return waits(), NEXT(pthread_cond_wait)(c, m); }

EXPORT int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
    return waits(), NEXT(pthread_cond_timedwait)(c, m, t);
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *t)
{
    return waits(), NEXT(pthread_cond_clockwait)(c, m, clock, t);
}

EXPORT int cnd_wait(cnd_t *c, mtx_t *m) { return waits(), NEXT(cnd_wait)(c, m); }

EXPORT int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *t) { return waits(), NEXT(cnd_timedwait)(c, m, t); }

EXPORT int sem_wait(sem_t *s) { return waits(), NEXT(sem_wait)(s); }
EXPORT int sem_timedwait(sem_t *s, const struct timespec *t) { return waits(), NEXT(sem_timedwait)(s, t); }

EXPORT int sem_clockwait(sem_t *s, clockid_t clock, const struct timespec *t)
{
    return waits(), NEXT(sem_clockwait)(s, clock, t);
}

EXPORT int pthread_join(pthread_t thread, void **result) { return waits(), NEXT(pthread_join)(thread, result); }

EXPORT void pthread_exit(void *result)
{
    waits();
    NEXT(pthread_exit)(result);
    __builtin_unreachable();
}

/* ---- stdio, whose own reads reach no hook ---- */

char *__fgets_chk(char *, size_t, int, FILE *);
char *__fgets_unlocked_chk(char *, size_t, int, FILE *);
size_t __fread_chk(void *, size_t, size_t, size_t, FILE *);
size_t __fread_unlocked_chk(void *, size_t, size_t, size_t, FILE *);

static void stream_reads(FILE *f)
{
    if (held_any)
        push_reading(stream_fd(f));
}

/* One byte: of what has been read already, most often (libio.h). */
static void byte_reads(FILE *f)
{
    if (held_any && f->_IO_read_ptr >= f->_IO_read_end)
        push_reading(stream_fd(f));
}

EXPORT char *fgets(char *s, int n, FILE *f) { return stream_reads(f), NEXT(fgets)(s, n, f); }
EXPORT char *fgets_unlocked(char *s, int n, FILE *f) { return stream_reads(f), NEXT(fgets_unlocked)(s, n, f); }
EXPORT char *__fgets_chk(char *s, size_t m, int n, FILE *f) { return stream_reads(f), NEXT(__fgets_chk)(s, m, n, f); }

EXPORT char *__fgets_unlocked_chk(char *s, size_t m, int n, FILE *f)
{
    return stream_reads(f), NEXT(__fgets_unlocked_chk)(s, m, n, f);
}

EXPORT size_t fread(void *b, size_t n, size_t k, FILE *f) { return stream_reads(f), NEXT(fread)(b, n, k, f); }

#undef fread_unlocked /* glibc's macro, for what is short */
EXPORT size_t fread_unlocked(void *b, size_t n, size_t k, FILE *f)
{
    return stream_reads(f), NEXT(fread_unlocked)(b, n, k, f);
}

EXPORT size_t __fread_chk(void *b, size_t m, size_t n, size_t k, FILE *f)
{
    return stream_reads(f), NEXT(__fread_chk)(b, m, n, k, f);
}

EXPORT size_t __fread_unlocked_chk(void *b, size_t m, size_t n, size_t k, FILE *f)
{
    return stream_reads(f), NEXT(__fread_unlocked_chk)(b, m, n, k, f);
}

EXPORT ssize_t getline(char **s, size_t *n, FILE *f) { return stream_reads(f), NEXT(getline)(s, n, f); }
EXPORT ssize_t getdelim(char **s, size_t *n, int c, FILE *f) { return stream_reads(f), NEXT(getdelim)(s, n, c, f); }
EXPORT int fgetc(FILE *f) { return byte_reads(f), NEXT(fgetc)(f); }
EXPORT int fgetc_unlocked(FILE *f) { return byte_reads(f), NEXT(fgetc_unlocked)(f); }
EXPORT int getchar(void) { return byte_reads(stdin), NEXT(getchar)(); }
EXPORT int getchar_unlocked(void) { return byte_reads(stdin), NEXT(getchar_unlocked)(); }
int __uflow(FILE *); /* what getc_unlocked has become by inlining */
EXPORT int __uflow(FILE *f) { return stream_reads(f), NEXT(__uflow)(f); }

/* The other names under which glibc exports them. */
EXPORT ssize_t __read(int, void *, size_t) __attribute__((alias("read")));
EXPORT ssize_t __recv(int, void *, size_t, int) __attribute__((alias("recv")));
EXPORT int __poll(struct pollfd *, nfds_t, int) __attribute__((alias("poll")));
EXPORT int __select(int, fd_set *, fd_set *, fd_set *, struct timeval *) __attribute__((alias("select")));
EXPORT int __nanosleep(const struct timespec *, struct timespec *) __attribute__((alias("nanosleep")));
EXPORT int __sigsuspend(const sigset_t *) __attribute__((alias("sigsuspend")));
EXPORT pid_t __wait(int *) __attribute__((alias("wait")));
EXPORT pid_t __waitpid(pid_t, int *, int) __attribute__((alias("waitpid")));
EXPORT int getc(FILE *) __attribute__((alias("fgetc")));
EXPORT int _IO_getc(FILE *) __attribute__((alias("fgetc")));
EXPORT int getc_unlocked(FILE *) __attribute__((alias("fgetc_unlocked")));
EXPORT ssize_t __getdelim(char **, size_t *, int, FILE *) __attribute__((alias("getdelim")));
