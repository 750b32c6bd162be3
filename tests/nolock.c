/* nolock F_SETLK|F_GETLK|F_GETFD EPERM|EACCES|ENOLCK|EINVAL command [args]: runs a command under a seccomp
 * filter that refuses that kind of fcntl() with that error, as a security module or an odd kernel may. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned number(const char *name)
{
    static const struct {
        const char *name;
        unsigned number;
    } known[] = {{"F_SETLK", F_SETLK}, {"F_GETLK", F_GETLK}, {"F_GETFD", F_GETFD}, {"EPERM", EPERM},
                 {"EACCES", EACCES},   {"ENOLCK", ENOLCK},   {"EINVAL", EINVAL}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name))
            return known[i].number;
    errx(2, "%s: not known here", name);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        errx(2, "usage: nolock F_SETLK|F_GETLK|F_GETFD ERROR command [args]");

    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        /* the low half of the second argument, on a little-endian machine */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number(argv[1]), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | number(argv[2])),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        err(77, "seccomp");
    execvp(argv[3], argv + 3);
    err(127, "%s", argv[3]);
}
