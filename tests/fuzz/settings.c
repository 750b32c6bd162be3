/* Any environment and any text of /etc/lingerclose.conf: what config.c makes of them is within its bounds, and each
 * warning is one line.
 *
 * The input: lines, of which those that begin with "E" are a variable each, without that letter; the others are the
 * file's. Where nothing of the file is there, there is none. */
#include "fuzz.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "../../shim/settings.c" /* for its variables, to begin anew each time */

#include "../../shim/log.h"

static char *environment[64];
static int file;

/* ---- what stands below config.c and settings.c ---- */

char *secure_getenv(const char *name)
{
    size_t length = strlen(name);
    for (char **e = environment; *e; e++)
        if (!strncmp(*e, name, length) && (*e)[length] == '=')
            return *e + length + 1;
    return NULL;
}

long bare_syscall(long number, ...)
{
    va_list ap;
    va_start(ap, number);
    int fd = va_arg(ap, int);
    void *to = va_arg(ap, void *);
    size_t most = va_arg(ap, size_t);
    va_end(ap);
    errno = ENOENT;
    return number == SYS_read ? read(fd, to, most) : file;
}

int bare_close(int fd) { return close(fd); }
const char *report_program(void) { return "fuzz"; }
bool log_stderr_is_ours(void) { return true; }

bool log_write(int fd, const char *text, size_t length)
{
    char line[2000];
    must(fd == 2 && length < sizeof line && length > 0, "a warning fits");
    memcpy(line, text, length);
    line[length] = 0;
    must(strlen(line) == length && strchr(line, '\n') == line + length - 1, "a warning is one line");
    must_be_printable(line);
    return true;
}

static void check(void)
{
    const int64_t day = INT64_C(86400) * 1000000000, times[] = {config.linger, config.drain, config.idle, config.exit};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        must(times[i] >= 0 && times[i] <= day, "a time is at most a day");
    must(config.mode <= MODE_BACKGROUND && config.when <= 1 && config.abort <= 1 && config.shutdown <= 1,
         "words are known");
    must(config.steps && config.steps < 8 && config.roles && config.roles < 4 && config.families && config.families < 4,
         "sets are known");
    must(config.max <= 1000000, "MAX is at most a million");
    must(config.port_ranges <= PORT_RANGES, "there are at most 64 ranges of ports");
    for (unsigned i = 0; i < config.port_ranges; i++)
        must(config.ports[i].first <= config.ports[i].last, "a range of ports is one");
    must(!config.stats || (*config.stats == '/' && strlen(config.stats) <= STATS_PATH_MOST), "the counters' path fits");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config defaults;
    static bool begun;
    char *copy = calloc(1, size + 1);
    uint8_t *lines = calloc(1, size + 1);
    size_t variables = 0, length = 0;
    if (!begun)
        defaults = config;
    begun = true;
    memcpy(copy, data, size);
    for (size_t at = 0, n; at < size; at += n + 1) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        n = newline ? (size_t)(newline - data) - at : size - at;
        copy[at + n] = 0;
        if (data[at] == 'E' && variables < sizeof environment / sizeof *environment - 1) {
            environment[variables++] = copy + at + 1;
        } else {
            memcpy(lines + length, data + at, n + !!newline);
            length += n + !!newline;
        }
    }
    environment[variables] = NULL;
    config = defaults;
    memset(text, 0, sizeof text), memset(in_file, 0, sizeof in_file), memset(asked, 0, sizeof asked);
    found = names = 0, file_read = false;
    file = length ? file_of(lines, length) : -1;
    must(!length || !fchmod(file, 0600), "the file is root's own");
    config_read();
    check();
    free(copy);
    free(lines);
    return 0;
}
