/*
 * Where a setting comes from: the environment, and where that does not set it, /etc/lingerclose.conf, so that a shim of
 * /etc/ld.so.preload and daemons that clean their environment can be tuned too. A variable that is set to nothing is
 * set: it stands for the default, whatever the file says.
 *
 * The only user of getenv: secure_getenv(3), so that a setuid program is not tuned by its caller. The file is trusted
 * where nobody but root can have written it. A bad line warns once and is skipped; it never stops the program.
 */
#include "lingerclose.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define MOST_BYTES (16 << 10)
#define MOST_SETTINGS 64

static char text[MOST_BYTES + 1]; /* the file; the values below point into it, so it stays */
static struct {
    const char *name, *value;
    unsigned line;
} in_file[MOST_SETTINGS];
static unsigned found;
static bool file_read;

static struct {
    const char *name;
    unsigned line; /* of the file that set it, or 0 */
} asked[MOST_SETTINGS];
static unsigned names;

/* n in the digits of a base up to 10, at the end of a buffer */
static const char *digits(char *end, unsigned n, unsigned base)
{
    *--end = 0;
    do
        *--end = (char)('0' + n % base);
    while (n /= base);
    return end;
}

/* In a user namespace that does not know the machine's root, root's files seem to be somebody else's (65534), and so
   does "/". Not for a setuid program: who may be root there is the question. */
static bool of_root(uid_t owner)
{
    struct stat64 root;
    return owner == 0 || (!getauxval(AT_SECURE) && !stat64("/", &root) && root.st_uid == owner);
}

static bool trusted(int fd)
{
    struct stat64 s; /* on 32 bit fstat(2) fails where an inode number has more */
    char number[16], *end = number + sizeof number;
    if (fstat64(fd, &s) || !S_ISREG(s.st_mode))
        report_file("it is no regular file", "");
    else if (!of_root(s.st_uid))
        report_file("its owner is ", digits(end, s.st_uid, 10));
    else if (s.st_mode & (S_IWGRP | S_IWOTH))
        report_file("its mode is 0", digits(end, s.st_mode & 07777, 8));
    else
        return true;
    return false;
}

/* The bytes of the file in `text`; 0 where there is none, or none that counts. O_NONBLOCK: it might be a FIFO. */
static size_t load(void)
{
    size_t length = 0;
    ssize_t n = 1;
    int fd = (int)bare_syscall(SYS_openat, AT_FDCWD, SETTINGS_FILE, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            report_file("it cannot be read: ", strerrordesc_np(errno));
        return 0;
    }
    /* A program without descriptor 2 gets the file there; no warning must go into that. It is open for reading only. */
    bool ok = trusted(fd);
    while (ok && length < sizeof text && (n = bare_syscall(SYS_read, fd, text + length, sizeof text - length)) > 0)
        length += (size_t)n;
    bare_close(fd);
    if (!ok || (n >= 0 && length <= MOST_BYTES))
        return ok ? length : 0;
    report_file(n < 0 ? "it cannot be read: " : "it is longer than 16 KB", n < 0 ? strerrordesc_np(errno) : "");
    return 0;
}

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* One line without its newline, ended by a NUL: nothing, a comment or NAME=value, blanks around it. */
static void parse(char *s, char *end, unsigned line)
{
    static const char prefix[] = "LINGERCLOSE";
    while (end > s && blank(end[-1]))
        *--end = 0;
    while (blank(*s))
        s++;
    size_t name = strncmp(s, prefix, sizeof prefix - 1) ? 0 : strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    if (s == end || *s == '#')
        return;
    if (!name || s[name] != '=' || strlen(s) != (size_t)(end - s) || found == MOST_SETTINGS) {
        report_line(line, s, "a setting", "NAME=value with a name of liblingerclose(7), and lines that start with #");
        return;
    }
    s[name] = 0;
    unsigned i = 0;
    while (i < found && strcmp(in_file[i].name, s))
        i++;
    found += i == found;
    in_file[i].name = s;
    in_file[i].value = s + name + 1;
    in_file[i].line = line; /* of a name that the file has twice the last holds, as in sh */
}

static void read_file(void)
{
    if (file_read)
        return;
    file_read = true;
    char *s = text, *end = text + load();
    for (unsigned line = 1; s < end; line++) {
        char *newline = memchr(s, '\n', (size_t)(end - s));
        char *stop = newline ? newline : end;
        *stop = 0;
        parse(s, stop, line);
        s = stop + 1;
    }
}

/* NULL: the default. */
const char *setting(const char *name)
{
    const char *value = secure_getenv(name);
    unsigned line = 0;
    if (!value)
        read_file();
    for (unsigned n = 0; !value && n < found; n++)
        if (!strcmp(in_file[n].name, name)) {
            value = in_file[n].value;
            line = in_file[n].line;
        }
    unsigned i = 0;
    while (i < names && strcmp(asked[i].name, name))
        i++;
    if (i < MOST_SETTINGS) {
        names += i == names;
        asked[i].name = name;
        asked[i].line = line;
    }
    return value && *value ? value : NULL;
}

/* The i-th name that was asked for, or NULL; and the line of the file that set a name, or 0. */
const char *setting_name(unsigned i) { return i < names ? asked[i].name : NULL; }

unsigned setting_line(const char *name)
{
    for (unsigned i = 0; i < names; i++)
        if (!strcmp(asked[i].name, name))
            return asked[i].line;
    return 0;
}

/* Once every setting has been asked for: what the file has besides is a mistake. */
void settings_unknown(void)
{
    read_file();
    for (unsigned i = 0, known; i < found; i++) {
        for (known = 0; known < names && strcmp(asked[known].name, in_file[i].name);)
            known++;
        if (known == names)
            report_line(in_file[i].line, in_file[i].name, "a setting", "the names that liblingerclose(7) lists");
    }
}

/* systemd.exec(5), JOURNAL_STREAM: "device:inode" of the stream to the journal that a service has as its stderr, or NULL. */
const char *setting_journal_stream(void) { return secure_getenv("JOURNAL_STREAM"); }
