/*
 * Warnings of the configuration: one line each, to the standard error that is not a connection. Values come from outside.
 */
#include "log.h"

/* "lingerclose: ", and the line of the file if it is about one */
static void put_place(struct line *l, bool file, unsigned line)
{
    put(l, "lingerclose: ");
    if (file)
        put(l, SETTINGS_FILE);
    if (line) {
        put(l, ":");
        put_number(l, line, 0);
    }
    put(l, file ? ": " : "");
}

static void put_is_not(struct line *l, const char *value, const char *is_not, const char *accepted)
{
    put_quoted(l, value);
    put(l, " is not ");
    put(l, is_not);
    put(l, "; accepted: ");
    put(l, accepted);
}

void report_warning(const char *name, const char *value, const char *is_not, const char *accepted, const char *holds)
{
    struct line l = {0};
    unsigned line = setting_line(name);
    if (!log_stderr_is_ours())
        return;
    put_place(&l, line, line);
    put(&l, name);
    put(&l, "=");
    put_is_not(&l, value, is_not, accepted);
    put(&l, " (default ");
    put(&l, holds);
    put(&l, " holds)\n");
    log_write(2, l.text, l.length);
}

/* Of the whole file: what is wrong with it. */
void report_file(const char *what, const char *detail)
{
    struct line l = {0};
    if (!log_stderr_is_ours())
        return;
    put_place(&l, true, 0);
    put(&l, what);
    put(&l, detail);
    put(&l, "; accepted: a regular file of root's that nobody else may write (it is ignored)\n");
    log_write(2, l.text, l.length);
}

void report_line(unsigned line, const char *text, const char *is_not, const char *accepted)
{
    struct line l = {0};
    if (!log_stderr_is_ours())
        return;
    put_place(&l, true, line);
    put_is_not(&l, text, is_not, accepted);
    put(&l, " (the line is ignored)\n");
    log_write(2, l.text, l.length);
}
