/* late unshare | setns | thread: what the kernel refuses to a process with more than one thread, done late, after an
 * O_NONBLOCK connection was closed. Prints at_once=0 or the error, and once the peer has finished, after how many ms it
 * worked, or that it did not within two seconds. With "thread" the program has another one of its own: the control. */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

static int namespace;

static void *sleep_on(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static int enter(const char *how)
{
    int result = !strcmp(how, "setns") ? setns(namespace, CLONE_NEWNS) : unshare(CLONE_NEWUSER);
    return result ? errno : 0;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "unshare";
    pthread_t thread;
    if (!strcmp(how, "thread") && pthread_create(&thread, NULL, sleep_on, NULL))
        errx(1, "pthread_create");
    int connection = answer(AF_INET, 0, 0), failed;
    namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    fcntl(connection, F_SETFL, O_NONBLOCK);
    await_input(connection);
    put(connection, 1000);
    close(connection);
    puts("closed");
    await_line();
    long begun = now_ms();
    failed = enter(how);
    printf("at_once=%s\n", failed ? strerrorname_np(failed) : "0");
    while (failed && now_ms() < begun + 2000) {
        poll(NULL, 0, 5);
        failed = enter(how);
    }
    printf("late=%s after_ms=%ld\n", failed ? strerrorname_np(failed) : "0", now_ms() - begun);
}
