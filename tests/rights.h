/* A connection sent from one process to another with SCM_RIGHTS. */
#ifndef RIGHTS_H
#define RIGHTS_H

#include "serve.h"
#include <sys/syscall.h>

/* mmsg, SYS_mmsg: by these calls; peek: the receiver peeks first; retry: the sender meets an error first */
static const char *message_by = "msg";

static inline long send_by(int to, struct msghdr *m)
{
    struct mmsghdr many = {.msg_hdr = *m};
    int bad = !strcmp(message_by, "retry") ? MSG_OOB : 0; /* AF_UNIX's SOCK_SEQPACKET has none: EOPNOTSUPP */

    if (bad && sendmsg(to, m, MSG_NOSIGNAL | bad) >= 0)
        return -1;
    if (!strcmp(message_by, "mmsg"))
        return sendmmsg(to, &many, 1, MSG_NOSIGNAL);
    if (!strcmp(message_by, "SYS_mmsg"))
        return syscall(SYS_sendmmsg, to, &many, 1, MSG_NOSIGNAL);
    return sendmsg(to, m, MSG_NOSIGNAL);
}

/* In m->msg_controllen: what has come. A peeked message brings descriptors too; they are closed. */
static inline long receive_by(int from, struct msghdr *m)
{
    struct mmsghdr many = {.msg_hdr = *m};
    int peeked;
    long n;

    if (!strcmp(message_by, "peek")) {
        if (recvmsg(from, &many.msg_hdr, MSG_PEEK | MSG_CMSG_CLOEXEC) <= 0)
            return -1;
        memcpy(&peeked, CMSG_DATA(CMSG_FIRSTHDR(&many.msg_hdr)), sizeof peeked);
        close(peeked);
    }
    if (strcmp(message_by, "mmsg") && strcmp(message_by, "SYS_mmsg"))
        return recvmsg(from, m, MSG_CMSG_CLOEXEC);
    if (!strcmp(message_by, "mmsg"))
        n = recvmmsg(from, &many, 1, MSG_CMSG_CLOEXEC, NULL);
    else
        n = syscall(SYS_recvmmsg, from, &many, 1, MSG_CMSG_CLOEXEC, NULL);
    *m = many.msg_hdr;
    return n < 0 ? n : (long)many.msg_len;
}

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
    if (send_by(to, &msg) < 0)
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

    if (receive_by(from, &msg) <= 0)
        _exit(0);
    if (msg.msg_controllen)
        memcpy(fds, CMSG_DATA(&control.header), control.header.cmsg_len - CMSG_LEN(0));
    *gate = (struct gate){.wait = fds[1], .open = -1};
    return fds[0];
}

#endif
