/* dups CASE [option...]: what a process can do with several descriptors of one connection.
 *
 * It prints "port N" and serves one connection after the other: half of the reply, the case, the
 * other half by the descriptor that is left.
 *   --bytes N     length of the reply
 *   --child       a child forked before the case closes its own after it, before the second half:
 *                 it must find that we still hold the connection
 *   --message HOW how a connection is passed: message_by in rights.h
 *   --end HOW     the last descriptor is let go by close, dup2 or dup3 over it */
#include "rights.h"
#include <dlfcn.h>
#include <getopt.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static size_t bytes = 20000;
static bool with_child;
static const char *end = "close";
static int null = -1;

static void expect(int error, int result)
{
    if (result >= 0 || errno != error) {
        fprintf(stderr, "dups: returned %d, errno %d instead of %d\n", result, errno, error);
        _exit(1);
    }
}

static int checked(int fd)
{
    if (fd < 0)
        die("dups");
    return fd;
}

/* Two descriptors, one closed in whatever way: the other is as good as before. */
static int first_closed(int conn, int other)
{
    checked(other);
    close(conn);
    return other;
}

static int second_closed(int conn, int other)
{
    close(checked(other));
    return conn;
}

static int nothing(int conn) { return conn; }

static int dup_first(int conn) { return first_closed(conn, dup(conn)); }

static int dup_second(int conn) { return second_closed(conn, dup(conn)); }

static int dup2_first(int conn) { return first_closed(conn, dup2(conn, 60)); }

static int dup3_first(int conn) { return first_closed(conn, dup3(conn, 60, O_CLOEXEC)); }

static int dupfd_first(int conn) { return first_closed(conn, fcntl(conn, F_DUPFD, 60)); }

static int dupfd_cloexec_first(int conn) { return first_closed(conn, fcntl(conn, F_DUPFD_CLOEXEC, 60)); }

static int raw_dup_first(int conn) { return first_closed(conn, (int)syscall(SYS_dup, conn)); }

static int raw_dup3_first(int conn) { return first_closed(conn, (int)syscall(SYS_dup3, conn, 60, 0)); }

static int raw_dupfd_first(int conn) { return first_closed(conn, (int)syscall(SYS_fcntl, conn, F_DUPFD, 60)); }

static int getfd_first(int conn)
{
    int me = checked((int)syscall(SYS_pidfd_open, getpid(), 0));
    int other = (int)syscall(SYS_pidfd_getfd, me, conn, 0);

    close(me);
    return first_closed(conn, other);
}

/* glibc has a function for it since 2.36. */
static int getfd_wrapped_first(int conn)
{
    int (*wrapper)(int, int, unsigned) = (int (*)(int, int, unsigned))dlsym(RTLD_DEFAULT, "pidfd_getfd");
    int me = checked((int)syscall(SYS_pidfd_open, getpid(), 0));
    int other = wrapper ? wrapper(me, conn, 0) : (int)syscall(SYS_pidfd_getfd, me, conn, 0);

    close(me);
    return first_closed(conn, other);
}

/* Nothing but the message holds the connection when `last` closes. */
static int from_the_message(int conn, int last)
{
    int pair[2], number = 0, other;
    struct gate none = {-1, -1};

    checked(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    pass(pair[0], conn, none);
    close(conn);
    if (last >= 0)
        close(last);
    other = receive(pair[1], &number, &none);
    close(pair[0]);
    close(pair[1]);
    return other;
}

static int passed_to_itself(int conn) { return from_the_message(conn, -1); }

static int copy_passed(int conn) { return from_the_message(checked(dup(conn)), conn); }

static int highest(int conn) { return first_closed(conn, fcntl(conn, F_DUPFD, raise_file_limit() - 1)); }

/* What sshd does: several copies, and others put over some of them. */
static int several(int conn)
{
    int a = checked(dup(conn)), b = checked(dup(conn)), c = checked(dup2(conn, 60));

    checked(dup2(null, a));
    checked(dup3(null, c, O_CLOEXEC));
    close(conn);
    close(a);
    close(c);
    return b;
}

static int dup2_over_second(int conn)
{
    int other = checked(dup(conn));

    checked(dup2(null, other));
    return second_closed(conn, other);
}

static int dup3_over_second(int conn)
{
    int other = checked(dup(conn));

    checked(dup3(null, other, O_CLOEXEC));
    return second_closed(conn, other);
}

/* The target is closed and becomes the same connection again. */
static int dup2_over_a_dup_of_itself(int conn)
{
    int other = checked(dup(conn));

    checked(dup2(conn, other));
    return first_closed(conn, other);
}

static int dup2_to_itself(int conn)
{
    if (dup2(conn, conn) != conn)
        die("dup2 to itself");
    return conn;
}

static int dup3_to_itself(int conn)
{
    expect(EINVAL, dup3(conn, conn, 0));
    return conn;
}

static int bad_source(int conn)
{
    expect(EBADF, dup2(-1, conn));
    expect(EBADF, dup2(9999, conn));
    expect(EBADF, dup3(9999, conn, O_CLOEXEC));
    return conn;
}

static int bad_flags(int conn)
{
    expect(EINVAL, dup3(null, conn, 0x40));
    return conn;
}

static int bad_target(int conn)
{
    expect(EBADF, dup2(conn, -1));
    expect(EINVAL, fcntl(conn, F_DUPFD, -1));
    return conn;
}

/* An open target that the limit, which has fallen meanwhile, no longer allows: the kernel refuses, and leaves it alone. */
static int beyond_the_limit(int conn)
{
    int high = second_closed(checked(fcntl(conn, F_DUPFD, 200)), conn);
    struct rlimit limit, low;

    getrlimit(RLIMIT_NOFILE, &limit);
    low = (struct rlimit){150, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    expect(EBADF, dup2(null, high));
    expect(EBADF, dup3(null, high, O_CLOEXEC));
    setrlimit(RLIMIT_NOFILE, &limit);
    return high;
}

/* libc closes the stream's descriptor where no hook of close sees it, and with it the kernel drops
 * all locks that this process has on the connection. */
static int hidden_close(int conn)
{
    FILE *stream = fdopen(checked(dup(conn)), "r");

    if (!stream || fclose(stream))
        die("fclose");
    return conn;
}

static const struct {
    const char *name;
    int (*play)(int conn);
} cases[] = {
    {"nothing", nothing},
    {"dup", dup_first},
    {"dup-second", dup_second},
    {"dup2", dup2_first},
    {"dup3", dup3_first},
    {"dupfd", dupfd_first},
    {"dupfd-cloexec", dupfd_cloexec_first},
    {"raw-dup", raw_dup_first},
    {"raw-dup3", raw_dup3_first},
    {"raw-dupfd", raw_dupfd_first},
    {"getfd", getfd_first},
    {"getfd-wrapped", getfd_wrapped_first},
    {"passed-to-itself", passed_to_itself},
    {"copy-passed", copy_passed},
    {"highest", highest},
    {"several", several},
    {"dup2-over-second", dup2_over_second},
    {"dup3-over-second", dup3_over_second},
    {"dup2-over-a-dup-of-itself", dup2_over_a_dup_of_itself},
    {"dup2-to-itself", dup2_to_itself},
    {"dup3-to-itself", dup3_to_itself},
    {"bad-source", bad_source},
    {"bad-flags", bad_flags},
    {"bad-target", bad_target},
    {"beyond-the-limit", beyond_the_limit},
    {"hidden-close", hidden_close},
};

static pid_t child_that_closes(int conn, struct gate gate)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (!pid) {
        gate_wait(gate);
        close(conn);
        _exit(0);
    }
    return pid;
}

static void serve(int conn, int (*play)(int conn))
{
    pid_t child = 0;

    if (read_request(conn)) {
        struct gate gate = gate_make(with_child);

        reply(conn, 0, bytes / 2);
        if (with_child)
            child = child_that_closes(conn, gate);
        conn = play(conn);
        gate_open(gate);
        if (child && waitpid(child, NULL, 0) < 0)
            die("waitpid");
        reply(conn, bytes / 2, bytes);
    }
    if (!strcmp(end, "dup2"))
        dup2(null, conn);
    else if (!strcmp(end, "dup3"))
        dup3(null, conn, O_CLOEXEC);
    close(conn);
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"bytes", required_argument, NULL, 'b'},
                                          {"child", no_argument, NULL, 'c'},
                                          {"message", required_argument, NULL, 'm'},
                                          {"end", required_argument, NULL, 'e'},
                                          {NULL, 0, NULL, 0}};
    const char *name = argc > 1 ? argv[1] : "";

    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;)
        if (o == 'b')
            bytes = (size_t)atol(optarg);
        else if (o == 'c')
            with_child = true;
        else if (o == 'm')
            message_by = optarg;
        else if (o == 'e')
            end = optarg;
        else
            return 2;
    null = checked(open("/dev/null", O_RDWR | O_CLOEXEC));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(name, cases[i].name))
            for (int listener = listen_and_tell();;)
                serve(accept_one(listener, 0), cases[i].play);
    fprintf(stderr, "dups: no case called \"%s\"\n", name);
    return 2;
}
