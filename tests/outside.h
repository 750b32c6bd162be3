/* What a server looks like from outside, in /proc. Its number and how many descriptors it had at first come in its line
 * "pid=N base=N" on our standard input. */
#ifndef TESTS_OUTSIDE_H
#define TESTS_OUTSIDE_H

#include "connection.h"
#include <stdbool.h>

static int pid, base;
static long bound = 15000; /* ms: nothing waits longer */

static int the_server(void)
{
    char line[512];
    while (!pid && fgets(line, sizeof line, stdin))
        if (sscanf(line, "pid=%d base=%d", &pid, &base) != 2)
            pid = 0;
    if (!pid)
        errx(1, "no line \"pid=N base=N\" on standard input");
    return pid;
}

static int descriptors_of_server(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", the_server());
    DIR *dir = opendir(path);
    int n = -2;
    if (!dir)
        err(1, "%s", path);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - base;
}

/* Once a thread sleeps it has done what it was about: closed the connection whose end we saw, or named itself. */
static void until_it_sleeps(const char *task, bool tell)
{
    char path[600], line[256], name[64] = "", state = '?';
    unsigned long long blocked = 0;
    long begun = now_ms();
    snprintf(path, sizeof path, "/proc/%d/task/%s/status", the_server(), task);
    while (state != 'S' && now_ms() - begun < bound) {
        FILE *file = fopen(path, "re");
        if (!file)
            return;
        while (fgets(line, sizeof line, file)) {
            sscanf(line, "Name: %63s", name);
            sscanf(line, "State: %c", &state);
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(file);
    }
    if (tell)
        printf("thread=%s blocked=%llx\n", name, blocked);
}

static void until_server_sleeps(void)
{
    char id[16];
    snprintf(id, sizeof id, "%d", the_server());
    until_it_sleeps(id, false);
}

static int threads_of_server(bool tell)
{
    char task[64];
    snprintf(task, sizeof task, "/proc/%d/task", the_server());
    DIR *dir = opendir(task);
    int n = 0;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        n += *d->d_name != '.';
        if (tell && *d->d_name != '.' && atoi(d->d_name) != pid)
            until_it_sleeps(d->d_name, true);
    }
    if (dir)
        closedir(dir);
    return n;
}

#endif
