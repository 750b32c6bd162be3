/* The ways of waiting that tests/pieces.c has. */
#ifndef TESTS_WAITS_H
#define TESTS_WAITS_H

#include <err.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 100 };

struct waiting {
    int fd, listening;
    FILE *stream;
    pid_t child;
    pthread_t thread;
    sem_t posted;
    pthread_mutex_t mutex;
    pthread_cond_t done;
};

static const struct timespec a_while = {.tv_nsec = WAIT_MS * 1000000L};

static inline struct timespec later(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += WAIT_MS * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000L;
    t.tv_nsec %= 1000000000L;
    return t;
}

static inline void alarmed(int signal) { (void)signal; }

/* Ends after a while without a call that the shim might take for a wait. */
static inline void *spin(void *arg)
{
    struct waiting *w = arg;
    for (struct timespec until = later(CLOCK_MONOTONIC), t = {0};
         t.tv_sec < until.tv_sec || (t.tv_sec == until.tv_sec && t.tv_nsec < until.tv_nsec);)
        clock_gettime(CLOCK_MONOTONIC, &t);
    sem_post(&w->posted);
    pthread_cond_signal(&w->done);
    return NULL;
}

/* What has to be there before the reply is written: a child or a thread to be waited for, a signal. */
static inline void before_reply(struct waiting *w, const char *how)
{
    static const struct itimerval alarm = {.it_value.tv_usec = WAIT_MS * 1000};
    if (strstr(how, "pid") || !strncmp(how, "wait", 4)) {
        w->child = fork();
        if (!w->child) {
            nanosleep(&a_while, NULL);
            _exit(0);
        }
    }
    if (!strncmp(how, "thread", 6)) {
        sem_init(&w->posted, 0, 0);
        pthread_mutex_init(&w->mutex, NULL);
        pthread_cond_init(&w->done, NULL);
        if (pthread_create(&w->thread, NULL, spin, w))
            errx(1, "pthread_create");
    }
    if (!strncmp(how, "signal", 6)) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGALRM);
        signal(SIGALRM, alarmed);
        sigprocmask(strcmp(how, "signal-pause") ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
        setitimer(ITIMER_REAL, &alarm, NULL);
    }
}

/* Until there is input, or a while. */
static inline bool by_events(struct waiting *w, const char *how)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    struct epoll_event e = {.events = EPOLLIN};
    static int epoll = -1;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(w->fd, &set);
    if (epoll < 0) {
        epoll = epoll_create1(EPOLL_CLOEXEC);
        epoll_ctl(epoll, EPOLL_CTL_ADD, w->fd, &e);
    }
    if (!strcmp(how, "poll"))
        poll(&p, 1, -1);
    else if (!strcmp(how, "ppoll"))
        ppoll(&p, 1, NULL, NULL);
    else if (!strcmp(how, "select"))
        select(w->fd + 1, &set, NULL, NULL, NULL);
    else if (!strcmp(how, "pselect"))
        pselect(w->fd + 1, &set, NULL, NULL, NULL, NULL);
    else if (!strcmp(how, "epoll_wait"))
        epoll_wait(epoll, &e, 1, -1);
    else if (!strcmp(how, "epoll_pwait"))
        epoll_pwait(epoll, &e, 1, -1, NULL);
    else if (!strcmp(how, "epoll_pwait2"))
        epoll_pwait2(epoll, &e, 1, NULL, NULL);
    else if (!strcmp(how, "accept"))
        setsockopt(w->listening, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = WAIT_MS * 1000},
                   sizeof(struct timeval)),
            accept(w->listening, NULL, NULL);
    else if (!strcmp(how, "accept4"))
        setsockopt(w->listening, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = WAIT_MS * 1000},
                   sizeof(struct timeval)),
            accept4(w->listening, NULL, NULL, 0);
    else
        return false;
    return true;
}

static inline bool by_time(struct waiting *w, const char *how)
{
    struct timespec realtime = later(CLOCK_REALTIME), monotonic = later(CLOCK_MONOTONIC);
    sigset_t set;
    int number;
    sigemptyset(&set);
    if (!strcmp(how, "signal-sigsuspend"))
        sigsuspend(&set);
    else if (!strcmp(how, "signal-pause"))
        pause();
    sigaddset(&set, SIGALRM);
    if (!strcmp(how, "signal-sigwait"))
        sigwait(&set, &number);
    else if (!strcmp(how, "signal-sigwaitinfo"))
        sigwaitinfo(&set, NULL);
    else if (!strcmp(how, "signal-sigtimedwait"))
        sigtimedwait(&set, NULL, &(struct timespec){.tv_sec = 5});
    else if (!strcmp(how, "usleep"))
        usleep(WAIT_MS * 1000);
    else if (!strcmp(how, "sleep"))
        sleep(1);
    else if (!strcmp(how, "nanosleep"))
        nanosleep(&a_while, NULL);
    else if (!strcmp(how, "thrd_sleep"))
        thrd_sleep(&a_while, NULL);
    else if (!strcmp(how, "clock_nanosleep"))
        clock_nanosleep(CLOCK_MONOTONIC, 0, &a_while, NULL);
    else if (!strcmp(how, "syscall"))
        syscall(SYS_ppoll, NULL, 0L, &a_while, NULL, 0L);
    else if (!strcmp(how, "thread-cond_wait"))
        pthread_mutex_lock(&w->mutex), pthread_cond_wait(&w->done, &w->mutex), pthread_mutex_unlock(&w->mutex);
    else if (!strcmp(how, "thread-cond_timedwait"))
        pthread_mutex_lock(&w->mutex), pthread_cond_timedwait(&w->done, &w->mutex, &realtime),
            pthread_mutex_unlock(&w->mutex);
    else if (!strcmp(how, "thread-cond_clockwait"))
        pthread_mutex_lock(&w->mutex), pthread_cond_clockwait(&w->done, &w->mutex, CLOCK_MONOTONIC, &monotonic),
            pthread_mutex_unlock(&w->mutex);
    else if (!strcmp(how, "thread-cnd_wait")) /* glibc's are the same objects */
        pthread_mutex_lock(&w->mutex), cnd_wait((void *)&w->done, (void *)&w->mutex), pthread_mutex_unlock(&w->mutex);
    else if (!strcmp(how, "thread-cnd_timedwait"))
        pthread_mutex_lock(&w->mutex), cnd_timedwait((void *)&w->done, (void *)&w->mutex, &realtime),
            pthread_mutex_unlock(&w->mutex);
    else if (!strcmp(how, "thread-sem_wait"))
        sem_wait(&w->posted);
    else if (!strcmp(how, "thread-sem_timedwait"))
        sem_timedwait(&w->posted, &realtime);
    else if (!strcmp(how, "thread-sem_clockwait"))
        sem_clockwait(&w->posted, CLOCK_MONOTONIC, &monotonic);
    else if (!strcmp(how, "thread-join"))
        pthread_join(w->thread, NULL);
    else if (!strcmp(how, "wait"))
        wait(NULL);
    else if (!strcmp(how, "waitpid"))
        waitpid(w->child, NULL, 0);
    else if (!strcmp(how, "wait3"))
        wait3(NULL, 0, NULL);
    else if (!strcmp(how, "wait4"))
        wait4(w->child, NULL, 0, NULL);
    else if (!strcmp(how, "waitid"))
        waitid(P_PID, (id_t)w->child, &(siginfo_t){0}, WEXITED);
    else
        return !strncmp(how, "signal-", 7);
    return true;
}

/* By a read that waits. */
static inline bool request_by(struct waiting *w, const char *how)
{
    char b[64] = "", *line = NULL;
    size_t size = 0;
    struct iovec v = {b, sizeof b};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    struct mmsghdr mm = {.msg_hdr = m};
    ssize_t n = -1;
    if (!strcmp(how, "read"))
        n = read(w->fd, b, sizeof b);
    else if (!strcmp(how, "readv"))
        n = readv(w->fd, &v, 1);
    else if (!strcmp(how, "recv"))
        n = recv(w->fd, b, sizeof b, 0);
    else if (!strcmp(how, "recvfrom"))
        n = recvfrom(w->fd, b, sizeof b, 0, NULL, NULL);
    else if (!strcmp(how, "recvmsg"))
        n = recvmsg(w->fd, &m, 0);
    else if (!strcmp(how, "recvmmsg"))
        n = recvmmsg(w->fd, &mm, 1, 0, NULL) == 1 ? mm.msg_len : 0;
    else if (!strcmp(how, "fgets"))
        n = fgets(b, sizeof b, w->stream) ? 2 : 0;
    else if (!strcmp(how, "fgets_unlocked"))
        n = fgets_unlocked(b, sizeof b, w->stream) ? 2 : 0;
    else if (!strcmp(how, "fread"))
        n = fread(b, 1, 2, w->stream);
    else if (!strcmp(how, "getline"))
        n = getline(&line, &size, w->stream);
    else if (!strcmp(how, "fgetc"))
        n = fgetc(w->stream) == EOF ? 0 : fgetc(w->stream) == '\n' ? 2 : -1;
    else if (!strcmp(how, "getc_unlocked"))
        n = getc_unlocked(w->stream) == EOF ? 0 : getc_unlocked(w->stream) == '\n' ? 2 : -1;
    else
        errx(2, "no wait %s", how);
    free(line);
    if (n < 0)
        err(1, "%s", how);
    return n > 0;
}

/* false: the peer has finished */
static inline bool next_request(struct waiting *w, const char *how)
{
    return request_by(w, by_events(w, how) || by_time(w, how) ? "read" : how);
}

#endif
