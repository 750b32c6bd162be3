/* wakes: how a JVM closes a socket that another thread reads. That thread is blocked in recv; the
 * closing one puts another file over the descriptor with dup2, and wakes it with a signal; it must not
 * take anything more. (jdk: NET_SocketClose, NioSocketImpl.close.)
 * Prints: reader=NAME of what recv's error was, or of what it got; dup2_ms, the time of the dup2. */
#include "connection.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static int connection;
static atomic_int thread_id;

static void nothing(int signal) { (void)signal; }

static void *reader(void *unused)
{
    char byte;
    thread_id = (int)syscall(SYS_gettid);
    ssize_t n = recv(connection, &byte, 1, 0);
    printf("reader=%s\n", n < 0 ? strerrorname_np(errno) : n ? "input" : "EOF");
    return unused;
}

int main(void)
{
    struct sigaction wake = {.sa_handler = nothing};
    int marker = open("/dev/null", O_RDWR);
    pthread_t thread;

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGUSR2, &wake, NULL);
    connection = answer(AF_INET, 0, 0);
    put(connection, 1000);
    pthread_create(&thread, NULL, reader, NULL);
    while (!thread_id)
        ;
    await_sleep(thread_id);

    long began = now_ms();
    if (dup2(marker, connection) < 0)
        err(1, "dup2");
    printf("dup2_ms=%ld\n", now_ms() - began);
    pthread_kill(thread, SIGUSR2);
    pthread_join(thread, NULL);
    close(connection);
}
