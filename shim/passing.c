/*
 * Connections that come from elsewhere or go there: SCM_RIGHTS, pidfd_getfd, what a program finds open when it begins; and
 * a sandbox, after which we can tell nobody.
 */
#include "family.h"

#include <errno.h>
#include <fcntl.h>

/* Before sendmsg: until a receiver of our family has locked it, it is somebody's. */
void holders_pass(int fd)
{
    if (!set_has(KNOWN, fd) || !owned())
        return;
    if (holders_shared(fd))
        holders_mark(fd, PASSED_ON);
    holders_put_on_all(SHARED, fd);
    if (!family_init())
        holders_refuse();
    family_stranger();
    if (holders_register(fd))
        family_take(INFLIGHT, 0, 0, atomic_load(&descriptor(fd)->cookie));
}

void holders_not_passed(int fd)
{
    if (set_has(SHARED, fd) && owned())
        family_free(family_find(INFLIGHT, atomic_load(&descriptor(fd)->cookie), true));
}

/* Nothing is lost with a listener, and no child need ask who else has it. */
void holders_listens(int fd)
{
    if (set_has(KNOWN, fd))
        holders_gone(fd);
    descriptor_forget(fd);
    set_put(LISTENS, fd);
}

/* A socket that was given to us unconnected is opened by us all the same. And a listener may become a connection
   (shutdown(2), then connect(2)): a child that was forked meanwhile has it, and knows nothing of it. */
void holders_connects(int fd)
{
    struct descriptor *d = descriptor(fd);
    if (d && set_take_out(LISTENS, fd)) {
        uint32_t born = atomic_load(&d->born);
        descriptor_note(fd, ROLE_CONNECTED, born);
        if (born != atomic_load(&holders_shares))
            set_put(SHARED, fd);
    } else if (set_has(KNOWN, fd) && !set_has(CONNECTED, fd))
        set_put(CONNECTED, fd);
}

static void found_held_elsewhere(int fd)
{
    descriptor_note(fd, ROLE_ACCEPTED, atomic_load(&holders_shares));
    verdict_linger_set(); /* by somebody else, perhaps */
    if (verdict_listens(fd)) {
        holders_listens(fd);
        return;
    }
    set_put(SHARED, fd);
    set_put(DUPED, fd);
    holders_register(fd);
}

static uint64_t known_cookie(int fd)
{
    struct descriptor *d = descriptor(fd);
    uint64_t none = 0;
    if (atomic_load(&d->cookie) == 0)
        atomic_compare_exchange_strong(&d->cookie, &none, holders_cookie(fd));
    return atomic_load(&d->cookie);
}

/* Our own copies of it are dups now. Its cookie, or 0: it is none of ours. */
uint64_t holders_came_from_elsewhere(int fd)
{
    if (!descriptor(fd) || !owned() || !verdict_socket(fd))
        return 0;
    found_held_elsewhere(fd);
    if (set_has(LISTENS, fd)) { /* it was passed before it listened, perhaps */
        family_free(family_find(INFLIGHT, holders_cookie(fd), false));
        return 0;
    }
    family_receives(atomic_load(&descriptor(fd)->born));
    uint64_t cookie = atomic_load(&descriptor(fd)->cookie);
    for (int other = -1; (other = set_next(KNOWN, other)) >= 0;)
        if (known_cookie(other) == cookie)
            set_put(DUPED, other);
    return cookie;
}

/* After recvmsg. A peeked message is still in flight, though its sender may have closed, and ended the promise with that
   (holders_gone()). */
void holders_receive(int fd, bool peeked)
{
    uint64_t cookie = holders_came_from_elsewhere(fd);
    struct slot *slot = cookie ? family_find(INFLIGHT, cookie, false) : NULL;
    if (cookie && peeked && !slot && family_init())
        family_take(INFLIGHT, 0, 0, cookie);
    if (cookie && !peeked && !slot)
        holders_mark(fd, RECEIVED);
    if (!peeked)
        family_free(slot);
}

/* Closed, and not by way of lingering. What was passed, and nobody of the family can have but by receiving it: nobody will
   ask for the promise any more. */
void holders_gone(int fd)
{
    struct descriptor *d = descriptor(fd);
    struct slot *slot;
    if (d && set_has(SHARED, fd) && atomic_load(&d->born) == atomic_load(&holders_shares))
        for (int most = 1024; most && (slot = family_find(INFLIGHT, atomic_load(&d->cookie), true)); most--)
            family_free(slot);
}

/* pidfd_getfd: taken from a process that was not asked. From now on no process of the family trusts its own memory of
   having shared nothing. One that is not of the family cannot know. */
void holders_take(int fd)
{
    int saved = errno;
    holders_came_from_elsewhere(fd);
    family_mark_taken();
    errno = saved;
}

/* Soon we may neither lock nor look. Locks stay until we close; but closing one of several descriptors drops them, and
   nobody could take them again: those are somebody's for good. */
void holders_sandboxed(void)
{
    family_stranger(); /* it may become one, and will not tell */
    for (int fd = -1; (fd = set_next(SHARED, fd)) >= 0;)
        holders_mark(fd, PASSED_ON); /* we will not see it passed */
    for (int fd = -1; (fd = set_next(DUPED, fd)) >= 0;)
        if (family_init() && holders_register(fd))
            family_take(INFLIGHT, 0, 0, atomic_load(&descriptor(fd)->cookie));
}

static void inherited(int fd, struct kept *unused)
{
    (void)unused;
    found_held_elsewhere(fd);
}

/* The constructor's look at what exec or our parent left us: it may be held elsewhere, and by several numbers. */
void holders_init(void)
{
    owner_begin();
    holders_each_open(inherited, NULL);
}
