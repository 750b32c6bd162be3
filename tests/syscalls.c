/* Calls by number: prints the result and errno of each, which must be the same with the shim.
 * syscalls            all kinds of numbers; errno is 77 before each
 * syscalls cancelled  the same ones that a thread can be cancelled in by name: by number it cannot
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What an architecture leaves out: i386 has accept4 alone, aarch64 dup3 alone. */
#ifndef SYS_accept
#define SYS_accept SYS_accept4
#endif
#ifndef SYS_dup2
#define SYS_dup2 SYS_dup3
#endif

#define TELL(call)                                                                                                     \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        long result = (call);                                                                                          \
        int code = errno;                                                                                              \
        printf("%s = %ld, errno %d\n", #call, result, code);                                                           \
    } while (0)

/* A file of five pages; each begins with its number. */
static int pages(void)
{
    int fd = (int)syscall(SYS_memfd_create, "pages", 0);
    for (char i = '0'; i < '5'; i++)
        if (pwrite(fd, &i, 1, (i - '0') * 4096) != 1)
            err(1, "pwrite");
    return fd;
}

static void six_arguments(int fd)
{
#ifdef SYS_mmap2 /* counts pages; mmap takes a structure there */
    char *page = (char *)syscall(SYS_mmap2, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 3L);
#else
    char *page = (char *)syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 3 * 4096L);
#endif
    printf("mmap: page %c\n", page == MAP_FAILED ? '-' : *page);
    TELL(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 1L));
    uint32_t word = 1;
    struct timespec past = {0};
    TELL(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 1, &past, NULL, 1U));
    TELL(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 1, &past, NULL, 0U));
    int ends[2];
    loff_t from = 2 * 4096;
    char byte = 0;
    if (pipe(ends) < 0)
        err(1, "pipe");
    TELL(syscall(SYS_splice, fd, &from, ends[1], NULL, 1L, 0U));
    TELL(read(ends[0], &byte, 1));
    printf("splice: page %c\n", byte);
    TELL(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &past, NULL));
    char text[] = "words";
    struct iovec here = {text, 5}, there = {&byte, 1};
    TELL(syscall(SYS_process_vm_readv, getpid(), &there, 1UL, &here, 1UL, 0UL));
    printf("process_vm_readv: %c\n", byte);
}

static void wide_results(int fd)
{
#if __SIZEOF_LONG__ == 8
    TELL(syscall(SYS_lseek, fd, 5L << 32, SEEK_SET));
    TELL(syscall(SYS_lseek, fd, 0L, SEEK_SET));
    TELL(syscall(SYS_pread64, fd, &(char){0}, 1L, 5L << 32));
#else /* a wide argument takes two */
    TELL(syscall(SYS__llseek, fd, 5L, 0L, &(int64_t){0}, SEEK_SET));
    TELL(syscall(SYS_lseek, fd, 0L, SEEK_SET));
    TELL(syscall(SYS_pread64, fd, &(char){0}, 1L, 0L, 5L));
#endif
    printf("brk: %s\n", syscall(SYS_brk, 0L) > INT32_MAX ? "wide" : "narrow");
}

static void failures(int fd)
{
    TELL(syscall(100000L, 1L, 2L, 3L, 4L, 5L, 6L));
    TELL(syscall(-1L));
    TELL(syscall(SYS_close, -1));
    TELL(syscall(SYS_close, 999));
    TELL(syscall(SYS_close_range, 9U, 5U, 0U));
    TELL(syscall(SYS_close_range, 500U, 600U, 1U << 20));
    TELL(syscall(SYS_dup, 999));
    TELL(syscall(SYS_dup3, fd, fd, 0));
    TELL(syscall(SYS_dup3, fd, 60, 1));
    TELL(syscall(SYS_dup3, 999, 60, 0));
    TELL(syscall(SYS_fcntl, 999, F_GETFD));
    TELL(syscall(SYS_fcntl, fd, 12345, 0L));
    TELL(syscall(SYS_openat, AT_FDCWD, "/nowhere/at/all", O_RDONLY));
    TELL(syscall(SYS_shutdown, fd, SHUT_RDWR));
    TELL(syscall(SYS_shutdown, 999, 7));
    TELL(syscall(SYS_accept, fd, NULL, NULL));
    TELL(syscall(SYS_accept4, 999, NULL, NULL, 0));
    TELL(syscall(SYS_connect, fd, NULL, 0U));
    TELL(syscall(SYS_sendmsg, 999, NULL, 0));
    TELL(syscall(SYS_recvmsg, fd, NULL, 0));
    TELL(syscall(SYS_epoll_ctl, 999, 1, fd, NULL));
    TELL(syscall(SYS_execve, "/nowhere/at/all", NULL, NULL));
    TELL(syscall(SYS_execveat, AT_FDCWD, "/nowhere/at/all", NULL, NULL, 0));
    TELL(syscall(SYS_clone3, NULL, 0L));
    TELL(syscall(SYS_sendmmsg, 999, NULL, 0, 0));
    TELL(syscall(SYS_recvmmsg, 999, NULL, 0, 0, NULL));
    TELL(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, NULL, 0));
    TELL(syscall(SYS_epoll_create1, 12345));
    TELL(syscall(SYS_unshare, 1));
    TELL(syscall(SYS_setns, fd, 0));
    TELL(syscall(SYS_prctl, 12345, 0L, 0L, 0L, 0L));
    TELL(syscall(SYS_seccomp, 12345U, 0U, NULL));
    TELL(syscall(SYS_socket, -1, SOCK_STREAM, 0));
}

/* Numbers that the shim knows, on things that are none of its business. */
static void successes(int fd)
{
    TELL(syscall(SYS_dup2, fd, 60));
    TELL(syscall(SYS_dup2, fd, fd));
    TELL(syscall(SYS_dup3, fd, 61, O_CLOEXEC));
    TELL(syscall(SYS_fcntl, 61, F_GETFD));
    TELL(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 70L));
    TELL(syscall(SYS_fcntl, 70, F_SETFD, 0L));
    TELL(syscall(SYS_fcntl, 70, F_SETFL, (long)O_APPEND));
    struct flock lock = {.l_type = F_WRLCK, .l_len = 7};
    TELL(syscall(SYS_fcntl, fd, F_GETLK, &lock));
    printf("lock: type %d len %ld\n", lock.l_type, (long)lock.l_len);
    TELL(syscall(SYS_close, 60));
    TELL(syscall(SYS_close, 60));
    TELL(syscall(SYS_close_range, 61U, 80U, 0U));
    TELL(syscall(SYS_fcntl, 70, F_GETFD));
    TELL(syscall(SYS_getpriority, PRIO_PROCESS, 0));
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        err(1, "socketpair");
    TELL(syscall(SYS_shutdown, pair[0], SHUT_WR));
    TELL(syscall(SYS_close, pair[0]));
}

/* A cancellation is pending all the time; only the last line is a cancellation point. */
static void *cancelled(void *arg)
{
    int pair[2], tcp = socket(AF_INET, SOCK_STREAM, 0), fd = pages();
    char byte = 'x';
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        err(1, "socketpair");
    fflush(stdout);
    pthread_cancel(pthread_self());
    int state;
    long results[] = {
        syscall(SYS_sendmsg, pair[0], &message, 0),
        syscall(SYS_recvmsg, pair[1], &message, 0),
        syscall(SYS_accept, tcp, NULL, NULL),
        syscall(SYS_accept4, tcp, NULL, NULL, 0),
        syscall(SYS_connect, tcp, NULL, 0),
        syscall(SYS_fcntl, fd, F_GETFD),
        syscall(SYS_dup2, fd, 60),
        syscall(SYS_close, 60),
        syscall(SYS_close, pair[0]),
        syscall(SYS_close, tcp),
    };
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        printf("call %zu: %ld\n", i, results[i]);
    fflush(stdout);
    pthread_setcancelstate(state, NULL);
    pthread_testcancel();
    puts("not cancelled");
    return arg;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "cancelled")) {
        pthread_t thread;
        void *result;
        if (pthread_create(&thread, NULL, cancelled, NULL))
            errx(1, "pthread_create");
        pthread_join(thread, &result);
        puts(result == PTHREAD_CANCELED ? "cancelled" : "ran to its end");
        return 0;
    }
    int fd = pages();
    six_arguments(fd);
    wide_results(fd);
    failures(fd);
    successes(fd);
    return 0;
}
