/* rubbish FILL: a privilege-separated server whose child, another user if it can be, has been broken into and writes
 * rubbish over all the memory that it shares with its parent: ones, or random bytes of a seed. The parent then does what
 * it always does: dup, fork, posix_spawn, a failing exec, close. Prints "overwritten=BYTES" and, at the end, "alive". */
#include "connection.h"
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

/* proc_pid_maps(5); anonymous shared memory is a deleted /dev/zero (shmem_zero_setup()) */
static size_t overwrite(const char *fill)
{
    char line[512];
    unsigned long from, to;
    size_t n = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps)
        err(1, "maps");
    srandom(atoi(fill));
    while (fgets(line, sizeof line, maps))
        if (strstr(line, " rw-s ") && strstr(line, "/dev/zero") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
            for (unsigned char *p = (void *)from; p < (unsigned char *)to; p++)
                *p = strcmp(fill, "ones") ? (unsigned char)random() : 0xff;
            n += to - from;
        }
    return n;
}

static void reap(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        errx(1, "a child did not end well");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: rubbish ones|SEED");
    int c = answer(AF_INET, 0, 0);
    pid_t child = fork();
    if (child == 0) {
        if (getuid() == 0 && setuid(65534))
            err(1, "setuid");
        printf("overwritten=%zu\n", overwrite(argv[1]));
        kill(getpid(), SIGKILL); /* it has nothing to do with us any more */
    }
    waitpid(child, NULL, 0);
    close(dup(c));
    child = fork();
    if (child == 0) {
        execl("/nonexistent", "nonexistent", NULL);
        _exit(0);
    }
    reap(child);
    if (posix_spawn(&child, "/bin/true", NULL, NULL, (char *[]){(char *)"true", NULL}, environ))
        errx(1, "posix_spawn");
    reap(child);
    close(c);
    puts("alive");
    return 0;
}
