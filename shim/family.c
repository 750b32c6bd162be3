/* The family's shared memory: see family.h. Lock-free, so that it may be used on the way of a close and in a child.
   A member may be another user's by now (privilege separation), and broken into. So nothing in it is an address, an index is
   checked, and no loop is as long as it says: rubbish costs a connection its lingering, or the wait of holders.c. */
#include "family.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SLOTS 1024
#define SOON INT64_C(1000000000) /* ns */

static struct family {
    _Atomic uint32_t event;      /* the last number given */
    _Atomic uint32_t generation; /* moves whenever a promise is made: was there one between two readings? */
    _Atomic uint32_t top;        /* no slot at or above it is taken */
    _Atomic bool taken;          /* somebody takes descriptors without asking (pidfd_getfd) */
    _Atomic uint32_t refused;    /* connections that came before this event are in doubt for good */
    _Atomic uint32_t strangers;  /* at this event, the last such, a member became another program, or made one */
    struct slot slots[SLOTS];
} * _Atomic family;

uint32_t family_me;

/* Made at the first sharing, by the process that will be the family's ancestor. */
bool family_init(void)
{
    static _Atomic(struct family *) made;
    struct family *none = NULL;
    if (family)
        return true;
    int saved = errno;
    struct family *f = mmap(NULL, sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    errno = saved;
    if (f == MAP_FAILED)
        return false;
    if (!atomic_compare_exchange_strong(&made, &none, f))
        munmap(f, sizeof *f); /* another thread was first */
    family = atomic_load(&made);
    return true;
}

/* Numbers only grow, and 0 is before all of them. */
uint32_t family_event(void) { return family ? atomic_fetch_add(&family->event, 1) + 1 : 1; }

/* The later of the two holds. */
void family_raise(_Atomic uint32_t *last, uint32_t event)
{
    uint32_t before = atomic_load(last);
    while (before < event && !atomic_compare_exchange_weak(last, &before, event))
        ;
}

uint32_t family_generation(void) { return family ? atomic_load(&family->generation) : 0; }

/* A lock was refused, or a promise could not be written down: nobody can be sure of what is open now. */
void family_refuse(void)
{
    if (family)
        family_raise(&family->refused, family_event());
}

bool family_refused(uint32_t born) { return family && born < atomic_load(&family->refused); }

void family_mark_taken(void)
{
    if (family_init())
        atomic_store(&family->taken, true);
}

bool family_taken(void) { return family && atomic_load(&family->taken); }

/* What came before may be held by a program that shares no memory with us, and shuffles it: holders.c looks twice. */
void family_stranger(void)
{
    uint32_t event = family_event();
    if (family)
        family_raise(&family->strangers, event);
}

bool family_strangers(uint32_t born) { return family && born <= atomic_load(&family->strangers); }

static uint32_t slots_used(void)
{
    uint32_t top = family ? atomic_load(&family->top) : 0;
    return top < SLOTS || debug_mutant("trusts-shared") ? top : SLOTS;
}

static enum promise kind_of(uint64_t state) { return (enum promise)(uint32_t)state; }
static uint32_t event_of(uint64_t state) { return (uint32_t)(state >> 32); }

static int this_thread(void) { return (int)bare_syscall(SYS_gettid); }

/* Is a child that we spawned gone? A zombie holds nothing any more; WNOWAIT leaves it to the program's own wait. */
static bool gone(pid_t child)
{
    siginfo_t info = {0};
    int saved = errno;
    bool gone = child > 0 && (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == child);
    errno = saved;
    return gone;
}

/* Likewise, of somebody else's child perhaps. In another PID namespace the number means nothing; but by then the program
   has its lock. */
static bool dead(pid_t process)
{
    siginfo_t info = {0};
    int saved = errno;
    bool dead = process > 0 && waitid(P_PID, (id_t)process, &info, WEXITED | WNOHANG | WNOWAIT) == 0
                    ? info.si_pid == process
                    : kill(process, 0) && errno == ESRCH;
    errno = saved;
    return dead;
}

/* All slots are taken: are there some of processes that have died? */
static bool sweep(void)
{
    bool freed = false;
    for (struct slot *s = family ? family->slots : NULL; s && s < family->slots + SLOTS; s++) {
        uint64_t state = atomic_load(&s->state);
        pid_t child = atomic_load(&s->child);
        bool mine = kind_of(state) == SPAWNED && atomic_load(&s->maker) == family_me && gone(child);
        if (mine || (kind_of(state) == EXECING && dead(child)))
            freed |= atomic_compare_exchange_strong(&s->state, &state, FREE);
    }
    return freed;
}

/* A slot becomes visible last, as a whole. NULL: all are taken, or there is no memory; then doubt stays. */
static struct slot *take(enum promise kind, uint32_t event, uint32_t pending, uint64_t tag)
{
    for (uint32_t i = 0; family && i < SLOTS; i++) {
        struct slot *s = &family->slots[i];
        uint64_t free = FREE;
        uint32_t top = atomic_load(&family->top);
        if (!atomic_compare_exchange_strong(&s->state, &free, FILLING))
            continue;
        atomic_store(&s->maker, family_me);
        atomic_store(&s->pending, pending);
        atomic_store(&s->child, 0);
        atomic_store(&s->tag, tag);
        atomic_store(&s->had, ~UINT64_C(0));
        atomic_store(&s->any, false);
        atomic_store(&s->began, kind == NEWBORN || kind == SPAWNED ? now() : 0);
        atomic_store(&s->thread, kind == SPAWNED ? this_thread() : 0);
        while (top <= i && !atomic_compare_exchange_weak(&family->top, &top, i + 1))
            ;
        atomic_store(&s->state, (uint64_t)event << 32 | kind);
        atomic_fetch_add(&family->generation, 1);
        return s;
    }
    return NULL;
}

struct slot *family_take(enum promise kind, uint32_t event, uint32_t pending, uint64_t tag)
{
    struct slot *s = take(kind, event, pending, tag);
    if (!s && sweep())
        s = take(kind, event, pending, tag);
    if (!s)
        family_refuse();
    return s;
}

/* Its maker has looked through what it holds. */
void family_had(struct slot *s, uint64_t bits)
{
    if (s)
        atomic_store(&s->had, bits);
}

/* A connection has come from elsewhere: a child that another thread is just making may have it too. */
void family_receives(uint32_t born)
{
    uint32_t top = slots_used();
    for (struct slot *s = top ? family->slots : NULL; s && s < family->slots + top; s++) {
        uint64_t state = atomic_load(&s->state);
        bool making = atomic_load(&s->pending) & PARENT || event_of(state) >= born;
        if (atomic_load(&s->maker) == family_me && (kind_of(state) == NEWBORN || (kind_of(state) == SPAWNED && making)))
            atomic_store(&s->any, true);
    }
    if (family)
        atomic_fetch_add(&family->generation, 1);
}

/* exec has failed. */
void family_free_execing(pid_t process)
{
    uint32_t top = slots_used();
    for (struct slot *s = top ? family->slots : NULL; s && s < family->slots + top; s++)
        if (kind_of(atomic_load(&s->state)) == EXECING && atomic_load(&s->child) == process)
            family_free(s);
}

void family_free(struct slot *s)
{
    if (s)
        atomic_store(&s->state, FREE);
}

/* One of the two that a fork left behind has taken its locks; the later one frees the slot. The event tells whether the
   slot is still that fork's. */
void family_done(struct slot *s, uint32_t event, uint32_t who)
{
    if (s && atomic_load(&s->state) == ((uint64_t)event << 32 | NEWBORN) && atomic_fetch_and(&s->pending, ~who) == who)
        family_free(s);
}

struct slot *family_find(enum promise kind, uint64_t tag, bool mine)
{
    uint32_t top = slots_used();
    for (uint32_t i = 0; i < top; i++) {
        struct slot *s = &family->slots[i];
        if (kind_of(atomic_load(&s->state)) == kind && atomic_load(&s->tag) == tag &&
            (!mine || atomic_load(&s->maker) == family_me))
            return s;
    }
    return NULL;
}

/* Is a thread of ours in posix_spawn, system or popen? (In popen until pclose.) */
bool family_spawning(void)
{
    uint32_t top = slots_used();
    for (struct slot *s = top ? family->slots : NULL; s && s < family->slots + top; s++)
        if (kind_of(atomic_load(&s->state)) == SPAWNED && atomic_load(&s->maker) == family_me &&
            atomic_load(&s->pending) & PARENT)
            return true;
    return false;
}

/* A Bloom filter of one word: a few connections leave room for doubt in a few bits. */
uint64_t family_bit(uint64_t cookie) { return UINT64_C(1) << (cookie % 64); }

/* Can that child have it? Not what came later, to its maker or, by fork alone, to whoever asks. What came by a message has
   one number here and another there; so of a birth, which is over in a moment, the number is not asked. Somebody else's
   child has what that one had before it, and by chance what came since. */
static bool can_have(const struct slot *s, uint64_t state, const struct question *q)
{
    bool mine = atomic_load(&s->maker) == family_me, any = atomic_load(&s->any);
    if (kind_of(state) == NEWBORN && (any || !(mine || q->exact)) && now() - atomic_load(&s->began) < SOON)
        return true;
    return event_of(state) >= q->born &&
           (mine || any || !q->exact || event_of(state) == q->born || atomic_load(&s->had) & family_bit(q->cookie));
}

/* Our own newborn child certainly holds what we had before it; unless another thread has not forked it yet, or the
   connection came while it did. Of somebody else's child we do not know. In a moment all these will have settled. */
static enum slots_say newborn_says(const struct slot *s, uint32_t event, const struct question *q)
{
    uint32_t pending = atomic_load(&s->pending);
    bool unsure = pending & PARENT || event == q->born || atomic_load(&s->any);
    if (atomic_load(&s->maker) == family_me)
        return !(pending & CHILD) ? NOBODY : unsure ? UNSETTLED : SOMEBODY;
    if (event == family_me) /* our own birth: what does the parent still have to lock? */
        return pending & PARENT ? UNSETTLED : NOBODY;
    return pending ? UNSETTLED : NOBODY;
}

/* Its child has what we had before it. system(3) and popen(3) do not tell who it is, nor when it is gone; most commands are
   over soon, so that is worth waiting for. So it is where another thread spawned it, for a purpose of its own; who spawns and
   closes gives away what he closes. What came while it was made is leaked to it at most, by chance. */
static enum slots_say spawned_says(struct slot *s, uint64_t state, const struct question *q)
{
    bool mine = atomic_load(&s->maker) == family_me;
    if (mine && gone(atomic_load(&s->child))) {
        atomic_compare_exchange_strong(&s->state, &state, FREE);
        return NOBODY;
    }
    uint32_t pending = atomic_load(&s->pending);
    if (event_of(state) == q->born || (!(pending & CLOEXEC_TOO) && holders_closes_at_exec(q->fd)))
        return NOBODY;
    bool soon = pending & PARENT || (mine && atomic_load(&s->thread) != this_thread());
    return soon && now() - atomic_load(&s->began) < SOON ? UNSETTLED : SOMEBODY;
}

static enum slots_say slot_says(struct slot *s, const struct question *q)
{
    uint64_t state = atomic_load(&s->state);
    switch (kind_of(state)) {
    case FREE:
    case FILLING: /* its maker has not done yet what it promises */
        return NOBODY;
    case NEWBORN:
        if (debug_mutant("one-counter"))
            return SOMEBODY;
        return can_have(s, state, q) ? newborn_says(s, event_of(state), q) : NOBODY;
    case SPAWNED:
        return can_have(s, state, q) ? spawned_says(s, state, q) : NOBODY;
    case SETTLING:
        return atomic_load(&s->tag) == q->cookie ? UNSETTLED : NOBODY;
    case EXECING:
        if (atomic_load(&s->tag) != q->cookie)
            return NOBODY;
        if (!dead(atomic_load(&s->child)))
            return SOMEBODY;
        atomic_compare_exchange_strong(&s->state, &state, FREE);
        return NOBODY;
    case INFLIGHT:
        return atomic_load(&s->tag) == q->cookie && !q->received ? SOMEBODY : NOBODY;
    }
    return NOBODY;
}

enum slots_say family_ask(const struct question *q)
{
    enum slots_say answer = NOBODY;
    uint32_t top = slots_used();
    for (uint32_t i = 0; i < top && answer != SOMEBODY; i++) {
        enum slots_say says = slot_says(&family->slots[i], q);
        if (says > answer)
            answer = says;
    }
    return answer;
}
