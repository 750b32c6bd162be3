/*
 * A file that is to be executed: a script, whose interpreter counts, or an ELF program. What ld.so does with
 * LD_PRELOAD is in ld.so(8), "Secure-execution mode"; what a script's first line means in execve(2).
 */
#include "check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

char executable[4096];

#define PROXY "put a proxy under lingerclose in front of it"

/* The two classes differ in the width of some fields only. */
struct elf {
    int fd;
    unsigned char class;
    unsigned machine, type, segments, segment_size;
    uint64_t segments_at;
};

/* "x86-64, 64 bits" */
static const char *machine_name(const struct elf *e)
{
    static const struct {
        unsigned machine;
        const char *name;
    } names[] = {{EM_X86_64, "x86-64"}, {EM_386, "i386"},    {EM_AARCH64, "aarch64"}, {EM_ARM, "arm"},
                 {EM_RISCV, "riscv"},   {EM_PPC64, "ppc64"}, {EM_S390, "s390"},       {EM_MIPS, "mips"}};
    static char text[2][64];
    static unsigned turn;
    char *to = text[turn++ % 2];
    const char *bits = e->class == ELFCLASS32 ? "32 bits" : e->class == ELFCLASS64 ? "64 bits" : "the other byte order";
    snprintf(to, sizeof *text, "machine number %u, %s", e->machine, bits);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].machine == e->machine)
            snprintf(to, sizeof *text, "%s, %s", names[i].name, bits);
    return to;
}

static bool elf_open(struct elf *e, int fd)
{
    union {
        Elf64_Ehdr wide;
        Elf32_Ehdr narrow;
    } h = {0};
    if (pread(fd, &h, sizeof h, 0) < (ssize_t)sizeof h.narrow || memcmp(h.wide.e_ident, ELFMAG, SELFMAG))
        return false;
    *e = (struct elf){fd, h.wide.e_ident[EI_CLASS], h.wide.e_machine, h.wide.e_type, 0, 0, 0};
    if (h.wide.e_ident[EI_DATA] != (__BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB)) {
        e->machine = __builtin_bswap16(h.wide.e_machine);
        e->class = ELFCLASSNONE; /* of the other byte order: nothing more is read */
    } else if (e->class == ELFCLASS32) {
        e->segments = h.narrow.e_phnum, e->segment_size = h.narrow.e_phentsize, e->segments_at = h.narrow.e_phoff;
    } else {
        e->segments = h.wide.e_phnum, e->segment_size = h.wide.e_phentsize, e->segments_at = h.wide.e_phoff;
    }
    return true;
}

/* The first bytes, up to `most`, of the next segment of a type, whose number is *from or more; how many, or -1 where
   there is none. A file may say that it has 65,535. */
static ssize_t segment(const struct elf *e, unsigned type, unsigned *from, char *to, size_t most)
{
    while (*from < e->segments) {
        unsigned i = (*from)++;
        union {
            Elf64_Phdr wide;
            Elf32_Phdr narrow;
        } p = {0};
        if (pread(e->fd, &p, sizeof p, (off_t)(e->segments_at + (uint64_t)i * e->segment_size)) <
            (ssize_t)sizeof p.narrow)
            break;
        if (p.wide.p_type != type)
            continue;
        uint64_t size = e->class == ELFCLASS32 ? p.narrow.p_filesz : p.wide.p_filesz;
        uint64_t at = e->class == ELFCLASS32 ? p.narrow.p_offset : p.wide.p_offset;
        return pread(e->fd, to, size < most ? size : most, (off_t)at);
    }
    return -1;
}

/* The Go linker's own note: owner "Go", type 4 (cmd/internal/buildid/note.go). */
static bool is_go(const struct elf *e)
{
    char notes[4096];
    ssize_t length;
    for (unsigned from = 0; (length = segment(e, PT_NOTE, &from, notes, sizeof notes)) >= 0;)
        for (ssize_t at = 0; at + 16 <= length;) {
            Elf64_Nhdr h; /* the same in both classes: three words */
            memcpy(&h, notes + at, sizeof h);
            if (h.n_namesz == 4 && h.n_type == 4 && !memcmp(notes + at + sizeof h, "Go\0", 4))
                return true;
            if (h.n_namesz > sizeof notes || h.n_descsz > sizeof notes)
                break;
            at += (ssize_t)(sizeof h + ((h.n_namesz + 3U) & ~3U) + ((h.n_descsz + 3U) & ~3U));
        }
    return false;
}

static void check_loader(const char *loader)
{
    const char *name = base_name(loader);
    if (!strncmp(name, "ld-musl", 7))
        obstacle(
            "use the distribution's glibc build of it, or " PROXY,
            "it is for another libc, musl (its loader is %s), which refuses the library and then does not start the "
            "program at all",
            loader);
    else if (strncmp(name, "ld-linux", 8) && strncmp(name, "ld64.so", 7) && strncmp(name, "ld.so", 5))
        obstacle(PROXY, "it is for another libc than glibc (its loader is %s)", loader);
    else if (strncmp(loader, "/lib", 4) && strncmp(loader, "/usr/lib", 8))
        doubt("start it under lingerclose, then lingerclose --check its process id",
              "it brings a glibc of its own (its loader is %s), which may be older than the library needs", loader);
}

/* Privileges from the file make ld.so ignore a preload path, unless who starts it has them anyway: AT_SECURE in
   getauxval(3), cap_bprm_creds_from_file() in security/commoncap.c. */
static void check_privileges(const char *path, int fd)
{
    static const char remedy[] =
        "name the library in /etc/ld.so.preload (for every program of the machine), or let the "
        "service manager give the privilege (systemd: User=, AmbientCapabilities=)";
    struct stat s;
    struct statvfs mount;
    char capabilities[64];
    if (everywhere || fstat(fd, &s) || (!fstatvfs(fd, &mount) && mount.f_flag & ST_NOSUID))
        return;
    bool uid = s.st_mode & S_ISUID, gid = (s.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    if ((uid && s.st_uid != getuid()) || (gid && s.st_gid != getgid()))
        obstacle(remedy, "it is %s, so ld.so ignores LD_PRELOAD", uid ? "setuid" : "setgid");
    else if (uid || gid)
        note("it is %s: reached where its owner starts it, as you would now, and not where somebody else does",
             uid ? "setuid" : "setgid");
    if (getxattr(path, "security.capability", capabilities, sizeof capabilities) <= 0)
        return;
    if (getuid())
        obstacle(remedy, "it has file capabilities, so ld.so ignores LD_PRELOAD");
    else
        note("it has file capabilities: reached where root starts it, as you would now, and not where somebody else "
             "does");
}

static bool go_obstacle(const struct elf *e)
{
    bool go = is_go(e);
    if (go)
        obstacle(PROXY, "it is a Go program, which closes by system calls of its own and not through libc");
    return go;
}

void check_go(const char *path)
{
    struct elf e;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && elf_open(&e, fd))
        go_obstacle(&e);
    if (fd >= 0)
        close(fd);
}

static bool read_header(const char *path, struct elf *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && elf_open(e, fd);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The library that the program would get. ld.so puts for $LIB in its path what the program's architecture has there,
   lib/x86_64-linux-gnu or lib64 (ld.so(8), "Dynamic string tokens"): the one that fits, or any. */
static bool read_library(const struct elf *program, struct elf *ours)
{
    static const char *const places[] = {"lib/*", "lib*"};
    const char *token = strstr(library, "$LIB");
    bool found = false;
    if (!token)
        return read_header(library, ours);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char pattern[4200];
        glob_t g;
        snprintf(pattern, sizeof pattern, "%.*s%s%s", (int)(token - library), library, places[i], token + 4);
        if (glob(pattern, 0, NULL, &g))
            continue;
        for (size_t n = 0; n < g.gl_pathc; n++)
            if (!found || ours->class != program->class || ours->machine != program->machine)
                found |= read_header(g.gl_pathv[n], ours);
        globfree(&g);
    }
    return found;
}

static void check_elf(const struct elf *e)
{
    struct elf ours;
    char loader[4096] = "";
    unsigned first = 0;
    if (!read_library(e, &ours)) {
        doubt("install lingerclose again", "the library %s cannot be read", library);
        return;
    }
    if (e->type != ET_EXEC && e->type != ET_DYN) {
        doubt("name the program itself", "it is an ELF file, but no program");
        return;
    }
    if (go_obstacle(e))
        return;
    if (!strncmp(base_name(executable), "ld-linux", 8))
        doubt("name the program that it is to run", "it is glibc's loader itself");
    else if (e->class && segment(e, PT_INTERP, &first, loader, sizeof loader - 1) <= 0)
        obstacle("install or build a dynamically linked one, or " PROXY,
                 "it is statically linked: there is no ld.so that could load the library");
    else if (e->class != ours.class || e->machine != ours.machine)
        obstacle("build lingerclose for that too, and run the program with that library",
                 "it is for another machine (%s) than the library (%s)", machine_name(e), machine_name(&ours));
    else
        check_loader(loader);
}

static void check_interpreter(char *words);

static bool is_text(const char *s, ssize_t n) { return n > 0 && *s != *ELFMAG && !memchr(s, 0, (size_t)n); }

static int depth; /* of scripts whose interpreters are scripts */

/* running: path is /proc/PID/exe, never a script, whose privileges the process has already */
void check_file(const char *path, bool running)
{
    struct elf e;
    char head[256], *whole = running ? NULL : realpath(path, NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head - 1, 0);
    if (!running)
        say("program", "%s%s%s", path, whole && strcmp(whole, path) ? " is " : "",
            whole && strcmp(whole, path) ? whole : "");
    if (n < 0) {
        doubt("be root", "%s cannot be read: %s", path, strerror(errno));
    } else if (elf_open(&e, fd)) {
        snprintf(executable, sizeof executable, "%s", whole ? whole : path);
        check_elf(&e);
        if (!running)
            check_privileges(path, fd);
    } else if (n > 2 && !memcmp(head, "#!", 2) &&
               depth++ < 4) { /* BINPRM_BUF_SIZE, and as many levels as exec_binprm() */
        head[n] = 0;
        head[strcspn(head, "\n")] = 0;
        check_interpreter(head + 2);
    } else if (is_text(head, n) && depth++ < 4) {
        note("it has no #! line: execvp(3) and shells give it to /bin/sh");
        check_file("/bin/sh", false);
    } else {
        doubt("name the program itself", "%s is neither an ELF program nor a script", path);
    }
    if (fd >= 0)
        close(fd);
    if (!running)
        check_cleaner(whole ? whole : path, true);
    free(whole);
}

/* env(1) before the interpreter's name: its options, then NAME=VALUE words. NULL where it names none. */
static char *through_env(char **rest)
{
    for (char *word; (word = strsep(rest, " \t"));) {
        if (!strcmp(word, "-i") || !strcmp(word, "-") || !strcmp(word, "--ignore-environment"))
            obstacle("take that out of the script's first line", "its env %s clears the environment", word);
        else if (!strcmp(word, "-u") || !strcmp(word, "-C"))
            strsep(rest, " \t");
        else if (!strncmp(word, "-S", 2) && word[2] && word[2] != '-')
            return word + 2;
        else if (*word && *word != '-' && !strchr(word, '='))
            return word;
    }
    return NULL;
}

/* The kernel takes the first word, and the rest as one argument. */
static void check_interpreter(char *words)
{
    char path[4096];
    words += strspn(words, " \t");
    char *rest = words, *name = strsep(&rest, " \t");
    bool env = !strcmp(base_name(name), "env");
    if (env)
        name = through_env(&rest);
    if (!name || !*name)
        doubt("name the program itself", "the script's first line names no interpreter");
    else if (!find_program(name, path))
        doubt("install it", "the script's interpreter %s is not there", name);
    else
        check_file(path, false);
}
