/* unixes serve PATH MODEL TYPE CASE: one unix connection, closed with input unread or before it comes.
 * unixes peer PATH TYPE CASE: its peer, which prints bytes= end= send_error=.
 *   MODEL  close, dup2 (over it), fclose, exit, fork (a child answers after its parent has closed), dup (its second number answers)
 *   TYPE   stream, seqpacket
 *   CASE   unread, late, silent (unread, and the peer reads only when the server has ended), much (likewise, 30,000 bytes)
 * For the sake of `exchange` the server's first line is "port 0".
 */
#include "connection.h"
#include "mark.h"
#include <fcntl.h>
#include <stdbool.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { REPLY = 60000 };

static int open_at(const char *path, const char *type, bool serves)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, (strcmp(type, "stream") ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (fd < 0 || (serves ? bind(fd, (void *)&address, sizeof address) < 0 || listen(fd, 1) < 0
                          : connect(fd, (void *)&address, sizeof address) < 0))
        err(1, "%s", path);
    return fd;
}

static int serve(const char *path, const char *model, const char *type, bool late)
{
    int fd = open_at(path, type, true), gate[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("port 0");
    int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (c < 0 || pipe2(gate, O_CLOEXEC) < 0)
        err(1, "accept");
    if (!late)
        await_input(c);
    if (!strcmp(model, "fork")) {
        int status;
        if (fork()) {
            close(c);
            close(gate[0]);
            close(gate[1]);
            wait(&status);
            _exit(WEXITSTATUS(status));
        }
        close(gate[1]);
        (void)!read(gate[0], &status, 1);
    }
    if (!strcmp(model, "dup")) {
        int first = c;
        c = dup(first);
        close(first);
    }
    put(c, REPLY);
    long start = now_ms();
    window_opens();
    if (!strcmp(model, "fclose"))
        fclose(fdopen(c, "r+"));
    else if (!strcmp(model, "dup2"))
        dup2(gate[0], c);
    else if (strcmp(model, "exit"))
        close(c);
    window_closes();
    printf("close_ms=%ld\n", now_ms() - start);
    exit(0);
}

static const char *name_of(int code) { return code == ECONNRESET ? "RESET" : strerrorname_np(code); }

static int peer(const char *path, const char *type, const char *what)
{
    static char block[65536] = "junk";
    const char *send_error = "none", *end = "EOF";
    int fd = open_at(path, type, false);
    size_t bytes = 0;
    ssize_t r;
    if (strcmp(what, "late") && send(fd, block, strcmp(what, "much") ? 4 : 30000, MSG_NOSIGNAL) < 0)
        send_error = name_of(errno);
    /* The other end has sent its FIN, or what unix sockets have instead. */
    poll(&(struct pollfd){fd, POLLRDHUP, 0}, 1, -1);
    if (!strcmp(what, "late") && send(fd, "junk", 4, MSG_NOSIGNAL) < 0)
        send_error = name_of(errno);
    while ((!strcmp(what, "silent") || !strcmp(what, "much")) && read(0, block, 1) > 0)
        ;
    while ((r = recv(fd, block, sizeof block, 0)) > 0)
        bytes += r;
    if (r < 0)
        end = name_of(errno);
    printf("bytes=%zu end=%s send_error=%s\n", bytes, end, send_error);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && !strcmp(argv[1], "serve"))
        return serve(argv[2], argv[3], argv[4], !strcmp(argv[5], "late"));
    if (argc == 5 && !strcmp(argv[1], "peer"))
        return peer(argv[2], argv[3], argv[4]);
    errx(2, "usage: unixes serve PATH MODEL TYPE CASE | peer PATH TYPE CASE");
}
