/* inherits N: a child, by posix_spawn, inherits N connections by chance and closes them with its end, while we keep them.
 * Prints child_ms: how long it lived. */
#include "connection.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
    struct sockaddr_in here;
    socklen_t length = sizeof here;
    char *command[] = {"/bin/true", NULL};
    int listening = listener(AF_INET, 0, 0), status;
    pid_t child;

    getsockname(listening, (void *)&here, &length);
    for (int i = argc > 1 ? atoi(argv[1]) : 1; i > 0; i--) {
        dial(AF_INET, 0, ntohs(here.sin_port));
        if (accept(listening, NULL, NULL) < 0)
            err(1, "accept");
    }
    long began = now_ms();
    if ((errno = posix_spawn(&child, command[0], NULL, NULL, command, environ)) || waitpid(child, &status, 0) != child)
        err(1, "posix_spawn");
    printf("child_ms=%ld status=%d\n", now_ms() - began, status);
    fflush(stdout);
    _exit(0);
}
