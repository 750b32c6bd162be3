/* pages WORD...: a process that counts, and its children. The words are done in their order:
 *   close       closes a connection of its own whose peer has sent 5 bytes and FIN: lingers, ends at once by EOF
 *   say         prints "WHO PID", and waits for a line on standard input
 *   fork        the rest is a child's; its parent waits for that, and exits as it does (or as 99 if it was killed)
 *   exec        the rest is another program's, which is this one
 *   maps        prints how many of its mappings are pages
 *   usurp=FILE  puts the file in the place of every descriptor from 256 on, and prints how many there were
 *   chroot=DIR  user=UID
 *   exit=N  _exit=N  kill
 */
#include "connection.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char *who = "first";

static int connection(int *other)
{
    static int fd = -1, port;
    if (fd < 0) {
        struct sockaddr_storage address;
        socklen_t length = loopback(&address, AF_INET, 0);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (void *)&address, length) < 0 || listen(fd, 16) < 0 ||
            getsockname(fd, (void *)&address, &length) < 0)
            err(1, "listen");
        port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    }
    *other = dial(AF_INET, 0, port);
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static void close_one(void)
{
    int other, fd = connection(&other);
    if (send(other, "hello", 5, 0) != 5 || shutdown(other, SHUT_WR) < 0)
        err(1, "peer");
    if (poll(&(struct pollfd){fd, POLLRDHUP, 0}, 1, -1) < 0 || close(fd) < 0)
        err(1, "close");
}

static void say(void)
{
    char line[8];
    printf("%s %d\n", who, getpid());
    fflush(stdout);
    if (read(0, line, sizeof line) < 0)
        err(1, "read");
}

static void become_child(void)
{
    int status;
    pid_t child = fork();
    if (child < 0)
        err(1, "fork");
    who = "child";
    if (child == 0)
        return;
    waitpid(child, &status, 0);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

static void count_maps(void)
{
    char line[4352];
    int n = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof line, f))
        n += strstr(line, getenv("LINGERCLOSE_STATS")) != NULL;
    printf("maps=%d\n", n);
    fflush(stdout);
}

static void usurp(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), n = 0;
    for (int fd = 256; fd < 65536; fd++)
        if (syscall(SYS_fcntl, fd, F_GETFD) >= 0 && dup2(file, fd) == fd)
            n++;
    printf("usurped=%d\n", n);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    (void)argc;
    for (char **word = argv + 1; *word; word++) {
        const char *value = strchr(*word, '=') ? strchr(*word, '=') + 1 : "";
        if (!strcmp(*word, "close"))
            close_one();
        else if (!strcmp(*word, "say"))
            say();
        else if (!strcmp(*word, "fork"))
            become_child();
        else if (!strcmp(*word, "exec"))
            execv("/proc/self/exe", word);
        else if (!strcmp(*word, "maps"))
            count_maps();
        else if (!strncmp(*word, "usurp=", 6))
            usurp(value);
        else if (!strncmp(*word, "chroot=", 7)) {
            if (chroot(value) < 0 || chdir("/") < 0)
                err(1, "chroot");
        } else if (!strncmp(*word, "user=", 5)) {
            if (setuid((uid_t)atoi(value)) < 0)
                err(1, "setuid");
        } else if (!strncmp(*word, "exit=", 5))
            exit(atoi(value));
        else if (!strncmp(*word, "_exit=", 6))
            _exit(atoi(value));
        else if (!strcmp(*word, "kill"))
            kill(getpid(), SIGKILL);
        else
            errx(2, "pages: what is %s?", *word);
    }
}
