/* Servers and client each on a processor of their own, where there are two. */
#ifndef SETTLE_H
#define SETTLE_H

#include <sched.h>
#include <unistd.h>

static inline void settle_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
        sched_setaffinity(0, sizeof set, &set);
}

#endif
