/* lingerclose-check: what its files know of each other. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* lingerclose-check.c: what is found is printed at once, a sentence a line, and decides the exit status */
enum { REACHED, NOT_REACHED, CANNOT_TELL };
void say(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
void obstacle(const char *remedy, const char *format, ...) __attribute__((format(printf, 2, 3)));
void doubt(const char *remedy, const char *format, ...) __attribute__((format(printf, 2, 3)));
unsigned findings(void); /* obstacles and doubts so far */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern const char *library;
extern bool everywhere; /* /etc/ld.so.preload names the library */
const char *base_name(const char *path);
bool find_program(const char *name, char path[4096]);

/* check-file.c */
extern char executable[4096]; /* the ELF program that check_file() came to, links resolved; or "" */
void check_file(const char *path, bool running);
void check_go(const char *path);

/* check-cleaners.c: programs that are known to start others with another environment */
bool check_cleaner(const char *path, bool itself);

/* check-process.c */
void check_process(pid_t pid);
FILE *open_of(pid_t pid, const char *name);
char *link_of(pid_t pid, const char *name, char to[4096]);

/* check-lingering.c */
void check_lingering(pid_t pid);

/* check-memory.c */
void check_memory(pid_t pid);

/* check-settings.c */
void check_settings(const char *program);

#endif
