/* What the servers write: every byte tells its place, so that a peer notices loss. */
#ifndef TESTS_PATTERN_H
#define TESTS_PATTERN_H

#include <stddef.h>

static inline char pattern_at(size_t place) { return (char)(place * 31 + (place >> 8) * 7); }

static inline void pattern(char *block, size_t place, size_t n)
{
    for (size_t i = 0; i < n; i++)
        block[i] = pattern_at(place + i);
}

#endif
