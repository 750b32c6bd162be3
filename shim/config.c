/*
 * The settings, parsed once into a constant. A bad value warns once and the default holds; it never stops or changes the
 * program.
 */
#include "lingerclose.h"

#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define LONGEST (INT64_C(86400) * SECOND) /* a day: every sum of two bounds stays far from overflow */

/* In a section of its own, so that lingerclose --check finds it in a process that has written over its environment. */
__attribute__((section(".lingerclose"))) struct config config = {
    .steps = STEP_LINGER | STEP_SHUTDOWN | STEP_DRAIN,
    .families = FAMILY_TCP,
    .shutdown = 1,
    .exit = 5 * SECOND,
    .roles = ROLE_ACCEPTED | ROLE_CONNECTED,
    .linger = 30 * SECOND,
    .drain = 30 * SECOND,
    .idle = 2 * SECOND,
    .drain_bytes = {[ROLE_ACCEPTED] = UNLIMITED, [ROLE_CONNECTED] = 1 << 20},
    .max = 4096,
};

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* A decimal number with a fraction, as millionths; false where there is none or it is absurdly large. */
static bool number(const char **s, uint64_t *millionths)
{
    uint64_t n = 0, unit = 1000000;
    bool any = false;
    for (; digit(**s); (*s)++, any = true)
        if ((n = n * 10 + (uint64_t)(**s - '0')) > 1000000000000)
            return false;
    n *= unit;
    if (**s == '.')
        for ((*s)++; digit(**s); (*s)++, any = true)
            n += (uint64_t)(**s - '0') * (unit /= 10);
    *millionths = n;
    return any;
}

static bool duration(const char *s, int64_t *ns)
{
    uint64_t n;
    uint64_t unit = SECOND;
    if (!number(&s, &n))
        return false;
    if (!strcmp(s, "ms"))
        unit = MS;
    else if (!strcmp(s, "m"))
        unit = 60 * SECOND;
    else if (strcmp(s, "s") && *s)
        return false;
    if (n / 1000000 > LONGEST / unit)
        return false;
    *ns = (int64_t)(n * (unit / 1000000));
    return *ns <= LONGEST;
}

static bool size(const char *s, uint64_t *bytes)
{
    uint64_t n;
    unsigned shift = 0;
    if (!number(&s, &n))
        return false;
    if (*s && !s[1])
        shift = *s == 'K' ? 10 : *s == 'M' ? 20 : *s == 'G' ? 30 : 0;
    if (*s && !shift)
        return false;
    if (n / 1000000 > UINT64_C(1) << 30 && shift)
        return false;
    *bytes = (n / 1000000 << shift) + ((n % 1000000 << shift) / 1000000);
    return true;
}

/* The index of the word that the first `length` bytes of s are, or -1. */
static int word(const char *s, size_t length, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strlen(words[i]) == length && !memcmp(words[i], s, length))
            return i;
    return -1;
}

/* A comma-separated subset; word i stands for bit i. */
static bool subset(const char *s, const char *const *words, unsigned *bits)
{
    unsigned found = 0;
    for (;; s++) {
        size_t length = strcspn(s, ",");
        int i = word(s, length, words);
        if (i < 0)
            return false;
        found |= 1U << i;
        s += length;
        if (!*s)
            break;
    }
    *bits = found;
    return true;
}

static bool port(const char **s, uint16_t *p)
{
    unsigned n = 0;
    if (!digit(**s))
        return false;
    for (; digit(**s); (*s)++)
        if ((n = n * 10 + (unsigned)(**s - '0')) > 65535)
            return false;
    *p = (uint16_t)n;
    return true;
}

static bool ports(const char *s)
{
    unsigned n = 0;
    for (;; s++, n++) {
        if (n == PORT_RANGES || !port(&s, &config.ports[n].first))
            return false;
        config.ports[n].last = config.ports[n].first;
        if (*s == '-' && (s++, !port(&s, &config.ports[n].last)))
            return false;
        if (config.ports[n].last < config.ports[n].first || (*s && *s != ','))
            return false;
        if (!*s)
            break;
    }
    config.port_ranges = n + 1;
    return true;
}

/* "a,b": in a and b only. "!a": in all but a. The first name that fits decides; where none does, whether the list is
   one of exclusions, that is, starts with one. */
static bool program_listed(const char *list, const char *name)
{
    bool otherwise = *list == '!';
    while (*list) {
        bool excluded = *list == '!';
        list += excluded;
        size_t length = strcspn(list, ",");
        if (strlen(name) == length && !memcmp(name, list, length))
            return !excluded;
        list += length + (list[length] == ',');
    }
    return otherwise;
}

static const char *const on_off[] = {"off", "on", NULL};
static const char *const modes[] = {"auto", "sync", "background", NULL};
static const char *const whens[] = {"always", "pending", NULL};
static const char *const aborts[] = {"keep", "linger", NULL};
static const char *const steps[] = {"linger", "shutdown", "drain", NULL};
static const char *const families[] = {"tcp", "unix", NULL};
static const char *const roles[] = {"accepted", "connected", NULL};

static void read_word(const char *name, const char *const *words, unsigned *to, const char *accepted)
{
    const char *value = setting(name);
    int i = value ? word(value, strlen(value), words) : 0;
    if (i < 0)
        report_warning(name, value, "a known word", accepted, words[*to]);
    else if (value)
        *to = (unsigned)i;
}

static void read_subset(const char *name, const char *const *words, unsigned *to, const char *accepted,
                        const char *holds)
{
    const char *value = setting(name);
    if (value && !subset(value, words, to))
        report_warning(name, value, "a list of known words", accepted, holds);
}

static void read_duration(const char *name, int64_t *to, const char *holds)
{
    const char *value = setting(name);
    if (value && !duration(value, to))
        report_warning(name, value, "a duration", "a number with ms, s or m", holds);
}

static void read_drain_bytes(void)
{
    const char *name = "LINGERCLOSE_DRAIN_BYTES", *value = setting(name);
    uint64_t bytes;
    if (!value || !strcmp(value, "auto"))
        return;
    if (!size(value, &bytes))
        report_warning(name, value, "a size", "auto, or a number with K, M or G", "auto");
    else
        config.drain_bytes[ROLE_ACCEPTED] = config.drain_bytes[ROLE_CONNECTED] = bytes;
}

static void read_max(void)
{
    const char *name = "LINGERCLOSE_MAX", *value = setting(name);
    uint64_t n;
    if (!value)
        return;
    if (value[strspn(value, "0123456789")] || !size(value, &n) || n > 1000000)
        report_warning(name, value, "a number of connections", "0 to 1000000", "4096");
    else
        config.max = (unsigned)n;
}

static void read_ports(void)
{
    const char *name = "LINGERCLOSE_PORTS", *value = setting(name);
    if (value && !ports(value))
        report_warning(name, value, "a list of ports", "up to 64 ports and ranges such as 25,80,8000-8999", "all");
}

static void read_log(void)
{
    const char *name = "LINGERCLOSE_LOG", *value = setting(name);
    if (!value || !strcmp(value, "off"))
        return;
    if (strcmp(value, "stderr") && strcmp(value, "syslog") && strcmp(value, "journal") && *value != '/')
        report_warning(name, value, "a place for a log", "off, stderr, syslog, journal or a path that starts with /",
                       "off");
    else
        config.log = value;
}

static void read_stats(void)
{
    const char *name = "LINGERCLOSE_STATS", *value = setting(name);
    if (!value || !strcmp(value, "off"))
        return;
    if (*value != '/' || strlen(value) > STATS_PATH_MOST)
        report_warning(name, value, "a directory's path", "off, or the path of a directory, which starts with /",
                       "off");
    else
        config.stats = value;
}

static bool program_wanted(void)
{
    const char *name = "LINGERCLOSE_PROGRAMS", *value = setting(name);
    if (!value)
        return true;
    if (*value == ',' || strstr(value, ",,") || strchr(value, '/') || value[strlen(value) - 1] == ',') {
        report_warning(name, value, "a list of programs", "names such as nginx,redis-server, or !name to exclude",
                       "all");
        return true;
    }
    return program_listed(value, report_program());
}

/* The constructor's, once. */
void config_read(void)
{
    unsigned on = 1;
    read_word("LINGERCLOSE", on_off, &on, "on or off");
    if (!on)
        return;
    read_word("LINGERCLOSE_MODE", modes, &config.mode, "auto, sync or background");
    read_subset("LINGERCLOSE_STEPS", steps, &config.steps, "some of linger,shutdown,drain", "linger,shutdown,drain");
    read_duration("LINGERCLOSE_LINGER", &config.linger, "30s");
    read_duration("LINGERCLOSE_DRAIN", &config.drain, "30s");
    read_duration("LINGERCLOSE_IDLE", &config.idle, "2s");
    read_drain_bytes();
    read_subset("LINGERCLOSE_ROLES", roles, &config.roles, "some of accepted,connected", "accepted,connected");
    read_word("LINGERCLOSE_WHEN", whens, &config.when, "always or pending");
    read_word("LINGERCLOSE_ABORT", aborts, &config.abort, "keep or linger");
    read_max();
    read_duration("LINGERCLOSE_EXIT", &config.exit, "5s");
    read_word("LINGERCLOSE_SHUTDOWN", on_off, &config.shutdown, "on or off");
    read_subset("LINGERCLOSE_FAMILIES", families, &config.families, "tcp or tcp,unix", "tcp");
    read_word("LINGERCLOSE_NODELAY", on_off, &config.nodelay, "on or off");
    read_word("LINGERCLOSE_CORK", on_off, &config.cork, "on or off");
    read_ports();
    read_log();
    read_stats();
    config.on = program_wanted();
    settings_unknown();
}
