/* meanwhile dup2|dup2-range|fork-range: what a signal's handler does a thousand times a second, or once, while a close of
 * this one thread waits for its peer.
 *
 *   dup2        onto the numbers from 48 on, where what lingers may be, and closes the copy; dup2-range: while close_range
 *               waits
 *   fork-range  forks once, while close_range waits; the child says that it came out of it
 */
#include "connection.h"
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static volatile sig_atomic_t signals, children;
static volatile sig_atomic_t busy;
static bool forks;

static void handler(int sig)
{
    int saved = errno;
    (void)sig;
    signals++;
    if (!forks) {
        for (int fd = 48; fd < 52; fd++)
            if (dup2(1, fd) == fd)
                close(fd);
            else
                busy = 1;
    } else if (!children++)
        fork();
    errno = saved;
}

int main(int argc, char **argv)
{
    pid_t me = getpid();
    int connection = answer(AF_INET, 0, 0);
    forks = argc > 1 && !strcmp(argv[1], "fork-range");
    await_input(connection);
    put(connection, 1000);
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 1000}, {0, 1000}}, NULL);
    bool range = argc > 1 && strstr(argv[1], "range");
    int result = range ? close_range(connection, connection, 0) : close(connection);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    if (getpid() != me)
        _exit(7);
    int status = 0;
    while (forks && wait(&status) < 0 && errno == EINTR)
        ;
    printf("ret=%d signals=%s busy=%d child=%d\n", result, signals ? "some" : "none", busy, WEXITSTATUS(status));
}
