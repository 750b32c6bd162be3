/*
 * Where the lines of the log go: standard error, a file, the local syslog, the journal. Never on a descriptor that the
 * program owns, and never so that the program waits or gets a signal. What could not be written is counted, and the next
 * line that can be says so.
 */
#include "log.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static enum { STREAM, SYSLOG, JOURNAL } target;
static _Atomic int log_fd = -1;
static struct stat64 log_file;
static _Atomic uint64_t dropped; /* lines since the last one that got through */

static const struct sockaddr_un daemons[] = {
    [SYSLOG] = {AF_UNIX, "/dev/log"},                     /* syslog(3) */
    [JOURNAL] = {AF_UNIX, "/run/systemd/journal/socket"}, /* systemd's "Native Journal Protocol" */
};

/* Is it still the file, or the socket, that it was? The program may have closed it, or have put its own under the
   number. */
static bool same_file(int fd, const struct stat64 *file)
{
    struct stat64 s; /* on 32 bit fstat(2) fails of a file that has grown beyond 2 GB */
    return !fstat64(fd, &s) && s.st_dev == file->st_dev && s.st_ino == file->st_ino;
}

/* A full pipe would make the program wait; one that nobody reads, and a file at its limit (RLIMIT_FSIZE), would kill it.
   Both signals are the thread's own: pipe_write(), generic_write_check_limits(). */
bool log_write(int fd, const char *text, size_t length)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    sigset_t deadly, before, pending;
    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
        return false;
    sigemptyset(&deadly);
    sigaddset(&deadly, SIGPIPE);
    sigaddset(&deadly, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &deadly, &before);
    bool written = bare_syscall(SYS_write, fd, text, length) >= 0;
    int mine = written ? 0 : errno == EPIPE ? SIGPIPE : errno == EFBIG ? SIGXFSZ : 0;
    if (mine && !sigismember(&pending, mine)) {
        sigemptyset(&deadly);
        sigaddset(&deadly, mine);
        sigtimedwait(&deadly, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return written;
}

/* inetd's handlers have the client's connection as their stderr: it gets no word of ours. A service of systemd has a
   stream to the journal there, and is told which it is. */
bool log_stderr_is_ours(void)
{
    struct stat64 s;
    struct line it = {0};
    const char *journal = setting_journal_stream();
    if (fstat64(2, &s))
        return false;
    put_number(&it, s.st_dev, 0);
    put(&it, ":");
    put_number(&it, s.st_ino, 0);
    return !S_ISSOCK(s.st_mode) || (journal && !strcmp(journal, it.text));
}

static bool reach(int fd) { return bare_syscall(SYS_connect, fd, &daemons[target], sizeof daemons[target]) == 0; }

/* Connected at the start, since a program that does chroot finds neither later. */
static int open_socket(void)
{
    int fd = (int)bare_syscall(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || reach(fd))
        return fd;
    bare_close(fd);
    return -1;
}

static int open_target(void)
{
    if (!strcmp(config.log, "syslog") || !strcmp(config.log, "journal")) {
        target = *config.log == 's' ? SYSLOG : JOURNAL;
        return open_socket();
    }
    return (int)bare_syscall(SYS_openat, AT_FDCWD, config.log,
                             O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_LARGEFILE, 0644);
}

/* The constructor's. All but stderr get a number out of the program's way. true: there is a log. */
bool log_init(void)
{
    if (!config.log)
        return false;
    if (!strcmp(config.log, "stderr")) {
        log_fd = log_stderr_is_ours() ? 2 : -1;
    } else {
        int fd = open_target();
        log_fd = fd < 0 ? -1 : parking_out_of_the_way(fd, OURS);
        if (fd < 0)
            report_warning("LINGERCLOSE_LOG", config.log,
                           target ? "listening here" : "a file that can be opened for writing",
                           "off, stderr, syslog, journal or a path that starts with /", "off");
        else
            bare_close(fd);
    }
    return log_fd >= 0 && !fstat64(log_fd, &log_file);
}

bool log_is(int fd) { return fd == log_fd; }

/* The program wants the number (dup2): the log goes on under another, or, with none left, is over. false: it is not here. */
bool log_give_up(int fd)
{
    if (!log_is(fd))
        return false;
    log_fd = parking_out_of_the_way(fd, OURS);
    set_drop(OURS, fd);
    return true;
}

/* The daemon may have been started anew, under a socket of its own. */
static bool send_datagram(const char *text, size_t length)
{
    for (int tries = 0; tries < 2; tries++) {
        if (bare_syscall(SYS_sendto, log_fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) >= 0)
            return true;
        if (errno == EAGAIN || !reach(log_fd))
            break;
    }
    return false;
}

/* RFC 3164 as local daemons take it, facility daemon (3). No time: the line has one, and where there is none the daemon
   puts its own (section 4.3.2); its form would need the time zone. */
static bool to_syslog(const struct line *l, unsigned severity)
{
    struct line m = {0};
    put(&m, "<");
    put_number(&m, 3 * 8 + severity, 0);
    put(&m, ">lingerclose[");
    put_number(&m, (uint64_t)getpid(), 0);
    put(&m, "]: ");
    put(&m, l->text);
    return send_datagram(m.text, m.length);
}

/* The line as MESSAGE, and each of its words as a field: name=value becomes LINGERCLOSE_NAME=value. */
static bool to_journal(const struct line *l, unsigned severity)
{
    struct line m = {0};
    put(&m, "SYSLOG_IDENTIFIER=lingerclose\nSYSLOG_FACILITY=3\nPRIORITY=");
    put_number(&m, severity, 0);
    put(&m, "\nMESSAGE=");
    put(&m, l->text);
    bool name = true, begins = true;
    for (const char *s = l->text; *s; s++) {
        put(&m, begins ? "\nLINGERCLOSE_" : "");
        begins = *s == ' ';
        name = begins || (name && *s != '=');
        if (!begins)
            put(&m, (char[]){name && *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s, 0});
    }
    put(&m, "\n");
    return send_datagram(m.text, m.length);
}

static bool to_stream(struct line *l)
{
    put(l, "\n");
    return log_write(log_fd, l->text, l->length);
}

/* severity: RFC 5424 section 6.2.1 */
void log_line(struct line *l, unsigned severity)
{
    uint64_t before = atomic_load(&dropped) ? atomic_exchange(&dropped, 0) : 0;
    if (before) {
        put(l, " dropped=");
        put_number(l, before, 0);
    }
    if (same_file(log_fd, &log_file) && (target == SYSLOG    ? to_syslog(l, severity)
                                         : target == JOURNAL ? to_journal(l, severity)
                                                             : to_stream(l)))
        return;
    atomic_fetch_add(&dropped, before + 1);
    stats_dropped();
}
