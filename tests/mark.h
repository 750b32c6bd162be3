/* The part of a program in which inject makes faults. */
#ifndef TESTS_MARK_H
#define TESTS_MARK_H

#include <sys/resource.h>

enum { MARK = 4711 }; /* getpriority(2) refuses it */

static inline void window_opens(void) { getpriority((__priority_which_t)MARK, 0); }
static inline void window_closes(void) { getpriority((__priority_which_t)MARK, 1); } /* for the calling thread */

#endif
