/* The connection is closed in a signal handler, whatever the thread is just doing: here, the
 * things that a hook must not do itself (heap, stdio, environment, locks of libc). */
#include "connection.h"
#include <signal.h>
#include <sys/time.h>

static int connection;
static volatile sig_atomic_t ret = -2, code;

static void handler(int sig)
{
    (void)sig;
    if (ret != -2)
        return;
    errno = 77;
    ret = close(connection);
    code = errno;
}

int main(void)
{
    char *volatile block;

    connection = answer(AF_INET, 0, 0);
    await_input(connection);
    put(connection, 1000000);
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 2000}}, NULL);
    while (ret == -2) {
        if ((block = malloc(5000)))
            free(block);
        setenv("NAME", "value", 1);
        FILE *file = fopen("/dev/null", "w");
        if (file)
            fclose(file);
    }
    printf("ret=%d errno=%d\n", ret, code);
}
