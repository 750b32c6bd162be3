/*
 * line.c puts a line of text together, log.c sends it where the configuration says; report.c and warnings.c know what it says.
 */
#ifndef LOG_H
#define LOG_H

#include "lingerclose.h"

struct sockaddr_in6;

struct line {
    size_t length;
    char text[1536]; /* the journal gets each line twice */
};
void put(struct line *, const char *) HIDDEN;
void put_quoted(struct line *, const char *) HIDDEN;
void put_word(struct line *, const char *) HIDDEN;
void put_number(struct line *, uint64_t, int width) HIDDEN;
void put_time(struct line *) HIDDEN;
void put_address(struct line *, const struct sockaddr_in6 *) HIDDEN;

bool log_init(void) HIDDEN;
bool log_is(int fd) HIDDEN;
bool log_give_up(int fd) HIDDEN;
bool log_write(int fd, const char *text, size_t length) HIDDEN;
bool log_stderr_is_ours(void) HIDDEN;
void log_line(struct line *, unsigned severity) HIDDEN;

#endif
