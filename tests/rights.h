/* A connection sent from one process to another with SCM_RIGHTS. */
#ifndef RIGHTS_H
#define RIGHTS_H

#include "serve.h"

/* Passes a connection, and the gate where there is one, with the sender's number for it. */
static inline void pass(int to, int conn, struct gate gate)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    size_t fds = gate.wait >= 0 ? 2 : 1;
    struct iovec number = {&conn, sizeof conn};
    struct msghdr msg = {
        .msg_iov = &number, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(fds * sizeof(int))};

    control.header =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(fds * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), (int[]){conn, gate.wait}, fds * sizeof(int));
    if (sendmsg(to, &msg, MSG_NOSIGNAL) < 0)
        die("sendmsg");
}

static inline int receive(int from, int *number, struct gate *gate)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec iov = {number, sizeof *number};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int fds[2] = {-1, -1};

    if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) <= 0)
        _exit(0);
    if (msg.msg_controllen)
        memcpy(fds, CMSG_DATA(&control.header), control.header.cmsg_len - CMSG_LEN(0));
    *gate = (struct gate){.wait = fds[1], .open = -1};
    return fds[0];
}

#endif
