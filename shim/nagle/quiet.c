/*
 * What config.c and settings.c call. Both objects read all settings and both act on those of their own, but only
 * liblingerclose.so speaks: there would be two warnings of every mistake. Here a bad value means the default.
 */
#include "nagle.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void report_warning(const char *name, const char *value, const char *is_not, const char *accepted, const char *holds)
{
    (void)name, (void)value, (void)is_not, (void)accepted, (void)holds;
}

void report_file(const char *what, const char *detail) { (void)what, (void)detail; }

void report_line(unsigned line, const char *text, const char *is_not, const char *accepted)
{
    (void)line, (void)text, (void)is_not, (void)accepted;
}

/* For LINGERCLOSE_PROGRAMS; report.c has the same. */
const char *report_program(void)
{
    static char path[256];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    const char *name = n > 0 ? strrchr(path, '/') : NULL;
    return name ? name + 1 : program_invocation_short_name;
}

long bare_syscall(long number, ...)
{
    long a[4];
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    return NEXT(syscall)(number, a[0], a[1], a[2], a[3]);
}

int bare_close(int fd) { return NEXT(close)(fd); }
