/*
 * liblingerclose-nagle.so: what its files know of each other. It is loaded only when asked, before liblingerclose.so
 * (which may close what has to be pushed first), and shares config.c and settings.c with it; which of the two speaks of
 * bad settings: quiet.c.
 *
 * The hooks (waits.c, writes.c, ends.c) each say what is about to happen and then call the next definition; hold.c decides.
 * Nothing but system calls happens on the way, so that it may be in a signal handler or in a vfork child. errno is the
 * program's.
 */
#ifndef NAGLE_H
#define NAGLE_H

#include "../lingerclose.h"

#include <sys/socket.h>

/* hold.c */
extern _Atomic bool held_any HIDDEN;
void hold(int fd) HIDDEN;
void push(void) HIDDEN;
void push_one(int fd) HIDDEN;
void push_reading(int fd) HIDDEN;
void push_passing(int fd) HIDDEN;
void own_way(int fd) HIDDEN;
void own_copy(int from, int to) HIDDEN;
void own_none(int fd) HIDDEN;
int stream_fd(FILE *) HIDDEN;
void nodelay(int fd) HIDDEN;
void sandboxed(void) HIDDEN;

/* writes.c: this thread is in fclose or freopen. What a stream still has is flushed on the way, by liblingerclose.so too,
   and must not be held, since its number goes. */
extern __thread bool stream_goes HIDDEN;

/* It is about to wait, or to give connections to others: what is held goes now. */
static inline void waits(void)
{
    if (held_any)
        push();
}

/* Likewise, if what it sends may be a connection. */
static inline void passes(int fd)
{
    if (held_any)
        push_passing(fd);
}

/* Likewise; but MSG_DONTWAIT does not wait (liblingerclose.so's thread reads so, too). */
static inline void receives(int flags)
{
    if (!(flags & MSG_DONTWAIT))
        waits();
}

/* Likewise, if it does not read a regular file, which nobody waits for. */
static inline void reads(int fd)
{
    if (held_any)
        push_reading(fd);
}

/* The definition behind a hook, libc's or another preload's (dlsym(3), RTLD_NEXT). The constructor binds all of them; a
   hook that is called before it binds its own. */
struct definition {
    const char *name;
    _Atomic(void *) address;
};
void *next_definition(struct definition *) HIDDEN;
#define NEXT(function)                                                                                                 \
    ({                                                                                                                 \
        static struct definition definition_ __attribute__((section("definitions"))) = {#function, NULL};              \
        (__typeof__(&function))next_definition(&definition_);                                                          \
    })

#endif
