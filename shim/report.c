/*
 * What the shim has to say of connections: one line of the log each; the counters and the probes hear of the same
 * moments. No heap, no stdio, and nothing at all where nobody asked for it.
 */
#include "log.h"
#include "probes.h"
#include "stats.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MS INT64_C(1000000)
#define MOST (1 << 20)
enum { NOTICE = 5, INFORMATIONAL = 6 }; /* RFC 5424 section 6.2.1 */

static char program[64];

static struct connection {
    struct sockaddr_in6 local, remote;
    const char *how;
} * connections; /* by descriptor; memory only where it is used, and none at all without a log */

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

/* The constructor's. */
void report_init(void)
{
    report_program();
    stats_init();
    if (!log_init())
        return;
    void *p = mmap(NULL, MOST * sizeof *connections, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    connections = p == MAP_FAILED ? NULL : p;
}

/* A live connection is on its way out. With a log it is noted while it goes: by its number, and by its parked number
   later. At the start, since one that is over has no remote address any more (ENOTCONN). */
void report_connection(int fd, const char *how)
{
    probe_close_seen(fd);
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

bool report_has(int fd) { return log_is(fd); }

bool report_give_up(int fd) { return log_give_up(fd); }

void report_begins(const struct lingering *l)
{
    probe_linger_begin(l->number, verdict_name(l->why));
    stats_begins();
}

static void say(const struct lingering *l, const char *end, int64_t ns, unsigned severity)
{
    struct line line = {0};
    const struct connection *c = &connections[l->fd];
    put(&line, "time=");
    put_time(&line);
    put(&line, " pid=");
    put_number(&line, (uint64_t)getpid(), 0);
    put(&line, " program=");
    put_word(&line, program);
    put(&line, " fd=");
    put_number(&line, (uint64_t)l->number, 0);
    put(&line, " local=");
    put_address(&line, &c->local);
    put(&line, " remote=");
    put_address(&line, &c->remote);
    put(&line, " how=");
    put(&line, c->how);
    put(&line, verdict_lingers(l->why) ? " decided=linger why=" : " decided=close why=");
    put(&line, verdict_name(l->why));
    put(&line, " end=");
    put(&line, end);
    put(&line, " bytes=");
    put_number(&line, l->discarded, 0);
    put(&line, " ms=");
    put_number(&line, (uint64_t)(ns / MS), 0);
    log_line(&line, severity);
}

static bool ran_into_a_bound(enum end end)
{
    return end == END_LINGER || end == END_DRAIN || end == END_BYTES || end == END_EXIT;
}

/* It is over: lingered and ended so, or closed plainly. One that had nothing to wait for never began (letgo.c,
   first_drain()). The clock is read only for somebody who listens. */
void report_letgo(const struct lingering *l, enum end end)
{
    bool lingers = verdict_lingers(l->why), noted = connections && l->fd < MOST;
    bool asked = noted || stats_kept() || probe_linger_end_watched();
    int64_t ns = lingers && asked ? now() - l->began : 0;
    const char *name = linger_end_name(lingers ? end : END_NONE);
    if (lingers && !l->finishing)
        report_begins(l);
    if (lingers)
        probe_linger_end(l->number, name, l->discarded, ns);
    stats_letgo(l, end, ns);
    if (noted)
        say(l, name, ns, lingers && ran_into_a_bound(end) ? NOTICE : INFORMATIONAL);
}
