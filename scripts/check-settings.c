/*
 * Which settings hold, as the shim itself reads them: its own config.c and settings.c are linked in here, over the
 * environment and /etc/lingerclose.conf. Below is what they call.
 */
#include "../shim/lingerclose.h"
#include "check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *program;

const char *report_program(void) { return program; }

long bare_syscall(long number, ...)
{
    long a[4];
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    return syscall(number, a[0], a[1], a[2], a[3]);
}

int bare_close(int fd) { return close(fd); }

void report_warning(const char *name, const char *value, const char *is_not, const char *accepted, const char *holds)
{
    unsigned line = setting_line(name);
    char place[64] = "";
    if (line)
        snprintf(place, sizeof place, SETTINGS_FILE ":%u: ", line);
    say("warning", "%s%s=\"%s\" is not %s; accepted: %s (default %s holds)", place, name, value, is_not, accepted,
        holds);
}

void report_file(const char *what, const char *detail)
{
    say("warning",
        SETTINGS_FILE ": %s%s; accepted: a regular file of root's that nobody else may write (it is ignored)", what,
        detail);
}

void report_line(unsigned line, const char *text, const char *is_not, const char *accepted)
{
    say("warning", SETTINGS_FILE ":%u: \"%s\" is not %s; accepted: %s (the line is ignored)", line, text, is_not,
        accepted);
}

void check_settings(const char *name)
{
    bool any = false;
    program = name;
    config_read();
    for (unsigned i = 0; setting_name(i); i++) {
        const char *value = setting(setting_name(i));
        unsigned line = setting_line(setting_name(i));
        if (value && line)
            say("setting", "%s=%s (" SETTINGS_FILE ":%u)", setting_name(i), value, line);
        else if (value)
            say("setting", "%s=%s (the environment)", setting_name(i), value);
        any |= value != NULL;
    }
    if (!any)
        say("setting", "the defaults, all of them");
    if (config.on)
        return;
    const char *off = setting("LINGERCLOSE");
    if (off && !strcmp(off, "off"))
        obstacle("take that out", "LINGERCLOSE=off: the shim does nothing at all");
    else
        obstacle("name it there", "LINGERCLOSE_PROGRAMS leaves %s out", name);
}
