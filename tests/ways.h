/* How a server lets go of its connection. Each way is a word of `ways`. */
#ifndef TESTS_WAYS_H
#define TESTS_WAYS_H

#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio_ext.h>
#include <sys/syscall.h>

/* The last bytes of each reply: the ways of stdio leave them in the buffer of their stream. */
enum { REPLY = 600000, TAIL = 1000, STATUS = 5 };

static inline void put_tail(int fd)
{
    char tail[TAIL];
    pattern(tail, REPLY - TAIL, TAIL);
    if (send(fd, tail, TAIL, MSG_NOSIGNAL) != TAIL)
        err(1, "send");
}

static inline void print_tail(FILE *stream)
{
    char tail[TAIL];
    pattern(tail, REPLY - TAIL, TAIL);
    if (fwrite(tail, 1, TAIL, stream) != TAIL || __fpending(stream) != TAIL)
        err(1, "fwrite");
}

static inline FILE *stream_on(int fd)
{
    FILE *stream = fdopen(fd, "r+");
    if (!stream)
        err(1, "fdopen");
    return stream;
}

static inline int other_file(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        err(1, "/dev/null");
    return fd;
}

static inline void expect(int result, int right, const char *what)
{
    if (result != right)
        err(1, "%s", what);
}

/* ---- one descriptor ---- */

extern int __close(int);
extern int __dup2(int, int);

static void by_close(int fd) { expect(close(fd), 0, "close"); }
static void by_alias(int fd) { expect(__close(fd), 0, "__close"); }
static void by_dup2(int fd) { expect(dup2(other_file(), fd), fd, "dup2"); }
static void by_dup2_alias(int fd) { expect(__dup2(other_file(), fd), fd, "__dup2"); }
static void by_dup3(int fd) { expect(dup3(other_file(), fd, O_CLOEXEC), fd, "dup3"); }
static void by_range(int fd) { expect(close_range(fd, fd, 0), 0, "close_range"); }
static void by_closefrom(int fd) { closefrom(fd); }
static void by_raw_close(int fd) { expect(syscall(SYS_close, fd), 0, "SYS_close"); }
static void by_raw_range(int fd) { expect(syscall(SYS_close_range, fd, fd, 0), 0, "SYS_close_range"); }
static void by_raw_dup3(int fd) { expect(syscall(SYS_dup3, other_file(), fd, 0), fd, "SYS_dup3"); }

/* The first of two numbers goes first. */
static void by_copy(int fd)
{
    int copy = fcntl(fd, F_DUPFD, 50);
    expect(close(fd), 0, "close");
    expect(close(copy), 0, "close of the copy");
}

/* ---- a stream; the tail is still in its buffer ---- */

static void by_fclose(FILE *stream) { expect(fclose(stream), 0, "fclose"); }

static void by_freopen(FILE *stream)
{
    if (freopen("/dev/null", "r+", stream) != stream)
        err(1, "freopen");
}

static void by_freopen64(FILE *stream)
{
    if (freopen64("/dev/null", "r+", stream) != stream)
        err(1, "freopen64");
}

/* glibc's fcloseall flushes and leaves every descriptor open: the process's end closes them. */
static void by_fcloseall(FILE *stream)
{
    expect(fcloseall(), 0, "fcloseall");
    expect(fcntl(fileno(stream), F_GETFD) < 0, 0, "fcloseall leaves it open");
}

/* ---- shutdown first ---- */

static void shut_rd(int fd) { shutdown(fd, SHUT_RD); }
static void shut_wr(int fd) { shutdown(fd, SHUT_WR); }
static void shut_rdwr(int fd) { shutdown(fd, SHUT_RDWR); }
static void shut_raw(int fd) { syscall(SYS_shutdown, fd, SHUT_RDWR); }

/* ---- the process's end, with the connection open ---- */

static void end_exit(void) { exit(STATUS); }
static void end_bare_exit(void) { _exit(STATUS); }
static void end_c_exit(void) { _Exit(STATUS); }
static void end_quick_exit(void) { quick_exit(STATUS); }
static void end_raw_exit(void) { syscall(SYS_exit_group, STATUS); }

/* Its words would go to the connection, where that is standard error. */
static void end_errx(void)
{
    stderr = fopen("/dev/null", "w");
    errx(STATUS, "libc ends the process, by its own exit");
}

static void end_thread(void) { pthread_exit(NULL); }

static const struct way {
    const char *name;
    void (*shut)(int fd);
    void (*close)(int fd);        /* each of the connection's numbers */
    void (*stream)(FILE *stream); /* or each, but by a stream */
    void (*end)(void);            /* NULL: return from main */
} ways[] = {
    {"close", NULL, by_close, NULL, NULL},
    {"__close", NULL, by_alias, NULL, NULL},
    {"F_DUPFD", NULL, by_copy, NULL, NULL},
    {"dup2", NULL, by_dup2, NULL, NULL},
    {"__dup2", NULL, by_dup2_alias, NULL, NULL},
    {"dup3", NULL, by_dup3, NULL, NULL},
    {"close_range", NULL, by_range, NULL, NULL},
    {"closefrom", NULL, by_closefrom, NULL, NULL},
    {"syscall-close", NULL, by_raw_close, NULL, NULL},
    {"syscall-close_range", NULL, by_raw_range, NULL, NULL},
    {"syscall-dup3", NULL, by_raw_dup3, NULL, NULL},
    {"fclose", NULL, NULL, by_fclose, NULL},
    {"freopen", NULL, NULL, by_freopen, NULL},
    {"freopen64", NULL, NULL, by_freopen64, NULL},
    {"fcloseall", NULL, NULL, by_fcloseall, NULL},
    {"return", NULL, NULL, NULL, NULL},
    {"exit", NULL, NULL, NULL, end_exit},
    {"_exit", NULL, NULL, NULL, end_bare_exit},
    {"_Exit", NULL, NULL, NULL, end_c_exit},
    {"quick_exit", NULL, NULL, NULL, end_quick_exit},
    {"exit_group", NULL, NULL, NULL, end_raw_exit},
    {"errx", NULL, NULL, NULL, end_errx},
    {"pthread_exit", NULL, NULL, NULL, end_thread},
    {"shut-wr-close", shut_wr, by_close, NULL, NULL},
    {"shut-wr-exit", shut_wr, NULL, NULL, end_exit},
    {"shut-rd-close", shut_rd, by_close, NULL, NULL},
    {"shut-rd-exit", shut_rd, NULL, NULL, end_exit},
    {"shut-rdwr-close", shut_rdwr, by_close, NULL, NULL},
    {"shut-rdwr-exit", shut_rdwr, NULL, NULL, end_exit},
    {"shut-rdwr-_exit", shut_rdwr, NULL, NULL, end_bare_exit},
    {"syscall-shut-rdwr", shut_raw, by_close, NULL, NULL},
};

#endif
