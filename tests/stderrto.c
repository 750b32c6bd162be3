/* stderrto socket|pipe|nothing COMMAND...: runs the command with such a standard error, then
 * prints what came there. */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int ends[2], status;
    char text[4096];

    if (argc < 3)
        errx(2, "usage: stderrto socket|pipe|nothing command [args]");
    if ((strcmp(argv[1], "socket") ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) < 0)
        err(1, "%s", argv[1]);
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (!pid) {
        dup2(ends[1], 2);
        if (!strcmp(argv[1], "nothing"))
            close(2);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], text, sizeof text)) > 0;)
        fwrite(text, 1, n, stdout);
    waitpid(pid, &status, 0);
    printf("exit=%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}
