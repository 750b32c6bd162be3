/* waiting poll | select | uring | after: one O_NONBLOCK connection, answered, with its input unread. Who waits for it
 * when it is closed, and what does he learn?
 *
 *   poll select  a thread is inside the call, waiting for the peer's end (POLLRDHUP; select: an exception, which never
 *                comes, so it has a bound of a second)
 *   uring        io_uring was asked to poll it for the peer's end
 *   after        poll and select are called when it is closed
 *
 * Prints whether the peer has been told of the close while he waits (fin=1: the connection has left ESTABLISHED), whether
 * he is told before the peer has finished (early=1), and what he is told then. */
#include "connection.h"
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>

static int connection;
static unsigned port;
static atomic_int begun, result = -1;

/* Gives it 200 ms. */
static int fin_sent(void)
{
    long deadline = now_ms() + 200;
    char line[256];
    unsigned local, state, established = 1;
    while (established && now_ms() < deadline) {
        FILE *table = fopen("/proc/net/tcp", "re");
        established = 0;
        while (table && fgets(line, sizeof line, table))
            if (sscanf(line, "%*d: %*x:%x %*x:%*x %x", &local, &state) == 2 && local == port)
                established |= state == TCP_ESTABLISHED;
        if (table)
            fclose(table);
    }
    return !established;
}

/* Likewise. */
static int told(void)
{
    long deadline = now_ms() + 200;
    while (result == -1 && now_ms() < deadline)
        poll(NULL, 0, 1);
    return result != -1;
}

static void *in_poll(void *arg)
{
    struct pollfd p = {connection, POLLRDHUP, 0};
    begun = 1;
    poll(&p, 1, -1);
    result = p.revents;
    return arg;
}

static void *in_select(void *arg)
{
    fd_set set;
    struct timeval bound = {1, 0};
    FD_ZERO(&set);
    FD_SET(connection, &set);
    begun = 1;
    result = select(connection + 1, NULL, NULL, &set, &bound);
    return arg;
}

/* The thread is asleep: in its call, since there is nothing else that it could sleep in. */
static void await_asleep(pthread_t thread)
{
    char path[64], line[128] = "";
    (void)thread;
    while (!begun)
        ;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (*d->d_name == '.' || atoi(d->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", atoi(d->d_name));
        do {
            FILE *file = fopen(path, "re");
            if (!file || !fgets(line, sizeof line, file))
                err(1, "%s", path);
            fclose(file);
        } while (!strstr(line, ") S "));
    }
    closedir(dir);
}

static void thread_waits(void *(*there)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, there, NULL))
        errx(1, "pthread_create");
    await_asleep(thread);
    close(connection);
    printf("fin=%d\n", fin_sent());
    await_line(); /* the peer has sent more */
    printf("early=%d\n", told());
    await_line(); /* the peer has finished */
    pthread_join(thread, NULL);
    printf("result=%#x\n", (unsigned)result);
    await_line();
}

static void after(void)
{
    fd_set set;
    struct pollfd p = {connection, POLLIN, 0};
    FD_ZERO(&set);
    FD_SET(connection, &set);
    close(connection);
    int n = poll(&p, 1, 0), m = select(connection + 1, &set, NULL, NULL, &(struct timeval){0});
    printf("poll=%d,%#x select=%d,%s\n", n, (unsigned)p.revents, m, strerrorname_np(errno));
    await_line(); /* the exit of a process is another test */
}

static void uring(void)
{
    struct io_uring_params p = {0};
    int ring = syscall(SYS_io_uring_setup, 4, &p);
    if (ring < 0) {
        printf("unavailable=%s\n", strerrorname_np(errno));
        _exit(0);
    }
    size_t size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    char *rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *sqe =
        mmap(NULL, 4 * sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
    if (rings == MAP_FAILED || (void *)sqe == MAP_FAILED)
        err(1, "mmap");
    *sqe = (struct io_uring_sqe){.opcode = IORING_OP_POLL_ADD, .fd = connection, .poll32_events = POLLRDHUP};
    *(unsigned *)(rings + p.sq_off.array) = 0;
    *(_Atomic unsigned *)(rings + p.sq_off.tail) = 1;
    if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) != 1)
        err(1, "io_uring_enter");
    _Atomic unsigned *tail = (void *)(rings + p.cq_off.tail);
    close(connection);
    printf("fin=%d\n", fin_sent());
    await_line();
    printf("early=%d\n", *tail != 0);
    await_line();
    /* Entering the kernel is what runs the ring's work for this thread. */
    syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    struct io_uring_cqe *cqe = (void *)(rings + p.cq_off.cqes);
    printf("result=%#x\n", (unsigned)cqe->res);
    await_line();
}

int main(int argc, char **argv)
{
    const char *who = argc > 1 ? argv[1] : "";
    struct sockaddr_storage here;
    socklen_t length = sizeof here;
    connection = answer(AF_INET, 0, 0);
    getsockname(connection, (void *)&here, &length);
    port = ntohs(((struct sockaddr_in *)&here)->sin_port);
    fcntl(connection, F_SETFL, O_NONBLOCK);
    await_input(connection);
    put(connection, 1000);
    if (!strcmp(who, "poll"))
        thread_waits(in_poll);
    else if (!strcmp(who, "select"))
        thread_waits(in_select);
    else if (!strcmp(who, "uring"))
        uring();
    else
        after();
}
