/* What lingerclose-status prints: a table, all of one process, or Prometheus's text format. */
#include "lingerclose-status.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const end_names[ENDS] = {
    [END_EOF] = "eof",     [END_IDLE] = "idle",   [END_LINGER] = "linger", [END_DRAIN] = "drain",
    [END_BYTES] = "bytes", [END_ERROR] = "error", [END_EXIT] = "exit",     [END_NOW] = "now",
};
/* Those by which a connection is closed plainly. */
static const char *const why_names[WHYS] = {
    [WHY_FINISHED] = "finished", [WHY_HELD] = "held", [WHY_ABORT] = "abort", [WHY_ROLE] = "role",
    [WHY_PORT] = "port",         [WHY_IDLE] = "idle", [WHY_EPOLL] = "epoll",
};

static uint64_t of(const struct row *r, unsigned i) { return r->s.count[i]; }
static uint64_t ended(const struct row *r, enum end end) { return of(r, STAT_ENDED + end); }
static uint64_t decided(const struct row *r, enum why why) { return of(r, STAT_DECIDED + why); }
static int64_t now_lingering(const struct row *r) { return r->state == ENDED ? 0 : r->s.lingering; }

static uint64_t at_a_bound(const struct row *r)
{
    return ended(r, END_LINGER) + ended(r, END_DRAIN) + ended(r, END_BYTES) + ended(r, END_EXIT);
}

static uint64_t plain(const struct row *r)
{
    uint64_t n = 0;
    for (int why = 0; why < WHYS; why++)
        n += why_names[why] ? decided(r, why) : 0;
    return n;
}

static uint64_t waits(const struct row *r)
{
    uint64_t n = 0;
    for (int i = 0; i < STATS_WAITS; i++)
        n += of(r, STAT_WAITS + i);
    return n;
}

static void add_up(struct row *to, const struct row *r)
{
    for (int i = 0; i < STATS; i++)
        to->s.count[i] += r->s.count[i];
    to->s.lingering += now_lingering(r);
}

/* ---- the table ---- */

/* Below what most waits stayed: the bound in ms of the bucket that has the 95th of a hundred. */
static void put_p95(const struct row *r)
{
    uint64_t all = waits(r), n = 0;
    int i = 0;
    while (all && i < STATS_WAITS - 1 && (n += of(r, STAT_WAITS + i)) * 100 < all * 95)
        i++;
    if (!all)
        printf("%7s", "-");
    else if (i == STATS_WAITS - 1)
        printf("  >%d", 1 << (i - 1));
    else
        printf("%7d", 1 << i);
}

static void put_row(const char *who, const struct row *r)
{
    printf("%7s %-15.15s", who, r->s.program);
    if (r->state >= COUNTED_NONE) {
        printf("  has the shim, %s\n",
               r->state == KEEPS_NONE ? "keeps no counters here" : "has counted nothing of its own");
        return;
    }
    printf(" %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %6" PRIu64 " %5" PRIu64 " %5" PRIu64 " %4" PRIu64 " %7" PRIu64
           " %5" PRIu64 " %6" PRIu64 " %7" PRIu64 " %10" PRIu64,
           of(r, STAT_LINGERED) + plain(r), of(r, STAT_LINGERED), ended(r, END_EOF), ended(r, END_IDLE), at_a_bound(r),
           ended(r, END_ERROR), ended(r, END_NOW), decided(r, WHY_HELD), decided(r, WHY_ABORT),
           plain(r) - decided(r, WHY_HELD) - decided(r, WHY_ABORT), of(r, STAT_AVOIDED), of(r, STAT_DISCARDED));
    put_p95(r);
    printf(" %4" PRId64 "\n", now_lingering(r));
}

static void put_process(const struct row *r)
{
    char who[16];
    snprintf(who, sizeof who, r->state == ELSEWHERE ? "%d?" : "%d", r->s.pid);
    put_row(who, r);
}

/* Those of one program that have ended, in one line; rows are sorted. Returns the first of another program. */
static size_t put_ended(size_t i)
{
    struct row sum = {.state = ENDED};
    size_t first = i;
    memcpy(sum.s.program, rows[i].s.program, sizeof sum.s.program);
    for (; i < count && !strcmp(rows[i].s.program, rows[first].s.program); i++)
        if (rows[i].state == ENDED)
            add_up(&sum, &rows[i]);
    if (of(&sum, STAT_LINGERED) + plain(&sum))
        put_row("ended", &sum);
    return i;
}

void show_table(void)
{
    struct row all = {.state = RUNS, .s.program = "all"};
    printf("%7s %-15s %8s %8s %8s %6s %5s %5s %4s %7s %5s %6s %7s %10s %6s %4s\n", "PID", "PROGRAM", "CLOSES",
           "LINGERED", "EOF", "IDLE", "BOUND", "ERROR", "CUT", "HELD", "ABORT", "OTHER", "AVOIDED", "DISCARDED",
           "P95ms", "NOW");
    for (size_t i = 0; i < count; i++) {
        if (rows[i].state < COUNTED_NONE)
            add_up(&all, &rows[i]);
        if (rows[i].state != ENDED)
            put_process(&rows[i]);
    }
    for (size_t i = 0; i < count;)
        i = put_ended(i);
    put_row("", &all);
}

/* ---- one process ---- */

static void put_line(const char *what, uint64_t n) { printf("  %-42s %12" PRIu64 "\n", what, n); }

static void put_bytes(uint64_t n)
{
    if (n == UNLIMITED)
        printf("unlimited");
    else
        printf("%" PRIu64, n);
}

static void put_configuration(const struct stats *s)
{
    static const char *const modes[] = {"auto", "sync", "background"};
    printf("mode=%s steps=%s%s%s linger=%gs drain=%gs idle=%gs exit=%gs drain_bytes=", modes[s->config.mode % 3],
           s->config.steps & STEP_LINGER ? "linger," : "", s->config.steps & STEP_SHUTDOWN ? "shutdown," : "",
           s->config.steps & STEP_DRAIN ? "drain" : "", (double)s->config.linger / 1e9, (double)s->config.drain / 1e9,
           (double)s->config.idle / 1e9, (double)s->config.exit / 1e9);
    put_bytes(s->config.drain_bytes[0]);
    printf("/");
    put_bytes(s->config.drain_bytes[1]);
    printf(" roles=%s%s families=tcp%s when=%s abort=%s shutdown=%s max=%u ports=%s log=%s\n",
           s->config.roles & ROLE_ACCEPTED ? "accepted," : "", s->config.roles & ROLE_CONNECTED ? "connected" : "",
           s->config.families & FAMILY_UNIX ? ",unix" : "", s->config.when == WHEN_PENDING ? "pending" : "always",
           s->config.abort == ABORT_LINGER ? "linger" : "keep", s->config.shutdown ? "on" : "off", s->config.max,
           s->config.ports ? "some" : "all", s->config.log ? "on" : "off");
}

static void put_waits(const struct row *r)
{
    static const char bar[] = "########################################";
    uint64_t all = waits(r);
    for (int i = 0; i < STATS_WAITS; i++) {
        uint64_t n = of(r, STAT_WAITS + i);
        int length =
            n && n <= all ? (int)((double)n / (double)all * (double)(sizeof bar - 1)) : 0; /* a sum may overflow */
        if (n && i == STATS_WAITS - 1)
            printf("  longer            %12" PRIu64 "  %.*s\n", n, length, bar);
        else if (n)
            printf("  up to %7d ms  %12" PRIu64 "  %.*s\n", 1 << i, n, length, bar);
    }
}

void show_detail(const struct row *r)
{
    static const char *const said[] = {"runs", "in another PID namespace", "has ended"};
    char when[32];
    time_t t = r->s.realtime / SECOND;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&t));
    printf("process %d, %s: %s; counts since %s, lingerclose %s\n", r->s.pid, r->s.program, said[r->state], when,
           r->s.version);
    put_configuration(&r->s);
    printf("live connections that it let go of\n");
    put_line("in all", of(r, STAT_LINGERED) + plain(r));
    put_line("lingered", of(r, STAT_LINGERED));
    put_line("  linger now", (uint64_t)now_lingering(r));
    put_line("  ended by the peer's EOF", ended(r, END_EOF));
    put_line("  ended by silence (IDLE)", ended(r, END_IDLE));
    put_line("  our data not acknowledged in time (LINGER)", ended(r, END_LINGER));
    put_line("  the longest drain (DRAIN)", ended(r, END_DRAIN));
    put_line("  the most input (DRAIN_BYTES)", ended(r, END_BYTES));
    put_line("  the process's end (EXIT)", ended(r, END_EXIT));
    put_line("  an error, such as the peer's reset", ended(r, END_ERROR));
    put_line("  without a wait (MAX, STEPS)", ended(r, END_NOW));
    put_line("nothing to wait for", decided(r, WHY_FINISHED));
    put_line("left to another holder", decided(r, WHY_HELD));
    put_line("aborts kept", decided(r, WHY_ABORT));
    put_line("not asked for (ROLES, PORTS, WHEN)", decided(r, WHY_ROLE) + decided(r, WHY_PORT) + decided(r, WHY_IDLE));
    put_line("in doubt (an epoll set by a lost number)", decided(r, WHY_EPOLL));
    printf("what came of it\n");
    put_line("resets avoided", of(r, STAT_AVOIDED));
    put_line("bytes discarded", of(r, STAT_DISCARDED));
    put_line("lines of the log dropped", of(r, STAT_DROPPED));
    printf("waits\n");
    put_waits(r);
}

/* ---- Prometheus: the text format, version 0.0.4 ---- */

static void head(const char *name, const char *type, const char *help)
{
    printf("# HELP lingerclose_%s %s\n# TYPE lingerclose_%s %s\n", name, help, name, type);
}

/* {program="..." and not yet closed */
static void sample(const char *name, const struct row *r)
{
    printf("lingerclose_%s{program=\"", name);
    for (const char *c = r->s.program; *c; c++)
        printf(*c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    printf("\"");
}

static void each(const struct row *p, size_t n, const char *name, const char *type, const char *help, unsigned which)
{
    head(name, type, help);
    for (size_t i = 0; i < n; i++) {
        sample(name, &p[i]);
        printf("} %" PRIu64 "\n", of(&p[i], which));
    }
}

static void put_closes(const struct row *p, size_t n)
{
    head("closes_total", "counter", "Live connections that the program let go of, by what was decided.");
    for (size_t i = 0; i < n; i++) {
        sample("closes_total", &p[i]);
        printf(",decided=\"linger\"} %" PRIu64 "\n", of(&p[i], STAT_LINGERED));
        for (int why = 0; why < WHYS; why++)
            if (why_names[why]) {
                sample("closes_total", &p[i]);
                printf(",decided=\"%s\"} %" PRIu64 "\n", why_names[why], decided(&p[i], why));
            }
    }
    head("lingered_total", "counter", "Connections whose lingering is over, by how it ended.");
    for (size_t i = 0; i < n; i++)
        for (int end = 0; end < ENDS; end++)
            if (end_names[end]) {
                sample("lingered_total", &p[i]);
                printf(",end=\"%s\"} %" PRIu64 "\n", end_names[end], ended(&p[i], end));
            }
}

static void put_histogram(const struct row *p, size_t n)
{
    head("wait_seconds", "histogram", "How long connections lingered.");
    for (size_t i = 0; i < n; i++) {
        uint64_t below = 0;
        for (int b = 0; b < STATS_WAITS - 1; b++) {
            sample("wait_seconds_bucket", &p[i]);
            printf(",le=\"%g\"} %" PRIu64 "\n", (double)(1 << b) / 1000, below += of(&p[i], STAT_WAITS + b));
        }
        sample("wait_seconds_bucket", &p[i]);
        printf(",le=\"+Inf\"} %" PRIu64 "\n", waits(&p[i]));
        sample("wait_seconds_sum", &p[i]);
        printf("} %.9f\n", (double)of(&p[i], STAT_WAITED) / 1e9);
        sample("wait_seconds_count", &p[i]);
        printf("} %" PRIu64 "\n", waits(&p[i]));
    }
}

static void gauge(const struct row *p, size_t n, const char *name, const char *help, bool processes)
{
    head(name, "gauge", help);
    for (size_t i = 0; i < n; i++) {
        sample(name, &p[i]);
        printf("} %" PRId64 "\n", processes ? (int64_t)p[i].s.pid : p[i].s.lingering);
    }
}

/* By program, so that a restart makes no new series; those that have ended stay in the sums, so that these only grow. */
void show_prometheus(void)
{
    struct row *p = calloc(count + 1, sizeof *p);
    size_t n = 0;
    if (!p)
        err(FAILED, "programs");
    for (size_t i = 0; i < count; i++) {
        if (rows[i].state >= COUNTED_NONE)
            continue;
        if (n == 0 || strcmp(p[n - 1].s.program, rows[i].s.program))
            memcpy(p[n++].s.program, rows[i].s.program, sizeof p->s.program);
        add_up(&p[n - 1], &rows[i]);
        p[n - 1].s.pid += rows[i].state != ENDED; /* how many */
    }
    gauge(p, n, "processes", "Processes that have the shim and keep counters.", true);
    gauge(p, n, "lingering", "Connections that linger now.", false);
    put_closes(p, n);
    each(p, n, "discarded_bytes_total", "counter", "Input that was read and discarded.", STAT_DISCARDED);
    each(p, n, "resets_avoided_total", "counter", "Connections whose unread or late input would have meant a reset.",
         STAT_AVOIDED);
    each(p, n, "log_dropped_lines_total", "counter", "Lines of the log that could not be written.", STAT_DROPPED);
    put_histogram(p, n);
    free(p);
}
