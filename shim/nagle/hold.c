/*
 * LINGERCLOSE_CORK: "Defeating Nagle", method #1 of busybox's tcp.txt, for a program that cannot be changed. TCP_CORK is
 * set before the first write, and cleared before the program waits: partial frames are held in between. Whatever is
 * missed is bounded by the kernel, which holds them for 200 ms at most (tcp(7), TCP_CORK).
 *
 * Nothing is remembered of a descriptor but that it is corked by us, in `held`, or was set by the program itself, in
 * `own`: a stale bit, after a close that no hook sees, costs a wait or a held frame and is no mistake. The order of any
 * thread that holds is: cork, note, write; of one that waits: take the note away, uncork. So a connection that is left
 * corked has its note, whoever else waits or writes meanwhile, and that thread's own wait is still to come.
 *
 * A cork belongs to the connection, not to the descriptor or the process: it is cleared before others get the
 * connection to write (fork, exec, spawning, a message with rights) and before our number for it goes.
 */
#include "nagle.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define MOST 65536 /* descriptors beyond are left alone */

_Atomic bool held_any;
static _Atomic uint64_t held[MOST / 64], own[MOST / 64];
static _Atomic int top; /* no word of `held` beyond it was ever used */

static uint64_t bit(int fd) { return UINT64_C(1) << (fd & 63); }

static bool set_option(int fd, int option, int value)
{
    return !NEXT(setsockopt)(fd, IPPROTO_TCP, option, &value, sizeof value);
}

/*
 * Is about to be written to. A program that has set TCP_NODELAY wants no help; that option may have come from its
 * listening socket or from before its exec, so the kernel is asked. With LINGERCLOSE_NODELAY it is ours.
 */
void hold(int fd)
{
    if (!config.cork || fd < 0 || fd >= MOST || (held[fd / 64] | own[fd / 64]) & bit(fd))
        return;
    int saved = errno, already = 0, word = top;
    socklen_t length = sizeof already;
    if ((config.nodelay || (!getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &already, &length) && !already)) &&
        set_option(fd, TCP_CORK, 1)) {
        while (word < fd / 64 && !atomic_compare_exchange_weak(&top, &word, fd / 64))
            ;
        atomic_fetch_or(&held[fd / 64], bit(fd));
        held_any = true;
    }
    errno = saved;
}

/*
 * Without TCP_CORK the last frame would go, were it not for Nagle, who may still be waiting for the acknowledgement of
 * an earlier short one (net/ipv4/tcp_output.c, tcp_nagle_check): 40 ms, where the peer delays that. TCP_NODELAY pushes.
 */
static void uncork(int fd)
{
    int unsent = 0;
    set_option(fd, TCP_CORK, 0);
    if (!config.nodelay && !(own[fd / 64] & bit(fd)) && !ioctl(fd, SIOCOUTQNSD, &unsent) && unsent > 0 &&
        set_option(fd, TCP_NODELAY, 1))
        set_option(fd, TCP_NODELAY, 0);
}

/* Of this one only: its number is about to go, or the program is about to set its options. */
void push_one(int fd)
{
    if (fd < 0 || fd >= MOST || !(held[fd / 64] & bit(fd)) || !(atomic_fetch_and(&held[fd / 64], ~bit(fd)) & bit(fd)))
        return;
    int saved = errno;
    uncork(fd);
    errno = saved;
}

static void push_all(void)
{
    held_any = false; /* first: what is noted from now on says so again */
    for (int word = 0; word <= top; word++)
        for (uint64_t fds = held[word]; fds; fds &= fds - 1)
            push_one(word * 64 + __builtin_ctzll(fds));
}

void push(void)
{
    if (config.cork) /* not in a sandbox that another thread has entered for all */
        push_all();
}

/* A message through this socket may take a connection to another process (unix(7), SCM_RIGHTS). */
void push_passing(int fd)
{
    int saved = errno, domain = 0;
    socklen_t length = sizeof domain;
    if (!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) && domain == AF_UNIX)
        push();
    errno = saved;
}

/* fileno(3) without its errno: a stream may be of memory. */
int stream_fd(FILE *f)
{
    int saved = errno, fd = fileno(f);
    errno = saved;
    return fd;
}

/* A server that reads a file and writes it piece by piece does not wait in between. */
void push_reading(int fd)
{
    struct stat64 s;
    int saved = errno;
    bool file = !fstat64(fd, &s) && S_ISREG(s.st_mode);
    errno = saved;
    if (!file)
        push();
}

/* A connection with a number that another one had. */
void own_none(int fd)
{
    if (fd >= 0 && fd < MOST && own[fd / 64] & bit(fd))
        atomic_fetch_and(&own[fd / 64], ~bit(fd));
}

/* The program sets TCP_NODELAY or TCP_CORK itself, to whatever; a copy of its descriptor is its own too. */
void own_way(int fd)
{
    if (fd >= 0 && fd < MOST)
        atomic_fetch_or(&own[fd / 64], bit(fd));
}

/* What is accepted is a copy of its listening socket in this as well. */
void own_copy(int from, int to)
{
    if (from == to)
        return;
    own_none(to);
    if (from >= 0 && from < MOST && own[from / 64] & bit(from))
        own_way(to);
}

/* LINGERCLOSE_NODELAY: what is accepted has the options of its listening socket (net/core/sock.c, sk_clone_lock). */
void nodelay(int fd)
{
    int saved = errno;
    if (config.nodelay && fd >= 0)
        set_option(fd, TCP_NODELAY, 1);
    errno = saved;
}

/* A filter that the program installs may kill it for what it would not do itself. */
void sandboxed(void)
{
    config.cork = 0;
    push_all();
    config.nodelay = 0;
}

static int absent(void)
{
    errno = ENOSYS;
    return -1;
}

void *next_definition(struct definition *d)
{
    void *address = atomic_load_explicit(&d->address, memory_order_relaxed);
    if (!address) {
        address = dlsym(RTLD_NEXT, d->name);
        if (!address)
            address = (void *)absent; /* this libc is older than the function */
        d->address = address;
    }
    return address;
}

extern struct definition __start_definitions[] HIDDEN, __stop_definitions[] HIDDEN;

/* inetd's handlers and systemd's services are started with theirs. */
static void inherited(void)
{
    for (int fd = 0; fd < 256; fd++)
        nodelay(fd);
}

/* After every handler and destructor of the program, and before liblingerclose's last look; what stdio still has is
   written after both, and goes as it would without us. */
static void end(void) { sandboxed(); }
__attribute__((destructor)) static void end_of_exit(void) { end(); }

__attribute__((constructor)) static void start(void)
{
    int saved = errno;
    /* cppcheck-suppress comparePointers */ /* the linker's: the two ends of one section */
    for (struct definition *d = __start_definitions; d < __stop_definitions; d++)
        next_definition(d);
    config_read();
    if (!config.on)
        config.cork = config.nodelay = 0;
    if (config.nodelay)
        inherited();
    if (config.cork)
        (void)at_quick_exit(end);
    errno = saved;
}
