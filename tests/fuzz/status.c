/* Any pages in a directory of counters, and any names of them: anybody may have made one where the directory lets him.
 *
 * The input: a byte, a name that ends with a zero, the rest of a page; and so on. The byte's bits make a page that gets
 * further: 1 it has the right magic, 2 and this PID namespace, 4 and it is this process's. */
#include "fuzz.h"

#include <stdarg.h>

#define printf(...) printed(__VA_ARGS__)
#define warnx(...) warned(__VA_ARGS__)
static int printed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void warned(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int page;

#include <err.h>
#include <fcntl.h>
#define openat(dir, name, flags) ((void)(dir), (void)(name), page)

#define main status_main
#include "../../scripts/lingerclose-status.c"
#undef main
#include "../../scripts/lingerclose-status-show.c"
#undef printf

static void put(const char *format, va_list ap, const char *newline)
{
    char text[20000];
    int n = vsnprintf(text, sizeof text, format, ap);
    must(n >= 0 && n < (int)sizeof text, "what is printed is not longer than a page and its name");
    must_be_printable(text);
    must(!newline || !strchr(text, *newline), "a warning is one line");
}

static int printed(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    put(format, ap, NULL);
    va_end(ap);
    return 0;
}

static void warned(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    put(format, ap, "\n");
    va_end(ap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned long ns;
    struct stat s;
    count = 0;
    if (!ns)
        must(!stat("/proc/self/ns/pid", &s) && (ns = s.st_ino), "this process has a PID namespace");
    while (size > 1) {
        uint8_t bits = *data;
        char name[256] = "";
        struct stats p = {0};
        size_t n = strnlen((const char *)data + 1, size - 1), at = n + 2 < size ? n + 2 : size;
        size_t most = size - at < sizeof p ? size - at : sizeof p;
        memcpy(name, data + 1, n < sizeof name - 1 ? n : sizeof name - 1);
        memcpy(&p, data + at, most);
        if (bits & 1)
            p.magic = STATS_MAGIC;
        if (bits & 2)
            p.pid_namespace = ns;
        if (bits & 4)
            p.pid = getpid();
        page = file_of((const uint8_t *)&p, bits & 8 ? most : sizeof p);
        read_page(-1, "/run/lingerclose", name);
        data += at + most;
        size -= at + most;
    }
    if (count)
        qsort(rows, count, sizeof *rows, by_program);
    show_table();
    show_prometheus();
    for (size_t i = 0; i < count; i++)
        show_process(rows[i].s.pid, "/run/lingerclose");
    return 0;
}
