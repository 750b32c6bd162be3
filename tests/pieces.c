/* pieces WRITER WAIT [option...]: a server that writes its replies in small pieces.
 *
 * It prints "port N" and accepts one connection. To each request, a line, it writes LENGTH bytes, one after the other, by
 * WRITER, and then waits by WAIT for the next; waits.h has those. Some WAITs end after 100 ms, whatever comes: what the
 * program has not sent by then the peer gets too late.
 *   nodelay, cork, neither  the program sets TCP_NODELAY or TCP_CORK itself, or takes both away
 *   shared                  the reply's second half is a forked child's
 *   crowd                   CROWD connections, each in a thread of its own */
#include "connection.h"
#include "waits.h"
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { LENGTH = 40, CROWD = 8 };

static int file;
static FILE *stream;

static ssize_t by_write(int fd, char *b) { return write(fd, b, 1); }
static ssize_t by_writev(int fd, char *b) { return writev(fd, &(struct iovec){b, 1}, 1); }
static ssize_t by_send(int fd, char *b) { return send(fd, b, 1, MSG_NOSIGNAL); }
static ssize_t by_sendto(int fd, char *b) { return sendto(fd, b, 1, MSG_NOSIGNAL, NULL, 0); }
static ssize_t by_syscall(int fd, char *b) { return syscall(SYS_write, fd, b, 1L); }

static ssize_t by_sendmsg(int fd, char *b)
{
    struct iovec v = {b, 1};
    return sendmsg(fd, &(struct msghdr){.msg_iov = &v, .msg_iovlen = 1}, 0);
}

static ssize_t by_sendmmsg(int fd, char *b)
{
    struct iovec v = {b, 1};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
    return sendmmsg(fd, &m, 1, 0);
}

static ssize_t by_sendfile(int fd, char *b)
{
    off_t at = 0;
    (void)b;
    return sendfile(fd, file, &at, 1);
}

static ssize_t by_fflush(int fd, char *b)
{
    (void)fd;
    return fputc(*b, stream) == EOF || fflush(stream) ? -1 : 1;
}

/* From a file, which it reads piece by piece. */
static ssize_t by_copying(int fd, char *b)
{
    return lseek(file, 0, SEEK_SET) < 0 || read(file, b, 1) != 1 ? -1 : write(fd, b, 1);
}

static const struct {
    const char *name;
    ssize_t (*piece)(int, char *);
} writers[] = {
    {"write", by_write},     {"writev", by_writev},     {"send", by_send},         {"sendto", by_sendto},
    {"sendmsg", by_sendmsg}, {"sendmmsg", by_sendmmsg}, {"sendfile", by_sendfile}, {"fflush", by_fflush},
    {"syscall", by_syscall}, {"copying", by_copying},
};

static void option(int fd, int name, int value)
{
    if (setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value))
        err(1, "setsockopt");
}

static void reply(int fd, ssize_t (*by)(int, char *), int from, int to)
{
    for (char b = 'x'; from < to; from++)
        if (by(fd, &b) != 1)
            err(1, "writing");
}

static ssize_t (*piece)(int, char *);
static bool cork, shared;
static const char *how;

static void serve(struct waiting *w)
{
    for (bool more = next_request(w, "read"); more; more = next_request(w, how)) {
        before_reply(w, how);
        reply(w->fd, piece, 0, shared ? LENGTH / 2 : LENGTH);
        if (!shared)
            continue;
        pid_t child = fork();
        if (!child) {
            reply(w->fd, piece, LENGTH / 2, LENGTH);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
}

static void *serve_one_of_many(void *arg)
{
    struct waiting w = {.fd = (int)(long)arg};
    if (cork)
        option(w.fd, TCP_CORK, 1);
    serve(&w);
    return NULL;
}

static void serve_crowd(int listening)
{
    pthread_t thread[CROWD];
    for (int i = 0; i < CROWD; i++)
        if (pthread_create(&thread[i], NULL, serve_one_of_many, (void *)(long)accept(listening, NULL, NULL)))
            errx(1, "pthread_create");
    for (int i = 0; i < CROWD; i++)
        pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
    char path[] = "/tmp/pieces.XXXXXX";

    if (argc < 3)
        errx(2, "usage: pieces WRITER WAIT [nodelay|cork|neither|shared|crowd...]");
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++)
        if (!strcmp(writers[i].name, argv[1]))
            piece = writers[i].piece;
    if (!piece)
        errx(2, "no writer %s", argv[1]);
    file = mkstemp(path);
    unlink(path);
    if (file < 0 || write(file, "x", 1) != 1)
        err(1, "%s", path);

    how = argv[2];
    cork = argv[3] && !strcmp(argv[3], "cork");
    int listening = listener(AF_INET, 0, 0);
    if (!strcmp(argv[argc - 1], "crowd")) {
        serve_crowd(listening);
        return 0;
    }
    int fd = accept(listening, NULL, NULL);
    if (fd < 0)
        err(1, "accept");
    stream = fdopen(fd, "r+");
    for (char **a = argv + 3; *a; a++) {
        if (!strcmp(*a, "nodelay"))
            option(fd, TCP_NODELAY, 1);
        else if (!strcmp(*a, "cork"))
            option(fd, TCP_CORK, 1);
        else if (!strcmp(*a, "neither"))
            option(fd, TCP_NODELAY, 0), option(fd, TCP_CORK, 0);
        else if (!strcmp(*a, "shared"))
            shared = true;
        else
            errx(2, "no option %s", *a);
    }
    serve(&(struct waiting){.fd = fd, .listening = listening, .stream = stream});
    return 0;
}
