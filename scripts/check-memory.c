/*
 * The settings of a process that has written over its environment, as daemons do for their title in ps(1): from the
 * shim's own memory there. config.c puts its constant into a section of its own, by which it is found.
 */
#include "../shim/lingerclose.h"
#include "check.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

/* Where the library begins in the process, and the file that is mapped there: it may be gone from its path by now. */
static int open_mapped(pid_t pid, unsigned long *start)
{
    char line[5000], path[100];
    unsigned long end, offset = 1;
    int fd = -1;
    FILE *f = open_of(pid, "maps");
    while (f && fd < 0 && fgets(line, sizeof line, f)) {
        char *file = strstr(line, "/liblingerclose.so") ? strchr(line, '/') : NULL;
        if (!file || sscanf(line, "%lx-%lx %*s %lx", start, &end, &offset) != 3 || offset)
            continue;
        file[strcspn(file, "\n")] = 0;
        snprintf(path, sizeof path, "/proc/%d/map_files/%lx-%lx", pid, *start, end);
        if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) /* needs CAP_CHECKPOINT_RESTORE: proc(5) */
            fd = open(file, O_RDONLY | O_CLOEXEC);
    }
    if (f)
        fclose(f);
    return fd;
}

/* The address in the library of the section, if it is one of ours: so large as we know it, and of our word size. */
static unsigned long section_of(int fd)
{
    ElfW(Ehdr) h;
    ElfW(Shdr) s, names;
    char name[16];
    if (pread(fd, &h, sizeof h, 0) != sizeof h ||
        h.e_ident[EI_CLASS] != (sizeof(long) == 8 ? ELFCLASS64 : ELFCLASS32) || h.e_shentsize != sizeof s ||
        pread(fd, &names, sizeof names, (off_t)(h.e_shoff + h.e_shstrndx * sizeof s)) != sizeof names)
        return 0;
    for (unsigned i = 0; i < h.e_shnum; i++)
        if (pread(fd, &s, sizeof s, (off_t)(h.e_shoff + i * sizeof s)) == sizeof s &&
            pread(fd, name, sizeof name, (off_t)(names.sh_offset + s.sh_name)) > 0 &&
            !strncmp(name, ".lingerclose", 13))
            return s.sh_size == sizeof(struct config) ? s.sh_addr : 0;
    return 0;
}

static bool read_config(pid_t pid, struct config *c)
{
    char path[64];
    unsigned long start = 0;
    int library_fd = open_mapped(pid, &start);
    unsigned long at = library_fd < 0 ? 0 : section_of(library_fd);
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = at ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool ok = fd >= 0 && pread(fd, c, sizeof *c, (off_t)(start + at)) == sizeof *c;
    if (fd >= 0)
        close(fd);
    if (library_fd >= 0)
        close(library_fd);
    return ok;
}

static bool any;

static void setting_is(const char *name, const char *value)
{
    say("setting", "%s=%s (its memory)", name, value);
    any = true;
}

static void is_word(const char *name, unsigned is, unsigned by_default, const char *const *words)
{
    if (is != by_default)
        setting_is(name, words[is]);
}

static void is_set(const char *name, unsigned is, unsigned by_default, const char *const *words)
{
    char text[64] = "";
    for (unsigned i = 0; words[i]; i++)
        if (is >> i & 1)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "," : "", words[i]);
    if (is != by_default)
        setting_is(name, text);
}

static void is_time(const char *name, int64_t ns, int64_t by_default)
{
    char text[64];
    snprintf(text, sizeof text, ns % 1000000000 ? "%.15gms" : "%.15gs", (double)ns / (ns % 1000000000 ? 1e6 : 1e9));
    if (ns != by_default)
        setting_is(name, text);
}

static void is_number(const char *name, uint64_t is, uint64_t by_default)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)is);
    if (is != by_default)
        setting_is(name, text);
}

static void is_ports(const struct config *c)
{
    char text[PORT_RANGES * 12 + 1] = "";
    for (unsigned i = 0; i < c->port_ranges && i < PORT_RANGES; i++) {
        size_t n = strlen(text);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%u", i ? "," : "", c->ports[i].first);
        if (c->ports[i].last != c->ports[i].first)
            snprintf(text + n, sizeof text - n, "-%u", c->ports[i].last);
    }
    if (*text)
        setting_is("LINGERCLOSE_PORTS", text);
}

/* Our own config.c has not been asked here: its constant has the defaults. */
void check_memory(pid_t pid)
{
    struct config c;
    note("it has written over its environment, as for its title in ps(1)");
    if (!read_config(pid, &c)) {
        doubt("be root, and have lingerclose and the library from one version",
              "its memory cannot be read: whether the shim is switched on there, and how");
        return;
    }
    /* What is there is that process's word, and may be anything. */
    is_word("LINGERCLOSE_MODE", c.mode % 3, config.mode, (const char *const[]){"auto", "sync", "background"});
    is_set("LINGERCLOSE_STEPS", c.steps, config.steps, (const char *const[]){"linger", "shutdown", "drain", NULL});
    is_time("LINGERCLOSE_LINGER", c.linger, config.linger);
    is_time("LINGERCLOSE_DRAIN", c.drain, config.drain);
    is_time("LINGERCLOSE_IDLE", c.idle, config.idle);
    is_number("LINGERCLOSE_DRAIN_BYTES", c.drain_bytes[ROLE_ACCEPTED], config.drain_bytes[ROLE_ACCEPTED]);
    is_set("LINGERCLOSE_ROLES", c.roles, config.roles, (const char *const[]){"accepted", "connected", NULL});
    is_word("LINGERCLOSE_WHEN", c.when % 2, config.when, (const char *const[]){"always", "pending"});
    is_word("LINGERCLOSE_ABORT", c.abort % 2, config.abort, (const char *const[]){"keep", "linger"});
    is_number("LINGERCLOSE_MAX", c.max, config.max);
    is_time("LINGERCLOSE_EXIT", c.exit, config.exit);
    is_word("LINGERCLOSE_SHUTDOWN", c.shutdown % 2, config.shutdown, (const char *const[]){"off", "on"});
    is_set("LINGERCLOSE_FAMILIES", c.families, config.families, (const char *const[]){"tcp", "unix", NULL});
    is_word("LINGERCLOSE_NODELAY", c.nodelay % 2, config.nodelay, (const char *const[]){"off", "on"});
    is_word("LINGERCLOSE_CORK", c.cork % 2, config.cork, (const char *const[]){"off", "on"});
    is_ports(&c);
    config.nodelay = c.nodelay, config.cork = c.cork;
    if (c.log) /* it points into the environment */
        setting_is("LINGERCLOSE_LOG", "a place that has been written over");
    if (c.stats)
        setting_is("LINGERCLOSE_STATS", "a place that has been written over");
    if (!any)
        say("setting", "the defaults, all of them");
    if (!c.on)
        obstacle("take that out", "the shim is switched off there, by LINGERCLOSE=off or LINGERCLOSE_PROGRAMS");
}
