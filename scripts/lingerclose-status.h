/*
 * lingerclose-status.c finds the processes and their pages, lingerclose-status-show.c shows them.
 */
#ifndef LINGERCLOSE_STATUS_H
#define LINGERCLOSE_STATUS_H

#include "../shim/stats.h"

#define FAILED 125 /* the exit status where it is ours that fails, as the launcher's */
#define WATCH_SECONDS 2
#define SECOND INT64_C(1000000000)

enum state {
    RUNS,
    ELSEWHERE, /* in another PID namespace: whether it runs cannot be told */
    ENDED,     /* also a sum of such */
    /* it has the shim, and no page: only pid and program are known */
    COUNTED_NONE, /* a forked child: not yet, or in its parent's page */
    KEEPS_NONE
};
struct row {
    enum state state;
    struct stats s;
};
extern struct row *rows; /* by program */
extern size_t count;

void show_table(void);
void show_detail(const struct row *);
void show_prometheus(void);

#endif
