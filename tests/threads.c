/* threads N [twice]: N connections, a thread for each (twice: two), all of them closed at the same
 * moment with input unread. Prints how many closes succeeded, how many failed with EBADF, and how
 * many descriptors are left over. */
#include "connection.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

static pthread_barrier_t barrier;
static atomic_int good, bad;

static void *close_it(void *arg)
{
    int fd = (int)(long)arg;
    pthread_barrier_wait(&barrier);
    errno = 77;
    int ret = close(fd);
    good += ret == 0 && errno == 77;
    bad += ret == -1 && errno == EBADF;
    return NULL;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 1, each = argc > 2 ? 2 : 1;
    int before = open_descriptors(), fd;
    pthread_t *threads = calloc(n * each, sizeof *threads);
    pthread_attr_t small;

    setrlimit(RLIMIT_NOFILE, &(struct rlimit){4096, 4096});
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_barrier_init(&barrier, NULL, n * each);
    fd = listener(AF_INET, 0, 0);
    for (int i = 0; i < n; i++) {
        int c = accept(fd, NULL, NULL);
        if (c < 0)
            err(1, "accept");
        await_input(c);
        put(c, 20000);
        for (int j = 0; j < each; j++)
            if (pthread_create(threads + i * each + j, &small, close_it, (void *)(long)c))
                errx(1, "thread %d", i);
    }
    for (int i = 0; i < n * each; i++)
        pthread_join(threads[i], NULL);
    close(fd);
    printf("good=%d bad=%d more=%d\n", good, bad, open_descriptors() - before);
}
