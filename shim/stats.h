/*
 * The page of counters of one process, as stats.c writes it and scripts/lingerclose-status.c reads it: a file of
 * LINGERCLOSE_STATS=DIR that holds one struct stats, in the machine's own byte order.
 *
 *   DIR/PID, DIR/PID.UID     one process. The second where the first is another user's: a program that has changed its
 *                            user and then became another by exec
 *   DIR/ended.UID.PROGRAM    the sum of the processes of that user and program that have ended
 *
 * A process adds its page to the sum when it ends, and removes it; one that is killed leaves it behind. The reader sums
 * such a page as ended; a new process of its number adds it to the sum and puts its own in its place.
 *
 * Counters only grow, but for LINGERING. One more process shares a page with its parent where it cannot have its own: a
 * child that cannot write to DIR any more (chroot, setuid). If that is killed, what it had lingering goes on being counted
 * as LINGERING there.
 */
#ifndef STATS_H
#define STATS_H

#include "lingerclose.h"

#include <stdatomic.h>
#include <stddef.h>

#define STATS_MAGIC UINT64_C(0x7365676170636c00) /* changes with the layout, with enum why and with enum end */
#define STATS_WAITS 18                           /* upper bounds of 1, 2, 4, ... 65536 ms, and none */

enum stats_count {
    STAT_PROCESSES,                     /* that this page stands for: 1, or how many were added to the sum */
    STAT_LINGERED,                      /* began to linger */
    STAT_DECIDED,                       /* over, by enum why: plainly closed, but for those why by which it lingered */
    STAT_ENDED = STAT_DECIDED + WHYS,   /* lingering that is over, by enum end */
    STAT_DISCARDED = STAT_ENDED + ENDS, /* bytes */
    STAT_AVOIDED, /* resets: input was unread or came late, was discarded, and then came the peer's FIN or silence */
    STAT_DROPPED, /* lines of the log that could not be written */
    STAT_WAITED,  /* ns that all lingering took */
    STAT_WAITS,   /* how many took how long: STATS_WAITS counts, each without those below it */
    STATS = STAT_WAITS + STATS_WAITS
};

struct stats {
    uint64_t magic;
    uint64_t pid_namespace; /* the inode number of /proc/self/ns/pid: pid means something in that one */
    int64_t realtime;       /* ns, CLOCK_REALTIME when the page was made */
    int64_t boottime;       /* ns, CLOCK_BOOTTIME likewise: a process that began later is another one */
    int32_t pid;            /* 0: a sum */
    char version[20];
    char program[64];
    struct {
        uint32_t mode, steps, roles, families, when, abort, shutdown, max, ports, log;
        int64_t linger, drain, idle, exit; /* ns */
        uint64_t drain_bytes[2];           /* accepted, connected */
    } config;
    _Atomic int64_t lingering; /* now */
    _Atomic uint64_t count[STATS];
};
_Static_assert(offsetof(struct stats, count) == 216, "a reader of 64 bits understands a process of 32");

void stats_init(void) HIDDEN;
bool stats_kept(void) HIDDEN;
void stats_begins(void) HIDDEN;
void stats_letgo(const struct lingering *, enum end, int64_t ns) HIDDEN;
void stats_dropped(void) HIDDEN;

/* Which of the counts a wait of so many ns belongs to. */
static inline unsigned stats_wait(int64_t ns)
{
    uint64_t ms = ns > 0 ? ((uint64_t)ns + 999999) / 1000000 : 0;
    unsigned i = ms <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(ms - 1);
    return i < STATS_WAITS ? i : STATS_WAITS - 1;
}

#endif
