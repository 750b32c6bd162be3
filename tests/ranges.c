/* ranges CASE: close_range and closefrom over one connection and its copies. Prints "port N", then
 * what the calls returned. Each case waits for input and leaves it unread.
 *   copies      one range over three numbers of the connection, files between them
 *   part        a range over one of two numbers; the reply goes on through the other, and then exit
 *   from        closefrom over all three
 *   cloexec     CLOSE_RANGE_CLOEXEC closes nothing: the reply comes after it
 *   unshare     in a thread: the others still have the connection, and one of them goes on
 *   alone       CLOSE_RANGE_UNSHARE where there is nobody to unshare from
 *   wrong       first above last, and bad flags, leave everything as it is
 *   million     a range over a million numbers that are not there, and the connection
 *   lingering   closefrom(3) and close_range while another thread is closing the connection
 */
#include "connection.h"
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

enum { REPLY = 600000 };

static int connection;

static void tell(const char *what, int ret)
{
    int code = errno;
    printf("%s ret=%d errno=%s open=%d\n", what, ret, ret < 0 ? strerrorname_np(code) : "any",
           fcntl(connection, F_GETFD) >= 0);
    errno = 77;
}

static void rest(int fd, size_t from)
{
    static char block[REPLY];
    pattern(block, from, REPLY - from);
    if (send(fd, block, REPLY - from, MSG_NOSIGNAL) < 0)
        err(1, "send");
}

static void *close_it(void *arg)
{
    close(connection);
    return arg;
}

static void *unshare_range(void *arg)
{
    int ret = close_range(connection, ~0U, CLOSE_RANGE_UNSHARE);
    tell("in the thread:", ret);
    return arg;
}

static void in_a_thread(void *(*main)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, main, NULL))
        errx(1, "pthread_create");
    pthread_join(thread, NULL);
}

static void copies(void)
{
    int file = open("/dev/null", O_RDONLY), copy = fcntl(connection, F_DUPFD, 50);
    fcntl(file, F_DUPFD, 52);
    fcntl(copy, F_DUPFD, 54);
}

static void amid(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, close_it, NULL))
        errx(1, "pthread_create");
    await_line(); /* the other side has seen our FIN under way; the number goes soon after */
    while (fcntl(connection, F_GETFD) >= 0)
        sched_yield();
    tell("close_range", close_range(3, ~0U, 0));
    closefrom(3);
    puts("closed all");
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    connection = answer(AF_INET, 0, 0);
    await_input(connection);
    errno = 77;
    if (!strcmp(what, "copies")) {
        copies();
        put(connection, REPLY);
        tell("close_range", close_range(connection, 60, 0));
    } else if (!strcmp(what, "from")) {
        copies();
        put(connection, REPLY);
        closefrom(connection);
        tell("closefrom", 0);
    } else if (!strcmp(what, "part")) {
        int copy = fcntl(connection, F_DUPFD, 50);
        put(connection, REPLY / 2);
        tell("close_range", close_range(connection, 49, 0));
        rest(copy, REPLY / 2);
    } else if (!strcmp(what, "cloexec")) {
        put(connection, REPLY / 2);
        tell("close_range", close_range(3, ~0U, CLOSE_RANGE_CLOEXEC));
        rest(connection, REPLY / 2);
    } else if (!strcmp(what, "unshare")) {
        put(connection, REPLY / 2);
        in_a_thread(unshare_range);
        tell("here:", 0);
        rest(connection, REPLY / 2);
        tell("close", close(connection));
    } else if (!strcmp(what, "alone")) {
        put(connection, REPLY);
        tell("close_range", close_range(connection, ~0U, CLOSE_RANGE_UNSHARE));
    } else if (!strcmp(what, "wrong")) {
        put(connection, REPLY / 2);
        tell("backwards", close_range(connection + 1, connection, 0));
        tell("flags", close_range(3, ~0U, 1U << 30));
        rest(connection, REPLY / 2);
        tell("close", close(connection));
    } else if (!strcmp(what, "million")) {
        put(connection, REPLY);
        puts("begin");
        tell("close_range", close_range(connection, connection + 1000000, 0));
        tell("close_range", close_range(connection, connection + 1000000, 0));
    } else if (!strcmp(what, "lingering")) {
        put(connection, REPLY);
        amid();
    } else {
        errx(2, "no case is called %s", what);
    }
    fflush(stdout);
    /* Where the connection is still open, that is another test. */
    return 0;
}
