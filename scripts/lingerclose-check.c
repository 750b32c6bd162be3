/*
 * Will the shim reach this program, and what it starts? lingerclose --check is this program.
 * usage: lingerclose-check LIBRARY COMMAND|PID [ARG...]
 *
 * It reads files and /proc only; nothing is run, and nothing is needed but libc. One line a finding: what it is, the
 * sentence, and the remedy where there is one. Exit status: 0 reached, 1 not reached, 2 cannot tell (or bad usage).
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *library;
bool everywhere;
static int result = REACHED;
static unsigned found;

unsigned findings(void) { return found; }

/* Paths and names come from outside: a control character must not forge a line or drive a terminal. */
static void vsay(const char *kind, const char *format, va_list ap, const char *remedy)
{
    char line[16384];
    int n = snprintf(line, sizeof line, "%s: ", kind);
    vsnprintf(line + n, sizeof line / 2, format, ap);
    size_t length = strlen(line);
    if (remedy)
        snprintf(line + length, sizeof line - length, "; remedy: %s", remedy);
    for (char *s = line; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            *s = '?';
    printf("%s\n", line);
}

void say(const char *kind, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsay(kind, format, ap, NULL);
    va_end(ap);
}

void note(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsay("note", format, ap, NULL);
    va_end(ap);
}

void obstacle(const char *remedy, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsay("not reached", format, ap, remedy);
    va_end(ap);
    found++;
    result = NOT_REACHED;
}

void doubt(const char *remedy, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsay("cannot tell", format, ap, remedy);
    va_end(ap);
    found++;
    if (result == REACHED)
        result = CANNOT_TELL;
}

const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool runnable(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISREG(s.st_mode) && (s.st_mode & 0111);
}

/* As execvp(3) finds it. */
bool find_program(const char *name, char path[4096])
{
    const char *directories = getenv("PATH");
    if (strchr(name, '/'))
        return snprintf(path, 4096, "%s", name) < 4096 && runnable(path);
    for (const char *d = directories ? directories : "/bin:/usr/bin"; d;
         d = strchr(d, ':') ? strchr(d, ':') + 1 : NULL) {
        int length = (int)strcspn(d, ":");
        if (*name && snprintf(path, 4096, "%.*s%s%s", length, d, length ? "/" : "./", name) < 4096 && runnable(path))
            return true;
    }
    return false;
}

/* ld.so.preload has names with blanks or colons between them, and comments (ld.so(8), FILES). */
static bool preloaded_everywhere(void)
{
    char line[4096];
    bool found = false;
    FILE *f = fopen("/etc/ld.so.preload", "re");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "#")] = 0;
        for (char *rest = line, *name; (name = strsep(&rest, " \t\n:"));)
            found |= !strcmp(base_name(name), base_name(library));
    }
    if (f)
        fclose(f);
    return found;
}

static void check_command(const char *name)
{
    char path[4096];
    if (!find_program(name, path)) {
        doubt("give its path", "there is no program %s%s", name,
              strchr(name, '/') ? "" : " in the directories of PATH");
        return;
    }
    check_file(path, false);
    if (*executable)
        check_settings(base_name(executable));
}

static bool is_pid(const char *s) { return *s && !s[strspn(s, "0123456789")]; }

int main(int argc, char **argv)
{
    if (argc < 3 || !*argv[2]) {
        fputs("usage: lingerclose --check COMMAND|PID [ARG...]\n", stderr);
        return CANNOT_TELL;
    }
    library = argv[1];
    everywhere = preloaded_everywhere();
    if (everywhere)
        note("/etc/ld.so.preload names the library: it is loaded whatever the environment says");
    errno = 0;
    long pid = is_pid(argv[2]) ? strtol(argv[2], NULL, 10) : 0;
    if (!is_pid(argv[2]))
        check_command(argv[2]);
    else if (errno || pid < 1 || pid > 1 << 22) /* PID_MAX_LIMIT, linux/threads.h */
        doubt("give one that ps(1) shows; a command of that name needs its path", "%s is no process id", argv[2]);
    else
        check_process((pid_t)pid);
    if (result == REACHED)
        puts("reached: the shim gets into it, and into what it starts where the same holds for that");
    return result;
}
