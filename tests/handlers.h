/* What the models of models.c share: the options, and the handler at the end of every path. */
#ifndef HANDLERS_H
#define HANDLERS_H

#include "serve.h"
#include <signal.h>
#include <sys/prctl.h>

static struct {
    size_t bytes;
    bool end_by_exit, gate, foreign;
    const char *exec; /* how a handler is begun, where not by execv or posix_spawn */
    int accept_flags, workers;
} opt = {.bytes = 20000, .workers = 4};

static void let_go(int conn)
{
    if (opt.end_by_exit)
        exit(0);
    close(conn);
}

static pid_t forked(void)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    return pid;
}

/* A worker lives as long as its parent. */
static pid_t forked_worker(void)
{
    pid_t parent = getpid(), pid = forked();

    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
    }
    return pid;
}

static _Noreturn void handle(int conn, struct gate gate)
{
    gate_wait(gate);
    answer(conn, opt.bytes);
    let_go(conn);
    _exit(0);
}

static void iterative(int conn)
{
    answer(conn, opt.bytes);
    let_go(conn);
}

#endif
