/* The models in which one process accepts and passes each connection to a worker by SCM_RIGHTS. */
#ifndef PASSING_H
#define PASSING_H

#include "execs.h"
#include "rights.h"
#include <poll.h>

static _Noreturn void passing_worker(int from, bool tell)
{
    for (;;) {
        struct gate gate;
        int number = 0, conn = receive(from, &number, &gate);

        gate_wait(gate);
        answer(conn, opt.bytes);
        let_go(conn);
        if (tell && send(from, &number, sizeof number, MSG_NOSIGNAL) < 0)
            die("send");
    }
}

/* A program of its own: it shares no memory with the sender. */
static _Noreturn void passing_program(int from, bool tell)
{
    dup2(from, 0);
    execv(self, (char *[]){self, tell ? "worker-tells" : "worker", "--bytes", bytes_arg, NULL});
    die(self);
}

static void start_passing_workers(struct pollfd *workers, bool tell)
{
    for (int i = 0; i < opt.workers; i++) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            die("socketpair");
        if (!forked_worker())
            (opt.foreign ? passing_program : passing_worker)(pair[1], tell);
        close(pair[1]);
        workers[i] = (struct pollfd){.fd = pair[0], .events = POLLIN};
    }
}

enum { WORKER_FD = 3 };

/* A worker that is another program: nothing that its parent remembers tells of it. It says when it is about to close. */
static _Noreturn void stranger_main(void)
{
    for (;;) {
        struct gate gate;
        int number = 0, conn = receive(WORKER_FD, &number, &gate);

        answer(conn, opt.bytes);
        if (send(WORKER_FD, &number, sizeof number, MSG_NOSIGNAL) < 0)
            die("send");
        let_go(conn);
    }
}

/* The sender closes when the worker does. */
static void scm_stranger(int listener)
{
    int pair[2], conn;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    if (!forked_worker()) {
        if (dup2(pair[1], WORKER_FD) < 0)
            die("dup2");
        execv(self, (char *[]){self, "stranger", "--bytes", bytes_arg, NULL});
        die("execv");
    }
    close(pair[1]);
    for (;;) {
        conn = accept_one(listener, opt.accept_flags);
        pass(pair[0], conn, gate_make(false));
        if (recv(pair[0], &(int){0}, sizeof(int), 0) <= 0)
            die("recv");
        close(conn);
    }
}

/* The sender closes at once. */
static void scm(int listener)
{
    struct pollfd workers[opt.workers];

    start_passing_workers(workers, false);
    for (int next = 0;; next = (next + 1) % opt.workers) {
        struct gate gate = gate_make(opt.gate);
        int conn = accept_one(listener, opt.accept_flags);

        pass(workers[next].fd, conn, gate);
        close(conn);
        gate_open(gate);
    }
}

/* The sender keeps its own and closes when the worker tells it that it has closed. */
static void scm_keep(int listener)
{
    struct pollfd fds[1 + opt.workers];

    start_passing_workers(fds + 1, true);
    fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (int next = 0; poll(fds, 1 + (nfds_t)opt.workers, -1) > 0;) {
        for (int i = 1, conn; i <= opt.workers; i++)
            if (fds[i].revents && recv(fds[i].fd, &conn, sizeof conn, 0) == sizeof conn)
                close(conn);
        if (fds[0].revents) {
            pass(fds[1 + next].fd, accept_one(listener, opt.accept_flags), gate_make(false));
            next = (next + 1) % opt.workers;
        }
    }
}

#endif
