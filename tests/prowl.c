/* While one thread closes the connection, another does what daemons do: it closes every number
 * that it does not know to be its own. Prints how many of these closes succeeded, and which number
 * the next open() got. */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

static int connection;

static void *close_it(void *arg)
{
    close(connection);
    return arg;
}

int main(void)
{
    pthread_t thread;
    int closed = 0, wrong = 0;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){1024, 1024});
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    connection = answer(AF_INET, 0, 0);
    /* Where the listener was. */
    int hole = open("/dev/null", O_RDONLY);
    await_input(connection);
    put(connection, 1000000);
    if (pthread_create(&thread, NULL, close_it, NULL))
        errx(1, "pthread_create");
    /* The other side has seen our FIN under way. */
    await_line();
    int next = open("/dev/null", O_RDONLY);
    for (int fd = 3; fd < 1024; fd++) {
        if (fd == next || fd == hole)
            continue;
        int ret = close(fd);
        closed += ret == 0;
        wrong += ret < 0 && errno != EBADF;
    }
    puts("prowled");
    pthread_join(thread, NULL);
    printf("closed=%d wrong=%d same=%d\n", closed, wrong, next == connection);
}
