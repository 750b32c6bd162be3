/*
 * What may give another process what we hold: fork and its kin, exec, spawning. Each is an event, a promise for the moments
 * when its child cannot show a lock of its own, and our locks on all that we hold; README.md in this folder tells why.
 */
#include "family.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What this thread's fork or vfork has promised. vfork's child has the parent's memory, so it finds it too. */
static __thread struct {
    struct slot *slot;
    struct moves moves;
    uint32_t event;
    bool vfork;
} birth;

/* vfork returns twice, to its caller; we see that it is over when the same thread comes here again. The child has become
   another program, has died before it could, or was never made. */
void holders_vfork_over(void)
{
    if (birth.vfork && owned()) {
        birth.vfork = false;
        holders_child_gone((struct birth){birth.slot, birth.event});
    }
}

/* Before anything that gives away: an event, a promise, and our locks on all that we hold. */
static struct slot *share(enum promise kind, uint32_t pending, uint32_t *event)
{
    if (!family_init())
        holders_refuse();
    holders_vfork_over();
    *event = family_event();
    struct slot *slot = family_take(kind, *event, pending, 0);
    family_raise(&holders_shares, *event);
    uint32_t notes = descriptor_notes();
    uint64_t had = debug_mutant("no-register") ? ~UINT64_C(0) : holders_register_all();
    /* A dup by another thread may have put one where we had looked. */
    if (notes == descriptor_notes() || debug_mutant("no-notes"))
        family_had(slot, had);
    if (debug_mutant("had-nothing") || debug_mutant("had-all"))
        family_had(slot, debug_mutant("had-all") ? ~UINT64_C(0) : 0);
    return slot;
}

/* After it: what other threads opened meanwhile was born at the event, and may have been given away as well. */
static void shared(uint32_t event)
{
    family_raise(&holders_shares, family_event());
    holders_register_since(event);
}

void holders_before_fork(void)
{
    int saved = errno;
    holders_vfork_over();
    birth.slot = NULL;
    birth.event = 0;
    if (owned()) {
        parking_fork_begins();
        birth.slot = share(NEWBORN, CHILD | PARENT, &birth.event);
        birth.moves = descriptor_moves_now();
    }
    errno = saved;
}

static void know(struct kept *k)
{
    for (int fd = -1; (fd = set_next(KNOWN, fd)) >= 0;)
        k->known |= family_bit(atomic_load(&descriptor(fd)->cookie));
}

/* fork copies the descriptors first and the memory later (copy_process()), and a hook's call and its note are two steps: what
   another thread dups or closes meanwhile, the child may have under a number that its memory says nothing of, or something
   else. It is as if it had come from elsewhere, and an epoll set may know it by any number. */
static void found_again(int fd, struct kept *k)
{
    bool ours = set_has(PARKED, fd) || set_has(PARKING, fd) || set_has(OURS, fd);
    uint64_t cookie = !descriptor(fd) || ours || set_has(LISTENS, fd) ? 0 : holders_cookie(fd);
    bool right = set_has(KNOWN, fd) && atomic_load(&descriptor(fd)->cookie) == cookie;
    if (!cookie || right || !(k->known & family_bit(cookie)))
        return;
    holders_came_from_elsewhere(fd);
    if (set_next(EPOLLS, -1) >= 0)
        set_put(EPOLL_ELSEWHERE, fd);
}

static void child_settles(void)
{
    struct kept kept = {.known = 0};
    owner_begin();
    atomic_store(&holders_waited, 0);
    family_me = birth.event;
    atomic_store(&holders_shares, family_event());
    debug_window();
    for (int fd = -1; (fd = set_next(CLOSING, fd)) >= 0;)
        set_drop(CLOSING, fd); /* the thread that was closing it is the parent's */
    for (int fd = -1; (fd = set_next(KNOWN, fd)) >= 0;)
        if (atomic_load(&descriptor(fd)->born) == UNBORN) /* likewise the one that had just accepted it */
            atomic_store(&descriptor(fd)->born, 0);
    if (!descriptors_stood_still(birth.moves) && !debug_mutant("no-moved")) {
        know(&kept);
        holders_each_open(found_again, &kept);
    }
    descriptors_forked();
    holders_register_all();
    debug_window();
    family_done(birth.slot, birth.event, CHILD);
}

/* result: as fork's. In a process that is not ours by memory, nothing was promised and nothing is done. */
bool holders_after_fork(pid_t result)
{
    int saved = errno;
    if (birth.event == 0)
        return false;
    if (result == 0)
        child_settles();
    else {
        parking_fork_over();
        shared(birth.event);
        if (result < 0)
            family_done(birth.slot, birth.event, CHILD);
        family_done(birth.slot, birth.event, PARENT);
    }
    errno = saved;
    return true;
}

/* pthread_atfork's handlers are not told. */
void holders_fork_failed(void)
{
    if (birth.event)
        family_done(birth.slot, birth.event, CHILD);
}

/* vfork's parent sleeps until the child is gone or another program; the child settles for both. */
void holders_before_vfork(void)
{
    int saved = errno;
    if (owned()) {
        owner_shares_memory();
        birth.slot = share(NEWBORN, CHILD | PARENT, &birth.event);
        birth.vfork = true;
    }
    errno = saved;
}

/* Not poll(3), a cancellation point: no thread may be cancelled in vfork's child. */
static bool poll_numbers(struct pollfd *p, int base, int count)
{
    for (int i = 0; i < count; i++)
        p[i] = (struct pollfd){.fd = base + i};
    for (;;)
        if (bare_syscall(SYS_ppoll, p, count, &(struct timespec){0}, NULL, 8) >= 0)
            return true;
        else if (errno != EINTR) /* a signal's handler has run */
            return false;
}

/* poll tells which of 256 numbers are open in one call (POLLNVAL); beyond 1024 and what we saw the program get, the first 256
   of which none is end the search. RLIMIT_NOFILE may be 0: then there is no way to ask. */
void holders_each_open(void (*found)(int fd, struct kept *), struct kept *k)
{
    struct pollfd p[256];
    struct rlimit limit = {.rlim_cur = 256};
    getrlimit(RLIMIT_NOFILE, &limit);
    int chunk = limit.rlim_cur < 256 ? (int)limit.rlim_cur : 256; /* poll(2): more is EINVAL */
    for (int base = 0, open = 1; chunk && (open || base < 1024 || base <= descriptor_peak()); base += chunk) {
        if (!poll_numbers(p, base, chunk))
            return;
        open = 0;
        for (int i = 0; i < chunk; i++)
            if (!(p[i].revents & POLLNVAL)) {
                open++;
                if (verdict_socket(base + i))
                    found(base + i, k);
            }
    }
}

/* ---- exec ---- */

/* Refused: it may stay open. (EBADF: closed inside libc.) */
bool holders_closes_at_exec(int fd)
{
    long flags = bare_syscall(SYS_fcntl, fd, F_GETFD);
    return flags < 0 ? errno == EBADF : flags & FD_CLOEXEC;
}

static void keep(int fd, struct kept *k)
{
    if (!holders_closes_at_exec(fd) && k->count < 64)
        k->cookies[k->count++] = holders_cookie(fd);
}

/* exec closes this copy of a connection that has others, and the lock goes with it. */
static void promise(int fd, struct kept *k)
{
    uint64_t cookie = k->count && holders_closes_at_exec(fd) ? holders_cookie(fd) : 0;
    for (int i = 0; cookie && i < k->count; i++)
        if (k->cookies[i] == cookie) {
            struct slot *slot = family_take(EXECING, 0, 0, cookie);
            if (slot)
                atomic_store(&slot->child, getpid());
            return;
        }
}

static void lock_only(int fd, struct kept *unused)
{
    (void)unused;
    holders_lock(fd, F_RDLCK, HOLDER);
}

/* Before exec. vfork's child has its own table of descriptors, and so its own locks, in the parent's memory: it takes them
   here, which settles its birth. */
void holders_before_exec(void)
{
    struct kept kept = {.count = 0};
    int saved = errno;
    family_stranger();
    if (owned()) {
        for (int fd = -1; (fd = set_next(DUPED, fd)) >= 0;)
            keep(fd, &kept);
        for (int fd = -1; (fd = set_next(DUPED, fd)) >= 0;)
            promise(fd, &kept);
    } else if (birth.slot) {
        holders_each_open(lock_only, &kept);
        holders_each_open(keep, &kept);
        holders_each_open(promise, &kept);
        holders_child_gone((struct birth){birth.slot, birth.event});
    }
    errno = saved;
}

void holders_exec_failed(void)
{
    int saved = errno;
    family_free_execing(getpid());
    errno = saved;
}

/* In vfork's child, before _exit. */
void holders_exit_vfork(void)
{
    if (birth.slot && !owned())
        holders_child_gone((struct birth){birth.slot, birth.event});
}

/* Whoever gets what we hold may wait a little for us to let go. */
void holders_give(void)
{
    atomic_store(&holders_gave, true);
    family_stranger();
    for (int fd = -1; (fd = set_next(KNOWN, fd)) >= 0;)
        if (!set_has(CLOSING, fd) && holders_register(fd))
            holders_lock(fd, F_RDLCK, GIVER);
}

/* clone's child in our memory may run beside us, and we may fork meanwhile: it keeps the promise itself. */
struct birth holders_birth_of_child(void) { return (struct birth){birth.slot, birth.event}; }
void holders_child_runs(struct birth b, bool vfork)
{
    birth.vfork &= vfork; /* else that we come here again does not tell that it is gone */
    family_done(b.slot, b.event, PARENT);
}

void holders_child_gone(struct birth b)
{
    family_done(b.slot, b.event, PARENT);
    family_done(b.slot, b.event, CHILD);
}

/* posix_spawn, system, popen: their children run no code of ours before exec. giver: we may let go soon after. */
void *holders_before_spawn(bool giver, bool cloexec_too)
{
    uint32_t event;
    int saved = errno;
    if (!owned())
        return NULL;
    struct slot *slot = share(SPAWNED, (cloexec_too ? CLOEXEC_TOO : 0) | PARENT, &event);
    family_stranger();
    if (giver)
        holders_give();
    errno = saved;
    return slot;
}

/* child: 0: there is none (any more); -1: popen's, which `tag` will end */
void holders_after_spawn(void *slot, pid_t child, uint64_t tag)
{
    struct slot *s = slot;
    int saved = errno;
    if (!s)
        return;
    shared((uint32_t)(atomic_load(&s->state) >> 32));
    atomic_store(&s->tag, tag);
    if (child > 0)
        atomic_store(&s->child, child);
    if (child >= 0)
        atomic_fetch_and(&s->pending, ~(uint32_t)PARENT);
    if (child == 0)
        family_free(s);
    errno = saved;
}

void *holders_spawned(uint64_t tag) { return owned() ? family_find(SPAWNED, tag, true) : NULL; }
