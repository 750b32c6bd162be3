/* writes N: so many children end by _exit(7) while another thread of theirs writes to their connection, and the default
 * action of SIGPIPE is set; how many were killed by it, and how many ended otherwise. */
#include "connection.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static int connection;
static _Atomic bool writing;

static void *write_on(void *unused)
{
    for (;;)
        if (write(connection, "x", 1) == 1)
            writing = true;
    return unused;
}

int main(int argc, char **argv)
{
    int killed = 0, otherwise = 0, listening = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    if (argc != 2 || bind(listening, (void *)&address, length) || listen(listening, 1) ||
        getsockname(listening, (void *)&address, &length))
        err(1, "listen");
    for (int n = atoi(argv[1]); n > 0; n--) {
        char block[65536];
        int status, client = dial(AF_INET, 0, ntohs(((struct sockaddr_in *)&address)->sin_port));
        connection = accept(listening, NULL, NULL);
        pid_t child = fork();
        if (!child) {
            pthread_t thread;
            close(client);
            signal(SIGPIPE, SIG_DFL);
            pthread_create(&thread, NULL, write_on, NULL);
            while (!writing)
                ;
            _exit(7);
        }
        close(connection);
        while (read(client, block, sizeof block) > 0)
            ;
        close(client);
        if (waitpid(child, &status, 0) != child)
            err(1, "waitpid");
        killed += WIFSIGNALED(status);
        otherwise += WIFEXITED(status) && WEXITSTATUS(status) != 7;
    }
    printf("killed=%d otherwise=%d\n", killed, otherwise);
}
