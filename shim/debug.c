/* The debug build's: random delays at the windows of the holders' protocol, and rules that can be switched off, so that
   the tests can show that each rule is needed. The release build has none of this. */
#include "lingerclose.h"

#ifdef LINGERCLOSE_DEBUG
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *mutant;
static long longest; /* us */

void debug_init(void)
{
    const char *delay = secure_getenv("LINGERCLOSE_DELAY");
    mutant = secure_getenv("LINGERCLOSE_MUTANT");
    longest = delay ? atol(delay) : 0;
}

bool debug_mutant(const char *name) { return mutant && !strcmp(mutant, name); }

void debug_window(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (longest <= 0)
        return;
    t.tv_nsec = (t.tv_nsec / 8 * 7919L % longest) * 1000;
    t.tv_sec = 0;
    nanosleep(&t, NULL);
}
#endif
