/* cancel before|amid: a thread closes the connection and is cancelled, deferred, before it calls
 * close or in the middle of it (as soon as the other side has printed a line). Prints what a
 * program can know afterwards: the thread's end, how many descriptors are open more than before
 * the connection, and whether the connection's own number is still open. */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

static int connection;
static bool before;
static sem_t cancelled;

static void *close_it(void *arg)
{
    int state;
    if (before) {
        /* sem_wait is itself a cancellation point. */
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
        sem_wait(&cancelled);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    }
    close(connection);
    /* A close without lingering may be over before the cancellation comes. */
    sem_wait(&cancelled);
    for (;;)
        pthread_testcancel();
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *end;
    int count = open_descriptors();

    before = argc > 1 && !strcmp(argv[1], "before");
    connection = answer(AF_INET, 0, 0);
    await_input(connection);
    put(connection, 1000);
    if (pthread_create(&thread, NULL, close_it, NULL))
        errx(1, "pthread_create");
    if (!before)
        await_line();
    pthread_cancel(thread);
    sem_post(&cancelled);
    pthread_join(thread, &end);

    printf("end=%s more=%d number=%s\n", end == PTHREAD_CANCELED ? "cancelled" : "returned", open_descriptors() - count,
           fcntl(connection, F_GETFD) < 0 ? "free" : "open");
}
