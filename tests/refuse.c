/* refuse nproc | EAGAIN | EPERM | ENOSYS | close_range COMMAND [ARG...]: the command may not create threads, or not call
 * close_range(2), as on a kernel before 5.9.
 *
 *   nproc     it is another user, whose limit of processes is one (RLIMIT_NPROC); needs root
 *   EAGAIN... a seccomp filter, there from the start as a container's is, answers clone for a thread, and every clone3,
 *             with this error. Processes can be forked all the same. */
#include <err.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void filter(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ, SYS_clone3, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ, SYS_clone, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET, CLONE_THREAD, 0, 1),
        BPF_STMT(BPF_RET, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        err(77, "seccomp");
}

static void no_close_range(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        err(77, "seccomp");
}

int main(int argc, char **argv)
{
    enum { NOBODY_ELSE = 54321 };
    if (argc < 3)
        errx(2, "usage: refuse nproc|EAGAIN|EPERM|ENOSYS|close_range COMMAND [ARG...]");
    if (!strcmp(argv[1], "nproc")) {
        if (setrlimit(RLIMIT_NPROC, &(struct rlimit){1, 1}) || setgid(NOBODY_ELSE) || setuid(NOBODY_ELSE))
            err(77, "nproc");
    } else if (!strcmp(argv[1], "close_range")) {
        no_close_range();
    } else {
        filter(!strcmp(argv[1], "EAGAIN") ? EAGAIN : !strcmp(argv[1], "EPERM") ? EPERM : ENOSYS);
    }
    execvp(argv[2], argv + 2);
    err(127, "%s", argv[2]);
}
