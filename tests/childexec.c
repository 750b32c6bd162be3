/* A child is started and execs before the close of the connection and, by another thread, in the
 * middle of it. Prints how many sockets each child found open. */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

static int connection;

static void *close_it(void *arg)
{
    close(connection);
    return arg;
}

static void child(const char *name)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (!pid) {
        static char script[] = "n=0; for fd in /proc/$$/fd/*; do case $(readlink $fd) in "
                               "socket:*) n=$((n + 1)) ;; esac; done; echo $0=$n";
        execl("/bin/sh", name, "-c", script, name, NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

int main(void)
{
    pthread_t thread;
    connection = answer(AF_INET, 0, 0);
    await_input(connection);
    put(connection, 1000000);
    fcntl(connection, F_SETFD, 0);
    child("before");
    fcntl(connection, F_SETFD, FD_CLOEXEC);
    if (pthread_create(&thread, NULL, close_it, NULL))
        errx(1, "pthread_create");
    /* The other side has seen our FIN under way. */
    await_line();
    child("amid");
    puts("started");
    pthread_join(thread, NULL);
}
