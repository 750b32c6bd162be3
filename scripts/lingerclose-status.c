/*
 * lingerclose-status [PID] [--prometheus] [--watch]: which processes have the shim, and what it did for them. Reads the
 * pages that they keep in LINGERCLOSE_STATS (shim/stats.h), and /proc for those that keep none.
 *
 * Pages are read, not mapped, and nothing in them is trusted: anybody may have made one where the directory lets him.
 */
#include "lingerclose-status.h"

#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

struct row *rows;
size_t count;

static struct row *new_row(enum state state)
{
    struct row *more = realloc(rows, (count + 1) * sizeof *rows);
    if (!more)
        err(FAILED, "rows");
    rows = more;
    rows[count] = (struct row){.state = state};
    return &rows[count++];
}

static size_t slurp(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

/* When the process began, CLOCK_BOOTTIME in ns to a tick, its 22nd field: proc(5); -1: there is none any more. */
static int64_t began(int pid)
{
    char path[64], text[1024], *at, state;
    unsigned long long ticks;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!slurp(path, text, sizeof text) || !(at = strrchr(text, ')')) ||
        sscanf(at + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &state,
               &ticks) != 2)
        return -1;
    return state == 'Z' ? -1 : (int64_t)ticks * (SECOND / sysconf(_SC_CLK_TCK));
}

/* Has it mapped the file of that name, or of that inode? unknown: what is said of one that we may not look into. */
static bool maps(int pid, const char *name, unsigned long inode, bool unknown)
{
    char path[64], line[4352];
    unsigned long i;
    bool any = false, found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        any = true;
        found = name ? strstr(line, name) != NULL : sscanf(line, "%*s %*s %*s %*s %lu", &i) == 1 && i == inode;
    }
    if (f)
        fclose(f);
    return any ? found : unknown;
}

/* Its page belongs to root, or to a user that the process is. */
static bool owner_fits(int pid, uid_t owner)
{
    char path[64], text[4096], *at;
    unsigned u[4];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (owner == 0 || !slurp(path, text, sizeof text) || !(at = strstr(text, "\nUid:")) ||
        sscanf(at, "\nUid: %u %u %u %u", u, u + 1, u + 2, u + 3) != 4)
        return owner == 0;
    return owner == u[0] || owner == u[1] || owner == u[2] || owner == u[3];
}

static enum state state_of(const struct stats *s, const struct stat *file)
{
    struct stat ns;
    if (s->pid == 0)
        return ENDED;
    if (stat("/proc/self/ns/pid", &ns) || ns.st_ino != s->pid_namespace)
        return ELSEWHERE;
    int64_t start = began(s->pid);
    if (start < 0 || start > s->boottime + SECOND / sysconf(_SC_CLK_TCK))
        return ENDED;
    return owner_fits(s->pid, file->st_uid) && maps(s->pid, NULL, file->st_ino, true) ? RUNS : ENDED;
}

/* Names and what pages say come from outside: a control character must not forge a line or drive a terminal. */
static void make_printable(char *s)
{
    for (; *s; s++)
        *s = isprint((unsigned char)*s) ? *s : '?';
}

static void read_page(int dir, const char *directory, char *name)
{
    struct stat file;
    struct stats s;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    make_printable(name);
    if (fd < 0 || fstat(fd, &file) || !S_ISREG(file.st_mode) ||
        (file.st_size && (read(fd, &s, sizeof s) != sizeof s || s.magic != STATS_MAGIC)))
        warnx("%s/%s is left out: %s", directory, name,
              fd < 0 ? strerror(errno) : "no page of counters, or one of another version of lingerclose");
    else if (file.st_size) { /* else it is just being made */
        s.program[sizeof s.program - 1] = s.version[sizeof s.version - 1] = 0;
        make_printable(s.program);
        make_printable(s.version);
        new_row(RUNS)->s = s;
        rows[count - 1].state = state_of(&s, &file);
    }
    if (fd >= 0)
        close(fd);
}

static void read_pages(const char *directory)
{
    DIR *d = opendir(directory);
    if (!d)
        err(FAILED, "%s, where the counters are to be (LINGERCLOSE_STATS)", directory);
    for (struct dirent *e; (e = readdir(d));)
        if (isdigit((unsigned char)*e->d_name) || !strncmp(e->d_name, "ended.", 6))
            read_page(dirfd(d), directory, e->d_name);
    closedir(d);
}

static bool listed(int pid)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].state == RUNS && rows[i].s.pid == pid)
            return true;
    return false;
}

/* Processes that have the shim and no page of their own. A forked child has mapped its parent's. */
static void read_proc(const char *directory)
{
    DIR *d = opendir("/proc");
    char real[PATH_MAX], page[PATH_MAX + 2];
    snprintf(page, sizeof page, " %s/", realpath(directory, real) ? real : directory);
    for (struct dirent *e; d && (e = readdir(d));) {
        int pid = atoi(e->d_name);
        char path[64];
        if (pid <= 0 || pid == getpid() || listed(pid) || !maps(pid, "/liblingerclose.so", 0, false))
            continue;
        struct row *r = new_row(maps(pid, page, 0, false) ? COUNTED_NONE : KEEPS_NONE);
        r->s.pid = pid;
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        slurp(path, r->s.program, sizeof r->s.program);
        r->s.program[strcspn(r->s.program, "\n")] = 0;
        make_printable(r->s.program);
    }
    if (d)
        closedir(d);
}

static int number(const char *s)
{
    char *end;
    long n = isdigit((unsigned char)*s) ? strtol(s, &end, 10) : 0;
    return n > 0 && n <= INT_MAX && !*end ? (int)n : -1;
}

static int by_program(const void *a, const void *b)
{
    const struct row *r = a, *q = b;
    int order = strcmp(r->s.program, q->s.program);
    return order ? order : (r->s.pid > q->s.pid) - (r->s.pid < q->s.pid);
}

static void look(const char *directory)
{
    count = 0;
    read_pages(directory);
    read_proc(directory);
    if (count)
        qsort(rows, count, sizeof *rows, by_program);
}

static int show_process(int pid, const char *directory)
{
    const struct row *found = NULL;
    for (size_t i = 0; i < count; i++)
        if (rows[i].s.pid == pid && (!found || rows[i].state == RUNS || rows[i].s.boottime > found->s.boottime))
            found = &rows[i];
    if (!found)
        warnx("process %d has no page of counters in %s, and has not loaded the shim as far as can be seen", pid,
              directory);
    else if (found->state == COUNTED_NONE)
        warnx("process %d (%s) has counted nothing of its own, as a forked child does before its first close", pid,
              found->s.program);
    else if (found->state == KEEPS_NONE)
        warnx("process %d (%s) has the shim, but keeps no counters in %s: it was started without LINGERCLOSE_STATS=%s",
              pid, found->s.program, directory, directory);
    else
        show_detail(found);
    return found && found->state < COUNTED_NONE ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *directory = getenv("LINGERCLOSE_STATS");
    bool prometheus = false, watch = false;
    int pid = 0, status = 0;
    program_invocation_short_name = (char *)"lingerclose";
    if (!directory || *directory != '/')
        directory = "/run/lingerclose";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--prometheus"))
            prometheus = true;
        else if (!strcmp(argv[i], "--watch"))
            watch = true;
        else if (pid || (pid = number(argv[i])) <= 0) {
            make_printable(argv[i]);
            errx(FAILED, "--status \"%s\" is not a process; accepted: a process id, --prometheus, --watch", argv[i]);
        }
    }
    if (prometheus && (watch || pid))
        errx(FAILED, "--prometheus is one snapshot of all programs: neither --watch nor a process id goes with it");
    do {
        look(directory);
        if (watch && isatty(1))
            printf("\033[H\033[J"); /* ECMA-48: home, erase to the end */
        if (prometheus)
            show_prometheus();
        else if (pid)
            status = show_process(pid, directory);
        else
            show_table();
        if (fflush(stdout))
            err(FAILED, "standard output");
    } while (watch && !status && !nanosleep(&(struct timespec){WATCH_SECONDS, 0}, NULL));
    return status;
}
