/* lingerclose-check.c, whose findings must be one printable line each. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include "fuzz.h"

#define printf(...) said(__VA_ARGS__)
static int said(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define main check_main
#include "../../scripts/lingerclose-check.c"
#undef main
#undef printf

static int said(const char *format, ...)
{
    char text[20000];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    must(n > 0 && n < (int)sizeof text && strchr(text, '\n') == text + n - 1, "a finding is one line");
    must_be_printable(text);
    return n;
}

#endif
