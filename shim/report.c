/*
 * What the shim has to say: warnings of the configuration, and one line of the log a connection. A stack buffer and one
 * write; no stdio. Never on a descriptor that the program owns, and never so that the program waits or gets a SIGPIPE.
 */
#include "lingerclose.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static char program[64];
static int log_fd = -1;
static struct stat64 log_file;

#define MOST (1 << 20)
static struct connection {
    struct sockaddr_in6 local, remote;
    const char *how;
} * connections; /* by descriptor; memory only where it is used, and none at all without a log */

struct line {
    size_t length;
    char text[768];
};

static void put(struct line *l, const char *s)
{
    while (*s && l->length < sizeof l->text - 1)
        l->text[l->length++] = *s++;
}

/* A value from outside: control characters must not forge a second line. */
static void put_quoted(struct line *l, const char *s)
{
    put(l, "\"");
    for (size_t most = 200; *s && most; s++, most--)
        put(l, (char[]){(unsigned char)*s < ' ' || *s == '"' || *s == 127 ? '?' : *s, 0});
    put(l, "\"");
}

static void put_number(struct line *l, uint64_t n, int width)
{
    char digits[24], *p = digits + sizeof digits - 1;
    *p = 0;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10, --width > 0 || n);
    put(l, p);
}

/* RFC 3339 in UTC, from the days since 1970 (H. Hinnant, "chrono-compatible low-level date algorithms"): gmtime_r may
   take the time zone's lock. */
static void put_time(struct line *l)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t days = t.tv_sec / 86400 + 719468, second = t.tv_sec % 86400;
    int64_t era = days / 146097, doe = days % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    const int64_t parts[] = {yoe + era * 400 + (month <= 2),
                             month,
                             doy - (153 * mp + 2) / 5 + 1,
                             second / 3600,
                             second / 60 % 60,
                             second % 60,
                             t.tv_nsec / MS};
    static const char *const before[] = {"", "-", "-", "T", ":", ":", "."};
    for (int i = 0; i < 7; i++) {
        put(l, before[i]);
        put_number(l, (uint64_t)parts[i], i == 0 ? 4 : i == 6 ? 3 : 2);
    }
    put(l, "Z");
}

static void put_address(struct line *l, const struct sockaddr_in6 *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    char text[INET6_ADDRSTRLEN] = "?";
    bool is_six = address->sin6_family == AF_INET6;
    if (is_six)
        inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text);
    else if (address->sin6_family == AF_INET)
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
    if (address->sin6_family == AF_UNIX) {
        put(l, "unix");
        return;
    }
    put(l, is_six ? "[" : "");
    put(l, text);
    put(l, is_six ? "]:" : ":");
    put_number(l, ntohs(four->sin_port), 0);
}

/* Is it still the file that it was? The program may have closed it, or have put its own under the number. */
static bool same_file(int fd, const struct stat64 *file)
{
    struct stat64 s; /* on 32 bit fstat(2) fails of a file that has grown beyond 2 GB */
    return !fstat64(fd, &s) && s.st_dev == file->st_dev && s.st_ino == file->st_ino;
}

/* A full pipe would make the program wait, and one that nobody reads would kill it. */
static void write_line(int fd, struct line *l)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    sigset_t pipe, before, pending;
    put(l, "\n");
    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
        return;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    if (bare_syscall(SYS_write, fd, l->text, l->length) < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

const char *report_program(void)
{
    char path[256];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (*program)
        return program;
    path[n > 0 ? n : 0] = 0;
    const char *name = strrchr(path, '/');
    strncpy(program, n > 0 && name ? name + 1 : program_invocation_short_name, sizeof program - 1);
    return program;
}

/* inetd's handlers have the client's connection as their stderr: it gets no word of ours. */
static bool stderr_is_ours(void)
{
    struct stat64 s;
    return !fstat64(2, &s) && !S_ISSOCK(s.st_mode);
}

/* "lingerclose: ", and the line of the file if it is about one */
static void put_place(struct line *l, bool file, unsigned line)
{
    put(l, "lingerclose: ");
    if (file)
        put(l, SETTINGS_FILE);
    if (line) {
        put(l, ":");
        put_number(l, line, 0);
    }
    put(l, file ? ": " : "");
}

void report_warning(const char *name, const char *value, const char *is_not, const char *accepted, const char *holds)
{
    struct line l = {0};
    unsigned line = setting_line(name);
    if (!stderr_is_ours())
        return;
    put_place(&l, line, line);
    put(&l, name);
    put(&l, "=");
    put_quoted(&l, value);
    put(&l, " is not ");
    put(&l, is_not);
    put(&l, "; accepted: ");
    put(&l, accepted);
    put(&l, " (default ");
    put(&l, holds);
    put(&l, " holds)");
    write_line(2, &l);
}

/* Of the whole file: what is wrong with it. */
void report_file(const char *what, const char *detail)
{
    struct line l = {0};
    if (!stderr_is_ours())
        return;
    put_place(&l, true, 0);
    put(&l, what);
    put(&l, detail);
    put(&l, "; accepted: a regular file of root's that nobody else may write (it is ignored)");
    write_line(2, &l);
}

void report_line(unsigned line, const char *text, const char *is_not, const char *accepted)
{
    struct line l = {0};
    if (!stderr_is_ours())
        return;
    put_place(&l, true, line);
    put_quoted(&l, text);
    put(&l, " is not ");
    put(&l, is_not);
    put(&l, "; accepted: ");
    put(&l, accepted);
    put(&l, " (the line is ignored)");
    write_line(2, &l);
}

/* The constructor's. The log of a path gets a number out of the program's way. */
void report_init(void)
{
    report_program();
    if (!config.log)
        return;
    if (!strcmp(config.log, "stderr")) {
        log_fd = stderr_is_ours() ? 2 : -1;
    } else {
        int fd =
            (int)bare_syscall(SYS_openat, AT_FDCWD, config.log,
                              O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_LARGEFILE, 0644);
        log_fd = fd < 0 ? -1 : descriptor_out_of_the_way(fd, OURS);
        if (fd < 0)
            report_warning("LINGERCLOSE_LOG", config.log, "a file that can be opened for writing",
                           "off, stderr or a path that starts with /", "off");
        else
            bare_close(fd);
    }
    if (log_fd < 0 || fstat64(log_fd, &log_file))
        return;
    void *p = mmap(NULL, MOST * sizeof *connections, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    connections = p == MAP_FAILED ? NULL : p;
}

/* Where a connection is noted while it goes: by its number, and by its parked number later. At the start, since one that
   is over has no remote address any more (ENOTCONN). */
void report_connection(int fd, const char *how)
{
    if (!connections || fd >= MOST)
        return;
    struct connection *c = &connections[fd];
    socklen_t length = sizeof c->local;
    *c = (struct connection){.how = how};
    getsockname(fd, (struct sockaddr *)&c->local, &length);
    length = sizeof c->remote;
    getpeername(fd, (struct sockaddr *)&c->remote, &length);
}

void report_moved(int from, int to)
{
    if (connections && from < MOST && to < MOST)
        connections[to] = connections[from];
}

void report_letgo(const struct lingering *l, enum end end)
{
    struct line line = {0};
    if (!connections || l->fd >= MOST || !same_file(log_fd, &log_file))
        return;
    const struct connection *c = &connections[l->fd];
    bool lingers = verdict_lingers(l->why);
    put(&line, "time=");
    put_time(&line);
    put(&line, " pid=");
    put_number(&line, (uint64_t)getpid(), 0);
    put(&line, " program=");
    put(&line, program);
    put(&line, " fd=");
    put_number(&line, (uint64_t)l->number, 0);
    put(&line, " local=");
    put_address(&line, &c->local);
    put(&line, " remote=");
    put_address(&line, &c->remote);
    put(&line, " how=");
    put(&line, c->how);
    put(&line, lingers ? " decided=linger why=" : " decided=close why=");
    put(&line, verdict_name(l->why));
    put(&line, " end=");
    put(&line, linger_end_name(lingers ? end : END_NONE));
    put(&line, " bytes=");
    put_number(&line, l->discarded, 0);
    put(&line, " ms=");
    put_number(&line, lingers ? (uint64_t)((now() - l->began) / MS) : 0, 0);
    write_line(log_fd, &line);
}
