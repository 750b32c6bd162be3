/* streams CASE: one connection as a stdio stream, and what fclose, freopen and the program's end
 * make of it. Prints "port N", then what the calls returned. Each case waits for input and leaves
 * it unread.
 *   print      standard output is the connection, all of the reply is in its buffer, main returns
 *   fclose     errno is 77 before
 *   pair       one stream to read, one to write, on two numbers; the writer goes last
 *   slow       the flush has to wait for the peer
 *   again      the flush fails half way, with EAGAIN
 *   broken     the flush fails, since the peer is gone
 *   closed     the number was closed under the stream
 *   freopen    the stream gets another file, which gets the number
 *   missing    the stream gets a file that is not there, and ends
 *   null       freopen(NULL), which a socket refuses
 *   popen      a child has the connection, until pclose
 */
#include "connection.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum { REPLY = 1000000 };

/* A stream that holds so much is not flushed before its end. (glibc takes the size of a buffer only with the buffer.) */
static FILE *filled(int fd, const char *mode)
{
    FILE *stream = fdopen(fd, mode);
    char *block = malloc(REPLY), *room = malloc(2 * REPLY);
    if (!stream || !block || !room || setvbuf(stream, room, _IOFBF, 2 * REPLY))
        err(1, "stream");
    pattern(block, 0, REPLY);
    if (fwrite(block, 1, REPLY, stream) != REPLY)
        err(1, "fwrite");
    free(block);
    return stream;
}

static const char *error_name(int code) { return code == 77 ? "kept" : strerrorname_np(code); }

static void do_fclose(FILE *stream)
{
    errno = 77;
    int ret = fclose(stream), code = errno;
    printf("ret=%d errno=%s\n", ret, error_name(code));
}

static void do_freopen(const char *path, FILE *stream, int number)
{
    errno = 77;
    FILE *result = freopen(path, "r+", stream);
    int code = errno;
    printf("same=%d number=%d errno=%s open=%d\n", result == stream, result && fileno(result) == number,
           result ? "any" : error_name(code), fcntl(number, F_GETFD) >= 0);
}

/* With so little room every flush waits for the peer's reading. */
static void little_room(int fd) { setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)); }

static int print(int fd)
{
    dup2(fd, 1);
    close(fd);
    static char room[2 * REPLY];
    setvbuf(stdout, room, _IOFBF, sizeof room);
    for (int i = 0; i < REPLY; i++)
        putchar(pattern_at(i));
    return 0;
}

static void child(void)
{
    FILE *echo = popen("echo word; exit 3", "r");
    char word[16] = "";
    if (!echo || !fgets(word, sizeof word, echo))
        errx(1, "popen");
    printf("word=%s", word);
    printf("status=%d\n", WEXITSTATUS(pclose(echo)));
    /* Such a stream may be ended by fclose too. */
    echo = popen("exit 3", "r");
    do_fclose(echo);
    printf("children=%s\n", wait(NULL) < 0 ? "none" : "some");
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    int fd = answer(AF_INET, 0, 0);

    signal(SIGPIPE, SIG_IGN);
    await_input(fd);
    if (!strcmp(what, "print"))
        return print(fd);
    if (!strcmp(what, "fclose")) {
        do_fclose(filled(fd, "r+"));
    } else if (!strcmp(what, "pair")) {
        FILE *in = fdopen(dup(fd), "r"), *out = filled(fd, "w");
        do_fclose(in);
        do_fclose(out);
    } else if (!strcmp(what, "slow")) {
        little_room(fd);
        FILE *stream = filled(fd, "r+");
        puts("flushing");
        do_fclose(stream);
    } else if (!strcmp(what, "again")) {
        little_room(fd);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        do_fclose(filled(fd, "r+"));
    } else if (!strcmp(what, "broken")) {
        FILE *stream = filled(fd, "r+");
        puts("ready");
        poll(&(struct pollfd){fd, 0, 0}, 1, -1); /* POLLHUP: the peer's reset is here */
        do_fclose(stream);
    } else if (!strcmp(what, "closed")) {
        FILE *stream = filled(fd, "r+");
        put(fd, REPLY);
        close(fd);
        do_fclose(stream);
    } else if (!strcmp(what, "freopen")) {
        do_freopen("/dev/null", filled(fd, "r+"), fd);
    } else if (!strcmp(what, "missing")) {
        do_freopen("/nowhere/at/all", filled(fd, "r+"), fd);
    } else if (!strcmp(what, "null")) {
        do_freopen(NULL, filled(fd, "r+"), fd);
    } else if (!strcmp(what, "popen")) {
        FILE *stream = filled(fcntl(fd, F_DUPFD, 0), "r+");
        close(fd);
        child();
        do_fclose(stream);
    } else {
        errx(2, "no case is called %s", what);
    }
    fflush(stdout);
    _exit(0);
}
