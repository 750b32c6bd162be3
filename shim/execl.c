/*
 * execl(3) and its like, in both libraries: a variable list can't be handed on, only its vector, so each is the hook of
 * the like that takes a vector, as glibc has it.
 */
#include "lingerclose.h"

#include <alloca.h>
#include <stdarg.h>
#include <unistd.h>

static size_t count(va_list ap)
{
    size_t n = 1;
    while (va_arg(ap, char *))
        n++;
    return n;
}

/* By its address: where a va_list is no array (i386, aarch64), ours would stay where it was, and execle reads on. */
static void collect(char **argv, const char *first, va_list *ap)
{
    *argv++ = (char *)first;
    while ((*argv++ = va_arg(*ap, char *)))
        ;
}

EXPORT int execl(const char *path, const char *arg, ...)
{
    va_list ap;
    va_start(ap, arg);
    char **argv = alloca((count(ap) + 1) * sizeof *argv);
    va_end(ap);
    va_start(ap, arg);
    collect(argv, arg, &ap);
    va_end(ap);
    return execv(path, argv);
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
    va_list ap;
    va_start(ap, arg);
    char **argv = alloca((count(ap) + 1) * sizeof *argv);
    va_end(ap);
    va_start(ap, arg);
    collect(argv, arg, &ap);
    va_end(ap);
    return execvp(file, argv);
}

EXPORT int execle(const char *path, const char *arg, ...)
{
    va_list ap;
    va_start(ap, arg);
    char **argv = alloca((count(ap) + 1) * sizeof *argv);
    va_end(ap);
    va_start(ap, arg);
    collect(argv, arg, &ap);
    char *const *envp = va_arg(ap, char *const *);
    va_end(ap);
    return execve(path, argv, envp);
}
