/* many N: N connections to itself, all with unread input, closed one after another in threads of
 * their own, each as soon as the peer of the one before has seen an end. Tells of each close
 * whether it waited and what its peer read. The peers never end by themselves. */
#include "connection.h"
#include <pthread.h>
#include <stdbool.h>

struct pair {
    pthread_t thread;
    int ours, peer;
    bool waited;
    const char *end;
};

static void *close_it(void *arg)
{
    struct pair *pair = arg;
    long start = now_ms();
    close(pair->ours);
    pair->waited = now_ms() - start > 200;
    return NULL;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 1;
    struct pair *pairs = calloc(n, sizeof *pairs);
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char block[4096];

    if (bind(fd, (void *)&address, length) < 0 || listen(fd, n) < 0 || getsockname(fd, (void *)&address, &length) < 0)
        err(1, "listen");
    for (struct pair *p = pairs; p < pairs + n; p++) {
        p->peer = dial(AF_INET, 0, ntohs(((struct sockaddr_in *)&address)->sin_port));
        if ((p->ours = accept(fd, NULL, NULL)) < 0)
            err(1, "accept");
        if (send(p->peer, "unread", 6, 0) < 0)
            err(1, "send");
        await_input(p->ours);
        put(p->ours, 1000);
    }
    for (struct pair *p = pairs; p < pairs + n; p++) {
        ssize_t r;
        if (pthread_create(&p->thread, NULL, close_it, p))
            errx(1, "pthread_create");
        while ((r = recv(p->peer, block, sizeof block, 0)) > 0)
            ;
        p->end = r ? "RESET" : "EOF";
    }
    for (struct pair *p = pairs; p < pairs + n; p++) {
        pthread_join(p->thread, NULL);
        printf("close %d: waited=%d peer=%s\n", (int)(p - pairs) + 1, p->waited, p->end);
    }
    /* Every way in which a process lets go of its connections is another test. */
    fflush(stdout);
    _exit(0);
}
