/* sandbox HOW CASE, or sandbox wrap COMMAND...: a server that puts itself into a sandbox like sshd's
 * before authentication: read, write, close, shutdown, poll, getpid and exit_group, and any other
 * call is death. Prints "port N", waits for input, goes in, writes its reply, lets go by CASE, and
 * says that it is alive.
 *   HOW   prctl, seccomp (by syscall), tsync (the same, for all threads), strict (read, write, _exit)
 *   CASE  close, shutdown, exit, quick_exit, child (forked after it), parent (a child goes in, not we), shared
 *         (as parent, and the connection is the child's to close), copies (as shared, but both have two numbers of it, and
 *         the parent closes when the child has closed one), background (something lingers)
 * wrap: a filter as a container has it, which refuses one harmless call, and then the command.
 */
#include "connection.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_poll /* aarch64 */
#define SYS_poll SYS_ppoll
#endif

enum { REPLY = 600000 };

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LOAD_NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))

static struct sock_filter jail[] = {
    LOAD_NUMBER,   ALLOW(read),       ALLOW(write),
    ALLOW(close),  ALLOW(shutdown),   ALLOW(poll),
    ALLOW(getpid), ALLOW(exit_group), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

/* What glibc's fork and waitpid need besides. */
static struct sock_filter jail_with_children[] = {
    LOAD_NUMBER,   ALLOW(read),           ALLOW(write),
    ALLOW(close),  ALLOW(shutdown),       ALLOW(poll),
    ALLOW(getpid), ALLOW(exit_group),     ALLOW(clone),
    ALLOW(wait4),  ALLOW(rt_sigprocmask), ALLOW(set_robust_list),
    ALLOW(gettid), ALLOW(rseq),           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static struct sock_filter container[] = {
    LOAD_NUMBER,
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_acct, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

#define PROGRAM(array) ((struct sock_fprog){sizeof(array) / sizeof *(array), array})

static void enter(const char *how, struct sock_fprog program)
{
    long ret;
    if (!strcmp(how, "strict")) {
        ret = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
    } else if (!strcmp(how, "prctl")) {
        ret = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    } else {
        int flags = !strcmp(how, "tsync") ? SECCOMP_FILTER_FLAG_TSYNC : 0;
        ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    }
    if (ret)
        err(1, "seccomp");
}

static void say(const char *words) { (void)!write(1, words, strlen(words)); }

static void reply(int fd)
{
    static char block[REPLY];
    pattern(block, 0, REPLY);
    if (write(fd, block, REPLY) != REPLY)
        say("short\n");
}

static void let_go(int fd, const char *what)
{
    reply(fd);
    if (!strcmp(what, "shutdown"))
        say(shutdown(fd, SHUT_RDWR) ? "shutdown failed\n" : "shut down\n");
    if (strcmp(what, "exit") && strcmp(what, "quick_exit"))
        say(close(fd) ? "close failed\n" : "closed\n");
    say("alive\n");
}

/* A connection to ourselves, with input unread, is handed to whoever lingers for us. */
static void leave_one_behind(void)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0), ends[2];
    if (bind(fd, (void *)&address, length) < 0 || listen(fd, 1) < 0 || getsockname(fd, (void *)&address, &length) < 0)
        err(1, "listen");
    ends[0] = dial(AF_INET, 0, ntohs(((struct sockaddr_in *)&address)->sin_port));
    ends[1] = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
    put(ends[0], 100);
    await_input(ends[1]);
    if (close(ends[1]) < 0)
        err(1, "close");
}

static void wait_for_byte(int fd)
{
    if (read(fd, &(char){0}, 1) != 1)
        err(1, "read");
}

static int wait_for(pid_t pid)
{
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(2, "usage: sandbox HOW CASE | wrap COMMAND");
    const char *how = argv[1], *what = argv[2];
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        err(1, "no_new_privs");
    if (!strcmp(how, "wrap")) {
        enter("prctl", PROGRAM(container));
        execvp(argv[2], argv + 2);
        err(127, "%s", argv[2]);
    }
    int fd = answer(AF_INET, 0, 0);
    await_input(fd);
    fflush(stdout);
    if (!strcmp(what, "background"))
        leave_one_behind();
    if (!strcmp(what, "child")) {
        enter(how, PROGRAM(jail_with_children));
        pid_t pid = fork();
        if (!pid) {
            let_go(fd, "close");
            _exit(0);
        }
        close(fd);
        _exit(wait_for(pid));
    }
    if (!strcmp(what, "copies")) {
        int copy = dup(fd), go[2], done[2];
        if (copy < 0 || pipe(go) || pipe(done))
            err(1, "pipe");
        pid_t pid = fork();
        if (!pid) {
            enter(how, PROGRAM(jail));
            close(copy);
            say("closed one\n");
            (void)!write(go[1], "", 1);
            wait_for_byte(done[0]);
            let_go(fd, "close");
            _exit(0);
        }
        wait_for_byte(go[0]);
        close(copy);
        close(fd);
        (void)!write(done[1], "", 1);
        _exit(wait_for(pid));
    }
    if (!strcmp(what, "parent") || !strcmp(what, "shared")) {
        pid_t pid = fork();
        if (!pid) {
            enter(how, PROGRAM(jail));
            if (!strcmp(what, "shared"))
                let_go(fd, "close");
            _exit(0);
        }
        if (!strcmp(what, "shared"))
            close(fd);
        int status = wait_for(pid);
        if (!strcmp(what, "parent"))
            let_go(fd, "close");
        _exit(status);
    }
    enter(how, PROGRAM(jail));
    if (!strcmp(how, "strict")) {
        reply(fd);
        say("alive\n");
        syscall(SYS_exit, 0);
    }
    let_go(fd, what);
    if (!strcmp(what, "exit"))
        exit(0);
    if (!strcmp(what, "quick_exit"))
        quick_exit(0);
    _exit(0);
}
